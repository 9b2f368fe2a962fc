"""The official openai SDK through the gateway, before every dialect of provider.

The simulator's `report` says what it understood of a request; so what arrived is compared, not only what came back.
"""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import openai
import pytest

from edgegate.simulate import Running
from tests.e2e.conftest import StartGateway, simulated_providers
from tests.e2e.gateway import Gateway
from tests.e2e.hearing import hear_openai

PIXEL = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
MODELS = {
    "openai": "openai/gpt-4o",
    "anthropic": "anthropic/claude-haiku-4-5",
    "gemini": "gemini/gemini-2.5-flash",
    "ollama": "ollama/llama3.2",
}


def function(name: str, **properties: Any) -> Any:
    return {
        "type": "function",
        "function": {
            "name": name,
            "description": f"{name} does what it says",
            "parameters": {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False},
        },
    }


WEATHER = function("get_weather", city={"type": "string"}, unit={"type": "string", "enum": ["celsius", "fahrenheit"]})
CLOCK = function("get_time")
WEATHER_CALL = ("get_weather", {"city": "city", "unit": "celsius"})


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


def report(gpt: openai.OpenAI, **request: Any) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(hear_openai(gpt, False, **request).text)
    return value


def test_text(gpt: openai.OpenAI, model: str, stream: bool) -> None:
    heard = hear_openai(gpt, stream, model=model, messages=user('Grüße, 世界 👋 — "quoted" \\ \u2028 end'))
    assert heard.text.startswith("[simulated]")
    assert heard.text.endswith('You said: Grüße, 世界 👋 — "quoted" \\ \u2028 end')
    assert heard.finish == ["stop"]
    assert heard.calls == []
    assert heard.id


def test_a_stream_comes_in_pieces_and_says_what_the_plain_reply_says(gpt: openai.OpenAI, model: str) -> None:
    plain, streamed = (hear_openai(gpt, stream, model=model, messages=user("repeat 40")) for stream in (False, True))
    assert streamed.said == plain.said
    assert streamed.usage == plain.usage
    assert streamed.pieces >= 10


def test_usage_counts_what_the_provider_counted(gpt: openai.OpenAI, model: str, stream: bool) -> None:
    heard = hear_openai(gpt, stream, model=model, messages=user("repeat 25"))
    assert heard.usage == (5, 25)  # two words and three for the message; the simulator's tokens are words


def test_a_stream_without_include_usage_has_no_usage_chunk(gpt: openai.OpenAI, model: str) -> None:
    chunks = list(gpt.chat.completions.create(model=model, messages=user("Hello"), stream=True))
    assert all(chunk.choices for chunk in chunks)
    assert all(chunk.usage is None for chunk in chunks)
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_include_usage_gives_one_last_chunk_without_choices(gpt: openai.OpenAI, model: str) -> None:
    chunks = list(gpt.chat.completions.create(model=model, messages=user("Hello"), stream=True, stream_options={"include_usage": True}))
    assert [bool(chunk.choices) for chunk in chunks] == [True] * (len(chunks) - 1) + [False]
    assert chunks[-1].usage is not None
    assert all(chunk.usage is None for chunk in chunks[:-1])


def test_the_system_message_and_the_turns_arrive(gpt: openai.OpenAI, model: str) -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "One"},
        {"role": "assistant", "content": "Two"},
        {"role": "user", "content": "report"},
    ]
    seen = report(gpt, model=model, messages=messages)
    assert seen["system"] == "Be brief."
    assert [text for text in seen["texts"] if text != "Be brief."] == ["One", "Two", "report"]
    assert [role.replace("model", "assistant") for role in seen["roles"] if role != "system"] == ["user", "assistant", "user"]


def test_content_in_parts_arrives(gpt: openai.OpenAI, model: str) -> None:
    parts = [{"type": "text", "text": "first "}, {"type": "text", "text": "second"}]
    assert hear_openai(gpt, False, model=model, messages=user(parts)).text.endswith("You said: first second")


def test_a_developer_message_is_a_system_message(gpt: openai.OpenAI, model: str) -> None:
    messages = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "report"}]
    assert report(gpt, model=model, messages=messages)["system"] == "Be brief."


