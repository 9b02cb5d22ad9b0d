"""Load shedding: whole messages are left out, evenly, where there is no time for all of them.

Streams share the time fairly: one that needs less than its share is profiled in full, and what it
leaves is for the others. Of a stream that needs more, every so many-th message is profiled.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from profiler_node.core.config import NS_PER_S

# It is an overload when through a whole period a share of a queue was taken, or several messages
# waited so long: of a queue that is just filling up there is more than has been seen of it.
_FULL, _LONG_WAIT_NS, _SEVERAL = 0.5, NS_PER_S // 5, 3
_BACK_OFF, _RECOVERY = 0.7, 1.03
_LEAST_NS = NS_PER_S // 100  # a second, from where it recovers
_FORGETTING = 0.2  # weight of what is newest in the mean cost of a message, and in the rate
_SHORTEST_PERIOD_NS = NS_PER_S // 2
_LONGEST_DEBT_S = 10  # of the budget


@dataclass(slots=True)
class _Load:
    """What one stream asks for. kept: share of its messages that is profiled."""

    queue_depth: int
    kept: float = 1.0
    credit: float = 1.0
    cost_ns: float = 0.0
    rate_hz: float = 0.0
    arrived: int = 0
    missed: int = 0
    waited_ns: float = math.inf

    @property
    def came(self) -> int:
        """Messages of this period, with those that our queue may have had no room for."""
        return self.arrived + min(self.missed, self.queue_depth)

    def is_over(self, elapsed_ns: int) -> bool:
        """Whether messages have been waiting all the time: long, or in a queue that gets full.

        One that waits alone waits for other streams.
        """
        if not self.arrived:
            return False
        queued = self.waited_ns * self.came / elapsed_ns
        waited_long = self.waited_ns > _LONG_WAIT_NS and self.arrived >= _SEVERAL
        return queued > 1 and (waited_long or queued > _FULL * self.queue_depth)

    def end_period(self, elapsed_ns: int) -> None:
        """Take what has come in the period into the rate, which rises at once and falls slowly."""
        rate_hz = self.came * NS_PER_S / elapsed_ns
        self.rate_hz = max(rate_hz, self.rate_hz + _FORGETTING * (rate_hz - self.rate_hz))
        self.arrived = self.missed = 0
        self.waited_ns = math.inf


@dataclass(slots=True)
class LoadShedding:
    """Decides which messages are profiled.

    budget: CPU time that profiling may take, as a share of one core; 0: as much as there is.
    """

    budget: float = 0.0
    _loads: dict[str, _Load] = field(default_factory=dict)
    _capacity_ns: float = math.inf  # a second, while the machine does not keep up
    _spent_ns: float = 0.0
    _balance_ns: float = 0.0  # of the budget, from the periods before

    def begin(self, stream: str, queue_depth: int) -> None:
        """Add a stream, of which so many messages may wait."""
        self._loads[stream] = _Load(queue_depth)

    def admits(self, stream: str, waited_ns: int = 0, lost: int = 0) -> bool:
        """Whether to profile the message that has arrived, waited_ns ago, after lost others."""
        load = self._loads[stream]
        load.arrived += 1
        load.missed += lost
        load.waited_ns = min(load.waited_ns, max(waited_ns, 0))
        load.credit += load.kept
        if load.credit < 1:
            return False
        load.credit -= 1
        return True

    def count_cost(self, stream: str, cpu_ns: int) -> None:
        """Charge CPU time to stream, for one message."""
        load = self._loads[stream]
        self._spent_ns += cpu_ns
        load.cost_ns += (_FORGETTING if load.cost_ns else 1.0) * (cpu_ns - load.cost_ns)

    def adapt(self, elapsed_ns: int) -> bool:
        """Choose what to keep of each stream by what the last period, elapsed_ns long, was like.

        False where it was too short to tell, and goes on.
        """
        if elapsed_ns < _SHORTEST_PERIOD_NS:
            return False
        if any(load.is_over(elapsed_ns) for load in self._loads.values()):
            spent_ns = self._spent_ns * NS_PER_S / elapsed_ns
            self._capacity_ns = max(_BACK_OFF * spent_ns, _LEAST_NS)
        else:
            self._capacity_ns = _RECOVERY * self._capacity_ns + _LEAST_NS / 2
        for load in self._loads.values():
            load.end_period(elapsed_ns)
        wanted = {name: load.cost_ns * load.rate_hz for name, load in self._loads.items()}
        if sum(wanted.values()) <= self._capacity_ns:
            self._capacity_ns = math.inf
        share_ns = _fair_share(wanted.values(), min(self._capacity_ns, self._budget_ns(elapsed_ns)))
        for name, load in self._loads.items():
            load.kept = min(1.0, share_ns / wanted[name]) if wanted[name] else 1.0
        self._spent_ns = 0.0
        return True

    def _budget_ns(self, elapsed_ns: int) -> float:
        """Return what may be spent in the next second; what was too much is saved bit by bit."""
        if not self.budget:
            return math.inf
        allowed_ns = self.budget * NS_PER_S
        balance_ns = self._balance_ns + self.budget * elapsed_ns - self._spent_ns
        self._balance_ns = min(max(balance_ns, -_LONGEST_DEBT_S * allowed_ns), 0.0)
        return max(allowed_ns + self._balance_ns, allowed_ns / 2)

    def kept(self) -> dict[str, float]:
        """Return the share of messages that is profiled of each stream that is not in full."""
        return {name: load.kept for name, load in self._loads.items() if load.kept < 1}


def _fair_share(wanted: Iterable[float], capacity: float) -> float:
    """Return the most that anyone gets, so that all together get capacity (max-min fairness)."""
    left = sorted(wanted)
    for index, want in enumerate(left):
        share = capacity / (len(left) - index)
        if want > share:
            return share
        capacity -= want
    return math.inf
