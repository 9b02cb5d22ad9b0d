"""Empties the spool into the store, in a thread of its own."""

import logging
import random
import threading

from profiler_node.bridge.config import BridgeConfig
from profiler_node.bridge.errors import BridgeError
from profiler_node.bridge.spool import Spool
from profiler_node.bridge.transport import Send

_log = logging.getLogger(__name__)


def drain(spool: Spool, send: Send, batch_bytes: int, stop: threading.Event | None = None) -> int:
    """Send what is in spool until it is empty or stop is set; return the number of objects sent.

    Raises BridgeError where the store does not confirm one; that one and the rest stay.
    """
    sent = 0
    while not (stop and stop.is_set()) and (batch := spool.next_batch(batch_bytes)):
        send(batch.key, batch.body)
        spool.confirm(batch)
        sent += 1
    return sent


def backoff_s(failures: int, config: BridgeConfig) -> float:
    """Return how long to wait [s] after this many failures in a row, at random (jitter)."""
    if not failures:
        return config.upload_interval_s
    longest = max(config.upload_interval_s, config.max_backoff_s)
    wait_s = min(longest, config.upload_interval_s * 2.0 ** min(failures, 32))
    return wait_s * random.uniform(0.5, 1.0)  # noqa: S311 (spreads load, keeps no secret)


class Uploader:
    """Drains spool every upload_interval_s, with growing waits after failures and no giving up."""

    def __init__(self, spool: Spool, send: Send, config: BridgeConfig) -> None:
        self._spool = spool
        self._send = send
        self._config = config
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name='uploader', daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def _run(self) -> None:
        failures = 0
        while not self._stop.wait(backoff_s(failures, self._config)):
            failures = 0 if self._try_drain(self._stop) else failures + 1
        self._try_drain(None)  # what came in since the last look

    def _try_drain(self, stop: threading.Event | None) -> bool:
        try:
            sent = drain(self._spool, self._send, self._config.batch_bytes, stop)
        except BridgeError as error:
            _log.warning('upload failed, kept for later: %s', error)
            return False
        except Exception:  # a fault of ours must not end all uploads without a word
            _log.exception('upload failed unexpectedly, kept for later')
            return False
        if sent:
            _log.info('uploaded %d object(s)', sent)
        return True

    def stop(self, timeout_s: float) -> bool:
        """Try once more to upload what is left, and end; False where that takes too long.

        Nothing is lost by it: what has not been confirmed is still in the spool.
        """
        self._stop.set()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()
