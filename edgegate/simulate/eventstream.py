"""Amazon's event stream, as Bedrock writes it: length-prefixed frames with string headers and two checksums.

Written from the format's description, apart from the gateway's own reader, so that one can show an error of the other.
"""

from __future__ import annotations

import struct
import zlib

from edgegate.simulate.vendor import Event

_STRING = 7


def frame(event: Event) -> bytes:
    """One message: an event, or an exception where the event says so."""
    kind = "exception" if event.exception else "event"
    headers = _header(f":{kind}-type", event.name) + _header(":content-type", "application/json") + _header(":message-type", kind)
    payload = event.data.encode()
    prelude = struct.pack(">II", 12 + len(headers) + len(payload) + 4, len(headers))
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + payload
    return message + struct.pack(">I", zlib.crc32(message))


def _header(name: str, value: str) -> bytes:
    raw = value.encode()
    return bytes([len(name)]) + name.encode() + struct.pack(">BH", _STRING, len(raw)) + raw
