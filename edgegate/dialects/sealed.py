"""What one vendor must get back unchanged, kept by a client that only knows another vendor's fields for it.

Reasoning models want their signed or encrypted reasoning back with the next turn: Anthropic `thinking_blocks`, OpenAI's
Responses `reasoning_details`, Gemini `extra_content.google`. Each client format has one opaque place of its own that apps send
back untouched: `signature` of a thinking block, `encrypted_content` of a reasoning item, `thoughtSignature` of a part. A
*seal* packs the parts of the chat that belong to other vendors into such a place: base64 of `edgegate:` and a JSON object of
message fields. A seal is for the provider side that made its contents; no vendor is ever sent one.
"""

from __future__ import annotations

import base64
import binascii

import orjson

from edgegate.dialects.base import Json

_MARK = b"edgegate:"
SEAL = base64.b64encode(_MARK).decode()
"""What every seal begins with: nine bytes are twelve letters, so that whatever follows leaves them as they are."""


def seal(fields: Json) -> str:
    """Message fields of the chat, e.g. `{"thinking_blocks": [...]}`, as one opaque base64 string."""
    return base64.b64encode(_MARK + orjson.dumps(fields)).decode()


def unseal(text: object) -> Json | None:
    """The fields in a seal; None for anything else, such as a vendor's own signature, and for a seal that was damaged."""
    if not isinstance(text, str) or not text.startswith(SEAL):
        return None
    try:
        fields = orjson.loads(base64.b64decode(text, validate=True)[len(_MARK) :])
    except (binascii.Error, ValueError):
        return None
    return fields if isinstance(fields, dict) else None
