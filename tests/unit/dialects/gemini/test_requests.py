"""Chat -> generateContent: every mapping, what is refused, what is named as dropped."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgegate.dialects.base import Ask, WireRequest
from edgegate.dialects.gemini import GeminiProvider
from edgegate.dialects.gemini.turns import STAND_IN_SIGNATURE
from edgegate.errors import GatewayError, Source

HI = {"role": "user", "content": "Hi"}
CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}


def wire(chat: dict[str, Any], model: str = "gemini-2.5-flash", *, stream: bool = False) -> WireRequest:
    return GeminiProvider().request(Ask({"messages": [HI], **chat}, model, stream, "chatcmpl-1", 1))


def body(chat: dict[str, Any], model: str = "gemini-2.5-flash") -> dict[str, Any]:
    value: dict[str, Any] = orjson.loads(wire(chat, model).body)
    return value


def contents(*messages: dict[str, Any], model: str = "gemini-2.5-flash") -> Any:
    return body({"messages": list(messages)}, model)["contents"]


def config(chat: dict[str, Any], model: str = "gemini-2.5-flash") -> Any:
    return body(chat, model).get("generationConfig")


def refusal(chat: dict[str, Any], model: str = "gemini-2.5-flash") -> GatewayError:
    with pytest.raises(GatewayError) as error:
        wire(chat, model)
    assert error.value.status == 400
    return error.value


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("gemini-2.5-flash", "/v1beta/models/gemini-2.5-flash:generateContent"),
        ("models/gemini-2.5-flash", "/v1beta/models/gemini-2.5-flash:generateContent"),
        ("tunedModels/mine-1", "/v1beta/tunedModels/mine-1:generateContent"),
        ("a?key=b#c", "/v1beta/models/a%3Fkey%3Db%23c:generateContent"),
        ("x:countTokens", "/v1beta/models/x%3AcountTokens:generateContent"),
        ("a b\r\nHost: c%2F", "/v1beta/models/a%20b%0D%0AHost%3A%20c%252F:generateContent"),
        ("\udc80é", "/v1beta/models/%3F%C3%A9:generateContent"),
    ],
)
def test_model_fills_one_path_segment(model: str, path: str) -> None:
    assert wire({}, model).path == path


@pytest.mark.parametrize(
    "model", ["", ".", "..", "models/", "models/..", "../files", "models/../../x", "a/b", "files/x", "tunedModels/a/b", "a\\..\\b", "/"]
)
def test_model_that_would_change_the_path_is_refused(model: str) -> None:
    assert refusal({}, model).param == "model"


def test_stream_is_asked_for_as_events() -> None:
    assert wire({}, stream=True).path == "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse"


def test_key_travels_in_a_header() -> None:
    assert GeminiProvider().authorize("k") == [(b"x-goog-api-key", b"k")]


def test_system_and_developer_messages_become_the_system_instruction() -> None:
    sent = body({"messages": [{"role": "system", "content": "A"}, HI, {"role": "developer", "content": [{"type": "text", "text": "B"}]}]})
    assert sent == {
        "contents": [{"role": "user", "parts": [{"text": "Hi"}]}],
        "systemInstruction": {"parts": [{"text": "A"}, {"text": "B"}]},
    }


def test_a_system_prompt_alone_is_asked_as_a_question() -> None:
    assert body({"messages": [{"role": "system", "content": "A"}]}) == {"contents": [{"role": "user", "parts": [{"text": "A"}]}]}


def test_neighbours_of_one_role_are_merged_and_empty_ones_left_out() -> None:
    assert contents(
        HI, HI, {"role": "assistant", "content": ""}, {"role": "assistant", "content": "a"}, {"role": "assistant", "content": "b"}, HI
    ) == [
        {"role": "user", "parts": [{"text": "Hi"}, {"text": "Hi"}]},
        {"role": "model", "parts": [{"text": "a"}, {"text": "b"}]},
        {"role": "user", "parts": [{"text": "Hi"}]},
    ]


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
            {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
        ),
        ({"type": "image_url", "image_url": "data:image/gif;base64,AAAA"}, {"inlineData": {"mimeType": "image/gif", "data": "AAAA"}}),
        (
            {"type": "image_url", "image_url": {"url": "https://h/a.webp?b=c.png"}},
            {"fileData": {"fileUri": "https://h/a.webp?b=c.png", "mimeType": "image/webp"}},
        ),
        (
            {"type": "image_url", "image_url": {"url": "https://h/a", "format": "image/png"}},
            {"fileData": {"fileUri": "https://h/a", "mimeType": "image/png"}},
        ),
        ({"type": "image_url", "image_url": {"url": "https://[h/a"}}, {"fileData": {"fileUri": "https://[h/a"}}),
        (
            {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
            {"inlineData": {"mimeType": "audio/wav", "data": "AAAA"}},
        ),
        (
            {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "mp3"}},
            {"inlineData": {"mimeType": "audio/mpeg", "data": "AAAA"}},
        ),
        ({"type": "file", "file": {"file_data": "AAAA", "filename": "a.csv"}}, {"inlineData": {"mimeType": "text/csv", "data": "AAAA"}}),
        (
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA"}},
            {"inlineData": {"mimeType": "application/pdf", "data": "AAAA"}},
        ),
        ({"type": "file", "file": {"file_id": "gs://b/a.pdf"}}, {"fileData": {"fileUri": "gs://b/a.pdf", "mimeType": "application/pdf"}}),
        (
            {"type": "video_url", "video_url": {"url": "https://youtu.be/x"}},
            {"fileData": {"fileUri": "https://youtu.be/x", "mimeType": "video/mp4"}},
        ),
        ({"type": "text", "text": "t"}, {"text": "t"}),
        ({"type": "refusal", "refusal": "no"}, {"text": "no"}),
    ],
)
def test_content_part(part: dict[str, Any], expected: dict[str, Any]) -> None:
    assert contents({"role": "user", "content": [part]}) == [{"role": "user", "parts": [expected]}]


@pytest.mark.parametrize(
    ("part", "param"),
    [
        ({"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}, "messages[0].content[0].image_url.url"),
        ({"type": "image_url", "image_url": {"url": "data:image/svg+xml,<svg/>"}}, "messages[0].content[0].image_url.url"),
        ({"type": "image_url"}, "messages[0].content[0].image_url.url"),
        ({"type": "input_audio", "input_audio": {}}, "messages[0].content[0].input_audio.data"),
        ({"type": "file", "file": {"file_id": "file-123"}}, "messages[0].content[0].file.file_id"),
        ({"type": "hologram"}, "messages[0].content[0].type"),
    ],
)
def test_part_without_a_form_is_refused_by_name(part: dict[str, Any], param: str) -> None:
    assert refusal({"messages": [{"role": "user", "content": [part]}]}).param == param


@pytest.mark.parametrize(
    ("chat", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user", "content": ""}]}, "messages"),
        ({"messages": [{"role": "wizard", "content": "a"}]}, "messages[0].role"),
        ({"messages": ["a"]}, "messages[0]"),
        ({"messages": [{"role": "tool", "tool_call_id": "x", "content": "a"}]}, "messages[0].tool_call_id"),
        ({"messages": [{"role": "assistant", "tool_calls": [{"function": {}}]}]}, "messages[0].tool_calls[0].function.name"),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "[1]"}}]}]},
            "messages[0].tool_calls[0].function.arguments",
        ),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{"}}]}]},
            "messages[0].tool_calls[0].function.arguments",
        ),
        ({"tools": [{"type": "function"}]}, "tools[0].function.name"),
        ({"tools": ["a"]}, "tools[0]"),
        ({"tools": [TOOL], "tool_choice": "sometimes"}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": {"type": "function"}}, "tool_choice.function.name"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"reasoning_effort": "utmost"}, "reasoning_effort"),
        ({"thinking": "hard"}, "thinking"),
    ],
)
def test_what_cannot_be_sent_is_refused_by_name(chat: dict[str, Any], param: str) -> None:
    assert refusal(chat).param == param


def test_tool_results_of_a_turn_share_one_content_and_carry_the_functions_name() -> None:
    other = {"id": "c2", "type": "function", "function": {"name": "smell", "arguments": ""}}
    sent = contents(
        HI,
        {"role": "assistant", "content": None, "tool_calls": [CALL, other]},
        {"role": "tool", "tool_call_id": "c2", "content": "roses"},
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": '{"sky": "blue"}'}]},
        HI,
    )
    assert sent[1:] == [
        {
            "role": "model",
            "parts": [
                {"functionCall": {"name": "look", "args": {}, "id": "c1"}},
                {"functionCall": {"name": "smell", "args": {}, "id": "c2"}},
            ],
        },
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"name": "smell", "response": {"result": "roses"}, "id": "c2"}},
                {"functionResponse": {"name": "look", "response": {"sky": "blue"}, "id": "c1"}},
            ],
        },
        {"role": "user", "parts": [{"text": "Hi"}]},
    ]


def test_arguments_and_results_are_sent_as_they_were_written() -> None:
    exact = '{"n": 123456789012345678901234, "x": 1.10}'
    sent = wire(
        {
            "messages": [
                HI,
                {"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": exact}}]},
                {"role": "tool", "tool_call_id": "c", "content": exact},
            ]
        }
    )
    assert sent.body.count(exact.encode()) == 2


@pytest.mark.parametrize("text", ["", "[1,2]", '{"a": ', "12", '"a"', "{'a': 1}"])
def test_a_result_that_is_no_object_is_wrapped(text: str) -> None:
    sent = contents(HI, {"role": "assistant", "tool_calls": [CALL]}, {"role": "tool", "tool_call_id": "c1", "content": text})
    assert sent[2]["parts"][0]["functionResponse"]["response"] == {"result": text}


def test_a_picture_in_a_result_goes_inside_for_gemini_3_and_after_all_results_before() -> None:
    image = {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}
    messages: list[dict[str, Any]] = [
        HI,
        {"role": "assistant", "tool_calls": [CALL, {**CALL, "id": "c2"}]},
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]},
        {"role": "tool", "tool_call_id": "c2", "content": "b"},
    ]
    new = contents(*messages, model="gemini-3-flash-preview")
    assert new[2]["parts"][0]["functionResponse"] == {"name": "look", "response": {}, "id": "c1", "parts": [image]}
    old = contents(*messages)
    assert [list(part) for part in old[2]["parts"]] == [["functionResponse"], ["functionResponse"]]
    assert old[3] == {"role": "user", "parts": [image]}


@pytest.mark.parametrize(
    ("model", "message", "expected"),
    [
        ("gemini-3-pro-preview", {"tool_calls": [CALL, CALL]}, [STAND_IN_SIGNATURE, None]),
        ("gemini-3.1-flash", {"tool_calls": [CALL]}, [STAND_IN_SIGNATURE]),
        ("gemini-pro-latest", {"tool_calls": [CALL]}, [STAND_IN_SIGNATURE]),
        ("gemini-2.5-pro", {"tool_calls": [CALL]}, [None]),
        ("gemini-3-pro-preview", {"tool_calls": [{**CALL, "extra_content": {"google": {"thought_signature": "S"}}}, CALL]}, ["S", None]),
        ("gemini-2.5-pro", {"tool_calls": [{**CALL, "extra_content": {"google": {"thought_signature": "S"}}}]}, ["S"]),
        ("gemini-2.5-pro", {"tool_calls": [CALL], "extra_content": {"google": {"thought_signature": "M"}}}, ["M"]),
        (
            "gemini-3-pro-preview",
            {"tool_calls": [CALL], "thinking_blocks": [{"type": "thinking", "thinking": "", "signature": "EqClaude"}]},
            [STAND_IN_SIGNATURE],
        ),
        ("gemini-3-pro-preview", {"content": "a", "extra_content": {"google": {"thought_signature": "M"}}}, ["M"]),
        ("gemini-3-pro-preview", {"content": "", "extra_content": {"google": {"thought_signature": "M"}}}, ["M"]),
        (
            "gemini-3-pro-preview",
            {"content": "a", "tool_calls": [CALL], "extra_content": {"google": {"thought_signature": "M"}}},
            ["M", STAND_IN_SIGNATURE],
        ),
    ],
)
def test_thought_signatures_go_back_where_they_came_from(model: str, message: dict[str, Any], expected: list[str | None]) -> None:
    sent = contents(HI, {"role": "assistant", **message}, HI, model=model)
    assert [part.get("thoughtSignature") for part in sent[1]["parts"]] == expected


def test_tools_keep_their_json_schema() -> None:
    schema = {
        "type": "object",
        "$defs": {"a": {"type": "string"}},
        "properties": {"x": {"$ref": "#/$defs/a"}},
        "additionalProperties": False,
    }
    sent = body({"tools": [{"type": "function", "function": {"name": "f", "description": "d", "parameters": schema}}]})
    assert sent["tools"] == [{"functionDeclarations": [{"name": "f", "description": "d", "parametersJsonSchema": schema}]}]
    assert "toolConfig" not in sent


@pytest.mark.parametrize(
    ("chat", "expected"),
    [
        ({"tool_choice": "auto"}, {"mode": "AUTO"}),
        ({"tool_choice": "none"}, {"mode": "NONE"}),
        ({"tool_choice": "required"}, {"mode": "ANY"}),
        ({"tool_choice": {"type": "function", "function": {"name": "look"}}}, {"mode": "ANY", "allowedFunctionNames": ["look"]}),
        (
            {"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [TOOL]}}},
            {"mode": "ANY", "allowedFunctionNames": ["look"]},
        ),
        (
            {"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [TOOL]}}},
            {"mode": "VALIDATED", "allowedFunctionNames": ["look"]},
        ),
        ({"tools": [{"type": "function", "function": {"name": "look", "strict": True}}]}, {"mode": "VALIDATED"}),
        ({"tools": [{"type": "function", "function": {"name": "look", "strict": True}}], "tool_choice": "auto"}, {"mode": "VALIDATED"}),
    ],
)
def test_tool_choice(chat: dict[str, Any], expected: dict[str, Any]) -> None:
    assert body({"tools": [TOOL], **chat})["toolConfig"] == {"functionCallingConfig": expected}


@pytest.mark.parametrize(
    ("chat", "expected"),
    [
        ({}, None),
        ({"n": 1, "logprobs": False, "modalities": ["text"], "response_format": {"type": "text"}, "temperature": None}, None),
        ({"max_tokens": 5}, {"maxOutputTokens": 5}),
        ({"max_tokens": 5, "max_completion_tokens": 6}, {"maxOutputTokens": 6}),
        ({"temperature": 0, "top_p": 0.5, "top_k": 4, "seed": 0}, {"temperature": 0, "topP": 0.5, "topK": 4, "seed": 0}),
        ({"presence_penalty": 1, "frequency_penalty": -1}, {"presencePenalty": 1, "frequencyPenalty": -1}),
        ({"stop": "a"}, {"stopSequences": ["a"]}),
        ({"stop": ["a", "b"]}, {"stopSequences": ["a", "b"]}),
        ({"n": 3}, {"candidateCount": 3}),
        ({"logprobs": True}, {"responseLogprobs": True}),
        ({"logprobs": True, "top_logprobs": 2}, {"responseLogprobs": True, "logprobs": 2}),
        ({"modalities": ["text", "image"]}, {"responseModalities": ["TEXT", "IMAGE"]}),
        ({"response_format": {"type": "json_object"}}, {"responseMimeType": "application/json"}),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}},
            {"responseMimeType": "application/json", "responseJsonSchema": {"type": "object"}},
        ),
    ],
)
def test_generation_config(chat: dict[str, Any], expected: Any) -> None:
    assert config(chat) == expected


@pytest.mark.parametrize(
    ("model", "chat", "expected"),
    [
        ("gemini-2.5-flash", {"reasoning_effort": "none"}, {"thinkingBudget": 0}),
        ("gemini-2.5-pro", {"reasoning_effort": "none"}, {"thinkingBudget": 128}),
        ("gemini-2.5-flash", {"reasoning_effort": "low"}, {"thinkingBudget": 1024, "includeThoughts": True}),
        ("gemini-2.5-flash-lite", {"reasoning_effort": "medium"}, {"thinkingBudget": 8192, "includeThoughts": True}),
        ("gemini-2.5-flash", {"reasoning_effort": "max"}, {"thinkingBudget": 24576, "includeThoughts": True}),
        ("models/gemini-2.5-pro", {"reasoning_effort": "xhigh"}, {"thinkingBudget": 32768, "includeThoughts": True}),
        ("gemini-flash-latest", {"reasoning_effort": "low"}, {"thinkingBudget": 1024, "includeThoughts": True}),
        ("gemini-3-flash-preview", {"reasoning_effort": "none"}, {"thinkingLevel": "MINIMAL"}),
        ("gemini-3-flash-preview", {"reasoning_effort": "medium"}, {"thinkingLevel": "MEDIUM", "includeThoughts": True}),
        ("gemini-3-pro-preview", {"reasoning_effort": "minimal"}, {"thinkingLevel": "LOW", "includeThoughts": True}),
        ("gemini-3-pro-preview", {"reasoning_effort": "medium"}, {"thinkingLevel": "HIGH", "includeThoughts": True}),
        ("gemini-3.1-pro", {"reasoning_effort": "medium"}, {"thinkingLevel": "MEDIUM", "includeThoughts": True}),
        ("gemini-4-flash", {"reasoning_effort": "xhigh"}, {"thinkingLevel": "HIGH", "includeThoughts": True}),
        ("gemini-2.5-flash", {"thinking": {"type": "enabled", "budget_tokens": 3000}}, {"thinkingBudget": 3000, "includeThoughts": True}),
        ("gemini-2.5-flash", {"thinking": {"type": "enabled", "budget_tokens": 99999}}, {"thinkingBudget": 24576, "includeThoughts": True}),
        ("gemini-2.5-flash", {"thinking": {"type": "adaptive"}}, {"includeThoughts": True}),
        ("gemini-2.5-flash", {"thinking": {"type": "disabled"}}, {"thinkingBudget": 0}),
        (
            "gemini-3-flash-preview",
            {"thinking": {"type": "enabled", "budget_tokens": 3000}, "reasoning_effort": "low"},
            {"thinkingLevel": "LOW", "includeThoughts": True},
        ),
    ],
)
def test_thinking_per_family_of_models(model: str, chat: dict[str, Any], expected: dict[str, Any]) -> None:
    sent = wire(chat, model)
    assert orjson.loads(sent.body)["generationConfig"] == {"thinkingConfig": expected}
    assert sent.dropped == []


@pytest.mark.parametrize(
    "model", ["gemini-2.0-flash", "gemini-1.5-pro", "gemma-3-27b-it", "gemini-2.5-flash-image", "gemini-2.5-flash-preview-tts"]
)
def test_models_that_do_not_think_drop_the_effort_by_name(model: str) -> None:
    sent = wire({"reasoning_effort": "high"}, model)
    assert sent.dropped == ["reasoning_effort"]
    assert b"thinkingConfig" not in sent.body
    assert wire({"reasoning_effort": "none"}, model).dropped == []


@pytest.mark.parametrize(
    ("chat", "dropped"),
    [
        ({"parallel_tool_calls": False}, ["parallel_tool_calls"]),
        ({"parallel_tool_calls": True, "store": False, "service_tier": "auto", "logit_bias": {}, "user": None}, []),
        ({"logit_bias": {"1": 2}, "user": "u", "metadata": {"a": "b"}}, ["logit_bias", "user", "metadata"]),
        ({"service_tier": "scale", "verbosity": "low", "prediction": {"type": "content"}}, ["service_tier", "verbosity", "prediction"]),
        ({"something_new": 1}, ["something_new"]),
        ({"tools": [TOOL, {"type": "custom"}]}, ["tools.custom"]),
        ({"tools": [TOOL], "web_search_options": {}}, ["web_search_options"]),
        ({"web_search_options": {"search_context_size": "low"}}, ["web_search_options.search_context_size"]),
        ({"messages": [{**HI, "name": "ann", "cache_control": {"type": "ephemeral"}}]}, ["cache_control", "messages[].name"]),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://h/a.png", "detail": "low"}}]}]},
            ["image_url.detail"],
        ),
    ],
)
def test_what_has_no_place_is_named(chat: dict[str, Any], dropped: list[str]) -> None:
    assert wire(chat).dropped == dropped


def test_strict_tools_of_models_without_validation_are_named() -> None:
    assert wire({"tools": [{"type": "function", "function": {"name": "f", "strict": True}}]}, "gemini-2.0-flash").dropped == [
        "tools.strict"
    ]


def test_the_request_is_not_changed() -> None:
    chat = {"messages": [{"role": "system", "content": "s"}, HI, HI, {"role": "assistant", "tool_calls": [CALL]}], "tools": [TOOL]}
    before = orjson.dumps(chat)
    wire(chat, "gemini-3-pro")
    assert orjson.dumps(chat) == before


KEYS = st.sampled_from(
    [
        "role",
        "content",
        "type",
        "text",
        "image_url",
        "url",
        "input_audio",
        "data",
        "format",
        "file",
        "file_data",
        "file_id",
        "tool_calls",
        "function",
        "name",
        "arguments",
        "id",
        "tool_call_id",
        "extra_content",
        "google",
        "thought_signature",
        "parts",
        "thinking_blocks",
        "signature",
        "refusal",
        "parameters",
        "strict",
        "json_schema",
        "schema",
        "allowed_tools",
        "tools",
        "mode",
        "budget_tokens",
        "filename",
        "detail",
        "cache_control",
    ]
)
WORDS = st.sampled_from(
    ["user", "assistant", "tool", "system", "text", "function", "image_url", "auto", "low", "a", "", "{}", "json_schema"]
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=15,
)
NAMES = st.sampled_from(
    [
        "tools",
        "tool_choice",
        "response_format",
        "reasoning_effort",
        "thinking",
        "stop",
        "n",
        "logprobs",
        "modalities",
        "web_search_options",
        "service_tier",
        "x",
    ]
)
MESSAGES = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant", "tool", "system"]), "content": VALUES},
        optional={"tool_calls": VALUES, "tool_call_id": WORDS, "extra_content": VALUES, "thinking_blocks": VALUES, "name": WORDS},
    ),
    max_size=4,
)


@settings(max_examples=150)
@given(MESSAGES | VALUES, st.dictionaries(NAMES, VALUES, max_size=4))
def test_any_json_is_a_request_or_a_400(messages: Any, chat: dict[str, Any]) -> None:
    statuses = set()
    for model in ("gemini-2.5-pro", "gemini-3-flash"):
        try:
            orjson.loads(wire({**chat, "messages": messages}, model).body)
        except GatewayError as error:
            statuses.add(error.status)
    assert statuses <= {400}


def test_json_nested_too_deeply_to_be_written_is_refused() -> None:
    deep: Any = {}
    for _ in range(300):
        deep = {"a": deep}
    assert refusal({"tools": [{"type": "function", "function": {"name": "f", "parameters": deep}}]}).source is Source.CLIENT


@pytest.mark.parametrize(
    ("turn", "media"),
    [
        (
            {"content": [{"type": "image_generation_call", "id": "ig_1", "result": "QUJD", "output_format": "webp", "index": 0}]},
            "image/webp",
        ),
        ({"content": "", "provider_items": [{"type": "image_generation_call", "result": "QUJD", "index": 0}]}, "image/png"),
        (
            {
                "content": "",
                "images": [{"index": 0, "type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}}],
                "provider_items": [{"type": "image_generation_call", "result": "QUJD"}],
            },
            "image/png",
        ),
    ],
)
def test_a_picture_that_another_model_made_goes_back_as_one(turn: dict[str, Any], media: str) -> None:
    made = contents(HI, {"role": "assistant", **turn}, HI)
    assert made[1] == {"role": "model", "parts": [{"inlineData": {"mimeType": media, "data": "QUJD"}}]}


def test_a_picture_of_which_nothing_is_left_is_named() -> None:
    turn = {"role": "assistant", "content": [{"type": "text", "text": "Here"}, {"type": "image_generation_call", "result": None}]}
    assert wire({"messages": [HI, turn, HI]}).dropped == ["content.image_generation_call"]
