"""Real servers that tests of every folder may ask for: one per test process, however many folders use it."""

from __future__ import annotations

from tests.servers.postgres import postgres, postgres_server, schema
from tests.servers.valkey import namespace, valkey, valkey_server

__all__ = ["namespace", "postgres", "postgres_server", "schema", "valkey", "valkey_server"]
