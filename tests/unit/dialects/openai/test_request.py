"""Chats of other dialects as requests to OpenAI-shaped providers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from edgegate.dialects.azure import AzureProvider
from edgegate.dialects.base import Ask, Progress, Reranker
from edgegate.dialects.cohere.client import CohereEmbedClient
from edgegate.dialects.compat import COMPAT
from edgegate.dialects.gemini.embed_client import BatchEmbedClient
from edgegate.dialects.openai.provider import OpenAIProvider
from edgegate.dialects.responses.provider import ResponsesProvider
from edgegate.errors import GatewayError

OPENAI = OpenAIProvider()
USER = {"role": "user", "content": "hi"}


def sent(side: OpenAIProvider = OPENAI, model: str = "gpt-4o", stream: bool = False, **chat: Any) -> tuple[dict[str, Any], list[str]]:
    wire = side.request(Ask({"model": "asked", "messages": [USER], **chat}, model, stream, "id", 1))
    assert wire.path == side.native["openai.chat"]
    return orjson.loads(wire.body), wire.dropped


def compat(name: str) -> OpenAIProvider:
    return COMPAT[name].provider()


def test_a_plain_chat_goes_out_under_the_target_s_name() -> None:
    body, dropped = sent(temperature=0.5, prompt_cache_key="k", seed=None)
    assert body == {"model": "gpt-4o", "messages": [USER], "temperature": 0.5, "prompt_cache_key": "k"}
    assert dropped == []


def test_streams_always_ask_for_usage() -> None:
    assert sent(stream=True)[0]["stream_options"] == {"include_usage": True}
    body, _ = sent(stream=True, stream_options={"include_usage": False, "include_obfuscation": False})
    assert body["stream_options"] == {"include_usage": True, "include_obfuscation": False}
    assert body["stream"] is True
    assert not {"stream", "stream_options"} & sent(stream_options={"include_usage": True})[0].keys()


def test_fields_of_other_dialects_are_taken_out_and_named() -> None:
    body, dropped = sent(thinking={"type": "enabled", "budget_tokens": 2000}, top_k=5, container="c", output_config={"effort": "low"})
    assert body.keys() == {"model", "messages"}
    assert dropped == ["container", "output_config", "thinking", "top_k"]


def test_extensions_of_messages_parts_calls_and_tools_are_taken_out_and_named() -> None:
    mark = {"cache_control": {"type": "ephemeral"}}
    messages = [
        {"role": "system", "content": [{"type": "text", "text": "s", **mark}]},
        {"role": "user", "content": [{"type": "file", "file": {"file_data": "x"}, "citations": {"enabled": True}}]},
        {
            "role": "assistant",
            "content": "a",
            "thinking_blocks": [{"type": "thinking", "thinking": "t", "signature": "s"}],
            "reasoning_content": "t",
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}, "extra_content": {"google": {}}}],
        },
        {"role": "tool", "tool_call_id": "c", "content": "4", "is_error": True},
    ]
    tools = [{"type": "function", "function": {"name": "f"}, **mark}, {"type": "web_search_20250305", "name": "web_search"}]
    before = orjson.dumps([messages, tools])
    body, dropped = sent(messages=messages, tools=tools, tool_choice="auto")
    assert body["messages"] == [
        {"role": "system", "content": [{"type": "text", "text": "s"}]},
        {"role": "user", "content": [{"type": "file", "file": {"file_data": "x"}}]},
        {
            "role": "assistant",
            "content": "a",
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "c", "content": "4"},
    ]
    assert body["tools"] == [{"type": "function", "function": {"name": "f"}}]
    assert dropped == [
        "cache_control", "citations", "extra_content", "is_error", "reasoning_content", "thinking_blocks", "tools.web_search",
    ]  # fmt: skip
    assert orjson.dumps([messages, tools]) == before


def test_no_tool_left_means_no_tool_choice() -> None:
    body, _ = sent(tools=[{"type": "bash_20250124", "name": "bash"}], tool_choice="auto", parallel_tool_calls=False)
    assert body.keys() == {"model", "messages"}


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("deepseek", {"reasoning_content"}),
        ("openrouter", {"cache_control", "reasoning_content"}),
        ("litellm", {"cache_control", "reasoning_content", "thinking_blocks", "extra_content"}),
        ("groq", set()),
    ],
)
def test_a_provider_that_understands_an_extension_gets_it(name: str, kept: set[str]) -> None:
    extensions = {"thinking_blocks": [{}], "reasoning_content": "t", "cache_control": {"type": "ephemeral"}, "extra_content": {"x": 1}}
    body, dropped = sent(compat(name), messages=[USER, {"role": "assistant", "content": "a", **extensions}])
    assert body["messages"][1].keys() - {"role", "content"} == kept
    assert set(dropped) == extensions.keys() - kept


@pytest.mark.parametrize(
    ("side", "model", "limit"),
    [
        (OPENAI, "o3-mini", "max_completion_tokens"),
        (OPENAI, "gpt-5.2", "max_completion_tokens"),
        (OPENAI, "ft:o4-mini:org", "max_completion_tokens"),
        (OPENAI, "gpt-4o", "max_tokens"),
        (compat("deepseek"), "deepseek-chat", "max_tokens"),
        (compat("groq"), "llama", "max_tokens"),
    ],
)
def test_max_tokens_is_named_as_the_model_wants_it(side: OpenAIProvider, model: str, limit: str) -> None:
    body, _ = sent(side, model, max_tokens=9)
    assert body.get(limit) == 9
    assert len({"max_tokens", "max_completion_tokens"} & body.keys()) == 1


def test_max_completion_tokens_is_named_the_old_way_where_only_that_is_known() -> None:
    assert sent(compat("together"), max_completion_tokens=9)[0]["max_tokens"] == 9
    assert sent(compat("together"), max_completion_tokens=9, max_tokens=5)[0]["max_tokens"] == 5


def test_models_that_do_not_reason_are_not_told_how_hard_to() -> None:
    assert sent(model="gpt-4o", reasoning_effort="high") == (sent()[0], ["reasoning_effort"])
    assert sent(model="gpt-5", reasoning_effort="high")[0]["reasoning_effort"] == "high"
    assert sent(model="my-own-model", reasoning_effort="high")[0]["reasoning_effort"] == "high"


def test_the_developer_role_is_said_where_it_is_known() -> None:
    messages = [{"role": "developer", "content": "d"}, USER]
    assert sent(messages=messages)[0]["messages"][0]["role"] == "developer"
    assert sent(compat("groq"), messages=messages)[0]["messages"][0]["role"] == "system"


def test_pictures_in_results_move_to_a_user_message_behind_the_last_result() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}
    results = [
        {"role": "tool", "tool_call_id": "a", "content": [{"type": "text", "text": "see"}, picture]},
        {"role": "tool", "tool_call_id": "b", "content": [picture]},
    ]
    body, _ = sent(messages=[*results, USER])
    assert body["messages"] == [
        {"role": "tool", "tool_call_id": "a", "content": [{"type": "text", "text": "see"}]},
        {"role": "tool", "tool_call_id": "b", "content": "The result is in the next user message."},
        {"role": "user", "content": [picture, picture]},
        USER,
    ]


def test_a_turn_of_nothing_but_thinking_is_an_empty_text() -> None:
    body, _ = sent(messages=[USER, {"role": "assistant", "content": None, "thinking_blocks": [{}], "tool_calls": []}])
    assert body["messages"][1] == {"role": "assistant", "content": ""}


def test_a_vendor_s_blocks_in_the_history_are_left_out_but_in_a_question_refused() -> None:
    block = {"type": "web_search_tool_result", "content": []}
    body, dropped = sent(messages=[USER, {"role": "assistant", "content": [{"type": "text", "text": "a"}, block]}])
    assert body["messages"][1]["content"] == [{"type": "text", "text": "a"}]
    assert dropped == ["content.web_search_tool_result"]
    with pytest.raises(GatewayError) as caught:
        sent(messages=[{"role": "user", "content": [{"type": "document", "source": {"type": "url", "url": "x"}}]}])
    assert (caught.value.status, caught.value.param) == (400, "messages[0].content[0]")


def test_a_key_is_a_bearer_token_and_no_key_is_nothing() -> None:
    assert OPENAI.authorize("k") == [(b"authorization", b"Bearer k")]
    assert OPENAI.authorize("") == []


def test_embeddings_go_out_as_they_came_but_for_the_model() -> None:
    request = {"model": "asked", "input": [[1, 2]], "encoding_format": "base64", "dimensions": 8}
    wire = OPENAI.embed(request, "text-embedding-3-small")
    assert wire.path == "/embeddings"
    assert orjson.loads(wire.body) == {**request, "model": "text-embedding-3-small"}
    assert "encoding_format" not in orjson.loads(compat("together").embed(request, "m").body)
    with pytest.raises(GatewayError) as caught:
        compat("groq").embed(request, "m")
    assert (caught.value.status, caught.value.code) == (400, "unsupported_operation")


# what other dialects leave in a chat

THEIRS: dict[str, Any] = {
    "diagnostics": {}, "user_profile_id": "u", "documents": ["d"], "safety_mode": "OFF", "safety_settings": [{}], "labels": {"a": "b"},
    "cachedContent": "c", "generationConfig": {"topK": 3}, "keep_alive": "5m", "options": {"num_ctx": 4}, "think": True,
    "reasoning": {"summary": "auto"}, "previous_response_id": "resp_1", "include": ["x"], "truncation": "auto",
    "text": {"verbosity": "low"},
    "guardrailConfig": {}, "random_seed": 4,
}  # fmt: skip


@pytest.mark.parametrize("side", [OPENAI, compat("groq"), compat("vllm")])
def test_no_provider_is_sent_the_fields_of_another_dialect(side: OpenAIProvider) -> None:
    body, dropped = sent(side, **{**THEIRS, "x-prefer-provider": "p"})
    assert body.keys() == {"model", "messages"}
    assert dropped == sorted(THEIRS)


def test_only_openai_is_spared_fields_that_nobody_knows() -> None:
    theirs: dict[str, Any] = {"chat_template_kwargs": {"enable_thinking": False}, "repetition_penalty": 1.1, "min_p": 0.1}
    assert sent(compat("vllm"), **theirs)[0].keys() >= theirs.keys()
    body, dropped = sent(**theirs)
    assert body.keys() == {"model", "messages"}
    assert dropped == sorted(theirs)


def test_an_effort_that_was_said_in_anthropic_s_words_is_not_lost() -> None:
    said: dict[str, Any] = {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}, "reasoning_effort": "low"}
    chat = {**said, "messages": [USER]}
    wire = OPENAI.request(Ask(chat, "gpt-5", False, "id", 1))
    assert (wire.dropped, wire.mapped) == ([], ["output_config", "thinking"])
    assert sent(model="gpt-4o", **chat)[1] == ["output_config", "reasoning_effort", "thinking"]


@pytest.mark.parametrize(
    ("model", "effort", "kept"),
    [("gpt-4o", None, True), ("o3", None, False), ("gpt-5", "low", False), ("gpt-5.2", None, True), ("gpt-5.2", "high", False)],
)
def test_models_that_reason_take_no_sampling(model: str, effort: str | None, kept: bool) -> None:
    fields: dict[str, Any] = {"temperature": 0.3, "top_p": 0.5, "frequency_penalty": 1, "logprobs": True, "top_logprobs": 2}
    body, dropped = sent(model=model, reasoning_effort=effort, **fields)
    assert (fields.items() <= body.items()) is kept
    if not kept:
        assert not body.keys() & fields.keys()
        assert dropped == ["frequency_penalty", "logprobs", "temperature", "top_p"]
    assert sent(model=model, temperature=1)[1] == []


def test_a_web_search_is_an_option_of_models_that_search() -> None:
    tool = {"type": "web_search_20250305", "name": "web_search", "user_location": {"type": "approximate", "city": "Oslo"}}
    chat = {"messages": [USER], "tools": [tool]}
    wire = OPENAI.request(Ask(chat, "gpt-4o-search-preview", False, "id", 1))
    assert orjson.loads(wire.body)["web_search_options"] == {"user_location": {"type": "approximate", "approximate": {"city": "Oslo"}}}
    assert (wire.dropped, wire.mapped) == ([], ["tools.web_search"])
    wire = OPENAI.request(Ask(chat, "gpt-4o-search-preview", False, "id", 1, approximate=False))
    assert (wire.dropped, wire.mapped) == (["tools.web_search"], [])
    assert sent(tools=[tool])[1] == ["tools.web_search"]


@pytest.mark.parametrize("tool", [{"type": "code_interpreter"}, {"code_execution": {}}, {"type": "code_execution_20250825"}])
def test_tools_of_other_vendors_are_named_alike(tool: dict[str, Any]) -> None:
    assert sent(tools=[tool])[1] == ["tools.code_execution"]


@pytest.mark.parametrize(
    ("name", "tool"), [("openrouter", {"type": "openrouter:web_search"}), ("zai", {"type": "web_search", "web_search": {"enable": True}})]
)
def test_a_provider_s_own_kinds_of_tools_go_on(name: str, tool: dict[str, Any]) -> None:
    assert sent(compat(name), tools=[tool])[0]["tools"] == [tool]
    assert sent(compat("zai"), tools=[{"type": "web_search_preview"}])[1] == ["tools.web_search"]


@pytest.mark.parametrize("kind", ["openrouter:web_search", "tool_search", "namespace", "programmatic_tool_calling"])
def test_another_provider_s_kinds_of_tools_do_not(kind: str) -> None:
    body, dropped = sent(compat("zai"), tools=[{"type": kind}])
    assert "tools" not in body
    assert len(dropped) == 1


def test_a_choice_of_a_tool_that_was_left_out_goes_with_it() -> None:
    tools = [{"type": "function", "function": {"name": "f"}}, {"type": "web_search_20250305", "name": "web_search"}]
    choice = {"type": "function", "function": {"name": "web_search"}}
    body, dropped = sent(tools=tools, tool_choice=choice)
    assert "tool_choice" not in body
    assert dropped == ["tool_choice", "tools.web_search"]
    assert sent(tools=tools[:1], tool_choice=choice)[0]["tool_choice"] == choice
    assert sent(tools=tools[1:], tool_choice="required")[1] == ["tool_choice", "tools.web_search"]


def user(*parts: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": list(parts)}]


def test_blocks_that_are_text_are_told_as_text() -> None:
    result = {"type": "search_result", "source": "https://x", "title": "T", "content": [{"type": "text", "text": "found"}]}
    wire = OPENAI.request(Ask({"messages": user(result)}, "gpt-4o", False, "id", 1))
    assert orjson.loads(wire.body)["messages"][0]["content"] == [{"type": "text", "text": "T\nhttps://x\nfound"}]
    assert wire.mapped == ["content.search_result"]
    with pytest.raises(GatewayError):
        OPENAI.request(Ask({"messages": user(result)}, "gpt-4o", False, "id", 1, approximate=False))


@pytest.mark.parametrize(
    ("part", "side", "taken"),
    [
        ({"type": "file", "file": {"file_url": "https://x/a.pdf"}}, OPENAI, None),
        (
            {"type": "file", "file": {"file_url": "https://x/a.pdf"}},
            compat("openrouter"),
            {"filename": "document.pdf", "file_data": "https://x/a.pdf"},
        ),
        ({"type": "file", "file": {"file_id": "f"}}, OPENAI, {"file_id": "f"}),
        ({"type": "video_url", "video_url": {"url": "https://x"}}, OPENAI, None),
        ({"type": "video_url", "video_url": {"url": "https://x"}}, compat("openrouter"), {"url": "https://x"}),
        ({"type": "container_upload", "file_id": "f"}, compat("openrouter"), None),
    ],
)
def test_content_goes_where_it_is_taken_and_is_a_400_elsewhere(part: dict[str, Any], side: OpenAIProvider, taken: Any) -> None:
    if taken is not None:
        assert sent(side, messages=user(part))[0]["messages"][0]["content"][0][part["type"]] == taken
        return
    with pytest.raises(GatewayError) as caught:
        sent(side, messages=user(part))
    assert (caught.value.status, caught.value.param) == (400, "messages[0].content[0]")
    body, dropped = sent(side, messages=[USER, {"role": "assistant", "content": [{"type": "text", "text": "a"}, part]}])
    assert body["messages"][1]["content"] == [{"type": "text", "text": "a"}]
    assert dropped == [f"content.{part['type']}"]


def test_only_gemini_s_state_goes_under_the_name_it_shares() -> None:
    extra = {"google": {"thought_signature": "s"}, "anthropic": {"caller": {}}}
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}, "extra_content": extra}
    body, _ = sent(compat("litellm"), messages=[USER, {"role": "assistant", "content": "a", "tool_calls": [call], "extra_content": extra}])
    assert body["messages"][1]["extra_content"] == body["messages"][1]["tool_calls"][0]["extra_content"] == {"google": extra["google"]}


def test_what_openai_has_of_its_own_goes_on() -> None:
    own: dict[str, Any] = {"n": 2, "logprobs": True, "prediction": {"type": "content", "content": "x"},
           "audio": {"voice": "alloy", "format": "wav"},
           "modalities": ["text", "audio"], "store": True, "metadata": {"a": "b"}, "verbosity": "low", "logit_bias": {"5": 1}}  # fmt: skip
    body, dropped = sent(**own)
    assert own.items() <= body.items()
    assert dropped == []


def test_what_another_vendor_signed_is_not_sent_on() -> None:
    details = [{"type": "reasoning.text", "format": name} for name in ("anthropic-claude-v1", "openai-responses-v1", "mistral-v1")]
    messages = [USER, {"role": "assistant", "content": "a", "reasoning_details": details}]
    for name, kept in (("openrouter", details[:2]), ("minimax", details[:1])):
        body, dropped = sent(compat(name), messages=messages)
        assert body["messages"][1]["reasoning_details"] == kept
        assert dropped == ["reasoning_details"]
    assert "reasoning_details" not in sent(messages=messages)[0]["messages"][1]


def test_what_the_clients_of_other_dialects_leave_is_foreign() -> None:
    left: dict[str, Any] = {
        "token_budget": 100, "access_programs": ["a"], "image": {}, "video": {}, "shift": True, "truncate": False, "width": 8,
        "height": 8, "steps": 3, "prompt_cache_options": {"a": 1},
    }  # fmt: skip
    body, dropped = sent(compat("vllm"), **left)
    assert left.keys().isdisjoint(body)
    assert dropped == sorted(left)
    assert sent(**left)[0]["prompt_cache_options"] == {"a": 1}  # OpenAI's own


# embeddings and rerank

COHERES = CohereEmbedClient().neutral({"model": "m", "texts": ["a", "b"], "input_type": "search_query", "truncate": "END", "max_tokens": 9,
                                  "embedding_types": ["float"], "priority": 2, "output_dimension": 64})  # fmt: skip
GEMINIS = BatchEmbedClient().neutral({"requests": [
    {"content": {"parts": [{"text": "a"}]}, "taskType": "RETRIEVAL_QUERY", "title": "t", "outputDimensionality": 64},
    {"content": {"parts": [{"text": "b"}]}, "taskType": "RETRIEVAL_DOCUMENT", "outputDimensionality": 64},
]})  # fmt: skip


@pytest.mark.parametrize("side", [OPENAI, AzureProvider(), ResponsesProvider()])
@pytest.mark.parametrize(
    ("request_", "dropped"), [(COHERES, {"input_type", "truncate", "max_tokens", "priority"}), (GEMINIS, {"requests"})]
)
def test_other_clients_embeddings_are_openai_s_without_their_own_words(side: Any, request_: dict[str, Any], dropped: set[str]) -> None:
    wire = side.embed(request_, "text-embedding-3-small")
    body = orjson.loads(wire.body)
    assert body.pop("encoding_format", "float") == "float"
    assert body == {"model": "text-embedding-3-small", "input": ["a", "b"], "dimensions": 64}
    assert set(wire.dropped) == dropped


def test_other_providers_keep_what_may_be_their_own() -> None:
    request = {**COHERES, "taskType": "x", "encoding_format": "float", "keep_alive": "5m", "truncate_prompt_tokens": 5, "x-note": 1}
    wire = compat("vllm").embed(request, "m")
    body = orjson.loads(wire.body)
    assert (body["input_type"], body["truncate"], body["truncate_prompt_tokens"], body["encoding_format"]) == (
        "search_query",
        "END",
        5,
        "float",
    )
    assert set(wire.dropped) == {"taskType", "keep_alive", "max_tokens", "priority"}


@pytest.mark.parametrize(
    ("request_", "param"),
    [
        ({"images": ["data:image/png;base64,QQ=="]}, "images"),
        ({"inputs": [{"content": []}]}, "inputs"),
        ({"input": [[{"type": "image_url", "image_url": {"url": "x"}}]]}, "input"),
        ({"input": [{"type": "text"}]}, "input"),
        ({}, "input"),
    ],
)
@pytest.mark.parametrize("side", [OPENAI, compat("vllm")])
def test_a_picture_is_no_text_to_embed(side: OpenAIProvider, request_: dict[str, Any], param: str) -> None:
    with pytest.raises(GatewayError) as caught:
        side.embed(request_, "m")
    assert (caught.value.status, caught.value.param) == (400, param)


def test_voyage_and_jina_are_asked_in_their_own_words() -> None:
    wire = compat("voyage").embed({**COHERES, "encoding_format": "float"}, "voyage-3.5")
    body = {"model": "voyage-3.5", "input": ["a", "b"], "input_type": "query", "output_dimension": 64}
    assert (orjson.loads(wire.body), wire.mapped, set(wire.dropped)) == (body, ["input_type"], {"truncate", "max_tokens", "priority"})
    assert orjson.loads(compat("voyage").embed({"input": "a", "input_type": "document"}, "m").body)["input_type"] == "document"
    assert compat("voyage").embed({"input": "a", "input_type": "clustering"}, "m").dropped == ["input_type"]
    assert orjson.loads(compat("jina").embed(COHERES, "m").body)["task"] == "retrieval.query"


def test_a_total_alone_is_told_as_the_tokens_of_the_prompt() -> None:
    data = [{"object": "embedding", "index": 0, "embedding": [0.5]}]
    body = orjson.dumps({"object": "list", "model": "voyage-3.5", "data": data, "usage": {"total_tokens": 3}})
    side = compat("voyage")
    progress = Progress()
    reply = orjson.loads(side.embedded({"input": "a", "encoding_format": "base64"}, "m", body, progress))
    assert reply["usage"] == {"prompt_tokens": 3, "total_tokens": 3}
    assert reply["data"][0]["embedding"] == "AAAAPw=="
    assert progress.usage.input_tokens == 3
    seen = Progress()
    side.glance("openai.embeddings", body, seen)
    assert (seen.usage.input_tokens, seen.usage.reported) == (3, True)
    whole = orjson.dumps({"data": data, "usage": {"prompt_tokens": 2, "total_tokens": 2}})
    assert side.embedded({"input": "a"}, "m", whole, Progress()) is whole


RANKED = {"query": "q", "documents": ["a", "b"], "top_n": 1}


@pytest.mark.parametrize(
    ("name", "most", "reply"),
    [
        ("voyage", "top_k", {"data": [{"index": 1, "relevance_score": 0.5}], "usage": {"total_tokens": 7}}),
        ("jina", "top_n", {"results": [{"index": 1, "relevance_score": 0.5, "document": {"text": "b"}}], "usage": {"total_tokens": 7}}),
        ("together", "top_n", {"results": [{"index": 1, "relevance_score": 0.5}], "usage": {"prompt_tokens": 7, "total_tokens": 7}}),
        ("vllm", "top_n", {"results": [{"index": 1, "relevance_score": 0.5}], "usage": {"total_tokens": 7}}),
    ],
)
def test_documents_are_ranked_where_that_is_to_be_had(name: str, most: str, reply: dict[str, Any]) -> None:
    side = compat(name)
    assert isinstance(side, Reranker)
    wire = side.rerank(RANKED, "m")
    assert (wire.path, orjson.loads(wire.body)) == ("/rerank", {"model": "m", "query": "q", "documents": ["a", "b"], most: 1})
    progress = Progress()
    answer = orjson.loads(side.reranked(RANKED, "m", orjson.dumps(reply), progress))
    assert answer["results"] == [{"index": 1, "relevance_score": 0.5}]
    assert (progress.usage.input_tokens, progress.model) == (7, "m")


LACKING: dict[str, tuple[tuple[str, ...], Callable[[OpenAIProvider], object]]] = {
    "chat": (("voyage", "jina"), lambda side: side.request(Ask({"messages": [USER]}, "m", False, "i", 1))),
    "embeddings": (("groq", "xai"), lambda side: side.embed({"input": "a"}, "m")),
    "rerank": (("openai", "groq", "deepinfra"), lambda side: side.rerank(RANKED, "m")),
}


@pytest.mark.parametrize(("operation", "name"), [(operation, name) for operation, (names, _) in LACKING.items() for name in names])
def test_what_a_provider_has_not_is_a_400(operation: str, name: str) -> None:
    with pytest.raises(GatewayError) as caught:
        LACKING[operation][1](compat(name))
    assert (caught.value.status, caught.value.code, caught.value.param) == (400, "unsupported_operation", "model")
    assert operation in caught.value.message
