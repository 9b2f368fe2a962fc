"""State of other vendors in the signatures of thinking blocks: written into replies and streams, read out of requests, and
never sent to Anthropic."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgegate.dialects.anthropic.foreign import without_foreign
from edgegate.dialects.base import Usage
from edgegate.dialects.chat import DONE, ChunkWriter, completion
from edgegate.dialects.sealed import is_sealed, seal, unseal
from edgegate.taps import Outcome
from tests.unit.dialects.anthropic.shapes import CLIENT, TOOL, data_of, messages, run, sent
from tests.wire.anthropic_sdks import anthropic_message

GOOGLE = {"google": {"thought_signature": "CiQB"}}
ITEM = {"type": "reasoning.encrypted", "id": "rs_1", "data": "gAAA", "format": "openai-responses-v1", "index": 0}
SIGNED = {"type": "thinking", "thinking": "hm", "signature": "ErcB"}
WRITER = ChunkWriter("chatcmpl-1", 1, "gemini-3")
FUNCTION = {"name": "look", "arguments": "{}"}


def whole(**answer: Any) -> list[dict[str, Any]]:
    choice = {"index": 0, "message": {"role": "assistant", "content": None, **answer}, "finish_reason": "stop"}
    message = json.loads(CLIENT.whole(messages(), completion("c", 1, "m", [choice], Usage())))
    content: list[dict[str, Any]] = message["content"]
    return content


def streamed(*chunks: bytes) -> list[dict[str, Any]]:
    """The content as the anthropic SDK puts it together."""
    out = run(CLIENT.stream(messages(), "1"), b"".join([WRITER.role(), *chunks, WRITER.finish("stop"), DONE]))
    assert_in_order(out)
    return [block.model_dump(exclude_none=True, exclude={"caller"}) for block in anthropic_message(out, streamed=True).content]


def assert_in_order(out: bytes) -> None:
    """Blocks are numbered, and each ends before the next begins."""
    at, running = -1, False
    for event in data_of(out):
        if event["type"] == "content_block_start":
            assert not running
            at, running = at + 1, True
        if event["type"].startswith("content_block"):
            assert event["index"] == at
            assert running
        if event["type"] == "content_block_stop":
            running = False


def turn(*blocks: dict[str, Any]) -> dict[str, Any]:
    """The assistant's message of the chat, for blocks that an app sends back."""
    request = messages(messages=[{"role": "user", "content": "q"}, {"role": "assistant", "content": list(blocks)}])
    CLIENT.check(request)
    message: dict[str, Any] = CLIENT.neutral(request)["messages"][1]
    return message


def test_a_reply_s_foreign_state_is_sealed_before_the_rest() -> None:
    calls = [{"id": "a", "type": "function", "function": FUNCTION, "extra_content": GOOGLE}]
    thinking, text, call = whole(reasoning_content="hm", content="x", tool_calls=calls, extra_content=GOOGLE)
    assert (thinking["type"], thinking["thinking"]) == ("thinking", "hm")
    assert unseal(thinking["signature"]) == {"extra_content": GOOGLE, "tool_calls": {"a": GOOGLE}}
    assert text == {"type": "text", "text": "x"}
    assert call == {"type": "tool_use", "id": "a", "name": "look", "input": {}}


def test_state_without_reasoning_makes_an_empty_block_and_reasoning_without_state_an_unsigned_one() -> None:
    block = whole(content="x", reasoning_details=[ITEM])[0]
    assert (block["thinking"], unseal(block["signature"])) == ("", {"reasoning_details": [ITEM]})
    assert whole(content="x", reasoning_content="hm")[0] == {"type": "thinking", "thinking": "hm", "signature": ""}
    assert whole(content="x") == [{"type": "text", "text": "x"}]


def test_anthropic_s_own_blocks_are_not_sealed() -> None:
    assert whole(content="x", reasoning_content="hm", thinking_blocks=[SIGNED])[0] == SIGNED
    own, sealed = whole(content="", reasoning_content="hm", thinking_blocks=[SIGNED], reasoning_details=[ITEM])
    assert own == SIGNED
    assert unseal(sealed["signature"]) == {"reasoning_details": [ITEM]}


def test_a_stream_signs_the_thinking_that_is_open_when_text_begins() -> None:
    blocks = streamed(WRITER.reasoning("h"), WRITER.reasoning("m"), WRITER.delta({"reasoning_details": [ITEM]}), WRITER.text("x"))
    assert [block["type"] for block in blocks] == ["thinking", "text"]
    assert blocks[0]["thinking"] == "hm"
    assert unseal(blocks[0]["signature"]) == {"reasoning_details": [ITEM]}


def test_a_stream_s_signature_of_a_call_stands_before_the_call() -> None:
    call = WRITER.call(0, "a", "look", "{}", extra={"extra_content": GOOGLE})
    blocks = streamed(WRITER.text("x"), call, WRITER.call(1, "b", "look", "{}"))
    assert [block["type"] for block in blocks] == ["text", "thinking", "tool_use", "tool_use"]
    assert unseal(blocks[1]["signature"]) == {"tool_calls": {"a": GOOGLE}}


