"""Framing between client and gateway: what is ambiguous is refused with 400 and a closed connection, and nothing of it goes on.

Each refused request is followed, on the same connection, by a second one that names itself `smuggled`: no reading of the
first may let it through. The tables say what a request is; RFC 9112 says which of them are acceptable.
"""

from __future__ import annotations

import time
from typing import NamedTuple

import pytest

from tests.hard.live import MAX_BODY, MAX_HEADER, Live
from tests.hard.misbehaving import Provider
from tests.hard.raw_client import Gone, RawClient, Reply, chunked
from tests.hard.speech import AUTH, CHAT, JSON_TYPE, assert_openai_error

START = b"POST /v1/chat/completions HTTP/1.1"
HOST = b"host: gateway"
LENGTH = b"content-length: %d" % len(CHAT)
SMUGGLED = b"GET /openai/v1/smuggled HTTP/1.1\r\nhost: gateway\r\n" + AUTH.encode() + b"\r\n\r\n"
TE = b"transfer-encoding: chunked"


def head(*lines: bytes, start: bytes = START, host: bytes | None = HOST) -> bytes:
    fixed = [start, *([host] if host is not None else []), AUTH.encode(), JSON_TYPE.encode()]
    return b"\r\n".join([*fixed, *lines]) + b"\r\n\r\n"


class Case(NamedTuple):
    name: str
    head: bytes
    body: bytes = b""


def named(cases: list[Case]) -> pytest.MarkDecorator:
    assert len({case.name for case in cases}) == len(cases)
    return pytest.mark.parametrize("case", cases, ids=[case.name for case in cases])


def lengths(*values: tuple[str, bytes]) -> list[Case]:
    return [Case(f"Content-Length {name}", head(b"content-length:" + value), CHAT) for name, value in values]


def codings(*values: tuple[str, bytes]) -> list[Case]:
    return [Case(f"Transfer-Encoding {name}", head(b"transfer-encoding:" + value), chunked(CHAT)) for name, value in values]


def lines(*values: tuple[str, bytes]) -> list[Case]:
    """A request that is good but for one header line."""
    return [Case(name, head(line, LENGTH), CHAT) for name, line in values]


N = b"%d" % len(CHAT)
AMBIGUOUS_LENGTH = [
    Case("Transfer-Encoding, then Content-Length", head(TE, LENGTH), chunked(CHAT)),
    Case("Content-Length, then Transfer-Encoding", head(LENGTH, TE), chunked(CHAT)),
    Case("Content-Length, Transfer-Encoding, plain body", head(LENGTH, TE), CHAT),
    Case("Content-Length 0 and Transfer-Encoding", head(b"content-length: 0", TE), chunked(CHAT)),
    Case("Transfer-Encoding identity and Content-Length", head(b"transfer-encoding: identity", LENGTH), CHAT),
    Case("Transfer-Encoding in other case and Content-Length", head(b"Transfer-ENCODING: cHuNkEd", LENGTH), chunked(CHAT)),
    Case("empty Transfer-Encoding and Content-Length", head(b"transfer-encoding:", LENGTH), CHAT),
    Case("two different Content-Lengths", head(LENGTH, b"content-length: 5"), CHAT),
    Case("two different Content-Lengths, the small one first", head(b"content-length: 5", LENGTH), CHAT),
    Case("two equal Content-Lengths", head(LENGTH, LENGTH), CHAT),
    Case("two Content-Lengths far apart", head(LENGTH, b"x-a: b", b"x-c: d", b"CONTENT-LENGTH: 7"), CHAT),
    *lengths(
        ("as a list of two equal", b" " + N + b", " + N),
        ("as a list of two different", b" " + N + b", 3"),
        ("with a plus", b" +" + N),
        ("with a minus", b" -" + N),
        ("minus zero", b" -0"),
        ("in hex", b" 0x55"),
        ("in hex without prefix", b" 5f"),
        ("with a blank inside", b" 8 5"),
        ("empty", b""),
        ("of blanks", b"   "),
        ("followed by letters", b" " + N + b"abc"),
        ("followed by a semicolon", b" " + N + b";"),
        ("with an exponent", b" 1e2"),
        ("with a fraction", b" " + N + b".0"),
        ("with an underscore", b" 8_5"),
        ("in quotes", b' "' + N + b'"'),
        ("in Arabic digits", " ٨٥".encode()),
        ("2^64", b" 18446744073709551616"),
        ("2^64 and the true length", b" %d" % (2**64 + len(CHAT))),
        ("10^400", b" 1" + b"0" * 400),
        ("with a NUL", b" " + N + b"\0"),
        ("with a vertical tab", b"\x0b" + N),
    ),
    *codings(
        ("identity", b" identity"),
        ("gzip", b" gzip"),
        ("gzip, chunked", b" gzip, chunked"),
        ("chunked, gzip", b" chunked, gzip"),
        ("chunked, chunked", b" chunked, chunked"),
        ("chunked, identity", b" chunked, identity"),
        ("xchunked", b" xchunked"),
        ("chunkedx", b" chunkedx"),
        ("chunked with a parameter", b" chunked;q=1"),
        ("with a blank inside", b" chun ked"),
        ("after a vertical tab", b" \x0bchunked"),
        ("before a NUL", b" chunked\0"),
        ("in quotes", b' "chunked"'),
        ("folded", b"\r\n chunked"),
        ("folded with a tab", b"\r\n\tchunked"),
        ("folded behind it", b" chunked\r\n , identity"),
        ("of blanks", b"  "),
    ),
    Case("Transfer-Encoding twice", head(TE, TE), chunked(CHAT)),
    Case("Transfer-Encoding chunked and identity", head(TE, b"transfer-encoding: identity"), chunked(CHAT)),
    Case("Transfer-Encoding identity and chunked", head(b"transfer-encoding: identity", TE), chunked(CHAT)),
    Case("Transfer-Encoding with a blank before the colon", head(b"transfer-encoding : chunked"), chunked(CHAT)),
    Case("Content-Length with a blank before the colon", head(b"content-length : " + N), CHAT),
    Case("Transfer-Encoding in HTTP/1.0", head(TE, start=b"POST /v1/chat/completions HTTP/1.0"), chunked(CHAT)),
]

