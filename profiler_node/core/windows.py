"""Tumbling windows in event time, aligned to 1970.

A window closes when the newest stamp is past its end by the allowed lateness. A message further
back than that is late and dropped, unless the next ones, or the end of the stream, follow it: then
time has started anew (a looped bag, a clock that was set), the open windows close, and a new epoch
begins with nothing lost.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from profiler_node.core.accumulators import (
    Accumulator,
    NumericAccumulator,
    RowsAccumulator,
    accumulator_for,
)
from profiler_node.core.config import NS_PER_S, SketchConfig, WindowConfig
from profiler_node.core.counting import WindowCounts
from profiler_node.core.gaps import StampGaps
from profiler_node.core.observation import Observation, Tally, Value
from profiler_node.core.profile import Counters, Profile, Source
from profiler_node.core.rows import Row
from profiler_node.core.snapshot import Snapshot

_CONFIRMATIONS = 3  # messages in a row, behind the allowed lateness, that make a new epoch


@dataclass(slots=True)
class Message:
    """What is known of one message with a stamp.

    stamp_ns: event time since 1970. error: why its content has no features, '' if it has. segment:
    the part of the stream that it belongs to. lost: how many before it were published and never
    received, None where that is to be told from the stamps. zero_stamp: event time is the receive
    time. foreign_stamp: the stamp is of another clock than the receive time. row: the numbers of a
    type of fixed layout.
    """

    stamp_ns: int
    observation: Observation
    error: str = ''
    segment: str = ''
    lost: int | None = None
    zero_stamp: bool = False
    foreign_stamp: bool = False
    row: Row | None = None


class _Window:
    """An open window [start_ns, end_ns) of one segment.

    before: what an earlier process had of it.
    """

    def __init__(
        self, start_ns: int, end_ns: int, segment: str, before: Profile | None = None
    ) -> None:
        self.start_ns = start_ns
        self.end_ns = end_ns
        self.segment = segment
        self.tally = WindowCounts(interruptions=int(before is not None))
        self._before = before
        self.features: dict[str, Accumulator] = {}
        self._rows: RowsAccumulator | None = None
        self._first_stamp_ns = 0  # the smallest of the messages whose content was read

    def add(self, message: Message, sketch: SketchConfig) -> None:
        for name, value in message.observation.items():
            accumulator = self.features.get(name)
            if accumulator is None:
                accumulator = self.features[name] = self._accumulator_for(value, sketch)
            accumulator.add(value, message.stamp_ns)
        if message.row is not None:
            if self._rows is None:
                self._rows = RowsAccumulator(sketch)
            self._rows.add(message.row, message.stamp_ns)
        if message.error:
            self.tally.decode_errors[message.error] += 1
            return
        first_ns = self._first_stamp_ns if self.tally.decoded else message.stamp_ns
        self._first_stamp_ns = min(first_ns, message.stamp_ns)
        self.tally.decoded += 1

    def _accumulator_for(self, value: Value, sketch: SketchConfig) -> Accumulator:
        accumulator = accumulator_for(value, sketch)
        if isinstance(value, Tally) and isinstance(accumulator, NumericAccumulator):
            accumulator.add_zeros(self.tally.decoded, self._first_stamp_ns)
        return accumulator

    def finish(self, source: Source, epoch: int) -> Profile:
        features = {name: feature.finish() for name, feature in self.features.items()}
        if self._rows is not None:
            features |= self._rows.finish()
        profile = Profile(
            source=replace(source, segment=self.segment),
            epoch=epoch,
            window_start_ns=self.start_ns,
            window_end_ns=self.end_ns,
            counters=self.tally.finish(),
            features=MappingProxyType(dict(sorted(features.items()))),
        )
        if self._before is None:
            return profile
        # Another release may have made a feature of another kind.
        now, before = profile.features, self._before.features
        same = [n for n in before if n not in now or now[n].kind == before[n].kind]
        return self._before.with_features(same).merged(profile)


class _Timeline:
    """The open windows of one epoch."""

    def __init__(self, config: WindowConfig, sketch: SketchConfig) -> None:
        self._length_ns, self._lateness_ns = config.length_ns, config.allowed_lateness_ns
        self._sketch = sketch
        self._open: dict[tuple[int, str], _Window] = {}
        self.gaps = StampGaps()
        self._segment = ''
        self.closed_until_ns: int | None = None
        self.last_stamp_ns: int | None = None
        self.after_gap = False  # whether one was left out since
        self._interrupted = False  # and no message has come since
        self._first_end_ns: float = math.inf  # of the open windows
        self.newest_ns: int | None = None  # the largest stamp so far, the watermark

    def resume(self, snapshot: Snapshot) -> None:
        """Go on where an earlier process was."""
        self.newest_ns, self.last_stamp_ns = snapshot.newest_ns, snapshot.last_stamp_ns
        self.closed_until_ns = snapshot.closed_until_ns
        self.after_gap = self._interrupted = True
        for before in snapshot.open:
            start_ns, end_ns = before.window_start_ns, before.window_end_ns
            segment = before.source.segment
            self._open[start_ns, segment] = _Window(start_ns, end_ns, segment, before)
            self._first_end_ns = min(self._first_end_ns, end_ns)

    def open(self) -> list[_Window]:
        """Return the open windows, oldest first."""
        return [self._open[key] for key in sorted(self._open)]

    def accepts(self, stamp_ns: int) -> bool:
        """Whether the message is neither behind the allowed lateness nor in a closed window."""
        if self.newest_ns is None:
            return not self.is_closed(stamp_ns)
        late_ns = self.newest_ns - self._lateness_ns
        return stamp_ns >= late_ns and not self.is_closed(stamp_ns)

    def is_closed(self, stamp_ns: int) -> bool:
        """Whether the window for stamp_ns, or one after it, has been closed."""
        return self.closed_until_ns is not None and stamp_ns < self.closed_until_ns

    def add(self, message: Message) -> None:
        """Add a message; it must be accepted."""
        window = self.window_at(message.stamp_ns, message.segment)
        self._segment = message.segment
        self.newest_ns = max(message.stamp_ns, self.newest_ns or message.stamp_ns)
        tally = window.tally
        tally.seen += 1
        tally.zero_stamps += message.zero_stamp
        tally.foreign_stamps += message.foreign_stamp
        tally.count_missing(self.gaps.missing_before(message.stamp_ns), message.lost)
        if self.last_stamp_ns is not None:
            interval_ns = message.stamp_ns - self.last_stamp_ns
            if interval_ns < 0:
                tally.stamp_regressions += 1
            elif not self.after_gap:
                message.observation['message/interval_s'] = interval_ns / NS_PER_S
            tally.duplicate_stamps += interval_ns == 0
        self.last_stamp_ns, self.after_gap = message.stamp_ns, False
        if self._interrupted:  # its window, too, is without what came before
            tally.interruptions, self._interrupted = 1, False
        window.add(message, self._sketch)

    def window_at(self, stamp_ns: int, segment: str = '') -> _Window:
        """Return the open window for stamp_ns and segment, made where there is none."""
        start_ns = stamp_ns - stamp_ns % self._length_ns
        key = start_ns, segment
        window = self._open.get(key)
        if window is None:
            end_ns = start_ns + self._length_ns
            window = self._open[key] = _Window(start_ns, end_ns, segment)
            self._first_end_ns = min(self._first_end_ns, end_ns)
        return window

    def newest_tally(self) -> WindowCounts | None:
        """Return the tally of the newest open window, None where none is open.

        Of the segments at that time it is the last message's.
        """
        if not self._open:
            return None
        newest = max(self._open)
        return self._open.get((newest[0], self._segment), self._open[newest]).tally

    def close(self, until_ns: int | None = None) -> list[_Window]:
        """Close and return, oldest first, the windows due at event time until_ns; None: all."""
        limit_ns = math.inf if until_ns is None else until_ns - self._lateness_ns
        if limit_ns < self._first_end_ns:
            return []
        due = [window for window in self._open.values() if window.end_ns <= limit_ns]
        due.sort(key=lambda window: (window.start_ns, window.segment))
        for window in due:
            del self._open[window.start_ns, window.segment]
            self.closed_until_ns = max(self.closed_until_ns or window.end_ns, window.end_ns)
        self._first_end_ns = min(
            (window.end_ns for window in self._open.values()), default=math.inf
        )
        return due


class Windows:
    """The windows of one stream. What closes profiles returns them, in order.

    epoch: the first epoch, so that a restarted process does not take an identity twice.
    """

    def __init__(
        self, source: Source, window: WindowConfig, sketch: SketchConfig, epoch: int = 0
    ) -> None:
        self._source = source
        self._config = (window, sketch)
        self._epoch, self._next_epoch = epoch, epoch + 1
        self._current = _Timeline(*self._config)
        self._candidate: list[Message] = []
        self._done = Counters()  # of the windows that were closed
        self._unread = WindowCounts()  # of messages that wait for a window
        self._unread_since_ns = 0
        self._cpu_ns = 0

    def add(self, message: Message) -> list[Profile]:
        """Add a message."""
        if not self._current.accepts(message.stamp_ns):
            self._candidate.append(message)
            return self._start_epoch() if len(self._candidate) == _CONFIRMATIONS else []
        self._current.add(message)
        if (self._candidate or self._unread.seen) and (tally := self._current.newest_tally()):
            # Time went on without the candidate.
            tally.seen += len(self._candidate)
            tally.late += len(self._candidate)
            for late in self._candidate:
                tally.count_missing(self._current.gaps.missing_before(late.stamp_ns), late.lost)
            self._move_unread(tally)
            self._candidate = []
        return self._closed(self._current.close(self._current.newest_ns))

    def _start_epoch(self) -> list[Profile]:
        """Close all windows and go on from the candidate's messages."""
        closed = self._closed(self._current.close())
        candidate, self._candidate = self._candidate, []
        last_ns = self._current.last_stamp_ns
        self._begin_epoch()
        for message in candidate:
            closed += self.add(message)
        if (tally := self._current.newest_tally()) and last_ns is not None:
            tally.stamp_regressions += candidate[0].stamp_ns < last_ns
        return closed

    def _begin_epoch(self) -> None:
        self._epoch, self._next_epoch = self._next_epoch, self._next_epoch + 1
        self._current = _Timeline(*self._config)

    def add_unreadable(
        self, reason: str, receive_ns: int, lost: int | None = None
    ) -> list[Profile]:
        """Count a message whose stamp could not be read, received at receive_ns.

        lost: as of Message. It belongs to the newest window. Without an open one it waits for the
        next; if none but such messages come for the length of a window, they get one of their own,
        by receive time.
        """
        closed = self._close_old_unread(receive_ns)
        self._unread.decode_errors[reason] += 1
        self._count_unread(lost)
        return closed

    def add_shed(self, receive_ns: int, lost: int | None = None) -> list[Profile]:
        """Count a message that was left out on purpose; as add_unreadable."""
        closed = self._close_old_unread(receive_ns)
        self._unread.shed += 1
        self._count_unread(lost)
        self._current.after_gap = True  # the next interval is not one between two messages
        return closed

    def _close_old_unread(self, receive_ns: int) -> list[Profile]:
        window, _ = self._config
        waited_ns = receive_ns - self._unread_since_ns
        closed = self._close_unread() if waited_ns >= window.length_ns else []
        if not self._unread.seen:
            self._unread_since_ns = receive_ns
        return closed

    def _count_unread(self, lost: int | None) -> None:
        self._unread.seen += 1
        self._unread.lost += lost or 0
        self._current.gaps.unreadable()
        if tally := self._current.newest_tally():
            self._move_unread(tally)

    def _move_unread(self, tally: WindowCounts) -> None:
        unread, self._unread = self._unread, WindowCounts()
        tally.seen += unread.seen
        tally.decode_errors += unread.decode_errors
        tally.shed += unread.shed
        tally.lost += unread.lost

    def _close_unread(self) -> list[Profile]:
        """Give the messages that wait for a window one of their own, and close it."""
        if not self._unread.seen:
            return []
        if self._current.is_closed(self._unread_since_ns):
            self._begin_epoch()
        self._move_unread(self._current.window_at(self._unread_since_ns).tally)
        return self._closed(self._current.close())

    def count_cost(self, cpu_ns: int, peak_rss_bytes: int = 0) -> None:
        """Charge CPU time to the newest window, and note the peak memory of the process so far.

        Without an open window the cost waits for the next one.
        """
        self._cpu_ns += cpu_ns
        if tally := self._current.newest_tally():
            tally.cpu_ns, self._cpu_ns = tally.cpu_ns + self._cpu_ns, 0
            tally.peak_rss_bytes = max(tally.peak_rss_bytes, peak_rss_bytes)

    def close_silent(self, silent_ns: int) -> list[Profile]:
        """Close the windows that are over when nothing has come for silent_ns."""
        closed: list[Profile] = []
        if self._current.newest_ns is not None:
            closed += self._closed(self._current.close(self._current.newest_ns + silent_ns))
        if self._candidate and not self._current.newest_tally():
            closed += self._start_epoch()
        window, _ = self._config
        return closed + (self._close_unread() if silent_ns >= window.length_ns else [])

    def close(self) -> list[Profile]:
        """Close all windows."""
        closed: list[Profile] = []
        while self._candidate:
            closed += self._start_epoch()
        return closed + self._closed(self._current.close()) + self._close_unread()

    def snapshot(self) -> Snapshot:
        """Return what another process needs to go on from here; nothing changes.

        Messages that wait for a window are in it as counts, those that may begin an epoch as late.
        """
        current = self._current
        profiles = self._finish(current.open())
        if waiting := len(self._candidate) + self._unread.seen:
            since_ns = self._candidate[0].stamp_ns if self._candidate else self._unread_since_ns
            last = profiles.pop() if profiles else self._empty(since_ns)
            late = len(self._candidate)
            counters = replace(self._unread.finish(), seen=waiting, late=late)
            profiles.append(replace(last, counters=last.counters.merged(counters)))
        newest_ns = current.newest_ns
        if newest_ns is None and profiles:
            newest_ns = profiles[0].window_start_ns
        return Snapshot(
            self._epoch, newest_ns, current.last_stamp_ns, current.closed_until_ns, tuple(profiles)
        )

    def _empty(self, stamp_ns: int) -> Profile:
        """Return a profile of nothing, of the first window for stamp_ns that was not closed."""
        length_ns = self._config[0].length_ns
        stamp_ns = max(stamp_ns, self._current.closed_until_ns or stamp_ns)
        start_ns = stamp_ns - stamp_ns % length_ns
        return _Window(start_ns, start_ns + length_ns, '').finish(self._source, self._epoch)

    def resume(self, snapshot: Snapshot) -> None:
        """Go on from the snapshot of an earlier process, before the first message.

        Epochs that begin later are those that were given to this one.
        """
        self._next_epoch, self._epoch = self._epoch, snapshot.epoch
        self._current.resume(snapshot)

    def totals(self) -> Counters:
        """Return the counters of this process so far, over all windows."""
        tallies = [window.tally for window in self._current.open()]
        return self._done.merged(*(tally.finish() for tally in (*tallies, self._unread)))

    def _closed(self, windows: Sequence[_Window]) -> list[Profile]:
        if not windows:
            return []
        self._done = self._done.merged(*(window.tally.finish() for window in windows))
        return self._finish(windows)

    def _finish(self, windows: Sequence[_Window]) -> list[Profile]:
        return [window.finish(self._source, self._epoch) for window in windows]
