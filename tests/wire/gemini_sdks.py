"""What the official SDKs read out of given bytes: google-genai out of a recording, openai out of our translation of it.

No sockets: both SDKs talk to a mock transport that answers with the bytes at hand.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import Any

import httpx
import httpx2
import openai
from google import genai
from google.genai import types

from edgegate.dialects.base import Ask
from tests.corpus import Recording

QUESTION: Any = [{"role": "user", "content": "Why?"}]
FINISH = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "MODEL_ARMOR": "content_filter",
    "SAFETY": "content_filter",
    "UNEXPECTED_TOOL_CALL": "tool_calls",  # of the recorded ones: each holds its call, whole
}


@dataclass
class Answer:
    """An answer as an SDK's user sees it. `counts`: prompt, cached, completion, reasoning."""

    text: str = ""
    reasoning: str = ""
    calls: list[tuple[str | None, str, dict[str, Any], str | None]] = field(default_factory=list)
    finish: str = ""
    counts: tuple[int, int, int, int] | None = None
    model: str = ""
    id: str = ""
    signatures: list[str] = field(default_factory=list)
    logprobs: list[tuple[str, float]] = field(default_factory=list)


def ask_for(
    chat: dict[str, Any] | None = None, *, stream: bool = False, include_usage: bool = True, model: str = "gemini-2.5-flash"
) -> Ask:
    return Ask({"messages": QUESTION, **(chat or {})}, model, stream, "chatcmpl-0123abcd", 1_700_000_000, include_usage)


def documents(recording: Recording) -> list[dict[str, Any]]:
    """The GenerateContentResponses of a recording."""
    if recording.streamed:
        blocks = recording.body.decode().replace("\r\n", "\n").split("\n\n")
        return [json.loads(block.removeprefix("data:")) for block in blocks if block.strip()]
    value = json.loads(recording.body)
    return value if isinstance(value, list) else [value]


