"""`make bench`: three suites.

own: the gateway as a process between a canned provider and a closed-loop client, each a process; what counts is the gateway's
CPU time (user + system, from /proc) per request and per streamed chunk. Needs nothing but this project.
money: what keys, limits, budgets and the ledger cost: the same request with and without them, in turns.
kit: the benchmark kit in ../shared/bench (or EDGEGATE_BENCH_KIT), where present: the same against plain relays, and nginx if it is
installed, in one run. Other work on the machine moves wall times, hardly CPU times; ratios within one run move least.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
KIT = Path(os.environ.get("EDGEGATE_BENCH_KIT") or ROOT.parent / "shared" / "bench")
KEY = "sk-bench-0123456789abcdef"
CHUNKS = 100
TICK = os.sysconf("SC_CLK_TCK")
KIT_PORT, UPSTREAM_PORT = 19400, 19000

CONFIG = """
server: {{listen: "127.0.0.1:{port}"}}
providers:
  openai: {{base_url: "http://127.0.0.1:{upstream}/v1", api_key: sk-upstream-000000}}
  anthropic: {{base_url: "http://127.0.0.1:{upstream}", api_key: sk-upstream-000000}}
log: {{file: "{log}"}}
chain: [{chain}]
"""
KEYS = f"keys: [{{name: bench, key: {KEY}, tenant: acme}}]\n"
CHAIN = "auth, route, failover, translate, forward, meter"
BARE = "route, failover, translate, forward, meter"
MONEY = "auth, limits, route, failover, budget, translate, forward, meter"
RULES = """
limits: [{per: [key], requests: 1000M/min, tokens: 1000000M/min}]
budgets: [{per: [tenant], usd: 1000000}]
"""
CACHED = "auth, {cache: {ttl: 1h, max_temperature: 2}}, route, failover, translate, forward, meter"
EDGEGATES = (
    ("edgegate", "gpt-4o-mini", CHAIN),
    ("edgegate-anthropic", "claude-haiku-4-5", CHAIN),
    ("edgegate-cached", "gpt-4o-mini", CACHED),
)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def cpu_s(pid: int) -> float:
    """CPU seconds that a process has used."""
    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(stat[11]) + int(stat[12])) / TICK


def rss_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def request(port: int, path: str, model: str, *, stream: bool, size: int) -> bytes:
    user = {"role": "user", "content": "word " * (size // 5)}
    body = {"model": model, "messages": [{"role": "system", "content": "You are helpful."}, user], "max_tokens": 256, "temperature": 0}
    data = json.dumps({**body, "stream": True} if stream else body).encode()
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nauthorization: Bearer {KEY}\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(data)}\r\n\r\n".encode() + data


class Gateway:
    """The gateway as a process, for as long as the block lasts."""

    def __init__(self, work: Path, upstream: int, chain: str, more: str = KEYS) -> None:
        self.port = free_port()
        self._config = work / f"bench-{self.port}.yaml"
        self._config.write_text(CONFIG.format(port=self.port, upstream=upstream, log=work / "log.jsonl", chain=chain) + more)

    def __enter__(self) -> Gateway:
        command = [*_pinned(0), sys.executable, "-m", "edgegate", "run", "--config", str(self._config)]
        started = time.monotonic()
        self._process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
        self.pid = self._process.pid
        _wait_until_ready(f"http://127.0.0.1:{self.port}/ready")
        self.start_s = time.monotonic() - started
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(20)


@contextlib.contextmanager
def canned() -> Iterator[int]:
    """The provider as a process. Gives its port."""
    port = free_port()
    command = [*_pinned(1), sys.executable, "-m", "tests.bench.canned", str(port), str(CHUNKS)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    try:
        yield port
    finally:
        process.terminate()
        process.wait(10)


def measure(gateway: Gateway, body: bytes, seconds: float) -> tuple[float, float]:
    """CPU microseconds of the gateway per request, and the number of bad replies."""
    _load(gateway.port, 1, body)
    before = cpu_s(gateway.pid)
    result = _load(gateway.port, seconds, body)
    return (cpu_s(gateway.pid) - before) / result["requests"] * 1e6, result["bad"]


def money(seconds: float, rounds: int) -> int:
    """What keys, limits, budgets and the ledger cost, together and one after the other. Returns the number of bad replies."""
    store = "store: {file: WORK/store.sqlite}\n"
    ways = {
        "without": (BARE, ""),
        "+ keys": (f"auth, {BARE}", KEYS),
        "+ limits and budgets": (MONEY, KEYS + RULES),
        "+ ledger": (MONEY, KEYS + RULES + store),
    }
    found: dict[str, list[float]] = {name: [] for name in ways}
    bad = 0.0
    with tempfile.TemporaryDirectory() as folder, canned() as upstream:
        for _ in range(max(rounds, 3)):
            for name, (chain, more) in ways.items():
                with Gateway(Path(folder), upstream, chain, more.replace("WORK", folder)) as gateway:
                    body = request(gateway.port, "/v1/chat/completions", "gpt-4o-mini", stream=False, size=1000)
                    used, wrong = measure(gateway, body, seconds)
                    found[name].append(used)
                    bad += wrong
    print(
        f"\n| plain 1 KB | CPU us, best | median | more than without |\n|---|--:|--:|--:|  ({len(found['without'])} turns of {seconds:g} s)"
    )
    for name, figures in found.items():
        more_than = statistics.median(figures) / statistics.median(found["without"]) - 1
        print(f"| {name} | {min(figures):.1f} | {statistics.median(figures):.1f} | {more_than:+.1%} |", flush=True)
    return int(bad)


def own(seconds: float) -> int:
    """The project's own suite. Returns the number of bad replies."""
    scenarios = [
        ("plain 1 KB, same dialect", CHAIN, "/v1/chat/completions", "gpt-4o-mini", False, 1000, "request"),
        ("plain 1 KB, OpenAI client, Anthropic provider", CHAIN, "/v1/chat/completions", "claude-haiku-4-5", False, 1000, "request"),
        ("plain 1 KB, Anthropic client, OpenAI provider", CHAIN, "/v1/messages", "gpt-4o-mini", False, 1000, "request"),
        ("plain 200 KB, same dialect", CHAIN, "/v1/chat/completions", "gpt-4o-mini", False, 200_000, "request"),
        ("stream, same dialect", CHAIN, "/v1/chat/completions", "gpt-4o-mini", True, 1000, "chunk"),
        ("stream, Anthropic to Anthropic", CHAIN, "/v1/messages", "claude-haiku-4-5", True, 1000, "chunk"),
        ("stream, Anthropic provider to OpenAI client", CHAIN, "/v1/chat/completions", "claude-haiku-4-5", True, 1000, "chunk"),
        ("stream, OpenAI provider to Anthropic client", CHAIN, "/v1/messages", "gpt-4o-mini", True, 1000, "chunk"),
        ("cache hit, 1 KB", CACHED, "/v1/chat/completions", "gpt-4o-mini", False, 1000, "request"),
    ]
    bad = 0
    with tempfile.TemporaryDirectory() as folder, canned() as upstream:
        work = Path(folder)
        print(f"\n| scenario | CPU us | per | RSS MB |\n|---|--:|---|--:|  ({seconds:g} s each, 32 connections, {CHUNKS} chunks a stream)")
        for name, chain, path, model, stream, size, per in scenarios:
            with Gateway(work, upstream, chain) as gateway:
                used, wrong = measure(gateway, request(gateway.port, path, model, stream=stream, size=size), seconds)
                bad += int(wrong)
                print(f"| {name} | {used / (CHUNKS if per == 'chunk' else 1):.1f} | {per} | {rss_mb(gateway.pid):.0f} |", flush=True)
        with Gateway(work, upstream, CHAIN) as gateway:
            print(f"\nstart {gateway.start_s:.2f} s, idle {rss_mb(gateway.pid):.0f} MB, bad replies {bad}")
    return bad


