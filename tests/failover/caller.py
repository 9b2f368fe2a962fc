"""A caller: one request over a raw connection, its reply read to the letter, and a judgement of what the caller was told.

Strict on purpose. `whole` is the canonical text to the byte, with the dialect's proper ending, once; `error` is an explicit error
of the dialect and no ending beside it; what is neither (half an answer that looks like one, a cut without a word, a text put
together wrongly, bad framing) has a name of its own, and no scenario allows it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from dataclasses import dataclass, field
from typing import Any

from tests.failover.shapes import CANONICAL
from tests.hard.raw_client import Reply
from tests.hard.tongues import READERS, SURFACES, Told, said, told

Json = dict[str, Any]


@dataclass
class Heard:
    """What came of one call. kind: whole, error, wrong (an ending, but another text), truncated, broken (not the dialect's
    framing), closed (no reply), hang (nothing within the caller's patience)."""

    kind: str
    seconds: float
    surface: str = "chat"
    stream: bool = True
    status: int = 0
    text: str = ""
    error: str = ""
    code: str = ""
    model: str = ""
    usage: bool = False
    fallback: bool = False
    done: bool = False
    headers: dict[str, str] = field(default_factory=dict)
    first_s: float = 0.0  # until the first byte of the body
    raw: str = field(default="", repr=False)  # head and body, as Latin-1
    why: str = ""

    @property
    def clean(self) -> bool:
        """A whole answer or an explicit error."""
        return self.kind in ("whole", "error")


async def call(
    port: int, model: str, surface: str = "chat", *, stream: bool = True, patience_s: float = 30.0, expected: str = CANONICAL, **more: Any
) -> Heard:
    """Asks and waits for the end of the reply. `more` are further fields of the body, `expected` is the whole answer."""
    if surface == "chat" and stream:
        more = {"stream_options": {"include_usage": True}} | more
    if surface == "messages":
        more = {"max_tokens": 1000} | more
    data = SURFACES[surface].ask(model, stream=stream, **more)
    return await exchange(port, data, surface, stream=stream, patience_s=patience_s, expected=expected)


async def exchange(port: int, data: bytes, surface: str, *, stream: bool, patience_s: float, expected: str = CANONICAL) -> Heard:
    started = time.monotonic()
    got = _Reading()
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(patience_s):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 22)
            writer.write(data)
            await got.read(reader)
    except TimeoutError:
        return Heard("hang", time.monotonic() - started, surface, stream, raw=got.text)
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        if writer is not None:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
    seconds = time.monotonic() - started
    if got.reply is None:
        return Heard("closed", seconds, surface, stream, raw=got.text)
    heard = judge(surface, stream, got.reply, seconds, expected)
    heard.raw = got.text
    heard.first_s = got.first - started if got.first else 0.0
    return heard


class _Reading:
    """One reply, as far as it has come."""

    def __init__(self) -> None:
        self.raw = b""
        self.first = 0.0
        self.reply: Reply | None = None

    async def read(self, reader: asyncio.StreamReader) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.raw += head
        first, *lines = head[:-4].decode("latin-1").split("\r\n")
        headers = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
        reply = self.reply = Reply(int(first.split(" ")[1]), headers, whole=False)
        length = reply.header("content-length")
        if length is not None:
            self._add(reply, await reader.readexactly(int(length)))
        else:
            while size := int((await reader.readuntil(b"\r\n")).strip(), 16):
                self._add(reply, (await reader.readexactly(size + 2))[:-2])
            await reader.readexactly(2)
        reply.whole = True

    @property
    def text(self) -> str:
        return self.raw.decode("latin-1")

    def _add(self, reply: Reply, data: bytes) -> None:
        self.first = self.first or time.monotonic()
        reply.body += data
        self.raw += data


