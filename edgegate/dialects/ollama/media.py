"""Images as Ollama's clients send them: base64 without a word about the format, which other providers must be told."""

from __future__ import annotations

import base64
import binascii

_SIGNATURES = (
    (0, b"\x89PNG", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF8", "image/gif"),
    (8, b"WEBP", "image/webp"),
    (0, b"BM", "image/bmp"),
    (0, b"II*\0", "image/tiff"),
    (0, b"MM\0*", "image/tiff"),
    (4, b"ftypavif", "image/avif"),
    (4, b"ftyphei", "image/heic"),
    (4, b"ftypmif1", "image/heif"),
)
"""Where in a file of each format which bytes are."""


def media_type(data: str) -> str:
    """The media type of a picture by its first bytes; PNG where they say nothing."""
    try:
        head = base64.b64decode(data[:24], validate=True)
    except (binascii.Error, ValueError):
        return "image/png"
    return next((media for at, mark, media in _SIGNATURES if head[at : at + len(mark)] == mark), "image/png")


def image_url(image: str) -> str:
    """A `data:` URL. Some clients send one already, against the rules."""
    return image if image.startswith("data:") else f"data:{media_type(image)};base64,{image}"
