"""Recorded answers of several providers as responses: the SDK accepts them, and reads what the chat said."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgegate.dialects.anthropic import AnthropicProvider
from edgegate.dialects.base import Ask, Progress, ProviderSide
from edgegate.dialects.gemini.provider import GeminiProvider
from edgegate.dialects.openai.provider import OpenAIProvider
from edgegate.dialects.responses.client import ResponsesClient
from edgegate.dialects.responses.provider import ResponsesProvider
from edgegate.dialects.sealed import unseal
from edgegate.errors import GatewayError
from edgegate.taps import Outcome
from tests.corpus import Recording, corpus, recordings
from tests.wire import openai_sdk
from tests.wire.responses_reader import checked, events_of, read_stream, read_whole, run

Json = dict[str, Any]
CLIENT = ResponsesClient()
REQUEST: Json = {"model": "asked", "input": "hi", "stream": True}
SIDES: dict[str, ProviderSide] = {
    "anthropic": AnthropicProvider(),
    "gemini": GeminiProvider(),
    "vertex": GeminiProvider(),
    "openai": OpenAIProvider(),
    "groq": OpenAIProvider(),
    "openrouter": OpenAIProvider(),
    "deepseek": OpenAIProvider(),
    "mistral": OpenAIProvider(),
}
OTHERS = (
    "anthropic/messages",
    "gemini/generate",
    "vertex/generate",
    "openai/chat",
    "groq/chat",
    "openrouter/chat",
    "deepseek/chat",
    "mistral/chat",
)
OWN = ("openai/responses", "azure/responses", "deepseek/responses", "bedrock-mantle/responses")


def good(recording: Recording) -> bool:
    return recording.status == 200 and bool(recording.body)


def answers(recording: Recording) -> bool:
    return good(recording) and recording.path.endswith("/responses")


streams = corpus(*OTHERS, where=lambda r: good(r) and r.streamed)
plain = corpus(*OTHERS, where=lambda r: good(r) and not r.streamed)
own_streams = corpus(*OWN, where=lambda r: answers(r) and r.streamed)
own_plain = corpus(*OWN, where=lambda r: answers(r) and not r.streamed)


def ask(stream: bool) -> Ask:
    return Ask({"model": "asked", "messages": []}, "asked", stream, "chatcmpl-1", 1700000000, True)


def chat_stream(side: ProviderSide, body: bytes) -> bytes:
    progress = Progress()
    chunks = run(side.stream(ask(True), progress), [body])
    if progress.error is not None:
        pytest.skip(f"no answer in it: {progress.error.code}")
    return chunks


def chat_whole(side: ProviderSide, body: bytes) -> bytes:
    try:
        return side.whole(ask(False), body, Progress())
    except GatewayError as error:
        pytest.skip(f"no answer in it: {error.code}")


def said(response: Any) -> tuple[str, str, str, list[list[str]]]:
    """(text, refusal, reasoning, calls) as an app sees them."""
    text = refusal = reasoning = ""
    calls = []
    for item in response.output:
        if item.type == "message":
            for part in item.content:
                text += part.text if part.type == "output_text" else ""
                refusal += part.refusal if part.type == "refusal" else ""
        elif item.type == "reasoning":
            reasoning += "".join(part.text for part in item.summary)
        elif item.type == "function_call":
            calls.append([item.call_id, item.name, item.arguments])
    return text, refusal, reasoning, calls


def heard(answer: openai_sdk.Answer) -> tuple[str, str, str, list[list[str]]]:
    """The same of choice 0 of a chat."""
    calls = [[id, name, arguments or "{}"] for id, name, arguments in answer.calls.get(0, [])]
    return answer.text.get(0, ""), answer.refusal.get(0, ""), answer.reasoning.get(0, ""), calls


def assert_ended_alike(response: Json, answer: openai_sdk.Answer) -> None:
    cut = {"length": "max_output_tokens", "content_filter": "content_filter"}.get(answer.finish[0])
    assert response["status"] == ("incomplete" if cut else "completed")
    assert response["incomplete_details"] == ({"reason": cut} if cut else None)
    if answer.usage is not None:
        usage = response["usage"]
        counts = (usage["input_tokens"], usage["output_tokens"], usage["input_tokens_details"]["cached_tokens"])
        assert counts == answer.usage[:3]
        assert usage["output_tokens_details"]["reasoning_tokens"] == answer.usage[3]


@streams
def test_a_chat_stream_is_a_valid_response_stream_that_says_the_same(recording: Recording) -> None:
    chunks = chat_stream(SIDES[recording.raw["provider"]], recording.body)
    body = run(CLIENT.stream(REQUEST, "1"), [chunks])
    response = checked(body)
    answer = openai_sdk.read_stream(chunks)
    assert said(read_stream(body)) == heard(answer)
    assert_ended_alike(response, answer)
    assert (
        run(CLIENT.stream(REQUEST, "1"), [chunks[at : at + 1] for at in range(len(chunks))] if len(chunks) < 20_000 else [chunks]) == body
    )


@plain
def test_a_chat_completion_is_a_valid_response_that_says_the_same(recording: Recording) -> None:
    completion = chat_whole(SIDES[recording.raw["provider"]], recording.body)
    body = CLIENT.whole(REQUEST, completion)
    answer = openai_sdk.read_whole(completion)
    assert said(read_whole(body)) == heard(answer)
    assert_ended_alike(json.loads(body), answer)


@plain
def test_the_state_of_other_vendors_comes_back_with_the_next_request(recording: Recording) -> None:
    completion = chat_whole(SIDES[recording.raw["provider"]], recording.body)
    message = json.loads(completion)["choices"][0]["message"]
    output = json.loads(CLIENT.whole(REQUEST, completion))["output"]
    request = {"model": "m", "input": [{"role": "user", "content": "hi"}, *output]}
    CLIENT.check(request)
    turn = [*CLIENT.neutral(request)["messages"], {}][1]  # an answer may have been cut before its first word
    signed = [block for block in message.get("thinking_blocks") or [] if block.get("signature") or block.get("data")]
    assert (turn.get("thinking_blocks") or []) == signed
    assert (turn.get("content") or "") == (message.get("content") or "") or message.get("refusal") or message.get("images")
    assert (turn.get("reasoning_content") or "") == (message.get("reasoning_content") or "")
    assert google(turn) == google(message)
    for call, came in zip(turn.get("tool_calls") or [], message.get("tool_calls") or [], strict=True):
        assert google(call) == google(came)
        assert (call["id"], call["function"]["name"]) == (came["id"], came["function"]["name"])


def google(holder: Json) -> Any:
    return (holder.get("extra_content") or {}).get("google")


@own_streams
def test_a_response_stream_comes_back_from_the_chat(recording: Recording) -> None:
    chunks = chat_stream(ResponsesProvider(), recording.body)
    body = run(CLIENT.stream(recording.request, "1"), [chunks])
    response = checked(body)
    read_stream(body)
    last = recording.body.decode().rpartition("data: ")[2]
    assert_same(response, json.loads(last)["response"], streamed=True)


@own_plain
def test_a_response_comes_back_from_the_chat(recording: Recording) -> None:
    completion = chat_whole(ResponsesProvider(), recording.body)
    assert_same(json.loads(CLIENT.whole(recording.request, completion)), json.loads(recording.body))


def assert_same(response: Json, original: Json, *, streamed: bool = False) -> None:
    assert [normal(item, streamed) for item in response["output"]] == [normal(item, streamed) for item in original["output"]]
    assert response["id"] == original["id"] or not str(original["id"]).startswith("resp_")
    assert response["status"] == {"complete": "completed"}.get(original["status"], original["status"])
    assert response["model"] == original["model"]
    if original.get("usage"):
        for name in ("input_tokens", "output_tokens", "total_tokens"):
            assert response["usage"][name] == original["usage"][name]


def normal(item: Json, streamed: bool) -> Json:
    """An item without what stands for nothing. In a stream an id can come too late: the item has another then, and its state
    is in a seal. A program's fingerprint differs from event to event at OpenAI itself."""
    item = {name: value for name, value in item.items() if value not in (None, []) and name not in ("status", "fingerprint")}
    if item["type"] == "reasoning" and streamed:
        state = unseal(item.get("encrypted_content"))
        for detail in (state or {}).get("reasoning_details", []):
            item["id"] = detail["id"]
            if "data" in detail:
                item["encrypted_content"] = detail["data"]
        if state is not None and not any("data" in detail for detail in state.get("reasoning_details", [])):
            del item["encrypted_content"]
    if "content" in item:
        item["content"] = [{name: value for name, value in part.items() if value not in (None, [])} for part in item["content"]]
    return item


