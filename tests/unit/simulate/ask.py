"""One question in the words of every vendor, and what was answered in neutral words: for tests that hold for all of them."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"0" * 60).decode()


@dataclass
class Told:
    """An answer: what was said, which tools were called, what it was thought, how it ended and how long it was."""

    text: str
    calls: list[tuple[str, Any]]
    thinking: str
    finish: str
    tokens: tuple[int, int]
    turn: Any = None  # the assistant's turn in the vendor's words
    ids: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Ways:
    """How a vendor is asked: path, headers, body of the question, and how its reply is read."""

    path: str
    body: Callable[..., dict[str, Any]]
    read: Callable[[Any], Told]
    headers: dict[str, str] = field(default_factory=dict)


TOOLS = {
    "get_weather": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    "do_nothing": {"type": "object", "properties": {}},
}


def _openai(model: str, prompt: str, **o: Any) -> dict[str, Any]:
    parts: Any = prompt
    if o.get("image"):
        parts = [{"type": "text", "text": prompt}, {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}]
    messages: list[Any] = [{"role": "system", "content": o["system"]}] if o.get("system") else []
    messages.append({"role": "user", "content": parts})
    if o.get("before"):
        told: Told = o["before"]
        messages += [told.turn, *({"role": "tool", "tool_call_id": name, "content": "17 degrees"} for name in told.ids)]
    body: dict[str, Any] = {"model": model, "messages": messages, "stream": bool(o.get("stream"))}
    if o.get("tools"):
        body["tools"] = [{"type": "function", "function": {"name": name, "parameters": schema}} for name, schema in TOOLS.items()]
    if o.get("schema"):
        body["response_format"] = {"type": "json_schema", "json_schema": {"name": "answer", "schema": o["schema"]}}
    return body | _given(o, {"stop": "stop", "limit": "max_tokens"})


def _given(o: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    return {there: o[here] for here, there in names.items() if here in o}


def _read_openai(reply: Any) -> Told:
    message = reply["choices"][0]["message"]
    calls = message.get("tool_calls") or []
    content = message.get("content") or ""
    thinking = ""
    if isinstance(content, list):
        thinking = "".join(part["text"] for chunk in content if chunk["type"] == "thinking" for part in chunk["thinking"])
        content = "".join(chunk["text"] for chunk in content if chunk["type"] == "text")
    made = [(call["function"]["name"], json.loads(call["function"]["arguments"])) for call in calls]
    usage = reply["usage"]
    thinking = thinking or message.get("reasoning") or message.get("reasoning_content") or ""
    turn = {key: value for key, value in message.items() if value is not None}
    return Told(
        content,
        made,
        thinking,
        reply["choices"][0]["finish_reason"],
        (usage["prompt_tokens"], usage["completion_tokens"]),
        turn,
        [c["id"] for c in calls],
    )


def _responses(model: str, prompt: str, **o: Any) -> dict[str, Any]:
    parts: list[Any] = [{"type": "input_text", "text": prompt}]
    if o.get("image"):
        parts.append({"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"})
    items: list[Any] = [{"role": "user", "content": parts}]
    if o.get("before"):
        told: Told = o["before"]
        items += [*told.turn, *({"type": "function_call_output", "call_id": name, "output": "17 degrees"} for name in told.ids)]
    body: dict[str, Any] = {"model": model, "input": items, "stream": bool(o.get("stream"))}
    if o.get("tools"):
        body["tools"] = [{"type": "function", "name": name, "parameters": schema} for name, schema in TOOLS.items()]
    if o.get("schema"):
        body["text"] = {"format": {"type": "json_schema", "name": "answer", "schema": o["schema"]}}
    return body | _given(o, {"system": "instructions", "limit": "max_output_tokens"})


def _read_responses(reply: Any) -> Told:
    output = reply["output"]
    calls = [item for item in output if item["type"] == "function_call"]
    text = "".join(part["text"] for item in output if item["type"] == "message" for part in item["content"])
    thinking = "".join(part["text"] for item in output if item["type"] == "reasoning" for part in item["summary"])
    made = [(call["name"], json.loads(call["arguments"])) for call in calls]
    usage = reply["usage"]
    return Told(
        text, made, thinking, reply["status"], (usage["input_tokens"], usage["output_tokens"]), output, [c["call_id"] for c in calls]
    )


def _anthropic(model: str, prompt: str, **o: Any) -> dict[str, Any]:
    parts: list[Any] = [{"type": "text", "text": prompt}]
    if o.get("image"):
        parts.append({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}})
    messages: list[Any] = [{"role": "user", "content": parts}]
    if o.get("before"):
        told: Told = o["before"]
        results = [{"type": "tool_result", "tool_use_id": name, "content": "17 degrees"} for name in told.ids]
        messages += [{"role": "assistant", "content": told.turn}, {"role": "user", "content": results}]
    body: dict[str, Any] = {"model": model, "messages": messages, "max_tokens": o.get("limit", 4000), "stream": bool(o.get("stream"))}
    if o.get("tools"):
        body["tools"] = [{"name": name, "input_schema": schema} for name, schema in TOOLS.items()]
    if o.get("schema"):
        body["output_config"] = {"format": {"type": "json_schema", "schema": o["schema"]}}
    if o.get("stop"):
        body["stop_sequences"] = o["stop"]
    return body | _given(o, {"system": "system"})


def _read_anthropic(reply: Any) -> Told:
    blocks = reply["content"]
    calls = [block for block in blocks if block["type"] == "tool_use"]
    text = "".join(block["text"] for block in blocks if block["type"] == "text")
    thinking = "".join(block["thinking"] for block in blocks if block["type"] == "thinking")
    usage = reply["usage"]
    made = [(call["name"], call["input"]) for call in calls]
    return Told(
        text, made, thinking, reply["stop_reason"], (usage["input_tokens"], usage["output_tokens"]), blocks, [c["id"] for c in calls]
    )


def _gemini(model: str, prompt: str, **o: Any) -> dict[str, Any]:
    parts: list[Any] = [{"text": prompt}]
    if o.get("image"):
        parts.append({"inlineData": {"mimeType": "image/png", "data": PNG}})
    contents: list[Any] = [{"role": "user", "parts": parts}]
    if o.get("before"):
        told: Told = o["before"]
        answers = [{"functionResponse": {"name": name, "response": {"result": "17 degrees"}}} for name, _ in told.calls]
        contents += [told.turn, {"role": "user", "parts": answers}]
    config = _given(o, {"stop": "stopSequences", "limit": "maxOutputTokens"})
    if o.get("schema"):
        config |= {"responseMimeType": "application/json", "responseJsonSchema": o["schema"]}
    body: dict[str, Any] = {"contents": contents, "generationConfig": config}
    if o.get("system"):
        body["systemInstruction"] = {"parts": [{"text": o["system"]}]}
    if o.get("tools"):
        body["tools"] = [{"functionDeclarations": [{"name": name, "parameters": schema} for name, schema in TOOLS.items()]}]
    return body


def _read_gemini(reply: Any) -> Told:
    turn = reply["candidates"][0]["content"]
    calls = [part["functionCall"] for part in turn.get("parts", []) if "functionCall" in part]
    text = "".join(part["text"] for part in turn.get("parts", []) if "text" in part and not part.get("thought"))
    thinking = "".join(part["text"] for part in turn.get("parts", []) if part.get("thought"))
    usage = reply["usageMetadata"]
    tokens = (usage["promptTokenCount"], usage["candidatesTokenCount"] + usage.get("thoughtsTokenCount", 0))
    return Told(text, [(call["name"], call["args"]) for call in calls], thinking, reply["candidates"][0]["finishReason"], tokens, turn)


def _ollama(model: str, prompt: str, **o: Any) -> dict[str, Any]:
    messages: list[Any] = [{"role": "system", "content": o["system"]}] if o.get("system") else []
    messages.append({"role": "user", "content": prompt} | ({"images": [PNG]} if o.get("image") else {}))
    if o.get("before"):
        told: Told = o["before"]
        messages += [told.turn, *({"role": "tool", "tool_name": name, "content": "17 degrees"} for name, _ in told.calls)]
    body: dict[str, Any] = {"model": model, "messages": messages, "stream": bool(o.get("stream"))}
    body["options"] = _given(o, {"stop": "stop", "limit": "num_predict"})
    if o.get("tools"):
        body["tools"] = [{"type": "function", "function": {"name": name, "parameters": schema}} for name, schema in TOOLS.items()]
    return body | _given(o, {"schema": "format"})


def _read_ollama(reply: Any) -> Told:
    message = reply["message"]
    calls = [(call["function"]["name"], call["function"]["arguments"]) for call in message.get("tool_calls") or []]
    tokens = (reply["prompt_eval_count"], reply["eval_count"])
    return Told(message["content"], calls, message.get("thinking", ""), reply["done_reason"], tokens, message)


def _cohere(model: str, prompt: str, **o: Any) -> dict[str, Any]:
    body = _openai(model, prompt, **{key: value for key, value in o.items() if key not in ("schema", "stop")})
    if o.get("schema"):
        body["response_format"] = {"type": "json_object", "json_schema": o["schema"]}
    return body | _given(o, {"stop": "stop_sequences"})


def _read_cohere(reply: Any) -> Told:
    message = reply["message"]
    calls = message.get("tool_calls") or []
    text = "".join(block["text"] for block in message.get("content") or [] if block["type"] == "text")
    thinking = "".join(block["thinking"] for block in message.get("content") or [] if block["type"] == "thinking")
    made = [(call["function"]["name"], json.loads(call["function"]["arguments"])) for call in calls]
    tokens = reply["usage"]["tokens"]
    return Told(
        text, made, thinking, reply["finish_reason"], (tokens["input_tokens"], tokens["output_tokens"]), message, [c["id"] for c in calls]
    )


def _bedrock(_: str, prompt: str, **o: Any) -> dict[str, Any]:
    content: list[Any] = [{"text": prompt}]
    if o.get("image"):
        content.append({"image": {"format": "png", "source": {"bytes": PNG}}})
    messages: list[Any] = [{"role": "user", "content": content}]
    if o.get("before"):
        told: Told = o["before"]
        results = [{"toolResult": {"toolUseId": name, "content": [{"text": "17 degrees"}]}} for name in told.ids]
        messages += [told.turn, {"role": "user", "content": results}]
    body: dict[str, Any] = {"messages": messages, "inferenceConfig": _given(o, {"stop": "stopSequences", "limit": "maxTokens"})}
    if o.get("system"):
        body["system"] = [{"text": o["system"]}]
    if o.get("tools"):
        specs = [{"toolSpec": {"name": name, "inputSchema": {"json": schema}}} for name, schema in TOOLS.items()]
        body["toolConfig"] = {"tools": specs}
    if o.get("schema"):
        wanted = {"jsonSchema": {"name": "answer", "schema": json.dumps(o["schema"])}}
        body["outputConfig"] = {"textFormat": {"type": "json_schema", "structure": wanted}}
    return body


def _read_bedrock(reply: Any) -> Told:
    turn = reply["output"]["message"]
    calls = [block["toolUse"] for block in turn["content"] if "toolUse" in block]
    text = "".join(block.get("text", "") for block in turn["content"])
    thinking = "".join(block["reasoningContent"]["reasoningText"]["text"] for block in turn["content"] if "reasoningContent" in block)
    tokens = (reply["usage"]["inputTokens"], reply["usage"]["outputTokens"])
    made = [(call["name"], call["input"]) for call in calls]
    return Told(text, made, thinking, reply["stopReason"], tokens, turn, [call["toolUseId"] for call in calls])


KEY = {"authorization": "Bearer unused"}
VENDORS = {
    "openai": Ways("/v1/chat/completions", _openai, _read_openai),
    "responses": Ways("/v1/responses", _responses, _read_responses),
    "azure": Ways("/azure/openai/deployments/{model}/chat/completions?api-version=1", _openai, _read_openai, {"api-key": "unused"}),
    "anthropic": Ways("/v1/messages", _anthropic, _read_anthropic, {"anthropic-version": "2023-06-01"}),
    "gemini": Ways("/v1beta/models/{model}:generateContent", _gemini, _read_gemini),
    "vertex": Ways("/v1/projects/p/locations/l/publishers/google/models/{model}:generateContent", _gemini, _read_gemini),
    "mistral": Ways("/mistral/v1/chat/completions", _openai, _read_openai),
    "huggingface": Ways("/huggingface/v1/chat/completions", _openai, _read_openai),
    "groq": Ways("/groq/openai/v1/chat/completions", _openai, _read_openai),
    "deepseek": Ways("/deepseek/v1/chat/completions", _openai, _read_openai),
    "together": Ways("/together/v1/chat/completions", _openai, _read_openai),
    "openrouter": Ways("/openrouter/api/v1/chat/completions", _openai, _read_openai),
    "cohere": Ways("/v2/chat", _cohere, _read_cohere),
    "bedrock": Ways("/model/{model}/converse", _bedrock, _read_bedrock, KEY),
    "ollama": Ways("/api/chat", _ollama, _read_ollama),
}
STREAMS = {
    "gemini": (":generateContent", ":streamGenerateContent?alt=sse"),
    "vertex": (":generateContent", ":streamGenerateContent?alt=sse"),
    "bedrock": ("/converse", "/converse-stream"),
}


def asked(vendor: str, model: str, prompt: str = "Hello", **options: Any) -> tuple[str, dict[str, Any], dict[str, str]]:
    """Path, body and headers of a question."""
    ways = VENDORS[vendor]
    path = ways.path.format(model=model)
    if options.get("stream") and vendor in STREAMS:
        path = path.replace(*STREAMS[vendor])
    return path, ways.body(model, prompt, **options), ways.headers


def post(http: httpx.Client, vendor: str, model: str, prompt: str = "Hello", **options: Any) -> httpx.Response:
    """Asks the vendor; `stream=True` for a stream."""
    path, body, headers = asked(vendor, model, prompt, **options)
    return http.post(path, json=body, headers=headers, timeout=5)


def ask(http: httpx.Client, vendor: str, model: str = "some-model", prompt: str = "Hello", **options: Any) -> Told:
    """The vendor's plain answer."""
    reply = post(http, vendor, model, prompt, **options)
    assert reply.status_code == 200, reply.text[:400]
    return VENDORS[vendor].read(reply.json())
