"""The service tier of a reply, which decides its price: read from whole replies, streams and relayed paths of every vendor that
tells it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from edgegate.config.model import ProviderOptions
from edgegate.config.stages import TranslateOptions
from edgegate.dialects.base import Ask, Progress, Usage
from edgegate.dialects.chat import tier_of
from edgegate.dialects.resume import total
from edgegate.server.build import provider_side
from edgegate.stages.sniff import EventSniffer, JsonSniffer
from edgegate.taps import Outcome
from edgegate.wire.eventstream import frame

Json = dict[str, Any]
ASK = Ask({"messages": [{"role": "user", "content": "hi"}], "model": "m"}, "m", False, "id", 0)
OPTIONS = ProviderOptions(project="p", region="us-east-1")
STREAMED = Ask({**ASK.chat, "stream": True}, "m", True, "id", 0)


def events(*documents: Json, named: bool = False) -> bytes:
    lines = [f"event: {document['type']}\n" if named else "" for document in documents]
    return "".join(f"{line}data: {json.dumps(document)}\n\n" for line, document in zip(lines, documents, strict=True)).encode()


def chat(tier: Any) -> Json:
    choice = {"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}
    return {
        "model": "m",
        "choices": [choice],
        "usage": {"prompt_tokens": 2, "completion_tokens": 1, "total_tokens": 3},
        "service_tier": tier,
    }


def chunks(tier: Any, named_last: bool = True) -> bytes:
    first: Json = {"model": "m", "choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": None}], "service_tier": tier}
    done: Json = {"model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    last: Json = {"model": "m", "choices": [], "usage": {"prompt_tokens": 2, "completion_tokens": 1, "total_tokens": 3}}
    if named_last:
        last["service_tier"] = tier
    return events(first, done, last) + b"data: [DONE]\n\n"


def response(tier: Any, status: str = "completed") -> Json:
    item = {"type": "message", "id": "i", "role": "assistant", "content": [{"type": "output_text", "text": "hi"}]}
    usage = {"input_tokens": 2, "output_tokens": 1, "total_tokens": 3}
    return {"id": "r", "object": "response", "status": status, "model": "m", "output": [item], "usage": usage, "service_tier": tier}


def response_events(tier: Any) -> bytes:
    begun = {**response("auto", "in_progress"), "output": [], "usage": None}
    return events(
        {"type": "response.created", "response": begun},
        {"type": "response.output_text.delta", "item_id": "i", "output_index": 0, "content_index": 0, "delta": "hi"},
        {"type": "response.completed", "response": response(tier)},
        named=True,
    )


def message(tier: Any) -> Json:
    usage = {"input_tokens": 2, "output_tokens": 1, "service_tier": tier}
    return {
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [{"type": "text", "text": "hi"}],
        "stop_reason": "end_turn",
        "usage": usage,
    }


def message_events(tier: Any) -> bytes:
    begun = {**message(tier), "content": [], "stop_reason": None}
    return events(
        {"type": "message_start", "message": begun},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hi"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}},
        {"type": "message_stop"},
        named=True,
    )


def generated(name: str, tier: Any) -> Json:
    meta = {"promptTokenCount": 2, "candidatesTokenCount": 1, "totalTokenCount": 3, name: tier}
    return {"candidates": [{"content": {"parts": [{"text": "hi"}], "role": "model"}, "finishReason": "STOP"}], "usageMetadata": meta}


def converse(tier: Any) -> Json:
    usage = {"inputTokens": 2, "outputTokens": 1, "totalTokens": 3}
    content = [{"text": "hi"}]
    return {"output": {"message": {"role": "assistant", "content": content}}, "stopReason": "end_turn", "usage": usage, "serviceTier": tier}


def converse_events(tier: Any) -> bytes:
    return b"".join(
        frame({":message-type": "event", ":event-type": kind, ":content-type": "application/json"}, json.dumps(payload).encode())
        for kind, payload in (
            ("messageStart", {"role": "assistant"}),
            ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "hi"}}),
            ("contentBlockStop", {"contentBlockIndex": 0}),
            ("messageStop", {"stopReason": "end_turn"}),
            ("metadata", {"usage": {"inputTokens": 2, "outputTokens": 1, "totalTokens": 3}, "serviceTier": tier}),
        )
    )


ONLY_AT_FIRST = chunks("priority", named_last=False)
"""OpenAI says it in every event. A relayed stream is searched for its usage alone."""

CASES = [
    ("openai", chat("flex"), chunks("flex"), "flex"),
    ("openai", chat("priority"), ONLY_AT_FIRST, "priority"),
    ("openai", chat("fast"), chunks("fast"), "priority"),
    ("openai", chat("default"), chunks("default"), ""),
    ("openai", chat("on_demand"), chunks("auto"), ""),
    ("openai", chat(None), chunks(["flex"]), ""),
    ("openai-responses", response("flex"), response_events("flex"), "flex"),
    ("openai-responses", response("priority"), response_events("priority"), "priority"),
    ("openai-responses", response("default"), response_events("default"), ""),
    ("anthropic", message("batch"), message_events("batch"), "batch"),
    ("anthropic", message("priority"), message_events("priority"), "priority"),
    ("anthropic", message("standard"), message_events("standard"), ""),
    ("anthropic", message({"a": 1}), message_events(7), ""),
    ("gemini", generated("serviceTier", "flex"), events(generated("serviceTier", "flex")), "flex"),
    ("gemini", generated("serviceTier", "PRIORITY"), events(generated("serviceTier", "PRIORITY")), "priority"),
    ("gemini", generated("serviceTier", "standard"), events(generated("serviceTier", "standard")), ""),
    ("gemini", generated("serviceTier", 1), events(generated("serviceTier", [])), ""),
    ("vertex", generated("trafficType", "ON_DEMAND"), events(generated("trafficType", "ON_DEMAND")), ""),
    ("vertex", generated("trafficType", "ON_DEMAND_FLEX"), events(generated("trafficType", "ON_DEMAND_FLEX")), "flex"),
    ("vertex", generated("trafficType", "ON_DEMAND_PRIORITY"), events(generated("trafficType", "ON_DEMAND_PRIORITY")), "priority"),
    ("vertex", generated("trafficType", "PROVISIONED_THROUGHPUT"), events(generated("trafficType", 1)), ""),
    ("bedrock", converse({"type": "flex"}), converse_events({"type": "flex"}), "flex"),
    ("bedrock", converse({"type": "default"}), converse_events({"type": "default"}), ""),
    ("bedrock", converse("flex"), converse_events(None), ""),
]


@pytest.mark.parametrize(("dialect", "whole", "stream", "tier"), CASES)
def test_a_translated_reply_tells_its_tier(dialect: str, whole: Json, stream: bytes, tier: str) -> None:
    provider = provider_side(dialect, OPTIONS, TranslateOptions())
    progress, streamed = Progress(), Progress()
    provider.whole(ASK, json.dumps(whole).encode(), progress)
    tap = provider.stream(STREAMED, streamed)
    tap.feed(stream)
    tap.end(Outcome.OK)
    for usage in (progress.usage, streamed.usage):
        assert (usage.reported, usage.input_tokens, usage.tier) == (True, 2, tier)


NATIVE = {
    "openai": ("openai.chat", "openai.chat"),
    "openai-responses": ("openai.responses", "openai.responses"),
    "anthropic": ("anthropic.messages", "anthropic.messages"),
    "gemini": ("gemini.generate", "gemini.stream"),
    "vertex": ("gemini.generate", "gemini.stream"),
}


@pytest.mark.parametrize(("dialect", "whole", "stream", "tier"), [case for case in CASES if case[0] in NATIVE])
def test_a_native_reply_tells_its_tier(dialect: str, whole: Json, stream: bytes, tier: str) -> None:
    provider = provider_side(dialect, OPTIONS, TranslateOptions())
    progress, streamed = Progress(), Progress()
    provider.glance(NATIVE[dialect][0], json.dumps(whole).encode(), progress)
    tap = provider.watch(NATIVE[dialect][1], STREAMED, streamed)
    tap.feed(stream)
    tap.end(Outcome.OK)
    for usage in (progress.usage, streamed.usage):
        assert (usage.reported, usage.input_tokens, usage.tier) == (True, 2, tier)


@pytest.mark.parametrize(
    ("dialect", "whole", "stream", "tier"), [case for case in CASES if case[0] != "bedrock" and case[2] != ONLY_AT_FIRST]
)
def test_a_relayed_reply_tells_its_tier(dialect: str, whole: Json, stream: bytes, tier: str) -> None:
    plain, streamed = Progress(), Progress()
    for tap, data in ((JsonSniffer(plain), json.dumps(whole).encode()), (EventSniffer(streamed), stream)):
        tap.feed(data)
        tap.end(Outcome.OK)
    assert plain.usage.tier == tier
    assert streamed.usage.tier == tier


def test_a_relayed_answer_of_cohere_tells_what_is_billed() -> None:
    progress = Progress()
    tap = JsonSniffer(progress)
    usage = {"tokens": {"input_tokens": 968, "output_tokens": 40}, "billed_units": {"input_tokens": 62, "output_tokens": 30}}
    tap.feed(json.dumps({"usage": usage}).encode())
    tap.end(Outcome.OK)
    assert (progress.usage.input_tokens, progress.usage.billed) == (968, (62, 30))


def test_an_answer_of_cohere_tells_what_is_billed() -> None:
    usage = {"tokens": {"input_tokens": 968, "output_tokens": 40}, "billed_units": {"input_tokens": 62, "output_tokens": 30}}
    body = {
        "id": "1",
        "message": {"role": "assistant", "content": [{"type": "text", "text": "x"}]},
        "finish_reason": "COMPLETE",
        "usage": usage,
    }
    progress = Progress()
    provider_side("cohere", ProviderOptions(), TranslateOptions()).whole(ASK, json.dumps(body).encode(), progress)
    assert (progress.usage.input_tokens, progress.usage.billed) == (968, (62, 30))


def test_the_sum_of_two_attempts_has_no_tier_for_each_was_priced_by_itself() -> None:
    both = total(Usage(1, 2, reported=True, tier="flex", billed=(1, 1)), Usage(10, 20, tier="flex"))
    assert both == Usage(11, 22, reported=True)


@pytest.mark.parametrize("value", [None, 1, "", "standard", "default", "auto", "scale", ["flex"], {"type": "flex"}, True])
def test_anything_else_is_the_usual_tier(value: Any) -> None:
    assert tier_of(value) == ""
