"""Keeps the spool within its caps: resolution is lost before data is."""

import sqlite3
import time
from collections.abc import Callable, Sequence
from typing import Any

from profiler_node.bridge.batch import compress, decompress
from profiler_node.bridge.config import SpoolConfig
from profiler_node.bridge.database import used_bytes
from profiler_node.bridge.tables import add_to, count_dropped, insert, is_whole, select

Merge = Callable[[Sequence[bytes]], bytes]
"""Makes one payload of those of neighbouring windows, in order. Raises ValueError."""

_NS_PER_S = 1_000_000_000
_LENGTHS_NS = tuple(minutes * 60 * _NS_PER_S for minutes in (2, 5, 15, 60))
_BEGIN, _ENOUGH = 0.9, 0.85  # shares of the caps at which merging begins and ends
_GROUPS = 16  # merged in one step, so that nobody waits long for the spool
_WAL_SHARE = 8  # the log takes up to one part of so many


class Room:
    """Makes room in one spool, step by step. merge: None where windows cannot be merged."""

    def __init__(self, config: SpoolConfig, merge: Merge | None) -> None:
        self._config = config
        self._merge = merge
        self._merging = False
        self._rest = 0  # steps in which nothing is looked for to merge

    def step(self, database: sqlite3.Connection) -> bool:
        """Do a part of what is needed; return whether there may be more to do."""
        if self._config.max_age_s:
            self._drop_old(database)
        full = self._fullness(database)
        self._merging = full > (_ENOUGH if self._merging else _BEGIN)
        self._rest -= self._rest > 0
        if self._merging and self._merge is not None and not self._rest:
            if _merge_oldest(database, self._merge):
                return True
            self._rest = _GROUPS  # looking again and again would cost more than it finds
        return full > 1 and self._drop(database, full)

    def _fullness(self, database: sqlite3.Connection) -> float:
        """Return how full the spool is, 1 at its cap."""
        (rows,) = database.execute('SELECT count(*) FROM profiles').fetchone()
        room = self._config.max_bytes * (1 - 1 / _WAL_SHARE)
        return float(max(used_bytes(database) / room, rows / self._config.max_rows))

    def _drop_old(self, database: sqlite3.Connection) -> None:
        oldest_ns = time.time_ns() - int(self._config.max_age_s * _NS_PER_S)
        cursor = database.execute('DELETE FROM profiles WHERE taken_ns < ?', (oldest_ns,))
        if cursor.rowcount:
            count_dropped(database, 'age', cursor.rowcount)

    def _drop(self, database: sqlite3.Connection, full: float) -> bool:
        """Drop the oldest, of those the longest windows first; return whether anything was."""
        (rows,) = database.execute('SELECT count(*) FROM profiles').fetchone()
        most = max(1, min(int(rows * (1 - 1 / full)), _GROUPS * _GROUPS))
        reason = 'rows' if rows > self._config.max_rows else 'bytes'
        dropped = database.execute(
            'DELETE FROM profiles WHERE id IN'
            ' (SELECT id FROM profiles ORDER BY urgent, start_ns, end_ns DESC LIMIT ?)',
            (most,),
        ).rowcount
        if dropped:
            count_dropped(database, reason, dropped)
            return True
        for table in ('refused', 'batches'):  # there is nothing else
            row = database.execute(f'SELECT id, profiles FROM {table} ORDER BY id').fetchone()  # noqa: S608
            if row:
                database.execute(f'DELETE FROM {table} WHERE id = ?', row[:1])  # noqa: S608
                count_dropped(database, 'bytes', row[1])
                return True
        return False


def _merge_oldest(database: sqlite3.Connection, merge: Merge) -> bool:
    """Merge the oldest windows, to the shortest length that any are to be; whether there were."""
    for length_ns in _LENGTHS_NS:
        groups = database.execute(
            'SELECT robot_id, stream, segment, epoch, source, start_ns / ?1 AS slot FROM profiles'
            ' WHERE end_ns - start_ns < ?1 AND NOT urgent AND NOT final'
            ' GROUP BY robot_id, stream, segment, epoch, source, slot HAVING count(*) > 1'
            ' ORDER BY slot LIMIT ?2',
            (length_ns, _GROUPS),
        ).fetchall()
        for group in groups:
            _merge_group(database, merge, length_ns, group)
        if groups:
            return True
    return False


def _merge_group(
    database: sqlite3.Connection, merge: Merge, length_ns: int, group: Sequence[Any]
) -> None:
    """Merge the windows of one slot of this length, group, into one."""
    rows = database.execute(
        select('profiles') + 'WHERE robot_id = ?2 AND stream = ?3 AND segment = ?4 AND epoch = ?5'
        ' AND source = ?6 AND start_ns / ?1 = ?7 AND end_ns - start_ns < ?1'
        ' AND NOT urgent AND NOT final ORDER BY start_ns',
        (length_ns, *group),
    ).fetchall()
    ids = [row[:1] for row in rows]
    whole = [row[2:] for row in rows if is_whole('profiles', row)]
    if len(whole) < len(rows):
        count_dropped(database, 'damaged', len(rows) - len(whole))
        damaged = [row[:1] for row in rows if not is_whole('profiles', row)]
        database.executemany('DELETE FROM profiles WHERE id = ?', damaged)
    if len(whole) < 2:
        return
    try:
        payload = merge([decompress(row[-1]) for row in whole])
    except ValueError:  # they do not belong together: they stay as they are
        database.executemany('UPDATE profiles SET final = 1 WHERE id = ?', ids)
        return
    *identity, start_ns, _, source, _, _, _ = whole[0]
    end_ns, taken_ns = max(row[5] for row in whole), min(row[8] for row in whole)
    database.executemany('DELETE FROM profiles WHERE id = ?', ids)
    values = (*identity, start_ns, end_ns, source, 0, taken_ns, compress(payload))
    insert(database, 'profiles', *values)
    add_to(database, 'merged', len(whole) - 1)
