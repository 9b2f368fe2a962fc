"""Faults on demand, seen as bytes."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import aiohttp
import httpx
import pytest

from edgegate.simulate import start
from edgegate.simulate.faults import Fault, fault_of
from tests.unit.simulate.ask import VENDORS, asked, post


def paths(model: str, stream: bool) -> dict[str, tuple[str, dict[str, Any], dict[str, str]]]:
    return {vendor: asked(vendor, model, "repeat 8", stream=stream) for vendor in VENDORS}


def ask(http: httpx.Client, vendor: str, model: str, stream: bool = True) -> httpx.Response:
    return post(http, vendor, model, "repeat 8", stream=stream)


TERMINAL = {
    "openai": b"[DONE]",
    "responses": b"response.completed",
    "azure": b"[DONE]",
    "anthropic": b"message_stop",
    "gemini": b"finishReason",
    "vertex": b"finishReason",
    "mistral": b"[DONE]",
    "huggingface": b"[DONE]",
    "groq": b"[DONE]",
    "deepseek": b"[DONE]",
    "together": b"[DONE]",
    "openrouter": b"[DONE]",
    "cohere": b"[DONE]",
    "bedrock": b"metadata",
    "ollama": b'"done":true',
}
every_vendor = pytest.mark.parametrize("vendor", list(VENDORS))


def message_of(vendor: str, reply: httpx.Response) -> str:
    """The message of an error, from where each vendor has it."""
    body = reply.json()
    if vendor in ("cohere", "bedrock", "mistral"):
        return str(body.get("message") or body["detail"])
    return str(body["error"] if isinstance(body["error"], str) else body["error"]["message"])


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("gpt-4o", Fault()),
        ("cut", Fault("cut")),
        ("haircut", Fault()),
        ("gpt-4o-cut", Fault("cut")),
        ("openai/error-429", Fault("error", 429)),
        ("error-503-retry-after-2", Fault("error", 503, "2")),
        ("gpt-4o-error-400-context", Fault("error", 400, "", "context")),
        ("slow-first-token", Fault("slow-first-token", seconds=2.0)),
        ("slow-first-token-0.5", Fault("slow-first-token", seconds=0.5)),
    ],
)
def test_a_models_name_asks_for_a_fault(model: str, expected: Fault) -> None:
    assert fault_of(model, {}) == expected


@every_vendor
@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 503, 529])
def test_errors_have_the_vendors_shape(http: httpx.Client, vendor: str, status: int) -> None:
    reply = ask(http, vendor, f"error-{status}")
    assert reply.status_code == status
    assert message_of(vendor, reply)
    assert "{model}" not in reply.text


@every_vendor
def test_retry_after(http: httpx.Client, vendor: str) -> None:
    reply = ask(http, vendor, "error-503-retry-after-2")
    assert '"retryDelay":"2s"' in reply.text if vendor in ("gemini", "vertex") else reply.headers["retry-after"] == "2"


@every_vendor
def test_a_context_too_long_names_itself(http: httpx.Client, vendor: str) -> None:
    reply = ask(http, vendor, "error-400-context")
    assert reply.status_code == 400
    assert any(word in reply.text for word in ("maximum", "exceeds"))


@every_vendor
def test_no_fault_ends_with_the_terminal_event(http: httpx.Client, vendor: str) -> None:
    assert TERMINAL[vendor] in ask(http, vendor, "sound").content


@every_vendor
@pytest.mark.parametrize("stream", [True, False])
def test_cut_breaks_off_inside_the_body(http: httpx.Client, vendor: str, stream: bool) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        ask(http, vendor, "cut", stream)


@every_vendor
def test_no_finish_ends_cleanly_half_way(http: httpx.Client, vendor: str) -> None:
    reply = ask(http, vendor, "no-finish")
    assert b"lorem" in reply.content
    assert TERMINAL[vendor] not in reply.content


def test_no_done_leaves_out_only_the_terminal_event(http: httpx.Client) -> None:
    text = ask(http, "openai", "no-done").text
    assert '"finish_reason":"stop"' in text
    assert "[DONE]" not in text
    assert "message_delta" in ask(http, "anthropic", "no-done").text
    assert "message_stop" not in ask(http, "anthropic", "no-done").text


@every_vendor
def test_an_error_in_the_stream_is_the_last_thing_said(http: httpx.Client, vendor: str) -> None:
    mark = {"bedrock": b"Exception", "mistral": b'"object":"error"'}.get(vendor, b'"error"')
    last = [line for line in ask(http, vendor, "error-in-stream").content.split(b"\n") if line.strip()][-1]
    assert mark in last
    first = ask(http, vendor, "error-at-start").content
    assert mark in first
    assert b"lorem" not in first


@every_vendor
def test_other_bodies(http: httpx.Client, vendor: str) -> None:
    assert ask(http, vendor, "empty").content == b""
    assert ask(http, vendor, "html").headers["content-type"].startswith("text/html")
    assert ask(http, vendor, "error-502-html").status_code == 502
    assert ask(http, vendor, "redirect").status_code == 307
    with pytest.raises(ValueError):
        ask(http, vendor, "bad-json", stream=False).json()


@every_vendor
@pytest.mark.parametrize("stream", [True, False])
def test_stall_and_hang_send_no_more(http: httpx.Client, vendor: str, stream: bool) -> None:
    for model in ("stall", "hang"):
        path, body, headers = paths(model, stream)[vendor]
        with pytest.raises(httpx.ReadTimeout):
            http.post(path, json=body, headers=headers, timeout=httpx.Timeout(5, read=0.1))


def test_flaky_models_recover(http: httpx.Client) -> None:
    assert [ask(http, "openai", "flaky-2-x").status_code for _ in range(4)] == [503, 503, 200, 200]


def test_slow_first_token_sends_the_head_at_once(http: httpx.Client) -> None:
    path, body, _ = paths("slow-first-token-0.3", True)["openai"]
    began = time.monotonic()
    with http.stream("POST", path, json=body) as reply:
        head = time.monotonic() - began
        next(reply.iter_bytes())
        first = time.monotonic() - began
    assert first - head > 0.2


async def test_a_client_that_leaves_is_noticed() -> None:
    running = await start()
    path, body, _ = paths("stall", True)["openai"]
    async with aiohttp.ClientSession() as session:
        reply = await session.post(running.url + path, json=body)
        await reply.content.readany()
        assert running.traffic.open == 1
        reply.close()
        for _ in range(100):
            if running.traffic.client_gone:
                break
            await asyncio.sleep(0.01)
    assert (running.traffic.open, running.traffic.client_gone) == (0, 1)
    await running.stop()
