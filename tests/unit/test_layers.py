"""The architecture as a test: who may import what, who opens connections, what no module does.

Read from the source, without importing it. A rule that stands in the way is changed here, in the open, or not at all.
"""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent

PURE = ("wire", "dialects", "routing", "resilience", "access")
"""Parts that know no socket, no clock and no environment: bytes and values in, bytes and values out."""

PURE_NEIGHBOURS = (
    "edgegate.errors",
    "edgegate.taps",
    *(f"edgegate.config.{part}" for part in ("model", "option", "stages", "units")),
    *(f"edgegate.{part}" for part in PURE),
)
"""What they may import of edgegate: each other, and modules that are as pure as they are."""

IMPURE = frozenset(
    {
        "aiohttp",
        "asyncio",
        "aiocache",
        "aiosqlite",
        "asyncpg",
        "concurrent",
        "http.client",
        "http.server",
        "httptools",
        "httpx",
        "logging",
        "multiprocessing",
        "os",
        "pathlib",
        "queue",
        "random",
        "redis",
        "requests",
        "secrets",
        "select",
        "selectors",
        "shutil",
        "signal",
        "socket",
        "socketserver",
        "sqlite3",
        "ssl",
        "subprocess",
        "tempfile",
        "threading",
        "time",
        "urllib.request",
        "uuid",
        "uvloop",
    }
)

NETWORK = frozenset(
    {
        "aiohttp",
        "asyncpg",
        "ftplib",
        "http.client",
        "httptools",
        "httpx",
        "redis",
        "requests",
        "smtplib",
        "socket",
        "socketserver",
        "ssl",
        "urllib.request",
        "websockets",
    }
)
CONNECTING = frozenset(
    {
        "open_connection",
        "open_unix_connection",
        "create_connection",
        "create_unix_connection",
        "create_datagram_endpoint",
        "start_server",
        "start_unix_server",
        "create_server",
        "create_unix_server",
        "ClientSession",
        "urlopen",
    }
)
CONNECTED = ("server", "upstream", "simulate", "stores", "admin")
"""Parts that may open connections. A further client of a service is named here with its reason. `admin` has a listener of its own."""

FRONT = ("edgegate.server", "edgegate.cli")
MAY_IMPORT_FRONT = ("edgegate.server", "edgegate.cli", "edgegate.__main__")

MAY_CATCH_ALL = frozenset({"edgegate/server/gate.py", "edgegate/server/relay.py", "edgegate/stages/failover.py", "edgegate/cli.py"})
CATCH_ALL = frozenset({"Exception", "BaseException"})

EMPTY_CONTAINERS = frozenset(
    {
        "dict",
        "list",
        "set",
        "bytearray",
        "defaultdict",
        "deque",
        "OrderedDict",
        "Counter",
        "WeakKeyDictionary",
        "WeakValueDictionary",
        "WeakSet",
    }
)
MUTATING = frozenset(
    {
        "append",
        "add",
        "extend",
        "update",
        "insert",
        "remove",
        "discard",
        "clear",
        "pop",
        "popitem",
        "setdefault",
        "sort",
        "reverse",
        "appendleft",
        "popleft",
    }
)


@dataclass(frozen=True)
class Module:
    """One source file."""

    file: Path

    @property
    def path(self) -> str:
        return self.file.relative_to(ROOT).as_posix()

    @property
    def part(self) -> str:
        """The package or module right below `edgegate`."""
        return self.file.relative_to(ROOT / "edgegate").parts[0].removesuffix(".py")

    @property
    def name(self) -> str:
        return ".".join(self.file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.file.read_text(), self.path)

    @cached_property
    def imports(self) -> list[tuple[int, str]]:
        """Line and full name of everything imported, inside functions and for type checkers too. `from a import b` is `a.b`."""
        return list(imported(self.tree, self.name if self.file.name == "__init__.py" else self.name.rpartition(".")[0]))


def imported(tree: ast.Module, package: str) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                yield node.lineno, f"{source}.{alias.name}"


MODULES = [Module(file) for file in sorted((ROOT / "edgegate").rglob("*.py")) if "__pycache__" not in file.parts]


