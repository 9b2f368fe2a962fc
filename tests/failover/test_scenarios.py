"""The sixteen ways a provider can let its callers down: what the caller got, how long it took, what the provider had to bear.

Each test reads the record of a run (see conftest.py); `python -m tests.failover -v NAME` shows one by itself.
"""

from __future__ import annotations

import pytest

from tests.failover.caller import Heard
from tests.failover.faults import CONTEXT, POLICY, TOO_LONG, TRACE
from tests.failover.plays import plays
from tests.failover.scenarios import BACKUP
from tests.failover.scorecard import during_outage, gap, recovered_s, tokens_counted, within
from tests.failover.shapes import WORDS
from tests.failover.stand import Record


def rescued(record: Record, within_s: float) -> Heard:
    """The whole answer, in time, and nothing of what went wrong in it."""
    heard = record.heard
    assert heard.kind == "whole", str(record)
    assert heard.seconds < within_s, str(record)
    assert heard.usage or heard.surface == "cohere chat" or _usage_lost(record), f"no usage: {record}"
    assert TRACE not in heard.raw, str(record)
    well_afterwards(record)
    return heard


def _usage_lost(record: Record) -> bool:
    """A restarted or continued stream may not know what the broken attempt cost; it must not lose it otherwise."""
    return len(record.attempts) > 1 and record.attempts[0].answered in ("cut", "stall", "error event")


def refused(record: Record, within_s: float) -> Heard:
    """An explicit error in the dialect's words, in time, and no sign of an ending."""
    heard = record.heard
    assert heard.kind == "error", str(record)
    assert heard.seconds < within_s, str(record)
    assert not heard.done, str(record)
    assert "[DONE]" not in heard.raw, str(record)
    well_afterwards(record)
    return heard


def well_afterwards(record: Record) -> None:
    assert record.after is not None
    assert record.after.kind == "whole", f"the healthy call afterwards: {record.after}"


def continued_or_restarted(record: Record, within_s: float) -> None:
    """What the `midstream` option of the run promises of a stream that breaks."""
    if "/default" in record.name:
        refused(record, within_s)
        assert not record.elsewhere[:-1], f"another target was asked although nothing may be done: {record}"
    else:
        rescued(record, within_s)


# -- S01 to S05: errors that come at once


@plays("S01/*")
def test_s01_a_retry_after_is_kept_to(record: Record) -> None:
    rescued(record, 20)
    assert len(record.at_primary) >= 2, f"the primary was not asked again: {record}"
    assert gap(record) >= 1.8, f"asked again after {gap(record):.2f} s: {record}"
    assert within(record.at_primary, 1.5) <= 2, str(record)


@plays("S02/*")
def test_s02_a_rate_limit_that_stays_moves_on_without_hammering(record: Record) -> None:
    heard = rescued(record, 40)
    assert heard.fallback
    assert within(record.at_primary, 3) <= 4, str(record)
    assert len(record.at_primary) <= 6, str(record)


@plays("S03/*")
def test_s03_a_single_500_is_tried_again_at_the_same_target(record: Record) -> None:
    heard = rescued(record, 20)
    assert len(record.at_primary) >= 2, str(record)
    assert not heard.fallback, str(record)
    assert [seen.model for seen in record.elsewhere] == ["fb-ok-after"], str(record)


@plays("S04/chat/*", "S04/responses/*", "S04/messages/*", "S04/gemini/*", "S04/ollama*", "S04/cohere*")
def test_s04_a_503_that_stays_moves_on_without_hammering(record: Record) -> None:
    heard = rescued(record, 40)
    assert heard.fallback
    assert len(record.at_primary) <= 6, str(record)


@plays("S04/in a row")
def test_s04_ten_calls_in_a_row_are_answered_and_the_breaker_spares_the_primary(record: Record) -> None:
    assert [heard.kind for heard in record.calls] == ["whole"] * 10, str(record)
    assert len(record.at_primary) <= 6, f"{len(record.at_primary)} attempts at a target that is down"


@plays("S05/*")
def test_s05_a_connection_reset_before_any_byte_is_overcome(record: Record) -> None:
    rescued(record, 20)
    assert len(record.at_primary) <= 2, str(record)


