"""`contents` as messages of a chat: the way back from `turns.py`.

A model's turn is one assistant message, a user's turn one tool message for each function's response and a user message for the
rest. Where calls have no ids (Gemini wants none) they get `gemini_call_<n>`, by order, and responses without ids belong to the
first unanswered call of their name; the provider side leaves such ids out again.

What is only for Gemini goes into `extra_content.google`: signatures, thoughts word by word (`parts`; others read them as
`reasoning_content`), and `order`, where a turn's parts do not come as thoughts, content, calls, images. A signature that is a
seal holds what other vendors want back: it is opened here.
"""

from __future__ import annotations

from typing import Any

import orjson

from edgegate.dialects.base import Json
from edgegate.dialects.gemini.fields import a_text, a_word, an_object, objects, wrong
from edgegate.dialects.gemini.parts import chat_part, standard
from edgegate.dialects.sealed import is_sealed, restore, unseal
from edgegate.errors import bad_request

MADE_ID = "gemini_call_"
ORDER = ("parts", "content", "tool_calls", "images")
"""How the parts of a model's turn are ordered unless `extra_content.google.order` says otherwise."""

_ROLES = {"USER": "user", "FUNCTION": "user", "MODEL": "model", "": "user"}


class Conversation:
    """Collects `messages`."""

    __slots__ = ("_made", "_open", "messages")

    def __init__(self) -> None:
        self.messages: list[Json] = []
        self._made = 0
        self._open: list[tuple[str, str]] = []  # (name, id) of calls that have no answer yet

    def instruct(self, value: Any) -> None:
        """`systemInstruction`."""
        where = "systemInstruction"
        content = an_object(value, where)
        if parts := [_content(part, f"{where}.parts[{at}]") for at, part in enumerate(objects(content.get("parts"), f"{where}.parts"))]:
            self.messages.append({"role": "system", "content": _plain(parts)})

    def add(self, contents: Any) -> None:
        """`contents`, in camelCase."""
        turns = objects(contents, "contents")
        if not turns:
            raise bad_request("* GenerateContentRequest.contents: contents is not specified", "contents")
        model: list[tuple[Json, str]] = []  # turns of the model that follow each other are one: calls stand before all results
        for at, turn in enumerate(turns):
            where = f"contents[{at}]"
            role = _ROLES.get(a_word(turn.get("role") or "", f"{where}.role"))
            if role is None:
                raise bad_request("Please use a valid role: user, model.", f"{where}.role")
            parts = objects(turn.get("parts"), f"{where}.parts")
            if role == "model":
                model += [(part, f"{where}.parts[{number}]") for number, part in enumerate(parts)]
                continue
            self._model(model)
            model = []
            self._user(parts, f"{where}.parts")
        self._model(model)

    def _user(self, parts: list[Json], where: str) -> None:
        rest = []
        for at, part in enumerate(parts):
            if "functionResponse" in part:
                self.messages.append(self._result(part["functionResponse"], f"{where}[{at}].functionResponse"))
            elif "functionCall" in part:
                raise bad_request("Please ensure that function call turns have the role model.", f"{where}[{at}].functionCall")
            else:
                rest.append(_content(part, f"{where}[{at}]"))
        if rest:
            self.messages.append({"role": "user", "content": _plain(rest)})

    def _model(self, parts: list[tuple[Json, str]]) -> None:
        """A turn of the model: its parts, each with its place."""
        content: list[Json] = []
        calls: list[Json] = []
        images: list[Json] = []
        own: list[Json] = []
        thoughts: list[str] = []
        seals: list[Json] = []
        order: list[str] = []
        for part, place in parts:
            signature = _signature(part, place, seals)
            if "functionCall" in part:
                calls.append(self._call(an_object(part["functionCall"], f"{place}.functionCall"), signature, f"{place}.functionCall"))
                order.append("tool_calls")
            elif part.get("thought") is True and isinstance(part.get("text"), str):
                thoughts.append(part["text"])
                thought: Json = {"text": part["text"], "thought": True}
                own.append({**thought, "thoughtSignature": signature} if signature else thought)
                order.append("parts")
            elif "functionResponse" in part:
                raise bad_request("Please ensure that function response turns have the role user.", f"{place}.functionResponse")
            elif part.get("text") == "" and not signature:
                continue  # held a seal, or nothing
            else:
                made = chat_part(part, place, signature)
                picture = made["type"] == "image_url"
                (images if picture else content).append({"index": len(images), **made} if picture else made)
                order.append("images" if picture else "content")
        if not order and not seals:
            return
        message: Json = {"role": "assistant", "content": None if not content and (calls or images) else _plain(content)}
        google = _signed(message, content)
        if thoughts:
            message["reasoning_content"] = "".join(thoughts)
            google["parts"] = own
        if calls:
            message["tool_calls"] = calls
        if images:
            message["images"] = images
        if order != sorted(order, key=ORDER.index):
            google["order"] = order
        if google:
            message["extra_content"] = {"google": google}
        for fields in seals:
            restore(message, fields)
        self.messages.append(message)

    def _call(self, call: Json, signature: str, where: str) -> Json:
        name = a_text(call.get("name") or "", f"{where}.name")
        if not name:
            raise wrong(f"{where}.name", "the name of a function")
        id = a_text(call.get("id") or "", f"{where}.id")
        if not id:
            id = f"{MADE_ID}{self._made}"
            self._made += 1
        self._open.append((name, id))
        arguments = _dumped(an_object(call.get("args", {}), f"{where}.args"), f"{where}.args")
        google: Json = {field: value for field, value in call.items() if field not in ("name", "id", "args")}
        if signature:
            google["thought_signature"] = signature
        made: Json = {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}
        if google:
            made["extra_content"] = {"google": google}
        return made

    def _result(self, value: Any, where: str) -> Json:
        result = an_object(value, where)
        name = a_text(result.get("name") or "", f"{where}.name")
        message: Json = {"role": "tool", "tool_call_id": self._answered(name, a_text(result.get("id") or "", f"{where}.id"))}
        if name:
            message["name"] = name
        response = an_object(result.get("response", {}), f"{where}.response")
        media = [_content(part, f"{where}.parts[{at}]") for at, part in enumerate(objects(result.get("parts"), f"{where}.parts"))]
        text = _said(response, f"{where}.response")
        message["content"] = [*([{"type": "text", "text": text}] if response else []), *media] if media else text
        if "error" in response and "output" not in response and "result" not in response:
            message["is_error"] = True
        google = {field: value for field, value in result.items() if field not in ("name", "id", "response", "parts")}
        if google:
            message["extra_content"] = {"google": google}
        return message

    def _answered(self, name: str, id: str) -> str:
        """The id of the call that a response answers; a new one if there is none."""
        for known, call in self._open:
            if call == id if id else known == name:
                self._open.remove((known, call))
                return call
        if not id:
            id = f"{MADE_ID}{self._made}"
            self._made += 1
        return id