def below(name: str, roots: tuple[str, ...] | frozenset[str]) -> bool:
    """Whether a dotted name is one of `roots` or inside one."""
    return any(name == root or name.startswith(root + ".") for root in roots)


def offences(find: Callable[[Module], Iterator[tuple[int, str]]], modules: list[Module] | None = None) -> list[str]:
    return [f"{module.path}:{line}: {what}" for module in (MODULES if modules is None else modules) for line, what in find(module)]


def source(text: str, path: str = "edgegate/wire/example.py") -> Module:
    """A module that is not there, for showing that a rule can be broken."""
    module = Module(ROOT / path)
    module.__dict__["tree"] = ast.parse(text)
    return module


# -- dependencies


def impure_imports(module: Module) -> Iterator[tuple[int, str]]:
    if module.part in PURE:
        for line, name in module.imports:
            if below(name, IMPURE) or (below(name, ("edgegate",)) and not below(name, PURE_NEIGHBOURS)):
                yield line, f"imports {name}"


def test_pure_parts_import_no_sockets_no_clock_and_no_store() -> None:
    assert offences(impure_imports) == []


def front_imports(module: Module) -> Iterator[tuple[int, str]]:
    if not below(module.name, MAY_IMPORT_FRONT):
        for line, name in module.imports:
            if below(name, FRONT):
                yield line, f"imports {name}"


def test_nothing_behind_the_server_imports_it() -> None:
    assert offences(front_imports) == []


def connections(module: Module) -> Iterator[tuple[int, str]]:
    if module.part not in CONNECTED:
        for line, name in module.imports:
            if below(name, NETWORK):
                yield line, f"imports {name}"
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Attribute) and node.attr in CONNECTING:
                yield node.lineno, f"uses {node.attr}"


def test_only_the_connected_parts_open_connections() -> None:
    assert offences(connections) == []


# -- habits


def catch_alls(module: Module) -> Iterator[tuple[int, str]]:
    if module.path not in MAY_CATCH_ALL:
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ExceptHandler):
                caught = (
                    {"a bare except"} if node.type is None else {n.id for n in ast.walk(node.type) if isinstance(n, ast.Name)} & CATCH_ALL
                )
                yield from ((node.lineno, f"catches {name}") for name in caught)
            elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("suppress", "contextlib.suppress"):
                yield from ((node.lineno, f"suppresses {arg.id}") for arg in node.args if isinstance(arg, ast.Name) and arg.id in CATCH_ALL)


def test_errors_are_caught_by_name() -> None:
    assert offences(catch_alls) == []


def globals_declared(module: Module) -> Iterator[tuple[int, str]]:
    return ((node.lineno, f"global {', '.join(node.names)}") for node in ast.walk(module.tree) if isinstance(node, ast.Global))


def test_no_function_rebinds_a_global() -> None:
    assert offences(globals_declared) == []


def is_table(value: ast.expr | None) -> bool:
    return isinstance(value, (ast.Dict, ast.List, ast.Set, ast.DictComp, ast.ListComp, ast.SetComp))


def is_empty_container(value: ast.expr | None) -> bool:
    """`{}`, `[]`, `set()`, `defaultdict(list)`, ...: made to be filled later."""
    if isinstance(value, ast.Dict):
        return not value.keys
    if isinstance(value, ast.List):
        return not value.elts
    if isinstance(value, ast.Call):
        called = value.func.attr if isinstance(value.func, ast.Attribute) else value.func.id if isinstance(value.func, ast.Name) else ""
        return called in EMPTY_CONTAINERS and (called not in ("dict", "list", "set") or not (value.args or value.keywords))
    return False


def module_names(module: Module) -> Iterator[tuple[int, str, ast.expr | None]]:
    for node in module.tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        for target in targets:
            if isinstance(target, ast.Name) and isinstance(node, (ast.Assign, ast.AnnAssign)):
                yield node.lineno, target.id, node.value


