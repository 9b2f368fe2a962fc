"""The scorecard: S01..S16 by the rules of failoverbench v0.1, from the records of the runs.

pass: the caller was rescued and every check is clean. partial: rescued, but an advisory check failed. safe: not rescued, but a
clean error in bounded time. fail: everything else (half an answer that looks whole, a cut without a word, a hang, a hammered
provider). S13 asks for the clean error: there it is the pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tests.failover.stand import Record, Seen

Check = Callable[[Record], bool]


def gap(record: Record) -> float:
    """Seconds between the first two attempts at the primary; 0 if there was only one."""
    at = [seen.at for seen in record.at_primary]
    return at[1] - at[0] if len(at) > 1 else 0.0


def within(attempts: list[Seen], seconds: float) -> int:
    return sum(seen.at - attempts[0].at <= seconds for seen in attempts)


def during_outage(record: Record, outage_s: float = 60.0) -> tuple[int, int]:
    """Requests and attempts at the primary while it was down."""
    attempts = record.at_primary
    return sum(start < outage_s for start in record.starts), sum(seen.at - attempts[0].at < outage_s for seen in attempts)


def recovered_s(record: Record, outage_s: float = 60.0) -> float:
    """How long after its recovery the primary served again."""
    first = record.at_primary[0].at
    return next((seen.at - first - outage_s for seen in record.at_primary if seen.answered == "200"), 1e9)


def tokens_counted(record: Record) -> set[str]:
    """Models that /metrics has tokens of."""
    lines = [line for line in record.metrics.splitlines() if line.startswith("edgegate_tokens_total{") and not line.endswith(" 0.0")]
    return {line.partition('model="')[2].partition('"')[0] for line in lines}


@dataclass(frozen=True)
class Rule:
    """How one scenario is graded. must: hard checks beside a whole answer; advisory: what makes a pass of a partial."""

    name: str
    play: str
    limit_s: float
    must: Check = lambda record: True
    advisory: Check = lambda record: True
    wants_error: bool = False


def _costs_once(record: Record) -> bool:
    return record.heard.usage and tokens_counted(record) - {"fb-ok-after"} == {record.heard.model}


RULES = (
    Rule("S01", "S01/chat/stream", 20, lambda r: within(r.at_primary, 1.5) <= 2, lambda r: len(r.at_primary) > 1 and gap(r) >= 1.8),
    Rule("S02", "S02/chat/stream", 40, lambda r: within(r.at_primary, 3) <= 4 and len(r.at_primary) <= 6),
    Rule("S03", "S03/chat/stream", 20, advisory=lambda r: len(r.at_primary) >= 2 and not r.elsewhere[:-1]),
    Rule("S04", "S04/chat/stream", 40, lambda r: len(r.at_primary) <= 6),
    Rule("S05", "S05/chat/stream", 20),
    Rule("S06", "S06/chat/stream", 75, advisory=lambda r: len(r.at_primary) == 1),
    Rule("S07", "S07/chat/stream", 45, advisory=lambda r: r.heard.seconds < 15),
    Rule("S08", "S08/chat/stream/{mode}", 20),
    Rule("S09", "S09/chat/stream/{mode}", 45, lambda r: r.after is not None and r.after.kind == "whole"),
    Rule("S10", "S10/chat/stream", 20, lambda r: r.after is not None and r.after.kind == "whole"),
    Rule("S11", "S11/chat/stream", 8, advisory=lambda r: r.heard.usage),
    Rule("S12", "S12/chat/stream/larger", 20, lambda r: len(r.at_primary) == 1),
    Rule("S13", "S13/chat/stream", 20, lambda r: len(r.at_primary) == 1, wants_error=True),
    Rule("S14", "S14/chat/stream/{mode}", 20),
    Rule("S15", "S15/chat/stream", 200, lambda r: during_outage(r)[1] <= during_outage(r)[0], lambda r: recovered_s(r) <= 30),
    Rule("S16", "S16/chat/stream", 20, lambda r: r.heard.fallback, _costs_once),
)


def grade(rule: Rule, record: Record) -> str:
    """pass, partial, safe or fail; `-` where the run is missing."""
    if record.failure or not record.calls or not all(heard.clean and heard.seconds < rule.limit_s for heard in record.calls):
        return "fail"
    if not rule.must(record):
        return "fail"
    rescued = all(heard.kind == "whole" for heard in record.calls)
    if rule.wants_error:
        asked = [seen for seen in record.attempts if seen.model != "fb-ok-after"]
        return "pass" if not rescued and len(asked) == 1 else "partial" if rescued else "safe"
    return "safe" if not rescued else "pass" if rule.advisory(record) else "partial"


def scorecard(records: Mapping[str, Record]) -> str:
    """A line for each scenario, and one for each `midstream` option where it matters."""
    lines = ["scenario          grade    seconds  attempts (primary, elsewhere)"]
    for rule in RULES:
        for mode in ("default", "continue", "restart") if "{mode}" in rule.play else ("",):
            record = records.get(rule.play.format(mode=mode))
            if record is not None:
                seconds = max((heard.seconds for heard in record.calls), default=0.0)
                title = f"{rule.name} {mode}"
                counts = f"{len(record.at_primary)}, {sum(seen.model != 'fb-ok-after' for seen in record.elsewhere)}"
                lines.append(f"{title:<17} {grade(rule, record):<8} {seconds:7.2f}  {counts}")
    return "\n".join(lines)


def table(records: Mapping[str, Record]) -> str:
    """A line for each run."""
    lines = [f"{'run':<52} {'outcome':<10} seconds  attempts"]
    for name, record in sorted(records.items()):
        if record.failure or not record.calls:
            lines.append(f"{name:<52} {record.failure.strip().splitlines()[-1][:90] if record.failure.strip() else 'nothing'}")
            continue
        kinds = sorted({heard.kind for heard in record.calls})
        attempts = " ".join(f"{seen.model.split('-')[1]}@{seen.at:.1f}" for seen in record.attempts[:-1][:8])
        lines.append(f"{name:<52} {'+'.join(kinds):<10} {max(heard.seconds for heard in record.calls):7.2f}  {attempts}")
    return "\n".join(lines)
