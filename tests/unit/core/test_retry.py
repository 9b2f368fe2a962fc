"""The waits between two attempts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgegate.errors import provider_error
from edgegate.resilience.retry import Waits


def fault(retry_after_s: float | None = None) -> object:
    return provider_error(503, "x", "x", retry_after_s=retry_after_s)


def whole(value: float) -> float:
    return value


def test_waits_double_up_to_the_longest() -> None:
    waits = Waits(0.25, 1.5, whole)
    assert [waits.after(fault()) for _ in range(5)] == [0.25, 0.5, 1.0, 1.5, 1.5]  # type: ignore[arg-type]


def test_with_jitter_a_wait_is_anything_up_to_the_step() -> None:
    steps = [Waits(1, 8).after(fault()) for _ in range(200)]  # type: ignore[arg-type]
    assert all(step is not None and 0 <= step <= 1 for step in steps)
    assert len(set(steps)) > 100


def test_no_backoff_is_no_wait() -> None:
    assert Waits(0, 5).after(fault()) == 0  # type: ignore[arg-type]


@given(st.floats(0, 5))
def test_a_retry_after_is_never_undercut(asked: float) -> None:
    wait = Waits(0.25, 5).after(fault(asked))  # type: ignore[arg-type]
    assert wait is not None
    assert asked <= wait <= asked + 0.25


@pytest.mark.parametrize("asked", [5.1, 60, 86400, float("inf")])
def test_a_retry_after_beyond_the_longest_wait_sends_the_caller_elsewhere(asked: float) -> None:
    assert Waits(0.25, 5).after(fault(asked)) is None  # type: ignore[arg-type]
