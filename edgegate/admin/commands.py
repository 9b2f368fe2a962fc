"""The commands `keys`, `usage`, `ledger` and `audit`, and the flags they take. What they do is in `console.py`, which is imported
only when one of them runs.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Mapping

from edgegate.config.load import load

FIELD_FLAGS: Mapping[str, str] = {
    "--tenant": "tenant it belongs to",
    "--user": "user it belongs to",
    "--tags": "words for its rows of the ledger: a,b",
    "--models": "models it may use: gpt-4o,claude-*",
    "--providers": "providers it may use: openai,anthropic",
    "--endpoints": "paths or operations it may use: /v1/chat/completions,embeddings",
    "--networks": "networks it may be used from: 10.0.0.0/8,192.0.2.7",
    "--expires": "when it ends: 90d, 2027-01-31 or 2027-01-31T12:00:00Z",
    "--priority": "in the queue: low, normal, high or critical",
    "--requests": "requests: 60/min",
    "--tokens": "tokens: 200k/min",
    "--concurrency": "requests at once",
    "--usd-per-day": "hard budget in US dollars per day",
    "--usd-per-month": "hard budget in US dollars per calendar month",
    "--tokens-per-day": "hard budget in tokens per day",
    "--tokens-per-month": "hard budget in tokens per calendar month",
}
LISTS = frozenset({"tags", "models", "providers", "endpoints", "networks"})
ROWS: Mapping[str, str] = {
    "--key": "only of this key",
    "--user": "only of this user",
    "--tenant": "only of this tenant",
    "--model": "only of this model, by the provider's name",
    "--provider": "only of this provider",
}

Commands = argparse._SubParsersAction  # the type has no public name


def add_commands(commands: Commands[argparse.ArgumentParser], file: argparse.ArgumentParser) -> None:
    """Adds them to the command line. `file` has the flag that names the configuration."""
    _keys(commands, file)
    usage = commands.add_parser("usage", parents=[file], help="what was used, in tokens and US dollars")
    usage.add_argument("--since", help="a day, or how many days ago: 2026-11-01, 7d (default: this month)")
    usage.add_argument("--until", help="a day, not included (default: up to now)")
    usage.add_argument("--by", help="apart for each day, key, user, tenant, model, provider: key,model")
    for flag, text in ROWS.items():
        usage.add_argument(flag, help=text)
    usage.add_argument("--json", action="store_true", help="for programs")
    usage.set_defaults(command=_does("usage"))

    ledger = commands.add_parser("ledger", help="the ledger: a row for each attempt at a provider")
    about = ledger.add_subparsers(title="commands", metavar="COMMAND", required=True)
    export = about.add_parser(
        "export",
        parents=[file],
        help="write rows into a file",
        epilog="In CSV, a text that a spreadsheet would take for a formula gets an apostrophe in front.",
    )
    export.add_argument("file", metavar="FILE", help="where to write; - for standard output")
    export.add_argument("--format", choices=("csv", "jsonl", "parquet"), help="default: by the file's name, else jsonl")
    export.add_argument("--since", help="a day, a moment, or how long ago: 2026-11-01, 24h")
    export.add_argument("--until", help="the same, not included")
    for flag, text in ROWS.items():
        export.add_argument(flag, help=text)
    export.set_defaults(command=_does("export"))

    audit = commands.add_parser("audit", parents=[file], help="who changed which key, the latest first")
    audit.add_argument("--limit", default="100", help="how many (default: 100)")
    audit.add_argument("--before", default="0", help="only those with a smaller id")
    audit.add_argument("--json", action="store_true", help="for programs")
    audit.set_defaults(command=_does("audit"))


def _keys(commands: Commands[argparse.ArgumentParser], file: argparse.ArgumentParser) -> None:
    keys = commands.add_parser("keys", help="keys of callers that are kept in the store")
    about = keys.add_subparsers(title="commands", metavar="COMMAND", required=True)
    fields = argparse.ArgumentParser(add_help=False)
    for flag, text in FIELD_FLAGS.items():
        fields.add_argument(flag, help=text)
    fields.add_argument("--strict", action=argparse.BooleanOptionalAction, help="refuse rather than leave out what a provider cannot carry")
    shown = argparse.ArgumentParser(add_help=False)
    shown.add_argument("--json", action="store_true", help="for programs")

    create = about.add_parser("create", parents=[file, fields, shown], help="make a key; its secret is printed once")
    create.add_argument("--name", required=True, help="unique; stands in logs, metrics and the ledger")
    create.set_defaults(command=_does("create"))
    about.add_parser("list", parents=[file, shown], help="all keys").set_defaults(command=_does("list_keys"))
    for name, function, text in (
        ("show", "show", "one key"),
        ("change", "change", "change what is given; an empty text takes a field back"),
        ("rotate", "rotate", "a new secret, printed once; the older ones end later"),
        ("revoke", "revoke", "end a key for good"),
    ):
        one = about.add_parser(name, parents=[file, shown, *([fields] if name == "change" else [])], help=text)
        one.add_argument("key", metavar="NAME", help="its name or id")
        if name == "rotate":
            one.add_argument("--overlap", help="how long the older secrets go on: 24h (default), 0 for not at all")
        one.set_defaults(command=_does(function))


def _does(function: str) -> object:
    """The command of this name of `console.py`."""

    def run(options: argparse.Namespace, env: Mapping[str, str]) -> int:
        console = importlib.import_module("edgegate.admin.console")
        code: int = console.run(function, options, load(options.config, env))
        return code

    return run
