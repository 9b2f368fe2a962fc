"""A lock that lives exactly as long as its process: how others on this machine see at once that it was killed.

Each holder locks a file of its own name in a directory beside the database. The kernel lets go of the lock when the process ends,
however it ends. A file is made and locked before its holder is announced, and removed after it has signed off.
"""

from __future__ import annotations

import contextlib
import fcntl
import os


class HolderLock:
    """A holder's own lock, from here to `release`. Raises OSError."""

    def __init__(self, directory: str, holder: str) -> None:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        self._path = _path(directory, holder)
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._file)
            raise

    def release(self) -> None:
        """Removes the file, too."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)
        os.close(self._file)


def lives(directory: str, holder: str) -> bool:
    """Whether this holder's process runs. Asking disturbs nobody: askers share their lock."""
    try:
        file = os.open(_path(directory, holder), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False


def forget(directory: str, holder: str) -> None:
    """Removes what a holder that is gone has left."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(_path(directory, holder))


def _path(directory: str, holder: str) -> str:
    if not holder.isalnum():
        raise ValueError("a holder's name has letters and digits only")
    return os.path.join(directory, holder)
