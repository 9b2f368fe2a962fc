from __future__ import annotations

import json
import os
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from edgegate import __version__
from edgegate.cli import main
from edgegate.config.model import Config

SECRET = "c4n4ryS3cretV4lue"


@pytest.fixture(autouse=True)
def _empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Config]:
    """The configurations that a stand-in for the server was asked to serve; it returns 7."""
    configs: list[Config] = []

    def serve(config: Config, read: Callable[[], Config], file: Path | None) -> int:
        configs.append(config)
        return 7

    module = types.ModuleType("edgegate.server.main")
    module.serve = serve  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "edgegate.server.main", module)
    return configs


@pytest.mark.parametrize("words", [[], ["run"], ["--port", "8080"], ["run", "--host", "127.0.0.1"]])
def test_edgegate_alone_or_with_options_serves(served: list[Config], words: list[str]) -> None:
    assert main(words, {}) == 7
    assert served[0].server.listen == "127.0.0.1:8080"


def test_run_takes_flags_over_environment_over_file(served: list[Config]) -> None:
    Path("mine.yaml").write_text("server: {workers: 2, listen: 'localhost:1'}\nlog: {level: error}\n")
    words = ["run", "--config", "mine.yaml", "--port", "3", "--log-level", "debug"]
    assert main(words, {"PORT": "2", "EDGEGATE_SERVER__WORKERS": "4", "OPENAI_API_KEY": "k"}) == 7
    (config,) = served
    assert (config.server.listen, config.server.workers, config.log.level) == ("localhost:3", 4, "debug")
    assert list(config.providers) == ["openai"]


def test_run_does_not_serve_a_bad_configuration(served: list[Config], capsys: pytest.CaptureFixture[str]) -> None:
    Path("config.yaml").write_text("server:\n  workers: many\n")
    assert main([], {}) == 1
    assert served == []
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "config.yaml:2:12: server.workers: expected a whole number, got `many`",
        "edgegate: 1 problem in the configuration",
    ]


def test_run_refuses_a_network_without_keys_also_when_a_flag_asks_for_it(served: list[Config], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--host", "0.0.0.0"], {}) == 1
    assert served == []
    assert "no caller would need a key" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["nope"],
        ["run", "--nope"],
        ["config"],
        ["config", "nope"],
        ["simulate", "--port", "x"],
        ["simulate", "--port", "70000"],
        ["run", "extra"],
    ],
)
def test_a_wrong_command_is_a_usage_error(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words, {}) == 2
    assert "usage: edgegate" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["run", "--help"], ["config", "show", "--help"]])
def test_help_is_no_error(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words, {}) == 0
    assert "usage: edgegate" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["version"], ["--version"]])
def test_the_version_is_printed(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words, {}) == 0
    assert capsys.readouterr().out == f"edgegate {__version__}\n"


def test_check_says_what_it_looked_at(capsys: pytest.CaptureFixture[str]) -> None:
    Path("config.yaml").write_text("chain: [auth, forward]\n")
    assert main(["check"], {"GROQ_API_KEY": "k"}) == 0
    assert capsys.readouterr().out.splitlines() == ["config.yaml: no problems", "chain: auth -> forward", "providers: groq"]


