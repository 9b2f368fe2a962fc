"""Any dialect in, any dialect out: who asked in the recordings, and every provider side that may be asked in their place.

Written against the contracts (`dialects/base.py`), the SDKs' types and the formats' documentation, not against the dialects' code.
`EDGEGATE_CROSS=all` takes the whole product; otherwise each recording meets some of the targets, always the same ones.
"""

from __future__ import annotations

import functools
import inspect
import json
import os
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cohere
import mistralai.client.models as mistral
import ollama._types as ollama
from google.genai import types as google
from openai.types import embedding_create_params
from openai.types.chat import completion_create_params
from openai.types.responses.response_create_params import ResponseCreateParamsNonStreaming, ResponseCreateParamsStreaming

from edgegate.dialects.anthropic import AnthropicProvider, CountTokensClient, MessagesClient
from edgegate.dialects.azure.provider import AzureProvider
from edgegate.dialects.base import Ask, ClientSide, Json, Operation
from edgegate.dialects.bedrock.provider import BedrockProvider
from edgegate.dialects.cohere.client import CohereChatClient, CohereEmbedClient, LooseRerankClient, RerankClient
from edgegate.dialects.cohere.provider import CohereProvider
from edgegate.dialects.compat import COMPAT
from edgegate.dialects.gemini import GeminiProvider, VertexProvider
from edgegate.dialects.gemini import client as gemini
from edgegate.dialects.mistral.provider import MistralProvider
from edgegate.dialects.ollama.client import OllamaChatClient, OllamaGenerateClient
from edgegate.dialects.ollama.embedding import OllamaEmbedClient, OllamaOldEmbedClient
from edgegate.dialects.ollama.provider import OllamaProvider
from edgegate.dialects.openai.client import ChatClient
from edgegate.dialects.openai.completions import CompletionsClient
from edgegate.dialects.openai.embeddings import EmbeddingsClient
from edgegate.dialects.openai.provider import OpenAIProvider
from edgegate.dialects.responses.client import ResponsesClient
from edgegate.dialects.responses.provider import ResponsesProvider
from tests.corpus import ROOT, Recording, recordings
from tests.unit.dialects.cohere.sdk import assert_cohere_takes
from tests.wire.bedrock_sdk import faults
from tests.wire.openai_requests import _adapter, assert_anthropic_counts, assert_anthropic_takes
from tests.wire.request_checks import assert_kept, assert_mistral_takes, assert_ollama_takes
from tests.wire.test_gemini_requests import as_google_reads_it

ALL = os.environ.get("EDGEGATE_CROSS") == "all"

CLIENTS: Sequence[tuple[str, ClientSide]] = (
    (r"/v1/messages", MessagesClient()),
    (r"/v1/messages/count_tokens", CountTokensClient()),
    (r".*/chat/completions|/v1/chat(?=.*writer)", ChatClient()),
    (r"/v1/completions", CompletionsClient()),
    (r".*/embeddings", EmbeddingsClient()),
    (r".*/responses", ResponsesClient()),
    (r".*:generateContent", gemini.GenerateClient()),
    (r".*:streamGenerateContent", gemini.StreamClient()),
    (r".*:countTokens", gemini.CountTokensClient()),
    (r".*:embedContent", gemini.EmbedClient()),
    (r".*:batchEmbedContents", gemini.BatchEmbedClient()),
    (r"/api/chat", OllamaChatClient()),
    (r"/api/generate", OllamaGenerateClient()),
    (r"/api/embed", OllamaEmbedClient()),
    (r"/api/embeddings", OllamaOldEmbedClient()),
    (r"/v2/chat", CohereChatClient()),
    (r"/v2/embed|/v1/embed", CohereEmbedClient()),
    (r"/v2/rerank", RerankClient()),
    (r"/v1/rerank", LooseRerankClient()),
)
"""Which client side a recorded path belongs to. Cohere's version 1 of chat is no format of ours; its embeddings are like version 2's."""


@dataclass(frozen=True)
class Asked:
    """A recorded request and the client side that takes it."""

    recording: Recording
    client: ClientSide
    request: Json

    @property
    def name(self) -> str:
        return f"{self.recording.file.parent.name}/{self.recording.file.stem}"

    @property
    def streamed(self) -> bool:
        return self.client.streams(self.request)


