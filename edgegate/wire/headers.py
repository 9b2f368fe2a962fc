"""Which header lines cross the gateway, in which direction, and whether a value is what it claims to be.

Requests and replies of known formats pass through allow-lists: what is not named here does not cross. Relayed paths, whose
headers nobody knows, pass through deny-lists instead: framing and hop-by-hop lines, credentials, whatever speaks of other
hosts or sets policy for ours. In both, a line named by `Connection` goes no further, and a value with CR, LF or NUL does not
cross either, whoever parsed it. Names come in any case and leave in lower case; order and repeated lines are kept.

Framing (`content-length`, `transfer-encoding`, `connection`, `date`) is never passed on: who writes a message frames it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from itertools import chain
from types import MappingProxyType

HeaderList = list[tuple[bytes, bytes]]
RawHeaders = Sequence[tuple[bytes, bytes]]

# -- request lines that go on to a provider in requests of a known format

_TO_ANY_PROVIDER = frozenset(
    {
        b"user-agent",
        b"idempotency-key",
        # correlation; `baggage` stays here: it carries whatever an application trusts its own services with
        b"traceparent",
        b"tracestate",
        b"x-request-id",
        b"x-client-request-id",
        # the application's name on OpenRouter and its like
        b"http-referer",
        b"x-title",
        # which replica's prompt cache to use: Fireworks, vLLM routers
        b"x-session-affinity",
        b"x-session-id",
    }
)
# Not here on purpose: content-type, accept and accept-encoding are the gateway's own business once it speaks to the provider
# itself; x-stainless-* (SDK, OS, architecture, runtime of the caller's machine) changes no answer, would be untrue after a
# translation, and tells a third party about hosts behind the gateway; cf-aig-*, helicone-*, portkey-* carry credentials;
# x-goog-user-project and anthropic-workspace-id choose who pays.

_TO_PROVIDER: Mapping[str, frozenset[bytes]] = MappingProxyType(
    {
        dialect: _TO_ANY_PROVIDER | names
        for dialect, names in {
            "openai": {b"openai-organization", b"openai-project", b"openai-beta"},
            "azure": {b"openai-beta", b"x-ms-client-request-id"},
            "anthropic": {b"anthropic-version", b"anthropic-beta", b"anthropic-user-profile-id", b"x-app"},
            "gemini": {
                b"x-goog-api-client",
                b"x-goog-request-params",
                b"x-server-timeout",
                b"x-vertex-ai-llm-request-type",
                b"x-vertex-ai-llm-shared-request-type",
            },
            "cohere": {b"x-client-name"},
            "groq": {b"groq-model-version"},
            "xai": {b"x-grok-conv-id"},
        }.items()
    }
)

# -- reply lines that go back to the client in replies of a known format

_TO_CLIENT = frozenset(
    {
        b"content-type",
        b"retry-after",
        b"retry-after-ms",
        b"x-should-retry",
        b"request-id",  # Anthropic's; its SDK shows it
        b"apim-request-id",
        b"mistral-correlation-id",
        b"x-debug-trace-id",
        b"x-generation-id",
        b"cf-ray",  # asked for by the support of providers behind Cloudflare
        b"num_chars",
        b"num_tokens",
        b"x-api-warning",
        b"deprecation",
        b"sunset",
    }
)
_TO_CLIENT_FAMILIES = (b"x-ratelimit-", b"anthropic-", b"openai-", b"ratelimit", b"x-ms-", b"x-amzn-")
_OPERATOR = frozenset({b"openai-organization", b"openai-project", b"anthropic-organization-id", b"anthropic-workspace-id"})
"""Who holds the account at the provider: no business of the gateway's clients."""

_REQUEST_ID = b"x-request-id"
_UPSTREAM_REQUEST_ID = b"x-upstream-request-id"

# -- what never crosses on relayed paths

_HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"http2-settings",
        b"content-length",
        b"expect",
        b"via",
        b"max-forwards",
        b"date",
    }
)
_CREDENTIALS = frozenset(
    {b"authorization", b"cookie", b"cookie2", b"set-cookie", b"set-cookie2", b"api-key", b"x-user-id", b"x-auth", b"helicone-auth"}
)
_CREDENTIAL_ENDINGS = (
    b"-api-key",
    b"-apikey",
    b"-authorization",
    b"-token",
    b"-secret",
    b"-subscription-key",
    b"-virtual-key",
    b"-password",
)
_NOT_TO_PROVIDER = _HOP_BY_HOP | _CREDENTIALS | {b"host", b"forwarded", b"x-real-ip", b"true-client-ip", b"origin", b"referer", b"baggage"}
_NOT_TO_PROVIDER_FAMILIES = (b"x-forwarded-", b"x-edgegate-", b"x-max-cost-usd", b"proxy-", b"cf-", b"sec-", b"x-original-")
# policy that a browser would apply to the gateway's own address, or that only its listener can speak of
_NOT_TO_CLIENT = (
    _HOP_BY_HOP
    | _CREDENTIALS
    | _OPERATOR
    | {
        b"alt-svc",
        b"strict-transport-security",
        b"public-key-pins",
        b"expect-ct",
        b"clear-site-data",
        b"nel",
        b"report-to",
        b"reporting-endpoints",
        b"www-authenticate",
        b"refresh",
        _UPSTREAM_REQUEST_ID,
    }
)
_NOT_TO_CLIENT_FAMILIES = (b"x-edgegate-", b"proxy-", b"access-control-", b"x-forwarded-")

