"""The input items of a Responses request as the messages of a chat.

Items that the model made (reasoning, messages, calls, and what its vendor ran) follow each other in one turn: they become one
assistant message. How they lie in it stands in this package's docstring.
"""

from __future__ import annotations

from edgegate.dialects.base import Json
from edgegate.dialects.responses.contents import chat_annotations, chat_content, chat_part
from edgegate.dialects.sealed import RESPONSES, is_sealed, restore, unseal

_CALLS = ("function_call", "custom_tool_call")
_RESULTS = ("function_call_output", "custom_tool_call_output")
_APPS = ("additional_tools", "mcp_approval_response", "compaction_trigger", "configuration_update")
_MODELS = ("tool_search_output", "program_output")  # `_output`, but made where the model is
_ROLES = ("user", "system", "developer")


def messages_of(request: Json) -> list[Json]:
    messages: list[Json] = []
    if request.get("instructions"):
        messages.append({"role": "system", "content": request["instructions"]})
    items = request.get("input")
    if isinstance(items, str):
        messages.append({"role": "user", "content": items})
        return messages
    turn: list[Json] = []
    customs: set[str] = set()
    for item in items or []:
        if _is_models(item):
            turn.append(item)
            if item.get("type") == "custom_tool_call":
                customs.add(item["call_id"])
            continue
        if turn:
            messages.append(_assistant(turn))
            turn = []
        messages.append(_others(item, customs))
    if turn:
        messages.append(_assistant(turn))
    return _answered_at_once(messages)


def _answered_at_once(messages: list[Json]) -> list[Json]:
    """Results moved to the message with their calls: here they may come any time later, in a chat only there."""
    asker: dict[str, int] = {}  # id of a call -> number of the message that holds it
    results: dict[int, list[Json]] = {}
    others: list[tuple[int, Json]] = []
    for number, message in enumerate(messages):
        owner = asker.get(message["tool_call_id"]) if message["role"] == "tool" else None
        if owner is not None:
            results.setdefault(owner, []).append(message)
            continue
        others.append((number, message))
        asker.update((call["id"], number) for call in message.get("tool_calls") or ())
    return [one for number, message in others for one in (message, *results.get(number, ()))]


def _kind(item: Json) -> str:
    return item.get("type") or "message"


def _is_models(item: Json) -> bool:
    kind = _kind(item)
    if kind == "message":
        return bool(item["role"] == "assistant")
    if kind in _MODELS:
        return True
    return kind not in _APPS and not kind.endswith("_output")


def _others(item: Json, customs: set[str]) -> Json:
    """An item of the app's as a message. `customs`: the calls so far of custom tools, whose results look like a function's."""
    kind = _kind(item)
    if kind == "message":
        return {"role": item["role"], "content": chat_content(item["content"])}
    if kind not in _RESULTS:
        role = item.get("role")
        return {"role": role if role in _ROLES else "user", "content": [item]}
    message: Json = {"role": "tool", "tool_call_id": item["call_id"], "content": chat_content(item["output"])}
    ours = _ours(item, "call_id", "output")
    if kind == "custom_tool_call_output" and item["call_id"] not in customs:
        ours["type"] = kind  # its call is not here to tell
    if ours:
        message["extra_content"] = {"openai": ours}
    return message


def _ours(item: Json, *said: str) -> Json:
    """An item's fields that the chat says nothing of; `completed` goes without saying."""
    return {
        name: value
        for name, value in item.items()
        if value is not None and name != "type" and name not in said and not (name == "status" and value == "completed")
    }


def _assistant(items: list[Json]) -> Json:
    turn = _Turn(items)
    for at, item in enumerate(items):
        kind = _kind(item)
        if kind == "reasoning":
            turn.reasoning(item, at)
        elif kind == "message":
            turn.message(item, at)
        elif kind in _CALLS:
            turn.call(item, at, "arguments" if kind == "function_call" else "input")
        else:
            turn.parts.append({**item, "index": at})
    return turn.written()


class _Turn:
    """The assistant message of one turn while it is put together."""

    def __init__(self, items: list[Json]) -> None:
        kinds = [_kind(item) for item in items]
        order = [0 if kind == "reasoning" else 2 if kind in _CALLS else 1 for kind in kinds]
        self._several = order.count(1) > 1  # messages, or what the vendor ran: their parts must be told apart
        self._placed = order != sorted(order) or self._several
        self.parts: list[Json] = []
        self._length = 0  # of the text in the parts
        self._message: Json = {"role": "assistant", "content": None}
        self._texts: list[str] = []
        self._details: list[Json] = []
        self._seals: list[Json] = []
        self._notes: list[Json] = []
        self._calls: list[Json] = []

    def reasoning(self, item: Json, at: int) -> None:
        """A seal is state of another vendor: an item with one was never OpenAI's."""
        summary = [part["text"] for part in item.get("summary") or []]
        content = [part["text"] for part in item.get("content") or []]
        text = "\n\n".join(content or summary)
        if text:
            self._texts.append(text)
        state = item.get("encrypted_content")
        if is_sealed(state):
            self._seals.append(unseal(state) or {})
            return
        id: Json = {"id": item["id"]} if item.get("id") is not None else {}
        where: Json = {"format": RESPONSES, "index": at}
        self._details += [{"type": "reasoning.summary", **id, "summary": part, **where} for part in summary]
        self._details += [{"type": "reasoning.text", **id, "text": part, **where} for part in content]
        if state is not None:
            self._details.append({"type": "reasoning.encrypted", **id, "data": state, **where})
        elif id and not summary and not content:
            self._details.append({"type": "reasoning.summary", **id, "summary": "", **where})

    def message(self, item: Json, at: int) -> None:
        content = item["content"]
        given = [{"type": "output_text", "text": content}] if isinstance(content, str) else content
        parts = []
        for part in given:
            notes = chat_annotations(part, self._length)
            self._notes += notes
            made = chat_part(part)
            if notes and (self._several or len(given) > 1):
                made = {**made, "annotations": chat_annotations(part, 0)}
            parts.append(made)
            self._length += len(part.get("text") or "")
        ours = {**_ours(item, "role", "content"), **self._place(at)}
        if ours and self._several and parts:
            parts[0] = {**parts[0], "extra_content": {"openai": ours}}
        elif ours:
            self._message["extra_content"] = {"openai": ours}
        self.parts += parts

    def call(self, item: Json, at: int, field: str) -> None:
        kind = "function" if field == "arguments" else "custom"
        call: Json = {"id": item["call_id"], "type": kind, kind: {"name": item["name"], field: item[field]}}
        ours = {**_ours(item, "call_id", "name", field), **self._place(at)}
        if ours:
            call["extra_content"] = {"openai": ours}
        self._calls.append(call)

    def _place(self, at: int) -> Json:
        return {"index": at} if self._placed else {}

    def written(self) -> Json:
        message, parts = self._message, self.parts
        if parts:
            plain = len(parts) == 1 and parts[0].keys() == {"type", "text"} and parts[0]["type"] == "text"
            message["content"] = parts[0]["text"] if plain else parts
        if not message["content"] and not self._calls:
            message["content"] = ""
        elif not message["content"]:
            message["content"] = None  # a call needs no text
        if self._texts:
            message["reasoning_content"] = "\n\n".join(self._texts)
        if self._details:
            message["reasoning_details"] = self._details
        if self._notes:
            message["annotations"] = self._notes
        if self._calls:
            message["tool_calls"] = self._calls
        for fields in self._seals:
            restore(message, fields)
        return message