BAD_LINES = [
    *lines(
        ("a fold with a blank", b"x-a: 1\r\n 2"),
        ("a fold with a tab", b"x-a: 1\r\n\t2"),
        ("an empty fold", b"x-a: 1\r\n "),
        ("a blank before the colon", b"x-a : 1"),
        ("a tab before the colon", b"x-a\t: 1"),
        ("a blank in the name", b"x a: 1"),
        ("a blank before the name", b" x-a: 1"),
        ("a NUL in the value", b"x-a: 1\x002"),
        ("a NUL in the name", b"x\x00a: 1"),
        ("a bare CR in the value", b"x-a: 1\r2"),
        ("a bare CR that looks like a line", b"x-a: 1\rcontent-length: 3"),
        ("a bare LF as line end", b"x-a: 1\nx-b: 2"),
        ("a bare LF before Transfer-Encoding", b"x-a: 1\ntransfer-encoding: chunked"),
        ("two CR before LF", b"x-a: 1\r\r\nx-b: 2"),
        ("a SOH in the value", b"x-a: \x01"),
        ("a backspace in the value", b"x-a: a\x08b"),
        ("a vertical tab in the value", b"x-a: a\x0bb"),
        ("an escape in the value", b"x-a: \x1b[31m"),
        ("a DEL in the value", b"x-a: \x7f"),
        ("an empty name", b": 1"),
        ("no colon", b"x-a"),
        ("no colon but text", b"this is no header"),
        ("a parenthesis in the name", b"x(a): 1"),
        ("a slash in the name", b"x/a: 1"),
        ("a brace in the name", b"x{a}: 1"),
        ("a quote in the name", b'x"a": 1'),
        ("letters outside ASCII in the name", "x-é: 1".encode()),
        ("a comma in the name", b"x,a: 1"),
        ("an equals sign in the name", b"x=a: 1"),
        ("a line that is too long", b"x-a: " + b"a" * (MAX_HEADER * 2)),
        ("a name that is too long", b"x" * (MAX_HEADER * 2) + b": 1"),
        ("too many lines", b"\r\n".join(b"x-%d: 1" % n for n in range(3000))),
    ),
    Case("bare LF line ends throughout", head(LENGTH).replace(b"\r\n", b"\n"), CHAT),
    Case("bare CR line ends throughout", head(LENGTH).replace(b"\r\n", b"\r"), CHAT),
    Case("a bare LF ends the head", head(LENGTH)[:-2] + b"\n", CHAT),
    Case("a fold on the first line", START + b"\r\n host: gateway\r\n" + LENGTH + b"\r\n\r\n", CHAT),
]


def starts(*values: tuple[str, bytes]) -> list[Case]:
    return [Case(name, head(LENGTH, start=start), CHAT) for name, start in values]


