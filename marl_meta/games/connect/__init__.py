"""The family `connect`: two players put stones on a board until one has so many in a row, in compiled kernels."""
