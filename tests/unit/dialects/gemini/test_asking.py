"""Gemini's requests as chats: every variant that Google's servers take."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from edgegate.dialects.base import Ask
from edgegate.dialects.gemini import BatchEmbedClient, CountTokensClient, EmbedClient, GeminiProvider, GenerateClient, StreamClient
from edgegate.dialects.gemini.schema import json_schema
from edgegate.dialects.sealed import seal
from edgegate.errors import GatewayError

CLIENT = GenerateClient()
HI = {"role": "user", "parts": [{"text": "Hi"}]}


def chat(*contents: Any, **more: Any) -> dict[str, Any]:
    return asked({"contents": list(contents) or [HI], **more})


def messages(*contents: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = chat(*contents)["messages"]
    return found


def sent(value: dict[str, Any], model: str = "gemini-2.5-flash") -> dict[str, Any]:
    body: dict[str, Any] = orjson.loads(GeminiProvider().request(Ask(value, model, False, "x-1", 1)).body)
    return body


def refusal(request: dict[str, Any]) -> GatewayError:
    with pytest.raises(GatewayError) as error:
        asked(request)
    assert error.value.status == 400
    return error.value


def asked(request: dict[str, Any]) -> dict[str, Any]:
    CLIENT.check(request)
    return CLIENT.neutral(request)


@pytest.mark.parametrize(
    "request_",
    [
        {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]},
        {"contents": {"role": "user", "parts": {"text": "Hi"}}},
        {"contents": [{"parts": [{"text": "Hi", "thought": None}], "role": None}], "tools": None},
        {"contents": [{"role": "USER", "parts": {"text": "Hi"}}]},
    ],
)
def test_one_question_in_every_spelling(request_: dict[str, Any]) -> None:
    CLIENT.check(request_)
    assert CLIENT.neutral(request_) == {"messages": [{"role": "user", "content": "Hi"}]}


def test_names_may_be_in_snake_case() -> None:
    camel = chat(
        {"role": "user", "parts": [{"inlineData": {"mimeType": "image/png", "data": "AA"}, "mediaResolution": {"level": "LOW"}}]},
        systemInstruction={"parts": [{"text": "S"}]},
        generationConfig={"maxOutputTokens": 5, "thinkingConfig": {"thinkingBudget": 0}, "responseSchema": {"type": "STRING"}},
        toolConfig={"functionCallingConfig": {"mode": "ANY"}},
        tools=[{"functionDeclarations": [{"name": "f", "parameters": {"type": "OBJECT", "properties": {"my_name": {"type": "STRING"}}}}]}],
    )
    snake = chat(
        {"role": "user", "parts": [{"inline_data": {"mime_type": "image/png", "data": "AA"}, "media_resolution": {"level": "LOW"}}]},
        system_instruction={"parts": {"text": "S"}},
        generation_config={"max_output_tokens": "5", "thinking_config": {"thinking_budget": 0}, "response_schema": {"type": "string"}},
        tool_config={"function_calling_config": {"mode": "any"}},
        tools={"function_declarations": {"name": "f", "parameters": {"type": "object", "properties": {"my_name": {"type": "string"}}}}},
    )
    assert snake == camel
    assert camel["tools"][0]["function"]["parameters"]["properties"] == {"my_name": {"type": "string"}}


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ({"inlineData": {"mimeType": "image/png", "data": "A-_A"}}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,A+/A"}}),  # noqa: E501
        ({"inlineData": {"mimeType": "audio/wav", "data": "AA"}}, {"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}}),
        ({"inlineData": {"mimeType": "audio/ogg", "data": "AA"}}, {"type": "input_audio", "input_audio": {"data": "AA", "format": "audio/ogg"}}),  # noqa: E501
        ({"inlineData": {"mimeType": "video/mp4", "data": "AA"}}, {"type": "video_url", "video_url": {"url": "data:video/mp4;base64,AA"}}),
        (
            {"inlineData": {"mimeType": "application/pdf", "data": "AA"}},
            {"type": "file", "file": {"filename": "document.pdf", "file_data": "data:application/pdf;base64,AA"}},
        ),
        ({"fileData": {"fileUri": "https://h/a.png", "mimeType": "image/png"}}, {"type": "image_url", "image_url": {"url": "https://h/a.png"}}),
        ({"fileData": {"fileUri": "https://youtu.be/x"}}, {"type": "video_url", "video_url": {"url": "https://youtu.be/x"}}),
        ({"fileData": {"fileUri": "gs://b/a.pdf", "mimeType": "application/pdf"}}, {"type": "file", "file": {"file_url": "gs://b/a.pdf"}}),
        (
            {"fileData": {"fileUri": "https://g/v1beta/files/x", "mimeType": "text/plain"}},
            {"type": "file", "file": {"file_url": "https://g/v1beta/files/x"}, "extra_content": {"google": {"mimeType": "text/plain"}}},
        ),
        (
            {"fileData": {"fileUri": "https://h/a.mp4", "mimeType": "video/mp4"}, "videoMetadata": {"fps": 2}},
            {"type": "video_url", "video_url": {"url": "https://h/a.mp4"}, "extra_content": {"google": {"videoMetadata": {"fps": 2}}}},
        ),
        (
            {"executableCode": {"code": "1", "language": "PYTHON"}},
            {"type": "executableCode", "executableCode": {"code": "1", "language": "PYTHON"}},
        ),
    ],
)  # fmt: skip
def test_part_becomes_what_others_know_and_goes_back(part: dict[str, Any], expected: dict[str, Any]) -> None:
    found = messages({"role": "user", "parts": [part]})
    assert found == [{"role": "user", "content": [expected]}]
    back = sent({"messages": found})["contents"][0]["parts"][0]
    if part == {"fileData": {"fileUri": "https://youtu.be/x"}}:
        part = {"fileData": {"fileUri": "https://youtu.be/x", "mimeType": "video/mp4"}}
    assert back == orjson.loads(orjson.dumps(part).replace(b"A-_A", b"A+/A"))


def test_calls_without_ids_meet_their_responses_by_name_and_order() -> None:
    call = {"functionCall": {"name": "f", "args": {"a": 1}}}
    contents = (
        HI,
        {"role": "model", "parts": [call, {"functionCall": {"name": "g"}}, call]},
        {"role": "function", "parts": [{"functionResponse": {"name": "f", "response": {"result": "1"}}},
                                       {"functionResponse": {"name": "f", "response": {"error": "no"}}},
                                       {"functionResponse": {"name": "g", "response": {"x": 1}}},
                                       {"text": "go on"}]},
        {"role": "model", "parts": [call]},
        {"role": "user", "parts": [{"functionResponse": {"name": "f"}}]},
    )  # fmt: skip
    found = messages(*contents)
    assert [made["id"] for message in found for made in message.get("tool_calls", [])] == [f"gemini_call_{number}" for number in range(4)]
    answers = [(message["tool_call_id"], message["content"], message.get("is_error")) for message in found if message["role"] == "tool"]
    assert answers == [
        ("gemini_call_0", "1", None),
        ("gemini_call_2", '{"error":"no"}', True),
        ("gemini_call_1", '{"x":1}', None),
        ("gemini_call_3", "{}", None),
    ]
    assert [message["role"] for message in found] == ["user", "assistant", "tool", "tool", "tool", "user", "assistant", "tool"]
    back = sent({"messages": found})["contents"]
    assert b'"id"' not in orjson.dumps(back), "Gemini gets no ids that it did not give"


def test_ids_of_their_own_are_kept() -> None:
    found = messages(
        {"role": "model", "parts": [{"functionCall": {"id": "a", "name": "f"}}, {"functionCall": {"id": "b", "name": "f"}}]},
        {"role": "user", "parts": [{"functionResponse": {"id": "b", "name": "f", "response": {}}}]},
    )
    assert found[1]["tool_call_id"] == "b"
    assert b'"id":"b"' in orjson.dumps(sent({"messages": found}))


def test_turn_with_parts_in_any_order_goes_back_in_that_order() -> None:
    parts = [
        {"text": "think", "thought": True},
        {"functionCall": {"name": "f", "args": {}}, "thoughtSignature": "QQ=="},
        {"text": "between", "thoughtSignature": "Qg=="},
        {"inlineData": {"mimeType": "image/png", "data": "AA"}, "thoughtSignature": "Qw=="},
        {"executableCode": {"code": "1", "language": "PYTHON"}},
        {"text": "more", "thought": True, "thoughtSignature": "RA=="},
        {"text": "end", "thoughtSignature": "RQ=="},
    ]
    found = messages(HI, {"role": "model", "parts": parts})
    assert found[1]["reasoning_content"] == "thinkmore"
    assert found[1]["extra_content"]["google"]["thought_signature"] == "RQ=="
    assert sent({"messages": found})["contents"][1]["parts"] == parts


def test_seal_is_opened_whatever_alphabet_it_comes_back_in() -> None:
    fields = {
        "thinking_blocks": [{"type": "thinking", "thinking": "??>>~~ÿÿ", "signature": "s?>"}],
        "tool_calls": {"c": {"anthropic": {"caller": {}}}},
    }
    text = seal(fields)
    for way in (text, text.replace("+", "-").replace("/", "_"), text.rstrip("=").replace("+", "-").replace("/", "_")):
        found = messages({"role": "model", "parts": [{"functionCall": {"name": "f", "id": "c"}, "thoughtSignature": way}]})[0]
        assert found["thinking_blocks"] == fields["thinking_blocks"]
        assert "google" not in found["tool_calls"][0].get("extra_content", {})
    alone = messages(HI, {"role": "model", "parts": [{"text": "a"}, {"text": "", "thoughtSignature": text}]})[1]
    assert (alone["content"], alone["thinking_blocks"]) == ("a", fields["thinking_blocks"])
    damaged = messages({"role": "model", "parts": [{"text": "a", "thoughtSignature": text[:-7]}]})
    assert damaged == [{"role": "assistant", "content": "a"}]


def test_what_the_chat_has_words_for() -> None:
    found = chat(
        generationConfig={
            "temperature": 0.5, "topP": 0.9, "topK": 40, "maxOutputTokens": 10, "stopSequences": ["a"], "seed": 7, "presencePenalty": 1,
            "frequencyPenalty": -1, "candidateCount": 2, "responseLogprobs": True, "logprobs": 3,
        },
        serviceTier="FLEX",
    )  # fmt: skip
    del found["messages"]
    assert found == {
        "temperature": 0.5, "top_p": 0.9, "top_k": 40, "max_completion_tokens": 10, "stop": ["a"], "seed": 7, "presence_penalty": 1,
        "frequency_penalty": -1, "n": 2, "logprobs": True, "top_logprobs": 3, "service_tier": "flex",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("thinking", "effort"),
    [
        ({"thinkingBudget": 0}, "none"),
        ({"thinkingBudget": 512}, "low"),
        ({"thinkingBudget": 8192}, "medium"),
        ({"thinkingBudget": 24576}, "high"),
        ({"thinkingBudget": -1}, None),
        ({"thinkingLevel": "MEDIUM"}, "medium"),
        ({"thinking_level": "minimal"}, "minimal"),
        ({"thinkingLevel": "THINKING_LEVEL_UNSPECIFIED"}, None),
        ({"includeThoughts": True}, None),
    ],
)
def test_thinking_is_an_effort_for_others_and_the_very_words_for_gemini(thinking: dict[str, Any], effort: str | None) -> None:
    found = chat(generationConfig={"thinkingConfig": thinking})
    assert found.get("reasoning_effort") == effort
    assert sent(found)["generationConfig"] == found["generationConfig"]


@pytest.mark.parametrize("name", ["responseJsonSchema", "response_json_schema", "_responseJsonSchema", "responseSchema"])
def test_schema_of_the_answer_under_each_of_its_names(name: str) -> None:
    schema = {"type": "OBJECT" if name == "responseSchema" else "object", "properties": {"a_b": {"type": "string"}}}
    found = chat(generationConfig={"responseMimeType": "application/json", name: schema})
    plain = {"type": "object", "properties": {"a_b": {"type": "string"}}}
    assert found["response_format"] == {"type": "json_schema", "json_schema": {"name": "response", "schema": plain}}
    assert "generationConfig" not in found


def test_json_without_a_schema_and_other_forms_of_answers() -> None:
    assert chat(generationConfig={"responseMimeType": "application/json"})["response_format"] == {"type": "json_object"}
    enum = {"responseMimeType": "text/x.enum", "responseSchema": {"type": "STRING", "enum": ["a"]}}
    found = chat(generationConfig=enum)
    assert "response_format" not in found
    assert sent(found)["generationConfig"] == enum


def test_speech() -> None:
    speech = {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": "Kore"}}}
    found = chat(generationConfig={"responseModalities": ["AUDIO"], "speechConfig": speech})
    assert (found["modalities"], found["audio"]) == (["audio"], {"format": "pcm16", "voice": "Kore"})
    assert sent(found)["generationConfig"] == {"responseModalities": ["AUDIO"], "speechConfig": speech}
    several = {"multiSpeakerVoiceConfig": {"speakerVoiceConfigs": []}, "languageCode": "de-DE"}
    found = chat(generationConfig={"responseModalities": ["audio"], "speechConfig": several})
    assert sent(found)["generationConfig"] == {"responseModalities": ["AUDIO"], "speechConfig": several}


FUNCTIONS = [{"functionDeclarations": [{"name": "f"}, {"name": "g"}]}]


@pytest.mark.parametrize(
    ("calling", "choice"),
    [
        ({"mode": "AUTO"}, "auto"),
        ({"mode": "NONE"}, "none"),
        ({"mode": "any"}, "required"),
        ({"mode": "ANY", "allowedFunctionNames": ["f"]}, {"type": "function", "function": {"name": "f"}}),
        (
            {"mode": "ANY", "allowedFunctionNames": ["f", "g"]},
            {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [
                {"type": "function", "function": {"name": "f"}}, {"type": "function", "function": {"name": "g"}}]}},
        ),
        ({"mode": "VALIDATED"}, "auto"),
        (
            {"mode": "VALIDATED", "allowedFunctionNames": ["f"]},
            {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "f"}}]}},
        ),
        ({"mode": "AUTO", "streamFunctionCallArguments": False}, "auto"),
    ],
)  # fmt: skip
def test_choice_of_tools_is_said_in_both_ways(calling: dict[str, Any], choice: Any) -> None:
    found = chat(tools=FUNCTIONS, toolConfig={"functionCallingConfig": calling})
    assert found["tool_choice"] == choice
    expected = {
        name: value.upper() if name == "mode" else value for name, value in calling.items() if name != "streamFunctionCallArguments"
    }
    assert sent(found)["toolConfig"] == {"functionCallingConfig": expected}


def test_choice_without_functions_is_only_for_gemini() -> None:
    found = chat(
        tools=[{"googleSearch": {}}], toolConfig={"functionCallingConfig": {"mode": "AUTO"}, "retrievalConfig": {"languageCode": "de"}}
    )
    assert "tool_choice" not in found
    assert sent(found)["toolConfig"] == {"functionCallingConfig": {"mode": "AUTO"}, "retrievalConfig": {"languageCode": "de"}}


def test_tools_of_googles_own_stay_in_their_words() -> None:
    tools = [{"functionDeclarations": [{"name": "f", "behavior": "NON_BLOCKING", "response": {"type": "STRING"}}], "google_search": {}}]
    found = chat(tools=[*tools, {"url_context": {}}, {"codeExecution": {}}, {"newTool": {"a": 1}}])
    assert found["tools"][1:] == [{"googleSearch": {}}, {"urlContext": {}}, {"codeExecution": {}}, {"newTool": {"a": 1}}]
    assert sent(found)["tools"] == [
        {"functionDeclarations": [{"name": "f", "behavior": "NON_BLOCKING", "response": {"type": "STRING"}}]},
        *found["tools"][1:],
    ]


def test_fields_of_googles_own_survive() -> None:
    own = {
        "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
        "cachedContent": "cachedContents/x",
        "labels": {"my_team": "a"},
        "store": False,
        "generationConfig": {"mediaResolution": "MEDIA_RESOLUTION_LOW", "imageConfig": {"aspectRatio": "1:1"}, "somethingNew": 1},
    }
    found = chat(**own)
    body = sent(found)
    assert {name: body[name] for name in own} == own


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        ({}, "contents"),
        ({"contents": []}, "contents"),
        ({"contents": "Hi"}, "contents"),
        ({"contents": [1]}, "contents[0]"),
        ({"contents": [{"parts": "Hi"}]}, "contents[0].parts"),
        ({"contents": [{"parts": [{}]}]}, "contents[0].parts[0]"),
        ({"contents": [{"parts": [{"text": 1}]}]}, "contents[0].parts[0].text"),
        ({"contents": [{"role": "system", "parts": [{"text": "a"}]}]}, "contents[0].role"),
        ({"contents": [{"parts": [{"functionCall": {"name": "f"}}]}]}, "contents[0].parts[0].functionCall"),
        ({"contents": [{"role": "model", "parts": [{"functionCall": {}}]}]}, "contents[0].parts[0].functionCall.name"),
        ({"contents": [{"parts": [{"fileData": {}}]}]}, "contents[0].parts[0].fileData.fileUri"),
        ({"contents": [HI], "generationConfig": 1}, "generationConfig"),
        ({"contents": [HI], "generation_config": {"temperature": "hot"}}, "generationConfig.temperature"),
        ({"contents": [HI], "generationConfig": {"stopSequences": [1]}}, "generationConfig.stopSequences[0]"),
        ({"contents": [HI], "tools": [{"functionDeclarations": [{}]}]}, "tools[0].functionDeclarations[0].name"),
        ({"contents": [HI], "systemInstruction": "S"}, "systemInstruction"),
        ({"contents": [HI], "temperature": 1}, "temperature"),
        ({"contents": [HI], "messages": []}, "messages"),
    ],
)
def test_refusal_names_the_field_as_google_does(request_: dict[str, Any], field: str) -> None:
    error = refusal(request_)
    assert error.param == field
    body = orjson.loads(CLIENT.error(error, "req-1"))["error"]
    assert (body["code"], body["status"], body["message"]) == (400, "INVALID_ARGUMENT", error.message)
    assert body["details"][0]["fieldViolations"][0]["field"] == field
    assert body["details"][-1]["metadata"] == {"request_id": "req-1"}


def test_streams_are_asked_for_by_the_method() -> None:
    request = {"contents": [HI]}
    assert (CLIENT.streams(request), StreamClient().streams(request)) == (False, True)
    assert StreamClient().neutral(request)["stream"] is True
    assert "stream" not in CLIENT.neutral(request)
    assert StreamClient(array=True).stream_type.startswith(b"application/json")
    assert StreamClient().stream_type.startswith(b"text/event-stream")
    assert CLIENT.temperature({"generation_config": {"temperature": 0}}) == 0
    assert CLIENT.temperature({}) is None


@pytest.mark.parametrize("name", ["generateContentRequest", "generate_content_request"])
def test_tokens_of_a_whole_request_are_counted(name: str) -> None:
    client = CountTokensClient()
    inner = {"model": "models/x", "contents": [HI], "systemInstruction": {"parts": [{"text": "S"}]}, "tools": [{"googleSearch": {}}]}
    client.check({name: inner})
    ask = Ask(client.neutral({name: inner}), "gemini-2.5-pro", False, "x-1", 1)
    wire = GeminiProvider().count(ask)
    assert wire.path == "/v1beta/models/gemini-2.5-pro:countTokens"
    assert orjson.loads(wire.body) == {"generateContentRequest": {**inner, "model": "models/gemini-2.5-pro"}}
    with pytest.raises(GatewayError):
        client.check({name: {"contents": []}})


@pytest.mark.parametrize(("body", "tokens"), [(b'{"totalTokens":12}', 12), (b'{"totalTokens":"12"}', 12), (b"{}", 0)])
def test_counted_tokens(body: bytes, tokens: int) -> None:
    assert GeminiProvider().counted(Ask({}, "m", False, "x", 1), body) == tokens


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"candidates":[]}', b'{"totalTokens":"x"}', b'{"totalTokens":-1}', b'{"error":{"code":404}}']
)
def test_reply_without_a_count_is_an_error(body: bytes) -> None:
    with pytest.raises(GatewayError):
        GeminiProvider().counted(Ask({}, "m", False, "x", 1), body)


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "STRING", "nullable": True}, {"type": ["string", "null"]}),
        ({"type": "STRING", "nullable": True, "enum": ["a"]}, {"type": ["string", "null"], "enum": ["a", None]}),
        ({"anyOf": [{"type": "INTEGER"}], "nullable": True}, {"anyOf": [{"type": "integer"}, {"type": "null"}]}),
        ({"any_of": [{"type": "NUMBER"}], "min_items": "2"}, {"anyOf": [{"type": "number"}], "minItems": 2}),
        ({"type": "OBJECT", "properties": {"type": {"type": "STRING"}, "min_items": {"type": "ARRAY", "items": {"type": "STRING"}}}},
         {"type": "object", "properties": {"type": {"type": "string"}, "min_items": {"type": "array", "items": {"type": "string"}}}}),
        ({"type": "STRING", "enum": ["STRING"], "default": "STRING"}, {"type": "string", "enum": ["STRING"], "default": "STRING"}),
        ({"ref": "#/$defs/a", "defs": {"a_b": {"type": "STRING"}}}, {"$ref": "#/$defs/a", "$defs": {"a_b": {"type": "string"}}}),
    ],
)  # fmt: skip
def test_schema_of_googles_is_json_schema(schema: dict[str, Any], expected: dict[str, Any]) -> None:
    assert json_schema(schema) == expected


def test_embeddings_keep_what_is_set_for_all_and_for_each() -> None:
    one = {"model": "models/x", "content": {"parts": [{"text": "a"}]}, "task_type": "RETRIEVAL_QUERY", "outputDimensionality": 8}
    assert EmbedClient().neutral(one) == {"input": "a", "encoding_format": "float", "taskType": "RETRIEVAL_QUERY", "dimensions": 8}
    two = {"content": {"parts": [{"text": "b"}, {"text": "c"}]}, "taskType": "RETRIEVAL_DOCUMENT", "title": "T", "outputDimensionality": 8}
    client = BatchEmbedClient()
    request = {"requests": [one, two]}
    client.check(request)
    neutral = client.neutral(request)
    assert neutral == {
        "input": ["a", "b\nc"],
        "encoding_format": "float",
        "dimensions": 8,
        "requests": [{"taskType": "RETRIEVAL_QUERY"}, {"taskType": "RETRIEVAL_DOCUMENT", "title": "T"}],
    }
    sent = orjson.loads(GeminiProvider().embed(neutral, "m").body)["requests"]
    assert [(item["model"], item["taskType"], item["outputDimensionality"]) for item in sent] == [
        ("models/m", "RETRIEVAL_QUERY", 8),
        ("models/m", "RETRIEVAL_DOCUMENT", 8),
    ]


def test_embedding_of_a_picture_is_for_gemini_alone() -> None:
    content = {"parts": [{"text": "a"}, {"inlineData": {"mimeType": "image/png", "data": "AA"}}]}
    neutral = EmbedClient().neutral({"content": content})
    assert isinstance(neutral["input"][0], list)
    wire = GeminiProvider().embed(neutral, "gemini-embedding-2")
    assert orjson.loads(wire.body)["requests"][0]["content"] == content
