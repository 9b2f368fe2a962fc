"""README and docs/ say what is so: links lead somewhere, commands and configurations are accepted, code runs, tables match.

The two how-to pages are programs: their Python blocks are run, and their diffs are applied to a copy of the package, which
must then accept the configurations that need them.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import functools
import importlib
import importlib.util
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgegate.access.keys import Key
from edgegate.cli import _parser
from edgegate.config.discover import vendors
from edgegate.config.load import read
from edgegate.config.model import LogOptions, MetricsOptions, ProviderOptions, ServerOptions
from edgegate.config.option import Duration, Size
from edgegate.config.stages import STAGES, TranslateOptions
from edgegate.config.units import write_duration, write_size
from edgegate.config.variables import OTHERS, VARIABLES
from edgegate.dialects.base import Ask, ClientFormat, ClientSide, Operation, Progress, ProviderSide, Relocator, Reranker, TokenCounter
from edgegate.dialects.openai.client import ChatClient
from edgegate.errors import GatewayError
from edgegate.exchange import Attempt, Exchange
from edgegate.observe.events import WARNINGS
from edgegate.observe.logs import ExchangeLog
from edgegate.observe.metrics import Metrics, WorkersCollector
from edgegate.resilience.breaker import BreakerState
from edgegate.routing.passing import Named, passed
from edgegate.server.api import Api
from edgegate.server.build import provider_side
from edgegate.server.replay import formats
from edgegate.server.surfaces import Surfaces
from edgegate.taps import Outcome

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *DOCS.glob("*.md")])
STAGE_PAGE, PROVIDER_PAGE, OPERATIONS = DOCS / "a-stage-in-20-lines.md", DOCS / "add-a-provider.md", DOCS / "operations.md"
DIALECTS = DOCS / "dialects.md"

_FENCE = re.compile(r"(?:^<!-- needs (?P<needs>\w+) -->\n)?^```(?P<language>\w*)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")
_SPAN = re.compile(r"`([^`\n]+)`")


@dataclasses.dataclass(frozen=True)
class Block:
    """A fenced block. `needs` names the edits that it relies on."""

    page: Path
    language: str
    code: str
    needs: str

    def __str__(self) -> str:
        return f"{self.page.stem}: {self.code.strip().splitlines()[0][:40]}"


@functools.cache
def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return _FENCE.sub("", text(page))


def blocks(language: str, *pages: Path) -> list[Block]:
    found = [
        Block(page, match["language"], match["code"], match["needs"] or "")
        for page in pages or PAGES
        for match in _FENCE.finditer(text(page))
    ]
    return [block for block in found if block.language == language]


def spans(page: Path) -> list[str]:
    """What stands in backquotes outside of fenced blocks."""
    return _SPAN.findall(prose(page))


def table(page: Path, header: str) -> list[list[str]]:
    """The rows of the tables whose header row begins with these cells, as cells without their blanks."""
    rows, inside = [], False
    for line in prose(page).splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
        if inside and cells and not set(line) <= set("|-: "):
            rows.append(cells)
        elif not cells:
            inside = False
        if line.startswith(f"| {header} |"):
            inside = True
    assert rows, f"{page.name} has no table that begins with {header}"
    return rows


def word(cell: str) -> str:
    """The text of a cell that is one span of code."""
    match = _SPAN.fullmatch(cell)
    assert match, cell
    return match[1]


def words(rows: list[list[str]]) -> list[str]:
    found = [span for row in rows for span in _SPAN.findall(row[0])]
    assert len(found) == len(set(found)), "a row stands there twice"
    return found


# -- links and paths

MADE_BY_THE_READER = ("edgegate/stages/max_messages.py", "edgegate/dialects/parrot.py")


def anchor(title: str) -> str:
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in _LINK.findall(prose(page)):
        if link.startswith(("http://", "https://")):
            continue
        path, _, fragment = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert target.is_relative_to(ROOT), link
        if fragment:
            assert fragment in {anchor(title) for title in re.findall(r"^#+ (.+)$", prose(target), re.MULTILINE)}, link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_is_named_exists(page: Path) -> None:
    for span in spans(page):
        if re.fullmatch(r"(edgegate|tests|docs)/[\w./-]+", span) and span not in MADE_BY_THE_READER:
            assert (ROOT / span).exists(), span


def test_the_readme_leads_to_every_page() -> None:
    linked = {(ROOT / link.partition("#")[0]).resolve() for link in _LINK.findall(prose(ROOT / "README.md"))}
    assert {page for page in PAGES if page.name != "README.md"} <= linked


# -- commands


def commands(program: str) -> Iterator[str]:
    """What pages tell people to type that begins with `program`, in shell blocks and in backquotes."""
    lines = [line for block in (*blocks("sh"), *blocks("ini")) for line in block.code.replace("\\\n", " ").splitlines()]
    lines += [span for page in PAGES for span in spans(page)]
    for line in lines:
        line = line.removeprefix("ExecStart=/opt/edgegate/bin/").strip()
        if re.match(rf"{re.escape(program)}(\s|$)", line):
            yield re.split(r"\s+[#>|]\s*", line.rstrip())[0]


def test_every_edgegate_command_is_one() -> None:
    found = set(commands("edgegate"))
    assert len(found) >= 8
    for line in found:
        arguments = shlex.split(line)[1:]
        if arguments in ([], ["--version"]):
            continue
        try:
            parsed = _parser().parse_args(arguments)
        except SystemExit:
            pytest.fail(f"not a command: {line}")
        assert isinstance(parsed, argparse.Namespace)


def test_every_make_target_is_one() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    found = {shlex.split(line)[1] for line in commands("make")}
    assert found
    assert found <= targets


def test_every_python_module_that_is_run_exists() -> None:
    found = {shlex.split(line)[2] for line in commands("python -m")}
    assert "tests.bench" in found
    assert all(importlib.util.find_spec(module) for module in found)


def test_every_json_body_of_curl_is_json() -> None:
    lines = [line for block in blocks("sh") for line in block.code.replace("\\\n", " ").splitlines() if line.startswith("curl")]
    bodies = [
        arguments[at + 1]
        for arguments in (shlex.split(line, comments=True) for line in lines)
        for at, a in enumerate(arguments)
        if a in ("-d", "--data")
    ]
    assert bodies
    for body in bodies:
        asked = json.loads(body)
        assert asked["model"]
        assert asked["messages"]


def test_every_variable_that_is_named_is_honoured() -> None:
    known = {variable.name for variable in (*OTHERS, *VARIABLES)} | {name for vendor in vendors() for name in (*vendor.keys, *vendor.urls)}
    for name, _ in table_of_variables():
        if not name.startswith("EDGEGATE_") or name in known:
            assert name in known, name
            continue
        section, *rest = name.removeprefix("EDGEGATE_").lower().split("__")
        options = STAGES[rest.pop(0)] if section == "chain" else {"server": ServerOptions}[section]
        assert rest[0] in {field.name for field in dataclasses.fields(options)}, name


def table_of_variables() -> Iterator[tuple[str, str]]:
    for row in table(OPERATIONS, "variable"):
        for name in _SPAN.findall(row[0]):
            yield name, row[1]


# -- configurations


def problems(block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the loader has against it, with the variables it names set and the files it names taken as there."""
    file = tmp_path / "config.yaml"
    file.write_text(block)
    env = {
        name: f"value-of-{name.lower()}-0123456789" for name in re.findall(r"\$\{(?:env:)?(\w+)[:}]", block) if name not in ("file", "env")
    }
    is_file = Path.is_file
    monkeypatch.setattr(Path, "is_file", lambda self: str(self).startswith("/etc/edgegate/") or is_file(self))
    if not re.search(r"^(server|chain):", block, re.MULTILINE):
        env["PORT"] = "8181"  # the reference's examples need no listener
    return [str(problem) for problem in read(file, env, read_secret=lambda path: f"secret of {path}").problems]


