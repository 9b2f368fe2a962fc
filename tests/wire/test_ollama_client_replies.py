"""Apps that know only Ollama, in front of other providers: what Ollama's own SDK reads from our replies, plain and streamed, is what
OpenAI's reads from the chat between, for recorded replies of Anthropic, OpenAI, Mistral and of Ollama itself."""

from __future__ import annotations

from itertools import pairwise

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgegate.dialects.anthropic.provider import AnthropicProvider
from edgegate.dialects.base import Progress, ProviderSide
from edgegate.dialects.compat import COMPAT
from edgegate.dialects.mistral.provider import MistralProvider
from edgegate.dialects.ollama.client import OllamaChatClient, OllamaGenerateClient
from edgegate.dialects.ollama.provider import OllamaProvider
from edgegate.taps import Outcome
from tests.corpus import Recording, corpus, recordings
from tests.wire.mistral_ollama_sdks import Answer, ask_for, by_ollama, by_openai, fed, translated

CHAT, GENERATE = OllamaChatClient(), OllamaGenerateClient()
REQUEST = {"model": "asked", "messages": [{"role": "user", "content": "Why?"}]}
PROVIDERS: dict[str, ProviderSide] = {
    "ollama": OllamaProvider(),
    "mistral": MistralProvider(),
    "anthropic": AnthropicProvider(),
    "openai": COMPAT["openai"].provider(),
}
FOLDERS = ("openai/chat", "anthropic/messages", "mistral/chat", "ollama/chat", "ollama/completions")


def is_answer(recording: Recording) -> bool:
    return (
        recording.status == 200 and bool(recording.body) and (recording.raw["provider"] != "ollama" or recording.path.startswith("/api/"))
    )


def has_calls(recording: Recording) -> bool:
    return any(word in recording.body for word in (b"tool_use", b"tool_calls", b"function_call"))


def side_of(recording: Recording) -> ProviderSide:
    return PROVIDERS[recording.raw["provider"]]


def in_ollamas_words(answer: Answer) -> Answer:
    """Ollama has no word for a filter, and calls end in `stop`, which the reader of the test calls `tool_calls`."""
    told = answer.without_ids()
    told.counts = told.counts or (0, 0, 0)
    if told.finish == "length":
        return told
    told.finish = "tool_calls" if told.calls else "stop"
    return told


@corpus(*FOLDERS, where=is_answer)
def test_ollamas_sdk_reads_from_a_chat_reply_what_openais_reads_from_the_chat(recording: Recording) -> None:
    side, stream = side_of(recording), recording.streamed
    chat, progress = translated(side, recording.body, stream=stream)
    assert progress.error is None
    expected = in_ollamas_words(by_openai(chat, stream=stream))
    if stream:
        out = fed(CHAT.stream(REQUEST, "i"), [chat])
        assert all(orjson.loads(line)["done"] is False for line in out.splitlines()[:-1])
    else:
        out = CHAT.whole(REQUEST, chat)
    found = by_ollama(out, stream=stream)
    expected.text = found.text if found.text == expected.text + _refusal(chat, stream=stream) else expected.text
    assert found == expected


def _refusal(chat: bytes, *, stream: bool) -> str:
    """What OpenAI's models say in the field `refusal` is text to Ollama's clients."""
    if not stream:
        return orjson.loads(chat)["choices"][0]["message"].get("refusal") or ""
    chunks = [orjson.loads(event[6:]) for event in chat.split(b"\n\n") if event.startswith(b"data: {")]
    return "".join(choice["delta"].get("refusal") or "" for chunk in chunks for choice in chunk["choices"])


@corpus(*FOLDERS, where=lambda r: is_answer(r) and not has_calls(r))
def test_ollamas_sdk_reads_the_same_from_generate(recording: Recording) -> None:
    stream = recording.streamed
    chat, _ = translated(side_of(recording), recording.body, stream=stream)
    if stream:
        of_chat, of_generate = fed(CHAT.stream(REQUEST, "i"), [chat]), fed(GENERATE.stream(REQUEST, "i"), [chat])
    else:
        of_chat, of_generate = CHAT.whole(REQUEST, chat), GENERATE.whole(REQUEST, chat)
    assert by_ollama(of_generate, stream=stream, generate=True) == by_ollama(of_chat, stream=stream)


