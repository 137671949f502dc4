"""Names of files that belong to series."""

from __future__ import annotations

from hashlib import blake2b


def file_stem(chunk: str, index: int) -> str:
    """Return the name, without its ending, of the files of a recorded series: readable, and one of its own."""
    plain = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in chunk)
    tag = blake2b(chunk.encode(), digest_size=4).hexdigest()
    return f"{plain[:80].strip('-.')}-{tag}-{index + 1}"
