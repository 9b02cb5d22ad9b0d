"""Keeps the spool within its caps: resolution is lost before data is."""

import logging
import sqlite3
import time
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

from profiler_node.bridge.batch import compress, decompress
from profiler_node.bridge.config import SpoolConfig
from profiler_node.bridge.database import free_bytes, shrink, used_bytes, wal_bytes
from profiler_node.bridge.tables import add_to, count_dropped, insert, is_whole, select

_log = logging.getLogger(__name__)

Merge = Callable[[Sequence[bytes]], bytes]
"""Makes one payload of those of neighbouring windows, in order. Raises ValueError."""

_NS_PER_S = 1_000_000_000
_LENGTHS_NS = tuple(minutes * 60 * _NS_PER_S for minutes in (2, 5, 15, 60))
_BEGIN, _ENOUGH = 0.9, 0.85  # shares of the caps at which merging begins and ends
_ROWS = 4096  # looked at in one step
_GROUPS = 16  # merged in one step, so that nobody waits long for the spool
_FEW = 16  # new profiles among which nothing is looked for
_SPARE_BYTES = 500_000  # that what is done in one step may take
_FREE_SHARE = 8  # unused pages that are given back to the disk: more than one part of so many
_FIRST_NS = -(2**62)
_LARGEST_STEP_NS = 60 * _NS_PER_S  # of a clock that is not set
_BEFORE_US_NS = 1_577_836_800 * _NS_PER_S  # 2020: a clock that says less does not know the time


class Room:
    """Makes room in one spool, step by step. merge: None where windows cannot be merged."""

    def __init__(self, config: SpoolConfig, merge: Merge | None) -> None:
        self._config = config
        self._merge = merge
        self._merging = False
        self._level = 0  # of _LENGTHS_NS: windows become that long
        self._from_ns = _FIRST_NS  # what is before it has been merged to that length
        self._found = False  # something, since the first level
        self._look_at_id = 0  # of a profile, before which nothing is looked for
        self._clocks_ns: tuple[int, int] | None = None

    def is_over(self, database: sqlite3.Connection) -> bool:
        """Whether the spool is over a cap."""
        return self._fullness(database) > 1

    def step(self, database: sqlite3.Connection) -> bool:
        """Do a part of what is needed; return whether there is more to do."""
        if self._config.max_age_s:
            self._drop_old(database)
        full = self._fullness(database)
        if not self._merging and full > _BEGIN:  # from the shortest windows on, as they lose least
            self._level, self._from_ns, self._found = 0, _FIRST_NS, False
        self._merging = full > (_ENOUGH if self._merging else _BEGIN)
        (newest_id,) = database.execute('SELECT coalesce(max(id), 0) FROM profiles').fetchone()
        if self._merging and self._merge is not None and newest_id >= self._look_at_id:
            if self._merge_some(database, self._merge):
                return True
            self._look_at_id = newest_id + _FEW  # looking for less would cost more than it finds
        if full > 1:
            return self._drop(database, full)
        if free_bytes(database) > self._config.max_bytes // _FREE_SHARE:
            return shrink(database)
        return False

    def _fullness(self, database: sqlite3.Connection) -> float:
        """Return how full the spool is, 1 at its cap."""
        (rows,) = database.execute('SELECT count(*) FROM profiles').fetchone()
        room = self._config.max_bytes - 2 * wal_bytes(self._config.max_bytes) - _SPARE_BYTES
        return float(max(used_bytes(database) / room, rows / self._config.max_rows))

    def _merge_some(self, database: sqlite3.Connection, merge: Merge) -> bool:
        """Merge the oldest windows that are to be; False when none are of any length.

        All windows become two minutes long, from the oldest on, before the first becomes longer.
        """
        rows = database.execute(
            'SELECT id, robot_id, stream, segment, epoch, source, start_ns, end_ns FROM profiles'
            ' WHERE urgent = 0 AND start_ns >= ? AND NOT final ORDER BY start_ns LIMIT ?',
            (self._from_ns, _ROWS),
        ).fetchall()
        groups = neighbours(rows, self._level)[:_GROUPS]
        for group in groups:
            _merge_group(database, merge, group)
        if groups:
            self._found = True
            return True
        if len(rows) == _ROWS:
            last_ns = rows[-1][6]
            self._from_ns = last_ns if last_ns > self._from_ns else last_ns + 1
            return True
        self._level, self._from_ns = (self._level + 1) % len(_LENGTHS_NS), _FIRST_NS
        if self._level:
            return True
        found, self._found = self._found, False
        return found

    def look_at_clock(self, database: sqlite3.Connection) -> None:
        """Notice a clock that was set, before anything is taken by it: ages stay as they are."""
        wall_ns, steady_ns = time.time_ns(), time.monotonic_ns()
        before, self._clocks_ns = self._clocks_ns, (wall_ns, steady_ns)
        for table in ('profiles', 'batches'):
            if before is None:  # the clock may have been without the time in an earlier run
                database.execute(
                    f'UPDATE {table} SET taken_ns = ?1 WHERE taken_ns > ?1 OR taken_ns < ?2',  # noqa: S608
                    (wall_ns, min(_BEFORE_US_NS, wall_ns)),
                )
                continue
            step_ns = wall_ns - before[0] - (steady_ns - before[1])
            if abs(step_ns) > _LARGEST_STEP_NS:
                database.execute(f'UPDATE {table} SET taken_ns = taken_ns + ?', (step_ns,))  # noqa: S608

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