def test_parameters_arrive(gpt: openai.OpenAI, model: str, dialect: str) -> None:
    seen = report(gpt, model=model, messages=user("report"), temperature=0.5, max_tokens=300, stop=["ZZZ", "YYY"])
    assert seen["max_tokens"] == 300
    assert seen["stop"] == ["ZZZ", "YYY"]
    assert seen["temperature"] == 0.5
    seen = report(gpt, model=model, messages=user("report"), top_p=0.25)  # alone: newer Claude models refuse both at once
    assert seen["topP" if dialect == "gemini" else "top_p"] == 0.25


def test_max_completion_tokens_is_max_tokens(gpt: openai.OpenAI, model: str, stream: bool) -> None:
    for name in ("max_tokens", "max_completion_tokens"):
        heard = hear_openai(gpt, stream, model=model, messages=user("repeat 30"), **{name: 7})
        assert heard.finish == ["length"]
        assert len(heard.text.split()) == 7


def test_a_stop_sequence_ends_the_text(gpt: openai.OpenAI, model: str, stream: bool) -> None:
    heard = hear_openai(gpt, stream, model=model, messages=user("repeat 30"), stop="dolor")
    assert (heard.text, heard.finish) == ("lorem ipsum ", ["stop"])


def test_a_tool_call(gpt: openai.OpenAI, model: str, stream: bool) -> None:
    heard = hear_openai(gpt, stream, model=model, messages=user("Use get_weather."), tools=[WEATHER, CLOCK])
    assert heard.calls == [WEATHER_CALL]
    assert heard.finish == ["tool_calls"]
    assert all(heard.call_ids)


def test_a_call_without_arguments_has_an_empty_object(gpt: openai.OpenAI, model: str, stream: bool) -> None:
    assert hear_openai(gpt, stream, model=model, messages=user("Use get_time."), tools=[CLOCK]).calls == [("get_time", {})]


def test_parallel_calls_have_ids_of_their_own(gpt: openai.OpenAI, model: str, stream: bool) -> None:
    heard = hear_openai(gpt, stream, model=model, messages=user("Use get_weather and get_time in parallel."), tools=[WEATHER, CLOCK])
    assert heard.calls == [WEATHER_CALL, ("get_time", {})]
    assert len(set(heard.call_ids)) == 2


def test_the_results_of_parallel_calls_go_back(gpt: openai.OpenAI, model: str, stream: bool) -> None:
    messages = user("Use get_weather and get_time in parallel.")
    reply = gpt.chat.completions.create(model=model, messages=messages, tools=[WEATHER, CLOCK]).choices[0].message
    assert reply.tool_calls is not None
    results = [{"role": "tool", "tool_call_id": call.id, "content": f"result {at}"} for at, call in enumerate(reply.tool_calls)]
    heard = hear_openai(
        gpt, stream, model=model, messages=[*messages, reply.model_dump(exclude_none=True), *results], tools=[WEATHER, CLOCK]
    )
    assert heard.finish == ["stop"]
    assert "result 0" in heard.text
    assert "result 1" in heard.text


@pytest.mark.parametrize("choice", ["required", "none", "named"])
def test_tool_choice(gpt: openai.OpenAI, dialect: str, model: str, choice: str) -> None:
    if dialect == "ollama" and choice != "none":
        pytest.skip("Ollama has no tool_choice: what edgegate drops there is a unit test's business")
    wanted: Any = {"type": "function", "function": {"name": "get_time"}} if choice == "named" else choice
    prompt = "Use get_weather." if choice == "none" else "Hello"
    heard = hear_openai(gpt, False, model=model, messages=user(prompt), tools=[WEATHER, CLOCK], tool_choice=wanted)
    assert heard.calls == {"required": [WEATHER_CALL], "none": [], "named": [("get_time", {})]}[choice]


def test_parallel_calls_can_be_switched_off_where_the_provider_knows_how(gpt: openai.OpenAI, dialect: str, model: str) -> None:
    if dialect in ("gemini", "ollama"):
        pytest.skip("no counterpart")
    prompt = "Use get_weather and get_time in parallel."
    heard = hear_openai(gpt, False, model=model, messages=user(prompt), tools=[WEATHER, CLOCK], parallel_tool_calls=False)
    assert heard.calls == [WEATHER_CALL]


