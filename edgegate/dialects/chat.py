"""The chat: edgegate's neutral form, which is OpenAI's chat-completions JSON with the ecosystem's extensions.

A request is a dict as `POST /v1/chat/completions` takes it, a reply the JSON that endpoint answers, a stream its chunks.
Extensions, all optional, all named as other software already names them:

- `message.reasoning_content` / `delta.reasoning_content`: reasoning as text.
- `message.thinking_blocks` / `delta.thinking_blocks`: Anthropic's blocks `{type: thinking, thinking, signature}` and
  `{type: redacted_thinking, data}`, unchanged, for sending back. In a stream the text goes by as `reasoning_content` and the
  block follows, whole, when its signature has arrived.
- `cache_control` on content parts, messages and tools: Anthropic's prompt caching marks.
- `tool_calls[].extra_content.google.thought_signature`: Gemini's signature of a call (the name Google's own OpenAI
  endpoint uses); the same on a message: the signature of its text; on a content part or an image: the part's. What else only
  Gemini has a word for stands there too (`dialects/gemini/conversation.py` and `parts.py`).
- `choices[].extra_content.google`: what Gemini tells of an answer and does not want back (grounding metadata);
  `choices[].native_finish_reason`: the provider's own word where OpenAI has none (OpenRouter's name for it).
- `message.reasoning_details` / `delta.reasoning_details`: OpenRouter's list for reasoning that must be sent back. Reasoning
  items of OpenAI's Responses are `{type: reasoning.encrypted, id, data, format: openai-responses-v1, index}` and
  `{type: reasoning.summary, id, summary, format, index}`; `index` is the place among the output items of the reply.
  Reasoning that Mistral signed is `{type: reasoning.text, text, signature, format: mistral-v1, index}`.
- A client that has one opaque place only keeps the state of other vendors as a seal in it (see `sealed.py`).
- `message.provider_items` / `delta.provider_items`: items of OpenAI's Responses that the chat has no word for (what its tools
  did), whole, each with its `index`; `extra_content.openai` of a message or call: its item's `id`, `index` and the like.
- `message.images` / `delta.images`: generated pictures, `{index, type: image_url, image_url: {url: "data:..."}}`.
- `message.annotations`: citations. `{type: url_citation, url_citation: {url, title, start_index, end_index}}`; those of
  documents keep their vendor's own type.
- Content parts beside `text`, `image_url` and `input_audio`: `{type: file, file: {file_data: data URL | file_id | file_url,
  filename?}}` (`file_url` is the Responses API's name), `{type: video_url, video_url: {url}}` (vLLM's, OpenRouter's).
- `tools[]` of another type than `function` are tools that a vendor runs, in that vendor's own words. `server_tool` says what
  they are for, so that a provider with the same kind of tool can offer its own; so does `web_search_options`.
- `tool_calls[].extra_content.anthropic.caller`: who called a tool, where it was not the model itself.
- `is_error: true` on tool messages; `choices[].stop_reason`: the stop sequence that matched (vLLM's name for it).
- Content parts, tools and request fields of Anthropic's own that the chat has no word for stay in place under their own
  names and types (`dialects/anthropic/asking.py`); a provider side that cannot carry one leaves it out and names it.
- `usage.prompt_tokens_details.{cached_tokens, cache_write_tokens, cache_write_1h_tokens}`.

This module writes chunks and completions and reads the parts of requests that every translator needs.
"""

from __future__ import annotations

from typing import Any

import orjson

from edgegate.dialects.base import Chat, Json, Usage
from edgegate.errors import bad_request

DONE = b"data: [DONE]\n\n"


def usage_json(usage: Usage) -> Json:
    """Usage as OpenAI writes it (prompt_tokens includes cached, completion_tokens includes reasoning)."""
    details: Json = {"cached_tokens": usage.cached_tokens}
    if usage.cache_write_tokens:
        details["cache_write_tokens"] = usage.cache_write_tokens
    if usage.cache_write_1h_tokens:
        details["cache_write_1h_tokens"] = usage.cache_write_1h_tokens
    written: Json = {"reasoning_tokens": usage.reasoning_tokens}
    if usage.input_audio_tokens:
        details["audio_tokens"] = usage.input_audio_tokens
    if usage.input_image_tokens:
        details["image_tokens"] = usage.input_image_tokens
    if usage.output_audio_tokens:
        written["audio_tokens"] = usage.output_audio_tokens
    if usage.output_image_tokens:
        written["image_tokens"] = usage.output_image_tokens
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": details,
        "completion_tokens_details": written,
    }


