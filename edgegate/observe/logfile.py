"""The file that logs go to, written by a thread of its own: a full pipe, a slow disk or a stopped terminal never holds up the
event loop. What cannot be written waits, up to a limit; beyond it lines are dropped, counted, and the count is logged once
writing goes on again.
"""

from __future__ import annotations

import io
import os
import queue
import sys
import threading
from typing import IO

import orjson

from edgegate.config.model import LogOptions

MAX_WAITING_BYTES = 16 * 1024 * 1024
CLOSE_S = 1.0
"""How long the end of the process waits for the last lines to be taken."""


class LogFile(io.BufferedIOBase):
    """A binary file whose `write` never waits. `dropped` counts lines since the last one that could be written."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._queue: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._waiting = 0
        self.dropped = 0
        self._thread = threading.Thread(target=self._run, name="edgegate-log", daemon=True)
        self._thread.start()

    def writable(self) -> bool:
        return True

    def write(self, data: bytes, /) -> int:  # type: ignore[override]  # callers give bytes only
        size = len(data)
        with self._lock:
            if self._waiting + size > MAX_WAITING_BYTES:
                self.dropped += data.count(b"\n") or 1
                return size
            self._waiting += size
        self._queue.put(data)
        return size

    def flush(self) -> None:
        """Nothing: the thread writes as soon as it can."""

    def close(self) -> None:
        """Waits up to `CLOSE_S` for what was written before."""
        if not self.closed:
            self._queue.put(None)
            self._thread.join(CLOSE_S)
            super().close()

    def _run(self) -> None:
        while (data := self._queue.get()) is not None:
            try:
                self._write_all(data)
            except (OSError, ValueError):  # a closed pipe, a full disk
                with self._lock:
                    self.dropped += data.count(b"\n") or 1
            with self._lock:
                self._waiting -= len(data)
                lost, self.dropped = (self.dropped, 0) if self._waiting == 0 else (0, self.dropped)
            if lost:
                self._report(lost)

    def _write_all(self, data: bytes) -> None:
        """A raw file may take a part only."""
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) or 0 :]
        self._file.flush()

    def _report(self, lost: int) -> None:
        try:
            self._write_all(orjson.dumps({"event": "log_lines_dropped", "count": lost}) + b"\n")
        except (OSError, ValueError):
            with self._lock:
                self.dropped += lost


def open_log(options: LogOptions) -> LogFile:
    """The file of the configuration; standard output by default, as a duplicate of its descriptor, so that closing it is
    harmless."""
    if options.file:
        return LogFile(open(options.file, "ab"))
    return LogFile(os.fdopen(os.dup(sys.stdout.fileno()), "wb"))