def client_for(recording: Recording) -> ClientSide | None:
    path = recording.path.partition("?")[0]
    if recording.file.parent.name == "writer" and path == "/v1/chat":
        return ChatClient()
    return next((client for pattern, client in CLIENTS if re.fullmatch(pattern, path)), None)


@functools.cache
def asked() -> list[Asked]:
    """All recorded requests that an app could have sent to us, those among them that their provider refused too."""
    if not ROOT.is_dir():
        return []
    found = []
    for recording in recordings(*sorted(folder.name for folder in ROOT.iterdir() if folder.is_dir())):
        client = client_for(recording)
        if client is not None and recording.request:
            found.append(Asked(recording, client, recording.request))
    return found


def chosen(key: str, things: Sequence[Any], count: int) -> list[Any]:
    """`count` of the things, by the key's checksum; all with EDGEGATE_CROSS=all."""
    if ALL or count >= len(things):
        return list(things)
    start = zlib.crc32(key.encode())
    step = len(things) // count
    return [things[(start + at * step) % len(things)] for at in range(count)]


# -- targets


@dataclass(frozen=True)
class Target:
    """A provider side with a model. `signed`: whose signatures it may be sent. `takes`: raises for a body its vendor refuses."""

    name: str
    side: Any
    model: str
    signed: frozenset[str]
    takes: Callable[[Json], None]


def _known(body: Json, kind: Any) -> None:
    """Valid, and every key known at every depth: the validator drops the keys that its types do not have."""
    assert_kept(body, json.loads(json.dumps(_adapter(kind).validate_python(body), default=list)))


def openai_takes(body: Json) -> None:
    kind = completion_create_params
    # OpenAI takes these two although its types do not have them: openai/chat-2792b672, chat-tools-toolresult-toolchoice-e193a9a2
    messages = [_but(message, "annotations", *(("name",) if message["role"] == "tool" else ())) for message in body["messages"]]
    body = {**body, "messages": messages}
    _known(body, kind.CompletionCreateParamsStreaming if body.get("stream") else kind.CompletionCreateParamsNonStreaming)
    _turns(messages)


def _but(value: Json, *names: str) -> Json:
    return {name: item for name, item in value.items() if name not in names}


def compat_takes(keeps: frozenset[str]) -> Callable[[Json], None]:
    def takes(body: Json) -> None:
        bare = _without(body, keeps)
        bare = {name: value for name, value in bare.items() if name in _CHAT_FIELDS}
        bare["tools"] = [tool for tool in bare.get("tools", ()) if ":" not in tool["type"]]  # openrouter:web_search
        if bare.get("service_tier") not in _TIERS:
            bare.pop("service_tier", None)  # each has its own
        _turns(bare["messages"])
        json.dumps(_adapter(completion_create_params.CompletionCreateParamsBase).validate_python(bare), default=list)

    return takes


_TIERS = (None, "auto", "default", "flex", "priority")
_CHAT_FIELDS = frozenset(completion_create_params.CompletionCreateParamsBase.__annotations__) | {"stream"}


def _without(value: Any, keys: frozenset[str]) -> Any:
    if isinstance(value, list):
        kept = [_without(item, keys) for item in value if not (isinstance(item, dict) and item.get("type") in keys)]
        return kept if kept or not value else [{"type": "text", "text": "a part of its own kind"}]
    return {name: _without(item, keys) for name, item in value.items() if name not in keys} if isinstance(value, dict) else value


def _turns(messages: list[Json]) -> None:
    """What OpenAI refuses and its types do not say: a tool's result answers a call of the assistant's message before it."""
    open_calls: set[str] = set()
    for message in messages:
        if message["role"] == "tool":
            assert message["tool_call_id"] in open_calls, "a result without its call"
        elif message["role"] == "assistant":
            open_calls = {call["id"] for call in message.get("tool_calls") or ()}
            assert message.get("tool_calls") != [], "an empty list of calls is refused"
        else:
            open_calls = set()
        assert message.get("content") != [], "an empty list of parts is refused"


