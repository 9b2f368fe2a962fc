"""OpenAI's Responses API: create (plain and streamed), retrieve, delete and count, with a bounded memory of what was answered.

`previous_response_id` continues a response of this run. Reasoning comes as an item of its own, with a summary and encrypted content where
they were asked for; both must come back as they were given.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import orjson

from edgegate.simulate import openai
from edgegate.simulate.mind import CREATED, Answer, Question, answer, input_tokens
from edgegate.simulate.responses_input import VENDOR, items_of, question_of, refuse_unknown
from edgegate.simulate.responses_stream import script_of
from edgegate.simulate.seal import allows_foreign, carry
from edgegate.simulate.vendor import Asked, Event, Json, Refusal, Reply, Whole, need

KEPT = 1000
_ECHOED: dict[str, Any] = {
    "background": False,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "safety_identifier": None,
    "store": True,
    "temperature": 1.0,
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}


class OpenAIResponses(openai.OpenAI):
    """The same vendor with another way of saying an error inside a stream."""

    def error_event(self, request_id: str) -> Event:
        error = self.error(Refusal(500), request_id)["error"]
        said = {"type": "error", "code": "server_error", "message": error["message"], "param": None, "sequence_number": 2}
        return Event(orjson.dumps(said).decode(), "error")


@dataclass(slots=True)
class _Kept:
    items: list[Any]
    response: Json


class Responses:
    """The endpoints, and the last `KEPT` responses that they gave."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._items: OrderedDict[str, Any] = OrderedDict()
        self._needs: dict[str, str] = {}  # the reasoning item without which an item may not come back

    def create(self, asked: Asked) -> Reply:
        """POST /v1/responses"""
        body = asked.body
        refuse_unknown(body)
        need(isinstance(body.get("model"), str), "Missing required parameter: 'model'.", "model", "missing_required_parameter")
        given = body.get("input")
        need(
            isinstance(given, (str, list)) or bool(body.get("prompt")),
            "Missing required parameter: 'input'." if given is None else "Invalid type for 'input': expected one of an array or a string.",
            "input",
            "missing_required_parameter" if given is None else "invalid_type",
        )
        items = [*self._earlier(asked), *self._resolved(items_of(body))]
        question = question_of(asked, items, self._items.keys())
        self._check_company(items)
        one = answer(question)
        response = self._response(asked, question, one)
        self._keep(response, items, bool(body.get("store", True)))
        return script_of(response, one) if body.get("stream") else Whole(response)

    def count(self, asked: Asked) -> Reply:
        """POST /v1/responses/input_tokens"""
        items = [*self._earlier(asked), *self._resolved(items_of(asked.body))]
        return Whole({"object": "response.input_tokens", "input_tokens": input_tokens(question_of(asked, items, self._items.keys()))})

    def retrieve(self, asked: Asked) -> Reply:
        """GET /v1/responses/{id}"""
        return Whole(self._find(asked.model).response)

    def delete(self, asked: Asked) -> Reply:
        """DELETE /v1/responses/{id}"""
        self._find(asked.model)
        del self._kept[asked.model]
        return Whole({"id": asked.model, "object": "response", "deleted": True})

    def _find(self, name: str) -> _Kept:
        if name not in self._kept:
            raise Refusal(404, f"Response with id '{name}' not found.")
        return self._kept[name]

    def _earlier(self, asked: Asked) -> list[Any]:
        name = asked.body.get("previous_response_id")
        if name is None or (name not in self._kept and allows_foreign(asked.headers)):
            return []
        need(
            name in self._kept,
            f"Previous response with id '{name}' not found.",
            "previous_response_id",
            "previous_response_not_found",
        )
        return self._kept[name].items

    def _resolved(self, items: list[Any]) -> list[Any]:
        """References to items as the items they mean."""
        return [self._items.get(str(item.get("id")), item) if item.get("type") == "item_reference" else item for item in items]

    def _check_company(self, items: list[Any]) -> None:
        here = {str(item.get("id")) for item in items}
        for item in items:
            needed = self._needs.get(str(item.get("id")))
            need(
                needed is None or needed in here,
                f"Item '{item.get('id')}' of type '{item.get('type')}' was provided without its required 'reasoning' item: '{needed}'.",
                "input",
            )

    def _keep(self, response: Json, items: list[Any], store: bool) -> None:
        if store:
            self._kept[response["id"]] = _Kept([*items, *response["output"]], response)
            reasoning = next((item["id"] for item in response["output"] if item["type"] == "reasoning"), None)
            for item in response["output"]:
                self._items[item["id"]] = item
                if reasoning not in (None, item["id"]):
                    self._needs[item["id"]] = reasoning
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        while len(self._items) > 4 * KEPT:
            self._needs.pop(self._items.popitem(last=False)[0], None)

    def _response(self, asked: Asked, question: Question, one: Answer) -> Json:
        body = asked.body
        cut = one.finish == "length"
        reasoning = body.get("reasoning") or {}
        text = body.get("text") or {}
        return {
            "id": f"resp_{one.id}",
            "object": "response",
            "created_at": CREATED,
            "status": "incomplete" if cut else "completed",
            "completed_at": None if cut else CREATED,
            "error": None,
            "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
            "model": question.model,
            "output": output_of(asked, question, one),
            "reasoning": {"effort": reasoning.get("effort"), "summary": reasoning.get("summary")},
            "text": {"format": text.get("format") or {"type": "text"}, "verbosity": text.get("verbosity") or "medium"},
            "service_tier": "default",
            "usage": {
                "input_tokens": one.input_tokens,
                "input_tokens_details": {"cached_tokens": 0},
                "output_tokens": one.output_tokens,
                "output_tokens_details": {"reasoning_tokens": one.reasoning_tokens},
                "total_tokens": one.input_tokens + one.output_tokens,
            },
            **{name: usual if body.get(name) is None else body[name] for name, usual in _ECHOED.items()},
        }


