"""The client sides of Ollama's API: how requests, errors, calls and loading are told."""

from __future__ import annotations

from typing import Any

import ollama
import orjson
import pytest

from edgegate.dialects.base import Ask, Operation, Progress
from edgegate.dialects.chat import DONE, ChunkWriter
from edgegate.dialects.ollama import models
from edgegate.dialects.ollama.client import OllamaChatClient, OllamaGenerateClient
from edgegate.dialects.ollama.embedding import OllamaEmbedClient, OllamaOldEmbedClient
from edgegate.dialects.ollama.media import media_type
from edgegate.dialects.ollama.provider import OllamaProvider
from edgegate.dialects.ollama.words import timestamp
from edgegate.errors import GatewayError, WireError, bad_request, provider_error
from edgegate.taps import Outcome

CHAT, GENERATE, EMBED, OLD_EMBED = OllamaChatClient(), OllamaGenerateClient(), OllamaEmbedClient(), OllamaOldEmbedClient()
USER = {"role": "user", "content": "hi"}
WRITE = ChunkWriter("chatcmpl-1", 1_748_386_497, "claude")


def written(*chunks: bytes, generate: bool = False, outcome: Outcome = Outcome.OK) -> list[dict[str, Any]]:
    tap = (GENERATE if generate else CHAT).stream({"model": "asked"}, "i")
    out = b"".join([tap.feed(chunk) for chunk in chunks]) + tap.end(outcome)
    return [orjson.loads(line) for line in out.splitlines()]


def test_the_formats_have_their_names() -> None:
    found = [(client.format, client.operation, client.dialect, client.stream_type) for client in (CHAT, GENERATE, EMBED, OLD_EMBED)]
    ndjson = b"application/x-ndjson"
    assert found == [
        ("ollama.chat", Operation.CHAT, "ollama", ndjson),
        ("ollama.generate", Operation.COMPLETION, "ollama", ndjson),
        ("ollama.embed", Operation.EMBEDDINGS, "ollama", ndjson),
        ("ollama.embeddings", Operation.EMBEDDINGS, "ollama", ndjson),
    ]
    assert set(OllamaProvider().native) == {name for name, *_ in found}


@pytest.mark.parametrize(
    ("stream", "expected"), [({}, True), ({"stream": True}, True), ({"stream": None}, True), ({"stream": False}, False)]
)
def test_absent_stream_means_true(stream: dict[str, Any], expected: bool) -> None:
    assert CHAT.streams({"model": "m", "messages": [USER], **stream}) is expected
    assert GENERATE.streams({"model": "m", "prompt": "p", **stream}) is expected
    assert not EMBED.streams({"model": "m", "input": "a", **stream})


@pytest.mark.parametrize(
    ("keep_alive", "reason"),
    [({}, "load"), ({"keep_alive": "5m"}, "load"), ({"keep_alive": 0}, "unload"), ({"keep_alive": "0s"}, "unload")],
)
def test_a_request_without_a_question_is_answered_here_with_one_object(keep_alive: dict[str, Any], reason: str) -> None:
    for request in ({"model": "m", "messages": [], **keep_alive}, {"model": "m", **keep_alive}):
        assert not CHAT.streams(request)
        body = CHAT.local(request, 1_748_386_497)
        assert body is not None
        read = ollama.ChatResponse.model_validate_json(body)
        assert (read.done, read.done_reason, read.model, read.message.content, read.created_at) == (
            True, reason, "m", "", "2025-05-27T22:54:57Z",
        )  # fmt: skip
        generated = GENERATE.local({**request, "prompt": ""}, 1)
        assert generated is not None
        assert ollama.GenerateResponse.model_validate_json(generated).done_reason == reason
    assert CHAT.local({"model": "m", "messages": [USER]}, 1) is None
    assert GENERATE.local({"model": "m", "prompt": "p"}, 1) is None
    assert EMBED.local({"model": "m", "input": ""}, 1) == b'{"model":"m","embeddings":[]}'
    assert EMBED.local({"model": "m", "input": "a"}, 1) is None
    assert OLD_EMBED.local({"model": "m"}, 1) == b'{"embedding":[]}'


