"""One field of a `multipart/form-data` body (RFC 7578): found, and replaced, without touching the rest.

Uploads (audio to transcribe, images to edit) name their model in a form field; routing needs it, and an alias has to be
replaced by what the provider calls it. Everything else, files included, goes on byte for byte.
"""

from __future__ import annotations

import re

MAX_FIELDS = 64
"""Fields looked through. The model stands among the first few; SDKs write files last or first, never dozens of them."""

_BOUNDARY = re.compile(r'multipart/form-data\s*;(?:[^"]*;)?\s*boundary=(?:"([^"\r\n]{1,200})"|([^\s;"]{1,200}))', re.IGNORECASE)
_NAME = re.compile(rb';\s*name=(?:"([^"\r\n]*)"|([^\s;"]+))', re.IGNORECASE)


def boundary_of(content_type: str) -> bytes | None:
    """The boundary in a content type, or None for other types."""
    found = _BOUNDARY.match(content_type)
    return (found[1] or found[2]).encode("latin-1") if found is not None else None


def field_span(body: bytes, boundary: bytes, name: str) -> tuple[int, int] | None:
    """Where the value of the first field of this name stands in the body, or None."""
    mark = b"--" + boundary
    wanted = name.encode()
    at = 0 if body.startswith(mark) else body.find(b"\r\n" + mark) + 2
    if at == 1:
        return None
    for _ in range(MAX_FIELDS):
        head = at + len(mark)
        if not body.startswith(b"\r\n", head):  # `--` ends the body; anything else is no multipart
            return None
        value = body.find(b"\r\n\r\n", head)
        end = body.find(b"\r\n" + mark, value + 2)
        if value < 0 or end < 0:
            return None
        for line in body[head:value].split(b"\r\n"):
            if line.lower().startswith(b"content-disposition:"):
                found = _NAME.search(line)
                if found is not None and (found[1] or found[2]) == wanted:
                    return value + 4, max(end, value + 4)
        at = end + 2
    return None
