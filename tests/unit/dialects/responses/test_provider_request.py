"""A chat becomes a request to the Responses API."""

from __future__ import annotations

import typing
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.responses import ResponseInputItemParam, ToolParam

from edgegate.dialects.base import Ask, WireRequest
from edgegate.dialects.openai.client import ChatClient
from edgegate.dialects.responses.foreign import without_foreign
from edgegate.dialects.responses.offer import OWN_TOOLS
from edgegate.dialects.responses.provider import ResponsesProvider
from edgegate.dialects.responses.turn import OWN_ITEMS
from edgegate.dialects.sealed import seal
from edgegate.errors import GatewayError
from tests.wire.odd_json import CHATS

SIDE = ResponsesProvider()
HI = {"role": "user", "content": "Hi"}
FORMAT = "openai-responses-v1"


def sent(model: str = "gpt-5", *, stream: bool = False, approximate: bool = True, **chat: Any) -> WireRequest:
    chat.setdefault("messages", [HI])
    return SIDE.request(Ask(chat, model, stream, "chatcmpl-1", 1, approximate=approximate))


def body(model: str = "gpt-5", **chat: Any) -> dict[str, Any]:
    made: dict[str, Any] = orjson.loads(sent(model, **chat).body)
    return made


def inputs(*messages: dict[str, Any], **chat: Any) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = body(messages=list(messages), **chat)["input"]
    return made


def literals(union: Any) -> set[str]:
    """The `type`s of all members of a union of the SDK's TypedDicts."""
    found: set[str] = set()
    for member in typing.get_args(union):
        hint = typing.get_type_hints(member).get("type")
        stack = [hint]
        while stack:
            one = stack.pop()
            found |= {one} if isinstance(one, str) else set()
            stack += list(typing.get_args(one))
    return found


def test_every_item_and_tool_that_the_sdk_knows_is_known() -> None:
    assert literals(ResponseInputItemParam) == OWN_ITEMS
    assert literals(ToolParam) == OWN_TOOLS | {"function", "custom"}


def test_the_least_request() -> None:
    wire = sent("gpt-4o")
    assert (wire.method, wire.path, wire.dropped, wire.mapped) == ("POST", "/responses", [], [])
    assert orjson.loads(wire.body) == {"model": "gpt-4o", "input": [{"role": "user", "content": "Hi"}], "store": False}
    assert orjson.loads(sent("gpt-4o", stream=True).body)["stream"] is True


def test_reasoning_is_asked_for_in_the_form_that_can_be_sent_back_where_the_model_reasons() -> None:
    wanted = ["reasoning.encrypted_content"]
    for model in ("gpt-5", "o3-pro", "gpt-5.1-codex", "openai/gpt-5", "openai.gpt-5.5", "grok-4-fast"):
        assert body(model)["include"] == wanted
    for model in ("gpt-4o", "gpt-5-chat-latest", "my-deployment"):
        assert "include" not in body(model)
    assert body("my-deployment", reasoning_effort="low")["include"] == wanted
    assert sent("gpt-4o", reasoning_effort="low").dropped == ["reasoning_effort"]


def test_a_summary_is_asked_for_only_where_reasoning_is_to_be_seen() -> None:
    assert body(reasoning_effort="high")["reasoning"] == {"effort": "high"}
    thinking = {"type": "enabled", "budget_tokens": 2000}
    assert body(reasoning_effort="low", thinking=thinking)["reasoning"] == {"effort": "low", "summary": "auto"}
    assert body(thinking={"type": "adaptive"})["reasoning"] == {"summary": "auto"}
    assert body(thinking={"type": "adaptive", "display": "omitted"}).get("reasoning") is None
    assert "reasoning" not in body(thinking={"type": "disabled"})
    assert body(reasoning={"summary": "detailed"}, reasoning_effort="low")["reasoning"] == {"summary": "detailed", "effort": "low"}
    assert sent(reasoning={"max_tokens": 10}).dropped == ["reasoning.max_tokens"]


