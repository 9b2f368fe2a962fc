"""Finds the usage in replies that nobody parses: relayed paths of any provider.

Looks at JSON bodies and event streams for the usage objects of OpenAI (chat and Responses), Anthropic, Gemini, Cohere and
Bedrock, wherever they stand at the top of the document or inside `message`, `response`, `delta` or `x_groq`. Bodies larger than
a limit are not looked at.
"""

from __future__ import annotations

from typing import Any

import orjson

from edgegate.dialects.base import HeaderList, Progress, Usage
from edgegate.dialects.chat import count, read_usage, tier_of
from edgegate.taps import Outcome, Tap
from edgegate.wire.sse import EventReader, EventTooLarge

MAX_BODY_BYTES = 4 * 1024 * 1024
MARKS = (b'"usage"', b'"usageMetadata"')


def sniffer(headers: HeaderList, progress: Progress) -> Tap | None:
    """A tap for a reply with these headers, or None where there is nothing to find."""
    for name, value in headers:
        if name == b"content-type":
            if value.startswith(b"application/json"):
                return JsonSniffer(progress)
            if value.startswith(b"text/event-stream"):
                return EventSniffer(progress)
    return None


class JsonSniffer:
    """Gathers a JSON body, within the limit, and reads its usage at the end. Passes everything on as it comes."""

    __slots__ = ("_parts", "_progress", "_size")

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> bytes:
        self._size += len(data)
        if self._size <= MAX_BODY_BYTES:
            self._parts.append(data)
        else:
            self._parts.clear()
        return data

    def end(self, outcome: Outcome) -> bytes:
        body = b"".join(self._parts)
        if any(mark in body for mark in MARKS):
            _read(body, self._progress)
        return b""


class EventSniffer:
    """Reads the usage out of the events that carry one. Passes everything on as it comes."""

    __slots__ = ("_events", "_progress")

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._events: EventReader | None = EventReader()

    def feed(self, data: bytes) -> bytes:
        if self._events is not None:
            try:
                for event in self._events.feed(data):
                    if any(mark in event.data for mark in MARKS):
                        _read(event.data, self._progress)
            except EventTooLarge:
                self._events = None
        return data

    def end(self, outcome: Outcome) -> bytes:
        return b""


def _read(document: bytes, progress: Progress) -> None:
    try:
        value = orjson.loads(document)
    except orjson.JSONDecodeError:
        return
    if isinstance(value, dict):
        _take(value, progress)
        for name in ("message", "response", "delta", "x_groq"):
            if isinstance(value.get(name), dict):
                _take(value[name], progress)


def _take(holder: dict[str, Any], progress: Progress) -> None:
    model = holder.get("model") or holder.get("modelVersion")
    if isinstance(model, str):
        progress.model = model
    usage = progress.usage
    found = holder.get("usage")
    if "service_tier" in holder:  # OpenAI; Anthropic has it inside the usage
        usage.tier = tier_of(holder["service_tier"])
    elif isinstance(found, dict) and "service_tier" in found:
        usage.tier = tier_of(found["service_tier"])
    if isinstance(found, dict):
        if "prompt_tokens" in found or "completion_tokens" in found:
            read_usage(found, usage)
        elif "input_tokens" in found or "output_tokens" in found:
            _input_output(found, usage)
        elif "inputTokens" in found or "outputTokens" in found:
            _bedrock(found, usage)
        elif isinstance(tokens := found.get("tokens"), dict):  # Cohere; what it bills (`billed_units`) is less
            _input_output(tokens, usage)
            usage.cached_tokens = min(count(found.get("cached_tokens")), usage.input_tokens)
            if isinstance(billed := found.get("billed_units"), dict):
                usage.billed = (count(billed.get("input_tokens")), count(billed.get("output_tokens")))
    gemini = holder.get("usageMetadata")
    if isinstance(gemini, dict):
        usage.input_tokens = count(gemini.get("promptTokenCount")) + count(gemini.get("toolUsePromptTokenCount")) or usage.input_tokens
        thoughts = count(gemini.get("thoughtsTokenCount"))
        usage.output_tokens = count(gemini.get("candidatesTokenCount")) + thoughts or usage.output_tokens
        usage.reasoning_tokens = thoughts or usage.reasoning_tokens
        usage.cached_tokens = count(gemini.get("cachedContentTokenCount")) or usage.cached_tokens
        if isinstance(tier := gemini.get("serviceTier") or gemini.get("trafficType"), str):
            usage.tier = tier_of(tier.removeprefix("ON_DEMAND_").lower())
        usage.reported = True


def _bedrock(found: dict[str, Any], usage: Usage) -> None:
    """Converse: its input excludes what was cached."""
    usage.cached_tokens, usage.cache_write_tokens = count(found.get("cacheReadInputTokens")), count(found.get("cacheWriteInputTokens"))
    usage.input_tokens = count(found.get("inputTokens")) + usage.cached_tokens + usage.cache_write_tokens
    usage.output_tokens = count(found.get("outputTokens"))
    usage.reported = True


def _input_output(found: dict[str, Any], usage: Usage) -> None:
    """Anthropic's and Responses' names; only Anthropic's input excludes what was cached."""
    details = found.get("input_tokens_details")
    if isinstance(details, dict):
        usage.cached_tokens = count(details.get("cached_tokens"))
        usage.input_tokens = count(found.get("input_tokens"))
    else:
        read = count(found.get("cache_read_input_tokens")) or usage.cached_tokens
        write = count(found.get("cache_creation_input_tokens")) or usage.cache_write_tokens
        plain = count(found.get("input_tokens"))
        if plain or read or write:
            usage.input_tokens = (plain or usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens) + read + write
        usage.cached_tokens, usage.cache_write_tokens = read, write
    usage.output_tokens = count(found.get("output_tokens")) or usage.output_tokens
    reasoning = found.get("output_tokens_details")
    if isinstance(reasoning, dict):
        usage.reasoning_tokens = count(reasoning.get("reasoning_tokens") or reasoning.get("thinking_tokens"))
    usage.reported = True
