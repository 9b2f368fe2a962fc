"""Faults of a provider, seen by clients of every other dialect.

Before the first byte of an answer a fault is a plain HTTP error in the client's own shape. After it, the stream ends with one
explicit error of the dialect, never with what ends a whole answer, and its framing stays whole: no half event, no half line, an
array that is JSON.
"""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import pytest

from tests.hard.live import Live
from tests.hard.many import many, served
from tests.hard.misbehaving import Play, Provider, Step, close, reset, send, sleep, wait_gone
from tests.hard.raw_client import RawClient, Reply
from tests.hard.speech import chunk, dumps, http
from tests.hard.tongues import STREAMING, SURFACES, Told, said, told
from tests.hard.vendors import ARGUMENTS, TEXT, VENDORS, WORDS, Vendor, frame, sse

HOME = {"chat": "openai", "azure": "openai", "messages": "anthropic"}
PAIRS = [(surface, vendor) for surface in STREAMING for vendor in VENDORS if HOME.get(surface) != vendor]
pairs = pytest.mark.parametrize(("surface", "target"), PAIRS, ids=[f"{s} client, {v} provider" for s, v in PAIRS])
each_vendor = pytest.mark.parametrize("target", list(VENDORS))


@pytest.fixture(scope="module")
def _many(_provider: Provider) -> Iterator[Live]:
    live = Live(many(_provider.port))
    yield live
    live.close()


@pytest.fixture
def gateway(_many: Live, provider: Provider) -> Iterator[Live]:
    with served(_many, provider) as live:
        yield live


class Fault(NamedTuple):
    """begun: whether some of the answer has reached the client before, so that its error comes inside of a stream; None: maybe."""

    name: str
    steps: Callable[[Vendor], Sequence[Step]]
    begun: bool | None = True
    words: str = ""
    only: tuple[str, ...] = tuple(VENDORS)


def mid(vendor: Vendor) -> bytes:
    """Some text of an answer, and no more."""
    return b"".join(vendor.text[: vendor.mid])


def rest(vendor: Vendor) -> bytes:
    return b"".join(vendor.text[vendor.mid :])


def in_call(vendor: Vendor) -> bytes:
    """All up to the inside of a call's arguments; half a piece where calls come whole."""
    data = b"".join(vendor.call[: vendor.in_call])
    if vendor.name == "gemini":
        data += vendor.call[vendor.in_call].partition(b"Par")[0]
    return data


def open_chunk(vendor: Vendor, data: bytes) -> bytes:
    return vendor.stream(data, end=b"")