@streams
def test_a_stream_that_breaks_is_never_presented_as_whole(recording: Recording) -> None:
    chunks = chat_stream(SIDES[recording.raw["provider"]], recording.body)
    for outcome in (Outcome.UPSTREAM_BROKE, Outcome.DRAINED):
        half = chunks[: chunks.rfind(b"data: [DONE]") * 2 // 3]
        body = run(CLIENT.stream(REQUEST, "1"), [half], outcome)
        assert b"response.completed" not in body
        assert b"response.incomplete" not in body
        assert body == b"" or body.endswith(b"\n\n")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data())
def test_random_cuts_change_nothing(data: st.DataObject) -> None:
    found = recordings("anthropic/messages", "openai/chat", where=lambda r: good(r) and r.streamed)
    if not found:
        pytest.skip("no recordings")
    recording = data.draw(st.sampled_from(found))
    chunks = run(SIDES[recording.raw["provider"]].stream(ask(True), Progress()), [recording.body])
    cuts = sorted(data.draw(st.lists(st.integers(0, len(chunks)), max_size=12)))
    pieces = [chunks[start:end] for start, end in zip([0, *cuts], [*cuts, len(chunks)], strict=True)]
    assert events_of(run(CLIENT.stream(REQUEST, "1"), pieces)) == events_of(run(CLIENT.stream(REQUEST, "1"), [chunks]))