def test_a_client_that_keeps_state_at_the_provider_is_respected() -> None:
    assert body(store=True)["store"] is True
    assert "store" not in body(previous_response_id="resp_1")
    assert body(previous_response_id="resp_1")["previous_response_id"] == "resp_1"
    assert body(background=True, stream=True)["background"] is True
    assert sent(background=True).dropped == ["background"], "its answer would be that there is none yet"


def test_roles_keep_their_order() -> None:
    made = body(
        messages=[
            {"role": "system", "content": "Be brief."},
            HI,
            {"role": "developer", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            {"role": "system", "content": "Now be long."},
        ]
    )
    assert made["instructions"] == "Be brief."
    assert made["input"] == [
        HI,
        {"role": "developer", "content": [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}]},
        {"role": "system", "content": "Now be long."},
    ]
    assert inputs({"role": "system", "content": "alone"}) == [{"role": "system", "content": "alone"}]
    first = {"role": "developer", "content": "first"}
    assert inputs(first, HI) == [first, HI]


def test_parts_of_a_question() -> None:
    content = [
        {"type": "text", "text": "What?"},
        {"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "low"}},
        {"type": "image_url", "image_url": "data:image/png;base64,AA=="},
        {"type": "image_url", "image_url": {"file_id": "file-1"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,AA=="}},
        {"type": "file", "file": {"file_id": "file-2"}},
        {"type": "file", "file": {"file_url": "https://x/y.pdf", "filename": "y.pdf"}},
        {"type": "input_file", "file_id": "file-3"},
        {"type": "document", "source": {"type": "text", "data": "told"}},
    ]
    assert inputs({"role": "user", "content": content})[0]["content"] == [
        {"type": "input_text", "text": "What?"},
        {"type": "input_image", "image_url": "https://x/y.png", "detail": "low"},
        {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "auto"},
        {"type": "input_image", "file_id": "file-1", "detail": "auto"},
        {"type": "input_file", "file_data": "data:application/pdf;base64,AA==", "filename": "document.pdf"},
        {"type": "input_file", "file_id": "file-2"},
        {"type": "input_file", "file_url": "https://x/y.pdf", "filename": "y.pdf"},
        {"type": "input_file", "file_id": "file-3"},
        {"type": "input_text", "text": "told"},
    ]


@pytest.mark.parametrize(
    "part", [{"type": "input_audio", "input_audio": {}}, {"type": "video_url", "video_url": {}}, {"type": "image_url"}]
)
def test_what_cannot_be_asked_is_refused_by_name(part: dict[str, Any]) -> None:
    with pytest.raises(GatewayError) as caught:
        sent(messages=[{"role": "user", "content": [part]}])
    assert caught.value.status == 400
    assert str(caught.value.param).startswith("messages[0].content[0]")


@pytest.mark.parametrize(("field", "value"), [("n", 2), ("modalities", ["text", "audio"])])
def test_what_would_be_another_answer_is_refused(field: str, value: Any) -> None:
    with pytest.raises(GatewayError) as caught:
        sent(**{field: value})
    assert (caught.value.status, caught.value.param) == (400, field)


def test_calls_and_their_results() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
    custom = {"id": "c2", "type": "custom", "custom": {"name": "sql", "input": "SELECT 1"}}
    picture = [{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": "https://x/y.png"}}]
    made = inputs(
        HI,
        {"role": "assistant", "content": "Let me see.", "tool_calls": [call, custom]},
        {"role": "tool", "tool_call_id": "c1", "content": picture},
        {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "1"}]},
    )
    assert made[1:] == [
        {"role": "assistant", "content": "Let me see."},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"a":1}'},
        {"type": "custom_tool_call", "call_id": "c2", "name": "sql", "input": "SELECT 1"},
        {
            "type": "function_call_output",
            "call_id": "c1",
            "output": [{"type": "input_text", "text": "see"}, {"type": "input_image", "image_url": "https://x/y.png", "detail": "auto"}],
        },
        {"type": "custom_tool_call_output", "call_id": "c2", "output": "1"},
    ]


def test_functions_of_old_chats() -> None:
    made = body(
        messages=[
            HI,
            {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": ""}},
            {"role": "function", "name": "f", "content": "done"},
        ],
        functions=[{"name": "f"}],
        function_call={"name": "f"},
    )
    assert made["input"][1:] == [
        {"type": "function_call", "call_id": "call_f", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_f", "output": "done"},
    ]
    assert made["tools"] == [{"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}, "strict": False}]
    assert made["tool_choice"] == {"type": "function", "name": "f"}


def turn(**more: Any) -> dict[str, Any]:
    """An answer as a chat client has it: reasoning, a search, text, a call."""
    return {
        "role": "assistant",
        "content": "Sunny.",
        "extra_content": {"openai": {"id": "msg_1", "index": 2, "phase": "commentary"}},
        "reasoning_content": "Hm.",
        "reasoning_details": [
            {"type": "reasoning.summary", "id": "rs_1", "summary": "Hm.", "format": FORMAT, "index": 0},
            {"type": "reasoning.encrypted", "id": "rs_1", "data": "gAAA", "format": FORMAT, "index": 0},
        ],
        "provider_items": [{"type": "web_search_call", "id": "ws_1", "status": "completed", "index": 1}],
        "annotations": [{"type": "url_citation", "url_citation": {"url": "u", "title": "t", "start_index": 0, "end_index": 1}}],
        "tool_calls": [
            {
                "id": "c1",
                "type": "function",
                "function": {"name": "f", "arguments": "{}"},
                "extra_content": {"openai": {"id": "fc_1", "index": 3, "namespace": "ns"}},
            }
        ],
        **more,
    }


REASONING = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm."}], "encrypted_content": "gAAA"}


def test_an_answer_goes_back_as_the_items_that_it_was() -> None:
    note = {"type": "url_citation", "url": "u", "title": "t", "start_index": 0, "end_index": 1}
    assert inputs(HI, turn())[1:] == [
        REASONING,
        {"type": "web_search_call", "id": "ws_1", "status": "completed"},
        {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "Sunny.", "annotations": [note]}],
            "phase": "commentary",
        },
        {"type": "function_call", "name": "f", "arguments": "{}", "call_id": "c1", "id": "fc_1", "namespace": "ns"},
    ]


def test_items_are_put_in_the_order_of_their_places() -> None:
    message = turn()
    message["extra_content"]["openai"]["index"] = 4
    message["provider_items"][0]["index"] = 5
    assert [item.get("type") for item in inputs(HI, message)[1:]] == ["reasoning", "function_call", "message", "web_search_call"]


def test_several_messages_of_one_answer_are_cut_apart_again() -> None:
    places = [{"id": "msg_1", "index": 0, "start": 0}, {"id": "msg_2", "index": 1, "start": 4, "phase": "final_answer"}]
    made = inputs(HI, {"role": "assistant", "content": "One.Two.", "extra_content": {"openai": {"id": "msg_1", "messages": places}}})[1:]
    assert [(item["id"], item["content"][0]["text"], item.get("phase")) for item in made] == [
        ("msg_1", "One.", None),
        ("msg_2", "Two.", "final_answer"),
    ]


def test_reasoning_goes_without_its_id_where_what_it_led_to_has_none() -> None:
    anonymous = {name: value for name, value in REASONING.items() if name != "id"}
    made = inputs(HI, turn(extra_content=None, tool_calls=None, provider_items=None, annotations=None))
    assert made[1:] == [anonymous, {"role": "assistant", "content": "Sunny."}]
    alone = inputs(HI, turn(content=None, tool_calls=None, provider_items=None), HI)
    assert alone[1:] == [anonymous, HI]


def test_reasoning_goes_without_its_id_where_what_it_led_to_was_not_kept() -> None:
    made = inputs(HI, turn(provider_items=None, annotations=None))
    assert [item["type"] for item in made[1:]] == ["reasoning", "message", "function_call"]
    assert "id" not in made[1], "the search that followed it is gone"
    assert made[2]["id"] == "msg_1"


def test_reasoning_of_which_only_the_id_is_left_is_for_who_has_stored_it() -> None:
    bare = [{"type": "reasoning.encrypted", "id": "rs_1", "data": None, "format": FORMAT, "index": 0}]
    message = turn(reasoning_details=bare, provider_items=None, annotations=None, tool_calls=None)
    wire = sent(messages=[HI, message])
    assert wire.dropped == ["reasoning_details"]
    assert orjson.loads(wire.body)["input"][1:] == [{"role": "assistant", "content": "Sunny.", "phase": "commentary"}]
    stored = inputs(HI, message, store=True)
    assert [item.get("id") for item in stored[1:]] == ["rs_1", "msg_1"]


def test_readable_reasoning_without_anything_encrypted_goes_back() -> None:
    """deepseek/responses-reasoning-c9257ebd."""
    details = [{"type": "reasoning.text", "id": "1e97", "text": "Hm.", "format": FORMAT, "index": 0}]
    made = inputs(HI, {"role": "assistant", "content": "Hello", "reasoning_details": details})
    assert made[1] == {"type": "reasoning", "id": "1e97", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm."}]}


def test_state_of_other_vendors_is_never_sent() -> None:
    message = turn(
        thinking_blocks=[{"type": "thinking", "thinking": "t", "signature": "SIGNED"}],
        reasoning_details=[
            {"type": "reasoning.encrypted", "id": "x", "data": "FOREIGN", "format": "anthropic-claude-v1", "index": 0},
            {"type": "reasoning.encrypted", "id": "rs_2", "data": seal({"a": 1}), "format": FORMAT, "index": 0},
        ],
        extra_content={"openai": {"id": "c431c0bc-edd8"}, "google": {"thought_signature": "GOOGLE"}},
    )
    wire = sent(messages=[HI, message])
    for word in (b"SIGNED", b"FOREIGN", b"GOOGLE", b"ZWRnZWdhdGU6", b"c431c0bc"):
        assert word not in wire.body
    assert "thinking_blocks" in wire.dropped


def test_items_that_a_client_of_this_api_brought_are_given_back() -> None:
    output = {"type": "computer_call_output", "call_id": "c9", "output": {"type": "computer_screenshot", "file_id": "f"}, "index": 0}
    tools = {"type": "additional_tools", "role": "developer", "tools": []}
    made = inputs(HI, {"role": "user", "content": [output]}, {"role": "developer", "content": [tools]})
    assert made[1:] == [{name: value for name, value in output.items() if name != "index"}, tools]


def test_tools_are_flat_and_say_whether_they_are_strict() -> None:
    grammar = {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: WORD"}}
    made = body(
        tools=[
            {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}, "defer_loading": True},
            {"type": "function", "function": {"name": "g", "strict": True, "parameters": {"type": "object"}}},
            {"type": "custom", "custom": {"name": "c", "format": grammar}},
            {"type": "file_search", "vector_store_ids": ["vs_1"]},
        ],
        tool_choice="required",
        parallel_tool_calls=False,
    )
    assert made["tools"] == [
        {"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}, "strict": False, "defer_loading": True},
        {"type": "function", "name": "g", "parameters": {"type": "object"}, "strict": True},
        {"type": "custom", "name": "c", "format": {"type": "grammar", "syntax": "lark", "definition": "start: WORD"}},
        {"type": "file_search", "vector_store_ids": ["vs_1"]},
    ]
    assert (made["tool_choice"], made["parallel_tool_calls"]) == ("required", False)


@pytest.mark.parametrize(
    ("tool", "made", "name"),
    [
        (
            {"type": "web_search_20250305", "name": "web_search", "allowed_domains": ["a.b"], "user_location": {"city": "Oslo"}},
            {
                "type": "web_search",
                "filters": {"allowed_domains": ["a.b"]},
                "user_location": {"type": "approximate", "city": "Oslo"},
            },
            "tools.web_search",
        ),
        ({"google_search": {}}, {"type": "web_search"}, "tools.web_search"),
        (
            {"type": "code_execution_20250825", "name": "code_execution"},
            {"type": "code_interpreter", "container": {"type": "auto"}},
            "tools.code_execution",
        ),
    ],
)
def test_a_tool_that_another_vendor_runs_becomes_openai_s_own(tool: dict[str, Any], made: dict[str, Any], name: str) -> None:
    wire = sent(tools=[tool])
    assert orjson.loads(wire.body)["tools"] == [made]
    assert (wire.mapped, wire.dropped) == ([name], [])
    exact = sent(tools=[tool], approximate=False, tool_choice="required")
    assert exact.dropped == ["tool_choice", name]
    assert b'"tools"' not in exact.body


def test_tools_of_others_without_a_counterpart_are_named() -> None:
    function = {"type": "function", "function": {"name": "f"}}
    wire = sent(tools=[{"type": "bash_20250124", "name": "bash"}, {"type": "web_fetch_20250910", "name": "web_fetch"}, function])
    assert wire.dropped == ["tools.bash_20250124", "tools.web_fetch"]
    assert len(orjson.loads(wire.body)["tools"]) == 1


def test_the_chat_s_own_search() -> None:
    place = {"type": "approximate", "approximate": {"country": "NO", "city": "Oslo"}}
    made = body(web_search_options={"search_context_size": "low", "user_location": place})
    assert made["tools"] == [
        {"type": "web_search", "search_context_size": "low", "user_location": {"type": "approximate", "city": "Oslo", "country": "NO"}}
    ]


@pytest.mark.parametrize(
    ("choice", "made"),
    [
        ("auto", "auto"),
        ("none", "none"),
        ("any", "required"),
        ({"type": "function", "function": {"name": "f"}}, {"type": "function", "name": "f"}),
        ({"type": "custom", "custom": {"name": "c"}}, {"type": "custom", "name": "c"}),
        ({"type": "mcp", "server_label": "s"}, {"type": "mcp", "server_label": "s"}),
        ({"type": "web_search_preview"}, {"type": "web_search_preview"}),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "f"}}]}},
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "f"}]},
        ),
    ],
)
def test_every_form_of_tool_choice(choice: Any, made: Any) -> None:
    assert body(tools=[{"type": "function", "function": {"name": "f"}}], tool_choice=choice)["tool_choice"] == made


