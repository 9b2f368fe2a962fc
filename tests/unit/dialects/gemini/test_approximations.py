"""What Gemini is told in another way than the chat says it: named, and left out where that is not wanted."""

from __future__ import annotations

import base64
from typing import Any

import orjson
import pytest

from edgegate.dialects.base import Ask, Progress, WireRequest
from edgegate.dialects.gemini import GeminiProvider
from edgegate.dialects.sealed import seal

HI = {"role": "user", "content": "Hi"}
FUNCTION = {"type": "function", "function": {"name": "f"}}


def wire(chat: dict[str, Any], model: str = "gemini-2.5-flash", *, approximate: bool = True) -> WireRequest:
    return GeminiProvider().request(Ask({"messages": [HI], **chat}, model, False, "x-1", 1, approximate=approximate))


CASES: list[tuple[dict[str, Any], str, str, str]] = [
    ({"reasoning_effort": "high"}, "gemini-2.5-flash", "reasoning_effort", "thinkingBudget"),
    ({"reasoning_effort": "xhigh"}, "gemini-3-flash", "reasoning_effort", "thinkingLevel"),
    ({"thinking": {"type": "enabled", "budget_tokens": 99999}}, "gemini-2.5-flash", "thinking.budget_tokens", "thinkingBudget"),
    ({"web_search_options": {}}, "gemini-2.5-flash", "web_search_options", "googleSearch"),
    ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "gemini-2.5-flash", "tools.web_search_20250305", "googleSearch"),
    ({"tools": [{"type": "web_search"}]}, "gemini-2.5-flash", "tools.web_search", "googleSearch"),
    ({"tools": [{"type": "web_fetch_20250910"}]}, "gemini-2.5-flash", "tools.web_fetch_20250910", "urlContext"),
    ({"tools": [{"type": "code_interpreter", "container": {}}]}, "gemini-2.5-flash", "tools.code_interpreter", "codeExecution"),
    ({"tools": [{**FUNCTION, "function": {"name": "f", "strict": True}}]}, "gemini-2.5-flash", "tools.strict", "VALIDATED"),
]


@pytest.mark.parametrize(("chat", "model", "name", "word"), CASES)
def test_near_words_are_named_or_not_used(chat: dict[str, Any], model: str, name: str, word: str) -> None:
    near = wire(chat, model)
    assert (near.mapped, near.dropped) == ([name], [])
    assert word.encode() in near.body
    exact = wire(chat, model, approximate=False)
    assert (exact.mapped, exact.dropped) == ([], [name])
    assert word.encode() not in exact.body


@pytest.mark.parametrize(
    ("chat", "model"),
    [
        ({"reasoning_effort": "none"}, "gemini-2.5-flash"),
        ({"reasoning_effort": "low"}, "gemini-3-pro-preview"),
        ({"thinking": {"type": "enabled", "budget_tokens": 2048}}, "gemini-2.5-flash"),
        ({"tools": [{"googleSearch": {}}]}, "gemini-2.5-flash"),
    ],
)
def test_exact_words_are_not_named(chat: dict[str, Any], model: str) -> None:
    sent = wire(chat, model, approximate=False)
    assert (sent.mapped, sent.dropped) == ([], [])


def test_tools_of_other_vendors_without_a_counterpart_are_named() -> None:
    assert wire({"tools": [{"type": "computer_20250124"}, {"type": "file_search"}]}).dropped == [
        "tools.computer_20250124",
        "tools.file_search",
    ]
    beside = wire({"tools": [FUNCTION, {"type": "web_search"}]})
    assert (beside.dropped, beside.mapped) == (["tools.web_search"], [])


def test_one_search_is_enough() -> None:
    sent = wire({"tools": [{"google_search": {"timeRangeFilter": {}}}, {"type": "web_search"}], "web_search_options": {}})
    assert orjson.loads(sent.body)["tools"] == [{"googleSearch": {"timeRangeFilter": {}}}]


