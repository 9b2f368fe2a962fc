"""The table of OpenAI-shaped providers is consistent, and its addresses are those of the recordings."""

from __future__ import annotations

from urllib.parse import urlsplit

import orjson
import pytest

from edgegate.dialects.base import Ask, Progress
from edgegate.dialects.compat import COMPAT, Compat
from edgegate.dialects.openai.quirks import PATHS
from tests.corpus import Recording, corpus


@pytest.mark.parametrize("name", list(COMPAT))
def test_a_row_is_complete(name: str) -> None:
    row = COMPAT[name]
    assert row.name == name == name.lower()
    assert row.key.isupper()
    assert row.provider().name == name
    paths = row.provider().native
    assert {"openai.chat", "openai.embeddings"} & paths.keys()
    assert paths.keys() <= PATHS.keys()
    assert all(path.startswith("/") and not path.startswith("/v1") for path in paths.values())


@pytest.mark.parametrize("name", [name for name, row in COMPAT.items() if row.base_url])
def test_an_address_is_https_or_this_machine_and_has_no_slash_at_its_end(name: str) -> None:
    row: Compat = COMPAT[name]
    parts = urlsplit(row.base_url)
    assert parts.scheme == "https" or parts.hostname == "127.0.0.1"
    assert row.keyless == (parts.hostname == "127.0.0.1")
    assert not row.base_url.endswith("/")
    assert not parts.query


def test_no_two_providers_claim_the_same_models_or_key() -> None:
    prefixes = [prefix for row in COMPAT.values() for prefix in row.prefixes]
    assert len(prefixes) == len(set(prefixes))
    keys = [row.key for row in COMPAT.values()]
    assert len(keys) == len(set(keys))


SAME = ("openai", "groq", "together", "deepseek", "openrouter", "cerebras", "writer", "zai")


@corpus(*(f"{name}/chat" for name in SAME), *(f"openai/{kind}" for kind in ("completions", "embeddings")))
def test_a_row_s_path_is_the_one_that_was_recorded(recording: Recording) -> None:
    row = COMPAT[recording.raw["provider"]]
    path = row.provider().native[f"openai.{recording.raw['kind']}"]
    assert urlsplit(row.base_url).path + path == recording.path


@corpus("huggingface/chat")
def test_hugging_face_s_router_takes_the_path_of_its_providers_routes(recording: Recording) -> None:
    """The recordings are of one provider's route, `/together/v1`; `https://router.huggingface.co/v1` takes `org/name:together`."""
    row = COMPAT["huggingface"]
    path = row.provider().native["openai.chat"]
    assert row.base_url == "https://router.huggingface.co/v1"
    assert recording.path.endswith(path)


@corpus("huggingface/chat", where=lambda r: r.status == 200 and bool(r.request))
def test_hugging_face_is_sent_what_its_own_client_sends_with_the_model_s_name_as_it_is(recording: Recording) -> None:
    chat = recording.request
    ask = Ask(chat, chat["model"] + ":together", bool(chat.get("stream")), "i", 1)
    request = COMPAT["huggingface"].provider().request(ask)
    body = orjson.loads(request.body)
    assert (body["model"], request.path, request.dropped) == (chat["model"] + ":together", "/chat/completions", [])
    assert [(m["role"], m.get("content")) for m in body["messages"]] == [(m["role"], m.get("content")) for m in chat["messages"]]


@corpus("huggingface/chat", where=lambda r: r.status == 200 and not r.streamed)
def test_hugging_face_s_recorded_replies_are_read(recording: Recording) -> None:
    given, progress = orjson.loads(recording.body), Progress()
    ask = Ask({}, "m", False, "i", 1)
    read = orjson.loads(COMPAT["huggingface"].provider().whole(ask, recording.body, progress))
    was, found = given["choices"][0], read["choices"][0]
    # reasoning may stand in the content in <think> tags
    assert (was["message"]["content"] or "").endswith(found["message"]["content"] or "")
    assert [call["function"] for call in found["message"].get("tool_calls") or []] == [
        call["function"] for call in was["message"].get("tool_calls") or []
    ]
    assert (progress.finish_reason, progress.usage.input_tokens, progress.usage.output_tokens) == (
        was["finish_reason"],
        given["usage"]["prompt_tokens"],
        given["usage"]["completion_tokens"],
    )