def kit(arguments: argparse.Namespace) -> int:
    """The kit's comparison, with a target list made here. The kit itself fills {here}, {python} and {upstream}."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        targets = [_target("direct", "", "{upstream}/v1/chat/completions")]
        for name, options, port in (("bare-splice", "--client raw --write splice", 19104), ("bare-session", "", 19101)):
            targets.append(_target(name, f"{{python}} {{here}}/anchors/bare.py --port {port} {options}", _url(port)))
        if shutil.which("nginx"):
            run = work / "nginx"
            (run / "logs").mkdir(parents=True)
            targets.append(_target("nginx", f"nginx -p {run} -c {{here}}/peers/nginx.conf -g 'daemon off;'", _url(19201)))
        for name, model, chain in EDGEGATES:
            config = work / f"{name}.yaml"
            config.write_text(CONFIG.format(port=KIT_PORT, upstream=UPSTREAM_PORT, log=work / "log.jsonl", chain=chain) + KEYS)
            start = f"{{python}} -m edgegate run --config {config}"
            more = f'model = "{model}"\nheaders = ["Authorization: Bearer {KEY}"]\n'
            if chain == CACHED:  # only small plain requests are answered from the cache in this kit
                more += f"skip = {json.dumps(['stream-burst', 'stream-paced', 'open-1000', 'plain-large', 'latency-200'])}\n"
            targets.append(_target(name, start, _url(KIT_PORT)) + more)
        listed = work / "targets.toml"
        listed.write_text("\n".join(targets))
        flags = {
            "--set": f"python={sys.executable}",
            "--bin": str(ROOT / "build" / "bench"),
            "--out": str(work / "rows.jsonl"),
            "--baseline": "bare-splice",
            "--rounds": str(arguments.rounds),
            "--seconds": str(arguments.seconds),
            "--upstream-port": str(UPSTREAM_PORT),
            "--scenarios": arguments.scenarios,
            "--only": arguments.only,
        }
        chosen = [word for flag, value in flags.items() if value for word in (flag, value)]
        return subprocess.run([sys.executable, str(KIT / "compare"), str(listed), *chosen], cwd=ROOT, check=False).returncode


def _target(name: str, start: str, url: str) -> str:
    return f'[[target]]\nname = "{name}"\nurl = "{url}"\n' + (f'start = "{start}"\n' if start else "")


def _url(port: int) -> str:
    return f"http://127.0.0.1:{port}/v1/chat/completions"


def _load(port: int, seconds: float, body: bytes) -> dict[str, float]:
    command = [*_pinned(1), sys.executable, "-m", "tests.bench.load", str(port), "32", str(seconds)]
    result: dict[str, float] = json.loads(
        subprocess.run(command, input=body, cwd=ROOT, check=True, stdout=subprocess.PIPE, timeout=120).stdout
    )
    return result


def _pinned(cpu: int) -> list[str]:
    return ["taskset", "-c", str(cpu)] if shutil.which("taskset") and (os.cpu_count() or 1) > 1 else []


def _wait_until_ready(url: str) -> None:
    until = time.monotonic() + 20
    while True:
        try:
            with urllib.request.urlopen(url, timeout=1) as reply:
                if reply.status == 200:
                    return
        except OSError:
            if time.monotonic() > until:
                raise
        time.sleep(0.02)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("suite", nargs="?", choices=["own", "money", "kit", "all"], default="all")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--scenarios", default="", help="kit: comma-separated, e.g. plain-small,stream-burst")
    parser.add_argument("--only", default="", help="kit: comma-separated target names")
    arguments = parser.parse_args()
    bad = own(arguments.seconds) if arguments.suite in ("own", "all") else 0
    if arguments.suite in ("money", "all"):
        bad += money(arguments.seconds, arguments.rounds)
    if arguments.suite in ("kit", "all"):
        if not (KIT / "compare").exists():
            print(f"\nno benchmark kit at {KIT}; set EDGEGATE_BENCH_KIT")
            return 1 if arguments.suite == "kit" or bad else 0
        return kit(arguments) or int(bad > 0)
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
