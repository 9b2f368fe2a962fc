"""What one vendor alone has words for: left out of earlier answers and named, and no loss where nothing is lost."""

from __future__ import annotations

from typing import Any

import pytest

from edgegate.dialects.anthropic.provider import AnthropicProvider
from edgegate.dialects.base import Ask, ProviderSide, WireRequest
from edgegate.dialects.bedrock.provider import BedrockProvider
from edgegate.dialects.cohere.provider import CohereProvider
from edgegate.dialects.compat import COMPAT
from edgegate.dialects.gemini import GeminiProvider
from edgegate.dialects.mistral.provider import MistralProvider
from edgegate.dialects.ollama.provider import OllamaProvider
from edgegate.dialects.openai.provider import OpenAIProvider
from edgegate.dialects.responses.provider import ResponsesProvider
from edgegate.dialects.vendor_parts import is_lost

SIDES: dict[str, tuple[ProviderSide, str]] = {
    "anthropic": (AnthropicProvider(), "claude-sonnet-4-5"),
    "mistral": (MistralProvider(), "mistral-large-latest"),
    "cohere": (CohereProvider(), "command-a-03-2025"),
    "ollama": (OllamaProvider(), "llama3.2"),
    "bedrock": (BedrockProvider(), "amazon.nova-pro-v1:0"),
    "openai": (OpenAIProvider(), "gpt-4o"),
    "responses": (ResponsesProvider(), "gpt-4o"),
    "groq": (COMPAT["groq"].provider(), "llama"),
    "gemini": (GeminiProvider(), "gemini-2.5-flash"),
}
HI = {"role": "user", "content": "Hi"}


def sent(name: str, **chat: Any) -> WireRequest:
    side, model = SIDES[name]
    return side.request(Ask({"messages": [HI], **chat}, model, False, "chatcmpl-1", 1))


RECORDS: list[dict[str, Any]] = [
    {"type": "executableCode", "executableCode": {"code": "print(1)", "language": "PYTHON"}},
    {"type": "codeExecutionResult", "codeExecutionResult": {"output": "SECRET"}},
    {"type": "toolCall", "toolCall": {"toolType": "GOOGLE_SEARCH_WEB"}},
    {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "SECRET"}},
    {"type": "web_search_call", "id": "ws_1", "index": 1},
    {"type": "a_kind_of_next_year", "it": "SECRET"},
]
OWN = {
    "anthropic": {"server_tool_use"},
    "responses": {"web_search_call"},
    "gemini": {"executableCode", "codeExecutionResult", "toolCall"},
}


@pytest.mark.parametrize("name", SIDES)
@pytest.mark.parametrize("part", RECORDS, ids=[part["type"] for part in RECORDS])
def test_records_in_an_earlier_answer_are_left_out_and_named(name: str, part: dict[str, Any]) -> None:
    if part["type"] in OWN.get(name, ()):
        return
    answer = {"role": "assistant", "content": [{"type": "text", "text": "One."}, part]}
    wire = sent(name, messages=[HI, answer, HI])
    assert wire.dropped == [f"content.{part['type']}"]
    assert b"One." in wire.body
    assert part["type"].encode() not in wire.body
    assert b"SECRET" not in wire.body


@pytest.mark.parametrize("name", [name for name in SIDES if name not in ("gemini", "anthropic")])
def test_what_code_did_is_left_out_of_a_question_too(name: str) -> None:
    question = {"role": "user", "content": [RECORDS[0], {"type": "text", "text": "Why?"}]}
    assert sent(name, messages=[question]).dropped == ["content.executableCode"]


OURS = {"openai": {"id": "msg_1", "index": 0}}


@pytest.mark.parametrize("name", SIDES)
def test_ids_and_places_of_items_are_no_loss(name: str) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}, "extra_content": OURS}
    answer = {"role": "assistant", "content": "A", "tool_calls": [call], "extra_content": OURS}
    result = {"role": "tool", "tool_call_id": "call_1", "content": "1", "extra_content": OURS}
    tool = {"type": "function", "function": {"name": "f"}, "extra_content": OURS}
    wire = sent(name, messages=[HI, answer, result], tools=[tool])
    assert wire.dropped == []
    assert b"extra_content" not in wire.body


@pytest.mark.parametrize("name", [name for name in SIDES if name != "gemini"])
def test_what_google_says_of_a_tool_is_lost_elsewhere_and_named(name: str) -> None:
    tool = {"type": "function", "function": {"name": "f"}, "extra_content": {"google": {"behavior": "NON_BLOCKING"}}}
    wire = sent(name, tools=[tool])
    assert wire.dropped in (["tools.extra_content"], ["extra_content"])
    assert b"NON_BLOCKING" not in wire.body


@pytest.mark.parametrize(
    ("extra", "own", "lost"),
    [
        (None, "", False),
        (3, "", False),
        ({"openai": {"id": "a"}}, "", False),
        ({"openai": {}, "google": {"a": 1}}, "", True),
        ({"anthropic": {"caller": {}}}, "anthropic", False),
        ({"anthropic": {"caller": {}}}, "", True),
    ],
)
def test_what_is_lost_is_what_another_vendor_wants_back(extra: Any, own: str, lost: bool) -> None:
    assert is_lost({"extra_content": extra}, own) is lost


@pytest.mark.parametrize("name", ["ollama", "cohere"])
def test_a_strict_tool_is_named_alike_where_it_cannot_be_kept(name: str) -> None:
    def tool(strict: Any) -> dict[str, Any]:
        return {"type": "function", "function": {"name": "f", "strict": strict}}

    assert sent(name, tools=[tool(True)]).dropped == ["tools.strict"]
    assert sent(name, tools=[tool(False)]).dropped == []
