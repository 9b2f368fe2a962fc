"""What a JSON Web Token says, without its cryptography: its header, whether its claims hold, and which caller they make.

The algorithm of a token is chosen from a list that knows the kind of key of each, so a token can neither go unsigned nor be
signed with a public key as if that were a secret. `exp` is required. Nothing of a token is quoted in messages.
"""

from __future__ import annotations

import binascii
import ipaddress
import math
import re
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import orjson

from edgegate.access.keys import Key
from edgegate.access.naming import clean_name
from edgegate.config.stages import JwtOptions

Json = dict[str, Any]

ALGORITHMS: Mapping[str, tuple[str, tuple[str, ...]]] = MappingProxyType(
    {
        "RS256": ("RSA", ()),
        "RS384": ("RSA", ()),
        "RS512": ("RSA", ()),
        "PS256": ("RSA", ()),
        "PS384": ("RSA", ()),
        "PS512": ("RSA", ()),
        "ES256": ("EC", ("P-256",)),
        "ES384": ("EC", ("P-384",)),
        "ES512": ("EC", ("P-521",)),
        "ES256K": ("EC", ("secp256k1",)),
        "EdDSA": ("OKP", ("Ed25519", "Ed448")),
    }
)
"""Every algorithm that may be configured, with the `kty` and, where it has any, the curves of its keys."""

PUBLIC = ("kty", "n", "e", "crv", "x", "y")
"""Members of a key that are taken over: what is private has no business in a key set."""

NO_MODEL = "\0"
"""A list of models that allows none: an empty one would allow all."""

MAX_TOKEN = 16 * 1024
_SEGMENTS = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*", re.ASCII)


class TokenRefused(Exception):
    """The token does not make its bearer known. `expired`: it did once."""

    def __init__(self, message: str, expired: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.expired = expired


class Header(NamedTuple):
    """What is read before the signature is checked, and only used to choose how to check it. kid: "" where there is none."""

    alg: str
    kid: str
    critical: bool  # it asks for extensions to be understood


def read_header(secret: str) -> Header | None:
    """The header of a token; None for what is none."""
    if len(secret) > MAX_TOKEN or not _SEGMENTS.fullmatch(secret):
        return None
    first = secret.partition(".")[0]
    try:
        header = orjson.loads(urlsafe_b64decode(first + "=" * (-len(first) % 4)))
    except (binascii.Error, ValueError):
        return None
    if not isinstance(header, dict) or not isinstance(header.get("alg"), str):
        return None
    kid = header.get("kid")
    return Header(header["alg"], kid if isinstance(kid, str) else "", "crit" in header)


def usable(jwk: Any, header: Header) -> bool:
    """Whether a key of the issuer's may have signed a token with this header."""
    if not isinstance(jwk, dict) or header.alg not in ALGORITHMS:
        return False
    kind, curves = ALGORITHMS[header.alg]
    if jwk.get("kty") != kind or (curves and jwk.get("crv") not in curves):
        return False
    if jwk.get("alg", header.alg) != header.alg or jwk.get("use", "sig") != "sig":
        return False
    operations = jwk.get("key_ops", ["verify"])
    return isinstance(operations, list) and "verify" in operations and (not header.kid or jwk.get("kid", header.kid) == header.kid)


def public_part(jwk: Json) -> Json:
    return {name: jwk[name] for name in PUBLIC if name in jwk}


def ends(payload: bytes, options: JwtOptions, now: float) -> tuple[Json, float]:
    """The claims of a token whose signature is right, and when it ends (Unix seconds, leeway included). Raises `TokenRefused`
    unless it holds now, is of the issuer and for the audience."""
    try:
        claims = orjson.loads(payload)
    except ValueError:
        claims = None
    if not isinstance(claims, dict):
        raise _invalid("its claims are no JSON object")
    leeway = options.leeway
    expires = _moment(claims, "exp")
    if expires is None:
        raise _invalid("it has no exp")
    if now >= expires + leeway:
        raise TokenRefused("The token has expired.", expired=True)
    for name in ("nbf", "iat"):
        begins = _moment(claims, name)
        if begins is not None and now < begins - leeway:
            raise _invalid(f"its {name} lies in the future")
    if options.issuer and claims.get("iss") != options.issuer:
        raise _invalid("it is from another issuer (iss)")
    audience = claims.get("aud")
    meant = audience if isinstance(audience, list) else [audience]
    if not any(isinstance(one, str) and one in options.audience for one in meant):
        raise _invalid("it is meant for somebody else (aud)")
    return claims, expires + leeway


def caller_of(claims: Json, options: JwtOptions) -> Key:
    """The caller that these claims name. Raises `TokenRefused` if they name none, or are not of the type they must be."""
    user = _name(claims, options.user_claim)
    tenant = _name(claims, options.tenant_claim)
    name = _name(claims, options.name_claim) or (f"jwt:{tenant}/{user}" if tenant and user else f"jwt:{user}" if user else "")
    if not name:
        raise _invalid("it names no caller")
    return Key(clean_name(name), tenant, user, _models(claims, options.models_claim))


def _models(claims: Json, path: str) -> tuple[str, ...]:
    value = at(claims, path) if path else None
    if value is None:
        return ()
    if isinstance(value, str):  # as scopes are written
        value = value.split()
    if not isinstance(value, list) or not all(isinstance(model, str) and model for model in value):
        raise _invalid("its claim of models is no list of names")
    return tuple(value) or (NO_MODEL,)


def _name(claims: Json, path: str) -> str:
    value = at(claims, path) if path else None
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise _invalid("a claim that names its caller is no text")
    return clean_name(str(value))


def at(claims: Json, path: str) -> Any:
    """The claim with this name, else what dots lead to: `org.id`. None where there is nothing."""
    if path in claims:  # names with dots of their own: `https://example.com/tenant`
        return claims[path]
    value: Any = claims
    for name in path.split("."):
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value


def _moment(claims: Json, name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise _invalid(f"its {name} is no number")
    return float(value)


def discovery_url(issuer: str) -> str:
    """Where an issuer says where its keys are (OpenID Connect Discovery)."""
    return issuer.rstrip("/") + "/.well-known/openid-configuration"


def is_safe_url(url: str) -> bool:
    """Whether keys may be fetched from here: over TLS, or from this machine. Whoever could change them could be anybody."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        if not host or parts.port == 0 or parts.username is not None or parts.fragment or re.search(r"[\s\\]", url):
            return False
    except ValueError:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host))


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _invalid(reason: str) -> TokenRefused:
    return TokenRefused(f"The token is not accepted: {reason}.")
