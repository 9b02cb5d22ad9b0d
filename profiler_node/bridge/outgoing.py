"""What leaves the spool next, as batches that are formed once."""

import math
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from profiler_node.bridge.batch import decompress, object_key, pack
from profiler_node.bridge.tables import count_dropped, insert, is_whole, select

_MOST_FORMED = 8  # batches that wait, of those that were not refused
_MOST_REFUSED_BYTES = 32_000_000  # of those that were


@dataclass(frozen=True)
class Batch:
    """An object to be, already durable. profiles: how many are in it."""

    key: str
    body: bytes
    profiles: int


def next_batch(
    database: sqlite3.Connection, most_bytes: int, *, newest_first: bool, urgent_only: bool
) -> Batch | None:
    """Return what is to be sent now, None where there is nothing; see Spool.next_batch."""
    batch, refused = _choose(database, most_bytes, newest_first=newest_first, urgent=True)
    if batch is None and not urgent_only:
        batch, also = _choose(database, most_bytes, newest_first=newest_first, urgent=False)
        refused = refused or also
    return batch or refused


def _choose(
    database: sqlite3.Connection, most_bytes: int, *, newest_first: bool, urgent: bool
) -> tuple[Batch | None, Batch | None]:
    """Return the next batch that was never refused, and the one that was least often."""
    formed, newest_ns = _formed(database, newest_first=newest_first, urgent=urgent, refused=False)
    refused, _ = _formed(database, newest_first=newest_first, urgent=urgent, refused=True)
    waiting_ns = _newest_waiting(database, urgent=urgent) if newest_first else -math.inf
    if (formed is None or waiting_ns > newest_ns) and _may_form(database, urgent=urgent):
        new = _form(database, most_bytes, newest_first=newest_first, urgent=urgent)
        formed = new or formed
    return formed, refused


def _may_form(database: sqlite3.Connection, *, urgent: bool) -> bool:
    """Whether there are not too many batches already: what is in one is not merged any more."""
    query = (
        'SELECT count(*), coalesce(sum(length(body)), 0) FROM batches'
        ' WHERE urgent = ? AND (refusals > 0) = ?'
    )
    formed, _ = database.execute(query, (int(urgent), 0)).fetchone()
    _, refused_bytes = database.execute(query, (int(urgent), 1)).fetchone()
    return bool(formed < _MOST_FORMED and refused_bytes < _MOST_REFUSED_BYTES)


def _newest_waiting(database: sqlite3.Connection, *, urgent: bool) -> float:
    """Return the start [ns] of the last window that is in no batch."""
    query = 'SELECT start_ns FROM profiles WHERE urgent = ? ORDER BY start_ns DESC LIMIT 1'
    row = database.execute(query, (int(urgent),)).fetchone()
    return row[0] if row else -math.inf


def _formed(
    database: sqlite3.Connection, *, newest_first: bool, urgent: bool, refused: bool
) -> tuple[Batch | None, int]:
    """Return the batch that is next of those that were refused, or were not, and newest_ns."""
    order = 'newest_ns DESC' if newest_first else 'id'
    query = (
        f'{select("batches")} WHERE urgent = ? AND (refusals > 0) = ?'
        f' ORDER BY refusals, {order} LIMIT 1'
    )
    while row := database.execute(query, (int(urgent), int(refused))).fetchone():
        row_id, _, key, profiles, _, newest_ns, body = row
        if is_whole('batches', row):
            return Batch(key, body, profiles), newest_ns
        database.execute('DELETE FROM batches WHERE id = ?', (row_id,))
        count_dropped(database, 'damaged', profiles)
    return None, 0


def _form(
    database: sqlite3.Connection, most_bytes: int, *, newest_first: bool, urgent: bool
) -> Batch | None:
    """Make a batch of profiles of one robot, the first in this order and those that follow."""
    ids: list[tuple[int]] = []
    damaged: list[tuple[int]] = []
    payloads: list[bytes] = []
    robot_id, size = '', 0
    taken_ns, newest_ns = math.inf, -math.inf
    for row in _in_order(database, newest_first=newest_first, urgent=urgent):
        if not is_whole('profiles', row):
            damaged.append(row[:1])
            continue
        payload = decompress(row[10])
        if ids and size + len(payload) > most_bytes:
            break
        robot_id, size = row[2], size + len(payload)
        taken_ns, newest_ns = min(taken_ns, row[11]), max(newest_ns, row[6])
        ids.append(row[:1])
        payloads.append(payload)
    if damaged:
        database.executemany('DELETE FROM profiles WHERE id = ?', damaged)
        count_dropped(database, 'damaged', len(damaged))
    if not ids:
        return None
    in_order = payloads[::-1] if newest_first else payloads
    batch = Batch(object_key(robot_id, time.time_ns()), pack(in_order), len(ids))
    values = (batch.key, len(ids), int(urgent), newest_ns, batch.body)
    insert(database, 'batches', *values, taken_ns=taken_ns)
    database.executemany('DELETE FROM profiles WHERE id = ?', ids)
    return batch


def _in_order(
    database: sqlite3.Connection, *, newest_first: bool, urgent: bool
) -> Iterator[tuple[Any, ...]]:
    """Yield the profiles of the robot of the first."""
    order = 'DESC' if newest_first else 'ASC'
    by_time = f'urgent = ? ORDER BY start_ns {order}, id {order}'
    first = f'SELECT robot_id FROM profiles WHERE {by_time} LIMIT 1'  # noqa: S608 (our own words)
    robot = database.execute(first, (int(urgent),)).fetchone()
    if robot is not None:
        query = f'{select("profiles", "taken_ns")} WHERE robot_id = ? AND {by_time}'
        with closing(database.execute(query, (*robot, int(urgent)))) as rows:
            yield from rows


def refuse(database: sqlite3.Connection, key: str) -> None:
    """Let others go before a batch that the store does not take."""
    database.execute('UPDATE batches SET refusals = refusals + 1 WHERE key = ?', (key,))


def set_aside(database: sqlite3.Connection, key: str, reason: str, most_bytes: int) -> None:
    """Move a batch out of the way.

    most_bytes: of all that are kept so; the oldest beyond it are dropped.
    """
    query = 'SELECT profiles, body FROM batches WHERE key = ?'
    for profiles, body in database.execute(query, (key,)).fetchall():
        insert(database, 'refused', key, profiles, reason, body)
    database.execute('DELETE FROM batches WHERE key = ?', (key,))
    sizes = 'SELECT id, profiles, length(body) FROM refused ORDER BY id DESC'
    for row_id, profiles, size in database.execute(sizes).fetchall():
        most_bytes -= size
        if most_bytes < 0:
            database.execute('DELETE FROM refused WHERE id = ?', (row_id,))
            count_dropped(database, 'refused', profiles)
