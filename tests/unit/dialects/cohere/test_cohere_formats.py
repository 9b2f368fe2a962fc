"""Checks in Cohere's words, errors both ways, embeddings, rerank, and odd JSON anywhere."""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable
from functools import partial
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgegate.dialects.base import Ask, Progress
from edgegate.dialects.cohere import models
from edgegate.dialects.cohere.client import CohereChatClient, CohereEmbedClient, LooseRerankClient, RerankClient
from edgegate.dialects.cohere.provider import CohereProvider
from edgegate.dialects.openai.client import ChatClient
from edgegate.dialects.rerank import RerankStyle, rerank_body, rerank_reply
from edgegate.errors import GatewayError, bad_request
from edgegate.taps import Outcome
from tests.wire.odd_json import CHATS, OBJECTS, REPLIES, VALUES

SIDE = CohereProvider()
CHAT, EMBED, RERANK = CohereChatClient(), CohereEmbedClient(), LooseRerankClient()
HELLO: list[dict[str, Any]] = [{"role": "user", "content": "hi"}]
ASK = Ask({}, "m", True, "i", 1, True)


def chat(**fields: Any) -> dict[str, Any]:
    return {"model": "m", "messages": HELLO, **fields}


@pytest.mark.parametrize(
    ("request_", "param"),
    [
        ({"messages": HELLO}, "model"),
        (chat(model=3), "model"),
        ({"model": "m"}, "messages"),
        (chat(messages=[]), "messages"),
        (chat(messages="hi"), "messages"),
        (chat(messages=["hi"]), "messages[0]"),
        (chat(messages=[{"content": "hi"}]), "messages[0].role"),
        (chat(messages=[{"role": "developer", "content": "hi"}]), "messages[0].role"),
        (chat(messages=[{"role": "user"}]), "messages[0].content"),
        (chat(messages=[{"role": "user", "content": [{"type": "document"}]}]), "messages[0].content[0].type"),
        (chat(messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]), "messages[0].content[0].image_url.url"),
        (chat(messages=[{"role": "tool", "content": "x"}]), "messages[0].tool_call_id"),
        (chat(messages=[{"role": "assistant", "tool_calls": [{"id": "a"}]}]), "messages[0].tool_calls[0].function"),
        (chat(messages=[{"role": "assistant", "tool_plan": 1}]), "messages[0].tool_plan"),
        (chat(max_tokens="9"), "max_tokens"),
        (chat(tools=[{"type": "function"}]), "tools[0].function"),
        (chat(tool_choice="auto"), "tool_choice"),
        (chat(response_format={"type": "json_schema"}), "response_format.type"),
        (chat(thinking={"type": "adaptive"}), "thinking.type"),
        (chat(stream="yes"), "stream"),
        (chat(stop_sequences="x"), "stop_sequences"),
        (chat(documents=[1]), "documents[0]"),
    ],
)
def test_a_bad_chat_is_refused_by_name(request_: dict[str, Any], param: str) -> None:
    with pytest.raises(GatewayError) as caught:
        CHAT.check(request_)
    assert (caught.value.status, caught.value.param) == (400, param)
    body = orjson.loads(CHAT.error(caught.value, "req-1"))
    assert body.keys() == {"id", "message"}
    assert body["message"].startswith("invalid ")
    assert param in body["message"]


def test_a_wrong_type_is_told_as_cohere_tells_it() -> None:
    with pytest.raises(GatewayError, match="invalid type: parameter 'max_tokens' is of type string but should be of type int32"):
        CHAT.check(chat(max_tokens="9"))


def test_nulls_count_as_absent() -> None:
    CHAT.check(chat(tools=None, tool_choice=None, documents=None, temperature=None, stream=None, response_format=None))
    CHAT.check(chat(messages=[{"role": "assistant", "content": None, "tool_calls": None, "tool_plan": None}]))


def test_an_error_names_the_field_that_it_is_about() -> None:
    body = orjson.loads(CHAT.error(bad_request("this provider gives one choice", "n"), "req-1"))
    assert body == {"id": "req-1", "message": "invalid request: n: this provider gives one choice"}


