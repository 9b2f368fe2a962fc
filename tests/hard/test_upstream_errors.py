"""What a provider says when it refuses: any status, any body, any Retry-After, and errors that hide in a 200."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.hard.combine import REPLIES, combinations, kinds
from tests.hard.misbehaving import Provider
from tests.hard.raw_client import RawClient, request
from tests.hard.speech import (
    AUTH,
    ERROR_SHAPES,
    PATHS,
    SDKS,
    TERMINAL,
    TEXT,
    ask,
    dumps,
    http,
    whole_stream,
)

# -- statuses

STATUSES = [400, 401, 402, 403, 404, 405, 408, 409, 410, 413, 415, 422, 429, 431, 451, 500, 501, 502, 503, 504, 520, 529, 599]


@pytest.mark.parametrize("status", STATUSES)
@kinds
@combinations
def test_a_providers_error_keeps_its_status_and_words(
    dialect: str, target: str, stream: bool, status: int, client: RawClient, provider: Provider
) -> None:
    error: dict[str, Any] = {"error": {"message": f"words of {status}", "type": "x_error", "param": None, "code": "x_code"}}
    if target == "anthropic":
        error = {"type": "error", "error": {"type": "x_error", "message": f"words of {status}"}}
    provider.says(http(dumps(error), b"retry-after: 7", status=b"%d Odd" % status))
    client.send(request(PATHS[dialect], ask(dialect, target, stream=stream), AUTH))
    reply = client.reply()
    assert reply.status == status
    shown = ERROR_SHAPES[dialect](reply.body)
    assert f"words of {status}" in shown["message"]
    if status in (429, 503, 529):
        assert reply.header("retry-after") == "7"
    if dialect == target:
        assert json.loads(reply.body) == error
    assert len(provider.requests) == 1
    client.assert_usable()


BODIES: dict[str, tuple[bytes, bytes]] = {
    "HTML": (b"<html><h1>Bad</h1></html>", b"text/html"),
    "empty": (b"", b"text/plain"),
    "text": (b"no healthy upstream", b"text/plain"),
    "null": (b"null", b"application/json"),
    "an array": (b"[]", b"application/json"),
    "a list with an error": (b'[{"error": {"code": 400, "message": "bad", "status": "INVALID"}}]', b"application/json"),
    "a string": (b'"bad"', b"application/json"),
    "detail": (b'{"detail": "bad"}', b"application/json"),
    "message": (b'{"message": "bad"}', b"application/json"),
    "error as text": (b'{"error": "bad"}', b"application/json"),
    "error of null": (b'{"error": null}', b"application/json"),
    "error of numbers": (b'{"error": {"message": 5, "type": 6, "code": 7, "param": 8}}', b"application/json"),
    "error of arrays": (b'{"error": {"message": [], "type": {}, "code": [], "param": {}}}', b"application/json"),
    "a typed error of arrays": (b'{"type": "error", "error": {"type": [], "message": {}}}', b"application/json"),
    "half": (b'{"error": {"message": "ba', b"application/json"),
    "not UTF-8": (b'{"error": {"message": "\xff\xfe"}}', b"application/json"),
    "a page of 1 MB": (b"<html>" + b"x" * 1_000_000, b"text/html"),
    "text of 1 MB": (b"x" * 1_000_000, b"text/plain"),
    "a message of 1 MB": (b'{"error": {"message": "' + b"x" * 1_000_000 + b'"}}', b"application/json"),
    "line breaks": (b'{\n "error": {\r\n "message": "a\\r\\nb",\n "type": "t", "param": null, "code": null}\n}', b"application/json"),
    "the other dialect": (b'{"type": "error", "error": {"type": "x", "message": "bad"}}', b"application/json"),
    "the other dialect, too": (b'{"error": {"message": "bad", "type": "x", "param": null, "code": null}}', b"application/json"),
}


@pytest.mark.parametrize("body", list(BODIES))
@pytest.mark.parametrize("status", [400, 429, 500, 503])
@kinds
@combinations
def test_a_providers_error_of_any_shape_becomes_an_error_of_the_clients_dialect(
    dialect: str, target: str, stream: bool, status: int, body: str, client: RawClient, provider: Provider
) -> None:
    data, type = BODIES[body]
    provider.says(http(data, status=b"%d Odd" % status, type=type))
    client.send(request(PATHS[dialect], ask(dialect, target, stream=stream), AUTH))
    reply = client.reply()
    assert reply.status == status
    assert reply.header("content-type") == "application/json"
    ERROR_SHAPES[dialect](reply.body)
    if "1 MB" in body and "message" not in body:
        assert len(reply.body) < 20_000
    client.assert_usable()


WAITS = [
    "0",
    "1",
    "7",
    "7.5",
    "0.001",
    "-1",
    "nan",
    "inf",
    "-inf",
    "1e999",
    "1e308",
    "99999999999",
    "x",
    "",
    "٣",
    "Wed, 21 Oct 2026 07:28:00 GMT",
    "Wed, 99 Foo",
    "7, 8",
    "0x10",
]


@pytest.mark.parametrize("wait", WAITS, ids=repr)
@pytest.mark.parametrize("name", ["retry-after", "retry-after-ms", "x-ratelimit-reset-requests", "anthropic-ratelimit-requests-reset"])
@combinations
def test_any_retry_after_is_passed_on_as_a_number_or_left_out(
    dialect: str, target: str, name: str, wait: str, client: RawClient, provider: Provider
) -> None:
    provider.says(
        http(b'{"error": {"message": "slow"}}', f"{name}: {wait}".encode(), b"x-ratelimit-remaining-requests: 0", status=b"429 Slow")
    )
    client.send(request(PATHS[dialect], ask(dialect, target), AUTH))
    reply = client.reply()
    assert reply.status == 429
    passed = reply.header("retry-after")
    assert passed is None or (passed.isascii() and passed.isdigit())
    if name == "retry-after" and wait in ("1", "7"):
        assert passed == wait
    client.assert_usable()


# -- errors that hide in a 200


HIDDEN = [
    b'{"error": {"message": "hidden", "type": "server_error", "param": null, "code": 500}}',
    b'{"error": {"message": "hidden"}, "choices": [], "content": []}',
    b'{"type": "error", "error": {"type": "overloaded_error", "message": "hidden"}}',
    b'{"object": "error", "message": "hidden", "code": 400}',
    b'{"message": "hidden"}',
    b'{"detail": "hidden"}',
    b'{"error": "hidden"}',
]


@pytest.mark.parametrize("body", HIDDEN, ids=lambda body: body.decode()[:40])
@kinds
@combinations
def test_an_error_that_hides_in_a_200_is_an_error(
    dialect: str, target: str, stream: bool, body: bytes, client: RawClient, provider: Provider
) -> None:
    provider.says(http(body))
    client.send(request(PATHS[dialect], ask(dialect, target, stream=stream), AUTH))
    reply = client.reply()
    assert reply.status >= 400
    ERROR_SHAPES[dialect](reply.body)
    client.assert_usable()


@combinations
def test_a_whole_json_answer_to_a_stream_request_is_no_empty_stream(
    dialect: str, target: str, client: RawClient, provider: Provider
) -> None:
    provider.says(http(REPLIES[target]))
    client.send(request(PATHS[dialect], ask(dialect, target, stream=True), AUTH))
    reply = client.reply()
    if reply.status == 200:
        assert SDKS[dialect](reply.body).text == TEXT
    else:
        assert reply.status == 502
        ERROR_SHAPES[dialect](reply.body)


@combinations
def test_an_event_stream_to_a_plain_request_is_an_error(dialect: str, target: str, client: RawClient, provider: Provider) -> None:
    provider.says(whole_stream(target))
    client.send(request(PATHS[dialect], ask(dialect, target), AUTH))
    reply = client.reply()
    assert reply.status == 502
    assert TERMINAL[dialect] not in reply.body
    ERROR_SHAPES[dialect](reply.body)
