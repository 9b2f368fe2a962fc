"""The plain reply.

Where things go in a chat that OpenAI has no field for:
- thoughts: `reasoning_content`;
- a call's thought signature: `tool_calls[].extra_content.google.thought_signature`; a text's: the same on the message (Google's
  OpenAI endpoint does so too: gemini/chat-tools-toolcall-toolchoice-reasoning-5fe1b3fd); a picture's: the same on the picture;
- pictures: `images` (`{index, type: image_url, image_url: {url: "data:..."}}`), sound: `audio` (`{id, data}`);
- `executableCode` and `codeExecutionResult`, run by Google: `extra_content.google.parts`, never the text;
- grounding and the like, word by word: `extra_content.google` of the choice, not of the message: it does not come back;
- a reason to finish that OpenAI has no word for: `native_finish_reason` of the choice (OpenRouter's name for it).
"""

from __future__ import annotations

from typing import Any

from edgegate.dialects.base import Ask, Json, Progress
from edgegate.dialects.chat import completion
from edgegate.dialects.failure import bad_reply, check_content
from edgegate.dialects.gemini.faults import broken_off
from edgegate.dialects.gemini.grounding import annotations_of
from edgegate.dialects.gemini.reading import (
    Tally,
    arguments_in,
    block_of,
    call_id,
    candidates_of,
    code_of,
    data_of,
    finish_of,
    image_of,
    index_of,
    logprobs_of,
    parse,
    parts_in,
    reason_of,
    told_besides,
)
from edgegate.dialects.gemini.sound import sound_of


def whole_reply(ask: Ask, body: bytes, progress: Progress) -> bytes:
    """A plain reply -> chat completion. Raises for an error, for what is no answer, and for an answer that is not whole."""
    reply = parse(body)
    model = reply.get("modelVersion")
    progress.model = model if isinstance(model, str) and model else ask.model
    Tally().take(reply.get("usageMetadata"), progress.usage)
    candidates = candidates_of(reply)
    if candidates:
        calls = 0
        choices = []
        for position, candidate in enumerate(candidates):
            choice, calls = _choice(ask, candidate, index_of(candidate, position), calls)
            choices.append(choice)
    elif block_of(reply):
        choices = [_blocked(reply)]
    else:
        raise bad_reply("Gemini's reply holds no candidate and no reason why")
    progress.started = progress.finished = True
    progress.finish_reason = choices[0]["finish_reason"]
    id = reply.get("responseId")
    return completion(id if isinstance(id, str) and id else ask.id, ask.created, progress.model, choices, progress.usage)


def _blocked(reply: Json) -> Json:
    said = reply["promptFeedback"].get("blockReasonMessage")
    message = {"role": "assistant", "content": None, "refusal": said if isinstance(said, str) else None}
    return {"index": 0, "message": message, "logprobs": None, "finish_reason": "content_filter"}


def _choice(ask: Ask, candidate: Json, index: int, calls_before: int) -> tuple[Json, int]:
    text: list[str] = []
    thoughts: list[str] = []
    calls: list[Json] = []
    images: list[Json] = []
    google: Json = {}
    message: Json = {"role": "assistant", "content": None, "refusal": None}
    sounds: list[tuple[str, str]] = []
    content = candidate.get("content")
    check_content(content.get("parts") if isinstance(content, dict) else content, "Gemini")
    for part in parts_in(candidate):
        call, piece, signature = part.get("functionCall"), part.get("text"), part.get("thoughtSignature")
        if isinstance(call, dict):
            id = str(call.get("id") or call_id(ask, calls_before + len(calls)))
            made: Json = {"id": id, "type": "function", "function": {"name": str(call.get("name") or ""), "arguments": arguments_in(call)}}
            if isinstance(signature, str):
                made["extra_content"] = {"google": {"thought_signature": signature}}
            calls.append(made)
            continue
        blob = data_of(part)
        if isinstance(signature, str) and (blob is None or blob[0].startswith("audio/")):
            google["thought_signature"] = signature
        if isinstance(piece, str):
            (thoughts if part.get("thought") else text).append(piece)
        elif blob is not None:
            if blob[0].startswith("audio/"):
                sounds.append(blob)
            else:
                images.append(image_of(*blob, len(images), signature))
        elif code := code_of(part):
            google.setdefault("parts", []).append(code)
    reason = reason_of(candidate)
    finish = finish_of(reason, bool(calls))
    if finish is None:
        raise broken_off(reason or "NO_FINISH_REASON", candidate.get("finishMessage"))
    answer = "".join(text)
    if answer or not (calls or finish == "content_filter"):
        message["content"] = answer
    if thoughts:
        message["reasoning_content"] = "".join(thoughts)
    if calls:
        message["tool_calls"] = calls
    if images:
        message["images"] = images
    if sounds:
        message["audio"] = {"id": f"audio_{ask.id}", "expires_at": 0, "transcript": "", **sound_of(sounds, _sound_format(ask))}
    if google:
        message["extra_content"] = {"google": google}
    annotations = annotations_of(candidate, answer)
    if annotations:
        message["annotations"] = annotations
    choice: Json = {"index": index, "message": message, "logprobs": logprobs_of(candidate), "finish_reason": finish}
    choice.update(told_besides(candidate, reason, finish))
    return choice, calls_before + len(calls)


def _sound_format(ask: Ask) -> Any:
    audio = ask.chat.get("audio")
    return audio.get("format") if isinstance(audio, dict) else None
