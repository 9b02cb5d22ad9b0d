"""Takes profiles in and makes them durable, in a thread of its own.

A disk that is slow, full or gone stops nobody: profiles wait in memory until it takes them.
"""

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence

from profiler_node.bridge.errors import SpoolError
from profiler_node.bridge.spool import Backlog, Entry, Spool

_log = logging.getLogger(__name__)

_AT_ONCE, _BYTES_AT_ONCE = 100, 4_000_000  # profiles in one transaction
_MOST_BYTES = 64_000_000  # of profiles that wait in memory
_RETRY_S = 2.0  # between two tries of a disk that has failed
_LOOK_S = 2.0  # between two looks at the backlog


class Intake:
    """Puts entries into spool. on_urgent: called when something urgent is durable.

    most_bytes: of payloads that may wait in memory; beyond it the oldest that are not urgent are
    dropped, counted.
    """

    def __init__(
        self, spool: Spool, on_urgent: Callable[[], None], most_bytes: int = _MOST_BYTES
    ) -> None:
        self._spool = spool
        self._on_urgent = on_urgent
        self._most_bytes = most_bytes
        self._waiting: deque[Entry] = deque()
        self._putting: list[Entry] = []
        self._bytes = 0  # of both
        self._dropped: Counter[str] = Counter()
        self._changed = threading.Condition()
        self._stopping = False
        self._has_more_to_do = self._known = False
        self._thread = threading.Thread(target=self._run, name='intake', daemon=True)
        self.backlog = Backlog()
        self.error = ''
        self.taken = self.duplicates = 0
        self.degraded_s: float | None = None  # steady time when something was merged or lost

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many profiles are in memory alone."""
        return len(self._waiting) + len(self._putting)

    def take(self, entry: Entry) -> None:
        """Take an entry; never waits for the disk."""
        with self._changed:
            self._waiting.append(entry)
            self._bytes += len(entry.payload)
            while self._bytes > self._most_bytes and self._waiting:
                index = next((i for i, each in enumerate(self._waiting) if not each.urgent), 0)
                self._bytes -= len(self._waiting[index].payload)
                del self._waiting[index]
                self._dropped['memory'] += 1
            self._changed.notify()

    def _run(self) -> None:
        pause_s = 0.0
        while not self._stopping:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._stopping, pause_s)
            if self._work():
                pause_s = 0.0 if self._has_more_to_do else _LOOK_S
            elif not self._stopping:
                with self._changed:
                    self._changed.wait_for(lambda: self._stopping, _RETRY_S)
        self._work()

    def _work(self) -> bool:
        """Put what waits, and make room while nothing does; False where that fails."""
        try:
            while self._waiting:
                self._put_some()
            self._count_dropped()
            self._has_more_to_do = not self._stopping and self._spool.make_room()
            self._note(self._spool.backlog())
        except SpoolError as error:
            self._fail(str(error))
            return False
        except Exception as error:  # a fault of ours must not end this thread without a word
            _log.exception('profiles wait in memory')
            self._fail(repr(error))
            return False
        if self.error:
            _log.info('the disk takes profiles again')
            self.error = ''
        return True

    def _fail(self, text: str) -> None:
        if text != self.error:
            _log.error('profiles wait in memory: %s', text)
        self.error = text

    def _note(self, backlog: Backlog) -> None:
        before, self.backlog = self.backlog, backlog
        if self._known and (backlog.merged, backlog.dropped) != (before.merged, before.dropped):
            self.degraded_s = time.monotonic()
        self._known = True

    def _put_some(self) -> None:
        with self._changed:
            size = 0
            while self._waiting and len(self._putting) < _AT_ONCE and size < _BYTES_AT_ONCE:
                self._putting.append(self._waiting.popleft())
                size += len(self._putting[-1].payload)
        done = 0
        try:
            done = self._put(self._putting)
        finally:
            with self._changed:
                some, self._putting = self._putting, []
                self._waiting.extendleft(reversed(some[done:]))
                self._bytes -= sum(len(entry.payload) for entry in some[:done])
        if any(entry.urgent for entry in some):
            self._on_urgent()

    def _put(self, entries: Sequence[Entry]) -> int:
        """Put entries, and return how many need no other try. Raises SpoolError."""
        try:
            new = self._spool.put(entries)
        except SpoolError:
            raise
        except Exception:  # it is about what is in them
            if len(entries) > 1:
                return self._put(entries[:1])
            _log.exception('a profile of %r cannot be stored', entries[0].stream)
            self._dropped['unstorable'] += 1
            return 1
        self.taken += new
        self.duplicates += len(entries) - new
        return len(entries)

    def _count_dropped(self) -> None:
        for reason, number in list(self._dropped.items()):
            self._spool.count_dropped(reason, number)
            with self._changed:
                self._dropped[reason] -= number
                self._dropped += Counter()  # without those that are 0

    def stop(self, timeout_s: float) -> bool:
        """Put what waits, and end; False where the disk does not take it in time."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join(timeout_s)
        return not self._thread.is_alive() and not self.waiting
