"""Chats as Cohere's requests, where recordings are thin: what is mapped, dropped by name, or refused."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from edgegate.dialects.base import Ask, WireRequest
from edgegate.dialects.cohere.client import CohereChatClient
from edgegate.dialects.cohere.provider import CohereProvider
from edgegate.errors import GatewayError
from tests.unit.dialects.cohere.sdk import assert_cohere_takes

SIDE = CohereProvider()
MODEL = "command-a-reasoning-08-2025"
PIXEL = "data:image/png;base64,iVBORw0KGgo="
HELLO: list[dict[str, Any]] = [{"role": "user", "content": "hi"}]
CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Oslo"}'}}
STRICT_PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def tool(name: str, **more: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": STRICT_PARAMETERS, **more}}


def sent(messages: list[dict[str, Any]] | None = None, model: str = MODEL, approximate: bool = True, **fields: Any) -> WireRequest:
    chat = {"model": "asked", "messages": messages or HELLO, **fields}
    return SIDE.request(Ask(chat, model, bool(fields.get("stream")), "chatcmpl-1", 1, approximate=approximate))


def body_of(request: WireRequest) -> dict[str, Any]:
    body: dict[str, Any] = orjson.loads(request.body)
    assert_cohere_takes(body)
    return body


def test_words_are_coheres() -> None:
    request = sent(top_p=0.5, top_k=7, stop="x", max_completion_tokens=9, seed=3, temperature=0.1, logprobs=True, stream=True)
    body = body_of(request)
    assert (request.dropped, request.mapped) == ([], [])
    assert {name: body[name] for name in body if name not in ("messages", "model", "stream")} == {
        "p": 0.5, "k": 7, "stop_sequences": ["x"], "max_tokens": 9, "seed": 3, "temperature": 0.1, "logprobs": True,
    }  # fmt: skip
    assert (body["model"], body["stream"]) == (MODEL, True)


@pytest.mark.parametrize(
    ("fields", "theirs", "value"),
    [
        ({"temperature": 1.7}, "temperature", 1),
        ({"top_p": 1}, "p", 0.99),
        ({"top_k": -1}, "k", 0),
        ({"presence_penalty": -2}, "presence_penalty", 0),
        ({"frequency_penalty": 2}, "frequency_penalty", 1),
    ],
)
def test_a_number_out_of_coheres_range_is_moved_into_it_or_dropped(fields: dict[str, Any], theirs: str, value: float) -> None:
    (name,) = fields
    near = sent(**fields)
    assert (body_of(near)[theirs], near.mapped, near.dropped) == (value, [name], [])
    exact = sent(approximate=False, **fields)
    assert theirs not in body_of(exact)
    assert (exact.mapped, exact.dropped) == ([], [name])


@pytest.mark.parametrize(("choice", "theirs"), [("none", "NONE"), ("required", "REQUIRED"), ("any", "REQUIRED"), ("auto", None)])
def test_tool_choice(choice: str, theirs: str | None) -> None:
    request = sent(tools=[tool("weather")], tool_choice=choice)
    assert body_of(request).get("tool_choice") == theirs
    assert request.mapped == []


def test_a_tool_by_name_is_the_only_one_on_offer() -> None:
    named = {"type": "function", "function": {"name": "time"}}
    request = sent(tools=[tool("weather"), tool("time")], tool_choice=named)
    body = body_of(request)
    assert (body["tool_choice"], [one["function"]["name"] for one in body["tools"]]) == ("REQUIRED", ["time"])
    assert request.mapped == ["tool_choice"]
    exact = sent(tools=[tool("weather"), tool("time")], tool_choice=named, approximate=False)
    assert (len(body_of(exact)["tools"]), exact.dropped) == (2, ["tool_choice"])


def test_allowed_tools_are_those_on_offer() -> None:
    allowed = {"mode": "auto", "tools": [{"type": "function", "function": {"name": "time"}}]}
    body = body_of(sent(tools=[tool("weather"), tool("time")], tool_choice={"type": "allowed_tools", "allowed_tools": allowed}))
    assert [one["function"]["name"] for one in body["tools"]] == ["time"]
    assert "tool_choice" not in body


def test_strict_is_one_switch_for_all_tools() -> None:
    assert body_of(sent(tools=[tool("a", strict=True), tool("b", strict=True)]))["strict_tools"] is True
    for tools in ([tool("a", strict=True), tool("b")], [tool("a", strict=True, parameters={"type": "object", "properties": {}})]):
        request = sent(tools=tools)
        assert "strict_tools" not in body_of(request)
        assert request.dropped == ["tools.strict"]


def test_tools_that_another_vendor_runs_are_named() -> None:
    request = sent(tools=[{"type": "web_search_20250305", "name": "web_search"}, {"googleSearch": {}}], tool_choice="required")
    body = body_of(request)
    assert "tools" not in body
    assert request.dropped == ["tools.web_search", "tools.web_search", "tool_choice"]


@pytest.mark.parametrize(
    ("format", "theirs"),
    [
        ({"type": "text"}, {"type": "text"}),
        ({"type": "json_object"}, {"type": "json_object"}),
        (
            {"type": "json_schema", "json_schema": {"name": "a", "schema": STRICT_PARAMETERS}},
            {"type": "json_object", "json_schema": STRICT_PARAMETERS},
        ),
    ],
)
def test_response_format(format: dict[str, Any], theirs: dict[str, Any]) -> None:
    assert body_of(sent(response_format=format))["response_format"] == theirs


def test_a_schema_beside_tools_is_asked_for_in_words() -> None:
    format = {"type": "json_schema", "json_schema": {"name": "a", "schema": STRICT_PARAMETERS}}
    request = sent(response_format=format, tools=[tool("weather")])
    body = body_of(request)
    assert "response_format" not in body
    assert orjson.dumps(STRICT_PARAMETERS).decode() in body["messages"][0]["content"]
    assert request.mapped == ["response_format"]
    assert sent(response_format=format, tools=[tool("weather")], approximate=False).dropped == ["response_format"]


@pytest.mark.parametrize(
    ("fields", "thinking", "mapped"),
    [
        ({"reasoning_effort": "none"}, {"type": "disabled"}, []),
        ({"reasoning_effort": "low"}, {"type": "enabled", "token_budget": 2048}, ["reasoning_effort"]),
        ({"reasoning_effort": "low", "max_tokens": 100}, {"type": "enabled", "token_budget": 80}, ["reasoning_effort"]),
        ({"reasoning_effort": "high"}, {"type": "enabled"}, []),
        ({"reasoning_effort": "low", "token_budget": 500}, {"type": "enabled", "token_budget": 500}, []),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 3000}, "reasoning_effort": "medium"},
            {"type": "enabled", "token_budget": 3000},
            [],
        ),
        ({"thinking": {"type": "adaptive"}}, {"type": "enabled"}, []),
        ({"thinking": {"type": "disabled"}}, {"type": "disabled"}, []),
    ],
)
def test_effort_is_a_budget(fields: dict[str, Any], thinking: dict[str, Any], mapped: list[str]) -> None:
    request = sent(**fields)
    assert body_of(request)["thinking"] == thinking
    assert (request.mapped, request.dropped) == (mapped, [])


def test_a_model_that_does_not_think_is_not_asked_to() -> None:
    turn = {"role": "assistant", "content": "hello", "reasoning_content": "greet"}
    request = sent([*HELLO, turn, *HELLO], model="command-r-08-2024", reasoning_effort="high")
    body = body_of(request)
    assert "thinking" not in body
    assert body["messages"][1] == {"role": "assistant", "content": "hello"}
    assert request.dropped == ["messages[].reasoning_content", "reasoning_effort"]


@pytest.mark.parametrize(
    ("field", "value"),
    [("n", 2), ("functions", [{"name": "f"}]), ("response_format", {"type": "xml"}), ("stop", [1]), ("top_p", "x"), ("tools", "x")],
)
def test_what_cannot_be_sent_is_a_400_that_names_it(field: str, value: Any) -> None:
    with pytest.raises(GatewayError) as caught:
        sent(**{field: value})
    assert caught.value.status == 400
    assert (caught.value.param or "").startswith(field)


@pytest.mark.parametrize("kind", ["input_audio", "file", "video_url"])
def test_sound_files_and_videos_are_refused_by_name(kind: str) -> None:
    with pytest.raises(GatewayError) as caught:
        sent([{"role": "user", "content": [{"type": "text", "text": "?"}, {"type": kind, kind: {"url": "x"}}]}])
    assert (caught.value.status, caught.value.param) == (400, "messages[0].content[1]")


def test_what_changes_no_answer_is_dropped_by_name() -> None:
    fields: dict[str, Any] = {
        "user": "u",
        "logit_bias": {"1": 2},
        "parallel_tool_calls": False,
        "service_tier": "flex",
        "prediction": {"content": "a"},
    }
    request = sent(**fields, store=True, metadata={"a": "b"}, top_logprobs=3)
    assert set(request.dropped) == {*fields, "store", "metadata", "top_logprobs"}
    body_of(request)


def test_defaults_written_out_are_no_loss() -> None:
    assert sent(store=False, logit_bias={}, parallel_tool_calls=True, n=1, modalities=["text"], user=None).dropped == []


def test_pictures_go_as_they_are() -> None:
    parts = [{"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}}, {"type": "image_url", "image_url": "https://e.org/a.png"}]
    content = body_of(sent([{"role": "user", "content": parts}]))["messages"][0]["content"]
    assert content == [parts[0], {"type": "image_url", "image_url": {"url": "https://e.org/a.png"}}]


def test_text_before_calls_is_their_plan() -> None:
    turns = [
        *HELLO,
        {"role": "assistant", "content": "Looking.", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "call_1", "content": "rain"},
    ]
    assert body_of(sent(turns))["messages"][1:] == [
        {"role": "assistant", "tool_plan": "Looking.", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "call_1", "content": "rain"},
    ]


def test_a_picture_in_a_tools_result_follows_the_results() -> None:
    picture = {"type": "image_url", "image_url": {"url": PIXEL}}
    turns = [
        *HELLO,
        {"role": "assistant", "content": None, "tool_calls": [CALL, {**CALL, "id": "call_2"}]},
        {"role": "tool", "tool_call_id": "call_1", "content": [picture]},
        {"role": "tool", "tool_call_id": "call_2", "content": [{"type": "text", "text": "rain"}], "is_error": True},
    ]
    request = sent(turns)
    messages = body_of(request)["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "tool", "user"]
    assert messages[-1]["content"] == [picture]
    assert (request.mapped, request.dropped) == (["messages[].content"], ["is_error"])


ASSISTANTS: dict[str, dict[str, Any]] = {
    "a plan": {"tool_plan": "I will look.", "tool_calls": [CALL]},
    "text and calls without a plan": {"content": [{"type": "text", "text": "Looking."}], "tool_calls": [CALL]},
    "a plan and text and calls": {"tool_plan": "I will look.", "content": [{"type": "text", "text": "Looking."}], "tool_calls": [CALL]},
    "thinking and a plan": {"content": [{"type": "thinking", "thinking": "Hm."}], "tool_plan": "I will look.", "tool_calls": [CALL]},
    "thinking and text": {"content": [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "Rain."}]},
    "text parts": {"content": [{"type": "text", "text": "Ra"}, {"type": "text", "text": "in."}]},
    "a string": {"content": "Rain."},
    "a plan that came to nothing": {"tool_plan": "I will look."},
    "citations": {
        "content": "Rain.",
        "citations": [
            {
                "start": 0,
                "end": 4,
                "text": "Rain",
                "sources": [{"type": "tool", "id": "call_1:0", "tool_output": {"a": 1}}],
                "type": "TEXT_CONTENT",
            }
        ],
    },
    "citations of the web": {
        "content": "Rain.",
        "citations": [
            {
                "start": 0,
                "end": 4,
                "text": "Rain",
                "sources": [{"type": "document", "id": "d", "document": {"url": "https://e.org", "title": "E"}}],
            }
        ],
    },
}


@pytest.mark.parametrize("turn", ASSISTANTS.values(), ids=ASSISTANTS.keys())
def test_an_assistants_turn_survives_the_chat(turn: dict[str, Any]) -> None:
    request = {"model": "m", "messages": [*HELLO, {"role": "assistant", **turn}, *HELLO]}
    CohereChatClient().check(request)
    chat = CohereChatClient().neutral(request)
    assert body_of(sent(chat["messages"]))["messages"][1] == {"role": "assistant", **turn}


OWN: dict[str, Any] = {
    "documents": ["plain", {"id": "d1", "data": {"text": "sky"}}],
    "citation_options": {"mode": "FAST"},
    "safety_mode": "STRICT",
    "priority": 3,
    "p": 0.3,
    "k": 5,
    "stop_sequences": ["a", "b"],
    "seed": 7,
    "max_tokens": 50,
    "temperature": 0.2,
    "frequency_penalty": 0.1,
    "presence_penalty": 0.2,
    "logprobs": True,
    "thinking": {"type": "enabled", "token_budget": 77},
    "response_format": {"type": "text"},
}


@pytest.mark.parametrize("more", [{}, {"thinking": {"type": "enabled"}}, {"thinking": {"type": "disabled"}}, {"stream": True}])
def test_every_field_of_coheres_survives_the_chat(more: dict[str, Any]) -> None:
    request = {"model": MODEL, "messages": HELLO, **OWN, **more}
    CohereChatClient().check(request)
    made = SIDE.request(Ask(CohereChatClient().neutral(request), MODEL, bool(more.get("stream")), "i", 1))
    assert (made.dropped, made.mapped) == ([], [])
    assert body_of(made) == {"stream": False, **request}


def test_turns_that_say_nothing_are_left_out() -> None:
    turns = [{"role": "system", "content": ""}, *HELLO, {"role": "assistant", "content": ""}, *HELLO]
    assert [message["role"] for message in body_of(sent(turns))["messages"]] == ["user", "user"]


def test_documents_of_others_become_coheres() -> None:
    assert body_of(sent(documents=["a", {"title": "T", "text": "t"}]))["documents"] == ["a", {"data": {"title": "T", "text": "t"}}]


def test_strict_tools_and_choice_survive_the_chat() -> None:
    request = {"model": MODEL, "messages": HELLO, "tools": [tool("weather")], "strict_tools": True, "tool_choice": "REQUIRED"}
    chat = CohereChatClient().neutral(request)
    assert chat["tools"][0]["function"]["strict"] is True
    assert body_of(SIDE.request(Ask(chat, MODEL, False, "i", 1))) == {"stream": False, **request}
