"""What all tests share: none of them may reach for W&B, or for what its user has set up on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def no_wandb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pytest.MonkeyPatch]:
    """Switch W&B off and hide its keys; a test of tracking itself asks for other values."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_MODE", "disabled")
        patch.setenv("NETRC", str(Path(tmp_path_factory.getbasetemp()) / "no-netrc"))
        for variable in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE", "WANDB_BASE_URL", "WANDB_DISABLED"):
            patch.delenv(variable, raising=False)
        yield patch
