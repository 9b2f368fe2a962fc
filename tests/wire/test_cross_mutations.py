"""Recorded requests and replies with something changed, as versions, servers and networks not recorded here would have them.

Nothing but a `GatewayError` is ever raised; what is added is passed on or ignored; a failure is never an answer. Seeded: a failure
comes back. `EDGEGATE_CROSS=all` makes many more.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from edgegate.dialects.base import Ask, Json, Operation, Progress, WireRequest
from edgegate.errors import GatewayError
from edgegate.taps import Outcome
from tests.corpus import ABSENT
from tests.wire.cross import ALL, COUNTERS, EMBEDDERS, READING, RERANKERS, TARGETS, Answered, Asked, Target, answered, asked
from tests.wire.cross_mutate import framed, mutated, shuffled, unframed
from tests.wire.cross_read import by_chat
from tests.wire.test_cross_replies import assert_half

ROUNDS = 40 if ALL else 3
LARGE = 40_000

pytestmark = pytest.mark.skipif(not asked(), reason=ABSENT)


def refused_well(action: Callable[[], Any], where: str, *, by: int) -> bool:
    """Whether it was refused, with a status of the class `by` (4: the request is at fault, 5: the reply is)."""
    try:
        action()
    except GatewayError as error:
        refused = error
    else:
        return False
    assert refused.status >= 400, where
    if by == 4:
        assert refused.status < 500, f"{where}: {refused.status} {refused.message}"
        assert refused.param, f"{where}: no field is named: {refused.message}"
    return True


FORMATS = sorted({given.client.format for given in asked()})


def build_for(given: Asked, neutral: Json, streamed: bool, approximate: bool) -> tuple[Sequence[Target], Callable[[Target], WireRequest]]:
    match given.client.operation:
        case Operation.EMBEDDINGS:
            return EMBEDDERS, lambda target: target.side.embed(neutral, target.model)
        case Operation.RERANK:
            return RERANKERS, lambda target: target.side.rerank(neutral, target.model)
        case Operation.COUNT_TOKENS:
            return COUNTERS, lambda target: target.side.count(Ask(neutral, target.model, False, "chatcmpl-77", 1, True, approximate))
        case _:
            return TARGETS, lambda target: target.side.request(Ask(neutral, target.model, streamed, "chatcmpl-77", 1, True, approximate))


@pytest.mark.parametrize("format", FORMATS)
def test_a_changed_request_is_asked_or_refused(format: str) -> None:
    for given in asked():
        if given.client.format != format or len(json.dumps(given.request)) > LARGE:
            continue
        rng = random.Random(given.name)
        client = given.client
        for number in range(ROUNDS):
            request = mutated(given.request, rng, times=rng.choice((1, 1, 2, 3)))
            where = f"{given.name}, change {number}"
            if not isinstance(request, dict) or refused_well(lambda: client.check(request), where, by=4):  # noqa: B023
                continue
            client.model(request)
            client.temperature(request)
            streamed = client.streams(request)
            neutral: list[Json] = []
            if refused_well(lambda: neutral.append(client.neutral(request)), where, by=4):  # noqa: B023
                continue
            targets, build = build_for(given, neutral[0], streamed, rng.random() < 0.7)
            for target in rng.sample(list(targets), min(3, len(targets))):
                refused_well(lambda: build(target), f"{where}, at {target.name}", by=4)  # noqa: B023


FAMILIES = sorted({given.family for given in answered()})


def some(family: str) -> list[Answered]:
    return [given for given in answered() if given.family == family and len(given.recording.body) <= LARGE]


def to_clients(chat: bytes, streamed: bool, rng: random.Random, where: str) -> None:
    """What a changed reply became must be readable by the client sides, or refused by them as a bad reply."""
    for format in rng.sample(list(READING), 2):
        whole, streams, request = READING[format]
        if streamed:
            tap = streams.stream(request, "77")
            tap.feed(chat)
            tap.end(Outcome.OK)
        else:
            refused_well(lambda: whole.whole(request, chat), f"{where} for {format}", by=5)  # noqa: B023


@pytest.mark.parametrize("family", FAMILIES)
def test_a_changed_reply_is_read_or_refused(family: str) -> None:
    for given in some(family):
        if given.streamed:
            continue
        rng = random.Random(given.name)
        for number in range(ROUNDS):
            body = json.dumps(mutated(json.loads(given.recording.body), rng, times=rng.choice((1, 1, 2)))).encode()
            chats: list[bytes] = []
            progress = Progress()
            where = f"{given.name}, change {number}"
            if not refused_well(lambda: chats.append(given.side.whole(given.ask, body, progress)), where, by=5):  # noqa: B023
                assert progress.finished, where
                to_clients(chats[0], False, rng, where)


def changed_stream(given: Answered, rng: random.Random) -> bytes:
    if given.family != "ollama":
        return framed(shuffled(unframed(given.recording.body), rng), rng)
    lines = [json.loads(line) for line in given.recording.body.splitlines() if line.strip()]
    events = shuffled([("", line) for line in lines], rng)
    return b"".join(json.dumps(line).encode() + rng.choice((b"\n", b"\r\n", b"\n\n")) for _, line in events)


@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "bedrock"])
def test_a_changed_stream_is_read_or_broken(family: str) -> None:
    for given in some(family):
        if not given.streamed:
            continue
        rng = random.Random(given.name)
        for number in range(ROUNDS * 2):
            body = changed_stream(given, rng)
            progress = Progress()
            tap = given.side.stream(given.ask, progress)
            chat = tap.feed(body) + tap.end(Outcome.OK)
            where = f"{given.name}, change {number}"
            if progress.error is not None:
                assert progress.error.status >= 400, where
                assert_half(chat, where)
            elif b"data: [DONE]" in chat:
                assert progress.finished, where
                to_clients(chat, True, rng, where)
            else:
                assert_half(chat, where)


@pytest.mark.parametrize("family", [name for name in FAMILIES if name not in ("bedrock", "ollama")])
def test_other_line_ends_comments_and_unknown_events_change_nothing(family: str) -> None:
    for given in some(family):
        if not given.streamed:
            continue
        rng = random.Random(given.name)
        events = unframed(given.recording.body)
        said = []
        for changed in (events, events, events, events, [("hologram.delta", {"type": "hologram.delta"}), *events], None):
            if changed is None:
                changed = list(events)
                changed.insert(len(events) // 2, ("hologram.delta", {"type": "hologram.delta", "hologram": 1}))
            progress = Progress()
            tap = given.side.stream(given.ask, progress)
            chat = tap.feed(framed(changed, rng)) + tap.end(Outcome.OK)
            said.append((by_chat(chat, streamed=True), progress.finished, progress.error is None))
        assert all(one == said[0] for one in said), given.name


FAILURES = [
    b"",
    b"{}",
    b"[]",
    b"null",
    b"7",
    b'"x"',
    b"<html>busy</html>",
    b'{"detail":"Unauthorized"}',
    b'{"message":"no"}',
    b'{"error":"no"}',
    b'{"error":{"message":"no","type":"server_error"}}',
    b'{"object":"error","message":"no"}',
    b'{"error":{"code":503,"status":"UNAVAILABLE"}}',
    b'{"type":"error","error":{"type":"overloaded_error","message":"no"}}',
    b'{"choices":[]}',
    b'{"choices":null}',
    b'{"choices":[null]}',
    b'{"choices":[{}]}',
    b'{"candidates":[]}',
    b'{"candidates":null}',
    b'{"candidates":[{}]}',
    b'{"content":null}',
    b'{"output":{}}',
    b'{"output":{"message":{}}}',
    b'{"message":{}}',
    b'{"message":{"role":"assistant"},"done":false}',
    b'{"message":null,"done":true}',
    b'{"status":"failed","error":{"message":"no"},"output":[]}',
    b'{"usage":{"prompt_tokens":1}}',
]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_failure_with_status_200_is_never_an_answer(family: str) -> None:
    side = next(given.side for given in answered() if given.family == family)
    for body in FAILURES:
        plain = Ask({"messages": []}, "m", False, "chatcmpl-77", 1)
        assert refused_well(lambda: side.whole(plain, body, Progress()), f"{family}: {body!r}", by=5), f"{family}: {body!r}"  # noqa: B023
        if family == "ollama" and body == b'{"message":null,"done":true}':
            continue  # the end of a stream may well hold no message
        progress = Progress()
        tap = side.stream(Ask({"messages": []}, "m", True, "chatcmpl-77", 1, True), progress)
        out = tap.feed(body) + tap.feed(b"\n\n") + tap.feed(b"data: " + body + b"\n\n") + tap.end(Outcome.OK)
        assert b"[DONE]" not in out, f"{family}: {body!r}"
        assert not progress.finished, f"{family}: {body!r}"