@pytest.mark.parametrize(
    ("client", "request_", "param", "message"),
    [
        (CHAT, {}, "model", "model is required"),
        (CHAT, {"model": 5}, "model", "json: cannot unmarshal number into Go struct field ChatRequest.model of type string"),
        (
            CHAT,
            {"model": "m", "messages": [{"role": "user", "content": [{"type": "text"}]}]},
            "messages[0].content",
            "json: cannot unmarshal array into Go struct field ChatRequest.messages.content of type string",
        ),
        (
            CHAT,
            {"model": "m", "messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": [1]}}]}]},
            "messages[0].tool_calls[0].function.arguments",
            "json: cannot unmarshal array into Go struct field ChatRequest.messages.tool_calls.function.arguments of type "
            "api.ToolCallFunctionArguments",
        ),
        (
            CHAT,
            {"model": "m", "messages": [{**USER, "images": ["https://a/b.png"]}]},
            "messages[0].images[0]",
            "messages[0].images[0]: illegal base64 data at input byte 4: expected the image itself, not a URL",
        ),
        (CHAT, {"model": "m", "options": {"temperature": "hot"}}, "options.temperature",
         'options.temperature: option "temperature" must be of type number'),
        (CHAT, {"model": "m", "format": "xml"}, "format", 'invalid format: expected "json" or a JSON schema'),
        (CHAT, {"model": "m", "think": 5}, "think", 'think must be a boolean or string ("high", "medium", "low", true, or false)'),
        (GENERATE, {"model": "m", "prompt": []}, "prompt",
         "json: cannot unmarshal array into Go struct field GenerateRequest.prompt of type string"),
        (EMBED, {"model": "m", "input": [1]}, "input", "invalid input type"),
        (OLD_EMBED, {"model": "m", "prompt": 1}, "prompt",
         "json: cannot unmarshal number into Go struct field EmbeddingRequest.prompt of type string"),
    ],
)  # fmt: skip
def test_bad_requests_are_refused_in_ollamas_words_and_name_the_field(client: Any, request_: Any, param: str, message: str) -> None:
    with pytest.raises(GatewayError) as caught:
        client.check(request_)
    assert (caught.value.status, caught.value.param) == (400, param)
    told = message if message.startswith(("json:", param)) or param in message else f"{param}: {message}"
    assert orjson.loads(client.error(caught.value, "r")) == {"error": told}


def test_an_error_of_ollamas_own_goes_on_as_it_is_and_any_other_is_told_in_its_shape() -> None:
    own = provider_error(404, "model_not_found", "x", wire=WireError("ollama", b'{"error":"model \'x\' not found"}', "application/json"))
    assert CHAT.error(own, "r") == b'{"error":"model \'x\' not found"}'
    pretty = provider_error(404, "x", "x", wire=WireError("ollama", b'{\n "error": "no"\n}', "application/json"))
    assert CHAT.error_event(pretty, "r") == b'{"error":"no"}\n'
    page = provider_error(502, "x", "Ollama answered 502", wire=WireError("ollama", b"<html>", "text/html"))
    assert CHAT.error(page, "r") == b'{"error":"Ollama answered 502"}'
    other = provider_error(429, "x", "slow down", wire=WireError("openai", b'{"error":{"message":"m"}}', "application/json"))
    assert CHAT.error_event(other, "r") == b'{"error":"slow down"}\n'
    assert CHAT.error(bad_request("expected a number", "top_p"), "r") == b'{"error":"top_p: expected a number"}'


def test_a_stream_tells_text_thinking_and_counts() -> None:
    usage = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}\n\n'
    head = {"model": "claude", "created_at": "2025-05-27T22:54:57Z"}
    lines = written(WRITE.role(), WRITE.reasoning("hm"), WRITE.text("h\u00e9\n"), WRITE.finish("length"), usage, DONE)
    assert lines[:2] == [
        {**head, "message": {"role": "assistant", "content": "", "thinking": "hm"}, "done": False},
        {**head, "message": {"role": "assistant", "content": "h\u00e9\n"}, "done": False},
    ]
    assert lines[2] == {
        **head,
        "message": {"role": "assistant", "content": ""},
        "done": True, "done_reason": "length", "total_duration": 0, "load_duration": 0,
        "prompt_eval_count": 3, "prompt_eval_duration": 0, "eval_count": 2, "eval_duration": 0,
    }  # fmt: skip
    lines = written(WRITE.reasoning("hm"), WRITE.text("hi"), WRITE.finish("stop"), generate=True)
    assert [(line["response"], line.get("thinking")) for line in lines] == [("", "hm"), ("hi", None), ("", None)]
    assert "prompt_eval_count" not in lines[-1]


