"""Tool call ids as Mistral wants them: nine letters or digits.

Anything else is refused: `Tool call id was call_0fyp... but must be a-z, A-Z, 0-9, with a length of 9.` Its own ids
(`EscTeQY62` in the recordings) come back from clients unchanged; ids that another provider, or a client, made are replaced.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

_FITS = re.compile(r"[A-Za-z0-9]{9}")
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
LENGTH = 9


def fits(id: str) -> bool:
    return _FITS.fullmatch(id) is not None


def nine(text: str) -> str:
    """An id that depends on nothing but `text`."""
    number = int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8], "big")
    digits = []
    for _ in range(LENGTH):
        number, digit = divmod(number, 62)
        digits.append(_DIGITS[digit])
    return "".join(digits)


def fitting(ids: Iterable[str]) -> dict[str, str]:
    """For each of one request's ids the one to send. Different ids stay different; one that fits stays what it is; the same
    id gets the same name in the next turn's request, unless two collide."""
    seen = dict.fromkeys(ids)
    sent = {id: id for id in seen if fits(id)}
    taken = set(sent)
    for id in seen:
        if id in sent:
            continue
        name = nine(id)
        salt = 0
        while name in taken:
            salt += 1
            name = nine(f"{salt}:{id}")
        taken.add(name)
        sent[id] = name
    return sent