def test_formats_of_the_answer() -> None:
    assert body(response_format={"type": "json_object"}, verbosity="low")["text"] == {"verbosity": "low", "format": {"type": "json_object"}}
    schema = {"name": "city", "schema": {"type": "object"}, "strict": True, "description": None}
    assert body(response_format={"type": "json_schema", "json_schema": schema})["text"]["format"] == {
        "type": "json_schema",
        "name": "city",
        "schema": {"type": "object"},
        "strict": True,
    }


def test_limits_and_log_probabilities() -> None:
    assert body(max_tokens=100)["max_output_tokens"] == 100
    assert body(max_tokens=100, max_completion_tokens=200)["max_output_tokens"] == 200
    least = sent(max_tokens=5)
    assert (orjson.loads(least.body)["max_output_tokens"], least.mapped) == (16, ["max_tokens"])
    made = body("gpt-4o", logprobs=True, top_logprobs=3)
    assert (made["include"], made["top_logprobs"]) == (["message.output_text.logprobs"], 3)


def test_what_the_api_has_no_field_for_is_named_unless_it_says_nothing() -> None:
    lost: dict[str, Any] = {
        "stop": ["x"],
        "seed": 0,
        "logit_bias": {"1": 1},
        "presence_penalty": 1,
        "prediction": {"type": "content"},
        "top_k": 5,
    }
    assert sent(**lost).dropped == sorted(lost)
    none: dict[str, Any] = {"x-cache": "no"}
    assert sent(n=1, presence_penalty=0, modalities=["text"], stop=None, **none).dropped == []
    assert sent(service_tier="on_demand").dropped == ["service_tier"]
    assert body(service_tier="flex")["service_tier"] == "flex"
    assert sent(context_management={"edits": []}).dropped == ["context_management"]
    kept: dict[str, Any] = {
        "temperature": 0.5,
        "top_p": 0.9,
        "metadata": {"a": "b"},
        "user": "u",
        "safety_identifier": "s",
        "prompt_cache_key": "k",
    }
    assert kept.items() <= body(**kept).items()


