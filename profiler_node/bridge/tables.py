"""The tables of the spool, and rows that tell whether they are as they were written."""

import sqlite3
import zlib
from collections.abc import Mapping, Sequence
from types import MappingProxyType

VERSION = 2
SCHEMA = f"""
CREATE TABLE profiles (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    robot_id TEXT NOT NULL,
    stream TEXT NOT NULL,
    segment TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    start_ns INTEGER NOT NULL,
    end_ns INTEGER NOT NULL,
    source TEXT NOT NULL,
    urgent INTEGER NOT NULL,
    taken_ns INTEGER NOT NULL,
    final INTEGER NOT NULL DEFAULT 0,
    checksum INTEGER NOT NULL,
    payload BLOB NOT NULL,
    UNIQUE (robot_id, stream, segment, epoch, start_ns)
);
CREATE INDEX by_time ON profiles (urgent, start_ns);
CREATE TABLE batches (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE,
    profiles INTEGER NOT NULL,
    urgent INTEGER NOT NULL,
    newest_ns INTEGER NOT NULL,
    taken_ns INTEGER NOT NULL,
    refusals INTEGER NOT NULL DEFAULT 0,
    checksum INTEGER NOT NULL,
    body BLOB NOT NULL
);
CREATE TABLE refused (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE,
    profiles INTEGER NOT NULL,
    reason TEXT NOT NULL,
    checksum INTEGER NOT NULL,
    body BLOB NOT NULL
);
CREATE TABLE accepted (id INTEGER PRIMARY KEY AUTOINCREMENT, digest BLOB NOT NULL UNIQUE);
CREATE TABLE numbers (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, value INTEGER NOT NULL);
PRAGMA user_version = {VERSION};
"""
"""final: no other window can be merged with it. newest_ns: start of the last window in it.

taken_ns: wall-clock time; it is changed when the clock was set, so no checksum is over it. What is
large is last, so that the columns before it can be read without it.

accepted: the identities that were taken, as digests, so that none is taken twice.
"""

COLUMNS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        'profiles': (
            *('robot_id', 'stream', 'segment', 'epoch', 'start_ns', 'end_ns', 'source', 'urgent'),
            'payload',
        ),
        'batches': ('key', 'profiles', 'urgent', 'newest_ns', 'body'),
        'refused': ('key', 'profiles', 'reason', 'body'),
    }
)
"""What is written once, and has a checksum, by table."""

TAKEN: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {'profiles': ('taken_ns',), 'batches': ('taken_ns',), 'refused': ()}
)
"""What else a row is written with, by table."""


def checksum(*columns: object) -> int:
    """Return the CRC-32 of a row's columns."""
    value = 0
    for column in columns:
        data = column if isinstance(column, bytes) else str(column).encode('utf-8', 'surrogatepass')
        value = zlib.crc32(data, zlib.crc32(b'%d:' % len(data), value))
    return value


def select(table: str, *more: str) -> str:
    """Return the beginning of a query for id, checksum, the columns of table, and more of them."""
    return f'SELECT {", ".join(("id", "checksum", *COLUMNS[table], *more))} FROM {table} '  # noqa: S608


def is_whole(table: str, row: Sequence[object]) -> bool:
    """Whether a row that `select` has read is as it was written."""
    return checksum(*row[2 : 2 + len(COLUMNS[table])]) == row[1]


def insert(database: sqlite3.Connection, table: str, *values: object, **more: object) -> int:
    """Insert a row of COLUMNS, and more, unless its key is there; return how many were."""
    names = (*more, 'checksum', *COLUMNS[table])
    marks = ', '.join('?' * len(names))
    return database.execute(
        f'INSERT INTO {table} ({", ".join(names)}) VALUES ({marks}) ON CONFLICT DO NOTHING',  # noqa: S608
        (*more.values(), checksum(*values), *values),
    ).rowcount


def add_to(database: sqlite3.Connection, name: str, number: int) -> None:
    """Add to the number of this name."""
    database.execute(
        'INSERT INTO numbers (name, value) VALUES (?, ?)'
        ' ON CONFLICT (name) DO UPDATE SET value = value + excluded.value',
        (name, number),
    )


def count_dropped(database: sqlite3.Connection, reason: str, profiles: int) -> None:
    """Count profiles that are lost."""
    add_to(database, f'{DROPPED}{reason}', profiles)


DROPPED = 'dropped.'
"""Begins the names of the numbers of profiles that were lost, by reason."""
