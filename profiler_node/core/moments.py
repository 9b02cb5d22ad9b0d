"""Count, mean, variance, min and max of a set of numbers, mergeable.

Merging is commutative, and associative up to floating-point rounding (Chan, Golub, LeVeque 1979).
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

LARGEST = 1e140
"""Numbers beyond it count as infinite: a sum of their squares may not fit into a float64."""


class Moments(NamedTuple):
    """Moments of `count` finite numbers; all other fields are 0 when count is 0.

    m2: sum of squared differences from the mean. min_stamp_ns, max_stamp_ns: the smallest header
    stamp [ns] of a message that held the min, and the max.
    """

    count: int = 0  # type: ignore[assignment]  # hides tuple.count
    mean: float = 0.0
    m2: float = 0.0
    min: float = 0.0
    max: float = 0.0
    min_stamp_ns: int = 0
    max_stamp_ns: int = 0

    @property
    def stddev(self) -> float:
        """Standard deviation of the population."""
        return math.sqrt(self.m2 / self.count) if self.count else 0.0

    def merged(self, *others: 'Moments') -> 'Moments':
        """Return the moments of this set and of others together."""
        filled = [moments for moments in (self, *others) if moments.count]
        if not filled:
            return self
        first, *rest = filled
        count, mean, m2 = first.count, first.mean, first.m2
        low, high = (first.min, first.min_stamp_ns), (first.max, -first.max_stamp_ns)
        for other in rest:
            both = count + other.count
            delta = other.mean - mean
            m2 = m2 + other.m2 + delta * delta * (count * other.count / both)
            # The weighted form, not mean + delta * share, so that a.merged(b) == b.merged(a).
            mean = (count * mean + other.count * other.mean) / both
            count = both
            low = min(low, (other.min, other.min_stamp_ns))
            high = max(high, (other.max, -other.max_stamp_ns))
        return Moments(count, mean, m2, low[0], high[0], low[1], -high[1])


def moments_of(values: NDArray[np.float64], stamps_ns: NDArray[np.int64]) -> Moments:
    """Return the moments of values, (N,) finite; stamps_ns: (N,) stamp of each value."""
    if not values.size:
        return Moments()
    mean = float(values.mean())
    low, high = values.min(), values.max()
    return Moments(
        count=values.size,
        mean=mean,
        m2=float(np.square(values - mean).sum()),
        min=float(low),
        max=float(high),
        min_stamp_ns=int(stamps_ns[values == low].min()),
        max_stamp_ns=int(stamps_ns[values == high].min()),
    )


def level_moments(counts: NDArray[np.int64]) -> tuple[int, float, float]:
    """Return count, mean and m2 of a histogram of integer levels, correctly rounded.

    counts: (L,) how many values are 0, 1, ... L - 1. The sums are integers, so that the result
    does not depend on the order of the values.
    """
    levels = np.arange(counts.size, dtype=np.int64)
    count = int(counts.sum())
    if not count:
        return 0, 0.0, 0.0
    weighted = levels * counts
    total = int(weighted.sum())
    if int(levels[-1]) ** 2 * count < 2**63:
        squares = int(np.dot(weighted, levels))
    else:  # does not fit into 64 bits
        occupied = np.flatnonzero(counts)
        squares = sum(
            n * i * i for n, i in zip(counts[occupied].tolist(), occupied.tolist(), strict=True)
        )
    return count, total / count, (count * squares - total * total) / count
