"""A provider that speaks OpenAI's chat completions and keeps its own bill: a line for every request that reached it.

The request says what is to happen, in the words of its last message: `MARKER caller=NAME answer=10 wait=0.2`. Where a value is a
list, such as `status=500,200`, each attempt with this marker takes its own, and further ones the last. The bill counts like a
vendor: what stands in `usage` is charged, from a catalogue of its own, and rounded once per answer. An answer counts as running
until just before its last byte is written, so that a gateway is never blamed for asking on at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from aiohttp import web

from tests.e2e.background import Background

WORD = " word"
"""One token of an answer."""

PIECES = 4
"""Into how many events the text of a stream is cut."""

SILENT = "silent"
"""Models whose name begins so are charged, but the answer does not say for how much."""


@dataclass(frozen=True)
class Price:
    """US dollars per million tokens."""

    input: Decimal
    output: Decimal
    cached: Decimal

    @classmethod
    def of(cls, input: str, output: str, cached: str) -> Price:
        return cls(Decimal(input), Decimal(output), Decimal(cached))

    def as_option(self) -> dict[str, float]:
        """As it stands in `prices.models`."""
        return {"input": float(self.input), "output": float(self.output), "cached": float(self.cached)}


PRICES = {
    "plain": Price.of("1", "10", "0.25"),
    "odd": Price.of("1.237", "9.871", "0.1231"),
    "cheap": Price.of("0.1", "1", "0.1"),
    "dear": Price.of("10", "100", "2.5"),
    "spare": Price.of("1", "10", "0.25"),
    f"{SILENT}-1": Price.of("1", "10", "0.25"),
}
"""By model. Every provider of the tests serves all of them, at the same price."""


@dataclass
class Line:
    """One request. Times are `time.monotonic()`. `ended`: when the bill for it was made out; None while it is answered."""

    marker: str
    caller: str
    model: str
    provider: str
    stream: bool
    attempt: int
    came: float
    limit: int  # the most tokens that the answer may have
    fields: frozenset[str]
    status: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    ended: float | None = None
    complete: bool = False

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    @property
    def nano_usd(self) -> int:
        """What it costs, in nano-dollars, rounded half up. A dollar per million tokens is 1,000 nano-dollars for each."""
        if self.status != 200:
            return 0
        price = PRICES[self.model]
        fresh = self.input_tokens - self.cached_tokens
        exact = (fresh * price.input + self.cached_tokens * price.cached + self.output_tokens * price.output) * 1000
        return int(exact.quantize(Decimal(1), ROUND_HALF_UP))


@dataclass
class Wish:
    """What a request asks this provider to do."""

    marker: str
    words: dict[str, str]

    @classmethod
    def of(cls, body: dict[str, Any]) -> Wish:
        marker, *words = str(body["messages"][-1]["content"]).split()
        return cls(marker, dict(word.split("=", 1) for word in words if "=" in word))

    def number(self, name: str, attempt: int, default: float) -> float:
        values = self.words.get(name, "").split(",")
        text = values[min(attempt, len(values)) - 1]
        return float(text) if text else default


@dataclass
class Bill:
    """What the provider wrote down. `running` and `peak`: answers at once by caller, now and at most."""

    lines: list[Line] = field(default_factory=list)
    running: Counter[str] = field(default_factory=Counter)
    peak: Counter[str] = field(default_factory=Counter)

    def forget(self) -> None:
        """For gateways that know nothing of those before."""
        self.lines.clear()
        self.peak.clear()

    def of(self, *callers: str) -> list[Line]:
        return [line for line in list(self.lines) if line.caller in callers]

    def about(self, marker: str) -> list[Line]:
        return [line for line in list(self.lines) if line.marker == marker]

    def markers(self) -> set[str]:
        return {line.marker for line in list(self.lines)}

    def nano_usd(self, *callers: str) -> int:
        return sum(line.nano_usd for line in self.of(*callers))

    def tokens(self, *callers: str) -> int:
        return sum(line.tokens for line in self.of(*callers) if line.status == 200)

    def answered(self, *callers: str) -> list[Line]:
        return [line for line in self.of(*callers) if line.status == 200]


class Provider:
    """The server, on a loop in a thread of its own. Use as a context manager."""

    def __init__(self) -> None:
        self.bill = Bill()
        self.port = 0
        self._background = Background()
        self._attempts: Counter[str] = Counter()
        self._ids = itertools.count(1)

    def __enter__(self) -> Provider:
        self._background.__enter__()
        self._background.run(self._open())
        return self

    def __exit__(self, *_: object) -> None:
        self._background.run(self._runner.cleanup())
        self._background.__exit__()

    def entry(self, name: str = "maker", models: Iterable[str] = PRICES, key: str = "sk-of-the-provider-0123456789") -> dict[str, Any]:
        """Its entry in a configuration."""
        base = f"http://127.0.0.1:{self.port}/{name}/v1"
        return {"dialect": "openai", "base_url": base, "api_key": key, "models": list(models)}

    async def _open(self) -> None:
        app = web.Application(client_max_size=16 << 20)
        app.router.add_post("/{provider}/v1/chat/completions", self._chat)
        self._runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, backlog=1024)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        came = time.monotonic()
        body = await request.json()
        wish = Wish.of(body)
        self._attempts[wish.marker] += 1
        attempt = self._attempts[wish.marker]
        limit = int(body.get("max_completion_tokens") or body.get("max_tokens") or 100_000)
        line = Line(
            wish.marker,
            wish.words.get("caller", ""),
            body["model"],
            request.match_info["provider"],
            bool(body.get("stream")),
            attempt,
            came,
            limit,
            frozenset(body),
        )
        bill = self.bill
        bill.lines.append(line)
        bill.running[line.caller] += 1
        bill.peak[line.caller] = max(bill.peak[line.caller], bill.running[line.caller])
        try:
            await asyncio.sleep(wish.number("wait", attempt, 0))
            line.status = int(wish.number("status", attempt, 200))
            if line.status != 200:
                self._make_out(line, complete=True)
                return _error(line.status)
            line.input_tokens = int(wish.number("input", attempt, _words(body)))
            line.cached_tokens = min(line.input_tokens, int(wish.number("cached", attempt, 0)))
            tokens = min(limit, int(wish.number("answer", attempt, limit)))
            if not line.stream:
                line.output_tokens = tokens
                self._make_out(line, complete=True)
                return web.json_response(self._completion(line))
            return await self._stream(request, line, wish, tokens, bool((body.get("stream_options") or {}).get("include_usage")))
        finally:  # also where the caller has left
            self._make_out(line, complete=False)

    async def _stream(self, request: web.Request, line: Line, wish: Wish, tokens: int, tells: bool) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        head = {"id": f"chat-{next(self._ids)}", "object": "chat.completion.chunk", "created": int(time.time()), "model": line.model}
        pace, cut = wish.number("pace", line.attempt, 0), int(wish.number("cut", line.attempt, 0))
        sizes = [tokens // PIECES + (number < tokens % PIECES) for number in range(PIECES)]
        for number, size in enumerate(sizes, 1):
            line.output_tokens += size
            await response.write(_event(head | _delta({"role": "assistant", "content": WORD * size})))
            if number == cut:
                self._make_out(line, complete=False)
                if request.transport is not None:
                    request.transport.abort()
                return response
            await asyncio.sleep(pace)
        last = _event(head | _delta({}, "stop"))
        if tells and not line.model.startswith(SILENT):
            last += _event(head | {"choices": [], "usage": _usage(line)})
        self._make_out(line, complete=True)
        await response.write(last + b"data: [DONE]\n\n")
        with contextlib.suppress(ConnectionError):
            await response.write_eof()
        return response

    def _make_out(self, line: Line, *, complete: bool) -> None:
        if line.ended is None:
            line.ended = time.monotonic()
            line.complete = complete
            self.bill.running[line.caller] -= 1

    def _completion(self, line: Line) -> dict[str, Any]:
        message = {"role": "assistant", "content": WORD * line.output_tokens}
        answer = {
            "id": f"chat-{next(self._ids)}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": line.model,
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        }
        return answer if line.model.startswith(SILENT) else answer | {"usage": _usage(line)}


def _usage(line: Line) -> dict[str, Any]:
    return {
        "prompt_tokens": line.input_tokens,
        "completion_tokens": line.output_tokens,
        "total_tokens": line.tokens,
        "prompt_tokens_details": {"cached_tokens": line.cached_tokens},
    }


def _words(body: dict[str, Any]) -> int:
    """Fewer tokens than any tokenizer makes of a prompt, so that a gateway that counts them can never count too few."""
    return 3 + sum(len(str(message.get("content", "")).split()) for message in body["messages"])


def _delta(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def _event(value: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def _error(status: int) -> web.Response:
    return web.json_response({"error": {"message": "It broke.", "type": "server_error", "code": "broken"}}, status=status)
