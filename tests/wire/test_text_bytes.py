"""How much of an answer is seen, on recorded replies: what estimates are made of where a provider reports no usage.

A token is taken for four bytes. Of a single answer in words that is wrong by a factor of `FACTOR` at most, of all of a dialect
together by `TOGETHER`. Calls and marks of citations cost more than is seen of them: names and the vendor's own brackets are tokens too,
so an answer with them is never taken for much more than it is, but for less (`FACTOR` upwards only). Answers with reasoning that nobody
is shown, sound, pictures or tools that the vendor runs are left out: what is not seen is not counted.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from edgegate.config.model import ProviderOptions
from edgegate.config.stages import TranslateOptions
from edgegate.dialects.amount import body_size, delta_size
from edgegate.dialects.base import Ask, Progress, ProviderSide
from edgegate.errors import GatewayError
from edgegate.server.build import provider_side
from edgegate.taps import Outcome, Tap
from tests.corpus import Recording, recordings

FACTOR = 2.0
TOGETHER = 1.25
ENOUGH = 40
"""Tokens below which the ratio of one answer says nothing."""

FOLDERS = {
    "openai": ("openai/chat", "azure/chat", "cerebras/chat", "groq/chat", "together/chat", "huggingface/chat", "writer/chat"),
    "deepseek": ("deepseek/chat", "openrouter/chat", "zai/chat"),
    "openai-responses": ("openai/responses",),
    "anthropic": ("anthropic/messages",),
    "gemini": ("gemini/generate", "vertex/generate"),
    "mistral": ("mistral/chat",),
    "cohere": ("cohere/chat",),
    "bedrock": ("bedrock/converse",),
    "ollama": ("ollama/chat", "ollama/generate"),
}
NATIVE = {
    "openai": "openai.chat",
    "deepseek": "openai.chat",
    "openai-responses": "openai.responses",
    "anthropic": "anthropic.messages",
    "gemini": "gemini.stream",
    "mistral": "mistral.chat",
    "cohere": "cohere.chat",
    "bedrock": "bedrock.converse",
    "ollama": "ollama.chat",
}
CALLS = (b'"tool_use"', b'"tool_calls":[', b'"tool_calls": [', b'"toolUse"', b"functionCall", b"function_call", b'"citations":[{')
UNSEEN = (b'"audio"', b'"inlineData"', b"server_tool_use", b"web_search", b"groundingMetadata", b"redacted", b'"encrypted_content":"')


def side(dialect: str) -> ProviderSide:
    return provider_side(dialect, ProviderOptions(project="p"), TranslateOptions())


def ask_for(recording: Recording) -> Ask:
    return Ask({"messages": [], "n": recording.request.get("n"), "model": "m"}, "m", recording.streamed, "id", 0)


def tap_of(dialect: str, recording: Recording, progress: Progress, *, native: bool) -> Tap:
    ask = ask_for(recording)
    if not native:
        return side(dialect).stream(ask, progress)
    path = recording.path
    return side(dialect).watch("ollama.generate" if path.endswith("/generate") else NATIVE[dialect], ask, progress)


def streams(dialect: str) -> list[Recording]:
    return recordings(*FOLDERS[dialect], where=lambda r: r.status == 200 and r.raw["response"].keys().isdisjoint({"json"}) and bool(r.body))


def plain(dialect: str) -> list[Recording]:
    return recordings(*FOLDERS[dialect], where=lambda r: r.status == 200 and "json" in r.raw["response"])


def heard(dialect: str, recording: Recording, *, native: bool) -> Progress:
    progress = Progress()
    tap = tap_of(dialect, recording, progress, native=native)
    tap.feed(recording.body)
    tap.end(Outcome.OK)
    return progress


def read(dialect: str, recording: Recording) -> Progress:
    """A plain reply, as translate reads it."""
    progress = Progress()
    side(dialect).whole(ask_for(recording), recording.body, progress)
    progress.text_bytes = body_size(recording.body)
    return progress


def seen(recording: Recording, progress: Progress) -> bool:
    usage = progress.usage
    hidden = usage.reasoning_tokens or usage.output_audio_tokens or usage.output_image_tokens
    return usage.reported and not hidden and not any(mark in recording.body for mark in UNSEEN)


def compare(answers: list[tuple[Recording, Progress]]) -> None:
    """What would be estimated with what was reported, of each answer that can be compared."""
    words: list[tuple[str, float, int]] = []
    calls: list[tuple[str, float, int]] = []
    for recording, done in answers:
        if seen(recording, done) and done.usage.output_tokens >= ENOUGH:
            row = (recording.file.name, done.text_bytes / 4, done.usage.output_tokens)
            (calls if any(mark in recording.body for mark in CALLS) else words).append(row)
    if not words and not calls:
        pytest.skip("no recorded answer can be compared")
    assert [row for row in words if not row[2] / FACTOR <= row[1] <= row[2] * FACTOR] == []
    assert [row for row in calls if row[1] > row[2] * FACTOR] == []
    if words:
        assert 1 / TOGETHER < sum(row[1] for row in words) / sum(row[2] for row in words) < TOGETHER


def all_heard(dialect: str, *, native: bool) -> list[tuple[Recording, Progress]]:
    done = [(recording, heard(dialect, recording, native=native)) for recording in streams(dialect)]
    return [(recording, progress) for recording, progress in done if progress.error is None]


def all_read(dialect: str) -> list[tuple[Recording, Progress]]:
    done = []
    for recording in plain(dialect):
        try:
            done.append((recording, read(dialect, recording)))
        except GatewayError:
            continue  # an error in a 200
    return done


@pytest.mark.parametrize("dialect", FOLDERS)
@pytest.mark.parametrize("native", [False, True], ids=["translated", "native"])
def test_the_text_of_a_stream_tells_its_output_tokens(dialect: str, native: bool) -> None:
    compare(all_heard(dialect, native=native))


@pytest.mark.parametrize("dialect", FOLDERS)
def test_the_text_of_a_plain_reply_tells_its_output_tokens(dialect: str) -> None:
    compare(all_read(dialect))


@pytest.mark.parametrize("dialect", FOLDERS)
def test_a_stream_passed_on_is_counted_as_one_that_is_translated(dialect: str) -> None:
    differing = [
        (recording.file.name, progress.text_bytes, twin.text_bytes)
        for (recording, progress), (_, twin) in zip(all_heard(dialect, native=False), all_heard(dialect, native=True), strict=False)
        if abs(progress.text_bytes - twin.text_bytes) > 0.02 * progress.text_bytes + 8
    ]
    assert differing == []


def cuts(size: int) -> list[int]:
    return sorted({*range(0, size, max(1, size // 60)), size})


@pytest.mark.parametrize("dialect", FOLDERS)
@pytest.mark.parametrize("native", [False, True], ids=["translated", "native"])
def test_what_is_seen_of_a_stream_only_grows_and_is_the_same_however_it_is_cut(dialect: str, native: bool) -> None:
    for recording in [recording for recording in streams(dialect) if len(recording.body) < 200_000][:25]:
        whole = heard(dialect, recording, native=native).text_bytes
        progress = Progress()
        tap = tap_of(dialect, recording, progress, native=native)
        last = 0
        places = cuts(len(recording.body))
        for start, stop in pairwise(places):
            tap.feed(recording.body[start:stop])
            assert last <= progress.text_bytes <= whole, (recording.file.name, stop)
            last = progress.text_bytes
        tap.end(Outcome.UPSTREAM_BROKE)
        assert last <= progress.text_bytes <= whole
        tap = tap_of(dialect, recording, progress := Progress(), native=native)
        for start, stop in pairwise(places):
            tap.feed(recording.body[start:stop])
        tap.end(Outcome.OK)
        assert progress.text_bytes == whole, recording.file.name


@pytest.mark.parametrize(
    ("body", "size"),
    [
        (b"{}", 0),
        (b"no JSON", 0),
        (b'[{"candidates":[{"content":{"parts":[{"text":"ab"}]}}]},{"candidates":[{"content":{"parts":[{"text":"c"}]}}]}]', 3),
        ('{"choices":[{"message":{"content":"äö","tool_calls":[{"function":{"name":"f","arguments":"{}"}}]}}]}'.encode(), 6),
        (b'{"choices":[{"message":{"content":null,"reasoning":"abc","reasoning_content":"abc"}}]}', 3),
        (b'{"choices":[{"text":"abc","logprobs":{"tokens":["x"]}}],"prompt":"not this"}', 3),
        (b'{"content":[{"type":"thinking","thinking":"ab","signature":"xxxx"},{"type":"tool_use","input":{"a":1}}]}', 9),
        (b'{"instructions":"not this","output":[{"type":"reasoning","summary":[{"text":"ab"}]},{"content":[{"text":"c"}]}]}', 3),
        (b'{"message":{"tool_plan":"ab","content":[{"type":"text","text":"c"}]}}', 3),
        (b'{"model":"m","response":"abc","thinking":"d","context":[1,2]}', 4),
        (
            b'{"output":{"message":{"content":[{"toolUse":{"name":"f","input":{}}},{"reasoningContent":{"reasoningText":{"text":"a"}}}]}}}',
            1,
        ),
    ],
)
def test_a_whole_reply_is_counted_by_its_answer_alone(body: bytes, size: int) -> None:
    assert body_size(body) == size


def test_a_delta_may_say_anything() -> None:
    odd: list[Any] = [{"content": 3}, {"tool_calls": [3, {}, {"function": 3}]}, {"tool_calls": {}}, {"refusal": None}, {"audio": []}]
    assert [delta_size(delta) for delta in odd] == [0] * len(odd)
    assert delta_size({"content": [{"type": "text", "text": "ab"}]}) == 2
    assert delta_size({"content": "a", "reasoning_content": None, "refusal": "bc"}) == 3
    assert delta_size({"audio": {"transcript": "abc", "data": "AAAA"}}) == 3
    assert delta_size({"content": "\ud83d"}) == 3