@pytest.mark.parametrize(
    ("status", "body", "code", "message"),
    [
        (
            404,
            b'{"id":"1","message":"model \'x\' not found, make sure the correct model ID was used"}',
            "model_not_found",
            "model 'x' not found",
        ),
        (401, b'{"message":"invalid api token"}', "invalid_api_key", "invalid api token"),
        (
            400,
            b'{"message":"too many tokens: the total number of tokens cannot exceed 4096"}',
            "context_length_exceeded",
            "too many tokens",
        ),
        (422, b'{"detail":[{"loc":["body"],"msg":"field required"}]}', "invalid_request", "field required"),
        (498, b'{"message":"request blocked"}', "content_filter", "request blocked"),
        (498, b'{"message":"invalid token"}', "invalid_api_key", "invalid token"),
        (499, b'{"message":"request cancelled by user"}', "request_cancelled", "request cancelled"),
        (429, b'{"message":"You are using a Trial key"}', "rate_limit_exceeded", "Trial key"),
        (503, b"<html>busy</html>", "overloaded", "Cohere answered 503"),
        (302, b"", "server_error", "without a body"),
        (500, b'{"error":{"message":"oh"}}', "server_error", "oh"),
    ],
)
def test_errors_are_read_in_any_shape(status: int, body: bytes, code: str, message: str) -> None:
    error = SIDE.error(status, {"retry-after": "3"}, body)
    assert (error.code, error.status, error.retry_after_s) == (code, status if status != 302 else 502, 3.0)
    assert message in error.message
    told = orjson.loads(CHAT.error(error, "req-1"))
    assert message in told["message"]


def test_a_parameter_in_a_message_is_the_errors_field() -> None:
    body = b'{"id":"3","message":"invalid type: parameter \'max_tokens\' is of type string but should be of type int32. For proper usage"}'
    assert SIDE.error(400, {}, body).param == "max_tokens"


@pytest.mark.parametrize(
    ("neutral", "expected", "mapped"),
    [
        ({"input": "a"}, {"texts": ["a"], "input_type": "search_document"}, ["input_type"]),
        ({"input": ["a"], "input_type": "search_query"}, {"texts": ["a"], "input_type": "search_query"}, []),
        ({"input": ["a"], "input_type": "query"}, {"texts": ["a"], "input_type": "search_query"}, ["input_type"]),
        (
            {"input": ["a"], "input_type": "clustering", "dimensions": 256, "truncate": "END"},
            {"texts": ["a"], "input_type": "clustering", "output_dimension": 256, "truncate": "END"},
            [],
        ),
        (
            {"images": ["data:image/png;base64,AA=="], "input_type": "image"},
            {"images": ["data:image/png;base64,AA=="], "input_type": "image"},
            [],
        ),
        (
            {"input": ["a", {"type": "image_url", "image_url": {"url": "data:x"}}], "input_type": "image"},
            {
                "inputs": [
                    {"content": [{"type": "text", "text": "a"}]},
                    {"content": [{"type": "image_url", "image_url": {"url": "data:x"}}]},
                ],
                "input_type": "image",
            },
            [],
        ),
    ],
)
def test_embeddings_are_asked_for_in_coheres_words(neutral: dict[str, Any], expected: dict[str, Any], mapped: list[str]) -> None:
    made = SIDE.embed({"model": "x", **neutral, "encoding_format": "base64"}, "embed-v4.0")
    assert orjson.loads(made.body) == {"model": "embed-v4.0", "embedding_types": ["float"], **expected}
    assert (made.mapped, made.dropped) == (mapped, [])


def test_quantised_vectors_come_through_where_one_type_is_asked_for() -> None:
    request = {"input": ["a"], "embedding_types": ["int8"], "user": "u"}
    made = SIDE.embed(request, "m")
    assert orjson.loads(made.body)["embedding_types"] == ["int8"]
    assert made.dropped == ["user"]
    reply = SIDE.embedded(request, "m", b'{"id":"1","embeddings":{"int8":[[1,-2]]},"meta":{"billed_units":{"input_tokens":2}}}', Progress())
    assert orjson.loads(reply)["data"][0]["embedding"] == [1, -2]
    with pytest.raises(GatewayError) as caught:
        SIDE.embed({"input": "a", "embedding_types": ["int8", "float"]}, "m")
    assert caught.value.param == "embedding_types"


@pytest.mark.parametrize("value", [[1, 2], [[1]], [], {}, 3, [""]])
def test_token_ids_and_no_input_are_refused(value: Any) -> None:
    if value == [""]:
        SIDE.embed({"input": value}, "m")
        return
    with pytest.raises(GatewayError) as caught:
        SIDE.embed({"input": value}, "m")
    assert (caught.value.status, caught.value.param) == (400, "input")