def test_calls_come_in_pieces_and_go_out_whole() -> None:
    lines = written(
        WRITE.call(0, "call_a", "weather", '{"ci'),
        WRITE.call(1, "call_b", "now", ""),
        WRITE.arguments(0, 'ty":"Oslo"}'),
        WRITE.finish("tool_calls"),
        DONE,
    )
    assert lines[0]["message"]["tool_calls"] == [
        {"id": "call_a", "function": {"index": 0, "name": "weather", "arguments": {"city": "Oslo"}}},
        {"id": "call_b", "function": {"index": 1, "name": "now", "arguments": {}}},
    ]
    assert (lines[1]["done"], lines[1]["done_reason"]) == (True, "stop")
    assert len(lines) == 2


@pytest.mark.parametrize("arguments", ['{"city":', "[1]", "5", "not json"])
def test_arguments_that_are_no_object_are_an_error_and_never_an_empty_call(arguments: str) -> None:
    (line,) = written(WRITE.call(0, "call_a", "weather", arguments), WRITE.finish("tool_calls"), DONE)
    assert set(line) == {"error"}
    call = {"id": "call_a", "type": "function", "function": {"name": "weather", "arguments": arguments}}
    reply = {"choices": [{"message": {"content": None, "tool_calls": [call]}, "finish_reason": "tool_calls"}]}
    with pytest.raises(GatewayError) as caught:
        CHAT.whole({"model": "m"}, orjson.dumps(reply))
    assert caught.value.status == 502


def test_a_call_cut_off_by_the_limit_is_left_out_and_the_limit_is_told() -> None:
    (line,) = written(WRITE.call(0, "call_a", "weather", '{"city":'), WRITE.finish("length"), DONE)
    assert (line["done_reason"], "tool_calls" in line["message"]) == ("length", False)


def test_an_answer_without_a_finish_is_never_ended_and_a_broken_one_neither() -> None:
    assert [line["done"] for line in written(WRITE.text("a"), DONE)] == [False]
    assert [line["done"] for line in written(WRITE.text("a"), WRITE.finish("stop"), outcome=Outcome.UPSTREAM_BROKE)] == [False]


def test_logprobs_and_pictures_have_their_places() -> None:
    token = {"token": "a", "logprob": -0.1, "bytes": [97], "top_logprobs": [{"token": "a", "logprob": -0.1, "bytes": None}]}
    picture = {"images": [{"index": 0, "type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}]}
    chunks = (WRITE.delta({"content": "a"}, logprobs={"content": [token]}), WRITE.delta(picture), WRITE.finish("stop"))
    lines = written(*chunks)
    assert (lines[0]["message"]["content"], lines[0]["logprobs"][0]["logprob"]) == ("a", -0.1)
    shown = "\n\n![image](data:image/png;base64,iVBORw0KGgo=)\n"
    assert lines[1]["message"] == {"role": "assistant", "content": shown}
    assert written(*chunks, generate=True)[1]["image"] == "iVBORw0KGgo="
    reply = {"choices": [{"message": {"content": "a", **picture}, "logprobs": {"content": [token]}, "finish_reason": "stop"}]}
    read = ollama.ChatResponse.model_validate_json(CHAT.whole({"model": "m"}, orjson.dumps(reply)))
    assert read.logprobs is not None
    assert (read.logprobs[0].token, read.model, read.message.content) == ("a", "m", "a" + shown)


def test_results_find_their_calls_by_id_by_name_and_by_order() -> None:
    def call(name: str, **more: Any) -> dict[str, Any]:
        return {"function": {"name": name, "arguments": {}}, **more}

    def result(**more: Any) -> dict[str, Any]:
        return {"role": "tool", "content": "1", **more}

    messages = [
        {"role": "assistant", "tool_calls": [call("f"), call("f"), call("g", id="call_1"), call("h")]},
        result(tool_name="h"), result(tool_call_id="call_1"), result(tool_name="f"), result(),
        {"role": "assistant", "tool_calls": [call("f")]},
        result(name="f"), result(tool_name="unknown"),
    ]  # fmt: skip
    chat = CHAT.neutral({"model": "m", "messages": messages})
    ids = [call["id"] for message in chat["messages"] for call in message.get("tool_calls", ())]
    assert ids == ["call_0", "call_2", "call_1", "call_3", "call_4"]  # `call_1` was taken
    results = [(message["tool_call_id"], message.get("name")) for message in chat["messages"] if message["role"] == "tool"]
    assert results == [("call_3", "h"), ("call_1", "g"), ("call_0", "f"), ("call_2", "f"), ("call_4", "f"), ("call_5", "unknown")]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"num_predict": 5}, {"max_completion_tokens": 5}),
        ({"num_predict": 5.0, "seed": 3.0}, {"max_completion_tokens": 5, "seed": 3}),
        ({"num_predict": -1}, {"options": {"num_predict": -1}}),
        ({"num_predict": None, "temperature": None, "stop": []}, {}),
        ({"stop": "x"}, {"stop": "x"}),
        ({"num_ctx": 1, "typical_p": 0.5}, {"options": {"num_ctx": 1, "typical_p": 0.5}}),
    ],
)
def test_options_are_told_in_the_chat_s_words_and_the_rest_is_kept(options: dict[str, Any], expected: dict[str, Any]) -> None:
    request = {"model": "m", "messages": [USER], "options": options, "stream": False}
    CHAT.check(request)
    assert CHAT.neutral(request) == {"model": "m", "messages": [USER], **expected}


