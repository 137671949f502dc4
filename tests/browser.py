"""A browser for the tests of pages. As a script it installs Debian's Chromium where there is none, if it may.

Playwright drives whatever Chromium or Chrome the machine has: it never downloads one of its own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SECONDS = 300
"""Each step of an installation may take so long."""


def find() -> str | None:
    """Return the path of a browser, that of the environment's `CHROME` before all others, or None."""
    asked = os.environ.get("CHROME")
    return shutil.which(asked) if asked else next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def running() -> Iterator[Browser]:
    """Start the browser, and close it at the end; skips the tests that ask for it where there is none."""
    # Imported here, so that the Makefile can run this file before anything is installed.
    import pytest
    from playwright.sync_api import sync_playwright

    path = find()
    if path is None:
        pytest.skip("THE PAGES WERE NOT TESTED: no Chromium or Chrome on PATH or in $CHROME; try `make browser`")
    with sync_playwright() as playwright:
        # Containers rarely allow Chromium's own sandbox, and the only pages here are ours.
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


def install() -> str:
    """Install Debian's Chromium; return one line about what was done, and never raise."""
    found = find()
    if found is not None:
        return f"browser for the tests of pages: {found}"
    apt_get, sudo = shutil.which("apt-get"), shutil.which("sudo")
    if apt_get is None:
        return "no browser, and no apt-get to install one: the tests of pages will be skipped"
    prefix = [] if os.geteuid() == 0 else [sudo or "sudo", "-n"]
    apt = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive", apt_get, "-qq", "-y"]
    for command in ([*apt, "update"], [*apt, "install", "--no-install-recommends", "chromium"]):
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=SECONDS)
        except (OSError, subprocess.SubprocessError) as error:
            return f"no browser could be installed ({error}): the tests of pages will be skipped"
    return f"installed a browser for the tests of pages: {find() or 'but it is not on PATH'}"


if __name__ == "__main__":
    sys.stdout.write(install() + "\n")
