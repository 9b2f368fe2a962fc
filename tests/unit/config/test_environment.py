from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from edgegate.config.load import Loaded, read
from edgegate.config.model import StageOptions
from edgegate.config.stages import CacheOptions


@pytest.fixture(autouse=True)
def _empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def with_env(env: Mapping[str, str], text: str = "", flags: Mapping[str, str] | None = None) -> Loaded:
    if text:
        Path("config.yaml").write_text(text)
    return read(None, env, flags or {})


def problems(loaded: Loaded) -> list[str]:
    return [str(problem) for problem in loaded.problems]


def stages(loaded: Loaded) -> list[str]:
    return [stage.name for stage in loaded.config.chain]


@pytest.mark.parametrize(
    ("env", "listen"),
    [
        ({"PORT": "9000"}, "127.0.0.1:9000"),
        ({"LLM_GATEWAY_SERVER_PORT": "9001"}, "127.0.0.1:9001"),
        ({"PORT": "9000", "LLM_GATEWAY_SERVER_PORT": "9001"}, "127.0.0.1:9000"),
        ({"PORT": ""}, "127.0.0.1:8080"),
        ({"EDGEGATE_SERVER__LISTEN": "[::1]:7000"}, "[::1]:7000"),
        ({"EDGEGATE_SERVER__LISTEN": "[::1]:7000", "PORT": "9000"}, "[::1]:7000"),
        ({"EDGEGATE_SERVER__LISTEN": "unix:/run/edgegate.sock", "PORT": "9000"}, "unix:/run/edgegate.sock"),
        ({"PORT": "0"}, "127.0.0.1:0"),
    ],
)
def test_the_port_is_taken_from_the_environment_and_the_host_stays(env: Mapping[str, str], listen: str) -> None:
    loaded = with_env(env)
    assert problems(loaded) == []
    assert loaded.config.server.listen == listen


def test_the_port_replaces_that_of_a_listen_with_a_substitution() -> None:
    loaded = with_env({"PORT": "9000", "HOST": "localhost"}, "server: {listen: '${HOST}:80'}")
    assert loaded.config.server.listen == "localhost:9000"


@pytest.mark.parametrize("port", ["http", "-1", "65536", "tcp://10.0.0.1:80", "٣", "1" * 30])
def test_a_port_that_is_none_is_an_error_that_names_the_variable(port: str) -> None:
    (problem,) = problems(with_env({"PORT": port}))
    assert problem.startswith("PORT in the environment: server.listen: expected a port from 0 to 65535, got ")


@pytest.mark.parametrize(
    ("flags", "listen"),
    [
        ({"--port": "1234"}, "127.0.0.1:1234"),
        ({"--host": "::1"}, "[::1]:9000"),
        ({"--host": "[::1]", "--port": "1"}, "[::1]:1"),
        ({"--host": "localhost", "--port": "1"}, "localhost:1"),
    ],
)
def test_flags_win_over_the_environment(flags: Mapping[str, str], listen: str) -> None:
    loaded = with_env({"PORT": "9000"}, flags=flags)
    assert problems(loaded) == []
    assert loaded.config.server.listen == listen


def test_flags_turn_a_unix_socket_into_an_address() -> None:
    loaded = with_env({}, "server: {listen: 'unix:/run/x'}", {"--port": "1234"})
    assert loaded.config.server.listen == "127.0.0.1:1234"


def test_flags_are_named_in_errors() -> None:
    loaded = with_env({}, flags={"--workers": "many", "--log-level": "loud", "--host": "a b"})
    assert sorted(problems(loaded)) == [
        "--host on the command line: server.listen: expected a host name or an IP address, got `a b`",
        "--log-level on the command line: log.level: expected one of debug, info, warning, error, got `loud`",
        "--workers on the command line: server.workers: expected a whole number, got `many`",
    ]


