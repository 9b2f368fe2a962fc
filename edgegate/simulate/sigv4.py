"""AWS's request signatures (version 4), checked as Bedrock checks them, for the one pair of keys that is known here: AWS's own example.

Signatures of other keys cannot be checked; they must only look like one. The age of a request is not looked at: there is no clock here.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import urllib.parse

from edgegate.simulate.vendor import Asked, Refusal

ACCESS_KEY = "AKIDEXAMPLE"
SECRET_KEY = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"  # noqa: S105 - public, from AWS's documentation
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/\s]+)/(\d{8})/([\w-]+)/([\w-]+)/aws4_request,\s*SignedHeaders=([\w;-]+),\s*Signature=([0-9a-f]{64})"
)
_MISMATCH = (
    "The request signature we calculated does not match the signature you provided. "
    "Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
)


def check(asked: Asked) -> None:
    """Refuses a request without credentials, or whose signature is not right."""
    given = asked.headers.get("authorization", "")
    if re.fullmatch(r"Bearer \S+", given):
        return
    if not given.startswith("AWS4-HMAC-SHA256"):
        raise Refusal(403, "Missing Authentication Token", kind="MissingAuthenticationTokenException")
    found = _AUTHORIZATION.fullmatch(given.strip())
    if found is None:
        raise Refusal(
            403, "Authorization header requires 'Credential', 'SignedHeaders' and 'Signature'.", kind="IncompleteSignatureException"
        )
    key, day, region, service, names, signature = found.groups()
    if service != "bedrock":
        raise Refusal(403, "Credential should be scoped to correct service: 'bedrock'.", kind="InvalidSignatureException")
    stamp = asked.headers.get("x-amz-date", "")
    if not stamp.startswith(day):
        raise Refusal(
            403, "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date.", kind="InvalidSignatureException"
        )
    if key != ACCESS_KEY:
        return
    signed = names.split(";")
    if "host" not in signed or any(name not in asked.headers for name in signed):
        raise Refusal(403, _MISMATCH, kind="InvalidSignatureException")
    claimed = asked.headers.get("x-amz-content-sha256", "UNSIGNED-PAYLOAD")
    if claimed not in ("UNSIGNED-PAYLOAD", hashlib.sha256(asked.raw).hexdigest()):
        raise Refusal(403, _MISMATCH, kind="InvalidSignatureException")
    right = signature_of(asked, stamp, f"{day}/{region}/{service}/aws4_request", signed)
    if not hmac.compare_digest(right, signature):
        raise Refusal(403, _MISMATCH, kind="InvalidSignatureException")


def signature_of(asked: Asked, stamp: str, scope: str, signed: list[str]) -> str:
    """The signature that the request should have."""
    path, _, query = asked.target.partition("?")
    pairs = sorted(tuple(pair.partition("=")[::2]) for pair in query.split("&") if pair)
    canonical = "\n".join(
        [
            asked.method,
            urllib.parse.quote(path, safe="/-_.~"),  # what is encoded in the request line is encoded once more
            "&".join(f"{name}={value}" for name, value in pairs),
            *(f"{name}:{' '.join(asked.headers[name].split())}" for name in signed),
            "",
            ";".join(signed),
            asked.headers.get("x-amz-content-sha256") or hashlib.sha256(asked.raw).hexdigest(),
        ]
    )
    text = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = b"AWS4" + SECRET_KEY.encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
