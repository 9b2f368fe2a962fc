"""Amazon Bedrock: Converse (plain and as an event stream), token counting and Titan's embeddings, with signed requests and AWS's errors.

What a request may say is in `bedrock_input.py`, its signature in `sigv4.py`, the frames in `eventstream.py`.
"""

from __future__ import annotations

import base64
import json
from typing import Any

import orjson

from edgegate.simulate import sigv4
from edgegate.simulate.bedrock_input import VENDOR, question_of
from edgegate.simulate.mind import Answer, Question, answer, count, embedding, input_tokens, portions
from edgegate.simulate.seal import seal
from edgegate.simulate.vendor import Asked, Event, Framing, Json, Refusal, Reply, Script, Vendor, Whole, need

_PADDING = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
_STOP = {"stop": "end_turn", "length": "max_tokens", "calls": "tool_use"}
_ERRORS = {
    400: ("ValidationException", "The provided model identifier is invalid."),
    401: ("UnrecognizedClientException", "The security token included in the request is invalid."),
    403: ("AccessDeniedException", "You don't have access to the model with the specified model ID."),
    404: ("ResourceNotFoundException", "Could not resolve the foundation model from the provided model identifier."),
    408: ("ModelTimeoutException", "The model took too long to respond."),
    424: ("ModelErrorException", "The model returned an error."),
    429: ("ThrottlingException", "Too many requests, please wait before trying again."),
    500: ("InternalServerException", "The system encountered an unexpected error during processing. Try your request again."),
    503: ("ServiceUnavailableException", "Bedrock is unable to process your request."),
}


class Bedrock(Vendor):
    name = "bedrock"
    content_type = "application/json"
    says_retry_after = True

    def headers(self, request_id: str) -> dict[str, str]:
        return {"x-amzn-requestid": request_id}

    def error(self, refusal: Refusal, request_id: str) -> Json:
        if refusal.variant == "context":
            return {"message": "The model returned the following errors: Input is too long for requested model: exceeds the maximum."}
        return {"message": refusal.message or _error(refusal.status)[1]}

    def error_headers(self, refusal: Refusal, request_id: str) -> dict[str, str]:
        kind = refusal.kind or _error(refusal.status)[0]
        return {"x-amzn-errortype": f"{kind}:http://internal.amazon.com/coral/com.amazon.bedrock/"}

    def error_event(self, request_id: str) -> Event:
        return Event(json.dumps({"message": "The model is overloaded."}), "serviceUnavailableException", exception=True)


def _error(status: int) -> tuple[str, str]:
    return _ERRORS.get(status) or _ERRORS[400 if status < 500 else 503]


def converse(asked: Asked) -> Reply:
    """POST /model/{model}/converse"""
    sigv4.check(asked)
    one = answer(question_of(asked, asked.body))
    message = {"role": "assistant", "content": [block for block, _ in _blocks(one)]}
    return Whole({"output": {"message": message}, "stopReason": _stop(one), "usage": _usage(one), "metrics": {"latencyMs": 1}})


def converse_stream(asked: Asked) -> Reply:
    """POST /model/{model}/converse-stream"""
    sigv4.check(asked)
    one = answer(question_of(asked, asked.body))
    script = Script(Framing.FRAMES, [_event("messageStart", role="assistant")])
    for index, (block, deltas) in enumerate(_blocks(one)):
        if "toolUse" in block:  # no other block has a start
            call = {"toolUseId": block["toolUse"]["toolUseId"], "name": block["toolUse"]["name"]}
            script.events.append(_event("contentBlockStart", contentBlockIndex=index, start={"toolUse": call}))
        script.events += [_event("contentBlockDelta", contentBlockIndex=index, delta=delta) for delta in deltas]
        script.events.append(_event("contentBlockStop", contentBlockIndex=index))
    script.finish = [_event("messageStop", stopReason=_stop(one))]
    script.terminal = [_event("metadata", usage=_usage(one), metrics={"latencyMs": 1})]
    return script


