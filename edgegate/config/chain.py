"""The `chain` of a configuration: its entries, and the order that the built-in stages need.

An entry is a stage's name, or the name with its options below it. Rules about order exist where another order could not work or
would silently do something else; the rest is the user's choice. Stages from other packages (`module:Class`) are not taken yet.
"""

from __future__ import annotations

from collections.abc import Sequence

from edgegate.config.decode import Reader
from edgegate.config.model import StageOptions
from edgegate.config.problems import Place, Problem, did_you_mean, shown
from edgegate.config.stages import DEFAULT_CHAIN, STAGES
from edgegate.config.substitute import Unresolved
from edgegate.config.tree import Listing, Node, Scalar, Table

BEFORE = (
    ("limits", "forward", "what is over a limit is not sent"),
    ("cache", "forward", "an answer from the cache spares the call"),
    ("auth", "idempotency", "each caller has its own keys"),
    ("idempotency", "forward", "an answer that is replayed spares the call"),
    ("coalesce", "forward", "a call that is shared is sent once"),
    ("coalesce", "failover", "a call that is shared fails over once"),
    ("queue", "failover", "a place in the queue is for an exchange with all its attempts"),
    ("queue", "forward", "what waits in the queue is not sent yet"),
    ("route", "failover", "failover tries the targets that route chose"),
    ("route", "translate", "a request is translated for the target that route chose"),
    ("route", "forward", "a request is sent to the target that route chose"),
    ("route", "budget", "what an attempt may cost depends on its target"),
    ("failover", "budget", "each attempt has its own price"),
    ("budget", "forward", "what nobody pays for is not sent"),
    ("failover", "translate", "each attempt is translated for its own target"),
    ("failover", "forward", "each attempt is forwarded anew"),
    ("translate", "forward", "what is sent must be in the provider's format"),
    ("forward", "meter", "meter sees every attempt only from behind forward"),
)
"""(earlier, later, why), for stages that are both present."""


def default_chain() -> tuple[StageOptions, ...]:
    return tuple(StageOptions(name, STAGES[name]()) for name in DEFAULT_CHAIN)


def read_chain(reader: Reader, node: Node) -> tuple[StageOptions, ...]:
    """The stages of a `chain` list. Faults go to the reader; the order is checked only if every entry was understood."""
    reader.places["chain"] = node.place
    if isinstance(node, Scalar) and node.empty:
        return default_chain()
    if not isinstance(node, Listing):
        reader.fault(node.place, "chain", "expected a list of stages, such as `- auth`")
        return default_chain()
    entries = [_entry(reader, child, f"chain[{index}]") for index, child in enumerate(node.items)]
    found = [(stage, child.place) for stage, child in zip(entries, node.items, strict=True) if stage is not None]
    if len(found) == len(entries):
        reader.problems.extend(order([(stage.name, place) for stage, place in found], node.place))
    return tuple(stage for stage, _ in found)


def order(stages: Sequence[tuple[str, Place]], place: Place) -> list[Problem]:
    """What is wrong with the order of these stages; `place` is the chain's own."""
    problems = []
    index: dict[str, int] = {}
    for at, (name, where) in enumerate(stages):
        if name in index:
            problems.append(Problem(where, f"chain[{at}]", f"`{name}` stands in the chain twice (first as entry {index[name] + 1})"))
        index.setdefault(name, at)
    if "forward" not in index:
        problems.append(Problem(place, "chain", "`forward` is missing: no stage would send the request"))
    if index.get("auth", 0) != 0:
        at = index["auth"]
        problems.append(Problem(stages[at][1], f"chain[{at}]", "`auth` must come first: nothing may happen for a caller who is not known"))
    for earlier, later, why in BEFORE:
        if index.get(earlier, -1) > index.get(later, len(stages)):
            at = index[earlier]
            problems.append(Problem(stages[at][1], f"chain[{at}]", f"`{earlier}` must come before `{later}`: {why}"))
    return problems


def _entry(reader: Reader, node: Node, path: str) -> StageOptions | None:
    reader.places[path] = node.place
    options: Node | None = None
    if isinstance(node, Scalar):
        try:
            name = reader.text(node)
        except Unresolved as missing:
            reader.fault(node.place, path, f"expected {missing}")
            return None
    elif isinstance(node, Table) and len(node.entries) == 1:
        ((name, options),) = node.entries.items()
    else:
        more = len(node.entries) > 1 if isinstance(node, Table) else False
        hint = "; a stage's options are indented below its name" if more else ""
        reader.fault(node.place, path, f"expected one stage, as `name` or `name: {{options}}`{hint}")
        return None
    if name not in STAGES:
        outside = ":" in name and " " not in name
        why = "stages from other packages are not supported yet" if outside else f"no stage {shown(name)}{did_you_mean(name, STAGES)}"
        reader.fault(node.place, path, why)
        return None
    at = f"{path}.{name}"
    if options is None:
        return StageOptions(name, STAGES[name]())
    reader.places[at] = options.place
    return StageOptions(name, reader.section(STAGES[name], options, at))
