"""Cohere's words and the chat's: formats, paths, reasons for ending an answer."""

from __future__ import annotations

from collections.abc import Mapping

from edgegate.dialects.base import Json

DIALECT = "cohere"
CHAT = "cohere.chat"
EMBED = "cohere.embed"
RERANK = "cohere.rerank"

OWN_FIELDS = ("documents", "citation_options", "safety_mode", "priority", "token_budget", "raw_prompting")
"""Request fields that the chat has no word for: a chat carries them under these names, for Cohere. `token_budget` is that of
`thinking`, beside the `reasoning_effort` that stands for it elsewhere."""

_FINISH: Mapping[str, str] = {
    "COMPLETE": "stop",
    "STOP_SEQUENCE": "stop",
    "MAX_TOKENS": "length",
    "TOOL_CALL": "tool_calls",
    "ERROR_LIMIT": "length",  # these two are version 1's
    "ERROR_TOXIC": "content_filter",
}
_ENDED: Mapping[str, str] = {
    "stop": "COMPLETE",
    "length": "MAX_TOKENS",
    "tool_calls": "TOOL_CALL",
    "function_call": "TOOL_CALL",
    "content_filter": "ERROR_TOXIC",  # version 2 has no word of its own for it, and COMPLETE would hide it
}
FAILED = ("ERROR", "TIMEOUT")
"""Reasons that mean there is no answer."""


def finish_of(reason: str, *, called: bool) -> str:
    """OpenAI's word. A reason newer than this table ends the answer all the same."""
    return _FINISH.get(reason) or ("tool_calls" if called else "stop")


def reason_of(finish: str, choice: Json, *, called: bool) -> str:
    """Cohere's word for how a choice of the chat ended. What Cohere itself said (`native_finish_reason`) is said again."""
    native = choice.get("native_finish_reason")
    if isinstance(native, str) and native in _FINISH:
        return str(native)
    if finish == "stop":
        if called:  # OpenAI's word where the request named the tool
            return "TOOL_CALL"
        if isinstance(choice.get("stop_reason"), str):
            return "STOP_SEQUENCE"
    return _ENDED.get(finish, "COMPLETE")


def stopped(reason: str, chat: Json) -> Json:
    """What a choice of the chat says beyond `finish_reason`. Cohere tells that a stop sequence matched, not which: it is known
    where there was but one."""
    if reason != "STOP_SEQUENCE":
        return {}
    stop = chat.get("stop")
    only = stop if isinstance(stop, str) else stop[0] if isinstance(stop, list) and len(stop) == 1 else None
    return {"stop_reason": only} if isinstance(only, str) else {"native_finish_reason": reason}
