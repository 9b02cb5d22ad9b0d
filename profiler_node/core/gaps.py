"""How many messages are missing."""

from collections import deque
from statistics import median

_REMEMBERED = 32  # intervals
_FEWEST = 8  # intervals that tell a period
_REGULAR_SHARE = 0.75  # of the intervals must be within the tolerance of the period
_TOLERANCE = 0.2
_SHORTEST_GAP = 1.5  # periods


class SequenceGaps:
    """Follows the sequence numbers of one publisher."""

    def __init__(self) -> None:
        self._newest: int | None = None

    def lost_before(self, number: int) -> int:
        """Return how many messages are missing before the one with this number."""
        newest, self._newest = self._newest, number
        # A smaller number is of a publisher that was started again.
        return 0 if newest is None else max(number - newest - 1, 0)


class StampGaps:
    """Follows the stamps of one stream, which tell it where that is regular.

    longest_ns: a longer silence is a publisher that was stopped, not messages that were lost.
    """

    def __init__(self, longest_ns: int) -> None:
        self._longest_ns = longest_ns
        self._newest_ns: int | None = None
        self._intervals_ns: deque[int] = deque(maxlen=_REMEMBERED)

    def lost_before(self, stamp_ns: int) -> int:
        """Return how many messages are missing before this one; 0 while the stream is irregular."""
        newest_ns = self._newest_ns
        if newest_ns is None or stamp_ns <= newest_ns:
            self._newest_ns = stamp_ns if newest_ns is None else newest_ns
            return 0
        self._newest_ns = stamp_ns
        interval_ns = stamp_ns - newest_ns
        period_ns = self._period_ns()
        self._intervals_ns.append(interval_ns)
        if period_ns and _SHORTEST_GAP * period_ns < interval_ns <= self._longest_ns:
            return round(interval_ns / period_ns) - 1
        return 0

    def _period_ns(self) -> float:
        """Return the time between two messages, 0 where it is not regular."""
        if len(self._intervals_ns) < _FEWEST:
            return 0.0
        period_ns = median(self._intervals_ns)
        near = sum(abs(i - period_ns) <= _TOLERANCE * period_ns for i in self._intervals_ns)
        return period_ns if near >= _REGULAR_SHARE * len(self._intervals_ns) else 0.0
