"""Why providers refuse: real error bodies of every vendor, and what the gateway takes them for."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgegate.dialects.anthropic.client import MessagesClient
from edgegate.dialects.anthropic.errors import event_error
from edgegate.dialects.anthropic.provider import AnthropicProvider
from edgegate.dialects.azure.provider import AzureProvider
from edgegate.dialects.base import Ask, Progress, ProviderSide
from edgegate.dialects.bedrock.provider import BedrockProvider
from edgegate.dialects.cohere.provider import CohereProvider
from edgegate.dialects.gemini.provider import GeminiProvider
from edgegate.dialects.mistral.provider import MistralProvider
from edgegate.dialects.ollama.provider import OllamaProvider
from edgegate.dialects.openai.client import ChatClient
from edgegate.dialects.openai.provider import OpenAIProvider
from edgegate.dialects.reasons import reason
from edgegate.dialects.responses.provider import ResponsesProvider
from edgegate.errors import Source
from edgegate.resilience.verdict import Verdict, verdict
from edgegate.taps import Outcome
from tests.corpus import ROOT, Recording, corpus

OPENAI, ANTHROPIC, GEMINI, BEDROCK = OpenAIProvider(), AnthropicProvider(), GeminiProvider(), BedrockProvider()
MISTRAL, COHERE, OLLAMA, RESPONSES = MistralProvider(), CohereProvider(), OllamaProvider(), ResponsesProvider()
AZURE = AzureProvider()


def openai(message: str, code: Any = None, type: str | None = "invalid_request_error", **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": type, "param": None, "code": code, **more}}


def anthropic(type: str, message: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": type, "message": message}}


def google(status: str, message: str, *details: dict[str, Any]) -> dict[str, Any]:
    return {"error": {"code": 0, "message": message, "status": status, "details": list(details)}}


def mistral(message: str, type: str, code: str) -> dict[str, Any]:
    return {"object": "error", "message": message, "type": type, "param": None, "code": code}


Case = tuple[ProviderSide, int, Any]

CONTEXT: list[Case] = [
    (
        OPENAI,
        400,
        openai("This model's maximum context length is 4097 tokens. However, you requested 5000 tokens", "context_length_exceeded"),
    ),
    (OPENAI, 400, openai("This model's maximum context length is 8192 tokens, however you requested 10000 tokens (10000 in your prompt)")),
    (
        OPENAI,
        400,
        openai("Your input exceeds the context window of this model. Please adjust your input and try again.", "context_length_exceeded"),
    ),
    (RESPONSES, 400, openai("Your input exceeds the context window of this model.", "context_length_exceeded")),
    # OpenAI, Groq: larger than all that the limit per minute ever allows
    (
        OPENAI,
        429,
        openai(
            "Request too large for gpt-4o in organization org-1 on tokens per min (TPM): Limit 30000, Requested 40000.",
            "rate_limit_exceeded",
            "tokens",
        ),
    ),
    (
        OPENAI,
        413,
        openai(
            "Request too large for model `llama-3.3-70b` in organization `org_1` on tokens per minute (TPM): Limit 6000, Requested 9000, "
            "please reduce your message size and try again.",
            "rate_limit_exceeded",
            "tokens",
        ),
    ),
    (OPENAI, 400, openai("Please reduce the length of the messages or completion.", "context_length_exceeded")),
    (
        OPENAI,
        400,
        openai("Please reduce the length of the messages or completion. Current length is 9000 while limit is 8192", "wrong_api_format"),
    ),
    # vLLM
    (
        OPENAI,
        400,
        {"object": "error", "message": "This model's maximum context length is 4096 tokens.", "type": "BadRequestError", "code": 400},
    ),
    (OPENAI, 400, openai("The decoder prompt (length 5000) is longer than the maximum model length of 4096.", 400, "BadRequestError")),
    (OPENAI, 400, openai("'max_tokens' is too large: 9000. This model's maximum context length is 8192 tokens", 400, "BadRequestError")),
    # SGLang, TGI, llama.cpp, LM Studio
    (
        OPENAI,
        400,
        {"object": "error", "message": "The input (9000 tokens) is longer than the model's context length (8192 tokens).", "code": 400},
    ),
    (
        OPENAI,
        422,
        {"error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000", "error_type": "validation"},
    ),
    (
        OPENAI,
        400,
        openai("the request exceeds the available context size. try increasing the context size", 400, "exceed_context_size_error"),
    ),
    (
        OPENAI,
        400,
        {"error": "Trying to keep the first 5000 tokens when context the overflows. It has a context length of only 4096 tokens"},
    ),
    # Together, OpenRouter, DeepSeek, xAI, Fireworks, Moonshot, Z.ai, GitHub Models, Alibaba
    (OPENAI, 422, openai("Input validation error: `inputs` tokens + `max_new_tokens` must be <= 8193. Given: 9000 `inputs` tokens")),
    (OPENAI, 400, openai("This endpoint's maximum context length is 131072 tokens. However, you requested about 200000 tokens", 400, None)),
    (
        OPENAI,
        400,
        openai(
            "Provider returned error",
            400,
            None,
            metadata={"raw": '{"error":{"message":"prompt is too long: 9 > 8"}}', "provider_name": "x"},
        ),
    ),
    (
        OPENAI,
        400,
        openai("This model's maximum context length is 65536 tokens. However, you requested 70000 tokens", "invalid_request_error"),
    ),
    (
        OPENAI,
        400,
        {
            "code": "Client specified an invalid argument",
            "error": "This model's maximum prompt length is 131072 but the request contains 200000 tokens.",
        },
    ),
    (OPENAI, 400, openai("The prompt is too long: 140000, model maximum context length: 131071")),
    (OPENAI, 400, openai("Invalid request: Your request exceeded model token limit: 8192")),
    (OPENAI, 400, openai("Prompt exceeds max length", "1261", None)),
    (OPENAI, 413, openai("Request body too large for gpt-4o model. Max size: 8000 tokens.", "tokens_limit_reached", None)),
    (OPENAI, 400, openai("Range of input length should be [1, 30720]", "invalid_parameter_error")),
    (
        OPENAI,
        400,
        {"detail": "Request to model failed. The max allowed tokens per submitted batch is 120000. Your batch has 130000 tokens"},
    ),
    (AZURE, 400, openai("This model's maximum context length is 8192 tokens.", "context_length_exceeded")),
    (ANTHROPIC, 400, anthropic("invalid_request_error", "prompt is too long: 215000 tokens > 200000 maximum")),
    (ANTHROPIC, 400, anthropic("invalid_request_error", "input length and `max_tokens` exceed context limit: 199000 + 8192 > 200000")),
    (GEMINI, 400, google("INVALID_ARGUMENT", "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).")),
    (GEMINI, 400, google("INVALID_ARGUMENT", "The input token count exceeds the maximum number of tokens allowed 1048576.")),
    (
        GEMINI,
        400,
        google(
            "INVALID_ARGUMENT", "Unable to submit request because the input token count is 33000 but the model only supports up to 32767."
        ),
    ),
    (BEDROCK, 400, {"message": "Input is too long for requested model."}),
    (BEDROCK, 400, {"message": "Too many input tokens. Max input tokens: 4096, request input token count: 5000"}),
    (BEDROCK, 400, {"message": "The model returned the following errors: prompt is too long: 215000 tokens > 200000 maximum"}),
    (BEDROCK, 400, {"message": "Input Tokens Exceeded: Number of input tokens exceeds maximum length."}),
    (
        MISTRAL,
        400,
        mistral(
            "Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum context length",
            "invalid_request_error",
            "3051",
        ),
    ),
    (COHERE, 400, {"message": "too many tokens: total number of tokens in the prompt cannot exceed 4081 - received 5000."}),
    (COHERE, 422, {"message": "too many tokens: size limit exceeded by 11326 tokens."}),
    (OLLAMA, 400, {"error": "the input length exceeds the context length"}),
    (OLLAMA, 500, {"error": "prompt too long; exceeded max context length by 12 tokens"}),
]
FILTER: list[Case] = [
    (OPENAI, 400, openai("Your request was rejected as a result of our safety system.", "content_policy_violation")),
    (OPENAI, 400, openai("Your request was rejected by the safety system.", "moderation_blocked", "image_generation_user_error")),
    (OPENAI, 400, openai("Invalid prompt: your prompt was flagged as potentially violating our usage policy.", "invalid_prompt")),
    (OPENAI, 400, openai("Content Exists Risk", "invalid_request_error")),
    (OPENAI, 400, openai("The request was rejected because it was considered high risk", None, "content_filter")),
    (OPENAI, 400, openai("Input data may contain inappropriate content.", "data_inspection_failed")),
    (
        OPENAI,
        403,
        openai(
            "Your chosen model requires moderation and your input was flagged for violence", 403, None, metadata={"reasons": ["violence"]}
        ),
    ),
    (
        OPENAI,
        403,
        {"code": "The caller does not have permission", "error": "Content violates usage guidelines. Failed check: SAFETY_CHECK_TYPE_BIO"},
    ),
    (
        AZURE,
        400,
        openai("The response was filtered due to the prompt triggering Azure OpenAI's content management policy.", "content_filter", None),
    ),
    (
        AZURE,
        400,
        openai(
            "The response was filtered",
            "BadRequest",
            None,
            innererror={"code": "ResponsibleAIPolicyViolation", "content_filter_result": {}},
        ),
    ),
    (ANTHROPIC, 400, anthropic("invalid_request_error", "Output blocked by content filtering policy")),
    (
        GEMINI,
        400,
        google("INVALID_ARGUMENT", "The prompt could not be submitted. It contains words that violate Google's Responsible AI practices."),
    ),
    (BEDROCK, 400, {"message": "This request has been blocked by our content filters."}),
    (BEDROCK, 400, {"message": "The model returned the following errors: Output blocked by content filtering policy"}),
    (MISTRAL, 403, {"message": "The request was blocked by content moderation", "type": "moderation"}),
    (COHERE, 400, {"message": "invalid request: blocked output: please use appropriate language"}),
    (COHERE, 498, {"message": "request blocked"}),
]
KEY: list[Case] = [
    (OPENAI, 401, openai("Incorrect API key provided: sk-x.", "invalid_api_key")),
    (OPENAI, 400, {"code": "Client specified an invalid argument", "error": "Incorrect API key provided: xa***34."}),
    (OPENAI, 403, openai("Country, region, or territory not supported", "unsupported_country_region_territory", "request_forbidden")),
    (OPENAI, 403, openai("Project does not have access to model `gpt-5`", "model_not_found")),
    (OPENAI, 402, openai("Insufficient Balance", "invalid_request_error", "unknown_error")),
    (OPENAI, 402, openai("This request requires more credits, or fewer max_tokens.", 402, None)),
    (
        OPENAI,
        429,
        openai("You exceeded your current quota, please check your plan and billing details.", "insufficient_quota", "insufficient_quota"),
    ),
    (OPENAI, 429, openai("Insufficient balance or no resource package. Please recharge.", "1113", None)),
    (OPENAI, 429, openai("Your account is suspended, please check your plan", None, "exceeded_current_quota_error")),
    (AZURE, 401, openai("Access denied due to invalid subscription key or wrong API endpoint.", "401", None)),
    (ANTHROPIC, 401, anthropic("authentication_error", "invalid x-api-key")),
    (ANTHROPIC, 403, anthropic("permission_error", "Your API key does not have permission to use the specified resource.")),
    (ANTHROPIC, 400, anthropic("invalid_request_error", "Your credit balance is too low to access the Anthropic API.")),
    (GEMINI, 400, google("INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", {"reason": "API_KEY_INVALID"})),
    (GEMINI, 403, google("PERMISSION_DENIED", "Your project has been denied access.")),
    (
        GEMINI,
        429,
        google(
            "RESOURCE_EXHAUSTED",
            "You exceeded your current quota, please check your plan and billing details.",
            {"violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]},
            {"retryDelay": "31s"},
        ),
    ),
    (GEMINI, 429, google("RESOURCE_EXHAUSTED", "You exceeded your current quota. * Quota exceeded for metric: x, limit: 0, model: m")),
    (BEDROCK, 403, {"message": "The security token included in the request is invalid.", "__type": "UnrecognizedClientException"}),
    (BEDROCK, 400, {"message": "You have exceeded a quota.", "__type": "ServiceQuotaExceededException"}),
    (BEDROCK, 429, {"message": "Too many tokens per day, please wait before trying again.", "__type": "ThrottlingException"}),
    (MISTRAL, 401, {"detail": "Unauthorized"}),
    (COHERE, 401, {"message": "invalid api token"}),
    (COHERE, 429, {"message": "You are using a Trial key, which is limited to 1000 API calls / month."}),
]
LIMITED: list[Case] = [
    (
        OPENAI,
        429,
        openai(
            "Rate limit reached for gpt-4 in organization org-1 on tokens per min (TPM): Limit 10000, Used 9500, Requested 2000.",
            "rate_limit_exceeded",
            "tokens",
        ),
    ),
    (OPENAI, 429, openai("Rate limit exceeded: free-models-per-day", 429, None)),
    (
        OPENAI,
        429,
        openai("You exceeded your current quota, please check your plan and billing details.", 429, None, status="RESOURCE_EXHAUSTED"),
    ),
    (
        AZURE,
        429,
        openai(
            "Requests to the ChatCompletions_Create Operation have exceeded token rate limit. Please retry after 26 seconds.", "429", None
        ),
    ),
    (
        ANTHROPIC,
        429,
        anthropic("rate_limit_error", "This request would exceed the rate limit for your organization of 40,000 input tokens per minute."),
    ),
    (
        GEMINI,
        429,
        google(
            "RESOURCE_EXHAUSTED",
            "You exceeded your current quota, please check your plan and billing details. limit: 250000",
            {"violations": [{"quotaId": "GenerateContentInputTokensPerModelPerMinute-FreeTier"}]},
            {"retryDelay": "31s"},
        ),
    ),
    (BEDROCK, 429, {"message": "Too many tokens, please wait before trying again.", "__type": "ThrottlingException"}),
    (BEDROCK, 429, {"message": "Too many requests, please wait before trying again.", "__type": "ThrottlingException"}),
    (MISTRAL, 429, mistral("Rate limit exceeded", "rate_limited", "1300")),
    (COHERE, 429, {"message": "You are using a Trial key, which is limited to 40 API calls / minute."}),
]
RETRY: list[Case] = [
    (OPENAI, 500, openai("The server had an error while processing your request.", None, "server_error")),
    (OPENAI, 504, "upstream request timeout"),
    (ANTHROPIC, 529, anthropic("overloaded_error", "Overloaded")),
    (GEMINI, 503, google("UNAVAILABLE", "The model is overloaded. Please try again later.")),
    (BEDROCK, 424, {"message": "the model failed", "__type": "ModelErrorException"}),
    (MISTRAL, 503, "no healthy upstream"),
    (COHERE, 500, {"message": "internal server error"}),
    (OLLAMA, 503, {"error": "server busy, please try again."}),
]
FINAL: list[Case] = [
    (OPENAI, 404, openai("The model `x` does not exist", "model_not_found")),
    (OPENAI, 400, openai("max_tokens is too large: 100000. This model supports at most 16384 completion tokens", "invalid_value")),
    (OPENAI, 400, openai("Invalid content filter configuration in 'extra_body'.", None)),
    (OPENAI, 400, openai("Image size exceeds the maximum allowed size of 20 MB.", "image_too_large")),
    (ANTHROPIC, 400, anthropic("invalid_request_error", "max_tokens: 100000 > 8192, which is the maximum allowed number of output tokens")),
    (GEMINI, 400, google("INVALID_ARGUMENT", "Please use a valid role: user, model.")),
    (BEDROCK, 400, {"message": "The maximum tokens you requested exceeds the model limit of 4096."}),
    (MISTRAL, 422, {"detail": [{"loc": ["body", "temperature"], "msg": "Input should be less than or equal to 1.5", "type": "x"}]}),
    (COHERE, 400, {"message": "too many tokens: max tokens must be less than or equal to 4096, the maximum output for this model"}),
    (OLLAMA, 404, {"error": "model 'x' not found"}),
]
ALL = [
    *[(Verdict.CONTEXT, case) for case in CONTEXT],
    *[(Verdict.FILTER, case) for case in FILTER],
    *[(Verdict.KEY, case) for case in KEY],
    *[(Verdict.LIMITED, case) for case in LIMITED],
    *[(Verdict.RETRY, case) for case in RETRY],
    *[(Verdict.FINAL, case) for case in FINAL],
]


@pytest.mark.parametrize(
    ("expected", "case"), ALL, ids=lambda value: value.value if isinstance(value, Verdict) else f"{value[0].name}-{value[1]}"
)
def test_what_a_reply_is_taken_for(expected: Verdict, case: Case) -> None:
    side, status, value = case
    body = value.encode() if isinstance(value, str) else orjson.dumps(value)
    error = side.error(status, {"content-type": "application/json"}, body)
    assert verdict(error) is expected, (error.status, error.code, error.message)
    assert error.source is Source.PROVIDER
    assert error.retryable == (expected in (Verdict.RETRY, Verdict.LIMITED))
    if expected is Verdict.CONTEXT:
        assert error.code == "context_length_exceeded"
    if expected is Verdict.FILTER:
        assert error.code in ("content_filter", "content_policy_violation")


def test_clients_of_the_same_dialect_get_the_provider_s_own_body() -> None:
    for side, client, status, value in (
        (OPENAI, ChatClient(), 413, openai("Request too large for model `x`: Limit 6000, Requested 9000", "rate_limit_exceeded", "tokens")),
        (OPENAI, ChatClient(), 400, openai("Your prompt was flagged as potentially violating our usage policy", "invalid_prompt")),
        (ANTHROPIC, MessagesClient(), 400, anthropic("invalid_request_error", "prompt is too long: 9 tokens > 8 maximum")),
    ):
        body = orjson.dumps(value)
        error = side.error(status, {}, body)
        assert error.code in ("context_length_exceeded", "content_filter")
        assert client.error(error, "req") == body
    assert error.status == 400
    foreign = orjson.loads(ChatClient().error(error, "req"))
    assert foreign["error"]["code"] == "context_length_exceeded"


STREAMED: list[tuple[ProviderSide, bytes, Verdict]] = [
    (
        OPENAI,
        b"data: " + orjson.dumps(openai("This model's maximum context length is 4096 tokens.", 400, "BadRequestError")) + b"\n\n",
        Verdict.CONTEXT,
    ),
    (OPENAI, b"data: " + orjson.dumps(openai("Content violates usage guidelines.")) + b"\n\n", Verdict.FILTER),
    (
        OPENAI,
        b"data: " + orjson.dumps(openai("Rate limit reached. Please try again in 1.5s", "rate_limit_exceeded")) + b"\n\n",
        Verdict.LIMITED,
    ),
    (
        RESPONSES,
        b"data: "
        + orjson.dumps({"type": "error", "code": "context_length_exceeded", "message": "Your input exceeds the context window"})
        + b"\n\n",
        Verdict.CONTEXT,
    ),
    (
        RESPONSES,
        b"data: "
        + orjson.dumps(
            {
                "type": "response.failed",
                "response": {
                    "status": "failed",
                    "error": {"code": "invalid_prompt", "message": "flagged as potentially violating our usage policy"},
                },
            }
        )
        + b"\n\n",
        Verdict.FILTER,
    ),
    (ANTHROPIC, b"event: error\ndata: " + orjson.dumps(anthropic("overloaded_error", "Overloaded")) + b"\n\n", Verdict.RETRY),
    (
        ANTHROPIC,
        b"event: error\ndata: " + orjson.dumps(anthropic("invalid_request_error", "Output blocked by content filtering policy")) + b"\n\n",
        Verdict.FILTER,
    ),
    (
        ANTHROPIC,
        b"event: error\ndata: " + orjson.dumps(anthropic("invalid_request_error", "prompt is too long: 9 tokens > 8 maximum")) + b"\n\n",
        Verdict.CONTEXT,
    ),
    (
        GEMINI,
        b"data: "
        + orjson.dumps(
            {
                "error": {
                    "code": 400,
                    "message": "The input token count (9) exceeds the maximum number of tokens allowed (8).",
                    "status": "INVALID_ARGUMENT",
                }
            }
        )
        + b"\n\n",
        Verdict.CONTEXT,
    ),
    (
        MISTRAL,
        b"data: "
        + orjson.dumps(mistral("Prompt contains 9 tokens, too large for model with 8 maximum context length", "x", "3051"))
        + b"\n\n",
        Verdict.CONTEXT,
    ),
    (
        COHERE,
        b"data: "
        + orjson.dumps(
            {"type": "message-end", "delta": {"finish_reason": "ERROR", "error": "too many tokens: size limit exceeded by 9 tokens."}}
        )
        + b"\n\n",
        Verdict.CONTEXT,
    ),
    (COHERE, b"data: " + orjson.dumps({"message": "blocked output: please try again"}) + b"\n\n", Verdict.FILTER),
    (OLLAMA, orjson.dumps({"error": "prompt too long; exceeded max context length by 12 tokens"}) + b"\n", Verdict.CONTEXT),
]


@pytest.mark.parametrize(("side", "event", "expected"), STREAMED, ids=lambda value: getattr(value, "name", ""))
def test_what_an_error_inside_a_stream_is_taken_for(side: ProviderSide, event: bytes, expected: Verdict) -> None:
    progress = Progress()
    tap = side.stream(Ask({"messages": []}, "m", True, "i", 1), progress)
    tap.feed(event)
    tap.end(Outcome.OK)
    assert progress.error is not None
    assert verdict(progress.error) is expected, (progress.error.status, progress.error.code)
    if expected is Verdict.LIMITED:
        assert progress.error.retry_after_s == 1.5


def test_an_error_of_anthropic_s_that_is_none_is_a_bad_reply() -> None:
    assert event_error({"type": "error"}, b"{}").code == "bad_reply"


VENDORS = sorted(folder.name for folder in ROOT.iterdir() if folder.is_dir()) if ROOT.is_dir() else ["none"]
SIDES: dict[str, ProviderSide] = {
    "anthropic": ANTHROPIC,
    "azure": AZURE,
    "bedrock": BEDROCK,
    "cohere": COHERE,
    "gemini": GEMINI,
    "vertex": GEMINI,
    "mistral": MISTRAL,
    "ollama": OLLAMA,
}


@corpus(*[f"{vendor}/" for vendor in VENDORS], where=lambda r: r.status >= 400)
def test_a_recorded_error_is_what_its_status_says(recording: Recording) -> None:
    side = SIDES.get(recording.file.parent.name, OPENAI)
    error = side.error(recording.status, recording.headers, recording.body)
    assert verdict(error) is (Verdict.KEY if recording.status in (401, 403) else Verdict.FINAL)
    assert not error.retryable
    assert error.message


@given(st.integers(100, 700), st.text(max_size=200), st.text(max_size=20))
def test_whatever_is_said_is_read_without_a_fault(status: int, message: str, code: str) -> None:
    assert reason(status, message, code) in (
        "",
        "context_length_exceeded",
        "content_filter",
        "content_policy_violation",
        "insufficient_quota",
        "invalid_api_key",
    )


def test_a_long_message_is_read_in_no_time() -> None:
    """What a prompt may hold must not make the patterns search for long: only the beginning is read."""
    assert reason(400, "exceeds the " * 50_000) == ""
    assert reason(400, "x" * 2000 + "prompt is too long") == ""