def neighbours(rows: Iterable[Sequence[Any]], level: int) -> list[list[int]]:
    """Return the ids of the rows that become one window each, in the order of rows.

    rows: (id, robot_id, stream, segment, epoch, source, start_ns, end_ns). Windows are cut at the
    full 5, 15 and 60 minutes since 1970, so that those of all robots line up: of five minutes, two,
    two and one become windows of level 0.
    """
    slots: dict[Hashable, list[int]] = defaultdict(list)
    for row_id, *stream, start_ns, end_ns in rows:
        key = (*stream, _slot(start_ns, level))
        if key[-1] == _slot(end_ns - 1, level):
            slots[key].append(row_id)
    return [ids for ids in slots.values() if len(ids) > 1]


def _slot(time_ns: int, level: int) -> tuple[int, int]:
    """Return which window of level a time is in."""
    length_ns, longer_ns = (*_LENGTHS_NS, _LENGTHS_NS[-1])[level : level + 2]
    return time_ns // longer_ns, time_ns % longer_ns // length_ns


def _merge_group(database: sqlite3.Connection, merge: Merge, ids: Sequence[int]) -> None:
    """Merge windows into one; where they do not belong together, a half of them at a time."""
    marks = ', '.join('?' * len(ids))
    query = f'{select("profiles", "taken_ns")} WHERE id IN ({marks}) ORDER BY start_ns'
    rows = database.execute(query, ids).fetchall()
    whole = [row for row in rows if is_whole('profiles', row)]
    if len(whole) < len(rows):
        damaged = [row[:1] for row in rows if not is_whole('profiles', row)]
        database.executemany('DELETE FROM profiles WHERE id = ?', damaged)
        count_dropped(database, 'damaged', len(damaged))
    if len(whole) < 2:
        return
    payload = _merged(merge, [decompress(row[-2]) for row in whole])
    if payload is None and len(whole) == 2:
        database.executemany(
            'UPDATE profiles SET final = 1 WHERE id = ?', [row[:1] for row in rows]
        )
        return
    if payload is None:
        half = len(whole) // 2
        for part in (whole[:half], whole[half:]):
            _merge_group(database, merge, [row[0] for row in part])
        return
    _, _, *identity, start_ns, _, source, _, _, _ = whole[0]
    end_ns, taken_ns = max(row[7] for row in whole), min(row[-1] for row in whole)
    database.executemany('DELETE FROM profiles WHERE id = ?', [row[:1] for row in whole])
    values = (*identity, start_ns, end_ns, source, 0, compress(payload))
    insert(database, 'profiles', *values, taken_ns=taken_ns)
    add_to(database, 'merged', len(whole) - 1)


def _merged(merge: Merge, payloads: Sequence[bytes]) -> bytes | None:
    """Return what merge makes of payloads, None where it cannot."""
    try:
        return merge(payloads)
    except ValueError:
        return None
    except Exception:  # a fault in it must not stop all that come after
        _log.exception('windows could not be merged, they stay as they are')
        return None
