"""Shapes an event stream can have: a name, the bytes, the events they mean, and what is left when the stream ends there.

Written from the WHATWG specification (HTML, section "Server-sent events") and from what providers send. `rest` is the one
place where edgegate differs from the specification: it hands out a last event whose blank line never came, through
`EventReader.end()`.
"""

from __future__ import annotations

from typing import NamedTuple

from edgegate.wire.sse import Event


class Shape(NamedTuple):
    name: str
    stream: bytes
    events: tuple[Event, ...] = ()
    rest: tuple[Event, ...] = ()


def data(*values: bytes) -> tuple[Event, ...]:
    """Events without a name."""
    return tuple(Event(b"", value) for value in values)


SHAPES: tuple[Shape, ...] = (
    # nothing to dispatch
    Shape("empty stream", b""),
    Shape("a single line feed", b"\n"),
    Shape("a single carriage return", b"\r"),
    Shape("a single CRLF", b"\r\n"),
    Shape("blank lines only", b"\n\n\r\n\r\r\n"),
    Shape("a comment", b": keep-alive\n\n"),
    Shape("an empty comment", b":\n\n"),
    Shape("a comment with CRLF", b": ping - 2026-11-01 00:00:00\r\n\r\n"),
    Shape("a name without data", b"event: ping\n\n"),
    Shape("an id without data", b"id: 7\n\n"),
    Shape("a retry without data", b"retry: 3000\n\n"),
    Shape("a byte order mark alone", b"\xef\xbb\xbf"),
    Shape("a byte order mark and a blank line", b"\xef\xbb\xbf\n"),
    # line ends
    Shape("LF", b"data: a\n\ndata: b\n\n", data(b"a", b"b")),
    Shape("CRLF", b"data: a\r\n\r\ndata: b\r\n\r\n", data(b"a", b"b")),
    Shape("CR", b"data: a\r\rdata: b\r\r", data(b"a", b"b")),
    Shape("LF then CRLF", b"data: a\n\r\ndata: b\n\r\n", data(b"a", b"b")),
    Shape("CRLF then LF", b"data: a\r\n\ndata: b\r\n\n", data(b"a", b"b")),
    Shape("CR then LF is one line end", b"data: a\r\ndata: b\n\n", data(b"a\nb")),
    Shape("LF then CR is two line ends", b"data: a\n\rdata: b\n\r", data(b"a", b"b")),
    Shape("CR then CRLF", b"data: a\r\r\ndata: b\r\r\n", data(b"a", b"b")),
    Shape("many blank lines between events", b"data: a\n\n\n\n\ndata: b\n\n\n\n", data(b"a", b"b")),
    Shape("an odd number of blank lines", b"data: a\n\n\ndata: b\n\n\n", data(b"a", b"b")),
    Shape("blank lines in front", b"\n\n\ndata: a\n\n", data(b"a")),
    Shape("one blank line in front", b"\ndata: a\n\n", data(b"a")),
    Shape("CRLF in front", b"\r\ndata: a\r\n\r\n", data(b"a")),
    # byte order marks
    Shape("a byte order mark in front", b"\xef\xbb\xbfdata: a\n\n", data(b"a")),
    Shape("a second byte order mark belongs to the field's name", b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\n"),
    Shape("a byte order mark before a later event belongs to the field's name", b"data: a\n\n\xef\xbb\xbfdata: b\n\n", data(b"a")),
    Shape("a byte order mark in a value", b"data: \xef\xbb\xbfa\n\n", data(b"\xef\xbb\xbfa")),
    Shape("half a byte order mark", b"\xef\xbbdata: a\n\n"),
    # the data field
    Shape("no blank after the colon", b"data:a\n\n", data(b"a")),
    Shape("only the first blank goes", b"data:  a \n\n", data(b" a ")),
    Shape("a tab stays", b"data:\ta\n\n", data(b"\ta")),
    Shape("data without colon", b"data\n\n", data(b"")),
    Shape("data with colon and nothing else", b"data:\n\n", data(b"")),
    Shape("data with a blank and nothing else", b"data: \n\n", data(b"")),
    Shape("data without colon, twice", b"data\ndata\n\n", data(b"\n")),
    Shape("several lines of data", b"data: YHOO\ndata: +2\ndata: 10\n\n", data(b"YHOO\n+2\n10")),
    Shape("several lines of data with CRLF", b"data: YHOO\r\ndata: +2\r\ndata: 10\r\n\r\n", data(b"YHOO\n+2\n10")),
    Shape("an empty line of data first", b"data:\ndata: a\n\n", data(b"\na")),
    Shape("colons in the value", b'data: {"a": "b:c"}\n\n', data(b'{"a": "b:c"}')),
    Shape("field names are case-sensitive", b"Data: a\nDATA: b\n\n"),
    Shape("a blank before the field's name", b" data: a\n\n"),
    Shape("a blank before the colon", b"data : a\n\n"),
    Shape("letters outside ASCII", "data: naïve 日本 🙂\n\n".encode(), data("naïve 日本 🙂".encode())),
    Shape("bytes that are not UTF-8", b"data: \xff\xfe\n\n", data(b"\xff\xfe")),
    Shape("a null byte", b"data: a\x00b\n\n", data(b"a\x00b")),
    Shape("line separators of Unicode are no line ends", "data: a\u2028b\u0085c\n\n".encode(), data("a\u2028b\u0085c".encode())),
    Shape("form feed and vertical tab are no line ends", b"data: a\x0cb\x0bc\n\n", data(b"a\x0cb\x0bc")),
    # names and other fields
    Shape("a name before the data", b"event: add\ndata: 1\n\n", (Event(b"add", b"1"),)),
    Shape("a name after the data", b"data: 1\nevent: add\n\n", (Event(b"add", b"1"),)),
    Shape("no blank in either field", b"event:add\ndata:1\n\n", (Event(b"add", b"1"),)),
    Shape("a name with data but no blank", b"event: add\ndata:1\n\n", (Event(b"add", b"1"),)),
    Shape("a name and several lines of data", b"event: add\ndata: 1\ndata: 2\n\n", (Event(b"add", b"1\n2"),)),
    Shape("the last name wins", b"event: a\nevent: b\ndata: 1\n\n", (Event(b"b", b"1"),)),
    Shape("an empty name takes a name back", b"event: a\nevent\ndata: 1\n\n", data(b"1")),
    Shape("a name does not reach the next event", b"event: a\ndata: 1\n\ndata: 2\n\n", (Event(b"a", b"1"), Event(b"", b"2"))),
    Shape("a name without data does not reach the next event", b"event: a\n\ndata: 2\n\n", data(b"2")),
    Shape("id and retry beside data", b"id: 1\nretry: 10\ndata: a\nid\n\n", data(b"a")),
    Shape("unknown fields", b"foo: bar\ndata: a\nbaz\n\n", data(b"a")),
    Shape("a field between name and data", b"event: a\nid: 4\ndata: 1\n\n", (Event(b"a", b"1"),)),
    Shape("a field that begins like data", b"data-x: b\ndata: a\ndatum: c\n\n", data(b"a")),
    Shape("a comment inside an event", b"data: a\n: note\ndata: b\n\n", data(b"a\nb")),
    Shape("a comment before data", b": OPENROUTER PROCESSING\ndata: a\n\n", data(b"a")),
    Shape("comments between events", b"data: a\n\n: ping\n\n:\n\ndata: b\n\n", data(b"a", b"b")),
    # a stream that ends without its last blank line
    Shape("no last blank line", b"data: a\n\ndata: b\n", data(b"a"), data(b"b")),
    Shape("no last line end", b"data: a\n\ndata: b", data(b"a"), data(b"b")),
    Shape("no last blank line with CRLF", b"data: a\r\n\r\ndata: b\r\n", data(b"a"), data(b"b")),
    Shape("a name alone at the end", b"data: a\n\nevent: b\n", data(b"a")),
    Shape("a comment alone at the end", b"data: a\n\n: bye", data(b"a")),
    Shape("half a field's name at the end", b"data: a\n\ndat", data(b"a")),
    Shape("the specification's example", b"data\n\ndata\ndata\n\ndata:", data(b"", b"\n"), data(b"")),
    # as providers write them
    Shape("OpenAI", b'data: {"choices":[]}\n\ndata: [DONE]\n\n', data(b'{"choices":[]}', b"[DONE]")),
    Shape("Gemini", b'data: {"candidates": []}\r\n\r\n', data(b'{"candidates": []}')),
    Shape(
        "Anthropic",
        b'event: ping\ndata: {"type": "ping"}\n\nevent: message_stop\ndata: {"type":"message_stop"    }\n\n',
        (Event(b"ping", b'{"type": "ping"}'), Event(b"message_stop", b'{"type":"message_stop"    }')),
    ),
)
