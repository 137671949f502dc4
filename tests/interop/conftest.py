"""PettingZoo's own tests import a game in a way that PettingZoo itself warns of; here, once, quietly."""

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import pettingzoo.test  # noqa: F401  (the tests import from it)
