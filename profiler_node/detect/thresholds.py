"""How much of a shift is normal, from the windows of a reference.

Windows of real streams resemble their neighbours, so n of them say as much as fewer independent
ones do; and a small reference has not seen all that is normal, so a prior is mixed in.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from profiler_node.detect.scales import Family
from profiler_node.detect.student import critical

Floats = NDArray[np.float64]

WEEK_S = 7 * 86_400.0
_PRIOR_WEIGHT = 10.0  # windows that the prior counts as
_MAD, _Q95, _Q90 = 1.4826, 3.29, 2.56  # of a normal distribution
_MOST_CORRELATION = 0.9
_SMALL = 20  # windows, below which the widest quantiles are the extremes
_LEFT_OUT = 0.01  # share of the largest deviations that may be outliers


@dataclass(frozen=True)
class Normal:
    """What is normal of one number, on its scale.

    centre, spread: robust, with the prior. correlation: of adjacent windows. effective: how many
    independent windows the n would be. left_out: the largest deviation of a window from the others.
    """

    n: int
    centre: float
    spread: float
    correlation: float
    effective: float
    left_out: float
    low: float
    high: float

    def threshold(self, alpha: float, family: Family, *, unit: float = 1.0) -> float:
        """Return the smallest deviation that is an alarm, at a false-alarm rate of alpha a window.

        unit: of the family's constants, for features that say nothing of their scale.
        """
        t = critical(alpha, 9.0 + math.floor(self.effective)) * math.sqrt(
            1.0 + 1.0 / self.effective
        )
        return max(
            min(t * self.spread, family.cap * unit),
            (1.0 + 3.0 / math.sqrt(self.n)) * self.left_out,
            family.least * unit,
        )


def alpha_of(false_alarms_per_week: float, window_s: float, features: int) -> float:
    """Return the false-alarm rate of one feature in one window, for that of all of them a week."""
    windows = WEEK_S / max(window_s, 1e-3)
    return min(0.05, false_alarms_per_week / (windows * max(features, 1)))


def correlation_of(values: Floats, adjacent: NDArray[np.bool_]) -> float:
    """Return the correlation of values, (N,), with the ones before; adjacent: (N - 1,) which."""
    apart = values - np.median(values)
    variance = float(np.mean(apart * apart))
    pairs = apart[1:][adjacent] * apart[:-1][adjacent]
    if variance <= 0 or pairs.size < 2:
        return 0.0
    return min(max(float(pairs.mean()) / variance, 0.0), 0.99)


def normal_of(values: Floats, adjacent: NDArray[np.bool_], prior: float) -> Normal:
    """Return what is normal, from values, (N,) finite, N > 0; adjacent: (N - 1,)."""
    n = values.size
    ordered = np.sort(values)
    centre = float(np.median(ordered))
    correlation = correlation_of(values, adjacent)
    limited = min(correlation, _MOST_CORRELATION)
    effective = max(2.0, n * (1.0 - limited) / (1.0 + limited))
    deviation = float(np.median(np.abs(values - centre)))
    wide, width = ((0.1, 0.9), _Q90) if n < _SMALL else ((0.05, 0.95), _Q95)
    low, high = np.quantile(ordered, wide)
    spread = max(_MAD * deviation, float(high - low) / width)
    spread /= math.sqrt(max(1.0 - 1.0 / effective, 0.3))
    mixed = (_PRIOR_WEIGHT * prior**2 + effective * spread**2) / (_PRIOR_WEIGHT + effective)
    return Normal(
        n=n,
        centre=centre,
        spread=max(spread, math.sqrt(mixed)),
        correlation=correlation,
        effective=effective,
        left_out=_left_out(ordered),
        low=float(ordered[0]),
        high=float(ordered[-1]),
    )


def _left_out(ordered: Floats) -> float:
    """Return the largest deviation of a value from the median of the others, but outliers.

    ordered: (N,) sorted. Without a value, the median is that of the rest, which moves by half a
    step at most.
    """
    n = ordered.size
    if n < 2:
        return 0.0
    rest = n - 1
    index = np.arange(n)

    def of_rest(position: int) -> Floats:
        return np.asarray(ordered[np.minimum(position + (index <= position), n - 1)])

    medians = (of_rest((rest - 1) // 2) + of_rest(rest // 2)) / 2
    deviations = np.sort(np.abs(ordered - medians))
    return float(deviations[n - 1 - int(_LEFT_OUT * n)])
