"""Writes the events of a Responses stream: `event: <type>` and its data, each with the next sequence number."""

from __future__ import annotations

from typing import Any

import orjson


class Events:
    """`written` gathers bytes until `taken`. The frequent event, a piece of text, is made from a prefix and a suffix."""

    __slots__ = ("_number", "written")

    def __init__(self) -> None:
        self._number = 0
        self.written: list[bytes] = []

    def say(self, name: str, **fields: Any) -> None:
        data = orjson.dumps({"type": name, **fields, "sequence_number": self._number})
        self._number += 1
        self.written.append(b"event: %b\ndata: %b\n\n" % (name.encode(), data))

    def piece(self, head: bytes, text: str, tail: bytes) -> None:
        """An event whose data is `head`, the text, `tail` (see `delta_head`) and the sequence number."""
        self.written.append(b'%b%b%b,"sequence_number":%d}\n\n' % (head, orjson.dumps(text), tail, self._number))
        self._number += 1

    def taken(self) -> bytes:
        out = b"".join(self.written)
        self.written.clear()
        return out


def delta_head(name: str, **place: Any) -> bytes:
    """What stands before the text of a delta event."""
    data = orjson.dumps({"type": name, **place})
    return b"event: %b\ndata: %b" % (name.encode(), data[:-1] + b',"delta":')