def _content(part: Json, where: str) -> Json:
    """A part that is neither call nor response."""
    signature = part.get("thoughtSignature")
    return chat_part(part, where, "" if is_sealed(signature) else a_text(signature or "", f"{where}.thoughtSignature"))


def _signature(part: Json, where: str, seals: list[Json]) -> str:
    """The part's signature if it is Gemini's own; a seal is opened into `seals`."""
    text = a_text(part.get("thoughtSignature") or "", f"{where}.thoughtSignature")
    if not is_sealed(text):
        return text
    text = standard(text)
    fields = unseal(text + "=" * (-len(text) % 4))
    if fields is not None:
        seals.append(fields)
    return ""


def _signed(message: Json, content: list[Json]) -> Json:
    """Takes the signature of the last text to the message, where it stands for other clients too; others stay with their part."""
    last = content[-1] if content else {}
    google = last.get("extra_content", {}).get("google", {})
    if last.get("type") != "text" or google.keys() != {"thought_signature"}:
        return {}
    content[-1] = {"type": "text", "text": last["text"]}
    message["content"] = _plain(content)
    return dict(google)


def _plain(parts: list[Json]) -> Any:
    """One piece of plain text as a string, which every provider takes; a list of parts otherwise."""
    if not parts:
        return ""
    return parts[0]["text"] if len(parts) == 1 and parts[0].keys() == {"type", "text"} else parts


def _said(response: Json, where: str) -> str:
    """A function's response as text. `{"result": text}` is how the provider side wraps plain text."""
    text = response.get("result")
    if response.keys() == {"result"} and isinstance(text, str) and text.lstrip()[:1] != "{":
        return text
    return _dumped(response, where)


def _dumped(value: Json, where: str) -> str:
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError:  # more than 254 levels
        raise wrong(where, "JSON of fewer than 254 levels") from None
