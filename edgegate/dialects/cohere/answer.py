"""A chat completion as a reply of `/v2/chat`, whichever provider it came from.

Text before tool calls is their `tool_plan`, as Cohere's own models write it. Signatures of reasoning have no place: of all that
a Cohere client sends back with the next turn (text, thinking as text, ids of calls) nothing is opaque to apps, so they are lost,
and a vendor that insists on them answers the next turn without its earlier thoughts.
"""

from __future__ import annotations

from typing import Any

import orjson

from edgegate.dialects.base import Json, Usage
from edgegate.dialects.chat import read_usage, text_of
from edgegate.dialects.cohere.citations import citation
from edgegate.dialects.cohere.usage import cohere_usage
from edgegate.dialects.cohere.words import reason_of
from edgegate.dialects.failure import bad_reply, parsed


def reply_of(reply: bytes) -> bytes:
    completion = parsed(reply)
    choices = completion.get("choices") if isinstance(completion, dict) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    answer = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(completion, dict) or not isinstance(choice, dict) or not isinstance(answer, dict):
        raise bad_reply("the reply is not a chat completion")
    message = _message(answer)
    id = completion.get("id")
    value: Json = {
        "id": id if isinstance(id, str) else "",
        "finish_reason": reason_of(str(choice.get("finish_reason") or "stop"), choice, called="tool_calls" in message),
        "message": message,
    }
    usage = Usage()
    if read_usage(completion.get("usage"), usage):
        value["usage"] = cohere_usage(completion["usage"], usage)
    logprobs = items_of(choice.get("logprobs"))
    if logprobs:
        value["logprobs"] = logprobs
    return orjson.dumps(value)


def _message(answer: Json) -> Json:
    message: Json = {"role": "assistant"}
    text = text_of(answer.get("content"))
    if isinstance(answer.get("refusal"), str):
        text += answer["refusal"]
    given = answer.get("tool_calls")
    calls = [_call(call) for call in given] if isinstance(given, list) else []
    content: list[Json] = []
    thoughts = answer.get("reasoning_content")
    if isinstance(thoughts, str) and thoughts:
        content.append({"type": "thinking", "thinking": thoughts})
    plan = ""
    if calls:
        told = answer.get("tool_plan", text)
        plan = told if isinstance(told, str) and text.startswith(told) else ""
    if text[len(plan) :] or not (calls or content):
        content.append({"type": "text", "text": text[len(plan) :]})
    if content:
        message["content"] = content
    if plan:
        message["tool_plan"] = plan
    if calls:
        message["tool_calls"] = calls
    notes = answer.get("annotations")
    citations = [cited for note in notes if (cited := citation(note, text)) is not None] if isinstance(notes, list) else []
    if citations:
        message["citations"] = citations
    return message


def _call(call: Any) -> Json:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise bad_reply("the reply holds a tool call that is not a function's")
    arguments = function.get("arguments")
    text = arguments if isinstance(arguments, str) else orjson.dumps({} if arguments is None else arguments).decode()
    return {"id": str(call.get("id") or ""), "type": "function", "function": {"name": function["name"], "arguments": text or "{}"}}


def items_of(logprobs: Any) -> list[Json]:
    """OpenAI's logprobs as Cohere's items, one for each token. Ids of tokens are known where Cohere gave them."""
    entries = logprobs.get("content") if isinstance(logprobs, dict) else None
    items = []
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, dict) and type(entry.get("logprob")) in (int, float):
            own = entry.get("logprobs")
            numbers = own if isinstance(own, list) and own else [entry["logprob"]]
            items.append({"text": str(entry.get("token") or ""), "token_ids": entry.get("token_ids") or [], "logprobs": numbers})
    return items
