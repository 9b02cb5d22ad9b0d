"""Profiles on the robot's disk until the store has them.

What `put` has taken and `next_batch` has returned is durable (SQLite, WAL, synchronous=FULL): it
survives a kill and a power cut. A batch is formed once, with its key and bytes, so that sending it
again after a crash writes the same object. Near its cap the spool loses resolution before it loses
data: neighbouring windows become longer ones. It never opens a payload.
"""

import sqlite3
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import IO, TypeVar

from profiler_node.bridge import outgoing
from profiler_node.bridge.batch import compress, identity_digest
from profiler_node.bridge.config import SpoolConfig
from profiler_node.bridge.database import (
    is_damage,
    open_or_replace,
    replace_damaged,
    used_bytes,
    wal_bytes,
)
from profiler_node.bridge.errors import SpoolError
from profiler_node.bridge.outgoing import Batch
from profiler_node.bridge.room import Merge, Room
from profiler_node.bridge.tables import DROPPED, count_dropped, insert
from profiler_node.files import lock

_Result = TypeVar('_Result')

_BYTES_PER_REMEMBERED = 2560  # of the cap, for each identity that was taken
_REFUSED_SHARE = 16  # of the cap may hold refused batches: one part of so many


@dataclass(frozen=True)
class Entry:
    """One profile to keep: its identity, its window's end, and its payload, which is never opened.

    source: what else the stream says of itself; only windows of one source are merged. urgent: to
    be sent before all others.
    """

    robot_id: str
    stream: str
    segment: str
    epoch: int
    window_start_ns: int
    window_end_ns: int
    payload: bytes
    source: str = ''
    urgent: bool = False


@dataclass(frozen=True)
class Backlog:
    """What is in the spool.

    oldest_ns: when the oldest was taken, wall-clock time since 1970; None where nothing waits.
    used_bytes: of the file. merged, dropped: how many profiles went into others, and how many were
    lost by reason, since the spool was made.
    """

    profiles: int = 0
    batches: int = 0
    refused: int = 0
    used_bytes: int = 0
    oldest_ns: int | None = None
    merged: int = 0
    dropped: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))


