"""Quantiles of Student's t, for a robot without scipy."""

import math
from functools import lru_cache

_TINY = 1e-300
_ENOUGH = 1e-13  # of the continued fraction
_STEPS = 200


def _fraction(a: float, b: float, x: float) -> float:
    """Return the continued fraction of the incomplete beta function (Lentz's method)."""
    c, d = 1.0, 1.0 / max(1.0 - (a + b) * x / (a + 1.0), _TINY)
    value = d
    for m in range(1, 500):
        for factor in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1.0 / (1.0 + factor * d or _TINY)
            c = 1.0 + factor / c or _TINY
            value *= c * d
        if abs(c * d - 1.0) < _ENOUGH:
            break
    return value


def _beta(a: float, b: float, x: float) -> float:
    """Return the regularised incomplete beta function I_x(a, b), 0 < x < 1."""
    front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    front = math.exp(front + a * math.log(x) + b * math.log1p(-x))
    if x < (a + 1.0) / (a + b + 2.0):
        return front * _fraction(a, b, x) / a
    return 1.0 - front * _fraction(b, a, 1.0 - x) / b


def two_sided(t: float, freedom: float) -> float:
    """Return the probability that |T| > t, for t > 0."""
    return _beta(freedom / 2, 0.5, freedom / (freedom + t * t))


@lru_cache(4096)
def critical(alpha: float, freedom: float) -> float:
    """Return the t that |T| exceeds with probability alpha, 0 < alpha < 1; relative error 1e-9."""
    low, high = math.log(1e-6), math.log(1e12)
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if two_sided(math.exp(middle), freedom) > alpha:
            low = middle
        else:
            high = middle
        if high - low < 1e-11:
            break
    return math.exp((low + high) / 2)
