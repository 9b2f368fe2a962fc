"""Messages -> `contents` and `systemInstruction`.

Gemini knows the roles user and model. System and developer messages, wherever they stand, become the system instruction; tool
results become `functionResponse` parts of a user turn, which need the function's *name*, looked up by the call's id. Turns
of the same role are merged, except that function responses keep a turn of their own (the recordings show that neighbour
user turns are taken, and a turn that mixes responses with other parts was never recorded).

Gemini 3 validates the thought signature of the first call of each step. It travels in `extra_content.google.thought_signature`
of a tool call, or of the message for a text's signature; or, for clients that keep Anthropic's `thinking_blocks` only,
as a block's signature with the prefix `BLOCK_MARK`. Calls that came from elsewhere get the documented stand-in.
"""

from __future__ import annotations

from typing import Any

import orjson

from edgegate.dialects.base import Chat, Json
from edgegate.dialects.chat import arguments_of, parts_of, text_of
from edgegate.dialects.gemini.media import part_of
from edgegate.errors import bad_request

STAND_IN_SIGNATURE = "c2tpcF90aG91Z2h0X3NpZ25hdHVyZV92YWxpZGF0b3I="
"""`skip_thought_signature_validator` in base64: accepted by Gemini 3 (generate-tools-toolresult-toolchoice-09b193f8)."""

BLOCK_MARK = "gemini:"
"""Tells Gemini's signatures in thinking blocks from Anthropic's: both are base64 of a protobuf."""

_CODE_PARTS = frozenset(("executableCode", "codeExecutionResult"))


