"""What the environment and the command line change in a configuration.

Precedence, lowest first: the file, the four gateways' own variables in the order of `VARIABLES`, `EDGEGATE_SECTION__KEY`, flags.
Values from here are taken literally: a `$` in them means nothing. All edits are made on copies, because YAML aliases share nodes.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Collection, Mapping
from typing import Any

from edgegate.config import tree
from edgegate.config.address import parse_address
from edgegate.config.decode import boolean
from edgegate.config.model import Config
from edgegate.config.option import Secret
from edgegate.config.problems import Place, Problem, did_you_mean, shown
from edgegate.config.stages import DEFAULT_CHAIN, STAGES
from edgegate.config.tree import Listing, Node, Scalar, Table
from edgegate.config.variables import ADMIN, PORT, SWITCH, VARIABLES, Variable

PREFIX = "EDGEGATE_"

FLAGS: Mapping[str, str] = types.MappingProxyType({"--workers": "server.workers", "--log-level": "log.level"})
"""Flags that set an option as they are; `--host` and `--port` are merged into `server.listen` by `rebind`."""


def place_of(name: str) -> Place:
    return Place(f"{name} on the command line" if name.startswith("--") else f"{name} in the environment")


def apply(root: Table, env: Mapping[str, str], flags: Mapping[str, str]) -> tuple[Table, list[Problem]]:
    """A copy of `root` with the overrides in it. Empty variables count as unset."""
    edit = _Edit(root)
    for variable in VARIABLES:
        text = env.get(variable.name, "")
        if text and variable.does is not PORT:
            edit.known(variable, text)
    for name in sorted(env):
        if name.startswith(PREFIX) and "__" in name and env[name]:
            edit.generic(name, env[name])
    for name, path in FLAGS.items():
        if name in flags:
            edit.put(path.split("."), Scalar(place_of(name), _level(path, flags[name]), literal=True))
    return edit.root, edit.problems


def rebind(listen: str, env: Mapping[str, str], flags: Mapping[str, str]) -> tuple[str, list[Problem]]:
    """`server.listen` with host and port replaced as variables and flags ask. An unreadable `listen` is left for the checks."""
    problems: list[Problem] = []
    ports = [(v.name, env[v.name]) for v in VARIABLES if v.does is PORT and env.get(v.name) and not env.get("EDGEGATE_SERVER__LISTEN")]
    if "--port" in flags:
        ports.append(("--port", flags["--port"]))
    try:
        address = parse_address(listen)
    except ValueError:
        return listen, problems
    if address.path:
        if not {"--host", "--port"} & flags.keys():
            return listen, problems
        address = parse_address("127.0.0.1:8080")
    for name, text in ports:
        if text.isascii() and text.isdigit() and int(text[:6]) <= 65535:
            address = dataclasses.replace(address, port=int(text))
        else:
            problems.append(Problem(place_of(name), "server.listen", f"expected a port from 0 to 65535, got {shown(text)}"))
    if "--host" in flags:
        host = flags["--host"].strip("[]")
        try:
            address = parse_address(f"[{host}]:{address.port}" if ":" in host else f"{host}:{address.port}")
        except ValueError:
            problems.append(Problem(place_of("--host"), "server.listen", f"expected a host name or an IP address, got {shown(host)}"))
    return str(address), problems


class _Edit:
    """Sets options in a tree, copying what it touches."""

    def __init__(self, root: Table) -> None:
        self.root = _copy(root)
        self.problems: list[Problem] = []

    def known(self, variable: Variable, text: str) -> None:
        place = place_of(variable.name)
        if variable.does is SWITCH:
            try:
                self._switch(variable.path.removeprefix("chain."), boolean(text), place)
            except ValueError:
                self.problems.append(Problem(place, "", f"expected true or false, got {shown(text)}"))
            return
        if variable.does is ADMIN:
            self._admit(text, place)
            return
        keys = variable.path.split(".")
        if keys[0] != "chain":
            self.put(keys, Scalar(place, _level(variable.path, text), literal=True))
        elif (options := self._stage(keys[1])) is not None:
            plain = text.strip().replace(".", "", 1).isdigit()
            _put_below(options, keys[2:], Scalar(place, text + variable.unit if plain else text, literal=True))

    def generic(self, name: str, text: str) -> None:
        """`EDGEGATE_A__B=text`: finds the option by the dataclasses, and the provider by its name as an environment can spell it."""
        words = name.removeprefix(PREFIX).lower().split("__")
        place = place_of(name)
        keys: list[str] = []
        hint: Any = Config
        for word in words:
            if keys == ["chain"]:
                return self._in_chain(words, place, text)
            options = dataclasses.is_dataclass(hint)
            mapping = typing.get_origin(hint) is dict
            if not options and not mapping:
                return self._unknown(word, (), place)
            if mapping:
                keys.append(self._existing(keys, word))
                hint = typing.get_args(hint)[1]
            else:
                hints = typing.get_type_hints(hint)
                if word not in hints:
                    return self._unknown(word, hints, place)
                keys.append(word)
                hint = _inner(hints[word])
        node = self._node(hint, text, place)
        if node is not None:
            self.put(keys, node)
        return None

    def put(self, keys: list[str], node: Node) -> None:
        _put_below(self.root, keys, node)

    def _in_chain(self, words: list[str], place: Place, text: str) -> None:
        path = ".".join(words)
        if len(words) < 3 or words[1] not in STAGES:
            near = did_you_mean(words[1], STAGES) if len(words) > 1 else ""
            self.problems.append(Problem(place, path, f"expected EDGEGATE_CHAIN__<STAGE>__<OPTION>{near}"))
            return
        stage, *names = words[1:]
        hint: Any = STAGES[stage]
        for name in names:
            hints = typing.get_type_hints(hint) if dataclasses.is_dataclass(hint) else {}
            if name not in hints:
                self.problems.append(Problem(place, path, f"no such option{did_you_mean(name, hints)}"))
                return
            hint = _inner(hints[name])
        options = self._stage(stage)
        if options is None:
            self.problems.append(Problem(place, path, f"the chain has no `{stage}` stage"))
        elif (node := self._node(hint, text, place)) is not None:
            _put_below(options, names, node)

    def _admit(self, text: str, place: Place) -> None:
        """One more key in `admin.keys`, named `env`; the one of a variable that came before is replaced."""
        admin = self.root.entries.get("admin")
        keys = admin.entries.get("keys") if isinstance(admin, Table) else None
        if isinstance(keys, Table) or (isinstance(keys, Scalar) and not keys.empty):
            return  # no list: the reader says so
        key = Table(place)
        key.put("name", Scalar(place, "env", literal=True))
        key.put("key", Scalar(place, text, literal=True))
        others = [each for each in keys.items if str(each.place) not in _ADMITTING] if isinstance(keys, Listing) else []
        self.put(["admin", "keys"], Listing(keys.place if isinstance(keys, Listing) else place, [*others, key]))

    def _unknown(self, word: str, valid: Collection[str], place: Place) -> None:
        self.problems.append(Problem(place, "", f"no such option{did_you_mean(word, valid)}"))

    def _node(self, hint: Any, text: str, place: Place) -> Node | None:
        """Text from a variable as a node of the kind that its option takes."""
        listing = typing.get_origin(hint) is tuple
        structured = listing or typing.get_origin(hint) is dict or dataclasses.is_dataclass(hint)
        if not structured or hint is Secret:
            return Scalar(place, text, literal=True)
        if text.lstrip().startswith(("[", "{")):
            parsed, problems = tree.parse(f"value: {text}", str(place))
            self.problems.extend(Problem(place, "", problem.text) for problem in problems)
            return parsed.entries.get("value") if parsed and not problems else None
        if listing:
            return Listing(place, [Scalar(place, part.strip(), literal=True) for part in text.split(",") if part.strip()])
        self.problems.append(Problem(place, "", "expected YAML such as `{name: value}`, or a variable for each option in it"))
        return None

    def _existing(self, keys: list[str], word: str) -> str:
        """The name in the file that this variable can only spell without `-`, `.` and capitals; else the word."""
        table: Node | None = self.root
        for key in keys:
            table = table.entries.get(key) if isinstance(table, Table) else None
        names = table.entries if isinstance(table, Table) else {}
        return next((n for n in names if n.lower().replace("-", "_").replace(".", "_").replace("/", "_") == word), word)

    def _chain(self) -> Listing | None:
        """The chain as a copy that may be changed, made from the default one where the file gives none."""
        chain = self.root.entries.get("chain")
        if chain is None or (isinstance(chain, Scalar) and chain.empty):
            place = Place("the default chain")
            chain = Listing(place, [Scalar(place, name) for name in DEFAULT_CHAIN])
        elif not isinstance(chain, Listing):
            return None
        copy = Listing(chain.place, list(chain.items))
        self.root.put("chain", copy)
        return copy

    def _stage(self, name: str) -> Table | None:
        """The options of a stage, as a table that may be changed; None where the chain has no such stage."""
        chain = self._chain()
        for at, entry in enumerate(chain.items if chain else []):
            if chain is None or name != _stage_name(entry):
                continue
            old = entry.entries[name] if isinstance(entry, Table) else None
            options = _copy(old) if isinstance(old, Table) else Table(entry.place)
            chain.items[at] = Table(entry.place, {name: options}, {name: entry.place})
            return options
        return None

    def _switch(self, name: str, on: bool, place: Place) -> None:
        chain = self._chain()
        if chain is None:
            return
        if on and not any(_stage_name(entry) == name for entry in chain.items):
            at = 0
            while at < len(chain.items) and _stage_name(chain.items[at]) in FIRST:
                at += 1
            chain.items.insert(at, Scalar(place, name))
        elif not on:
            chain.items = [entry for entry in chain.items if _stage_name(entry) != name]


FIRST = ("auth", "limits")
"""Stages that stay before those that are switched on: who is not known, or is over a limit, gets no answer from the cache either."""

_ADMITTING = frozenset(str(place_of(variable.name)) for variable in VARIABLES if variable.does is ADMIN)


def _put_below(table: Table, keys: list[str], node: Node) -> None:
    """Sets an option below a table that may be changed; the tables on the way to it are copied."""
    for key in keys[:-1]:
        below = table.entries.get(key)
        copy = _copy(below) if isinstance(below, Table) else Table(node.place)
        table.entries[key] = copy
        table.names.setdefault(key, copy.place)
        table = copy
    table.put(keys[-1], node)


def _stage_name(entry: Node) -> str:
    if isinstance(entry, Scalar):
        return entry.text
    return next(iter(entry.entries)) if isinstance(entry, Table) and len(entry.entries) == 1 else ""


def _copy(table: Table) -> Table:
    return Table(table.place, dict(table.entries), dict(table.names))


def _inner(hint: Any) -> Any:
    """X for `X | None`."""
    inner = [argument for argument in typing.get_args(hint) if argument is not types.NoneType]
    return inner[0] if typing.get_origin(hint) in (types.UnionType, typing.Union) else hint


def _level(path: str, text: str) -> str:
    """The other gateways say `warn`."""
    return "warning" if path == "log.level" and text.lower() == "warn" else text
