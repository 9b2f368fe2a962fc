"""Event streams in every shape a provider can give them, judged by what the official SDK behind the client would see.

A whole answer arrives whole, in every combination of dialects, whatever the shape. An answer that is not whole never ends as
if it were: the client gets an HTTP error if nothing had begun, or exactly one error event and no terminal one.
"""

from __future__ import annotations

import gzip
import itertools
import json
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import pytest

from tests.hard.combine import COMBINATIONS, combinations
from tests.hard.live import IDLE_S, Live
from tests.hard.misbehaving import Play, Provider, Step, close, half_close, repeat, reset, send, sleep, turn, wait_gone
from tests.hard.raw_client import RawClient, Reply, request
from tests.hard.speech import (
    AUTH,
    ERROR_SHAPES,
    FINISH,
    FIRST_TEXT,
    LAST_CHUNK,
    PATHS,
    SDKS,
    STREAM_HEAD,
    STREAMS,
    TERMINAL,
    TEXT,
    USAGE,
    Line,
    Seen,
    ask,
    chunk,
    dumps,
    error_events,
    http,
)

Lines = Sequence[Line]


def stream(*pieces: bytes, end: bytes = LAST_CHUNK) -> bytes:
    """A chunked event stream, one HTTP chunk per piece."""
    return STREAM_HEAD + b"".join(chunk(piece) for piece in pieces) + end


def joined(lines: Lines) -> bytes:
    return b"".join(bytes(line) for line in lines)


class Shape(NamedTuple):
    name: str
    play: Callable[[Lines], Sequence[Step]]
    only: str = ""  # for this provider's format alone
    client: str = ""  # for this client alone: the SDK of the other cannot read the shape even from the provider itself


def plain(transform: Callable[[Lines], bytes]) -> Callable[[Lines], Sequence[Step]]:
    return lambda lines: [send(stream(transform(lines)))]


def between(extra: bytes) -> Callable[[Lines], Sequence[Step]]:
    """Something in front of every event."""
    return plain(lambda lines: b"".join(extra + bytes(line) for line in lines))


HALF = b'data: {"id": "x", "object": "chat.completion.chunk", "choices": [{"delta": {"content": \n\n'


def after_first(extra: bytes) -> Callable[[Lines], Sequence[Step]]:
    """Something behind the first event."""
    return plain(lambda lines: bytes(lines[0]) + extra + joined(lines[1:]))


def split_json(line: Line) -> bytes:
    """The data over several lines: a line break between two tokens of JSON means nothing."""
    pieces = line.data.replace(b", ", b",\n").split(b"\n")
    return (b"event: " + line.name + b"\n" if line.name else b"") + b"".join(b"data: " + piece + b"\n" for piece in pieces) + b"\n"


def name_last(line: Line) -> bytes:
    return b"data: " + line.data + b"\n" + (b"event: " + line.name + b"\n" if line.name else b"") + b"\n"


def one_by_one(data: bytes) -> list[Step]:
    return [send(STREAM_HEAD), *[send(chunk(data[at : at + 1])) for at in range(len(data))], send(LAST_CHUNK)]


def odd_pieces(data: bytes) -> list[Step]:
    """Chunks that end in the middle of letters, of line ends, of the chunk framing itself."""
    wire = STREAM_HEAD + b"".join(chunk(data[at : at + 7]) for at in range(0, len(data), 7)) + LAST_CHUNK
    return [send(wire[at : at + 11]) for at in range(0, len(wire), 11)]


def split_in_letters(lines: Lines) -> list[Step]:
    data = joined(lines)
    cuts = [at for at, byte in enumerate(data) if byte & 0xC0 == 0x80]
    edges = [0, *cuts, len(data)]
    return [
        send(STREAM_HEAD),
        *[step for a, b in itertools.pairwise(edges) for step in (send(chunk(data[a:b])), sleep(0.005))],
        send(LAST_CHUNK),
    ]