class Turns:
    """Collects a conversation. `contents` and `system` are the result; `dropped` gets the names of what has no place."""

    __slots__ = ("_dropped", "_major", "_media", "_names", "contents", "system")

    def __init__(self, major: int, dropped: list[str]) -> None:
        self.contents: list[Json] = []
        self.system: list[Json] = []
        self._major = major
        self._dropped = dropped
        self._names: dict[str, str] = {}  # id of a call -> its function
        self._media: list[Json] = []  # out of tool results, waiting for the last result of their turn

    def add(self, chat: Chat) -> None:
        """All messages of a chat, in order."""
        messages = chat.get("messages")
        if not isinstance(messages, list) or not messages:
            raise bad_request("expected a list of at least one message", "messages")
        for at, message in enumerate(messages):
            if not isinstance(message, dict):
                raise bad_request("expected an object", f"messages[{at}]")
            if self._media and message.get("role") not in ("tool", "function"):
                self._flush_media()
            self._message(message, f"messages[{at}]")
        self._flush_media()
        if not self.contents and self.system:  # a system prompt alone: Gemini wants at least one content
            self.contents.append({"role": "user", "parts": self.system})
            self.system = []
        if not self.contents:
            raise bad_request("expected at least one message that is not empty", "messages")

    def _message(self, message: Json, where: str) -> None:
        role = message.get("role")
        if "cache_control" in message:
            self._drop("cache_control")
        if role == "user":
            self._turn("user", self._parts(message.get("content"), where))
        elif role == "assistant":
            self._turn("model", self._answer(message, where))
        elif role in ("system", "developer"):
            self.system.extend(self._parts(message.get("content"), where))
        elif role in ("tool", "function"):
            self._result(message, where)
            return
        else:
            raise bad_request("expected one of system, developer, user, assistant, tool", f"{where}.role")
        if message.get("name"):
            self._drop("messages[].name")

    def _turn(self, role: str, parts: list[Json]) -> None:
        if not parts:
            return
        if self.contents and self.contents[-1]["role"] == role and "functionResponse" not in self.contents[-1]["parts"][-1]:
            self.contents[-1]["parts"].extend(parts)
        else:
            self.contents.append({"role": role, "parts": parts})

    def _parts(self, content: Any, where: str) -> list[Json]:
        if isinstance(content, str):
            return [{"text": content}] if content else []
        found: list[Json] = []
        for at, part in enumerate(parts_of(content)):
            if "cache_control" in part:
                self._drop("cache_control")
            made = part_of(part, f"{where}.content[{at}]", self._dropped)
            if made is not None:
                found.append(made)
        return found

    def _answer(self, message: Json, where: str) -> list[Json]:
        """An assistant message: what code execution did, text, calls. Reasoning text is not sent back; its signature is."""
        google = _google(message)
        raw = google.get("parts")
        parts = (
            [{key: part[key] for key in _CODE_PARTS if key in part} for part in raw if isinstance(part, dict)]
            if isinstance(raw, list)
            else []
        )
        parts = [part for part in parts if part]
        signature = google.get("thought_signature") or _block_signature(message)
        text = self._parts(message.get("content") or message.get("refusal"), where)
        calls = self._calls(message, where)
        if message.get("audio"):
            self._drop("messages[].audio")
        if signature and (text or not calls):
            text = text or [{"text": ""}]
            text[-1]["thoughtSignature"] = str(signature)
        if calls and "thoughtSignature" not in calls[0]:
            if signature and not text:
                calls[0]["thoughtSignature"] = str(signature)
            elif self._major >= 3:
                calls[0]["thoughtSignature"] = STAND_IN_SIGNATURE
        return parts + text + calls

    def _calls(self, message: Json, where: str) -> list[Json]:
        calls = message.get("tool_calls") or []
        if not calls and message.get("function_call"):
            calls = [{"function": message["function_call"]}]
        if not isinstance(calls, list):
            raise bad_request("expected a list", f"{where}.tool_calls")
        found: list[Json] = []
        for at, call in enumerate(calls):
            param = f"{where}.tool_calls[{at}]"
            function = call.get("function") if isinstance(call, dict) else None
            name = function.get("name") if isinstance(function, dict) else None
            if not isinstance(name, str) or not name:
                raise bad_request("expected the name of a function", f"{param}.function.name")
            arguments = function.get("arguments") if isinstance(function, dict) else None
            args: Any = arguments_of(call, param)
            if args and isinstance(arguments, str):
                args = orjson.Fragment(arguments.encode())  # checked above; sent as it was written, big integers included
            made: Json = {"name": name, "args": args}
            if call.get("id"):
                made["id"] = str(call["id"])
                self._names[made["id"]] = name
            part: Json = {"functionCall": made}
            signature = _google(call).get("thought_signature")
            if signature:
                part["thoughtSignature"] = str(signature)
            found.append(part)
        return found

    def _result(self, message: Json, where: str) -> None:
        """A tool's result. Images in it go inside the response for Gemini 3 (vertex/generate-tools-document-reasoning-70cb9cb3),
        into a user turn of their own for older models (gemini/generate-tools-toolresult-document-reasoning-924f75d0)."""
        id = message.get("tool_call_id")
        name = self._names.get(str(id)) or message.get("name")
        if not name:
            raise bad_request("expected the id of a tool call in an earlier assistant message", f"{where}.tool_call_id")
        content = message.get("content")
        parts = self._parts(content, where) if isinstance(content, list) else []
        media = [part for part in parts if "text" not in part]
        response: Json = {"name": str(name), "response": _object(text_of(content), empty=bool(media))}
        if id:
            response["id"] = str(id)
        if self._major >= 3 and media:
            response["parts"] = media
        else:
            self._media.extend(media)
        part: Json = {"functionResponse": response}
        last = self.contents[-1] if self.contents else None
        if last is not None and last["role"] == "user" and "functionResponse" in last["parts"][-1]:
            last["parts"].append(part)
        else:
            self.contents.append({"role": "user", "parts": [part]})

    def _flush_media(self) -> None:
        media, self._media = self._media, []
        self._turn("user", media)

    def _drop(self, name: str) -> None:
        if name not in self._dropped:
            self._dropped.append(name)


def _object(text: str, *, empty: bool) -> Any:
    """A tool's answer as the object Gemini wants: a JSON object as it was written, any other text as `{"result": text}`."""
    if text.lstrip()[:1] == "{":
        try:
            if isinstance(orjson.loads(text), dict):
                return orjson.Fragment(text.encode())
        except orjson.JSONDecodeError:
            pass
    return {} if empty and not text else {"result": text}


def _google(value: Json) -> Json:
    extra = value.get("extra_content")
    google = extra.get("google") if isinstance(extra, dict) else None
    return google if isinstance(google, dict) else {}


def _block_signature(message: Json) -> str | None:
    blocks = message.get("thinking_blocks")
    for block in reversed(blocks if isinstance(blocks, list) else []):
        signature = block.get("signature") if isinstance(block, dict) else None
        if isinstance(signature, str) and signature.startswith(BLOCK_MARK):
            return signature[len(BLOCK_MARK) :]
    return None
