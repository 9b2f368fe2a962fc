"""The files that AWS's tools share: `~/.aws/credentials` and `~/.aws/config`."""

from __future__ import annotations

import configparser
import os
from collections.abc import Mapping

from edgegate.errors import GatewayError, Source

_NO_DEFAULTS = "\0"  # configparser's own section of defaults, which these files do not have


class Profiles:
    """One profile, out of both files: the configuration's, `AWS_PROFILE`, or `default`."""

    def __init__(self, environ: Mapping[str, str], profile: str) -> None:
        home = environ.get("HOME") or os.path.expanduser("~")
        self.explicit = bool(profile)
        self.name = profile or environ.get("AWS_PROFILE") or environ.get("AWS_DEFAULT_PROFILE") or "default"
        self._credentials = _path(environ.get("AWS_SHARED_CREDENTIALS_FILE"), home, "credentials")
        self._config = _path(environ.get("AWS_CONFIG_FILE"), home, "config")
        self._state = self._look()

    def settings(self) -> dict[str, str]:
        """What both files say; the credentials file wins. Empty if neither has the profile. Raises `GatewayError` for a file
        that cannot be read, without quoting it."""
        self._state = self._look()
        found: dict[str, str] = {}
        named = "default" if self.name == "default" else f"profile {self.name}"
        for path, sections in ((self._config, (named, f"profile {self.name}")), (self._credentials, (self.name,))):
            parser = configparser.RawConfigParser(
                default_section=_NO_DEFAULTS, strict=False, delimiters=("=",), comment_prefixes=("#", ";")
            )
            try:
                with open(path, encoding="utf-8") as file:
                    parser.read_file(file)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except (OSError, UnicodeDecodeError, configparser.Error) as error:
                message = f"the AWS file {path} cannot be read: {type(error).__name__}"
                raise GatewayError(500, "credentials_unavailable", message, source=Source.GATEWAY) from None
            for section in sections:
                if parser.has_section(section):
                    found.update({name: value.strip() for name, value in parser.items(section) if isinstance(value, str)})
                    break
        return found

    def changed(self) -> bool:
        """Whether a file has changed since `settings` was last read."""
        return self._look() != self._state

    def _look(self) -> tuple[tuple[int, int], ...]:
        states = []
        for path in (self._credentials, self._config):
            try:
                found = os.stat(path)
                states.append((found.st_mtime_ns, found.st_size))
            except OSError:
                states.append((0, -1))
        return tuple(states)


def _path(given: str | None, home: str, name: str) -> str:
    """A `~` is the home that the environment names."""
    if not given:
        return os.path.join(home, ".aws", name)
    return os.path.join(home, given[2:]) if given.startswith("~/") else given
