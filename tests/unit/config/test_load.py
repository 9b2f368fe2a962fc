from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from edgegate.config.load import Loaded, find, load, read
from edgegate.config.model import Config, KeyOptions, ProviderOptions, ServerOptions, StageOptions, TimeoutOptions
from edgegate.config.option import Secret
from edgegate.config.problems import ConfigError
from edgegate.config.stages import DEFAULT_CHAIN, AuthOptions, CacheOptions, ForwardOptions

Written = Callable[..., Loaded]


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Written:
    """Reads a configuration text, as `config.yaml` of an otherwise empty directory."""
    monkeypatch.chdir(tmp_path)

    def read_text(text: str, env: Mapping[str, str] | None = None, flags: Mapping[str, str] | None = None) -> Loaded:
        Path("config.yaml").write_text(textwrap.dedent(text), encoding="utf-8")
        return read(Path("config.yaml"), env or {}, flags or {})

    return read_text


GOOD: list[tuple[str, Callable[[Config], Any], Any]] = [
    ("", lambda c: c.server, ServerOptions()),
    ("server:\n", lambda c: c.server, ServerOptions()),
    ("server: {workers: ~, drain: null}", lambda c: c.server, ServerOptions()),
    ("server: {tls: }", lambda c: c.server.tls, None),
    ("server: {workers: 4, drain: 90}", lambda c: (c.server.workers, c.server.drain), (4, 90)),
    ("server: {max_body: 1GiB, drain: 1h30m}", lambda c: (c.server.max_body, c.server.drain), (1 << 30, 5400)),
    ("server: {max_in_flight: 1_000}", lambda c: c.server.max_in_flight, 1000),
    ("server: {listen: '[::1]:80'}", lambda c: c.server.listen, "[::1]:80"),
    ("server: {trusted_proxies: [10.0.0.0/8, '::1']}", lambda c: c.server.trusted_proxies, ("10.0.0.0/8", "::1")),
    ("log: {prompts: on, level: WARNING}", lambda c: (c.log.prompts, c.log.level), (True, "warning")),
    ("log: {prompts: 'no'}", lambda c: c.log.prompts, False),
    ("keys: [{name: no, key: on}]", lambda c: (c.keys[0].name, c.keys[0].key.reveal()), ("no", "on")),
    ("keys: [{name: 2024-01-01, key: 1:30}]", lambda c: (c.keys[0].name, c.keys[0].key.reveal()), ("2024-01-01", "1:30")),
    ("keys: [{name: 0o17, key: 007}]", lambda c: (c.keys[0].name, c.keys[0].key.reveal()), ("0o17", "007")),
    ("keys: [{name: a, key: 1e3, user: .inf}]", lambda c: (c.keys[0].key.reveal(), c.keys[0].user), ("1e3", ".inf")),
    ("models: {aliases: {yes: no, 1: 2}}", lambda c: c.models.aliases, {"yes": "no", "1": "2"}),
    ("models: {fallbacks: {a: [b, c]}}", lambda c: c.models.fallbacks, {"a": ("b", "c")}),
    ("prices: {models: {m: {input: 1, output: 2.5}}}", lambda c: c.prices.models, {"m": {"input": 1.0, "output": 2.5}}),
    ("providers: {vllm: }", lambda c: c.providers["vllm"], ProviderOptions()),
    ("providers: {openai: {timeouts: {idle: 5s}}}", lambda c: c.providers["openai"].timeouts, TimeoutOptions(idle=5)),  # type: ignore[arg-type]
    ("providers: {openai: {timeouts: {}}}", lambda c: c.providers["openai"].timeouts, TimeoutOptions()),
    ("providers: {openai: {relay: off}}", lambda c: c.providers["openai"].relay, False),
    ("chain: [forward]", lambda c: c.chain, (StageOptions("forward", ForwardOptions()),)),
    ("chain: [{auth: }, {cache: {ttl: 60}}, forward]", lambda c: [s.options for s in c.chain[:2]], [AuthOptions(), CacheOptions(ttl=60)]),  # type: ignore[arg-type]
    ("", lambda c: [s.name for s in c.chain], list(DEFAULT_CHAIN)),
    ("server: &s {workers: 2}\nmetrics: {max_series: 5}", lambda c: c.server.workers, 2),
]


