"""Usage algebra on recorded usage objects: input includes what was cached, output includes reasoning, whatever the vendor says.

The expected sums are made here from the vendors' own fields, by the rules in their documentation, not by the code under test.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from edgegate.config.model import ProviderOptions
from edgegate.config.stages import TranslateOptions
from edgegate.dialects.base import Ask, Progress, ProviderSide, Usage
from edgegate.dialects.chat import read_usage, usage_json
from edgegate.server.build import provider_side
from tests.corpus import Recording, corpus

NUMBERS = tuple[int, int, int]  # input, output, cached


def side(dialect: str) -> ProviderSide:
    return provider_side(dialect, ProviderOptions(project="p"), TranslateOptions())


def heard(dialect: str, recording: Recording) -> Usage:
    progress = Progress()
    ask = Ask({"messages": [], "model": "m"}, "m", recording.streamed, "id", 0)
    if recording.streamed:
        tap = side(dialect).stream(ask, progress)
        tap.feed(recording.body)
    else:
        side(dialect).whole(ask, recording.body, progress)
    return progress.usage


def documents(recording: Recording) -> list[dict[str, Any]]:
    """The JSON documents of a reply, plain or streamed."""
    if not recording.streamed:
        return [json.loads(recording.body)]
    lines = recording.body.replace(b"\r", b"").split(b"\n")
    return [json.loads(line[5:]) for line in lines if line.startswith(b"data:") and line[5:].strip().startswith(b"{")]


def anthropic(recording: Recording) -> NUMBERS:
    seen: dict[str, int] = {}
    for document in documents(recording):
        usage = document.get("usage") or (document.get("message") or {}).get("usage") or {}
        seen |= {name: value for name, value in usage.items() if isinstance(value, int)}
    read, written = seen.get("cache_read_input_tokens", 0), seen.get("cache_creation_input_tokens", 0)
    return seen.get("input_tokens", 0) + read + written, seen.get("output_tokens", 0), read


def gemini(recording: Recording) -> NUMBERS:
    seen: dict[str, int] = {}
    for document in documents(recording):
        usage = document.get("usageMetadata") or {}
        seen |= {name: value for name, value in usage.items() if isinstance(value, int)}
    prompt = seen.get("promptTokenCount", 0) + seen.get("toolUsePromptTokenCount", 0)
    return prompt, seen.get("candidatesTokenCount", 0) + seen.get("thoughtsTokenCount", 0), seen.get("cachedContentTokenCount", 0)


def openai(recording: Recording) -> NUMBERS:
    usage: dict[str, Any] = {}
    for document in documents(recording):
        usage = document.get("usage") or (document.get("x_groq") or {}).get("usage") or usage
    prompt, total = usage.get("prompt_tokens", 0), usage.get("total_tokens", 0)
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or usage.get("cached_tokens") or 0
    return prompt, total - prompt, cached or usage.get("prompt_cache_hit_tokens", 0)


def responses(recording: Recording) -> NUMBERS:
    usage: dict[str, Any] = {}
    for document in documents(recording):
        usage = document.get("usage") or (document.get("response") or {}).get("usage") or usage
    return usage.get("input_tokens", 0), usage.get("output_tokens", 0), (usage.get("input_tokens_details") or {}).get("cached_tokens", 0)


def answered(recording: Recording) -> bool:
    return recording.status == 200 and b'"usage' in recording.body


def check(recording: Recording, dialect: str, expected: Callable[[Recording], NUMBERS]) -> None:
    usage = heard(dialect, recording)
    assert (usage.input_tokens, usage.output_tokens, usage.cached_tokens) == expected(recording)
    assert usage.reasoning_tokens + usage.output_audio_tokens <= usage.output_tokens
    assert usage.cached_tokens + usage.cache_write_tokens <= usage.input_tokens
    again = Usage()
    assert read_usage(usage_json(usage), again)
    assert again == usage


@corpus("anthropic/messages", where=answered)
def test_anthropic_excludes_what_was_cached(recording: Recording) -> None:
    check(recording, "anthropic", anthropic)


def whole_gemini(recording: Recording) -> bool:
    """An answer, and not one of the faults that Gemini tells as finish reasons."""
    faults = (b'"MALFORMED', b'"UNEXPECTED', b'"OTHER"')
    body = recording.body
    return answered(recording) and not body.startswith(b"[") and b'"finishReason"' in body and not any(fault in body for fault in faults)


@corpus("gemini/generate", "vertex/generate", where=whole_gemini)
def test_gemini_counts_thoughts_beside_the_answer(recording: Recording) -> None:
    check(recording, "gemini", gemini)


@corpus("openai/chat", "groq/chat", "deepseek/chat", "openrouter/chat", "cerebras/chat", "together/chat", "gemini/chat", where=answered)
def test_openai_and_its_likes_by_their_totals(recording: Recording) -> None:
    check(recording, "openai", openai)


def told_tiers(recording: Recording) -> set[str]:
    """What a reply says of its service tier, under whatever name, in its own words."""
    found = re.findall(rb'"(?:service_tier|serviceTier|trafficType)": ?"(\w+)"', recording.body)
    return {tier.decode().lower() for tier in found}


@corpus(
    "openai/chat",
    "groq/chat",
    "openai/responses",
    "anthropic/messages",
    "gemini/generate",
    "vertex/generate",
    where=lambda r: bool(told_tiers(r)),
)
def test_recorded_tiers_are_the_usual_one(recording: Recording) -> None:
    """None of those who recorded paid for another; what is read must not make one up."""
    assert told_tiers(recording) <= {"default", "auto", "standard", "on_demand", "provisioned"}
    vendor = recording.file.parent.name
    if vendor in ("gemini", "vertex"):
        dialect, readable = "gemini", whole_gemini(recording)
    elif recording.file.name.startswith("responses"):
        dialect, readable = "openai-responses", counted_responses(recording)
    else:
        dialect, readable = "anthropic" if vendor == "anthropic" else "openai", answered(recording)
    if readable:
        assert heard(dialect, recording).tier == ""


def counted_responses(recording: Recording) -> bool:
    return answered(recording) and b'"status":"failed"' not in recording.body and responses(recording)[0] > 0


@corpus("openai/responses", "deepseek/responses", "azure/responses", "bedrock-mantle/responses", where=counted_responses)
def test_responses_include_all(recording: Recording) -> None:
    check(recording, "openai-responses", responses)


@corpus("openai/chat", where=lambda r: answered(r) and re.search(rb'"audio_tokens": ?[1-9]', r.body) is not None)
def test_audio_tokens_are_parts_of_the_sums(recording: Recording) -> None:
    (details,) = [found["usage"] for found in documents(recording) if found.get("usage")]
    usage = heard("openai", recording)
    assert usage.input_audio_tokens == (details.get("prompt_tokens_details") or {}).get("audio_tokens", 0)
    assert usage.output_audio_tokens == (details.get("completion_tokens_details") or {}).get("audio_tokens", 0)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (
            {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15, "completion_tokens_details": {"reasoning_tokens": 3}},
            (10, 5, 3),
        ),
        (
            {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 18, "completion_tokens_details": {"reasoning_tokens": 3}},
            (10, 8, 3),
        ),
        ({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 18}, (10, 8, 3)),
        (
            {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 99, "completion_tokens_details": {"reasoning_tokens": 3}},
            (10, 5, 3),
        ),
        ({"prompt_tokens": 10, "completion_tokens": 5}, (10, 5, 0)),
        ({"total_tokens": 7}, (7, 0, 0)),
    ],
    ids=["subset", "beside, named", "beside, not named", "a total that nobody explains", "no total", "embeddings"],
)
def test_reasoning_is_a_part_or_comes_on_top(value: dict[str, Any], expected: NUMBERS) -> None:
    usage = Usage()
    read_usage(value, usage)
    assert (usage.input_tokens, usage.output_tokens, usage.reasoning_tokens) == expected


def test_gemini_names_audio_and_pictures() -> None:
    meta = {
        "promptTokenCount": 300,
        "promptTokensDetails": [
            {"modality": "TEXT", "tokenCount": 10},
            {"modality": "AUDIO", "tokenCount": 32},
            {"modality": "IMAGE", "tokenCount": 258},
        ],
        "candidatesTokenCount": 1290,
        "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1290}],
        "totalTokenCount": 1590,
    }
    body = json.dumps({"candidates": [{"content": {"parts": [{"text": "x"}]}, "finishReason": "STOP"}], "usageMetadata": meta}).encode()
    progress = Progress()
    side("gemini").whole(Ask({"messages": []}, "m", False, "id", 0), body, progress)
    usage = progress.usage
    assert (usage.input_audio_tokens, usage.input_image_tokens, usage.output_audio_tokens, usage.output_image_tokens) == (32, 258, 0, 1290)
