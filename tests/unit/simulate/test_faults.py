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


def paths(model: str, stream: bool) -> dict[str, tuple[str, dict[str, Any], dict[str, str]]]:
    message = [{"role": "user", "content": "repeat 8"}]
    verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
    return {
        "openai": ("/v1/chat/completions", {"model": model, "messages": message, "stream": stream}, {}),
        "anthropic": (
            "/v1/messages",
            {"model": model, "max_tokens": 99, "messages": message, "stream": stream},
            {"anthropic-version": "2023-06-01"},
        ),
        "gemini": (f"/v1beta/models/{model}:{verb}", {"contents": [{"parts": [{"text": "repeat 8"}]}]}, {}),
        "ollama": ("/api/chat", {"model": model, "messages": message, "stream": stream}, {}),
    }


def ask(http: httpx.Client, vendor: str, model: str, stream: bool = True) -> httpx.Response:
    path, body, headers = paths(model, stream)[vendor]
    return http.post(path, json=body, headers=headers, timeout=5)


TERMINAL = {"openai": b"[DONE]", "anthropic": b"message_stop", "gemini": b"finishReason", "ollama": b'"done":true'}
every_vendor = pytest.mark.parametrize("vendor", ["openai", "anthropic", "gemini", "ollama"])


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
@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503])
def test_errors_have_the_vendors_shape(http: httpx.Client, vendor: str, status: int) -> None:
    reply = ask(http, vendor, f"error-{status}")
    assert reply.status_code == status
    error = reply.json()["error"]
    assert error if vendor == "ollama" else error["message"]
    assert "{model}" not in reply.text


@every_vendor
def test_retry_after(http: httpx.Client, vendor: str) -> None:
    reply = ask(http, vendor, "error-503-retry-after-2")
    assert '"retryDelay":"2s"' in reply.text if vendor == "gemini" else reply.headers["retry-after"] == "2"


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
    last = [line for line in ask(http, vendor, "error-in-stream").text.split("\n") if line.strip()][-1]
    assert '"error"' in last
    first = ask(http, vendor, "error-at-start").text
    assert '"error"' in first
    assert "lorem" not in first


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


@every_vendor
def test_a_bad_body_gets_the_vendors_error(http: httpx.Client, vendor: str) -> None:
    path, _, headers = paths("m", True)[vendor]
    for content in (
        b"{",
        b"[]",
        b'{"messages": 7, "contents": 7, "model": "m", "max_tokens": 1}',
        b'{"messages": ["x"], "contents": ["x"], "model": "m", "max_tokens": 1}',
    ):
        reply = http.post(path, content=content, headers=headers)
        assert reply.status_code == 400
        assert "error" in reply.json()


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