@pytest.mark.parametrize(("level", "expected"), [("debug", "debug"), ("INFO", "info"), ("warn", "warning"), ("WARN", "warning")])
def test_the_log_level_is_taken_in_the_words_of_the_other_gateways(level: str, expected: str) -> None:
    assert with_env({"LOG_LEVEL": level}, "log: {level: error}").config.log.level == expected


@pytest.mark.parametrize(("text", "seconds"), [("300", 300), ("5m", 300), ("1h", 3600)])
@pytest.mark.parametrize("name", ["CACHE_TTL", "CACHE_TTL_SECONDS", "LLM_GATEWAY_CACHE_TTL", "EDGEGATE_CHAIN__CACHE__TTL"])
def test_the_life_of_cache_entries_is_set_where_there_is_a_cache(name: str, text: str, seconds: int) -> None:
    for chain in ("[cache, forward]", "[cache: {max_entries: 5}, forward]", "[cache: , forward]"):
        loaded = with_env({name: text}, f"chain: {chain}")
        assert problems(loaded) == []
        assert loaded.config.chain[0].options.ttl == seconds
    assert with_env({name: text}, "chain: [{cache: {max_entries: 5}}, forward]").config.chain[0].options.max_entries == 5


def test_the_life_of_cache_entries_means_nothing_without_a_cache() -> None:
    loaded = with_env({"CACHE_TTL": "nonsense"})
    assert problems(loaded) == []
    assert "cache" not in stages(loaded)


def test_cache_enabled_adds_the_stage_after_auth_and_limits_and_its_options_apply() -> None:
    loaded = with_env({"CACHE_ENABLED": "true", "CACHE_TTL": "60", "CACHE_MAX_ITEMS": "7"})
    assert problems(loaded) == []
    assert stages(loaded)[:4] == ["auth", "limits", "cache", "idempotency"]
    assert loaded.config.chain[2] == StageOptions("cache", CacheOptions(ttl=60, max_entries=7))  # type: ignore[arg-type]


def test_cache_enabled_adds_nothing_twice_and_comes_first_without_auth() -> None:
    assert stages(with_env({"CACHE_ENABLED": "1"}, "chain: [cache, forward]")) == ["cache", "forward"]
    assert stages(with_env({"CACHE_ENABLED": "1"}, "chain: [route, forward]")) == ["cache", "route", "forward"]


def test_cache_enabled_false_removes_the_stage() -> None:
    assert stages(with_env({"CACHE_ENABLED": "false"}, "chain: [auth, {cache: {ttl: 5}}, forward]")) == ["auth", "forward"]


def test_cache_enabled_that_is_no_switch_is_an_error() -> None:
    assert problems(with_env({"CACHE_ENABLED": "perhaps"})) == ["CACHE_ENABLED in the environment: expected true or false, got `perhaps`"]


def test_any_option_can_be_set_from_the_environment() -> None:
    loaded = with_env(
        {
            "EDGEGATE_SERVER__WORKERS": "3",
            "EDGEGATE_SERVER__TRUSTED_PROXIES": "10.0.0.0/8, 127.0.0.1",
            "EDGEGATE_MODELS__DEFAULT_PROVIDER": "my-vllm",
            "EDGEGATE_MODELS__ALIASES": '{"fast": "my-vllm/qwen"}',
            "EDGEGATE_MODELS__FALLBACKS__BIG": "[a, b]",
            "EDGEGATE_PROVIDERS__MY_VLLM__BASE_URL": "http://10.0.0.9:8000/v1",
            "EDGEGATE_PROVIDERS__GROQ__API_KEY": "gsk-$ecret-${NOT}",
            "EDGEGATE_CHAIN__FORWARD__FIRST_TOKEN": "7s",
            "EDGEGATE_CHAIN__FAILOVER__BREAKER__FAILURES": "9",
            "EDGEGATE_CHAIN__FAILOVER__HEDGE__DELAY": "3s",
        },
        "server: {workers: 2}\nproviders: {my-vllm: {dialect: openai, base_url: 'http://old'}}",
    )
    config = loaded.config
    assert problems(loaded) == []
    assert (config.server.workers, config.server.trusted_proxies) == (3, ("10.0.0.0/8", "127.0.0.1"))
    assert (config.models.aliases, config.models.fallbacks) == ({"fast": "my-vllm/qwen"}, {"big": ("a", "b")})
    assert list(config.providers) == ["my-vllm", "groq"]
    assert config.providers["my-vllm"].base_url == "http://10.0.0.9:8000/v1"
    assert config.providers["groq"].api_key.reveal() == "gsk-$ecret-${NOT}"
    options = {stage.name: stage.options for stage in config.chain}
    assert options["forward"].first_token == 7
    assert (options["failover"].breaker.failures, options["failover"].hedge.delay, options["failover"].hedge.max) == (9, 3, 1)


