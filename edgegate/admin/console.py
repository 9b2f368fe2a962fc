"""What the commands of `commands.py` do: they work on the configured store itself, whether the gateway runs or not.

A gateway that runs sees changes within seconds. What a person needs to know goes to standard error, what a program may want to
standard output: `KEY=$(edgegate keys create --name app)` has the secret and nothing else.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import getpass
import os
import secrets
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson

from edgegate.access.configured import unnamed
from edgegate.admin import usage
from edgegate.admin.commands import FIELD_FLAGS, LISTS, ROWS
from edgegate.admin.export import export, part_of, writer_of
from edgegate.admin.keys import Actor, Keys, Made
from edgegate.admin.query import whole
from edgegate.admin.shown import audited, stored
from edgegate.config.model import Config
from edgegate.errors import GatewayError
from edgegate.stores.base import StoreError
from edgegate.stores.opening import Stores, stores_of

DONE, FAILED, WRONG = 0, 1, 2
NO_STORE = "there is no store: set `store.file` (or `store.postgres`) in the configuration. Without one, keys live as long as the gateway."


class Console:
    """One command's surroundings."""

    def __init__(self, options: argparse.Namespace, config: Config, stores: Stores) -> None:
        self.options = options
        self.stores = stores
        self.now = time.time()
        self.actor = Actor(f"cli:{_user()}@{socket.gethostname()}", "")
        self.keys = Keys(
            stores.directory,
            configured=[key.name or unnamed(number) for number, key in enumerate(config.keys, 1)],
            unix_clock=time.time,
            token=secrets.token_bytes,
            changed=_nobody_here,
        )

    def given(self, names: Iterable[str]) -> dict[str, str]:
        """The flags that were used, by name."""
        found = {name: getattr(self.options, name, None) for name in names}
        return {name: value for name, value in found.items() if value is not None}

    def fields(self) -> dict[str, Any]:
        """The flags of a key's fields, as a JSON body would have them."""
        names = [flag.removeprefix("--").replace("-", "_") for flag in FIELD_FLAGS]
        given: dict[str, Any] = {name: _field(name, value) for name, value in self.given(names).items()}
        if self.options.strict is not None:
            given["strict"] = self.options.strict
        return given


def run(command: str, options: argparse.Namespace, config: Config) -> int:
    """Runs one of the functions below; gives the exit code."""
    if not config.store.file and not config.store.postgres:
        return _complain(NO_STORE)
    try:
        return asyncio.run(_run(command, options, config))
    except GatewayError as error:
        return _complain(error.message, WRONG if error.status == 400 else FAILED)
    except StoreError as error:
        return _complain(f"the store cannot be used: {error}")
    except ValueError as error:
        return _complain(str(error))


async def _run(command: str, options: argparse.Namespace, config: Config) -> int:
    stores = stores_of(config.store, config.store.file, keep=True)
    await stores.directory.open()
    try:
        await _COMMANDS[command](Console(options, config, stores))
    finally:
        await stores.directory.close()
    return DONE


# -- keys


async def create(console: Console) -> None:
    _print_made(console, await console.keys.create({"name": console.options.name} | console.fields(), console.actor))


async def rotate(console: Console) -> None:
    _print_made(console, await console.keys.rotate(console.options.key, console.given(["overlap"]), console.actor))


async def change(console: Console) -> None:
    key = await console.keys.change(console.options.key, console.fields(), console.actor)
    _print_document(console, stored(key, console.now))


async def show(console: Console) -> None:
    _print_document(console, stored(await console.keys.find(console.options.key), console.now))


async def revoke(console: Console) -> None:
    key = await console.keys.revoke(console.options.key, console.actor)
    if console.options.json:
        _print_json(stored(key, console.now))
    else:
        print(f"Key {key.name} is revoked.")


async def list_keys(console: Console) -> None:
    keys = [stored(key, console.now) for key in await console.keys.all()]
    if console.options.json:
        _print_json(keys)
        return
    columns = ("name", "id", "state", "tenant", "user", "expires", "requests", "tokens", "usd_per_month")
    _print_table(columns, ([key[column] for column in columns] for key in keys))


# -- what happened


