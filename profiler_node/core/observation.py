"""What one message says."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
"""Histogram, (L,): how many elements are in bin 0, 1, ... L - 1."""


class Tally(int):
    """How many of something there are in a message: 0 in those before that did not mention it."""


@dataclass(frozen=True, slots=True)
class Weights:
    """Categories of a fixed set, and how much of each there is: counts, (N,), 0 or more."""

    categories: tuple[str, ...]
    counts: Counts


@dataclass(frozen=True, slots=True)
class Levels:
    """Elements that are whole numbers of a unit, exactly: counts[i] of them are i * unit."""

    counts: Counts
    unit: float = 1.0


@dataclass(frozen=True, slots=True)
class FloatBins:
    """Elements that are float32, by the upper 16 bits of their IEEE pattern.

    counts: (65,536,) the finite ones by sign, exponent and 7 bits of mantissa, bins at most 0.8 %
    wide. count, mean, m2 (sum of squared differences from the mean), min and max are of the values
    themselves. missing: NaN. Neither these nor the infinite ones are in the others.
    """

    counts: Counts
    count: int
    mean: float
    m2: float
    min: float
    max: float
    missing: int = 0
    pos_inf: int = 0
    neg_inf: int = 0


Value = float | str | tuple[str, ...] | Weights | NDArray[np.float64] | Levels | FloatBins
"""A number (NaN for missing), yes or no, a category or several, or the elements of a message."""

Observation = dict[str, Value]
"""Features of one message by name. A name always is a number, or categories, or elements."""
