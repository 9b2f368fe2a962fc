"""One assistant message as the items it was made of.

The items come back in their order: `index` is each one's place in its turn. Where it is missing the usual order holds, which
is reasoning, what tools of the vendor did, text, calls.

See `thoughts.py` for what goes with reasoning. Ids are checked by their prefix: those of another vendor's items would be refused.
"""

from __future__ import annotations

from typing import Any

from edgegate.dialects.base import Json
from edgegate.dialects.chat import dicts
from edgegate.dialects.losses import Losses
from edgegate.dialects.responses.thoughts import IDS, Placed, index_of, joined, ordered, paired, reasoning_of, with_reasoning
from edgegate.dialects.vendor_parts import is_record, told
from edgegate.errors import bad_request

OWN_ITEMS = frozenset(
    (
        "additional_tools",
        "apply_patch_call",
        "apply_patch_call_output",
        "code_interpreter_call",
        "compaction",
        "compaction_trigger",
        "computer_call",
        "computer_call_output",
        "configuration_update",
        "custom_tool_call",
        "custom_tool_call_output",
        "file_search_call",
        "function_call",
        "function_call_output",
        "image_generation_call",
        "item_reference",
        "local_shell_call",
        "local_shell_call_output",
        "mcp_approval_request",
        "mcp_approval_response",
        "mcp_call",
        "mcp_list_tools",
        "message",
        "program",
        "program_output",
        "reasoning",
        "shell_call",
        "shell_call_output",
        "tool_search_call",
        "tool_search_output",
        "web_search_call",
    )
)
"""Items of the Responses API. A chat holds them as content parts of their own type, with their `index`."""

_NOT_SAID = ("name", "audio", "images", "thinking_blocks")


def is_own_item(part: Json) -> bool:
    """Whether a content part is an item of this API. Anthropic has a `compaction` too: a summary in plain text."""
    kind = part.get("type")
    return isinstance(kind, str) and kind in OWN_ITEMS and (kind != "compaction" or isinstance(part.get("encrypted_content"), str))


def without_index(part: Json) -> Json:
    return {name: value for name, value in part.items() if name != "index"}


def ours_of(value: Json) -> Json:
    """`extra_content.openai` of a message, part or call."""
    extra = value.get("extra_content")
    ours = extra.get("openai") if isinstance(extra, dict) else None
    return ours if isinstance(ours, dict) else {}


def items_of(message: Json, at: str, stored: bool, losses: Losses) -> list[Json]:
    """The items of an assistant message. `stored`: whether the provider may know them by their ids."""
    placed = reasoning_of(message)
    vendors: Placed = []
    texts = _texts(message, at, vendors, losses)
    vendors += [(index_of(item), without_index(item)) for item in dicts(message.get("provider_items")) if isinstance(item.get("type"), str)]
    placed += vendors
    placed += texts
    calls = message.get("tool_calls")
    for number, call in enumerate(calls if isinstance(calls, list) else []):
        placed.append(_call(call, f"{at}.tool_calls[{number}]"))
    legacy = message.get("function_call")
    if isinstance(legacy, dict):
        placed.append((None, {"type": "function_call", "call_id": legacy_id(legacy.get("name")), **_named(legacy, at)}))
    if message.get("reasoning_content") and not any(item.get("type") == "reasoning" for _, item in placed):
        losses.drop("messages[].reasoning_content")
    for name in _NOT_SAID:
        if message.get(name) and not (name == "images" and vendors):
            losses.drop(name)
    return paired(with_reasoning(ordered(placed), stored, losses))


def legacy_id(name: Any) -> str:
    """The id of a call from before calls had ids."""
    return f"call_{name}"


