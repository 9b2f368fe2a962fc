"""Answers for Gemini's clients: recorded replies of several vendors, through their provider sides and our client side, as
google-genai reads them."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest
from google.genai import errors
from hypothesis import given, settings
from hypothesis import strategies as st

from edgegate.dialects.anthropic.provider import AnthropicProvider
from edgegate.dialects.base import Progress, ProviderSide
from edgegate.dialects.gemini import CountTokensClient, GeminiProvider, GenerateClient, StreamClient
from edgegate.dialects.gemini.models import Model, page, single
from edgegate.dialects.openai.provider import OpenAIProvider
from edgegate.errors import GatewayError, provider_error
from edgegate.taps import Outcome, Tap
from tests.corpus import Recording, corpus, recordings
from tests.wire.gemini_sdks import Answer, Sdks, ask_for

PROVIDERS: dict[str, ProviderSide] = {
    "gemini": GeminiProvider(),
    "vertex": GeminiProvider(),
    "anthropic": AnthropicProvider(),
    "openai": OpenAIProvider(),
}
GEMINI = ("gemini/generate", "vertex/generate")
EVERY = (*GEMINI, "anthropic/messages", "openai/chat")


@pytest.fixture(scope="module")
def sdks() -> Sdks:
    return Sdks()


def provider_of(recording: Recording) -> ProviderSide:
    return PROVIDERS[recording.file.parent.name]


def is_plain(recording: Recording) -> bool:
    return recording.status == 200 and "stream" not in recording.features


def is_stream(recording: Recording) -> bool:
    return recording.status == 200 and "stream" in recording.features


def chat_reply(recording: Recording) -> bytes | None:
    """The plain reply as a chat completion; None for an answer that was broken off."""
    try:
        return provider_of(recording).whole(ask_for(), recording.body, Progress())
    except GatewayError:
        return None


def chat_stream(recording: Recording) -> bytes:
    tap = provider_of(recording).stream(ask_for(stream=True), Progress())
    return tap.feed(recording.body) + tap.end(Outcome.OK)


def fed(tap: Tap, pieces: list[bytes], outcome: Outcome = Outcome.OK) -> bytes:
    return b"".join([tap.feed(piece) for piece in pieces]) + tap.end(outcome)


def assert_same(ours: Answer, theirs: Answer) -> None:
    """Equal in all but the ids of calls that the provider gave none, and the alphabet of signatures."""
    assert [(name, args, signature) for _, name, args, signature in ours.calls] == [
        (name, args, signature) for _, name, args, signature in theirs.calls
    ]
    for (id, *_), (original, *_) in zip(ours.calls, theirs.calls, strict=True):
        assert id
        assert original in (None, id)
    assert replace(ours, calls=[]) == replace(theirs, calls=[])


def by_openai(sdks: Sdks, chat: bytes, *, stream: bool) -> Answer:
    """What OpenAI's SDK reads in the chat, which is what the client's reply must say too."""
    first = re.search(rb'"id":"[^"]+"', chat)
    assert first is not None
    answer = sdks.by_openai(chat.replace(b'"id":"chatcmpl-0123abcd"', first[0]), stream=stream)  # of a usage chunk that was added
    if answer.finish == "function_call":
        answer.finish = "stop"
    return answer


@corpus(*GEMINI, where=is_plain)
def test_plain_reply_of_gemini_reads_the_same_after_two_translations(recording: Recording, sdks: Sdks) -> None:
    chat = chat_reply(recording)
    if chat is None:
        assert sdks.by_google(recording).finish == "OTHER"
        return
    body = GenerateClient().whole(recording.request, chat)
    assert_same(sdks.google_reads(body, stream=False), sdks.by_google(recording))


@corpus(*GEMINI, where=is_stream)
def test_stream_of_gemini_reads_the_same_after_two_translations(recording: Recording, sdks: Sdks) -> None:
    out = fed(StreamClient().stream({}, "r"), [chat_stream(recording)])
    assert_same(sdks.google_reads(out, stream=True), sdks.by_google(recording))


@corpus(*GEMINI, where=is_plain)
def test_grounding_of_gemini_comes_back_word_by_word(recording: Recording) -> None:
    original = json.loads(recording.body)
    chat = chat_reply(recording)
    if chat is None or isinstance(original, list):
        return
    ours = json.loads(GenerateClient().whole(recording.request, chat))
    for name in ("groundingMetadata", "urlContextMetadata", "citationMetadata"):
        assert ours["candidates"][0].get(name) == (original["candidates"][0].get(name) or None)
    assert ours["usageMetadata"]["totalTokenCount"] == original["usageMetadata"].get("totalTokenCount", 0)


@corpus(*GEMINI, where=is_stream)
def test_native_stream_becomes_an_array_of_the_same_responses(recording: Recording, sdks: Sdks) -> None:
    frames = StreamClient(array=True).frames()
    assert frames is not None
    body = recording.body
    out = fed(frames, [body[at : at + 97] for at in range(0, len(body), 97)])
    blocks = body.decode().replace("\r\n", "\n").split("\n\n")
    expected = json.loads(body) if body[:1] == b"[" else [json.loads(block.removeprefix("data:")) for block in blocks if block.strip()]
    assert json.loads(out) == expected


def sealed(answer: Answer) -> Answer:
    """Without signatures: the chat has none of Gemini's, the reply has seals."""
    calls: list[tuple[str | None, str, dict[str, Any], str | None]] = [(id, name, args, None) for id, name, args, _ in answer.calls]
    return replace(answer, calls=calls, signatures=[])


def is_chat(recording: Recording) -> bool:
    """Replies in the format of their folder, with arguments that are JSON."""
    return recording.status == 200 and not {"audio", "custom_tool"} & set(recording.features)


@corpus("anthropic/messages", "openai/chat", where=lambda recording: is_plain(recording) and is_chat(recording))
def test_plain_reply_of_others_reads_the_same(recording: Recording, sdks: Sdks) -> None:
    chat = chat_reply(recording)
    if chat is None:
        pytest.skip("no answer to translate")
    body = GenerateClient().whole({}, chat)
    message = json.loads(chat)["choices"][0]["message"]
    if message.get("tool_calls") and any(call["type"] != "function" for call in message["tool_calls"]):
        pytest.skip("a custom tool's call, which has no JSON")
    theirs = sealed(by_openai(sdks, chat, stream=False))
    theirs.text += (message.get("refusal") or "") + (message.get("audio") or {}).get("transcript", "")
    ours = sealed(sdks.google_reads(body, stream=False))
    if message.get("function_call"):
        assert [name for _, name, _, _ in ours.calls] == [message["function_call"]["name"]]
        return
    if theirs.finish != "tool_calls" and theirs.calls:  # a forced call finishes as stop at OpenAI
        theirs.finish = "tool_calls"
    assert ours == theirs


@corpus("anthropic/messages", "openai/chat", where=lambda recording: is_stream(recording) and is_chat(recording))
def test_stream_of_others_reads_the_same_framed_as_events_or_as_an_array(recording: Recording, sdks: Sdks) -> None:
    chat = chat_stream(recording)
    if not chat.endswith(b"data: [DONE]\n\n"):
        pytest.skip("a stream that was broken off")
    out = fed(StreamClient().stream({}, "r"), [chat])
    ours = sealed(sdks.google_reads(out, stream=True))
    theirs = sealed(by_openai(sdks, chat, stream=True))
    if theirs.finish != "tool_calls" and theirs.calls:
        theirs.finish = "tool_calls"
    theirs.text += "".join(refusals(chat))
    assert ours == theirs
    items = json.loads(fed(StreamClient(array=True).stream({}, "r"), [chat]))
    assert b"".join(b"data: " + json.dumps(item).encode() + b"\r\n\r\n" for item in items)
    assert items == [json.loads(event[6:]) for event in out.split(b"\r\n\r\n") if event]


def refusals(chat: bytes) -> list[str]:
    events = [json.loads(event[6:]) for event in chat.split(b"\n\n") if event and not event.endswith(b"[DONE]")]
    return [choice["delta"]["refusal"] for event in events for choice in event["choices"] if choice["delta"].get("refusal")]


@corpus("anthropic/messages", where=lambda recording: recording.status == 200 and "reasoning" in recording.features)
def test_anthropics_thinking_comes_back_through_googles_sdk(recording: Recording, sdks: Sdks) -> None:
    """Reply -> Gemini's client -> google-genai -> its next request -> chat: Anthropic's blocks are the same."""
    chat = chat_stream(recording) if is_stream(recording) else chat_reply(recording)
    if chat is None:
        pytest.skip("no answer to translate")
    if is_stream(recording):
        events = [json.loads(event[6:]) for event in chat.split(b"\n\n") if event and not event.endswith(b"[DONE]")]
        deltas = [choice["delta"] for event in events for choice in event["choices"]]
        blocks = [block for delta in deltas for block in delta.get("thinking_blocks", [])]
        sdks.body, sdks.kind = fed(StreamClient().stream({}, "r"), [chat]), "text/event-stream"
        talk = sdks.google.chats.create(model="m")
        list(talk.send_message_stream("Why?"))
    else:
        blocks = json.loads(chat)["choices"][0]["message"].get("thinking_blocks", [])
        sdks.body, sdks.kind = GenerateClient().whole({}, chat), "application/json"
        talk = sdks.google.chats.create(model="m")
        talk.send_message("Why?")
    sdks.body, sdks.kind = b'{"candidates":[{"content":{"parts":[{"text":"."}],"role":"model"},"finishReason":"STOP"}]}', "application/json"
    talk.send_message("And?")
    request = json.loads(sdks.sent[-1].content)
    GenerateClient().check(request)
    messages = GenerateClient().neutral(request)["messages"]
    assert [block for message in messages for block in message.get("thinking_blocks", [])] == blocks
    sent = GeminiProvider().request(ask_for({"messages": messages})).body
    assert b"ZWRnZWdhdGU6" not in sent, "no vendor is sent a seal"


STREAMS = recordings(*EVERY, where=lambda recording: is_stream(recording) and len(recording.body) < 200_000)


@pytest.mark.skipif(not STREAMS, reason="no recordings")
@settings(max_examples=80, deadline=None)
@given(st.data(), st.booleans())
def test_stream_in_any_pieces_gives_the_same_bytes(data: st.DataObject, array: bool) -> None:
    chat = chat_stream(data.draw(st.sampled_from(STREAMS)))
    cuts = sorted(data.draw(st.sets(st.integers(0, len(chat)), max_size=20)))
    pieces = [chat[start:end] for start, end in zip([0, *cuts], [*cuts, len(chat)], strict=True)]
    client = StreamClient(array)
    assert fed(client.stream({}, "r"), pieces) == fed(client.stream({}, "r"), [chat])


@corpus("openai/chat", where=lambda recording: is_stream(recording) and len(recording.body) < 20_000)
def test_stream_byte_by_byte_gives_the_same_bytes(recording: Recording) -> None:
    chat = chat_stream(recording)
    for array in (False, True):
        client = StreamClient(array)
        pieces = [chat[at : at + 1] for at in range(len(chat))]
        assert fed(client.stream({}, "r"), pieces) == fed(client.stream({}, "r"), [chat])


ERROR = provider_error(429, "rate_limit_exceeded", "Slow down", retry_after_s=12)


def test_googles_sdk_raises_our_error_in_a_stream(sdks: Sdks) -> None:
    client = StreamClient()
    chat = b'data: {"id":"x","model":"m","choices":[{"index":0,"delta":{"content":"Hel"}}]}\n\n'
    tap = client.stream({}, "r")
    out = fed(tap, [chat], Outcome.UPSTREAM_BROKE) + client.error_event(ERROR, "r")
    with pytest.raises(errors.APIError) as error:
        sdks.google_reads(out, stream=True)
    assert (error.value.code, error.value.status, error.value.message) == (429, "RESOURCE_EXHAUSTED", "Slow down")


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("native", [False, True])
def test_array_that_breaks_is_valid_json_and_ends_with_the_error(begun: bool, native: bool) -> None:
    client = StreamClient(array=True)
    chat = b'data: {"id":"x","model":"m","choices":[{"index":0,"delta":{"content":"Hel"}}]}\n\n'
    tap = client.frames() if native else client.stream({}, "r")
    assert tap is not None
    out = fed(tap, [chat] if begun else [], Outcome.UPSTREAM_BROKE) + client.error_event(ERROR, "r")
    *items, last = json.loads(out)
    assert len(items) == begun
    assert last["error"]["code"] == 429


def test_googles_sdk_reads_counted_tokens_and_models(sdks: Sdks) -> None:
    sdks.kind = "application/json"
    sdks.body = CountTokensClient().whole({}, b'{"input_tokens": 12}')
    assert sdks.google.models.count_tokens(model="m", contents="Why?").total_tokens == 12
    sdks.body = single(Model("claude-x", "Claude X"))
    found = sdks.google.models.get(model="claude-x")
    assert (found.name, found.display_name, found.supported_actions) == ("models/claude-x", "Claude X", ["generateContent", "countTokens"])
    models = [Model(f"m-{number}") for number in range(5)]
    sdks.body = page(models, page_size="2", page_token="m-1")
    listed = sdks.google.models.list(config={"page_size": 2})
    assert [model.name for model in listed.page] == ["models/m-2", "models/m-3"]
    assert json.loads(page(models, page_size="2", page_token="m-2")).get("nextPageToken") is None


def test_googles_sdk_reads_embeddings(sdks: Sdks) -> None:
    from edgegate.dialects.gemini import BatchEmbedClient

    reply: dict[str, Any] = {"data": [{"embedding": [0.5, 1]}, {"embedding": "AACAPw=="}], "usage": {"prompt_tokens": 3}}
    sdks.kind = "application/json"
    sdks.body = BatchEmbedClient().whole({}, json.dumps(reply).encode())
    found = sdks.google.models.embed_content(model="m", contents=["a", "b"])
    assert [item.values for item in found.embeddings or []] == [[0.5, 1], [1.0]]
    request = json.loads(sdks.sent[-1].content)
    assert BatchEmbedClient().neutral(request) == {"input": ["a", "b"], "encoding_format": "float"}
