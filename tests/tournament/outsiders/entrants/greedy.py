import numpy as np

np.zeros(1 << 40)


def play(_: object) -> int:
    return 0
