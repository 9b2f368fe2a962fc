"""Everything of a Converse request beside its messages."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from edgegate.dialects.base import Json
from edgegate.errors import GatewayError
from tests.unit.dialects.bedrock.made import CLAUDE, LLAMA, NEWEST, NOVA, NOVA_2, OLDER, SIDE, asked, call, sent, tool, user

SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
WANTED = {"type": "json_schema", "json_schema": {"name": "N", "description": "D", "schema": SCHEMA}}
HISTORY = (user("A"), {"role": "assistant", "tool_calls": [call("t")]}, {"role": "tool", "tool_call_id": "t", "content": "B"})


def test_paths_quote_the_model_and_say_whether_to_stream() -> None:
    arn = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/mi1dadi0g15f"
    assert SIDE.request(asked(model="a.b-v1:0")).path == "/model/a.b-v1%3A0/converse"
    assert SIDE.request(asked(model=arn)).path.startswith(
        "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Aapplication-inference-profile%2Fmi1"
    )
    wire = SIDE.request(asked(model="../x?y", stream=True))
    assert wire.path == "/model/..%2Fx%3Fy/converse-stream"
    assert dict(wire.headers)[b"accept"] == b"application/vnd.amazon.eventstream"


def test_keys_of_bedrock_are_bearers() -> None:
    assert SIDE.authorize("ABSK") == [(b"authorization", b"Bearer ABSK")]
    assert SIDE.authorize("") == []


def test_inference_config() -> None:
    body, wire = sent(temperature=0.5, stop=["a", "b"], max_tokens=10, max_completion_tokens=20, model=NOVA, top_p=0.9)
    assert body["inferenceConfig"] == {"maxTokens": 20, "temperature": 0.5, "topP": 0.9, "stopSequences": ["a", "b"]}
    assert (wire.dropped, wire.mapped) == ([], [])
    body, wire = sent(temperature=1.5, stop="a", model=NOVA)
    assert body["inferenceConfig"] == {"temperature": 1, "stopSequences": ["a"]}
    assert wire.mapped == ["temperature"]
    assert sent(temperature=1.5, approximate=False)[1].dropped == ["temperature"]


def test_claude_takes_one_of_temperature_and_top_p_and_the_newest_neither() -> None:
    body, wire = sent(temperature=0.5, top_p=0.9, stop=["a", "\n"])
    assert body["inferenceConfig"] == {"temperature": 0.5, "stopSequences": ["a"]}
    assert body["additionalModelResponseFieldPaths"] == ["/stop_sequence"]
    assert wire.dropped == ["top_p", "stop"]
    body, wire = sent(temperature=0.5, top_p=0.9, top_k=3, model=NEWEST)
    assert "inferenceConfig" not in body
    assert wire.dropped == ["temperature", "top_p", "top_k"]


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        (CLAUDE, {"top_k": 5}),
        (NOVA, {"inferenceConfig": {"topK": 5}}),
        ("mistral.mistral-large-2407-v1:0", {"top_k": 5}),
        ("cohere.command-r-v1:0", {"k": 5}),
        (LLAMA, None),
    ],
)
def test_top_k_has_a_name_at_each_maker(model: str, fields: Json | None) -> None:
    body, wire = sent(top_k=5, model=model)
    assert body.get("additionalModelRequestFields") == fields
    assert wire.dropped == ([] if fields else ["top_k"])


@pytest.mark.parametrize(
    ("model", "effort", "fields", "lost"),
    [
        (CLAUDE, "low", {"thinking": {"type": "enabled", "budget_tokens": 2048}}, ([], ["reasoning_effort"])),
        (OLDER, "high", {"thinking": {"type": "enabled", "budget_tokens": 16384}}, ([], ["reasoning_effort"])),
        ("us.anthropic.claude-sonnet-4-6", "high", {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}}, ([], [])),
        (
            "us.anthropic.claude-sonnet-4-6",
            "minimal",
            {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}},
            ([], ["reasoning_effort"]),
        ),
        (NEWEST, "none", {"thinking": {"type": "disabled"}}, ([], [])),
        ("anthropic.claude-3-haiku-20240307-v1:0", "high", None, (["reasoning_effort"], [])),
        ("anthropic.claude-v2", "high", None, (["reasoning_effort"], [])),
        (NOVA_2, "medium", {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "medium"}}, ([], [])),
        (NOVA_2, "xhigh", {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "high"}}, ([], ["reasoning_effort"])),
        (NOVA_2, "none", {"reasoningConfig": {"type": "disabled"}}, ([], [])),
        (NOVA, "high", None, (["reasoning_effort"], [])),
        ("openai.gpt-oss-120b-1:0", "high", {"reasoning_effort": "high"}, ([], [])),
        ("qwen.qwen3-32b-v1:0", "high", {"reasoning_config": "high"}, ([], [])),
        (LLAMA, "high", None, (["reasoning_effort"], [])),
        (LLAMA, "none", None, ([], [])),
    ],
)
def test_reasoning_effort_in_each_makers_words(model: str, effort: str, fields: Json | None, lost: tuple[list[str], list[str]]) -> None:
    body, wire = sent(reasoning_effort=effort, model=model)
    assert body.get("additionalModelRequestFields") == fields
    assert (wire.dropped, wire.mapped) == lost


def test_a_budget_is_less_than_the_limit() -> None:
    fields = sent(reasoning_effort="high", max_tokens=4000)[0]["additionalModelRequestFields"]
    assert fields == {"thinking": {"type": "enabled", "budget_tokens": 3200}}
    assert sent(reasoning_effort="high", max_tokens=1000)[1].dropped == ["reasoning_effort"]


def test_what_claude_refuses_while_thinking_is_dropped() -> None:
    body, wire = sent(reasoning_effort="high", temperature=0.2, top_k=3)
    assert "inferenceConfig" not in body
    assert wire.dropped == ["temperature", "top_k"]
    forced = sent(reasoning_effort="high", tools=[tool()], tool_choice="required")
    assert forced[1].dropped == ["reasoning_effort"]
    assert sent(*HISTORY, reasoning_effort="high", tools=[tool()])[1].dropped == ["reasoning_effort"]  # its thinking is missing


def test_anthropics_own_thinking_goes_to_claude_as_it_is() -> None:
    thinking = {"type": "enabled", "budget_tokens": 5000}
    assert sent(thinking=thinking, reasoning_effort="medium")[0]["additionalModelRequestFields"] == {"thinking": thinking}
    body, wire = sent(thinking=thinking, reasoning_effort="medium", model=NOVA_2)
    assert body["additionalModelRequestFields"] == {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "medium"}}
    assert wire.mapped == ["thinking"]
    assert sent(thinking=thinking, model=LLAMA)[1].dropped == ["thinking"]


def test_nova_with_its_highest_effort_takes_no_sampling() -> None:
    body, wire = sent(reasoning_effort="high", temperature=0.5, model=NOVA_2)
    assert body["additionalModelRequestFields"]["reasoningConfig"]["maxReasoningEffort"] == "medium"
    assert wire.mapped == ["reasoning_effort"]


def test_tools() -> None:
    given = [tool(description="D", strict=True), {"type": "function", "function": {"name": "bare", "description": ""}}]
    body, wire = sent(tools=given)
    assert body["toolConfig"] == {
        "tools": [
            {
                "toolSpec": {
                    "name": "weather",
                    "description": "D",
                    "inputSchema": {"json": {"type": "object", "properties": {}}},
                    "strict": True,
                }
            },
            {"toolSpec": {"name": "bare", "inputSchema": {"json": {"type": "object", "properties": {}}}}},
        ]
    }
    assert wire.dropped == []
    assert sent(tools=given, model=NOVA)[1].dropped == ["tools.strict"]


@pytest.mark.parametrize(
    ("model", "choice", "written", "lost"),
    [
        (CLAUDE, "auto", {"auto": {}}, ([], [])),
        (CLAUDE, "required", {"any": {}}, ([], [])),
        (CLAUDE, {"type": "function", "function": {"name": "weather"}}, {"tool": {"name": "weather"}}, ([], [])),
        (LLAMA, "auto", None, ([], [])),
        (LLAMA, "required", None, (["tool_choice"], [])),
        ("mistral.mistral-large-2407-v1:0", {"type": "function", "function": {"name": "weather"}}, {"any": {}}, ([], ["tool_choice"])),
    ],
)
def test_tool_choice(model: str, choice: Any, written: Json | None, lost: tuple[list[str], list[str]]) -> None:
    body, wire = sent(tools=[tool(), tool("b")], tool_choice=choice, model=model)
    assert body["toolConfig"].get("toolChoice") == written
    assert (wire.dropped, wire.mapped) == lost


def test_no_tool_is_called_where_none_is_offered() -> None:
    assert "toolConfig" not in sent(tools=[tool()], tool_choice="none")[0]
    body, wire = sent(*HISTORY, tools=[tool()], tool_choice="none")
    assert "toolChoice" not in body["toolConfig"]
    assert "Do not call" in body["system"][0]["text"]
    assert wire.mapped == ["tool_choice"]
    assert sent(*HISTORY, tools=[tool()], tool_choice="none", approximate=False)[1].dropped == ["tool_choice"]


def test_a_history_with_calls_needs_tools() -> None:
    body, wire = sent(*HISTORY)
    assert body["toolConfig"]["tools"] == [{"toolSpec": {"name": "weather", "inputSchema": {"json": {"type": "object"}}}}]
    assert wire.mapped == ["tools"]


def test_a_choice_among_allowed_tools() -> None:
    allowed = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "b"}}]}}
    body, _ = sent(tools=[tool(), tool("b")], tool_choice=allowed)
    assert [found["toolSpec"]["name"] for found in body["toolConfig"]["tools"]] == ["b"]
    assert body["toolConfig"]["toolChoice"] == {"any": {}}


def test_one_call_at_a_time() -> None:
    body, wire = sent(tools=[tool()], parallel_tool_calls=False)
    assert body["additionalModelRequestFields"] == {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}}
    assert wire.dropped == []
    assert sent(tools=[tool()], parallel_tool_calls=False, model=NOVA)[1].dropped == ["parallel_tool_calls"]


def test_tools_that_vendors_run() -> None:
    search, code = {"type": "web_search_20250305", "name": "web_search"}, {"type": "code_interpreter"}
    body, wire = sent(tools=[search, code, {"systemTool": {"name": "other"}}], model=NOVA_2)
    names = [found["systemTool"]["name"] for found in body["toolConfig"]["tools"]]
    assert names == ["nova_grounding", "nova_code_interpreter", "other"]
    assert wire.mapped == ["tools.web_search", "tools.code_execution"]
    body, wire = sent(tools=[search, code], web_search_options={})
    assert "toolConfig" not in body
    assert wire.dropped == ["tools.web_search", "tools.code_execution", "web_search_options"]


def test_tools_of_anthropics_that_the_client_runs_go_to_claude_beside_the_others() -> None:
    bash = {"type": "bash_20250124", "name": "bash"}
    body, wire = sent(tools=[bash, tool()])
    assert body["additionalModelRequestFields"] == {"tools": [bash]}
    assert [found["toolSpec"]["name"] for found in body["toolConfig"]["tools"]] == ["weather"]
    assert wire.dropped == []
    assert "toolConfig" not in sent(tools=[bash])[0]
    history = (user("A"), {"role": "assistant", "tool_calls": [call("t", "bash")]}, {"role": "tool", "tool_call_id": "t", "content": "B"})
    body, wire = sent(*history, tools=[bash])
    assert [found["toolSpec"]["name"] for found in body["toolConfig"]["tools"]] == ["not_in_use"]  # of equal names one is refused
    assert sent(tools=[bash], model=NOVA)[1].dropped == ["tools.bash_20250124"]


def test_a_schema_is_sent_where_the_model_takes_one() -> None:
    body, wire = sent(response_format=WANTED)
    definition = body["outputConfig"]["textFormat"]["structure"]["jsonSchema"]
    assert (definition["name"], definition["description"]) == ("N", "D")
    assert orjson.loads(definition["schema"]) == {**SCHEMA, "additionalProperties": False}
    assert (wire.dropped, wire.mapped) == ([], [])
    body, _ = sent(response_format=WANTED, model="zai.glm-4.7-flash")
    assert orjson.loads(body["outputConfig"]["textFormat"]["structure"]["jsonSchema"]["schema"]) == SCHEMA


def test_a_schema_is_a_forced_tool_where_it_does_not() -> None:
    body, wire = sent(response_format=WANTED, model=NOVA)
    assert body["toolConfig"] == {
        "tools": [{"toolSpec": {"name": "json_answer", "description": "D", "inputSchema": {"json": SCHEMA}}}],
        "toolChoice": {"tool": {"name": "json_answer"}},
    }
    assert wire.mapped == ["response_format"]
    body, wire = sent(response_format=WANTED, model=NOVA, approximate=False)
    assert "toolConfig" not in body
    assert wire.dropped == ["response_format"]


@pytest.mark.parametrize("fields", [{"model": LLAMA}, {"model": NOVA, "tools": [tool()]}, {"model": OLDER, "reasoning_effort": "high"}])
def test_a_schema_is_asked_for_in_words_where_a_tool_cannot_be_forced(fields: Any) -> None:
    body, wire = sent(response_format=WANTED, **fields)
    assert '"a":{"type":"string"}' in body["system"][-1]["text"]
    assert "response_format" in wire.mapped


def test_json_mode_is_asked_for_in_words() -> None:
    body, wire = sent(response_format={"type": "json_object"})
    assert "JSON object" in body["system"][0]["text"]
    assert wire.mapped == ["response_format"]
    assert sent(response_format={"type": "text"})[1].mapped == []


def test_bedrocks_own_fields_pass_and_openais_are_named() -> None:
    own: Json = {
        "guardrailConfig": {"guardrailIdentifier": "g", "guardrailVersion": "1"},
        "performanceConfig": {"latency": "optimized"},
        "promptVariables": {"a": {"text": "b"}},
        "additionalModelResponseFieldPaths": ["/a"],
    }
    body, wire = sent(**own, service_tier="flex", metadata={"team": "a b"}, additionalModelRequestFields={"x": 1}, top_k=2)
    assert {name: body[name] for name in own} == own
    assert body["serviceTier"] == {"type": "flex"}
    assert body["requestMetadata"] == {"team": "a b"}
    assert body["additionalModelRequestFields"] == {"x": 1, "top_k": 2}
    assert wire.dropped == []
    lost: Json = {
        "seed": 0,
        "logprobs": True,
        "logit_bias": {"1": 2},
        "presence_penalty": 1,
        "user": "u",
        "service_tier": "scale",
        "metadata": {"a": "\u00e9"},
    }
    nothing: Json = {"logprobs": False, "store": False, "modalities": ["text"], "frequency_penalty": 0, "x-ours": 1, "service_tier": "auto"}
    assert set(sent(**lost)[1].dropped) == set(lost)
    assert sent(**nothing)[1].dropped == []


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 2}, "n"),
        ({"tool_choice": "some", "tools": [tool()]}, "tool_choice"),
        ({"tools": {}}, None),
        ({"tools": "a"}, "tools"),
        ({"tools": ["a"]}, "tools[0]"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function"),
        ({"response_format": "json"}, "response_format"),
        ({"reasoning_effort": "hard"}, "reasoning_effort"),
        ({"temperature": "hot"}, "temperature"),
        ({"stop": [1]}, "stop"),
        ({"stop": {"a": 1}}, "stop"),
    ],
)
def test_what_cannot_be_sent_is_named(fields: Any, param: str | None) -> None:
    if param is None:
        assert "toolConfig" not in sent(**fields)[0]
        return
    with pytest.raises(GatewayError) as caught:
        sent(**fields)
    assert (caught.value.status, caught.value.param) == (400, param)


def test_counting_is_asked_of_the_model_without_its_region() -> None:
    wire = SIDE.count(asked({"role": "system", "content": "S"}, user("A"), tools=[tool()], max_tokens=3))
    assert wire.path == "/model/anthropic.claude-sonnet-4-5-20250929-v1%3A0/count-tokens"
    assert orjson.loads(wire.body)["input"]["converse"].keys() == {"messages", "system", "toolConfig"}
    assert SIDE.counted(asked(), b'{"inputTokens": 7}') == 7
    with pytest.raises(GatewayError):
        SIDE.counted(asked(), b"{}")
