"""The opaque state that a vendor hands out with its reasoning: text with a keyed digest, so that it can be checked when it comes back.

A seal is made for one vendor; one of another vendor, an altered one, or reasoning text that is not the sealed one does not pass. State that
was made elsewhere (a real vendor's, in a recording) passes only with the header `x-simulated-foreign-state: allowed`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping

ALLOW_FOREIGN = "x-simulated-foreign-state"
_KEY = b"edgegate simulator"
_MARK = b"edgegate simulated "


def seal(vendor: str, text: str) -> str:
    """The digest of this text, as `vendor` signs it."""
    return base64.b64encode(_MARK + vendor.encode() + b" " + _digest(vendor, text)).decode()


def holds(vendor: str, text: str, given: object, headers: Mapping[str, str]) -> bool:
    """Whether `given` is the seal of this text, or foreign where that is allowed. Ours must always be right."""
    if given == seal(vendor, text):
        return True
    return not _is_ours(given) and allows_foreign(headers)


def carry(vendor: str, text: str) -> str:
    """A seal with the text in it, for state that comes back without its text."""
    body = text.encode()
    return base64.urlsafe_b64encode(_MARK + vendor.encode() + b" " + _digest(vendor, text) + body).decode()


def carried(vendor: str, given: object, headers: Mapping[str, str]) -> str | None:
    """The text inside what `carry` gave; "" for allowed foreign state; None if it does not hold."""
    mark = _MARK + vendor.encode() + b" "
    try:
        raw = base64.b64decode(given.replace("-", "+").replace("_", "/")) if isinstance(given, str) else b""
    except (binascii.Error, ValueError):
        raw = b""
    if raw.startswith(mark) and len(raw) >= len(mark) + 32:
        digest, body = raw[len(mark) : len(mark) + 32], raw[len(mark) + 32 :]
        text = body.decode("utf-8", "replace")
        return text if hmac.compare_digest(digest, _digest(vendor, text)) else None
    return "" if not _is_ours(given) and given and allows_foreign(headers) else None


def allows_foreign(headers: Mapping[str, str]) -> bool:
    return headers.get(ALLOW_FOREIGN) == "allowed"


def _digest(vendor: str, text: str) -> bytes:
    return hmac.new(_KEY, f"{vendor}\0{text}".encode("utf-8", "replace"), hashlib.sha256).digest()


def _is_ours(given: object) -> bool:
    return isinstance(given, str) and given.startswith(base64.b64encode(_MARK)[:24].decode())
