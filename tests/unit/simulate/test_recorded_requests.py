"""The simulator's strictness is not invented: it takes every recorded request that the vendor itself took."""

from __future__ import annotations

import httpx

from tests.corpus import Recording, corpus


@corpus(
    "openai/chat",
    "openai/completions",
    "openai/embeddings",
    "anthropic/messages",
    "anthropic/count_tokens",
    "gemini/generate",
    "gemini/count_tokens",
    "gemini/embeddings",
    "ollama/chat",
    "ollama/completions",
    where=lambda recording: recording.status == 200 and bool(recording.request),
)
def test_what_the_vendor_took_is_taken(http: httpx.Client, recording: Recording) -> None:
    headers = {"anthropic-version": "2023-06-01"} if recording.file.parent.name == "anthropic" else {}
    reply = http.post(recording.path, json=recording.request, headers=headers)
    assert reply.status_code == 200, reply.text[:300]
    kind = reply.headers["content-type"]
    assert ("event-stream" in kind or "ndjson" in kind) is recording.streamed