def responses_takes(body: Json) -> None:
    items = body["input"]
    whole = {**body, "input": [{"id": "rs_1", **item} if item.get("type") == "reasoning" else item for item in items]}
    _known(whole, ResponseCreateParamsStreaming if body.get("stream") else ResponseCreateParamsNonStreaming)


def anthropic_takes(body: Json) -> None:
    assert_anthropic_takes(body)
    for message in body["messages"]:
        assert message["content"], "an empty message is refused"
        for block in message["content"] if isinstance(message["content"], list) else ():
            assert block["type"] != "text" or block["text"].strip(), "text of blanks is refused"


def google_takes(body: Json) -> None:
    body = json.loads(json.dumps(body))
    for name in ("labels", "store", "serviceTier"):  # not of the SDK's GenerateContentConfig, or under another name there
        body.pop(name, None)
    assert body["contents"]
    as_google_reads_it(body)


def bedrock_takes(body: Json) -> None:
    assert faults(body) == ""


_ROWS = (
    "groq",
    "together",
    "deepseek",
    "openrouter",
    "cerebras",
    "fireworks",
    "zai",
    "dashscope",
    "minimax",
    "vllm",
    "litellm",
    "snowflake",
)
_KEEPERS = {"litellm": frozenset(("anthropic", "google")), "openrouter": frozenset(("openai",))}
_CLAUDES = ("claude-sonnet-4-5", "claude-opus-4-8", "claude-3-7-sonnet-latest", "claude-3-5-haiku-latest")
_GEMINIS = ("gemini-2.5-flash", "gemini-3-pro-preview", "gemini-2.0-flash")
_BEDROCK = ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "us.amazon.nova-2-lite-v1:0", "us.meta.llama4-maverick-17b-instruct-v1:0")
_NOBODY: frozenset[str] = frozenset()
_ANTHROPIC, _GOOGLE, _OPENAI = frozenset(("anthropic",)), frozenset(("google",)), frozenset(("openai",))

TARGETS: Sequence[Target] = (
    *(Target(f"openai {model}", OpenAIProvider(), model, _NOBODY, openai_takes) for model in ("gpt-4o", "gpt-5.4", "o3-mini")),
    *(Target(f"responses {model}", ResponsesProvider(), model, _OPENAI, responses_takes) for model in ("gpt-4o", "gpt-5.4")),
    Target("azure dated", AzureProvider("2024-02-01"), "my-deployment", _NOBODY, openai_takes),
    Target("azure v1", AzureProvider(""), "my-deployment", _NOBODY, openai_takes),
    *(Target(f"anthropic {model}", AnthropicProvider(), model, _ANTHROPIC, anthropic_takes) for model in _CLAUDES),
    *(Target(f"gemini {model}", GeminiProvider(), model, _GOOGLE, google_takes) for model in _GEMINIS),
    Target("vertex", VertexProvider("p", "global"), "gemini-3-flash-preview", _GOOGLE, google_takes),
    *(Target(f"bedrock {m}", BedrockProvider(), m, _ANTHROPIC if "claude" in m else _NOBODY, bedrock_takes) for m in _BEDROCK),
    Target("mistral", MistralProvider(), "magistral-medium-latest", _NOBODY, assert_mistral_takes),
    Target("cohere", CohereProvider(), "command-a-reasoning-08-2025", _NOBODY, assert_cohere_takes),
    Target("ollama", OllamaProvider(), "qwen3", _NOBODY, assert_ollama_takes),
    *(Target(n, COMPAT[n].provider(), "m", _KEEPERS.get(n, _NOBODY), compat_takes(COMPAT[n].quirks.keeps)) for n in _ROWS),
)


def ask_for(given: Asked, chat: Json, target: Target, *, approximate: bool = True) -> Ask:
    return Ask(chat, target.model, given.streamed, "chatcmpl-77", 1_700_000_000, True, approximate)


# -- embeddings, rerank, counts


def openai_embeds(body: Json) -> None:
    _known(body, embedding_create_params.EmbeddingCreateParams)


def google_embeds(body: Json) -> None:
    for item in body.get("requests", [body]):
        if "instances" in item:
            continue
        google.Content.model_validate(item["content"])
        known = {"model", "content", "taskType", "title", "outputDimensionality", "embedContentConfig"}
        assert item.keys() <= known, item.keys() - known


