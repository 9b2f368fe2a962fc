"""The scenarios as runs: `PLAYS` by name, e.g. `S08/chat/stream/continue`. A run makes a stand, asks, and returns its record.

The names are what tests and the scorecard refer to: fault, caller's dialect, stream or plain, `midstream` option (or a variant),
and `claude` where the fallback speaks Anthropic's dialect. Nothing is judged here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from tests.failover.faults import FAULTS, HIDDEN, OUTAGE_S
from tests.failover.shapes import TOKENS
from tests.failover.stand import Record, Stand, stand
from tests.unit.core.parts import until

BACKUP = "fb-ok-backup"
CLAUDE = "claude-ok-backup"
LARGER = "fb-ok-larger"
CLAUDE_LARGER = "claude-ok-larger"
STREAM, PLAIN = "stream", "plain"
SURFACES = ("chat", "responses", "messages", "gemini", "ollama chat", "cohere chat")
SINGLE = ("s01", "s02", "s03", "s04", "s05", "s06", "s07", "s10", "s13", "s16")
"""Faults that are one call, with the same options for all."""
SILENT = ("s06", "s07")
MODES = ("default", "continue", "restart")
OWN = 5
"""Tokens that a caller's own assistant message holds."""
PATIENCE_S = 90.0
"""Longer than any scenario may take: a caller that is kept waiting so long was left hanging."""


@dataclass(frozen=True)
class Play:
    """One run. `script` does what the scenario is about; without one a single call is made."""

    name: str
    fault: str
    surface: str = "chat"
    stream: bool = True
    fallbacks: tuple[str, ...] = (BACKUP,)
    primary: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    script: Callable[[Stand], Awaitable[None]] | None = None
    long: bool = False

    async def run(self) -> Record:
        primary = self.primary or f"fb-{self.fault}-primary"
        options = {"more_models": ("fb-ok-after",)} | self.options
        async with stand(self.name, dict(FAULTS), primary, list(self.fallbacks), **options) as made:
            if self.script is not None:
                await self.script(made)
            else:
                await made.ask(surface=self.surface, stream=self.stream, patience_s=PATIENCE_S)
            await made.ask_healthy("fb-ok-after", stream=self.fault in ("s09", "s10"))
        return made.record


async def outage(made: Stand, stream: bool) -> None:
    """Twenty calls four seconds apart, then more until the primary answers again or has had half a minute for it."""
    calls = []
    began = time.monotonic()
    for number in range(40):
        back = any(seen.answered == "200" for seen in made.wall.at(made.record.primary))
        if number >= 20 and (back or time.monotonic() > began + OUTAGE_S + 30):
            break
        await asyncio.sleep(max(0.0, began + 4 * number - time.monotonic()))
        calls.append(asyncio.create_task(made.ask(stream=stream)))
    await asyncio.gather(*calls)


async def crowd(made: Stand) -> None:
    """Fifty callers at once, and fifty more when they are done."""
    for _ in range(2):
        await asyncio.gather(*(made.ask(patience_s=40) for _ in range(50)))


async def in_a_row(made: Stand) -> None:
    """Ten calls one after the other."""
    for _ in range(10):
        await made.ask()


def leaves(after_s: float, model: str = "") -> Callable[[Stand], Awaitable[None]]:
    """A caller who hangs up some seconds after the model was asked, and then a while in which nothing more may come."""

    async def script(made: Stand) -> None:
        call = asyncio.create_task(made.ask())
        await until(lambda: bool(made.wall.at(model or made.record.primary)), 10)
        await asyncio.sleep(after_s)
        made.record.left_at = time.monotonic() - made.began
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        await asyncio.sleep(3.5)

    return script


async def own_prefill(made: Stand) -> None:
    """The caller's own request ends with the beginning of the answer."""
    messages = [{"role": "user", "content": "Go on."}, {"role": "assistant", "content": "".join(TOKENS[:OWN])}]
    await made.ask(expected="".join(TOKENS[OWN:]), messages=messages)


def _mode(mode: str) -> dict[str, Any]:
    return {} if mode == "default" else {"midstream": mode}


