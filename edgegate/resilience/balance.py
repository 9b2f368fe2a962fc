"""Which of several equal candidates (targets, or keys of one provider) serves the next attempt.

A candidate of weight 0 is chosen only where all have weight 0; then all count alike. Nothing is remembered from one choice to
the next: what is known of a candidate is read off it, and chance is handed in.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Protocol

Chance = Callable[[], float]
"""A number in [0, 1), each as likely as any other."""

EXPLORE = 0.05
"""Share of the choices by latency that go elsewhere, so that a target that was slow once is seen to be quick again."""


class Candidate(Protocol):
    """What is known of one of those to choose from."""

    @property
    def label(self) -> str: ...
    @property
    def weight(self) -> float: ...
    @property
    def in_flight(self) -> int: ...
    @property
    def latency_s(self) -> float | None: ...


def choose(strategy: str, candidates: Sequence[Candidate], affinity: bytes, chance: Chance) -> int:
    """Index of the candidate to use; there is at least one. `affinity` names what should stay together (a conversation); only the
    strategy of that name looks at it, and without it takes the one with the fewest in flight."""
    if len(candidates) == 1 or strategy == "ordered":
        return 0
    weights = [candidate.weight if candidate.weight > 0 else 0.0 for candidate in candidates]
    if not any(weights):
        weights = [1.0] * len(weights)
    if strategy == "weighted":
        return _weighted(range(len(weights)), weights, chance)
    if strategy == "lowest_latency":
        return _quickest(candidates, weights, chance)
    if strategy == "affinity" and affinity:
        return _kept_together(candidates, weights, affinity)
    return _least_in_flight(candidates, weights, chance)


def _weighted(indices: Sequence[int], weights: Sequence[float], chance: Chance) -> int:
    """One of `indices`, by chance, in proportion to its weight. At least one of them has a weight."""
    point = chance() * sum(weights[index] for index in indices)
    chosen = indices[0]
    for index in indices:
        if weights[index] > 0:
            chosen = index
            point -= weights[index]
            if point < 0:
                break
    return chosen


def _lowest(scores: Sequence[tuple[float, int]], weights: Sequence[float], chance: Chance) -> int:
    """The index with the lowest score; among equals by chance."""
    lowest = min(scores)[0]
    equals = [index for score, index in scores if score == lowest]
    return equals[0] if len(equals) == 1 else _weighted(equals, weights, chance)


def _least_in_flight(candidates: Sequence[Candidate], weights: Sequence[float], chance: Chance) -> int:
    loads = [
        (candidate.in_flight / weight, index) for index, (candidate, weight) in enumerate(zip(candidates, weights, strict=True)) if weight
    ]
    return _lowest(loads, weights, chance)


def _quickest(candidates: Sequence[Candidate], weights: Sequence[float], chance: Chance) -> int:
    """The quickest for its load: latency x (1 + in flight). At rest that is the quickest one; under load each gets attempts in
    proportion to its speed, since a latency that rises because all go to one place is known only when they are there already.

    One of unknown latency goes first, with a single attempt; while that runs it counts as quick as the quickest known. Where none
    is known, the one with the fewest in flight is taken."""
    open_to = [index for index, weight in enumerate(weights) if weight]
    known = [latency for index in open_to if (latency := candidates[index].latency_s) is not None]
    if not known:
        return _least_in_flight(candidates, weights, chance)
    unknown = [index for index in open_to if candidates[index].latency_s is None and not candidates[index].in_flight]
    if unknown:
        return _weighted(unknown, weights, chance)
    quickest = min(known)
    scores = []
    for index in open_to:
        latency = candidates[index].latency_s
        scores.append(((quickest if latency is None else latency) * (1 + candidates[index].in_flight), index))
    best = _lowest(scores, weights, chance)
    if len(open_to) > 1 and chance() < EXPLORE:
        return _weighted([index for index in open_to if index != best], weights, chance)
    return best


def _kept_together(candidates: Sequence[Candidate], weights: Sequence[float], affinity: bytes) -> int:
    """Weighted rendezvous hashing: each candidate draws a number from its label and the affinity, the highest wins. A candidate that
    goes takes only its own conversations along, one that comes draws only its share, and the order they stand in is of no matter."""
    common = blake2b(affinity, digest_size=8)
    best, highest = 0, -1.0
    for index, (candidate, weight) in enumerate(zip(candidates, weights, strict=True)):
        if weight:
            own = common.copy()
            own.update(candidate.label.encode())
            # 52 bits and a half: never 0 and never 1 as a float, whose logarithms could not be divided by
            drawn = ((int.from_bytes(own.digest(), "big") >> 12) + 0.5) / (1 << 52)
            score = -weight / math.log(drawn)
            if score > highest:
                best, highest = index, score
    return best
