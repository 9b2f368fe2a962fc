"""Gemini's wire format: generateContent and its stream (SSE with CRLF, or one JSON array), embeddings, countTokens, models, errors.

Field names are taken in camelCase and snake_case. Strict where a badly translated request would show: roles, function
responses that answer no call, arguments that are no objects, and schema keywords the `parameters` subset does not have.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from typing import Any

from edgegate.simulate.mind import Answer, Question, Tool, answer, count, embedding, input_tokens
from edgegate.simulate.vendor import Asked, Event, Framing, Json, Refusal, Reply, Script, Whole, need

MODELS = ("gemini-2.5-flash", "gemini-2.5-pro", "gemini-3-flash-preview", "gemini-embedding-001")
_STATUS = {
    400: ("INVALID_ARGUMENT", "Request contains an invalid argument."),
    401: ("UNAUTHENTICATED", "Request had invalid authentication credentials."),
    403: ("PERMISSION_DENIED", "Your API key was reported as leaked. Please use another API key."),
    404: (
        "NOT_FOUND",
        "models/{model} is not found for API version v1beta, or is not supported for generateContent. "
        "Call ListModels to see the list of available models and their supported methods.",
    ),
    429: ("RESOURCE_EXHAUSTED", "You exceeded your current quota, please check your plan and billing details."),
    500: ("INTERNAL", "An internal error has occurred. Please retry."),
    503: ("UNAVAILABLE", "The model is overloaded. Please try again later."),
    504: ("DEADLINE_EXCEEDED", "The request timed out. Please try again."),
}
_REFUSED_KEYWORDS = ("$ref", "$defs", "$schema", "additionalProperties", "additional_properties", "patternProperties", "const")
_SHOWN = ("temperature", "topP", "topK", "seed", "presencePenalty", "frequencyPenalty", "thinkingConfig")
_PIECES_PER_EVENT = 4  # Gemini's events carry a phrase, not a word


class Gemini:
    name = "gemini"
    content_type = "application/json; charset=UTF-8"
    says_retry_after = False

    def headers(self, request_id: str) -> dict[str, str]:
        return {"server-timing": "gfet4t7; dur=1", "x-content-type-options": "nosniff"}

    def error(self, refusal: Refusal, request_id: str) -> Json:
        status, message = _STATUS.get(refusal.status) or _STATUS[400 if refusal.status < 500 else 500]
        details: list[Json] = []
        if refusal.variant == "context":
            message = "The input token count (1048577) exceeds the maximum number of tokens allowed (1048576)."
        if refusal.status == 401:  # what a bad key really gets is a 400; see FORMATS: this one is for OAuth
            details.append({"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com"})
        if refusal.retry_after_s:
            details.append({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{refusal.retry_after_s}s"})
        message = refusal.message or message.format(model=refusal.model or "simulated")
        error: Json = {"code": refusal.status, "message": message, "status": status}
        return {"error": error | ({"details": details} if details else {})}

    def error_event(self, request_id: str) -> Event:
        return Event(json.dumps(self.error(Refusal(503), request_id)))


def generate(asked: Asked) -> Reply:
    """POST /v1beta/models/{model}:generateContent"""
    question, answers = _answers(asked)
    candidates = [_candidate(at, _parts(one, question), _finish(one)) for at, one in enumerate(answers)]
    return Whole({"candidates": candidates, "usageMetadata": _usage(answers), **_tail(question, answers[0])})


def stream(asked: Asked) -> Reply:
    """POST /v1beta/models/{model}:streamGenerateContent"""
    question, answers = _answers(asked)
    script = Script(Framing.SSE_CRLF if asked.query.get("alt") == "sse" else Framing.ARRAY, [])
    tail = _tail(question, answers[0])
    for at, one in enumerate(answers):
        sent = 0
        groups = _groups(one, question)
        for number, (parts, tokens) in enumerate(groups):
            last = number == len(groups) - 1
            sent += tokens
            usage = _usage(answers) if last and at == len(answers) - 1 else _usage(answers, one.reasoning_tokens, sent)
            candidate = _candidate(at, parts, _finish(one) if last else None)
            event = Event(json.dumps({"candidates": [candidate], "usageMetadata": usage, **tail}, ensure_ascii=False))
            (script.finish if last else script.events).append(event)
    if not script.events:  # one event says it all: faults still need a part that comes before the finish
        script.events, script.finish = script.finish[:1], script.finish[1:]
    return script


def count_tokens(asked: Asked) -> Reply:
    """POST /v1beta/models/{model}:countTokens"""
    body = _field(asked.body, "generateContentRequest") or asked.body
    total = input_tokens(_question(asked, body))
    return Whole({"totalTokens": total, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": total}]})


def embed(asked: Asked) -> Reply:
    """POST /v1beta/models/{model}:embedContent"""
    return Whole({"embedding": _embedding(asked.body, asked.model)})


def batch_embed(asked: Asked) -> Reply:
    """POST /v1beta/models/{model}:batchEmbedContents"""
    requests = asked.body.get("requests")
    need(isinstance(requests, list) and bool(requests), "* BatchEmbedContentsRequest.requests: at least one request is required")
    for one in requests or []:
        need(
            one.get("model") == f"models/{asked.model}",
            f"* BatchEmbedContentsRequest.requests[0].model: unexpected model {one.get('model')!r}, expected models/{asked.model}",
        )
    total = sum(count(_text(_field(one, "content") or {})) for one in requests or [])
    return Whole({"embeddings": [_embedding(one, asked.model) for one in requests or []], "usageMetadata": {"promptTokenCount": total}})


def models(asked: Asked) -> Reply:
    """GET /v1beta/models"""
    return Whole({"models": [_model(name) for name in MODELS]})


def model(asked: Asked) -> Reply:
    """GET /v1beta/models/{model}"""
    if asked.model not in MODELS:
        raise Refusal(404, model=asked.model)
    return Whole(_model(asked.model))


def _model(name: str) -> Json:
    methods = ["embedContent", "batchEmbedContents"] if "embedding" in name else ["generateContent", "streamGenerateContent", "countTokens"]
    return {
        "name": f"models/{name}",
        "version": "001",
        "displayName": f"{name} (simulated)",
        "inputTokenLimit": 1048576,
        "outputTokenLimit": 65536,
        "supportedGenerationMethods": methods,
    }


def _field(value: Any, name: str) -> Any:
    """A field under its JSON name or its proto name."""
    if not isinstance(value, dict):
        return None
    return value[name] if name in value else value.get(re.sub(r"([A-Z])", lambda found: "_" + found.group(1).lower(), name))


def _answers(asked: Asked) -> tuple[Question, list[Answer]]:
    question = _question(asked, asked.body)
    wanted = _field(_field(asked.body, "generationConfig"), "candidateCount") or 1
    need(isinstance(wanted, int) and 0 < wanted <= 8, "* GenerateContentRequest.generation_config.candidate_count: must be between 1 and 8")
    return question, [answer(question, number) for number in range(wanted)]


def _question(asked: Asked, body: Json) -> Question:
    contents = body.get("contents")
    need(isinstance(contents, list) and bool(contents), "* GenerateContentRequest.contents: contents is not specified")
    config = _field(body, "generationConfig") or {}
    question = Question(
        asked.model, seed=asked.raw, max_tokens=_field(config, "maxOutputTokens"), stop=list(_field(config, "stopSequences") or [])
    )
    question.settings = {name: value for name in _SHOWN if (value := _field(config, name)) is not None}
    question.system = _text(_field(body, "systemInstruction") or {})
    _read_tools(body, question)
    _read_contents(contents or [], question)
    thinking = _field(config, "thinkingConfig") or {}
    question.think = _field(thinking, "thinkingBudget") not in (None, 0) or _field(thinking, "thinkingLevel") not in (None, "MINIMAL")
    question.think = question.think or bool(_field(thinking, "includeThoughts"))
    question.settings["includeThoughts"] = bool(_field(thinking, "includeThoughts"))
    if _field(config, "responseMimeType") == "application/json":
        subset = _field(config, "responseSchema")
        if subset is not None:
            _check_subset(subset, "generation_config.response_schema")
        question.schema = subset if subset is not None else _field(config, "responseJsonSchema")
        question.json_mode = True
    return question


def _read_tools(body: Json, question: Question) -> None:
    for at, tool in enumerate(body.get("tools") or []):
        for number, function in enumerate(_field(tool, "functionDeclarations") or []):
            where = f"tools[{at}].function_declarations[{number}]"
            need(
                bool(re.fullmatch(r"[A-Za-z_][\w.:-]{0,63}", str(function.get("name", "")))),
                f"* GenerateContentRequest.{where}.name: Invalid function name.",
            )
            subset = function.get("parameters")
            if subset is not None:
                _check_subset(subset, f"{where}.parameters")
            schema = subset if subset is not None else _field(function, "parametersJsonSchema")
            question.tools.append(Tool(str(function["name"]), schema or {"type": "object", "properties": {}}))
    config = _field(_field(body, "toolConfig"), "functionCallingConfig") or {}
    mode = str(config.get("mode") or "AUTO").upper()
    need(
        mode in ("AUTO", "ANY", "NONE", "VALIDATED", "MODE_UNSPECIFIED"),
        f"Invalid value at 'tool_config.function_calling_config.mode': {mode!r}",
    )
    names = _field(config, "allowedFunctionNames") or []
    need(not names or mode in ("ANY", "VALIDATED"), "allowed_function_names can only be set when the function calling mode is ANY.")
    question.choice = "none" if mode == "NONE" else "auto" if mode != "ANY" else str(names[0]) if len(names) == 1 else "any"


def _check_subset(schema: Any, where: str) -> None:
    if isinstance(schema, list):
        for one in schema:
            _check_subset(one, where)
    if not isinstance(schema, dict):
        return
    for key, value in schema.items():
        if key == "properties" and isinstance(value, dict):
            for name, one in value.items():
                _check_subset(one, f"{where}.properties[{name}]")
            continue
        need(key not in _REFUSED_KEYWORDS, f"Invalid JSON payload received. Unknown name \"{key}\" at '{where}': Cannot find field.")
        need(key != "type" or isinstance(value, str), f"Invalid value at '{where}.type': Proto field is not repeating, cannot start list.")
        if key in ("items", "anyOf", "any_of"):
            _check_subset(value, f"{where}.{key}")


def _read_contents(contents: list[Any], question: Question) -> None:
    calls: list[str] = []
    for content in contents:
        role = content.get("role") or "user"
        need(role in ("user", "model", "function"), "Please use a valid role: user, model.")
        parts = content.get("parts") or []
        need(bool(parts) or role == "model", "* GenerateContentRequest.contents: contents.parts must not be empty.")
        for part in parts:
            arguments = (_field(part, "functionCall") or {}).get("args", {})
            need(isinstance(arguments, dict), "Invalid value at 'contents.parts.function_call.args': expected an object")
        responses = [found for part in parts if (found := _field(part, "functionResponse"))]
        for response in responses:
            need(
                isinstance(response.get("response"), dict),
                "Invalid value at 'contents.parts.function_response.response': expected an object",
            )
            need(bool(response.get("name")), "* GenerateContentRequest.contents.parts.function_response.name: Name cannot be empty.")
            need(response["name"] in calls, "Please ensure that function response turn comes immediately after a function call turn.")
        need(
            not calls or len(responses) == len(calls) or role == "model",
            "Please ensure that the number of function response parts is equal to the number of function call parts "
            "of the function call turn.",
        )
        called = [str(found.get("name")) for part in parts if (found := _field(part, "functionCall"))]
        calls = calls + called if role == "model" else []  # recorded: calls in two model turns in a row, answered together
        text = _text(content)
        question.results = [json.dumps(response["response"], ensure_ascii=False) for response in responses]
        if role != "model" and (text or not responses):
            question.prompt = text
            question.images = sum(1 for part in parts if _is_image(part))
        question.roles.append(role)
        question.texts.append(" ".join([text, *question.results]).strip())


def _is_image(part: Any) -> bool:
    inline, file = _field(part, "inlineData"), _field(part, "fileData")
    if isinstance(inline, dict):
        need(
            not str(inline.get("data", "")).startswith("data:"),
            "Invalid value at 'contents.parts.inline_data.data': Base64 decoding failed",
        )
    return str(_field(inline or file, "mimeType") or ("image/" if file else "")).startswith("image/")


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts = content.get("parts") if isinstance(content, dict) else content
    parts = parts if isinstance(parts, list) else [parts]
    return "".join(str(part.get("text", "")) for part in parts if isinstance(part, dict) and not part.get("thought"))


def _parts(one: Answer, question: Question) -> list[Json]:
    parts: list[Json] = []
    if one.thinking and question.settings["includeThoughts"]:
        parts.append({"text": "".join(one.thinking), "thought": True})
    if one.pieces:
        parts.append({"text": one.text})
    signed = {"thoughtSignature": _signature(one)} if question.think else {}
    for at, call in enumerate(one.calls):  # only the first of parallel calls is signed
        parts.append({"functionCall": {"name": call.name, "args": call.arguments}} | (signed if at == 0 else {}))
    return parts


def _groups(one: Answer, question: Question) -> list[tuple[list[Json], int]]:
    """The parts of each event, with how many tokens of the answer it carries."""
    groups: list[tuple[list[Json], int]] = []
    if one.thinking and question.settings["includeThoughts"]:
        starts = range(0, len(one.thinking), _PIECES_PER_EVENT)
        groups += [([{"text": "".join(one.thinking[at : at + _PIECES_PER_EVENT]), "thought": True}], 0) for at in starts]
    for at in range(0, len(one.pieces), _PIECES_PER_EVENT):
        some = one.pieces[at : at + _PIECES_PER_EVENT]
        groups.append(([{"text": "".join(some)}], len(some)))
    if one.calls:
        groups += [([part], 1) for part in _parts(one, question) if "functionCall" in part]
    elif question.think:
        groups.append(([{"text": "", "thoughtSignature": _signature(one)}], 0))
    return groups or [([], 0)]


def _signature(one: Answer) -> str:
    return base64.b64encode(b"edgegate simulated " + hashlib.sha256(one.id.encode()).digest()).decode()


def _candidate(index: int, parts: list[Json], finish: str | None) -> Json:
    candidate: Json = {"content": {"parts": parts, "role": "model"} if parts else {"role": "model"}}
    return candidate | ({"finishReason": finish} if finish else {}) | {"index": index}


def _finish(one: Answer) -> str:
    return "MAX_TOKENS" if one.finish == "length" else "STOP"


def _usage(answers: list[Answer], thoughts: int | None = None, written: int | None = None) -> Json:
    read = answers[0].input_tokens
    thoughts = sum(one.reasoning_tokens for one in answers) if thoughts is None else thoughts
    written = sum(one.output_tokens - one.reasoning_tokens for one in answers) if written is None else written
    usage: Json = {"promptTokenCount": read, "candidatesTokenCount": written, "totalTokenCount": read + thoughts + written}
    usage["promptTokensDetails"] = [{"modality": "TEXT", "tokenCount": read}]
    return usage | ({"thoughtsTokenCount": thoughts} if thoughts else {})


def _tail(question: Question, one: Answer) -> Json:
    return {"modelVersion": question.model, "responseId": one.id}


def _embedding(body: Json, name: str) -> Json:
    content = _field(body, "content")
    need(isinstance(content, dict) and bool(content.get("parts")), "* EmbedContentRequest.content: contents is not specified")
    dimensions = (
        _field(body, "outputDimensionality")
        or _field(_field(body, "embedContentConfig"), "outputDimensionality")
        or (3072 if "embedding" in name else 768)
    )
    return {"values": embedding(_text(content), int(dimensions))}
