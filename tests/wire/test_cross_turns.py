"""Signed reasoning over two turns: reply -> app -> next request, for every client format with an opaque place and every vendor that
signs. The vendor that signed gets its state back byte for byte; whoever is asked instead sees nothing of it."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from edgegate.dialects.base import Ask, ClientSide, Json, Progress
from edgegate.dialects.sealed import SEAL
from edgegate.errors import GatewayError
from edgegate.taps import Outcome
from tests.corpus import ABSENT
from tests.wire import responses_reader
from tests.wire.anthropic_sdks import anthropic_message
from tests.wire.cross import ALL, READING, TARGETS, Answered, Target, answered, chosen, signatures
from tests.wire.cross_read import by_chat, events

SIGNERS = {"anthropic": "anthropic", "gemini": "google", "responses": "openai"}
SAME = {"anthropic": "anthropic claude-sonnet-4-5", "gemini": "gemini gemini-3-pro-preview", "responses": "responses gpt-5.4"}
"""Family of recordings -> whose state it is; who is asked again."""

AND_THEN = "And then?"
TOOL = "any_tool"


# -- what apps send back


def _from_anthropic(reply: bytes, streamed: bool) -> Json:
    content = json.loads(anthropic_message(reply, streamed=streamed).model_dump_json(exclude_none=True))["content"]
    results = [{"type": "tool_result", "tool_use_id": block["id"], "content": "ok"} for block in content if block["type"] == "tool_use"]
    asked = {"role": "user", "content": results or AND_THEN}
    tools = [{"name": TOOL, "input_schema": {"type": "object", "properties": {}}}]
    first: Json = {"role": "user", "content": "hi"}
    return {"model": "m", "max_tokens": 9000, "messages": [first, {"role": "assistant", "content": content}, asked], "tools": tools}


def _from_responses(reply: bytes, streamed: bool) -> Json:
    output = responses_reader.checked(reply)["output"] if streamed else json.loads(reply)["output"]
    results = [{"type": "function_call_output", "call_id": i["call_id"], "output": "ok"} for i in output if i["type"] == "function_call"]
    asked = results or [{"role": "user", "content": AND_THEN}]
    tools = [{"type": "function", "name": TOOL, "parameters": {"type": "object", "properties": {}}, "strict": False}]
    return {"model": "m", "input": [{"role": "user", "content": "hi"}, *output, *asked], "tools": tools}


def _from_gemini(reply: bytes, streamed: bool) -> Json:
    documents = list(events(reply)) if streamed else [json.loads(reply)]
    parts = [part for document in documents for part in document["candidates"][0]["content"].get("parts", ())]
    calls = [part["functionCall"] for part in parts if "functionCall" in part]
    answers: list[Json] = [{**{name: call[name] for name in call if name != "args"}, "response": {"ok": True}} for call in calls]
    results = [{"functionResponse": answer} for answer in answers]
    turns: list[tuple[str, Any]] = [("user", [{"text": "hi"}]), ("model", parts), ("user", results or [{"text": AND_THEN}])]
    tools = [{"functionDeclarations": [{"name": TOOL}]}]
    return {"contents": [{"role": role, "parts": said} for role, said in turns], "tools": tools}


def _from_chat(reply: bytes, streamed: bool) -> Json:
    message = _gathered(reply) if streamed else json.loads(reply)["choices"][0]["message"]
    results = [{"role": "tool", "tool_call_id": call["id"], "content": "ok"} for call in message.get("tool_calls") or ()]
    asked: list[Json] = results or [{"role": "user", "content": AND_THEN}]
    tools = [{"type": "function", "function": {"name": TOOL}}]
    return {"model": "m", "messages": [{"role": "user", "content": "hi"}, message, *asked], "tools": tools}


def _gathered(reply: bytes) -> Json:
    """A stream's message: texts are joined, lists go on, calls by their index, objects are merged."""
    message: Json = {"role": "assistant"}
    calls: dict[int, Json] = {}
    for chunk in events(reply):
        for choice in chunk["choices"]:
            for name, value in choice["delta"].items():
                if name == "tool_calls":
                    for call in value:
                        _merge(calls.setdefault(call["index"], {}), {key: item for key, item in call.items() if key != "index"})
                elif name != "role" and value is not None:
                    _merge(message, {name: value})
    return {**message, "tool_calls": list(calls.values())} if calls else message


