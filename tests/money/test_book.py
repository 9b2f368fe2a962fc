"""The comparison of a bill with a ledger finds what it is there to find: else the tests of this folder would prove nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.money.bill import Line
from tests.money.book import Entry, compare

KILLED = 100.0
LINE = Line("a", "app", "plain", "maker", False, 1, 99.0, 100, frozenset(), 200, 7, 2, 10, ended=99.5, complete=True)
ROW = Entry("h", 1, "a", 1, "acme", "app", "maker", "plain", "provider", 200, "ok", "reported", 7, 10, 2, 1_300_000, 105_500)
UNKNOWN = replace(ROW, outcome="unknown", usage="none", input_tokens=0, output_tokens=0, cached_tokens=0, cost=1_300_000)


def faults(line: Line, *rows: Entry) -> int:
    return len(compare([line], rows, [KILLED], 0.2).faults)


def test_the_bill_is_in_nano_dollars() -> None:
    assert LINE.nano_usd == 5 * 1000 + 2 * 250 + 10 * 10_000


def test_what_is_right_is_no_fault() -> None:
    assert faults(LINE, ROW) == 0
    assert faults(replace(LINE, ended=99.9), UNKNOWN) == 0, "it may not have been written yet"
    assert faults(replace(LINE, ended=100.3, complete=False), UNKNOWN) == 0, "it was running"
    assert faults(replace(LINE, came=99.9)) == 0, "it had just come"


@pytest.mark.parametrize(
    "row",
    [
        replace(ROW, cost=105_501),
        replace(ROW, cost=None),
        replace(ROW, input_tokens=8),
        replace(ROW, cached_tokens=0),
        replace(ROW, usage="estimated"),
        replace(ROW, model="dear"),
        replace(ROW, marker="b"),
        UNKNOWN,
        replace(UNKNOWN, cost=1),
        replace(UNKNOWN, cost=None),
    ],
)
def test_a_row_that_is_not_as_billed_is_a_fault(row: Entry) -> None:
    assert faults(LINE, row) > 0


def test_what_is_missing_or_there_twice_is_a_fault() -> None:
    assert faults(LINE) == 1
    assert faults(LINE, ROW, ROW) > 0
    assert faults(LINE, ROW, replace(ROW, seq=2)) > 0
    assert faults(replace(LINE, complete=False), ROW) == 1
    assert faults(replace(LINE, ended=99.9), replace(UNKNOWN, cost=100, reserved=100)) == 1, "less was set aside than it cost"
