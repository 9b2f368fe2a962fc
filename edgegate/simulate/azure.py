"""Azure OpenAI: OpenAI's formats behind a deployment in the path, with its content filter's findings, its headers and its errors.

`/openai/deployments/{deployment}/...?api-version=` takes the `api-key` header or an Entra token; `/openai/v1/...` is the newer surface
without a version. As recorded, a stream begins with a chunk without id, model and choices, and every choice has filter results.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson

from edgegate.simulate import openai
from edgegate.simulate.responses import OpenAIResponses
from edgegate.simulate.vendor import Asked, Endpoint, Event, Json, Refusal, Reply, Script, Whole, need

_SAFE = {"filtered": False, "severity": "safe"}
_UNDETECTED = {"filtered": False, "detected": False}
_CATEGORIES = {"hate": _SAFE, "self_harm": _SAFE, "sexual": _SAFE, "violence": _SAFE}
_PROMPT_RESULTS = [{"prompt_index": 0, "content_filter_results": _CATEGORIES | {"jailbreak": _UNDETECTED}}]
_RESULTS = _CATEGORIES | {"protected_material_code": _UNDETECTED, "protected_material_text": _UNDETECTED}
_ERRORS: dict[int, tuple[str, str]] = {
    401: (
        "401",
        "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key for an active "
        "subscription and use a correct regional API endpoint for your resource.",
    ),
    403: ("403", "Access denied due to Virtual Network/Firewall rules."),
    404: (
        "DeploymentNotFound",
        "The API deployment for this resource does not exist. If you created the deployment within the last 5 minutes, "
        "please wait a moment and try again.",
    ),
    429: (
        "429",
        "Requests to the ChatCompletions_Create Operation under Azure OpenAI API version 2024-10-21 have exceeded call rate limit of "
        "your current OpenAI S0 pricing tier. Please retry after 2 seconds.",
    ),
    500: ("InternalServerError", "The server had an error while processing your request. Sorry about that!"),
    503: ("ServiceUnavailable", "The service is temporarily unable to process your request. Please try again later."),
}


class Azure(openai.OpenAI):
    name = "azure"

    def headers(self, request_id: str) -> dict[str, str]:
        return {
            "apim-request-id": request_id,
            "x-request-id": request_id,
            "x-ms-region": "Simulated",
            "x-ms-deployment-name": "simulated",
            "x-ratelimit-limit-requests": "120",
            "x-ratelimit-remaining-requests": "119",
            "x-ratelimit-reset-requests": "500",
            "x-ratelimit-renewalperiod-requests": "60",
            "x-ratelimit-limit-tokens": "120000",
            "x-ratelimit-remaining-tokens": "119986",
            "x-ratelimit-reset-tokens": "7",
            "x-ratelimit-renewalperiod-tokens": "60",
        }

    def error_headers(self, refusal: Refusal, request_id: str) -> dict[str, str]:
        if refusal.retry_after_s:
            return {"retry-after-ms": str(int(float(refusal.retry_after_s) * 1000))}
        return {}

    def error(self, refusal: Refusal, request_id: str) -> Json:
        if refusal.status == 400 or refusal.status not in _ERRORS:
            return super().error(refusal, request_id)
        code, message = _ERRORS[refusal.status]
        more = {"type": "invalid_request_error", "param": None} if refusal.status == 404 else {}
        return {"error": {"code": refusal.code or code, "message": refusal.message or message, **more}}


class AzureResponses(Azure, OpenAIResponses):
    """The same with the Responses API's events for errors."""


def deployed(endpoint: Endpoint) -> Endpoint:
    """An endpoint of OpenAI's below `/openai/deployments/{deployment}`; the model is the deployment."""

    def answer(asked: Asked) -> Reply:
        need("api-version" in asked.query, "Resource not found", code="404", status=404)
        return current(endpoint)(replace(asked, body=asked.body | {"model": asked.model}))

    return answer


def current(endpoint: Endpoint) -> Endpoint:
    """An endpoint of OpenAI's below `/openai/v1`."""

    def answer(asked: Asked) -> Reply:
        if "api-key" not in asked.headers and not asked.headers.get("authorization", "").startswith("Bearer "):
            raise Refusal(401)
        return _filtered(endpoint(asked))

    return answer


def _filtered(reply: Reply) -> Reply:
    if isinstance(reply, Whole):
        if "choices" in reply.body:
            choices = [choice | {"content_filter_results": _RESULTS} for choice in reply.body["choices"]]
            reply.body |= {"choices": choices, "prompt_filter_results": _PROMPT_RESULTS}
        return reply
    if isinstance(reply, Script) and reply.events and not reply.events[0].name:
        first: Json = {"choices": [], "created": 0, "id": "", "model": "", "object": "", "prompt_filter_results": _PROMPT_RESULTS}
        reply.events = [Event(orjson.dumps(first).decode()), *map(_judged, reply.events)]
        reply.finish = [_judged(event) for event in reply.finish]
    return reply


def _judged(event: Event) -> Event:
    chunk: Any = orjson.loads(event.data)
    for choice in chunk.get("choices", []):
        said = (choice.get("delta") or {}).get("content") or choice.get("text")
        choice["content_filter_results"] = _RESULTS if said else {}
    return Event(orjson.dumps(chunk).decode())
