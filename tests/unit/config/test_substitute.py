from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgegate.config.substitute import MAX_FILE_BYTES, Unresolved, read_file, substitute

ENV = {"X": "value", "EMPTY": "", "TRICKY": "${X} $$ os.environ/X ${file:/etc/passwd}", "a_b9": "lower"}
FILES = {"/run/secrets/x": "from file\n", "/two": "a\n\n", "/dos": "a\r\n", "/bare": "a"}


def read(path: str) -> str:
    if path not in FILES:
        raise FileNotFoundError(2, "No such file or directory")
    return FILES[path]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("${X}", "value"),
        ("${env:X}", "value"),
        ("a ${X} b ${X}", "a value b value"),
        ("${NOPE:-fallback}", "fallback"),
        ("${EMPTY:-fallback}", "fallback"),
        ("${X:-fallback}", "value"),
        ("${NOPE:-}", ""),
        ("${NOPE:-http://h:1/p?q=$1}", "http://h:1/p?q=$1"),
        ("${env:NOPE:-d}", "d"),
        ("${X:?needed}", "value"),
        ("${EMPTY}", ""),
        ("${a_b9}", "lower"),
        ("${file:/run/secrets/x}", "from file"),
        ("${file:/two}", "a\n"),
        ("${file:/dos}", "a"),
        ("${file:/bare}", "a"),
        ("$$", "$"),
        ("$${X}", "${X}"),
        ("$$$${X}", "$${X}"),
        ("$$${X}", "$value"),
        ("cost: $5", "cost: $5"),
        ("$X", "$X"),
        ("ends in $", "ends in $"),
        ("os.environ/X", "value"),
        ("see os.environ/X", "see os.environ/X"),
        ("${TRICKY}", "${X} $$ os.environ/X ${file:/etc/passwd}"),
    ],
)
def test_a_text_becomes(text: str, expected: str) -> None:
    assert substitute(text, ENV, read) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${NOPE}", r"variable NOPE to be set \(or write \$\{NOPE:-default\}\)"),
        ("os.environ/NOPE", "variable NOPE to be set"),
        ("${NOPE:?ask the admin}", "variable NOPE to be set: ask the admin"),
        ("${EMPTY:?ask}", "variable EMPTY to be set: ask"),
        ("${NOPE:?}", "variable NOPE to be set: it is required"),
        ("${X", "a `\\$\\{` without its `\\}`"),
        ("${}", "of the form"),
        ("${ X }", "of the form"),
        ("${X-d}", "of the form"),
        ("${1X}", "of the form"),
        ("${exec:rm}", "of the form"),
        ("${http://x}", "of the form"),
        ("${A:-${B}}", "do not nest"),
        ("${file:/nope}", r"the file /nope to be readable \(No such file or directory\)"),
    ],
)
def test_what_has_no_value_is_an_error_that_says_what_is_needed(text: str, message: str) -> None:
    with pytest.raises(Unresolved, match=message):
        substitute(text, ENV, read)


@given(st.text())
def test_a_text_with_every_dollar_doubled_comes_out_as_it_was(text: str) -> None:
    if not text.startswith("os.environ/"):
        assert substitute(text.replace("$", "$$"), {}, read) == text


@given(
    st.text(st.characters(exclude_characters="\0", codec="utf-8")),
    st.text(st.characters(exclude_characters="$")),
    st.text(st.characters(exclude_characters="$")),
)
def test_a_value_is_put_in_literally_whatever_it_holds(value: str, before: str, after: str) -> None:
    assert substitute(f"{before}${{V}}{after}", {"V": value}, read) == before + value + after


@given(st.text(alphabet="${}:-?envfilX/ \n", max_size=30))
def test_any_text_gives_a_value_or_unresolved_and_nothing_else(text: str) -> None:
    with contextlib.suppress(Unresolved):
        assert isinstance(substitute(text, ENV, read), str)


def test_a_file_that_is_too_large_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "large"
    file.write_bytes(b"x" * (MAX_FILE_BYTES + 1))
    with pytest.raises(Unresolved, match="more than 64 KiB"):
        substitute(f"${{file:{file}}}", {}, read_file)


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "binary"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(Unresolved, match="UTF-8"):
        substitute(f"${{file:{file}}}", {}, read_file)


def test_a_path_with_a_nul_is_refused_like_any_other(tmp_path: Path) -> None:
    with pytest.raises(Unresolved, match="to be readable"):
        substitute("${file:/a\0b}", {}, read_file)
