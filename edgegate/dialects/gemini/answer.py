"""A chat completion as a GenerateContentResponse: the way back from `reply.py`.

A candidate's parts come as thoughts, code that was run, text, images, sound, calls. What other vendors want back with the next
turn is sealed into a `thoughtSignature`: that of the first call that has none of its own, else of the text, else of an empty
text at the end, which is how Gemini itself sends a signature late.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from edgegate.dialects.base import Json, Usage
from edgegate.dialects.chat import data_url, read_usage, text_of
from edgegate.dialects.failure import bad_reply, parsed
from edgegate.dialects.gemini.citing import grounding_of
from edgegate.dialects.gemini.media import google_of
from edgegate.dialects.gemini.reading import code_of
from edgegate.dialects.gemini.sound import SAMPLES
from edgegate.dialects.sealed import foreign, seal

_REASONS: Mapping[str, str] = {
    "stop": "STOP", "length": "MAX_TOKENS", "tool_calls": "STOP", "function_call": "STOP", "content_filter": "SAFETY",
}  # fmt: skip
_SOUNDS: Mapping[str, str] = {"pcm16": SAMPLES, "mp3": "audio/mpeg"}


def response_of(reply: bytes) -> bytes:
    """A plain chat completion, which a provider side wrote."""
    chat = parsed(reply)
    choices = chat.get("choices") if isinstance(chat, dict) else None
    if not isinstance(choices, list) or not isinstance(chat, dict):
        raise bad_reply("the provider's answer holds no choices")
    response: Json = {"candidates": [_candidate(choice, at) for at, choice in enumerate(choices) if isinstance(choice, dict)]}
    usage = Usage()
    if read_usage(chat.get("usage"), usage):
        response["usageMetadata"] = usage_metadata(usage)
    response.update(identity(chat))
    return orjson.dumps(response)


def identity(chat: Json) -> Json:
    """Which model answered, and the reply's id."""
    return {theirs: str(chat[ours]) for ours, theirs in (("model", "modelVersion"), ("id", "responseId")) if chat.get(ours)}


def usage_metadata(usage: Usage) -> Json:
    """Gemini's counts: the prompt includes what was cached, the candidates exclude thoughts."""
    found: Json = {
        "promptTokenCount": usage.input_tokens,
        "candidatesTokenCount": max(usage.output_tokens - usage.reasoning_tokens, 0),
        "totalTokenCount": usage.input_tokens + usage.output_tokens,
    }
    if usage.cached_tokens:
        found["cachedContentTokenCount"] = usage.cached_tokens
    if usage.reasoning_tokens:
        found["thoughtsTokenCount"] = min(usage.reasoning_tokens, usage.output_tokens)
    return found


def _candidate(choice: Json, at: int) -> Json:
    message = choice.get("message")
    message = message if isinstance(message, dict) else {}
    finish = str(choice.get("finish_reason") or "stop")
    google = google_of(message)
    parts: list[Json] = []
    reasoning = message.get("reasoning_content")
    if isinstance(reasoning, str) and reasoning:
        parts.append({"text": reasoning, "thought": True})
    parts += code_parts(google)
    text = text_of(message.get("content"))
    refusal = message.get("refusal")
    if isinstance(refusal, str) and refusal and finish != "content_filter":
        text += refusal
    if text:
        parts.append({"text": text})
    parts += media_parts(message)
    calls, malformed = _calls(message)
    parts += calls
    signature = google.get("thought_signature")
    if isinstance(signature, str) and signature:
        _sign(parts, signature)
    fields = foreign(message, "google")
    if fields:
        keep(parts, calls, seal(fields))
    candidate: Json = {"content": {"parts": parts, "role": "model"} if parts else {"role": "model"}}
    index = choice.get("index")
    candidate["index"] = index if isinstance(index, int) else at
    candidate.update(ending(choice, finish, refusal, malformed))
    logprobs = logprobs_result(choice.get("logprobs"))
    if logprobs:
        candidate["avgLogprobs"] = sum(token["logProbability"] for token in logprobs["chosenCandidates"]) / len(
            logprobs["chosenCandidates"]
        )
        candidate["logprobsResult"] = logprobs
    candidate.update(told(choice, message.get("annotations"), text))
    return candidate


def ending(choice: Json, finish: str, refusal: Any, malformed: str) -> Json:
    """finishReason, and what there is to say about it. `malformed`: the name of a call whose arguments are no JSON object."""
    native = choice.get("native_finish_reason")
    own = google_of(choice).get("finishMessage")
    if malformed and finish != "length":
        return {"finishReason": "MALFORMED_FUNCTION_CALL", "finishMessage": f"The arguments of {malformed} are not a JSON object."}
    gemini = isinstance(native, str) and native.isupper() and finish in ("content_filter", "tool_calls")
    found: Json = {"finishReason": native if gemini else _REASONS.get(finish, "OTHER")}
    if isinstance(own, str):
        found["finishMessage"] = own
    elif finish == "content_filter" and isinstance(refusal, str) and refusal:
        found["finishMessage"] = refusal
    return found


