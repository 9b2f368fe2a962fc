"""The dialect of no dialect: an app behind the gateway whose paths are relayed as they are. It serves no models."""

from __future__ import annotations

from collections.abc import Mapping

from edgegate.dialects.base import Ask, HeaderList, Json, Progress, WireRequest
from edgegate.errors import GatewayError, bad_request, provider_error
from edgegate.taps import Tap


class HttpProvider:
    """Only `authorize` has a meaning: a configured key is sent as a bearer token."""

    name = "http"
    native: Mapping[str, str] = {}

    def authorize(self, key: str) -> HeaderList:
        return [(b"authorization", f"Bearer {key}".encode())] if key else []

    def request(self, ask: Ask) -> WireRequest:
        raise _no_models()

    def whole(self, ask: Ask, body: bytes, progress: Progress) -> bytes:
        raise _no_models()

    def stream(self, ask: Ask, progress: Progress) -> Tap:
        raise _no_models()

    def watch(self, format: str, ask: Ask, progress: Progress) -> Tap:
        raise _no_models()

    def glance(self, format: str, body: bytes, progress: Progress) -> None:
        raise _no_models()

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        return provider_error(status, "upstream_error", f"The app behind the gateway answered with status {status}.")

    def embed(self, request: Json, model: str) -> WireRequest:
        raise _no_models()

    def embedded(self, request: Json, model: str, body: bytes, progress: Progress) -> bytes:
        raise _no_models()


def _no_models() -> GatewayError:
    return bad_request("This provider relays paths and serves no models.", "model", code="model_not_found", status=404)
