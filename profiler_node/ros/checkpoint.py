"""What a profiler goes on with after it was killed, in a file.

The file is written every interval, and within a second after profiles were published, by a thread:
a disk may stall for seconds. Profiles are published first and in the file afterwards, so that one
that was in an open window of the file may be published again, and never be left out. Those of the
last seconds are kept in it whole, because nobody knows whether the bridge had them on its disk.
"""

import threading
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from rclpy.impl.rcutils_logger import RcutilsLogger

from profiler_node.core.profile import Profile
from profiler_node.files import lock, replace_file, sync
from profiler_node.wire.checkpoint import (
    Checkpoint,
    StreamState,
    pack_checkpoint,
    unpack_checkpoint,
)
from profiler_node.wire.codec import WireError, decode

LOOK_PERIOD_S = 1.0
"""Between two questions whether to write."""

_KEPT_S = 30.0  # a published profile
_MOST_KEPT, _MOST_KEPT_BYTES = 1_000, 16 * 2**20
_LAST_WRITE_S = 0.5


@dataclass(frozen=True)
class Pending:
    """A stream that nobody has gone on with. heard_ns: steady time of its last message."""

    state: StreamState
    heard_ns: int


class _Write(threading.Thread):
    """Writes a checkpoint once; error ('' for none), size [bytes], duration_s: how that went."""

    def __init__(self, path: Path, checkpoint: Checkpoint) -> None:
        super().__init__(daemon=True)
        self._path, self._checkpoint = path, checkpoint
        self.error = 'it was not finished'
        self.size, self.duration_s = 0, 0.0

    def run(self) -> None:
        started_s = time.monotonic()
        data = pack_checkpoint(self._checkpoint)
        try:
            replace_file(self._path, data)
            sync(self._path.parent)
            self.error = ''
        except OSError as error:
            self.error = str(error)
        self.size, self.duration_s = len(data), time.monotonic() - started_s


