"""Embeddings, rerank and lists of models: Cohere's recordings, and those of Voyage, whose rows are OpenAI's side."""

from __future__ import annotations

import base64
import struct
from typing import Any

import openai
import orjson
import pytest

from edgegate.dialects.base import Progress
from edgegate.dialects.cohere import models
from edgegate.dialects.cohere.client import CohereEmbedClient, LooseRerankClient, RerankClient
from edgegate.dialects.cohere.provider import CohereProvider
from edgegate.dialects.openai.provider import OpenAIProvider
from edgegate.dialects.openai.quirks import Quirks
from edgegate.dialects.rerank import RerankStyle, rerank_body, rerank_reply
from tests.corpus import Recording, corpus
from tests.unit.dialects.cohere.sdk import client

SIDE = CohereProvider()
EMBED = CohereEmbedClient()


def vectors_of(recording: Recording) -> list[list[float]]:
    found = orjson.loads(recording.body)["embeddings"]
    given: list[list[float]] = next(iter(found.values())) if isinstance(found, dict) else found
    return given


@corpus("cohere/embeddings", where=lambda r: r.status == 200 and "texts" in r.request)
@pytest.mark.parametrize("encoding", ["float", "base64"])
def test_a_recorded_embed_reply_is_openais_list_of_embeddings(recording: Recording, encoding: str) -> None:
    request: dict[str, Any] = {"model": "m", "input": recording.request["texts"], "encoding_format": encoding}
    progress = Progress()
    body = SIDE.embedded(request, "embed-v4.0", recording.body, progress)
    if encoding == "float":
        reply = openai.types.CreateEmbeddingResponse.model_validate_json(body)
        assert [item.embedding for item in reply.data] == vectors_of(recording)
        assert reply.usage.prompt_tokens == progress.usage.input_tokens > 0
    else:
        packed = [base64.b64decode(item["embedding"]) for item in orjson.loads(body)["data"]]
        read = [list(struct.unpack(f"<{len(one) // 4}f", one)) for one in packed]
        assert [[pytest.approx(number, rel=1e-6) for number in vector] for vector in vectors_of(recording)] == read
    seen = Progress()
    SIDE.glance("cohere.embed", recording.body, seen)
    assert seen.usage == progress.usage
    assert seen.finished


@corpus("cohere/embeddings", where=lambda r: r.request.get("embedding_types") == ["float"])
def test_coheres_sdk_reads_what_comes_back_from_openais_form(recording: Recording) -> None:
    request = {**recording.request, "model": "m", "embedding_types": ["float", "base64"]}
    neutral = EMBED.neutral(request)
    reply = SIDE.embedded(neutral, "m", recording.body, Progress())
    made, wire = client()
    wire.body, wire.streamed, wire.status = EMBED.whole(request, reply), False, 200
    seen = made.embed(model="m", input_type="search_query", texts=request["texts"], embedding_types=["float", "base64"])
    assert seen.embeddings.float_ == vectors_of(recording)
    assert seen.embeddings.base64 is not None
    first = base64.b64decode(seen.embeddings.base64[0])
    assert list(struct.unpack(f"<{len(first) // 4}f", first)) == pytest.approx(vectors_of(recording)[0], rel=1e-6)
    assert seen.texts == request["texts"]
    assert seen.id
    assert seen.meta is not None
    assert seen.meta.billed_units is not None
    assert seen.meta.billed_units.input_tokens == orjson.loads(recording.body)["meta"]["billed_units"]["input_tokens"]


@corpus("cohere/rerank")
def test_a_recorded_rerank_reply_comes_back_as_it_was(recording: Recording) -> None:
    wanted = LooseRerankClient()
    neutral = wanted.neutral(recording.request)
    reply = SIDE.reranked(neutral, "m", recording.body, Progress())
    before = orjson.loads(recording.body)
    given = orjson.loads(wanted.whole(recording.request, reply))
    assert given["id"] == before["id"]
    assert given["results"] == before["results"]
    assert given["meta"] == before["meta"]
    progress = Progress()
    SIDE.glance("cohere.rerank", recording.body, progress)
    assert progress.finished