BAD_START = [
    *starts(
        ("no version", b"POST /v1/chat/completions"),
        ("no version, trailing blank", b"POST /v1/chat/completions "),
        ("HTTP/0.9", b"POST /v1/chat/completions HTTP/0.9"),
        ("HTTP/2.0", b"POST /v1/chat/completions HTTP/2.0"),
        ("HTTP/1.2", b"POST /v1/chat/completions HTTP/1.2"),
        ("HTTP/1.10", b"POST /v1/chat/completions HTTP/1.10"),
        ("HTTP/11", b"POST /v1/chat/completions HTTP/11"),
        ("HTTP/1", b"POST /v1/chat/completions HTTP/1"),
        ("HTTP/+1.1", b"POST /v1/chat/completions HTTP/+1.1"),
        ("HTTP/1.1 and letters", b"POST /v1/chat/completions HTTP/1.1x"),
        ("HTTP in small letters", b"POST /v1/chat/completions http/1.1"),
        ("HTTPS/1.1", b"POST /v1/chat/completions HTTPS/1.1"),
        ("blanks in the version", b"POST /v1/chat/completions HTTP / 1.1"),
        ("a NUL behind the version", b"POST /v1/chat/completions HTTP/1.1\0"),
        ("two versions", b"POST /v1/chat/completions HTTP/1.1 HTTP/1.1"),
        ("a method in small letters", b"post /v1/chat/completions HTTP/1.1"),
        ("an unknown method", b"BREW /v1/chat/completions HTTP/1.1"),
        ("a method with a NUL", b"PO\0ST /v1/chat/completions HTTP/1.1"),
        ("no method", b" /v1/chat/completions HTTP/1.1"),
        ("a tab behind the method", b"POST\t/v1/chat/completions HTTP/1.1"),
        ("a blank in the target", b"POST /v1/chat completions HTTP/1.1"),
        ("a tab in the target", b"POST /v1/chat\tcompletions HTTP/1.1"),
        ("a NUL in the target", b"POST /v1/chat\0completions HTTP/1.1"),
        ("a CR in the target", b"POST /v1/chat\rcompletions HTTP/1.1"),
        ("a DEL in the target", b"POST /v1/chat\x7fcompletions HTTP/1.1"),
        ("no target", b"POST HTTP/1.1"),
        ("no target but blanks", b"POST   HTTP/1.1"),
        ("a target that is too long", b"POST /" + b"a" * (MAX_HEADER * 3) + b" HTTP/1.1"),
        ("a reply instead of a request", b"HTTP/1.1 200 OK"),
        ("a colon instead", b"GET: /"),
    ),
    Case("a TLS client hello", b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03" + b"\x17" * 160),
    Case("the HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    Case("a SOCKS greeting", b"\x05\x01\x00\r\n\r\n"),
    Case("rubbish", b"\x00\x01\x02\x03 rubbish \xff\xfe\r\n\r\n"),
    Case("an SMTP greeting", b"EHLO gateway\r\n\r\n"),
]

BAD_HOST = [
    *[
        Case(f"Host {name}", head(LENGTH, host=host), CHAT)
        for name, host in [
            ("missing", None),
            ("empty", b"host:"),
            ("twice, equal", b"host: gateway\r\nhost: gateway"),
            ("twice, different", b"host: gateway\r\nhost: evil"),
            ("twice in different case", b"host: gateway\r\nHOST: evil"),
            ("with a path", b"host: gateway/admin"),
            ("with a path and a query", b"host: h/admin?"),
            ("with a fragment", b"host: gateway#x"),
            ("with a user", b"host: admin@gateway"),
            ("with a blank", b"host: a b"),
            ("with a comma", b"host: gateway,evil"),
            ("with a port that is no number", b"host: gateway:abc"),
            ("with a port that is too large", b"host: gateway:65536"),
            ("with a negative port", b"host: gateway:-1"),
            ("with two ports", b"host: gateway:80:80"),
            ("with an open bracket", b"host: [::1"),
            ("with text behind a bracket", b"host: [::1]x"),
            ("with rubbish in brackets", b"host: [:::::1]"),
            ("with a scheme", b"host: http://gateway"),
            ("with a tag", b"host: <script>"),
            ("with a backslash", b"host: gateway\\evil"),
            ("with percent escapes", b"host: gateway%00"),
            ("outside ASCII", "host: gätewäy".encode()),
            ("with a quote", b'host: "gateway"'),
            ("with a template", b"host: ${jndi:x}"),
        ]
    ],
]


def judge_refusal(client: RawClient, provider: Provider, allowed: tuple[int, ...] = (400,)) -> Reply:
    """One error in JSON, then the end of the connection; nothing upstream."""
    reply = client.reply()
    assert reply.status in allowed, (reply.status, reply.body)
    assert reply.whole
    assert (reply.header("content-type") or "").startswith("application/json")
    assert_openai_error(reply.body)
    client.assert_closed()
    provider.nothing()
    return reply


@named(AMBIGUOUS_LENGTH + BAD_LINES + BAD_START + BAD_HOST)
def test_a_request_that_is_not_plainly_framed_is_refused_and_the_connection_closed(
    case: Case, client: RawClient, provider: Provider
) -> None:
    client.send(case.head, case.body, SMUGGLED)
    allowed = (400, 413, 414, 431, 501, 505)
    reply = judge_refusal(client, provider, allowed)
    if case in BAD_HOST:
        assert reply.status == 400


# -- chunked bodies

HEX = b"%x" % len(CHAT)


def sized(
    name: str, size: bytes, *, data: bytes = CHAT, behind: bytes = b"\r\n", line_end: bytes = b"\r\n", last: bytes = b"0\r\n\r\n"
) -> Case:
    return Case(name, head(TE), size + line_end + data + behind + last)


BAD_CHUNKS = [
    sized("a size that is no number", b"G"),
    sized("an empty size", b""),
    sized("a negative size", b"-" + HEX),
    sized("a size with a plus", b"+" + HEX),
    sized("a size behind a blank", b" " + HEX),
    sized("a size behind a tab", b"\t" + HEX),
    sized("a size with a prefix", b"0x" + HEX),
    sized("a size with an underscore", b"5_5"),
    sized("a size in Arabic digits", "٥".encode()),
    sized("a size of 2^64", b"10000000000000000"),
    sized("a size of 2^64 and the true one", b"100000000000000" + HEX.zfill(2)),
    sized("a size of 500 digits", b"f" * 500),
    sized("a size and a NUL", HEX + b"\0"),
    sized("a size and a comma", HEX + b",1"),
    sized("a size with a bare LF", HEX, line_end=b"\n"),
    sized("a size with a bare CR", HEX, line_end=b"\r"),
    sized("an extension with a bare LF", HEX + b";a=b", line_end=b"\n"),
    sized("an extension with a LF inside", HEX + b";a=b\nc"),
    sized("an extension with a CR inside", HEX + b";a=b\rc"),
    sized("an extension with a NUL", HEX + b";a=\0"),
    sized("no line end behind the data", HEX, behind=b""),
    sized("a bare LF behind the data", HEX, behind=b"\n"),
    sized("a bare CR behind the data", HEX, behind=b"\r"),
    sized("more data than the size says", b"5"),
    sized("less data than the size says", b"%x" % (len(CHAT) + 1)),
    sized("a last chunk with a bare LF", HEX, last=b"0\n\n"),
    sized("a last chunk with a minus", HEX, last=b"-0\r\n\r\n"),
    sized("rubbish instead of the last chunk", HEX, last=b"rubbish\r\n\r\n"),
    sized("a trailer without colon", HEX, last=b"0\r\nrubbish\r\n\r\n"),
    sized("a trailer behind a blank", HEX, last=b"0\r\n x: 1\r\n\r\n"),
    sized("a trailer with a NUL", HEX, last=b"0\r\nx: \0\r\n\r\n"),
    sized("a trailer with a blank before the colon", HEX, last=b"0\r\nx : 1\r\n\r\n"),
    sized("trailers without end", HEX, last=b"0\r\n" + b"".join(b"x-%d: %b\r\n" % (n, b"y" * 90) for n in range(5000)) + b"\r\n"),
    sized("a trailer that is too long", HEX, last=b"0\r\nx: " + b"y" * 100_000 + b"\r\n\r\n"),
]


@named(BAD_CHUNKS)
@pytest.mark.parametrize("delivery", ["with the head", "after the head"])
def test_a_body_whose_chunks_are_broken_is_refused_and_the_connection_closed(
    case: Case, delivery: str, client: RawClient, provider: Provider
) -> None:
    if delivery == "with the head":
        client.send(case.head, case.body, SMUGGLED)
    else:
        client.send(case.head)
        time.sleep(0.03)
        client.send(case.body, SMUGGLED)
    began = time.monotonic()
    judge_refusal(client, provider, (400, 413))
    assert time.monotonic() - began < 0.4, "it was refused only when the time for the body was over"


GOOD = [
    Case("Content-Length", head(LENGTH), CHAT),
    Case("Content-Length with blanks around it", head(b"content-length:   " + N + b"  "), CHAT),
    Case("Content-Length with a tab before it", head(b"content-length:\t" + N), CHAT),
    Case("Content-Length without a blank", head(b"content-length:" + N), CHAT),
    Case("Content-Length in capitals", head(b"CONTENT-LENGTH: " + N), CHAT),
    Case("Content-Length with zeros in front", head(b"content-length: 000" + N), CHAT),
    Case("chunked", head(TE), chunked(CHAT)),
    Case("chunked in capitals", head(b"Transfer-Encoding: CHUNKED"), chunked(CHAT)),
    Case("chunked without a blank", head(b"transfer-encoding:chunked"), chunked(CHAT)),
    Case("chunked behind a tab", head(b"transfer-encoding:\tchunked"), chunked(CHAT)),
    Case("chunks of one byte", head(TE), chunked(*[CHAT[n : n + 1] for n in range(len(CHAT))])),
    Case("a chunk size in capitals", head(TE), HEX.upper() + b"\r\n" + CHAT + b"\r\n0\r\n\r\n"),
    Case("a chunk size with zeros in front", head(TE), b"000" + HEX + b"\r\n" + CHAT + b"\r\n000\r\n\r\n"),
    Case("a chunk extension", head(TE), HEX + b";a=b\r\n" + CHAT + b"\r\n0;c\r\n\r\n"),
    Case("a quoted chunk extension", head(TE), HEX + b';a="b;c"\r\n' + CHAT + b"\r\n0\r\n\r\n"),
    Case("a trailer", head(TE), chunked(CHAT)[:-2] + b"x-trailer: 1\r\n\r\n"),
    Case("a trailer that means a key", head(TE), chunked(CHAT)[:-2] + b"authorization: Bearer evil\r\n\r\n"),
    Case("a blank line before the request", b"\r\n" + head(LENGTH), CHAT),
    Case("letters outside ASCII in a value", head("x-a: é".encode(), LENGTH), CHAT),
    Case("bytes that are not UTF-8 in a value", head(b"x-a: \xff\xfe", LENGTH), CHAT),
    Case("an empty value", head(b"x-a:", LENGTH), CHAT),
    Case("a tab in a value", head(b"x-a: 1\t2", LENGTH), CHAT),
    Case("a name of odd letters", head(b"!#$%&'*+-.^_`|~9: 1", LENGTH), CHAT),
    Case("transfer_encoding, which is another name", head(b"transfer_encoding: chunked", LENGTH), CHAT),
    Case("content_length, which is another name", head(b"content_length: 3", LENGTH), CHAT),
    Case("a query", head(LENGTH, start=b"POST /v1/chat/completions?a=b&c HTTP/1.1"), CHAT),
    Case("Host with a port", head(LENGTH, host=b"host: gateway:8080"), CHAT),
    Case("Host with an IPv6 address", head(LENGTH, host=b"host: [::1]:8080"), CHAT),
    Case("Host with an IPv4 address", head(LENGTH, host=b"host: 127.0.0.1"), CHAT),
    Case("Host with a dot at the end", head(LENGTH, host=b"host: gateway."), CHAT),
    Case("Host in capitals", head(LENGTH, host=b"HOST: GATEWAY"), CHAT),
    Case("a line that is nearly too long", head(b"x-a: " + b"a" * (MAX_HEADER - 200), LENGTH), CHAT),
    Case("fifty lines", head(*[b"x-%d: 1" % n for n in range(50)], LENGTH), CHAT),
]


@named(GOOD)
def test_a_request_that_is_plainly_framed_is_served_and_goes_on_once(case: Case, client: RawClient, provider: Provider) -> None:
    client.send(case.head, case.body)
    reply = client.reply()
    assert reply.status == 200, reply.body
    got = provider.only()
    assert got.body == CHAT
    assert got.header("content-length") == str(len(CHAT))
    assert {name for name, _ in got.headers} == {"host", "authorization", "accept-encoding", "content-type", "content-length"}
    client.assert_usable()


EITHER = [
    sized("a chunk extension of 100 KB", HEX + b";a=" + b"x" * 100_000),
    Case("a trailer that means framing", head(TE), chunked(CHAT)[:-2] + b"content-length: 3\r\n\r\n"),
    Case("a chunk size followed by a blank", head(TE), HEX + b" \r\n" + CHAT + b"\r\n0\r\n\r\n"),
    Case("an empty chunk extension", head(TE), HEX + b";\r\n" + CHAT + b"\r\n0\r\n\r\n"),
    Case("Transfer-Encoding behind an empty list element", head(b"transfer-encoding: , chunked"), chunked(CHAT)),
    Case("Transfer-Encoding before an empty list element", head(b"transfer-encoding: chunked,"), chunked(CHAT)),
    Case("Transfer-Encoding before a tab", head(b"transfer-encoding: chunked\t"), chunked(CHAT)),
    Case("two blanks behind the method", head(LENGTH, start=b"POST  /v1/chat/completions HTTP/1.1"), CHAT),
    Case("two blanks before the version", head(LENGTH, start=b"POST /v1/chat/completions  HTTP/1.1"), CHAT),
    Case("a blank behind the version", head(LENGTH, start=b"POST /v1/chat/completions HTTP/1.1 "), CHAT),
    Case("a bare LF before the request", b"\n" + head(LENGTH), CHAT),
    Case("the target in absolute form", head(LENGTH, start=b"POST http://gateway/v1/chat/completions HTTP/1.1"), CHAT),
    Case("a fragment", head(LENGTH, start=b"POST /v1/chat/completions#x HTTP/1.1"), CHAT),
    Case("two slashes", head(LENGTH, start=b"POST /v1//chat/completions HTTP/1.1"), CHAT),
    Case("two slashes in front", head(LENGTH, start=b"POST //v1/chat/completions HTTP/1.1"), CHAT),
    Case("a dot segment", head(LENGTH, start=b"POST /v1/./chat/completions HTTP/1.1"), CHAT),
    Case("a double dot segment", head(LENGTH, start=b"POST /v1/x/../chat/completions HTTP/1.1"), CHAT),
    Case("an encoded slash", head(LENGTH, start=b"POST /v1%2fchat/completions HTTP/1.1"), CHAT),
    Case("capitals", head(LENGTH, start=b"POST /V1/CHAT/COMPLETIONS HTTP/1.1"), CHAT),
    Case("a slash at the end", head(LENGTH, start=b"POST /v1/chat/completions/ HTTP/1.1"), CHAT),
    Case("a path parameter", head(LENGTH, start=b"POST /v1/chat/completions;x=1 HTTP/1.1"), CHAT),
    Case("a backslash", head(LENGTH, start=b"POST /v1\\chat\\completions HTTP/1.1"), CHAT),
    Case("letters outside ASCII in the target", head(LENGTH, start="POST /v1/chät HTTP/1.1".encode()), CHAT),
    Case("bytes that are not UTF-8 in the target", head(LENGTH, start=b"POST /v1/\xff\xfe HTTP/1.1"), CHAT),
    Case("bytes that are not UTF-8 in the query", head(LENGTH, start=b"POST /v1/chat/completions?\xff HTTP/1.1"), CHAT),
]


@named(EITHER)
def test_what_may_be_read_either_way_is_served_as_one_request_or_refused(case: Case, client: RawClient, provider: Provider) -> None:
    client.send(case.head, case.body)
    reply = client.reply()
    assert provider.stray == b""
    if reply.status == 200:
        assert provider.only().body == CHAT
    else:
        assert 400 <= reply.status < 500, reply.body
        assert_openai_error(reply.body)
        provider.nothing()
    if not reply.closes:
        client.assert_usable()
    else:
        client.assert_closed()


ELSEWHERE = [
    Case("an absolute target on another host", head(LENGTH, start=b"POST http://evil.example/v1/chat/completions HTTP/1.1"), CHAT),
    Case("an absolute target of another scheme", head(LENGTH, start=b"POST file:///etc/passwd HTTP/1.1"), CHAT),
    Case("a target that begins with two slashes and a host", head(LENGTH, start=b"POST //evil.example/x HTTP/1.1"), CHAT),
    Case("an asterisk", head(LENGTH, start=b"POST * HTTP/1.1"), CHAT),
    Case("OPTIONS and an asterisk", head(start=b"OPTIONS * HTTP/1.1")),
    Case("a target without a slash", head(LENGTH, start=b"POST v1/chat/completions HTTP/1.1"), CHAT),
    Case("a query alone", head(LENGTH, start=b"POST ?x HTTP/1.1"), CHAT),
    Case("CONNECT", head(start=b"CONNECT evil.example:443 HTTP/1.1")),
    Case("CONNECT to the provider's path", head(start=b"CONNECT /openai/v1/x HTTP/1.1")),
    Case("TRACE of the provider", head(start=b"TRACE /openai/v1/models HTTP/1.1")),
]


@named(ELSEWHERE)
def test_a_target_that_is_no_path_of_ours_goes_nowhere(case: Case, client: RawClient, provider: Provider) -> None:
    client.send(case.head, case.body)
    reply = client.reply()
    assert 400 <= reply.status < 500, (reply.status, reply.body)
    assert_openai_error(reply.body)
    provider.nothing()


# -- two requests in one


def smuggling() -> list[Case]:
    inner = SMUGGLED
    late = b"%x\r\n" % len(inner)
    return [
        Case("CL.TE", head(b"content-length: %d" % (5 + len(inner)), TE), b"0\r\n\r\n" + inner),
        Case("TE.CL", head(b"content-length: 4", TE), late + inner + b"\r\n0\r\n\r\n"),
        Case("TE.CL, the length first", head(TE, b"content-length: 4"), late + inner + b"\r\n0\r\n\r\n"),
        Case("TE.TE with a second value", head(TE, b"transfer-encoding: x"), b"0\r\n\r\n" + inner),
        Case("TE.TE with a list", head(b"transfer-encoding: chunked, x"), b"0\r\n\r\n" + inner),
        Case(
            "TE hidden behind a blank", head(b"content-length: %d" % (5 + len(inner)), b"transfer-encoding : chunked"), b"0\r\n\r\n" + inner
        ),
        Case(
            "TE hidden behind a fold", head(b"content-length: 4", b"x: y\r\n transfer-encoding: chunked"), late + inner + b"\r\n0\r\n\r\n"
        ),
        Case("TE hidden behind a LF", head(b"content-length: 4", b"x: y\ntransfer-encoding: chunked"), late + inner + b"\r\n0\r\n\r\n"),
        Case(
            "TE hidden behind a vertical tab", head(b"content-length: 4", b"transfer-encoding:\x0bchunked"), late + inner + b"\r\n0\r\n\r\n"
        ),
        Case("TE hidden behind a NUL", head(b"content-length: 4", b"transfer-encoding: chunked\0"), late + inner + b"\r\n0\r\n\r\n"),
        Case("CL.CL", head(b"content-length: 0", b"content-length: %d" % len(inner)), inner),
        Case("CL.CL in a list", head(b"content-length: 0, %d" % len(inner)), inner),
        Case("CL with a plus", head(b"content-length: +0"), inner),
        Case("a chunk size that overflows", head(TE), b"10000000000000000\r\n\r\n" + inner),
        Case("a length that overflows", head(b"content-length: 18446744073709551616"), inner),
        Case("a chunk extension with a LF", head(TE), b"1;a\nx\r\n1\r\n0\r\n\r\n" + inner),
        Case("a request hidden in a trailer", head(TE), b"0\r\nx: y\n" + inner),
        Case("a request hidden in a header value", head(b"x: y\r" + inner.replace(b"\r\n", b"\r"), LENGTH), CHAT),
        Case("HTTP/1.0 with chunks", head(TE, start=b"POST /v1/chat/completions HTTP/1.0"), b"0\r\n\r\n" + inner),
    ]


@named(smuggling())
@pytest.mark.parametrize("delivery", ["in one piece", "byte by byte"])
def test_a_request_hidden_in_another_never_reaches_the_provider(case: Case, delivery: str, client: RawClient, provider: Provider) -> None:
    data = case.head + case.body
    if delivery == "in one piece":
        client.send(data)
    else:
        try:
            for at in range(len(data)):
                client.send(data[at : at + 1])
        except OSError:
            pass  # it had read enough
    judge_refusal(client, provider, (400, 501))


@pytest.mark.parametrize("framing", ["Content-Length", "chunked"])
def test_a_body_that_looks_like_a_request_stays_a_body(framing: str, client: RawClient, provider: Provider) -> None:
    start = b"POST /openai/v1/files HTTP/1.1"
    if framing == "chunked":
        client.send(head(TE, start=start), chunked(SMUGGLED, SMUGGLED))
    else:
        client.send(head(b"content-length: %d" % (2 * len(SMUGGLED)), start=start), SMUGGLED, SMUGGLED)
    assert client.reply().status == 200
    got = provider.only()
    assert got.target == "/v1/files"
    assert got.body == SMUGGLED * 2
    client.assert_usable()


# -- one after the other


@pytest.mark.parametrize("number", [2, 5, 40])
def test_pipelined_requests_are_answered_in_order(number: int, client: RawClient, provider: Provider) -> None:
    for n in range(number):
        client.send(b"GET /openai/v1/number/%d HTTP/1.1\r\nhost: gateway\r\n%b\r\n\r\n" % (n, AUTH.encode()))
    for n in range(number):
        reply = client.reply()
        assert reply.status == 200
        assert b"/v1/number/%d" % n in reply.body
    assert [got.target for got in provider.requests] == [f"/v1/number/{n}" for n in range(number)]
    client.assert_usable()


def test_pipelined_requests_of_every_kind_are_answered_in_order(client: RawClient, provider: Provider) -> None:
    plain = b"GET /health HTTP/1.1\r\nhost: gateway\r\n\r\n"
    unknown = b"GET /nowhere HTTP/1.1\r\nhost: gateway\r\n\r\n"
    streamed = CHAT[:-1] + b', "stream": true}'
    stream = head(b"content-length: %d" % len(streamed)) + streamed
    client.send(plain, head(LENGTH), CHAT, unknown, stream, head(TE), chunked(CHAT), plain)
    replies = [client.reply() for _ in range(6)]
    assert [reply.status for reply in replies] == [200, 200, 404, 200, 200, 200]
    assert replies[3].body.endswith(b"data: [DONE]\n\n")
    assert len(provider.requests) == 3
    client.assert_usable()


def test_a_good_request_before_a_bad_one_is_answered_or_refused_with_it_but_the_bad_one_is_not_served(
    client: RawClient, provider: Provider
) -> None:
    client.send(head(LENGTH), CHAT, head(LENGTH, TE), chunked(CHAT), SMUGGLED)
    first = client.reply()
    if first.status == 200:
        assert client.reply().status == 400
    else:
        assert first.status == 400
    client.assert_closed()
    assert len(provider.requests) <= 1
    assert provider.stray == b""


def test_rubbish_behind_a_body_is_refused_after_the_answer(client: RawClient, provider: Provider) -> None:
    client.send(head(LENGTH), CHAT)
    assert client.reply().status == 200
    client.send(b"rubbish\r\n\r\n")
    assert client.reply().status == 400
    client.assert_closed()
    provider.only()


# -- too large


def test_a_body_announced_too_large_is_refused_before_it_is_sent(client: RawClient, provider: Provider) -> None:
    client.send(head(b"content-length: %d" % (MAX_BODY + 1)))
    judge_refusal(client, provider, (413,))


@pytest.mark.parametrize(
    "length", [2**31, 2**32 + len(CHAT), 2**63 - 1, 2**63, 2**64 - 1], ids=["2^31", "2^32", "2^63-1", "2^63", "2^64-1"]
)
def test_a_body_announced_absurdly_large_is_refused(length: int, client: RawClient, provider: Provider) -> None:
    client.send(head(b"content-length: %d" % length), CHAT, SMUGGLED)
    judge_refusal(client, provider, (413, 400))


@pytest.mark.parametrize("length", [2**64 - 1, 2**64, 2**63, 2**63 - 1], ids=["2^64-1", "2^64", "2^63", "2^63-1"])
def test_an_upload_announced_absurdly_large_does_not_open_the_door_for_a_second_request(
    length: int, client: RawClient, provider: Provider
) -> None:
    """llhttp keeps 2^64-1 as its mark for "no length": what follows would be read as another request."""
    client.send(head(b"content-length: %d" % length, start=b"POST /openai/v1/files HTTP/1.1"), SMUGGLED)
    reply = client.reply()
    assert not [got.target for got in provider.requests if "smuggled" in got.target]
    assert reply.status in (400, 408, 413, 504), reply
    client.assert_closed()
    assert not provider.requests, "an upload that never came was passed on as whole"


def test_a_chunked_body_is_refused_once_it_is_too_large(client: RawClient, provider: Provider) -> None:
    client.send(head(TE))
    piece = b"10000\r\n" + b"a" * 65536 + b"\r\n"
    try:
        for _ in range(40):
            client.send(piece)
    except OSError:
        pass
    reply = client.reply()
    assert reply.status == 413
    assert_openai_error(reply.body)
    provider.nothing()


def test_a_body_of_exactly_the_limit_is_read(client: RawClient, provider: Provider) -> None:
    body = CHAT + b" " * (MAX_BODY - len(CHAT))
    client.send(head(b"content-length: %d" % len(body)), body)
    assert client.reply().status == 200
    assert provider.only().body == body


def test_the_gateway_is_unharmed(gateway: Live, client: RawClient, provider: Provider) -> None:
    """Twenty rejected connections at once, left open by the client, end all the same."""
    rejected = [RawClient(gateway.port) for _ in range(20)]
    for other in rejected:
        other.send(head(LENGTH, TE), CHAT)
    for other in rejected:
        assert other.reply().status == 400
        try:
            other.assert_closed()
        except Gone:
            pass
        other.socket.close()
    client.send(head(LENGTH), CHAT)
    assert client.reply().status == 200
    gateway.wait(lambda: gateway.client_connections() == 1, "the refused connections to be gone")
