"""The client sides: apps that speak `POST /v1/messages` to us, and those that have its input tokens counted."""

from __future__ import annotations

from edgegate.dialects.anthropic import errors
from edgegate.dialects.anthropic.answer import message_of
from edgegate.dialects.anthropic.asking import chat_of
from edgegate.dialects.anthropic.check import check_messages
from edgegate.dialects.anthropic.encode import Encode
from edgegate.dialects.anthropic.words import COUNT_FORMAT, DIALECT, FORMAT
from edgegate.dialects.base import Chat, ClientSide, Json, Operation
from edgegate.errors import GatewayError
from edgegate.taps import Tap


class MessagesClient(ClientSide):
    """See `ClientSide`."""

    format = FORMAT
    dialect = DIALECT
    operation = Operation.CHAT

    def check(self, request: Json) -> None:
        check_messages(request)

    def neutral(self, request: Json) -> Chat:
        return chat_of(request)

    def whole(self, request: Json, reply: bytes) -> bytes:
        return message_of(request, reply)

    def stream(self, request: Json, id: str) -> Tap:
        return Encode(str(request["model"]), id)

    def error(self, error: GatewayError, request_id: str) -> bytes:
        return errors.error_body(error, request_id)

    def error_event(self, error: GatewayError, request_id: str) -> bytes:
        return errors.error_event(error, request_id)


class CountTokensClient(ClientSide):
    """`POST /v1/messages/count_tokens`. A plain reply in neutral form, `{"input_tokens": n}`, is already Anthropic's."""

    format = COUNT_FORMAT
    dialect = DIALECT
    operation = Operation.COUNT_TOKENS

    def streams(self, request: Json) -> bool:
        return False

    def check(self, request: Json) -> None:
        check_messages(request, limited=False)

    def neutral(self, request: Json) -> Chat:
        chat = chat_of(request)
        for name in ("stream", "stream_options"):
            chat.pop(name, None)
        return chat

    def whole(self, request: Json, reply: bytes) -> bytes:
        return reply

    def error(self, error: GatewayError, request_id: str) -> bytes:
        return errors.error_body(error, request_id)

    def error_event(self, error: GatewayError, request_id: str) -> bytes:
        return errors.error_event(error, request_id)
