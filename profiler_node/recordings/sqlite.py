"""Recordings of rosbag2 in sqlite3, read by row number, which leaves their index unused."""

import sqlite3
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from profiler_node.recordings.message import (
    Language,
    Message,
    Messages,
    Note,
    RecordingError,
    Span,
    Topic,
    full_type,
)

MAGIC = b'SQLite format 3\0'
_LANGUAGES: dict[str, Language] = {'ros2msg': 'msg', 'ros2idl': 'idl'}
_LAST_ROW = 2**62
_LAST_NS = 2**63 - 1
_DEFINITIONS = 'SELECT topic_type, encoding, encoded_message_definition FROM message_definitions'
_TOPICS = 'SELECT id, name, type, serialization_format FROM topics'


class SqliteFile:
    """One sqlite3 file. note: is told what is damaged. Raises RecordingError."""

    def __init__(self, path: Path, note: Note) -> None:
        self._path = path
        self._note = note
        self._row, self._rows = 0, 1
        try:
            self._database = self._opened()
            self._topics = self._read_topics()
        except (sqlite3.Error, OSError) as error:
            raise RecordingError(f'{path}: no topics can be read: {error}') from error

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    @property
    def progress(self) -> float:
        """The share of the rows that has been read."""
        return min(1.0, self._row / self._rows)

    def topics(self) -> list[Topic]:
        """Return the topics."""
        return list(self._topics.values())

    def _read_topics(self) -> dict[int, Topic]:
        definitions: dict[str, tuple[Language, str]] = {}
        with suppress(sqlite3.DatabaseError):  # older recordings have none
            for name, encoding, text in self._database.execute(_DEFINITIONS):
                if isinstance(text, str):
                    definitions[name] = _LANGUAGES.get(encoding, ''), text
        topics = {}
        for number, name, message_type, encoding in self._database.execute(_TOPICS):
            language, text = definitions.get(message_type, ('', ''))
            if all(isinstance(each, str) for each in (name, message_type, encoding)):
                topics[number] = Topic(name, full_type(message_type), encoding, language, text)
        return topics

    def messages(self, wanted: Collection[str] | None, span: Span) -> Messages:
        """Yield the messages on the wanted topics, None for all, as they are in the file."""
        numbers = [n for n, topic in self._topics.items() if wanted is None or topic.name in wanted]
        # All rows are walked, or damage between those that are wanted would be met again and again.
        marks = ','.join('?' * len(numbers))
        query = (
            f'SELECT id, topic_id, timestamp, CASE WHEN topic_id IN ({marks}) '  # noqa: S608
            'AND timestamp >= ? AND timestamp <= ? THEN data END '
            'FROM messages NOT INDEXED WHERE id > ? ORDER BY id'
        )
        first_ns, last_ns = (max(-_LAST_NS - 1, min(_LAST_NS, ns)) for ns in (span[0], span[1] - 1))
        unknown = strange = 0
        self._row, self._rows = 0, self._last_row()
        while self._row < self._rows:
            try:
                rows = self._database.execute(query, (*numbers, first_ns, last_ns, self._row))
                for row, number, log_ns, data in rows:
                    if row <= self._row or number is None:  # as in a page of zeros
                        raise sqlite3.DatabaseError('no row of a message')  # noqa: TRY301
                    self._row = row
                    if number not in self._topics:
                        unknown += 1
                    elif not isinstance(log_ns, int) or isinstance(data, (str, int, float)):
                        strange += 1
                    elif data is not None:
                        yield Message(self._topics[number], log_ns, memoryview(data))
                self._row = self._rows
            except sqlite3.DatabaseError as error:
                self._row = self._skip_damage(str(error))
        if unknown:
            self._note(f'{unknown} messages are of topics whose description is lost')
        if strange:
            self._note(f'{strange} messages have no time or content that can be read')

    def _last_row(self) -> int:
        try:
            return int(self._database.execute('SELECT max(id) FROM messages').fetchone()[0] or 1)
        except sqlite3.DatabaseError:
            return _LAST_ROW  # not known

    def _skip_damage(self, what: str) -> int:
        """Return the row after which to go on."""
        after = self._after_damage()
        where = f'goes on at row {after}' if after else 'nothing behind it can be read'
        self._note(f'damaged after row {self._row} ({what}), {where}')
        return after - 1 if after else self._rows

    def _after_damage(self) -> int | None:
        """Return a row behind the damage that can be read, close to it; None if there is none."""
        first = bad = self._row + 1
        step = 1
        while (good := self._readable_from(first + step)) is None:
            bad, step = first + step, 2 * step
            if step > _LAST_ROW:
                return None
        if not good:
            return None
        while good - bad > 1:
            middle = (bad + good) // 2
            found = self._readable_from(middle)
            if found:
                good = min(middle, found)
            else:
                bad = middle
        return good

    def _readable_from(self, row: int) -> int | None:
        """Return the first row from row on, 0 if there is none, None where that is damaged."""
        query = 'SELECT id, data FROM messages NOT INDEXED WHERE id >= ? ORDER BY id LIMIT 1'
        try:
            found = self._database.execute(query, (row,)).fetchone()
        except sqlite3.DatabaseError:
            return None
        if found is None:
            return 0
        return int(found[0]) if found[0] >= row else None

    def _opened(self) -> sqlite3.Connection:
        """Return the database, open to be read, also where it is cut off. Raises sqlite3.Error."""
        path = self._path
        log = path.with_name(f'{path.name}-wal')
        index = path.with_name(f'{path.name}-shm')
        left = '' if index.exists() else f', for which {index.name} was made'
        modes = ['immutable=1']
        if log.exists() and log.stat().st_size:  # what a recorder has not yet moved into the file
            modes.insert(0, 'mode=ro')
        problem: sqlite3.Error | None = None
        for mode in modes:
            database = sqlite3.connect(f'{path.absolute().as_uri()}?{mode}', uri=True)
            try:
                # Or a file that is shorter than its head says is refused.
                database.execute('PRAGMA writable_schema=ON')
                database.execute(_TOPICS).fetchone()
            except sqlite3.Error as error:
                database.close()
                problem = error
            else:
                if mode == 'mode=ro':
                    self._note(f'it was not closed; {log.name} is read with it{left}')
                if problem:
                    self._note(f'{log.name} cannot be read ({problem}): what is in it is missing')
                return database
        raise problem or sqlite3.OperationalError(f'{path} cannot be opened')
