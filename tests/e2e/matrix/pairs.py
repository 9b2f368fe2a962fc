"""Which clients and providers there are in the matrix, what each pair is tried with, and where an API itself sets the limit.

A gap is not skipped: the test of its cell shows that it is one, and that the app is told.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.e2e.matrix.speak_anthropic import MessagesSpeaker
from tests.e2e.matrix.speak_cohere import CohereSpeaker
from tests.e2e.matrix.speak_gemini import GeminiSpeaker
from tests.e2e.matrix.speak_ollama import OllamaSpeaker
from tests.e2e.matrix.speak_openai import ChatSpeaker, ResponsesSpeaker
from tests.e2e.matrix.speaking import Speaker

AWS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "AWS_REGION": "us-east-1"}
"""The credentials of Amazon's own examples, which the simulator knows, so that it checks each signature."""

SPEAKERS: dict[str, Callable[[str], Speaker]] = {
    "openai-chat": ChatSpeaker,
    "openai-responses": ResponsesSpeaker,
    "anthropic": MessagesSpeaker,
    "gemini": GeminiSpeaker,
    "ollama": OllamaSpeaker,
    "cohere": CohereSpeaker,
}

FEATURES = (
    "text",
    "system",
    "multi-turn",
    "tools",
    "parallel tools",
    "tool results",
    "image",
    "json_schema",
    "thinking",
    "stop",
    "max_tokens",
    "errors",
)


@dataclass(frozen=True)
class ProviderCase:
    """A provider as the gateway is configured for it. `thinks`: a model of it that reasons on request."""

    title: str
    model: str
    thinks: str
    options: Callable[[str], dict[str, Any]]


PROVIDERS: dict[str, ProviderCase] = {
    "openai": ProviderCase(
        "OpenAI", "gpt-4.1", "gpt-5-mini", lambda url: {"base_url": f"{url}/v1", "api_key": "sk-openai", "responses": "native"}
    ),
    "openai-responses": ProviderCase(
        "OpenAI by Responses", "gpt-5-mini", "gpt-5-mini", lambda url: {"base_url": f"{url}/v1", "api_key": "sk-openai"}
    ),
    "azure": ProviderCase(
        "Azure OpenAI", "gpt-4.1", "gpt-5-mini", lambda url: {"base_url": url, "api_key": "azure-key", "api_version": "2025-04-01-preview"}
    ),
    "azure-v1": ProviderCase(
        "Azure OpenAI v1", "gpt-4.1", "gpt-5-mini", lambda url: {"dialect": "azure", "base_url": url, "api_key": "azure-key"}
    ),
    "anthropic": ProviderCase("Anthropic", "claude-sonnet-4-5", "claude-sonnet-4-5", lambda url: {"base_url": url, "api_key": "sk-ant"}),
    "gemini": ProviderCase("Gemini", "gemini-2.5-flash", "gemini-2.5-flash", lambda url: {"base_url": url, "api_key": "gemini-key"}),
    "gemini-3": ProviderCase(
        "Gemini 3", "gemini-3-pro", "gemini-3-pro", lambda url: {"dialect": "gemini", "base_url": url, "api_key": "gemini-key"}
    ),
    "vertex": ProviderCase(
        "Vertex AI",
        "gemini-2.5-flash",
        "gemini-2.5-flash",
        lambda url: {"base_url": url, "project": "my-project", "location": "us-central1", "token_command": ["echo", "ya29.token"]},
    ),
    "bedrock": ProviderCase(
        "Bedrock",
        "anthropic.claude-sonnet-4-5-20250929-v1:0",
        "anthropic.claude-sonnet-4-5-20250929-v1:0",
        lambda url: {"base_url": url},
    ),
    "mistral": ProviderCase(
        "Mistral",
        "mistral-large-latest",
        "magistral-medium-latest",
        lambda url: {"base_url": f"{url}/mistral/v1", "api_key": "mistral-key"},
    ),
    "cohere": ProviderCase(
        "Cohere", "command-a-03-2025", "command-a-reasoning-08-2025", lambda url: {"base_url": url, "api_key": "cohere-key"}
    ),
    "ollama": ProviderCase("Ollama", "llama3.2", "qwen3", lambda url: {"base_url": url}),
    "huggingface": ProviderCase(
        "Hugging Face",
        "meta-llama/Llama-3.3-70B-Instruct",
        "Qwen/Qwen3-32B-think",
        lambda url: {"base_url": f"{url}/huggingface/v1", "api_key": "hf-key"},
    ),
}


@dataclass(frozen=True)
class Gap:
    """Why a pair cannot do something. `named`: the field that the gateway names as dropped; "" where nothing is dropped, because
    the API has no place for it on the way back either."""

    reason: str
    named: str = ""


def gap(client: str, provider: str, feature: str) -> Gap | None:
    """The gap of one cell, None if there is none."""
    return next(
        (found for names, found in GAPS.items() if all(fits(*pair) for pair in zip(names, (client, provider, feature), strict=True))), None
    )


def fits(pattern: str, name: str) -> bool:
    return pattern == "*" or name in pattern.split("|")


GAPS: dict[tuple[str, str, str], Gap] = {
    ("openai-chat|anthropic|gemini|ollama|cohere", "openai|azure|azure-v1", "thinking"): Gap(
        "OpenAI's chat completions never show their reasoning; over its Responses API they do"
    ),
    ("openai-responses", "azure", "thinking"): Gap("Azure's dated API versions have no Responses, and chat completions show no reasoning"),
    ("openai-chat", "openai-responses", "thinking"): Gap("a chat request has no field that asks to see the reasoning"),
    ("openai-responses", "*", "stop"): Gap("the Responses API has no stop sequences"),
    ("*", "openai-responses", "stop"): Gap("the Responses API has no stop sequences", "stop"),
}