def _texts(message: Json, at: str, vendors: Placed, losses: Losses) -> Placed:
    """What was said, as one message item or as several. Parts that are items of their own go to `vendors`."""
    content = message.get("content")
    refusal = message.get("refusal")
    ours = ours_of(message)
    if isinstance(content, str) or content is None:
        parts = _cut(content or "", ours, dicts(message.get("annotations")))
    else:
        parts = [({}, [])]
        for part in dicts(content):
            kind = part.get("type")
            if is_own_item(part):
                vendors.append((index_of(part), without_index(part)))
                continue
            if ours_of(part):
                parts.append((ours_of(part), []))
            if kind in ("text", "refusal") and isinstance(part.get(kind), str):
                parts[-1][1].append(_output_part(kind, part[kind], part.get("annotations"), part.get("logprobs")))
            elif kind in ("output_text", "input_text") and isinstance(part.get("text"), str):
                parts[-1][1].append(_output_part("text", part["text"], part.get("annotations"), part.get("logprobs")))
            elif (text := told(part)) is not None:
                parts[-1][1].append(_output_part("text", text, None, None))
            else:
                losses.drop(f"content.{kind}" if is_record(kind) or isinstance(kind, str) else "content")
        said = [part for _, texts in parts for part in texts]
        if len(said) == 1 and said[0].get("annotations") == []:
            said[0]["annotations"] = [_flat(note) for note in dicts(message.get("annotations"))]
        if not parts[0][1]:
            parts = parts[1:]
        elif ours:
            parts[0] = (ours, parts[0][1])
    if isinstance(refusal, str) and refusal:
        if not parts:
            parts.append((ours, []))
        parts[-1][1].append({"type": "refusal", "refusal": refusal})
    return [(index_of(place), _message(place, said, losses)) for place, said in parts if said]


def _cut(text: str, ours: Json, annotations: list[Json]) -> list[tuple[Json, list[Json]]]:
    """The text of a message, cut where `extra_content.openai.messages` says that its items begin."""
    places = [place for place in dicts(ours.get("messages")) if type(place.get("start")) is int]
    starts = [place["start"] for place in places]
    if not places or starts != sorted(starts) or starts[0] != 0 or starts[-1] > len(text):
        return [(ours, [_output_part("text", text, annotations, None)])] if text else []
    cut = []
    for place, end in zip(places, [*starts[1:], len(text)], strict=True):
        cut.append((place, [_output_part("text", text[place["start"] : end], None, None)] if end > place["start"] else []))
    return cut


def _output_part(kind: str, text: str, annotations: Any, logprobs: Any) -> Json:
    if kind == "refusal":
        return {"type": "refusal", "refusal": text}
    part: Json = {"type": "output_text", "text": text, "annotations": [_flat(value) for value in dicts(annotations)]}
    if isinstance(logprobs, list):
        part["logprobs"] = logprobs
    return part


def _flat(annotation: Json) -> Json:
    kind = annotation.get("type")
    inner = annotation.get(kind) if isinstance(kind, str) else None
    return {"type": kind, **inner} if isinstance(inner, dict) else annotation


def _message(place: Json, said: list[Json], losses: Losses) -> Json:
    """With its id it is the item that the provider made; without, it is what anybody may have said, as plain text."""
    id = place.get("id")
    phase = {"phase": place["phase"]} if place.get("phase") is not None else {}
    if isinstance(id, str) and id.startswith(IDS["message"]):
        status = place.get("status") if place.get("status") in ("incomplete", "in_progress") else "completed"
        return {"type": "message", "id": id, "role": "assistant", "status": status, "content": said, **phase}
    if any(part.get("annotations") for part in said):
        losses.drop("annotations")
    return {"type": "message", "role": "assistant", "content": joined(said), **phase}


def _call(call: Any, at: str) -> tuple[int | None, Json]:
    if not isinstance(call, dict):
        raise bad_request("expected an object", at)
    ours = ours_of(call)
    if call.get("type") == "custom":
        custom = call.get("custom")
        if not isinstance(custom, dict) or not isinstance(custom.get("name"), str):
            raise bad_request("expected the tool's name and input", f"{at}.custom")
        item: Json = {"type": "custom_tool_call", "name": custom["name"], "input": str(custom.get("input") or "")}
    else:
        function = call.get("function")
        if not isinstance(function, dict):
            raise bad_request("this provider takes calls of functions and of custom tools", at)
        item = {"type": "function_call", **_named(function, at)}
    item["call_id"] = call.get("id")
    id = ours.get("id")
    if isinstance(id, str) and id.startswith(IDS[item["type"]]):
        item["id"] = id
    item.update((name, ours[name]) for name in ("namespace", "caller", "status") if ours.get(name) is not None)
    return index_of(ours), item


def _named(function: Json, at: str) -> Json:
    if not isinstance(function.get("name"), str):
        raise bad_request("expected the function's name", f"{at}.function.name")
    arguments = function.get("arguments")
    return {"name": function["name"], "arguments": arguments if isinstance(arguments, str) and arguments else "{}"}