def test_the_other_gateways_variables_of_breakers_retries_and_queues_apply() -> None:
    loaded = with_env(
        {
            "CIRCUIT_BREAKER_MAX_FAILURES": "7",
            "CIRCUIT_BREAKER_TIMEOUT_SECONDS": "60",
            "LLM_GATEWAY_RELIABILITY_CIRCUIT_BREAKER_MAX_HALF_OPEN_REQUESTS": "2",
            "LLM_GATEWAY_RELIABILITY_RETRY_INITIAL_BACKOFF": "500ms",
            "HEDGING_DELAY_MS": "500",
            "LLM_GATEWAY_PERFORMANCE_QUEUE_ENABLED": "true",
            "LLM_GATEWAY_PERFORMANCE_QUEUE_WORKER_COUNT": "10",
        }
    )
    assert problems(loaded) == []
    options = {stage.name: stage.options for stage in loaded.config.chain}
    failover = options["failover"]
    assert (failover.breaker.failures, failover.breaker.reset, failover.breaker.probes) == (7, 60, 2)
    assert (failover.backoff, failover.hedge.delay) == (0.5, 0.5)
    assert options["queue"].concurrency == 10


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("EDGEGATE_SEVER__LISTEN", "no such option; did you mean `server`?"),
        ("EDGEGATE_SERVER__LITSEN", "no such option; did you mean `listen`?"),
        ("EDGEGATE_SERVER__LISTEN__PORT", "no such option"),
        ("EDGEGATE_CHAIN__CACHE__TTL", "chain.cache.ttl: the chain has no `cache` stage"),
        ("EDGEGATE_CHAIN__CACH__TTL", "chain.cach.ttl: expected EDGEGATE_CHAIN__<STAGE>__<OPTION>; did you mean `cache`?"),
        ("EDGEGATE_CHAIN__FORWARD__IDEL", "chain.forward.idel: no such option; did you mean `idle`?"),
        ("EDGEGATE_SERVER__TLS", "expected YAML such as `{name: value}`, or a variable for each option in it"),
        ("EDGEGATE_SERVER__WORKERS", "server.workers: expected a whole number, got `x`"),
    ],
)
def test_a_variable_that_fits_no_option_is_an_error(name: str, problem: str) -> None:
    assert problems(with_env({name: "x"})) == [f"{name} in the environment: {problem}"]


def test_variables_that_kubernetes_makes_for_a_service_are_left_alone() -> None:
    env = {"EDGEGATE_PORT": "tcp://10.0.0.1:8080", "EDGEGATE_SERVICE_HOST": "10.0.0.1", "EDGEGATE_PORT_8080_TCP_ADDR": "10.0.0.1"}
    loaded = with_env(env)
    assert problems(loaded) == []
    assert loaded.config == with_env({}).config


def test_an_override_does_not_reach_what_shares_its_yaml_anchor() -> None:
    text = "providers:\n  a: &x {dialect: openai, api_key: first}\n  b: *x\n"
    config = with_env({"EDGEGATE_PROVIDERS__A__API_KEY": "second"}, text).config
    assert (config.providers["a"].api_key.reveal(), config.providers["b"].api_key.reveal()) == ("second", "first")
