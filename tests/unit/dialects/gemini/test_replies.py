"""Plain replies: what no recording shows."""

from __future__ import annotations

import contextlib
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgegate.dialects.base import Ask, Progress
from edgegate.dialects.gemini import GeminiProvider
from edgegate.errors import GatewayError


def ask(chat: dict[str, Any] | None = None) -> Ask:
    return Ask(chat or {}, "gemini-2.5-flash", False, "chatcmpl-0123abcd", 17)


def reply(*parts: dict[str, Any], finish: Any = "STOP", **more: Any) -> dict[str, Any]:
    return {"candidates": [{"content": {"role": "model", "parts": list(parts)}, "finishReason": finish, **more}]}


def whole(value: Any, chat: dict[str, Any] | None = None, progress: Progress | None = None) -> dict[str, Any]:
    out: dict[str, Any] = orjson.loads(GeminiProvider().whole(ask(chat), orjson.dumps(value), progress or Progress()))
    return out


def choice(value: Any, chat: dict[str, Any] | None = None) -> dict[str, Any]:
    found: dict[str, Any] = whole(value, chat)["choices"][0]
    return found


def failure(body: bytes) -> GatewayError:
    with pytest.raises(GatewayError) as error:
        GeminiProvider().whole(ask(), body, Progress())
    return error.value


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        *(
            (name, "content_filter")
            for name in ("SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "MODEL_ARMOR")
        ),
        *((name, "content_filter") for name in ("IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION")),
        (1, "stop"),
        (2, "length"),
        (3, "content_filter"),
    ],
)
def test_finish_reason(reason: Any, finish: str) -> None:
    assert choice(reply({"text": "a"}, finish=reason))["finish_reason"] == finish


@pytest.mark.parametrize("reason", ["STOP", "UNEXPECTED_TOOL_CALL"])
def test_whole_calls_finish_as_tool_calls(reason: str) -> None:
    assert choice(reply({"functionCall": {"name": "f"}}, finish=reason))["finish_reason"] == "tool_calls"


def test_calls_cut_by_the_limit_finish_as_length() -> None:
    assert choice(reply({"functionCall": {"name": "f"}}, finish="MAX_TOKENS"))["finish_reason"] == "length"


@pytest.mark.parametrize(
    ("reason", "code", "retryable"),
    [
        ("MALFORMED_FUNCTION_CALL", "malformed_function_call", True),
        ("UNEXPECTED_TOOL_CALL", "unexpected_tool_call", True),
        ("MISSING_THOUGHT_SIGNATURE", "missing_thought_signature", False),
        ("OTHER", "bad_reply", True),
        ("SOMETHING_NEW", "something_new", True),
        (9, "finish_reason_9", True),
        (None, "bad_reply", True),
        ("FINISH_REASON_UNSPECIFIED", "bad_reply", True),
    ],
)
def test_answer_that_is_not_whole_is_an_error(reason: Any, code: str, retryable: bool) -> None:
    error = failure(orjson.dumps(reply({"text": "half"}, finish=reason, finishMessage="Because.")))
    assert (error.status, error.code, error.retryable) == (502, code, retryable)
    assert "Because." in error.message


def test_blocked_prompt_is_a_filtered_answer() -> None:
    progress = Progress()
    value = {"promptFeedback": {"blockReason": "SAFETY", "blockReasonMessage": "No."}, "usageMetadata": {"promptTokenCount": 3}}
    found = whole(value, progress=progress)
    assert found["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": None, "refusal": "No."},
            "logprobs": None,
            "finish_reason": "content_filter",
        }
    ]
    assert (progress.finished, progress.finish_reason, progress.usage.input_tokens) == (True, "content_filter", 3)