@pytest.mark.parametrize(("text", "view", "expected"), GOOD, ids=[text.replace("\n", " ") or "empty" for text, _, _ in GOOD])
def test_a_good_file_is_read_by_the_types_of_its_options(written: Written, text: str, view: Callable[[Config], Any], expected: Any) -> None:
    loaded = written(text)
    assert [str(problem) for problem in loaded.problems] == []
    assert view(loaded.config) == expected


BAD = [
    ("metrics: {max_series: ${NOPE}}", "1:24: not YAML: expected ',' or '}', but got '{'; quote a value with `${...}` inside [ ] and { }"),
    ("sevrer: {}", "1:1: sevrer: no such option; did you mean `server`?"),
    ("server:\n  litsen: x", "2:3: server.litsen: no such option; did you mean `listen`?"),
    ("server:\n  port: 80", "2:3: server.port: no such option; the port is part of `server.listen`"),
    (
        "cache: {}",
        "1:1: cache: no such option; known are admin, alerts, budgets, chain, keys, limits, log, metrics, models, prices, providers, "
        "server, store",
    ),
    ("server: text", "1:9: server: expected options, as `name: value`, got text"),
    ("server: [a]", "1:9: server: expected options, as `name: value`, got a list"),
    ("server: {workers: 010}", "1:19: server.workers: expected a whole number without leading zeros, got `010`"),
    ("server: {workers: 0x10}", "1:19: server.workers: expected a whole number, got `0x10`"),
    ("server: {workers: 1.5}", "1:19: server.workers: expected a whole number, got `1.5`"),
    ("server: {workers: yes}", "1:19: server.workers: expected a whole number, got `yes`"),
    ("server: {workers: ''}", "1:19: server.workers: expected a whole number, got ``"),
    ("server: {workers: 0}", "1:19: server.workers: expected at least 1, got `0`"),
    ("server: {workers: [1]}", "1:19: server.workers: expected a whole number, got a list"),
    ("server: {workers: 99999999999999999999}", "1:19: server.workers: expected a whole number, got a text of 20 characters"),
    ("server: {drain: 1:30}", "1:17: server.drain: expected a duration such as 30s, 5m, 1h30m or 250ms, got `1:30`"),
    ("server: {drain: -1s}", "1:17: server.drain: expected a duration such as 30s, 5m, 1h30m or 250ms, got `-1s`"),
    ("server: {keepalive: 0}", "1:21: server.keepalive: expected at least 1ms, got `0`"),
    ("server: {max_body: 10}", "1:20: server.max_body: expected at least 1KiB, got `10`"),
    ("server: {max_body: big}", "1:20: server.max_body: expected a size such as 32MiB, 10MB or a number of bytes, got `big`"),
    ("server: {trusted_proxies: 10.0.0.0/8}", "1:27: server.trusted_proxies: expected a list, such as `[a, b]`, got text"),
    ("server: {trusted_proxies: [x]}", "1:28: server.trusted_proxies[0]: expected a network such as 10.0.0.0/8 or ::1, got `x`"),
    ("server: {trusted_proxies: [~]}", "1:28: server.trusted_proxies[0]: expected a value, got nothing"),
    ("log: {prompts: maybe}", "1:16: log.prompts: expected true or false, got `maybe`"),
    ("log: {level: loud}", "1:14: log.level: expected one of debug, info, warning, error, got `loud`"),
    ('log: {file: "a\\nb"}', "1:13: log.file: expected text without line breaks and control characters, got a text of 3 characters"),
    ("log: {file: {a: b}}", "1:13: log.file: expected text, got a mapping"),
    ("models: {aliases: {a: }}", "1:20: models.aliases.a: expected a value, got nothing"),
    ("models: {aliases: [a]}", "1:19: models.aliases: expected a mapping, as `name: value`, got a list"),
    ("models: {aliases: {a: [b]}}", "1:23: models.aliases.a: expected text, got a list"),
    (
        "metrics: {max_series: '${NOPE}'}",
        "1:23: metrics.max_series: expected the environment variable NOPE to be set (or write ${NOPE:-default})",
    ),
    ("metrics: {max_series: '${WORD}'}", "1:23: metrics.max_series: expected a whole number, got the value of `${WORD}`"),
    ("prices: {models: {m: {input: free}}}", "1:30: prices.models.m.input: expected a number, got `free`"),
    ("prices: {models: {m: {input: 1}}}", "1:19: prices.models.m: `output` is missing"),
    (
        "prices: {models: {m: {input: 1, output: 1, foo: 1}}}",
        "1:19: prices.models.m: no price is called `foo`; there are input, output, cached, cache_write, cache_write_1h, reasoning, "
        "input_audio, output_audio, also with a tier before it: `batch_input`",
    ),
    ("prices: {file: /nope.json}", "1:16: prices.file: cannot be read: No such file or directory"),
    ("chain: forward", "1:8: chain: expected a list of stages, such as `- auth`"),
    ("chain: []", "1:8: chain: `forward` is missing: no stage would send the request"),
    ("chain:\n  - auth\n", "2:3: chain: `forward` is missing: no stage would send the request"),
    ("chain:\n  - forwrad\n", "2:5: chain[0]: no stage `forwrad`; did you mean `forward`?"),
    ("chain:\n  - forward\n  - my.mod:Stage\n", "3:5: chain[1]: stages from other packages are not supported yet"),
    (
        "chain:\n  - cache:\n    ttl: 1h\n  - forward\n",
        "2:5: chain[0]: expected one stage, as `name` or `name: {options}`; a stage's options are indented below its name",
    ),
    ("chain:\n  - [auth]\n  - forward\n", "2:5: chain[0]: expected one stage, as `name` or `name: {options}`"),
    ("chain:\n  - meter: {x: 1}\n", "2:13: chain[0].meter.x: no such option; this takes none"),
    ("chain:\n  - cache: {tll: 1h}\n  - forward\n", "2:13: chain[0].cache.tll: no such option; did you mean `ttl`?"),
    ("chain:\n  - forward\n  - auth\n", "3:5: chain[1]: `auth` must come first: nothing may happen for a caller who is not known"),
    (
        "chain:\n  - forward\n  - translate\n",
        "3:5: chain[1]: `translate` must come before `forward`: what is sent must be in the provider's format",
    ),
    (
        "chain:\n  - meter\n  - forward\n",
        "3:5: chain[1]: `forward` must come before `meter`: meter sees every attempt only from behind forward",
    ),
    ("chain:\n  - forward\n  - forward: {idle: 1s}\n", "3:5: chain[1]: `forward` stands in the chain twice (first as entry 1)"),
    (
        "chain:\n  - failover\n  - route\n  - forward\n",
        "3:5: chain[1]: `route` must come before `failover`: failover tries the targets that route chose",
    ),
]


