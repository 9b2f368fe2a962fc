"""The table of providers that speak OpenAI's format: where they are, which variable has their key, how they differ.

One literal a provider. `name` is what configurations say (`dialect: groq`), `base_url` includes the version and is what
`OpenAIProvider`'s paths are appended to. A provider that is not in the table is `dialect: openai` with its own `base_url`.
What sets a provider apart in its replies is handled for all alike in `openai/`; only requests need the quirks below.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from edgegate.dialects.openai.provider import OpenAIProvider
from edgegate.dialects.openai.quirks import (
    CHAT,
    CHAT_AND_COMPLETIONS,
    CHAT_AND_EMBEDDINGS,
    CHAT_AND_RESPONSES,
    EMBEDDINGS,
    OPENAI,
    PATHS,
    MaxTokens,
    Quirks,
)
from edgegate.dialects.rerank import RerankStyle
from edgegate.dialects.sealed import RESPONSES


@dataclass(frozen=True, slots=True)
class Compat:
    """One provider.

    base_url: its public address, version included; "" where each customer has an own one.
    key: environment variable that usually holds the credential.
    prefixes: how its own models' names begin, where that tells it from others. The longest match should win.
    keyless: whether it is commonly run without a key.
    shared_key: whether that variable is commonly set for other purposes too, so that by itself it configures nothing.
    """

    name: str
    base_url: str
    key: str
    prefixes: tuple[str, ...] = ()
    quirks: Quirks = field(default_factory=Quirks)
    keyless: bool = False
    shared_key: bool = False

    def provider(self) -> OpenAIProvider:
        return OpenAIProvider(self.name, self.quirks)


_REASONING = frozenset(("reasoning_content",))
_THINKING = frozenset(("reasoning_content", "thinking"))  # `thinking: {type: enabled | disabled}` is theirs too (zai/chat-*)
_RERANK = ("/rerank", RerankStyle.COHERE)
_OLD_LIMIT = Quirks(max_tokens=MaxTokens.OLD)
_OLD_LIMIT_LISTS = Quirks(max_tokens=MaxTokens.OLD, base64_embeddings=False)

_ROWS = (
    Compat(
        "openai",
        "https://api.openai.com/v1",
        "OPENAI_API_KEY",
        (
            "gpt-",
            "chatgpt-",
            "o1",
            "o3",
            "o4",
            "codex-",
            "computer-use-",
            "text-embedding-",
            "davinci-",
            "babbage-",
            "ft:gpt-",
            "ft:davinci-",
            "ft:babbage-",
        ),
        OPENAI,
    ),
    Compat(
        "groq",
        "https://api.groq.com/openai/v1",
        "GROQ_API_KEY",
        quirks=Quirks(paths=CHAT, refuses=frozenset(("logprobs", "top_logprobs", "logit_bias", "top_k", "metadata"))),
    ),
    Compat(
        "together",
        "https://api.together.xyz/v1",
        "TOGETHER_API_KEY",
        quirks=Quirks(max_tokens=MaxTokens.OLD, base64_embeddings=False, rerank=_RERANK),
    ),
    Compat(
        "deepseek",
        "https://api.deepseek.com",
        "DEEPSEEK_API_KEY",
        ("deepseek-",),
        # a thinking model refuses a tool loop without its own reasoning (deepseek/chat-*-toolresult-*)
        Quirks(paths=CHAT_AND_RESPONSES, max_tokens=MaxTokens.OLD, keeps=_THINKING, prefix="prefix"),  # known to its /beta only
    ),
    Compat(
        "openrouter",
        "https://openrouter.ai/api/v1",
        "OPENROUTER_API_KEY",
        ("openrouter/",),
        Quirks(
            paths=PATHS,
            keeps=frozenset(
                ("reasoning", "reasoning_content", "reasoning_details", RESPONSES, "cache_control", "video_url", "file_url", "openrouter:")
            ),
        ),
    ),
    Compat("xai", "https://api.x.ai/v1", "XAI_API_KEY", ("grok-",), Quirks(paths={**CHAT_AND_COMPLETIONS, **CHAT_AND_RESPONSES})),
    Compat(
        "cerebras",
        "https://api.cerebras.ai/v1",
        "CEREBRAS_API_KEY",
        quirks=Quirks(
            paths=CHAT_AND_COMPLETIONS, refuses=frozenset(("frequency_penalty", "presence_penalty", "logit_bias", "top_k", "metadata"))
        ),
    ),
    Compat(
        "fireworks",
        "https://api.fireworks.ai/inference/v1",
        "FIREWORKS_API_KEY",
        ("accounts/fireworks/",),
        Quirks(max_tokens=MaxTokens.OLD, keeps=_REASONING, base64_embeddings=False),
    ),
    Compat(
        "perplexity",
        "https://api.perplexity.ai",
        "PERPLEXITY_API_KEY",
        ("sonar",),
        Quirks(paths=CHAT, max_tokens=MaxTokens.OLD),
    ),
    Compat(
        "huggingface", "https://router.huggingface.co/v1", "HF_TOKEN", quirks=Quirks(paths=CHAT, max_tokens=MaxTokens.OLD), shared_key=True
    ),
    Compat("nvidia", "https://integrate.api.nvidia.com/v1", "NVIDIA_API_KEY", ("nvidia/",), _OLD_LIMIT_LISTS),
    Compat(
        "sambanova",
        "https://api.sambanova.ai/v1",
        "SAMBANOVA_API_KEY",
        quirks=Quirks(paths=CHAT_AND_EMBEDDINGS, max_tokens=MaxTokens.OLD, base64_embeddings=False),
    ),
    Compat("hyperbolic", "https://api.hyperbolic.xyz/v1", "HYPERBOLIC_API_KEY", quirks=_OLD_LIMIT_LISTS),
    Compat("novita", "https://api.novita.ai/openai/v1", "NOVITA_API_KEY", quirks=_OLD_LIMIT_LISTS),
    Compat(
        "moonshot",
        "https://api.moonshot.ai/v1",
        "MOONSHOT_API_KEY",
        ("kimi-", "moonshot-"),
        Quirks(paths=CHAT, max_tokens=MaxTokens.OLD, keeps=_THINKING, prefix="partial"),
    ),
    Compat(
        "zai",
        "https://api.z.ai/api/paas/v4",
        "ZAI_API_KEY",
        ("glm-",),
        Quirks(paths=CHAT_AND_EMBEDDINGS, max_tokens=MaxTokens.OLD, keeps=_THINKING, base64_embeddings=False),
    ),
    Compat(
        "dashscope",
        "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
        "DASHSCOPE_API_KEY",
        ("qwen-", "qwen2", "qwen3", "qwq-", "qvq-"),
        Quirks(
            paths=CHAT_AND_EMBEDDINGS,
            max_tokens=MaxTokens.OLD,
            keeps=frozenset(("reasoning_content", "cache_control")),
            base64_embeddings=False,
        ),
    ),
    Compat("nebius", "https://api.tokenfactory.nebius.com/v1", "NEBIUS_API_KEY", quirks=_OLD_LIMIT_LISTS),
    Compat("deepinfra", "https://api.deepinfra.com/v1/openai", "DEEPINFRA_API_KEY", quirks=_OLD_LIMIT_LISTS),
    Compat("siliconflow", "https://api.siliconflow.com/v1", "SILICONFLOW_API_KEY", quirks=_OLD_LIMIT),
    Compat(
        "minimax",
        "https://api.minimax.io/v1",
        "MINIMAX_API_KEY",
        ("MiniMax-",),
        Quirks(paths=CHAT, keeps=frozenset(("reasoning_content", "reasoning_details"))),
    ),
    Compat("featherless", "https://api.featherless.ai/v1", "FEATHERLESS_API_KEY", quirks=_OLD_LIMIT_LISTS),
    Compat("friendli", "https://api.friendli.ai/serverless/v1", "FRIENDLI_TOKEN", quirks=Quirks(paths=CHAT_AND_COMPLETIONS)),
    Compat("inception", "https://api.inceptionlabs.ai/v1", "INCEPTION_API_KEY", ("mercury",), Quirks(paths=CHAT)),
    Compat("vercel", "https://ai-gateway.vercel.sh/v1", "AI_GATEWAY_API_KEY", quirks=Quirks(paths=CHAT_AND_EMBEDDINGS)),
    Compat(
        "writer",
        "https://api.writer.com/v1",
        "WRITER_API_KEY",
        ("palmyra-",),
        Quirks(paths={"openai.chat": "/chat"}, max_tokens=MaxTokens.OLD),
    ),
    Compat(
        "snowflake", "", "SNOWFLAKE_TOKEN", quirks=Quirks(paths=CHAT), shared_key=True
    ),  # https://<account>.snowflakecomputing.com/api/v2/cortex/v1
    Compat(
        "voyage",  # embeddings and rerank only
        "https://api.voyageai.com/v1",
        "VOYAGE_API_KEY",
        ("voyage-", "rerank-2"),
        Quirks(
            paths=EMBEDDINGS,
            refuses=frozenset(("truncate", "user")),
            base64_embeddings=False,  # it has base64 (voyage/embeddings-*), but no word for its absence
            embedding_names={"dimensions": "output_dimension"},
            input_types={"search_query": "query", "search_document": "document"},
            rerank=("/rerank", RerankStyle.VOYAGE),
        ),
    ),
    Compat(
        "jina",
        "https://api.jina.ai/v1",
        "JINA_API_KEY",
        ("jina-",),
        Quirks(
            paths=EMBEDDINGS,
            refuses=frozenset(("user",)),
            base64_embeddings=False,
            embedding_names={"input_type": "task"},
            input_types={"search_query": "retrieval.query", "search_document": "retrieval.passage"},
            rerank=_RERANK,
        ),
    ),
    Compat(
        "vllm",
        "http://127.0.0.1:8000/v1",
        "VLLM_API_KEY",
        quirks=Quirks(
            max_tokens=MaxTokens.OLD,
            keeps=_REASONING,
            continues={"continue_final_message": True, "add_generation_prompt": False},
            rerank=_RERANK,
        ),
        keyless=True,
    ),
    Compat(
        "sglang",
        "http://127.0.0.1:30000/v1",
        "SGLANG_API_KEY",
        quirks=Quirks(max_tokens=MaxTokens.OLD, keeps=_REASONING, continues={"continue_final_message": True}),
        keyless=True,
    ),
    Compat("lmstudio", "http://127.0.0.1:1234/v1", "LMSTUDIO_API_KEY", quirks=_OLD_LIMIT_LISTS, keyless=True),
    Compat(
        "llamacpp", "http://127.0.0.1:8080/v1", "LLAMACPP_API_KEY", quirks=Quirks(max_tokens=MaxTokens.OLD, keeps=_REASONING), keyless=True
    ),
    Compat("localai", "http://127.0.0.1:8080/v1", "LOCALAI_API_KEY", quirks=_OLD_LIMIT_LISTS, keyless=True),
    Compat(
        "litellm",
        "http://127.0.0.1:4000/v1",
        "LITELLM_API_KEY",
        quirks=Quirks(developer_role=True, keeps=frozenset(("reasoning_content", "thinking_blocks", "cache_control", "extra_content"))),
        keyless=True,
    ),
)

COMPAT: Mapping[str, Compat] = MappingProxyType({row.name: row for row in _ROWS})
"""All of them by name."""
