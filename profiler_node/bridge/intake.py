"""Takes profiles in and makes them durable, in a thread of its own.

A disk that is slow, full or gone stops nobody: profiles wait in memory until it takes them.
"""

import logging
import threading
from collections import Counter, deque
from collections.abc import Callable

from profiler_node.bridge.errors import SpoolError
from profiler_node.bridge.spool import Backlog, Entry, Spool

_log = logging.getLogger(__name__)

_AT_ONCE = 100  # profiles in one transaction
_MOST_BYTES = 64_000_000  # of profiles that wait in memory
_RETRY_S = 2.0  # between two tries of a disk that has failed
_LOOK_S = 2.0  # between two looks at the backlog


class Intake:
    """Puts entries into spool. on_urgent: called when something urgent is durable.

    most_bytes: of payloads that may wait in memory; beyond it the oldest are dropped, counted.
    """

    def __init__(
        self, spool: Spool, on_urgent: Callable[[], None], most_bytes: int = _MOST_BYTES
    ) -> None:
        self._spool = spool
        self._on_urgent = on_urgent
        self._most_bytes = most_bytes
        self._waiting: deque[Entry] = deque()
        self._bytes = 0
        self._dropped: Counter[str] = Counter()
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name='intake', daemon=True)
        self.backlog = Backlog()
        self.error = ''
        self.taken = self.duplicates = 0

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many profiles are in memory alone."""
        return len(self._waiting)

    def take(self, entry: Entry) -> None:
        """Take an entry; never waits for the disk."""
        with self._changed:
            self._waiting.append(entry)
            self._bytes += len(entry.payload)
            while self._bytes > self._most_bytes:
                self._bytes -= len(self._waiting.popleft().payload)
                self._dropped['memory'] += 1
            self._changed.notify()

    def _run(self) -> None:
        while not self._stopping:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._stopping, _LOOK_S)
            if not self._put_all() and not self._stopping:
                with self._changed:
                    self._changed.wait_for(lambda: self._stopping, _RETRY_S)
        self._put_all()

    def _put_all(self) -> bool:
        """Put what waits; False where the disk does not take it."""
        try:
            while self._waiting:
                self._put_some()
            self._count_dropped()
            self.backlog = self._spool.backlog()
        except SpoolError as error:
            if str(error) != self.error:
                _log.error('profiles wait in memory: %s', error)
            self.error = str(error)
            return False
        if self.error:
            _log.info('the disk takes profiles again')
            self.error = ''
        return True

    def _put_some(self) -> None:
        with self._changed:
            some = [self._waiting[i] for i in range(min(_AT_ONCE, len(self._waiting)))]
        new = self._spool.put(some)
        with self._changed:
            for entry in some:
                # Those that were dropped meanwhile are durable nevertheless.
                if self._waiting and self._waiting[0] is entry:
                    self._bytes -= len(self._waiting.popleft().payload)
        self.taken += new
        self.duplicates += len(some) - new
        if any(entry.urgent for entry in some):
            self._on_urgent()

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
        return not self._thread.is_alive() and not self._waiting