def test_state_that_comes_last_has_a_block_at_the_end() -> None:
    blocks = streamed(WRITER.text("x"), WRITER.text("y"), WRITER.delta({"extra_content": GOOGLE}))
    assert [block["type"] for block in blocks] == ["text", "thinking"]
    assert blocks[0]["text"] == "xy"
    assert unseal(blocks[1]["signature"]) == {"extra_content": GOOGLE}


def test_state_in_the_middle_of_text_does_not_split_it() -> None:
    blocks = streamed(WRITER.text("x"), WRITER.delta({"extra_content": GOOGLE}), WRITER.text("y"))
    assert [(block["type"], block.get("text")) for block in blocks] == [("text", "xy"), ("thinking", None)]


def test_state_of_two_steps_makes_two_seals_each_with_its_own() -> None:
    second = {**ITEM, "id": "rs_2"}
    blocks = streamed(
        WRITER.reasoning("a"),
        WRITER.delta({"reasoning_details": [ITEM]}),
        WRITER.call(0, "a", "look", '{"x":'),
        WRITER.arguments(0, "1}"),
        WRITER.reasoning("b"),
        WRITER.delta({"reasoning_details": [second]}),
        WRITER.text("y"),
    )
    assert [block["type"] for block in blocks] == ["thinking", "tool_use", "thinking", "text"]
    assert [unseal(block["signature"]) for block in blocks if block["type"] == "thinking"] == [
        {"reasoning_details": [ITEM]},
        {"reasoning_details": [second]},
    ]


def test_a_stream_that_broke_has_no_seal_at_its_end() -> None:
    tap = CLIENT.stream(messages(), "1")
    tap.feed(WRITER.text("x") + WRITER.delta({"extra_content": GOOGLE}))
    assert tap.end(Outcome.UPSTREAM_BROKE) == b""


def test_cuts_change_nothing() -> None:
    call = WRITER.call(0, "a", "look", "{}", extra={"extra_content": GOOGLE})
    body = b"".join(
        [
            WRITER.role(),
            WRITER.reasoning("hm"),
            WRITER.delta({"reasoning_details": [ITEM]}),
            WRITER.text("x"),
            call,
            WRITER.finish("tool_calls"),
            DONE,
        ]
    )
    expected = run(CLIENT.stream(messages(), "1"), body)
    assert run(CLIENT.stream(messages(), "1"), *[body[at : at + 1] for at in range(len(body))]) == expected


def test_a_sealed_block_that_comes_back_is_opened_and_not_kept() -> None:
    sealed = {"type": "thinking", "thinking": "hm", "signature": seal({"extra_content": GOOGLE, "tool_calls": {"a": GOOGLE}})}
    call = {"type": "tool_use", "id": "a", "name": "look", "input": {}}
    assert turn(sealed, {"type": "text", "text": "x"}, call) == {
        "role": "assistant",
        "content": "x",
        "reasoning_content": "hm",
        "extra_content": GOOGLE,
        "tool_calls": [{"id": "a", "type": "function", "function": FUNCTION, "extra_content": GOOGLE}],
    }


def test_unsigned_thinking_is_reasoning_and_a_damaged_seal_is_nothing() -> None:
    unsigned = {"type": "thinking", "thinking": "hm", "signature": ""}
    damaged = {"type": "redacted_thinking", "data": seal({"a": 1})[:-3]}
    assert turn(unsigned, damaged, SIGNED, {"type": "text", "text": "x"}) == {
        "role": "assistant", "content": "x", "reasoning_content": "hm", "thinking_blocks": [SIGNED],
    }  # fmt: skip


@pytest.mark.parametrize("fields", [{"reasoning_details": [ITEM]}, {"extra_content": GOOGLE}, {"tool_calls": {"a": GOOGLE}}])
def test_no_seal_and_no_foreign_state_goes_to_anthropic(fields: dict[str, Any]) -> None:
    history = [
        {"role": "user", "content": "q"},
        {
            "role": "assistant",
            "content": [{"type": "thinking", "thinking": "hm", "signature": seal(fields)}, {"type": "text", "text": "x"}, SIGNED],
        },
        {"role": "user", "content": "and?"},
    ]
    body, dropped = sent(**{name: value for name, value in CLIENT.neutral(messages(messages=history)).items() if name != "model"})
    assert body["messages"][1]["content"] == [SIGNED, {"type": "text", "text": "x"}]
    assert b"gAAA" not in orjson.dumps(body)
    assert all(name.startswith("messages[]") for name in dropped)