@corpus("cohere/rerank")
def test_documents_are_given_back_to_who_asks_for_them(recording: Recording) -> None:
    request = {**recording.request, "return_documents": True}
    wanted = LooseRerankClient()
    given = orjson.loads(wanted.whole(request, SIDE.reranked(wanted.neutral(request), "m", recording.body, Progress())))
    for result in given["results"]:
        assert result["document"] == {"text": request["documents"][result["index"]]}


@corpus("voyage/rerank", where=lambda r: r.status == 200)
def test_voyages_rerank_is_asked_in_its_words_and_answers_coheres_sdk(recording: Recording) -> None:
    asked = recording.request
    neutral = {"model": "m", "query": asked["query"], "documents": asked["documents"], "top_n": asked.get("top_k"), "truncation": True}
    body, dropped = rerank_body(RerankStyle.VOYAGE, neutral, asked["model"])
    assert (body, dropped) == ({"truncation": True, **asked}, [])
    progress = Progress()
    reply = rerank_reply(RerankStyle.VOYAGE, recording.body, progress)
    before = orjson.loads(recording.body)
    assert progress.usage.input_tokens == before["usage"]["total_tokens"]
    assert progress.model == before["model"]
    made, wire = client()
    wire.body, wire.streamed, wire.status = RerankClient().whole(neutral, reply), False, 200
    seen = made.rerank(model="m", query=asked["query"], documents=asked["documents"], top_n=2)
    assert [(item.index, item.relevance_score) for item in seen.results] == [
        (item["index"], item["relevance_score"]) for item in before["data"]
    ]
    assert seen.meta is not None
    assert seen.meta.tokens is not None
    assert seen.meta.tokens.input_tokens == before["usage"]["total_tokens"]


@corpus("voyage/embeddings")
def test_voyages_embeddings_pass_through_an_openai_shaped_row(recording: Recording) -> None:
    side = OpenAIProvider("voyage", Quirks(paths={"openai.embeddings": "/embeddings"}))
    sent = orjson.loads(side.embed(recording.request, recording.request["model"]).body)
    wanted = {name: value for name, value in recording.request.items() if value is not None}
    assert {name: value for name, value in sent.items() if value is not None} == wanted
    if recording.status != 200:
        error = side.error(recording.status, recording.headers, recording.body)
        assert error.status == recording.status
        assert recording.raw["response"]["json"]["detail"][:40] in error.message
        return
    progress = Progress()
    reply = orjson.loads(side.embedded(recording.request, "m", recording.body, progress))
    before = orjson.loads(recording.body)
    assert [item["embedding"] for item in reply["data"]] == [item["embedding"] for item in before["data"]]
    assert progress.usage.input_tokens == before["usage"]["total_tokens"]


@corpus("cohere/models", where=lambda r: r.status == 200 and "name" in r.raw["response"].get("json", {}))
def test_a_model_has_the_keys_of_a_recorded_one_and_the_sdk_reads_it(recording: Recording) -> None:
    before = orjson.loads(recording.body)
    one = models.Model(before["name"], tuple(before["endpoints"]), before.get("context_length", 0))
    body = models.single(one)
    assert {"name", "endpoints", "finetuned", "context_length"} <= orjson.loads(body).keys() & before.keys()
    made, wire = client()
    wire.body, wire.streamed, wire.status = body, False, 200
    seen = made.models.get(before["name"])
    assert (seen.name, seen.endpoints, seen.context_length) == (before["name"], before["endpoints"], before["context_length"])
    wire.body = models.page([one, models.Model("embed-v4.0", ("embed",))], endpoint="embed")
    assert [model.name for model in made.models.list().models] == ["embed-v4.0"]
