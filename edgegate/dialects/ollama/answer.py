"""Replies in neutral form as Ollama's: the chat's for `/api/chat` and `/api/generate`, OpenAI's embeddings for the other two.

Times that only Ollama itself knows are 0. Tool calls have arguments that are objects; a call whose arguments were cut off by
the token limit is left out, as Ollama does with calls it cannot parse. A generated picture is Markdown in the text of a chat:
the API has `message.images`, but Ollama's own Python SDK fails on a reply with them.
"""

from __future__ import annotations

from typing import Any

import orjson

from edgegate.dialects.base import Json, Usage
from edgegate.dialects.chat import count, data_url, read_usage, text_of
from edgegate.dialects.failure import bad_reply, parsed
from edgegate.dialects.ollama.words import done_reason, timestamp


def chat_reply(request: Json, reply: bytes) -> bytes:
    """A chat completion as a reply of `/api/chat`."""
    completion, choice, answer = _read(reply)
    message: Json = {"role": "assistant", "content": _text(answer) + "".join(markdown(url) for url in pictures(answer))}
    message.update(extras(answer, str(choice.get("finish_reason"))))
    return orjson.dumps({**_head(request, completion), "message": message, **_logprobs(choice), **_end(completion, choice)})


def generate_reply(request: Json, reply: bytes) -> bytes:
    """A chat completion as a reply of `/api/generate`."""
    completion, choice, answer = _read(reply)
    said = extras(answer, str(choice.get("finish_reason")))
    image = inline(pictures(answer))
    if image:
        said["image"] = image
    return orjson.dumps({**_head(request, completion), "response": _text(answer), **said, **_logprobs(choice), **_end(completion, choice)})


def extras(answer: Json, finish: str) -> Json:
    """What stands beside the text of a message: thinking and calls."""
    found: Json = {}
    if isinstance(answer.get("reasoning_content"), str) and answer["reasoning_content"]:
        found["thinking"] = answer["reasoning_content"]
    given = answer.get("tool_calls")
    calls = [written for call in given if (written := call_of(call, finish)) is not None] if isinstance(given, list) else []
    if calls:
        found["tool_calls"] = numbered(calls)
    return found


def call_of(call: Any, finish: str) -> Json | None:
    """A tool call in Ollama's words; None for one that was cut off. Raises for arguments that are no object."""
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise bad_reply("the reply holds a tool call that is not a function's")
    arguments = function.get("arguments") or "{}"
    given = parsed(arguments.encode("utf-8", "surrogatepass")) if isinstance(arguments, str) else arguments
    if not isinstance(given, dict):
        if finish != "length":
            raise bad_reply("the arguments of a tool call in the reply are not a JSON object")
        return None
    written: Json = {"function": {"name": function["name"], "arguments": given}}
    if isinstance(call.get("id"), str) and call["id"]:
        written = {"id": call["id"], **written}
    return written


def numbered(calls: list[Json], start: int = 0) -> list[Json]:
    """Calls with their places, as newer versions of Ollama give them."""
    return [{**call, "function": {"index": at, **call["function"]}} for at, call in enumerate(calls, start)]


def pictures(answer: Json) -> list[str]:
    """The URLs of generated images."""
    images = answer.get("images")
    found = []
    for image in images if isinstance(images, list) else ():
        inner = image.get("image_url") if isinstance(image, dict) else None
        url = inner.get("url") if isinstance(inner, dict) else inner
        if isinstance(url, str) and url:
            found.append(url)
    return found


def markdown(url: str) -> str:
    return f"\n\n![image]({url})\n"


def inline(urls: list[str]) -> str:
    """The first picture that is given as base64, which is all that a reply of `/api/generate` has a place for."""
    return next((data[1] for url in urls if (data := data_url(url)) is not None), "")


def tokens_of(choice: Json) -> list[Json]:
    """A choice's `logprobs` as Ollama's list of tokens."""
    logprobs = choice.get("logprobs")
    content = logprobs.get("content") if isinstance(logprobs, dict) else None
    if not isinstance(content, list):
        return []
    return [{name: value for name, value in token.items() if value is not None} for token in content if isinstance(token, dict)]


def ending(finish: str, usage: Usage) -> Json:
    """What the last line of a stream, and a plain reply, say about the whole answer."""
    counts = {"prompt_eval_count": usage.input_tokens, "prompt_eval_duration": 0, "eval_count": usage.output_tokens, "eval_duration": 0}
    return {
        "done": True,
        "done_reason": done_reason(finish),
        "total_duration": 0,
        "load_duration": 0,
        **(counts if usage.reported else {"prompt_eval_duration": 0, "eval_duration": 0}),
    }


def embed_reply(request: Json, reply: bytes) -> bytes:
    """OpenAI embeddings as a reply of `/api/embed`."""
    value, vectors = _vectors(reply)
    used = value.get("usage")
    tokens = count(used.get("prompt_tokens")) if isinstance(used, dict) else 0
    head = {"model": value.get("model") or request["model"], "embeddings": vectors}
    return orjson.dumps({**head, "total_duration": 0, "load_duration": 0, "prompt_eval_count": tokens})


def old_embed_reply(reply: bytes) -> bytes:
    """OpenAI embeddings as a reply of `/api/embeddings`."""
    return orjson.dumps({"embedding": _vectors(reply)[1][0]})


def _vectors(reply: bytes) -> tuple[Json, list[list[float]]]:
    value = parsed(reply)
    data = value.get("data") if isinstance(value, dict) else None
    entries = [entry for entry in data if isinstance(entry, dict)] if isinstance(data, list) else []
    vectors = [entry["embedding"] for entry in entries if isinstance(entry.get("embedding"), list)]
    if not isinstance(value, dict) or not vectors or len(vectors) != len(entries):
        raise bad_reply("the reply holds no embeddings as numbers")
    return value, vectors


def _read(reply: bytes) -> tuple[Json, Json, Json]:
    completion = parsed(reply)
    choices = completion.get("choices") if isinstance(completion, dict) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    answer = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(completion, dict) or not isinstance(choice, dict) or not isinstance(answer, dict):
        raise bad_reply("the reply is not a chat completion")
    return completion, choice, answer


def _text(answer: Json) -> str:
    refusal = answer.get("refusal")
    return text_of(answer.get("content")) + (refusal if isinstance(refusal, str) else "")


def _head(request: Json, completion: Json) -> Json:
    return {"model": completion.get("model") or request["model"], "created_at": timestamp(completion.get("created"))}


def _logprobs(choice: Json) -> Json:
    tokens = tokens_of(choice)
    return {"logprobs": tokens} if tokens else {}


def _end(completion: Json, choice: Json) -> Json:
    usage = Usage()
    read_usage(completion.get("usage"), usage)
    return ending(str(choice.get("finish_reason") or "stop"), usage)