@pytest.mark.parametrize(("text", "expected"), BAD, ids=[text.replace("\n", " ") for text, _ in BAD])
def test_a_bad_file_is_reported_with_line_column_path_and_what_was_expected(written: Written, text: str, expected: str) -> None:
    assert f"config.yaml:{expected}" in [str(problem) for problem in written(text, {"WORD": "hidden"}).problems]


def test_all_problems_are_reported_at_once_in_the_order_of_the_file(written: Written) -> None:
    loaded = written(
        """\
        server:
          workers: x
          drain: y
        log: {level: z}
        keys:
          - {name: a}
        server: {}
        chain: [route]
        """
    )
    assert [problem.place.line for problem in loaded.problems] == [2, 3, 4, 6, 7, 8]


def test_load_raises_one_error_that_lists_every_problem(written: Written) -> None:
    written("server: {workers: x, drain: y}")
    with pytest.raises(ConfigError) as caught:
        load(Path("config.yaml"), {})
    assert len(caught.value.problems) == 2
    assert str(caught.value).splitlines()[0].startswith("config.yaml:1:19: server.workers: ")


def test_a_faulty_entry_is_not_faulted_again_for_what_follows_from_it(written: Written) -> None:
    loaded = written("keys:\n  - {name: a, hahs: 'sha256:00'}\n")
    assert [str(problem) for problem in loaded.problems] == ["config.yaml:2:15: keys[0].hahs: no such option; did you mean `hash`?"]


def test_without_a_file_the_defaults_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = load(None, {})
    assert config.server == ServerOptions()
    assert config.providers == {}