def output_of(asked: Asked, question: Question, one: Answer) -> list[Json]:
    """The items of the answer: reasoning, a web search, calls, a message."""
    items: list[Json] = []
    status = "incomplete" if one.finish == "length" else "completed"
    if one.thinking:
        thinking = "".join(one.thinking)
        told = (asked.body.get("reasoning") or {}).get("summary") or not question.think
        summary = [{"type": "summary_text", "text": thinking}] if told else []
        item: Json = {"id": f"rs_{one.id}", "type": "reasoning", "summary": summary}
        if "reasoning.encrypted_content" in (asked.body.get("include") or []):
            item["encrypted_content"] = carry(VENDOR, thinking)
        items.append(item)
    if question.searches:
        action = {"type": "search", "query": question.prompt[:100]}
        items.append({"id": f"ws_{one.id}", "type": "web_search_call", "status": "completed", "action": action})
    items += [
        {
            "id": f"fc_{call.id}",
            "type": "function_call",
            "status": "completed",
            "call_id": f"call_{call.id}",
            "name": call.name,
            "arguments": json.dumps(call.arguments, ensure_ascii=False),
        }
        for call in one.calls
    ]
    if one.pieces or (not one.calls and status == "completed"):  # a limit that fell into the reasoning leaves no message
        items.append(_message(question, one, status))
    return items


def _message(question: Question, one: Answer, status: str) -> Json:
    found = {
        "type": "url_citation",
        "start_index": 0,
        "end_index": len(one.text),
        "url": f"https://example.com/{hashlib.sha256(question.prompt.encode()).hexdigest()[:8]}",
        "title": "A simulated page",
    }
    part = {"type": "output_text", "text": one.text, "annotations": [found] if question.searches else [], "logprobs": []}
    return {"id": f"msg_{one.id}", "type": "message", "status": status, "role": "assistant", "content": [part]}
