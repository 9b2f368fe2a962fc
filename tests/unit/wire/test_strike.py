"""A secret is struck out wherever the pieces are cut, and nothing else is changed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgegate.taps import Outcome
from edgegate.wire.strike import Strike


def struck(*pieces: bytes, secret: bytes = b"abab-key") -> bytes:
    tap = Strike(secret, b"***")
    return b"".join(tap.feed(piece) for piece in pieces) + tap.end(Outcome.OK)


def test_a_secret_is_struck_out_wherever_it_is_cut() -> None:
    text = b"the key abab-key is wrong, abab-key"
    for at in range(len(text) + 1):
        assert struck(text[:at], text[at:]) == b"the key *** is wrong, ***"


def test_what_only_begins_like_the_secret_goes_on() -> None:
    assert struck(b"aba", b"bab", b"-ke", b"x ab") == b"ababab-kex ab"


def test_no_more_is_held_back_than_could_be_the_secret() -> None:
    tap = Strike(b"abab-key", b"***")
    assert tap.feed(b"hello ab") == b"hello "
    assert tap.feed(b"c") == b"abc"


@given(st.lists(st.binary(max_size=6) | st.sampled_from([b"aba", b"b-k", b"ey", b"abab-key"]), max_size=8))
def test_any_pieces_give_what_one_piece_gives(pieces: list[bytes]) -> None:
    whole = b"".join(pieces)
    assert struck(*pieces) == whole.replace(b"abab-key", b"***")
