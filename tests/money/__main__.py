"""`python -m tests.money [ARGUMENTS OF PYTEST]`: the long run, with thirty kills and stores that are away for half a minute."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest


def main() -> int:
    for name, value in (("EDGEGATE_KILLS", "30"), ("EDGEGATE_STORE_LOSS_S", "30"), ("EDGEGATE_WINDOWS", "1")):
        os.environ.setdefault(name, value)
    return int(pytest.main([str(Path(__file__).parent), "-q", "-p", "no:cacheprovider", *sys.argv[1:]]))


if __name__ == "__main__":
    sys.exit(main())