def count_tokens(asked: Asked) -> Reply:
    """POST /model/{model}/count-tokens"""
    sigv4.check(asked)
    given = asked.body.get("input") or {}
    need(len(given) == 1 and next(iter(given)) in ("converse", "invokeModel"), "input must set exactly one of converse, invokeModel.")
    if "converse" in given:
        return Whole({"inputTokens": input_tokens(question_of(asked, given["converse"]))})
    body: Any = orjson.loads(base64.b64decode(given["invokeModel"]["body"]))
    texts = [json.dumps(message.get("content")) for message in body.get("messages") or []]
    return Whole({"inputTokens": input_tokens(Question(asked.model, system=str(body.get("system") or ""), roles=texts, texts=texts))})


def invoke(asked: Asked) -> Reply:
    """POST /model/{model}/invoke, for Titan's and Cohere's embeddings"""
    sigv4.check(asked)
    body = asked.body
    if "inputText" in body:
        for name in body:
            need(
                name in ("inputText", "dimensions", "normalize", "embeddingTypes"),
                f"Malformed input request: #: extraneous key [{name}] is not permitted, please reformat your input and try again.",
            )
        size = body.get("dimensions") or (1536 if "v1" in asked.model else 1024)
        need(
            size in (256, 512, 1024, 1536), "Malformed input request: #/dimensions: is not a valid enum value, please reformat your input."
        )
        tokens = count(body["inputText"])
        reply = {"embedding": embedding(body["inputText"], size), "inputTextTokenCount": tokens}
        return Whole(reply, {"x-amzn-bedrock-input-token-count": str(tokens)})
    texts = body.get("texts")
    need(isinstance(texts, list) and "input_type" in body, "The simulator invokes embedding models only; use Converse for chat.")
    vectors = [embedding(str(text), 1024) for text in texts or []]
    tokens = sum(count(str(text)) for text in texts or [])
    made = {"id": "simulated", "texts": texts, "embeddings": vectors, "response_type": "embeddings_floats"}
    return Whole(made, {"x-amzn-bedrock-input-token-count": str(tokens)})


def _stop(one: Answer) -> str:
    return "stop_sequence" if one.stopped_by else _STOP[one.finish]


def _usage(one: Answer) -> Json:
    read, written = one.input_tokens, one.output_tokens
    return {
        "inputTokens": read,
        "outputTokens": written,
        "totalTokens": read + written,
        "cacheReadInputTokens": 0,
        "cacheWriteInputTokens": 0,
    }


def _blocks(one: Answer) -> list[tuple[Json, list[Json]]]:
    """Each block of the answer, and the deltas that it is streamed as."""
    blocks: list[tuple[Json, list[Json]]] = []
    if one.thinking:
        thinking = "".join(one.thinking)
        signed = seal(VENDOR, thinking)
        deltas: list[Json] = [{"reasoningContent": {"text": piece}} for piece in one.thinking]
        deltas.append({"reasoningContent": {"signature": signed}})
        blocks.append(({"reasoningContent": {"reasoningText": {"text": thinking, "signature": signed}}}, deltas))
    if one.pieces:
        blocks.append(({"text": one.text}, [{"text": piece} for piece in one.pieces]))
    for call in one.calls:
        parts = ["", *(portions(json.dumps(call.arguments, ensure_ascii=False)) if call.arguments else [])]
        use = {"toolUseId": f"tooluse_{call.id[:22]}", "name": call.name, "input": call.arguments}
        blocks.append(({"toolUse": use}, [{"toolUse": {"input": part}} for part in parts]))
    return blocks


def _event(kind: str, **fields: Any) -> Event:
    data = orjson.dumps(fields).decode()
    padding = _PADDING[: 1 + len(data) * 7 % len(_PADDING)]  # the vendor blurs lengths with a `p` of letters
    return Event(orjson.dumps({**fields, "p": padding}).decode(), kind)