def test_the_native_way_is_without_foreign_thinking() -> None:
    sealed = {"type": "thinking", "thinking": "a", "signature": seal({"extra_content": GOOGLE})}
    unsigned = {"type": "thinking", "thinking": "b", "signature": ""}
    bare = {"type": "thinking", "thinking": "c"}
    text = {"type": "text", "text": "x"}
    user = {"role": "user", "content": "q"}
    request = messages(
        messages=[
            user,
            {"role": "assistant", "content": [sealed, SIGNED, unsigned, bare, text]},
            user,
            {"role": "assistant", "content": [sealed]},
            user,
        ],
        tools=[TOOL],
        thinking={"type": "enabled", "budget_tokens": 2000},
    )
    before = json.dumps(request)
    again = without_foreign(request)
    assert again == {**request, "messages": [user, {"role": "assistant", "content": [SIGNED, text]}, user, user]}
    assert json.dumps(request) == before
    assert without_foreign(again) is None


def test_a_budget_goes_where_a_tool_call_is_left_without_thinking() -> None:
    sealed = {"type": "thinking", "thinking": "a", "signature": seal({})}
    call = {"type": "tool_use", "id": "a", "name": "look", "input": {}}
    loop = [{"role": "assistant", "content": [sealed, call]}, {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a"}]}]
    given = [{"role": "user", "content": "q"}, *loop]
    for thinking, kept in (({"type": "enabled", "budget_tokens": 2000}, False), ({"type": "adaptive"}, True)):
        again = without_foreign(messages(messages=given, thinking=thinking))
        assert again is not None
        assert again["messages"][1]["content"] == [call]
        assert ("thinking" in again) is kept


@settings(max_examples=40, deadline=None)
@given(
    st.recursive(
        st.none() | st.text() | st.sampled_from(["thinking", "assistant", "tool_use", "tool_result", seal({})]),
        lambda inner: (
            st.lists(inner) | st.dictionaries(st.sampled_from(["type", "role", "content", "signature", "messages", "thinking"]), inner)
        ),
        max_leaves=30,
    )
)
def test_any_json_is_left_alone_or_freed(value: Any) -> None:
    request = {"messages": value, "thinking": {"type": "enabled"}}
    again = without_foreign(request)
    if again is not None:
        for message in again["messages"]:
            content = message.get("content") if isinstance(message, dict) else None
            for block in content if isinstance(content, list) else []:
                assert not (isinstance(block, dict) and block.get("type") == "thinking" and is_sealed(block.get("signature")))


# what other vendors' answers hold besides, and Anthropic's format has a place for

PICTURE = {"index": 0, "type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}


def test_a_generated_picture_is_an_image_block_and_comes_back_as_one() -> None:
    assert whole(content="x", images=[PICTURE, {"type": "odd"}]) == [{"type": "text", "text": "x"}, IMAGE]
    assert turn(IMAGE, {"type": "text", "text": "x"}) == {"role": "assistant", "content": "x", "images": [PICTURE]}
    out = run(CLIENT.stream(messages(), "1"), WRITER.text("x") + WRITER.delta({"images": [PICTURE]}) + WRITER.finish("stop") + DONE)
    assert_in_order(out)
    assert [event["content_block"] for event in data_of(out) if event["type"] == "content_block_start"][1] == IMAGE


def test_an_answer_in_sound_is_read_out() -> None:
    assert whole(audio={"id": "a", "data": "UklG", "transcript": "Hi"}) == [{"type": "text", "text": "Hi"}]
    blocks = streamed(
        WRITER.delta({"audio": {"transcript": "H"}}), WRITER.delta({"audio": {"transcript": "i"}}), WRITER.delta({"audio": {"data": "U"}})
    )
    assert blocks == [{"type": "text", "text": "Hi"}]


def test_citations_of_other_vendors_are_citations_of_the_text() -> None:
    note = {"type": "url_citation", "url_citation": {"url": "https://x", "title": "X", "start_index": 0, "end_index": 1}}
    cited = {"type": "web_search_result_location", "url": "https://x", "title": "X", "cited_text": "", "encrypted_index": ""}
    assert whole(content="x", annotations=[note]) == [{"type": "text", "text": "x", "citations": [cited]}]
    assert streamed(WRITER.text("x"), WRITER.delta({"annotations": [note]})) == [{"type": "text", "text": "x", "citations": [cited]}]
    sent_back = turn({"type": "text", "text": "x", "citations": [cited]})
    assert sent_back["content"] == [{"type": "text", "text": "x", "citations": [cited]}]


@pytest.mark.parametrize(("tier", "expected"), [("default", "standard"), ("priority", "priority"), ("flex", None), (None, None)])
def test_the_tier_that_answered_is_in_the_usage(tier: str | None, expected: str | None) -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}
    reply = json.loads(CLIENT.whole(messages(), orjson.dumps({"choices": [choice], "service_tier": tier})))
    assert reply["usage"].get("service_tier") == expected
    chunk = {"choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": "stop"}], "service_tier": tier}
    out = data_of(run(CLIENT.stream(messages(), "1"), b"data: " + orjson.dumps(chunk) + b"\n\n" + DONE))
    assert out[-2]["usage"].get("service_tier") == expected
