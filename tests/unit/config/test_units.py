from __future__ import annotations

import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgegate.config.option import Duration, Size
from edgegate.config.units import DURATION_PATTERN, LONGEST_S, SIZE_PATTERN, duration, size, write_duration, write_size

DURATIONS = [
    ("30s", 30.0),
    ("5m", 300.0),
    ("1h", 3600.0),
    ("250ms", 0.25),
    ("2d", 172_800.0),
    ("1h30m", 5400.0),
    ("1.5s", 1.5),
    ("1m30s500ms", 90.5),
    ("0", 0.0),
    ("0s", 0.0),
    ("12", 12.0),
    ("0.5", 0.5),
    ("3650d", LONGEST_S),
]
NOT_DURATIONS = [
    "",
    "s",
    "1:30",
    "30 s",
    "-1s",
    "1h1h",
    "30m1h",
    "1e3",
    "inf",
    "nan",
    "1x",
    "٣s",
    "1h ",
    ".5s",
    "1_0s",
    "3651d",
    "9" * 400,
    "1s\n",
]
SIZES = [
    ("0", 0),
    ("512", 512),
    ("1B", 1),
    ("10k", 10_000),
    ("10KB", 10_000),
    ("10kB", 10_000),
    ("64Ki", 65_536),
    ("64KiB", 65_536),
    ("32MiB", 32 << 20),
    ("32 MiB", 32 << 20),
    ("10MB", 10_000_000),
    ("10mb", 10_000_000),
    ("1.5KiB", 1536),
    ("2G", 2 * 10**9),
    ("1TiB", 1 << 40),
]
NOT_SIZES = ["", "MiB", "10m", "-1", "1.5", "0.3KiB", "10XB", "0x10", "1e6", "1 000", "2048TiB", "٣MB", "10MBB", "9" * 400]


@pytest.mark.parametrize(("text", "seconds"), DURATIONS)
def test_a_duration_is_read_as_seconds(text: str, seconds: float) -> None:
    assert duration(text) == seconds
    assert isinstance(duration(text), Duration)


@pytest.mark.parametrize("text", NOT_DURATIONS)
def test_what_is_no_duration_is_refused_with_the_accepted_forms(text: str) -> None:
    with pytest.raises(ValueError, match="a duration"):
        duration(text)


@pytest.mark.parametrize(("text", "count"), SIZES)
def test_a_size_is_read_as_bytes(text: str, count: int) -> None:
    assert size(text) == count
    assert isinstance(size(text), Size)


@pytest.mark.parametrize("text", NOT_SIZES)
def test_what_is_no_size_is_refused_with_the_accepted_forms(text: str) -> None:
    with pytest.raises(ValueError, match="a size"):
        size(text)


@given(st.integers(0, LONGEST_S * 1000))
def test_a_written_duration_reads_back_the_same(milliseconds: int) -> None:
    seconds = milliseconds / 1000
    assert duration(write_duration(seconds)) == seconds


@given(st.floats(0, 1e6, allow_nan=False).map(lambda number: round(number, 9)))
def test_a_duration_below_a_millisecond_survives_writing_too(seconds: float) -> None:
    assert float(duration(write_duration(seconds))) == pytest.approx(seconds, abs=1e-12)


@given(st.integers(0, 1 << 50))
def test_a_written_size_reads_back_the_same(count: int) -> None:
    assert size(write_size(count)) == count


@given(
    st.lists(
        st.tuples(st.integers(0, 99), st.sampled_from(["d", "h", "m", "s", "ms"])), min_size=1, max_size=5, unique_by=lambda part: part[1]
    )
)
def test_a_duration_of_several_units_is_their_sum_if_they_fall(parts: list[tuple[int, str]]) -> None:
    factor = {"d": Decimal(86400), "h": Decimal(3600), "m": Decimal(60), "s": Decimal(1), "ms": Decimal("0.001")}
    falling = sorted(parts, key=lambda part: -factor[part[1]])
    text = "".join(f"{count}{unit}" for count, unit in falling)
    assert duration(text) == float(sum(count * factor[unit] for count, unit in falling))


@given(st.text(alphabet="0123456789.smhdkKMGiB xe-", max_size=12))
def test_the_schema_patterns_accept_whatever_the_loader_accepts(text: str) -> None:
    for parse, pattern in ((duration, DURATION_PATTERN), (size, SIZE_PATTERN)):
        try:
            parse(text)
        except ValueError:
            continue
        assert re.search(pattern, text), text


@pytest.mark.parametrize(("seconds", "text"), [(3600, "1h"), (90, "90s"), (0.25, "250ms"), (0, "0s"), (86400, "1d"), (600, "10m")])
def test_a_duration_is_written_in_its_largest_whole_unit(seconds: float, text: str) -> None:
    assert write_duration(seconds) == text
