"""Signatures: AWS's published examples, and botocore's own for many random requests."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import botocore.auth  # type: ignore[import-untyped]
import botocore.credentials  # type: ignore[import-untyped]
import pytest
from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from edgegate.wire.sigv4 import Credentials, Signer, sign

EXAMPLE = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
NOON = dt.datetime(2015, 8, 30, 12, 36, tzinfo=dt.UTC).timestamp()

VECTORS = {
    "get-vanilla": ("GET", "/", [], b"", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    "get-vanilla-query-order-key-case": (
        "GET",
        "/?Param2=value2&Param1=value1",
        [],
        b"",
        "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
    ),
    "post-vanilla": ("POST", "/", [], b"", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
    "post-x-www-form-urlencoded": (
        "POST",
        "/",
        [(b"Content-Type", b"application/x-www-form-urlencoded")],
        b"Param1=value1",
        "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
    ),
}


def signature(lines: list[tuple[bytes, bytes]]) -> str:
    return dict(lines)[b"authorization"].decode().rpartition("Signature=")[2]


@pytest.mark.parametrize(("method", "path", "headers", "body", "expected"), VECTORS.values(), ids=VECTORS.keys())
def test_published_examples(method: str, path: str, headers: list[tuple[bytes, bytes]], body: bytes, expected: str) -> None:
    lines = sign(method, "example.amazonaws.com", path, headers, body, EXAMPLE, "us-east-1", "service", NOON)
    assert signature(lines) == expected


def test_the_example_of_the_documentation() -> None:
    headers = [(b"content-type", b"application/x-www-form-urlencoded; charset=utf-8")]
    lines = sign("GET", "iam.amazonaws.com", "/?Action=ListUsers&Version=2010-05-08", headers, b"", EXAMPLE, "us-east-1", "iam", NOON)
    assert dict(lines)[b"authorization"] == (
        b"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, SignedHeaders=content-type;host;x-amz-date, "
        b"Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
    )
    assert dict(lines)[b"x-amz-date"] == b"20150830T123600Z"


@contextmanager
def stopped_clock(moment: dt.datetime) -> Iterator[None]:
    """botocore asks its own function for the time."""
    original = botocore.auth.get_current_datetime
    botocore.auth.get_current_datetime = lambda *_, **__: moment.replace(tzinfo=None)
    try:
        yield
    finally:
        botocore.auth.get_current_datetime = original


def by_botocore(
    method: str, host: str, path: str, headers: list[tuple[bytes, bytes]], body: bytes, who: Credentials, now: dt.datetime
) -> str:
    request = AWSRequest(method, f"https://{host}{path}", headers={n.decode(): v.decode() for n, v in headers}, data=body)
    theirs: Any = botocore.credentials.Credentials(who.access_key, who.secret_key, who.session_token or None)
    with stopped_clock(now):
        botocore.auth.SigV4Auth(theirs, "bedrock", "eu-west-1").add_auth(request)
    return str(request.headers["Authorization"])


WORDS = st.text("abcXYZ019-_.~", min_size=1, max_size=8)
SEGMENTS = WORDS | st.sampled_from(["%3A", "%2F", "a%3Ab", "", ".", "..", "%C3%A9", "anthropic.claude-v2%3A1"])
PATHS = st.lists(SEGMENTS, max_size=5).map(lambda parts: "/" + "/".join(parts)).filter(lambda path: not path.startswith("//"))
QUERIES = st.lists(st.tuples(WORDS, WORDS | st.just("")), max_size=4).map(lambda pairs: "&".join(f"{n}={v}" for n, v in pairs))
HEADERS = st.dictionaries(
    st.sampled_from([b"Content-Type", b"X-Amz-Meta", b"accept", b"user-agent", b"my-header", b"traceparent", b"te"]),
    st.sampled_from([b"application/json", b"a  b   c", b" padded ", b"x"]),
).map(lambda found: list(found.items()))
SECRETS = st.text("abc/+=019", min_size=1, max_size=40)
PEOPLE = st.builds(Credentials, st.just("AKIDEXAMPLE"), SECRETS, st.just("") | SECRETS)
MOMENTS = st.datetimes(dt.datetime(2020, 1, 1), dt.datetime(2035, 1, 1)).map(lambda m: m.replace(microsecond=0, tzinfo=dt.UTC))


@given(st.sampled_from(["GET", "POST"]), PATHS, QUERIES, HEADERS, st.binary(max_size=50), PEOPLE, MOMENTS)
def test_botocore_signs_the_same(
    method: str, path: str, query: str, headers: list[tuple[bytes, bytes]], body: bytes, who: Credentials, now: dt.datetime
) -> None:
    target = path + (f"?{query}" if query else "")
    lines = sign(method, "bedrock-runtime.eu-west-1.amazonaws.com", target, headers, body, who, "eu-west-1", "bedrock", now.timestamp())
    expected = by_botocore(method, "bedrock-runtime.eu-west-1.amazonaws.com", target, headers, body, who, now)
    assert dict(lines)[b"authorization"].decode() == expected


def test_a_signer_keeps_its_key_for_a_day_and_a_secret() -> None:
    signer = Signer("us-east-1", "service")
    other = Credentials("AKIDEXAMPLE", "another")
    for who, now in ((EXAMPLE, NOON), (EXAMPLE, NOON + 60), (EXAMPLE, NOON + 86_400), (other, NOON), (EXAMPLE, NOON)):
        lines = signer.sign("GET", "h", "/", [], b"", who, now)
        assert lines == sign("GET", "h", "/", [], b"", who, "us-east-1", "service", now)


def test_a_session_token_is_sent_and_signed() -> None:
    lines = dict(sign("GET", "h", "/", [(b"x-amz-security-token", b"stale")], b"", Credentials("A", "s", "tok"), "r", "s", NOON))
    assert lines[b"x-amz-security-token"] == b"tok"
    assert b"host;x-amz-date;x-amz-security-token" in lines[b"authorization"]


def test_no_secret_is_shown() -> None:
    assert "hidden" not in repr(Credentials("AKIDEXAMPLE", "hidden-secret", "hidden-token"))