def test_a_reply_must_hold_a_vector_for_each_input() -> None:
    for body in (
        b'{"embeddings":{"float":[[1.0]]}}',
        b'{"message":"oh"}',
        b"[]",
        b"x",
        b'{"embeddings":[[1.0],["a"]]}',
        b'{"embeddings":{}}',
    ):
        with pytest.raises(GatewayError) as caught:
            SIDE.embedded({"input": ["a", "b"]}, "m", body, Progress())
        assert caught.value.status == 502


def test_an_embed_request_of_text_inputs_is_text_and_of_pictures_keeps_them() -> None:
    text = {"content": [{"type": "text", "text": "a"}]}
    picture = {"content": [{"type": "image_url", "image_url": {"url": "data:x"}}]}
    request = {"model": "m", "input_type": "image", "inputs": [text]}
    EMBED.check(request)
    assert EMBED.neutral(request) == {"model": "m", "input_type": "image", "input": ["a"]}
    mixed = {**request, "inputs": [text, picture], "output_dimension": 256}
    EMBED.check(mixed)
    assert EMBED.neutral(mixed) == {"model": "m", "input_type": "image", "inputs": [text, picture], "dimensions": 256}
    made = orjson.loads(SIDE.embed(EMBED.neutral(mixed), "m").body)
    assert made == {**mixed, "embedding_types": ["float"]}


def test_vectors_in_base64_are_read_where_a_provider_answers_so() -> None:
    packed = base64.b64encode(struct.pack("<2f", 0.5, -1.0)).decode()
    reply = orjson.dumps({"data": [{"embedding": packed}], "usage": {"prompt_tokens": 3}})
    answer = orjson.loads(EMBED.whole({"texts": ["a"]}, reply))
    assert answer["embeddings"] == {"float": [[0.5, -1.0]]}
    assert answer["meta"]["billed_units"] == {"input_tokens": 3}
    assert EMBED.whole({"texts": ["a"]}, reply) == EMBED.whole({"texts": ["a"]}, reply)


@pytest.mark.parametrize("given", [{}, {"texts": []}, {"texts": ["a"], "images": ["b"]}, {"texts": "a"}, {"inputs": [{"content": []}]}])
def test_a_bad_embed_request_is_refused_by_name(given: dict[str, Any]) -> None:
    with pytest.raises(GatewayError) as caught:
        EMBED.check({"model": "m", "input_type": "search_query", **given})
    assert caught.value.status == 400
    assert caught.value.param


def test_documents_as_objects_become_text_and_come_back_as_they_were() -> None:
    documents = ["plain", {"text": "one", "id": 7}, {"title": "T", "body": "B"}]
    request = {"model": "m", "query": "q", "documents": documents, "top_k": 2, "return_documents": True}
    RERANK.check(request)
    assert RERANK.neutral(request) == {"model": "m", "query": "q", "documents": ["plain", "one", "title: T\nbody: B"], "top_n": 2}
    chosen = RERANK.neutral({**request, "documents": documents[2:], "rank_fields": ["body"]})
    assert chosen["documents"] == ["body: B"]
    reply = orjson.dumps({"results": [{"index": at, "relevance_score": 1 - at / 9} for at in (1, 2, 0)]})
    assert [result["document"] for result in orjson.loads(RERANK.whole(request, reply))["results"]] == documents[1:]


@pytest.mark.parametrize(
    ("request_", "param"),
    [
        ({"query": "q", "documents": ["a"]}, "model"),
        ({"model": "m", "documents": ["a"]}, "query"),
        ({"model": "m", "query": "q"}, "documents"),
        ({"model": "m", "query": "q", "documents": []}, "documents"),
        ({"model": "m", "query": "q", "documents": [1]}, "documents[0]"),
        ({"model": "m", "query": "q", "documents": ["a"], "top_n": "x"}, "top_n"),
    ],
)
def test_a_bad_rerank_request_is_refused_by_name(request_: dict[str, Any], param: str) -> None:
    with pytest.raises(GatewayError) as caught:
        RerankClient().check(request_)
    assert (caught.value.status, caught.value.param) == (400, param)


