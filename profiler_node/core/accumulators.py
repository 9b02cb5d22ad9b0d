"""Features in the making: each takes values with their stamps [ns], in constant memory."""

from array import array
from collections import Counter
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from profiler_node.core.config import SketchConfig
from profiler_node.core.moments import Moments, level_moments, moments_of
from profiler_node.core.observation import Levels
from profiler_node.core.profile import CategoricalFeature, Feature, NumericFeature
from profiler_node.core.sketches import CategorySketch, QuantileSketch

_BLOCK = 256  # values kept back, so that moments and sketch are updated by the array
_LONGEST_CATEGORY = 128  # characters
_MOST_PENDING = 1024  # distinct categories counted before they go into the sketch


class Accumulator(Protocol):
    """One feature of an open window."""

    def add(self, value: Any, stamp_ns: int) -> None:
        """Add value of the message with this header stamp [ns]."""

    def finish(self) -> Feature:
        """Return the feature as it is now."""


def accumulator_for(value: float | str | Levels, config: SketchConfig) -> Accumulator:
    """Return an empty accumulator for values like this one."""
    if isinstance(value, str):
        return CategoryAccumulator(config)
    if isinstance(value, np.ndarray):
        return LevelsAccumulator(config, value.size)
    return ScalarAccumulator(config)


class ScalarAccumulator:
    """One number a message."""

    def __init__(self, config: SketchConfig) -> None:
        self._values = array('d')
        self._stamps_ns = array('q')
        self._sketch = QuantileSketch(config.kll_k)
        self._moments = Moments()
        self._missing = self._pos_inf = self._neg_inf = 0

    def add(self, value: float, stamp_ns: int) -> None:
        """Add value; NaN counts as missing."""
        self._values.append(value)
        self._stamps_ns.append(stamp_ns)
        if len(self._values) == _BLOCK:
            self._flush()

    def _flush(self) -> None:
        values = np.array(self._values, dtype=np.float64)
        stamps_ns = np.array(self._stamps_ns, dtype=np.int64)
        del self._values[:], self._stamps_ns[:]
        finite = np.isfinite(values)
        if not finite.all():
            self._missing += int(np.isnan(values).sum())
            self._pos_inf += int((values == np.inf).sum())
            self._neg_inf += int((values == -np.inf).sum())
            values, stamps_ns = values[finite], stamps_ns[finite]
        self._moments = self._moments.merged(moments_of(values, stamps_ns))
        self._sketch.update(values)

    def finish(self) -> NumericFeature:
        """Return the feature as it is now."""
        self._flush()
        return NumericFeature(
            kind='scalar',
            moments=self._moments,
            kll=self._sketch.to_bytes(),
            missing=self._missing,
            pos_inf=self._pos_inf,
            neg_inf=self._neg_inf,
        )


class LevelsAccumulator:
    """Every element of a message, as an exact histogram of integer levels."""

    def __init__(self, config: SketchConfig, levels: int) -> None:
        self._config = config
        self._counts: NDArray[np.int64] = np.zeros(levels, dtype=np.int64)
        self._min: tuple[int, int] | None = None  # (level, stamp), and the max's stamp is negated
        self._max: tuple[int, int] | None = None

    def add(self, counts: Levels, stamp_ns: int) -> None:
        """Add counts, (L,) how many elements are 0, 1, ... L - 1."""
        occupied = np.flatnonzero(counts)
        if not occupied.size:
            return
        low, high = (int(occupied[0]), stamp_ns), (int(occupied[-1]), -stamp_ns)
        self._min = low if self._min is None else min(self._min, low)
        self._max = high if self._max is None else max(self._max, high)
        self._counts += counts

    def finish(self) -> NumericFeature:
        """Return the feature as it is now."""
        sketch = QuantileSketch(self._config.kll_k)
        if self._min is None or self._max is None:
            return NumericFeature('elements', Moments(), sketch.to_bytes())
        count, mean, m2 = level_moments(self._counts)
        occupied = np.flatnonzero(self._counts)
        sketch.update_weighted(occupied.astype(np.float32), self._counts[occupied])
        (low, low_stamp), (high, minus_stamp) = self._min, self._max
        moments = Moments(count, mean, m2, float(low), float(high), low_stamp, -minus_stamp)
        return NumericFeature('elements', moments, sketch.to_bytes())


class CategoryAccumulator:
    """Strings. Longer ones are cut, lone surrogates replaced."""

    def __init__(self, config: SketchConfig) -> None:
        self._sketch = CategorySketch(config.hll_lg_k, config.frequent_lg_max_k)
        self._pending: Counter[str] = Counter()
        self._count = 0

    def add(self, value: str, stamp_ns: int) -> None:  # noqa: ARG002 (as the protocol has it)
        """Add value."""
        self._pending[value[:_LONGEST_CATEGORY]] += 1
        self._count += 1
        if len(self._pending) == _MOST_PENDING:
            self._flush()

    def _flush(self) -> None:
        for value, weight in self._pending.items():
            self._sketch.update(value.encode('utf-8', 'replace').decode(), weight)
        self._pending.clear()

    def finish(self) -> CategoricalFeature:
        """Return the feature as it is now."""
        self._flush()
        hll, frequent = self._sketch.to_bytes()
        return CategoricalFeature(self._count, hll, frequent)
