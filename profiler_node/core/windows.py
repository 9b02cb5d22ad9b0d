"""The windows of a stream: when they close, and when an epoch begins.

A window closes when the newest stamp is past its end by the allowed lateness. A message further
back than that is late and dropped, unless the next ones, or the end of the stream, follow it: then
time has started anew (a looped bag, a clock that was set), the open windows close, and a new epoch
begins with nothing lost. The next ones are those until time goes on beyond the newest stamp, so
that a stream of few messages is told from its repetition too.
"""

from collections.abc import Sequence
from dataclasses import replace

from profiler_node.core.config import SketchConfig, WindowConfig
from profiler_node.core.counting import WindowCounts
from profiler_node.core.profile import Counters, Profile, Source
from profiler_node.core.snapshot import Snapshot
from profiler_node.core.timeline import Message, Timeline, Window

_CANDIDATES = 3  # messages without a newer stamp that may begin an epoch
_CONFIRMATIONS = 2  # of them that must be behind the allowed lateness


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
        self._current = Timeline(*self._config)
        self._candidate: list[Message] = []
        self._done = Counters()  # of the windows that were closed
        self._unread = WindowCounts()  # of messages that wait for a window
        self._unread_since_ns = 0
        self._cpu_ns = 0

    def add(self, message: Message) -> list[Profile]:
        """Add a message."""
        stamp_ns, current = message.stamp_ns, self._current
        if current.is_newest(stamp_ns) and current.is_closed(stamp_ns):
            self._candidate.append(message)  # its window was closed in a silence, too early
            return self._start_epoch()
        if not current.accepts(stamp_ns) or (self._candidate and not current.is_newest(stamp_ns)):
            self._candidate.append(message)
            if len(self._candidate) < _CANDIDATES:
                return []
            behind = sum(not current.accepts(each.stamp_ns) for each in self._candidate)
            if behind >= _CONFIRMATIONS:
                return self._start_epoch()
            self._candidate.pop()
        late = self._join_candidate()
        current.add(message)
        if (late or self._unread.seen) and (tally := current.newest_tally()):
            tally.seen += len(late)
            tally.late += len(late)
            for each in late:
                tally.count_missing(current.gaps.missing_before(each.stamp_ns), each.lost)
            self._move_unread(tally)
        return self._closed(current.close(current.newest_ns))

    def _join_candidate(self) -> list[Message]:
        """Add the candidate's messages as time goes on without it; return those that are late."""
        late = []
        for message in self._candidate:
            if self._current.accepts(message.stamp_ns):
                self._current.add(message)
            else:
                late.append(message)
        self._candidate = []
        return late

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
        self._current = Timeline(*self._config)

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
        return Window(start_ns, start_ns + length_ns, '').finish(self._source, self._epoch)

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

    def _closed(self, windows: Sequence[Window]) -> list[Profile]:
        if not windows:
            return []
        self._done = self._done.merged(*(window.tally.finish() for window in windows))
        return self._finish(windows)

    def _finish(self, windows: Sequence[Window]) -> list[Profile]:
        return [window.finish(self._source, self._epoch) for window in windows]