def test_the_file_is_the_named_one_then_the_first_of_the_usual_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("config").mkdir()
    Path("config/config.yaml").write_text("server: {workers: 3}")
    assert load(None, {}).server.workers == 3
    Path("config.yaml").write_text("server: {workers: 2}")
    assert load(None, {}).server.workers == 2
    Path("other.yaml").write_text("server: {workers: 5}")
    assert load(None, {"EDGEGATE_CONFIG": "other.yaml"}).server.workers == 5
    assert find({"EDGEGATE_CONFIG": "missing.yaml"}) == Path("missing.yaml")


@pytest.mark.parametrize("env", [{"EDGEGATE_CONFIG": "missing.yaml"}, {}])
def test_a_named_file_that_is_missing_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, env: Mapping[str, str]) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"missing\.yaml: cannot be read: No such file or directory"):
        load(None if env else Path("missing.yaml"), env)


def test_a_byte_order_mark_is_no_problem_and_bytes_that_are_not_utf_8_are(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_bytes(b"\xef\xbb\xbfserver: {workers: 2}")
    assert load(file, {}).server.workers == 2
    file.write_bytes(b"server:\n  x: \xff")
    assert str(read(file, {}).problems[0]) == f"{file}:2:6: not UTF-8"


def test_an_enormous_file_is_refused_unread(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_bytes(b"# " + b"x" * (1 << 21))
    assert [str(problem) for problem in read(file, {}).problems] == [f"{file}: larger than 1 MiB"]


def test_substitution_reaches_every_kind_of_scalar_but_no_names(written: Written) -> None:
    config = written(
        """\
        server: {workers: "${N}", drain: "${D:-45s}", max_body: os.environ/SIZE, trusted_proxies: ["${NET}"]}
        log: {prompts: "${FLAG}"}
        metrics: {max_series: "${EMPTY:-}"}
        providers:
          openai: {api_key: "${KEY}", base_url: "https://${HOST}/v1", headers: {x-team: "${TEAM:-none}"}}
        chain: ["${STAGE}"]
        """,
        {"N": "2", "SIZE": "2MiB", "NET": "10.0.0.0/8", "FLAG": "on", "KEY": "sk-1", "HOST": "proxy.example", "STAGE": "forward"},
    ).config
    assert (config.server.workers, float(config.server.drain), int(config.server.max_body)) == (2, 45.0, 2 << 20)
    assert config.server.trusted_proxies == ("10.0.0.0/8",)
    assert config.log.prompts
    assert config.metrics.max_series == 1000
    provider = config.providers["openai"]
    assert (provider.api_key.reveal(), provider.base_url, provider.headers) == ("sk-1", "https://proxy.example/v1", {"x-team": "none"})
    assert [stage.name for stage in config.chain] == ["forward"]


def test_a_substituted_value_cannot_add_structure(written: Written) -> None:
    evil = "x, base_url: https://evil.example}\nserver: {listen: 0.0.0.0:1}"
    loaded = written("providers: {openai: {models: ['${EVIL}'], api_key: k}}", {"EVIL": evil})
    assert loaded.config.server.listen == "127.0.0.1:8080"
    assert loaded.config.providers["openai"].base_url == ""
    assert [problem.path for problem in loaded.problems] == ["providers.openai.models[0]"]


def test_a_key_from_a_file_loses_its_last_line_break(written: Written, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sk-from-file\n")
    config = written(f"providers: {{openai: {{api_key: '${{file:{tmp_path}/key}}'}}}}").config
    assert config.providers["openai"].api_key == Secret("sk-from-file")


def test_a_secret_with_a_line_break_inside_is_refused_without_being_shown(written: Written) -> None:
    loaded = written("keys: [{name: a, key: '${K}'}]", {"K": "abc\r\nX-Evil: 1"})
    assert [str(problem) for problem in loaded.problems] == [
        "config.yaml:1:23: keys[0].key: expected text without line breaks and control characters, got a value that is not shown"
    ]


def test_keys_by_hash_are_taken(written: Written) -> None:
    digest = "sha256:" + "0" * 64
    assert written(f"keys: [{{name: a, hash: '{digest}'}}]").config.keys == (KeyOptions(name="a", hash=digest),)
