"""Recorded replies of the Responses API: watched unchanged, translated to a chat, and back from the chat to a response."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion
from openai.types.responses import Response

from edgegate.dialects.base import Ask, Progress
from edgegate.dialects.openai.provider import OpenAIProvider
from edgegate.dialects.responses.client import ResponsesClient
from edgegate.dialects.responses.provider import FORMAT, ResponsesProvider
from edgegate.errors import GatewayError
from edgegate.taps import Outcome
from tests.corpus import Recording, corpus, recordings
from tests.wire.openai_sdk import read_stream, run
from tests.wire.responses_reader import raw_stream

FOLDERS = ("openai/responses", "azure/responses", "bedrock-mantle/responses", "deepseek/responses")
PROVIDER = ResponsesProvider()
CLIENT = ResponsesClient()
ASK = Ask({"model": "asked", "messages": []}, "asked", True, "chatcmpl-1", 1_700_000_000, True)
DONE = b"data: [DONE]\n\n"


def is_stream(recording: Recording) -> bool:
    return recording.status == 200 and recording.body.lstrip().startswith((b"event:", b"data:"))


def is_answer(recording: Recording) -> bool:
    reply = recording.raw["response"]
    if recording.status != 200 or is_stream(recording):
        return False
    value = json.loads(recording.body)
    return value.get("object") == "response" and value.get("status") in ("completed", "complete", "incomplete") and "json" in reply


def is_put_off(recording: Recording) -> bool:
    return not is_stream(recording) and recording.status == 200 and json.loads(recording.body).get("status") in ("queued", "in_progress")


streams = corpus(*FOLDERS, where=is_stream)
plain = corpus(*FOLDERS, where=is_answer)
put_off = corpus(*FOLDERS, where=is_put_off)
errors = corpus(*FOLDERS, where=lambda r: r.status >= 400)


@cache
def recorded_streams() -> list[Recording]:
    return recordings(*FOLDERS, where=is_stream)


def said(response: Response) -> dict[str, Any]:
    """What a response says, as the SDK's types have it."""
    out: dict[str, Any] = {"text": "", "refusal": "", "calls": [], "thoughts": [], "encrypted": [], "others": [], "notes": 0}
    for item in response.output:
        raw = item.to_dict()
        if item.type == "message":
            for part in raw["content"]:  # type: ignore[attr-defined]
                out["text"] += part.get("text", "")
                out["refusal"] += part.get("refusal", "")
                out["notes"] += len(part.get("annotations") or [])
        elif item.type == "reasoning":
            out["thoughts"] += [part["text"] for name in ("summary", "content") for part in raw.get(name) or []]  # type: ignore[attr-defined]
            out["encrypted"] += [raw["encrypted_content"]] if raw.get("encrypted_content") else []
        elif item.type in ("function_call", "custom_tool_call"):
            out["calls"].append((raw["call_id"], raw["name"], raw.get("arguments", raw.get("input")), raw["id"]))
        else:
            raw.pop("fingerprint", None)  # of a program: another one in each event
            out["others"].append(raw)
    reason = response.incomplete_details.reason if response.incomplete_details else None
    out["finish"] = {"max_output_tokens": "length", "content_filter": "content_filter"}.get(reason or "")
    out["finish"] = out["finish"] or ("tool_calls" if out["calls"] else "stop")
    usage = response.usage
    assert usage is not None
    details = (usage.input_tokens_details.cached_tokens, usage.output_tokens_details.reasoning_tokens)
    out["usage"] = (usage.input_tokens, usage.output_tokens, *details)
    return out


def in_chat(message: dict[str, Any], finish: str, usage: tuple[int, ...]) -> dict[str, Any]:
    """The same of a chat message."""
    calls = []
    for call in message.get("tool_calls") or []:
        body = call[call["type"]]
        calls.append((call["id"], body["name"], body.get("arguments", body.get("input")), call["extra_content"]["openai"]["id"]))
    details = message.get("reasoning_details") or []
    thoughts = [detail.get("summary") or detail.get("text") for detail in details if detail["type"] != "reasoning.encrypted"]
    return {
        "text": message.get("content") or "",
        "refusal": message.get("refusal") or "",
        "calls": calls,
        "thoughts": thoughts,
        "encrypted": [detail["data"] for detail in details if detail["type"] == "reasoning.encrypted" and detail["data"]],
        "others": [
            {name: value for name, value in item.items() if name not in ("index", "fingerprint")}
            for item in message.get("provider_items") or []
        ],
        "notes": len(message.get("annotations") or []),
        "finish": finish,
        "usage": usage,
    }


