"""Legacy completions as chats, and back."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from edgegate.dialects.base import Usage
from edgegate.dialects.chat import DONE, ChunkWriter, completion
from edgegate.dialects.openai.completions import CompletionsClient
from edgegate.dialects.openai.embeddings import EmbeddingsClient
from edgegate.errors import GatewayError
from edgegate.taps import Outcome
from tests.wire.openai_sdk import read_text, run

CLIENT = CompletionsClient()


def request(**fields: Any) -> dict[str, Any]:
    return {"model": "m", "prompt": "Once upon", **fields}


@pytest.mark.parametrize("prompt", ["Once upon", ["Once upon"]])
def test_a_prompt_becomes_one_user_message(prompt: Any) -> None:
    chat = CLIENT.neutral(request(prompt=prompt, max_tokens=5, temperature=0, stop=["x"], n=2, user="u", seed=None, echo=False, best_of=2))
    assert chat == {
        "model": "m",
        "messages": [{"role": "user", "content": "Once upon"}],
        "max_tokens": 5,
        "temperature": 0,
        "stop": ["x"],
        "n": 2,
        "user": "u",
    }


def test_logprobs_as_a_number_become_top_logprobs() -> None:
    chat = CLIENT.neutral(request(logprobs=3))
    assert (chat["logprobs"], chat["top_logprobs"]) == (True, 3)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": ["a", "b"]}, "prompt"),
        ({"prompt": [1, 2]}, "prompt"),
        ({"prompt": [[1, 2]]}, "prompt"),
        ({"suffix": "end"}, "suffix"),
        ({"best_of": 3}, "best_of"),
        ({"best_of": 3, "n": 2}, "best_of"),
        ({"echo": True, "logprobs": 1}, "logprobs"),
    ],
)
def test_what_a_chat_cannot_do_is_a_400_that_names_it_but_passes_the_check(fields: dict[str, Any], param: str) -> None:
    CLIENT.check(request(**fields))
    with pytest.raises(GatewayError) as caught:
        CLIENT.neutral(request(**fields))
    assert (caught.value.status, caught.value.param) == (400, param)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": None}, "model"),
        ({"prompt": None}, "prompt"),
        ({"prompt": 5}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": ["a", 1]}, "prompt[1]"),
        ({"prompt": [None]}, "prompt[0]"),
        ({"prompt": [[1, "a"]]}, "prompt[0]"),
        ({"prompt": [True]}, "prompt[0]"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"logprobs": True}, "logprobs"),
        ({"echo": "yes"}, "echo"),
        ({"best_of": 0}, "best_of"),
        ({"stream": "no"}, "stream"),
        ({"suffix": 1}, "suffix"),
    ],
)
def test_a_bad_field_is_refused_by_its_name(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(GatewayError) as caught:
        CLIENT.check(request(**fields))
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": 5}, "model"),
        ({"input": None}, "input"),
        ({"input": {}}, "input"),
        ({"input": ["a", ["b"]]}, "input[1]"),
        ({"input": [[]]}, "input[0]"),
        ({"encoding_format": "hex"}, "encoding_format"),
        ({"encoding_format": 1}, "encoding_format"),
        ({"dimensions": 0}, "dimensions"),
        ({"dimensions": "64"}, "dimensions"),
    ],
)
def test_a_bad_field_of_an_embeddings_request_is_refused_by_its_name(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(GatewayError) as caught:
        EmbeddingsClient().check({"model": "m", "input": "x", **fields})
    assert caught.value.param == param


def choice(text: str | None, index: int = 0, finish: str = "stop", **more: Any) -> dict[str, Any]:
    return {"index": index, "message": {"role": "assistant", "content": text}, "finish_reason": finish, **more}


def test_a_plain_answer_comes_back_as_text() -> None:
    usage = Usage(3, 4, reported=True)
    reply = completion("id1", 5, "m1", [choice(" a time"), choice(None, 1, "tool_calls")], usage)
    out = CLIENT.whole(request(), reply)
    texts, finish, counted = read_text(out, stream=False)
    assert texts == {0: " a time"}
    assert finish == {0: "stop", 1: "stop"}
    assert (counted.prompt_tokens, counted.completion_tokens) == (3, 4)
    assert orjson.loads(out)["object"] == "text_completion"


def test_echo_puts_the_prompt_before_the_text() -> None:
    reply = completion("id1", 5, "m1", [choice(" a time")], Usage())
    assert read_text(CLIENT.whole(request(echo=True), reply), stream=False)[0] == {0: "Once upon a time"}


def test_logprobs_come_back_in_the_older_form() -> None:
    content = [
        {"token": "He", "logprob": -0.5, "top_logprobs": [{"token": "He", "logprob": -0.5}, {"token": "A", "logprob": -2}]},
        {"token": "llo", "logprob": -0.1, "top_logprobs": []},
    ]
    reply = completion("id1", 5, "m1", [choice("Hello", logprobs={"content": content})], Usage())
    assert orjson.loads(CLIENT.whole(request(logprobs=2), reply))["choices"][0]["logprobs"] == {
        "tokens": ["He", "llo"],
        "token_logprobs": [-0.5, -0.1],
        "top_logprobs": [{"He": -0.5, "A": -2}, {}],
        "text_offset": [0, 2],
    }


def stream(writer: ChunkWriter) -> bytes:
    return b"".join(
        [
            writer.role(),
            writer.reasoning("hm"),
            writer.text(" a"),
            writer.delta({"content": " b"}, 1),
            writer.text(" time"),
            writer.finish("length"),
            writer.finish("stop", 1),
            writer.usage(Usage(3, 4, reported=True)),
            DONE,
        ]
    )


@pytest.mark.parametrize("size", [1, 7, 5000])
def test_a_stream_comes_back_as_text_completion_chunks(size: int) -> None:
    data = stream(ChunkWriter("id1", 5, "m1"))
    out = run(CLIENT.stream(request(), "id1"), [data[at : at + size] for at in range(0, len(data), size)])
    texts, finish, usage = read_text(out, stream=True)
    assert texts == {0: " a time", 1: " b"}
    assert finish == {0: "length", 1: "stop"}
    assert usage.completion_tokens == 4
    chunks = [orjson.loads(line[6:]) for line in out.split(b"\n") if line.startswith(b"data: {")]
    assert {chunk["object"] for chunk in chunks} == {"text_completion"}
    assert all("delta" not in choice and "text" in choice for chunk in chunks for choice in chunk["choices"])
    assert out.endswith(DONE)


def test_a_stream_with_echo_begins_every_choice_with_the_prompt() -> None:
    texts, _, _ = read_text(run(CLIENT.stream(request(echo=True), "id1"), [stream(ChunkWriter("id1", 5, "m1"))]), stream=True)
    assert texts == {0: "Once upon a time", 1: "Once upon b"}


def test_a_broken_stream_gets_no_end() -> None:
    data = stream(ChunkWriter("id1", 5, "m1"))
    out = run(CLIENT.stream(request(), "id1"), [data[:-8]], Outcome.UPSTREAM_BROKE)
    assert b"[DONE]" not in out
    out = run(CLIENT.stream(request(), "id1"), [data[:-2]], Outcome.UPSTREAM_BROKE)
    assert b"[DONE]" not in out
