"""The chat's messages as Converse's: `system` apart, turns that alternate, results of tools first in their turn.

Left out, because Bedrock refuses it: text of nothing but blanks. Added, because it is missed: a word where a turn has a
document and no text. Cache marks become cache points behind what they mark.
"""

from __future__ import annotations

from typing import Any

import orjson

from edgegate.dialects.base import Chat, Json
from edgegate.dialects.bedrock.families import Family
from edgegate.dialects.bedrock.media import DocumentNames, audio_block, file_block, image_block, vendor_block, video_block
from edgegate.dialects.bedrock.names import ids_of, names_of
from edgegate.dialects.bedrock.thoughts import reasoning_blocks, signed
from edgegate.dialects.chat import arguments_of
from edgegate.dialects.losses import Losses
from edgegate.dialects.vendor_parts import is_record, told
from edgegate.errors import bad_request

_NO_SYSTEM = ("amazon.titan-text", "mistral.mistral-7b", "mistral.mixtral", "ai21.j2", "cohere.command-text", "cohere.command-light")
_IN_RESULTS = ("text", "image", "document", "video", "searchResult", "json")
_NO_OUTPUT: Json = {"text": "(no output)"}
_BEGINNING: Json = {"text": "Continue our conversation."}
_SEE_DOCUMENT: Json = {"text": "See the attached document."}


