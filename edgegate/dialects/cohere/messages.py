"""The messages of a chat as Cohere takes them.

What stands before the calls of an assistant's turn is its `tool_plan`: Cohere's models write it there, and chats show it as
content. A turn that came from a Cohere client says by its own `tool_plan` which of its text is the plan; null is none. Pictures
in a tool's result go into a user message behind the results: Cohere's take text and documents only.
"""

from __future__ import annotations

from typing import Any

import orjson

from edgegate.dialects.base import Ask, Json
from edgegate.dialects.chat import parts_of, text_of
from edgegate.dialects.cohere.citations import own
from edgegate.dialects.vendor_parts import is_record, told
from edgegate.errors import bad_request

_PLAIN_MODELS = ("command-r", "command-light", "command-nightly", "command-a-03", "command-a-vision", "command-a-translate", "c4ai-")
_IN_HISTORY = ("text", "refusal")


def reasons(model: str) -> bool:
    """Whether a model of this name thinks: all but those from before thinking."""
    name = model.rpartition("/")[2]
    return name != "command" and not name.startswith(_PLAIN_MODELS)


class Messages:
    """One request's messages being written; `dropped` and `mapped` gather names."""

    def __init__(self, ask: Ask, dropped: list[str], mapped: list[str]) -> None:
        self._ask = ask
        self._dropped = dropped
        self._mapped = mapped
        self._thinking = reasons(ask.model)

    def written(self) -> list[Json]:
        given = self._ask.chat.get("messages")
        if not isinstance(given, list) or not given or not all(isinstance(message, dict) for message in given):
            raise bad_request("expected a list of messages that is not empty", "messages")
        messages: list[Json] = []
        pictures: list[Json] = []  # of tool results, until the last of them is written
        for at, message in enumerate(given):
            param = f"messages[{at}]"
            role = message.get("role")
            if role != "tool" and pictures:
                messages.append({"role": "user", "content": pictures})
                pictures = []
            if role in ("system", "developer"):
                if content := self._content(message.get("content"), param, "system"):
                    messages.append({"role": "system", "content": content})
            elif role == "user":
                messages.append({"role": "user", "content": self._content(message.get("content"), param, "user")})
            elif role == "assistant":
                turn = self._assistant(message, param)
                if turn.keys() & {"tool_calls", "tool_plan"} or turn["content"]:  # one that says nothing is refused
                    messages.append(turn)
            elif role == "tool":
                result, found = self._result(message, param)
                messages.append(result)
                pictures += found
            else:
                raise bad_request("this provider knows the roles system, user, assistant and tool", f"{param}.role")
            for name in ("name", "cache_control") if role != "tool" else ("is_error", "cache_control"):
                if message.get(name):
                    self._lose(f"messages[].{name}" if name == "name" else name)
        if pictures:
            messages.append({"role": "user", "content": pictures})
        return messages

    def _lose(self, name: str) -> None:
        if name not in self._dropped:
            self._dropped.append(name)

    def _content(self, content: Any, param: str, role: str) -> str | list[Json]:
        """A string stays one, and a list a list; null is the empty string."""
        if content is None or isinstance(content, str):
            return content or ""
        if not isinstance(content, list):
            raise bad_request("expected a string or a list of parts", f"{param}.content")
        parts = [self._part(part, f"{param}.content[{at}]", role) for at, part in enumerate(content)]
        return [part for part in parts if part is not None] or ""

    def _part(self, part: Any, param: str, role: str) -> Json | None:
        """None for what is lost, and named as that."""
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "text":
            if not isinstance(part.get("text"), str):
                raise bad_request("expected a string", f"{param}.text")
            if part.get("cache_control"):
                self._lose("cache_control")
            return {"type": "text", "text": part["text"]}
        if kind == "image_url" and role == "user":
            return _picture(part.get("image_url"), f"{param}.image_url")
        what = kind[:40] if isinstance(kind, str) else kind
        if is_record(kind):
            self._lose(f"content.{what}")
            return None
        if isinstance(part, dict) and (text := told(part)) is not None:
            if not self._ask.approximate:
                self._lose(f"content.{what}")
                return None
            if f"content.{what}" not in self._mapped:
                self._mapped.append(f"content.{what}")
            return {"type": "text", "text": text}
        raise bad_request(f"this provider takes no content of type {what!r} in a {role} message", param, code="unsupported_value")

    def _assistant(self, message: Json, param: str) -> Json:
        written: Json = {"role": "assistant"}
        content = message.get("content")
        if content is not None and not isinstance(content, (str, list)):
            raise bad_request("expected a string or a list of parts", f"{param}.content")
        parts = []
        thoughts: list[str] = []
        for part in parts_of(content):
            kind = part.get("type")
            if kind in _IN_HISTORY and isinstance(part.get(kind), str):
                parts.append({"type": "text", "text": part[kind]})
            elif kind == "compaction" and (text := told(part)) is not None:  # what was before, in short
                parts.append({"type": "text", "text": text})
            elif kind == "thinking":  # a chunk of Mistral's, or of Cohere's
                thoughts.append(_thought(part))
            else:  # a vendor's own block: the text beside it tells the outcome
                self._lose(f"content.{str(kind)[:40]}")
        if not parts and isinstance(message.get("refusal"), str):
            parts = [{"type": "text", "text": message["refusal"]}]
        calls = [self._call(call, f"{param}.tool_calls[{at}]") for at, call in enumerate(_calls(message, param))]
        plan = message.get("tool_plan")
        if "tool_plan" not in message and calls:
            plan, parts = "".join(part["text"] for part in parts), []
        elif isinstance(plan, str) and plan and parts and parts[0]["text"].startswith(plan):
            rest = parts[0]["text"].removeprefix(plan)
            parts = [{"type": "text", "text": rest}, *parts[1:]] if rest else parts[1:]
        if isinstance(plan, str) and plan:
            written["tool_plan"] = plan
        thinking = self._thoughts(message, "".join(thoughts))
        if len(parts) == 1 and not thinking and not isinstance(content, list):
            written["content"] = parts[0]["text"]
        elif parts or thinking or not (calls or plan):
            written["content"] = [*thinking, *parts] or ""
        if calls:
            written["tool_calls"] = calls
        citations = own(message.get("annotations"))
        if citations:
            written["citations"] = citations
        for name in ("audio", "images"):
            if message.get(name):
                self._lose(f"messages[].{name}")
        return written

    def _thoughts(self, message: Json, inside: str) -> list[Json]:
        """Reasoning as a part, to a model that thinks. Signatures of other vendors stay behind. `inside`: what was found among
        the content."""
        reasoning = message.get("reasoning_content")
        if not isinstance(reasoning, str) or not reasoning:
            reasoning = inside
        if not reasoning:
            blocks = message.get("thinking_blocks")
            found = [block.get("thinking") for block in blocks if isinstance(block, dict)] if isinstance(blocks, list) else []
            reasoning = "\n".join(text for text in found if isinstance(text, str) and text)
        if not reasoning:
            return []
        if not self._thinking:
            self._lose("messages[].reasoning_content")
            return []
        return [{"type": "thinking", "thinking": reasoning}]

    def _call(self, call: Any, param: str) -> Json:
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise bad_request("this provider takes calls of functions only: expected function.name", param)
        if not isinstance(call.get("id"), str):
            raise bad_request("expected a string", f"{param}.id")
        arguments = function.get("arguments")
        if not isinstance(arguments, str):
            arguments = orjson.dumps({} if arguments is None else arguments).decode()
        return {"id": call["id"], "type": "function", "function": {"name": function["name"], "arguments": arguments or "{}"}}

    def _result(self, message: Json, param: str) -> tuple[Json, list[Json]]:
        """A tool's result, and the pictures that were in it."""
        if not isinstance(message.get("tool_call_id"), str):
            raise bad_request("expected a string", f"{param}.tool_call_id")
        content = message.get("content")
        pictures: list[Json] = []
        if isinstance(content, list):
            parts: list[Json] = []
            for at, part in enumerate(content):
                where = f"{param}.content[{at}]"
                document = part.get("document") if isinstance(part, dict) else None
                if isinstance(document, dict):
                    parts.append({"type": "document", "document": document})
                elif isinstance(part, dict) and part.get("type") == "image_url":
                    pictures.append(_picture(part.get("image_url"), f"{where}.image_url"))
                elif (written := self._part(part, where, "tool")) is not None:
                    parts.append(written)
            if pictures and not self._ask.approximate:
                pictures = []
                self._lose("messages[].content")
            elif pictures and "messages[].content" not in self._mapped:
                self._mapped.append("messages[].content")
            content = parts or ("The result is in the next user message." if pictures else "")
        elif content is not None and not isinstance(content, str):
            raise bad_request("expected a string or a list of parts", f"{param}.content")
        return {"role": "tool", "tool_call_id": message["tool_call_id"], "content": content or ""}, pictures


def _calls(message: Json, param: str) -> list[Any]:
    if message.get("function_call"):
        raise bad_request("this provider takes tool_calls, not the older function_call", f"{param}.function_call")
    calls = message.get("tool_calls")
    if calls is None:
        return []
    if not isinstance(calls, list):
        raise bad_request("expected a list of tool calls", f"{param}.tool_calls")
    return calls


def _thought(part: Json) -> str:
    inner = part.get("thinking")
    return inner if isinstance(inner, str) else text_of(inner)


def _picture(image: Any, param: str) -> Json:
    """A data: URL or one on the web; Mistral's clients write it without an object around it."""
    image = {"url": image} if isinstance(image, str) else image
    if not isinstance(image, dict) or not isinstance(image.get("url"), str):
        raise bad_request("expected a URL", f"{param}.url")
    return {"type": "image_url", "image_url": {name: image[name] for name in ("url", "detail") if image.get(name) is not None}}
