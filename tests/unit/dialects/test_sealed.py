"""A seal carries state of other vendors through one opaque place of a client, and nothing else passes for one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgegate.dialects.sealed import SEAL, Carried, foreign, is_sealed, restore, seal, unseal

GOOGLE = {"google": {"thought_signature": "CiQB"}}
CALLER = {"anthropic": {"caller": {"type": "code_execution_20250825"}}}
ITEM = {"type": "reasoning.encrypted", "id": "rs_1", "data": "gAAA", "format": "openai-responses-v1", "index": 0}
SIGNED = {"type": "thinking", "thinking": "hm", "signature": "s"}
FIELDS = st.dictionaries(st.text(), st.recursive(st.none() | st.integers(-(2**53), 2**53) | st.text(), lambda inner: st.lists(inner)))


def call(id: str, extra: Any = None) -> dict[str, Any]:
    made = {"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}}
    return {**made, "extra_content": extra} if extra else made


@settings(max_examples=40, deadline=None)
@given(FIELDS)
def test_what_is_sealed_comes_back(fields: dict[str, Any]) -> None:
    sealed = seal(fields)
    assert sealed.isascii()
    assert sealed.startswith(SEAL)
    assert is_sealed(sealed)
    assert unseal(sealed) == fields


@settings(max_examples=40, deadline=None)
@given(st.binary())
def test_other_text_is_no_seal_and_a_damaged_one_is_empty(noise: bytes) -> None:
    assert unseal(noise.hex()) is None
    assert unseal(SEAL + noise.hex() + "!") is None
    assert is_sealed(SEAL + "!")


@pytest.mark.parametrize("value", [None, 3, [], "", "ErcB", SEAL, SEAL + "WzFd"])
def test_what_is_not_a_sealed_object_is_none(value: Any) -> None:
    assert unseal(value) is None


def test_each_vendor_s_own_state_is_not_foreign_to_it() -> None:
    message = {
        "content": "x",
        "thinking_blocks": [SIGNED, {**SIGNED, "signature": ""}],
        "reasoning_details": [ITEM],
        "extra_content": GOOGLE,
        "tool_calls": [call("a", GOOGLE | CALLER), call("b")],
    }
    everything = {
        "thinking_blocks": [SIGNED],
        "reasoning_details": [ITEM],
        "extra_content": GOOGLE,
        "tool_calls": {"a": GOOGLE | CALLER},
    }
    assert foreign(message, "") == everything
    assert foreign(message, "anthropic") == {
        "reasoning_details": [ITEM], "extra_content": GOOGLE, "tool_calls": {"a": GOOGLE},
    }  # fmt: skip
    assert foreign(message, "openai") == {name: value for name, value in everything.items() if name != "reasoning_details"}
    assert foreign(message, "google") == {"thinking_blocks": [SIGNED], "reasoning_details": [ITEM], "tool_calls": {"a": CALLER}}
    assert foreign({"content": "x", "tool_calls": [call("a")]}, "") == {}


def test_what_is_foreign_is_restored() -> None:
    message = {"reasoning_details": [ITEM], "extra_content": GOOGLE, "tool_calls": [call("a", GOOGLE), call("b")]}
    bare: dict[str, Any] = {"role": "assistant", "tool_calls": [call("a"), call("b")]}
    given = bare["tool_calls"]
    restore(bare, foreign(message, "anthropic"))
    assert bare == {"role": "assistant", **message}
    assert given == [call("a"), call("b")], "the calls given are not changed"


def test_restoring_adds_to_what_is_there() -> None:
    message = {"reasoning_details": [ITEM], "extra_content": {"google": {"parts": [1]}}}
    restore(message, {"reasoning_details": [{**ITEM, "id": "rs_2"}], "extra_content": {"google": {"parts": [2]}}})
    assert message == {"reasoning_details": [ITEM, {**ITEM, "id": "rs_2"}], "extra_content": {"google": {"parts": [1, 2]}}}


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["thinking_blocks", "reasoning_details", "extra_content", "tool_calls", "content", "role"]),
        st.recursive(
            st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.just("a"), inner)
        ),
    )
)
def test_a_seal_that_a_client_made_up_does_no_harm(fields: dict[str, Any]) -> None:
    message: dict[str, Any] = {"role": "assistant", "content": "x", "tool_calls": [call("a"), call("b", GOOGLE)]}
    restore(message, fields)
    assert (message["role"], message["content"]) == ("assistant", "x")
    assert [one["id"] for one in message["tool_calls"]] == ["a", "b"]
    assert all(isinstance(one, dict) for one in message.get("thinking_blocks", []) + message.get("reasoning_details", []))
    assert isinstance(message.get("extra_content", {}), dict)


def test_deltas_are_gathered_as_the_message_would_be() -> None:
    carried = Carried("anthropic")
    piece = {"type": "reasoning.text", "format": "anthropic-claude-v1", "index": 0}
    carried.take({"reasoning_details": [{**piece, "text": "a"}]})
    carried.take({"reasoning_details": [{**piece, "text": "b"}]})
    carried.take({"reasoning_details": [{**piece, "signature": "s"}]})
    carried.take({"reasoning_details": [ITEM]})
    carried.take({"tool_calls": [{"index": 1, "id": "b"}]})
    carried.take({"tool_calls": [{"index": 1, "extra_content": GOOGLE}]})
    carried.take({"extra_content": {"google": {"parts": [1]}}})
    carried.take({"extra_content": {"google": {"parts": [2]}}})
    assert carried.size > 0
    assert carried.out() == {
        "reasoning_details": [{**piece, "text": "ab", "signature": "s"}, ITEM],
        "extra_content": {"google": {"parts": [1, 2]}},
        "tool_calls": {"b": GOOGLE},
    }
    assert not carried
    assert carried.out() == {}


def test_two_summaries_of_one_item_stay_two() -> None:
    summary = {"type": "reasoning.summary", "id": "rs_1", "format": "openai-responses-v1", "index": 0}
    details = [{**summary, "summary": "a"}, {**summary, "summary": "b"}]
    assert foreign({"reasoning_details": details}, "") == {"reasoning_details": details}
