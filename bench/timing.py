"""Times of calls that take turns, so that what else the machine does hits all of them alike."""

import math
import statistics
import time
from collections.abc import Callable, Mapping

_TURN_S = 0.005  # a turn repeats a quick call for so long
_QUICK = 16  # calls in that time
_CYCLE = 256  # calls after which a stream takes in the numbers that it has kept back
_FEWEST_ROUNDS, _MOST_ROUNDS = 7, 60

Call = Callable[[], object]


def _nothing() -> None:
    pass


def _seconds(call: Call, repeats: int, prepare: Call) -> float:
    if prepare is _nothing:
        start = time.perf_counter()
        for _ in range(repeats):
            call()
        return (time.perf_counter() - start) / repeats
    total = 0.0
    for _ in range(repeats):
        prepare()
        start = time.perf_counter()
        call()
        total += time.perf_counter() - start
    return total / repeats


def interleaved(
    calls: Mapping[str, Call], most_s: float, prepare: Mapping[str, Call]
) -> dict[str, list[float]]:
    """Return the times [s] of each call in rounds in which each has its turn, for most_s or so.

    prepare: what is to be done before a call and not timed.
    """
    before = {name: prepare.get(name, _nothing) for name in calls}
    repeats = {}
    for name, call in calls.items():
        # The quickest of three: another may be the one in 256 that does the work of all.
        once_s = min(_seconds(call, 1, before[name]) for _ in range(3))
        count = max(1, round(_TURN_S / once_s))
        repeats[name] = count if count <= _QUICK else _CYCLE * math.ceil(count / _CYCLE)
    times: dict[str, list[float]] = {name: [] for name in calls}
    end = time.perf_counter() + most_s
    for number in range(_MOST_ROUNDS):
        if number >= _FEWEST_ROUNDS and time.perf_counter() > end:
            break
        for name, call in calls.items():
            times[name].append(_seconds(call, repeats[name], before[name]))
    return times


def ratio(ours: list[float], theirs: list[float]) -> float:
    """Return the median ratio of two calls in the same round."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
