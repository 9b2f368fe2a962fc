"""What the simulated model says of an image that it got: the media type that its bytes show, and how many bytes there are.

The type is read from the bytes, as not every format names one, so that the same image is described alike by every vendor.
"""

from __future__ import annotations

import base64
import binascii

_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"%PDF-", "application/pdf"),
)


def of_base64(data: str, declared: str = "") -> str:
    """`image/png, 68 bytes`. The declared type stands where the bytes show none."""
    try:
        raw = base64.b64decode(data)
    except (binascii.Error, ValueError):
        raw = b"?" * (len(data) * 3 // 4)
    return f"{_shown(raw) or declared or 'unknown type'}, {len(raw)} bytes"


def of_url(url: str) -> str:
    """A data URL as what is in it; any other as itself."""
    if url.startswith("data:"):
        head, _, data = url[5:].partition(",")
        return of_base64(data, head.partition(";")[0])
    return url if len(url) <= 200 else url[:199] + "…"


def _shown(raw: bytes) -> str:
    if raw.startswith(b"RIFF") and raw[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for magic, kind in _MAGIC if raw.startswith(magic)), "")
