"""The simulator's strictness is not invented: it takes every recorded request that the vendor itself took.

Reasoning state in the recordings is the vendors' own, which only the header below lets through.
"""

from __future__ import annotations

import httpx

from edgegate.simulate.seal import ALLOW_FOREIGN
from tests.corpus import Recording, corpus

_PREFIX = {"mistral": "/mistral", "cohere": "/cohere", "huggingface": "/huggingface", "azure": "/azure", "bedrock": "/bedrock"}


def _usable(recording: Recording) -> bool:
    """Answered by the vendor, and of an endpoint that is simulated."""
    path = recording.path.split("?")[0]
    old = recording.file.parent.name == "cohere" and path == "/v1/chat"
    mode = recording.file.parent.name == "bedrock" and path.endswith(("/invoke", "/invoke-with-response-stream"))
    return recording.status == 200 and bool(recording.request) and not (old or mode or path.endswith("/compact"))


@corpus(
    "openai/chat",
    "openai/completions",
    "openai/embeddings",
    "openai/responses",
    "azure/chat",
    "azure/responses",
    "anthropic/messages",
    "anthropic/count_tokens",
    "gemini/generate",
    "gemini/count_tokens",
    "gemini/embeddings",
    "vertex/generate",
    "vertex/count_tokens",
    "mistral/chat",
    "mistral/embeddings",
    "cohere/chat",
    "cohere/embeddings",
    "cohere/rerank",
    "bedrock/converse",
    "bedrock/count_tokens",
    "huggingface/chat",
    "ollama/chat",
    "ollama/completions",
    where=_usable,
)
def test_what_the_vendor_took_is_taken(http: httpx.Client, recording: Recording) -> None:
    vendor = recording.file.parent.name
    headers = {ALLOW_FOREIGN: "allowed", "authorization": "Bearer unused"}
    if vendor == "anthropic":
        headers["anthropic-version"] = "2023-06-01"
    reply = http.post(_PREFIX.get(vendor, "") + recording.path, json=recording.request, headers=headers)
    assert reply.status_code == 200, reply.text[:300]
    kind = reply.headers["content-type"]
    assert ("event-stream" in kind or "eventstream" in kind or "ndjson" in kind) is (
        recording.streamed or "b64" in recording.raw["response"]
    )
