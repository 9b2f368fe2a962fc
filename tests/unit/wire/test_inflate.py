"""Decompression: what comes out, at any split, and what is refused before it costs memory."""

from __future__ import annotations

import gzip
import random
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgegate.wire.inflate import FREE_BYTES, MAX_MEMBERS, MAX_RATIO, InflateError, Inflater

MB = 1 << 20
TEXT = b'{"choices":[{"message":{"role":"assistant","content":"Salt water covers most of it."}}]}' * 20


def bare(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(data) + compressor.flush()


def inflate(encoding: str, *pieces: bytes, max_bytes: int = 16 * MB, max_ratio: int = MAX_RATIO) -> bytes:
    inflater = Inflater(encoding, max_ratio, max_bytes=max_bytes)
    return b"".join([inflater.feed(piece) for piece in pieces]) + inflater.end()


FORMS = pytest.mark.parametrize(
    ("encoding", "compressed"),
    [("gzip", gzip.compress(TEXT)), ("deflate", zlib.compress(TEXT)), ("deflate", bare(TEXT))],
    ids=["gzip", "zlib", "bare deflate"],
)


@FORMS
def test_every_form_is_read_at_every_split(encoding: str, compressed: bytes) -> None:
    for at in range(len(compressed) + 1):
        assert inflate(encoding, compressed[:at], compressed[at:]) == TEXT
    assert inflate(encoding, *[compressed[at : at + 1] for at in range(len(compressed))]) == TEXT


@FORMS
def test_every_early_end_is_noticed(encoding: str, compressed: bytes) -> None:
    for at in range(1, len(compressed)):
        with pytest.raises(InflateError, match="ends too early"):
            inflate(encoding, compressed[:at])


@FORMS
def test_bytes_after_the_end_are_refused(encoding: str, compressed: bytes) -> None:
    for rest in (b"x", b"\x00", b"\n", b"HTTP/1.1 200 OK"):
        with pytest.raises(InflateError, match="followed by other bytes"):
            inflate(encoding, compressed + rest)
        with pytest.raises(InflateError, match="followed by other bytes"):
            inflate(encoding, compressed, rest)


@pytest.mark.parametrize("name", ["gzip", "GZIP", "x-gzip", " gzip "])
def test_names_of_gzip(name: str) -> None:
    assert inflate(name, gzip.compress(b"a")) == b"a"


@pytest.mark.parametrize("name", ["br", "zstd", "compress", "identity", "", "gzip, gzip", "deflate, gzip", "x" * 1000])
def test_other_encodings_are_refused_by_name(name: str) -> None:
    with pytest.raises(InflateError, match="only gzip and deflate") as caught:
        Inflater(name, max_bytes=100)
    assert name[:40] in str(caught.value)
    assert len(str(caught.value)) < 120


def test_gzip_members_follow_each_other() -> None:
    members = [gzip.compress(b"one "), gzip.compress(b""), gzip.compress(b"two")]
    assert inflate("gzip", b"".join(members)) == b"one two"
    assert inflate("gzip", *members) == b"one two"
    with pytest.raises(InflateError, match="ends too early"):
        inflate("gzip", members[0] + members[2][:5])


def test_endless_empty_members_are_refused() -> None:
    assert inflate("gzip", gzip.compress(b"") * MAX_MEMBERS) == b""
    with pytest.raises(InflateError, match="members"):
        inflate("gzip", gzip.compress(b"") * (MAX_MEMBERS + 1))


def test_an_empty_body_is_empty() -> None:
    assert inflate("gzip") == inflate("deflate", b"", b"") == b""


@pytest.mark.parametrize("data", [b"not compressed at all", b"\x1f\x8b\x08\xff", b"\x1f\x8bxx" * 20, b"<html>"])
def test_what_is_not_compressed_is_refused(data: bytes) -> None:
    with pytest.raises(InflateError):
        inflate("gzip", data)
    with pytest.raises(InflateError):
        inflate("deflate", data)


def test_a_wrong_checksum_is_noticed() -> None:
    compressed = bytearray(gzip.compress(TEXT))
    compressed[-8] ^= 1
    with pytest.raises(InflateError, match="not valid gzip"):
        inflate("gzip", bytes(compressed))


def test_what_was_flushed_comes_out_at_once() -> None:
    """A compressed event stream: each event is flushed, and none waits for the next."""
    compressor = zlib.compressobj(wbits=31)
    inflater = Inflater("gzip", max_bytes=MB)
    for number in range(100):
        event = b"data: %d\n\n" % number
        assert inflater.feed(compressor.compress(event) + compressor.flush(zlib.Z_SYNC_FLUSH)) == event
    assert inflater.feed(compressor.flush()) == b""
    assert inflater.end() == b""


# -- bombs


def test_a_bomb_is_refused_by_its_ratio_before_it_grows() -> None:
    bomb = gzip.compress(bytes(64 * MB))
    inflater = Inflater("gzip", max_bytes=1024 * MB)
    tracemalloc.start()
    try:
        with pytest.raises(InflateError, match=f"{MAX_RATIO} times"):
            inflater.feed(bomb)
        assert tracemalloc.get_traced_memory()[1] < 8 * FREE_BYTES
    finally:
        tracemalloc.stop()


def test_a_bomb_in_small_pieces_is_refused_as_well() -> None:
    bomb = gzip.compress(bytes(8 * MB))
    with pytest.raises(InflateError, match="times"):
        inflate("gzip", *[bomb[at : at + 10] for at in range(0, len(bomb), 10)], max_bytes=1024 * MB)


def test_many_members_are_one_body_to_the_limits() -> None:
    member = gzip.compress(bytes(FREE_BYTES))
    with pytest.raises(InflateError, match="times"):
        inflate("gzip", member * 10)


def test_a_small_body_may_have_any_ratio() -> None:
    assert inflate("gzip", gzip.compress(bytes(FREE_BYTES))) == bytes(FREE_BYTES)


def test_the_size_limit_is_exact_and_holds_memory_down() -> None:
    data = random.Random(1).randbytes(MB)
    compressed = gzip.compress(data, 1)
    assert inflate("gzip", compressed, max_bytes=MB) == data
    with pytest.raises(InflateError, match=f"more than {MB - 1} bytes"):
        inflate("gzip", compressed, max_bytes=MB - 1)
    with pytest.raises(InflateError, match="more than 0 bytes"):
        inflate("gzip", gzip.compress(b"a"), max_bytes=0)
    inflater = Inflater("gzip", max_bytes=100_000)
    tracemalloc.start()
    try:
        with pytest.raises(InflateError):
            inflater.feed(compressed)
        assert tracemalloc.get_traced_memory()[1] < 4 * 100_000 + len(compressed)
    finally:
        tracemalloc.stop()


# -- properties

bodies = st.builds(lambda block, times, tail: block * times + tail, st.binary(max_size=40), st.integers(0, 3000), st.binary(max_size=50))


@given(bodies, st.sampled_from(["gzip", "zlib", "bare"]), st.integers(1, 9), st.lists(st.integers(0, 5000), max_size=8))
def test_any_body_comes_back_at_any_split(body: bytes, form: str, level: int, cuts: list[int]) -> None:
    compressor = zlib.compressobj(level, wbits={"gzip": 31, "zlib": 15, "bare": -15}[form])
    compressed = compressor.compress(body) + compressor.flush()
    at = sorted({0, len(compressed), *(cut % len(compressed) for cut in cuts)})
    pieces = [compressed[start:stop] for start, stop in zip(at, [*at[1:], None], strict=True)]
    assert inflate("gzip" if form == "gzip" else "deflate", *pieces, max_ratio=2000, max_bytes=len(body)) == body


@given(st.binary(), st.sampled_from(["gzip", "deflate"]), st.booleans())
def test_any_bytes_are_read_or_refused(data: bytes, encoding: str, headed: bool) -> None:
    head = {"gzip": b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03", "deflate": b"\x78\x9c"}[encoding] if headed else b""
    try:
        out = inflate(encoding, head + data)
    except InflateError:
        out = b""
    assert len(out) <= 16 * MB
