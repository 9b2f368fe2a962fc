"""The most tokens that a request may use: never too few, and quickly found."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgegate.tokens.bounds import LARGE_BODY, MOST, most_tokens
from edgegate.tokens.count import Estimator, count_chat, load
from tests.unit.core.parts import CHAT, exchange

GEMINI = "/v1beta/models/gemini-2.5-flash:generateContent"


def answer(**fields: Any) -> int:
    return most_tokens(exchange(CHAT | fields), 500)[1]


@pytest.mark.parametrize(
    ("fields", "most"),
    [
        ({}, 500),
        ({"max_tokens": 7}, 7),
        ({"max_completion_tokens": 9, "max_tokens": 1}, 9),
        ({"max_tokens": 7, "n": 3}, 21),
        ({"n": 2}, 1000),
        ({"generationConfig": {"maxOutputTokens": 40, "candidateCount": 2}}, 80),
        ({"generationConfig": {"candidateCount": 2}}, 1000),
        ({"options": {"num_predict": 12}}, 12),
        ({"options": {"num_predict": -1}}, 500),
        ({"max_tokens": 10**18}, MOST),
    ],
)
def test_the_answer_is_as_long_as_the_request_allows(fields: dict[str, Any], most: int) -> None:
    ex = exchange(CHAT | fields)
    ex._request = CHAT | fields  # as a client side that lets these fields pass has parsed it
    assert most_tokens(ex, 500)[1] == most


def test_embeddings_have_no_answer() -> None:
    ex = exchange({"model": "text-embedding-3-small", "input": "hello"}, path="/v1/embeddings")
    assert most_tokens(ex, 500) == (len(ex.body), 0)


def test_what_was_found_is_remembered() -> None:
    ex = exchange(CHAT)
    assert ex.bounds is None
    assert most_tokens(ex, 500) is ex.bounds


def test_a_picture_counts_by_the_picture_and_not_by_its_bytes() -> None:
    def chat(url: str) -> dict[str, Any]:
        return CHAT | {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]}

    embedded, _ = most_tokens(exchange(chat("data:image/png;base64," + "iVBORw0KGgo" * 200_000)), 500)
    linked, _ = most_tokens(exchange(chat("https://example.com/cat.png")), 500)
    assert 765 <= linked < 3000
    assert 765 <= embedded < 5000


def test_a_prompt_that_looks_like_a_file_is_a_prompt() -> None:
    for text in ("data:image/png;base64," + "A" * 30_000, "QUJD" * 10_000):
        ex = exchange(CHAT | {"messages": [{"role": "user", "content": text}]})
        assert most_tokens(ex, 500)[0] >= len(text)


def test_a_request_that_is_nested_deeply_is_measured_all_the_same() -> None:
    nested: Any = "x" * LARGE_BODY
    for _ in range(900):
        nested = [nested]
    ex = exchange(CHAT)
    ex.body = json.dumps(CHAT | {"metadata": nested}).encode()
    ex._request = CHAT | {"metadata": nested}
    assert most_tokens(ex, 500)[0] >= LARGE_BODY


@pytest.fixture(scope="module")
def estimator() -> Estimator:
    made = Estimator()
    made._encoding = load()
    return made


@settings(max_examples=80, deadline=None)
@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=600), st.integers(0, 3))
def test_no_text_has_more_tokens_than_its_bound(estimator: Estimator, text: str, large: int) -> None:
    body = CHAT | {"messages": [{"role": "user", "content": text}, {"role": "user", "content": "word " * 4000 * large}]}
    ex = exchange(json.dumps(body, ensure_ascii=False).encode())
    assert estimator._encoding is not None
    assert count_chat(estimator._encoding, ex.neutral()) <= most_tokens(ex, 500)[0]