class Sdks:
    """One client of each kind (they are dear to make), answered with whatever `self.body` is."""

    def __init__(self) -> None:
        self.body = b""
        self.kind = "application/json"
        self.sent: list[Any] = []
        google = httpx.Client(transport=httpx.MockTransport(self._google))
        self.google = genai.Client(api_key="k", http_options=types.HttpOptions(httpx_client=google, base_url="http://google"))
        ours = httpx2.Client(
            transport=httpx2.MockTransport(lambda _: httpx2.Response(200, content=self.body, headers={"content-type": self.kind}))
        )
        self.openai = openai.OpenAI(api_key="k", base_url="http://gateway/v1", http_client=ours, max_retries=0)

    def _google(self, request: httpx.Request) -> httpx.Response:
        self.sent.append(request)
        return httpx.Response(200, content=self.body, headers={"content-type": self.kind})

    def by_google(self, recording: Recording) -> Answer:
        """Candidate 0 of a recording; a bare array is framed as the events it should have been."""
        if recording.streamed or isinstance(json.loads(recording.body), list):
            framed = b"".join(b"data: " + json.dumps(document).encode() + b"\r\n\r\n" for document in documents(recording))
            return self.google_reads(framed, stream=True)
        return self.google_reads(_named(recording.body), stream=False)

    def google_reads(self, body: bytes, *, stream: bool, kind: str = "") -> Answer:
        """Candidate 0 of a reply, as google-genai reads it."""
        answer = Answer()
        self.body, self.kind = body, kind or ("text/event-stream" if stream else "application/json")
        replies: list[Any]
        if stream:
            replies = list(self.google.models.generate_content_stream(model="m", contents="Why?"))
        else:
            replies = [self.google.models.generate_content(model="m", contents="Why?")]
        counts: dict[str, int] = {}
        for reply in replies:
            answer.model = answer.model or reply.model_version or ""
            answer.id = answer.id or reply.response_id or ""
            for name in ("prompt", "cached_content", "candidates", "thoughts", "tool_use_prompt"):
                value = getattr(reply.usage_metadata, f"{name}_token_count", None)
                if value is not None:
                    counts[name] = value
            for candidate in reply.candidates or []:
                if candidate.index:
                    continue
                _google_parts(answer, candidate)
                if candidate.finish_reason:
                    answer.finish = str(candidate.finish_reason.value)
                chosen = candidate.logprobs_result.chosen_candidates if candidate.logprobs_result else None
                answer.logprobs += [(token.token or "", token.log_probability or 0.0) for token in chosen or []]
        answer.finish = "tool_calls" if answer.finish == "STOP" and answer.calls else FINISH.get(answer.finish, answer.finish)
        if counts:
            prompt = counts.get("prompt", 0) + counts.get("tool_use_prompt", 0)
            thoughts = counts.get("thoughts", 0)
            answer.counts = (prompt, counts.get("cached_content", 0), counts.get("candidates", 0) + thoughts, thoughts)
        return answer

    def by_openai(self, body: bytes, *, stream: bool) -> Answer:
        """Choice 0 of a chat completion, or of a stream of chunks put together as OpenAI's documentation says."""
        self.body, self.kind = body, "text/event-stream" if stream else "application/json"
        answer = Answer()
        if not stream:
            reply = self.openai.chat.completions.create(model="m", messages=QUESTION)
            message = reply.choices[0].message
            answer.text = message.content or ""
            answer.reasoning = (message.model_extra or {}).get("reasoning_content", "")
            for call in message.tool_calls or ():
                assert call.type == "function"
                answer.calls.append((call.id, call.function.name, json.loads(call.function.arguments), _signature(call)))
            answer.finish, answer.model, answer.id = reply.choices[0].finish_reason, reply.model, reply.id
            answer.signatures = [signature for signature in (_signature(message),) if signature]
            found = reply.choices[0].logprobs
            answer.logprobs = [(token.token, token.logprob) for token in (found.content if found else None) or []]
            _openai_counts(answer, reply.usage)
            return answer
        calls: dict[int, list[Any]] = {}
        finishes = 0
        for chunk in self.openai.chat.completions.create(model="m", messages=QUESTION, stream=True):
            assert chunk.id == (answer.id or chunk.id), "one stream, one id"
            answer.model, answer.id = chunk.model, chunk.id
            if chunk.usage:
                assert chunk.choices == []
                _openai_counts(answer, chunk.usage)
            for choice in chunk.choices:
                if choice.index:
                    continue
                delta = choice.delta
                answer.text += delta.content or ""
                answer.reasoning += (delta.model_extra or {}).get("reasoning_content", "")
                answer.signatures += [signature for signature in (_signature(delta),) if signature]
                for piece in delta.tool_calls or ():
                    into = calls.setdefault(piece.index, [None, "", "", None])
                    into[0] = piece.id or into[0]
                    into[1] += (piece.function and piece.function.name) or ""
                    into[2] += (piece.function and piece.function.arguments) or ""
                    into[3] = _signature(piece) or into[3]
                finishes += bool(choice.finish_reason)
                answer.finish = choice.finish_reason or answer.finish
        assert finishes == 1
        assert list(calls) == list(range(len(calls)))
        answer.calls = [(id, name, json.loads(text), signature) for id, name, text, signature in calls.values()]
        return answer


def _named(body: bytes) -> bytes:
    """Two recordings have enumerations as numbers, which Google's own SDK does not read."""
    reply = json.loads(body)
    for candidate in reply.get("candidates", []):
        if candidate.get("finishReason") == 1:
            candidate["finishReason"] = "STOP"
            reply["usageMetadata"] = {name: value for name, value in reply["usageMetadata"].items() if name.endswith("TokenCount")}
    return json.dumps(reply).encode()


def _google_parts(answer: Answer, candidate: types.Candidate) -> None:
    for part in (candidate.content.parts if candidate.content else None) or []:
        signature = _base64(part.thought_signature)
        if part.function_call:
            answer.calls.append((part.function_call.id, part.function_call.name or "", part.function_call.args or {}, signature))
            continue
        if signature:
            answer.signatures = [signature]
        if part.text and part.thought:
            answer.reasoning += part.text
        elif part.text:
            answer.text += part.text


def _base64(value: bytes | None) -> str | None:
    """Signatures are bytes to Google's SDK; compared without regard to the alphabet they travelled in."""
    return value.hex() if value else None


def _signature(value: Any) -> str | None:
    text = ((value.model_extra or {}).get("extra_content") or {}).get("google", {}).get("thought_signature")
    return base64.urlsafe_b64decode(text.replace("+", "-").replace("/", "_") + "===").hex() if text else None


def _openai_counts(answer: Answer, usage: Any) -> None:
    if usage:
        assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
        cached = (usage.prompt_tokens_details and usage.prompt_tokens_details.cached_tokens) or 0
        reasoning = (usage.completion_tokens_details and usage.completion_tokens_details.reasoning_tokens) or 0
        answer.counts = (usage.prompt_tokens, cached, usage.completion_tokens, reasoning)
