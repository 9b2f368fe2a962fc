"""Messages -> `contents` and `systemInstruction`.

Gemini knows the roles user and model. System and developer messages, wherever they stand, become the system instruction; tool
results become `functionResponse` parts of a user turn, which need the function's *name*, looked up by the call's id. Turns
of the same role are merged, except that function responses keep a turn of their own (the recordings show that neighbour
user turns are taken, and a turn that mixes responses with other parts was never recorded).

Gemini 3 validates the thought signature of the first call of each step. It travels in `extra_content.google.thought_signature`
of a tool call, or of the message for a text's signature. Calls that came from elsewhere get the documented stand-in. A seal
or another vendor's state is never sent.
"""

from __future__ import annotations

from typing import Any

import orjson

from edgegate.dialects.base import Chat, Json
from edgegate.dialects.chat import arguments_of, parts_of, text_of
from edgegate.dialects.gemini.conversation import MADE_ID, ORDER
from edgegate.dialects.gemini.media import google_of, part_of
from edgegate.dialects.losses import Losses
from edgegate.dialects.sealed import is_sealed
from edgegate.errors import bad_request

STAND_IN_SIGNATURE = "c2tpcF90aG91Z2h0X3NpZ25hdHVyZV92YWxpZGF0b3I="
"""`skip_thought_signature_validator` in base64: accepted by Gemini 3 (generate-tools-toolresult-toolchoice-09b193f8)."""

_OWN_PARTS = frozenset(("executableCode", "codeExecutionResult", "text", "thought", "thoughtSignature"))
"""What parts in `extra_content.google.parts` may hold: what code execution did, and thoughts."""


class Turns:
    """Collects a conversation. `contents` and `system` are the result; `losses` gets the names of what has no place."""

    __slots__ = ("_losses", "_major", "_media", "_names", "contents", "system")

    def __init__(self, major: int, losses: Losses) -> None:
        self.contents: list[Json] = []
        self.system: list[Json] = []
        self._major = major
        self._losses = losses
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
            self._losses.drop("cache_control")
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
            self._losses.drop("messages[].name")

    def _turn(self, role: str, parts: list[Json]) -> None:
        if not parts:
            return
        if self.contents and self.contents[-1]["role"] == role and "functionResponse" not in self.contents[-1]["parts"][-1]:
            self.contents[-1]["parts"].extend(parts)
        else:
            self.contents.append({"role": role, "parts": parts})

    def _parts(self, content: Any, where: str, *, by_model: bool = False) -> list[Json]:
        if isinstance(content, str):
            return [{"text": content}] if content else []
        found: list[Json] = []
        for at, part in enumerate(parts_of(content)):
            if "cache_control" in part:
                self._losses.drop("cache_control")
            made = part_of(part, f"{where}.content[{at}]", self._losses, by_model=by_model)
            if made is not None:
                found.append(made)
        return found

    def _answer(self, message: Json, where: str) -> list[Json]:
        """An assistant message: its thoughts and what code execution did, as far as they came from Gemini, text, calls, images.
        Reasoning of other vendors is not sent; the signature is."""
        google = google_of(message)
        raw = google.get("parts")
        own = (
            [{name: part[name] for name in part.keys() & _OWN_PARTS} for part in raw if isinstance(part, dict)]
            if isinstance(raw, list)
            else []
        )
        own = [part for part in own if part and not is_sealed(part.get("thoughtSignature"))]
        if message.get("reasoning_content") and not any(part.get("thought") for part in own):
            self._losses.drop("messages[].reasoning_content")
        signature = google.get("thought_signature")
        if not isinstance(signature, str) or is_sealed(signature):
            signature = ""
        text = self._parts(message.get("content") or message.get("refusal"), where, by_model=True)
        calls = self._calls(message, where)
        images = self._parts(message.get("images") or _drawn(message), where, by_model=True)
        if message.get("audio"):
            self._losses.drop("messages[].audio")
        if signature and (text or not calls):
            text = text or [{"text": ""}]
            text[-1]["thoughtSignature"] = signature
        if calls and "thoughtSignature" not in calls[0]:
            if signature and not text:
                calls[0]["thoughtSignature"] = signature
            elif self._major >= 3:
                calls[0]["thoughtSignature"] = STAND_IN_SIGNATURE
        return _ordered(google.get("order"), {"parts": own, "content": text, "tool_calls": calls, "images": images})

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
                self._names[str(call["id"])] = name
                if not str(call["id"]).startswith(MADE_ID):
                    made["id"] = str(call["id"])
            part: Json = {"functionCall": made}
            google = google_of(call)
            made.update((field, google[field]) for field in ("partialArgs", "willContinue") if field in google)
            signature = google.get("thought_signature")
            if isinstance(signature, str) and signature and not is_sealed(signature):
                part["thoughtSignature"] = signature
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
        key = "error" if message.get("is_error") else "result"
        response: Json = {"name": str(name), "response": _object(text_of(content), key, empty=bool(media))}
        if id and not str(id).startswith(MADE_ID):
            response["id"] = str(id)
        google = google_of(message)
        response.update((field, google[field]) for field in ("willContinue", "scheduling") if field in google)
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


def _drawn(message: Json) -> list[Json]:
    """The pictures that OpenAI's tool made in this turn, as its items."""
    return [item for item in parts_of(message.get("provider_items")) if item.get("type") == "image_generation_call"]


def _object(text: str, key: str, *, empty: bool) -> Any:
    """A tool's answer as the object Gemini wants: a JSON object as it was written, any other text as `{"result": text}`, or
    `{"error": text}` where the tool failed."""
    if text.lstrip()[:1] == "{":
        try:
            if isinstance(orjson.loads(text), dict):
                return orjson.Fragment(text.encode())
        except orjson.JSONDecodeError:
            pass
    return {} if empty and not text else {key: text}


def _ordered(order: Any, kinds: dict[str, list[Json]]) -> list[Json]:
    """A turn's parts as Gemini sent them. What `order` does not tell, of a message that was changed since, follows as usual."""
    found: list[Json] = []
    if isinstance(order, list):
        left = {kind: iter(parts) for kind, parts in kinds.items()}
        found = [part for kind in order if isinstance(kind, str) and kind in left and (part := next(left[kind], None)) is not None]
        return found + [part for kind in ORDER for part in left[kind]]
    return [part for kind in ORDER for part in kinds[kind]]
