"""google-genai in its Vertex mode: what it sends is what our Vertex side sends, and it reads our client side's answers."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from google import genai
from google.genai import types
from google.oauth2.credentials import Credentials

from edgegate.dialects.base import Ask
from edgegate.dialects.clouds import vertex_address
from edgegate.dialects.gemini import BatchEmbedClient, EmbedClient, GenerateClient, StreamClient, VertexProvider
from edgegate.dialects.gemini.fields import named
from edgegate.taps import Outcome

VERTEX = VertexProvider("p", "us-central1")


class Vertex:
    """The SDK in front of a transport that keeps requests and answers with `self.body`."""

    def __init__(self) -> None:
        self.body = b"{}"
        self.kind = "application/json"
        self.sent: list[httpx.Request] = []
        http = httpx.Client(transport=httpx.MockTransport(self._answer))
        self.models = genai.Client(
            vertexai=True,
            project="p",
            location="us-central1",
            credentials=Credentials(token="t"),  # type: ignore[no-untyped-call]
            http_options=types.HttpOptions(httpx_client=http),
        ).models

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.sent.append(request)
        return httpx.Response(200, content=self.body, headers={"content-type": self.kind})

    @property
    def last(self) -> tuple[str, Any]:
        return str(self.sent[-1].url), json.loads(self.sent[-1].content)


@pytest.fixture(scope="module")
def vertex() -> Vertex:
    return Vertex()


def assert_sent(vertex: Vertex, path: str, body: bytes) -> None:
    url, theirs = vertex.last
    assert url.partition("?")[0] == vertex_address("us-central1") + path.partition("?")[0]
    assert json.loads(body) == theirs


@pytest.mark.parametrize(
    ("model", "texts"),
    [
        ("text-embedding-005", ["a"]),
        ("text-embedding-005", ["a", "b"]),
        ("gemini-embedding-001", ["a"]),
        ("gemini-embedding-001", ["a", "b"]),
        ("gemini-embedding-2", ["a"]),  # of several strings the SDK makes one content
    ],
)
def test_embeddings_are_asked_for_as_the_sdk_does(vertex: Vertex, model: str, texts: list[str]) -> None:
    vertex.body = b"{}"
    config = types.EmbedContentConfig(task_type="RETRIEVAL_QUERY", output_dimensionality=8, auto_truncate=True)
    vertex.models.embed_content(model=model, contents=texts, config=config)
    request = {"input": texts, "dimensions": 8, "taskType": "RETRIEVAL_QUERY", "autoTruncate": True}
    wire = VERTEX.embed(request, model)
    assert_sent(vertex, wire.path, wire.body)
    if ":predict" not in wire.path:
        asked = json.loads(wire.body)
        client = BatchEmbedClient() if "requests" in asked else EmbedClient()
        client.check(asked)
        neutral = client.neutral(asked)
        assert neutral == {**request, "input": texts if "requests" in asked else texts[0], "encoding_format": "float"}
        assert json.loads(VERTEX.embed(neutral, model).body) == asked


def test_request_of_the_sdk_comes_out_as_it_went_in(vertex: Vertex) -> None:
    vertex.body = b'{"candidates":[{"content":{"parts":[{"text":"."}],"role":"model"},"finishReason":"STOP"}]}'
    picture = types.Part.from_bytes(data=b"\xfb\xff\xfe", mime_type="image/png")
    config = types.GenerateContentConfig(
        system_instruction="Be brief",
        temperature=0.5,
        labels={"team": "a"},
        audio_timestamp=True,
        safety_settings=[types.SafetySetting(category="HARM_CATEGORY_HARASSMENT", threshold="OFF", method="SEVERITY")],  # type: ignore[arg-type]
        tools=[types.Tool(enterprise_web_search=types.EnterpriseWebSearch())],
        thinking_config=types.ThinkingConfig(thinking_budget=-1, include_thoughts=True),
    )
    vertex.models.generate_content(model="gemini-2.5-pro", contents=["What?", picture], config=config)
    _, theirs = vertex.last
    chat = GenerateClient().neutral(theirs)
    wire = VERTEX.request(Ask(chat, "gemini-2.5-pro", False, "x-1", 1))
    theirs["systemInstruction"].pop("role", None)
    theirs["contents"][0]["parts"][1]["inlineData"]["data"] = "+//+"
    assert json.loads(wire.body) == named(theirs)
    assert (wire.dropped, wire.mapped) == ([], [])


def test_count_is_asked_for_as_the_sdk_does(vertex: Vertex) -> None:
    vertex.body = b'{"totalTokens": 3}'
    system = types.Content(parts=[types.Part(text="S")])
    vertex.models.count_tokens(model="gemini-2.5-pro", contents="Hi", config=types.CountTokensConfig(system_instruction=system))
    chat = {"messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "Hi"}]}
    wire = VERTEX.count(Ask(chat, "gemini-2.5-pro", False, "x-1", 1))
    assert_sent(vertex, wire.path, wire.body)


def test_sdk_in_vertex_mode_reads_our_answers(vertex: Vertex) -> None:
    chat = {
        "id": "c",
        "model": "claude-x",
        "choices": [{"index": 0, "message": {"content": "Hi", "reasoning_content": "hm"}, "finish_reason": "stop"}],
    }
    vertex.body = GenerateClient().whole({}, json.dumps(chat).encode())
    reply = vertex.models.generate_content(model="m", contents="Why?")
    assert (reply.text, reply.model_version, reply.response_id) == ("Hi", "claude-x", "c")
    tap = StreamClient().stream({}, "r")
    delta = b'data: {"id":"c","model":"x","choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n'
    end = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    vertex.body, vertex.kind = tap.feed(delta + end) + tap.end(Outcome.OK), "text/event-stream"
    replies = list(vertex.models.generate_content_stream(model="m", contents="Why?"))
    assert "".join(reply.text or "" for reply in replies) == "Hi"
    assert (replies[-1].candidates or [])[0].finish_reason is types.FinishReason.STOP
