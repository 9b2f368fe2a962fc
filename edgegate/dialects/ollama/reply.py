"""Ollama's replies, plain and line by line: what both have in common, the plain ones, and its errors.

A line of a stream and a plain reply are the same object. `/api/generate` differs in having `response` and `thinking` at the
top instead of `message`; it is understood too, for relayed traffic (`completions-*` among the recordings).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import orjson

from edgegate.dialects.base import Ask, Json, Progress
from edgegate.dialects.chat import completion, count
from edgegate.dialects.embedding import count_of, embeddings, is_vector
from edgegate.dialects.failure import bad_reply, check_content, failed, parsed, words_of
from edgegate.dialects.ollama.media import image_url
from edgegate.dialects.reasons import reason
from edgegate.errors import GatewayError, provider_error


def error_inside(reply: Json) -> GatewayError | None:
    """The error that a 200 reply, or a line of its stream, holds: `{"error": "..."}`; None if it is a part of an answer."""
    if "error" not in reply:
        return None
    message = _said(reply)
    return provider_error(502, reason(502, message) or "provider_error", message or "Ollama stopped with an error")


def _said(value: Any) -> str:
    """The message of an error object: a text, or behind some proxies OpenAI's object."""
    error = value.get("error") if isinstance(value, dict) else None
    if isinstance(error, dict):
        error = error.get("message")
    return error if isinstance(error, str) else ""