def test_images_arrive(gpt: openai.OpenAI, model: str) -> None:
    parts = [
        {"type": "text", "text": "report"},
        {"type": "image_url", "image_url": {"url": PIXEL}},
        {"type": "image_url", "image_url": {"url": PIXEL}},
    ]
    assert report(gpt, model=model, messages=user(parts))["images"] == 2


def test_a_json_schema_shapes_the_answer(gpt: openai.OpenAI, model: str, stream: bool) -> None:
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "tags": {"type": "array", "items": {"type": "string"}, "minItems": 2}},
        "required": ["name", "tags"],
        "additionalProperties": False,
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "person", "schema": schema, "strict": True}}
    heard = hear_openai(gpt, stream, model=model, messages=user("Who?"), response_format=wanted)
    assert json.loads(heard.text) == {"name": "name", "tags": ["tags", "tags"]}


def test_reasoning_is_counted_and_where_it_is_text_it_is_heard(gpt: openai.OpenAI, dialect: str, model: str, stream: bool) -> None:
    heard = hear_openai(gpt, stream, model=model, messages=user("Hello"), reasoning_effort="medium", max_completion_tokens=9000)
    assert heard.text.startswith("[simulated]")
    if dialect != "openai":
        assert heard.reasoning.startswith("The user said")
    if dialect != "ollama" and dialect != "anthropic":  # neither tells how much of its output was thinking
        assert heard.reasoning_tokens > 0


def test_thinking_blocks_go_back_with_the_signature_they_came_with(gpt: openai.OpenAI, stream: bool) -> None:
    """The simulator, as Anthropic does, refuses a block whose text or signature was changed."""
    model, messages = MODELS["anthropic"], user("Use get_time.")
    more: dict[str, Any] = {"reasoning_effort": "medium", "max_completion_tokens": 9000, "tools": [CLOCK]}
    heard = hear_openai(gpt, stream, model=model, messages=messages, **more)
    assert [block["type"] for block in heard.thinking_blocks] == ["thinking"]
    calls = [{"id": heard.call_ids[0], "type": "function", "function": {"name": "get_time", "arguments": "{}"}}]
    back = {"role": "assistant", "content": None, "thinking_blocks": heard.thinking_blocks, "tool_calls": calls}
    result = {"role": "tool", "tool_call_id": heard.call_ids[0], "content": "noon"}
    assert "noon" in hear_openai(gpt, stream, model=model, messages=[*messages, back, result], **more).text
    heard.thinking_blocks[0]["thinking"] += "!"
    with pytest.raises(openai.BadRequestError, match="signature"):
        hear_openai(gpt, stream, model=model, messages=[*messages, back, result], **more)


@pytest.mark.parametrize("dialect", ["openai", "gemini"])
def test_several_choices(gpt: openai.OpenAI, dialect: str, stream: bool) -> None:
    heard = hear_openai(gpt, stream, model=MODELS[dialect], messages=user("Hello"), n=3)
    assert heard.texts == [heard.text, f"{heard.text} (choice 2)", f"{heard.text} (choice 3)"]
    assert heard.finish == ["stop"] * 3


@pytest.mark.parametrize("dialect", ["openai", "gemini", "ollama"])
def test_embeddings_in_base64_which_is_the_sdks_default_and_in_floats(gpt: openai.OpenAI, dialect: str) -> None:
    model = {"openai": "openai/text-embedding-3-small", "gemini": "gemini/gemini-embedding-001", "ollama": "ollama/nomic-embed-text"}[
        dialect
    ]
    packed = gpt.embeddings.create(model=model, input=["one cat", "two dogs"])
    floats = gpt.embeddings.create(model=model, input=["one cat", "two dogs"], encoding_format="float")
    assert [one.index for one in packed.data] == [0, 1]
    assert sum(value * value for value in packed.data[0].embedding) == pytest.approx(1, abs=1e-4)
    assert packed.data[1].embedding == pytest.approx(floats.data[1].embedding, abs=1e-6)
    raw = gpt.embeddings.with_raw_response.create(model=model, input="one cat", encoding_format="base64")
    assert len(base64.b64decode(json.loads(raw.text)["data"][0]["embedding"])) == 4 * len(packed.data[0].embedding)


