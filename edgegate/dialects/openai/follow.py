"""What a stream's chunks say about the answer: started, finished, usage, model, error.

When is an answer whole? Every choice that was seen needs its finish reason, and there must be as many as were asked for.
`[DONE]` alone proves nothing if the provider writes finish reasons, for then one is missing: gateways and engines have
been seen to end a broken answer tidily. Providers that never write the field at all (snowflake/chat-stream-4c07e79c) have
only `[DONE]` to say it with, so there it counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgegate.dialects.amount import choice_size
from edgegate.dialects.base import Chat, Json, Progress
from edgegate.dialects.chat import read_usage, tier_of
from edgegate.dialects.openai.errors import from_event, hidden_error
from edgegate.dialects.spoilt import check_end
from edgegate.errors import GatewayError, provider_error

REASONS: Mapping[str, str] = {
    "eos": "stop",  # Together
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_length": "length",
    "tool_use": "tool_calls",
    "safety": "content_filter",
}
"""Finish reasons that compatible providers let through from their engines -> OpenAI's words. Others stand as they are."""

BROKEN = frozenset(("error", "abort", "insufficient_system_resource"))
"""Finish reasons of answers that are not whole: OpenRouter; vLLM and SGLang; DeepSeek."""

_MEANINGFUL = (
    "content",
    "reasoning_content",
    "reasoning",
    "refusal",
    "tool_calls",
    "function_call",
    "thinking_blocks",
    "reasoning_details",
    "audio",
    "images",
)


def reason_of(choice: Json) -> str:
    """A choice's finish reason in OpenAI's words; "" if there is none yet. Snowflake writes the empty string for none."""
    reason = choice.get("finish_reason")
    return REASONS.get(reason, reason) if isinstance(reason, str) else ""


def broken(reason: str) -> GatewayError:
    return provider_error(502, "incomplete_reply", f"The provider broke its answer off with the finish reason '{reason}'.")


def index_of(choice: Json) -> int:
    index = choice.get("index")
    return index if type(index) is int else 0


def choices_of(chunk: Json) -> list[Json]:
    choices = chunk.get("choices")
    return [choice for choice in choices if type(choice) is dict] if type(choices) is list else []


def choices_asked(request: Chat) -> int:
    """How many choices a chat or completions request will bring."""
    n = request.get("n")
    count = n if type(n) is int and n > 0 else 1
    prompt = request.get("prompt")
    if type(prompt) is list and prompt and type(prompt[0]) is not int:
        count *= len(prompt)
    return count


class Follower:
    """Follows one stream, chunk by chunk, and keeps its `Progress`. `running` holds the choices begun and not finished."""

    __slots__ = ("_asked", "_ended", "_reasons", "progress", "running")

    def __init__(self, progress: Progress, asked: int) -> None:
        self.progress = progress
        self.running: set[int] = set()
        self._ended: set[int] = set()
        self._asked = asked
        self._reasons = False

    def chunk(self, chunk: Json) -> bool:
        """Takes one parsed chunk in. False if it is an error: `progress.error` then has it."""
        progress = self.progress
        payload = hidden_error(chunk)
        if payload is not None:
            progress.error = from_event(payload)
            return False
        if "choices" in chunk or "usage" in chunk:  # anything else is a ping of some kind
            progress.events += 1
        self._usage(chunk)
        if not progress.model and isinstance(chunk.get("model"), str):
            progress.model = chunk["model"]
        for choice in choices_of(chunk):
            index = index_of(choice)
            progress.text_bytes += choice_size(choice)
            if "finish_reason" in choice:
                self._reasons = True
            reason = reason_of(choice)
            if reason in BROKEN:
                progress.error = broken(reason)
                return False
            if reason:
                self.running.discard(index)
                self._ended.add(index)
                progress.started = True
                if index == 0 or not progress.finish_reason:
                    progress.finish_reason = reason
            elif index not in self._ended:
                self.running.add(index)
            if not progress.started and _means_something(choice):
                progress.started = True
        progress.finished = not self.running and len(self._ended) >= self._asked
        return True

    def done(self) -> bool:
        """`[DONE]` has come. Whether the answer is whole; if not, `progress.error` says so."""
        progress = self.progress
        check_end(progress)
        if not progress.finished and progress.error is None:
            silent = not self._reasons and progress.started and not progress.spoilt
            if silent or (self._ended and not self.running):  # fewer choices than asked for: not every provider knows `n`
                progress.finished = True
                progress.finish_reason = progress.finish_reason or "stop"
            else:
                progress.error = provider_error(502, "incomplete_reply", "The provider ended its stream without a finish reason.")
        return progress.finished

    def _usage(self, chunk: Json) -> None:
        usage = usage_in(chunk)
        if usage:
            read_usage(usage, self.progress.usage)
        if "service_tier" in chunk:
            self.progress.usage.tier = tier_of(chunk["service_tier"])


def usage_in(chunk: Json) -> Json | None:
    """A chunk's usage object, wherever it stands: Groq puts it under `x_groq`."""
    usage: Any = chunk.get("usage")
    if not usage and "x_groq" in chunk and type(chunk["x_groq"]) is dict:
        usage = chunk["x_groq"].get("usage")
    return usage if usage and type(usage) is dict else None


def _means_something(choice: Json) -> bool:
    delta = choice.get("delta")
    if type(delta) is dict and any(delta.get(name) for name in _MEANINGFUL):
        return True
    return bool(choice.get("text"))  # completions
