"""Replays as one HTML page that needs nothing but itself: no network and no other file, also inside a sandbox.

The files are embedded as base64, which holds no character that means anything in HTML; the page's script unpacks them
and writes what they say as text only. A content security policy keeps the page from reaching for anything else.
"""

from __future__ import annotations

import base64
import gzip
import html
from collections.abc import Sequence
from pathlib import Path
from string import Template

_FOLDER = Path(__file__).parent / "viewer"
_SCRIPTS = ("decode", "timeline", "palette", "pen", "particles", "scenes", "dom", "panels", "agent", "viewer")
"""In this order they become one script."""


def page(replays: Sequence[bytes], title: str = "") -> str:
    """Return a page that plays replays side by side; `replays` are the bytes of files in the format of replays.

    A page without a title shows that of its replay.
    """
    parts = {
        "name": html.escape(title or "Replay"),
        "title": html.escape(title),
        "style": _read("viewer.css"),
        "script": _base64(gzip.compress(_script().encode(), mtime=0)),
        "replays": "\n".join(_embedded(replay) for replay in replays),
    }
    return Template(_read("viewer.html")).substitute(parts)


def frame(page_html: str, height: int = 640) -> str:
    """Return a page as a frame within another page, for notebooks; `height` is in pixels.

    The frame may run its script and nothing else: it has no access to the page around it.
    """
    style = f"width:100%;height:{height}px;border:0"
    page_text = html.escape(page_html, quote=True)
    return f'<iframe title="Replay" sandbox="allow-scripts" style="{style}" srcdoc="{page_text}"></iframe>'


def _read(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


def _script() -> str:
    return "\n".join(_read(f"{name}.js") for name in _SCRIPTS)


def _embedded(replay: bytes) -> str:
    return f'<script type="application/octet-stream" class="replay">{_base64(replay)}</script>'


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
