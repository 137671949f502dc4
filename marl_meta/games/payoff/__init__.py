"""The family `payoff`: a few players repeat one hidden game in normal form, in compiled kernels."""
