"""Names that callers give themselves or bring along: made fit for logs, metrics and every store."""

from __future__ import annotations

import hashlib

MAX_NAME = 128
_MARK = 32


def clean_name(text: str) -> str:
    """The name without space around it. What cannot be printed (control characters, bytes that are not UTF-8) is written as an
    escape. Of a name that is too long the beginning is kept, and a digest of the whole, so that two of them stay two."""
    text = text.strip()
    shown = text if text.isprintable() else "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    if len(shown) <= MAX_NAME:
        return shown
    mark = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_MARK]
    return f"{shown[: MAX_NAME - _MARK - 1]}~{mark}"
