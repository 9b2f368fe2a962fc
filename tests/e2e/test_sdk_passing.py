"""Endpoints that are passed through byte for byte: images, audio, moderations, files, batches, with the openai SDK; routed by model,
with aliases renamed, keys exchanged, and tokens counted where a reply tells them."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import anthropic
import httpx
import httpx2
import openai
import pytest
from google import genai
from google.genai import types

from tests.e2e.background import Background
from tests.e2e.canned import Canned, CannedServer
from tests.e2e.conftest import StartGateway
from tests.e2e.gateway import Gateway
from tests.e2e.journal import Wire, line_of, tokens_of

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(range(256))).decode()
SPEECH = b"ID3" + bytes(range(256)) * 50
BATCH = {
    "id": "batch_1",
    "object": "batch",
    "endpoint": "/v1/chat/completions",
    "input_file_id": "file-1",
    "completion_window": "24h",
    "status": "validating",
    "created_at": 1735689600,
}
FILE = {
    "id": "file-1",
    "object": "file",
    "bytes": 9,
    "created_at": 1735689600,
    "filename": "in.jsonl",
    "purpose": "batch",
    "status": "processed",
}
IMAGE_USAGE = {"input_tokens": 7, "output_tokens": 272, "total_tokens": 279, "input_tokens_details": {"text_tokens": 7, "image_tokens": 0}}
SPOKEN = {"text": "Hello there", "usage": {"type": "tokens", "input_tokens": 14, "output_tokens": 3, "total_tokens": 17}}
ANSWERS = {
    "POST /v1/images/generations": Canned({"created": 1, "data": [{"b64_json": PNG}], "usage": IMAGE_USAGE}),
    "POST /v1/images/edits": Canned({"created": 1, "data": [{"b64_json": PNG}], "usage": IMAGE_USAGE}),
    "POST /v1/audio/speech": Canned(SPEECH, content_type="audio/mpeg"),
    "POST /v1/audio/transcriptions": Canned(SPOKEN),
    "POST /v1/audio/translations": Canned({"text": "Hello"}),
    "POST /v1/moderations": Canned(
        {"id": "modr-1", "model": "omni", "results": [{"flagged": False, "categories": {}, "category_scores": {}}]}
    ),
    "POST /v1/files": Canned(FILE),
    "GET /v1/files": Canned({"object": "list", "data": [FILE], "has_more": False}),
    "GET /v1/files/file-1": Canned(FILE),
    "GET /v1/files/file-1/content": Canned(b'{"a": 1}\n', content_type="application/octet-stream"),
    "DELETE /v1/files/file-1": Canned({"id": "file-1", "object": "file", "deleted": True}),
    "POST /v1/batches": Canned(BATCH),
    "GET /v1/batches": Canned({"object": "list", "data": [BATCH], "has_more": False}),
    "GET /v1/batches/batch_1": Canned(BATCH),
    "POST /v1/batches/batch_1/cancel": Canned(BATCH | {"status": "cancelling"}),
    "GET /v1/responses/resp_1": Canned({"id": "resp_1", "object": "response", "output": [], "model": "gpt-5", "status": "completed"}),
    "POST /v1/messages/batches": Canned({"id": "msgbatch_1", "type": "message_batch", "processing_status": "in_progress"}),
}
FOUND = {"name": "files/abc", "mimeType": "text/plain"}
GOOGLES = {
    f"GET /{version}/{path}": answer
    for version in ("v1", "v1beta", "v1alpha")
    for path, answer in (("files", Canned({"files": [FOUND]})), ("files/abc", Canned(FOUND)))
}


@pytest.fixture(scope="module")
def vendor(background: Background) -> Iterator[CannedServer]:
    server = CannedServer(ANSWERS)
    background.run(server.start())
    yield server
    background.run(server.stop())


@pytest.fixture(scope="module")
def other(background: Background) -> Iterator[CannedServer]:
    server = CannedServer(ANSWERS)
    background.run(server.start())
    yield server
    background.run(server.stop())


@pytest.fixture(scope="module")
def google(background: Background) -> Iterator[CannedServer]:
    server = CannedServer(GOOGLES)
    background.run(server.start())
    yield server
    background.run(server.stop())


@pytest.fixture(scope="module")
def gateway(start_gateway: StartGateway, vendor: CannedServer, other: CannedServer, google: CannedServer) -> Gateway:
    providers = {
        "openai": {
            "base_url": f"{vendor.url}/v1",
            "api_key": "sk-of-the-vendor",
            "models": ["gpt-image-1", "tts-1", "whisper-1", "omni-moderation-latest", "gpt-4o-transcribe"],
        },
        "other": {"dialect": "openai", "base_url": f"{other.url}/v1", "api_key": "sk-of-the-other", "models": ["flux-dev"]},
        "anthropic": {"base_url": other.url, "api_key": "sk-ant-of-the-vendor"},
        "gemini": {"base_url": google.url, "api_key": "key-of-google"},
    }
    keys = [{"name": "team", "key": "eg-team-key"}, {"name": "narrow", "key": "eg-narrow-key", "models": ["tts-1"]}]
    return start_gateway(
        {"providers": providers, "keys": keys, "models": {"aliases": {"painter": "flux-dev", "ears": "gpt-4o-transcribe"}}}
    )


@pytest.fixture(scope="module")
def wire() -> Wire:
    return Wire()


@pytest.fixture(scope="module")
def gpt(gateway: Gateway, wire: Wire) -> openai.OpenAI:
    return openai.OpenAI(base_url=gateway.url + "/v1", api_key="eg-team-key", max_retries=0, http_client=wire.client(httpx2))


@pytest.fixture(scope="module")
def narrow(gateway: Gateway) -> openai.OpenAI:
    return openai.OpenAI(base_url=gateway.url + "/v1", api_key="eg-narrow-key", max_retries=0)


def test_images_are_made_and_their_tokens_counted(gateway: Gateway, gpt: openai.OpenAI, vendor: CannedServer, wire: Wire) -> None:
    reply = gpt.images.generate(model="gpt-image-1", prompt="A lighthouse", size="1024x1024")
    assert reply.data is not None
    assert reply.data[0].b64_json == PNG
    assert vendor.last.json == {"model": "gpt-image-1", "prompt": "A lighthouse", "size": "1024x1024"}
    assert vendor.last.headers["authorization"] == "Bearer sk-of-the-vendor"
    assert b"eg-team-key" not in repr(vendor.last.headers).encode()
    line = line_of(gateway, wire.headers)
    assert tokens_of(line) == (7, 272)
    assert (line["key"], line["provider"], line["model"], line["requested_model"]) == ("team", "openai", "gpt-image-1", "gpt-image-1")


def test_an_alias_goes_to_its_provider_under_the_models_own_name(
    gateway: Gateway, gpt: openai.OpenAI, other: CannedServer, wire: Wire
) -> None:
    gpt.images.generate(model="painter", prompt="A lighthouse")
    assert other.last.json == {"model": "flux-dev", "prompt": "A lighthouse"}
    assert other.last.headers["authorization"] == "Bearer sk-of-the-other"
    assert (wire.headers["x-edgegate-provider"], wire.headers["x-edgegate-model"]) == ("other", "flux-dev")
    assert line_of(gateway, wire.headers)["requested_model"] == "painter"
    gpt.images.generate(model="other/anything-else", prompt="A lighthouse")
    assert other.last.json["model"] == "anything-else"


def test_pictures_in_a_form_arrive_whole(gpt: openai.OpenAI, other: CannedServer) -> None:
    picture = base64.b64decode(PNG) * 100
    reply = gpt.images.edit(model="painter", image=("in.png", picture, "image/png"), prompt="Brighter")
    assert reply.data is not None
    assert other.last.headers["content-type"].startswith("multipart/form-data; boundary=")
    assert picture in other.last.body
    assert b'name="model"\r\n\r\nflux-dev\r\n' in other.last.body


def test_speech_comes_back_as_sound(gpt: openai.OpenAI, vendor: CannedServer, wire: Wire) -> None:
    assert gpt.audio.speech.create(model="tts-1", voice="alloy", input="Hello").content == SPEECH
    assert wire.headers["content-type"] == "audio/mpeg"
    assert vendor.last.json == {"model": "tts-1", "voice": "alloy", "input": "Hello"}
    with gpt.audio.speech.with_streaming_response.create(model="tts-1", voice="alloy", input="Hello") as streamed:
        assert b"".join(streamed.iter_bytes()) == SPEECH


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")  # the SDK says so of transcriptions
def test_transcriptions_are_forms_whose_model_is_found_and_renamed(
    gateway: Gateway, gpt: openai.OpenAI, vendor: CannedServer, wire: Wire
) -> None:
    reply: Any = gpt.audio.transcriptions.create(model="ears", file=("a.mp3", SPEECH), language="en")
    assert reply.text == "Hello there"
    body = vendor.last.body
    assert SPEECH in body
    assert b'name="model"\r\n\r\ngpt-4o-transcribe\r\n' in body
    assert b'name="language"\r\n\r\nen\r\n' in body
    assert vendor.last.headers["content-length"] == str(len(body))
    line = line_of(gateway, wire.headers)
    assert tokens_of(line) == (14, 3)
    assert (line["requested_model"], line["model"]) == ("ears", "gpt-4o-transcribe")
    assert gpt.audio.translations.create(model="whisper-1", file=("a.mp3", SPEECH)).text == "Hello"


def test_moderations(gpt: openai.OpenAI, vendor: CannedServer) -> None:
    assert gpt.moderations.create(model="omni-moderation-latest", input="Hello").results[0].flagged is False
    assert vendor.last.json == {"model": "omni-moderation-latest", "input": "Hello"}
    gpt.moderations.create(input="Hello")
    assert vendor.last.json == {"input": "Hello"}, "without a model it is the first provider that has the endpoint"


def test_files_and_batches_go_to_the_first_provider_of_their_kind(gpt: openai.OpenAI, vendor: CannedServer) -> None:
    made = gpt.files.create(file=("in.jsonl", b'{"a": 1}\n'), purpose="batch")
    assert made.id == "file-1"
    assert b'{"a": 1}\n' in vendor.last.body
    assert [file.id for file in gpt.files.list()] == ["file-1"]
    assert gpt.files.retrieve("file-1").filename == "in.jsonl"
    assert gpt.files.content("file-1").content == b'{"a": 1}\n'
    assert gpt.files.delete("file-1").deleted
    batch = gpt.batches.create(input_file_id="file-1", endpoint="/v1/chat/completions", completion_window="24h")
    assert batch.id == "batch_1"
    assert vendor.last.json["input_file_id"] == "file-1"
    assert [each.id for each in gpt.batches.list(limit=5)] == ["batch_1"]
    assert vendor.last.path == "/v1/batches?limit=5"
    assert gpt.batches.cancel("batch_1").status == "cancelling"


def test_the_caller_may_name_the_provider(gpt: openai.OpenAI, other: CannedServer) -> None:
    before = len(other.received)
    assert gpt.files.retrieve("file-1", extra_headers={"x-edgegate-provider": "other"}).id == "file-1"
    assert len(other.received) == before + 1
    assert "x-edgegate-provider" not in other.last.headers
    with pytest.raises(openai.NotFoundError):
        gpt.files.retrieve("file-1", extra_headers={"x-edgegate-provider": "nobody"})


def test_stored_responses_are_passed(gpt: openai.OpenAI, vendor: CannedServer) -> None:
    assert gpt.responses.retrieve("resp_1").id == "resp_1"
    assert vendor.last.path.startswith("/v1/responses/resp_1")


def test_other_vendors_files_and_batches_are_passed_to_them(gateway: Gateway, other: CannedServer) -> None:
    claude = anthropic.Anthropic(base_url=gateway.url, api_key="eg-team-key", max_retries=0)
    asked: Any = {
        "custom_id": "1",
        "params": {"model": "claude-haiku-4-5", "max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}]},
    }
    assert claude.messages.batches.create(requests=[asked]).id == "msgbatch_1"
    assert (other.last.headers["x-api-key"], other.last.json["requests"]) == ("sk-ant-of-the-vendor", [asked])


@pytest.mark.parametrize("version", ["v1", "v1beta", "v1alpha"])
def test_googles_files_go_to_google_although_openai_has_the_same_path(gateway: Gateway, google: CannedServer, version: str) -> None:
    options = types.HttpOptions(base_url=gateway.url, api_version=version)
    sdk = genai.Client(api_key="eg-team-key", http_options=options)
    assert [file.name for file in sdk.files.list()] == ["files/abc"]
    assert (google.last.headers["x-goog-api-key"], google.last.path.partition("?")[0]) == ("key-of-google", f"/{version}/files")
    assert sdk.files.get(name="files/abc").mime_type == "text/plain"


def test_a_provider_s_own_rerank_path_is_relayed_under_its_name(gateway: Gateway, other: CannedServer) -> None:
    other.answers["POST /v1/rerank/custom"] = Canned({"results": [], "usage": {"total_tokens": 5, "prompt_tokens": 5}})
    reply = httpx.post(
        gateway.url + "/other/rerank/custom", json={"model": "r"}, headers={"authorization": "Bearer eg-team-key"}, trust_env=False
    )
    assert reply.json()["results"] == []
    assert (other.last.path, other.last.headers["authorization"]) == ("/v1/rerank/custom", "Bearer sk-of-the-other")
    assert tokens_of(line_of(gateway, reply.headers)) == (5, 0)


def test_a_caller_without_a_key_is_refused_before_anything_is_sent(gateway: Gateway, vendor: CannedServer) -> None:
    before = len(vendor.received)
    with openai.OpenAI(base_url=gateway.url + "/v1", api_key="not-a-key", max_retries=0) as stranger:
        for ask in (
            lambda: stranger.images.generate(model="gpt-image-1", prompt="x"),
            lambda: stranger.audio.speech.create(model="tts-1", voice="alloy", input="x"),
            lambda: stranger.audio.transcriptions.create(model="whisper-1", file=("a.mp3", SPEECH)),
            lambda: stranger.files.list(),
            lambda: stranger.files.create(file=b"x", purpose="batch"),
        ):
            with pytest.raises(openai.AuthenticationError):
                ask()
    assert len(vendor.received) == before


def test_a_key_for_some_models_reaches_these_only(narrow: openai.OpenAI, vendor: CannedServer) -> None:
    assert narrow.audio.speech.create(model="tts-1", voice="alloy", input="Hello").content == SPEECH
    before = len(vendor.received)
    with pytest.raises(openai.PermissionDeniedError) as caught:
        narrow.images.generate(model="gpt-image-1", prompt="x")
    assert caught.value.code == "model_not_allowed"
    with pytest.raises(openai.PermissionDeniedError):
        narrow.audio.transcriptions.create(model="whisper-1", file=("a.mp3", SPEECH))
    with pytest.raises(openai.PermissionDeniedError):
        narrow.files.list()
    assert len(vendor.received) == before


def test_unknown_models_and_errors_of_the_provider(gpt: openai.OpenAI, vendor: CannedServer) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        gpt.images.generate(model="no-such-model", prompt="x")
    assert caught.value.code == "model_not_found"
    vendor.answers["POST /v1/videos"] = Canned({"error": {"message": "too many", "type": "requests", "code": "rate_limit_exceeded"}}, 429)
    with pytest.raises(openai.RateLimitError) as limited:
        gpt.post("/videos", body={"model": "gpt-image-1"}, cast_to=object)
    assert limited.value.code == "rate_limit_exceeded"
    assert "too many" in limited.value.message
