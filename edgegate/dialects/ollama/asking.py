"""Requests of Ollama's clients in neutral form.

What the chat has words for is said in them. The rest stays under Ollama's names: `keep_alive`, `think` (beside the effort it
stands for), `template`, and in `options` what only Ollama's runner knows (`num_ctx`, `mirostat`, ...). Ollama's provider side
sends these, others name them as dropped.
"""

from __future__ import annotations

from typing import Any

from edgegate.dialects.anthropic.schema import is_strict
from edgegate.dialects.base import Chat, Json
from edgegate.dialects.ollama.history import chat_messages, user_content
from edgegate.dialects.ollama.request import OPTIONS
from edgegate.errors import bad_request

_SAID = frozenset({"model", "messages", "tools", "stream", "format", "options", "think"})
_SAID_BY_GENERATE = frozenset({"prompt", "system", "images", "suffix", "raw", "context", "template"})
_WORDS = {ours: word for word, ours in OPTIONS.items()}
_WHOLE = frozenset({"seed", "top_k", "num_predict"})


def chat_of(request: Json, *, stream: bool) -> Chat:
    """A checked request of `/api/chat`."""
    chat: Chat = {"model": request["model"], "messages": chat_messages(request.get("messages") or [])}
    chat.update((name, value) for name, value in request.items() if name not in _SAID and value is not None)
    _settings(request, chat, stream)
    if request.get("tools"):
        chat["tools"] = [tool if tool.get("type") else {"type": "function", **tool} for tool in request["tools"]]
    return chat


def chat_of_generate(request: Json, *, stream: bool) -> Chat:
    """A checked request of `/api/generate`. A chat has no place for what goes before, around or after the one message."""
    for name, why in (
        ("suffix", "a text to fill in has no place in a chat"),
        ("raw", "a prompt with the model's own marks has no place in a chat"),
        ("context", "the tokens of an earlier answer mean something to the model that made them only"),
    ):
        if request.get(name):
            raise bad_request(f"{name}: {why}", name)
    messages: list[Json] = [{"role": "system", "content": request["system"]}] if request.get("system") else []
    messages.append({"role": "user", "content": user_content(request.get("prompt") or "", request.get("images") or [])})
    chat: Chat = {"model": request["model"], "messages": messages}
    said = _SAID | _SAID_BY_GENERATE
    chat.update((name, value) for name, value in request.items() if name not in said and value is not None)
    _settings(request, chat, stream)
    if request.get("template"):
        chat["template"] = request["template"]
    return chat


def embeddings_of(request: Json, texts: str | list[str]) -> Json:
    """A checked request of `/api/embed` or `/api/embeddings`."""
    neutral: Json = {"model": request["model"], "input": texts, "encoding_format": "float"}
    neutral.update((name, value) for name, value in request.items() if name not in ("model", "input", "prompt") and value is not None)
    return neutral


def _settings(request: Json, chat: Chat, stream: bool) -> None:
    if stream:
        chat["stream"] = True
        chat["stream_options"] = {"include_usage": True}
    _options(request.get("options") or {}, chat)
    format = request.get("format")
    if format == "json":
        chat["response_format"] = {"type": "json_object"}
    elif format:
        wanted = {"name": "response", "schema": format, **({"strict": True} if is_strict(format) else {})}
        chat["response_format"] = {"type": "json_schema", "json_schema": wanted}
    think = request.get("think")
    if think is not None and think != "":
        chat["think"] = think
        chat["reasoning_effort"] = ("medium" if think else "none") if isinstance(think, bool) else think


def _options(options: Json, chat: Chat) -> None:
    rest: Json = {}
    for name, given in options.items():
        value = _integer(given) if name in _WHOLE else given
        if value is None:
            continue
        if name in _WORDS:
            chat[_WORDS[name]] = value
        elif name == "num_predict" and value > 0:  # -1 and -2: no limit, which goes without saying elsewhere
            chat["max_completion_tokens"] = value
        elif name == "stop":
            if value:
                chat["stop"] = value
        else:
            rest[name] = value
    if rest:
        chat["options"] = rest


def _integer(value: Any) -> Any:
    """Some clients send whole numbers with a fraction of zero."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