def cohere_embeds(body: Json) -> None:
    known = set(inspect.signature(cohere.ClientV2.embed).parameters)
    assert body.keys() <= known, body.keys() - known
    assert body["input_type"]
    assert body.get("texts") or body.get("images") or body.get("inputs")


def ollama_embeds(body: Json) -> None:
    ollama.EmbedRequest.model_validate(body)
    assert body.keys() <= set(ollama.EmbedRequest.model_fields)


def mistral_embeds(body: Json) -> None:
    assert_kept(body, mistral.EmbeddingRequest.model_validate(body).model_dump(by_alias=True, mode="json"))


def any_object(body: Json) -> None:
    assert body


EMBEDDERS: Sequence[Target] = (
    Target("openai", OpenAIProvider(), "text-embedding-3-small", _NOBODY, openai_embeds),
    Target("responses", ResponsesProvider(), "text-embedding-3-small", _NOBODY, openai_embeds),
    Target("azure", AzureProvider("2024-02-01"), "my-deployment", _NOBODY, openai_embeds),
    Target("gemini", GeminiProvider(), "gemini-embedding-001", _NOBODY, google_embeds),
    Target("vertex", VertexProvider("p", "global"), "gemini-embedding-2", _NOBODY, google_embeds),
    Target("vertex predict", VertexProvider("p", "global"), "text-embedding-005", _NOBODY, any_object),
    Target("mistral", MistralProvider(), "mistral-embed", _NOBODY, mistral_embeds),
    Target("cohere", CohereProvider(), "embed-v4.0", _NOBODY, cohere_embeds),
    Target("ollama", OllamaProvider(), "nomic-embed-text", _NOBODY, ollama_embeds),
    Target("bedrock titan", BedrockProvider(), "amazon.titan-embed-text-v2:0", _NOBODY, any_object),
    Target("bedrock cohere", BedrockProvider(), "cohere.embed-v4:0", _NOBODY, any_object),
    Target("anthropic", AnthropicProvider(), "claude-sonnet-4-5", _NOBODY, any_object),
    *(Target(name, COMPAT[name].provider(), "m", _NOBODY, any_object) for name in ("together", "voyage", "jina", "vllm", "groq")),
)
RERANKERS: Sequence[Target] = (
    Target("cohere", CohereProvider(), "rerank-v4.0", _NOBODY, any_object),
    *(Target(name, COMPAT[name].provider(), "m", _NOBODY, any_object) for name in ("together", "voyage", "jina", "vllm", "groq")),
)
COUNTERS: Sequence[Target] = (
    Target("anthropic", AnthropicProvider(), "claude-sonnet-4-5", _ANTHROPIC, assert_anthropic_counts),
    Target("gemini", GeminiProvider(), "gemini-2.5-flash", _GOOGLE, any_object),
    Target("vertex", VertexProvider("p", "global"), "gemini-2.5-flash", _GOOGLE, any_object),
    Target("bedrock", BedrockProvider(), _BEDROCK[0], _ANTHROPIC, lambda body: _no(faults(body, "CountTokens"))),
)


def _no(fault: str) -> None:
    assert fault == ""


def of(*operations: Operation) -> Iterator[Asked]:
    return (given for given in asked() if given.client.operation in operations)


# -- what belongs to one vendor


def signatures(value: Any) -> Iterator[tuple[str, str]]:
    """(vendor, state) of all reasoning state in a request or reply of any format, found by the vendors' own names for it."""
    if isinstance(value, list):
        for item in value:
            yield from signatures(item)
    if not isinstance(value, dict):
        return
    kind = value.get("type")
    for name, item in value.items():
        if isinstance(item, str) and len(item) > 40:
            if name in ("thoughtSignature", "thought_signature"):
                yield "google", item
            elif name == "encrypted_content" and kind in ("reasoning", "reasoning.encrypted"):
                yield "openai", item
            elif (name == "signature" and kind in ("thinking", "signature_delta")) or (name == "data" and kind == "redacted_thinking"):
                yield "anthropic", item
        elif isinstance(item, (dict, list)):
            yield from signatures(item)


