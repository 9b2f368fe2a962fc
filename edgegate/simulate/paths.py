"""Which vendor answers at which path.

Paths that only one vendor has stand at the root, where its SDK looks for them when it is given the server's address: OpenAI (with `/v1`),
Anthropic, Gemini, Vertex AI, Ollama, Cohere, Bedrock and Azure. Vendors whose paths are also another's are reached below their own
name: `/mistral/v1`, `/huggingface/v1`, `/groq/openai/v1`, `/deepseek/v1`, `/openrouter/api/v1`, `/together/v1`. `/cohere`, `/azure`,
`/bedrock` and `/vertex` work as well; Cohere's models are listed only there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from edgegate.simulate import (
    anthropic,
    azure,
    bedrock,
    cohere,
    cohere_data,
    gemini,
    gemini_embed,
    huggingface,
    lookalikes,
    mistral,
    ollama,
    openai,
    openai_data,
    responses,
)
from edgegate.simulate.vendor import Endpoint, Vendor

_GOOGLE_VERBS = (
    ("generateContent", gemini.generate),
    ("streamGenerateContent", gemini.stream),
    ("countTokens", gemini.count_tokens),
    ("embedContent", gemini_embed.embed),
)


@dataclass(frozen=True, slots=True)
class Route:
    method: str
    path: str
    vendor: Vendor
    endpoint: Endpoint


@dataclass(frozen=True, slots=True)
class Shared:
    """A vendor of the paths that several have, with its list of models and its description of one."""

    vendor: Vendor
    models: Endpoint
    model: Endpoint


def shared_vendors() -> tuple[Shared, Shared, Shared]:
    """OpenAI, Anthropic and Gemini, which share `/v1/models`."""
    return (
        Shared(openai.OpenAI(), openai_data.models, openai_data.model),
        Shared(anthropic.Anthropic(), anthropic.models, anthropic.model),
        Shared(gemini.Gemini(), gemini.models, gemini.model),
    )


def routes() -> list[Route]:
    """All paths of one vendor only. Each call has a memory of responses of its own."""
    return [
        *_openai(),
        *_azure(),
        *_anthropic(),
        *_google(),
        *_ollama(),
        *_cohere(),
        *_bedrock(),
        *_mistral(),
        *_huggingface(),
        *_lookalikes(),
    ]


def _openai() -> Iterator[Route]:
    gpt, answering, memory = openai.OpenAI(), responses.OpenAIResponses(), responses.Responses()
    yield Route("POST", "/v1/chat/completions", gpt, openai.chat)
    yield Route("POST", "/v1/completions", gpt, openai_data.completions)
    yield Route("POST", "/v1/embeddings", gpt, openai_data.embeddings)
    yield Route("POST", "/v1/responses", answering, memory.create)
    yield Route("POST", "/v1/responses/input_tokens", answering, memory.count)
    yield Route("GET", "/v1/responses/{model}", answering, memory.retrieve)
    yield Route("DELETE", "/v1/responses/{model}", answering, memory.delete)


def _azure() -> Iterator[Route]:
    vendor, answering, memory = azure.Azure(), azure.AzureResponses(), responses.Responses()
    for prefix in ("", "/azure"):
        for path, endpoint in (
            ("chat/completions", openai.chat),
            ("completions", openai_data.completions),
            ("embeddings", openai_data.embeddings),
        ):
            yield Route("POST", f"{prefix}/openai/deployments/{{model}}/{path}", vendor, azure.deployed(endpoint))
            yield Route("POST", f"{prefix}/openai/v1/{path}", vendor, azure.current(endpoint))
        for place in ("openai/v1/responses", "openai/responses"):
            yield Route("POST", f"{prefix}/{place}", answering, azure.current(memory.create))
            yield Route("GET", f"{prefix}/{place}/{{model}}", answering, azure.current(memory.retrieve))


def _anthropic() -> Iterator[Route]:
    claude = anthropic.Anthropic()
    yield Route("POST", "/v1/messages", claude, anthropic.messages)
    yield Route("POST", "/v1/messages/count_tokens", claude, anthropic.count_tokens)


def _google() -> Iterator[Route]:
    google = gemini.Gemini()
    ours = "/{version:v1|v1beta}/models/{model:.+}"
    for verb, endpoint in (*_GOOGLE_VERBS, ("batchEmbedContents", gemini_embed.batch_embed)):
        yield Route("POST", f"{ours}:{verb}", google, endpoint)
    yield Route("GET", "/v1beta/models", google, gemini.models)
    yield Route("GET", "/v1beta/models/{model:.+}", google, gemini.model)
    for prefix in ("", "/vertex"):
        for place in ("/projects/{project}/locations/{location}", ""):  # without a project: the express mode, with a key
            there = prefix + "/{version:v1|v1beta1}" + place + "/publishers/google/models/{model:.+}"
            for verb, endpoint in (*_GOOGLE_VERBS, ("predict", gemini_embed.predict)):
                yield Route("POST", f"{there}:{verb}", google, endpoint)


def _ollama() -> Iterator[Route]:
    local = ollama.Ollama()
    yield Route("POST", "/api/chat", local, ollama.chat)
    yield Route("POST", "/api/generate", local, ollama.generate)
    yield Route("POST", "/api/embed", local, ollama.embed)
    yield Route("POST", "/api/embeddings", local, ollama.embeddings)
    yield Route("POST", "/api/show", local, ollama.show)
    yield Route("GET", "/api/tags", local, ollama.tags)
    yield Route("GET", "/api/version", local, ollama.version)


def _cohere() -> Iterator[Route]:
    vendor = cohere.Cohere()
    for prefix in ("", "/cohere"):
        yield Route("POST", f"{prefix}/v2/chat", vendor, cohere.chat)
        yield Route("POST", f"{prefix}/v2/embed", vendor, cohere_data.embed)
        yield Route("POST", f"{prefix}/v1/embed", vendor, cohere_data.old_embed)
        for version in ("v1", "v2"):
            yield Route("POST", f"{prefix}/{version}/rerank", vendor, cohere_data.rerank)
    yield Route("GET", "/cohere/v1/models", vendor, cohere_data.models)
    yield Route("GET", "/cohere/v1/models/{model}", vendor, cohere_data.model)


def _bedrock() -> Iterator[Route]:
    aws = bedrock.Bedrock()
    for prefix in ("", "/bedrock"):
        for path, endpoint in (
            ("converse", bedrock.converse),
            ("converse-stream", bedrock.converse_stream),
            ("count-tokens", bedrock.count_tokens),
            ("invoke", bedrock.invoke),
        ):
            yield Route("POST", f"{prefix}/model/{{model:.+}}/{path}", aws, endpoint)


def _mistral() -> Iterator[Route]:
    vendor = mistral.Mistral()
    yield Route("POST", "/mistral/v1/chat/completions", vendor, mistral.chat)
    yield Route("POST", "/mistral/v1/embeddings", vendor, mistral.embeddings)
    yield Route("GET", "/mistral/v1/models", vendor, mistral.models)


def _huggingface() -> Iterator[Route]:
    vendor = huggingface.HuggingFace()
    for place in ("", "/{provider:[^/]+}"):
        yield Route("POST", f"/huggingface{place}/v1/chat/completions", vendor, huggingface.chat)
    yield Route("GET", "/huggingface/api/models/{model:.+}", vendor, huggingface.about)
    yield Route("GET", "/huggingface/v1/models", vendor, openai_data.models)


def _lookalikes() -> Iterator[Route]:
    for kind in lookalikes.KINDS:
        vendor = lookalikes.Lookalike(kind)
        yield Route("POST", f"/{kind.name}{kind.base}/chat/completions", vendor, vendor.chat)
        yield Route("POST", f"/{kind.name}{kind.base}/embeddings", vendor, openai_data.embeddings)
        yield Route("GET", f"/{kind.name}{kind.base}/models", vendor, openai_data.models)
