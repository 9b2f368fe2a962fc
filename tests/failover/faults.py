"""What the wall can do wrong, by name: `FAULTS["s08"]` is the fault of scenario 8, the `h...` ones are errors hidden in a 200.

Everything a broken answer says holds `TRACE`, which no caller that was rescued may ever see.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from tests.failover.shapes import CANONICAL, OTHER, TOKENS, dumps
from tests.failover.wall import Answer, Fault

PAUSE_S = 0.015
TRACE = "the-primary-was-here"
OUTAGE_S = 60.0
SILENT_S = 120.0
STALL_S = 30.0
SLOW_S = 20.0

CONTEXT = "This model's maximum context length is 128000 tokens. However, your messages resulted in 131072 tokens."
TOO_LONG = "prompt is too long: 210000 tokens > 200000 maximum"
POLICY = "Your request was rejected as a result of our safety system."


# -- healthy answers


async def words(answer: Answer, tokens: list[str]) -> None:
    for token in tokens:
        await answer.wait(PAUSE_S)
        answer.event(answer.shape.token(answer.model, token))


async def ending(answer: Answer, count: int, done: bool = True) -> None:
    await answer.wait(PAUSE_S)
    answer.event(answer.shape.finish(answer.model))
    if answer.attempt.usage_asked or answer.attempt.path == "/v1/messages":
        answer.event(answer.shape.usage(answer.model, count))
    if done:
        answer.event(answer.shape.done())


def left(answer: Answer) -> list[str]:
    """The tokens that the request has not: all of them, or what follows its assistant message."""
    prefill = answer.attempt.prefill
    if prefill and CANONICAL.startswith(prefill):
        have = next((count for count in range(len(TOKENS) + 1) if len("".join(TOKENS[:count])) >= len(prefill)), 0)
        rest = "".join(TOKENS[:have])[len(prefill) :]
        return ([rest] if rest else []) + TOKENS[have:]
    return TOKENS


async def healthy(answer: Answer, tokens: list[str] | None = None) -> None:
    tokens = left(answer) if tokens is None else tokens
    if answer.attempt.path == "/v1/messages" and answer.attempt.prefill != answer.attempt.prefill.rstrip():
        answer.whole(400, answer.shape.error(400, "", "messages: final assistant content cannot end with trailing whitespace"))
        return
    if not answer.attempt.stream:
        await answer.wait(0.05)
        answer.whole(200, answer.shape.plain(answer.model, "".join(tokens), len(tokens)))
        return
    answer.head()
    answer.event(answer.shape.begin(answer.model))
    await words(answer, tokens)
    await ending(answer, len(tokens))
    answer.end()
    answer.said("200")


async def no_prefill(answer: Answer) -> None:
    if answer.attempt.prefill:
        answer.whole(400, answer.shape.error(400, "invalid_prefill", f"This model does not support assistant prefill. {TRACE}"))
        return
    await healthy(answer)


async def another(answer: Answer) -> None:
    """A whole answer, but not the one that the caller has the beginning of."""
    await healthy(answer, [f"{word} " for word in OTHER.split(" ")[:-1]] + [OTHER.rpartition(" ")[2]])


# -- statuses


def status(number: int, code: str, *headers: str, message: str = "") -> Fault:
    async def fault(answer: Answer) -> None:
        answer.whole(number, answer.shape.error(number, code, message or f"Out of order. {TRACE}"), *headers)

    return fault


def at_first(fault: Fault, times: int = 1) -> Fault:
    """Only the first attempts at a model go wrong."""

    async def sometimes(answer: Answer) -> None:
        await (fault if answer.attempt.number <= times else healthy)(answer)

    return sometimes


async def reset(answer: Answer) -> None:
    answer.said("reset")
    answer.reset()


async def silent(answer: Answer) -> None:
    answer.said("silence")
    await answer.wait(SILENT_S)
    answer.close()


async def slow(answer: Answer) -> None:
    """The head at once, the first token late. A plain reply comes late as a whole."""
    answer.said("slow")
    if answer.attempt.stream:
        answer.head()
        answer.event(answer.shape.begin(answer.model))
    await answer.wait(SLOW_S)
    if answer.attempt.stream:
        await words(answer, TOKENS)
        await ending(answer, len(TOKENS))
        answer.end()
    else:
        await healthy(answer)


# -- streams and bodies that break


async def part(answer: Answer, tokens: int) -> None:
    """The beginning of an answer: some tokens of a stream, or 60 % of a body whose full length is announced."""
    if answer.attempt.stream:
        answer.head()
        answer.event(answer.shape.begin(answer.model))
        await words(answer, TOKENS[:tokens])
        return
    body = answer.shape.plain(answer.model, CANONICAL, len(TOKENS))
    answer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body))
    answer.write(body[: len(body) * 6 // 10])


async def cut(answer: Answer) -> None:
    await part(answer, 40)
    answer.said("cut")
    answer.close()


async def cut_by_reset(answer: Answer) -> None:
    await part(answer, 40)
    await answer.wait(0.1)  # what was written goes out first
    answer.said("cut")
    answer.reset()


async def cut_behind_a_blank(answer: Answer) -> None:
    """Like `cut`, but the tokens carry their blank behind them, so that the cut text ends with one."""
    if not answer.attempt.stream:
        return await cut(answer)
    answer.head()
    answer.event(answer.shape.begin(answer.model))
    await words(answer, [f"{word.strip()} " for word in TOKENS[:40]])
    answer.said("cut")
    return answer.close()


async def cut_in_a_word(answer: Answer) -> None:
    """Like `cut`, but in the middle of the word "Größe"."""
    at = CANONICAL.index("öße") + 1
    await part(answer, 0)
    if answer.attempt.stream:
        await words(answer, [CANONICAL[:at]])
    answer.said("cut")
    answer.close()


async def cut_own(answer: Answer) -> None:
    """Goes on from the caller's own beginning, and dies after 20 tokens."""
    answer.head()
    answer.event(answer.shape.begin(answer.model))
    await words(answer, left(answer)[:20])
    answer.said("cut")
    answer.close()


