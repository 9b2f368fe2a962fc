"""A chat completion as a Message, whichever provider it came from."""

from __future__ import annotations

from typing import Any

import orjson

from edgegate.dialects.anthropic.citations import citation
from edgegate.dialects.anthropic.usage import messages_usage
from edgegate.dialects.anthropic.words import stop_reason
from edgegate.dialects.base import Json, Usage
from edgegate.dialects.chat import read_usage, text_of
from edgegate.dialects.failure import bad_reply, parsed


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
        **ending(finish, choice.get("stop_reason"), bool(answer.get("tool_calls")), answer.get("refusal")),
        "usage": messages_usage(usage),
    }
    return orjson.dumps(message)


def message_id(id: Any) -> str:
    """Anthropic's ids begin with `msg_`; another provider's keeps what follows its own mark."""
    if not isinstance(id, str) or not id:
        return "msg_0"
    return id if id.startswith("msg_") else "msg_" + id.removeprefix("chatcmpl-")


def ending(finish: str, sequence: Any, called: bool, refusal: Any) -> Json:
    """`stop_reason` and what goes with it. `sequence` is the matched stop sequence, where the provider says (vLLM gives the
    id of a token at the same place). A refusal without a filter's finish reason is OpenAI's: its text is the answer."""
    value: Json = {"stop_reason": stop_reason(finish, called=called), "stop_sequence": None}
    if finish == "stop" and not called and isinstance(sequence, str):
        return {"stop_reason": "stop_sequence", "stop_sequence": sequence}
    if refusal:
        value["stop_reason"] = "refusal"
        if finish == "content_filter":
            value["stop_details"] = {"type": "refusal", "category": None, "explanation": refusal}
    return value


def items(value: Any) -> list[Any]:
    """A list out of foreign JSON; anything else counts as none."""
    return value if isinstance(value, list) else []


def _content(answer: Json, finish: str) -> list[Json]:
    blocks: list[Json] = []
    thinking = answer.get("thinking_blocks")
    if isinstance(thinking, list) and thinking:
        blocks += thinking
    elif isinstance(answer.get("reasoning_content"), str) and answer["reasoning_content"]:
        blocks.append({"type": "thinking", "thinking": answer["reasoning_content"], "signature": ""})
    text = text_of(answer.get("content"))
    if answer.get("refusal") and finish != "content_filter":
        text += str(answer["refusal"])
    citations = [cited for note in items(answer.get("annotations")) if (cited := citation(note)) is not None]
    if text:
        blocks.append({"type": "text", "text": text, **({"citations": citations} if citations else {})})
    blocks += [_call(call, finish) for call in items(answer.get("tool_calls"))]
    return blocks


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
