"""To and from PettingZoo: third-party games for the trainer, our games for everybody else."""

import os

# pygame, which draws for many games, greets on standard output when it is imported; `--json` wants that clean.
os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