def test_check_without_anything_says_how_to_begin(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check"], {}) == 0
    assert "providers: none; set OPENAI_API_KEY" in capsys.readouterr().out


def test_check_lists_every_problem(capsys: pytest.CaptureFixture[str]) -> None:
    Path("bad.yaml").write_text("servr: {}\nlog: {level: x}\n")
    assert main(["check", "-c", "bad.yaml"], {}) == 1
    assert capsys.readouterr().err.splitlines() == [
        "bad.yaml:1:1: servr: no such option; did you mean `server`?",
        "bad.yaml:2:14: log.level: expected one of debug, info, warning, error, got `x`",
        "edgegate: 2 problems in the configuration",
    ]


def test_a_missing_file_is_said_in_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--config", "nope.yaml"], {}) == 1
    assert capsys.readouterr().err.startswith("nope.yaml: cannot be read: No such file or directory\n")


def test_config_show_hides_every_secret(capsys: pytest.CaptureFixture[str]) -> None:
    Path("config.yaml").write_text(f"keys: [{{name: app, key: {SECRET}}}]\nproviders: {{groq: {{headers: {{x-key: {SECRET}}}}}}}\n")
    assert main(["config", "show"], {"OPENAI_API_KEY": SECRET}) == 0
    out = capsys.readouterr().out
    assert SECRET not in out
    document = yaml.safe_load(out)
    [key] = document["keys"]
    assert (key["name"], key["key"]) == ("app", "***")
    assert document["providers"]["openai"]["api_key"] == "***"


def test_config_schema_is_json_schema(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "schema"], {}) == 0
    assert json.loads(capsys.readouterr().out)["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_env_lists_every_variable_and_marks_those_that_are_set_without_their_values(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["env"], {"OPENAI_API_KEY": SECRET, "CACHE_TTL": "5m"}) == 0
    out = capsys.readouterr().out
    lines = {line[2:].split()[0]: line[0] for line in out.splitlines()}
    assert {name for name, mark in lines.items() if mark == "*"} == {"OPENAI_API_KEY", "CACHE_TTL"}
    assert {
        "EDGEGATE_CONFIG",
        "PORT",
        "LLM_GATEWAY_SERVER_PORT",
        "LOG_LEVEL",
        "CACHE_ENABLED",
        "CLAUDE_API_KEY",
        "GROQ_API_KEY",
        "OLLAMA_HOST",
    } <= set(lines)
    assert SECRET not in out


def test_models_lists_providers_models_prices_and_aliases(capsys: pytest.CaptureFixture[str]) -> None:
    Path("config.yaml").write_text(
        "providers: {openai: {models: [gpt-4o, gpt-unheard-of]}, box: {dialect: ollama, models: [llama3.2]}}\n"
        "models: {aliases: {fast: box/llama3.2}, fallbacks: {gpt-4o: [fast, gpt-4o-mini]}}\n"
    )
    assert main(["models"], {}) == 0
    out = capsys.readouterr().out
    assert "openai: gpt-*, " in out
    assert "  openai/gpt-4o  $2.5 in, $10 out per million tokens\n" in out
    assert "  openai/gpt-unheard-of  price unknown\n" in out
    assert "box: by name only\n  box/llama3.2  price unknown\n" in out
    assert out.endswith("fast = box/llama3.2\ngpt-4o, or else fast, gpt-4o-mini\n")


def test_models_without_a_provider_says_how_to_get_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"], {}) == 0
    assert "set OPENAI_API_KEY" in capsys.readouterr().out


@pytest.mark.parametrize(("words", "asked"), [([], ("127.0.0.1", 8090)), (["--host", "::1", "--port", "1"], ("::1", 1))])
def test_simulate_serves_the_simulator(monkeypatch: pytest.MonkeyPatch, words: list[str], asked: tuple[str, int]) -> None:
    calls: list[tuple[str, int]] = []

    def serve(host: str, port: int) -> int:
        calls.append((host, port))
        return 3

    module = types.ModuleType("edgegate.simulate.main")
    module.serve = serve  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "edgegate.simulate.main", module)
    assert main(["simulate", *words], {}) == 3
    assert calls == [asked]


def test_an_interrupted_command_ends_quietly(monkeypatch: pytest.MonkeyPatch, served: list[Config]) -> None:
    def interrupt(config: Config, read: Callable[[], Config], file: Path | None) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules["edgegate.server.main"], "serve", interrupt)
    assert main([], {}) == 130


def run(*words: str, **more: Any) -> subprocess.CompletedProcess[str]:
    root = Path(__file__).parents[2]
    return subprocess.run(
        [sys.executable, "-m", "edgegate", *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ | {"PYTHONPATH": str(root)},
        **more,
    )


def test_python_dash_m_edgegate_is_the_command() -> None:
    done = run("version")
    assert (done.returncode, done.stdout) == (0, f"edgegate {__version__}\n")
    done = run("check", "-c", "nope.yaml")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def test_a_reader_that_goes_away_is_no_error() -> None:
    root = Path(__file__).parents[2]
    command = f"'{sys.executable}' -m edgegate config schema | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False, env=os.environ | {"PYTHONPATH": str(root)}
    )
    assert done.stderr == ""
    assert done.returncode == 0


def test_the_commands_that_serve_nothing_do_not_import_the_server() -> None:
    code = "import sys; from edgegate.cli import main; main(['config', 'schema'], {}); sys.exit('aiohttp' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr
