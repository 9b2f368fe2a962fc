"""Requests and replies with Google's words in the wrong places: a 400 or an answer, never anything else."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgegate.dialects.base import Ask
from edgegate.dialects.gemini import (
    BatchEmbedClient,
    CountTokensClient,
    EmbedClient,
    GeminiProvider,
    GenerateClient,
    StreamClient,
    VertexProvider,
)
from edgegate.errors import GatewayError
from edgegate.taps import Outcome

_WORDS = (
    "contents content parts role text thought thoughtSignature thought_signature inlineData inline_data fileData fileUri mimeType data "
    "functionCall function_call name args id functionResponse response executableCode codeExecutionResult systemInstruction "
    "generationConfig generation_config temperature topK stopSequences maxOutputTokens responseSchema responseMimeType thinkingConfig "
    "thinkingBudget thinkingLevel responseModalities speechConfig voiceConfig prebuiltVoiceConfig voiceName responseLogprobs logprobs "
    "tools functionDeclarations parameters parametersJsonSchema googleSearch toolConfig functionCallingConfig mode allowedFunctionNames "
    "safetySettings labels serviceTier cachedContent type properties items nullable enum requests taskType outputDimensionality model "
    "generateContentRequest extra_content google order index delta message tool_calls function arguments images audio image_url url "
    "annotations url_citation start_index end_index finish_reason usage reasoning_content thinking_blocks logprobs token choices refusal"
)
VALUES_OF_NOTE = [
    "",
    "user",
    "model",
    "AUTO",
    "ANY",
    "LOW",
    "AUDIO",
    "ZWRnZWdhdGU6",
    "data:image/png;base64,AA",
    "STRING",
    "{}",
    "stop",
    "7",
]
SCALARS = st.none() | st.booleans() | st.integers(-3, 3) | st.floats(allow_nan=False) | st.sampled_from(VALUES_OF_NOTE)
KEYS = st.sampled_from(_WORDS.split())
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5), max_leaves=20
)
OBJECTS = st.dictionaries(KEYS, VALUES, max_size=6)
PARTS = st.lists(
    st.one_of(
        OBJECTS,
        st.builds(lambda rest, text: {**rest, "text": text}, OBJECTS, st.sampled_from(["a", ""])),
        st.builds(lambda name, args: {"functionCall": {"name": name, "args": args}}, st.sampled_from(["f", "g"]), OBJECTS | VALUES),
        st.builds(lambda rest: {"functionResponse": {"name": "f", "response": {}, **rest}}, OBJECTS),
    ),
    max_size=4,
)
CONTENTS = st.lists(st.builds(lambda role, parts: {"role": role, "parts": parts}, st.sampled_from(["user", "model"]), PARTS), max_size=4)
REQUESTS = st.builds(lambda rest, contents: {**rest, "contents": contents}, OBJECTS, CONTENTS) | OBJECTS
EASY = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


@contextlib.contextmanager
def refusals(status: int) -> Iterator[None]:
    """A refusal of this status is as good as an answer, and can be told to Gemini's clients."""
    try:
        yield
    except GatewayError as error:
        if error.status != status:
            raise
        orjson.loads(GenerateClient().error(error, "r"))


@EASY
@given(REQUESTS)
def test_odd_requests_are_answered_or_refused(request: dict[str, Any]) -> None:
    for client in (GenerateClient(), StreamClient(), CountTokensClient()):
        client.temperature(request)
        with refusals(400):
            client.check(request)
            chat = client.neutral(request)
            for provider in (GeminiProvider(), VertexProvider("p", "l")):
                ask = Ask(chat, "gemini-3-flash", client.streams(request), "x-1", 1)
                assert orjson.loads(provider.request(ask).body)["contents"]
                provider.count(ask)


@EASY
@given(st.builds(lambda rest, content, requests: {**rest, "content": content, "requests": requests}, OBJECTS, OBJECTS | VALUES, VALUES))
def test_odd_embeddings_are_made_or_refused(request: dict[str, Any]) -> None:
    for client in (EmbedClient(), BatchEmbedClient()):
        with refusals(400):
            client.check(request)
            neutral = client.neutral(request)
            for provider in (GeminiProvider(), VertexProvider("p", "l")):
                for model in ("gemini-embedding-001", "text-embedding-005"):
                    provider.embed(neutral, model)


CHOICES = st.lists(
    st.builds(lambda rest, delta, message: {**rest, "delta": delta, "message": message}, OBJECTS, OBJECTS | VALUES, OBJECTS | VALUES)
    | VALUES,
    max_size=3,
)
REPLIES = st.builds(lambda rest, choices: {**rest, "choices": choices}, OBJECTS, CHOICES | VALUES) | VALUES


@EASY
@given(REPLIES)
def test_odd_answers_are_written_or_refused(reply: Any) -> None:
    with refusals(502):
        orjson.loads(GenerateClient().whole({}, orjson.dumps(reply)))
    for array in (False, True):
        tap = StreamClient(array).stream({}, "r")
        out = tap.feed(b"data: " + orjson.dumps(reply) + b"\n\ndata: [DONE]\n\n") + tap.end(Outcome.OK)
        if array:
            orjson.loads(out)


@EASY
@given(
    st.builds(
        lambda rest, messages: {**rest, "messages": messages},
        OBJECTS,
        st.lists(
            st.builds(
                lambda message, role, extra: {**message, "role": role, "extra_content": {"google": extra}},
                OBJECTS,
                st.sampled_from(["user", "assistant", "tool"]),
                OBJECTS | VALUES,
            ),
            max_size=3,
        ),
    )
)
def test_odd_extras_of_a_chat_are_sent_or_refused(chat: dict[str, Any]) -> None:
    for provider in (GeminiProvider(), VertexProvider("p", "l")):
        with refusals(400):
            provider.request(Ask(chat, "gemini-3-flash", False, "x-1", 1))


def nested(levels: int) -> Any:
    value: Any = {}
    for _ in range(levels):
        value = {"a": value}
    return value


@pytest.mark.parametrize("levels", [40, 260, 900])
@pytest.mark.parametrize(
    "request_of",
    [
        lambda deep: {"contents": [deep]},
        lambda deep: {"contents": [{"parts": [{"text": "a"}]}], "tools": [{"functionDeclarations": [{"name": "f", "parameters": deep}]}]},
        lambda deep: {"contents": [{"parts": [{"text": "a"}]}], "generationConfig": {"responseSchema": deep}},
        lambda deep: {"contents": [{"role": "model", "parts": [{"functionCall": {"name": "f", "args": deep}}]}]},
        lambda deep: {"contents": [{"parts": [{"functionResponse": {"name": "f", "response": deep}}]}]},
        lambda deep: {"contents": [{"parts": [{"partMetadata": deep, "text": "a"}]}], "generationConfig": {"speechConfig": deep}},
    ],
)
def test_deep_nesting_is_no_crash(request_of: Any, levels: int) -> None:
    client = GenerateClient()
    request = request_of(nested(levels))
    with refusals(400):
        client.check(request)
        GeminiProvider().request(Ask(client.neutral(request), "gemini-3-flash", False, "x-1", 1))