def told(choice: Json, annotations: Any, text: str) -> Json:
    """Citations and grounding: Gemini's own words where it was Gemini, else made of `annotations`."""
    found = {name: value for name, value in google_of(choice).items() if name != "finishMessage"}
    if annotations and "groundingMetadata" not in found and "citationMetadata" not in found:
        grounding = grounding_of(annotations, text)
        if grounding:
            found["groundingMetadata"] = grounding
    return found


def code_parts(google: Json) -> list[Json]:
    """What code execution did, out of `extra_content.google`; both halves of one entry are two parts."""
    found = []
    listed = google.get("parts")
    for entry in listed if isinstance(listed, list) else []:
        code = code_of(entry) if isinstance(entry, dict) else None
        found += [{name: value} for name, value in (code or {}).items()]
    return found


def media_parts(message: Json) -> list[Json]:
    """Pictures and sound of a message or a delta."""
    found = []
    images = message.get("images")
    for image in images if isinstance(images, list) else []:
        address = image.get("image_url") if isinstance(image, dict) else None
        url = address.get("url") if isinstance(address, dict) else None
        if not isinstance(url, str):
            continue
        data = data_url(url)
        part: Json = {"inlineData": {"mimeType": data[0], "data": data[1]}} if data else {"fileData": {"fileUri": url}}
        signature = google_of(image).get("thought_signature")
        found.append({**part, "thoughtSignature": signature} if isinstance(signature, str) else part)
    audio = message.get("audio")
    if isinstance(audio, dict):
        if isinstance(audio.get("data"), str) and audio["data"]:
            form = str(audio.get("format") or "pcm16")
            found.append({"inlineData": {"mimeType": _SOUNDS.get(form, f"audio/{form}"), "data": audio["data"]}})
        if isinstance(audio.get("transcript"), str) and audio["transcript"]:
            found.append({"text": audio["transcript"]})
    return found


def _calls(message: Json) -> tuple[list[Json], str]:
    """(parts, name of a call whose arguments are no JSON object)."""
    listed = message.get("tool_calls")
    calls = [call for call in listed if isinstance(call, dict)] if isinstance(listed, list) else []
    if not calls and isinstance(message.get("function_call"), dict):
        calls = [{"function": message["function_call"]}]
    parts = []
    malformed = ""
    for call in calls:
        given = call.get("function")
        function: Json = given if isinstance(given, dict) else {}
        part = call_part(call.get("id"), str(function.get("name") or ""), function.get("arguments"), google_of(call))
        if part is None:
            malformed = str(function.get("name") or "a function")
        else:
            parts.append(part)
    return parts, malformed


def call_part(id: Any, name: str, arguments: Any, google: Json) -> Json | None:
    """A whole call; None if its arguments are no JSON object."""
    args = (parsed(arguments.encode()) if arguments.strip() else {}) if isinstance(arguments, str) else arguments or {}
    if not isinstance(args, dict):
        return None
    call: Json = {"name": name, "args": args}
    if isinstance(id, str) and id:
        call = {"id": id, **call}
    signature = google.get("thought_signature")
    return {"functionCall": call, "thoughtSignature": signature} if isinstance(signature, str) and signature else {"functionCall": call}


def _sign(parts: list[Json], signature: str) -> None:
    """Gemini's signature of a text goes with the last text, or an empty one at the end."""
    for part in reversed(parts):
        if "text" in part and not part.get("thought"):
            part["thoughtSignature"] = signature
            return
    parts.append({"text": "", "thoughtSignature": signature})


def keep(parts: list[Json], calls: list[Json], sealed: str) -> None:
    """Puts a seal where apps send it back from."""
    texts = [part for part in parts if "text" in part and not part.get("thought")]
    for part in (*calls, *texts):
        if "thoughtSignature" not in part:
            part["thoughtSignature"] = sealed
            return
    parts.append({"text": "", "thoughtSignature": sealed})


def logprobs_result(value: Any) -> Json | None:
    content = value.get("content") if isinstance(value, dict) else None
    tokens = [token for token in content if isinstance(token, dict)] if isinstance(content, list) else []
    if not tokens:
        return None
    tops = [token.get("top_logprobs") for token in tokens]
    found: Json = {"chosenCandidates": [_token(token) for token in tokens]}
    if any(tops):
        found["topCandidates"] = [
            {"candidates": [_token(top) for top in row if isinstance(top, dict)]} if isinstance(row, list) else {} for row in tops
        ]
    return found


def _token(value: Json) -> Json:
    logprob = value.get("logprob")
    return {"token": str(value.get("token", "")), "logProbability": logprob if isinstance(logprob, (int, float)) else 0.0}
