"""What Anthropic has no field for is written another way and named so, or dropped where that is not wanted; and calls that
stand for something else come back as that."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from edgegate.dialects.anthropic.custom import ANSWER
from edgegate.dialects.base import Ask, Progress
from edgegate.dialects.custom import TEXT
from edgegate.errors import GatewayError
from edgegate.taps import Outcome
from tests.unit.dialects.anthropic.shapes import CLIENT, FUNCTION, PROVIDER, ask, block, data_of, deltas, messages, run, start, stop, text

OLD = "claude-3-5-sonnet-20241022"
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}
FORMAT = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}
CUSTOM = {"type": "custom", "custom": {"name": "shell", "description": "Runs it"}}
PLACE = {"city": "Oslo", "country": "NO"}


def written(one: Ask) -> tuple[dict[str, Any], list[str], list[str]]:
    wire = PROVIDER.request(one)
    return json.loads(wire.body), wire.dropped, wire.mapped


def tools_for(**chat: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = written(ask(**chat))[0]["tools"]
    return found


NEAR: list[tuple[dict[str, Any], list[str], dict[str, Any]]] = [
    ({"temperature": 1.7}, ["temperature"], {"temperature": 1}),
    ({"service_tier": "priority"}, ["service_tier"], {"service_tier": "auto"}),
    ({"service_tier": "flex"}, ["service_tier"], {"service_tier": "standard_only"}),
    ({"reasoning_effort": "low"}, ["reasoning_effort"], {"thinking": {"type": "enabled", "budget_tokens": 2048}}),
    ({"web_search_options": {}}, ["web_search_options"], {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}),
    ({"tools": [{"type": "web_search_preview"}]}, ["tools.web_search"], {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}),
    ({"tools": [{"google_search": {}}]}, ["tools.web_search"], {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}),
    ({"tools": [{"url_context": {}}]}, ["tools.web_fetch"], {"tools": [{"type": "web_fetch_20250910", "name": "web_fetch"}]}),
    (
        {"tools": [{"type": "code_interpreter", "container": {"type": "auto"}}]},
        ["tools.code_execution"],
        {"tools": [{"type": "code_execution_20250825", "name": "code_execution"}]},
    ),
]


@pytest.mark.parametrize(("chat", "names", "expected"), NEAR)
def test_what_is_written_another_way_is_named(chat: dict[str, Any], names: list[str], expected: dict[str, Any]) -> None:
    body, dropped, mapped = written(ask(**chat))
    assert expected.items() <= body.items()
    assert (dropped, mapped) == ([], names)


@pytest.mark.parametrize(("chat", "names", "expected"), NEAR)
def test_or_left_out_where_that_is_not_wanted(chat: dict[str, Any], names: list[str], expected: dict[str, Any]) -> None:
    body, dropped, mapped = written(dataclasses.replace(ask(**chat), approximate=False))
    assert not expected.keys() & body.keys()
    assert (dropped, mapped) == (names, [])


@pytest.mark.parametrize(
    ("model", "thinking", "expected"),
    [
        ("claude-opus-4-8", {"type": "enabled"}, {"type": "adaptive"}),
        ("claude-sonnet-4-5", {"type": "enabled", "clear_thinking": False}, {"type": "enabled", "budget_tokens": 8192}),
        ("claude-opus-4-8", {"type": "disabled", "clear_thinking": False}, {"type": "disabled"}),
        ("claude-sonnet-4-5", {"type": "disabled", "clear_thinking": False}, None),
    ],
)
def test_another_vendor_s_switch_for_thinking_is_understood(model: str, thinking: dict[str, Any], expected: Any) -> None:
    body, dropped, mapped = written(ask(model, thinking=thinking))
    assert body.get("thinking") == expected
    assert dropped == []
    assert mapped[0] == "thinking"


def test_a_lone_system_message_is_asked_as_the_user_s() -> None:
    given = ask(messages=[{"role": "developer", "content": "Say hi"}])
    body, _, mapped = written(given)
    assert body["messages"] == [{"role": "user", "content": [{"type": "text", "text": "Say hi"}]}]
    assert "system" not in body
    assert mapped == ["messages"]
    with pytest.raises(GatewayError):
        written(dataclasses.replace(given, approximate=False))


def test_where_to_search_and_for_whom_is_carried_over() -> None:
    flat = {"type": "web_search", "user_location": {"type": "approximate", **PLACE}, "filters": {"allowed_domains": ["a.no"]}}
    deep = {"user_location": {"type": "approximate", "approximate": {**PLACE, "region": None}}, "search_context_size": "high"}
    expected = {"type": "web_search_20250305", "name": "web_search", "user_location": {"type": "approximate", **PLACE}}
    assert tools_for(tools=[flat]) == [{**expected, "allowed_domains": ["a.no"]}]
    body, dropped, _ = written(ask(web_search_options=deep))
    assert body["tools"] == [expected]
    assert dropped == ["web_search_options.search_context_size"]
    assert tools_for(tools=[{"google_search": {"exclude_domains": ["b.no"]}}])[0]["blocked_domains"] == ["b.no"]


def test_anthropic_s_own_tools_go_as_they_are_and_one_search_is_enough() -> None:
    own = {"type": "web_search_20250305", "name": "web_search", "max_uses": 3}
    assert tools_for(tools=[own, FUNCTION], web_search_options={})[0] == own
    assert len(tools_for(tools=[own, FUNCTION], web_search_options={})) == 2
    assert tools_for(tools=[{"type": "web_search"}, {"type": "web_search_preview"}]) == [
        {"type": "web_search_20250305", "name": "web_search"}
    ]


def other(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name}}


@pytest.mark.parametrize(
    ("choice", "expected", "left"),
    [
        ({"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [other("b")]}}, "auto", ["b"]),
        (
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "a"}, {"type": "function", "name": "b"}]},
            "any",
            ["a", "b"],
        ),
        ({"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [{"type": "web_search"}]}}, "any", ["web_search"]),
    ],
)
def test_a_choice_among_some_tools_sends_only_these(choice: dict[str, Any], expected: str, left: list[str]) -> None:
    body, dropped, mapped = written(ask(tools=[other("a"), other("b"), {"type": "web_search"}], tool_choice=choice))
    assert body["tool_choice"] == {"type": expected}
    assert [tool["name"] for tool in body["tools"]] == left
    assert "tool_choice" in mapped
    assert dropped == []


@pytest.mark.parametrize(
    ("choice", "name"),
    [({"type": "custom", "custom": {"name": "shell"}}, "shell"), ({"type": "web_search_preview"}, "web_search")],
)
def test_other_tools_can_be_chosen_by_name(choice: dict[str, Any], name: str) -> None:
    body, _, _ = written(ask(tools=[CUSTOM, {"type": "web_search"}], tool_choice=choice))
    assert body["tool_choice"] == {"type": "tool", "name": name}


# JSON schemas for models without structured output


def test_a_schema_becomes_a_call_that_must_be_made() -> None:
    body, dropped, mapped = written(ask(OLD, response_format=FORMAT))
    assert body["tools"][0]["name"] == ANSWER
    assert body["tools"][0]["input_schema"] == SCHEMA
    assert body["tool_choice"] == {"type": "tool", "name": ANSWER}
    assert (dropped, mapped) == ([], ["response_format"])
    body, dropped, mapped = written(dataclasses.replace(ask(OLD, response_format=FORMAT), approximate=False))
    assert not body.keys() & {"tools", "tool_choice", "system"}
    assert (dropped, mapped) == (["response_format"], [])


@pytest.mark.parametrize(
    "more",
    [{"tools": [FUNCTION]}, {"thinking": {"type": "enabled", "budget_tokens": 2000}}, {"response_format": {"type": "json_object"}},
     {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "array"}}}}],
)  # fmt: skip
def test_where_a_call_cannot_be_forced_json_is_asked_for(more: dict[str, Any]) -> None:
    body, dropped, mapped = written(ask(OLD, **{"response_format": FORMAT, **more}))
    assert "JSON" in body["system"]
    assert body.get("tool_choice") is None
    assert (dropped, mapped) == ([], ["response_format"])


def test_the_answer_in_the_call_comes_back_as_text() -> None:
    one = ask(OLD, response_format=FORMAT)
    call = {"type": "tool_use", "id": "a", "name": ANSWER, "input": {"a": 1}}
    message = {"content": [call], "stop_reason": "tool_use", "usage": {}}
    progress = Progress()
    choice = json.loads(PROVIDER.whole(one, json.dumps(message).encode(), progress))["choices"][0]
    assert choice["message"] == {"role": "assistant", "content": '{"a":1}'}
    assert choice["finish_reason"] == progress.finish_reason == "stop"


@pytest.mark.parametrize(("pieces", "expected"), [(['{"a"', ":1}"], '{"a":1}'), ([], "{}")])
def test_and_in_a_stream_too(pieces: list[str], expected: str) -> None:
    call = block(
        0, {"type": "tool_use", "id": "a", "name": ANSWER, "input": {}}, *[{"type": "input_json_delta", "partial_json": p} for p in pieces]
    )
    body = start() + call + stop("tool_use")
    progress = Progress()
    out = run(PROVIDER.stream(ask(OLD, response_format=FORMAT), progress), body)
    assert "".join(delta.get("content") or "" for delta in deltas(data_of(out))) == expected
    assert b"tool_calls" not in out
    assert progress.finish_reason == "stop"
    assert data_of(out)[-2]["choices"][0]["finish_reason"] == "stop"
    assert run(PROVIDER.stream(ask(OLD, response_format=FORMAT), Progress()), *[body[at : at + 1] for at in range(len(body))]) == out


def test_a_refusal_in_words_is_not_lost() -> None:
    progress = Progress()
    out = run(PROVIDER.stream(ask(OLD, response_format=FORMAT), progress), start() + text(0, "No.") + stop())
    assert "".join(delta.get("content") or "" for delta in deltas(data_of(out))) == "No."


# custom tools


def test_a_custom_tool_becomes_a_function_of_one_text() -> None:
    grammar = {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: /a+/"}}
    body, dropped, mapped = written(ask(tools=[CUSTOM, {"type": "custom", "custom": {"name": "g", "format": grammar}}]))
    assert body["tools"][0]["name"] == "shell"
    assert body["tools"][0]["description"] == "Runs it"
    assert body["tools"][0]["input_schema"]["required"] == [TEXT]
    assert "start: /a+/" in body["tools"][1]["description"]
    assert (dropped, mapped) == ([], ["tools.custom"])


def test_calls_of_custom_tools_go_there_and_back() -> None:
    call = {"id": "a", "type": "custom", "custom": {"name": "shell", "input": "ls -l"}}
    history = [
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "a", "content": "x"},
    ]
    one = ask(tools=[CUSTOM, FUNCTION], messages=history)
    used = written(one)[0]["messages"][1]["content"][0]
    assert used == {"type": "tool_use", "id": "a", "name": "shell", "input": {TEXT: "ls -l"}}
    plain = {"type": "tool_use", "id": "b", "name": "look", "input": {}}
    reply = {"content": [used, plain], "stop_reason": "tool_use", "usage": {}}
    answer = json.loads(PROVIDER.whole(one, json.dumps(reply).encode(), Progress()))["choices"][0]
    assert answer["message"]["tool_calls"] == [call, {"id": "b", "type": "function", "function": {"name": "look", "arguments": "{}"}}]
    assert answer["finish_reason"] == "tool_calls"
    pieces = [{"type": "input_json_delta", "partial_json": piece} for piece in ('{"in', 'put":"ls', ' -l"}')]
    body = start() + block(0, {**used, "input": {}}, *pieces) + block(1, plain) + stop("tool_use")
    out = deltas(data_of(run(PROVIDER.stream(one, Progress()), body)))
    calls = [item for delta in out for item in delta.get("tool_calls", [])]
    assert calls[0] == {"index": 0, **call}
    assert calls[1]["id"] == "b"
    assert calls[1]["index"] == calls[2]["index"] == 1


def test_a_stream_cut_inside_an_answer_is_never_whole() -> None:
    call = block(0, {"type": "tool_use", "id": "a", "name": ANSWER, "input": {}}, {"type": "input_json_delta", "partial_json": "{}"})
    body = start() + call + stop("tool_use")
    for at in range(len(start() + call)):
        progress = Progress()
        tap = PROVIDER.stream(ask(OLD, response_format=FORMAT), progress)
        out = tap.feed(body[:at]) + tap.end(Outcome.UPSTREAM_BROKE)
        assert not progress.finished
        assert b"[DONE]" not in out


# content


def test_files_by_address_become_documents_and_pictures() -> None:
    files = [
        {"file_url": "https://x/a.pdf", "filename": "a.pdf"},
        {"file_data": "https://x/b"},
        {"file_url": "https://x/c.PNG?v=1"},
        {"file_id": "file_1"},
    ]
    wire = PROVIDER.request(ask(messages=[{"role": "user", "content": [{"type": "file", "file": file} for file in files]}]))
    assert json.loads(wire.body)["messages"][0]["content"] == [
        {"type": "document", "source": {"type": "url", "url": "https://x/a.pdf"}, "title": "a.pdf"},
        {"type": "document", "source": {"type": "url", "url": "https://x/b"}},
        {"type": "image", "source": {"type": "url", "url": "https://x/c.PNG?v=1"}},
        {"type": "document", "source": {"type": "file", "file_id": "file_1"}},
    ]
    assert (b"anthropic-beta", b"files-api-2025-04-14") in wire.headers


def test_the_beginning_of_an_answer_does_not_end_in_blanks() -> None:
    body, _, _ = written(ask(messages=[{"role": "user", "content": "q"}, {"role": "assistant", "content": "So: \n"}]))
    assert body["messages"][1]["content"] == [{"type": "text", "text": "So:"}]


@pytest.mark.parametrize(
    ("reason", "finish"),
    [("pause_turn", "stop"), ("model_context_window_exceeded", "length"), ("refusal", "content_filter"), ("new", "stop")],
)
def test_why_it_stopped_survives_the_chat(reason: str, finish: str) -> None:
    reply = {"content": [{"type": "text", "text": "x"}], "stop_reason": reason, "usage": {}, "container": {"id": "c"}}
    chat = PROVIDER.whole(ask(), json.dumps(reply).encode(), Progress())
    assert json.loads(chat)["choices"][0]["finish_reason"] == finish
    again = json.loads(CLIENT.whole(messages(), chat))
    assert again["stop_reason"] == ("end_turn" if reason == "new" else reason)
    assert again["container"] == {"id": "c"}
    chunks = run(PROVIDER.stream(ask(stream=True), Progress()), start() + text(0, "x") + stop(reason, container={"id": "c"}))
    ended = data_of(run(CLIENT.stream(messages(), "1"), chunks))[-2]
    assert ended["delta"]["stop_reason"] == again["stop_reason"]
    assert ended["delta"]["container"] == {"id": "c"}