class Turns:
    """Reads the messages once. `system` and `messages` are what is sent; `called` are the functions that the history names."""

    def __init__(self, chat: Chat, family: Family, losses: Losses) -> None:
        self.system: list[Json] = []
        self.messages: list[Json] = []
        self.called: list[str] = []
        self.names = names_of(chat)
        self._family = family
        self._losses = losses
        self._ids = ids_of(chat, family.claude is not None)
        self._documents = DocumentNames()
        self._function_calls = 0  # of the old form, which has no ids
        self._read(chat.get("messages"))
        self._finish()

    @property
    def has_tools(self) -> bool:
        """Whether the history holds calls or results, for which Bedrock wants the tools."""
        return any("toolUse" in block or "toolResult" in block for message in self.messages for block in message["content"])

    def mark_end(self, source: Json) -> None:
        """A cache mark on the request as a whole: everything up to its last message."""
        if self.messages and self._losses.near("cache_control"):
            self._mark(self.messages[-1]["content"], source)

    def fold_system(self) -> None:
        """For models without a system prompt: the user says it, before anything else but results of tools."""
        if self.system and self._family.id.startswith(_NO_SYSTEM) and self._losses.approximate:
            self._losses.near("messages[].role")
            content: list[Json] = self.messages[0]["content"]
            at = sum("toolResult" in block for block in content)
            content[at:at] = [block for block in self.system if "text" in block]
            self.system = []

    def _read(self, messages: Any) -> None:
        if not isinstance(messages, list):
            raise bad_request("expected a list of messages", "messages")
        for number, message in enumerate(messages):
            at = f"messages[{number}]"
            if not isinstance(message, dict):
                raise bad_request("expected an object", at)
            role = message.get("role")
            if role in ("system", "developer"):
                self._system(message, at)
            elif role == "user":
                self._note(message, ("name",))
                self._turn("user", self._marked(self._blocks(message.get("content"), f"{at}.content"), message))
            elif role in ("tool", "function"):
                self._turn("user", self._result(message, at))
            elif role == "assistant":
                self._turn("assistant", self._assistant(message, at))
            else:
                raise bad_request("expected one of system, developer, user, assistant, tool", f"{at}.role")

    def _finish(self) -> None:
        if not self.messages:
            raise bad_request("this provider needs at least one message with content besides the system's", "messages")
        if self.messages[0]["role"] != "user":
            if not self._losses.near("messages"):
                raise bad_request("this provider's conversations begin with the user", "messages")
            self.messages.insert(0, {"role": "user", "content": [_BEGINNING]})
        for message in self.messages:
            if message["role"] == "user":
                self._arrange(message)

    def _arrange(self, message: Json) -> None:
        """Results before anything else, each with the cache point behind it; text beside documents."""
        content: list[Json] = message["content"]
        results: list[Json] = []
        rest: list[Json] = []
        group = rest
        for block in content:
            if "cachePoint" not in block:
                group = results if "toolResult" in block else rest
            group.append(block)
        alone = any("document" in block for block in rest) and not any("text" in block for block in rest)
        if alone and self._losses.approximate:  # else Bedrock says what is missing
            self._losses.near("messages[].content")
            rest.insert(0, _SEE_DOCUMENT)
        message["content"] = results + rest

    def _turn(self, role: str, blocks: list[Json]) -> None:
        if not blocks:
            return
        if self.messages and self.messages[-1]["role"] == role:
            self.messages[-1]["content"] += blocks
        else:
            self.messages.append({"role": role, "content": blocks})

    def _system(self, message: Json, at: str) -> None:
        blocks = self._marked(self._blocks(message.get("content"), f"{at}.content"), message)
        if any(block.keys().isdisjoint(("text", "cachePoint", "guardContent")) for block in blocks):
            raise bad_request("this provider takes text only in system messages", f"{at}.content")
        self.system += blocks

    def _assistant(self, message: Json, at: str) -> list[Json]:
        """Reasoning first, in order; then text; then calls."""
        blocks = reasoning_blocks(message, self._family, self._losses)
        self._note(message, ("name", "audio", "images"))
        content = message.get("content")
        blocks += self._blocks(content if content else message.get("refusal"), f"{at}.content", past=True)
        calls = message.get("tool_calls")
        for number, call in enumerate(calls if isinstance(calls, list) else []):
            where = f"{at}.tool_calls[{number}]"
            id = call.get("id") if isinstance(call, dict) else None
            blocks.append(self._call(call, self._ids[id] if isinstance(id, str) else f"call_{at}_{number}".translate(_PLAIN), where))
            self._mark(blocks, call)
        if not calls and isinstance(message.get("function_call"), dict):
            self._function_calls += 1
            blocks.append(self._call({"function": message["function_call"]}, f"function_{self._function_calls}", f"{at}.function_call"))
        return self._marked(blocks, message)

    def _call(self, call: Any, id: str, at: str) -> Json:
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise bad_request("this provider takes function calls only", at)
        name = self.names[function["name"]]
        if name not in self.called:
            self.called.append(name)
        return {"toolUse": {"toolUseId": id, "name": name, "input": arguments_of(call, at)}}

    def _result(self, message: Json, at: str) -> list[Json]:
        id = message.get("tool_call_id")
        if message.get("role") == "function":
            sent = f"function_{self._function_calls}"
        elif isinstance(id, str):
            sent = self._ids[id]
        else:
            raise bad_request("expected the id of a tool call", f"{at}.tool_call_id")
        content: list[Json] = []
        points: list[Json] = []
        for block in self._blocks(message.get("content"), f"{at}.content"):
            if "cachePoint" in block:
                points = [block]  # inside a result there are none: the mark moves behind it
            elif block.keys().isdisjoint(_IN_RESULTS):
                raise bad_request("this provider takes text, images, documents and video in the results of tools", f"{at}.content")
            else:
                content.append(_as_json(block) if self._family.maker == "mistral" and "text" in block else block)
        result: Json = {"toolUseId": sent, "content": content or [_NO_OUTPUT]}
        if message.get("is_error"):
            result["status"] = "error"
        return self._marked([{"toolResult": result}, *points], message)

    def _blocks(self, content: Any, at: str, *, past: bool = False) -> list[Json]:
        """`past`: it is an earlier answer, in which a part of another vendor's is only a record."""
        if content is None:
            return []
        if isinstance(content, str):
            return [{"text": content}] if content.strip() else []
        if not isinstance(content, list):
            raise bad_request("expected a string or a list of parts", at)
        blocks: list[Json] = []
        for number, part in enumerate(content):
            block = self._block(part, f"{at}[{number}]", past)
            if block is not None:
                blocks.append(block)
                self._mark(blocks, part)
        return blocks

    def _block(self, part: Any, at: str, past: bool) -> Json | None:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind in ("text", "refusal"):
            text = part.get(kind)
            if not isinstance(text, str):
                raise bad_request("expected a string", f"{at}.{kind}")
            return {"text": text} if text.strip() else None
        if kind == "image_url":
            if isinstance(part.get("image_url"), dict) and part["image_url"].get("detail") not in (None, "auto"):
                self._losses.drop("content.image_url.detail")
            return image_block(part.get("image_url"), at, self._documents)
        if kind == "file":
            return file_block(part, at, self._documents)
        if kind == "video_url":
            return video_block(part.get("video_url"), at)
        if kind == "input_audio":
            return audio_block(part.get("input_audio"), at)
        if kind == "guardContent" and isinstance(part.get(kind), dict):  # Bedrock's own, for guardrails
            return {kind: part[kind]}
        if isinstance(part, dict):
            block = vendor_block(part, at, self._documents)
            if block is not None:
                return block
            if kind in ("thinking", "redacted_thinking") and self._family.signs and (kept := signed(part)) is not None:
                return {"reasoningContent": kept}
            if is_record(kind):
                self._losses.drop(f"content.{kind}")
                return None
            text = told(part)
            if text is not None:
                return {"text": text} if text.strip() and self._losses.near(f"content.{kind}") else None
        if past and isinstance(kind, str):
            self._losses.drop(f"content.{kind[:40]}")
            return None
        raise bad_request("this provider takes text, images, documents, video and audio", f"{at}.type")

    def _marked(self, blocks: list[Json], message: Json) -> list[Json]:
        self._mark(blocks, message)
        return blocks

    def _mark(self, blocks: list[Json], source: Any) -> None:
        point = cache_point(source, self._family, self._losses)
        if point is not None and blocks and "cachePoint" not in blocks[-1]:
            blocks.append(point)

    def _note(self, source: Json, names: tuple[str, ...]) -> None:
        for name in names:
            if source.get(name):
                self._losses.drop(f"messages[].{name}")


_PLAIN = {ord("["): "_", ord("]"): ""}


def cache_point(source: Any, family: Family, losses: Losses) -> Json | None:
    """The cache point for a `cache_control` mark, where the model has any."""
    mark = source.get("cache_control") if isinstance(source, dict) else None
    if not isinstance(mark, dict):
        return None
    if not family.caching:
        losses.drop("cache_control")
        return None
    if mark.get("ttl") == "1h":
        if family.hour:
            return {"cachePoint": {"type": "default", "ttl": "1h"}}
        if not losses.near("cache_control"):
            return None
    return {"cachePoint": {"type": "default"}}


def _as_json(block: Json) -> Json:
    """Mistral's models on Bedrock take the results of tools as objects."""
    try:
        value = orjson.loads(block["text"])
    except orjson.JSONDecodeError:
        value = None
    return {"json": value if isinstance(value, dict) else {"result": block["text"]}}
