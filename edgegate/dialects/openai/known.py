"""Which fields and tools of a chat are sent to an OpenAI-shaped provider.

A chat may hold fields that another dialect left in it for its own providers. What becomes of a field depends on who is asked:

- OpenAI and Azure refuse what they do not know (400 "Unrecognized request argument supplied"), so they get the fields of
  their API and no others. A field newer than this list still reaches them from clients of OpenAI's own dialect, whose
  requests go out as they came.
- Other providers have fields of their own (`chat_template_kwargs`, `provider`, `repetition_penalty`) and mostly ignore what
  they do not know. They get everything but the fields of another dialect: those listed here, and all with a capital letter
  in their name, for that is how Gemini and Bedrock write theirs and nobody else.

Fields that begin with `x-` are meant for the gateway. A provider's row can keep what would be left out (`Quirks.keeps`).
"""

from __future__ import annotations

import re
from typing import Any

from edgegate.dialects.base import Json

# fmt: off
OPENAI_FIELDS = frozenset((
    "model", "messages", "audio", "frequency_penalty", "function_call", "functions", "logit_bias", "logprobs",
    "max_completion_tokens", "max_tokens", "metadata", "modalities", "moderation", "n", "parallel_tool_calls", "prediction",
    "presence_penalty", "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "reasoning_effort",
    "response_format", "safety_identifier", "seed", "service_tier", "stop", "store", "stream", "stream_options", "temperature",
    "tool_choice", "tools", "top_logprobs", "top_p", "user", "verbosity", "web_search_options",
))
"""The request of `POST /v1/chat/completions` as openai 3.52 and the recordings have it."""

AZURE_FIELDS = OPENAI_FIELDS | {"data_sources", "user_security_context"}

TIERS = frozenset(("auto", "default", "flex", "scale", "priority", "fast", "ultrafast"))
"""Service tiers that OpenAI has; other vendors have others (groq/chat-reasoning-e7ff7008: on_demand)."""

FOREIGN = frozenset((
    # Anthropic
    "anthropic_beta", "anthropic_version", "betas", "billing_policy", "cache_control", "compaction", "container",
    "context_management", "diagnostics", "fallback_credit_token", "fallbacks", "inference_geo", "mcp_servers", "output_config",
    "speed", "thinking", "thread", "user_profile_id", "workspace_id",
    # Gemini
    "cached_content", "generation_config", "labels", "model_armor_config", "safety_settings", "tool_config",
    # Responses
    "access_programs", "background", "context", "conversation", "image", "include", "input", "instructions", "max_tool_calls",
    "previous_response_id", "prompt", "prompt_cache_options", "reasoning", "text", "truncation", "video",
    # Cohere
    "citation_options", "citation_quality", "documents", "force_single_step", "k", "p", "priority", "prompt_truncation",
    "raw_prompting", "return_prompt", "return_prompt_token_ids", "safety_mode", "strict_tools", "token_budget",
    # Ollama
    "format", "height", "images", "keep_alive", "options", "raw", "shift", "steps", "suffix", "system", "template", "think",
    "truncate", "width",
    # Mistral
    "guardrails", "prompt_mode", "random_seed", "safe_prompt",
))
"""Request fields of other dialects that a chat may carry for their providers."""
# fmt: on

_DATED = re.compile(r"_20\d{6}$|^mcp_toolset$")
_RESPONSES = re.compile(
    r"web_search|code_interpreter|file_search|computer|image_generation|mcp|local_shell|shell|apply_patch|"
    r"tool_search|namespace|programmatic_tool_calling"
)


def says_something(name: str, value: Any, defaults: tuple[Any, ...]) -> bool:
    """Whether leaving a field out would be a loss. `x-` fields are meant for the gateway; `defaults` are what the chat's own
    fields are without being set (`seed: 0` is a seed). Of a field that is none of its own, nobody knows what `false` means."""
    if value is None or value == {} or value == [] or name.startswith("x-"):
        return False
    return value not in defaults or name == "seed" or name not in OPENAI_FIELDS


def is_known(name: str, fields: frozenset[str] | None, keeps: frozenset[str]) -> bool:
    """Whether a field is sent to a provider that knows `fields` (None: it has not said) and keeps `keeps`."""
    if name in keeps:
        return True
    if fields is not None:
        return name in fields
    return name not in FOREIGN and name.islower()


def is_foreign(tool: Json, keeps: frozenset[str] = frozenset()) -> bool:
    """Whether a tool that a vendor runs is another dialect's: Gemini's have no type, Anthropic's are dated, those of Responses
    say flatly what others put into an object of the type's name (zai's `{"type": "web_search", "web_search": {...}}`), and
    OpenRouter's name their vendor (`openrouter:web_search`)."""
    kind = tool.get("type")
    if isinstance(kind, str) and ":" in kind:
        return kind.partition(":")[0] + ":" not in keeps
    return not isinstance(kind, str) or _DATED.search(kind) is not None or (kind not in tool and _RESPONSES.match(kind) is not None)
