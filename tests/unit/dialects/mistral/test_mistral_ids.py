"""Tool call ids."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgegate.dialects.mistral.ids import fits, fitting, nine

IDS = st.lists(st.text(max_size=12) | st.from_regex(r"[A-Za-z0-9]{9}", fullmatch=True) | st.sampled_from(["call_0", "call_1"]), max_size=40)


def test_an_id_that_fits_stays_what_it_is() -> None:
    assert fitting(["EscTeQY62"]) == {"EscTeQY62": "EscTeQY62"}


def test_foreign_ids_get_nine_letters_or_digits_that_depend_on_nothing_else() -> None:
    first = fitting(["call_abc", "toolu_01VpEm654HvfMoRcrE3Hgdc6"])
    assert all(fits(id) for id in first.values())
    assert first["call_abc"] == fitting(["call_abc"])["call_abc"]


def test_nine_characters_outside_ascii_do_not_fit() -> None:
    assert not fits("EscTeQY6\u0662")
    assert not fits("EscTeQY62\n")


@given(IDS)
def test_different_ids_stay_different_and_all_fit(ids: list[str]) -> None:
    sent = fitting(ids)
    assert set(sent) == set(ids)
    assert len(set(sent.values())) == len(set(ids))
    assert all(fits(id) for id in sent.values())


def test_a_foreign_id_whose_new_name_is_taken_gets_another() -> None:
    taken = nine("call_abc")
    sent = fitting(["call_abc", taken])
    assert sent[taken] == taken
    assert sent["call_abc"] != taken