async def cut_in_a_call(answer: Answer) -> None:
    """Dies in the arguments of a tool call."""
    answer.head()
    start = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "look", "arguments": ""}}
    for call in (start, *({"index": 0, "function": {"arguments": part}} for part in ('{"at', '": "x', "y"))):
        choice = {"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": None}
        answer.event(
            b"data: " + dumps({"id": "c", "object": "chat.completion.chunk", "model": answer.model, "choices": [choice]}) + b"\n\n"
        )
        await answer.wait(PAUSE_S)
    answer.said("cut")
    answer.close()


async def error_in_the_middle(answer: Answer) -> None:
    """An error event after 40 tokens, and a proper end of the HTTP message."""
    if not answer.attempt.stream:
        return await cut(answer)
    await part(answer, 40)
    answer.event(answer.shape.error_event("server_error", f"Out of order. {TRACE}"))
    answer.end()
    return answer.said("error event")


async def end_in_the_middle(answer: Answer) -> None:
    """40 tokens and a proper end of the HTTP message, as if that were all."""
    if not answer.attempt.stream:
        return await cut(answer)
    await part(answer, 40)
    answer.end()
    return answer.said("end without finish")


async def done_in_the_middle(answer: Answer) -> None:
    """40 tokens and the terminal line, but no finish reason."""
    if not answer.attempt.stream:
        return await cut(answer)
    await part(answer, 40)
    answer.event(answer.shape.done())
    answer.end()
    return answer.said("[DONE] without finish")


async def stall(answer: Answer) -> None:
    if answer.attempt.stream:
        await part(answer, 20)
    else:
        answer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 900\r\n\r\n")
    answer.said("stall")
    await answer.wait(STALL_S)
    answer.close()


async def malformed(answer: Answer) -> None:
    """One event too many, the tenth, and it is no JSON; no text of the answer is in it. A plain body is no JSON either."""
    if not answer.attempt.stream:
        answer.whole(200, answer.shape.plain(answer.model, CANONICAL, len(TOKENS))[:-7] + TRACE.encode())
        return
    answer.head()
    answer.event(answer.shape.begin(answer.model))
    await words(answer, TOKENS[:8])
    answer.event(b'data: {"id":"' + TRACE.encode() + b'","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content": \n\n')
    await words(answer, TOKENS[8:])
    await ending(answer, len(TOKENS))
    answer.end()
    answer.said("200 malformed")


async def no_done(answer: Answer) -> None:
    await part(answer, 60)
    if answer.attempt.stream:
        await ending(answer, len(TOKENS), done=False)
        answer.end()
        answer.said("200 no [DONE]")