@pytest.mark.parametrize(("think", "effort"), [(True, "medium"), (False, "none"), ("high", "high")])
def test_think_is_an_effort_for_others_and_itself_for_ollama(think: Any, effort: str) -> None:
    chat = CHAT.neutral({"model": "m", "messages": [USER], "think": think})
    assert (chat["reasoning_effort"], chat["think"]) == (effort, think)
    assert orjson.loads(OllamaProvider().request(Ask(chat, "m", True, "i", 1)).body)["think"] == think


@pytest.mark.parametrize(
    ("start", "media"),
    [
        ("iVBORw0KGgoAAAANSUhEUg", "image/png"),
        ("/9j/4AAQSkZJRgABAQAAAQABAAD", "image/jpeg"),
        ("R0lGODlhAQABAIAAAAAAAP///yH5", "image/gif"),
        ("UklGRiQAAABXRUJQVlA4IBgAAAAw", "image/webp"),
        ("Qk1GAAAAAAAAADYAAAAoAAAAAgAA", "image/bmp"),
        ("AAAAHGZ0eXBhdmlmAAAAAGF2aWZt", "image/avif"),
        ("AAAAHGZ0eXBoZWljAAAAAG1pZjFo", "image/heic"),
        ("!", "image/png"),
        ("", "image/png"),
    ],
)
def test_the_media_type_of_a_picture_is_seen_from_its_first_bytes(start: str, media: str) -> None:
    assert media_type(start) == media


@pytest.mark.parametrize("odd", [None, "x", -5, 1e300, float("nan"), [1], True])
def test_a_time_that_is_none_is_the_first_of_all(odd: Any) -> None:
    assert timestamp(odd) == "1970-01-01T00:00:00Z"


def test_models_are_listed_shown_and_running_as_the_sdk_reads_them() -> None:
    listed = ollama.ListResponse.model_validate_json(models.tags([("claude", 1_748_386_497), ("org/name:latest", 0)]))
    assert [model.model for model in listed.models] == ["claude", "org/name:latest"]
    assert listed.models[0].modified_at is not None
    assert listed.models[0].modified_at.year == 2025
    assert len({model.digest for model in listed.models}) == 2
    shown = ollama.ShowResponse.model_validate_json(models.show("claude", 5, context=200_000, capabilities=("completion", "thinking")))
    assert shown.modelinfo is not None
    assert shown.modelinfo[f"{shown.modelinfo['general.architecture']}.context_length"] == 200_000
    assert shown.capabilities == ["completion", "thinking"]
    running = ollama.ProcessResponse.model_validate_json(models.running([("claude", 0)], 1_748_386_497))
    assert running.models[0].name == "claude"
    assert running.models[0].expires_at is not None
    major, minor, _ = orjson.loads(models.version())["version"].split(".")
    assert (int(major), int(minor)) >= (0, 12)
    assert orjson.loads(CHAT.error(models.not_found("x"), "r")) == {"error": "model 'x' not found"}