def read_usage(value: Any, usage: Usage) -> bool:
    """Takes over an OpenAI-shaped usage object, whatever subset of it is there. False if it is not an object."""
    if not isinstance(value, dict):
        return False
    prompt = value.get("prompt_tokens_details") or {}
    completion = value.get("completion_tokens_details") or {}
    usage.input_tokens = count(value.get("prompt_tokens"))
    usage.output_tokens = count(value.get("completion_tokens"))
    if "prompt_tokens" not in value and not usage.output_tokens:  # embeddings and rerank at Voyage
        usage.input_tokens = count(value.get("total_tokens"))
    if isinstance(prompt, dict):
        usage.cached_tokens = count(prompt.get("cached_tokens"))
        usage.cache_write_tokens = count(prompt.get("cache_write_tokens"))
        usage.cache_write_1h_tokens = count(prompt.get("cache_write_1h_tokens"))
        usage.input_audio_tokens = min(count(prompt.get("audio_tokens")), usage.input_tokens)
        usage.input_image_tokens = min(count(prompt.get("image_tokens")), usage.input_tokens)
    if isinstance(completion, dict):
        usage.reasoning_tokens = count(completion.get("reasoning_tokens"))
        usage.output_audio_tokens = min(count(completion.get("audio_tokens")), usage.output_tokens)
        usage.output_image_tokens = min(count(completion.get("image_tokens")), usage.output_tokens)
    _add_reasoning(value, usage)
    if not usage.cached_tokens:  # flat names: DeepSeek, Together, Mistral
        for name in ("prompt_cache_hit_tokens", "cached_tokens", "num_cached_tokens"):
            if value.get(name):
                usage.cached_tokens = count(value[name])
    # OpenRouter counts the same tokens as read and as written (openrouter/chat-cached-3832c74d); they are parts of one sum
    usage.cached_tokens = min(usage.cached_tokens, usage.input_tokens)
    usage.cache_write_tokens = min(usage.cache_write_tokens, usage.input_tokens - usage.cached_tokens)
    usage.cache_write_1h_tokens = min(usage.cache_write_1h_tokens, usage.cache_write_tokens)
    usage.reported = True
    return True


def _add_reasoning(value: Json, usage: Usage) -> None:
    """Reasoning that a vendor counts beside the completion instead of in it: its total says so. xAI names it in the details,
    Google's OpenAI endpoint does not (gemini/chat-tools-toolcall-toolchoice-reasoning-5fe1b3fd: 35 + 12 of 109)."""
    beside = count(value.get("total_tokens")) - usage.input_tokens - usage.output_tokens
    if beside <= 0 or "prompt_tokens" not in value or "completion_tokens" not in value:
        return
    if beside == usage.reasoning_tokens or not isinstance(value.get("completion_tokens_details"), dict):
        usage.reasoning_tokens = beside
        usage.output_tokens += beside


_TIERS = {"batch": "batch", "flex": "flex", "priority": "priority", "fast": "priority", "ultrafast": "ultrafast"}
"""OpenAI renamed priority processing to fast mode; replies may use either name."""


def tier_of(value: Any) -> str:
    """A reply's service tier as `Usage.tier` has it: empty for the usual one, whatever vendors call that."""
    return _TIERS.get(value, "") if isinstance(value, str) else ""


def count(value: Any) -> int:
    """A token count out of foreign JSON: anything that is not a sensible number is 0."""
    return int(value) if isinstance(value, (int, float)) and 0 < value < 1e15 else 0