async def stays_open(answer: Answer) -> None:
    """All but the terminal line; the connection stays open."""
    await part(answer, 60)
    if answer.attempt.stream:
        await ending(answer, len(TOKENS), done=False)
        answer.said("200 left open")
        await answer.wait(STALL_S)
    answer.close()


# -- errors hidden in a 200


def hidden(events: Callable[[Answer], list[bytes]], body: Callable[[Answer], bytes]) -> Fault:
    """Events of a stream that ends properly, or a whole body; both with status 200."""

    async def fault(answer: Answer) -> None:
        if answer.attempt.stream:
            answer.head()
            for event in events(answer):
                answer.event(event)
            answer.end()
            answer.said("200 hidden")
        else:
            answer.whole(200, body(answer))

    return fault


def body_of(body: Callable[[Answer], bytes], content_type: str = "application/json") -> Fault:
    """The same whole body with status 200, whether a stream was asked for or not."""

    async def fault(answer: Answer) -> None:
        answer.whole(200, body(answer), content_type=content_type)

    return fault


def _error(answer: Answer) -> bytes:
    return answer.shape.error(500, "server_error", f"Out of order. {TRACE}")


def _event(answer: Answer) -> bytes:
    return answer.shape.error_event("server_error", f"Out of order. {TRACE}")


def _no_choices(answer: Answer) -> bytes:
    return dumps({"id": TRACE, "object": "chat.completion", "created": 1, "model": answer.model, "choices": []})


HTML = f"<!doctype html><html><body><h1>Welcome</h1>{TRACE}</body></html>".encode()

HIDDEN: dict[str, Fault] = {
    "hjson": body_of(_error),
    "hevent": hidden(lambda answer: [_event(answer)], _error),
    "hrole": hidden(lambda answer: [answer.shape.begin(answer.model), _event(answer)], _error),
    "hempty": hidden(lambda answer: [], lambda answer: b""),
    "hbody": body_of(lambda answer: b"", "text/event-stream"),
    "hchoices": hidden(lambda answer: [b"data: " + _no_choices(answer) + b"\n\n"], _no_choices),
    "hhtml": body_of(lambda answer: HTML, "text/html; charset=utf-8"),
    "hdone": hidden(lambda answer: [answer.shape.done()], lambda answer: b"null"),
    "hend": hidden(lambda answer: [answer.shape.begin(answer.model)], lambda answer: b"[]"),
    "hping": hidden(lambda answer: [b": ping\n\n"] * 5, lambda answer: b'"' + TRACE.encode() + b'"'),
}

context: Callable[[Answer], Awaitable[None]] = status(400, "context_length_exceeded", message=CONTEXT)
too_long: Callable[[Answer], Awaitable[None]] = status(400, "", message=TOO_LONG)


async def too_much_context(answer: Answer) -> None:
    await (too_long if answer.attempt.path == "/v1/messages" else context)(answer)


async def outage(answer: Answer) -> None:
    """503 for a minute from the first attempt on, then healthy."""
    wall = answer.line._wall
    began = next(attempt.at for attempt in wall.attempts if attempt.model == answer.model)
    fault = status(503, "overloaded") if answer.attempt.at < began + OUTAGE_S else healthy
    await fault(answer)


FAULTS: dict[str, Fault] = {
    "ok": healthy,
    "noprefill": no_prefill,
    "other": another,
    "s01": at_first(status(429, "rate_limit_exceeded", "retry-after: 2")),
    "s02": status(429, "rate_limit_exceeded"),
    "s03": at_first(status(500, "server_error")),
    "s04": status(503, "overloaded"),
    "s05": at_first(reset),
    "s06": silent,
    "s07": slow,
    "s08": cut,
    "s08own": cut_own,
    "s08tool": cut_in_a_call,
    "later": status(429, "rate_limit_exceeded", "retry-after: 600"),
    "s08reset": cut_by_reset,
    "s08blank": cut_behind_a_blank,
    "s08word": cut_in_a_word,
    "s08error": error_in_the_middle,
    "s08end": end_in_the_middle,
    "s08done": done_in_the_middle,
    "s09": stall,
    "s10": malformed,
    "s11": no_done,
    "s11open": stays_open,
    "s12": too_much_context,
    "s13": status(400, "content_policy_violation", message=POLICY),
    "s14": cut,
    "s15": outage,
    "s16": status(503, "overloaded"),
    **HIDDEN,
}
