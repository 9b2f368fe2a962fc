"""Why a provider refuses, out of the words it uses: one table for all vendors.

Few vendors have a code for what apps and the gateway react to, a prompt that is too long, a content filter, an account without
money. The same sentences travel between them, since many serve each other's models, so they are kept in one place. A code that
says it already is believed before any words; words are read only as far as a sentence goes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

CONTEXT = "context_length_exceeded"
FILTER = "content_filter"
QUOTA = "insufficient_quota"
KEY = "invalid_api_key"

KNOWN = frozenset({CONTEXT, FILTER, "content_policy_violation", QUOTA, KEY})
"""Codes that need no reading."""

_READ = 1500
"""Characters of a message that are read: what follows may be the caller's own text."""

_CODES: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(
            (
                "context_window_exceeded",
                "exceed_context_size_error",  # llama.cpp
                "tokens_limit_reached",  # GitHub Models
                "model_max_prompt_tokens_exceeded",
                "prompt_too_long",
                "max_context_length_exceeded",
                "3051",  # Mistral
                "1261",  # Z.ai
            ),
            CONTEXT,
        ),
        **dict.fromkeys(
            (
                "responsibleaipolicyviolation",  # Azure
                "content_filter_error",
                "content_filtered",
                "moderation_blocked",
                "sexual_content_blocked",
                "image_content_policy_violation",
                "data_inspection_failed",  # Alibaba
                "datainspectionfailed",
                "bio_policy",
                "cyber_policy",
                "cyber_policy_violation",
                "misalignment_policy",
                "1301",  # Z.ai
            ),
            FILTER,
        ),
        **dict.fromkeys(
            (
                "billing_hard_limit_reached",
                "billing_not_active",
                "insufficient_credits",
                "insufficient_balance",
                "credit_exhausted",
                "exceeded_current_quota_error",  # Moonshot
                "arrearage",  # Alibaba
                "1113",  # Z.ai
            ),
            QUOTA,
        ),
    }
)

_CONTEXT = (
    r"max(?:imum)? (?:model |input |prompt |total )?context (?:length|size)",  # OpenAI and its like, vLLM, Mistral, OpenRouter, DeepSeek
    r"maximum (?:model|prompt) length|context length of only",  # vLLM, xAI, LM Studio
    r"(?:prompt|inputs?)(?: length)?(?: is)?,? too (?:long|large)",  # Anthropic, Bedrock, Ollama, Fireworks
    r"prompt exceeds max length",  # Z.ai
    r"exceed(?:s|ed)? [^.]{0,40}\bcontext",  # Anthropic, llama.cpp, OpenAI's Responses, SGLang, Ollama
    r"exceed(?:s|ed)? (?:the )?maximum (?:allowed )?(?:input|sequence|prompt) (?:length|tokens)",
    r"context window exceeds|longer than the model'?s context",  # Minimax, SGLang
    r"too many (?:input )?tokens(?!: max tokens must)(?! per)",  # Cohere, Bedrock
    r"input tokens exceeded|number of input tokens[^.]{0,40}exceed",  # Bedrock, watsonx
    r"(?:input|prompt|request) token count[^.]{0,60}(?:exceeds|only supports|up to)",  # Gemini, Vertex
    r"exceeds the maximum number of (?:input )?tokens|maximum number of input tokens|supports up to [\d,]+ input tokens",
    r"exceeds the token limit|exceeded model token limit",  # Cohere, Moonshot
    r"tokens`? \+ `?max_new_tokens`? must be|`inputs` must have less than",  # Hugging Face's text-generation-inference, Together
    r"reduce (?:the length of (?:the|your) (?:messages|prompt|input)|your (?:prompt|message size))",  # Groq, Cerebras
    r"range of input length should be|max allowed tokens per submitted batch",  # Alibaba, Voyage
    r"request body too large for [^.]{1,60} max size: [\d,]+ tokens",  # GitHub Models
)
_FILTER = (
    r"content management policy|content filtering policy|content[ _]policy[ _]violation",  # Azure, Anthropic, OpenAI
    r"(?:blocked|rejected|filtered|flagged) by (?:the |a |our )?(?:content|safety|guardrail|moderation)",
    r"responsible ai (?:practices|policy|guidelines)",  # Google
    r"(?:our|the) safety system",  # OpenAI's images
    r"violat(?:e|es|ed|ing|ion of) [^.]{0,40}(?:usage|content|safety|acceptable use) (?:polic|guideline|practice)",  # xAI, OpenAI
    r"(?:input|prompt) was flagged|flagged as (?:potentially )?(?:violating|inappropriate|unsafe)",  # OpenRouter
    r"content exists risk|inappropriate content|considered high risk",  # DeepSeek, Alibaba, Moonshot
    r"blocked (?:input|output):|prompt (?:was|is|has been) blocked|guardrail intervened",  # Cohere, Google, Bedrock
    r"\u4e0d\u5b89\u5168\u6216\u654f\u611f\u5185\u5bb9",  # Z.ai: unsafe or sensitive content
)
_QUOTA = (
    r"credit balance is too low",  # Anthropic
    r"insufficient (?:balance|credits?|funds|quota)|out of credits|requires? more credits",  # DeepSeek, Z.ai, OpenRouter
    r"exceeded your monthly included credits",  # Hugging Face
    r"used all (?:of )?(?:your |its )?available credits|monthly spending limit",  # xAI, Fireworks
    r"limited to [\d,]+ (?:api )?calls ?/ ?month",  # Cohere's trial keys
    r"tokens per day, please wait",  # Bedrock, which names no wait
)
_SAY_CONTEXT, _SAY_FILTER, _SAY_QUOTA = (re.compile("|".join(words), re.IGNORECASE) for words in (_CONTEXT, _FILTER, _QUOTA))
_TOO_LARGE_FOR_LIMIT = re.compile(r"request too large for", re.IGNORECASE)
_LIMIT_AND_REQUESTED = re.compile(r"limit:? (\d+)\b.{0,80}?requested:? (\d+)\b", re.IGNORECASE | re.DOTALL)
_KEY = re.compile(r"(?:incorrect|invalid|malformed|expired) api[ _-]?key|api[ _-]?key (?:is )?(?:not valid|invalid|expired)", re.IGNORECASE)

_NOT_THE_PROMPT = frozenset({401, 402, 403, 404, 405, 409})


def reason(status: int, message: str, code: str = "") -> str:
    """One of the codes above for a refusal, "" if it is none of them. `status`: as far as there is one, 502 for an error inside a
    stream. `code`: the vendor's own."""
    low = code.lower()
    if low in KNOWN:
        return low
    known = _CODES.get(low)
    if known is not None:
        return known
    words = message[:_READ]
    if status == 429:  # a limit's name for what was asked is no statement about the prompt
        if _too_large(words):
            return CONTEXT
        return QUOTA if _SAY_QUOTA.search(words) else ""
    if status not in _NOT_THE_PROMPT and (_SAY_CONTEXT.search(words) or _too_large(words)):
        return CONTEXT
    if status not in (401, 402, 404) and _SAY_FILTER.search(words):
        return FILTER
    if status in (400, 402, 403, 412) and _SAY_QUOTA.search(words):
        return QUOTA
    return KEY if status in (400, 403) and _KEY.search(words) else ""


def _too_large(words: str) -> bool:
    """Whether a rate limit refuses a request that is larger than all it ever allows: waiting does not mend that, a shorter prompt
    does."""
    found = _LIMIT_AND_REQUESTED.search(words)
    if found is not None:
        return int(found[2]) > int(found[1])
    return _TOO_LARGE_FOR_LIMIT.search(words) is not None
