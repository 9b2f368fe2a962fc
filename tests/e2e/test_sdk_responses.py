"""What OpenAI's Responses API has beyond a chat, with the openai SDK, over every provider."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import openai
import pydantic
import pytest

from tests.e2e.gateway import Gateway
from tests.e2e.journal import Wire, line_of, tokens_of
from tests.e2e.matrix.pairs import PROVIDERS

NATIVE = ("openai", "openai-responses", "azure-v1")
"""Providers that have the API themselves."""

FOREIGN = tuple(name for name in PROVIDERS if name not in NATIVE)
WEATHER: Any = {
    "type": "function",
    "name": "get_weather",
    "description": "A tool.",
    "strict": False,
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False},
}
CLOCK: Any = WEATHER | {"name": "get_time"}
CALLS = [("get_weather", {"city": "city"}), ("get_time", {"city": "city"})]


@pytest.fixture(params=PROVIDERS)
def provider(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def model(provider: str) -> str:
    return f"{provider}/{PROVIDERS[provider].model}"


@pytest.fixture(params=FOREIGN)
def foreign(request: pytest.FixtureRequest) -> str:
    """A model of a provider that does not have the API."""
    return f"{request.param}/{PROVIDERS[request.param].model}"


@pytest.fixture(params=[False, True], ids=["plain", "stream"])
def stream(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture(scope="module")
def wire() -> Wire:
    return Wire()


@pytest.fixture(scope="module")
def gpt(every: Gateway, wire: Wire) -> openai.OpenAI:
    return openai.OpenAI(base_url=every.url + "/v1", api_key="unused", max_retries=0, http_client=wire.client(httpx2))


def ask(gpt: openai.OpenAI, stream: bool, **asked: Any) -> Any:
    """A response, plain or as the last event of a stream has it."""
    asked = {"store": False, **asked}
    if not stream:
        return gpt.responses.create(**asked)
    last: Any = None
    numbers = []
    for event in gpt.responses.create(**asked, stream=True):
        numbers.append(event.sequence_number)
        last = event
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert last.type in ("response.completed", "response.incomplete")
    return last.response


def turn(response: Any) -> list[Any]:
    """What an app sends back of it."""
    return [item.to_dict(exclude_none=True) for item in response.output]


def test_instructions_count_for_one_request_only(gpt: openai.OpenAI, model: str, stream: bool) -> None:
    first = ask(gpt, stream, model=model, input="report", instructions="Be brief.")
    assert json.loads(first.output_text)["system"] == "Be brief."
    said: list[Any] = [{"role": "user", "content": "report"}, *turn(first), {"role": "user", "content": "report"}]
    report = json.loads(ask(gpt, stream, model=model, input=said, instructions="Be long.").output_text)
    assert report["system"] == "Be long."
    assert [role.replace("model", "assistant") for role in report["roles"] if role not in ("system", "developer")] == [
        "user",
        "assistant",
        "user",
    ]
    assert first.output_text in report["texts"]


def test_tools_in_parallel_and_their_results(gpt: openai.OpenAI, model: str, stream: bool) -> None:
    said: list[Any] = [{"role": "user", "content": "In parallel: get_weather and get_time."}]
    first = ask(gpt, stream, model=model, input=said, tools=[WEATHER, CLOCK])
    calls = [item for item in first.output if item.type == "function_call"]
    assert [(call.name, json.loads(call.arguments)) for call in calls] == CALLS
    assert len({call.call_id for call in calls}) == 2
    results = [{"type": "function_call_output", "call_id": call.call_id, "output": f"{call.name}: fine"} for call in calls]
    second = ask(gpt, stream, model=model, input=[*said, *turn(first), *results], tools=[WEATHER, CLOCK])
    assert "get_weather: fine" in second.output_text
    assert "get_time: fine" in second.output_text


def test_a_result_may_be_a_list_of_parts(gpt: openai.OpenAI, model: str) -> None:
    said: list[Any] = [{"role": "user", "content": "Call get_weather."}]
    first = ask(gpt, False, model=model, input=said, tools=[WEATHER])
    (call,) = [item for item in first.output if item.type == "function_call"]
    result = {"type": "function_call_output", "call_id": call.call_id, "output": [{"type": "input_text", "text": "17 degrees"}]}
    second = ask(gpt, False, model=model, input=[*said, *turn(first), result], tools=[WEATHER])
    assert "17 degrees" in second.output_text


def test_reasoning_items_are_kept_over_three_turns(gpt: openai.OpenAI, provider: str, stream: bool) -> None:
    """The simulator refuses reasoning that was altered, and calls without the reasoning that led to them."""
    asked: dict[str, Any] = {
        "model": f"{provider}/{PROVIDERS[provider].thinks}",
        "tools": [WEATHER],
        "reasoning": {"effort": "low", "summary": "auto"},
        "include": ["reasoning.encrypted_content"],
    }
    said: list[Any] = [{"role": "user", "content": "Call get_weather."}]
    for result in ("17 degrees", "18 degrees"):
        reply = ask(gpt, stream, **asked, input=said)
        (call,) = [item for item in reply.output if item.type == "function_call"]
        said += [*turn(reply), {"type": "function_call_output", "call_id": call.call_id, "output": result}]
        reply = ask(gpt, stream, **asked, input=said)
        assert result in reply.output_text
        said += [*turn(reply), {"role": "user", "content": "Call get_weather."}]


class Animal(pydantic.BaseModel):
    name: str
    legs: int


def test_parse(gpt: openai.OpenAI, model: str) -> None:
    reply = gpt.responses.parse(model=model, input="An animal.", text_format=Animal, store=False)
    assert isinstance(reply.output_parsed, Animal)
    with gpt.responses.stream(model=model, input="An animal.", text_format=Animal, store=False) as events:
        final = events.get_final_response()
    assert isinstance(final.output_parsed, Animal)


@pytest.mark.parametrize("name", NATIVE)
def test_a_provider_that_keeps_state_goes_on_from_it(gpt: openai.OpenAI, name: str) -> None:
    model = f"{name}/gpt-4.1"
    first = gpt.responses.create(model=model, input="My name is Ada.", store=True)
    second = gpt.responses.create(model=model, input="report", previous_response_id=first.id, store=True)
    assert json.loads(second.output_text)["texts"] == ["My name is Ada.", first.output_text, "report"]
    assert second.previous_response_id == first.id


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("previous_response_id", "resp_1"),
        ("conversation", "conv_1"),
        ("prompt", {"id": "pmpt_1"}),
        ("background", True),
        ("input", [{"type": "item_reference", "id": "msg_1"}]),
    ],
)
def test_state_is_refused_by_name_where_there_is_none(gpt: openai.OpenAI, foreign: str, field: str, given: Any) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        gpt.responses.create(**{"model": foreign, "input": "Hello", field: given})
    assert (caught.value.param or "").startswith(field)
    assert caught.value.code == "unsupported_value"


def test_stored_responses_are_fetched_and_deleted(gpt: openai.OpenAI, wire: Wire) -> None:
    made = gpt.responses.create(model="openai/gpt-4.1", input="Hello", store=True)
    found = gpt.responses.retrieve(made.id)
    assert (found.id, found.output_text) == (made.id, made.output_text)
    assert wire.headers["x-edgegate-provider"] == "openai"
    gpt.responses.delete(made.id)
    with pytest.raises(openai.NotFoundError):
        gpt.responses.retrieve(made.id)


def test_tokens_are_counted_by_who_has_the_model(gpt: openai.OpenAI, wire: Wire) -> None:
    for name in ("openai", "openai-responses"):
        assert gpt.responses.input_tokens.count(model=f"{name}/gpt-4.1", input="one two three").input_tokens == 6
        assert (wire.headers["x-edgegate-provider"], wire.headers["x-edgegate-model"]) == (name, "gpt-4.1")
    with pytest.raises(openai.NotFoundError) as caught:
        gpt.responses.input_tokens.count(model="anthropic/claude-sonnet-4-5", input="one two three")
    assert caught.value.code == "unknown_path"


def test_what_was_asked_is_echoed(gpt: openai.OpenAI, model: str, stream: bool) -> None:
    reply = ask(gpt, stream, model=model, input="Hello", metadata={"team": "ops"}, temperature=0.5, max_output_tokens=200, tools=[WEATHER])
    assert reply.metadata == {"team": "ops"}
    assert (reply.max_output_tokens, reply.parallel_tool_calls, reply.tool_choice) == (200, True, "auto")
    assert [tool.name for tool in reply.tools] == ["get_weather"]
    assert (reply.object, reply.status, reply.error) == ("response", "completed", None)
    assert reply.id.startswith("resp_")


def test_usage(every: Gateway, gpt: openai.OpenAI, wire: Wire, model: str, stream: bool) -> None:
    reply = ask(gpt, stream, model=model, input="repeat 9")
    usage = reply.usage
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (5, 9, 14)
    assert (usage.input_tokens_details.cached_tokens, usage.output_tokens_details.reasoning_tokens) == (0, 0)
    assert tokens_of(line_of(every, wire.headers)) == (5, 9)


def test_an_answer_that_is_cut_is_incomplete(gpt: openai.OpenAI, model: str, stream: bool) -> None:
    reply = ask(gpt, stream, model=model, input="repeat 50", max_output_tokens=20)
    assert reply.status == "incomplete"
    assert reply.incomplete_details.reason == "max_output_tokens"
    assert len(reply.output_text.split()) == 20


# -- tools that the vendor runs

SEARCHERS = ("openai", "openai-responses", "azure-v1", "anthropic", "gemini", "gemini-3", "vertex")


def test_web_search_is_the_providers_own_or_named(gpt: openai.OpenAI, wire: Wire, provider: str, model: str) -> None:
    reply = gpt.responses.create(model=model, input="search for tea", tools=[{"type": "web_search"}], store=False)
    assert reply.status == "completed"
    if provider in SEARCHERS:
        assert wire.lost() == set()
    else:
        assert wire.lost() == {"tools.web_search"}
    if provider in NATIVE:
        assert [item.type for item in reply.output] == ["web_search_call", "message"]
        message: Any = reply.output[-1]
        (cited,) = message.content[0].annotations
        assert cited.type == "url_citation"


def test_tools_that_run_elsewhere_are_named(gpt: openai.OpenAI, wire: Wire, foreign: str) -> None:
    tools: list[Any] = [WEATHER, {"type": "file_search", "vector_store_ids": ["vs_1"]}]
    reply = gpt.responses.create(model=foreign, input="Call get_weather.", tools=tools, store=False)
    assert [item.type for item in reply.output if item.type not in ("message", "reasoning")] == ["function_call"]
    assert wire.lost() == {"tools.file_search"}


@pytest.mark.parametrize("name", [name for name in FOREIGN if name != "azure"])  # it has them itself, but not the simulated one
def test_custom_tools_take_text(gpt: openai.OpenAI, wire: Wire, name: str, stream: bool) -> None:
    foreign = f"{name}/{PROVIDERS[name].model}"
    tool = {"type": "custom", "name": "run_sql", "description": "Runs SQL."}
    said: list[Any] = [{"role": "user", "content": "Use run_sql."}]
    first = ask(gpt, stream, model=foreign, input=said, tools=[tool])
    (call,) = [item for item in first.output if item.type == "custom_tool_call"]
    assert (call.name, call.input) == ("run_sql", "input")
    assert wire.mapped() == {"tools.custom"}
    result = {"type": "custom_tool_call_output", "call_id": call.call_id, "output": "3 rows"}
    second = ask(gpt, stream, model=foreign, input=[*said, *turn(first), result], tools=[tool])
    assert "3 rows" in second.output_text


def test_include_asks_for_what_there_is(gpt: openai.OpenAI, wire: Wire, foreign: str) -> None:
    """More to see of something that did not happen is no loss."""
    reply = gpt.responses.create(
        model=foreign, input="Hello", include=["reasoning.encrypted_content", "web_search_call.action.sources"], store=False
    )
    assert reply.output_text.endswith("You said: Hello")
    assert "reasoning.encrypted_content" not in "".join(wire.lost())
