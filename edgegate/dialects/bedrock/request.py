"""A chat as a Converse request: an allow-list, because Bedrock refuses a request with a key that it does not know."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson

from edgegate.dialects.base import Ask, Chat, Json, WireRequest
from edgegate.dialects.bedrock.families import Family, base_id, family_of, path_of
from edgegate.dialects.bedrock.formats import Format, forced_tool, format_of, instruction, text_format
from edgegate.dialects.bedrock.reasoning import is_thinking, reasoning_fields
from edgegate.dialects.bedrock.tools import anthropics_tools, tool_config
from edgegate.dialects.bedrock.turns import Turns
from edgegate.dialects.chat import max_tokens_of
from edgegate.dialects.custom import as_functions
from edgegate.dialects.losses import Losses
from edgegate.errors import bad_request

OWN = ("guardrailConfig", "performanceConfig", "requestMetadata", "promptVariables", "additionalModelResponseFieldPaths", "serviceTier")
"""Fields of Bedrock's that a chat may hold unchanged, beside `additionalModelRequestFields`, which ours are merged into."""

_READ = frozenset(
    {
        *("model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens", "temperature", "top_p", "top_k", "stop"),
        *("tools", "tool_choice", "parallel_tool_calls", "web_search_options", "response_format", "reasoning_effort", "thinking"),
        *("output_config", "cache_control", "metadata", "service_tier", "n", "additionalModelRequestFields", *OWN),
    }
)
_SAYS_NOTHING: tuple[Any, ...] = (None, False, 0, {}, [], ["text"], "medium")  # of logprobs, store, penalties, modalities, verbosity
_TIERS = ("default", "flex", "priority", "reserved")
_NOTE = re.compile(r"[a-zA-Z0-9\s:_@$#=/+,\-.]{0,256}")
_JSON = [(b"content-type", b"application/json")]


def converse_request(ask: Ask) -> WireRequest:
    losses = Losses(ask.approximate)
    body = converse_body(ask, losses)
    accept = b"application/vnd.amazon.eventstream" if ask.stream else b"application/json"
    path = path_of(ask.model, "converse-stream" if ask.stream else "converse")
    return WireRequest(path, orjson.dumps(body), [*_JSON, (b"accept", accept)], losses.dropped, losses.mapped)


def count_request(ask: Ask) -> WireRequest:
    """Counting takes a part of the request, and ids without a region."""
    losses = Losses(ask.approximate)
    body = converse_body(ask, losses)
    kept = {name: body[name] for name in ("messages", "system", "toolConfig", "additionalModelRequestFields") if name in body}
    path = path_of(base_id(ask.model), "count-tokens")
    return WireRequest(
        path, orjson.dumps({"input": {"converse": kept}}), [*_JSON, (b"accept", b"application/json")], losses.dropped, losses.mapped
    )


def converse_body(ask: Ask, losses: Losses) -> Json:
    chat, family = as_functions(ask.chat, losses), family_of(ask.model)
    ask = replace(ask, chat=chat)
    if (chat.get("n") or 1) != 1:
        raise bad_request("this provider gives one choice", "n")
    turns = Turns(chat, family, losses)
    if isinstance(chat.get("cache_control"), dict):
        turns.mark_end(chat)
    body: Json = {"messages": turns.messages}
    config = _format(ask, family, body, turns, losses) or tool_config(chat, family, turns, losses)
    forced = config is not None and not {"any", "tool"}.isdisjoint(config.get("toolChoice", {}))
    given = chat.get("additionalModelRequestFields")
    extra: Json = dict(given) if isinstance(given, dict) else {}
    thinking = reasoning_fields(chat, family, turns.messages, forced, losses)
    extra = {**thinking, **extra}
    beside = anthropics_tools(chat, family)
    if beside:
        extra.setdefault("tools", beside)
    if config is not None:
        body["toolConfig"] = config
    _parallel(chat, family, config, extra, forced, losses)
    inference = _inference(chat, family, extra, losses)
    turns.fold_system()
    if turns.system:
        body["system"] = turns.system
    if inference:
        body["inferenceConfig"] = inference
    if extra:
        body["additionalModelRequestFields"] = extra
    for name in OWN:
        if chat.get(name) is not None:
            body[name] = chat[name]
    if family.claude is not None and "stopSequences" in inference:  # says which of them it was
        body.setdefault("additionalModelResponseFieldPaths", ["/stop_sequence"])
    _account(chat, body, losses)
    for name, value in chat.items():
        # `x-` fields are meant for the gateway. `seed: 0` is a seed.
        if name not in _READ and not name.startswith("x-") and (value not in _SAYS_NOTHING or (name == "seed" and value is not None)):
            losses.drop(name)
    return body


