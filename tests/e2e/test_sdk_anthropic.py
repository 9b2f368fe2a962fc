"""The official anthropic SDK through the gateway, before every dialect of provider."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import pytest

from tests.e2e.gateway import Gateway
from tests.e2e.hearing import hear_anthropic
from tests.e2e.test_sdk_openai import MODELS, PIXEL

PNG: Any = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL.partition(",")[2]}}


def tool(name: str, **properties: Any) -> Any:
    return {"name": name, "description": name, "input_schema": {"type": "object", "properties": properties, "required": list(properties)}}


WEATHER = tool("get_weather", city={"type": "string"})
CLOCK = tool("get_time")
WEATHER_CALL = ("get_weather", {"city": "city"})


@pytest.fixture(params=MODELS)
def dialect(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def model(dialect: str) -> str:
    return MODELS[dialect]


@pytest.fixture(params=[False, True], ids=["plain", "stream"])
def stream(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def user(content: Any) -> Any:
    return [{"role": "user", "content": content}]


def test_text(claude: anthropic.Anthropic, model: str, stream: bool) -> None:
    heard = hear_anthropic(claude, stream, model=model, max_tokens=500, messages=user("Grüße, 世界 👋"))
    assert heard.text.startswith("[simulated]")
    assert heard.text.endswith("You said: Grüße, 世界 👋")
    assert heard.finish == ["end_turn"]


def test_a_stream_comes_in_pieces_and_says_what_the_plain_reply_says(claude: anthropic.Anthropic, model: str) -> None:
    request: dict[str, Any] = {"model": model, "max_tokens": 500, "messages": user("repeat 40")}
    plain, streamed = (hear_anthropic(claude, stream, **request) for stream in (False, True))
    assert streamed.said == plain.said
    assert streamed.usage == plain.usage == (5, 40)
    assert streamed.pieces >= 10


def test_system_turns_and_parameters_arrive(claude: anthropic.Anthropic, model: str) -> None:
    turns = [*user("One"), {"role": "assistant", "content": "Two"}, *user("report")]
    system: Any = [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]
    heard = hear_anthropic(claude, False, model=model, max_tokens=300, messages=turns, system=system, extra_body={"temperature": 0.5})
    seen = json.loads(heard.text)
    assert seen["system"] == "Be brief."
    assert [text for text in seen["texts"] if text != "Be brief."] == ["One", "Two", "report"]
    assert (seen["max_tokens"], seen["temperature"]) == (300, 0.5)


def test_a_limit_and_a_stop_sequence(claude: anthropic.Anthropic, model: str, dialect: str, stream: bool) -> None:
    heard = hear_anthropic(claude, stream, model=model, max_tokens=6, messages=user("repeat 30"))
    assert (len(heard.text.split()), heard.finish) == (6, ["max_tokens"])
    heard = hear_anthropic(claude, stream, model=model, max_tokens=60, messages=user("repeat 30"), stop_sequences=["dolor"])
    assert heard.text.split() == ["lorem", "ipsum"]
    assert heard.finish == ["stop_sequence" if dialect == "anthropic" else "end_turn"]  # the others do not say what stopped them


def test_parallel_calls_and_their_results(claude: anthropic.Anthropic, model: str, stream: bool) -> None:
    messages = user("Use get_weather and get_time in parallel.")
    request: dict[str, Any] = {"model": model, "max_tokens": 500, "tools": [WEATHER, CLOCK]}
    heard = hear_anthropic(claude, stream, messages=messages, **request)
    assert heard.calls == [WEATHER_CALL, ("get_time", {})]
    assert heard.finish == ["tool_use"]
    assert len(set(heard.call_ids)) == 2
    calls = [
        {"type": "tool_use", "id": id, "name": name, "input": given} for id, (name, given) in zip(heard.call_ids, heard.calls, strict=True)
    ]
    results = [{"type": "tool_result", "tool_use_id": id, "content": f"result {at}"} for at, id in enumerate(heard.call_ids)]
    heard = hear_anthropic(claude, stream, messages=[*messages, {"role": "assistant", "content": calls}, *user(results)], **request)
    assert heard.finish == ["end_turn"]
    assert "result 1" in heard.text


@pytest.mark.parametrize("choice", ["any", "none", "tool"])
def test_tool_choice(claude: anthropic.Anthropic, dialect: str, model: str, choice: str) -> None:
    if dialect == "ollama" and choice != "none":
        pytest.skip("Ollama has no tool_choice")
    wanted: Any = {"type": choice, "name": "get_time"} if choice == "tool" else {"type": choice}
    prompt = "Use get_weather." if choice == "none" else "Hello"
    heard = hear_anthropic(claude, False, model=model, max_tokens=500, messages=user(prompt), tools=[WEATHER, CLOCK], tool_choice=wanted)
    assert heard.calls == {"any": [WEATHER_CALL], "none": [], "tool": [("get_time", {})]}[choice]
    assert heard.finish == ["end_turn" if choice == "none" else "tool_use"]


def test_images_arrive(claude: anthropic.Anthropic, model: str) -> None:
    heard = hear_anthropic(claude, False, model=model, max_tokens=500, messages=user([PNG, {"type": "text", "text": "report"}]))
    assert json.loads(heard.text)["images"] == 1


def test_thinking(claude: anthropic.Anthropic, dialect: str, model: str, stream: bool) -> None:
    thinking: Any = {"type": "enabled", "budget_tokens": 1024}
    heard = hear_anthropic(claude, stream, model=model, max_tokens=4000, messages=user("Hello"), thinking=thinking)
    assert heard.text.startswith("[simulated]")
    if dialect != "openai":  # which does not tell its reasoning
        assert heard.reasoning.startswith("The user said")


def test_signed_thinking_goes_back(claude: anthropic.Anthropic, stream: bool) -> None:
    request: dict[str, Any] = {"model": MODELS["anthropic"], "max_tokens": 4000, "thinking": {"type": "enabled", "budget_tokens": 1024}}
    heard = hear_anthropic(claude, stream, messages=user("Hello"), **request)
    back = {"role": "assistant", "content": [*heard.thinking_blocks, {"type": "text", "text": heard.text}]}
    assert hear_anthropic(claude, stream, messages=[*user("Hello"), back, *user("And?")], **request).text.endswith("You said: And?")


def test_what_is_no_surface_is_relayed_under_the_providers_name(gateway: Gateway) -> None:
    with anthropic.Anthropic(base_url=gateway.url + "/anthropic", api_key="unused", max_retries=0) as relayed:
        assert relayed.messages.count_tokens(model="claude-haiku-4-5", messages=user("two words")).input_tokens == 5


def test_models(claude: anthropic.Anthropic) -> None:
    assert "claude-haiku-4-5" in [model.id for model in claude.models.list()]


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (400, anthropic.BadRequestError, "invalid_request_error"),
        (401, anthropic.AuthenticationError, "authentication_error"),
        (403, anthropic.PermissionDeniedError, "permission_error"),
        (404, anthropic.NotFoundError, "not_found_error"),
        (429, anthropic.RateLimitError, "rate_limit_error"),
        (500, anthropic.InternalServerError, "api_error"),
    ],
)
def test_a_providers_error_is_the_sdks_exception(
    claude: anthropic.Anthropic, dialect: str, stream: bool, status: int, error: type[anthropic.APIStatusError], kind: str
) -> None:
    with pytest.raises(error) as caught:
        hear_anthropic(claude, stream, model=f"{dialect}/error-{status}", max_tokens=5, messages=user("Hello"))
    body: Any = caught.value.body
    assert (caught.value.status_code, body["type"], body["error"]["type"]) == (status, "error", kind)
    assert body["error"]["message"]


@pytest.mark.parametrize("fault", ["cut", "no-finish", "error-in-stream"])
def test_half_a_stream_is_an_error_and_never_a_finished_answer(claude: anthropic.Anthropic, dialect: str, fault: str) -> None:
    names: list[str] = []
    with (
        pytest.raises(anthropic.APIError),
        claude.messages.stream(model=f"{dialect}/{fault}", max_tokens=500, messages=user("repeat 40")) as events,
    ):
        names += [event.type for event in events]
    assert "message_stop" not in names


def test_the_overloaded_error_of_a_stream_keeps_its_name(claude: anthropic.Anthropic) -> None:
    with (
        pytest.raises(anthropic.APIStatusError) as caught,
        claude.messages.stream(model="anthropic/error-in-stream", max_tokens=500, messages=user("repeat 40")) as events,
    ):
        list(events)
    assert "overloaded_error" in json.dumps(caught.value.body)


def test_what_edgegate_itself_refuses(claude: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError) as unknown:
        hear_anthropic(claude, False, model="no-such-model", max_tokens=5, messages=user("Hello"))
    assert unknown.value.body["error"]["type"] == "not_found_error"  # type: ignore[index]
    with pytest.raises(anthropic.BadRequestError, match="max_tokens"):
        claude.post("/v1/messages", body={"model": MODELS["gemini"], "messages": user("Hello")}, cast_to=dict)


async def test_the_asynchronous_sdk(gateway: Gateway, model: str) -> None:
    async with anthropic.AsyncAnthropic(base_url=gateway.url, api_key="unused", max_retries=0) as client:
        plain = await client.messages.create(model=model, max_tokens=500, messages=user("Hello"))
        async with client.messages.stream(model=model, max_tokens=500, messages=user("Hello")) as stream:
            text = "".join([piece async for piece in stream.text_stream])
    assert plain.content[0].type == "text"
    assert text == plain.content[0].text
