"""The client side of chat completions. Its format is the neutral form, so there is nothing to translate but the function
calling of old apps (see `legacy.py`)."""

from __future__ import annotations

from edgegate.dialects.base import Chat, ClientSide, Json, Operation
from edgegate.dialects.openai.check import check_chat
from edgegate.dialects.openai.errors import DIALECT, render, render_event
from edgegate.dialects.openai.legacy import ToLegacy, is_legacy, legacy_reply, modern
from edgegate.errors import GatewayError
from edgegate.taps import Outcome, Tap


class ChatClient(ClientSide):
    """How apps speak `POST /v1/chat/completions`."""

    format = "openai.chat"
    dialect = DIALECT
    operation = Operation.CHAT

    def check(self, request: Json) -> None:
        check_chat(request)

    def neutral(self, request: Json) -> Chat:
        return modern(request) if is_legacy(request) else request

    def whole(self, request: Json, reply: bytes) -> bytes:
        return legacy_reply(reply) if request.get("functions") else reply

    def stream(self, request: Json, id: str) -> Tap:
        return ToLegacy() if request.get("functions") else _AsItIs()

    def error(self, error: GatewayError, request_id: str) -> bytes:
        return render(error)

    def error_event(self, error: GatewayError, request_id: str) -> bytes:
        return render_event(error)


class _AsItIs:
    """Changes nothing, holds nothing."""

    __slots__ = ()

    def feed(self, data: bytes) -> bytes:
        return data

    def end(self, outcome: Outcome) -> bytes:
        return b""
