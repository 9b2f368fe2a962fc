"""Hugging Face's router: OpenAI's chat format below `/v1` and, for one provider, below `/{provider}/v1`; plainer errors and limits.

What the router does not know it passes on, so unknown arguments are no fault here.
"""

from __future__ import annotations

from typing import Any

from edgegate.simulate import openai
from edgegate.simulate.vendor import Asked, Json, Refusal, Reply, Whole

_MESSAGES = {
    400: "The request was refused by the simulator.",
    401: "Invalid username or password.",
    403: "This authentication method does not have sufficient permissions to call Inference Providers.",
    404: "The requested model '{model}' does not exist.",
    429: "You have exceeded your rate limit. Please retry later.",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


class HuggingFace(openai.OpenAI):
    name = "huggingface"

    def headers(self, request_id: str) -> dict[str, str]:
        return {"x-request-id": request_id, "ratelimit": '"api";r=999;t=295', "ratelimit-policy": '"fixed window";"api";q=1000;w=300'}

    def error(self, refusal: Refusal, request_id: str) -> Json:
        message = refusal.message or _MESSAGES.get(refusal.status, _MESSAGES[400 if refusal.status < 500 else 500])
        if refusal.variant == "context":
            return super().error(refusal, request_id)
        message = message.format(model=refusal.model or "simulated") if not refusal.message else message
        if refusal.status == 401:
            return {"error": message}
        kind, code = "invalid_request_error" if refusal.status < 500 else "internal_server_error", refusal.code
        if refusal.status == 404:
            code = "model_not_found"
        return {"error": {"message": message, "type": kind, "param": refusal.param, "code": code}}


def chat(asked: Asked) -> Reply:
    """POST /huggingface/v1/chat/completions"""
    reply = openai.chat(asked, strict=False, tells="reasoning")
    if isinstance(reply, Whole):
        for choice in reply.body["choices"]:
            choice["message"].pop("annotations", None)
    return reply


def about(asked: Asked) -> Reply:
    """GET /api/models/{model}, with which its SDK looks for a provider"""
    mapping: Any = {"simulated": {"status": "live", "providerId": asked.model, "task": "conversational", "isModelAuthor": False}}
    return Whole({"_id": "simulated", "id": asked.model, "inferenceProviderMapping": mapping})
