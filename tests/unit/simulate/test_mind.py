"""What the simulated model answers, before any wire format."""

from __future__ import annotations

import math

from edgegate.simulate.mind import Question, Tool, answer, embedding, pieces

WEATHER = Tool("get_weather", {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]})
CLOCK = Tool("get_time", {"type": "object", "properties": {}})


def ask(prompt: str, **more: object) -> Question:
    return Question("m", roles=["user"], texts=[prompt], prompt=prompt, **more)  # type: ignore[arg-type]


def test_an_answer_says_that_it_is_simulated_and_echoes() -> None:
    text = answer(ask("How are you?")).text
    assert text.startswith("[simulated]")
    assert "No provider key" in text
    assert "How are you?" in text


def test_a_long_prompt_is_echoed_shortened() -> None:
    assert len(answer(ask("x" * 5000)).text) < 400


def test_repeat_gives_that_many_words_and_as_many_tokens() -> None:
    one = answer(ask("repeat 500"))
    assert len(one.text.split()) == one.output_tokens == 500


def test_a_limit_cuts_the_answer_to_the_token() -> None:
    one = answer(ask("repeat 500", max_tokens=7))
    assert (one.output_tokens, one.finish, len(one.text.split())) == (7, "length", 7)


def test_thinking_counts_against_the_limit() -> None:
    one = answer(ask("hello", think=True, max_tokens=3))
    assert (one.reasoning_tokens, one.text, one.finish) == (3, "", "length")


def test_the_earliest_stop_sequence_ends_the_text() -> None:
    one = answer(ask("repeat 20", stop=["amet", "dolor"]))
    assert (one.text, one.stopped_by, one.finish) == ("lorem ipsum ", "dolor", "stop")


def test_a_tool_named_in_the_prompt_is_called() -> None:
    one = answer(ask("please use get_weather", tools=[CLOCK, WEATHER]))
    assert [(call.name, call.arguments) for call in one.calls] == [("get_weather", {"city": "city"})]
    assert one.finish == "calls"


def test_tools_not_named_are_not_called_unless_demanded() -> None:
    assert answer(ask("hello", tools=[WEATHER])).calls == []
    assert answer(ask("hello", tools=[WEATHER], choice="any")).calls
    assert answer(ask("get_weather", tools=[WEATHER], choice="none")).calls == []


def test_parallel_calls_have_their_own_ids() -> None:
    calls = answer(ask("call get_weather and get_time in parallel", tools=[WEATHER, CLOCK])).calls
    assert [call.name for call in calls] == ["get_weather", "get_time"]
    assert len({call.id for call in calls}) == 2
    assert len(answer(ask("get_weather in parallel", tools=[WEATHER])).calls) == 2
    assert len(answer(ask("get_weather in parallel", tools=[WEATHER], parallel=False)).calls) == 1


def test_a_tool_result_gets_a_text() -> None:
    one = answer(ask("use get_weather", tools=[WEATHER], results=["17 degrees"]))
    assert not one.calls
    assert "17 degrees" in one.text


def test_the_same_question_gets_the_same_answer() -> None:
    assert answer(ask("hello", seed=b"1")) == answer(ask("hello", seed=b"1"))
    assert answer(ask("hello", seed=b"1")).id != answer(ask("hello", seed=b"2")).id


def test_pieces_joined_are_the_text() -> None:
    for text in ("a b  c\n", "  leading", "", " ", "one"):
        assert "".join(pieces(text)) == text


def test_embeddings_are_unit_vectors_and_near_for_shared_words() -> None:
    def near(one: list[float], other: list[float]) -> float:
        return sum(a * b for a, b in zip(one, other, strict=True))

    cat, cats, car = (embedding(text, 256) for text in ("the black cat sleeps", "a black cat sleeps", "stock market crash"))
    assert math.isclose(near(cat, cat), 1.0, abs_tol=1e-5)
    assert near(cat, cats) > near(cat, car)
