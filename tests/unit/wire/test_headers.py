"""Header lines: what crosses in each direction, what never does, and which values are what they claim to be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgegate.wire.headers import (
    HeaderList,
    client_headers,
    parse_traceparent,
    relay_request_headers,
    relay_response_headers,
    upstream_headers,
    valid_host,
    valid_request_id,
)

DIALECTS = ["openai", "anthropic", "gemini", "mistral", "ollama", "groq", "unheard-of"]

CREDENTIALS = [
    "Authorization",
    "X-Api-Key",
    "api-key",
    "x-goog-api-key",
    "Cookie",
    "Set-Cookie",
    "Proxy-Authorization",
    "X-User-ID",
    "x-amz-security-token",
    "x-forwarded-access-token",
    "x-litellm-api-key",
    "x-portkey-virtual-key",
    "cf-aig-authorization",
    "Helicone-Auth",
    "Ocp-Apim-Subscription-Key",
    "x-client-secret",
]
FRAMING = [
    "Content-Length",
    "Transfer-Encoding",
    "Connection",
    "Keep-Alive",
    "Proxy-Connection",
    "TE",
    "Trailer",
    "Upgrade",
    "Expect",
    "Via",
    "Date",
]
ELSEWHERE = [
    "Host",
    "Forwarded",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Real-IP",
    "Origin",
    "Referer",
    "Baggage",
    "CF-Connecting-IP",
    "X-Edgegate-Strict",
]

# what SDKs sent in tests against a recording server
OPENAI_SDK: HeaderList = [
    (b"Host", b"127.0.0.1:8080"),
    (b"Accept-Encoding", b"gzip, deflate"),
    (b"Connection", b"keep-alive"),
    (b"Accept", b"application/json"),
    (b"Content-Type", b"application/json"),
    (b"User-Agent", b"OpenAI/Python 3.52.0"),
    (b"X-Stainless-Lang", b"python"),
    (b"X-Stainless-OS", b"Linux"),
    (b"Authorization", b"Bearer sk-gateway"),
    (b"OpenAI-Organization", b"org-1"),
    (b"OpenAI-Beta", b"assistants=v2"),
    (b"Idempotency-Key", b"k-1"),
    (b"traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
    (b"Content-Length", b"120"),
]


def lines(*names: str) -> HeaderList:
    return [(name.encode(), b"v") for name in names]


def names(headers: HeaderList) -> list[str]:
    return [name.decode() for name, _ in headers]


# -- to a provider


def test_an_openai_request_keeps_what_the_provider_reads() -> None:
    assert upstream_headers(OPENAI_SDK, "openai") == [
        (b"user-agent", b"OpenAI/Python 3.52.0"),
        (b"openai-organization", b"org-1"),
        (b"openai-beta", b"assistants=v2"),
        (b"idempotency-key", b"k-1"),
        (b"traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
    ]


def test_one_vendors_lines_do_not_go_to_another() -> None:
    own = {
        "openai": ["openai-organization", "openai-project", "openai-beta"],
        "anthropic": ["anthropic-version", "anthropic-beta"],
        "gemini": ["x-goog-api-client", "x-server-timeout"],
    }
    everything = lines(*[name.title() for group in own.values() for name in group], "User-Agent")
    for dialect in DIALECTS:
        assert names(upstream_headers(everything, dialect)) == [*own.get(dialect, []), "user-agent"]


def test_betas_on_several_lines_are_all_kept_in_order() -> None:
    sent = [(b"Anthropic-Beta", b"a,b"), (b"anthropic-beta", b"c")]
    assert upstream_headers(sent, "anthropic") == [(b"anthropic-beta", b"a,b"), (b"anthropic-beta", b"c")]


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    "name", [*CREDENTIALS, *FRAMING, *ELSEWHERE, "Content-Type", "Content-Encoding", "Accept", "Accept-Encoding", "X-Stainless-OS"]
)
def test_what_never_goes_to_a_provider(name: str, dialect: str) -> None:
    for form in (name, name.lower(), name.upper()):
        assert upstream_headers(lines(form), dialect) == []


@pytest.mark.parametrize("name", [*CREDENTIALS, *FRAMING, *ELSEWHERE])
def test_what_never_goes_out_on_a_relayed_path(name: str) -> None:
    for form in (name, name.lower(), name.upper()):
        assert relay_request_headers(lines(form)) == []


def test_a_relayed_request_keeps_everything_else() -> None:
    kept = [
        "content-type",
        "content-encoding",
        "accept",
        "accept-encoding",
        "range",
        "if-none-match",
        "openai-beta",
        "anthropic-version",
        "x-stainless-os",
        "x-anything",
    ]
    assert names(relay_request_headers(lines(*kept))) == kept
    assert relay_request_headers([(b"X-Goog-Upload-Command", b"Start")]) == [(b"x-goog-upload-command", b"Start")]


# -- to the client


def test_a_reply_keeps_limits_ids_and_vendor_lines() -> None:
    kept = [
        "content-type",
        "retry-after",
        "retry-after-ms",
        "x-should-retry",
        "request-id",
        "x-ratelimit-remaining-tokens",
        "x-ratelimit-limit-req-10-second",
        "anthropic-ratelimit-tokens-reset",
        "ratelimit-policy",
        "ratelimitbysize-reset",
        "openai-processing-ms",
        "openai-version",
        "apim-request-id",
        "x-ms-region",
        "x-amzn-requestid",
        "x-amzn-bedrock-input-token-count",
        "cf-ray",
        "num_tokens",
    ]
    assert names(client_headers(lines(*[name.title() for name in kept]))) == kept


POLICY = [
    "Alt-Svc",
    "Strict-Transport-Security",
    "Access-Control-Allow-Origin",
    "Report-To",
    "NEL",
    "WWW-Authenticate",
    "Clear-Site-Data",
    "Refresh",
]
OPERATOR = ["openai-organization", "openai-project", "anthropic-organization-id"]


@pytest.mark.parametrize(
    "name", [*CREDENTIALS, *FRAMING, *POLICY, *OPERATOR, "Location", "Server", "Content-Encoding", "X-Edgegate-Provider", "X-Unknown"]
)
def test_what_never_comes_back(name: str) -> None:
    for form in (name, name.lower(), name.upper()):
        assert client_headers(lines(form)) == []


@pytest.mark.parametrize("name", [*CREDENTIALS, *FRAMING, *POLICY, *OPERATOR, "X-Edgegate-Provider", "X-Upstream-Request-ID"])
def test_what_never_comes_back_on_a_relayed_path(name: str) -> None:
    for form in (name, name.lower(), name.upper()):
        assert relay_response_headers(lines(form)) == []


def test_a_relayed_reply_keeps_everything_else() -> None:
    kept = [
        "content-type",
        "content-encoding",
        "content-disposition",
        "content-range",
        "etag",
        "cache-control",
        "location",
        "x-goog-upload-url",
        "x-anything",
    ]
    assert names(relay_response_headers(lines(*[name.title() for name in kept]))) == kept


@pytest.mark.parametrize("cross", [client_headers, relay_response_headers])
def test_the_providers_request_id_gets_another_name(cross: object) -> None:
    assert callable(cross)
    assert cross([(b"X-Request-ID", b"req_1")]) == [(b"x-upstream-request-id", b"req_1")]


# -- hygiene, everywhere


def crossings(headers: HeaderList) -> list[HeaderList]:
    return [
        upstream_headers(headers, "openai"),
        client_headers(headers),
        relay_request_headers(headers),
        relay_response_headers(headers),
    ]


@pytest.mark.parametrize(
    "option",
    [
        b"Retry-After, X-Request-ID, User-Agent",
        b"close,x-request-id ,\tretry-after,USER-AGENT",
        b"keep-alive, user-agent, retry-after,x-request-id",
    ],
)
def test_lines_that_connection_names_go_no_further(option: bytes) -> None:
    payload = [(b"User-Agent", b"a"), (b"Retry-After", b"1"), (b"X-Request-Id", b"r")]
    for headers in ([(b"Connection", option), *payload], [*payload, (b"CONNECTION", option)], (*payload, (b"connection", option))):
        assert crossings(list(headers)) == [[], [], [], []]


def test_several_connection_lines_count_together() -> None:
    headers = [(b"Connection", b"user-agent"), (b"User-Agent", b"a"), (b"Retry-After", b"1"), (b"Connection", b"retry-after")]
    assert crossings(headers) == [[], [], [], []]


def test_keep_alive_names_nothing() -> None:
    assert upstream_headers([(b"Connection", b"keep-alive"), (b"user-agent", b"a")], "openai") == [(b"user-agent", b"a")]


@pytest.mark.parametrize("value", [b"a\r\nx-evil: 1", b"a\n", b"\rb", b"a\x00b"])
def test_values_that_would_break_a_head_are_dropped_and_the_others_stay(value: bytes) -> None:
    headers = [(b"user-agent", value), (b"retry-after", value), (b"idempotency-key", b"k"), (b"request-id", b"r")]
    for kept in crossings(headers):
        assert value not in [line for _, line in kept]
        assert kept


def test_names_that_would_break_a_head_are_dropped() -> None:
    headers = [(b"x-ratelimit-a\r\nset-cookie: a=b\r\nx", b"1"), (b"openai-\n", b"1"), (b"x-ms-\x00", b"1")]
    assert crossings(headers) == [[], [], [], []]


def test_aiohttps_tuple_and_httptools_list_are_both_taken() -> None:
    assert upstream_headers(tuple(OPENAI_SDK), "openai") == upstream_headers(OPENAI_SDK, "openai")


@given(
    st.lists(
        st.tuples(
            st.sampled_from([*CREDENTIALS, *FRAMING, *ELSEWHERE, "user-agent", "openai-beta", "x"]).map(str.encode), st.binary(max_size=6)
        )
    )
)
def test_whatever_is_sent_no_credential_crosses_and_no_head_breaks(headers: HeaderList) -> None:
    secret = {name.lower().encode() for name in CREDENTIALS + FRAMING}
    for kept in crossings(headers):
        for name, value in kept:
            assert name not in secret
            assert name == name.lower()
            assert not {0, 10, 13} & set(name + value)


# -- values


NAMES_AND_V4 = "localhost api.example.com API.example.com. my_host-1 10.0.0.1 10.0.0.1:8080 h:0 h:65535 h: xn--bcher-kva.example ~a"
V6 = "[::1] [::1]:8080 [2001:db8::1] [::ffff:10.0.0.1]:1"


@pytest.mark.parametrize("value", [*NAMES_AND_V4.split(), *V6.split(), "a" * 255])
def test_hosts(value: str) -> None:
    assert valid_host(value.encode())


BLANK = ["", " ", "a b", " a", "a ", "a\t", "a\x00b", "h\r\nx: y", "h\n"]
MORE_THAN_A_HOST = ["h/admin", "h/admin?", "h?x", "h#x", "user@h", "u:p@h", "http://h", "<script>", "{h}"]
NO_HOST_HAS = ["a,b", "a;b", "a%20b", "a%2fb", "a\\b", "*", "bücher.example"]
BAD_PORT = ["h:80:80", "h:x", "h:-1", "h:65536", "h:999999", ":80"]
BAD_V6 = ["::1", "2001:db8::1", "[::1", "::1]", "[]", "[:]", "[::1]x", "[::1%eth0]", "[v1.x]", "[1.2.3.4]", "[12345::]", "[1::2::3]"]


@pytest.mark.parametrize("value", [*BLANK, *MORE_THAN_A_HOST, *NO_HOST_HAS, *BAD_PORT, *BAD_V6, "a" * 256])
def test_no_hosts(value: str) -> None:
    assert not valid_host(value.encode())


@pytest.mark.parametrize("value", ["a", "req_0162S72WMkXgHaRJ9aDTfqmw", "7fdbc480-6d28-4d1c-abbc-bd7f17c7dfec", "a.b:c-d_e", "x" * 128])
def test_request_ids(value: str) -> None:
    assert valid_request_id(value)


@pytest.mark.parametrize("value", ["", "x" * 129, "a b", "a\n", "\na", "a\r\nb", 'a"b', "a/b", "a,b", "ä", "٣", "a\x00", "<b>", "a\\b"])
def test_no_request_ids(value: str) -> None:
    assert not valid_request_id(value)


TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def test_a_traceparent_is_read() -> None:
    assert parse_traceparent(f"00-{TRACE}-{SPAN}-01") == (TRACE, SPAN, 1)
    assert parse_traceparent(f"00-{TRACE}-{SPAN}-ff") == (TRACE, SPAN, 255)


def test_later_versions_of_traceparent_may_say_more() -> None:
    assert parse_traceparent(f"01-{TRACE}-{SPAN}-00") == (TRACE, SPAN, 0)
    assert parse_traceparent(f"cc-{TRACE}-{SPAN}-00-what-the-future-brings") == (TRACE, SPAN, 0)
    assert parse_traceparent(f"cc-{TRACE}-{SPAN}-00.x") is None


@pytest.mark.parametrize(
    "value",
    [
        "",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-01-",
        f"00-{TRACE}-{SPAN}-01-x",
        f"00-{TRACE}-{SPAN}-01\n",
        f" 00-{TRACE}-{SPAN}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN.upper()}-01",
        f"ff-{TRACE}-{SPAN}-01",
        f"0-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[1:]}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-1",
        f"00_{TRACE}_{SPAN}_01",
        f"00-{TRACE}-{SPAN}-0x",
        f"00-{TRACE}-{SPAN}-٠١",
    ],
)
def test_what_is_no_traceparent(value: str) -> None:
    assert parse_traceparent(value) is None
