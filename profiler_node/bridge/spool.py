"""Profiles on the robot's disk until the store has them.

What `put` has taken and `next_batch` has returned is durable (SQLite, WAL, synchronous=FULL): it
survives a kill and a power cut. A batch is formed once, with its key and bytes, so that sending it
again after a crash writes the same object.
"""

import logging
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from profiler_node.bridge.batch import object_key, pack
from profiler_node.bridge.errors import SpoolError

_log = logging.getLogger(__name__)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS profiles (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    robot_id TEXT NOT NULL,
    stream TEXT NOT NULL,
    segment TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    window_start_ns INTEGER NOT NULL,
    payload BLOB NOT NULL,
    UNIQUE (robot_id, stream, segment, epoch, window_start_ns)
);
CREATE TABLE IF NOT EXISTS batches (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE,
    body BLOB NOT NULL
);
"""


@dataclass(frozen=True)
class Entry:
    """One profile to keep: its identity and its payload, which is never opened."""

    robot_id: str
    stream: str
    segment: str
    epoch: int
    window_start_ns: int
    payload: bytes


@dataclass(frozen=True)
class Batch:
    """An object to be, already durable."""

    key: str
    body: bytes


class Spool:
    """The spool in the SQLite file at path, made where there is none.

    Its methods may be called from any thread and raise SpoolError.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = _open_or_replace(path)
        except (OSError, sqlite3.Error) as error:
            raise SpoolError(f'{path}: {error}') from error

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Commit what is done inside, or roll it back and raise SpoolError."""
        try:
            with self._lock, self._database:
                self._database.execute('BEGIN IMMEDIATE')  # no other process comes in between
                yield
        except sqlite3.Error as error:
            raise SpoolError(f'{self._path}: {error}') from error

    def put(self, entry: Entry) -> bool:
        """Keep entry; False where one with its identity waits for its batch already."""
        with self._transaction():
            cursor = self._database.execute(
                'INSERT INTO profiles'
                ' (robot_id, stream, segment, epoch, window_start_ns, payload)'
                ' VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING',
                (
                    entry.robot_id,
                    entry.stream,
                    entry.segment,
                    entry.epoch,
                    entry.window_start_ns,
                    entry.payload,
                ),
            )
            return cursor.rowcount == 1

    def next_batch(self, most_bytes: int) -> Batch | None:
        """Return the oldest batch, or form one from the oldest profiles; None where all is sent.

        A new one holds profiles of one robot, up to most_bytes of payload but at least one profile.
        """
        with self._transaction():
            row = self._database.execute(
                'SELECT key, body FROM batches ORDER BY id LIMIT 1'
            ).fetchone()
            return Batch(*row) if row else self._form_batch(most_bytes)

    def _form_batch(self, most_bytes: int) -> Batch | None:
        first = self._database.execute(
            'SELECT robot_id FROM profiles ORDER BY id LIMIT 1'
        ).fetchone()
        if first is None:
            return None
        (robot_id,) = first
        ids: list[tuple[int]] = []
        payloads: list[bytes] = []
        with closing(
            self._database.execute(
                'SELECT id, payload FROM profiles WHERE robot_id = ? ORDER BY id', first
            )
        ) as rows:
            size = 0
            for row_id, payload in rows:
                size += len(payload)
                if ids and size > most_bytes:
                    break
                ids.append((row_id,))
                payloads.append(payload)
        key, body = object_key(robot_id, time.time_ns()), pack(payloads)
        self._database.execute('INSERT INTO batches (key, body) VALUES (?, ?)', (key, body))
        self._database.executemany('DELETE FROM profiles WHERE id = ?', ids)
        return Batch(key, body)

    def confirm(self, batch: Batch) -> None:
        """Forget batch: the store has it."""
        with self._transaction():
            cursor = self._database.execute('DELETE FROM batches WHERE key = ?', (batch.key,))
        if cursor.rowcount != 1:  # or it would be sent again and again
            raise SpoolError(f'{self._path}: batch {batch.key} cannot be deleted')

    def backlog(self) -> tuple[int, int]:
        """Return how many profiles and how many formed batches are waiting."""
        with self._transaction():
            row = self._database.execute(
                'SELECT (SELECT count(*) FROM profiles), (SELECT count(*) FROM batches)'
            ).fetchone()
        return row[0], row[1]

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._database.close()

    def __enter__(self) -> 'Spool':
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _open(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, check_same_thread=False)
    try:
        database.execute('PRAGMA journal_mode = WAL')
        database.execute('PRAGMA synchronous = FULL')
        (answer,) = database.execute('PRAGMA integrity_check(1)').fetchone()
        if answer != 'ok':
            raise sqlite3.DatabaseError(answer)
        database.executescript(_SCHEMA)
    except (sqlite3.Error, UnicodeDecodeError):
        database.close()
        raise
    return database


def _open_or_replace(path: Path) -> sqlite3.Connection:
    try:
        return _open(path)
    except sqlite3.OperationalError as error:
        if 'file format' not in str(error):
            raise  # the disk or its permissions, not what is in the file
        return _open(_quarantine(path, error))
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        return _open(_quarantine(path, error))


def _quarantine(path: Path, error: Exception) -> Path:
    """Move the damaged file and its log aside, and return path for a new one."""
    aside = path.with_name(f'{path.name}.corrupt-{time.time_ns()}')
    for suffix in ('', '-wal', '-shm'):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(aside.with_name(aside.name + suffix))
    _log.error('%s is damaged (%s); it is kept as %s, and a new spool started', path, error, aside)
    return path