def module_state(module: Module) -> Iterator[tuple[int, str]]:
    """Containers at module level that are made to be filled, and tables at module level that something in the module changes."""
    tables = set()
    for line, name, value in module_names(module):
        if is_empty_container(value):
            yield line, f"{name} is an empty container"
        elif is_table(value):
            tables.add(name)
    for node in ast.walk(module.tree):
        changed: list[ast.expr] = []
        if isinstance(node, ast.Assign | ast.Delete):
            changed = [target.value for target in node.targets if isinstance(target, ast.Subscript)]
        elif isinstance(node, ast.AugAssign):
            changed = [node.target.value if isinstance(node.target, ast.Subscript) else node.target]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in MUTATING:
            changed = [node.func.value]
        yield from ((name.lineno, f"changes {name.id}") for name in changed if isinstance(name, ast.Name) and name.id in tables)


def test_modules_hold_no_state() -> None:
    assert offences(module_state) == []


def undocumented(module: Module) -> Iterator[tuple[int, str]]:
    if not ast.get_docstring(module.tree):
        yield 1, "has no docstring"


def test_every_module_says_what_it_is_for() -> None:
    assert offences(undocumented) == []


def test_no_file_mentions_the_place_where_it_was_written() -> None:
    place = ("/wor" + "k/").encode()
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, check=False
    )
    if listing.returncode:
        pytest.skip("not a git checkout")
    files = [ROOT / name for name in listing.stdout.decode().split("\0") if name]
    assert len(files) >= len(MODULES)
    assert [str(file.relative_to(ROOT)) for file in files if file.is_file() and place in file.read_bytes()] == []


# -- the rules can be broken


def test_there_are_modules_of_every_kind() -> None:
    """A rule over nothing holds always."""
    parts = {module.part for module in MODULES}
    assert parts >= {*PURE, "server", "upstream", "stages"}
    assert len(MODULES) > 50


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (impure_imports, "import asyncio"),
        (impure_imports, "from asyncio import sleep"),
        (impure_imports, "def f():\n    import time"),
        (impure_imports, "import urllib.request"),
        (impure_imports, "from urllib import request"),
        (impure_imports, "from edgegate.stages import forward"),
        (impure_imports, "from edgegate import exchange"),
        (impure_imports, "from ..stores import memory"),
        (front_imports, "from edgegate.server.gate import Gate"),
        (front_imports, "from edgegate import cli"),
        (front_imports, "if TYPE_CHECKING:\n    import edgegate.server"),
        (connections, "import socket"),
        (connections, "import asyncio\nasync def f(): await asyncio.open_connection('h', 1)"),
        (catch_alls, "try: pass\nexcept: pass"),
        (catch_alls, "try: pass\nexcept Exception: pass"),
        (catch_alls, "try: pass\nexcept (OSError, BaseException) as e: pass"),
        (catch_alls, "import contextlib\nwith contextlib.suppress(ValueError, Exception): pass"),
        (globals_declared, "x = 1\ndef f():\n    global x"),
        (module_state, "cache = {}"),
        (module_state, "SEEN: set[str] = set()"),
        (module_state, "from collections import deque\nrecent = deque(maxlen=10)"),
        (module_state, "T = {'a': 1}\ndef f(): T['b'] = 2"),
        (module_state, "T = {'a': 1}\ndef f(): T.update(b=2)"),
        (module_state, "T = ['a']\ndef f(): del T[0]"),
        (undocumented, "x = 1"),
    ],
)
def test_each_rule_can_be_broken(rule: Callable[[Module], Iterator[tuple[int, str]]], text: str) -> None:
    assert len(offences(rule, [source(text)])) == 1


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (impure_imports, "import urllib.parse\nfrom edgegate.errors import bad_request\nfrom edgegate.wire import sse\nfrom . import sse"),
        (catch_alls, "try: pass\nexcept (OSError, ValueError): pass"),
        (module_state, "T = {'a': 1}\nU = frozenset()\nV = ()\nW = dict(a=1)\ndef f():\n    x = {}\n    x['a'] = T['a']\n    x.update(T)"),
        (undocumented, '"""A module."""'),
    ],
)
def test_the_rules_let_honest_code_pass(rule: Callable[[Module], Iterator[tuple[int, str]]], text: str) -> None:
    assert offences(rule, [source(text)]) == []