REPLIED: dict[str, Any] = {
    "jina": {"model": "j", "results": [{"index": 1, "relevance_score": 0.9, "document": {"text": "b"}}], "usage": {"total_tokens": 5}},
    "together": {
        "id": "r",
        "results": [{"index": 1, "relevance_score": 0.9}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 0, "total_tokens": 5},
    },
    "vllm": {"id": "r", "results": [{"index": 1, "document": {"text": "b"}, "relevance_score": 0.9}], "usage": {"total_tokens": 5}},
    "voyage": {"object": "list", "data": [{"index": 1, "relevance_score": 0.9}], "usage": {"total_tokens": 5}},
    "cohere": {"results": [{"index": 1, "relevance_score": 0.9}], "meta": {"tokens": {"input_tokens": 5}}},
}


@pytest.mark.parametrize("style", RerankStyle)
@pytest.mark.parametrize("reply", REPLIED.values(), ids=REPLIED.keys())
def test_rerank_replies_of_every_kind_are_read(reply: dict[str, Any], style: RerankStyle) -> None:
    progress = Progress()
    value = orjson.loads(rerank_reply(style, orjson.dumps(reply), progress))
    assert value["results"] == [{"index": 1, "relevance_score": 0.9}]
    assert (progress.usage.input_tokens, progress.finished, value["meta"]["tokens"]["input_tokens"]) == (5, True, 5)


def test_bare_lists_and_scores_are_ranked() -> None:
    for reply in (b'[{"index":0,"score":0.1},{"index":1,"score":0.9}]', b'{"scores":[0.1,0.9],"input_tokens":4}'):
        results = orjson.loads(rerank_reply(RerankStyle.COHERE, reply, Progress()))["results"]
        assert [(result["index"], result["relevance_score"]) for result in results] == [(1, 0.9), (0, 0.1)]


