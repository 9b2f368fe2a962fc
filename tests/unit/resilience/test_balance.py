"""Balance: the shares are those asked for, and conversations stay where they are."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgegate.config.option import STRATEGIES
from edgegate.resilience.balance import EXPLORE, choose

ROUNDS = 20_000


@dataclass
class One:
    label: str = "a"
    weight: float = 1.0
    in_flight: int = 0
    latency_s: float | None = None


def several(*weights: float) -> list[One]:
    return [One(f"provider-{index}/model", weight) for index, weight in enumerate(weights)]


def shares(strategy: str, candidates: list[One], rounds: int = ROUNDS) -> list[int]:
    chance = random.Random(20_25).random
    counted = Counter(choose(strategy, candidates, b"", chance) for _ in range(rounds))
    return [counted[index] for index in range(len(candidates))]


def within_four_sigma(counted: list[int], expected: list[float]) -> bool:
    total = sum(counted)
    return all(
        abs(count - total * share) <= 4 * math.sqrt(total * share * (1 - share)) for count, share in zip(counted, expected, strict=True)
    )


def no_chance() -> float:
    raise AssertionError("nothing was left to chance here")


def never_exploring() -> float:
    return 0.999


# -- every strategy


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_one_candidate_is_taken_without_a_look(strategy: str) -> None:
    assert choose(strategy, [One(weight=0.0)], b"x", no_chance) == 0


candidates = st.lists(
    st.builds(
        One,
        label=st.text(st.characters(codec="utf-8"), max_size=5),
        weight=st.sampled_from([0.0, 0.0, -1.0, 1e-9, 0.5, 1.0, 3.0, 1e9]),
        in_flight=st.integers(0, 5),
        latency_s=st.sampled_from([None, 0.0, 0.2, 1.0, 60.0]),
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=500, deadline=None)
@given(st.sampled_from(STRATEGIES), candidates, st.binary(max_size=3), st.floats(0, 1, exclude_max=True))
def test_whatever_is_known_the_choice_is_one_of_them_and_has_a_weight_if_any_has(
    strategy: str, several: list[One], affinity: bytes, point: float
) -> None:
    index = choose(strategy, several, affinity, lambda: point)
    assert 0 <= index < len(several)
    if strategy != "ordered" and any(one.weight > 0 for one in several):
        assert several[index].weight > 0


@pytest.mark.parametrize("strategy", ["weighted", "least_in_flight", "lowest_latency", "affinity"])
def test_where_all_weights_are_zero_all_count_alike(strategy: str) -> None:
    assert within_four_sigma(shares(strategy, several(0, 0, 0, 0)), [0.25] * 4)


# -- ordered


def test_ordered_takes_the_first() -> None:
    assert choose("ordered", [One(in_flight=100, latency_s=9.0), One()], b"x", no_chance) == 0


# -- weighted


@pytest.mark.parametrize("weights", [(1, 1), (3, 1), (0.5, 0.25, 0.25), (10, 5, 1, 4), (1, 0, 3), (0, 1, 99), (1, 2, 0)])
def test_weights_are_honoured(weights: tuple[float, ...]) -> None:
    counted = shares("weighted", several(*weights))
    assert within_four_sigma(counted, [weight / sum(weights) for weight in weights])


@pytest.mark.parametrize("point", [0.0, 1 - 2**-53])
def test_weight_zero_is_never_chosen_at_either_end_of_chance(point: float) -> None:
    assert choose("weighted", several(0, 1, 0), b"", lambda: point) == 1


@pytest.mark.parametrize(("point", "index"), [(0.0, 0), (0.49, 0), (0.5, 1), (0.75, 1)])
def test_each_has_the_part_of_chance_that_begins_where_the_one_before_ends(point: float, index: int) -> None:
    assert choose("weighted", several(1, 1), b"", lambda: point) == index


def test_rounding_at_the_end_of_chance_does_not_choose_weight_zero() -> None:
    chance, almost_one = random.Random(3), 1 - 2**-53
    for _ in range(2000):
        weights = [chance.random() for _ in range(7)]
        assert choose("weighted", several(*weights, 0), b"", lambda: almost_one) == 6


# -- least in flight


def test_the_one_with_the_fewest_attempts_for_its_weight_is_taken() -> None:
    assert choose("least_in_flight", [One(in_flight=3), One(in_flight=2), One(in_flight=4)], b"", no_chance) == 1
    assert choose("least_in_flight", [One(in_flight=5, weight=3.0), One(in_flight=2)], b"", no_chance) == 0
    assert choose("least_in_flight", [One(in_flight=7, weight=3.0), One(in_flight=2)], b"", no_chance) == 1


def test_among_equals_the_weights_decide() -> None:
    assert within_four_sigma(shares("least_in_flight", several(3, 1)), [0.75, 0.25])
    busy = [One(in_flight=6, weight=3.0), One(in_flight=2, weight=1.0), One(in_flight=9)]
    assert within_four_sigma(shares("least_in_flight", busy), [0.75, 0.25, 0.0])


def test_attempts_under_way_are_spread_in_proportion_to_the_weights() -> None:
    them, chance = several(3, 1, 1), random.Random(1).random
    for _ in range(100):
        them[choose("least_in_flight", them, b"", chance)].in_flight += 1
    assert [one.in_flight for one in them] == [60, 20, 20]


# -- lowest latency


def test_the_quickest_is_taken_but_for_one_choice_in_twenty_that_goes_elsewhere_by_weight() -> None:
    them = [One("a", 1.0, 0, 2.0), One("b", 1.0, 0, 1.0), One("c", 3.0, 0, 5.0), One("d", 0.0, 0, 0.1)]
    assert within_four_sigma(shares("lowest_latency", them), [EXPLORE / 4, 1 - EXPLORE, EXPLORE * 3 / 4, 0.0])


def test_one_of_unknown_latency_is_tried_first_with_a_single_attempt() -> None:
    them = [One("a", latency_s=0.001), One("b"), One("c", latency_s=0.001)]
    assert shares("lowest_latency", them, 100) == [0, 100, 0]
    them[1].in_flight = 1
    assert choose("lowest_latency", them, b"", never_exploring) != 1


def test_while_its_first_attempt_runs_one_of_unknown_latency_counts_as_quick_as_the_quickest() -> None:
    them = [One("a", in_flight=2, latency_s=1.0), One("b", latency_s=4.0), One("c", in_flight=1)]
    assert choose("lowest_latency", them, b"", never_exploring) == 2
    them[2].in_flight = 3
    assert choose("lowest_latency", them, b"", never_exploring) == 0


def test_where_none_is_known_attempts_are_spread() -> None:
    them, chance = several(1, 1, 1), random.Random(1).random
    for _ in range(30):
        them[choose("lowest_latency", them, b"", chance)].in_flight += 1
    assert [one.in_flight for one in them] == [10, 10, 10]


def test_the_quickest_is_not_swamped_and_gets_attempts_in_proportion_to_its_speed() -> None:
    them = [One("quick", latency_s=0.5), One("slow", latency_s=1.0)]
    for _ in range(90):
        them[choose("lowest_latency", them, b"", never_exploring)].in_flight += 1
    assert them[0].in_flight == pytest.approx(60, abs=1)
    assert them[1].in_flight == pytest.approx(30, abs=1)


def test_a_slow_target_that_became_quick_is_found() -> None:
    """Latencies as they are measured: a target that was slow once is asked now and then, and takes over when it is quicker."""
    them, real, chance = [One("a", latency_s=1.0), One("b", latency_s=9.0)], [1.0, 0.2], random.Random(7).random
    last: list[int] = []
    for _ in range(1500):
        index = choose("lowest_latency", them, b"", chance)
        before = them[index].latency_s
        assert before is not None
        them[index].latency_s = before + 0.1 * (real[index] - before)
        last = [*last[-99:], index]
    assert sum(last) > 80


# -- affinity

KEYS = [f"conversation-{number}".encode() for number in range(4000)]


def placed(them: list[One], keys: list[bytes] = KEYS) -> dict[bytes, str]:
    return {key: them[choose("affinity", them, key, no_chance)].label for key in keys}


@pytest.mark.parametrize("weights", [(1, 1), (3, 1), (1, 1, 1, 1, 1), (5, 2, 0, 3)])
def test_conversations_are_spread_in_proportion_to_the_weights(weights: tuple[float, ...]) -> None:
    them = several(*weights)
    counted = Counter(placed(them).values())
    assert within_four_sigma([counted[one.label] for one in them], [weight / sum(weights) for weight in weights])


def test_the_same_conversation_goes_to_the_same_place_in_any_order_and_whatever_the_load() -> None:
    them = several(3, 1, 2, 1)
    before = placed(them)
    busy = [One(one.label, one.weight, in_flight=index * 7, latency_s=index * 1.5) for index, one in enumerate(reversed(them))]
    assert placed(busy) == before


def test_where_a_conversation_goes_is_the_same_in_every_process_and_version() -> None:
    """Workers and a restarted gateway must agree, or prompt caches are cold."""
    assert [choose("affinity", several(3, 1, 2), key, no_chance) for key in KEYS[:12]] == [2, 0, 2, 0, 0, 0, 1, 2, 0, 0, 0, 2]


@pytest.mark.parametrize("gone", range(4))
def test_a_candidate_that_goes_takes_only_its_own_conversations_along(gone: int) -> None:
    them = several(3, 1, 2, 1)
    before, after = placed(them), placed([one for index, one in enumerate(them) if index != gone])
    moved = [key for key in KEYS if before[key] != after[key]]
    assert moved == [key for key in KEYS if before[key] == them[gone].label]
    assert len({after[key] for key in moved}) == 3, "and they are spread over all that are left"


def test_a_candidate_that_comes_draws_only_its_share() -> None:
    them = several(1, 1, 1)
    before, after = placed(them), placed([One("new/model"), *them])
    moved = [key for key in KEYS if before[key] != after[key]]
    assert {after[key] for key in moved} == {"new/model"}
    assert within_four_sigma([len(moved), len(KEYS) - len(moved)], [0.25, 0.75])


def test_a_candidate_that_gets_more_weight_only_gains() -> None:
    before, after = placed(several(1, 1, 1)), placed(several(2, 1, 1))
    moved = {after[key] for key in KEYS if before[key] != after[key]}
    assert moved == {several(1)[0].label}


@given(st.lists(st.sampled_from("abcdefgh"), min_size=2, max_size=8, unique=True), st.binary(min_size=1, max_size=8), st.data())
def test_who_wins_among_all_wins_among_any_of_them(labels: list[str], affinity: bytes, data: st.DataObject) -> None:
    them = [One(label, weight=1.0 + index) for index, label in enumerate(labels)]
    winner = them[choose("affinity", them, affinity, no_chance)]
    others = data.draw(st.lists(st.sampled_from([one for one in them if one is not winner]), unique_by=lambda one: one.label))
    some = data.draw(st.permutations([winner, *others]))
    assert some[choose("affinity", some, affinity, no_chance)] is winner


def test_small_weights_are_weights() -> None:
    tiny = [1e-12, 3e-12]
    counted = Counter(placed(several(0, *tiny)).values())
    assert within_four_sigma([counted[one.label] for one in several(0, *tiny)], [0.0, 0.25, 0.75])


def test_without_an_affinity_the_one_with_the_fewest_in_flight_is_taken() -> None:
    assert choose("affinity", [One("a", in_flight=2), One("b", in_flight=1)], b"", no_chance) == 1


@pytest.mark.parametrize("digest", [b"\x00" * 8, b"\xff" * 8])
def test_the_rarest_draws_are_numbers_too(digest: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    class Fixed:
        def copy(self) -> Fixed:
            return self

        def update(self, data: bytes) -> None:
            pass

        def digest(self) -> bytes:
            return digest

    hashed: Callable[..., Fixed] = lambda *_, **__: Fixed()  # noqa: E731
    monkeypatch.setattr("edgegate.resilience.balance.blake2b", hashed)
    assert choose("affinity", several(0, 1, 2), b"x", no_chance) == 2