def read_error(status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
    """A reply that is not 2xx. 404 means an unknown model, except where the whole address is wrong (`404 page not found`)."""
    message = _said(parsed(body))
    code = "model_not_found" if status == 404 and message.startswith("model") else ""
    return failed("ollama", status, headers, body, message or words_of("Ollama", status, body), code=code)


def message_of(reply: Json) -> Json | None:
    """The message that a reply or line carries."""
    message = reply.get("message")
    if isinstance(message, dict):
        return message
    text, image = reply.get("response"), reply.get("image")
    if not isinstance(text, str) and not isinstance(image, str):
        return None
    images = [image] if isinstance(image, str) and image else []
    return {"content": text, "thinking": reply.get("thinking"), "tool_calls": reply.get("tool_calls"), "images": images}


def images_of(message: Json) -> list[Json]:
    """Pictures that the model made, as the chat has them."""
    given = message.get("images")
    images = [image for image in given if isinstance(image, str) and image] if isinstance(given, list) else []
    return [{"index": at, "type": "image_url", "image_url": {"url": image_url(image)}} for at, image in enumerate(images)]


def read_counts(reply: Json, progress: Progress) -> None:
    """The counts of a final reply. `prompt_eval_count` is absent where the prompt was cached (completions-dd3501ae): 0."""
    if "eval_count" in reply or "prompt_eval_count" in reply:
        progress.usage.input_tokens = count(reply.get("prompt_eval_count"))
        progress.usage.output_tokens = count(reply.get("eval_count"))
        progress.usage.reported = True


def finish_of(reply: Json, called: bool) -> str:
    """`done_reason` in OpenAI's words; older versions give none. Calls end in `stop` here. Empty for `load` and `unload`,
    which answer a request without messages: there was no generation."""
    reason = reply.get("done_reason")
    if reason in ("load", "unload"):
        return ""
    return "length" if reason == "length" else "tool_calls" if called else "stop"


def only_loaded() -> GatewayError:
    return provider_error(502, "bad_reply", "Ollama only loaded the model and generated nothing", retryable=False)


def call_of(ask: Ask, call: Any, number: int) -> tuple[str, str, str] | None:
    """(id, name, arguments as text) of a tool call, None if it is none. Ids are made where Ollama gives none: they depend on
    the exchange and the number of the call, so that calls of several turns stay apart."""
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        return None
    id = call.get("id")
    if not isinstance(id, str) or not id:
        id = "call_" + hashlib.sha256(f"{ask.id}:{number}".encode("utf-8", "surrogatepass")).hexdigest()[:24]
    arguments = function.get("arguments")
    text = arguments if isinstance(arguments, str) else orjson.dumps(arguments or {}).decode()
    return id, function["name"], text or "{}"


def logprobs_of(reply: Json) -> Json | None:
    """Ollama's list of tokens in the shape of a choice's `logprobs`."""
    tokens = reply.get("logprobs")
    if not isinstance(tokens, list) or not tokens:
        return None
    content = [{"bytes": None, "top_logprobs": [], **token} for token in tokens if isinstance(token, dict)]
    return {"content": content, "refusal": None}


def whole_chat(ask: Ask, body: bytes, progress: Progress, native: bool = False) -> bytes:
    """A plain reply -> chat completion JSON. On `native` traffic, which is only read along, loading a model is no fault."""
    reply = parsed(body)
    if not isinstance(reply, dict):
        raise bad_reply("Ollama's reply is no JSON object")
    error = error_inside(reply)
    if error is not None:
        raise error
    message = message_of(reply)
    if message is None or reply.get("done") is not True:
        raise bad_reply("Ollama's reply holds no finished message")
    calls: list[Json] = []
    given = message.get("tool_calls")
    for call in given if isinstance(given, list) else ():
        found = call_of(ask, call, len(calls))
        if found is None:
            raise bad_reply("Ollama's reply holds a tool call without a name")
        calls.append({"id": found[0], "type": "function", "function": {"name": found[1], "arguments": found[2]}})
    reason = finish_of(reply, bool(calls)) or ("stop" if native else "")
    if not reason:
        raise only_loaded()
    read_counts(reply, progress)
    model = reply.get("model")
    progress.model = model if isinstance(model, str) and model else ask.model
    progress.finish_reason = reason
    progress.started = progress.finished = True
    content, thinking = message.get("content"), message.get("thinking")
    check_content(content, "Ollama")
    text = content if isinstance(content, str) else ""
    written: Json = {"role": "assistant", "content": text or (None if calls else "")}
    if isinstance(thinking, str) and thinking:
        written["reasoning_content"] = thinking
    if calls:
        written["tool_calls"] = calls
    if images := images_of(message):
        written["images"] = images
    choice = {"index": 0, "message": written, "logprobs": logprobs_of(reply), "finish_reason": reason}
    return completion(ask.id, ask.created, progress.model, [choice], progress.usage)


def glance_embeddings(body: bytes, progress: Progress) -> None:
    """Reads a native reply of `/api/embed` or `/api/embeddings`. No vectors are a reply too: there was nothing to embed."""
    reply = parsed(body)
    if not isinstance(reply, dict):
        raise bad_reply("Ollama's reply is no JSON object")
    error = error_inside(reply)
    if error is not None:
        raise error
    if not isinstance(reply.get("embeddings", reply.get("embedding")), list):
        raise bad_reply("Ollama's reply holds no embeddings")
    read_counts(reply, progress)
    model = reply.get("model")
    progress.model = model if isinstance(model, str) else ""
    progress.started = progress.finished = True


def whole_embeddings(request: Json, model: str, body: bytes, progress: Progress) -> bytes:
    """A plain reply of `/api/embed`, or of the older `/api/embeddings`, -> OpenAI embeddings JSON."""
    reply = parsed(body)
    if not isinstance(reply, dict):
        raise bad_reply("Ollama's reply is no JSON object")
    error = error_inside(reply)
    if error is not None:
        raise error
    given = reply.get("embeddings", [reply.get("embedding")])
    vectors = [vector for vector in given if is_vector(vector)] if isinstance(given, list) else []
    if len(vectors) != count_of(request):
        raise bad_reply("Ollama's reply does not hold one vector for each input")
    read_counts(reply, progress)
    named = reply.get("model")
    progress.model = named if isinstance(named, str) and named else model
    progress.started = progress.finished = True
    try:
        return embeddings(request, progress.model, vectors, progress.usage)
    except OverflowError:
        raise bad_reply("Ollama's reply holds a number that float32 cannot") from None