PAGE = http(b"<html><body>502 Bad Gateway</body></html>", type=b"text/html")
SSE = ("openai", "anthropic", "gemini")
EVENTS = ("bedrock",)
FAULTS = [
    Fault("cut before the head", lambda v: [close], begun=False),
    Fault("reset before the head", lambda v: [reset], begun=False),
    Fault("cut behind the head", lambda v: [send(v.head()), close], begun=False),
    Fault("an empty stream", lambda v: [send(v.head() + b"0\r\n\r\n")], begun=False),
    Fault("cut after some text", lambda v: [send(open_chunk(v, mid(v))), close]),
    Fault("reset after some text", lambda v: [send(open_chunk(v, mid(v))), sleep(0.02), reset]),
    Fault("ended tidily without a finish", lambda v: [send(v.stream(mid(v)))]),
    Fault("half a piece, then the end", lambda v: [send(v.stream(mid(v) + v.text[v.mid][: len(v.text[v.mid]) // 2]))]),
    Fault("all but the finish", lambda v: [send(v.stream(b"".join(v.text[: v.finish - 1]))), close]),
    Fault("cut inside of a call", lambda v: [send(open_chunk(v, in_call(v))), close]),
    Fault("ended tidily inside of a call", lambda v: [send(v.stream(in_call(v)))]),
    Fault("an error event first", lambda v: [send(v.stream(v.error))], begun=False, words=WORDS),
    Fault("an error event after some text", lambda v: [send(v.stream(mid(v) + v.error))], words=WORDS),
    Fault("an error event, then the rest", lambda v: [send(v.stream(mid(v) + v.error + rest(v)))], words=WORDS),
    Fault("an error event inside of a call", lambda v: [send(v.stream(b"".join(v.call[: v.in_call]) + v.error))], words=WORDS),
    Fault("an error hidden in a 200", lambda v: [send(http(v.hidden))], begun=False, words=WORDS),
    Fault("an error hidden in a stream's 200", lambda v: [send(v.stream(v.hidden))], begun=False, words="", only=SSE),
    Fault("an HTML page", lambda v: [send(PAGE)], begun=False),
    Fault("an HTML page that calls itself a stream", lambda v: [send(v.stream(b"<html>no</html>"))], begun=False),
    Fault("rubbish after some text", lambda v: [send(v.stream(mid(v) + b"\x00\xff rubbish \xfe" * 9))]),
    Fault("a gzip bomb", lambda v: [send(http(_bomb(), b"content-encoding: gzip", type=v.type))], begun=False),
    Fault("gzip that is cut", lambda v: [send(http(_cut(v), b"content-encoding: gzip", type=v.type))], begun=None),
    Fault("an event that is not JSON", lambda v: [send(v.stream(mid(v) + v.rubbish() + rest(v)))], only=SSE),
    Fault("an event that is not JSON first", lambda v: [send(v.stream(v.rubbish() + mid(v) + rest(v)))], begun=False, only=SSE),
    Fault("an event that is not JSON, in the place of the finish", lambda v: [send(v.stream(mid(v) + v.rubbish()))], only=SSE),
    Fault("an event of 20 MB", lambda v: [send(v.stream(mid(v) + v.long(20 << 20))), wait_gone], only=SSE),
    Fault("an event of 30 MB", lambda v: [send(v.stream(mid(v) + v.long(30 << 20))), wait_gone], only=EVENTS),
    Fault(
        "a line without end",
        lambda v: [send(v.head() + chunk(mid(v) + b"data: ")), *[send(chunk(b"x" * (1 << 20)))] * 17, wait_gone],
        only=SSE,
    ),
    Fault("a wrong checksum", lambda v: [send(v.stream(mid(v) + v.rubbish() + rest(v)))], only=EVENTS),
    Fault("a wrong checksum first", lambda v: [send(v.stream(v.rubbish() + mid(v) + rest(v)))], begun=False, only=EVENTS),
    Fault(
        "an error frame",
        lambda v: [send(v.stream(mid(v) + frame("InternalError", {"message": WORDS}, "error")))],
        words=WORDS,
        only=EVENTS,
    ),
    Fault(
        "a throttling exception",
        lambda v: [send(v.stream(mid(v) + frame("throttlingException", {"message": WORDS}, "exception") + rest(v)))],
        words=WORDS,
        only=EVENTS,
    ),
    Fault("a frame of 2 GB", lambda v: [send(v.stream(mid(v) + b"\x7f\xff\xff\xff\0\0\0\0" + b"x" * 100))], only=EVENTS),
]


def _bomb() -> bytes:
    return gzip.compress(b": \n" * 12_000_000, 1)


def _cut(vendor: Vendor) -> bytes:
    return gzip.compress(b"".join(vendor.text[: vendor.finish - 1]))[:-9]


def ask(client: RawClient, surface: str, target: str, *headers: str) -> Reply:
    client.send(SURFACES[surface].ask(VENDORS[target].model, *headers, stream=True))
    return client.reply()


def judge(surface: str, fault: Fault, reply: Reply) -> Told | None:
    """A plain HTTP error, or a stream that ends with one error and not as a whole answer does."""
    if fault.begun is False or reply.status != 200:
        assert fault.begun is not True or "call" in fault.name, f"a plain error although some of the answer had come: {reply.body[:300]!r}"
        words = said(SURFACES[surface].dialect, reply)
        assert reply.status >= 500, reply.status
        assert reply.header("x-edgegate-error-source") == "provider"
        assert fault.words in words
        return None
    seen = told(surface, reply)
    assert seen.ends == 0, f"a broken answer ended like a whole one: {reply.body[-400:]!r}"
    assert len(seen.errors) == 1, f"{len(seen.errors)} errors were told: {reply.body[-600:]!r}"
    assert seen.last_is_error, "something follows the error"
    assert fault.words in seen.errors[0]
    assert TEXT.startswith(seen.text) or "call" in fault.name
    return seen


@pytest.mark.parametrize("fault", FAULTS, ids=[fault.name for fault in FAULTS])
@each_vendor
def test_a_broken_answer_is_never_taken_for_a_whole_one(fault: Fault, target: str, gateway: Live, provider: Provider) -> None:
    """Through every client dialect, one after the other on one connection as long as that is kept."""
    vendor = VENDORS[target]
    if target not in fault.only:
        pytest.skip("a fault of another framing")
    failures = []
    client = RawClient(gateway.port)
    steps = fault.steps(vendor)
    for surface, name in PAIRS:
        if name != target:
            continue
        provider.plays(Play(steps))
        reply = ask(client, surface, target, f"x-request-id: {surface.replace(' ', '-')}")
        try:
            seen = judge(surface, fault, reply)
            if seen is not None and fault.begun and "call" not in fault.name:
                assert seen.text, "what had come was not delivered"
            outcome = gateway.logged(surface.replace(" ", "-"))["outcome"]
            assert outcome in ("upstream_broke", "failed"), outcome
            if not reply.closes:
                client.assert_usable()
        except (AssertionError, ValueError, KeyError) as failure:
            failures.append(f"{surface}: {failure!r}"[:1500])
            reply.headers.append(("connection", "close"))
        if reply.closes:
            client.socket.close()
            client = RawClient(gateway.port)
    client.socket.close()
    assert not failures, "\n".join(failures)


# -- whole, if odd

TOLD_END = ("openai", "anthropic", "bedrock")
"""Whose streams have an end of their own, after which nothing counts. Gemini's goes on as long as there is something."""

AFTER_END: list[Callable[[Vendor], Sequence[Step]]] = [
    lambda v: [send(v.stream(b"".join(v.text) + v.error))],
    lambda v: [send(v.stream(b"".join(v.text) * 2))],
]
ODD: list[tuple[str, Callable[[Vendor], Sequence[Step]]]] = [
    ("as it should be", lambda v: [send(v.stream(b"".join(v.text)))]),
    ("one byte at a time", lambda v: [send(v.head() + b"".join(b"1\r\n%c\r\n" % b for b in b"".join(v.text)) + b"0\r\n\r\n")]),
    ("cut behind the finish", lambda v: [send(open_chunk(v, b"".join(v.text[: v.finish]))), close]),
    ("rubbish behind the end", lambda v: [send(v.stream(b"".join(v.text) + b"\x00\xff rubbish \xfe" * 9))]),
    ("an error behind the end", AFTER_END[0]),
    ("the whole answer twice", AFTER_END[1]),
    ("gzip", lambda v: [send(http(gzip.compress(b"".join(v.text)), b"content-encoding: gzip", type=v.type))]),
]


@pytest.mark.parametrize("steps", [steps for _, steps in ODD], ids=[name for name, _ in ODD])
@each_vendor
def test_a_whole_answer_arrives_whole_in_every_dialect(
    steps: Callable[[Vendor], Sequence[Step]], target: str, gateway: Live, provider: Provider
) -> None:
    if steps in AFTER_END and target not in TOLD_END:
        pytest.skip("what follows is part of the answer")
    failures = []
    with RawClient(gateway.port) as client:
        for surface, name in PAIRS:
            if name != target:
                continue
            provider.plays(Play(steps(VENDORS[target])))
            reply = ask(client, surface, target)
            try:
                seen = told(surface, reply)
                assert seen.text == TEXT, seen.text
                assert (seen.ends, seen.errors) == (1, ()), (seen, reply.body[-300:])
                client.assert_usable()
            except (AssertionError, ValueError, KeyError) as failure:
                failures.append(f"{surface}: {failure!r}"[:1500])
    assert not failures, "\n".join(failures)


@each_vendor
def test_a_call_arrives_whole_in_every_dialect(target: str, gateway: Live, provider: Provider) -> None:
    with RawClient(gateway.port) as client:
        for surface, name in PAIRS:
            if name == target and surface != "ollama generate":
                provider.plays(Play([send(VENDORS[target].stream(b"".join(VENDORS[target].call)))]))
                seen = told(surface, ask(client, surface, target))
                assert json.loads(seen.arguments) == json.loads(ARGUMENTS), surface
                assert (seen.ends, seen.errors) == (1, ()), surface


PLAIN: list[tuple[str, Callable[[Vendor], Sequence[Step]], str]] = [
    ("cut before the head", lambda v: [close], ""),
    ("a body that is cut", lambda v: [send(http(v.whole)[:-20]), close], ""),
    ("half a document", lambda v: [send(http(v.whole[:-20]))], ""),
    ("an error hidden in a 200", lambda v: [send(http(v.hidden))], WORDS),
    ("an HTML page", lambda v: [send(PAGE)], ""),
    ("an empty body", lambda v: [send(http(b""))], ""),
    ("an empty object", lambda v: [send(http(b"{}"))], ""),
    ("null", lambda v: [send(http(b"null"))], ""),
    ("a stream that nobody asked for", lambda v: [send(v.stream(b"".join(v.text)))], ""),
    ("a gzip bomb", lambda v: [send(http(_bomb(), b"content-encoding: gzip"))], ""),
    ("a redirect", lambda v: [send(http(b"", b"location: /other", status=b"302 Found"))], ""),
    ("an error of its own", lambda v: [send(http(v.hidden, status=b"500 Oops"))], WORDS),
    ("a page with 503", lambda v: [send(http(b"<html>", status=b"503 Busy", type=b"text/html"))], ""),
]
ANSWERED = ("chat", "azure", "responses", "messages", "gemini", "gemini v1", "vertex", "ollama chat", "ollama generate", "cohere chat")


@pytest.mark.parametrize(("steps", "words"), [(steps, words) for _, steps, words in PLAIN], ids=[name for name, _, _ in PLAIN])
@each_vendor
def test_a_fault_of_a_plain_answer_is_an_error_of_the_clients_dialect(
    steps: Callable[[Vendor], Sequence[Step]], words: str, target: str, gateway: Live, provider: Provider
) -> None:
    failures = []
    with RawClient(gateway.port) as client:
        for surface in ANSWERED:
            provider.plays(Play(steps(VENDORS[target])))
            client.send(SURFACES[surface].ask(VENDORS[target].model))
            reply = client.reply()
            try:
                assert words in said(SURFACES[surface].dialect, reply)
                assert reply.status >= 500
                assert reply.header("x-edgegate-error-source") == "provider"
                client.assert_usable()
            except (AssertionError, ValueError, KeyError) as failure:
                failures.append(f"{surface}: {failure!r}"[:800])
    assert not failures, "\n".join(failures)


STATUSES = {
    400: b"400 Bad",
    401: b"401 No",
    403: b"403 No",
    404: b"404 No",
    413: b"413 Large",
    429: b"429 Slow",
    500: b"500 Oops",
    529: b"529 Busy",
}


@each_vendor
@pytest.mark.parametrize("status", list(STATUSES))
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_a_providers_status_and_words_reach_every_dialect(
    stream: bool, status: int, target: str, gateway: Live, provider: Provider
) -> None:
    with RawClient(gateway.port) as client:
        for surface in STREAMING:
            if surface == "gemini array" and not stream:
                continue
            provider.says(http(VENDORS[target].refusal(status), b"retry-after: 7", status=STATUSES[status]))
            client.send(SURFACES[surface].ask(VENDORS[target].model, stream=stream))
            reply = client.reply()
            assert reply.status == status, surface
            assert WORDS in said(SURFACES[surface].dialect, reply), surface
            if status == 429:
                assert reply.header("retry-after") == "7"
            client.assert_usable()


@pairs
def test_an_event_of_10_mb_is_delivered(surface: str, target: str, gateway: Live, client: RawClient, provider: Provider) -> None:
    if surface not in ("gemini array", "ollama chat") and (surface, target) != ("responses", "openai"):
        pytest.skip("the same code as for the others")
    vendor = VENDORS[target]
    size = 10_000_000
    provider.says(vendor.stream(mid(vendor) + vendor.long(size) + rest(vendor)))
    seen = told(surface, ask(client, surface, target))
    assert len(seen.text) == len(TEXT) + size
    assert (seen.ends, seen.errors) == (1, ())


@pairs
@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_client_that_leaves_takes_the_providers_connection_along(
    how: str, surface: str, target: str, gateway: Live, provider: Provider
) -> None:
    vendor = VENDORS[target]
    provider.plays(Play([send(vendor.head() + chunk(mid(vendor))), wait_gone]))
    client = RawClient(gateway.port)
    client.send(SURFACES[surface].ask(vendor.model, "x-request-id: gone-1", stream=True))
    client.read_until(b"Hello")
    left = time.monotonic()
    client.reset() if how == "reset" else client.socket.close()
    provider.wait(lambda: not provider.open_connections, "the upstream connection to be closed", 2.0)
    assert max(provider.gone_at.values()) - left < 1.0
    assert gateway.logged("gone-1")["outcome"] == "client_gone"


@pairs
def test_http_1_0_gets_its_stream_without_chunks(surface: str, target: str, gateway: Live, client: RawClient, provider: Provider) -> None:
    vendor = VENDORS[target]
    provider.plays(Play([send(vendor.stream(b"".join(vendor.text)))]), Play([send(vendor.stream(mid(vendor) + vendor.error))]))
    wire = SURFACES[surface].ask(vendor.model, stream=True).replace(b"HTTP/1.1", b"HTTP/1.0", 1)
    client.send(wire)
    reply = client.reply()
    assert reply.header("transfer-encoding") is None
    seen = told(surface, reply)
    assert (seen.text, seen.ends, seen.errors) == (TEXT, 1, ())
    with RawClient(gateway.port) as other:
        other.send(wire)
        seen = told(surface, other.reply())
        assert (seen.ends, len(seen.errors)) == (0, 1)


# -- the same dialect on both sides: bytes go by, and half of them must not


def _line(**value: object) -> bytes:
    return dumps({"model": "llama3.2", "created_at": "2026-01-01T00:00:00Z"} | value) + b"\n"


NATIVE: dict[str, tuple[str, bytes, bytes, bytes]] = {
    "ollama chat": (
        "llama3.2",
        b"application/x-ndjson",
        _line(message={"role": "assistant", "content": "Hello"}, done=False),
        _line(message={"role": "assistant", "content": " wörld"}, done=False),
    ),
    "ollama generate": ("llama3.2", b"application/x-ndjson", _line(response="Hello", done=False), _line(response=" wörld", done=False)),
    "cohere chat": (
        "command-a",
        b"text/event-stream",
        sse({"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "Hello"}}}}, "content-delta"),
        sse({"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": " wörld"}}}}, "content-delta"),
    ),
    "gemini": ("gemini-2.5-flash", b"text/event-stream", VENDORS["gemini"].text[0], VENDORS["gemini"].text[1]),
}


@pytest.mark.parametrize("surface", list(NATIVE))
@pytest.mark.parametrize("end", [b"0\r\n\r\n", b""], ids=["tidy end", "cut"])
@pytest.mark.parametrize("cut", ["half", "without its line end", "rubbish", "nothing", "damaged"])
def test_a_native_stream_that_breaks_off_ends_with_an_error_on_a_line_of_its_own(
    cut: str, end: bytes, surface: str, gateway: Live, client: RawClient, provider: Provider
) -> None:
    model, kind, first, second = NATIVE[surface]
    more = {
        "half": second[: len(second) // 2],
        "without its line end": second.rstrip(b"\n"),
        "rubbish": b"\x00\xff rubbish",
        "nothing": b"",
        "damaged": second.rstrip(b"\n")[:-3] + b"\n\n" + second,
    }[cut]
    head = b"HTTP/1.1 200 OK\r\ncontent-type: " + kind + b"\r\ntransfer-encoding: chunked\r\n\r\n"
    provider.plays(Play([send(head + chunk(first + more) + end), close]))
    client.send(SURFACES[surface].ask(model, stream=True))
    seen = told(surface, client.reply())
    assert (seen.ends, len(seen.errors)) == (0, 1)
    assert seen.last_is_error
    assert seen.text.startswith("Hello")
    assert cut != "damaged" or seen.text == "Hello"
