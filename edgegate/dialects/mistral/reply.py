"""Mistral's plain replies as chat completions, and the pieces that streams share with them."""

from __future__ import annotations

from typing import Any

from edgegate.dialects.base import Ask, Json, Progress
from edgegate.dialects.chat import arguments_text, completion, read_usage
from edgegate.dialects.embedding import count_of, embeddings, is_vector
from edgegate.dialects.failure import bad_reply, check_content, parsed
from edgegate.dialects.mistral.errors import error_inside
from edgegate.dialects.mistral.ids import nine
from edgegate.errors import GatewayError, provider_error

_FINISH = {"stop": "stop", "length": "length", "model_length": "length", "tool_calls": "tool_calls", "content_filter": "content_filter"}

REASONING = "reasoning_content"

SIGNED = "mistral-v1"
"""`format` of the items of `reasoning_details` that are Mistral's."""


def finish_of(reason: str) -> str:
    """A finish reason in OpenAI's words; one nobody knows yet ends the answer all the same."""
    return _FINISH.get(reason, "stop")


def gave_up() -> GatewayError:
    """For `finish_reason: error`: generation failed part-way."""
    return provider_error(502, "provider_error", "Mistral ended the answer with an error")


def deltas_of(content: Any, at: int = 0) -> list[Json]:
    """Content as deltas, in order. It is a text, or chunks where magistral reasons or documents are cited:
    `[{type: thinking, thinking: [{type: text, text}], signature?}, {type: text, text}, {type: reference, reference_ids}]`.
    `at`: characters of text before it, which is where citations stand. A chunk of a kind nobody knows yet is an annotation too:
    it is no text, and it is not lost."""
    if isinstance(content, str):
        return [{"content": content}] if content else []
    found: list[Json] = []
    for chunk in content if isinstance(content, list) else ():
        kind = chunk.get("type") if isinstance(chunk, dict) else None
        if kind == "text":
            text = chunk.get("text")
            if isinstance(text, str) and text:
                at += len(text)
                found.append({"content": text})
        elif kind == "thinking":
            text, signature = _thinking(chunk.get("thinking")), chunk.get("signature")
            delta: Json = {REASONING: text} if text else {}
            if isinstance(signature, str) and signature:
                delta["reasoning_details"] = [signed(text, signature)]
            if delta:
                found.append(delta)
        elif kind == "image_url":
            image = chunk.get("image_url")
            url = image.get("url") if isinstance(image, dict) else image
            if isinstance(url, str) and url:
                found.append({"images": [{"index": 0, "type": "image_url", "image_url": {"url": url}}]})
        elif isinstance(kind, str):
            found.append({"annotations": [_annotation(chunk, at)]})
    return found


def signed(text: str, signature: str) -> Json:
    """Reasoning that must come back with its signature, as an item of `reasoning_details`."""
    return {"type": "reasoning.text", "text": text, "signature": signature, "format": SIGNED, "index": 0}


def _annotation(chunk: Json, at: int) -> Json:
    """A page that a tool found, in the chat's words; references to documents of the request in Mistral's, with their place."""
    if chunk.get("type") == "tool_reference" and isinstance(chunk.get("url"), str) and chunk["url"]:
        title = chunk.get("title")
        place = {"url": chunk["url"], "title": title if isinstance(title, str) else "", "start_index": at, "end_index": at}
        return {"type": "url_citation", "url_citation": place}
    return {**chunk, "start_index": at, "end_index": at}