@pytest.mark.parametrize("block", [block for block in blocks("yaml") if not block.needs], ids=str)
def test_every_configuration_is_accepted(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert problems(block.code, tmp_path, monkeypatch) == []


def test_the_shipped_configuration_is_accepted_also_with_its_comments_taken_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = (ROOT / "config.yaml").read_text()
    assert problems(shipped, tmp_path, monkeypatch) == []
    switched_on = re.sub(r"^(\s*)# (?=\s|-|\w+:)", r"\1", "\n".join(shipped.splitlines()[6:]), flags=re.MULTILINE)
    assert "\nproviders:" in switched_on
    assert "\nkeys:" in switched_on
    assert problems(switched_on, tmp_path, monkeypatch) == []


def test_a_configuration_with_a_slip_would_be_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert problems("chain: [auth, forwards]\n", tmp_path, monkeypatch)


# -- code


def program(page: Path) -> str:
    return "\n".join(block.code for block in blocks("python", page))


@pytest.mark.parametrize("page", [STAGE_PAGE, PROVIDER_PAGE], ids=lambda page: page.name)
def test_the_code_of_a_how_to_page_runs(page: Path) -> None:
    names: dict[str, Any] = {"__name__": page.stem}
    exec(compile(program(page), str(page), "exec"), names)  # noqa: S102
    tests = [name for name in names if name.startswith("test_")]
    assert len(tests) == (8 if page == PROVIDER_PAGE else 0)
    for name in tests:
        names[name]()


def test_all_python_blocks_are_on_pages_whose_code_is_run() -> None:
    assert {block.page for block in blocks("python")} == {STAGE_PAGE, PROVIDER_PAGE}


def test_the_stage_is_as_long_as_its_page_says() -> None:
    (stage,) = [node for node in ast.parse(program(STAGE_PAGE)).body if isinstance(node, ast.ClassDef) and node.name == "MaxMessages"]
    assert stage.end_lineno is not None
    assert stage.end_lineno - stage.lineno < 20


def patch(root: Path, diff: str) -> None:
    """Applies a diff of one file and one place: context and removed lines must stand there exactly once."""
    head, _, body = diff.partition("\n")
    file = root / head.removeprefix("--- ")
    lines = body.removesuffix("\n").split("\n")
    old = "\n".join(line[1:] for line in lines if line[:1] in ("", " ", "-"))
    new = "\n".join(line[1:] for line in lines if line[:1] in ("", " ", "+"))
    source = file.read_text()
    assert source.count(old) == 1, f"{file.name} no longer has the place that the page shows:\n{old}"
    file.write_text(source.replace(old, new))


@pytest.fixture(scope="module")
def patched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package with the code and the edits of both pages in it."""
    root = tmp_path_factory.mktemp("patched")
    shutil.copytree(ROOT / "edgegate", root / "edgegate", ignore=shutil.ignore_patterns("__pycache__"))
    (root / "edgegate/stages/max_messages.py").write_text(blocks("python", STAGE_PAGE)[0].code)
    (parrot,) = [block.code for block in blocks("python", PROVIDER_PAGE) if "class ParrotProvider" in block.code]
    (root / "edgegate/dialects/parrot.py").write_text(parrot)
    diffs = blocks("diff", STAGE_PAGE, PROVIDER_PAGE)
    assert len(diffs) == 6
    for diff in diffs:
        patch(root, diff.code)
    return root


_BUILD = """
import asyncio, io, sys
from pathlib import Path
from edgegate.config.load import load
from edgegate.server.gateway import Gateway

async def build():
    gateway = Gateway(load(Path(sys.argv[1]), {"PARROT_API_KEY": "seed-0123456789"}), io.BytesIO())
    await gateway.open()
    print(*[f"{name}={p.side.name}" for name, p in gateway._state.models._catalog.providers.items()])
    await gateway.close()

asyncio.run(build())
"""


@pytest.mark.parametrize("block", [block for block in blocks("yaml") if block.needs], ids=str)
def test_what_the_how_to_pages_add_is_served(block: Block, patched: Path, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(block.code)
    done = subprocess.run(
        [sys.executable, "-c", _BUILD, str(file)],
        cwd=tmp_path,
        env={"PYTHONPATH": str(patched), "PATH": os.environ.get("PATH", "")},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "parrot=parrot" in done.stdout.split()
    assert ("aviary=parrot" in done.stdout.split()) == (block.needs == "parrot")


def test_the_page_on_providers_explains_every_member() -> None:
    explained = " ".join(row[0] for row in table(PROVIDER_PAGE, "member"))
    members = {name for name in (*ProviderSide.__annotations__, *vars(ProviderSide)) if not name.startswith("_")}
    assert len(members) == 11
    assert {name for name in members if f"`{name}" in explained} == members
    mine = {name for kind in (ClientFormat, ClientSide) for name in (*kind.__annotations__, *vars(kind)) if not name.startswith("_")}
    assert len(mine) >= 14
    assert {name for name in mine if f"`{name}" not in explained} == set()
    optional = " ".join(" ".join(row) for row in table(PROVIDER_PAGE, "protocol"))
    assert all(f"`{name}(" in optional for kind in (TokenCounter, Reranker, Relocator) for name in vars(kind) if not name.startswith("_"))


# -- tables


def default(options: Any, name: str) -> str:
    (field,) = [field for field in dataclasses.fields(options) if field.name == name]
    value = field.default
    return write_duration(value) if isinstance(value, Duration) else write_size(value) if isinstance(value, Size) else str(value)


def test_the_limits_have_these_keys_and_defaults() -> None:
    rows = table(OPERATIONS, "key")
    assert len(rows) == len(words(rows))
    for key, shown, *_ in rows:
        section, _, name = word(key).rpartition(".")
        options = {"server": ServerOptions, "providers.<name>": ProviderOptions, "metrics": MetricsOptions}.get(section) or STAGES[section]
        assert word(shown) == default(options, name), key


def test_every_limit_of_the_listener_and_of_forward_is_in_the_table() -> None:
    keys = set(words(table(OPERATIONS, "key")))
    for section, options in (("server", ServerOptions), ("forward", STAGES["forward"])):
        for field in dataclasses.fields(options):
            limit = isinstance(field.default, Duration | Size) or field.name.startswith("max_")
            assert not limit or f"{section}.{field.name}" in keys, field.name


def test_the_fixed_limits_are_these() -> None:
    for name, value, *_ in table(OPERATIONS, "limit"):
        module, _, constant = word(name).rpartition(".")
        assert str(getattr(importlib.import_module(module), constant)) == value, name


def test_the_metrics_are_these() -> None:
    metrics = Metrics()
    labels = {counts.name: counts.labels for counts in metrics.counts()} | {"edgegate_build": ("version",)}
    labels |= {distribution.name: distribution.labels for distribution in metrics.distributions()}
    labels |= {levels.name: levels.labels for levels in metrics.levels()}
    expected = []
    for family in WorkersCollector(metrics, list).collect():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        named = ", ".join(f"`{label}`" for label in labels.get(family.name, ()))
        expected.append([f"`{name}`", family.type, named, family.documentation])
    assert table(OPERATIONS, "metric") == expected
    shown = {span for span in spans(OPERATIONS) if re.fullmatch(r"(edgegate|gen_ai)_\w+", span)}
    assert shown <= {word(row[0]) for row in expected} | {label for row in expected for label in _SPAN.findall(row[2])}


def log_lines() -> list[dict[str, Any]]:
    """An exchange that has everything there is to log, as its lines: one earlier attempt, and the request."""
    file = io.BytesIO()
    log = ExchangeLog(LogOptions(level="debug", prompts=True), file)
    ex = Exchange(
        id="r1", method="POST", path="/v1/chat/completions", query="", raw_headers=(), remote="", operation=Operation.CHAT,
        headers={"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}, client=ChatClient(), started=0.0, created=1,
        body=b"{}", key=Key("app", "tenant"), user="user", cache="miss", coalesced=True, replayed=True,
        status=502, outcome=Outcome.FAILED,
        error=GatewayError(502, "bad_reply", ""), dropped=["seed"], mapped=["tool_choice"],
    )  # fmt: skip
    for number in (1, 2):
        attempt = Attempt(f"r1-{number}", "openai", "openai", "gpt-4o", 0.0, Progress(), first=0.5, ended=1.0, cost_nano_usd=1)
        attempt.failed(GatewayError(502, "bad_reply", ""), 1.0)
        ex.attempts.append(attempt)
    log.exchange(ex)
    log.close()
    return [json.loads(line) for line in file.getvalue().splitlines()]


def test_the_log_fields_are_these() -> None:
    attempt, request = log_lines()
    assert (attempt["event"], request["event"]) == ("attempt", "request")
    assert attempt.keys() < request.keys()
    rows = {word(name): where for name, where, *_ in table(OPERATIONS, "field")}
    assert rows == {name: "both" if name in attempt else "request" for name in request}
    source = (ROOT / "edgegate/observe/logs.py").read_text()
    named = set(re.findall(r'"(\w+)":(?=[^\s])', source)) | set(re.findall(r'(?:line|named)\["(\w+)"\] = ', source))
    assert named - {"count"} <= rows.keys(), "the exchange above has not everything there is"
    assert len(named) > 15


def test_the_events_are_these() -> None:
    source = "".join((ROOT / "edgegate" / file).read_text() for file in ("observe/announce.py", "observe/alerts.py", "server/api.py"))
    assert source.count("emit(") == len(re.findall(r'emit\(f?"', source))
    kinds = set(re.findall(r'emit\("(\w+)"', source)) | {f"breaker_{state}" for state in BreakerState}
    rows = table(OPERATIONS, "event")
    assert set(words(rows)) == kinds
    assert {word(kind): level for kind, level, *_ in rows} == {kind: "warning" if kind in WARNINGS else "info" for kind in kinds}


def test_the_operators_paths_are_these() -> None:
    nothing: Any = None
    api = Api(nothing, snapshot=dict, reset=nothing, exchange=nothing, guarded=nothing, draining=nothing, unix_clock=nothing)
    paths = {path: ", ".join(methods) for path, (methods, _) in api.paths.items()}
    assert {word(row[0]): row[1] for row in table(OPERATIONS, "path | method")} == paths


def test_the_headers_are_these() -> None:
    written = set()
    for file in (*(ROOT / "edgegate/server").glob("*.py"), *(ROOT / "edgegate/stages").glob("*.py")):
        written |= set(re.findall(r'b"(x-edgegate-[a-z-]+[a-z])"', file.read_text()))
    assert len(written) > 5
    assert set(words(table(OPERATIONS, "header"))) == written


DATA = "base64,AAAA"
CONTENTS = {
    "picture, inline": {"type": "image_url", "image_url": {"url": f"data:image/png;{DATA}"}},
    "picture by URL": {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
    "document, inline": {"type": "file", "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;{DATA}"}},
    "document by URL": {"type": "file", "file": {"filename": "a.pdf", "file_url": "https://example.com/a.pdf"}},
    "document by id": {"type": "file", "file": {"file_id": "file-1"}},
    "sound": {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
    "video, inline": {"type": "video_url", "video_url": {"url": f"data:video/mp4;{DATA}"}},
    "video by URL": {"type": "video_url", "video_url": {"url": "https://example.com/a.mp4"}},
}


def takes(dialect: str, part: dict[str, Any]) -> bool:
    side = provider_side(dialect, ProviderOptions(project="project"), TranslateOptions())
    chat = {"messages": [{"role": "user", "content": [{"type": "text", "text": "What is this?"}, part]}]}
    try:
        wire = side.request(Ask(chat, "model", False, "chatcmpl-1", 1))
    except GatewayError:
        return False
    return not wire.dropped


def test_these_contents_go_to_these_providers() -> None:
    head = next(line for line in text(DIALECTS).splitlines() if line.startswith("| content |"))
    columns = [_SPAN.findall(cell) for cell in head.strip("|").split("|")[1:]]
    rows = {row[0]: row[1:] for row in table(DIALECTS, "content")}
    assert rows == {
        name: ["yes" if all(answers) else "no" if not any(answers) else "?" for answers in ([takes(d, part) for d in c] for c in columns)]
        for name, part in CONTENTS.items()
    }


def test_these_formats_are_taken_as_they_are() -> None:
    """Of each row the dialects that are named, and no other of those with code of their own."""
    options = ProviderOptions(project="project", responses="native")
    own = ("openai", "openai-responses", "azure", "anthropic", "gemini", "vertex", "bedrock", "mistral", "cohere", "ollama")
    natives = {dialect: provider_side(dialect, options, TranslateOptions()).native for dialect in own}
    for taken, dialects in table(DIALECTS, "format"):
        for format in _SPAN.findall(taken):
            assert {dialect for dialect in own if format in natives[dialect]} == set(_SPAN.findall(dialects)) & set(own), format
    named = {format for taken, _ in table(DIALECTS, "format") for format in _SPAN.findall(taken)}
    assert named == {format for native in natives.values() for format in native}


def test_these_formats_can_be_replayed() -> None:
    listed = {format for row in table(DOCS / "recordings.md", "operation") for format in _SPAN.findall(row[1])}
    assert listed == set(formats(Surfaces()))


def test_these_paths_are_passed_through() -> None:
    families = {"OpenAI": "openai", "Anthropic": "anthropic", "Gemini": "gemini", "Cohere": "cohere"}
    for paths, where in table(DIALECTS, "path"):
        for path in _SPAN.findall(paths):
            if not path.startswith("/"):
                continue
            headers = {"anthropic-version": "2023-06-01"} if "anthropic-version" in paths and path == "/v1/files" else {}
            found = passed(path.replace("…", "generations" if "images" in path else "speech" if "audio" in path else "x"), headers)
            assert found is not None, path
            assert (found.named is Named.NOWHERE) == ("first provider" in where), path
            assert all(found.family == family for name, family in families.items() if name in where), path


# -- error codes

OWN = ("server", "stages", "upstream", "routing", "wire", "limiting", "ledger", "chain.py", "errors.py")
"""Where the gateway's own errors are made. Providers' codes come from `dialects`."""

_CODE = re.compile(r"[a-z]+(?:_[a-z]+)*")


def codes(tree: ast.AST) -> Iterator[str]:
    """The codes of the errors that a module makes: arguments of the makers of `GatewayError`, and tables named `_CODES`."""
    makers = {"GatewayError": 1, "provider_error": 1, "Unpaid": 1, "kind": 1}
    for kind in ast.walk(tree):
        if isinstance(kind, ast.ClassDef) and [ast.unparse(base) for base in kind.bases] == ["GatewayError"]:
            makers[kind.name] = 1
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef) and function.returns is not None and ast.unparse(function.returns) == "GatewayError":
            names = [argument.arg for argument in function.args.args]
            if "code" in names:
                makers[function.name] = names.index("code")
    for node in ast.walk(tree):
        values: list[ast.expr] = []
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name in makers:
                values += node.args[makers[name] : makers[name] + 1]
            if name in (*makers, "bad_request", "failed"):
                values += [keyword.value for keyword in node.keywords if keyword.arg == "code"]
            if name == "bad_request" and all(keyword.arg != "code" for keyword in node.keywords):
                yield "invalid_request"
        elif isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Dict):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if isinstance(target, ast.Name) and target.id == "_CODES":
                values += [value for value in node.value.values if value is not None]
        for value in values:
            for constant in (value, *((value.body, value.orelse) if isinstance(value, ast.IfExp) else ())):
                if isinstance(constant, ast.Constant) and isinstance(constant.value, str) and _CODE.fullmatch(constant.value):
                    yield constant.value


def codes_below(*parts: str) -> set[str]:
    files = [file for part in parts for file in sorted((ROOT / "edgegate" / part).rglob("*.py")) or [ROOT / "edgegate" / part]]
    return {code for file in files for code in codes(ast.parse(file.read_text()))}


def test_every_error_code_is_explained() -> None:
    explained = set(words(table(OPERATIONS, "code")))
    own, providers = codes_below(*OWN), codes_below("dialects")
    assert own >= {"bad_http", "draining", "no_forward", "total_timeout", "upstream_busy", "invalid_json", "model_not_found"}
    assert providers >= {"rate_limit_exceeded", "bad_reply"}
    assert own - explained == set()
    assert providers - explained == set()
    assert explained - own - providers == set()


# -- words

FORBIDDEN = (
    "/wor" + "k/",
    "the lead",
    "this session",
    "blazing",
    "seamless",
    "cutting-edge",
    "enterprise-grade",
    "effortless",
    "state-of-the-art",
    "game-chang",
    "best-in-class",
    "leverag",
    "supercharg",
    "lightning",
    "robust",
    "TODO",
    "lorem ipsum",
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_page_has_words_that_do_not_belong_there(page: Path) -> None:
    shared = re.sub(r"\.\./shared/(wire|bench)\b", "", text(page))
    assert [phrase for phrase in FORBIDDEN if phrase.lower() in shared.lower()] == []
    assert "shared/" not in shared


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "configuration.md"], ids=lambda page: page.name)
def test_lines_are_not_endless(page: Path) -> None:
    """Tables may be wide; sentences are wrapped."""
    assert [line for line in text(page).splitlines() if len(line) > 140 and not line.startswith("|")] == []


def test_the_place_for_the_figures_is_marked() -> None:
    before, mark, after = text(DOCS / "benchmarks.md").partition("<!-- figures -->")
    assert mark
    assert "| scenario | edgegate |" in after
    assert "## Figures" in before


def test_every_guarantee_says_whether_it_is_built() -> None:
    titles = re.findall(r"^### (\d+)\. .* · (built|partly)$", text(DOCS / "threat-model.md"), re.MULTILINE)
    assert [int(number) for number, _ in titles] == list(range(1, 17))
    assert {int(number) for number, state in titles if state == "partly"} == {16}


def test_the_systemd_unit_in_deploy_is_the_one_in_the_docs() -> None:
    (unit,) = re.findall(r"```ini\n(.*?)```", (DOCS / "operations.md").read_text(), re.DOTALL)
    assert (ROOT / "deploy" / "edgegate.service").read_text() == unit