@corpus("ollama/chat", "ollama/completions", where=is_answer)
def test_an_ollama_reply_that_went_through_the_chat_reads_as_it_was_recorded(recording: Recording) -> None:
    generate, stream = recording.path == "/api/generate", recording.streamed
    client = GENERATE if generate else CHAT
    chat, _ = translated(PROVIDERS["ollama"], recording.body, stream=stream)
    out = fed(client.stream(REQUEST, "i"), [chat]) if stream else client.whole(REQUEST, chat)
    assert by_ollama(out, stream=stream, generate=generate) == by_ollama(recording.body, stream=stream, generate=generate)
    lines = (out if stream else out + b"\n").splitlines()
    given = (recording.body if stream else recording.body + b"\n").splitlines()
    last, recorded = orjson.loads(lines[-1]), orjson.loads(given[-1])
    assert set(recorded) - {"context", "message"} <= set(last) | {"prompt_eval_count"}
    assert {type(last[name]) for name in last if name.endswith(("_duration", "_count"))} == {int}


STREAMS = [
    translated(side_of(recording), recording.body, stream=True)[0]
    for folder in ("openai/chat", "anthropic/messages", "mistral/chat", "ollama/chat")
    for recording in recordings(folder, where=lambda r: is_answer(r) and r.streamed)[:6]
]


@pytest.mark.parametrize("generate", [False, True])
@pytest.mark.parametrize("chat", STREAMS, ids=range(len(STREAMS)))
def test_a_stream_fed_byte_by_byte_is_written_the_same(chat: bytes, generate: bool) -> None:
    client = GENERATE if generate else CHAT
    expected = fed(client.stream(REQUEST, "i"), [chat])
    assert fed(client.stream(REQUEST, "i"), [chat[at : at + 1] for at in range(len(chat))]) == expected
    assert expected.endswith(b"\n")


if STREAMS:

    @given(st.sampled_from(STREAMS), st.lists(st.integers(0, 20_000), max_size=10))
    def test_a_stream_cut_anyhow_is_written_the_same(chat: bytes, cuts: list[int]) -> None:
        edges = [0, *sorted(min(cut, len(chat)) for cut in cuts), len(chat)]
        parts = [chat[a:b] for a, b in pairwise(edges)]
        assert fed(CHAT.stream(REQUEST, "i"), parts) == fed(CHAT.stream(REQUEST, "i"), [chat])


@pytest.mark.parametrize("chat", STREAMS, ids=range(len(STREAMS)))
def test_a_stream_that_breaks_off_is_never_presented_as_whole(chat: bytes) -> None:
    for at in range(0, chat.index(b"data: [DONE]"), 211):
        tap = CHAT.stream(REQUEST, "i")
        out = tap.feed(chat[:at]) + tap.end(Outcome.UPSTREAM_BROKE)
        assert b'"done":true' not in out
        assert out == b"" or out.endswith(b"\n")


@corpus("ollama/chat", "ollama/completions", where=lambda r: is_answer(r) and r.streamed)
def test_native_streams_go_by_unchanged_in_whole_lines_at_any_cut(recording: Recording) -> None:
    side, body = PROVIDERS["ollama"], recording.body
    _, expected = translated(side, body, stream=True)
    for size in (1, 7, 300, len(body)):
        progress = Progress()
        tap = side.watch("ollama.generate", ask_for(stream=True), progress)
        outs = [tap.feed(body[at : at + size]) for at in range(0, len(body), size)]
        assert all(out == b"" or out.endswith(b"\n") for out in outs)
        assert b"".join(outs) + tap.end(Outcome.OK) == body
        assert (progress.usage, progress.finish_reason, progress.model, progress.finished) == (
            expected.usage,
            expected.finish_reason,
            expected.model,
            True,
        )
