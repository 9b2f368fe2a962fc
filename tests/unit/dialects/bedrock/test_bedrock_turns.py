"""Messages of a chat as Converse's."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from edgegate.dialects.base import Json
from edgegate.dialects.sealed import seal
from edgegate.errors import GatewayError
from tests.unit.dialects.bedrock.made import CLAUDE, KIMI, LLAMA, NOVA, REDACTED, SIDE, SIGNED, asked, blocks, call, sent, tool, user

PNG = "data:image/png;base64,iVBORw0KGgo="
PDF = "data:application/pdf;base64,JVBERi0="


def refusal(*messages: Json, **fields: Any) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        SIDE.request(asked(*messages, **fields))
    assert caught.value.status == 400
    return caught.value


def test_system_messages_stand_apart_and_blank_text_nowhere() -> None:
    body, wire = sent(
        {"role": "system", "content": "A"}, {"role": "developer", "content": [{"type": "text", "text": "B"}]}, user("  "), user("Hi")
    )
    assert body == {"messages": [{"role": "user", "content": [{"text": "Hi"}]}], "system": [{"text": "A"}, {"text": "B"}]}
    assert (wire.dropped, wire.mapped) == ([], [])


def test_turns_alternate_and_results_come_first_in_theirs() -> None:
    body, _ = sent(
        user("A"),
        user("B"),
        {"role": "assistant", "content": "C", "tool_calls": [call("t1", arguments='{"a": 1}'), call("t2")]},
        {"role": "tool", "tool_call_id": "t1", "content": "one"},
        user("D"),
        {"role": "tool", "tool_call_id": "t2", "content": [{"type": "text", "text": "two"}], "is_error": True},
        tools=[tool()],
    )
    assert body["messages"] == [
        {"role": "user", "content": [{"text": "A"}, {"text": "B"}]},
        {
            "role": "assistant",
            "content": [
                {"text": "C"},
                {"toolUse": {"toolUseId": "t1", "name": "weather", "input": {"a": 1}}},
                {"toolUse": {"toolUseId": "t2", "name": "weather", "input": {}}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"toolResult": {"toolUseId": "t1", "content": [{"text": "one"}]}},
                {"toolResult": {"toolUseId": "t2", "content": [{"text": "two"}], "status": "error"}},
                {"text": "D"},
            ],
        },
    ]


def test_a_result_of_nothing_says_so_and_mistral_gets_objects() -> None:
    history = [user("A"), {"role": "assistant", "tool_calls": [call("t1")]}, {"role": "tool", "tool_call_id": "t1", "content": ""}]
    assert sent(*history, tools=[tool()])[0]["messages"][2]["content"][0]["toolResult"]["content"] == [{"text": "(no output)"}]
    for said, expected in (("30", {"result": "30"}), ('{"t": 30}', {"t": 30})):
        history[2] = {"role": "tool", "tool_call_id": "t1", "content": said}
        body, _ = sent(*history, tools=[tool()], model="mistral.mistral-large-2407-v1:0")
        assert body["messages"][2]["content"][0]["toolResult"]["content"] == [{"json": expected}]


def test_a_conversation_begins_with_the_user() -> None:
    body, wire = sent({"role": "assistant", "content": "Hello"}, user("Hi"))
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "user"]
    assert wire.mapped == ["messages"]
    assert refusal({"role": "assistant", "content": "Hello"}, approximate=False).param == "messages"
    assert refusal({"role": "system", "content": "alone"}).param == "messages"


def test_old_function_messages_are_calls_and_results() -> None:
    body, _ = sent(
        user("A"),
        {"role": "assistant", "content": None, "function_call": {"name": "weather", "arguments": "{}"}},
        {"role": "function", "name": "weather", "content": "sun"},
    )
    assert body["messages"][1]["content"][0]["toolUse"]["toolUseId"] == "function_1"
    assert body["messages"][2]["content"][0]["toolResult"]["toolUseId"] == "function_1"


@pytest.mark.parametrize(
    ("part", "block"),
    [
        ({"type": "image_url", "image_url": {"url": PNG}}, {"image": {"format": "png", "source": {"bytes": "iVBORw0KGgo="}}}),
        (
            {"type": "image_url", "image_url": {"url": "data:image/jpg;base64,AA=="}},
            {"image": {"format": "jpeg", "source": {"bytes": "AA=="}}},
        ),
        (
            {"type": "image_url", "image_url": {"url": "s3://bucket/a/kiwi.JPG"}},
            {"image": {"format": "jpeg", "source": {"s3Location": {"uri": "s3://bucket/a/kiwi.JPG"}}}},
        ),
        (
            {"type": "image_url", "image_url": {"url": PDF}},
            {"document": {"format": "pdf", "name": "Document", "source": {"bytes": "JVBERi0="}}},
        ),
        (
            {
                "type": "file",
                "file": {"file_data": PDF, "filename": "Q3 report_v2.final.pdf"},
                "context": "C",
                "citations": {"enabled": True},
            },
            {
                "document": {
                    "format": "pdf",
                    "name": "Q3 report-v2-final",
                    "source": {"bytes": "JVBERi0="},
                    "context": "C",
                    "citations": {"enabled": True},
                }
            },
        ),
        (
            {"type": "file", "file": {"file_data": "JVBERi0=", "filename": "a.pdf"}},
            {"document": {"format": "pdf", "name": "a", "source": {"bytes": "JVBERi0="}}},
        ),
        (
            {"type": "file", "file": {"file_data": "data:text/plain;base64,YQ==", "filename": "a.md"}},
            {"document": {"format": "md", "name": "a", "source": {"bytes": "YQ=="}}},
        ),
        (
            {"type": "file", "file": {"file_data": "data:application/json;base64,e30="}},
            {"document": {"format": "txt", "name": "Document", "source": {"bytes": "e30="}}},
        ),
        (
            {"type": "file", "file": {"file_url": "s3://bucket/b.docx", "filename": "b.docx"}},
            {"document": {"format": "docx", "name": "b", "source": {"s3Location": {"uri": "s3://bucket/b.docx"}}}},
        ),
        ({"type": "file", "file": {"file_data": "data:video/mp4;base64,AA=="}}, {"video": {"format": "mp4", "source": {"bytes": "AA=="}}}),
        (
            {"type": "video_url", "video_url": {"url": "data:video/quicktime;base64,AA=="}},
            {"video": {"format": "mov", "source": {"bytes": "AA=="}}},
        ),
        (
            {"type": "video_url", "video_url": {"url": "s3://bucket/small.mp4"}},
            {"video": {"format": "mp4", "source": {"s3Location": {"uri": "s3://bucket/small.mp4"}}}},
        ),
        (
            {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
            {"audio": {"format": "wav", "source": {"bytes": "AA=="}}},
        ),
        (
            {"type": "document", "source": {"type": "text", "data": "A text"}, "title": "T", "citations": {"enabled": True}},
            {"document": {"format": "txt", "name": "T", "source": {"text": "A text"}, "citations": {"enabled": True}}},
        ),
        (
            {"type": "search_result", "source": "s", "title": "T", "content": [{"type": "text", "text": "A"}]},
            {"searchResult": {"source": "s", "title": "T", "content": [{"text": "A"}]}},
        ),
        ({"type": "guardContent", "guardContent": {"text": {"text": "Q"}}}, {"guardContent": {"text": {"text": "Q"}}}),
    ],
)
def test_parts(part: Json, block: Json) -> None:
    found = blocks(user([{"type": "text", "text": "See"}, part]))
    assert found == [{"text": "See"}, block]


@pytest.mark.parametrize(
    ("part", "param"),
    [
        ({"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}, "image_url.url"),
        ({"type": "image_url", "image_url": {"url": "data:image/bmp;base64,AA=="}}, "image_url.url"),
        ({"type": "image_url", "image_url": {"url": "data:image/png;base64,"}}, "image_url.url"),
        ({"type": "image_url"}, "image_url.url"),
        ({"type": "file", "file": {"file_id": "file-1"}}, "file.file_id"),
        ({"type": "file", "file": {"file_url": "https://example.com/a.pdf"}}, "file.file_url"),
        ({"type": "file", "file": {"file_data": "data:application/zip;base64,AA=="}}, "file.file_data"),
        ({"type": "file"}, "file"),
        ({"type": "video_url", "video_url": {"url": "https://example.com/a.mp4"}}, "video_url.url"),
        ({"type": "input_audio", "input_audio": {"data": "AA==", "format": "smell"}}, "input_audio"),
        ({"type": "document", "source": {"type": "url", "url": "https://example.com"}}, "source"),
        ({"type": "image", "source": {"type": "file", "file_id": "file-1"}}, "source"),
        ({"type": "container_upload", "file_id": "f"}, "type"),
        ("text", "type"),
    ],
)
def test_parts_that_cannot_be_sent_are_named(part: Any, param: str) -> None:
    assert refusal(user([part])).param == f"messages[0].content[0].{param}"


def test_documents_have_names_of_their_own_and_text_beside_them() -> None:
    body, wire = sent(user([{"type": "file", "file": {"file_data": PDF, "filename": "a.pdf"}}] * 3))
    content = body["messages"][0]["content"]
    assert "text" in content[0]
    assert [block["document"]["name"] for block in content[1:]] == ["a", "a (2)", "a (3)"]
    assert wire.mapped == ["messages[].content"]
    assert "text" not in sent(user([{"type": "file", "file": {"file_data": PDF}}]), approximate=False)[0]["messages"][0]["content"][0]


def test_cache_marks_become_points_behind_what_they_mark() -> None:
    mark = {"cache_control": {"type": "ephemeral"}}
    history = [
        {"role": "system", "content": [{"type": "text", "text": "A", **mark}, {"type": "text", "text": "B"}]},
        user([{"type": "text", "text": "C", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]),
        {"role": "assistant", "tool_calls": [call("t1")]},
        {"role": "tool", "tool_call_id": "t1", "content": "D", **mark},
        user("E"),
    ]
    body, wire = sent(*history, tools=[tool(), {**tool("b"), **mark}])
    point = {"cachePoint": {"type": "default"}}
    assert body["system"] == [{"text": "A"}, point, {"text": "B"}]
    assert body["messages"][0]["content"] == [{"text": "C"}, {"cachePoint": {"type": "default", "ttl": "1h"}}]
    assert [next(iter(block)) for block in body["messages"][2]["content"]] == ["toolResult", "cachePoint", "text"]
    assert body["toolConfig"]["tools"][2] == point
    assert (wire.dropped, wire.mapped) == ([], [])
    body, wire = sent(*history, tools=[{**tool(), **mark}], model=NOVA)
    assert body["messages"][0]["content"] == [{"text": "C"}, point]
    assert (wire.dropped, wire.mapped) == (["cache_control"], ["cache_control"])  # of the tool; an hour
    body, wire = sent(*history, model=LLAMA)
    assert b"cachePoint" not in wire.body
    assert wire.dropped == ["cache_control"]
    assert sent(user("A"), cache_control={"type": "ephemeral"})[0]["messages"][0]["content"] == [{"text": "A"}, point]


def test_signed_reasoning_goes_back_to_claude_only() -> None:
    thinking = [SIGNED, REDACTED]
    history = [user("A"), {"role": "assistant", "content": "B", "thinking_blocks": thinking, "reasoning_content": "Hm"}, user("C")]
    body, wire = sent(*history)
    assert body["messages"][1]["content"] == [
        {"reasoningContent": {"reasoningText": {"text": "Hm", "signature": "EqkC"}}},
        {"reasoningContent": {"redactedContent": base64.b64encode(b"EuQDCkg").decode()}},
        {"text": "B"},
    ]
    assert wire.dropped == []
    for model in (NOVA, KIMI):
        body, wire = sent(*history, model=model)
        assert body["messages"][1]["content"] == [{"text": "B"}]
        assert wire.dropped == ["messages[].thinking_blocks"]


@pytest.mark.parametrize("signature", ["", None, "gemini:abc", seal({"reasoning_content": "x"})])
def test_no_foreign_signature_is_sent(signature: Any) -> None:
    foreign = {"type": "thinking", "thinking": "Hm", "signature": signature}
    body, wire = sent(user("A"), {"role": "assistant", "content": "B", "thinking_blocks": [foreign]}, user("C"))
    assert body["messages"][1]["content"] == [{"text": "B"}]
    assert wire.dropped == ["messages[].thinking_blocks"]


def test_reasoning_without_a_signature_stays_here_by_name() -> None:
    _, wire = sent(user("A"), {"role": "assistant", "content": "B", "reasoning_content": "Hm"}, user("C"))
    assert wire.dropped == ["messages[].reasoning_content"]


def test_another_makers_own_state_goes_back_to_that_maker() -> None:
    item = {"type": "reasoning.text", "text": "Hm", "signature": "S", "format": "bedrock-amazon-v1", "index": 0}
    history = [user("A"), {"role": "assistant", "content": "B", "reasoning_details": [item]}, user("C")]
    body, wire = sent(*history, model=NOVA)
    assert body["messages"][1]["content"][0] == {"reasoningContent": {"reasoningText": {"text": "Hm", "signature": "S"}}}
    assert wire.dropped == []
    assert sent(*history, model=KIMI)[1].dropped == ["messages[].reasoning_details"]


def test_ids_and_names_that_do_not_fit_are_replaced_the_same_everywhere() -> None:
    odd = ["functions.get weather:0", "x" * 80, "call|fc_1", "call fc_1", "call_fc_1", "functions.ok:0"]
    history = [user("A"), {"role": "assistant", "tool_calls": [call(id, "fs.read") for id in odd]}]
    history += [{"role": "tool", "tool_call_id": id, "content": id} for id in odd]
    for model in (CLAUDE, KIMI):
        body, _ = sent(*history, tools=[tool("fs.read"), tool("fs_read")], model=model)
        uses = [block["toolUse"] for block in body["messages"][1]["content"]]
        ids = [use["toolUseId"] for use in uses]
        assert len(set(ids)) == len(odd)
        assert ids == [block["toolResult"]["toolUseId"] for block in body["messages"][2]["content"]]
        assert ids[4] == "call_fc_1"
        assert ("functions.ok:0" in ids) == (model == KIMI)
        assert all(len(id) <= 64 for id in ids)
        names = [found["toolSpec"]["name"] for found in body["toolConfig"]["tools"]]
        assert names[1] == "fs_read"
        assert len(set(names)) == 2
        assert {use["name"] for use in uses} == {names[0]}


def test_records_of_vendors_own_tools_are_left_out_by_name() -> None:
    content = [{"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}, {"type": "web_search_tool_result", "content": []}]
    body, wire = sent(user("A"), {"role": "assistant", "content": [*content, {"type": "text", "text": "B"}]}, user("C"))
    assert body["messages"][1]["content"] == [{"text": "B"}]
    assert wire.dropped == ["content.server_tool_use", "content.web_search_tool_result"]


def test_models_without_a_system_prompt_read_it_from_the_user() -> None:
    body, wire = sent({"role": "system", "content": "S"}, user("A"), model="amazon.titan-text-express-v1")
    assert body == {"messages": [{"role": "user", "content": [{"text": "S"}, {"text": "A"}]}]}
    assert wire.mapped == ["messages[].role"]
    body, _ = sent(user("A"), response_format={"type": "json_object"}, model="amazon.titan-text-express-v1")
    assert "system" not in body
    assert "JSON" in body["messages"][0]["content"][0]["text"]


def test_bad_messages_are_named() -> None:
    assert refusal({"role": "critic", "content": "A"}).param == "messages[0].role"
    assert refusal(user(7)).param == "messages[0].content"
    assert refusal({"role": "tool", "content": "A"}).param == "messages[0].tool_call_id"
    assert (
        refusal(user("A"), {"role": "assistant", "tool_calls": [call("t", arguments="[")]}).param
        == "messages[1].tool_calls[0].function.arguments"
    )
    assert refusal(user("A"), {"role": "assistant", "tool_calls": [{"type": "custom"}]}).param == "messages[1].tool_calls[0]"