@pytest.mark.parametrize(
    ("chat", "config", "dropped", "mapped"),
    [
        ({"modalities": ["audio"], "audio": {"voice": "Kore", "format": "pcm16"}}, "Kore", [], []),
        ({"modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "wav"}}, None, ["audio.voice"], ["modalities"]),
        ({"modalities": ["audio"], "audio": {"voice": "Puck", "format": "mp3"}}, "Puck", ["audio.format"], []),
        ({"modalities": ["audio"]}, None, [], []),
    ],
)
def test_speech(chat: dict[str, Any], config: str | None, dropped: list[str], mapped: list[str]) -> None:
    sent = wire(chat, "gemini-2.5-flash-preview-tts")
    expected: dict[str, Any] = {"responseModalities": ["AUDIO"]}
    if config:
        expected["speechConfig"] = {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": config}}}
    assert orjson.loads(sent.body)["generationConfig"] == expected
    assert (sent.dropped, sent.mapped) == (dropped, mapped)


def test_audio_settings_without_audio_are_named() -> None:
    assert wire({"audio": {"voice": "Kore"}}).dropped == ["audio"]


def spoken(chat: dict[str, Any], *blobs: tuple[str, bytes]) -> dict[str, Any]:
    parts = [{"inlineData": {"mimeType": media, "data": base64.b64encode(data).decode()}} for media, data in blobs]
    body = orjson.dumps({"candidates": [{"content": {"parts": parts}, "finishReason": "STOP"}]})
    reply = orjson.loads(GeminiProvider().whole(Ask(chat, "m", False, "x-1", 1), body, Progress()))
    found: dict[str, Any] = reply["choices"][0]["message"]["audio"]
    return found


def test_samples_become_the_wav_that_was_asked_for() -> None:
    pcm = "audio/L16;codec=pcm;rate=16000"
    plain = spoken({"audio": {"format": "pcm16"}}, (pcm, b"abcd"), (pcm, b"ef"))
    assert base64.b64decode(plain["data"]) == b"abcdef"
    wav = base64.b64decode(spoken({"audio": {"format": "wav"}}, (pcm, b"abcd"))["data"])
    assert (wav[:4], wav[8:16], wav[-4:]) == (b"RIFF", b"WAVEfmt ", b"abcd")
    assert int.from_bytes(wav[24:28], "little") == 16000
    assert int.from_bytes(wav[4:8], "little") == len(wav) - 8
    assert spoken({}, ("audio/mpeg", b"x"))["format"] == "mpeg"


def test_pictures_of_the_model_go_back_with_their_signatures() -> None:
    image = {
        "type": "image_url",
        "image_url": {"url": "data:image/png;base64,AA"},
        "extra_content": {"google": {"thought_signature": "QQ=="}},
    }
    sent = wire({"messages": [HI, {"role": "assistant", "content": "see", "images": [image]}, HI]})
    assert orjson.loads(sent.body)["contents"][1]["parts"] == [
        {"text": "see"},
        {"inlineData": {"mimeType": "image/png", "data": "AA"}, "thoughtSignature": "QQ=="},
    ]
    body = {"candidates": [{"content": {"parts": orjson.loads(sent.body)["contents"][1]["parts"]}, "finishReason": "STOP"}]}
    message = orjson.loads(GeminiProvider().whole(Ask({}, "m", False, "x-1", 1), orjson.dumps(body), Progress()))["choices"][0]["message"]
    assert message["images"] == [{"index": 0, **image}]


def test_no_seal_and_no_state_of_others_is_ever_sent() -> None:
    sealed = seal({"thinking_blocks": []})
    google = {"google": {"thought_signature": sealed, "parts": [{"text": "t", "thought": True, "thoughtSignature": sealed}]}}
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}, "extra_content": google}
    blocks = [{"type": "thinking", "thinking": "hm", "signature": "gemini:QQ=="}]
    image = {"type": "image_url", "image_url": {"url": "https://h/a.png"}, "extra_content": google}
    message = {
        "role": "assistant",
        "content": [{"type": "text", "text": "a", "extra_content": google}],
        "extra_content": google,
        "tool_calls": [call],
        "thinking_blocks": blocks,
        "images": [image],
    }
    body = wire({"messages": [HI, message, {"role": "tool", "tool_call_id": "a", "content": "x"}]}).body
    assert b"thoughtSignature" not in body
    assert b"QQ==" not in body


def test_failed_tool_is_told() -> None:
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    answer = {"role": "tool", "tool_call_id": "a", "content": "no", "is_error": True}
    parts = orjson.loads(wire({"messages": [HI, {"role": "assistant", "tool_calls": [call]}, answer]}).body)["contents"][2]["parts"]
    assert parts[0]["functionResponse"]["response"] == {"error": "no"}


def test_blocks_of_other_vendors_in_an_answer_are_left_out_by_name() -> None:
    message = {"role": "assistant", "content": [{"type": "server_tool_use", "id": "x"}, {"type": "text", "text": "a"}]}
    assert wire({"messages": [HI, message, HI]}).dropped == ["content.server_tool_use"]


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (
            {"type": "document", "source": {"type": "url", "url": "https://h/a.pdf"}},
            {"fileData": {"fileUri": "https://h/a.pdf", "mimeType": "application/pdf"}},
        ),
        (
            {"type": "document", "title": "T", "citations": {"enabled": True}, "source": {"type": "text", "data": "words"}},
            {"text": "T\nwords"},
        ),
        (
            {"type": "search_result", "source": "https://h", "title": "T", "content": [{"type": "text", "text": "found"}]},
            {"text": "T\nhttps://h\nfound"},
        ),
    ],
)
def test_documents_in_anthropics_words_are_read(part: dict[str, Any], expected: dict[str, Any]) -> None:
    body = orjson.loads(wire({"messages": [{"role": "user", "content": [part]}]}).body)
    assert body["contents"][0]["parts"] == [expected]
