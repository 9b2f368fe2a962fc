"""A Responses request as a chat.

What the chat has words for is said in them, so that any provider can answer. What it has none for keeps its name and place (see
this package's docstring). What stands for something that OpenAI stores is a 400: between these requests nothing is kept. That
the answer is not stored although `store` asks for it, or is not truncated where that is the default, is no loss worth naming.
"""

from __future__ import annotations

from typing import Any

from edgegate.dialects.base import Chat, Json
from edgegate.dialects.openai.fields import empty_array
from edgegate.dialects.responses.history import messages_of
from edgegate.errors import GatewayError, bad_request

LOGPROBS = "message.output_text.logprobs"
ENCRYPTED = "reasoning.encrypted_content"

_SAID = frozenset(
    {
        "model",
        "input",
        "instructions",
        "tools",
        "tool_choice",
        "text",
        "reasoning",
        "include",
        "max_output_tokens",
        "stream",
        "stream_options",
        "store",
        "background",
        "conversation",
        "previous_response_id",
        "prompt",
        "truncation",
    }
)
"""Fields that the chat words differently; all others are kept as they are."""


def chat_of(request: Json) -> Chat:
    _refuse_stored(request)
    messages = messages_of(request)
    if not messages:
        raise empty_array("input")
    chat: Chat = {"model": request["model"], "messages": messages}
    chat.update((name, value) for name, value in request.items() if name not in _SAID and value is not None)
    if request.get("max_output_tokens") is not None:
        chat["max_completion_tokens"] = request["max_output_tokens"]
    if request.get("stream"):
        chat["stream"] = True
        chat["stream_options"] = {**(request.get("stream_options") or {}), "include_usage": True}
    if request.get("store") is False:
        chat["store"] = False
    if request.get("truncation") not in (None, "disabled"):
        chat["truncation"] = request["truncation"]
    if request.get("tools"):
        chat["tools"] = [chat_tool(tool) for tool in request["tools"]]
    if request.get("tool_choice") is not None:
        chat["tool_choice"] = _choice(request["tool_choice"])
    _text(request.get("text") or {}, chat)
    _reasoning(request.get("reasoning") or {}, chat)
    _include(request, chat)
    return chat


def _refuse_stored(request: Json) -> None:
    whole = "Send the whole conversation in 'input' instead."
    for name in ("previous_response_id", "conversation"):
        if request.get(name) is not None:
            raise _stateless(name, f"The provider of this model keeps no state between requests. {whole}")
    if request.get("prompt") is not None:
        words = "Write the prompt out in 'instructions' and 'input' instead."
        raise _stateless("prompt", f"The provider of this model keeps no prompt templates. {words}")
    if request.get("background"):
        raise _stateless("background", "The provider of this model keeps no answers to be fetched later. Leave it out, or set it to false.")
    for at, item in enumerate(request["input"] if isinstance(request.get("input"), list) else []):
        if item.get("type") == "item_reference" or (item.get("type") is None and item.get("role") is None):
            words = f"The item '{item['id'][:80]}' cannot be looked up, the provider of this model keeps no state between requests."
            raise _stateless(f"input[{at}]", f"{words} Send the item itself instead.")


def _stateless(param: str, message: str) -> GatewayError:
    return bad_request(f"Unsupported value: '{param}'. {message}", param, code="unsupported_value")


def chat_tool(tool: Json) -> Json:
    """A tool as the chat has it. Fields that chats do not know stand beside `function` or `custom`."""
    kind = tool["type"]
    if kind == "function":
        known: tuple[str, ...] = ("name", "description", "parameters", "strict")
        body = {name: tool[name] for name in known if tool.get(name) is not None}
    elif kind == "custom":
        known = ("name", "description", "format")
        body = {name: tool[name] for name in known if tool.get(name) is not None}
        format = body.get("format")
        if isinstance(format, dict) and format.get("type") == "grammar" and "grammar" not in format:
            grammar = {name: value for name, value in format.items() if name != "type"}
            body["format"] = {"type": "grammar", "grammar": grammar}
    else:
        return tool
    rest = {name: value for name, value in tool.items() if name not in known and name != "type" and value is not None}
    return {"type": kind, kind: body, **rest}


def _choice(choice: Any) -> Any:
    if isinstance(choice, str):
        return choice
    kind = choice["type"]
    if kind in ("function", "custom"):
        return {"type": kind, kind: {"name": choice["name"]}}
    if kind == "allowed_tools":
        return {"type": kind, kind: {"mode": choice["mode"], "tools": [_choice(tool) for tool in choice["tools"]]}}
    return choice


def _text(text: Json, chat: Chat) -> None:
    if text.get("verbosity") is not None:
        chat["verbosity"] = text["verbosity"]
    format = text.get("format")
    if format is not None and format["type"] == "json_schema":
        schema = {name: value for name, value in format.items() if name != "type" and value is not None}
        chat["response_format"] = {"type": "json_schema", "json_schema": {"name": "response", **schema}}
    elif format is not None and format["type"] != "text":
        chat["response_format"] = format
    rest = {name: value for name, value in text.items() if name not in ("format", "verbosity") and value is not None}
    if rest:
        chat["text"] = rest


def _reasoning(reasoning: Json, chat: Chat) -> None:
    if reasoning.get("effort") is not None:
        chat["reasoning_effort"] = reasoning["effort"]
    rest = {name: value for name, value in reasoning.items() if name != "effort" and value is not None}
    if rest:
        chat["reasoning"] = rest


def _include(request: Json, chat: Chat) -> None:
    """What must be sent back to go on with reasoning, every answer has that: it need not be asked for."""
    asked = request.get("include") or []
    if LOGPROBS in asked or request.get("top_logprobs"):
        chat["logprobs"] = True
    rest = [name for name in asked if name not in (LOGPROBS, ENCRYPTED)]
    if rest:
        chat["include"] = rest
