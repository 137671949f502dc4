"""What is kept of an entrant's output."""

from __future__ import annotations


class Log:
    """The output of an entrant: its beginning and its end, and how much there was."""

    def __init__(self, limit: int) -> None:
        self._room = max(limit // 2, 1)
        self._head, self._tail = bytearray(), bytearray()
        self.total = 0
        """Bytes that it wrote."""

    def add(self, data: bytes) -> None:
        """Take note of output."""
        self.total += len(data)
        space = self._room - len(self._head)
        self._head += data[:space]
        self._tail += data[space:]
        if len(self._tail) > self._room:
            del self._tail[: -self._room]

    def text(self) -> str:
        """Return what is kept, with a line in between that says how much is not."""
        head, tail = self._head.decode(errors="replace"), self._tail.decode(errors="replace")
        missing = self.total - len(self._head) - len(self._tail)
        return f"{head}\n[{missing} bytes left out]\n{tail}" if missing else head + tail