# -- S06 and S07: silence


@plays("S06/*/stream*")
def test_s06_a_silent_target_is_asked_once_and_a_stream_moves_on(record: Record) -> None:
    heard = rescued(record, 15)
    assert heard.fallback
    assert len(record.at_primary) == 1, str(record)


@plays("S06/*/plain*")
def test_s06_a_silent_target_is_asked_once_and_a_plain_call_moves_on(record: Record) -> None:
    heard = rescued(record, 75)
    assert heard.fallback
    assert len(record.at_primary) == 1, str(record)


@plays("S06/*")
def test_s06_a_silent_target_is_hung_up_on(record: Record) -> None:
    gone = record.at_primary[0].gone_after
    assert gone is not None, f"the connection to the silent target stayed open: {record}"
    assert gone < record.heard.seconds + 1, str(record)


@plays("S07/*/stream*")
def test_s07_a_head_without_a_token_is_silence_too(record: Record) -> None:
    heard = rescued(record, 15)
    assert heard.fallback
    assert len(record.at_primary) == 1, str(record)


@plays("S07/*/plain*")
def test_s07_a_plain_reply_after_twenty_seconds_is_waited_for(record: Record) -> None:
    heard = rescued(record, 40)
    assert not heard.fallback, str(record)
    assert len(record.at_primary) == 1, str(record)


# -- S08 and S09: streams that break


@plays("S08/*/stream/default", "S08/*/stream/continue", "S08/*/stream/restart", "S08/*/stream/*/claude")
def test_s08_a_stream_that_dies_is_made_whole_or_ends_in_an_error(record: Record) -> None:
    continued_or_restarted(record, 20)
    if "/default" in record.name:
        assert len(record.heard.text.split()) == 40, str(record)


@plays("S08/*/stream/continue", "S08/*/stream/continue/claude")
def test_s08_the_next_target_goes_on_from_where_the_stream_broke(record: Record) -> None:
    backup = record.elsewhere[0]
    assert backup.last_role == "assistant", str(record)
    assert backup.prefill.split() == WORDS[:40], str(record)


@plays("S08/*/stream/restart", "S08/*/stream/restart/claude")
def test_s08_a_restart_asks_the_question_as_it_was(record: Record) -> None:
    assert record.elsewhere[0].last_role == "user", str(record)


@plays("s08*/stream/*")
def test_s08_however_a_stream_breaks_it_is_made_whole_or_ends_in_an_error(record: Record) -> None:
    continued_or_restarted(record, 20)


@plays("S08/*/plain/*")
def test_s08_a_plain_reply_that_is_cut_is_asked_for_again(record: Record) -> None:
    rescued(record, 20)


@plays("S08/chat/stream/*/another answer", "S08/chat/stream/*/no fallback")
def test_s08_two_answers_are_never_mixed(record: Record) -> None:
    """The next target writes another text, or there is none: the beginning that the caller has cannot be made whole."""
    refused(record, 20)


@plays("S08/chat/stream/*/both break")
def test_s08_a_second_target_that_breaks_too_leaves_no_lie(record: Record) -> None:
    heard = record.heard
    assert heard.kind in ("error", "whole"), str(record)
    assert heard.seconds < 20, str(record)
    assert len(record.attempts) <= 6, str(record)
    well_afterwards(record)


@plays("S08/chat/stream/*/own prefill")
def test_s08_a_callers_own_beginning_stays_the_beginning(record: Record) -> None:
    heard = record.heard
    assert heard.clean, str(record)
    assert heard.kind == "error" or "/default" not in record.name, str(record)
    assert heard.seconds < 20, str(record)
    well_afterwards(record)


@plays("tool/*")
def test_s08_half_a_tool_call_is_never_followed_by_another_answer(record: Record) -> None:
    refused(record, 20)


@plays("S09/*/stream/*")
def test_s09_a_stream_that_falls_silent_is_made_whole_or_ends_in_an_error(record: Record) -> None:
    continued_or_restarted(record, 45)


@plays("S09/*/plain/*")
def test_s09_a_plain_reply_that_stalls_moves_on(record: Record) -> None:
    """The provider closes after 30 s, so that is a broken connection, worth one more attempt at it."""
    rescued(record, 75)


