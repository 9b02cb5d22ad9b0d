"""Profiles into a store or a file, without a spool: as objects like the bridge's."""

import os
import secrets
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from profiler_node.bridge.batch import object_key, pack
from profiler_node.bridge.config import BridgeConfig
from profiler_node.bridge.errors import ConfigurationError, RefusedError, TransportError
from profiler_node.bridge.transport import Send

_PAUSES_S = (1.0, 2.0, 4.0, 8.0)  # between tries to write an object
_UPLOAD = BridgeConfig()
UPLOAD_TIMEOUT_S = _UPLOAD.timeout_s


class ObjectWriter:
    """Writes profiles to a store, as many to an object as the bridge would."""

    def __init__(self, robot_id: str, send: Send) -> None:
        self._robot_id, self._send = robot_id, send
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self.written = 0

    def add(self, payload: bytes) -> None:
        """Take a serialized profile. Raises TransportError."""
        if self._waiting and self._waiting_bytes + len(payload) > _UPLOAD.batch_bytes:
            self.flush()
        self._waiting.append(payload)
        self._waiting_bytes += len(payload)

    def flush(self) -> None:
        """Write what waits. Raises TransportError."""
        if not self._waiting:
            return
        key, body = object_key(self._robot_id, time.time_ns()), pack(self._waiting)
        for pause_s in (*_PAUSES_S, None):
            try:
                self._send(key, body)
                break
            except (ConfigurationError, RefusedError):
                raise
            except TransportError:
                if pause_s is None:
                    raise
                time.sleep(pause_s)
        self.written += 1
        self._waiting, self._waiting_bytes = [], 0


def write_file(path: Path, payloads: Iterable[bytes]) -> int:
    """Write serialized profiles to a file, a part at a time; return how many.

    There is no such file before it is whole. Raises OSError.
    """
    count = 0
    unfinished = path.with_name(f'{path.name}.{secrets.token_hex(4)}.part')
    try:
        with unfinished.open('xb') as file:
            for part in _parts(payloads):
                file.write(pack(part))
                count += len(part)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return count


def _parts(payloads: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Yield payloads by as many as go into one object, and none once where there are none."""
    part: list[bytes] = []
    size = 0
    for payload in payloads:
        if part and size + len(payload) > _UPLOAD.batch_bytes:
            yield part
            part, size = [], 0
        part.append(payload)
        size += len(payload)
    yield part
