"""A success whose content is of no known form is a failure: read on, it would be an empty answer."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from edgegate.config.model import ProviderOptions
from edgegate.config.stages import TranslateOptions
from edgegate.dialects.base import Ask, Progress
from edgegate.errors import GatewayError
from edgegate.server.build import provider_side

ANSWERS: dict[str, Any] = {
    "openai": lambda content: {"choices": [{"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}]},
    "mistral": lambda content: {"choices": [{"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}]},
    "anthropic": lambda content: {"type": "message", "role": "assistant", "content": content, "stop_reason": "end_turn", "usage": {}},
    "gemini": lambda content: {"candidates": [{"content": {"role": "model", "parts": content}, "finishReason": "STOP"}]},
    "cohere": lambda content: {"id": "x", "message": {"role": "assistant", "content": content}, "finish_reason": "COMPLETE"},
    "ollama": lambda content: {"model": "m", "message": {"role": "assistant", "content": content}, "done": True, "done_reason": "stop"},
    "bedrock": lambda content: {"output": {"message": {"role": "assistant", "content": content}}, "stopReason": "end_turn", "usage": {}},
}


@pytest.mark.parametrize("dialect", ANSWERS)
@pytest.mark.parametrize("content", [7, True, {"text": "x"}], ids=["number", "boolean", "object"])
def test_content_that_is_neither_text_nor_parts_is_a_bad_reply(dialect: str, content: Any) -> None:
    side = provider_side(dialect, ProviderOptions(), TranslateOptions())
    with pytest.raises(GatewayError) as caught:
        side.whole(Ask({"messages": []}, "m", False, "id", 0), orjson.dumps(ANSWERS[dialect](content)), Progress())
    assert caught.value.status == 502


MARK = {"cache_control": {"type": "ephemeral"}}


@pytest.mark.parametrize("dialect", ["openai", "openai-responses", "azure", "gemini", "vertex", "mistral", "cohere", "ollama", "groq"])
@pytest.mark.parametrize("place", ["part", "message", "tool"])
def test_a_cache_mark_that_a_provider_cannot_carry_is_named(dialect: str, place: str) -> None:
    part = {"type": "text", "text": "Hi", **(MARK if place == "part" else {})}
    message = {"role": "user", "content": [part], **(MARK if place == "message" else {})}
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}, **(MARK if place == "tool" else {})}
    side = provider_side(dialect, ProviderOptions(project="p"), TranslateOptions())
    wire = side.request(Ask({"messages": [message], "tools": [tool]}, "m", False, "id", 0))
    assert any("cache_control" in name for name in wire.dropped)
    assert b"cache_control" not in wire.body