# -- S10 and S11: endings


@plays("S10/*/stream*")
def test_s10_an_event_that_is_no_json_harms_no_more_than_its_own_stream(record: Record) -> None:
    heard = record.heard
    assert heard.clean, str(record)
    assert heard.seconds < 20, str(record)
    assert TRACE not in heard.raw, str(record)
    well_afterwards(record)


@plays("S10/chat/stream*")
def test_s10_an_event_too_many_costs_nobody_the_answer(record: Record) -> None:
    assert record.heard.kind == "whole", str(record)


@plays("S10/*/plain*")
def test_s10_a_plain_body_that_is_no_json_is_asked_for_again(record: Record) -> None:
    rescued(record, 20)


@plays("S11*")
def test_s11_a_stream_without_its_terminal_line_is_whole(record: Record) -> None:
    heard = rescued(record, 8)
    assert heard.usage or heard.surface == "cohere chat", str(record)
    assert len(record.at_primary) == 1, str(record)
    if heard.surface == "chat":
        assert heard.raw.endswith("data: [DONE]\n\n"), heard.raw[-200:]


# -- S12 and S13: errors that are the request's


@plays("S12/*/larger*")
def test_s12_a_prompt_that_is_too_long_goes_to_the_larger_model(record: Record) -> None:
    heard = rescued(record, 20)
    assert len(record.at_primary) == 1, str(record)
    assert [seen.model.split("-")[2] for seen in record.elsewhere] == ["larger", "after"], str(record)
    assert heard.model.endswith("larger") or not heard.model, str(record)


@plays("S12/*/none*")
def test_s12_without_a_larger_model_the_provider_has_the_last_word(record: Record) -> None:
    heard = refused(record, 20)
    assert heard.status == 400, str(record)
    assert (TOO_LONG if record.primary.startswith("claude") else CONTEXT) in heard.error, str(record)
    assert heard.code == "context_length_exceeded" or heard.surface not in ("chat", "responses") or "claude" in record.primary
    assert len(record.at_primary) == 1, str(record)
    assert [seen.model for seen in record.elsewhere] == ["fb-ok-after"], f"an ordinary fallback was asked: {record}"


@plays("S13/*")
def test_s13_a_policy_refusal_is_final(record: Record) -> None:
    heard = refused(record, 20)
    assert heard.status == 400, str(record)
    assert POLICY in heard.error, str(record)
    assert heard.code == "content_policy_violation" or heard.surface not in ("chat", "responses"), heard.code
    assert [seen.model for seen in record.attempts] == [record.primary, "fb-ok-after"], str(record)


# -- S14: a fallback that cannot go on


@plays("S14/*")
def test_s14_a_refused_prefill_is_not_the_callers_answer(record: Record) -> None:
    heard = record.heard
    assert heard.clean, str(record)
    assert heard.seconds < 20, str(record)
    assert "prefill" not in heard.raw, str(record)
    assert TRACE not in heard.raw, str(record)
    well_afterwards(record)


@plays("S14/*/restart*", "S14/chat/stream/continue")
def test_s14_a_restart_makes_the_stream_whole(record: Record) -> None:
    rescued(record, 20)


@plays("S14/*/default*")
def test_s14_by_default_the_cut_is_an_error(record: Record) -> None:
    refused(record, 20)


# -- S15 and S16: outages, and what they cost


@plays("S15/*")
def test_s15_nobody_notices_an_outage_of_a_minute(record: Record) -> None:
    assert len(record.calls) >= 20
    assert {heard.kind for heard in record.calls} == {"whole"}, str(record)
    assert max(heard.seconds for heard in record.calls) < 15, str(record)
    assert all(heard.fallback for heard, start in zip(record.calls, record.starts, strict=True) if start < 55)


@plays("S15/*")
def test_s15_the_primary_is_left_in_peace_and_taken_back(record: Record) -> None:
    requests, attempts = during_outage(record)
    assert attempts <= requests, f"{attempts} attempts for {requests} requests"
    assert attempts <= 10, f"{attempts} attempts at a target that is down"
    assert recovered_s(record) <= 30, str(record)


