"""A chat as an OpenAI-shaped provider takes it.

The chat is that format already. What is left to do: take out what other dialects left in it under their own names (they
are refused; `known.py` says which), keep the extensions this provider understands, and name the output limit and the roles as
it does. What is taken out is named; what cannot be left out without changing the question is a 400.
Parts of the chat that stay as they are are shared, never changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgegate.dialects.base import Ask, Json
from edgegate.dialects.chat import server_tool
from edgegate.dialects.custom import as_functions
from edgegate.dialects.openai.known import TIERS, is_foreign, is_known
from edgegate.dialects.openai.parts import MORE_PARTS, PARTS, file_part
from edgegate.dialects.openai.quirks import PLAIN_MODELS, REASONING_MODELS, MaxTokens, Quirks
from edgegate.dialects.sealed import RESPONSES
from edgegate.dialects.vendor_parts import is_lost, is_record, name_of_tool, told
from edgegate.errors import bad_request

_MESSAGE = frozenset(("role", "content", "name", "tool_calls", "tool_call_id", "refusal", "audio", "function_call"))
_CALL = frozenset(("id", "type", "function", "custom"))
_TOOL = frozenset(("type", "function", "custom"))
_PART = ("type", "prompt_cache_breakpoint")
_SAMPLING: Mapping[str, Any] = {"temperature": 1, "top_p": 1, "presence_penalty": 0, "frequency_penalty": 0, "logit_bias": {}}
"""What reasoning models refuse, unless it is the default."""


def chat_body(ask: Ask, quirks: Quirks) -> tuple[Json, list[str], list[str]]:
    """The request's JSON, the names of the fields that had to be left out, and of those that were written another way."""
    work = _Writing(quirks, ask.approximate)
    chat = ask.chat if quirks.fields is not None else as_functions(ask.chat, work)
    body: Json = {}
    for name, value in chat.items():
        if value is None or name.startswith("x-"):
            continue
        others = name == "service_tier" and quirks.fields is not None and not (isinstance(value, str) and value in TIERS)
        if others or name in quirks.refuses - quirks.keeps or not is_known(name, quirks.fields, quirks.keeps):
            work.dropped.add(name)
        else:
            body[name] = value
    body["model"] = ask.model
    body["messages"] = work.messages(chat.get("messages") or [])
    work.begun(chat, body)
    work.tools(body, ask.model)
    work.limit(body, ask.model)
    work.sampling(body, ask.model)
    work.stream(body, ask.stream)
    work.effort(ask.chat, body)
    return body, sorted(work.dropped), sorted(work.mapped)