def bad_base64(value: Any) -> bool:
    """Whether a request holds a picture or file that is damaged: one recording's is, and strict vendors refuse it."""
    if isinstance(value, list):
        return any(bad_base64(item) for item in value)
    if isinstance(value, dict):
        return any(bad_base64(item) for item in value.values())
    if not isinstance(value, str) or len(value) < 1000:
        return False
    data = value.partition(";base64,")[2] or value
    bare = data.rstrip("=")
    return re.fullmatch(r"[A-Za-z0-9+/_-]+", bare) is not None and len(bare) % 4 == 1


# -- replies


@dataclass(frozen=True)
class Answered:
    """A recorded reply to a chat and the provider side that reads it. `family`: how its vendor counts tokens."""

    recording: Recording
    side: Any
    family: str

    @property
    def name(self) -> str:
        return f"{self.recording.file.parent.name}/{self.recording.file.stem}"

    @property
    def streamed(self) -> bool:
        return self.recording.streamed or "b64" in self.recording.raw["response"]

    @property
    def ask(self) -> Ask:
        request = self.recording.request if isinstance(self.recording.request, dict) else {}
        kept = ("n", "tools") if self.family in ("openai", "mistral") else ()
        chat = {
            "messages": [],
            **{name: request[name] for name in kept if name in request},
        }
        return Ask(chat, "m", self.streamed, "chatcmpl-77", 1_700_000_000, True)


_SIDES: Sequence[tuple[str, str, Any]] = (
    (r"anthropic/.*/v1/messages", "anthropic", AnthropicProvider()),
    (r"azure/.*/chat/completions", "openai", AzureProvider("2024-02-01")),
    (r"(gemini|vertex)/.*:(g|streamG)enerateContent", "gemini", GeminiProvider()),
    (r"bedrock/.*/converse(-stream)?", "bedrock", BedrockProvider()),
    (r"mistral/.*/chat/completions", "mistral", MistralProvider()),
    (r"cohere/.*/v2/chat", "cohere", CohereProvider()),
    (r"ollama/.*/api/chat", "ollama", OllamaProvider()),
    (r"[^/]+/.*/responses", "responses", ResponsesProvider()),
    (r"[^/]+/.*/chat(/completions)?", "openai", None),
)


@functools.cache
def answered() -> list[Answered]:
    """All recorded 200s to chats that a provider side may get to read."""
    if not ROOT.is_dir():
        return []
    found = []
    for recording in recordings(*sorted(folder.name for folder in ROOT.iterdir() if folder.is_dir())):
        provider = recording.file.parent.name
        where = f"{provider}/{recording.path.partition('?')[0]}"
        match = next(((family, side) for pattern, family, side in _SIDES if re.fullmatch(pattern, where)), None)
        if match is None or recording.status != 200 or where.startswith("cohere//v1"):
            continue
        side = match[1] or COMPAT[provider if provider in COMPAT else "openai"].provider()
        found.append(Answered(recording, side, match[0]))
    return found


READING: dict[str, tuple[ClientSide, ClientSide, Json]] = {
    "openai.chat": (ChatClient(), ChatClient(), {"model": "m", "messages": []}),
    "openai.responses": (ResponsesClient(), ResponsesClient(), {"model": "m", "input": "a"}),
    "openai.completions": (
        CompletionsClient(),
        CompletionsClient(),
        {"model": "m", "prompt": "a", "stream_options": {"include_usage": True}},
    ),
    "anthropic.messages": (MessagesClient(), MessagesClient(), {"model": "m", "max_tokens": 9, "messages": []}),
    "gemini": (gemini.GenerateClient(), gemini.StreamClient(), {"contents": []}),
    "ollama.chat": (OllamaChatClient(), OllamaChatClient(), {"model": "m", "messages": []}),
    "ollama.generate": (OllamaGenerateClient(), OllamaGenerateClient(), {"model": "m", "prompt": "a"}),
    "cohere.chat": (CohereChatClient(), CohereChatClient(), {"model": "m", "messages": []}),
}
"""Client formats: who writes a plain answer, who a stream, and a request that asks for one."""