def _format(ask: Ask, family: Family, body: Json, turns: Turns, losses: Losses) -> Json | None:
    """The tool configuration, where a forced tool stands for the format."""
    form = format_of(ask, family)
    if form is Format.SCHEMA:
        body["outputConfig"] = {"textFormat": text_format(ask.chat, family)}
    elif form is not Format.FREE and losses.near("response_format"):
        if form is Format.TOOL:
            return forced_tool(ask.chat, family)
        turns.system.append(instruction(ask.chat))
    return None


def _parallel(chat: Chat, family: Family, config: Json | None, extra: Json, forced: bool, losses: Losses) -> None:
    """Only Claude can be told to make one call at a time, in Anthropic's words, and only where the choice is free."""
    if chat.get("parallel_tool_calls") is not False or not chat.get("tools") or (config is None and "tools" not in extra):
        return
    if family.claude is not None and family.schema and not forced:
        extra.setdefault("tool_choice", {"type": "auto", "disable_parallel_tool_use": True})
    else:
        losses.drop("parallel_tool_calls")


def _inference(chat: Chat, family: Family, extra: Json, losses: Losses) -> Json:
    """`inferenceConfig`. Claude takes one of temperature and top_p, only 1 while thinking, and the newest neither."""
    inference: Json = {}
    limit = max_tokens_of(chat)
    if limit is not None:
        inference["maxTokens"] = limit
    claude, thinking = family.claude, family.claude is not None and is_thinking(extra)
    temperature, top_p, top_k = (_number(chat, name) for name in ("temperature", "top_p", "top_k"))
    if temperature is not None:
        if (claude is not None and not claude.sampling) or thinking:
            if temperature != 1:
                losses.drop("temperature")
        elif temperature <= 1 or losses.near("temperature"):
            inference["temperature"] = min(temperature, 1)
    if top_p is not None:
        beside = claude is not None and not claude.top_p_too and "temperature" in inference
        if (claude is not None and not claude.sampling) or beside or (thinking and top_p < 0.95):
            if top_p != 1:
                losses.drop("top_p")
        else:
            inference["topP"] = top_p
    if top_k is not None:
        if (claude is not None and not claude.sampling) or thinking:
            losses.drop("top_k")
        else:
            _top_k(top_k, family, extra, losses)
    stop = chat.get("stop")
    if stop:
        sequences: list[str] = [stop] if isinstance(stop, str) else stop
        if not isinstance(sequences, list) or not all(isinstance(sequence, str) for sequence in sequences):
            raise bad_request("expected a string or a list of strings", "stop")
        kept = [sequence for sequence in sequences if (sequence.strip() if claude is not None else sequence)]
        if kept:
            inference["stopSequences"] = kept
        if len(kept) != len(sequences):  # Claude refuses a sequence of blanks, such as a new line
            losses.drop("stop")
    return inference


def _number(chat: Chat, name: str) -> float | None:
    value = chat.get(name)
    if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
        raise bad_request("expected a number", name)
    return value


def _top_k(top_k: float, family: Family, extra: Json, losses: Losses) -> None:
    names: Mapping[str, str] = {"anthropic": "top_k", "mistral": "top_k", "cohere": "k"}
    if family.nova:  # converse-stream-e5c50bc8
        inner = extra.get("inferenceConfig")
        extra["inferenceConfig"] = {"topK": top_k, **(inner if isinstance(inner, dict) else {})}
    elif family.maker in names:
        extra.setdefault(names[family.maker], top_k)
    else:
        losses.drop("top_k")


def _account(chat: Chat, body: Json, losses: Losses) -> None:
    """Both sides' notes are the app's own, strings under names; Bedrock takes fewer characters."""
    notes = chat.get("metadata")
    if notes and "requestMetadata" not in body:
        fits = isinstance(notes, dict) and len(notes) <= 16 and all(_fits(name) and name and _fits(value) for name, value in notes.items())
        if fits:
            body["requestMetadata"] = notes
        else:
            losses.drop("metadata")
    tier = chat.get("service_tier")
    if tier is not None and tier != "auto" and "serviceTier" not in body:
        if isinstance(tier, str) and tier in _TIERS:
            if tier != "default":
                body["serviceTier"] = {"type": tier}
        else:
            losses.drop("service_tier")


def _fits(text: Any) -> bool:
    return isinstance(text, str) and _NOTE.fullmatch(text) is not None
