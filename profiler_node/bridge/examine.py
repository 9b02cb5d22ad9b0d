"""A look at the file of a spool, also while a bridge has it, and its repair when none has."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from profiler_node.bridge.database import replace, structural_problem
from profiler_node.bridge.errors import SpoolError
from profiler_node.bridge.spool import Backlog, locked, read_backlog
from profiler_node.bridge.tables import COLUMNS, is_whole, select

_WAL_BYTES = 4_000_000


@dataclass(frozen=True)
class Waiting:
    """The profiles of one stream that wait. size: bytes on disk; times in ns since 1970."""

    robot_id: str
    stream: str
    profiles: int
    size: int
    first_ns: int
    last_ns: int
    shortest_ns: int
    longest_ns: int


def contents(path: Path) -> tuple[Sequence[Waiting], Backlog]:
    """Return what waits by stream, and all that is in the spool at path. Raises SpoolError."""
    with _reading(path) as database:
        rows = database.execute(
            'SELECT robot_id, stream, count(*), sum(length(payload)), min(start_ns), max(end_ns),'
            ' min(end_ns - start_ns), max(end_ns - start_ns) FROM profiles'
            ' GROUP BY robot_id, stream ORDER BY robot_id, stream'
        ).fetchall()
        return [Waiting(*row) for row in rows], read_backlog(database)


def problems(path: Path) -> list[str]:
    """Return what is wrong with the spool at path, nothing where all can be sent as it was taken.

    Raises SpoolError where it cannot be opened at all.
    """
    found = []
    with _reading(path) as database:
        try:
            if problem := structural_problem(database):
                found.append(problem)
            for table in COLUMNS:
                found += [
                    f'{table}: row {row[0]} is not as it was written'
                    for row in database.execute(select(table))
                    if not is_whole(table, row)
                ]
        except (sqlite3.Error, UnicodeDecodeError) as error:
            found.append(str(error))
    return found


def repair(path: Path) -> str:
    """Put a spool with all that can be read of it in the place of the one at path; return a report.

    The old file is kept beside it. Raises SpoolError, as when a bridge has the spool.
    """
    if not path.is_file():
        raise SpoolError(f'{path}: no such file')
    try:
        with locked(path):
            aside, saved, database = replace(path, _WAL_BYTES)
            database.close()
    except (OSError, sqlite3.Error) as error:
        raise SpoolError(f'{path}: {error}') from error
    counts = ', '.join(f'{count} {name}' for name, count in saved.items())
    return f'saved: {counts}; the old file is {aside}'


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    if not path.is_file():
        raise SpoolError(f'{path}: no such file')
    try:
        with closing(sqlite3.connect(f'{path.absolute().as_uri()}?mode=ro', uri=True)) as database:
            yield database
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise SpoolError(f'{path}: {error}') from error
