"""The client side: apps that speak `POST /v1/responses` to us."""

from __future__ import annotations

from edgegate.dialects.base import Chat, ClientSide, Json, Operation
from edgegate.dialects.openai.errors import DIALECT, render
from edgegate.dialects.responses.answer import response_of
from edgegate.dialects.responses.asking import chat_of
from edgegate.dialects.responses.breaking import broken_off
from edgegate.dialects.responses.check import check_responses
from edgegate.dialects.responses.encode import Encode
from edgegate.errors import GatewayError
from edgegate.taps import Tap


class ResponsesClient(ClientSide):
    """See `ClientSide`."""

    format = "openai.responses"
    dialect = DIALECT
    operation = Operation.CHAT

    def check(self, request: Json) -> None:
        check_responses(request)

    def neutral(self, request: Json) -> Chat:
        return chat_of(request)

    def whole(self, request: Json, reply: bytes) -> bytes:
        return response_of(request, reply)

    def stream(self, request: Json, id: str) -> Tap:
        return Encode(request, id)

    def error(self, error: GatewayError, request_id: str) -> bytes:
        return render(error)

    def error_event(self, error: GatewayError, request_id: str) -> bytes:
        return broken_off(error, request_id)