def test_candidate_without_content_is_an_empty_answer_only_if_cut_or_stopped() -> None:
    for value in ({"finishReason": "MAX_TOKENS"}, {"finishReason": "MAX_TOKENS", "content": {"role": "model"}}):
        assert choice({"candidates": [value]})["message"]["content"] == ""
    assert choice({"candidates": [{"finishReason": "SAFETY"}]})["message"]["content"] is None


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"{}", b"null", b"3", b'{"candidates":[]}', b'{"candidates":3}', b'{"candidates"', b"\xff", b"[[]]"]
)
def test_body_without_an_answer_is_a_bad_reply(body: bytes) -> None:
    error = failure(body)
    assert (error.status, error.code, error.retryable) == (502, "bad_reply", True)


@pytest.mark.parametrize("wrap", [b"%s", b"[%s]", b" [%s , {}]"])
def test_error_hidden_in_a_200_is_raised(wrap: bytes) -> None:
    error = failure(wrap % b'{"error":{"code":429,"message":"Slow down","status":"RESOURCE_EXHAUSTED","details":[{"retryDelay":"7s"}]}}')
    assert (error.status, error.code, error.retry_after_s, error.retryable) == (429, "rate_limit_exceeded", 7.0, True)


def test_calls_without_ids_get_one_that_stays_the_same() -> None:
    value = reply(
        {"functionCall": {"name": "f"}},
        {"functionCall": {"name": "g", "id": "own", "args": {"a": 1}}},
        {"functionCall": {"name": "h", "args": None}},
    )
    calls = choice(value)["message"]["tool_calls"]
    assert [(call["id"], call["function"]["arguments"]) for call in calls] == [
        ("call_0123abcd_0", "{}"),
        ("own", '{"a":1}'),
        ("call_0123abcd_2", "{}"),
    ]
    assert whole(value) == whole(value)


def test_several_candidates_become_choices_with_distinct_call_ids() -> None:
    value = {
        "candidates": [
            {**reply({"functionCall": {"name": "f"}})["candidates"][0]},
            {**reply({"functionCall": {"name": "f"}})["candidates"][0], "index": 1},
        ]
    }
    choices = whole(value)["choices"]
    assert [found["index"] for found in choices] == [0, 1]
    assert len({found["message"]["tool_calls"][0]["id"] for found in choices}) == 2


