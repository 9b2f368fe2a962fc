"""Keys made, rotated and revoked on the command line, while four workers serve: within a second each of them knows.

Every worker is asked by name, on a fresh connection, and by a crowd that the kernel spreads over all.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hard.raw_client import RawClient, Reply, request
from tests.hard.speech import dumps
from tests.money.bill import Provider
from tests.money.book import in_file
from tests.money.fleet import Fleet, Replica, configuration, eventually
from tests.money.load import Caller, Crowd, ok

WORKERS = 4
KNOWN_S = 1.0
FRESH = 40


@pytest.fixture(scope="module")
def replica(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    config = configuration({"maker": provider.entry()}, [Caller("static").entry()])
    with Fleet(tmp_path_factory.mktemp("rotation")) as fleet:
        (replica,) = fleet.start(config, workers=WORKERS)
        yield replica


def keys(replica: Replica, *words: str) -> str:
    """Runs `edgegate keys ...` and gives the secret that it printed, if any: the word that begins with `eg-`."""
    told = replica.command("keys", *words)
    return next((word.strip('",') for word in told.split() if word.strip('",').startswith("eg-")), "")


def ask(door: RawClient, secret: str) -> Reply:
    body = {"model": "plain", "messages": [{"role": "user", "content": "by-hand caller=hand answer=1"}], "max_tokens": 5}
    door.send(request("/v1/chat/completions", dumps(body), f"authorization: Bearer {secret}"))
    return door.reply()


async def statuses(replica: Replica, secret: str) -> set[int]:
    """What a crowd on fresh connections and each worker answer to a key."""
    async with Crowd(replica.url) as crowd:
        answers = await crowd.wave(FRESH, Caller("any"), "answer=1", secret=secret, max_tokens=5)
    doors = await asyncio.to_thread(replica.doors)
    found = {ask(door, secret).status for door in doors} | {answer.status for answer in answers}
    for door in doors:
        door.socket.close()
    return found


async def within_a_second(replica: Replica, secret: str, status: int) -> None:
    """Every worker answers so, at the latest a second from now, and from then on."""
    doors = await asyncio.to_thread(replica.doors)
    try:
        await eventually(lambda: {ask(door, secret).status for door in doors} == {status}, f"{status} from every worker", KNOWN_S)
    finally:
        for door in doors:
            door.socket.close()
    assert await statuses(replica, secret) == {status}


async def test_a_new_key_opens_every_worker_within_a_second(replica: Replica) -> None:
    secret = keys(replica, "create", "--name", "fresh", "--tenant", "acme")
    assert secret
    await within_a_second(replica, secret, 200)


async def test_a_rotated_key_works_with_both_secrets_until_the_overlap_ends(replica: Replica) -> None:
    old = keys(replica, "create", "--name", "turning")
    await within_a_second(replica, old, 200)
    new = keys(replica, "rotate", "turning", "--overlap", "4s")
    rotated = time.monotonic()
    assert new not in ("", old)
    await within_a_second(replica, new, 200)
    assert time.monotonic() - rotated < 3, "too slow to tell anything about the overlap"
    assert await statuses(replica, old) == {200}
    await asyncio.sleep(max(0.0, rotated + 4 - time.monotonic()))
    await within_a_second(replica, old, 401)
    assert await statuses(replica, new) == {200}


async def test_a_revoked_key_opens_no_worker_after_a_second(replica: Replica) -> None:
    secret = keys(replica, "create", "--name", "leaving")
    await within_a_second(replica, secret, 200)
    keys(replica, "revoke", "leaving")
    await within_a_second(replica, secret, 401)
    async with Crowd(replica.url) as crowd:
        (answer,) = await crowd.wave(1, Caller("any"), secret=secret)
        assert answer.code == "invalid_api_key"
        assert ok(await crowd.wave(4, Caller("static"), "answer=1")), "another key"


async def test_a_key_that_is_revoked_in_the_middle_of_an_answer_keeps_that_answer(replica: Replica) -> None:
    secret = keys(replica, "create", "--name", "midway")
    await within_a_second(replica, secret, 200)
    async with Crowd(replica.url) as crowd:
        running = asyncio.create_task(crowd.call(Caller("any"), "answer=40 pace=0.7", secret=secret, stream=True))
        await asyncio.sleep(0.2)
        await asyncio.to_thread(keys, replica, "revoke", "midway")
        assert (await running).whole
    await within_a_second(replica, secret, 401)


async def test_a_key_that_expires_stops_by_itself(replica: Replica) -> None:
    made = replica.admin("keys", {"name": "short", "expires": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 5))})
    assert made.status_code == 201, made.text
    ends = time.monotonic() + 5
    secret = made.json()["secret"]
    await within_a_second(replica, secret, 200)
    await asyncio.sleep(max(0.0, ends - time.monotonic()))
    await within_a_second(replica, secret, 401)


async def test_a_key_made_over_the_admin_api_and_one_of_the_command_line_are_of_one_kind(replica: Replica) -> None:
    made = replica.admin("keys", {"name": "by-http", "tenant": "acme"})
    assert made.status_code == 201, made.text
    await within_a_second(replica, made.json()["secret"], 200)
    assert made.json()["secret"] not in replica.admin("keys").text
    secret = keys(replica, "rotate", "by-http", "--overlap", "0")
    await within_a_second(replica, secret, 200)
    await within_a_second(replica, made.json()["secret"], 401)


async def test_commands_beside_running_workers_do_not_take_the_file_from_them(replica: Replica) -> None:
    """SQLite's locks belong to processes. A worker that has lost its own writes on, into a file that no longer has a name."""
    replica.command("keys", "list")
    replica.command("ledger", "export", "-")
    lost = await asyncio.to_thread(lost_files, replica)
    assert not lost
    async with Crowd(replica.url) as crowd:
        answers = await crowd.wave(FRESH, Caller("static"), "answer=1")
    markers = {answer.marker for answer in ok(answers)}
    assert len(markers) == FRESH
    await eventually(lambda: markers <= {row.marker for row in in_file(replica.file_of_store)}, "every row to be in the file", 2)


def lost_files(replica: Replica) -> list[str]:
    """Files of the store that workers have open and that are gone from the disk."""
    links = [link for pid in replica.worker_pids for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()]
    targets = [os.readlink(link) for link in links]
    return [target for target in targets if "(deleted)" in target and replica.file_of_store.name in target]
