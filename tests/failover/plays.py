"""`plays(...)`: the runs that a test is about, chosen by pattern. A pattern that fits nothing is a mistake, and says so."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest

from tests.failover.scenarios import PLAYS


def plays(*patterns: str) -> pytest.MarkDecorator:
    found = []
    for pattern in patterns:
        names = [name for name in PLAYS if fnmatchcase(name, pattern)]
        assert names, f"no run fits {pattern}"
        found += [name for name in names if name not in found]
    return pytest.mark.parametrize("play", found)