def _merge(into: Json, more: Json) -> None:
    for name, value in more.items():
        old = into.get(name)
        if isinstance(old, dict) and isinstance(value, dict):
            _merge(old, value)
        elif name not in ("type", "id") and isinstance(old, str) and isinstance(value, str):
            into[name] = old + value
        elif isinstance(old, list) and isinstance(value, list):
            into[name] = [*old, *value]
        else:
            into[name] = json.loads(json.dumps(value))


APPS: Mapping[str, Callable[[bytes, bool], Json]] = {
    "anthropic.messages": _from_anthropic,
    "openai.responses": _from_responses,
    "gemini": _from_gemini,
    "openai.chat": _from_chat,
}


# -- the recordings


def documents(given: Answered) -> list[Json]:
    if not given.streamed:
        return [json.loads(given.recording.body)]
    found = list(events(given.recording.body))
    if given.family == "responses":  # what an item has while it only begins is not what it is in the end
        return [document["response"]["output"] for document in found if document["type"] == "response.completed"]
    return found


def signed(family: str) -> list[Answered]:
    found = [given for given in answered() if given.family == family and any(v == SIGNERS[family] for v, _ in signatures(documents(given)))]
    found = [given for given in found if not given.recording.body.startswith(b"[")]
    found.sort(key=lambda given: zlib.crc32(given.name.encode()))
    return found if ALL else found[:40]


def chat_of(given: Answered) -> bytes | None:
    progress = Progress()
    ask = Ask({"messages": []}, "m", given.streamed, "chatcmpl-77", 1_700_000_000, True)
    try:
        if not given.streamed:
            chat: bytes = given.side.whole(ask, given.recording.body, progress)
            return chat
        tap = given.side.stream(ask, progress)
        chat = tap.feed(given.recording.body) + tap.end(Outcome.OK)
    except GatewayError:
        return None
    return chat if progress.finished and progress.error is None else None


def next_request(format: str, chat: bytes, streamed: bool) -> tuple[ClientSide, Json]:
    whole, streams, request = READING[format]
    if streamed:
        tap = streams.stream(request, "77")
        reply = tap.feed(chat) + tap.end(Outcome.OK)
    else:
        reply = whole.whole(request, chat)
    following = APPS[format](reply, streamed)
    whole.check(following)
    return whole, following


def asked_of(target: Target, client: ClientSide, following: Json) -> bytes:
    chat = client.neutral(following)
    body: bytes = target.side.request(Ask(chat, target.model, False, "chatcmpl-78", 1, True)).body
    return body


@pytest.mark.parametrize("format", APPS)
@pytest.mark.parametrize("family", SIGNERS)
def test_who_signed_gets_it_back_and_nobody_else(family: str, format: str) -> None:
    if not answered():
        pytest.skip(ABSENT)
    vendor, kept = SIGNERS[family], 0
    again = next(target for target in TARGETS if target.name == SAME[family])
    others = [target for target in TARGETS if vendor not in target.signed]
    for given in signed(family):
        chat = chat_of(given)
        if chat is None or (by_chat(chat, streamed=given.streamed).custom and format not in ("openai.responses", "openai.chat")):
            continue
        states = {state for owner, state in signatures(documents(given)) if owner == vendor}
        client, following = next_request(format, chat, given.streamed)
        where = f"{given.name} by {format}"
        body = asked_of(again, client, following)
        for state in states:
            assert written(state) in written(body.decode()), f"{where}: lost"
        assert SEAL.encode() not in body, where
        kept += len(states)
        for target in chosen(given.name, others, 4):
            shown = asked_of(target, client, following)
            assert SEAL.encode() not in shown, f"{where} at {target.name}"
            for state in states:
                assert written(state) not in written(shown.decode()), f"{where} at {target.name}: shown"
    assert kept > 3


def written(text: str) -> str:
    """Google's SDK writes base64 in the other alphabet, and without the signs at its end."""
    return text.replace("-", "+").replace("_", "/").rstrip("=")


def test_the_states_are_found_by_the_vendors_names() -> None:
    value: Any = [
        {"type": "thinking", "signature": "s" * 50},
        {"thoughtSignature": "t" * 50},
        {"type": "reasoning", "encrypted_content": "e" * 50},
    ]
    assert list(signatures(value)) == [("anthropic", "s" * 50), ("google", "t" * 50), ("openai", "e" * 50)]