class Spool:
    """The spool in the SQLite file at path, made where there is none.

    merge: makes one payload of those of neighbouring windows; without it nothing is merged. Its
    methods may be called from any thread and raise SpoolError; after that they may be called again,
    as when the disk has room again. One process at a time has the file.
    """

    def __init__(
        self, path: Path, config: SpoolConfig | None = None, merge: Merge | None = None
    ) -> None:
        self._path = path
        self._config = config or SpoolConfig()
        self._room = Room(self._config, merge)
        self._wal_bytes = wal_bytes(self._config.max_bytes)
        self._lock = threading.Lock()
        self._owner: IO[str] | None = None
        self._open: sqlite3.Connection | None = None

    def _run(self, work: Callable[[sqlite3.Connection], _Result]) -> _Result:
        """Return what work does in one transaction, tried again in a new file after damage."""
        with self._lock:
            try:
                database = self._database()
                try:
                    return _transaction(database, work)
                except (sqlite3.Error, UnicodeDecodeError) as error:
                    damaged = is_damage(error, self._path)
                    if damaged or 'readonly' in str(error):  # what was opened so stays so
                        database.close()
                        self._open = None
                    if not damaged:
                        raise
                    self._open = replace_damaged(self._path, error, self._wal_bytes)
                    return _transaction(self._open, work)
            except (OSError, sqlite3.Error, UnicodeDecodeError) as error:
                raise SpoolError(f'{self._path}: {error}') from error

    def _database(self) -> sqlite3.Connection:
        if self._open is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if self._owner is None:
                self._owner = locked(self._path)
            self._open = open_or_replace(self._path, self._wal_bytes)
        return self._open

    def put(self, entries: Sequence[Entry]) -> int:
        """Keep entries, and return how many were new; one whose identity was taken before is not.

        All are durable when this returns, or none. What is over the caps gives way afterwards.
        """
        new = self._run(lambda database: self._insert(database, entries))
        while self._run(
            lambda database: self._room.is_over(database) and self._room.step(database)
        ):
            pass
        return new

    def make_room(self) -> bool:
        """Do a part of what keeps the spool below its caps; return whether there is more to do.

        To be called when there is time; `put` does no more than it must.
        """
        return self._run(self._room.step)

    def _insert(self, database: sqlite3.Connection, entries: Sequence[Entry]) -> int:
        new = 0
        self._room.look_at_clock(database)
        for entry in entries:
            identity = (entry.robot_id, entry.stream, entry.segment, entry.epoch)
            digest = identity_digest(*identity, entry.window_start_ns)
            statement = 'INSERT INTO accepted (digest) VALUES (?) ON CONFLICT DO NOTHING'
            if database.execute(statement, (digest,)).rowcount:
                window = entry.window_start_ns, entry.window_end_ns
                rest = entry.source, int(entry.urgent), compress(entry.payload)
                values = (*identity, *window, *rest)
                new += insert(database, 'profiles', *values, taken_ns=time.time_ns())
        remembered = self._config.max_bytes // _BYTES_PER_REMEMBERED
        database.execute(
            'DELETE FROM accepted WHERE id <= (SELECT max(id) FROM accepted) - ?', (remembered,)
        )
        return new

    def next_batch(
        self, most_bytes: int, *, newest_first: bool = False, urgent_only: bool = False
    ) -> Batch | None:
        """Return a batch that waits, or form one; None where there is nothing to send.

        A new one holds profiles of one robot, up to most_bytes of payload but at least one profile,
        in the order of their windows. Urgent ones go before all others. Batches that were refused
        are returned when there is nothing else.
        """
        return self._run(
            lambda database: outgoing.next_batch(
                database, most_bytes, newest_first=newest_first, urgent_only=urgent_only
            )
        )

    def confirm(self, batch: Batch) -> None:
        """Forget batch: the store has it."""
        statement = 'DELETE FROM batches WHERE key = ?'
        if not self._run(lambda database: database.execute(statement, (batch.key,)).rowcount):
            # Or it would be sent again and again.
            raise SpoolError(f'{self._path}: batch {batch.key} cannot be deleted')

    def refuse(self, batch: Batch) -> None:
        """Let others go before batch, which the store refuses."""
        self._run(lambda database: outgoing.refuse(database, batch.key))

    def set_aside(self, key: str, reason: str) -> None:
        """Take the batch of this key out of the way.

        A bounded part of the cap keeps such for a look; the oldest beyond it are dropped, counted.
        """
        room = self._config.max_bytes // _REFUSED_SHARE
        self._run(lambda database: outgoing.set_aside(database, key, reason, room))

    def count_dropped(self, reason: str, profiles: int) -> None:
        """Count profiles that were lost before they could be put."""
        self._run(lambda database: count_dropped(database, reason, profiles))

    def number(self, name: str) -> int:
        """Return a number that was kept under name, 0 where none was."""

        def work(database: sqlite3.Connection) -> int:
            row = database.execute('SELECT value FROM numbers WHERE name = ?', (name,)).fetchone()
            return int(row[0]) if row else 0

        return self._run(work)

    def keep_numbers(self, numbers: Mapping[str, int]) -> None:
        """Keep numbers by name, all or none."""

        def work(database: sqlite3.Connection) -> None:
            for name, value in numbers.items():
                database.execute(
                    'INSERT INTO numbers (name, value) VALUES (?, ?)'
                    ' ON CONFLICT (name) DO UPDATE SET value = excluded.value',
                    (name, value),
                )

        self._run(work)

    def backlog(self) -> Backlog:
        """Return what is in the spool."""
        return self._run(read_backlog)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._open is not None:
                self._open.close()
                self._open = None
            if self._owner is not None:
                self._owner.close()
                self._owner = None

    def __enter__(self) -> 'Spool':
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def locked(path: Path) -> IO[str]:
    """Return the lock of the spool at path, held until it is closed. Raises OSError."""
    owner = lock(path.with_name(f'{path.name}.lock'))
    if owner is None:
        raise OSError('another process has this spool')
    return owner


def _transaction(
    database: sqlite3.Connection, work: Callable[[sqlite3.Connection], _Result]
) -> _Result:
    with database:
        database.execute('BEGIN IMMEDIATE')
        return work(database)


def read_backlog(database: sqlite3.Connection) -> Backlog:
    """Return what is in a spool."""
    profiles, batches, refused = (
        database.execute(f'SELECT count(*) FROM {table}').fetchone()[0]  # noqa: S608
        for table in ('profiles', 'batches', 'refused')
    )
    oldest = [
        database.execute(query).fetchone()
        for query in (
            'SELECT taken_ns FROM profiles WHERE urgent = 0 ORDER BY start_ns LIMIT 1',
            'SELECT taken_ns FROM profiles WHERE urgent = 1 ORDER BY start_ns LIMIT 1',
            'SELECT taken_ns FROM batches ORDER BY taken_ns LIMIT 1',
        )
    ]
    numbers = dict(database.execute('SELECT name, value FROM numbers ORDER BY name').fetchall())
    return Backlog(
        profiles,
        batches,
        refused,
        used_bytes(database),
        min((row[0] for row in oldest if row), default=None),
        numbers.get('merged', 0),
        MappingProxyType(
            {
                name.removeprefix(DROPPED): value
                for name, value in numbers.items()
                if name.startswith(DROPPED)
            }
        ),
    )
