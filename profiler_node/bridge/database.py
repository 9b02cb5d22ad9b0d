"""The SQLite file of the spool: made, checked, and saved from when it is damaged."""

import logging
import os
import sqlite3
import struct
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from profiler_node.bridge.tables import COLUMNS, SCHEMA, TAKEN, VERSION, insert, is_whole, select

_log = logging.getLogger(__name__)

_PAGE_BYTES = 4096
_MOST_WAL_BYTES, _WAL_SHARE = 4_000_000, 16  # the log: one part of so many, at most that
_PAGES_AT_ONCE = 256
_LARGEST = 2**40  # bytes of a file whose header can be believed
_PARTS = ('', '-wal', '-shm')  # of a database: it, its log, and the index of that
_PART, _WHOLE = '.part', '.new'  # what is to replace a damaged file, until and when all is in it
_MOST_ASIDE = 2  # damaged files that are kept
_MOST_MISSES = 2_000  # ids in a row that cannot be read, before a table is given up
_HIGHEST_ID = 2**62
# How SQLite says that a file is none of its own, or has another schema than it should.
_OF_THE_FILE = ('file format', 'no such', 'already exists', 'has no column', 'ON CONFLICT clause')
_READ_ERRORS = (sqlite3.Error, UnicodeDecodeError, OverflowError)


def is_damage(error: BaseException, path: Path) -> bool:
    """Whether an error tells of what is in the file at path, not of the disk or its permissions."""
    if isinstance(error, sqlite3.OperationalError):
        text = str(error)
        if 'readonly' in text:  # says the file, or the disk
            return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)
        return any(part in text for part in _OF_THE_FILE)
    return type(error) is sqlite3.DatabaseError or isinstance(error, UnicodeDecodeError)


def open_or_replace(path: Path, wal_bytes: int) -> sqlite3.Connection:
    """Return the database at path, a new one with what can be saved where it is damaged.

    wal_bytes: how long its log grows before it goes into the file, and stays at most.
    Raises OSError and sqlite3.Error where the disk does not let us.
    """
    whole = path.with_name(path.name + _WHOLE)
    if whole.exists():  # replacing it was cut short
        aside = _put_in_place(path, whole)
        _log.error('%s was damaged; it is kept as %s; what could be read was saved', path, aside)
    try:
        return _open(path, wal_bytes)
    except (sqlite3.Error, UnicodeDecodeError) as error:
        if not is_damage(error, path):
            raise
        return replace_damaged(path, error, wal_bytes)


def _open(path: Path, wal_bytes: int) -> sqlite3.Connection:
    database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
    try:
        database.execute('PRAGMA auto_vacuum = INCREMENTAL')  # of a new file alone
        database.execute('PRAGMA journal_mode = WAL')
        database.execute('PRAGMA synchronous = FULL')
        database.execute(f'PRAGMA wal_autocheckpoint = {wal_bytes // _PAGE_BYTES}')
        database.execute(f'PRAGMA journal_size_limit = {wal_bytes}')
        if problem := structural_problem(database):
            raise sqlite3.DatabaseError(problem)
        (version,) = database.execute('PRAGMA user_version').fetchone()
        if version == 0:
            database.executescript(f'BEGIN IMMEDIATE; {SCHEMA} COMMIT;')
        elif version != VERSION:
            raise sqlite3.DatabaseError(f'it is of version {version}, not {VERSION}')
    except (sqlite3.Error, UnicodeDecodeError):
        database.close()
        raise
    return database


def structural_problem(database: sqlite3.Connection) -> str:
    """Return what SQLite finds wrong with the file, '' for nothing."""
    (answer,) = database.execute('PRAGMA integrity_check(1)').fetchone()
    return '' if answer == 'ok' else str(answer)


def replace_damaged(path: Path, error: BaseException, wal_bytes: int) -> sqlite3.Connection:
    """Return a new database with what can be read of the damaged one at path, and report it."""
    aside, saved, database = replace(path, wal_bytes)
    counts = ', '.join(f'{count} {name}' for name, count in saved.items())
    _log.error('%s is damaged (%s); it is kept as %s; saved: %s', path, error, aside, counts)
    return database


def replace(path: Path, wal_bytes: int) -> tuple[Path, dict[str, int], sqlite3.Connection]:
    """Move the file at path aside; return where to, the rows that were saved, and a new one.

    The old one stays in its place until all is saved: if this is cut short, it is done again.
    """
    part, whole = (path.with_name(path.name + suffix) for suffix in (_PART, _WHOLE))
    _remove(part)
    with closing(_open(part, wal_bytes)) as database:
        saved = salvage(path, database)
        database.execute('PRAGMA wal_checkpoint(TRUNCATE)')  # all of it is in part then, or raises
        if not any(saved.values()) and _restore_schema(path, part):
            saved = salvage(path, database)
            database.execute('PRAGMA wal_checkpoint(TRUNCATE)')
    part.rename(whole)
    aside = _put_in_place(path, whole)
    for old in _asides(path)[:-_MOST_ASIDE]:
        _remove(old)
    return aside, saved, _open(path, wal_bytes)


