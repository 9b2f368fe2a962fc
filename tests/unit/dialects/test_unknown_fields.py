"""A field that nobody here has heard of: natively it goes on as it came, and on the way through the neutral form back to the
same dialect it is sent, or named as dropped; it is never lost silently."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from edgegate.config.model import ProviderOptions
from edgegate.config.stages import TranslateOptions
from edgegate.dialects.base import Ask
from edgegate.server.build import provider_side
from edgegate.server.surfaces import Surfaces

MESSAGES = [{"role": "user", "content": "Hi"}]
REQUESTS: dict[str, tuple[str, dict[str, Any], str]] = {
    "openai": ("/v1/chat/completions", {"model": "m", "messages": MESSAGES}, "new_field"),
    "openai-responses": ("/v1/responses", {"model": "m", "input": "Hi"}, "new_field"),
    "groq": ("/v1/chat/completions", {"model": "m", "messages": MESSAGES}, "new_field"),
    "anthropic": ("/v1/messages", {"model": "m", "max_tokens": 9, "messages": MESSAGES}, "new_field"),
    "cohere": ("/v2/chat", {"model": "m", "messages": MESSAGES}, "new_field"),
    "ollama": ("/api/chat", {"model": "m", "messages": MESSAGES}, "new_field"),
    "gemini": ("/v1beta/models/m:generateContent", {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}, "newField"),
}


@pytest.mark.parametrize("dialect", REQUESTS)
@pytest.mark.parametrize("value", [{"a": [1, 2.5, None, {"b": "é"}]}, "text", 7, False], ids=["object", "text", "number", "false"])
def test_an_unknown_field_is_sent_or_named(dialect: str, value: Any) -> None:
    path, request, name = REQUESTS[dialect]
    surfaces = Surfaces()
    surface = surfaces.posts.get(path) or surfaces.find(path, "")
    assert surface is not None
    asked = {**request, name: value}
    surface.client.check(asked)
    side = provider_side(dialect, ProviderOptions(), TranslateOptions())
    wire = side.request(Ask(surface.client.neutral(asked), "m", False, "id", 0))
    sent = orjson.loads(wire.body)
    if name in sent:
        assert (sent[name], name in wire.dropped) == (value, False)
    else:
        assert name in wire.dropped