@plays("S16/*")
def test_s16_the_reply_says_who_answered(record: Record) -> None:
    heard = rescued(record, 20)
    assert heard.fallback
    assert heard.usage or heard.surface == "cohere chat", str(record)
    backup = record.elsewhere[0].model
    assert heard.headers["x-edgegate-model"] == backup
    assert heard.model == backup or heard.surface == "cohere chat", f"the reply calls itself {heard.model!r}: {record}"


@plays("S16/*")
def test_s16_only_the_answer_costs_anything(record: Record) -> None:
    request_id = record.heard.headers["x-request-id"]
    lines = [line for line in record.log if line["request_id"] == request_id]
    asked = [seen for seen in record.attempts if seen.model != "fb-ok-after"]
    assert len(lines) == len(asked), f"{len(lines)} lines for {len(asked)} attempts"
    assert sorted(line["event"] for line in lines) == ["attempt"] * (len(asked) - 1) + ["request"]
    for line in lines:
        if line["event"] == "attempt":
            assert line["cost_usd"] is None or float(line["cost_usd"]) == 0, line
            assert line["output_tokens"] == 0, line
        else:
            assert float(line["cost_usd"]) > 0, line
            assert line["output_tokens"] == 60, line
    assert tokens_counted(record) - {"fb-ok-after"} == {asked[-1].model}, "tokens of more than the answer in /metrics"


# -- waits, and callers who leave


@plays("patience/chat/stream")
def test_a_wait_that_is_too_long_moves_on_at_once(record: Record) -> None:
    heard = rescued(record, 5)
    assert heard.fallback
    assert len(record.at_primary) == 1, str(record)


@plays("patience/chat/stream/no fallback")
def test_a_wait_that_is_too_long_is_passed_on(record: Record) -> None:
    heard = refused(record, 5)
    assert heard.status == 429
    assert heard.headers["retry-after"] in ("599", "600", "601")
    assert len(record.at_primary) == 1, str(record)


@plays("leaves/*")
def test_a_caller_who_leaves_ends_all_work_within_a_second(record: Record) -> None:
    assert record.left_at is not None
    last = record.attempts[-2] if record.attempts[-1].model == "fb-ok-after" else record.attempts[-1]
    assert last.at < record.left_at, f"an attempt for nobody: {record}"
    assert record.name == "leaves/wait" or last.gone_after is not None, f"left running: {record}"
    assert last.gone_after is None or last.gone_after < record.left_at + 1, str(record)
    well_afterwards(record)


# -- many callers


@plays("crowd")
def test_fifty_callers_of_a_silent_target_are_all_answered_in_one_time_limit(record: Record) -> None:
    first = record.calls[:50]
    assert {heard.kind for heard in first} == {"whole"}, str(record)
    assert {heard.model for heard in first} == {BACKUP}
    assert max(heard.seconds for heard in first) < 15, str(record)
    second = [seen for seen in record.at_primary if seen.at > max(record.starts[:50]) + 5]
    assert len(record.at_primary) - len(second) <= 50


@plays("crowd")
def test_fifty_more_do_not_wait_for_what_is_known_to_be_silent(record: Record) -> None:
    more = record.calls[50:]
    began = min(record.starts[50:])
    again = [seen for seen in record.at_primary if seen.at >= began]
    assert {heard.kind for heard in more} == {"whole"}, str(record)
    assert len(again) <= 2, f"{len(again)} attempts at a target whose breaker is open"
    assert max(heard.seconds for heard in more) < 3, str(record)


# -- errors hidden in a 200


@plays("h*")
def test_an_error_hidden_in_a_200_is_a_failure_and_the_caller_sees_nothing_of_it(record: Record) -> None:
    heard = rescued(record, 20)
    assert heard.fallback, str(record)
    assert record.primary not in heard.raw, f"a trace of the primary: {record}"
    assert heard.headers["x-edgegate-model"] == record.elsewhere[0].model


@pytest.mark.parametrize("play", ["the loop"])
def test_the_event_loop_has_nothing_to_complain_of(record: Record) -> None:
    assert not record.failure