@pytest.mark.parametrize(
    ("name", "plain"), [("m:latest", "m"), ("m", "m"), ("m:8b", "m:8b"), ("org/m:latest", "org/m"), (":latest", ":latest")]
)
def test_the_tag_that_clients_add_is_taken_off(name: str, plain: str) -> None:
    assert models.plain_name(name) == plain


def native_line(**fields: Any) -> bytes:
    return orjson.dumps({"model": "m", **fields}) + b"\n"


def test_a_native_stream_stops_before_an_error_and_after_its_last_line() -> None:
    progress = Progress()
    tap = OllamaProvider().watch("ollama.chat", Ask({}, "m", True, "i", 1), progress)
    text = native_line(message={"role": "assistant", "content": '"error" \\"done\\":true'}, done=False)
    assert tap.feed(text) is text
    assert tap.feed(text) is text  # from here on lines are only counted
    assert tap.feed(text + b'{"error":"boom"}\n' + text) == text
    assert progress.error is not None
    assert progress.error.message == "boom"
    assert (tap.feed(text), tap.end(Outcome.OK)) == (b"", b"")

    progress = Progress()
    tap = OllamaProvider().watch("ollama.chat", Ask({}, "m", True, "i", 1), progress)
    last = native_line(message={"role": "assistant", "content": ""}, done=True, done_reason="stop", eval_count=1)
    assert tap.feed(text + last + text) == text + last
    assert (progress.finished, progress.events, tap.end(Outcome.OK)) == (True, 2, b"")


def test_a_call_that_has_done_among_its_arguments_is_read_like_any_other_line() -> None:
    progress = Progress()
    tap = OllamaProvider().watch("ollama.chat", Ask({}, "m", True, "i", 1), progress)
    tap.feed(native_line(message={"role": "assistant", "content": "a"}, done=False))
    call = {"function": {"name": "f", "arguments": {"done": False}}}
    body = native_line(message={"role": "assistant", "content": "", "tool_calls": [call]}, done=False)
    body += native_line(message={"role": "assistant", "content": ""}, done=True, eval_count=1)
    assert tap.feed(body) == body
    assert (progress.finished, progress.finish_reason) == (True, "tool_calls")


def test_a_picture_that_generate_makes_is_an_image_of_the_chat() -> None:
    side, ask = OllamaProvider(), Ask({}, "m", True, "i", 1)
    done = orjson.dumps({"model": "m", "response": "", "image": "iVBORw0KGgo=", "done": True, "done_reason": "stop"})
    reply = orjson.loads(side.whole(ask, done, Progress()))
    assert reply["choices"][0]["message"]["images"][0]["image_url"]["url"] == "data:image/png;base64,iVBORw0KGgo="
    progress = Progress()
    out = side.stream(ask, progress).feed(b'{"model":"m","completed":1,"total":2,"done":false}\n' + done + b"\n")
    assert progress.error is None
    assert b'"images":[{' in out


BREAKS = "a\u2028b\u2029c\u0085d\\\u2028 é\u2027"


def test_no_line_holds_what_some_readers_take_for_its_end() -> None:
    call = WRITE.call(0, "c1", "look", orjson.dumps({"at": BREAKS}).decode())
    for chunk in (WRITE.text(BREAKS), WRITE.reasoning(BREAKS), call):
        tap = CHAT.stream({"model": "m"}, "i")
        out = tap.feed(WRITE.role() + chunk + WRITE.finish("stop") + DONE) + tap.end(Outcome.OK)
        lines = out.decode().splitlines()  # at all of them
        assert lines == out.decode().strip("\n").split("\n")
        messages = [orjson.loads(line)["message"] for line in lines]
        told = "".join(str(one["content"] or one.get("thinking") or one.get("tool_calls") or "") for one in messages)
        assert BREAKS in told or repr(BREAKS)[1:-1] in told
    error = CHAT.error_event(provider_error(502, "x", BREAKS), "r")
    assert len(error.decode().splitlines()) == 1
    assert orjson.loads(error)["error"] == BREAKS
