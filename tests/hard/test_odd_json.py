"""Good HTTP around odd JSON: any value in any place of a reply or of a stream. Translation never falls over its own feet."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tests.hard.combine import REPLIES, combinations
from tests.hard.live import Live
from tests.hard.misbehaving import Provider
from tests.hard.raw_client import RawClient, Reply, request
from tests.hard.speech import (
    AUTH,
    LAST_CHUNK,
    PATHS,
    STREAM_HEAD,
    STREAMS,
    TERMINAL,
    ask,
    chunk,
    dumps,
    http,
)

# -- odd JSON in good HTTP: translation never falls over its own feet

ODD_VALUES: list[Any] = [None, True, 3, -1.5, "x", "", [], {}, [None], [3], [[]], [{}], {"x": None}, "\u0000", 10**18]


def _mutations(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Every place in a JSON value."""
    yield path, value
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _mutations(inner, (*path, key))
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            yield from _mutations(inner, (*path, at))


def _with(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    if isinstance(value, dict):
        return {key: _with(inner, path[1:], new) if key == path[0] else inner for key, inner in value.items()}
    return [_with(inner, path[1:], new) if at == path[0] else inner for at, inner in enumerate(value)]


@combinations
def test_a_reply_with_any_value_in_any_place_is_an_answer_or_a_502(dialect: str, target: str, gateway: Live, provider: Provider) -> None:
    good = json.loads(REPLIES[target])
    if target == "openai":
        good["choices"][0]["message"]["tool_calls"] = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    else:
        good["content"].append({"type": "tool_use", "id": "c", "name": "f", "input": {"a": 1}})
    failures = []
    with RawClient(gateway.port) as client:
        for path, old in _mutations(good):
            for new in ODD_VALUES:
                if type(new) is type(old) and new == old:
                    continue
                provider.says(http(dumps(_with(good, path, new))))
                client.send(request(PATHS[dialect], ask(dialect, target), AUTH))
                reply = client.reply()
                if reply.status not in (200,) and reply.header("x-edgegate-error-source") != "provider":
                    failures.append(f"{'.'.join(map(str, path))} = {new!r}: {reply.status} {reply.body[:200]!r}")
                elif reply.status == 200:
                    json.loads(reply.body)
        failures += [f"fault: {fault[-700:]}" for fault in gateway.faults()[:3]]
        gateway.forget_log()
    assert not failures, f"{len(failures)} failures:\n" + "\n".join(failures[:12] + failures[-3:])


@combinations
def test_a_stream_with_any_value_in_any_place_ends_properly(dialect: str, target: str, gateway: Live, provider: Provider) -> None:
    lines = STREAMS[target]
    failures = []
    cases = []
    for number, line in enumerate(lines):
        if line.data == b"[DONE]":
            continue
        value = json.loads(line.data)
        for path, old in _mutations(value):
            for new in ODD_VALUES:
                if type(new) is not type(old) or new != old:
                    cases += [(number, path, new, _with(value, path, new))]
    cases = cases[:: max(1, len(cases) // 400)]
    with RawClient(gateway.port) as client:
        for number, path, new, value in cases:
            data = b"".join(bytes(type(line)(dumps(value), line.name)) if at == number else bytes(line) for at, line in enumerate(lines))
            provider.says(STREAM_HEAD + chunk(data) + LAST_CHUNK)
            client.send(request(PATHS[dialect], ask(dialect, target, stream=True), AUTH))
            reply: Reply = client.reply()
            source = reply.header("x-edgegate-error-source")
            where = f"event {number}, {'.'.join(map(str, path))} = {new!r}"
            if reply.status != 200 and source != "provider":
                failures.append(f"{where}: {reply.status} {reply.body[:200]!r}")
            elif reply.status == 200 and not reply.whole:
                failures.append(f"{where}: the stream was cut")
            elif reply.status == 200 and TERMINAL[dialect] in reply.body and b'{"error"' in reply.body:
                failures.append(f"{where}: both an end and an error")
            if not reply.whole:
                client.socket.close()
                client = RawClient(gateway.port)
        failures += [f"fault: {fault[-700:]}" for fault in gateway.faults()[:3]]
        gateway.forget_log()
        gateway.loop.faults.clear()
        client.socket.close()
    assert not failures, f"{len(failures)} failures:\n" + "\n".join(failures[:12] + failures[-3:])
