"""How many messages are missing."""

from collections import deque
from statistics import median

from profiler_node.core.config import NS_PER_S

_LONGEST_GAP_NS = 60 * NS_PER_S  # a longer silence is a publisher that was stopped
_REMEMBERED = 32  # intervals
_FEWEST = 8  # intervals that tell a period
_REGULAR_SHARE = 0.75  # of the intervals must be within the tolerance of the period
_TOLERANCE = 0.2
_SHORTEST_GAP = 1.5  # periods
_MOST_LONG = 3  # intervals in a row that are gaps; more of them are another rate


class SequenceGaps:
    """Follows the sequence numbers of a publisher that is alone on its topic."""

    def __init__(self) -> None:
        self._newest: int | None = None
        self._alone = True

    def lost_before(self, number: int) -> int | None:
        """Return how many messages are missing before the one with this number.

        None from the first number on that runs back: it is another publisher's, and a message does
        not say whose it is.
        """
        newest, self._newest = self._newest, number
        self._alone = self._alone and (newest is None or number > newest)
        if not self._alone:
            return None
        return 0 if newest is None else number - newest - 1


class StampGaps:
    """Follows the stamps of one stream, which tell it where that is regular.

    A gap is believed when the next interval is regular again: else the rate has changed.
    """

    def __init__(self) -> None:
        self._newest_ns: int | None = None
        self._intervals_ns: deque[int] = deque(maxlen=_REMEMBERED)
        self._unreadable = 0  # messages since the newest stamp
        self._doubtful = 0  # messages that are missing if the next interval is regular
        self._long = 0  # intervals in a row
        self._missing = 0  # messages that were said to be, and have not come since

    def unreadable(self) -> None:
        """Take a message that came without a stamp that can be read."""
        self._unreadable += 1

    def missing_before(self, stamp_ns: int) -> int:
        """Return how many messages have been missing; 0 while the stream is irregular.

        -1: this is one of those that were said to be missing.
        """
        newest_ns = self._newest_ns
        if newest_ns is not None and stamp_ns <= newest_ns:
            return -1 if stamp_ns < newest_ns and self._was_missing() else 0
        self._newest_ns = stamp_ns
        unreadable, self._unreadable = self._unreadable, 0
        if newest_ns is None:
            return 0
        periods = self._periods(stamp_ns - newest_ns)
        self._intervals_ns.append(stamp_ns - newest_ns)
        if periods > 1:
            self._long += 1
            self._doubtful += max(periods - 1 - unreadable, 0)
            return 0
        missing = self._doubtful if self._long <= _MOST_LONG else 0
        self._doubtful = self._long = 0
        self._missing += missing
        return missing

    def _was_missing(self) -> bool:
        """Take a message that came after a newer one; whether it had been said to be missing."""
        if self._doubtful:
            self._doubtful -= 1
            return False
        said = self._missing > 0
        self._missing -= said
        return said

    def _periods(self, interval_ns: int) -> int:
        """Return how many periods an interval is, 1 where that cannot be told."""
        shortest_ns = min(self._intervals_ns, default=interval_ns)
        if not _SHORTEST_GAP * shortest_ns < interval_ns <= _LONGEST_GAP_NS:
            return 1
        period_ns = self._period_ns()
        return max(round(interval_ns / period_ns), 1) if period_ns else 1

    def _period_ns(self) -> float:
        """Return the time between two messages, 0 where it is not regular."""
        if len(self._intervals_ns) < _FEWEST:
            return 0.0
        period_ns = median(self._intervals_ns)
        near = sum(abs(i - period_ns) <= _TOLERANCE * period_ns for i in self._intervals_ns)
        return period_ns if near >= _REGULAR_SHARE * len(self._intervals_ns) else 0.0
