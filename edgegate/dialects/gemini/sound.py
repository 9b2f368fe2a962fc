"""Sound in replies. Gemini sends bare samples (`audio/L16;codec=pcm;rate=24000`), which is OpenAI's pcm16; a client that asked
for wav gets the 44 bytes of a WAV header before them."""

from __future__ import annotations

import base64
import binascii
import re
import struct
from typing import Any

from edgegate.dialects.base import Json
from edgegate.dialects.failure import bad_reply

_RATE = re.compile(r"rate=(\d{3,6})")
_BARE = ("audio/l16", "audio/pcm")
SAMPLES = "audio/L16;codec=pcm;rate=24000"
"""What Gemini's speech models answer with, and what OpenAI calls pcm16."""


def is_bare(media: str) -> bool:
    return media.lower().startswith(_BARE)


def sound_of(blobs: list[tuple[str, str]], form: Any) -> Json:
    """`data` of a message's audio from (media type, base64) parts, and its `format` where it is none that was asked for."""
    media, data = blobs[0]
    if not is_bare(media):
        return {"data": data, "format": media.partition("/")[2]}
    if form != "wav" and len(blobs) == 1:
        return {"data": data}
    try:
        samples = b"".join([base64.b64decode(data, validate=True) for _, data in blobs])
    except binascii.Error:
        raise bad_reply("Gemini's reply holds sound that is not base64") from None
    if form == "wav":
        found = _RATE.search(media)
        rate = int(found[1]) if found else 24000
        head = struct.pack(
            "<4sI8sIHHIIHH4sI", b"RIFF", 36 + len(samples), b"WAVEfmt ", 16, 1, 1, rate, rate * 2, 2, 16, b"data", len(samples)
        )
        samples = head + samples
    return {"data": base64.b64encode(samples).decode()}
