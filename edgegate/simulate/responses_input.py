"""Reads a request to OpenAI's Responses API into a question, and refuses what the vendor refuses.

Strict where a badly translated request would show: unknown parameters, calls and results that do not belong together, reasoning items
without what follows them, and encrypted reasoning that was altered.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from edgegate.simulate import media
from edgegate.simulate.mind import Question, Tool
from edgegate.simulate.seal import allows_foreign, carried
from edgegate.simulate.strict import fields, unknown
from edgegate.simulate.vendor import Asked, Json, Refusal, need

KNOWN = fields(
    "access_programs background context_management conversation image include input instructions max_output_tokens max_tool_calls "
    "metadata model moderation parallel_tool_calls previous_response_id prompt prompt_cache_key prompt_cache_options "
    "prompt_cache_retention reasoning safety_identifier service_tier store stream stream_options temperature text tool_choice "
    "tools top_logprobs top_p truncation user"
)
_ITEMS = {
    "message": frozenset({"type", "id", "role", "content", "status", "phase"}),
    "function_call": frozenset({"type", "id", "call_id", "name", "arguments", "status", "caller", "namespace"}),
    "function_call_output": frozenset({"type", "id", "call_id", "output", "status", "caller"}),
    "reasoning": frozenset({"type", "id", "summary", "content", "encrypted_content", "status"}),
}
_TOOL = frozenset({"type", "name", "description", "parameters", "strict", "defer_loading", "allowed_callers", "output_schema"})
_TEXTS = ("input_text", "output_text", "refusal", "summary_text", "reasoning_text", "text")
_SHOWN = ("temperature", "top_p", "reasoning", "service_tier", "metadata", "user", "store", "truncation", "verbosity")
VENDOR = "openai responses"


def question_of(asked: Asked, items: list[Any], known_items: Collection[str]) -> Question:
    """The question, with `items` (the request's own behind those of earlier responses); `known_items` are ids that were given out."""
    body = asked.body
    question = Question(asked.model, seed=asked.raw, max_tokens=body.get("max_output_tokens"))
    need(
        question.max_tokens is None or (isinstance(question.max_tokens, int) and question.max_tokens >= 1),
        "Invalid 'max_output_tokens': integer below minimum value.",
        "max_output_tokens",
        "integer_below_min_value",
    )
    question.settings = {name: body[name] for name in _SHOWN if body.get(name) is not None}
    reasoning = body.get("reasoning") or {}
    question.think = bool(reasoning) and reasoning.get("effort") != "none"
    question.system = body.get("instructions") or ""
    need(isinstance(question.system, str), "Invalid type for 'instructions': expected a string.", "instructions", "invalid_type")
    _read_tools(body, question)
    _read_items(items, question, asked, known_items)
    text = body.get("text") or {}
    _only(text, ("format", "verbosity"), "text")
    wanted = text.get("format") or {}
    _only(wanted, ("type", "name", "schema", "strict", "description"), "text.format")
    question.json_mode = wanted.get("type") == "json_object"
    if wanted.get("type") == "json_schema":
        for name in ("name", "schema"):
            need(
                bool(wanted.get(name)),
                f"Missing required parameter: 'text.format.{name}'.",
                f"text.format.{name}",
                "missing_required_parameter",
            )
        question.schema = wanted["schema"]
    return question


def items_of(body: Json) -> list[Any]:
    """The request's own items; a string is one user message."""
    given = body.get("input")
    if isinstance(given, str):
        return [{"type": "message", "role": "user", "content": given}]
    return given if isinstance(given, list) else []


def _only(value: Any, known: Collection[str], where: str) -> None:
    stray = unknown(value, known)
    name = f"{where}.{stray}" if where else f"{stray}"
    need(stray is None, f"Unknown parameter: '{name}'.", name, "unknown_parameter")


def refuse_unknown(body: Json) -> None:
    """Top-level parameters that the API does not have."""
    _only(body, KNOWN, "")


def _read_tools(body: Json, question: Question) -> None:
    for at, tool in enumerate(body.get("tools") or []):
        kind = tool.get("type")
        need(isinstance(kind, str), f"Missing required parameter: 'tools[{at}].type'.", f"tools[{at}].type", "missing_required_parameter")
        if kind == "function":
            _only(tool, _TOOL, f"tools[{at}]")
            need(
                bool(tool.get("name")),
                f"Missing required parameter: 'tools[{at}].name'.",
                f"tools[{at}].name",
                "missing_required_parameter",
            )
            question.tools.append(Tool(tool["name"], tool.get("parameters") or {"type": "object", "properties": {}}))
        question.web_search = question.web_search or str(kind).startswith("web_search")
    choice = body.get("tool_choice") or "auto"
    if isinstance(choice, dict):
        need("function" not in choice, "Unknown parameter: 'tool_choice.function'.", "tool_choice.function", "unknown_parameter")
        question.choice = str(choice.get("name")) if choice.get("type") == "function" else str(choice.get("mode") or "auto")
        named = [tool.name for tool in question.tools]
        need(
            choice.get("type") != "function" or question.choice in named,
            f"Tool choice 'function' not found in 'tools' parameter: {choice.get('name')}.",
            "tool_choice",
        )
    else:
        need(choice in ("auto", "none", "required"), f"Invalid value: '{choice}'.", "tool_choice", "invalid_value")
        question.choice = str(choice)
    question.choice = "any" if question.choice == "required" else question.choice
    question.parallel = body.get("parallel_tool_calls") is not False


def _read_items(items: list[Any], question: Question, asked: Asked, known_items: Collection[str]) -> None:
    open_calls: list[str] = []
    called: set[str] = set()
    for at, item in enumerate(items):
        kind = item.get("type") or ("message" if "role" in item else None)
        if kind is None:
            raise Refusal(
                400, f"Missing required parameter: 'input[{at}].type'.", param=f"input[{at}].type", code="missing_required_parameter"
            )
        if kind in _ITEMS:
            _only(item, _ITEMS[kind], f"input[{at}]")
        if kind == "message":
            _read_message(item, at, question)
        elif kind == "reasoning":
            _check_reasoning(item, items[at + 1 :], asked, known_items)
        elif kind == "function_call":
            need(isinstance(item.get("arguments"), str), "Invalid type: expected a string.", f"input[{at}].arguments", "invalid_type")
            open_calls.append(str(item.get("call_id")))
            called.add(open_calls[-1])
            if not question.roles or question.roles[-1] != "assistant":
                _turn(question, "assistant", item["arguments"])
        elif kind == "function_call_output":
            call = str(item.get("call_id"))
            need(
                call in called or allows_foreign(asked.headers),
                f"No tool call found for function call output with call_id {call}.",
                "input",
            )
            open_calls = [one for one in open_calls if one != call]
            text = item["output"] if isinstance(item.get("output"), str) else _content(item.get("output") or [], f"input[{at}].output")[0]
            question.results = [*question.results, text] if question.roles[-1:] == ["tool"] else [text]
            _turn(question, "tool", text)
    need(not open_calls or allows_foreign(asked.headers), f"No tool output found for function call {', '.join(open_calls)}.", "input")


def _turn(question: Question, role: str, text: str) -> None:
    question.roles.append(role)
    question.texts.append(text)


def _read_message(item: Json, at: int, question: Question) -> None:
    role = item.get("role")
    need(
        role in ("user", "assistant", "system", "developer"),
        f"Invalid value: '{role}'. Supported values are: 'assistant', 'system', 'developer', and 'user'.",
        f"input[{at}].role",
        "invalid_value",
    )
    text, images = _content(item.get("content"), f"input[{at}].content")
    if role in ("system", "developer"):
        question.system += ("\n" if question.system else "") + text
    if role == "user":
        question.prompt = text
        question.see(images)
    if role != "assistant" or item.get("content"):
        question.results = []
        _turn(question, str(role), text)


def _content(content: Any, where: str) -> tuple[str, list[str]]:
    if isinstance(content, str):
        return content, []
    text, images = "", []
    for at, part in enumerate(content):
        kind = part.get("type")
        if kind in _TEXTS:
            text += str(part.get("text") or part.get("refusal") or "")
        elif kind == "input_image":
            url = part.get("image_url")
            need(
                bool(part.get("file_id")) or str(url).startswith(("http://", "https://", "data:image/")),
                f"Invalid '{where}[{at}].image_url'. Expected a valid URL, but got a value with an invalid format.",
                f"{where}[{at}].image_url",
                "invalid_value",
            )
            images.append(media.of_url(str(url)) if url else f"file {part['file_id']}")
        else:
            need(
                kind in ("input_file", "input_audio", "computer_screenshot"),
                f"Invalid value: '{kind}'. Supported values are: 'input_text', 'input_image', 'output_text', 'refusal', and 'input_file'.",
                f"{where}[{at}].type",
                "invalid_value",
            )
    return text, images


def _check_reasoning(item: Json, behind: list[Any], asked: Asked, known_items: Collection[str]) -> None:
    name = str(item.get("id") or "")
    encrypted = item.get("encrypted_content")
    if encrypted is not None:
        need(
            carried(VENDOR, encrypted, asked.headers) is not None,
            f"The encrypted content {str(encrypted)[:8]}... could not be verified. "
            "Reason: Encrypted content could not be decrypted or parsed.",
            code="invalid_encrypted_content",
        )
    elif name not in known_items and not allows_foreign(asked.headers):
        raise Refusal(404, f"Item with id '{name}' not found.", param="input", code="not_found")
    following = next((one for one in behind if one.get("type") != "reasoning"), None)
    of_model = following is not None and (following.get("role") == "assistant" or str(following.get("type", "")) not in ("", "message"))
    if of_model and following is not None and following.get("type") == "function_call_output":
        of_model = False
    need(
        of_model or allows_foreign(asked.headers),
        f"Item '{name}' of type 'reasoning' was provided without its required following item.",
        "input",
    )
