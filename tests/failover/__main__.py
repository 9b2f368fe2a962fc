"""`python -m tests.failover [NAME...]`: runs the scenarios and prints a scorecard and a table of every run.

A name may be the beginning of one: `S08` runs all that start with it. `--out FILE` writes the records instead, for the tests.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import uvloop

from tests.failover.company import perform, write
from tests.failover.scenarios import PLAYS
from tests.failover.scorecard import scorecard, table
from tests.failover.stand import Record


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.failover", description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--list", type=Path, help="a file with the names of runs, one a line")
    parser.add_argument("-v", action="store_true", help="tell every call and attempt")
    options = parser.parse_args()
    wanted = [*options.names, *(options.list.read_text().splitlines() if options.list else ())]
    names = [name for name in PLAYS if not wanted or name in wanted or any(name.startswith(start) for start in options.names)]
    if options.out is not None:
        uvloop.run(perform(names, lambda record: write(record, options.out)))
        return
    records = uvloop.run(perform(names, tell if options.v else lambda record: None))
    by_name = {record.name: record for record in records}
    print(table(by_name))
    print(scorecard(by_name))


def tell(record: Record) -> None:
    print(record, flush=True)


if __name__ == "__main__":
    main()