class _Writing:
    """One request being written; `dropped` and `mapped` gather names."""

    def __init__(self, quirks: Quirks, approximate: bool) -> None:
        self.dropped: set[str] = set()
        self.mapped: set[str] = set()
        self._approximate = approximate
        self._quirks = quirks
        self._parts_taken = PARTS | (MORE_PARTS & quirks.keeps)
        self._message = _MESSAGE | quirks.keeps
        self._call = _CALL | quirks.keeps
        self._tool = _TOOL | quirks.keeps

    def near(self, name: str) -> bool:
        """Whether a field may be written another way; noted as mapped or as dropped."""
        (self.mapped if self._approximate else self.dropped).add(name)
        return self._approximate

    def effort(self, chat: Json, body: Json) -> None:
        """Anthropic's words for how much to think are in the chat beside the effort they mean: if that is sent, they are not
        lost. A budget of tokens is, strictly speaking."""
        if "reasoning_effort" not in body:
            return
        config = chat.get("output_config")
        said = {"output_config"} if isinstance(config, dict) and config.keys() <= {"effort"} else set()
        if self._approximate:
            said |= {"thinking"}
            self.mapped |= self.dropped & said
        self.dropped -= said

    def begun(self, chat: Json, body: Json) -> None:
        """A last message that is the beginning of the answer, in the words of a provider that wants to be told."""
        name, fields = self._quirks.prefix, self._quirks.continues
        last = (chat.get("messages") or [{}])[-1]
        if (name or fields) and last.get("role") == "assistant" and last.get("prefix") is True:
            self.dropped.discard("prefix")
            body.update(fields)
            if name:
                body["messages"][-1] = {**body["messages"][-1], name: True}

    def limit(self, body: Json, model: str) -> None:
        rule = self._quirks.max_tokens
        if rule is MaxTokens.EITHER:
            return
        new = rule is MaxTokens.NEW
        if rule is MaxTokens.BY_MODEL:
            new = is_reasoning(model)
            if model.startswith(PLAIN_MODELS) and body.pop("reasoning_effort", None) is not None:
                self.dropped.add("reasoning_effort")
        old_name, new_name = ("max_tokens", "max_completion_tokens") if new else ("max_completion_tokens", "max_tokens")
        limit = body.pop(old_name, None)
        if limit is not None:
            body.setdefault(new_name, limit)

    def sampling(self, body: Json, model: str) -> None:
        if self._quirks.fields is None or not is_reasoning(model) or is_free(model, body.get("reasoning_effort")):
            return
        for name, default in _SAMPLING.items():
            value = body.get(name)
            if value is not None and value != default:
                del body[name]
                self.dropped.add(name)
        if body.get("logprobs"):
            self.dropped.add("logprobs")
            body.pop("logprobs")
            body.pop("top_logprobs", None)

    def stream(self, body: Json, stream: bool) -> None:
        options = body.pop("stream_options", None)
        body.pop("stream", None)
        if not stream:
            return
        body["stream"] = True
        if self._quirks.stream_usage:
            body["stream_options"] = {**(options if isinstance(options, dict) else {}), "include_usage": True}

    def tools(self, body: Json, model: str) -> None:
        """Functions go on, and so do a provider's own kinds of tools (`{"type": "openrouter:web_search"}`). Of the tools that
        another vendor runs, OpenAI's models for searching have the one for the web, as an option; the rest cannot go."""
        tools = []
        for tool in body.get("tools") or []:
            kind = tool.get("type")
            if kind in ("function", "custom"):
                tools.append(self._only(tool, self._tool))
                continue
            if self._quirks.fields is None and not is_foreign(tool, self._quirks.keeps):
                tools.append(tool)
            elif self._quirks.fields is not None and "-search" in model and server_tool(tool) == "web_search":
                if self.near(name_of_tool(tool)):
                    body.setdefault("web_search_options", _search_options(tool))
            else:
                self.dropped.add(name_of_tool(tool)[:60])
        choice = body.get("tool_choice")
        if choice == "any":  # Mistral's word
            choice = body["tool_choice"] = "required"
        if tools:
            fewer = len(tools) < len(body["tools"])
            body["tools"] = tools
            chosen = choice.get("function") if isinstance(choice, dict) and choice.get("type") == "function" else None
            offered = [tool["function"].get("name") for tool in tools if isinstance(tool.get("function"), dict)]
            if fewer and isinstance(chosen, dict) and chosen.get("name") not in offered:
                del body["tool_choice"]  # Anthropic's own tools are chosen by name, too
                self.dropped.add("tool_choice")
            return
        if choice is not None and choice not in ("auto", "none"):
            self.dropped.add("tool_choice")
        for name in ("tools", "tool_choice", "parallel_tool_calls"):  # refused where there are no tools
            body.pop(name, None)

    def messages(self, messages: list[Json]) -> list[Json]:
        out: list[Json] = []
        pictures: list[Json] = []  # of tool results: only user messages may hold them
        for at, original in enumerate(messages):
            message = self._one(original, f"messages[{at}]")
            if message["role"] != "tool":
                if pictures:
                    out.append({"role": "user", "content": pictures})
                    pictures = []
            elif isinstance(message.get("content"), list):
                message, found = _text_only(message)
                pictures += found
            out.append(message)
        if pictures:
            out.append({"role": "user", "content": pictures})
        return out

    def _one(self, original: Json, param: str) -> Json:
        message = self._only(original, self._message)
        if None in message.values():  # huggingface/chat-*: `name: null`, which OpenAI refuses
            message = {name: value for name, value in message.items() if value is not None or name == "content"}
        role = message["role"]
        changes: Json = {}
        content = message.get("content")
        if isinstance(content, list):
            changes["content"] = self._parts(content, role, f"{param}.content") or ""
        elif content is None and role == "assistant" and not _acts(message):
            changes["content"] = ""  # nothing is left of a turn that was only thinking; null is refused
        if role == "developer" and not self._quirks.developer_role:
            changes["role"] = "system"
        if "reasoning_details" in message:
            changes["reasoning_details"] = self._details(message["reasoning_details"])
        if "extra_content" in message:  # of what vendors want back, Gemini's is the only one under this name
            changes["extra_content"] = _googles(message["extra_content"])
        calls = message.get("tool_calls")
        if calls and role == "assistant":
            changes["tool_calls"] = [self._call_of(call) for call in calls]
        elif "tool_calls" in message:  # "[] is too short - 'messages.1.tool_calls'"
            message = {name: value for name, value in message.items() if name != "tool_calls"}
        return {**message, **changes} if changes else message

    def _details(self, details: Any) -> list[Any]:
        """Reasoning to be sent back, without what was signed for another vendor (`RESPONSES`: OpenRouter signs so, too)."""
        given = details if isinstance(details, list) else []
        refused = {RESPONSES, "mistral-v1"} - self._quirks.keeps
        kept = [detail for detail in given if not isinstance(detail, dict) or detail.get("format") not in refused]
        if len(kept) < len(given):
            self.dropped.add("reasoning_details")
        return kept

    def _call_of(self, call: Json) -> Json:
        call = self._only(call, self._call)
        return {**call, "extra_content": _googles(call["extra_content"])} if "extra_content" in call else call

    def _parts(self, parts: list[Json], role: str, param: str) -> list[Json]:
        out = []
        for at, part in enumerate(parts):
            kind = part.get("type")
            kind = kind if isinstance(kind, str) else None
            known: Json | None = part if kind in self._parts_taken else None
            if role == "assistant" and self._quirks.fields is not None and kind not in ("text", "refusal"):
                known = None
            elif kind == "file":
                known = file_part(part, self._quirks.keeps)
            words = told(part) if known is None and kind != "file" else None
            if known is not None:  # elsewhere, what a user shows must not be left out: that would change the question
                out.append(self._only(known, frozenset((*_PART, kind)) | self._quirks.keeps))
            elif words is not None and self.near(f"content.{kind}"):
                out.append({"type": "text", "text": words})
            elif role == "assistant" or is_record(kind):  # a vendor's own blocks in the history: the text beside them tells the outcome
                self.dropped.add(f"content.{kind}")
            else:
                raise bad_request(
                    f"This provider cannot take content of type '{'file_url' if kind == 'file' else str(kind)[:40]}'.",
                    f"{param}[{at}]",
                    code="unsupported_value",
                )
        return out

    def _only(self, value: Json, allowed: frozenset[Any]) -> Json:
        """An object without keys that are not allowed; the same object if there are none."""
        if value.keys() <= allowed:
            return value
        lost = {name for name in value.keys() - allowed if value[name] is not None}
        self.dropped |= lost if is_lost(value) else lost - {"extra_content"}
        return {name: item for name, item in value.items() if name in allowed}


