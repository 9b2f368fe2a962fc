"""What only Ollama's API has, with its SDK: loading models, tags, streams by default, options, `generate`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import ollama
import pytest

from edgegate.simulate import Running
from tests.e2e.background import Background
from tests.e2e.canned import Canned, CannedServer
from tests.e2e.conftest import StartGateway
from tests.e2e.gateway import Gateway
from tests.e2e.journal import Wire, line_of, tokens_of
from tests.e2e.matrix.pairs import PROVIDERS
from tests.e2e.matrix.test_matrix import png

LOADED = {"model": "llama3.2", "created_at": "2025-01-01T00:00:00Z", "message": {"role": "assistant", "content": ""}, "done": True}
FOREIGN = tuple(name for name in PROVIDERS if name != "ollama")
SCHEMA: dict[str, Any] = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"], "additionalProperties": False}


@pytest.fixture(scope="module")
def wire() -> Wire:
    return Wire()


@pytest.fixture(scope="module")
def llama(every: Gateway, wire: Wire) -> ollama.Client:
    return ollama.Client(host=every.url, timeout=20, trust_env=False, event_hooks={"response": [wire]})


@pytest.fixture(params=PROVIDERS)
def provider(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def model(provider: str) -> str:
    return f"{provider}/{PROVIDERS[provider].model}"


# -- loading


def test_loading_a_model_asks_no_provider_that_is_no_ollama(llama: ollama.Client, simulator: Running) -> None:
    before = simulator.traffic.requests
    for name in FOREIGN:
        model = f"{name}/{PROVIDERS[name].model}"
        loaded = llama.chat(model, messages=[], keep_alive="10m")
        assert (loaded.done, loaded.done_reason, loaded.message.content) == (True, "load", "")
        assert loaded.model == model
        assert llama.chat(model, messages=[], keep_alive=0).done_reason == "unload"
        assert llama.generate(model, prompt="", keep_alive=-1).done_reason == "load"
        assert llama.generate(model, prompt="", keep_alive=0).done_reason == "unload"
        assert llama.embed(model, "").embeddings == []
    assert simulator.traffic.requests == before


@pytest.fixture(scope="module")
def owned(background: Background) -> Iterator[CannedServer]:
    """An Ollama that tells what it is asked."""
    server = CannedServer(
        {
            "POST /api/chat": Canned(LOADED | {"done_reason": "load"}),
            "POST /api/generate": Canned(LOADED | {"message": None, "response": "", "done_reason": "unload"}),
        }
    )
    background.run(server.start())
    yield server
    background.run(server.stop())


@pytest.fixture(scope="module")
def local(start_gateway: StartGateway, owned: CannedServer) -> Gateway:
    return start_gateway({"providers": {"ollama": {"base_url": owned.url, "models": ["llama3.2", "qwen3:8b"]}}})


def test_loading_a_model_of_an_ollama_is_its_own_business(local: Gateway, owned: CannedServer) -> None:
    sdk = ollama.Client(host=local.url, timeout=20, trust_env=False)
    assert sdk.chat("llama3.2", messages=[], keep_alive="10m").done_reason == "load"
    assert (owned.last.path, owned.last.json["messages"], owned.last.json["keep_alive"]) == ("/api/chat", [], "10m")
    assert sdk.generate("llama3.2:latest", keep_alive=0).done_reason == "unload"
    assert (owned.last.path, owned.last.json["keep_alive"]) == ("/api/generate", 0)
    assert owned.last.json["model"] in ("llama3.2", "llama3.2:latest")
    raw = httpx.post(local.url + "/api/chat", json={"model": "llama3.2"}, trust_env=False)
    assert raw.json()["done_reason"] == "load", "a stream by default, but one object is what loading answers"


# -- names


def test_a_name_with_the_tag_latest_is_the_name(llama: ollama.Client, model: str) -> None:
    reply = llama.chat(f"{model}:latest", messages=[{"role": "user", "content": "Hello"}])
    assert reply.message.content is not None
    assert reply.message.content.endswith("You said: Hello")
    assert reply.model in (model, f"{model}:latest", model.partition("/")[2])


def test_other_tags_are_part_of_the_name(local: Gateway, owned: CannedServer) -> None:
    ollama.Client(host=local.url, timeout=20, trust_env=False).chat("qwen3:8b", messages=[{"role": "user", "content": "Hello"}])
    assert owned.last.json["model"] == "qwen3:8b"


# -- chat


def test_without_a_word_about_it_an_answer_is_a_stream(every: Gateway, model: str) -> None:
    asked: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": "repeat 5"}]}
    reply = httpx.post(every.url + "/api/chat", json=asked, timeout=20, trust_env=False)
    assert reply.headers["content-type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in reply.text.splitlines()]
    assert len(lines) > 2
    assert [line["done"] for line in lines] == [False] * (len(lines) - 1) + [True]
    assert "".join(line["message"]["content"] for line in lines) == "lorem ipsum dolor sit amet"
    last = lines[-1]
    assert (last["done_reason"], last["eval_count"]) == ("stop", 5)
    assert all(type(last[name]) is int for name in ("total_duration", "prompt_eval_count"))
    plain = httpx.post(every.url + "/api/chat", json=asked | {"stream": False}, timeout=20, trust_env=False)
    assert plain.headers["content-type"].startswith("application/json")
    assert plain.json()["message"]["content"] == "lorem ipsum dolor sit amet"
    assert plain.json()["eval_count"] == 5


def test_options_are_carried_or_named(llama: ollama.Client, wire: Wire, provider: str, model: str) -> None:
    options: dict[str, Any] = {"temperature": 0.5, "seed": 7, "top_p": 0.9, "num_predict": 300, "num_ctx": 4096}
    reply = llama.chat(model, messages=[{"role": "user", "content": "report"}], options=options)
    assert reply.message.content is not None
    report = json.loads(reply.message.content)
    lost = wire.lost()
    if provider == "ollama":
        assert lost == set()
        assert {name: report[name] for name in options if name in report} == {n: v for n, v in options.items() if n in report}
    else:
        assert "options" in lost, "nobody else can size the context"
    if "temperature" in report and "temperature" not in lost:
        assert report["temperature"] == 0.5


def test_format_is_any_json_or_a_schema(llama: ollama.Client, wire: Wire, model: str, provider: str) -> None:
    said = [{"role": "user", "content": "An animal as JSON."}]
    loose = llama.chat(model, messages=said, format="json").message.content or ""
    if provider in ("anthropic", "bedrock"):  # they are told in words, which the simulator does not read
        assert wire.mapped() == {"response_format"}
    else:
        assert isinstance(json.loads(loose), dict)
        assert (wire.lost(), wire.mapped()) == (set(), set())
    assert json.loads(llama.chat(model, messages=said, format=SCHEMA).message.content or "").keys() == {"name"}


@pytest.mark.parametrize("think", [True, "low", False])
def test_think(llama: ollama.Client, wire: Wire, provider: str, think: Any) -> None:
    model = f"{provider}/{PROVIDERS[provider].thinks}"
    reply = llama.chat(model, messages=[{"role": "user", "content": "Hello"}], think=think)
    shows = provider not in ("openai", "azure", "azure-v1")  # chat completions never tell their reasoning
    if think and shows:
        assert (reply.message.thinking or "").startswith("The user said")
    assert (reply.message.content or "").endswith("You said: Hello")
    assert "think" not in wire.lost(), "the effort was carried"


# -- generate


def test_generate_plain(every: Gateway, llama: ollama.Client, wire: Wire, model: str) -> None:
    reply = llama.generate(model, prompt="Hello", system="Be brief.", options={"num_predict": 100})
    assert (reply.response or "").endswith("You said: Hello")
    assert (reply.done, reply.done_reason) == (True, "stop")
    assert (reply.prompt_eval_count, reply.eval_count) == tokens_of(line_of(every, wire.headers))


def test_generate_streamed(every: Gateway, llama: ollama.Client, wire: Wire, model: str) -> None:
    lines = list(llama.generate(model, prompt="repeat 12", stream=True))
    assert "".join(line.response or "" for line in lines) == llama.generate(model, prompt="repeat 12").response
    assert [line.done for line in lines] == [False] * (len(lines) - 1) + [True]
    assert lines[-1].eval_count == 12


def test_generate_with_a_picture_and_a_schema(llama: ollama.Client, model: str) -> None:
    seen = llama.generate(model, prompt="What is this?", images=[png(7, 5)])
    assert "(with 1 image: image/png, " in (seen.response or "")
    made = llama.generate(model, prompt="An animal as JSON.", format=SCHEMA)
    assert json.loads(made.response or "").keys() == {"name"}


@pytest.mark.parametrize(("field", "given"), [("suffix", "}"), ("raw", True), ("context", [1, 2, 3])])
def test_what_generate_has_and_a_chat_has_not_is_refused_by_name(llama: ollama.Client, field: str, given: Any) -> None:
    for model in ("openai/gpt-4.1", "gemini/gemini-2.5-flash"):
        with pytest.raises(ollama.ResponseError) as caught:
            llama.generate(model, prompt="def f():", **{field: given})
        assert caught.value.status_code == 400
        assert field in caught.value.error


def test_errors_are_ollamas(llama: ollama.Client, provider: str) -> None:
    for ask in (llama.chat, llama.generate):
        said: dict[str, Any] = {"messages": [{"role": "user", "content": "Hello"}]} if ask == llama.chat else {"prompt": "Hello"}
        with pytest.raises(ollama.ResponseError) as caught:
            ask(f"{provider}/error-404", **said)
        assert caught.value.status_code == 404
