"""Games of particles: one physics in compiled kernels, and the families that it carries (spread, tag, harvest)."""