class Checkpoints:
    """The checkpoint of one profiler, alone in its use of the file at path.

    interval_s: 0 for no checkpoints.
    """

    def __init__(self, path: Path, interval_s: float, logger: RcutilsLogger) -> None:
        self._path, self._interval_s, self._logger = path, interval_s, logger
        self._lock: IO[str] | None = None
        self._pending: dict[str, Pending] = {}
        self._recent: deque[tuple[float, bytes]] = deque(maxlen=_MOST_KEPT)
        self._write: _Write | None = None
        self._begun_s = time.monotonic()  # the last write
        self._handled = 0  # messages at that time
        self._published = False  # something since then
        self._problem = ''
        self.errors = 0
        self.written_s: float | None = None  # steady time of the newest checkpoint on the disk
        self.size, self.duration_s = 0, 0.0  # of that

    @property
    def problem(self) -> str:
        """Why there is no new checkpoint, '' if all is well."""
        return self._problem

    def take_over(self) -> list[Profile]:
        """Become the owner of the file, unless that has been done, and read it.

        Return what the killed process published last, to be published again. To be called again
        while another process has the file.
        """
        if self._lock is not None or not self._interval_s:
            return []
        try:
            self._lock = lock(self._path.with_name(f'{self._path.name}.lock'))
        except OSError as error:
            self._fail(str(error))
            return []
        if self._lock is None:
            self._complain(f'{self._path} is of another profiler of this name; this one has none')
            return []
        self._recover()
        return self._read()

    def _read(self) -> list[Profile]:
        try:
            checkpoint = unpack_checkpoint(self._path.read_bytes())
            recent = [decode(payload) for payload in checkpoint.recent]
        except FileNotFoundError:
            return []
        except OSError as error:
            self._fail(f'{self._path} cannot be read: {error}')
            return []
        except WireError as error:
            self._set_aside(error)
            return []
        now_ns, wall_ns = time.monotonic_ns(), time.time_ns()
        for state in checkpoint.streams:
            # A clock that was set back says nothing about how long it has been.
            silent_ns = max(wall_ns - state.heard_ns, 0)
            self._pending[state.name] = Pending(state, now_ns - silent_ns)
        windows = sum(len(state.snapshot.open) for state in checkpoint.streams)
        self._logger.info(
            f'going on after an interruption: {windows} open window(s), {len(recent)} profile(s) '
            'published once more'
        )
        return recent

    def _set_aside(self, error: WireError) -> None:
        aside = self._path.with_name(f'{self._path.name}.corrupt-{time.time_ns()}')
        self._logger.error(f'{self._path}: {error}; kept as {aside}, open windows are lost')
        try:
            self._path.rename(aside)
        except OSError as renaming:
            self._fail(str(renaming))

    def take(self, name: str) -> Pending | None:
        """Return where the stream of this name was, once."""
        return self._pending.pop(name, None)

    def left_over(self, lateness_ns: int | None = None) -> list[Profile]:
        """Return, once, the windows that are over and that nobody went on with; None: all."""
        now_ns = time.monotonic_ns()
        profiles = []
        for name, pending in self._pending.items():
            snapshot, silent_ns = pending.state.snapshot, now_ns - pending.heard_ns
            if lateness_ns is None or snapshot.is_over(silent_ns, lateness_ns):
                profiles += snapshot.interrupted()
                closed = replace(pending.state, snapshot=snapshot.closed())
                self._pending[name] = replace(pending, state=closed)
        return profiles

    def published(self, payload: bytes) -> None:
        """Remember what has been published."""
        if self._interval_s:
            self._recent.append((time.monotonic(), payload))
            self._published = True

    def is_due(self, handled: int) -> bool:
        """Whether to write; to be asked every second. handled: messages so far."""
        self._finish_write()
        if self._lock is None or self._write is not None:
            return False
        at_next_look_s = time.monotonic() + LOOK_PERIOD_S
        overdue = at_next_look_s > self._begun_s + self._interval_s
        return self._published or (overdue and handled != self._handled)

    def write(self, states: Iterable[StreamState], handled: int) -> None:
        """Begin to write the streams, after is_due has said so."""
        self._begun_s, self._handled, self._published = time.monotonic(), handled, False
        pending = [pending.state for pending in self._pending.values()]
        self._start_write(Checkpoint((*states, *pending), self._kept()))

    def _start_write(self, checkpoint: Checkpoint) -> None:
        self._write = _Write(self._path, checkpoint)
        self._write.start()

    def _kept(self) -> tuple[bytes, ...]:
        """Return the payloads published last, and forget the others."""
        oldest_s = time.monotonic() - _KEPT_S
        size = sum(len(payload) for _, payload in self._recent)
        while self._recent and (self._recent[0][0] < oldest_s or size > _MOST_KEPT_BYTES):
            size -= len(self._recent.popleft()[1])
        return tuple(payload for _, payload in self._recent)

    def _finish_write(self) -> None:
        if self._write is None or self._write.is_alive():
            return
        write, self._write = self._write, None
        if not write.error:
            self.size, self.duration_s = write.size, write.duration_s
            self.written_s = time.monotonic()
            self._recover()
        else:
            self._handled = -1  # again after the interval, whatever comes
            self._fail(f'{self._path} cannot be written: {write.error}')

    def _fail(self, text: str) -> None:
        self.errors += 1
        self._complain(f'{text}; a kill would lose the open windows')

    def _complain(self, text: str) -> None:
        if text != self._problem:
            self._problem = text
            self._logger.error(f'checkpoint: {text}')

    def _recover(self) -> None:
        if self._problem:
            self._problem = ''
            self._logger.info(f'checkpoint: {self._path} is written again')

    def finish(self) -> None:
        """Begin to write that no window is open: all have been published."""
        if self._lock is None:
            return
        if self._write is not None:
            self._write.join(_LAST_WRITE_S)
            if self._write.is_alive():  # the disk stalls
                return
        self._start_write(Checkpoint(recent=self._kept()))

    def close(self, *, arrived: bool) -> None:
        """End: without the file if all that was published has arrived."""
        if self._lock is None or self._write is None:
            return
        self._write.join(_LAST_WRITE_S)
        self._finish_write()
        if arrived and self._write is None:
            try:
                self._path.unlink(missing_ok=True)
                sync(self._path.parent)
            except OSError as error:
                self._fail(str(error))