def large(lines: Lines) -> bytes:
    """An event of 10 MB in the middle: text that no SDK shows, for it is in a field of its own."""
    filler = b'"filler": "' + b"x" * 10_000_000 + b'", '
    middle = len(lines) // 2
    bulky = lines[middle].data.replace(b"{", b"{" + filler, 1)
    return joined([*lines[:middle], Line(bulky, lines[middle].name), *lines[middle + 1 :]])


def with_usage_everywhere(lines: Lines) -> bytes:
    return b"".join(
        bytes(line) if line.data == b"[DONE]" else bytes(Line(dumps(json.loads(line.data) | {"usage": USAGE}))) for line in lines
    )


def finish_first(lines: Lines) -> bytes:
    """The whole answer in one event, its finish reason included."""
    value = json.loads(lines[1].data)
    value["choices"][0] |= {"delta": {"role": "assistant", "content": TEXT}, "finish_reason": "stop"}
    return bytes(Line(dumps(value))) + b"data: [DONE]\n\n"


WHOLE = [
    Shape("one write per event", lambda lines: [send(STREAM_HEAD), *[send(chunk(bytes(line))) for line in lines], send(LAST_CHUNK)]),
    Shape("all in one write", plain(joined)),
    Shape("one byte per write", lambda lines: one_by_one(joined(lines))),
    Shape("pieces that end anywhere", lambda lines: odd_pieces(joined(lines))),
    Shape("split inside of letters", split_in_letters),
    Shape("CRLF", plain(lambda lines: joined(lines).replace(b"\n", b"\r\n"))),
    Shape("CR", plain(lambda lines: joined(lines).replace(b"\n", b"\r"))),
    Shape("CRLF, one byte per write", lambda lines: one_by_one(joined(lines).replace(b"\n", b"\r\n"))),
    Shape("CR, pieces that end anywhere", lambda lines: odd_pieces(joined(lines).replace(b"\n", b"\r"))),
    Shape(
        "line ends of all kinds",
        plain(lambda lines: b"".join(bytes(line).replace(b"\n", (b"\n", b"\r\n", b"\r")[n % 3]) for n, line in enumerate(lines))),
    ),
    Shape("a byte order mark", plain(lambda lines: b"\xef\xbb\xbf" + joined(lines))),
    Shape("a byte order mark, one byte per write", lambda lines: one_by_one(b"\xef\xbb\xbf" + joined(lines))),
    Shape("comments between events", between(b": ping\n\n")),
    Shape("comments inside events", between(b": note\n")),
    Shape("comments before the first event", plain(lambda lines: b": OPENROUTER PROCESSING\n\n" * 5 + joined(lines))),
    Shape("blank lines between events", between(b"\n\n\n")),
    Shape("half events that hold nothing of the answer", between(HALF)),
    Shape("a hundred events of rubbish in a row", after_first(b"data: {rubbish}\n\n" * 100)),
    Shape("unknown fields", between(b"id: 7\nretry: 3000\nfoo: bar\nbaz\n")),
    Shape("names without data between events", between(b"event: ping\n\n"), client="anthropic"),
    Shape("no blank behind colons", plain(lambda lines: joined(lines).replace(b"data: ", b"data:").replace(b"event: ", b"event:"))),
    Shape("data over several lines", plain(lambda lines: b"".join(split_json(line) for line in lines))),
    Shape("data over several lines, CRLF", plain(lambda lines: b"".join(split_json(line) for line in lines).replace(b"\n", b"\r\n"))),
    Shape("the name behind the data", plain(lambda lines: b"".join(name_last(line) for line in lines))),
    Shape("no names at all", plain(lambda lines: b"".join(bytes(Line(line.data)) for line in lines)), "anthropic", "openai"),
    Shape("no last blank line", plain(lambda lines: joined(lines)[:-1])),
    Shape("no last line end", plain(lambda lines: joined(lines)[:-2])),
    Shape("no terminal event", plain(lambda lines: joined(lines[:-1]))),
    Shape("no terminal event, cut", lambda lines: [send(stream(joined(lines[:-1]), end=b"")), close]),
    Shape("no terminal event, reset", lambda lines: [send(stream(joined(lines[:-1]), end=b"")), sleep(0.05), reset]),
    Shape(
        "nothing behind the finish reason, cut",
        lambda lines: [send(stream(*[bytes(x) for x in lines if x is not lines[-1]][: _finish(lines) + 1], end=b"")), close],
    ),
    Shape("the last chunk is missing", lambda lines: [send(stream(joined(lines), end=b"")), close]),
    Shape("the terminal event twice", plain(lambda lines: joined([*lines, lines[-1]]))),
    Shape("events behind the terminal one", plain(lambda lines: joined([*lines, lines[FIRST_TEXT["openai"] if len(lines) == 7 else 3]]))),
    Shape(
        "an error behind the terminal event",
        plain(
            lambda lines: joined(lines) + b'event: error\ndata: {"type": "error", "error": {"type": "api_error", "message": "late"}}\n\n'
        ),
    ),
    Shape("rubbish behind the terminal event", plain(lambda lines: joined(lines) + b"rubbish \xff\xfe\n{[")),
    Shape("Content-Length", lambda lines: [send(http(joined(lines), type=b"text/event-stream"))]),
    Shape("until the close", lambda lines: [send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n" + joined(lines)), close]),
    Shape(
        "HTTP/1.0 until the close",
        lambda lines: [send(b"HTTP/1.0 200 OK\r\ncontent-type: text/event-stream\r\n\r\n" + joined(lines)), half_close, wait_gone],
    ),
    Shape("gzip", lambda lines: [send(http(gzip.compress(joined(lines)), b"content-encoding: gzip", type=b"text/event-stream"))]),
    Shape(
        "gzip in pieces",
        lambda lines: [
            send(
                STREAM_HEAD.replace(b"\r\n\r\n", b"\r\ncontent-encoding: gzip\r\n\r\n")
                + b"".join(chunk(bytes([b])) for b in gzip.compress(joined(lines)))
                + LAST_CHUNK
            )
        ],
    ),
    Shape(
        "chunk extensions and trailers",
        lambda lines: [
            send(STREAM_HEAD + b"".join(b"%x;a=b\r\n%b\r\n" % (len(bytes(x)), bytes(x)) for x in lines) + b"0\r\nx-t: 1\r\n\r\n")
        ],
    ),
    Shape(
        "another content type",
        lambda lines: [send(stream(joined(lines)).replace(b"text/event-stream", b"Text/Event-Stream; charset=UTF-8"))],
    ),
    Shape("no content type", lambda lines: [send(stream(joined(lines)).replace(b"content-type: text/event-stream\r\n", b""))]),
    Shape(
        "informational replies before",
        lambda lines: [send(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nlink: x\r\n\r\n" + stream(joined(lines)))],
    ),
    Shape("an event of 10 MB", plain(large)),
    Shape("pings between events", plain(lambda lines: joined([x for line in lines for x in (line, lines[2])])), "anthropic"),
    Shape("objects that mean nothing", between(b'data: {"ping": true}\n\n'), "openai"),
    Shape("unknown events", between(b'event: surprise\ndata: {"type": "surprise", "x": [1]}\n\n'), "anthropic"),
    Shape("usage in every event", plain(with_usage_everywhere), "openai"),
    Shape("usage before the finish reason", plain(lambda lines: joined([*lines[:4], lines[5], lines[4], lines[6]])), "openai"),
    Shape("usage first", plain(lambda lines: joined([lines[5], *lines[:5], lines[6]])), "openai"),
    Shape("no usage", plain(lambda lines: joined([*lines[:5], lines[6]])), "openai"),
    Shape("the finish reason in the first event", plain(finish_first), "openai"),
    Shape("the finish reason with the last piece", plain(lambda lines: joined([*lines[:3], _with_finish(lines[3]), *lines[5:]])), "openai"),
]


def _vendor(lines: Lines) -> str:
    return "openai" if lines[-1].data == b"[DONE]" else "anthropic"


def _finish(lines: Lines) -> int:
    return FINISH[_vendor(lines)]


def damaged(at: int, *, extra: bool = False, cut: int = 5) -> Callable[[Lines], Sequence[Step]]:
    """A piece of text whose JSON lacks its end, in the place of the piece or before it; the rest as if nothing had happened."""

    def play(lines: Lines) -> Sequence[Step]:
        place = FIRST_TEXT[_vendor(lines)] + at
        line = lines[place]
        return [send(stream(joined([*lines[:place], Line(line.data[:-cut], line.name), *lines[place + (not extra) :]])))]

    return play


def _with_finish(line: Line) -> Line:
    value = json.loads(line.data)
    value["choices"][0]["finish_reason"] = "stop"
    return Line(dumps(value))


def spoken(shapes: Sequence[Shape]) -> pytest.MarkDecorator:
    """Every shape in every combination that its provider's format has."""
    cases = [(s, c, p) for s in shapes for c, p in COMBINATIONS if s.only in ("", p) and s.client in ("", c)]
    assert len({s.name for s in shapes}) == len(shapes)
    return pytest.mark.parametrize(("shape", "dialect", "target"), cases, ids=[f"{s.name}: {c} client, {p} provider" for s, c, p in cases])


def ask_for(client: RawClient, dialect: str, target: str, **more: object) -> Reply:
    client.send(request(PATHS[dialect], ask(dialect, target, stream=True, **more), AUTH, "x-request-id: stream-1"))
    return client.reply()


def see(dialect: str, reply: Reply) -> Seen:
    return SDKS[dialect](reply.body)


@spoken(WHOLE)
def test_a_whole_answer_arrives_whole(
    shape: Shape, dialect: str, target: str, gateway: Live, client: RawClient, provider: Provider
) -> None:
    provider.plays(Play(shape.play(STREAMS[target])))
    reply = ask_for(client, dialect, target)
    assert reply.status == 200, reply.body
    assert reply.whole
    assert (reply.header("content-type") or "").startswith("text/event-stream")
    assert reply.body.count(TERMINAL[dialect]) >= 1
    assert error_events(dialect, reply.body) == 0
    seen = see(dialect, reply)
    assert not seen.error
    assert seen.regular
    assert seen.text == TEXT
    provider.only()
    client.assert_usable()
    assert gateway.logged("stream-1")["outcome"] == "ok"


@combinations
def test_the_terminal_event_does_not_wait_for_the_end_of_the_body(dialect: str, target: str, client: RawClient, provider: Provider) -> None:
    """The provider says all and keeps its connection open: the client has everything at once all the same."""
    provider.plays(Play([send(stream(joined(STREAMS[target]), end=b"")), wait_gone]))
    client.send(request(PATHS[dialect], ask(dialect, target, stream=True), AUTH))
    client.socket.settimeout(0.5)
    client.read_until(TERMINAL[dialect])
    client.socket.settimeout(8)


# -- not whole


def judge_broken(dialect: str, reply: Reply, client: RawClient) -> None:
    """An HTTP error, or whole events followed by exactly one error event, properly framed; nothing that looks like an end."""
    if reply.status != 200:
        assert reply.status >= 400
        ERROR_SHAPES[dialect](reply.body)
        assert TERMINAL[dialect] not in reply.body
    else:
        assert reply.whole, "the stream was cut instead of ended"
        assert TERMINAL[dialect] not in reply.body, "an answer that is not whole ended like a whole one"
        assert error_events(dialect, reply.body) == 1, reply.body[-600:]
        last = reply.body.rstrip(b"\n").rpartition(b"\n\n")[2]
        assert b'"error"' in last, "something follows the error event"
        ERROR_SHAPES[dialect](last.partition(b"data: ")[2])
        seen = see(dialect, reply)
        assert seen.error, "the SDK saw no error"
        assert not seen.regular, "the SDK saw a regular end"
        assert TEXT.startswith(seen.text)
    if reply.closes:
        client.assert_closed()
    else:
        client.assert_usable()


Cut = tuple[str, Callable[[bytes], list[Step]]]
CUTS: list[Cut] = [
    ("closed", lambda data: [send(STREAM_HEAD + chunk(data)), close]),
    ("reset", lambda data: [send(STREAM_HEAD + chunk(data)), sleep(0.02), reset]),
    ("ended tidily", lambda data: [send(STREAM_HEAD + chunk(data) + LAST_CHUNK)]),
    ("closed inside of a chunk", lambda data: [send(STREAM_HEAD + chunk(data) + b"ff\r\ndata: {"), close]),
    ("closed inside of a chunk size", lambda data: [send(STREAM_HEAD + chunk(data) + b"f"), close]),
    ("followed by a bad chunk size", lambda data: [send(STREAM_HEAD + chunk(data) + b"xyz\r\n"), wait_gone]),
    (
        "shorter than its Content-Length",
        lambda data: [
            send(http(data, type=b"text/event-stream").replace(b"content-length: %d" % len(data), b"content-length: %d" % (len(data) + 5))),
            close,
        ],
    ),
    ("until the close", lambda data: [send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n" + data), close]),
    ("gzip, cut", lambda data: [send(http(gzip.compress(data)[:-6], b"content-encoding: gzip", type=b"text/event-stream"))]),
]


def cut_cases() -> list[object]:
    cases: list[object] = []
    for dialect, target in COMBINATIONS:
        for events in range(FINISH[target] + 1):
            for name, cut in CUTS:
                if events in (0, 1, FIRST_TEXT[target] + 1, FINISH[target]) or name in ("closed", "ended tidily"):
                    cases.append(
                        pytest.param(dialect, target, events, cut, id=f"{name} after {events}: {dialect} client, {target} provider")
                    )
    return cases


@pytest.mark.parametrize(("dialect", "target", "events", "cut"), cut_cases())
def test_an_answer_cut_after_any_event_is_never_taken_for_a_whole_one(
    dialect: str, target: str, events: int, cut: Callable[[bytes], list[Step]], gateway: Live, client: RawClient, provider: Provider
) -> None:
    provider.plays(Play(cut(joined(STREAMS[target][:events]))))
    reply = ask_for(client, dialect, target)
    judge_broken(dialect, reply, client)
    if events > FIRST_TEXT[target]:
        assert reply.status == 200
        assert b"Hello" in reply.body, "what had come was not delivered"
    assert gateway.logged("stream-1")["outcome"] in ("upstream_broke", "failed")


def half_cases() -> list[object]:
    cases: list[object] = []
    for dialect, target in COMBINATIONS:
        for event in range(FINISH[target] + 1):
            size = len(bytes(STREAMS[target][event]))
            for at, tidy in itertools.product(sorted({1, size // 3, size // 2, size - 3}), (False, True)):
                name = f"{dialect}-{target}-{event}-{at}-{'tidy' if tidy else 'cut'}"
                cases += [pytest.param(dialect, target, event, at, tidy, id=name)]
    return cases


@pytest.mark.parametrize(("dialect", "target", "event", "at", "tidy"), half_cases())
def test_half_an_event_is_never_delivered_and_its_answer_never_whole(
    dialect: str, target: str, event: int, at: int, tidy: bool, client: RawClient, provider: Provider
) -> None:
    data = joined(STREAMS[target][:event]) + bytes(STREAMS[target][event])[:at]
    provider.plays(Play([send(stream(data, end=LAST_CHUNK if tidy else b"")), *([] if tidy else [close])]))
    judge_broken(dialect, ask_for(client, dialect, target), client)


OPENAI_ERROR = b'data: {"error": {"message": "The server had an error", "type": "server_error", "param": null, "code": null}}\n\n'
ANTHROPIC_ERROR = b'event: error\ndata: {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}\n\n'
ERRORS = {"openai": OPENAI_ERROR, "anthropic": ANTHROPIC_ERROR}


def after_text(extra: bytes, *more: Step, end: bytes = LAST_CHUNK) -> Callable[[Lines], Sequence[Step]]:
    """Two pieces of text, then this."""
    return lambda lines: [send(stream(joined(lines[: (3 if len(lines) == 7 else 5)]) + extra, end=end)), *more]


def then_rest(extra: bytes) -> Callable[[Lines], Sequence[Step]]:
    """Two pieces of text, then this, then the rest as if nothing had happened."""

    def play(lines: Lines) -> Sequence[Step]:
        at = 3 if len(lines) == 7 else 5
        return [send(stream(joined(lines[:at]) + extra + joined(lines[at:])))]

    return play


def _both(play: Callable[[bytes], Callable[[Lines], Sequence[Step]]]) -> Callable[[Lines], Sequence[Step]]:
    return lambda lines: play(ERRORS["openai" if len(lines) == 7 else "anthropic"])(lines)


BROKEN = [
    Shape("an error event first", _both(lambda error: plain(lambda lines: error))),
    Shape("an error event first, then an answer", _both(lambda error: plain(lambda lines: error + joined(lines)))),
    Shape("an error event after the first", _both(lambda error: plain(lambda lines: bytes(lines[0]) + error))),
    Shape("an error event in the middle", _both(lambda error: after_text(error))),
    Shape(
        "an error event in the middle, then the terminal event",
        _both(lambda error: lambda lines: after_text(error + bytes(lines[-1]))(lines)),
    ),
    Shape("an error event in the middle, then the rest", _both(then_rest)),
    Shape("two error events", _both(lambda error: after_text(error * 2))),
    Shape("an error event and a reset", _both(lambda error: after_text(error, sleep(0.02), reset, end=b""))),
    Shape("an error event without its blank line", _both(lambda error: after_text(error[:-1]))),
    Shape("an error event with CRLF", _both(lambda error: after_text(error.replace(b"\n", b"\r\n")))),
    Shape("a named error event", then_rest(b"event: error\n" + OPENAI_ERROR), "openai"),
    Shape("an error that is text", then_rest(b'data: {"error": "out of memory"}\n\n'), "openai"),
    Shape("an error with a code", then_rest(b'data: {"error": {"code": 429, "message": "slow down"}}\n\n'), "openai"),
    Shape("an error without a message", then_rest(b'data: {"error": {"code": 500}}\n\n'), "openai"),
    Shape("an error event without an error", then_rest(b'event: error\ndata: {"type": "error"}\n\n'), "anthropic"),
    Shape("an error event of rubbish", then_rest(b"event: error\ndata: rubbish\n\n"), "anthropic"),
    Shape(
        "a finish reason that means failure",
        plain(lambda lines: joined([*lines[:3], Line(lines[4].data.replace(b'"stop"', b'"error"')), lines[6]])),
        "openai",
    ),
    Shape("the terminal event alone", plain(lambda lines: bytes(lines[-1]))),
    Shape("the terminal event before the finish reason", plain(lambda lines: joined([*lines[:4], lines[-1]]))),
    Shape(
        "pings without end", lambda lines: [send(STREAM_HEAD + chunk(joined(lines[: _finish(lines)]))), repeat(chunk(b": ping\n\n"), 0.05)]
    ),
    Shape(
        "ping events without end",
        lambda lines: [send(STREAM_HEAD + chunk(joined(lines[: _finish(lines)]))), repeat(chunk(bytes(lines[2])), 0.05)],
        "anthropic",
    ),
    Shape(
        "blank lines without end", lambda lines: [send(STREAM_HEAD + chunk(joined(lines[: _finish(lines)]))), repeat(chunk(b"\n"), 0.05)]
    ),
    Shape(
        "half an event without end",
        lambda lines: [send(STREAM_HEAD + chunk(joined(lines[: _finish(lines)]) + b"data: ")), repeat(chunk(b"x"), 0.05)],
    ),
    Shape("silence", lambda lines: [send(STREAM_HEAD + chunk(joined(lines[: _finish(lines)]))), wait_gone]),
    Shape("pings before anything, without end", lambda lines: [send(STREAM_HEAD), repeat(chunk(b": ping\n\n"), 0.05)]),
    Shape("a head and silence", lambda lines: [send(STREAM_HEAD), wait_gone]),
    Shape("first events and silence", lambda lines: [send(STREAM_HEAD + chunk(bytes(lines[0]))), wait_gone]),
    Shape(
        "a Content-Length and silence",
        lambda lines: [send(http(joined(lines), type=b"text/event-stream")[: -len(joined(lines)) // 2]), wait_gone],
    ),
    Shape(
        "a line of 20 MB", lambda lines: [send(STREAM_HEAD + chunk(joined(lines[:4])) + chunk(b"data: " + b"x" * 20_000_000)), wait_gone]
    ),
    Shape("a line of 20 MB first", lambda lines: [send(STREAM_HEAD + chunk(b"data: " + b"x" * 20_000_000)), wait_gone]),
    Shape("an empty body", lambda lines: [send(http(b"", type=b"text/event-stream"))]),
    Shape("an empty chunked body", lambda lines: [send(STREAM_HEAD + LAST_CHUNK)]),
    Shape("comments only", plain(lambda lines: b": ping\n\n" * 10)),
    Shape("blank lines only", plain(lambda lines: b"\n" * 100)),
    Shape("names without data only", plain(lambda lines: b"event: message_stop\n\n" * 3)),
    Shape("rubbish", plain(lambda lines: b"\x00\x01 rubbish \xff\xfe\n\n" * 3)),
    Shape("text", plain(lambda lines: b"upstream connect error or disconnect/reset before headers")),
    Shape("a JSON error", lambda lines: [send(http(b'{"error": {"message": "no", "type": "server_error", "param": null, "code": null}}'))]),
    Shape(
        "a JSON error that calls itself a stream",
        plain(lambda lines: b'{"error": {"message": "no", "type": "server_error", "param": null, "code": null}}'),
    ),
    Shape("an HTML page", lambda lines: [send(http(b"<html><body>Bad gateway</body></html>", type=b"text/html"))]),
    Shape("an HTML page that calls itself a stream", plain(lambda lines: b"<html><body>Bad gateway</body></html>")),
    Shape("a JSON null", lambda lines: [send(http(b"null"))]),
    Shape("events of other types", plain(lambda lines: b'data: null\n\ndata: 1\n\ndata: []\n\ndata: "x"\n\n')),
    Shape("half a JSON document in a delta", damaged(1)),
    Shape("half a JSON document in the first delta", damaged(0)),
    Shape("half a JSON document in a delta, then the whole one", damaged(1, extra=True)),
    Shape("a delta without its last bracket", damaged(1, cut=1)),
    Shape("more than a hundred events of rubbish in a row", after_first(b"data: {rubbish}\n\n" * 101)),
    Shape(
        "gzip that is broken in the middle",
        lambda lines: [send(http(_damaged(gzip.compress(joined(lines))), b"content-encoding: gzip", type=b"text/event-stream"))],
    ),
    Shape("gzip that is not", lambda lines: [send(stream(joined(lines)).replace(b"\r\n\r\n", b"\r\ncontent-encoding: gzip\r\n\r\n", 1))]),
    Shape(
        "an unknown encoding", lambda lines: [send(stream(joined(lines)).replace(b"\r\n\r\n", b"\r\ncontent-encoding: zstd\r\n\r\n", 1))]
    ),
]


def _damaged(data: bytes) -> bytes:
    return data[: len(data) // 2] + bytes(64) + data[len(data) // 2 + 64 :]


@spoken(BROKEN)
def test_a_broken_answer_is_never_taken_for_a_whole_one(
    shape: Shape, dialect: str, target: str, gateway: Live, client: RawClient, provider: Provider
) -> None:
    provider.plays(Play(shape.play(STREAMS[target])))
    reply = ask_for(client, dialect, target)
    judge_broken(dialect, reply, client)
    assert gateway.logged("stream-1")["outcome"] not in ("ok", "client_gone", None)
    gateway.wait(lambda: not gateway.waiting(), "no time limit to be left running")


@combinations
def test_an_error_before_the_answer_is_an_http_error_with_its_own_status(
    dialect: str, target: str, client: RawClient, provider: Provider
) -> None:
    error = b'data: {"error": {"message": "slow down", "type": "rate_limit_error", "param": null, "code": "rate_limit_exceeded"}}\n\n'
    if target == "anthropic":
        error = b'event: error\ndata: {"type": "error", "error": {"type": "rate_limit_error", "message": "slow down"}}\n\n'
    provider.says(stream(bytes(STREAMS[target][0]) + error))
    reply = ask_for(client, dialect, target)
    assert reply.status == 429
    assert "slow down" in ERROR_SHAPES[dialect](reply.body)["message"]


def test_pings_do_not_count_as_an_answer(client: RawClient, provider: Provider) -> None:
    """The idle limit, not the total one, ends a stream of pings."""
    lines = STREAMS["anthropic"]
    provider.plays(Play([send(STREAM_HEAD + chunk(joined(lines[:5]))), repeat(chunk(bytes(lines[2])), 0.03)]))
    began = time.monotonic()
    reply = ask_for(client, "anthropic", "anthropic")
    assert time.monotonic() - began < IDLE_S + 0.8
    judge_broken("anthropic", reply, client)


# -- no event held back


@combinations
@pytest.mark.parametrize("ends", [b"\n", b"\r\n", b"\r"], ids=["LF", "CRLF", "CR"])
def test_no_event_waits_for_the_next_one(dialect: str, target: str, ends: bytes, client: RawClient, provider: Provider) -> None:
    """The provider speaks on only once the client has what was said before: nothing here is measured by a clock."""
    lines = STREAMS[target]
    said = [("Hello", FIRST_TEXT[target]), (" wörld", FIRST_TEXT[target] + 1), (" ✓", FIRST_TEXT[target] + 2)]
    steps: list[Step] = [send(STREAM_HEAD)]
    start = 0
    for _, event in said:
        steps += [send(chunk(joined(lines[start : event + 1]).replace(b"\n", ends))), turn]
        start = event + 1
    provider.plays(Play([*steps, send(chunk(joined(lines[start:]).replace(b"\n", ends)) + LAST_CHUNK)]))
    client.send(request(PATHS[dialect], ask(dialect, target, stream=True), AUTH))
    client.socket.settimeout(0.5)  # less than the idle limit: the provider does not go on by itself
    for text, _ in said:
        try:
            client.read_until(text.encode())
        except TimeoutError:
            raise AssertionError(f"the event with {text!r} was held back") from None
        client.read_until(b"\n\n" if ends == b"\n" or dialect != target else ends * 2)
        provider.go()
    client.read_until(TERMINAL[dialect])


@combinations
def test_the_head_does_not_wait_for_more_than_the_first_meaningful_event(
    dialect: str, target: str, client: RawClient, provider: Provider
) -> None:
    lines = STREAMS[target]
    provider.plays(Play([send(STREAM_HEAD + chunk(joined(lines[: FIRST_TEXT[target] + 1]))), wait_gone]))
    client.send(request(PATHS[dialect], ask(dialect, target, stream=True), AUTH))
    client.socket.settimeout(0.5)
    assert client.head().status == 200
    client.read_until(b"Hello")
