"""How many bytes may leave the robot, per second and per day."""

from collections.abc import Mapping

_NS_PER_S = 1_000_000_000
_DAY_S = 86_400
_DAY, _DAY_BYTES, _DEBT_MS, _CHARGED_NS = 'sent.day', 'sent.bytes', 'sent.debt_ms', 'sent.ns'
NUMBERS = (_DAY, _DAY_BYTES, _DEBT_MS, _CHARGED_NS)
"""What is to be kept over a restart, by name."""


class ByteBudget:
    """Says when the next object may be sent.

    per_s, per_day: bytes, 0 for no limit. kept: the numbers that `charge` returned last, in an
    earlier run. Steady times are in seconds of any steady clock, wall times in ns since 1970.
    """

    def __init__(self, per_s: float, per_day: int, kept: Mapping[str, int]) -> None:
        self._per_s, self._per_day = per_s, per_day
        self._day, self._day_bytes = kept.get(_DAY, 0), kept.get(_DAY_BYTES, 0)
        self._debt_ms, self._charged_ns = kept.get(_DEBT_MS, 0), kept.get(_CHARGED_NS, 0)
        self._free_at_s: float | None = None  # None: the debt of an earlier run is not counted yet

    def wait_s(self, size: int, steady_s: float, wall_ns: int) -> float:
        """Return how long an object of size bytes has to wait [s], 0 where it may be sent now."""
        wait_s = 0.0
        if self._per_s:
            wait_s = max(self._free_at(steady_s, wall_ns) - steady_s, 0.0)
        # One that is larger than the budget of a day goes alone, or it would never go.
        if self._per_day and 0 < self._sent_on(wall_ns) > self._per_day - size:
            wait_s = max(wait_s, _DAY_S - wall_ns / _NS_PER_S % _DAY_S)
        return wait_s

    def charge(self, size: int, steady_s: float, wall_ns: int) -> Mapping[str, int]:
        """Count an object that is about to be sent, and return the numbers to be kept before."""
        self._day_bytes = self._sent_on(wall_ns) + size
        self._day = wall_ns // _NS_PER_S // _DAY_S
        debt_s = 0.0
        if self._per_s:
            self._free_at_s = max(self._free_at(steady_s, wall_ns), steady_s) + size / self._per_s
            debt_s = self._free_at_s - steady_s
        self._debt_ms, self._charged_ns = round(debt_s * 1e3), wall_ns
        values = self._day, self._day_bytes, self._debt_ms, self._charged_ns
        return dict(zip(NUMBERS, values, strict=True))

    def refund(self, size: int, steady_s: float) -> Mapping[str, int]:
        """Take the last charge back: nothing was sent; return the numbers to be kept."""
        self._day_bytes -= size
        self._free_at_s, self._debt_ms = steady_s, 0
        values = self._day, self._day_bytes, self._debt_ms, self._charged_ns
        return dict(zip(NUMBERS, values, strict=True))

    def left_today(self, wall_ns: int) -> int | None:
        """Return how many bytes may still be sent today, None where there is no limit."""
        return max(self._per_day - self._sent_on(wall_ns), 0) if self._per_day else None

    def _sent_on(self, wall_ns: int) -> int:
        """Return the bytes of the day of wall_ns.

        A clock that goes back over midnight gives nothing back; one that was days ahead was wrong.
        """
        day = wall_ns // _NS_PER_S // _DAY_S
        return self._day_bytes if day in {self._day, self._day - 1} else 0

    def _free_at(self, steady_s: float, wall_ns: int) -> float:
        """Return the steady time from which on the next object may be sent."""
        if self._free_at_s is None:
            gone_ms = (wall_ns - self._charged_ns) // 1_000_000
            # With a clock that was set since, at most the whole debt.
            rest_ms = min(max(self._debt_ms - gone_ms, 0), self._debt_ms)
            self._free_at_s = steady_s + rest_ms / 1e3
        return self._free_at_s
