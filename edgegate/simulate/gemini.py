"""Gemini's wire format: generateContent and its stream (SSE with CRLF, or one JSON array), embeddings, countTokens, models, errors.

Field names are taken in camelCase and snake_case. Strict where a badly translated request would show: roles, function
responses that answer no call, arguments that are no objects, and schema keywords the `parameters` subset does not have.
"""

from __future__ import annotations

import json
import re
from typing import Any

from edgegate.simulate import gemini_fields, gemini_state, media
from edgegate.simulate.gemini_embed import text_of
from edgegate.simulate.gemini_fields import field
from edgegate.simulate.mind import Answer, Question, Tool, answer, input_tokens
from edgegate.simulate.vendor import Asked, Event, Framing, Json, Refusal, Reply, Script, Vendor, Whole, need

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


class Gemini(Vendor):
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
    body = field(asked.body, "generateContentRequest") or asked.body
    question = _question(asked, body)
    total = input_tokens(question)
    counted: Json = {"totalTokens": total, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": total}]}
    if "publishers" in asked.target:
        counted["totalBillableCharacters"] = sum(len("".join(text.split())) for text in [question.system, *question.texts])
    return Whole(counted)


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


def _answers(asked: Asked) -> tuple[Question, list[Answer]]:
    question = _question(asked, asked.body)
    wanted = field(field(asked.body, "generationConfig"), "candidateCount") or 1
    need(isinstance(wanted, int) and 0 < wanted <= 8, "* GenerateContentRequest.generation_config.candidate_count: must be between 1 and 8")
    return question, [answer(question, number) for number in range(wanted)]


def _question(asked: Asked, body: Json) -> Question:
    gemini_fields.check(body)
    contents = body.get("contents")
    need(isinstance(contents, list) and bool(contents), "* GenerateContentRequest.contents: contents is not specified")
    config = field(body, "generationConfig") or {}
    question = Question(
        asked.model, seed=asked.raw, max_tokens=field(config, "maxOutputTokens"), stop=list(field(config, "stopSequences") or [])
    )
    question.settings = {name: value for name in _SHOWN if (value := field(config, name)) is not None}
    question.system = text_of(field(body, "systemInstruction") or {})
    _read_tools(body, question)
    _read_contents(contents or [], question, asked)
    gemini_state.check(contents or [], asked)
    thinking = field(config, "thinkingConfig") or {}
    question.think = field(thinking, "thinkingBudget") not in (None, 0) or field(thinking, "thinkingLevel") not in (None, "MINIMAL")
    question.think = question.think or bool(field(thinking, "includeThoughts"))
    question.settings["includeThoughts"] = bool(field(thinking, "includeThoughts")) or "think" in asked.model
    if field(config, "responseMimeType") == "application/json":
        subset = field(config, "responseSchema")
        if subset is not None:
            _check_subset(subset, "generation_config.response_schema")
        question.schema = subset if subset is not None else field(config, "responseJsonSchema")
        question.json_mode = True
    return question


def _read_tools(body: Json, question: Question) -> None:
    for at, tool in enumerate(body.get("tools") or []):
        for number, function in enumerate(field(tool, "functionDeclarations") or []):
            where = f"tools[{at}].function_declarations[{number}]"
            need(
                bool(re.fullmatch(r"[A-Za-z_][\w.:-]{0,63}", str(function.get("name", "")))),
                f"* GenerateContentRequest.{where}.name: Invalid function name.",
            )
            subset = function.get("parameters")
            if subset is not None:
                _check_subset(subset, f"{where}.parameters")
            schema = subset if subset is not None else field(function, "parametersJsonSchema")
            question.tools.append(Tool(str(function["name"]), schema or {"type": "object", "properties": {}}))
    config = field(field(body, "toolConfig"), "functionCallingConfig") or {}
    mode = str(config.get("mode") or "AUTO").upper()
    need(
        mode in ("AUTO", "ANY", "NONE", "VALIDATED", "MODE_UNSPECIFIED"),
        f"Invalid value at 'tool_config.function_calling_config.mode': {mode!r}",
    )
    names = field(config, "allowedFunctionNames") or []
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


def _read_contents(contents: list[Any], question: Question, asked: Asked) -> None:
    calls: list[str] = []
    for at, content in enumerate(contents):
        role = content.get("role") or ("" if "publishers" in asked.target else "user")  # Vertex AI wants it said
        need(role in ("user", "model"), "Please use a valid role: user, model.")
        parts = content.get("parts") or []
        need(bool(parts) or role == "model", "* GenerateContentRequest.contents: contents.parts must not be empty.")
        for part in parts:
            arguments = (field(part, "functionCall") or {}).get("args", {})
            need(isinstance(arguments, dict), "Invalid value at 'contents.parts.function_call.args': expected an object")
        responses = [found for part in parts if (found := field(part, "functionResponse"))]
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
        need(
            at > 0 or role != "model" or not any(field(part, "functionCall") for part in parts),
            "Please ensure that function call turn comes immediately after a user turn or after a function response turn.",
        )
        called = [str(found.get("name")) for part in parts if (found := field(part, "functionCall"))]
        calls = calls + called if role == "model" else []  # recorded: calls in two model turns in a row, answered together
        text = text_of(content)
        results = [_said(response["response"]) for response in responses]
        question.results = results if not text else []
        if role != "model" and (text or not responses):
            question.prompt = text
            question.see([seen for part in parts if (seen := _image(part))])
        question.roles.append(role)
        question.texts.append(" ".join([text, *results]).strip())


def _said(response: Json) -> str:
    """What a function answered: its one text, or all of it."""
    only = list(response.values())
    return only[0] if len(only) == 1 and isinstance(only[0], str) else json.dumps(response, ensure_ascii=False)


def _image(part: Any) -> str:
    """What is seen in an image part, "" for other parts."""
    inline, file = field(part, "inlineData"), field(part, "fileData")
    if isinstance(inline, dict):
        data = str(inline.get("data", ""))
        need(not data.startswith("data:"), "Invalid value at 'contents.parts.inline_data.data': Base64 decoding failed")
        need(bool(field(inline, "mimeType")), "Unable to submit request because it must have a mimeType parameter in inlineData.")
        return media.of_base64(data, str(field(inline, "mimeType"))) if str(field(inline, "mimeType")).startswith("image/") else ""
    kind = str(field(file, "mimeType") or ("image/" if file else ""))
    return media.of_url(str(field(file, "fileUri"))) if kind.startswith("image/") else ""


def _parts(one: Answer, question: Question) -> list[Json]:
    parts: list[Json] = []
    if one.thinking and question.settings["includeThoughts"]:
        parts.append({"text": "".join(one.thinking), "thought": True})
    if one.pieces:
        parts.append({"text": one.text})
    for at, call in enumerate(one.calls):  # only the first of parallel calls is signed
        part: Json = {"functionCall": {"name": call.name, "args": call.arguments}}
        if at == 0 and (question.thinks or gemini_state.wants_signatures(question.model)):
            part["thoughtSignature"] = gemini_state.of_call(call.name, call.arguments)
        parts.append(part)
    if parts and question.thinks and not one.calls:
        parts[-1]["thoughtSignature"] = gemini_state.of_answer(one.id)
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
    elif question.thinks:
        groups.append(([{"text": "", "thoughtSignature": gemini_state.of_answer(one.id)}], 0))
    return groups or [([], 0)]


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