async def report(console: Console) -> None:
    asked = usage.question(console.given(["since", "until", "by", *_columns()]), console.now)
    found = await _with_records(console, lambda: usage.report(console.stores.records, asked))
    if console.options.json:
        _print_json(found)
        return
    counted = ("requests", "attempts", "input_tokens", "output_tokens", "cost_usd", "unpriced", "estimated")
    rows = [[row[name] for name in (*asked.by, *counted)] for row in found["data"]]
    total = ["total", *[""] * (len(asked.by) - 1)] if asked.by else []
    rows.append([*total, *(found["total"][name] for name in counted)])
    print(f"{found['since']} up to {found['until']}, which is not included (UTC)", file=sys.stderr)
    _print_table((*asked.by, *counted), rows)


async def write_ledger(console: Console) -> None:
    given = console.given(["since", "until", "format", *_columns()])
    file: str = console.options.file
    suffix = Path(file).suffix.removeprefix(".")
    if "format" not in given and suffix in ("csv", "parquet"):
        given["format"] = suffix
    part = part_of(given, console.now)
    writer = await writer_of(given)
    await _with_records(console, lambda: _export(export(console.stores.records.rows(part), writer), file))


async def audit(console: Console) -> None:
    given = console.given(["limit", "before"])
    limit, before = whole(given, "limit", 100, 1, 1000), whole(given, "before", 0, 0, 10**18 - 1)
    changes = [audited(id, change) for id, change in await console.stores.directory.changes(limit=limit, before=before)]
    if console.options.json:
        _print_json(changes)
        return
    columns = ("id", "at", "who", "remote", "what", "subject", "details")
    _print_table(columns, ([each[column] if column != "details" else _line(each[column]) for column in columns] for each in changes))


async def _with_records(console: Console, work: Callable[[], Awaitable[Any]]) -> Any:
    records = console.stores.records
    await records.open(secrets.token_hex(8))
    try:
        return await work()
    finally:
        await records.close()


_COMMANDS: dict[str, Callable[[Console], Awaitable[None]]] = {
    "create": create,
    "list_keys": list_keys,
    "show": show,
    "change": change,
    "rotate": rotate,
    "revoke": revoke,
    "usage": report,
    "export": write_ledger,
    "audit": audit,
}


# -- reading and writing


def _field(name: str, value: str) -> Any:
    """A flag's text as the field takes it. An empty text takes the field back."""
    if name in LISTS:
        return [item.strip() for item in value.split(",") if item.strip()]
    return value or None


def _columns() -> list[str]:
    return [flag.removeprefix("--") for flag in ROWS]


async def _export(pieces: AsyncIterator[bytes], file: str) -> None:
    with _destination(file) as write:
        async for piece in pieces:
            write(piece)


@contextlib.contextmanager
def _destination(file: str) -> Iterator[Callable[[bytes], object]]:
    """Where to write. A file is there in full or not at all; what is printed is as far as it came."""
    if file == "-":
        yield sys.stdout.buffer.write
        sys.stdout.buffer.flush()
        return
    unfinished = Path(f"{file}.part")
    try:
        with unfinished.open("wb") as opened:
            yield opened.write
        os.replace(unfinished, file)
    except OSError as error:
        raise ValueError(f"{file} cannot be written: {error.strerror or error}") from None
    finally:
        unfinished.unlink(missing_ok=True)


def _print_made(console: Console, made: Made) -> None:
    if console.options.json:
        _print_json(stored(made.key, console.now) | {"secret": made.secret.reveal()})
        return
    print(f"Key {made.key.name}, id {made.key.id}. Its secret is shown this once:", file=sys.stderr)
    print(made.secret.reveal())


def _print_document(console: Console, shown: dict[str, Any]) -> None:
    if console.options.json:
        _print_json(shown)
        return
    for name, value in shown.items():
        if value not in (None, "", [], False):
            print(f"{name}: {_text(value)}")


def _print_json(value: Any) -> None:
    print(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())


def _print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    lines = [list(columns), *([_text(value) for value in row] for row in rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(columns))]
    for line in lines:
        print("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_line(item) if isinstance(item, dict) else str(item) for item in value)
    # callers choose some of the texts, and a terminal obeys control characters
    return "-" if value in (None, "") else "".join(char if char.isprintable() else ascii(char)[1:-1] for char in str(value))


def _line(details: dict[str, Any]) -> str:
    return orjson.dumps(details).decode()


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as containers have
        return str(os.getuid())


def _nobody_here() -> None:
    """A gateway that runs looks at the store's version by itself."""


def _complain(text: str, code: int = FAILED) -> int:
    print(f"edgegate: {text}", file=sys.stderr)
    return code