def is_reasoning(model: str) -> bool:
    """Whether OpenAI's model of this name, a fine-tuned one included, thinks before it answers. Chat variants do not."""
    name = model.rpartition("/")[2].removeprefix("ft:")
    return name.startswith(REASONING_MODELS) and "-chat" not in name


def is_free(model: str, effort: Any) -> bool:
    """Whether a reasoning model takes temperatures and the like: from gpt-5.1 on, as long as it does not reason."""
    name = model.rpartition("/")[2].removeprefix("ft:")
    return name.startswith(("gpt-5.", "gpt-6")) and effort in (None, "none")


def _googles(extra: Any) -> Any:
    return {name: value for name, value in extra.items() if name == "google"} if isinstance(extra, dict) else extra


def _search_options(tool: Json) -> Json:
    """What a web search tool was told, as the options of a chat have it."""
    options: Json = {}
    if isinstance(tool.get("search_context_size"), str):
        options["search_context_size"] = tool["search_context_size"]
    place = tool.get("user_location")
    if isinstance(place, dict):
        rest = {name: value for name, value in place.items() if name != "type" and value is not None}
        options["user_location"] = place if "approximate" in place else {"type": "approximate", "approximate": rest}
    return options


def _acts(message: Json) -> bool:
    return any(message.get(name) for name in ("tool_calls", "function_call", "audio", "refusal"))


def _text_only(message: Json) -> tuple[Json, list[Json]]:
    """A tool's result without the parts OpenAI takes in user messages only, and these parts."""
    content = message["content"]
    others = [part for part in content if part["type"] not in ("text", "refusal")]
    if not others:
        return message, []
    texts = [part for part in content if part["type"] in ("text", "refusal")]
    return {**message, "content": texts or "The result is in the next user message."}, others
