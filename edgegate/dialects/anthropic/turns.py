"""The chat's messages as Anthropic's: `system` apart, results of tools gathered into one user message."""

from __future__ import annotations

from typing import Any

from edgegate.dialects.anthropic.blocks import blocks_of, call_block, is_signed, with_cache_mark
from edgegate.dialects.anthropic.notes import Notes
from edgegate.dialects.base import Json
from edgegate.dialects.vendor_parts import is_lost
from edgegate.errors import bad_request


def split_turns(messages: Any, notes: Notes) -> tuple[list[Json], list[Json]]:
    """(blocks of `system`, messages). System and developer messages are joined in order wherever they stood: only some of
    the newest models take them in the middle. Those with a block of Anthropic's own (`tool_addition`) work only there, so
    they stay. Content is a list of blocks throughout."""
    system: list[Json] = []
    turns: list[Json] = []
    for number, message in enumerate(messages):
        at = f"messages[{number}]"
        role = message.get("role")
        if role in ("system", "developer"):
            blocks = _marked(blocks_of(message.get("content"), f"{at}.content", notes), message)
            if all(block["type"] == "text" for block in blocks):
                system += blocks
            else:
                turns.append({"role": "system", "content": blocks})
        elif role == "user":
            _note(message, ("name",), notes)
            _user(turns, _marked(blocks_of(message.get("content"), f"{at}.content", notes), message))
        elif role == "tool":
            _result(turns, message, at, notes)
        elif role == "assistant":
            blocks = _assistant(message, at, notes)
            if blocks:
                turns.append({"role": "assistant", "content": blocks})
        else:
            raise bad_request("expected one of system, developer, user, assistant, tool", f"{at}.role")
    if not turns and system and notes.near("messages"):  # OpenAI answers a lone system message
        turns, system = [{"role": "user", "content": system}], []
    if not turns:
        raise bad_request("this provider needs at least one message with content besides the system's", "messages")
    _trim(turns[-1])
    return system, turns


def _trim(last: Json) -> None:
    """The beginning of an answer that the model is to go on from must not end in blanks, says the API."""
    if last["role"] == "assistant" and last["content"][-1]["type"] == "text":
        block = last["content"][-1]
        last["content"] = [*last["content"][:-1], {**block, "text": block["text"].rstrip()}]


def _user(turns: list[Json], blocks: list[Json]) -> None:
    """Text after results of tools belongs into their message, after them."""
    if not blocks:
        return
    last = turns[-1] if turns else None
    if last is not None and last["role"] == "user" and any(block["type"] == "tool_result" for block in last["content"]):
        last["content"] += blocks
    else:
        turns.append({"role": "user", "content": blocks})


def _result(turns: list[Json], message: Json, at: str, notes: Notes) -> None:
    """All results of one turn stand in one user message, before any other block."""
    content = message.get("content")
    block: Json = {"type": "tool_result", "tool_use_id": message.get("tool_call_id")}
    if isinstance(content, str):
        block["content"] = content
    elif content is not None:
        block["content"] = blocks_of(content, f"{at}.content", notes)
    if message.get("is_error"):
        block["is_error"] = True
    with_cache_mark(block, message)
    last = turns[-1] if turns else None
    if last is not None and last["role"] == "user" and any(other["type"] == "tool_result" for other in last["content"]):
        results = sum(other["type"] == "tool_result" for other in last["content"])
        last["content"].insert(results, block)
    else:
        turns.append({"role": "user", "content": [block]})


def _assistant(message: Json, at: str, notes: Notes) -> list[Json]:
    """Thinking first, unchanged and in order; then text; then calls. Thinking that Anthropic did not sign it does not take."""
    blocks: list[Json] = []
    thinking = message.get("thinking_blocks")
    for block in thinking if isinstance(thinking, list) else []:
        if isinstance(block, dict) and block.get("type") in ("thinking", "redacted_thinking") and is_signed(block):
            blocks.append(block)
        else:
            notes.drop("messages[].thinking_blocks")
    _note(message, ("name", "audio", "images", "function_call", "reasoning_details", "annotations"), notes)
    if is_lost(message, "anthropic"):
        notes.drop("messages[].extra_content")
    if not thinking:
        _note(message, ("reasoning_content", "reasoning"), notes)
    content = message.get("content")
    blocks += blocks_of(content if content else message.get("refusal"), f"{at}.content", notes, past=True)
    blocks += [call_block(call, f"{at}.tool_calls[{number}]") for number, call in enumerate(message.get("tool_calls") or [])]
    return _marked(blocks, message)


def _marked(blocks: list[Json], message: Json) -> list[Json]:
    """A cache mark on a message means the end of it: its last block, which must not be thinking."""
    mark = message.get("cache_control")
    if mark is not None and blocks and "cache_control" not in blocks[-1] and "thinking" not in blocks[-1]["type"]:
        blocks[-1] = {**blocks[-1], "cache_control": mark}
    return blocks


def _note(source: Json, names: tuple[str, ...], notes: Notes) -> None:
    for name in names:
        if source.get(name):
            notes.drop(f"messages[].{name}")