def _put_in_place(path: Path, whole: Path) -> Path:
    """Move the file at path aside, and whole to its place; return where it was moved to."""
    last = max((int(old.name.rpartition('-')[2]) for old in _asides(path)), default=0)
    aside = path.with_name(f'{path.name}.corrupt-{last + 1:06}')
    for suffix in _PARTS:
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(aside.with_name(aside.name + suffix))
    whole.rename(path)
    return aside


def _asides(path: Path) -> list[Path]:
    """Return the damaged files of the spool at path, oldest first."""
    files = path.parent.glob(f'{path.name}.corrupt-*')
    return sorted(file for file in files if file.name.rpartition('-')[2].isdecimal())


def _remove(path: Path) -> None:
    for suffix in _PARTS:
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def salvage(source: Path, database: sqlite3.Connection) -> dict[str, int]:
    """Copy what can be read of the spool at source into database; return the rows by table."""
    saved = dict.fromkeys(COLUMNS, 0)
    _fill_up(source)
    with closing(sqlite3.connect(source)) as damaged, database:
        try:
            damaged.execute('PRAGMA schema_version')
        except sqlite3.Error:  # it is no database at all
            return saved
        database.execute('BEGIN IMMEDIATE')
        for table in COLUMNS:
            for row in _readable(damaged, select(table, *TAKEN[table])):
                if is_whole(table, row):
                    end = 2 + len(COLUMNS[table])
                    more = dict(zip(TAKEN[table], row[end:], strict=True))
                    saved[table] += insert(database, table, *row[2:end], **more)
        for _, digest in _readable(damaged, 'SELECT id, digest FROM accepted '):
            database.execute('INSERT OR IGNORE INTO accepted (digest) VALUES (?)', (digest,))
        for _, name, value in _readable(damaged, 'SELECT id, name, value FROM numbers '):
            database.execute(
                'INSERT OR IGNORE INTO numbers (name, value) VALUES (?, ?)', (name, value)
            )
    return saved


def _restore_schema(path: Path, good: Path) -> bool:
    """Give a file the first page of good, a new one: the tables of all are at the same pages.

    Return False where the file has no pages of that size.
    """
    size = path.stat().st_size
    if size < 2 * _PAGE_BYTES or size % _PAGE_BYTES:
        return False
    page = bytearray(good.read_bytes()[:_PAGE_BYTES])
    page[28:40] = struct.pack('>III', size // _PAGE_BYTES, 0, 0)  # pages, and none of them unused
    with path.open('r+b') as file:
        file.write(page)
    return True


def _fill_up(path: Path) -> None:
    """Give a file that was cut its size again, or SQLite reads none of the pages that are left."""
    with path.open('rb') as file:
        header = file.read(32)
        page, pages = struct.unpack('>16xH10xI', header) if len(header) == 32 else (0, 0)
    size = page * pages
    if page == _PAGE_BYTES and path.stat().st_size < size <= _LARGEST:
        os.truncate(path, size)


def _readable(database: sqlite3.Connection, query: str) -> Iterator[tuple[object, ...]]:
    """Yield the rows that can be read, from both ends on to where the damage is and over it."""
    seen = set()
    for start, step, compare, order in ((-1, 1, '>', 'ASC'), (_HIGHEST_ID, -1, '<', 'DESC')):
        one = f'{query} NOT INDEXED WHERE id {compare} ? ORDER BY id {order} LIMIT 1'
        row_id, misses = start, 0
        while misses < _MOST_MISSES:
            try:
                row = database.execute(one, (row_id,)).fetchone()
            except _READ_ERRORS as error:
                if any(part in str(error) for part in ('schema', *_OF_THE_FILE)):
                    return  # it is not about the row
                row_id, misses = row_id + step, misses + 1
                continue
            if row is None or row[0] in seen:
                break
            row_id, misses = row[0], 0
            seen.add(row_id)
            yield row


def wal_bytes(max_bytes: int) -> int:
    """Return how long the log may be of a spool that may have max_bytes."""
    return min(_MOST_WAL_BYTES, max_bytes // _WAL_SHARE)


def used_bytes(database: sqlite3.Connection) -> int:
    """Return the bytes of the file that hold something."""
    (pages,) = database.execute('PRAGMA page_count').fetchone()
    (free,) = database.execute('PRAGMA freelist_count').fetchone()
    (size,) = database.execute('PRAGMA page_size').fetchone()
    return int((pages - free) * size)


def free_bytes(database: sqlite3.Connection) -> int:
    """Return the bytes of the file that hold nothing."""
    (free,) = database.execute('PRAGMA freelist_count').fetchone()
    (size,) = database.execute('PRAGMA page_size').fetchone()
    return int(free * size)


def shrink(database: sqlite3.Connection) -> bool:
    """Give a part of the unused pages back to the disk; return whether that did anything."""
    before = free_bytes(database)
    database.execute(f'PRAGMA incremental_vacuum({_PAGES_AT_ONCE})').fetchall()
    return free_bytes(database) < before
