"""The open windows of one epoch, which are tumbling, in event time, and aligned to 1970."""

import math
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
from profiler_node.core.profile import Profile, Source
from profiler_node.core.rows import Row
from profiler_node.core.snapshot import Snapshot


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


class Window:
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
        """Add a message that is of this window."""
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
        """Return what the window holds, as a profile of source."""
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


class Timeline:
    """The open windows of one epoch."""

    def __init__(self, config: WindowConfig, sketch: SketchConfig) -> None:
        self._length_ns, self._lateness_ns = config.length_ns, config.allowed_lateness_ns
        self._sketch = sketch
        self._open: dict[tuple[int, str], Window] = {}
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
            self._open[start_ns, segment] = Window(start_ns, end_ns, segment, before)
            self._first_end_ns = min(self._first_end_ns, end_ns)

    def open(self) -> list[Window]:
        """Return the open windows, oldest first."""
        return [self._open[key] for key in sorted(self._open)]

    def accepts(self, stamp_ns: int) -> bool:
        """Whether the message is neither behind the allowed lateness nor in a closed window."""
        if self.newest_ns is None:
            return not self.is_closed(stamp_ns)
        late_ns = self.newest_ns - self._lateness_ns
        return stamp_ns >= late_ns and not self.is_closed(stamp_ns)

    def is_newest(self, stamp_ns: int) -> bool:
        """Whether no message had a later stamp, nor this one."""
        return self.newest_ns is None or stamp_ns > self.newest_ns

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

    def window_at(self, stamp_ns: int, segment: str = '') -> Window:
        """Return the open window for stamp_ns and segment, made where there is none."""
        start_ns = stamp_ns - stamp_ns % self._length_ns
        key = start_ns, segment
        window = self._open.get(key)
        if window is None:
            end_ns = start_ns + self._length_ns
            window = self._open[key] = Window(start_ns, end_ns, segment)
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

    def close(self, until_ns: int | None = None) -> list[Window]:
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
