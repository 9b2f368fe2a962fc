"""A chat completion as a Message, whichever provider it came from.

What other vendors want back with the next turn goes into the signature of a thinking block, sealed (see `sealed`).
"""

from __future__ import annotations

from typing import Any

import orjson

from edgegate.dialects.anthropic.citations import citation
from edgegate.dialects.anthropic.reply import NOTES
from edgegate.dialects.anthropic.usage import messages_usage
from edgegate.dialects.anthropic.words import DIALECT, is_told, stop_reason
from edgegate.dialects.base import Json, Usage
from edgegate.dialects.chat import data_url, read_usage, text_of
from edgegate.dialects.failure import bad_reply, parsed
from edgegate.dialects.sealed import foreign, seal


def message_of(request: Json, reply: bytes) -> bytes:
    completion = parsed(reply)
    choices = completion.get("choices") if isinstance(completion, dict) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    answer = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(completion, dict) or not isinstance(choice, dict) or not isinstance(answer, dict):
        raise bad_reply("the reply is not a chat completion")
    usage = Usage()
    read_usage(completion.get("usage"), usage)
    finish = str(choice.get("finish_reason") or "stop")
    message: Json = {
        "id": message_id(completion.get("id")),
        "type": "message",
        "role": "assistant",
        "model": completion.get("model") or request["model"],
        "content": _content(answer, finish),
        **ending(finish, choice, bool(answer.get("tool_calls")), answer.get("refusal")),
        "usage": {**messages_usage(usage), **tier_of(completion)},
    }
    message.update(notes_of(choice))
    return orjson.dumps(message)


def message_id(id: Any) -> str:
    """Anthropic's ids begin with `msg_`; another provider's keeps what follows its own mark."""
    if not isinstance(id, str) or not id:
        return "msg_0"
    return id if id.startswith("msg_") else "msg_" + id.removeprefix("chatcmpl-")


def ending(finish: str, choice: Json, called: bool, refusal: Any) -> Json:
    """`stop_reason` and what goes with it. A choice's `stop_reason` is the matched stop sequence, where the provider says (vLLM
    gives the id of a token at the same place). A refusal without a filter's finish reason is OpenAI's: its text is the answer."""
    sequence, native = choice.get("stop_reason"), choice.get("native_finish_reason")
    if is_told(native, finish):
        return {"stop_reason": native, "stop_sequence": None}
    value: Json = {"stop_reason": stop_reason(finish, called=called), "stop_sequence": None}
    if finish == "stop" and not called and isinstance(sequence, str):
        return {"stop_reason": "stop_sequence", "stop_sequence": sequence}
    if refusal:
        value["stop_reason"] = "refusal"
        if finish == "content_filter":
            value["stop_details"] = {"type": "refusal", "category": None, "explanation": refusal}
    return value


def notes_of(choice: Json) -> Json:
    """What Anthropic noted beside its answer."""
    return {name: choice[name] for name in NOTES if isinstance(choice.get(name), dict)}


def tier_of(completion: Json) -> Json:
    """The service tier that answered, for the usage, where Anthropic has a word for it."""
    tier = {"default": "standard", "standard": "standard", "priority": "priority"}.get(str(completion.get("service_tier")))
    return {"service_tier": tier} if tier else {}


def items(value: Any) -> list[Any]:
    """A list out of foreign JSON; anything else counts as none."""
    return value if isinstance(value, list) else []


def _content(answer: Json, finish: str) -> list[Json]:
    blocks: list[Json] = items(answer.get("thinking_blocks"))[:]
    reasoning = answer.get("reasoning_content") if not blocks else ""
    kept = foreign(answer, DIALECT)
    if reasoning or kept:
        thinking = reasoning if isinstance(reasoning, str) else ""
        blocks.append({"type": "thinking", "thinking": thinking, "signature": seal(kept) if kept else ""})
    text = text_of(answer.get("content")) or spoken(answer)
    if answer.get("refusal") and finish != "content_filter":
        text += str(answer["refusal"])
    citations = [cited for note in items(answer.get("annotations")) if (cited := citation(note)) is not None]
    if text:
        blocks.append({"type": "text", "text": text, **({"citations": citations} if citations else {})})
    blocks += [block for image in items(answer.get("images")) if (block := picture(image)) is not None]
    blocks += [_call(call, finish) for call in items(answer.get("tool_calls"))]
    return blocks


def spoken(answer: Json) -> str:
    """What an answer in sound says: Anthropic's has no place for the sound itself."""
    audio = answer.get("audio")
    words = audio.get("transcript") if isinstance(audio, dict) else None
    return words if isinstance(words, str) else ""


def picture(image: Any) -> Json | None:
    """A generated picture as an image block. Anthropic's models make none, but its format has blocks for them."""
    inner = image.get("image_url") if isinstance(image, dict) else None
    url = inner.get("url") if isinstance(inner, dict) else None
    if not isinstance(url, str) or not url:
        return None
    found = data_url(url)
    if found is None:
        return {"type": "image", "source": {"type": "url", "url": url}}
    return {"type": "image", "source": {"type": "base64", "media_type": found[0], "data": found[1]}}


def _call(call: Any, finish: str) -> Json:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise bad_reply("the reply holds a tool call that is not a function's")
    arguments = function.get("arguments") or "{}"
    given = parsed(arguments.encode()) if isinstance(arguments, str) else arguments
    if not isinstance(given, dict):
        if finish != "length":
            raise bad_reply("the arguments of a tool call in the reply are not a JSON object")
        given = {}  # cut off by the token limit, which `stop_reason` says
    block: Json = {"type": "tool_use", "id": call.get("id") or "", "name": function["name"], "input": given}
    extra = call.get("extra_content")
    ours = extra.get("anthropic") if isinstance(extra, dict) else None
    if isinstance(ours, dict) and "caller" in ours:
        block["caller"] = ours["caller"]
    return block
