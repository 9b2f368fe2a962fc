"""Strategies for JSON that has the right words in the wrong places: for readers that must never fail on it."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

_WORDS = (
    "model messages role content type text image_url url tool_calls id function name arguments tool_call_id tools tool_choice "
    "response_format json_schema schema stop prediction reasoning_effort options format think service_tier file refusal "
    "reasoning_content max_tokens logprobs n choices index delta message finish_reason usage error done thinking done_reason "
    "prompt_eval_count response detail object data embedding embeddings created prompt_tokens_details "
)
KEYS = st.sampled_from(_WORDS.split())
_VALUES = ["", "text", "user", "assistant", "tool", "system", "image_url", "function", "stop", "error", "thinking", "{}", "[", "auto"]
_SCALARS = st.none() | st.booleans() | st.integers(-3, 3) | st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from(_VALUES)

VALUES: st.SearchStrategy[Any] = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=6), max_leaves=25
)
OBJECTS = st.dictionaries(KEYS, VALUES, max_size=8)
MESSAGES = st.builds(lambda message, role: {**message, "role": role}, OBJECTS, st.sampled_from(["user", "assistant", "tool", "system"]))
CHATS = st.builds(lambda chat, messages: {**chat, "messages": messages}, OBJECTS, st.lists(MESSAGES, max_size=4) | VALUES)
CHOICES = st.builds(lambda choice, delta, message: {**choice, "delta": delta, "message": message}, OBJECTS, OBJECTS, OBJECTS)
REPLIES = (
    st.builds(lambda reply, choices: {**reply, "choices": choices}, OBJECTS, st.lists(CHOICES | VALUES, max_size=3)) | OBJECTS | VALUES
)
