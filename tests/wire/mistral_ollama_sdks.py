"""What the official SDKs read out of given bytes: the vendor's own out of a recording, openai's out of our translation.

No sockets: each SDK talks to a mock transport that answers with the bytes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import httpx
import httpx2
import mistralai.client as mistralai
import ollama
import openai

from edgegate.dialects.base import Ask, Progress, ProviderSide
from edgegate.taps import Outcome, Tap

QUESTION = [{"role": "user", "content": "Why?"}]


@dataclass
class Answer:
    """An answer as an SDK's user sees it. Ids of calls are compared only where the provider gives them."""

    text: str = ""
    reasoning: str = ""
    calls: list[tuple[str | None, str, dict[str, Any]]] = field(default_factory=list)
    finish: str = ""
    counts: tuple[int, int, int] | None = None
    model: str = ""

    def without_ids(self) -> Answer:
        return Answer(self.text, self.reasoning, [(None, name, args) for _, name, args in self.calls], self.finish, self.counts, self.model)


def ask_for(chat: dict[str, Any] | None = None, *, stream: bool, include_usage: bool = True) -> Ask:
    return Ask(chat or {"messages": QUESTION}, "target-model", stream, "chatcmpl-test", 1_700_000_000, include_usage)


def translated(side: ProviderSide, body: bytes, *, stream: bool) -> tuple[bytes, Progress]:
    """Our translation of a whole recording, fed at once."""
    progress = Progress()
    ask = ask_for(stream=stream)
    if not stream:
        return side.whole(ask, body, progress), progress
    tap = side.stream(ask, progress)
    return tap.feed(body) + tap.end(Outcome.OK), progress


def fed(tap: Tap, parts: list[bytes], outcome: Outcome = Outcome.OK) -> bytes:
    return b"".join([tap.feed(part) for part in parts]) + tap.end(outcome)


def _arguments(text: Any) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(text) if isinstance(text, str) else dict(text)
    return value


def by_openai(body: bytes, *, stream: bool) -> Answer:
    """Choice 0 as the openai SDK reads it; a stream is put together as its documentation says."""
    kind = "text/event-stream" if stream else "application/json"
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, content=body, headers={"content-type": kind}))
    client = openai.OpenAI(api_key="k", base_url="http://gateway/v1", http_client=httpx2.Client(transport=transport), max_retries=0)
    answer = Answer()
    if not stream:
        reply = client.chat.completions.create(model="m", messages=QUESTION)  # type: ignore[arg-type]
        message = reply.choices[0].message
        answer.text = message.content or ""
        answer.reasoning = (message.model_extra or {}).get("reasoning_content", "")
        answer.calls = [(call.id, call.function.name, _arguments(call.function.arguments)) for call in message.tool_calls or ()]  # type: ignore[union-attr]
        answer.finish, answer.model = reply.choices[0].finish_reason, reply.model
        if reply.usage:
            answer.counts = (reply.usage.prompt_tokens, reply.usage.completion_tokens, reply.usage.total_tokens)
        return answer
    calls: dict[int, list[str]] = {}
    ids = set()
    chunks: Any = client.chat.completions.create(model="m", messages=QUESTION, stream=True)  # type: ignore[arg-type]
    for chunk in chunks:
        ids.add(chunk.id)
        answer.model = chunk.model
        if chunk.usage:
            assert chunk.choices == []
            answer.counts = (chunk.usage.prompt_tokens, chunk.usage.completion_tokens, chunk.usage.total_tokens)
        for choice in chunk.choices:
            if choice.index:
                continue
            answer.text += choice.delta.content or ""
            answer.reasoning += (choice.delta.model_extra or {}).get("reasoning_content", "")
            for call in choice.delta.tool_calls or ():
                into = calls.setdefault(call.index, ["", "", ""])
                into[0] = call.id or into[0]
                into[1] += (call.function and call.function.name) or ""
                into[2] += (call.function and call.function.arguments) or ""
            answer.finish = choice.finish_reason or answer.finish
    assert len(ids) == 1
    assert list(calls) == list(range(len(calls)))
    answer.calls = [(id, name, _arguments(text)) for id, name, text in calls.values()]
    return answer


def _mistral_texts(content: Any) -> tuple[str, str]:
    if isinstance(content, str):
        return content, ""
    text = reasoning = ""
    for chunk in content or ():
        if isinstance(chunk, mistralai.models.TextChunk):
            text += chunk.text
        elif isinstance(chunk, mistralai.models.ThinkChunk):
            reasoning += "".join(part.text for part in chunk.thinking if isinstance(part, mistralai.models.TextChunk))
    return text, reasoning


_MISTRAL_FINISH = {"model_length": "length"}


def by_mistral(body: bytes, *, stream: bool) -> Answer:
    """Choice 0 as the mistralai SDK reads it; its finish reasons in OpenAI's words."""
    kind = "text/event-stream" if stream else "application/json"
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, content=body, headers={"content-type": kind}))
    client = mistralai.Mistral(api_key="k", client=httpx2.Client(transport=transport))
    answer = Answer()
    if not stream:
        reply = client.chat.complete(model="m", messages=QUESTION)  # type: ignore[arg-type]
        choice = reply.choices[0]
        assert choice.message
        answer.text, answer.reasoning = _mistral_texts(choice.message.content)
        answer.calls = [(call.id, call.function.name, _arguments(call.function.arguments)) for call in choice.message.tool_calls or ()]
        answer.finish, answer.model = choice.finish_reason, reply.model
        usage: Any = reply.usage
        answer.counts = (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens)
    else:
        for event in client.chat.stream(model="m", messages=QUESTION):  # type: ignore[arg-type]
            chunk = event.data
            answer.model = chunk.model
            if chunk.usage:
                used: Any = chunk.usage
                answer.counts = (used.prompt_tokens, used.completion_tokens, used.total_tokens)
            for part in chunk.choices:
                if part.index:
                    continue
                text, reasoning = _mistral_texts(part.delta.content)
                answer.text += text
                answer.reasoning += reasoning
                answer.calls += [(call.id, call.function.name, _arguments(call.function.arguments)) for call in part.delta.tool_calls or ()]
                answer.finish = part.finish_reason or answer.finish
    answer.finish = _MISTRAL_FINISH.get(answer.finish, answer.finish)
    return answer


def by_ollama(body: bytes, *, stream: bool, generate: bool = False) -> Answer:
    """As the ollama SDK reads it; `stop` with calls in OpenAI's words."""
    kind = "application/x-ndjson" if stream else "application/json"
    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=body, headers={"content-type": kind}))
    client = ollama.Client(host="http://ollama", transport=transport)
    given: Any = client.generate("m", "Why?", stream=stream) if generate else client.chat("m", QUESTION, stream=stream)  # type: ignore[call-overload]
    answer = Answer()
    for part in given if stream else [given]:
        message: Any = None if generate else part.message
        answer.text += (part.response if generate else message.content) or ""
        answer.reasoning += (part.thinking if generate else message.thinking) or ""
        if message is not None:
            answer.calls += [(None, call.function.name, dict(call.function.arguments)) for call in message.tool_calls or ()]
        answer.model = part.model
        if part.done:
            reason = part.done_reason or "stop"
            answer.finish = "tool_calls" if answer.calls and reason == "stop" else reason
            prompt, output = part.prompt_eval_count or 0, part.eval_count or 0
            answer.counts = (prompt, output, prompt + output)
    return answer
