"""Callers: many at once, each call on a connection of its own, so that the kernel spreads them over workers and replicas."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import aiohttp

PATIENCE_S = 30.0
LOST = 0
"""The status of a call whose connection broke before its answer was whole."""

_numbers = itertools.count(1)


def fresh_marker() -> str:
    """A name for one call, never used before: its `X-Request-ID`, and the first word of its message."""
    return f"call-{os.getpid()}-{next(_numbers):06d}"


@dataclass(frozen=True)
class Caller:
    """A key of the gateway. `tenant` as in the configuration."""

    name: str
    tenant: str = ""

    @property
    def secret(self) -> str:
        return f"eg-{self.name}-0123456789abcdef"

    def entry(self, **more: Any) -> dict[str, Any]:
        """Its entry in `keys`."""
        return {"name": self.name, "key": self.secret, "tenant": self.tenant} | more


@dataclass
class Answer:
    """What came of a call. Times are `time.monotonic()`."""

    marker: str
    began: float
    ended: float = 0.0
    status: int = LOST
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    url: str = ""
    anthropic: bool = False

    @property
    def ok(self) -> bool:
        return self.status == 200

    @property
    def whole(self) -> bool:
        """A good answer that came to its end."""
        stream = "event-stream" in self.headers.get("content-type", "")
        return self.ok and (not stream or b"[DONE]" in self.body or b"message_stop" in self.body)

    @property
    def seconds(self) -> float:
        return self.ended - self.began

    @property
    def error(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)["error"]
        return found

    @property
    def code(self) -> str:
        return str(self.error.get("code"))


class Crowd:
    """Callers of one or several gateways, in turn. Use as an async context manager."""

    def __init__(self, *urls: str, keep: bool = False) -> None:
        """keep: use connections again, as an app would."""
        self._urls = itertools.cycle(urls)
        self._keep = keep

    async def __aenter__(self) -> Crowd:
        connector = aiohttp.TCPConnector(limit=0, force_close=not self._keep)
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=PATIENCE_S),
            json_serialize=lambda value: json.dumps(value, ensure_ascii=False),
            trust_env=False,
        )
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._session.close()

    async def call(
        self,
        caller: Caller,
        words: str = "",
        *,
        model: str = "plain",
        max_tokens: int = 1000,
        stream: bool = False,
        anthropic: bool = False,
        headers: dict[str, str] | None = None,
        marker: str = "",
        secret: str = "",
        **more: Any,
    ) -> Answer:
        """One call. `words` tell the provider what to do. A connection that breaks gives the status `LOST`."""
        answer = Answer(marker or fresh_marker(), time.monotonic(), url=next(self._urls), anthropic=anthropic)
        text = f"{answer.marker} caller={caller.name} {words}"
        body = {"model": model, "max_tokens": max_tokens, "messages": [{"role": "user", "content": text}], "stream": stream} | more
        sent = {"authorization": f"Bearer {secret or caller.secret}", "x-request-id": answer.marker} | (headers or {})
        path = "/v1/messages" if anthropic else "/v1/chat/completions"
        try:
            async with self._session.post(answer.url + path, json=body, headers=sent) as response:
                answer.body = await response.read()
                answer.status = response.status
                answer.headers = {name.lower(): value for name, value in response.headers.items()}
        except (aiohttp.ClientError, ConnectionError):
            answer.status = LOST
        answer.ended = time.monotonic()
        return answer

    async def wave(self, number: int, caller: Caller, words: str = "", *, mixed: bool = True, **more: Any) -> list[Answer]:
        """So many calls at once. mixed: every second one is a stream."""
        return await asyncio.gather(*(self.call(caller, words, stream=mixed and bool(index % 2), **more) for index in range(number)))

    async def leave(self, caller: Caller, words: str, after_s: float, **more: Any) -> str:
        """A call whose caller leaves after some time. Gives its marker."""
        marker = fresh_marker()
        task = asyncio.ensure_future(self.call(caller, words, marker=marker, **more))
        await asyncio.sleep(after_s)
        assert not task.done(), "it was answered before its caller could leave"
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return marker


def ok(answers: Sequence[Answer]) -> list[Answer]:
    return [answer for answer in answers if answer.ok]


def refused(answers: Sequence[Answer]) -> list[Answer]:
    return [answer for answer in answers if not answer.ok]