def gathered(chunks: bytes) -> tuple[dict[str, Any], str]:
    """The message that a chat stream's deltas make."""
    message: dict[str, Any] = {}
    finish = ""
    for event in chunks.removesuffix(DONE).split(b"\n\n"):
        for choice in json.loads(event[6:])["choices"] if event else []:
            delta = choice["delta"]
            for name in ("content", "refusal", "reasoning_content"):
                message[name] = message.get(name, "") + (delta.get(name) or "")
            for name in ("reasoning_details", "provider_items", "annotations"):
                message[name] = message.get(name, []) + delta.get(name, [])
            for call in delta.get("tool_calls") or []:
                known = message.setdefault("tool_calls", [])
                if call["index"] == len(known):
                    known.append(call)
                else:
                    known[call["index"]]["function"]["arguments"] += call["function"]["arguments"]
            finish = choice["finish_reason"] or finish
    return message, finish


def counted(progress: Progress) -> tuple[int, ...]:
    usage = progress.usage
    assert usage.reported
    return usage.input_tokens, usage.output_tokens, usage.cached_tokens, usage.reasoning_tokens


def final_of(body: bytes) -> Response:
    final: Response = raw_stream(body)[-1].response
    return final


@plain
def test_a_plain_reply_says_the_same_in_a_chat(recording: Recording) -> None:
    original = Response.construct(**json.loads(recording.body))
    progress = Progress()
    body = PROVIDER.whole(ASK, recording.body, progress)
    completion = json.loads(body)
    (choice,) = completion["choices"]
    if all(note["type"] == "url_citation" for note in choice["message"].get("annotations", [])):  # those of files are not OpenAI's
        ChatCompletion.model_validate(completion)
    assert in_chat(choice["message"], choice["finish_reason"], counted(progress)) == said(original)
    assert completion["usage"]["prompt_tokens"] == counted(progress)[0]
    assert (completion["id"], completion["model"]) == (original.id, original.model)
    assert choice["message"].get("reasoning_content", "") == "\n\n".join(said(original)["thoughts"])
    for side in (PROVIDER, OpenAIProvider()):
        glanced = Progress()
        side.glance(FORMAT, recording.body, glanced)
        assert glanced == progress


@plain
def test_a_plain_reply_comes_back_from_the_chat(recording: Recording) -> None:
    completion = PROVIDER.whole(ASK, recording.body, Progress())
    again = json.loads(CLIENT.whole(recording.request, completion))
    original = json.loads(recording.body)
    assert again["id"].removeprefix("resp_") == original["id"].removeprefix("resp_")
    assert normal_output(again["output"]) == normal_output(original["output"])
    assert again["usage"]["input_tokens"] == original["usage"]["input_tokens"]
    assert again["status"] == {"complete": "completed"}.get(original["status"], original["status"])


