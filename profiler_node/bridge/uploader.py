"""Empties the spool into the store, in a thread of its own."""

import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

from profiler_node.bridge.budget import NUMBERS, ByteBudget
from profiler_node.bridge.config import BridgeConfig
from profiler_node.bridge.errors import (
    BridgeError,
    ConfigurationError,
    RefusedError,
    TransportError,
    UnreachableError,
)
from profiler_node.bridge.outgoing import Batch
from profiler_node.bridge.spool import Spool
from profiler_node.bridge.transport import Send

_log = logging.getLogger(__name__)

_LONGEST_LOOK_S = 60.0  # between two looks whether the budget allows it: clocks are set
_SMALLEST_BATCH = 1_000  # bytes
_ANSWERS = (ConfigurationError, RefusedError)  # there is a link
_MOST_REFUSALS = 3  # of a batch, before it is set aside

Connect = Callable[[], Send]
"""Returns what sends objects. Raises TransportError where the store cannot be opened."""


@dataclass(frozen=True)
class Upload:
    """How uploading is doing.

    failures: in a row. Steady times [s]. left_today: bytes of the budget, None for no limit.
    """

    sent_profiles: int = 0
    sent_objects: int = 0
    sent_bytes: int = 0
    failures: int = 0
    error: str = ''
    error_is_lasting: bool = False
    succeeded_s: float | None = None
    next_try_s: float | None = None
    left_today: int | None = None
    waits_for_budget: bool = False


def backoff_s(failures: int, config: BridgeConfig) -> float:
    """Return how long to wait [s] after this many failures in a row, at random (jitter)."""
    if not failures:
        return config.upload_interval_s
    longest = max(config.upload_interval_s, config.max_backoff_s)
    wait_s = min(longest, config.upload_interval_s * 2.0 ** min(failures, 32))
    return wait_s * random.uniform(0.5, 1.0)  # noqa: S311 (spreads load, keeps no secret)