def test_embeddings_are_openai_s() -> None:
    assert SIDE.embed({"model": "x", "input": "hi"}, "text-embedding-3-small").path == "/embeddings"
    bare = ResponsesProvider("acme", {"openai.responses": "/responses"})
    with pytest.raises(GatewayError, match="no embeddings"):
        bare.embed({"input": "hi"}, "m")


KEYS = st.sampled_from(["type", "id", "index", "text", "content", "openai", "name", "messages", "start", "data", "format"])
WORDS = st.sampled_from(["", "function", "reasoning.text", FORMAT, "rs_1", "message"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=120, deadline=None)
@given(details=JSON, extra=JSON, items=JSON, content=JSON, include=JSON, reasoning=JSON)
def test_odd_extensions_are_a_400_or_work(**odd: Any) -> None:
    message = {
        "role": "assistant",
        "content": odd["content"] if isinstance(odd["content"], (str, list)) else "x",
        "reasoning_details": odd["details"],
        "extra_content": odd["extra"],
        "provider_items": odd["items"],
        "annotations": odd["items"],
    }
    try:
        sent(messages=[HI, message], include=odd["include"], reasoning=odd["reasoning"], thinking=odd["extra"], text=odd["items"])
    except GatewayError as error:
        found = error.status
    else:
        found = 400
    assert found == 400


@settings(max_examples=120, deadline=None)
@given(chat=CHATS)
def test_an_odd_chat_is_a_400_or_works(chat: Any) -> None:
    chat = {"model": "gpt-5", **chat}
    try:
        ChatClient().check(chat)
        SIDE.request(Ask(ChatClient().neutral(chat), "gpt-5", False, "chatcmpl-1", 1))
    except GatewayError as error:
        found = error.status
    else:
        found = 400
    assert found == 400


@pytest.mark.parametrize(
    "words",
    [
        {"think": True},
        {"think": "low"},
        {"token_budget": 2000},
        {"generationConfig": {"thinkingConfig": {"includeThoughts": True, "thinkingBudget": 512}}},
        {"thinking": {"type": "enabled", "budget_tokens": 2000}},
        {"include_reasoning": True},
    ],
)
def test_who_asked_to_see_thoughts_in_other_words_is_given_a_summary(words: dict[str, Any]) -> None:
    assert body(messages=[HI], reasoning_effort="low", **words)["reasoning"] == {"effort": "low", "summary": "auto"}


@pytest.mark.parametrize(
    "words", [{"think": False}, {"generationConfig": {"thinkingConfig": {"includeThoughts": False}}}, {"generationConfig": 3}]
)
def test_who_did_not_is_not(words: dict[str, Any]) -> None:
    assert body(messages=[HI], reasoning_effort="low", **words)["reasoning"] == {"effort": "low"}


def test_seals_are_taken_out_of_a_native_request() -> None:
    sealed = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": seal({"thinking_blocks": []})}
    own = {"type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": "gAAAA"}
    text = {"role": "user", "content": sealed["encrypted_content"]}
    request = {"model": "m", "input": [HI, sealed, own, text, 3, {"type": "message"}]}
    assert without_foreign(request) == {"model": "m", "input": [HI, own, text, 3, {"type": "message"}]}
    assert len(request["input"]) == 6
    for other in ({**request, "input": [own, text]}, {"input": "text"}, {"input": None}, {}):
        assert without_foreign(other) is None
