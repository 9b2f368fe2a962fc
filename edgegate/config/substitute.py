"""Values from outside in a configuration's scalars: `${X}`, `${env:X}`, `${X:-default}`, `${X:?message}`, `${file:/path}`.

`$$` is a dollar sign; a `$` before anything but `{` or `$` stays as it is. The whole value `os.environ/X`, as LiteLLM writes
it, is `${X}`. `:-` and `:?` count an empty variable as unset. What is put in is never looked at again: a value cannot bring
in another variable, a file, or YAML structure. Nothing is executed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

MAX_FILE_BYTES = 64 * 1024
"""Limit of `${file:...}`: certificates and keys are a few KB; a device or a log is a mistake."""

_TOKEN = re.compile(r"\$\$|\$\{([^}]*)\}|\$\{", re.DOTALL)
_VARIABLE = re.compile(r"(?:env:)?([A-Za-z_][A-Za-z0-9_]*)(?:(:-|:\?)(.*))?", re.DOTALL)
_LITELLM = re.compile(r"os\.environ/([A-Za-z_][A-Za-z0-9_]*)")


class Unresolved(ValueError):
    """A substitution that has no value. The message names the variable or file, never a value."""


def substitute(text: str, env: Mapping[str, str], read: Callable[[str], str]) -> str:
    """`text` with its substitutions made. `read` gives a file's text and raises `OSError` or `UnicodeDecodeError`."""
    if (whole := _LITELLM.fullmatch(text)) is not None:
        return _variable(whole[1], "", "", env)
    if "$" not in text:
        return text

    def one(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        inside = match[1]
        if inside is None:
            raise Unresolved("a `${` without its `}`; write `$$` for a dollar sign")
        if inside.startswith("file:"):
            return _file(inside[5:], read)
        variable = _VARIABLE.fullmatch(inside)
        if variable is None:
            raise Unresolved("a substitution of the form ${X}, ${env:X}, ${X:-default}, ${X:?message} or ${file:/path}")
        name, mark, rest = variable.groups()
        if "${" in (rest or ""):
            raise Unresolved("a default that is plain text; substitutions do not nest")
        return _variable(name, mark or "", rest or "", env)

    return _TOKEN.sub(one, text)


def read_file(path: str) -> str:
    """The reader used outside of tests: regular files (or pipes) of at most `MAX_FILE_BYTES`."""
    with Path(path).open("rb") as file:
        data = file.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise OSError(f"more than {MAX_FILE_BYTES // 1024} KiB")
    return data.decode()


def _variable(name: str, mark: str, rest: str, env: Mapping[str, str]) -> str:
    value = env.get(name)
    if value is None or (mark and not value):
        if mark == ":-":
            return rest
        if mark == ":?":
            raise Unresolved(f"the environment variable {name} to be set: {rest or 'it is required'}")
        raise Unresolved(f"the environment variable {name} to be set (or write ${{{name}:-default}})")
    return value


def _file(path: str, read: Callable[[str], str]) -> str:
    try:
        text = read(path)
    except UnicodeDecodeError:
        raise Unresolved(f"the file {path} to hold UTF-8 text") from None
    except (OSError, ValueError) as error:
        raise Unresolved(f"the file {path} to be readable ({_reason(error)})") from None
    return text[:-2] if text.endswith("\r\n") else text.removesuffix("\n")


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
