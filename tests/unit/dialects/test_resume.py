"""One answer out of several streams: what the caller reads is whole and one model's words, or nothing is claimed."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgegate.dialects.anthropic.provider import AnthropicProvider
from edgegate.dialects.base import Ask, Prefiller, Progress, Usage
from edgegate.dialects.bedrock.provider import BedrockProvider
from edgegate.dialects.chat import DONE, ChunkWriter
from edgegate.dialects.cohere.provider import CohereProvider
from edgegate.dialects.compat import COMPAT
from edgegate.dialects.gemini.provider import GeminiProvider
from edgegate.dialects.mistral.provider import MistralProvider
from edgegate.dialects.ollama.provider import OllamaProvider
from edgegate.dialects.openai.watch import PassThrough
from edgegate.dialects.responses.provider import ResponsesProvider
from edgegate.dialects.resume import Sent, Splice, is_continuable, prefilled, total
from edgegate.routing.catalog import Provider, Target
from edgegate.routing.prefill import accepts_prefill

FIRST = ChunkWriter("chatcmpl-first", 1, "one")
SECOND = ChunkWriter("chatcmpl-second", 2, "two")
CHAT: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Tell me."}]}

texts = st.text(alphabet='ab é\n"\\', max_size=12)
places = st.lists(st.integers(0, 30), max_size=3)


def cut(text: str, at: list[int]) -> list[str]:
    """The text in pieces, cut at these places."""
    marks = [0, *sorted(place % (len(text) + 1) for place in at), len(text)]
    return [text[a:b] for a, b in itertools.pairwise(marks)]


def stream(writer: ChunkWriter, pieces: list[str], *, finish: str = "stop", usage: Usage | None = None) -> bytes:
    out = writer.role() + b"".join(writer.text(piece) for piece in pieces)
    out += writer.finish(finish) if finish else b""
    out += writer.usage(usage) if usage is not None else b""
    return out + (DONE if finish else b"")


def chunks(data: bytes) -> list[dict[str, Any]]:
    return [json.loads(event[6:]) for event in data.split(b"\n\n") if event.startswith(b"data: {")]


def text_of(data: bytes) -> str:
    return "".join(choice["delta"].get("content") or "" for chunk in chunks(data) for choice in chunk["choices"])


def fed(tap: Any, data: bytes, sizes: list[int]) -> bytes:
    """What a tap makes of bytes that come in pieces of these sizes, then all the rest."""
    out, at = b"", 0
    for size in sizes:
        out += tap.feed(data[at : at + size]) or b""
        at += size
    return out + (tap.feed(data[at:]) or b"")


def sent(data: bytes) -> Sent:
    made = Sent()
    made.feed(data)
    return made


@given(st.text(max_size=30), st.lists(st.integers(0, 30), max_size=4), st.lists(st.integers(1, 60), max_size=12))
def test_the_text_so_far_is_known_however_the_bytes_come(text: str, at: list[int], sizes: list[int]) -> None:
    made = Sent()
    data = stream(FIRST, cut(text, at), finish="")
    place = 0
    for size in sizes:
        made.feed(data[place : place + size])
        place += size
    made.feed(data[place:])
    assert (made.text, made.fixed, made.finished) == (text, "", False)
    assert made.head == {"id": "chatcmpl-first", "created": 1, "model": "one"}


@given(
    texts,
    texts,
    st.lists(st.integers(0, 30), max_size=3),
    st.lists(st.integers(0, 30), max_size=3),
    st.lists(st.integers(1, 80), max_size=9),
)
def test_what_another_model_goes_on_writing_makes_the_answer_whole(
    begin: str, rest: str, at: list[int], later: list[int], sizes: list[int]
) -> None:
    first = stream(FIRST, cut(begin, at), finish="")
    made = sent(first)
    splice = Splice(made, Usage(), blanks=begin[len(begin.rstrip()) :])
    out = first + fed(splice, stream(SECOND, cut(rest, later)), sizes)
    blanks = begin[len(begin.rstrip()) :]
    known = next(n for n in range(min(len(blanks), len(rest)), -1, -1) if rest[:n] == blanks[:n])
    assert text_of(out) == begin + rest[known:]
    assert made.text == text_of(out)
    assert not splice.diverged
    assert out.endswith(DONE)
    assert out.count(b'"role"') == 1
    assert [c["finish_reason"] for chunk in chunks(out) for c in chunk["choices"] if c["finish_reason"]] == ["stop"]
    assert {(chunk["id"], chunk["created"], chunk["model"]) for chunk in chunks(out)} == {("chatcmpl-first", 1, "one")}


@given(
    texts,
    texts,
    st.lists(st.integers(0, 30), max_size=3),
    st.lists(st.integers(0, 30), max_size=3),
    st.lists(st.integers(1, 80), max_size=9),
)
def test_a_new_answer_goes_on_where_the_old_one_broke_or_not_at_all(
    begin: str, whole: str, at: list[int], later: list[int], sizes: list[int]
) -> None:
    first = stream(FIRST, cut(begin, at), finish="")
    made = sent(first)
    splice = Splice(made, Usage(), again=begin)
    out = fed(splice, stream(SECOND, cut(whole, later)), sizes)
    splice.end()
    assert splice.diverged is not whole.startswith(begin)
    if splice.diverged:
        assert out == b""
    else:
        assert text_of(first + out) == whole
        assert out.endswith(DONE)


@given(texts, texts, st.lists(st.integers(0, 30), max_size=4), st.integers(0, 30), st.integers(0, 30))
def test_a_stream_that_breaks_twice_is_still_one_answer(begin: str, rest: str, at: list[int], one: int, two: int) -> None:
    whole = begin + rest
    first, second = sorted((one % (len(whole) + 1), two % (len(whole) + 1)))
    out = stream(FIRST, cut(whole[:first], at), finish="")
    made = sent(out)
    out += Splice(made, Usage(), again=made.text).feed(stream(SECOND, cut(whole[:second], at), finish=""))
    assert made.text == text_of(out) == whole[:second]
    out += Splice(made, Usage(), again=made.text).feed(stream(SECOND, cut(whole, at)))
    assert text_of(out) == whole


def test_a_new_answer_that_ends_too_early_is_another_answer() -> None:
    for last in (SECOND.finish("stop"), DONE, SECOND.call(0, "id", "f")):
        splice = Splice(sent(FIRST.text("Hello wor")), Usage(), again="Hello wor")
        assert splice.feed(SECOND.text("Hello") + last) == b""
        assert splice.diverged


def test_a_new_answer_that_calls_a_tool_behind_the_text_is_whole() -> None:
    splice = Splice(sent(FIRST.text("Let me see.")), Usage(), again="Let me see.")
    out = splice.feed(SECOND.text("Let me see.") + SECOND.call(0, "call_1", "look") + SECOND.finish("tool_calls"))
    assert next(chunk["choices"][0]["delta"] for chunk in chunks(out))["tool_calls"][0]["function"]["name"] == "look"


def test_odd_chunks_of_a_native_stream_are_understood() -> None:
    raw = (
        b'data:{"id": "" , "choices":[],"prompt_filter_results":[]}\r\n\r\n: ping\r\n\r\n'
        b'data: {"id":"x","choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null}}]}\r\n\r\n'
        b'data: {"id":"x","model":"y","obfuscation":"qq","choices":[{"index":0,\r\ndata: "delta":{"content":"Hi","token_id":7}}]}\r\n\r\n'
    )
    progress = Progress()
    through = PassThrough(progress, 1, False).feed(raw)
    made = sent(through)
    assert (made.text, made.fixed, made.head) == ("Hi", "", {"id": "x"})


@pytest.mark.parametrize(
    "delta",
    [
        {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f"}}]},
        {"function_call": {"name": "f"}},
        {"audio": {"id": "a"}},
        {"images": [{}]},
        {"refusal": "I"},
        {"annotations": [{}]},
        {"provider_items": [{}]},
        {"content": [{"type": "text", "text": "a"}]},
    ],
)
def test_what_no_text_tells_rules_out_going_on(delta: dict[str, Any]) -> None:
    assert sent(FIRST.text("Hi") + FIRST.delta(delta)).fixed == next(iter(delta))


def test_a_second_choice_or_broken_json_rules_it_out_too() -> None:
    assert sent(FIRST.delta({"content": "a"}, 1)).fixed == "choices"
    assert sent(b"data: {oh\n\n").fixed == "stream"
    assert sent(FIRST.finish("stop")).finished


def test_reasoning_goes_on_before_the_text_and_is_not_compared() -> None:
    made = sent(FIRST.reasoning("Hm, "))
    splice = Splice(made, Usage(), again=made.text)
    signed = SECOND.delta({"thinking_blocks": [{"type": "thinking", "thinking": "so", "signature": "s"}]})
    out = splice.feed(SECOND.reasoning("so") + signed + SECOND.text("Hi") + SECOND.finish("stop"))
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks(out)]
    assert deltas == [{"reasoning_content": "so"}, {"content": "Hi"}, {}]  # a signature is for the whole of it, which nobody has


def test_no_reasoning_follows_the_text_of_another_model() -> None:
    splice = Splice(sent(FIRST.text("Hi")), Usage(), again="Hi")
    out = splice.feed(SECOND.reasoning("so") + SECOND.text("Hi you"))
    assert [chunk["choices"][0]["delta"] for chunk in chunks(out)] == [{"content": " you"}]


def test_logprobs_of_a_cut_piece_are_left_out() -> None:
    splice = Splice(sent(FIRST.text("Hel")), Usage(), again="Hel")
    probs = {"content": [{"token": "Hello"}]}
    out = splice.feed(SECOND.delta({"content": "Hello"}, logprobs=probs) + SECOND.delta({"content": "!"}, logprobs=probs))
    assert [chunk["choices"][0]["logprobs"] for chunk in chunks(out)] == [None, probs]


def test_usage_is_the_sum_of_what_was_reported() -> None:
    spent = Usage(input_tokens=10, output_tokens=4, cached_tokens=2, reported=True)
    second = stream(SECOND, ["b"], usage=Usage(input_tokens=14, output_tokens=6, reasoning_tokens=3, reported=True))
    (told,) = [c["usage"] for c in chunks(Splice(sent(FIRST.text("a")), spent, again="").feed(second)) if "usage" in c]
    assert (told["prompt_tokens"], told["completion_tokens"], told["total_tokens"]) == (24, 10, 34)
    assert told["prompt_tokens_details"]["cached_tokens"] == 2
    assert told["completion_tokens_details"]["reasoning_tokens"] == 3
    (alone,) = [c["usage"] for c in chunks(Splice(sent(FIRST.text("a")), Usage(), again="").feed(second)) if "usage" in c]
    assert (alone["prompt_tokens"], alone["completion_tokens"]) == (14, 6)
    assert total(spent, Usage()) == spent


def test_a_prefill_is_the_text_without_the_blanks_at_its_end() -> None:
    made = sent(FIRST.text("One, ") + FIRST.text("two \n"))
    chat = prefilled({**CHAT, "max_tokens": 100, "max_completion_tokens": 1}, made)
    assert chat is not None
    assert chat["messages"] == [*CHAT["messages"], {"role": "assistant", "content": "One, two", "prefix": True}]
    assert (chat["max_tokens"], chat["max_completion_tokens"]) == (98, 1)
    assert prefilled(CHAT, sent(FIRST.text(" \n"))) is None


def test_a_beginning_that_the_caller_wrote_itself_is_gone_on_with() -> None:
    own = {**CHAT, "messages": [*CHAT["messages"], {"role": "assistant", "content": "One"}]}
    chat = prefilled(own, sent(FIRST.text(", two")))
    assert chat is not None
    assert chat["messages"][1:] == [{"role": "assistant", "content": "One, two", "prefix": True}]
    own["messages"][-1]["content"] = [{"type": "text", "text": "One"}]
    assert prefilled(own, sent(FIRST.text(", two"))) is None


@pytest.mark.parametrize(
    ("fields", "possible"),
    [
        ({}, True),
        ({"response_format": {"type": "text"}, "reasoning_effort": "none", "thinking": {"type": "disabled"}}, True),
        ({"reasoning": {"enabled": False}}, True),
        ({"response_format": {"type": "json_object"}}, False),
        ({"response_format": {"type": "json_schema"}}, False),
        ({"reasoning_effort": "low"}, False),
        ({"thinking": {"type": "enabled", "budget_tokens": 2000}}, False),
        ({"thinking": {"type": "adaptive"}}, False),
        ({"reasoning": {"effort": "high"}}, False),
        ({"reasoning": {"max_tokens": 2000}}, False),
        ({"prompt_mode": "reasoning"}, False),
    ],
)
def test_json_and_thinking_are_begun_anew(fields: dict[str, Any], possible: bool) -> None:
    assert is_continuable({**CHAT, **fields}) is possible


CLAUDES = {
    "claude-3-5-sonnet-20241022": True,
    "claude-3-7-sonnet-latest": True,
    "claude-sonnet-4-20250514": True,
    "claude-opus-4-1": True,
    "claude-haiku-4-5-20251001": True,
    "claude-opus-4-6": False,
    "claude-sonnet-5": False,
    "claude-latest": False,
}


@pytest.mark.parametrize(("model", "does"), CLAUDES.items())
def test_claudes_up_to_4_5_take_a_prefill(model: str, does: bool) -> None:
    assert AnthropicProvider().prefills(model) is does
    assert BedrockProvider().prefills(f"eu.anthropic.{model}-v1:0") is does


def test_who_else_takes_one() -> None:
    assert not AnthropicProvider().prefills("glm-4.6")
    assert not BedrockProvider().prefills("amazon.nova-pro-v1:0")
    assert MistralProvider().prefills("mistral-large-latest")
    assert OllamaProvider().prefills("llama3.2")
    for side in (GeminiProvider(), CohereProvider(), ResponsesProvider(), *(row.provider() for row in COMPAT.values())):
        assert not isinstance(side, Prefiller)


@pytest.mark.parametrize(
    ("patterns", "does"), [((), False), (("*",), True), (("llama*",), True), (("llama3",), False), (("none",), False), (("sent-3",), True)]
)
def test_the_operator_has_the_last_word(patterns: tuple[str, ...], does: bool) -> None:
    side = COMPAT["vllm"].provider()
    target = Target(Provider("p", side, "http://p", prefill=patterns, deployments={"llama3.2": "sent-3"}), "llama3.2")
    assert accepts_prefill(target) is does
    own = Target(Provider("p", OllamaProvider(), "http://p", prefill=patterns), "llama3.2")
    assert accepts_prefill(own) is (does or not patterns) or patterns == ("sent-3",)


@pytest.mark.parametrize(
    ("name", "message", "more"),
    [
        ("vllm", {}, {"continue_final_message": True, "add_generation_prompt": False}),
        ("sglang", {}, {"continue_final_message": True}),
        ("moonshot", {"partial": True}, {}),
        ("deepseek", {"prefix": True}, {}),
    ],
)
def test_openai_shaped_providers_are_told_in_their_own_words(name: str, message: dict[str, Any], more: dict[str, Any]) -> None:
    chat = prefilled(CHAT, sent(FIRST.text("Well,")))
    assert chat is not None
    wire = COMPAT[name].provider().request(Ask(chat, "m", True, "chatcmpl-1", 1))
    body = json.loads(wire.body)
    assert body["messages"][-1] == {"role": "assistant", "content": "Well,", **message}
    assert {key: value for key, value in body.items() if (key != "messages" and "final" in key) or "generation" in key} == more
    assert wire.dropped == []
    plain = json.loads(COMPAT[name].provider().request(Ask(CHAT, "m", True, "chatcmpl-1", 1)).body)
    assert plain.keys().isdisjoint(more)
