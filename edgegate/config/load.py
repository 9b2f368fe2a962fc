"""Loading: file, environment and flags become one checked `Config`, or a `ConfigError` with everything that is wrong.

`load` is what starts a gateway; `read` also says where each value stood. Both are pure in the environment they are handed, and
touch nothing but the configuration file, the files named by `${file:...}`, and those whose existence is checked.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from edgegate.config import environment, tree
from edgegate.config.chain import default_chain, read_chain
from edgegate.config.check import check
from edgegate.config.decode import Reader
from edgegate.config.discover import discover, vendors
from edgegate.config.model import Config
from edgegate.config.problems import ConfigError, Place, Problem, in_order
from edgegate.config.substitute import read_file
from edgegate.config.tree import Table

LOOKED_UP = (Path("config.yaml"), Path("config/config.yaml"), Path("/etc/edgegate/config.yaml"), Path("/etc/llm-gateway/config.yaml"))
NO_FLAGS: Mapping[str, str] = types.MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Loaded:
    """config: with overrides, discovered providers and the default chain in it. file: None if there was none.
    problems: none of them stopped the reading; a `Config` with problems must not be served."""

    config: Config
    file: Path | None
    places: Mapping[str, Place]
    problems: tuple[Problem, ...]


def load(path: Path | None, env: Mapping[str, str], flags: Mapping[str, str] = NO_FLAGS) -> Config:
    """The configuration to serve. `path` None: looked up. Raises `ConfigError` with all problems."""
    loaded = read(path, env, flags)
    if loaded.problems:
        raise ConfigError(loaded.problems)
    return loaded.config


def read(
    path: Path | None, env: Mapping[str, str], flags: Mapping[str, str] = NO_FLAGS, read_secret: Callable[[str], str] = read_file
) -> Loaded:
    """As `load`, but problems are a value. `flags`: of `environment.FLAGS`, `--host`, `--port`, as texts."""
    file = path or find(env)
    source = str(file) if file else "configuration"
    root: Table | None = None
    problems: list[Problem] = []
    if file is not None:
        text = _text(file, problems)
        root, found = tree.parse(text, source)
        problems += found
    root, found = environment.apply(root or Table(Place(source)), env, flags)
    problems += found
    reader = Reader(env, read_secret)
    chain = root.entries.pop("chain", None)
    config: Config = reader.section(Config, root, "")
    config = dataclasses.replace(config, chain=default_chain() if chain is None else read_chain(reader, chain))
    listen, found = environment.rebind(config.server.listen, env, flags)
    problems += found + reader.problems
    server = dataclasses.replace(config.server, listen=listen)
    config = dataclasses.replace(config, server=server, providers=discover(config.providers, env))
    reader.places.update(_discovered(config, reader.places, env))
    faulty = [problem.path for problem in problems if problem.path]
    problems += [p for p in check(config, reader.places, source) if not any(_related(p.path, path) for path in faulty)]
    return Loaded(config, file, types.MappingProxyType(reader.places), tuple(in_order(problems)))


def find(env: Mapping[str, str]) -> Path | None:
    """The file that EDGEGATE_CONFIG names, whether it exists or not; else the first of the usual ones that does."""
    if env.get("EDGEGATE_CONFIG"):
        return Path(env["EDGEGATE_CONFIG"])
    return next((candidate for candidate in LOOKED_UP if candidate.is_file()), None)


def _discovered(config: Config, places: Mapping[str, Place], env: Mapping[str, str]) -> dict[str, Place]:
    """Where addresses that stand in no file come from."""
    found = {}
    for vendor in vendors():
        path = f"providers.{vendor.name}.base_url"
        variable = next((name for name in vendor.urls if env.get(name)), "")
        if variable and vendor.name in config.providers and path not in places:
            found[path] = environment.place_of(variable)
    return found


def _text(file: Path, problems: list[Problem]) -> str:
    """The file's text; empty, with a problem, if it cannot be had."""
    try:
        with file.open("rb") as opened:
            data = opened.read(tree.MAX_BYTES + 1)
    except OSError as error:
        problems.append(Problem(Place(str(file)), "", f"cannot be read: {error.strerror or error}"))
        return ""
    if len(data) > tree.MAX_BYTES:
        problems.append(Problem(Place(str(file)), "", f"larger than {tree.MAX_BYTES >> 20} MiB"))
        return ""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        place = Place(str(file), before.count(b"\n") + 1, error.start - before.rfind(b"\n"))
        problems.append(Problem(place, "", "not UTF-8"))
        return ""


def _related(one: str, other: str) -> bool:
    """Whether one path is the other, or lies below it: a fault in an entry makes what else is said of it doubtful."""
    short, long = sorted((one, other), key=len)
    return long == short or (long.startswith(short) and long[len(short)] in ".[")
