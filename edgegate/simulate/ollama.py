"""Ollama's wire format: chat, generate, embed, tags, show and version; NDJSON streams; `stream` left out means a stream.

Strict where a badly translated request would show, in the words of its Go decoder: arguments that are no objects, content
that is no string, images that are no base64.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Any

import orjson

from edgegate.simulate import media
from edgegate.simulate.mind import Answer, Question, Tool, answer, count, embedding
from edgegate.simulate.vendor import Asked, Event, Framing, Json, Refusal, Reply, Script, Vendor, Whole, need

MODELS = ("llama3.2:latest", "qwen3:latest", "nomic-embed-text:latest")
_AT = "2025-01-01T00:00:00.000000Z"
_MESSAGES = {
    400: "invalid request",
    401: "unauthorized",
    403: "forbidden",
    404: "model '{model}' not found",
    429: "too many requests",
    500: "llama runner process has terminated: exit status 2",
    503: "server busy, please try again. maximum pending requests exceeded",
}
_SHOWN = ("temperature", "top_p", "top_k", "seed", "presence_penalty", "frequency_penalty", "num_ctx")


class Ollama(Vendor):
    name = "ollama"
    content_type = "application/json; charset=utf-8"
    says_retry_after = True

    def headers(self, request_id: str) -> dict[str, str]:
        return {}

    def error(self, refusal: Refusal, request_id: str) -> Json:
        message = _MESSAGES.get(refusal.status) or _MESSAGES[400 if refusal.status < 500 else 500]
        if refusal.variant == "context":
            message = "input length exceeds maximum context length"
        return {"error": refusal.message or message.format(model=refusal.model or "simulated")}

    def error_event(self, request_id: str) -> Event:
        return Event(orjson.dumps(self.error(Refusal(500), request_id)).decode())


def chat(asked: Asked) -> Reply:
    """POST /api/chat"""
    question = _question(asked)
    messages = asked.body.get("messages") or []
    need(isinstance(messages, list), "json: cannot unmarshal string into Go struct field ChatRequest.messages of type []api.Message")
    calls = 0
    for message in messages:
        role, content = message.get("role"), message.get("content") or ""
        need(role in ("system", "user", "assistant", "tool"), f"invalid role {role!r}")
        need(isinstance(content, str), "json: cannot unmarshal array into Go struct field ChatRequest.messages.content of type string")
        for call in message.get("tool_calls") or []:
            arguments = (call.get("function") or {}).get("arguments", {})
            need(
                isinstance(arguments, dict),
                "json: cannot unmarshal string into Go struct field ChatRequest.messages.tool_calls.function.arguments "
                "of type api.ToolCallFunctionArguments",
            )
            calls += 1
        if role == "tool":
            need(calls > 0, "a tool message without a call before it")
            question.results.append(content)
        else:
            question.results = []
        if role == "system":
            question.system += ("\n" if question.system else "") + content
        if role == "user":
            question.prompt = content
            question.see(_images(message.get("images")))
        question.roles.append(role)
        question.texts.append(content)
    for tool in asked.body.get("tools") or []:
        function = tool.get("function") or {}
        need(bool(function.get("name")), "tool without a function name")
        question.tools.append(Tool(function["name"], function.get("parameters") or {"type": "object", "properties": {}}))
    one = answer(question)
    if asked.body.get("stream") is False:
        message = {"role": "assistant", "content": one.text}
        if one.thinking:
            message["thinking"] = "".join(one.thinking)
        return Whole(_line(question, message=message | _calls(one)) | _end(one))
    lines = [_line(question, message={"role": "assistant", "content": "", "thinking": piece}) for piece in one.thinking]
    lines += [_line(question, message={"role": "assistant", "content": piece}) for piece in one.pieces]
    if one.calls:
        lines.append(_line(question, message={"role": "assistant", "content": ""} | _calls(one)))
    return _script(
        lines or [_line(question, message={"role": "assistant", "content": ""})],
        _line(question, message={"role": "assistant", "content": ""}) | _end(one),
    )


def generate(asked: Asked) -> Reply:
    """POST /api/generate"""
    question = _question(asked)
    prompt = asked.body.get("prompt") or ""
    need(isinstance(prompt, str), "json: cannot unmarshal array into Go struct field GenerateRequest.prompt of type string")
    question.prompt, question.system = prompt, asked.body.get("system") or ""
    question.texts = [prompt]
    question.see(_images(asked.body.get("images")))
    one = answer(question)
    end = _end(one) | {"context": [1, 2, 3]}
    if asked.body.get("stream") is False:
        thinking = {"thinking": "".join(one.thinking)} if one.thinking else {}
        return Whole(_line(question, response=one.text, **thinking) | end)
    lines = [_line(question, response="", thinking=piece) for piece in one.thinking]
    lines += [_line(question, response=piece) for piece in one.pieces]
    return _script(lines or [_line(question, response="")], _line(question, response="") | end)


def embed(asked: Asked) -> Reply:
    """POST /api/embed"""
    texts = asked.body.get("input")
    texts = [texts] if isinstance(texts, str) else texts
    need(isinstance(texts, list) and all(isinstance(text, str) for text in texts), "invalid input type")
    assert isinstance(texts, list)
    dimensions = asked.body.get("dimensions") or 768
    vectors = [embedding(text, dimensions) for text in texts]
    return Whole(
        {
            "model": asked.model,
            "embeddings": vectors,
            "total_duration": 1000,
            "load_duration": 1,
            "prompt_eval_count": sum(map(count, texts)),
        }
    )


def embeddings(asked: Asked) -> Reply:
    """POST /api/embeddings, the older one"""
    return Whole({"embedding": embedding(str(asked.body.get("prompt") or ""), 768)})


def tags(asked: Asked) -> Reply:
    """GET /api/tags"""
    return Whole({"models": [_model(name) for name in MODELS]})


def show(asked: Asked) -> Reply:
    """POST /api/show"""
    name = asked.model if ":" in asked.model else f"{asked.model}:latest"
    if name not in MODELS:
        raise Refusal(404, model=asked.model)
    info = {"general.architecture": "simulated", "simulated.context_length": 131072}
    return Whole(
        {
            "modelfile": f"FROM {name}",
            "template": "{{ .Prompt }}",
            "details": _model(name)["details"],
            "model_info": info,
            "capabilities": ["completion", "tools"],
        }
    )


def version(asked: Asked) -> Reply:
    """GET /api/version"""
    return Whole({"version": "0.0.0-simulated"})


def _model(name: str) -> Json:
    details = {
        "parent_model": "",
        "format": "gguf",
        "family": "simulated",
        "families": ["simulated"],
        "parameter_size": "0B",
        "quantization_level": "F16",
    }
    return {
        "name": name,
        "model": name,
        "modified_at": _AT,
        "size": 1,
        "digest": hashlib.sha256(name.encode()).hexdigest(),
        "details": details,
    }


def _question(asked: Asked) -> Question:
    body = asked.body
    need(bool(asked.model), "model is required")
    options = body.get("options") or {}
    limit = options.get("num_predict")
    stop = options.get("stop") or []
    question = Question(asked.model, seed=asked.raw, max_tokens=limit if isinstance(limit, int) and limit >= 0 else None)
    question.stop = [stop] if isinstance(stop, str) else list(stop)
    question.settings = {name: options[name] for name in _SHOWN if name in options}
    question.think = bool(body.get("think")) and body.get("think") != "none"
    wanted = body.get("format")
    need(
        wanted in (None, "", "json") or isinstance(wanted, dict),
        f'invalid format: "{wanted}"; expected "json" or a valid JSON Schema object',
    )
    question.json_mode = wanted == "json"
    question.schema = wanted if isinstance(wanted, dict) else None
    return question


def _images(images: Any) -> list[str]:
    for image in images or []:
        try:
            base64.b64decode(str(image), validate=True)
        except binascii.Error as error:
            raise Refusal(400, "illegal base64 data at input byte 4") from error
    return [media.of_base64(str(image)) for image in images or []]


def _calls(one: Answer) -> Json:
    if not one.calls:
        return {}
    return {
        "tool_calls": [{"function": {"index": at, "name": call.name, "arguments": call.arguments}} for at, call in enumerate(one.calls)]
    }


def _line(question: Question, **fields: Any) -> Json:
    return {"model": question.model, "created_at": _AT, **fields, "done": False}


def _end(one: Answer) -> Json:
    return {
        "done": True,
        "done_reason": "length" if one.finish == "length" else "stop",
        "total_duration": 2000,
        "load_duration": 1,
        "prompt_eval_count": one.input_tokens,
        "prompt_eval_duration": 1000,
        "eval_count": one.output_tokens,
        "eval_duration": 1000,
    }


def _script(lines: list[Json], last: Json) -> Script:
    # the last line is both finish and end, so it stands as the terminal event
    return Script(Framing.LINES, [_event(line) for line in lines], terminal=[_event(last)])


def _event(line: Json) -> Event:
    """As Go's encoder writes it: separators of lines and paragraphs, which some readers split at, are escaped."""
    return Event(orjson.dumps(line).decode().replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"))