class ChunkWriter:
    """Writes `chat.completion.chunk` events with one id, time and model. Each method returns the bytes of whole events.

    The frequent event (a piece of text) is made from a fixed prefix and suffix, half the cost of a dict and orjson.dumps.
    """

    __slots__ = ("_prefix", "_text")

    def __init__(self, id: str, created: int, model: str) -> None:
        head = orjson.dumps({"id": id, "object": "chat.completion.chunk", "created": created, "model": model})
        self._prefix = b"data: " + head[:-1] + b',"choices":['
        self._text = self._prefix + b'{"index":0,"delta":{"content":'

    def text(self, piece: str) -> bytes:
        """A piece of the answer's text, choice 0."""
        return self._text + orjson.dumps(piece) + b'},"finish_reason":null}]}\n\n'

    def delta(self, delta: Json, index: int = 0, finish_reason: str | None = None, **more: Any) -> bytes:
        """Any delta. `more` are further keys of the choice, e.g. logprobs."""
        choice = {"index": index, "delta": delta, **more, "finish_reason": finish_reason}
        return self._prefix + orjson.dumps(choice) + b"]}\n\n"

    def role(self, index: int = 0) -> bytes:
        return self.delta({"role": "assistant", "content": ""}, index)

    def reasoning(self, piece: str, index: int = 0) -> bytes:
        return self.delta({"reasoning_content": piece}, index)

    def call(self, at: int, id: str, name: str, arguments: str = "", index: int = 0, extra: Json | None = None) -> bytes:
        """The first delta of the tool call number `at` (counted over tool calls only)."""
        call = {"index": at, "id": id, "type": "function", "function": {"name": name, "arguments": arguments}, **(extra or {})}
        return self.delta({"tool_calls": [call]}, index)

    def arguments(self, at: int, piece: str, index: int = 0) -> bytes:
        """A further piece of the arguments of tool call number `at`."""
        return self.delta({"tool_calls": [{"index": at, "function": {"arguments": piece}}]}, index)

    def finish(self, reason: str, index: int = 0) -> bytes:
        return self.delta({}, index, reason)

    def usage(self, usage: Usage) -> bytes:
        """The extra last chunk: no choices, the usage."""
        return self._prefix + b'],"usage":' + orjson.dumps(usage_json(usage)) + b"}\n\n"


def completion(id: str, created: int, model: str, choices: list[Json], usage: Usage) -> bytes:
    """A plain chat completion."""
    body: Json = {"id": id, "object": "chat.completion", "created": created, "model": model, "choices": choices}
    if usage.reported:
        body["usage"] = usage_json(usage)
    return orjson.dumps(body)


def text_of(content: Any) -> str:
    """The text of a message's content: a string, or the text parts of a list joined without separator."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict) and part.get("type") in ("text", "refusal"))
    return ""


def parts_of(content: Any) -> list[Json]:
    """A message's content as a list of parts; null is no part."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []


def max_tokens_of(chat: Chat) -> int | None:
    """`max_completion_tokens`, else the older `max_tokens`."""
    value = chat.get("max_completion_tokens")
    return value if value is not None else chat.get("max_tokens")


def arguments_of(call: Json, param: str) -> Json:
    """A tool call's arguments as an object, for providers that want one. Empty text is the empty object."""
    text = (call.get("function") or {}).get("arguments") or "{}"
    if isinstance(text, dict):
        return text
    try:
        value = orjson.loads(text)
    except (orjson.JSONDecodeError, TypeError):
        value = None
    if not isinstance(value, dict):
        raise bad_request("expected a JSON object, written as a string", f"{param}.function.arguments")
    return value


def marks_cache(chat: Chat) -> bool:
    """Whether a chat holds Anthropic's prompt caching marks, on parts, messages or tools: for providers that have none."""
    for owner in (*dicts(chat.get("messages")), *dicts(chat.get("tools"))):
        if "cache_control" in owner or any("cache_control" in part for part in dicts(owner.get("content"))):
            return True
    return False


def dicts(value: Any) -> list[Json]:
    """The objects of a list in foreign JSON; nothing for what is no list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def server_tool(tool: Json) -> str:
    """What a tool that the vendor runs is for: `web_search`, `web_fetch` or `code_execution`, by any vendor's name for it; ""
    for others. OpenAI: web_search, web_search_preview, code_interpreter. Anthropic: web_search_20250305, web_fetch_20250910,
    code_execution_20250825. Gemini: an object with google_search, url_context or code_execution as its key."""
    kind = tool.get("type")
    names = (kind,) if isinstance(kind, str) and kind != "function" else tuple(tool)
    for name in names:
        low = name.lower().replace("_", "")
        if low.startswith(("websearch", "googlesearch")):
            return "web_search"
        if low.startswith(("webfetch", "urlcontext")):
            return "web_fetch"
        if low.startswith(("codeexecution", "codeinterpreter")):
            return "code_execution"
    return ""


def arguments_text(function: Json) -> str:
    """A call's arguments as text. Some vendors give an object, or nothing."""
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        return arguments
    return "" if arguments is None else orjson.dumps(arguments).decode()


def data_url(url: str) -> tuple[str, str] | None:
    """(media type, base64 data) of a `data:` URL, or None for any other URL."""
    if not url.startswith("data:"):
        return None
    head, _, data = url[5:].partition(",")
    media, _, encoding = head.partition(";")
    return (media or "text/plain", data) if encoding.rpartition(";")[2] == "base64" else None
