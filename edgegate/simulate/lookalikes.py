"""Vendors that speak OpenAI's chat format with habits of their own: where reasoning is told and where a stream says its usage.

As recorded: Groq has the usage of a stream in `x_groq` on the chunk that finishes; DeepSeek and Together have it there too, asked for or
not; OpenRouter sends it last, with a cost. None of them minds arguments that it does not know.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from edgegate.simulate import openai
from edgegate.simulate.vendor import Asked, Event, Json, Refusal, Reply, Script, Whole


@dataclass(frozen=True, slots=True)
class Kind:
    """base: the path before `/chat/completions`; tells: the field of the reasoning; on_finish: where the finishing chunk has the usage."""

    name: str
    base: str
    tells: str
    on_finish: str


KINDS = (
    Kind("groq", "/openai/v1", "reasoning", "x_groq"),
    Kind("deepseek", "/v1", "reasoning_content", "usage"),
    Kind("together", "/v1", "reasoning", "usage"),
    Kind("openrouter", "/api/v1", "reasoning", ""),
)


class Lookalike(openai.OpenAI):
    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self.name = kind.name

    def error(self, refusal: Refusal, request_id: str) -> Json:
        said = super().error(refusal, request_id)
        if self._kind.name == "openrouter":  # its codes are numbers
            return {"error": {"code": refusal.status, "message": said["error"]["message"]}}
        return said

    def chat(self, asked: Asked) -> Reply:
        """POST .../chat/completions"""
        body = asked.body | ({"stream_options": {"include_usage": True}} if asked.body.get("stream") else {})
        asked = Asked(body, asked.raw, asked.headers, asked.query, asked.model, asked.method, asked.target)
        reply = openai.chat(asked, strict=False, tells=self._kind.tells)
        if isinstance(reply, Whole):
            reply.body["usage"] = self._usage(reply.body["usage"])
            return reply
        self._retell(reply)
        return reply

    def _usage(self, usage: Json) -> Json:
        if self._kind.name == "deepseek":
            return usage | {"prompt_cache_hit_tokens": 0, "prompt_cache_miss_tokens": usage["prompt_tokens"]}
        if self._kind.name == "openrouter":
            return usage | {"cost": 0.0, "is_byok": False}
        return usage | ({"cached_tokens": 0} if self._kind.name == "together" else {"queue_time": 0.01, "total_time": 0.02})

    def _retell(self, script: Script) -> None:
        chunks: list[Any] = [orjson.loads(event.data) for event in script.finish]
        usage = self._usage(chunks[-1]["usage"])
        if self._kind.on_finish:
            chunks.pop()
            told = {"id": "req_simulated", "usage": usage} if self._kind.on_finish == "x_groq" else usage
            chunks[-1][self._kind.on_finish] = told
        else:
            chunks[-1]["usage"] = usage
        script.finish = [Event(orjson.dumps(chunk).decode()) for chunk in chunks]
        if self._kind.on_finish == "x_groq":  # nothing but the last chunk speaks of usage
            script.events = [_without_usage(event) for event in script.events]
            script.finish = [_without_usage(event) for event in script.finish]


def _without_usage(event: Event) -> Event:
    chunk = orjson.loads(event.data)
    chunk.pop("usage", None)
    return Event(orjson.dumps(chunk).decode())