class Uploader:
    """Sends what is in spool, with growing waits after failures and no giving up.

    After a link has come back the newest profiles go first for a while, then the oldest; urgent
    ones always go first.
    """

    def __init__(self, spool: Spool, connect: Connect, config: BridgeConfig) -> None:
        self._spool = spool
        self._connect = connect
        self._config = config
        self._send: Send | None = None
        self._budget: ByteBudget | None = None
        self._batch_bytes = config.batch_bytes
        self._up_since_s: float | None = None
        self._stored: set[str] = set()  # batches that a full disk does not let us forget
        self._suspects: set[str] = set()  # batches that were refused since the last success
        self._refusals: Counter[str] = Counter()  # of batches while others went through
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._flush = threading.Event()
        self._reconnect = threading.Event()
        self._thread = threading.Thread(target=self._run, name='uploader', daemon=True)
        # Each of these is written by one thread alone.
        self.upload = Upload()
        self.metered, self.online = config.metered, True

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def set_metered(self, metered: bool) -> None:
        """Say whether the link is metered: then only what is urgent is sent."""
        self.metered = metered
        self._wake.set()

    def set_online(self, online: bool) -> None:
        """Say whether there is a link: without one nothing is tried, with one it is tried now."""
        if online and not self.online:
            self._reconnect.set()
        self.online = online
        self._wake.set()

    def hurry(self) -> None:
        """Look now, unless the last try has failed: something urgent has come in."""
        if not self.upload.failures:
            self._wake.set()

    def flush(self) -> None:
        """Try now to send all there is, metered or not."""
        self._reconnect.set()
        self._flush.set()
        self._wake.set()

    def _run(self) -> None:
        pause_s = 0.0
        while not self._stop.is_set():
            self.upload = replace(self.upload, next_try_s=time.monotonic() + pause_s)
            self._wake.wait(pause_s)
            self._wake.clear()
            if not self._stop.is_set():
                pause_s = self.turn()
        self.turn()  # what came in since the last look

    def turn(self) -> float:
        """Send what may be sent now; return how long to wait before the next turn [s]."""
        flushing = self._flush.is_set()
        self._flush.clear()
        if self._reconnect.is_set():  # the link is another: what was learnt of it is forgotten
            self._reconnect.clear()
            self._send = self._up_since_s = None
        try:
            while (pause_s := self._send_next(flushing=flushing)) is None:
                pass
        except ConfigurationError as error:
            return self._failed(error, lasting=True)
        except BridgeError as error:
            return self._failed(error)
        except Exception as error:  # a fault of ours must not end all uploads without a word
            _log.exception('upload failed unexpectedly, kept for later')
            return self._failed(error)
        return pause_s

    def _failed(self, error: Exception, *, lasting: bool = False) -> float:
        """Note a failure; return how long to wait [s]."""
        if str(error) != self.upload.error:  # or an outage fills the log
            _log.warning('upload failed, kept for later: %s', error)
        failures = self.upload.failures + 1
        self.upload = replace(
            self.upload, failures=failures, error=str(error), error_is_lasting=lasting
        )
        if isinstance(error, TransportError) and not isinstance(error, _ANSWERS):
            self._up_since_s = None
        return backoff_s(32 if lasting else failures, self._config)

    def _send_next(self, *, flushing: bool) -> float | None:
        """Send one batch; return None, or how long to wait [s] where there is none to be sent."""
        if not self.online and not flushing:
            return _LONGEST_LOOK_S
        if self._send is None:
            self._send = self._connect()
        batch = self._spool.next_batch(
            self._batch_bytes,
            newest_first=self._is_fresh(),
            urgent_only=self.metered and not flushing,
        )
        wait_s = self._charge(batch)
        self.upload = replace(self.upload, waits_for_budget=wait_s > 0)
        if batch is None:
            return self._config.upload_interval_s
        if wait_s:
            return min(wait_s, _LONGEST_LOOK_S)
        if batch.key not in self._stored:
            self._try(self._send, batch)
            self._stored.add(batch.key)
        self._spool.confirm(batch)
        self._stored.discard(batch.key)
        self._succeeded(batch)
        return None

    def _try(self, send: Send, batch: Batch) -> None:
        """Send batch. Raises TransportError."""
        try:
            send(batch.key, batch.body)
        except UnreachableError:
            self._refund(batch)
            raise
        except RefusedError:
            self._spool.refuse(batch)
            self._suspects.add(batch.key)
            # It may be too large for the store: the next ones are smaller, until one goes through.
            self._batch_bytes = max(self._batch_bytes // 2, _SMALLEST_BATCH)
            raise

    def _is_fresh(self) -> bool:
        """Whether the link has only just come back."""
        since_s = self._up_since_s
        return since_s is None or time.monotonic() - since_s < self._config.newest_first_s

    def _charge(self, batch: Batch | None) -> float:
        """Charge batch to the budget; return how long it has to wait instead [s], 0 if not.

        Durably, and before it is sent: a robot that restarts again and again keeps to it too.
        """
        if self._budget is None:
            kept = {name: self._spool.number(name) for name in NUMBERS}
            self._budget = ByteBudget(self._config.bytes_per_s, self._config.bytes_per_day, kept)
        wait_s, steady_s, wall_ns = 0.0, time.monotonic(), time.time_ns()
        if batch is not None and batch.key not in self._stored:
            wait_s = self._budget.wait_s(len(batch.body), steady_s, wall_ns)
            if self._is_limited and not wait_s:
                self._spool.keep_numbers(self._budget.charge(len(batch.body), steady_s, wall_ns))
        self.upload = replace(self.upload, left_today=self._budget.left_today(wall_ns))
        return wait_s

    def _refund(self, batch: Batch) -> None:
        if self._is_limited and self._budget is not None:
            numbers = self._budget.refund(len(batch.body), time.monotonic())
            self._spool.keep_numbers(numbers)

    @property
    def _is_limited(self) -> bool:
        return bool(self._config.bytes_per_s or self._config.bytes_per_day)

    def _succeeded(self, batch: Batch) -> None:
        now_s = time.monotonic()
        if len(batch.body) >= self._batch_bytes // 2:
            self._batch_bytes = min(self._batch_bytes * 2, self._config.batch_bytes)
        if self.upload.failures:
            _log.info('uploads go through again')
        if self._up_since_s is None:
            self._up_since_s = now_s
        done = self.upload
        self.upload = replace(
            done,
            sent_profiles=done.sent_profiles + batch.profiles,
            sent_objects=done.sent_objects + 1,
            sent_bytes=done.sent_bytes + len(batch.body),
            failures=0,
            error='',
            error_is_lasting=False,
            succeeded_s=now_s,
        )
        self._set_aside()

    def _set_aside(self) -> None:
        """Move batches that were refused again and again while others went through."""
        self._refusals.update(self._suspects)
        self._suspects.clear()
        for key in [key for key, number in self._refusals.items() if number >= _MOST_REFUSALS]:
            self._spool.set_aside(key, 'refused by the store')
            del self._refusals[key]
            _log.error('%s was refused by the store %d times: set aside', key, _MOST_REFUSALS)

    def stop(self, timeout_s: float) -> bool:
        """Try once more to upload what is left, and end; False where that takes too long.

        Nothing is lost by it: what has not been confirmed is still in the spool.
        """
        self._stop.set()
        self._wake.set()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()