def test_everything_has_its_place() -> None:
    value = reply(
        {"text": "hm ", "thought": True},
        {"text": "so", "thought": True},
        {"text": "Look: "},
        {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
        {"inlineData": {"mimeType": "audio/L16;codec=pcm;rate=24000", "data": "BBBB"}},
        {"executableCode": {"code": "1", "language": "PYTHON"}},
        {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1"}},
        {"text": "there", "thoughtSignature": "TS"},
        {"functionCall": {"name": "f"}, "thoughtSignature": "CS"},
    )
    message = choice(value)["message"]
    assert message == {
        "role": "assistant",
        "content": "Look: there",
        "refusal": None,
        "reasoning_content": "hm so",
        "images": [{"index": 0, "type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}],
        "audio": {"id": "audio_chatcmpl-0123abcd", "data": "BBBB", "expires_at": 0, "transcript": ""},
        "extra_content": {
            "google": {
                "parts": [
                    {"executableCode": {"code": "1", "language": "PYTHON"}},
                    {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1"}},
                ],
                "thought_signature": "TS",
            }
        },
        "tool_calls": [
            {
                "id": "call_0123abcd_0",
                "type": "function",
                "function": {"name": "f", "arguments": "{}"},
                "extra_content": {"google": {"thought_signature": "CS"}},
            }
        ],
    }


def test_citations_count_characters_not_bytes() -> None:
    text = "Zürich ist schön. Ja."
    grounding = {
        "groundingChunks": [{"web": {"uri": "https://a", "title": "A"}}, {"retrievedContext": {"text": "no address"}}, None],
        "groundingSupports": [
            {"segment": {"startIndex": 20, "endIndex": 23}, "groundingChunkIndices": [0, 1, 2, 9]},
            {"segment": {"endIndex": 19, "text": "Zürich ist schön."}, "groundingChunkIndices": [0]},
            {"segment": {"startIndex": 900, "endIndex": 9}, "groundingChunkIndices": [0]},
        ],
    }
    citations = {"citationSources": [{"startIndex": 0, "endIndex": 7, "uri": "https://c"}]}
    found = choice(reply({"text": text}, groundingMetadata=grounding, citationMetadata=citations))["message"]["annotations"]
    spans = [(item["url_citation"]["start_index"], item["url_citation"]["end_index"], item["url_citation"]["url"]) for item in found]
    assert spans == [(18, 21, "https://a"), (0, 17, "https://a"), (21, 21, "https://a"), (0, 6, "https://c")]


def test_logprobs() -> None:
    result = {
        "chosenCandidates": [{"token": "é", "logProbability": -0.5}, {"token": "b"}],
        "topCandidates": [{"candidates": [{"token": "é", "logProbability": -0.5}, {"token": "e", "logProbability": -1}]}],
    }
    found = choice(reply({"text": "éb"}, logprobsResult=result))["logprobs"]["content"]
    assert found == [
        {
            "token": "é",
            "logprob": -0.5,
            "bytes": [195, 169],
            "top_logprobs": [{"token": "é", "logprob": -0.5, "bytes": [195, 169]}, {"token": "e", "logprob": -1, "bytes": [101]}],
        },
        {"token": "b", "logprob": 0.0, "bytes": [98], "top_logprobs": []},
    ]


def test_usage_algebra() -> None:
    progress = Progress()
    meta = {
        "promptTokenCount": 100,
        "cachedContentTokenCount": 40,
        "toolUsePromptTokenCount": 7,
        "candidatesTokenCount": 5,
        "thoughtsTokenCount": 20,
    }
    found = whole({**reply({"text": "a"}), "usageMetadata": meta}, progress=progress)["usage"]
    assert (found["prompt_tokens"], found["completion_tokens"], found["total_tokens"]) == (107, 25, 132)
    assert found["prompt_tokens_details"]["cached_tokens"] == 40
    assert found["completion_tokens_details"]["reasoning_tokens"] == 20
    assert progress.usage.reported


def test_reply_names_itself_or_takes_the_exchanges_id() -> None:
    found = whole(reply({"text": "a"}))
    assert (found["id"], found["created"], found["model"]) == ("chatcmpl-0123abcd", 17, "gemini-2.5-flash")
    found = whole({**reply({"text": "a"}), "responseId": "r", "modelVersion": "v"})
    assert (found["id"], found["model"]) == ("r", "v")


WORDS = st.sampled_from(["STOP", "SAFETY", "a", "", "https://a", "AAAA", "image/png"])
FIELDS = st.sampled_from(
    [
        "candidates",
        "content",
        "parts",
        "text",
        "thought",
        "functionCall",
        "name",
        "args",
        "id",
        "finishReason",
        "usageMetadata",
        "promptTokenCount",
        "promptFeedback",
        "blockReason",
        "inlineData",
        "data",
        "mimeType",
        "index",
        "thoughtSignature",
        "groundingMetadata",
        "groundingChunks",
        "groundingSupports",
        "segment",
        "startIndex",
        "endIndex",
        "web",
        "uri",
        "groundingChunkIndices",
        "citationMetadata",
        "citations",
        "logprobsResult",
        "chosenCandidates",
        "topCandidates",
        "token",
        "executableCode",
        "error",
        "code",
    ]
)
LEAVES = st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False, allow_infinity=False) | WORDS
ANY: st.SearchStrategy[Any] = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(FIELDS, inner, max_size=5), max_leaves=25
)
CANDIDATE = st.fixed_dictionaries(
    {}, optional={"content": st.fixed_dictionaries({"parts": st.lists(ANY, max_size=3)}), "finishReason": WORDS, "index": ANY}
)
REPLY = ANY | st.fixed_dictionaries({"candidates": st.lists(CANDIDATE, max_size=2)}, optional={"usageMetadata": ANY, "promptFeedback": ANY})


@given(REPLY)
def test_any_json_is_an_answer_or_a_gateway_error(value: Any) -> None:
    with contextlib.suppress(GatewayError):
        assert orjson.loads(GeminiProvider().whole(ask(), orjson.dumps(value), Progress()))["choices"]
