"""The client sides of `/api/chat` and `/api/generate`: apps that know only Ollama speak them to us."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgegate.dialects.base import Chat, ClientSide, Json, Operation
from edgegate.dialects.ollama.answer import chat_reply, generate_reply
from edgegate.dialects.ollama.asking import chat_of, chat_of_generate
from edgegate.dialects.ollama.check import check_chat, check_generate
from edgegate.dialects.ollama.encode import Encode
from edgegate.dialects.ollama.loading import loaded, loads_chat, loads_generate
from edgegate.dialects.ollama.models import plain_name
from edgegate.dialects.ollama.words import DIALECT, NDJSON, error_body, unbroken
from edgegate.errors import GatewayError
from edgegate.taps import Tap


class OllamaErrors(ClientSide):
    """What all of Ollama's client formats share."""

    dialect = DIALECT
    stream_type = NDJSON
    twins: Mapping[str, str] = {"think": "reasoning_effort"}

    def model(self, request: Json) -> str:
        return plain_name(request["model"])

    def temperature(self, request: Json) -> Any:
        return (request.get("options") or {}).get("temperature")

    def error(self, error: GatewayError, request_id: str) -> bytes:
        return error_body(error)

    def error_event(self, error: GatewayError, request_id: str) -> bytes:
        return unbroken(error_body(error)) + b"\n"


class OllamaChatClient(OllamaErrors):
    """See `ClientSide`."""

    format = "ollama.chat"
    operation = Operation.CHAT

    def streams(self, request: Json) -> bool:
        """Absent means true; but a request that only loads the model is answered plainly."""
        return request.get("stream") is not False and not loads_chat(request)

    def check(self, request: Json) -> None:
        check_chat(request)

    def neutral(self, request: Json) -> Chat:
        return chat_of(request, stream=self.streams(request))

    def whole(self, request: Json, reply: bytes) -> bytes:
        return chat_reply(request, reply)

    def stream(self, request: Json, id: str) -> Tap:
        return Encode(request["model"])

    def local(self, request: Json, created: int) -> bytes | None:
        """The whole reply to a request without messages, None for any other (see `loading`)."""
        return loaded(request, created, {"message": {"role": "assistant", "content": ""}}) if loads_chat(request) else None


class OllamaGenerateClient(OllamaErrors):
    """See `ClientSide`. The prompt becomes one user message."""

    format = "ollama.generate"
    operation = Operation.COMPLETION

    def streams(self, request: Json) -> bool:
        """As for chats."""
        return request.get("stream") is not False and not loads_generate(request)

    def check(self, request: Json) -> None:
        check_generate(request)

    def neutral(self, request: Json) -> Chat:
        return chat_of_generate(request, stream=self.streams(request))

    def whole(self, request: Json, reply: bytes) -> bytes:
        return generate_reply(request, reply)

    def stream(self, request: Json, id: str) -> Tap:
        return Encode(request["model"], generate=True)

    def local(self, request: Json, created: int) -> bytes | None:
        """The whole reply to a request without a prompt, None for any other (see `loading`)."""
        return loaded(request, created, {"response": ""}) if loads_generate(request) else None
