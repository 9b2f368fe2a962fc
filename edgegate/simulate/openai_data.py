"""OpenAI's endpoints that are no chat: legacy completions, embeddings and models."""

from __future__ import annotations

import base64
import struct
from typing import Any

from edgegate.simulate.mind import CREATED, Answer, Question, answer, count, embedding
from edgegate.simulate.openai import DONE, event_of, refuse_unknown, usage_of
from edgegate.simulate.strict import fields
from edgegate.simulate.vendor import Asked, Framing, Json, Refusal, Reply, Script, Whole, need

MODELS = ("gpt-4o", "gpt-4o-mini", "gpt-5", "gpt-5-mini", "text-embedding-3-small", "text-embedding-3-large")
_COMPLETIONS = fields(
    "best_of echo frequency_penalty logit_bias logprobs max_tokens model n presence_penalty prompt seed stop stream stream_options "
    "suffix temperature top_p user"
)
_EMBEDDINGS = frozenset({"dimensions", "encoding_format", "input", "model", "user"})


def completions(asked: Asked) -> Reply:
    """POST /v1/completions"""
    body = asked.body
    refuse_unknown(body, _COMPLETIONS)
    need("model" in body, "you must provide a model parameter")
    prompts = body.get("prompt", "<|endoftext|>")
    if not isinstance(prompts, list) or (prompts and isinstance(prompts[0], int)):
        prompts = [prompts]
    stops = body.get("stop") or []
    limit = body["max_tokens"] if isinstance(body.get("max_tokens"), int) else 16
    need(
        limit >= 0,
        f"Invalid 'max_tokens': integer below minimum value. Expected a value >= 0, but got {limit} instead.",
        "max_tokens",
        "integer_below_min_value",
    )
    answers: list[tuple[str, Answer]] = []
    for prompt in prompts:
        text = prompt if isinstance(prompt, str) else " ".join(map(str, prompt))
        question = Question(
            asked.model,
            texts=[text],
            prompt=text,
            max_tokens=limit,
            stop=[stops] if isinstance(stops, str) else list(stops),
            seed=asked.raw,
        )
        answers += [(text if body.get("echo") else "", answer(question, number)) for number in range(body.get("n") or 1)]
    head = {"id": f"cmpl-{answers[0][1].id}", "object": "text_completion", "created": CREATED, "model": asked.model}
    usage = usage_of([one for _, one in answers]) | {"prompt_tokens": sum(count(p) if isinstance(p, str) else len(p) for p in prompts)}
    usage = {"prompt_tokens": usage["prompt_tokens"], "completion_tokens": usage["completion_tokens"]}
    usage["total_tokens"] = sum(usage.values())
    if not body.get("stream"):
        choices = [
            {"text": echo + one.text, "index": at, "logprobs": None, "finish_reason": one.finish} for at, (echo, one) in enumerate(answers)
        ]
        return Whole(head | {"choices": choices, "usage": usage})
    include_usage = bool((body.get("stream_options") or {}).get("include_usage"))
    more: Json = {"usage": None} if include_usage else {}
    script = Script(Framing.SSE, [], terminal=[DONE])
    for at, (echo, one) in enumerate(answers):
        for text in ([echo] if echo else []) + one.pieces:
            script.events.append(
                event_of(head | {"choices": [{"text": text, "index": at, "logprobs": None, "finish_reason": None}]} | more)
            )
        script.finish.append(
            event_of(head | {"choices": [{"text": "", "index": at, "logprobs": None, "finish_reason": one.finish}]} | more)
        )
    if include_usage:
        script.finish.append(event_of(head | {"choices": [], "usage": usage}))
    return script


def embeddings(asked: Asked) -> Reply:
    """POST /v1/embeddings"""
    body = asked.body
    refuse_unknown(body, _EMBEDDINGS)
    need("model" in body, "you must provide a model parameter")
    inputs = body.get("input")
    if isinstance(inputs, str) or (isinstance(inputs, list) and inputs and isinstance(inputs[0], int)):
        inputs = [inputs]
    need(
        isinstance(inputs, list) and bool(inputs),
        "'$.input' is invalid. Please check the API reference: https://platform.openai.com/docs/api-reference.",
    )
    assert isinstance(inputs, list)
    texts = [one if isinstance(one, str) else " ".join(map(str, one)) for one in inputs]
    dimensions = body.get("dimensions") or (3072 if "large" in asked.model else 1536)
    data = []
    for at, text in enumerate(texts):
        vector: Any = embedding(text, dimensions)
        if body.get("encoding_format") == "base64":
            vector = base64.b64encode(struct.pack(f"<{dimensions}f", *vector)).decode()
        data.append({"object": "embedding", "index": at, "embedding": vector})
    tokens = sum(map(count, texts))
    return Whole({"object": "list", "data": data, "model": asked.model, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}})


def models(asked: Asked) -> Reply:
    """GET /v1/models"""
    return Whole({"object": "list", "data": [_model(name) for name in MODELS]})


def model(asked: Asked) -> Reply:
    """GET /v1/models/{model}"""
    if asked.model not in MODELS:
        raise Refusal(404, f"The model '{asked.model}' does not exist", param="model", code="model_not_found")
    return Whole(_model(asked.model))


def _model(name: str) -> Json:
    return {"id": name, "object": "model", "created": CREATED, "owned_by": "simulated"}