def _thinking(parts: Any) -> str:
    if isinstance(parts, str):
        return parts
    texts = [part.get("text") for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []
    return "".join(text for text in texts if isinstance(text, str))


def real_id(call: Json) -> str:
    """The id of a call; empty where there is none (its SDK's default for a missing one is the text "null")."""
    id = call.get("id")
    return id if isinstance(id, str) and id != "null" else ""


def made_id(ask: Ask, choice: int, number: int) -> str:
    return nine(f"{ask.id}:{choice}:{number}")


def logprobs_of(choice: Json) -> Json | None:
    logprobs = choice.get("logprobs")
    return {**logprobs, "refusal": None} if isinstance(logprobs, dict) and isinstance(logprobs.get("content"), list) else None


def whole_chat(ask: Ask, body: bytes, progress: Progress) -> bytes:
    """A plain reply -> chat completion JSON."""
    reply = parsed(body)
    if not isinstance(reply, dict):
        raise bad_reply("Mistral's reply is no JSON object")
    error = error_inside(reply)
    if error is not None:
        raise error
    given = reply.get("choices")
    choices = [_choice(ask, choice, at) for at, choice in enumerate(given)] if isinstance(given, list) else []
    if not choices:
        raise bad_reply("Mistral's reply holds no choice")
    read_usage(reply.get("usage"), progress.usage)
    progress.model = _text(reply.get("model")) or ask.model
    progress.finish_reason = choices[0]["finish_reason"]
    progress.started = progress.finished = True
    created = reply.get("created")
    return completion(
        _text(reply.get("id")) or ask.id,
        created if isinstance(created, int) else ask.created,
        progress.model,
        choices,
        progress.usage,
    )


def _choice(ask: Ask, choice: Any, at: int) -> Json:
    message = choice.get("message") if isinstance(choice, dict) else None
    reason = choice.get("finish_reason") if isinstance(choice, dict) else None
    if not isinstance(message, dict) or not isinstance(reason, str):
        raise bad_reply("Mistral's reply holds a choice without a message or without a finish reason")
    if reason == "error":
        raise gave_up()
    check_content(message.get("content"), "Mistral")
    texts = {"content": "", REASONING: ""}
    beside: dict[str, list[Json]] = {}
    for delta in deltas_of(message.get("content")):
        for key, value in delta.items():
            if key in texts:
                texts[key] += value
            else:
                beside.setdefault(key, []).extend(value)
    given = message.get("tool_calls")
    listed = given if isinstance(given, list) else []
    calls = [_call(ask, call, at, number) for number, call in enumerate(listed) if isinstance(call, dict)]
    written: Json = {"role": "assistant", "content": texts["content"] or (None if calls else "")}
    if texts[REASONING]:
        written[REASONING] = texts[REASONING]
    written.update(beside)
    if calls:
        written["tool_calls"] = calls
    index = choice.get("index")
    index = index if isinstance(index, int) else at
    return {"index": index, "message": written, "logprobs": logprobs_of(choice), "finish_reason": finish_of(reason)}


def _call(ask: Ask, call: Json, choice: int, number: int) -> Json:
    function = call.get("function")
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise bad_reply("Mistral's reply holds a tool call without a name")
    named = {"name": function["name"], "arguments": arguments_text(function) or "{}"}
    return {"id": real_id(call) or made_id(ask, choice, number), "type": "function", "function": named}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def whole_embeddings(request: Json, model: str, body: bytes, progress: Progress) -> bytes:
    """A plain embeddings reply -> OpenAI embeddings JSON."""
    reply = parsed(body)
    if not isinstance(reply, dict):
        raise bad_reply("Mistral's reply is no JSON object")
    error = error_inside(reply)
    if error is not None:
        raise error
    data = reply.get("data")
    entries = [entry for entry in data if isinstance(entry, dict)] if isinstance(data, list) else []
    if all(isinstance(entry.get("index"), int) for entry in entries):
        entries.sort(key=lambda entry: int(entry["index"]))
    vectors = [entry["embedding"] for entry in entries if is_vector(entry.get("embedding"))]
    if len(vectors) != count_of(request):
        raise bad_reply("Mistral's reply does not hold one vector for each input")
    read_usage(reply.get("usage"), progress.usage)
    progress.model = _text(reply.get("model")) or model
    progress.started = progress.finished = True
    try:
        return embeddings(request, progress.model, vectors, progress.usage)
    except OverflowError:
        raise bad_reply("Mistral's reply holds a number that float32 cannot") from None
