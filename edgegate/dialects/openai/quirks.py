"""What differs between providers that speak OpenAI's format. The defaults are the cautious ones, right for most of them.

A difference belongs here when a request would be refused, or an answer lost, without knowing it. What a provider merely adds
to its replies is handled for all of them alike (see `reply.py`).
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from edgegate.dialects.openai.known import OPENAI_FIELDS
from edgegate.dialects.rerank import RerankStyle

REASONING_MODELS = ("o1", "o3", "o4", "gpt-5", "gpt-6", "codex-")
"""Prefixes of OpenAI's models that refuse `max_tokens` (400 unsupported_parameter) and want `max_completion_tokens`."""

PLAIN_MODELS = ("gpt-4", "gpt-3", "chatgpt-", "ft:gpt-4", "ft:gpt-3")
"""Prefixes of OpenAI's models that refuse `reasoning_effort` (400 "Unrecognized request argument supplied")."""

PATHS: Mapping[str, str] = {
    "openai.chat": "/chat/completions",
    "openai.completions": "/completions",
    "openai.embeddings": "/embeddings",
    "openai.responses": "/responses",
}
"""Endpoints below a base URL that includes the version, as users write OPENAI_BASE_URL: `https://api.openai.com/v1`. All that
OpenAI has; of those that speak as OpenAI does, few have `/responses`, and for the others it is translated to a chat."""

USUAL: Mapping[str, str] = {name: path for name, path in PATHS.items() if name != "openai.responses"}
CHAT: Mapping[str, str] = {"openai.chat": "/chat/completions"}
CHAT_AND_RESPONSES: Mapping[str, str] = {"openai.chat": "/chat/completions", "openai.responses": "/responses"}
CHAT_AND_COMPLETIONS: Mapping[str, str] = {"openai.chat": "/chat/completions", "openai.completions": "/completions"}
EMBEDDINGS: Mapping[str, str] = {"openai.embeddings": "/embeddings"}
CHAT_AND_EMBEDDINGS: Mapping[str, str] = {"openai.chat": "/chat/completions", "openai.embeddings": "/embeddings"}


class MaxTokens(enum.Enum):
    """Which field carries the output limit."""

    OLD = "max_tokens"
    NEW = "max_completion_tokens"
    # the new name for OpenAI's reasoning models, which refuse the old one; the old one for all others, which the many servers
    # behind `dialect: openai` know (llama-cpp-python ignores the new one and goes on to the end of its context)
    BY_MODEL = "by model"
    EITHER = "either"  # as the client wrote it


@dataclass(frozen=True, slots=True)
class Quirks:
    """The differences of one provider.

    paths: client formats it answers -> endpoint below the base URL.
    max_tokens: how the output limit is named.
    developer_role: whether role `developer` is known; `system` is sent where it is not.
    stream_usage: whether `stream_options.include_usage` is accepted.
    keeps: extensions of the chat that it understands and that are therefore sent: `reasoning_content`, `reasoning`,
        `reasoning_details`, `thinking_blocks`, `cache_control`, `extra_content`, `annotations`, `thinking`; content parts such
        as `video_url`; `file_url` for files by their address; formats of reasoning details (`sealed.RESPONSES`) that are
        another vendor's elsewhere; `openrouter:`, the prefix of its own tools; request fields that `fields` would leave out.
    fields: the request fields it knows, where it refuses all others; None where it does not (see `known.py`).
    refuses: request fields that it answers with a 400; left out and named as dropped.
    prefix: the key on a last assistant message that says that it is the beginning of the answer, where one is wanted.
    continues: request fields that say so.
    base64_embeddings: whether `encoding_format: base64` is understood; where not, the vectors are encoded here.
    embedding_names: its own names for fields of an embeddings request.
    input_types: its own words for Cohere's `input_type`, where it has that field; None where the value goes as it is.
    rerank: the endpoint that orders documents, and whose request it takes; None where there is none.
    """

    paths: Mapping[str, str] = field(default_factory=lambda: USUAL)
    max_tokens: MaxTokens = MaxTokens.EITHER
    developer_role: bool = False
    stream_usage: bool = True
    keeps: frozenset[str] = frozenset()
    fields: frozenset[str] | None = None
    refuses: frozenset[str] = frozenset(("metadata", "service_tier"))
    prefix: str = ""
    continues: Mapping[str, bool] = field(default_factory=dict)
    base64_embeddings: bool = True
    embedding_names: Mapping[str, str] = field(default_factory=dict)
    input_types: Mapping[str, str] | None = None
    rerank: tuple[str, RerankStyle] | None = None


OPENAI = Quirks(
    paths=PATHS,
    max_tokens=MaxTokens.BY_MODEL,
    developer_role=True,
    keeps=frozenset(("annotations",)),  # openai/chat-*: assistant messages are sent back with them
    fields=OPENAI_FIELDS,
    refuses=frozenset(),
)