@pytest.mark.parametrize("dialect", ["openai", "gemini"])
def test_embeddings_with_fewer_dimensions(gpt: openai.OpenAI, dialect: str) -> None:
    model = {"openai": "openai/text-embedding-3-small", "gemini": "gemini/gemini-embedding-001"}[dialect]
    assert len(gpt.embeddings.create(model=model, input="one cat", dimensions=64).data[0].embedding) == 64


def test_legacy_completions(gpt: openai.OpenAI, model: str) -> None:
    plain = gpt.completions.create(model=model, prompt="repeat 30", max_tokens=5)
    assert (plain.choices[0].text.split(), plain.choices[0].finish_reason) == (["lorem", "ipsum", "dolor", "sit", "amet"], "length")
    assert plain.usage is not None
    assert plain.usage.completion_tokens == 5
    chunks = list(gpt.completions.create(model=model, prompt="repeat 30", max_tokens=5, stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks if chunk.choices) == plain.choices[0].text
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices and chunk.choices[0].finish_reason] == ["length"]


def test_models_are_those_configured(gpt: openai.OpenAI) -> None:
    assert {"gpt-4o", "claude-haiku-4-5", "gemini-2.5-flash", "llama3.2"} <= {model.id for model in gpt.models.list()}
    assert gpt.models.retrieve("gpt-4o").id == "gpt-4o"
    with pytest.raises(openai.NotFoundError):
        gpt.models.retrieve("no-such-model")


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, openai.BadRequestError),
        (401, openai.AuthenticationError),
        (403, openai.PermissionDeniedError),
        (404, openai.NotFoundError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
        (503, openai.InternalServerError),
    ],
)
def test_a_providers_error_is_the_sdks_exception_with_the_providers_words(
    gpt: openai.OpenAI, dialect: str, stream: bool, status: int, error: type[openai.APIStatusError]
) -> None:
    says = {
        "openai": {
            400: "refused by the simulator",
            401: "Incorrect API key",
            404: "does not exist",
            429: "Rate limit",
            500: "had an error",
        },
        "anthropic": {400: "refused by the simulator", 401: "invalid x-api-key", 404: "model: ", 429: "rate limit", 500: "Internal server"},
        "gemini": {400: "invalid argument", 401: "credentials", 404: "not found", 429: "quota", 500: "internal error"},
        "ollama": {400: "invalid request", 401: "unauthorized", 404: "not found", 429: "too many", 500: "terminated"},
    }[dialect]
    with pytest.raises(error) as caught:
        hear_openai(gpt, stream, model=f"{dialect}/error-{status}", messages=user("Hello"))
    assert caught.value.status_code == status
    assert says.get(status, "") in caught.value.message
    assert isinstance(caught.value.body, dict)
    assert {"message", "type", "param", "code"} <= set(caught.value.body)
    assert caught.value.response.headers["x-edgegate-error-source"] == "provider"


def test_retry_after_is_passed_on(gpt: openai.OpenAI, dialect: str) -> None:
    with pytest.raises(openai.RateLimitError) as caught:
        hear_openai(gpt, False, model=f"{dialect}/error-429-retry-after-17", messages=user("Hello"))
    assert float(caught.value.response.headers["retry-after"]) == pytest.approx(17, abs=1)


@pytest.mark.parametrize("fault", ["cut", "no-finish", "error-in-stream"])
def test_half_a_stream_is_an_error_after_its_text_and_never_a_finished_answer(gpt: openai.OpenAI, dialect: str, fault: str) -> None:
    chunks: list[Any] = []
    with pytest.raises(openai.APIError):
        chunks.extend(gpt.chat.completions.create(model=f"{dialect}/{fault}", messages=user("repeat 40"), stream=True))
    assert any(chunk.choices and chunk.choices[0].delta.content for chunk in chunks)
    assert not any(choice.finish_reason for chunk in chunks for choice in chunk.choices)


@pytest.mark.parametrize("fault", ["html", "empty", "bad-json"])
def test_a_200_that_is_no_answer_is_a_server_error(gpt: openai.OpenAI, dialect: str, stream: bool, fault: str) -> None:
    if stream and fault == "bad-json":
        pytest.skip("the stream has begun when its bad event comes")
    with pytest.raises(openai.InternalServerError) as caught:
        hear_openai(gpt, stream, model=f"{dialect}/{fault}", messages=user("Hello"))
    assert caught.value.status_code == 502


