"""Reading Gemini's replies, piece by piece: what the plain reply, the stream and the native side have in common.

Foreign JSON is taken as it comes: what has the wrong type counts as absent.
"""

from __future__ import annotations

from typing import Any

import orjson

from edgegate.dialects.amount import answer_size
from edgegate.dialects.base import Ask, Json, Usage
from edgegate.dialects.chat import count, tier_of
from edgegate.dialects.failure import bad_reply
from edgegate.dialects.gemini.faults import error_in, hidden_fault

_FINISH = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    **dict.fromkeys(("SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "MODEL_ARMOR"), "content_filter"),
    **dict.fromkeys(("IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION"), "content_filter"),
}
_FAULTS = frozenset(
    (
        "OTHER",
        "MALFORMED_FUNCTION_CALL",
        "MALFORMED_RESPONSE",
        "TOO_MANY_TOOL_CALLS",
        "MISSING_THOUGHT_SIGNATURE",
        "NO_IMAGE",
        "IMAGE_OTHER",
    )
)
_NUMBERED = ("", "STOP", "MAX_TOKENS", "SAFETY", "RECITATION", "OTHER")
"""`enum-encoding=int` replies (vertex/generate-reasoning-0e49e18a); from 6 on Vertex and AI Studio number differently."""


def lone_event(data: bytes) -> bytes | None:
    """The data of a read that is one event of one line and nothing else, as nearly every read is; None for any other."""
    if data[:6] != b"data: ":
        return None
    end = data.find(b"\n")
    if data[end - 1 :] == b"\r\n\r\n":
        return data[6 : end - 1] if data.find(b"\r") == end - 1 else None
    return data[6:end] if data[end:] == b"\n\n" and b"\r" not in data else None


class Tally:
    """usageMetadata, field by field: chunks leave fields out, and what was seen last counts."""

    __slots__ = ("_answer", "_cached", "_prompt", "_thoughts", "_tools")

    def __init__(self) -> None:
        self._prompt = self._tools = self._cached = self._answer = self._thoughts = 0

    def take(self, meta: Any, usage: Usage) -> None:
        """Reads one usageMetadata, or what stands in its place."""
        if not isinstance(meta, dict) or not meta:
            return
        get = meta.get
        if (value := get("promptTokenCount")) is not None:
            self._prompt = count(value)
        if (value := get("candidatesTokenCount")) is not None:
            self._answer = count(value)
        if (value := get("thoughtsTokenCount")) is not None:
            self._thoughts = count(value)
        if (value := get("toolUsePromptTokenCount")) is not None:
            self._tools = count(value)
        if (value := get("cachedContentTokenCount")) is not None:
            self._cached = count(value)
        if (value := get("serviceTier")) is not None:
            usage.tier = tier_of(value.lower() if isinstance(value, str) else value)
        elif (value := get("trafficType")) is not None:  # Vertex: ON_DEMAND, ON_DEMAND_FLEX, PROVISIONED_THROUGHPUT, ...
            usage.tier = tier_of(value.removeprefix("ON_DEMAND_").lower() if isinstance(value, str) else value)
        usage.input_tokens = self._prompt + self._tools
        usage.output_tokens = self._answer + self._thoughts
        usage.cached_tokens = self._cached
        usage.reasoning_tokens = self._thoughts
        if (details := get("promptTokensDetails")) is not None:
            usage.input_audio_tokens, usage.input_image_tokens = _modalities(details, usage.input_tokens)
        if (details := get("candidatesTokensDetails")) is not None:
            usage.output_audio_tokens, usage.output_image_tokens = _modalities(details, usage.output_tokens)
        usage.reported = True


def _modalities(details: Any, most: int) -> tuple[int, int]:
    """The audio and image tokens in a list of `{modality, tokenCount}`; video is counted as VIDEO and is neither."""
    found = {"AUDIO": 0, "IMAGE": 0}
    for entry in details if isinstance(details, list) else ():
        kind = entry.get("modality") if isinstance(entry, dict) else None
        if isinstance(kind, str) and kind in found:
            found[kind] += count(entry.get("tokenCount"))
    return min(found["AUDIO"], most), min(found["IMAGE"], most)


def reason_of(candidate: Json) -> str:
    """finishReason as a word; empty while there is none."""
    reason = candidate.get("finishReason")
    if isinstance(reason, int):
        return _NUMBERED[reason] if 0 <= reason < len(_NUMBERED) else f"FINISH_REASON_{reason}"
    return reason if isinstance(reason, str) and reason != "FINISH_REASON_UNSPECIFIED" else ""


def finish_of(reason: str, called: bool) -> str | None:
    """OpenAI's word for a finishReason; None if it means that the answer is not whole. A call of an undeclared function is a
    whole call (vertex/generate-tools-toolcall-reasoning-00d98b5b): the caller can answer it. With a whole call in hand a
    reason unknown here finishes it, since calls never arrive in part; without one it counts as a fault, as every reason
    that Google has added so far was a fault or a filter."""
    if called and (reason == "STOP" or (reason not in _FAULTS and reason not in _FINISH)):
        return "tool_calls"
    return _FINISH.get(reason)


def block_of(reply: Json) -> str | None:
    """Why the prompt was blocked, if it was."""
    feedback = reply.get("promptFeedback")
    reason = feedback.get("blockReason") if isinstance(feedback, dict) else None
    return str(reason) if reason and reason != "BLOCKED_REASON_UNSPECIFIED" else None


def candidates_of(reply: Json) -> list[Json]:
    """The candidates, whatever stands there."""
    found = reply.get("candidates")
    if type(found) is list and len(found) == 1 and type(found[0]) is dict:
        return found
    return [value for value in found if isinstance(value, dict)] if isinstance(found, list) else []


def parts_in(candidate: Json) -> list[Json]:
    """A candidate's parts: `content`, and `parts` in it, may be absent (MAX_TOKENS while thinking)."""
    content = candidate.get("content")
    parts = content.get("parts") if isinstance(content, dict) else None
    if type(parts) is list and len(parts) == 1 and type(parts[0]) is dict:
        return parts
    return [part for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []


def part_size(part: Json) -> int:
    """How much of the answer a part is: text, thoughts, a call's arguments, code to be run."""
    return answer_size({"content": part})


def index_of(candidate: Json, position: int) -> int:
    index = candidate.get("index", position)
    return index if isinstance(index, int) and 0 <= index < 1024 else position


def call_id(ask: Ask, number: int) -> str:
    """An id for a call that Gemini gave none: the same for the same exchange, another for every other."""
    return f"call_{ask.id.rpartition('-')[2]}_{number}"


def arguments_in(call: Json) -> str:
    """A call's arguments as text. Raises a bad reply for what is nested beyond all reason (orjson stops at 254)."""
    args = call.get("args")
    try:
        return orjson.dumps(args).decode() if isinstance(args, dict) else "{}"
    except orjson.JSONEncodeError:
        raise bad_reply("Gemini's reply holds arguments nested too deeply") from None


def data_of(part: Json) -> tuple[str, str] | None:
    """(media type, base64) of an inlineData part."""
    blob = part.get("inlineData")
    if not isinstance(blob, dict) or not isinstance(blob.get("data"), str):
        return None
    return str(blob.get("mimeType") or "application/octet-stream"), blob["data"]


def image_of(media: str, data: str, at: int, signature: Any = None) -> Json:
    image: Json = {"index": at, "type": "image_url", "image_url": {"url": f"data:{media};base64,{data}"}}
    if isinstance(signature, str):
        image["extra_content"] = {"google": {"thought_signature": signature}}
    return image


_BESIDES = ("groundingMetadata", "citationMetadata", "urlContextMetadata")
_USUAL = frozenset(("STOP", "MAX_TOKENS", "SAFETY"))


def told_besides(candidate: Json, reason: str, finish: str) -> Json:
    """What a candidate tells that the chat has no word for, as further keys of the choice."""
    kept = {name: candidate[name] for name in _BESIDES if candidate.get(name)}
    if finish == "content_filter" and candidate.get("safetyRatings"):
        kept["safetyRatings"] = candidate["safetyRatings"]
    message = candidate.get("finishMessage")
    if isinstance(message, str) and message and reason != "STOP":
        kept["finishMessage"] = message
    found: Json = {"extra_content": {"google": kept}} if kept else {}
    if reason not in _USUAL:
        found["native_finish_reason"] = reason
    return found


def code_of(part: Json) -> Json | None:
    """A part that says what code execution did: code, language, outcome, output."""
    found: Json = {}
    for key in ("executableCode", "codeExecutionResult"):
        if isinstance(part.get(key), dict):
            found[key] = {name: value for name, value in part[key].items() if isinstance(value, str)}
    return found or None


def logprobs_of(candidate: Json) -> Json | None:
    """logprobsResult in OpenAI's form."""
    result = candidate.get("logprobsResult")
    chosen = result.get("chosenCandidates") if isinstance(result, dict) else None
    if not isinstance(result, dict) or not isinstance(chosen, list):
        return None
    rows = result.get("topCandidates")
    tops = rows if isinstance(rows, list) else []
    content = []
    for at, token in enumerate(chosen):
        row = tops[at].get("candidates") if at < len(tops) and isinstance(tops[at], dict) else None
        content.append({**_token(token), "top_logprobs": [_token(top) for top in row] if isinstance(row, list) else []})
    return {"content": content, "refusal": None}


def _token(value: Any) -> Json:
    value = value if isinstance(value, dict) else {}
    text = str(value.get("token") or "")
    logprob = value.get("logProbability")
    return {"token": text, "logprob": logprob if isinstance(logprob, (int, float)) else 0.0, "bytes": list(text.encode())}


def parse(body: bytes) -> Json:
    """A plain reply's JSON. Raises what it reports."""
    try:
        reply = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise bad_reply("Gemini's reply is not JSON") from None
    error = error_in(reply)
    if error is not None:
        raise hidden_fault(error, body)
    if not isinstance(reply, dict):
        raise bad_reply("Gemini's reply is not an object")
    return reply
