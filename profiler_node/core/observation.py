"""What one message says."""

import numpy as np
from numpy.typing import NDArray

Levels = NDArray[np.int64]
"""Histogram of integer levels: (L,) how many elements are 0, 1, ... L - 1."""

Observation = dict[str, float | str | Levels]
"""Features of one message by name: a number (NaN for missing), a category, or all its elements.

A name always has the same kind of value, and a histogram the same number of levels.
"""