def test_comments_and_pings_do_no_harm(gpt: openai.OpenAI, dialect: str) -> None:
    heard = hear_openai(gpt, True, model=f"{dialect}/pings", messages=user("repeat 10"))
    assert (len(heard.text.split()), heard.finish) == (10, ["stop"])


def test_what_edgegate_itself_refuses(gpt: openai.OpenAI, gateway: Gateway) -> None:
    with pytest.raises(openai.NotFoundError) as unknown:
        hear_openai(gpt, False, model="no-such-model", messages=user("Hello"))
    assert unknown.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as wrong:
        gpt.post("/chat/completions", body={"model": "gpt-4o", "messages": "Hello"}, cast_to=dict)
    assert "messages" in str(wrong.value.param)


async def test_the_asynchronous_sdk(gateway: Gateway, model: str) -> None:
    async with openai.AsyncOpenAI(base_url=gateway.url + "/v1", api_key="unused", max_retries=0) as client:
        plain = await client.chat.completions.create(model=model, messages=user("Hello"))
        text = ""
        async for chunk in await client.chat.completions.create(model=model, messages=user("Hello"), stream=True):
            text += chunk.choices[0].delta.content or ""
    assert text == plain.choices[0].message.content


def test_the_sdks_own_accumulator_reads_a_translated_stream(gpt: openai.OpenAI, model: str) -> None:
    with gpt.chat.completions.stream(model=model, messages=user("Use get_weather."), tools=[WEATHER]) as stream:
        message = stream.get_final_completion().choices[0].message
    assert message.tool_calls is not None
    assert (message.tool_calls[0].function.name, json.loads(message.tool_calls[0].function.arguments)) == WEATHER_CALL


def test_every_exchange_is_a_line_of_json_in_the_log_without_key_or_prompt(gpt: openai.OpenAI, gateway: Gateway) -> None:
    hear_openai(gpt, False, model="anthropic/claude-haiku-4-5", messages=user("a very private prompt"))
    until = time.monotonic() + 5  # lines are written in bursts
    while not (mine := [line for line in gateway.logs() if line.get("requested_model") == "anthropic/claude-haiku-4-5"]):
        assert time.monotonic() < until, "no line in the log"
        time.sleep(0.05)
    assert (mine[-1]["provider"], mine[-1]["status"], mine[-1]["outcome"]) == ("anthropic", 200, "ok")
    log = json.dumps(gateway.logs())
    assert "private prompt" not in log
    assert "sk-provider" not in log


def test_sigterm_ends_it_with_status_0(start_gateway: StartGateway, simulator: Running) -> None:
    """A gateway of its own, so that the exit status is this test's and not the session's."""
    gateway = start_gateway({"providers": simulated_providers(simulator.url)})
    with openai.OpenAI(base_url=gateway.url + "/v1", api_key="unused", max_retries=0) as client:
        assert hear_openai(client, True, model="openai/gpt-4o", messages=user("Hello")).finish == ["stop"]
    assert gateway.stop() == 0


def test_without_any_key_the_built_in_simulator_answers(start_gateway: StartGateway) -> None:
    gateway = start_gateway({})
    with openai.OpenAI(base_url=gateway.url + "/v1", api_key="unused", max_retries=0) as client:
        for model in ("gpt-4o", "claude-haiku-4-5", "gemini-2.5-flash"):
            raw = client.chat.completions.with_raw_response.create(model=model, messages=user("Hello"))
            assert (raw.parse().choices[0].message.content or "").startswith("[simulated]")
            assert raw.headers["x-edgegate-simulated"] == "true"


def test_without_a_key_the_simulator_answers_and_costs_nothing(start_gateway: StartGateway) -> None:
    gateway = start_gateway({})
    client = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0)
    for model in ("gpt-4o-mini", "claude-haiku-4-5", "gemini-2.5-flash", "llama3.2"):
        reply = client.chat.completions.with_raw_response.create(model=model, messages=[{"role": "user", "content": "hi"}])
        assert reply.headers["x-edgegate-simulated"] == "true"
        assert (reply.parse().choices[0].message.content or "").startswith("[simulated]")
    assert gateway.stop() == 0
    costs = [line["cost_usd"] for line in gateway.logs() if line.get("event") == "request" and line.get("attempts")]
    assert costs == ["0.000000000"] * 4