def normal_output(output: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Items without what means the same when it is there and when it is not."""
    normal = []
    for item in output:
        item = {name: value for name, value in item.items() if value is not None and name != "status"}
        if item["type"] == "message":
            item["content"] = [
                {name: part[name] for name in ("type", "text", "refusal", "annotations") if name in part} for part in item["content"]
            ]
            if not any(part.get("text") or part.get("refusal") for part in item["content"]):
                continue
        if item["type"] == "reasoning" and not item.get("content"):
            item.pop("content", None)
        normal.append(item)
    return normal


@put_off
def test_a_reply_in_the_background_is_an_answer_to_native_clients_only(recording: Recording) -> None:
    progress = Progress()
    PROVIDER.glance(FORMAT, recording.body, progress)
    assert progress.finished
    with pytest.raises(GatewayError, match="background"):
        PROVIDER.whole(ASK, recording.body, Progress())


@errors
def test_a_recorded_error_keeps_its_words_and_its_bytes(recording: Recording) -> None:
    error = PROVIDER.error(recording.status, recording.headers, recording.body)
    assert error.status == recording.status
    assert error.message == json.loads(recording.body)["error"]["message"]
    assert CLIENT.error(error, "req_1") == recording.body


@streams
def test_a_stream_says_the_same_in_a_chat(recording: Recording) -> None:
    progress = Progress()
    chunks = run(PROVIDER.stream(ASK, progress), [recording.body])
    assert progress.error is None
    assert chunks.endswith(DONE)
    original = said(final_of(recording.body))
    message, finish = gathered(chunks)
    assert in_chat(message, finish, counted(progress)) == original
    answer = read_stream(chunks)
    assert answer.text.get(0, "") == original["text"]
    assert [tuple(call) for call in answer.calls.get(0, [])] == [call[:3] for call in original["calls"]]
    assert answer.usage == original["usage"]
    assert (progress.started, progress.finished, progress.finish_reason) == (True, True, original["finish"])


@streams
def test_a_stream_comes_back_from_the_chat(recording: Recording) -> None:
    chunks = run(PROVIDER.stream(ASK, Progress()), [recording.body])
    again = run(CLIENT.stream(recording.request, "chatcmpl-1"), [chunks])
    assert {**said(final_of(again)), "usage": None} == {**said(final_of(recording.body)), "usage": None}


@streams
def test_a_stream_is_read_the_same_however_it_is_cut(recording: Recording) -> None:
    body = recording.body
    once, watched_once = Progress(), Progress()
    chunks = run(PROVIDER.stream(ASK, once), [body])
    assert run(PROVIDER.watch(FORMAT, ASK, watched_once), [body]) == body
    assert watched_once == once, "reading along finds what translating finds"
    bytewise = [body[at : at + 1] for at in range(len(body))]
    for pieces in (bytewise, *([body[:at], body[at:]] for at in range(1, len(body), 1009))):
        progress, watched = Progress(), Progress()
        assert run(PROVIDER.stream(ASK, progress), pieces) == chunks
        assert run(OpenAIProvider().watch(FORMAT, ASK, watched), pieces) == body
        assert progress == watched == once


@streams
def test_watched_events_go_on_with_the_read_that_completes_them(recording: Recording) -> None:
    body, sent = recording.body, b""
    tap = PROVIDER.watch(FORMAT, ASK, Progress())
    for at in range(0, len(body), 41):
        sent += tap.feed(body[at : at + 41])
        so_far = body[: at + 41]
        assert sent == so_far[: so_far.rfind(b"\n\n") + 2 if b"\n\n" in so_far else 0]


@streams
def test_a_stream_cut_before_its_end_is_never_whole(recording: Recording) -> None:
    body = recording.body
    end = max(body.rfind(b"event: response.completed"), body.rfind(b"event: response.incomplete"))
    for at in {end, end // 2, end + 60, 40}:
        for outcome in (Outcome.OK, Outcome.UPSTREAM_BROKE, Outcome.TIMEOUT):
            watched, translated = Progress(), Progress()
            native = run(PROVIDER.watch(FORMAT, ASK, watched), [body[:at]], outcome)
            chunks = run(PROVIDER.stream(ASK, translated), [body[:at]], outcome)
            assert not watched.finished
            assert not translated.finished
            assert native == b"" or native.endswith(b"\n\n")
            assert b"[DONE]" not in chunks
            assert b'"finish_reason":"' not in chunks


@streams
def test_an_error_in_a_stream_is_kept_back_with_all_that_follows(recording: Recording) -> None:
    body = recording.body
    at = body.rfind(b"event: response.")
    error = b'event: error\ndata: {"type":"error","code":"rate_limit_exceeded","message":"slow down","param":null,"sequence_number":9}\n\n'
    watched, translated = Progress(), Progress()
    assert run(PROVIDER.watch(FORMAT, ASK, watched), [body[:at] + error + body[at:]]) == body[:at]
    assert b"[DONE]" not in run(PROVIDER.stream(ASK, translated), [body[:at] + error + body[at:]])
    for progress in (watched, translated):
        assert progress.error is not None
        assert (progress.error.status, progress.error.code, progress.error.message) == (429, "rate_limit_exceeded", "slow down")
        assert not progress.finished


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data())
def test_random_cuts_and_line_ends_change_nothing(data: st.DataObject) -> None:
    found = recorded_streams()
    if not found:
        pytest.skip("no recordings")
    body = data.draw(st.sampled_from(found)).body.replace(b"\n", data.draw(st.sampled_from([b"\n", b"\r\n", b"\r"])))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=12)))
    pieces = [body[start:end] for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    once, watched, translated = Progress(), Progress(), Progress()
    chunks = run(PROVIDER.stream(ASK, once), [body])
    assert once.finished
    assert run(PROVIDER.watch(FORMAT, ASK, watched), pieces) == body
    assert run(PROVIDER.stream(ASK, translated), pieces) == chunks
    assert watched == translated == once
