"""The wall and the caller without a gateway between them: the judge tells a whole answer from everything that looks like one."""

from __future__ import annotations

import asyncio

import pytest

from tests.failover.caller import Heard, call
from tests.failover.faults import FAULTS
from tests.failover.shapes import TOKENS, WORDS
from tests.failover.wall import Wall

KINDS = {
    ("ok", True): "whole",
    ("ok", False): "whole",
    ("other", True): "wrong",
    ("other", False): "wrong",
    ("s05", True): "closed",
    ("s06", True): "hang",
    ("s08", True): "truncated",
    ("s08", False): "broken",
    ("s08done", True): "wrong",
    ("s08end", True): "truncated",
    ("s08error", True): "error",
    ("s08tool", True): "truncated",
    ("s10", True): "broken",
    ("s10", False): "broken",
    ("s11", True): "truncated",
    ("s13", True): "error",
    ("s13", False): "error",
    ("hdone", True): "wrong",
    ("hjson", True): "broken",
    ("hjson", False): "broken",
}


async def test_the_judge_tells_whole_from_half() -> None:
    async with Wall(dict(FAULTS)) as wall:
        found = await asyncio.gather(*(call(wall.port, f"fb-{fault}-x", stream=stream, patience_s=2) for fault, stream in KINDS))
    assert {key: heard.kind for key, heard in zip(KINDS, found, strict=True)} == KINDS
    assert len(WORDS) == 60
    assert not wall.complaints


@pytest.mark.parametrize("surface", ["chat", "messages"])
async def test_the_wall_goes_on_from_a_beginning_and_notes_what_it_was_asked(surface: str) -> None:
    beginning = "".join(TOKENS[:40])
    messages = [{"role": "user", "content": "Go on."}, {"role": "assistant", "content": beginning}]
    async with Wall(dict(FAULTS)) as wall:
        heard: Heard = await call(wall.port, "fb-ok-x", surface, messages=messages, expected="".join(TOKENS[40:]))
        refused = await call(wall.port, "fb-noprefill-x", surface, messages=messages)
    assert heard.kind == "whole", heard
    assert heard.usage
    assert [(attempt.last_role, attempt.prefill, attempt.answered) for attempt in wall.attempts] == [
        ("assistant", beginning, "200"),
        ("assistant", beginning, "400"),
    ]
    assert (refused.kind, refused.status) == ("error", 400)