def _chat() -> list[Play]:
    """The sixteen scenarios through OpenAI's dialect, as far as they end with one call."""
    plays = []
    for stream in (True, False):
        how = STREAM if stream else PLAIN
        plays += [Play(f"{fault.upper()}/chat/{how}", fault, stream=stream, long=fault in SILENT) for fault in SINGLE]
        for fault in ("s08", "s09"):
            for mode in MODES if stream else MODES[:1]:
                name = f"{fault.upper()}/chat/{how}/{mode}"
                plays.append(Play(name, fault, stream=stream, options=_mode(mode), long=fault == "s09"))
        larger = {"larger": [LARGER]}
        plays += [
            Play(f"S12/chat/{how}/larger", "s12", stream=stream, options=larger),
            Play(f"S12/chat/{how}/none", "s12", stream=stream),
            Play(f"S12/chat/{how}/larger/from claude", "s12", stream=stream, primary="claude-s12-primary", options=larger),
            Play(f"S12/chat/{how}/none/from claude", "s12", stream=stream, primary="claude-s12-primary"),
            Play(f"S12/messages/{how}/larger/from claude", "s12", "messages", stream, primary="claude-s12-primary", options=larger),
            Play(f"S12/messages/{how}/none/from claude", "s12", "messages", stream, primary="claude-s12-primary"),
        ]
    for mode in MODES:
        for fault in ("s08reset", "s08blank", "s08word", "s08error", "s08end", "s08done"):
            plays.append(Play(f"{fault}/chat/stream/{mode}", fault, options=_mode(mode)))
            plays.append(Play(f"{fault}/chat/stream/{mode}/claude", fault, fallbacks=(CLAUDE,), options=_mode(mode)))
        other = _mode(mode) | {"prefill": ["none"]}
        plays.append(Play(f"S08/chat/stream/{mode}/another answer", "s08", fallbacks=("fb-other-backup",), options=other))
        plays.append(Play(f"S08/chat/stream/{mode}/no fallback", "s08", fallbacks=(), options=_mode(mode)))
        plays.append(Play(f"S08/chat/stream/{mode}/both break", "s08", fallbacks=("fb-s08-backup",), options=_mode(mode)))
        plays.append(Play(f"S08/chat/stream/{mode}/own prefill", "s08own", options=_mode(mode), script=own_prefill))
        plays.append(Play(f"tool/chat/stream/{mode}", "s08tool", options=_mode(mode)))
        plays.append(Play(f"tool/chat/stream/{mode}/claude", "s08tool", fallbacks=(CLAUDE,), options=_mode(mode)))
        refuses = ("fb-noprefill-backup",)
        plays.append(Play(f"S14/chat/stream/{mode}", "s14", fallbacks=refuses, options=_mode(mode)))
        declared = _mode(mode) | {"prefill": ["fb-*"]}
        plays.append(Play(f"S14/chat/stream/{mode}/wrongly declared", "s14", fallbacks=refuses, options=declared))
        plays.append(Play(f"S10/chat/stream/{mode}/claude", "s10", fallbacks=(CLAUDE,), options=_mode(mode)))
    plays += [
        Play("S11/chat/stream", "s11"),
        Play("S11/chat/stream/left open", "s11open"),
        Play("S13/chat/stream/continue", "s13", options=_mode("continue")),
        Play("S15/chat/stream", "s15", script=lambda made: outage(made, True), long=True),
        Play("S15/chat/plain", "s15", script=lambda made: outage(made, False), long=True),
        Play("patience/chat/stream", "later"),
        Play("patience/chat/stream/no fallback", "later", fallbacks=()),
        Play("leaves/silence", "s06", script=leaves(0.7), long=True),
        Play("leaves/wait", "s01", script=leaves(0.7), long=True),
        Play("leaves/stream", "s09", script=leaves(1.0), long=True),
        Play("leaves/continued", "s08", script=leaves(0.1, BACKUP), options=_mode("continue"), long=True),
        Play("leaves/restarted", "s08", script=leaves(0.1, BACKUP), options=_mode("restart"), long=True),
        Play("crowd", "s06", script=crowd, long=True),
        Play("S04/in a row", "s04", script=in_a_row, long=True),
    ]
    return plays


def _dialects() -> list[Play]:
    """What makes sense through every caller's dialect, with an Anthropic fallback behind the OpenAI-shaped primary."""
    plays = []
    for surface in SURFACES:
        for stream in (True, False):
            how = f"{surface}/{STREAM if stream else PLAIN}"
            to_claude: dict[str, Any] = {"surface": surface, "stream": stream, "fallbacks": (CLAUDE,)}
            plays += [Play(f"{fault.upper()}/{how}/claude", fault, **to_claude, long=fault in SILENT) for fault in SINGLE]
            plays += [Play(f"{fault}/{how}/claude", fault, **to_claude) for fault in HIDDEN]
            for fault in ("s08", "s09"):
                for mode in MODES if stream else MODES[:1]:
                    name = f"{fault.upper()}/{how}/{mode}/claude"
                    plays.append(Play(name, fault, surface, stream, (CLAUDE,), options=_mode(mode), long=fault == "s09"))
            larger = {"larger": [CLAUDE_LARGER]}
            plays.append(Play(f"S12/{how}/larger/claude", "s12", surface, stream, (CLAUDE,), options=larger))
            plays.append(Play(f"S12/{how}/none/claude", "s12", surface, stream, (CLAUDE,)))
        plays += [Play(f"{fault.upper()}/{surface}/stream/claude", fault, surface, True, (CLAUDE,)) for fault in ("s11", "s11open")]
        for mode in MODES:
            refuses = ("claude-noprefill-backup",)
            declared = _mode(mode) | {"prefill": ["claude-*"]}
            plays.append(Play(f"S14/{surface}/stream/{mode}/claude", "s14", surface, True, refuses, options=declared))
    for fault in HIDDEN:
        plays += [Play(f"{fault}/chat/{STREAM if stream else PLAIN}", fault, stream=stream) for stream in (True, False)]
    return plays


PLAYS = {play.name: play for play in [*_chat(), *_dialects()]}