@pytest.mark.parametrize(
    "reply", [b"", b"{}", b'{"detail":"no"}', b'{"results":[{}]}', b'{"results":[{"index":-1,"relevance_score":1}]}', b"3"]
)
def test_a_reply_without_results_is_an_error(reply: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        rerank_reply(RerankStyle.COHERE, reply, Progress())
    assert caught.value.status == 502


def test_clients_of_voyage_and_jina_find_their_words_on_version_1s_path() -> None:
    asked = {"model": "m", "query": "q", "documents": ["a", "b"], "top_k": 1, "truncation": True}
    reply = rerank_reply(RerankStyle.VOYAGE, orjson.dumps(REPLIED["voyage"]), Progress())
    value = orjson.loads(RERANK.whole(asked, reply))
    assert value["data"] == value["results"] == [{"index": 1, "relevance_score": 0.9}]
    assert (value["usage"], value["model"]) == ({"total_tokens": 5}, "m")
    assert "usage" not in orjson.loads(RerankClient().whole(asked, reply))


def test_what_a_style_has_no_room_for_is_named() -> None:
    request = {"model": "x", "query": "q", "documents": ["a"], "top_n": 1, "max_tokens_per_doc": 9, "return_documents": True}
    assert rerank_body(RerankStyle.VOYAGE, request, "m") == (
        {"model": "m", "query": "q", "documents": ["a"], "top_k": 1},
        ["max_tokens_per_doc"],
    )
    assert rerank_body(RerankStyle.COHERE, request, "m")[1] == []


def test_models_come_in_pages() -> None:
    listed = [models.Model(f"m{at}", ("chat", "embed")[at % 2 :][:1]) for at in range(5)]
    names: list[str] = []
    token = ""
    while True:
        page = orjson.loads(models.page(listed, page_size="2", page_token=token))
        names += [model["name"] for model in page["models"]]
        token = page.get("next_page_token", "")
        if not token:
            break
    assert names == ["m0", "m1", "m2", "m3", "m4"]
    assert len(orjson.loads(models.page(listed, endpoint="embed"))["models"]) == 2
    with pytest.raises(GatewayError):
        models.page(listed, page_size="0")


@settings(max_examples=40, deadline=None)
@given(CHATS)
def test_any_chat_is_refused_by_name_or_can_be_sent(request: dict[str, Any]) -> None:
    try:
        body = orjson.loads(SIDE.request(Ask(request, "m", True, "i", 1)).body)
    except GatewayError as error:
        assert (error.status, bool(error.param)) == (400, True)  # noqa: PT017
    else:
        assert body["stream"] is True


@settings(max_examples=40, deadline=None)
@given(CHATS, st.sampled_from(["m", 3]))
def test_any_request_to_us_is_refused_by_name_or_becomes_a_chat(request: dict[str, Any], model: Any) -> None:
    request = {**request, "model": model}
    try:
        CHAT.check(request)
        neutral = CHAT.neutral(request)
    except GatewayError as error:
        assert (error.status, bool(error.param)) == (400, True)  # noqa: PT017
        orjson.loads(CHAT.error(error, "r"))
    else:
        assert len(neutral["messages"]) == len(request["messages"])
        ChatClient().check(neutral)


@settings(max_examples=40, deadline=None)
@given(OBJECTS, VALUES, VALUES)
def test_any_embed_or_rerank_request_is_refused_by_name_or_fine(request: dict[str, Any], one: Any, other: Any) -> None:
    for side, fields in (
        (EMBED, {"texts": one, "inputs": other}),
        (EMBED, {"inputs": other}),
        (RERANK, {"query": one, "documents": other}),
    ):
        try:
            side.check({**request, "model": "m", **fields})
            neutral = side.neutral({**request, "model": "m", **fields})
            (SIDE.embed if side is EMBED else SIDE.rerank)(neutral, "m")
        except GatewayError as error:
            assert (error.status, bool(error.param)) == (400, True)  # noqa: PT017
    try:
        SIDE.embed({**request, "input": one, "embedding_types": other}, "m")
    except GatewayError as error:
        assert error.status == 400  # noqa: PT017


@settings(max_examples=40, deadline=None)
@given(REPLIES, VALUES, VALUES)
def test_any_plain_reply_becomes_an_answer_or_an_error(reply: Any, message: Any, embeddings: Any) -> None:
    more = {
        "message": message,
        "finish_reason": "COMPLETE",
        "embeddings": embeddings,
        "results": embeddings,
        "usage": message,
        "meta": message,
    }
    for value in (reply, {**reply, **more} if isinstance(reply, dict) else more):
        body = orjson.dumps(value)
        readers: list[Callable[[], bytes]] = [
            partial(lambda body: CHAT.whole({"model": "m"}, SIDE.whole(ASK, body, Progress())), body),
            partial(CHAT.whole, {"model": "m"}, body),
            partial(lambda body: EMBED.whole({}, SIDE.embedded({"input": "a", "encoding_format": "base64"}, "m", body, Progress())), body),
            partial(EMBED.whole, {}, body),
            partial(
                lambda body: RERANK.whole(
                    {"model": "m", "documents": ["a"], "return_documents": True}, SIDE.reranked({}, "m", body, Progress())
                ),
                body,
            ),
            partial(RERANK.whole, {"model": "m", "documents": ["a"], "return_documents": True}, body),
        ]
        for read in readers:
            try:
                assert isinstance(orjson.loads(read()), dict)
            except GatewayError as error:
                assert error.status >= 500  # noqa: PT017
        assert SIDE.error(400, {}, body).message


KINDS = st.sampled_from(
    ["message-start", "content-start", "content-delta", "tool-plan-delta", "tool-call-start", "tool-call-delta", "citation-start"]
)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(KINDS | VALUES, OBJECTS, OBJECTS), max_size=6), st.booleans())
def test_any_stream_is_whole_events_and_done_only_if_finished(items: list[tuple[Any, Any, Any]], whole: bool) -> None:
    events: list[Any] = [{**event, "type": kind, "delta": {**event, "message": message}} for kind, event, message in items]
    if whole:
        events.append({"type": "message-end", "delta": {"finish_reason": "COMPLETE"}})
    data = b"".join(b"data: " + orjson.dumps(event) + b"\n\n" for event in events)
    progress, watched = Progress(), Progress()
    tap, watch = SIDE.stream(ASK, progress), SIDE.watch("cohere.chat", ASK, watched)
    out = tap.feed(data) + tap.end(Outcome.OK)
    assert data.startswith(watch.feed(data) + watch.end(Outcome.OK))
    assert (watched.finished, watched.events, watched.usage) == (progress.finished, progress.events, progress.usage)
    assert (b"[DONE]" in out) is (progress.finished and progress.error is None)
    back = CHAT.stream({"model": "m"}, "i")
    assert (b"[DONE]" in back.feed(out) + back.end(Outcome.OK)) is (b"[DONE]" in out)


@settings(max_examples=40, deadline=None)
@given(st.lists(REPLIES, max_size=5))
def test_any_chat_stream_is_written_without_failing(chunks: list[Any]) -> None:
    data = b"".join(b"data: " + orjson.dumps(chunk) + b"\n\n" for chunk in chunks)
    tap = CHAT.stream({"model": "m"}, "i")
    out = tap.feed(data) + tap.end(Outcome.OK)
    assert out == b"" or out.endswith(b"\n\n")