def judge(surface: str, stream: bool, reply: Reply, seconds: float, expected: str = CANONICAL) -> Heard:
    """What a reply amounts to."""
    heard = Heard("broken", seconds, surface, stream, reply.status, headers=dict(reply.headers))
    heard.fallback = reply.header("x-edgegate-fallback") == "true"
    try:
        if reply.status >= 400:
            assert reply.whole, "an error reply that was cut"
            heard.error = said(SURFACES[surface].dialect, reply)
            heard.code = _code(json.loads(reply.body))
            heard.kind = "error"
        elif stream:
            _stream(surface, reply, heard, expected)
        else:
            _plain(surface, reply, heard, expected)
    except (AssertionError, ValueError, KeyError, IndexError, TypeError) as error:
        heard.why = f"{type(error).__name__}: {error}"[:500]
    return heard


def _stream(surface: str, reply: Reply, heard: Heard, expected: str) -> None:
    if not reply.whole:
        with contextlib.suppress(AssertionError, ValueError, KeyError):
            heard.text = READERS[surface](reply.body).text
        heard.kind = "truncated"
        return
    what: Told = told(surface, reply)
    heard.text = what.text
    values = _values(reply.body)
    heard.model = next((found for value in values if (found := _model(value))), "")
    heard.usage = any(_usage(value) for value in values)
    heard.done = what.ends == 1
    if what.errors:
        heard.error = " ".join(what.errors)
        heard.code = next((_code(value) for value in values if "error" in value), "")
        assert what.last_is_error or surface == "responses", "something behind the error"
        assert len(what.errors) == 1, "more than one error"
    if what.errors and what.ends:
        heard.kind, heard.why = "wrong", "an error and an ending"
    elif what.errors:
        heard.kind = "error"
        assert expected.startswith(what.text), "an error behind a text that is not the beginning of the answer"
    elif what.ends != 1:
        heard.kind = "truncated"
    else:
        heard.kind = "whole" if what.text == expected and not what.arguments else "wrong"


def _plain(surface: str, reply: Reply, heard: Heard, expected: str) -> None:
    assert reply.whole, "a plain reply that was cut"
    value = json.loads(reply.body)
    heard.text = _text(surface, value)
    heard.model = _model(value)
    heard.usage = _usage(value)
    heard.kind = "whole" if heard.text == expected else "wrong"


def _values(body: bytes) -> list[Json]:
    """The JSON objects of a stream of events or of lines."""
    values = []
    for line in body.splitlines():
        data = line.removeprefix(b"data: ")
        if data.startswith(b"{"):
            values.append(json.loads(data))
    return values


def _code(value: Json) -> str:
    error = value.get("error")
    return str(error.get("code") or error.get("type") or "") if isinstance(error, dict) else ""


def _model(value: Json) -> str:
    for inner in (value, value.get("response"), value.get("message")):
        if isinstance(inner, dict) and (found := inner.get("model") or inner.get("modelVersion")):
            return str(found)
    return ""


def _usage(value: Json) -> bool:
    """Whether tokens of the output are told anywhere a dialect tells them."""
    for inner in (value, value.get("response"), value.get("delta")):
        if not isinstance(inner, dict):
            continue
        usage = inner.get("usage") or inner.get("usageMetadata") or {}
        if "tokens" in usage:
            usage = usage["tokens"]
        counts = (usage.get(name) for name in ("completion_tokens", "output_tokens", "candidatesTokenCount"))
        if any(counts) or inner.get("eval_count"):
            return True
    return False


def _text(surface: str, value: Json) -> str:
    if surface == "chat":
        return str(value["choices"][0]["message"]["content"])
    if surface == "responses":
        parts = [part for item in value["output"] if item["type"] == "message" for part in item["content"]]
    elif surface == "messages":
        parts = value["content"]
    elif surface == "gemini":
        parts = value["candidates"][0]["content"]["parts"]
    elif surface == "ollama chat":
        return str(value["message"]["content"])
    else:
        parts = value["message"]["content"]
    return "".join(part.get("text", "") for part in parts)