_USUAL_CONNECTION = frozenset({b"keep-alive", b"close", b"Keep-Alive", b"Close"})
_FORBIDDEN = (b"\r", b"\n", b"\0")


def upstream_headers(raw: RawHeaders, dialect: str) -> HeaderList:
    """The client's lines that go on to a provider of this dialect: an allow-list, which no credential is on."""
    allowed = _TO_PROVIDER.get(dialect, _TO_ANY_PROVIDER)
    return _settled([(low, value) for name, value in raw if (low := name.lower()) in allowed], raw)


def client_headers(raw: RawHeaders) -> HeaderList:
    """The provider's lines that go back to the client: an allow-list. The provider's `x-request-id` becomes
    `x-upstream-request-id`, for `x-request-id` names the exchange with us."""
    kept = []
    for name, value in raw:
        low = name.lower()
        if low in _TO_CLIENT or (low.startswith(_TO_CLIENT_FAMILIES) and low not in _OPERATOR):
            kept.append((low, value))
        elif low == _REQUEST_ID:
            kept.append((_UPSTREAM_REQUEST_ID, value))
    return _settled(kept, raw)


def relay_request_headers(raw: RawHeaders) -> HeaderList:
    """The client's lines on a relayed path: all but framing, hop-by-hop lines, credentials and what tells of other hosts."""
    kept = [
        (low, value)
        for name, value in raw
        if (low := name.lower()) not in _NOT_TO_PROVIDER
        and not low.startswith(_NOT_TO_PROVIDER_FAMILIES)
        and not low.endswith(_CREDENTIAL_ENDINGS)
    ]
    return _settled(kept, raw)


def relay_response_headers(raw: RawHeaders) -> HeaderList:
    """The provider's lines on a relayed path: all but framing, hop-by-hop lines, cookies and other credentials, and policy that
    would be taken for the gateway's. `x-request-id` is renamed as in `client_headers`."""
    kept = [
        (low if low != _REQUEST_ID else _UPSTREAM_REQUEST_ID, value)
        for name, value in raw
        if (low := name.lower()) not in _NOT_TO_CLIENT
        and not low.startswith(_NOT_TO_CLIENT_FAMILIES)
        and not low.endswith(_CREDENTIAL_ENDINGS)
    ]
    return _settled(kept, raw)


def _settled(kept: HeaderList, raw: RawHeaders) -> HeaderList:
    """`kept` without the lines that `raw` says are meant for one hop only, and without lines that would break a head."""
    for name, value in raw:
        if len(name) == 10 and value not in _USUAL_CONNECTION and name.lower() == b"connection":
            named = {option.strip().lower() for option in value.split(b",")}
            if _REQUEST_ID in named:
                named.add(_UPSTREAM_REQUEST_ID)
            kept = [line for line in kept if line[0] not in named]
    text = b"".join(chain.from_iterable(kept))  # one search for all lines
    for byte in _FORBIDDEN:
        if byte in text:
            kept = [line for line in kept if byte not in line[0] and byte not in line[1]]
    return kept


# -- values

_HOST = re.compile(rb"(?:[A-Za-z0-9._~-]{1,255}|\[([0-9A-Fa-f:.]{2,45})\])(?::([0-9]{0,5}))?")
_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


def valid_host(value: bytes) -> bool:
    """Whether a Host value is a name, an IPv4 address or an [IPv6] address, with a port at most. Narrower than RFC 3986, which
    also lets percent escapes and `!$&'()*+,;=` into names: no real host has them, and they are read in more than one way."""
    match = _HOST.fullmatch(value)
    if match is None:
        return False
    address, port = match.groups()
    if port and int(port) > 65535:
        return False
    if address is None:
        return True
    try:
        ipaddress.IPv6Address(address.decode())
    except ValueError:
        return False
    return True


def valid_request_id(value: str) -> bool:
    """Whether a request id of a client's may be echoed and logged: 1 to 128 letters, digits and `. _ : -`."""
    return _ID.fullmatch(value) is not None


def parse_traceparent(value: str) -> tuple[str, str, int] | None:
    """Trace id, span id and flags of a W3C `traceparent`; None for anything that the recommendation calls invalid. Of versions
    after 00 the parts known today are read."""
    match = _TRACEPARENT.fullmatch(value)
    if match is None:
        return None
    version, trace_id, span_id, flags, more = match.groups()
    if version == "ff" or (version == "00" and more is not None) or trace_id == "0" * 32 or span_id == "0" * 16:
        return None
    return trace_id, span_id, int(flags, 16)
