"""Features in the making: each takes values with their stamps [ns], in constant memory."""

import hashlib
from array import array
from collections import Counter
from copy import copy
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from profiler_node.core.config import SketchConfig
from profiler_node.core.elements import FLOAT_BINS, bin_values
from profiler_node.core.moments import LARGEST, Moments, level_moments, moments_of
from profiler_node.core.observation import Counts, FloatBins, Levels, Value, Weights
from profiler_node.core.profile import CategoricalFeature, Feature, NumericFeature, NumericKind
from profiler_node.core.rows import Row, RowLayout
from profiler_node.core.sketches import CategorySketch, QuantileSketch

_BLOCK = 256  # values kept back, so that moments and sketch are updated by the array
_LONGEST_CATEGORY = 128  # characters
_PAGE = 256  # bins
_MOST_KEPT = 2**18  # bytes of rows
_MOST_PENDING = 1024  # distinct categories counted before they go into the sketch
_LAST_STAMP_NS = 2**63 - 1

NumericElements = NDArray[np.float64] | Levels | FloatBins


class Accumulator(Protocol):
    """One feature of an open window."""

    def add(self, value: Any, stamp_ns: int) -> None:
        """Add value of the message with this header stamp [ns]."""

    def finish(self) -> Feature:
        """Return the feature as it is now."""


def accumulator_for(value: Value, config: SketchConfig) -> Accumulator:
    """Return an empty accumulator for values like this one."""
    if isinstance(value, bool):
        return FlagAccumulator(config)
    if isinstance(value, str | tuple | Weights):
        return CategoryAccumulator(config)
    return NumericAccumulator('scalar' if isinstance(value, float | int) else 'elements', config)


class NumericAccumulator:
    """Numbers: one a message, or all elements of a message, in whatever form they come."""

    def __init__(self, kind: NumericKind, config: SketchConfig) -> None:
        self._kind = kind
        self._values = array('d')
        self._stamps_ns = array('q')
        self._sketch = QuantileSketch(config.kll_k)
        self._moments = Moments()
        self._missing = self._pos_inf = self._neg_inf = 0
        self._levels: dict[tuple[int, float], _LevelCounts] = {}
        self._floats: _FloatCounts | None = None

    def add(self, value: float | NumericElements, stamp_ns: int) -> None:
        """Add value; NaN counts as missing."""
        if isinstance(value, float | int):
            self._values.append(value)
            self._stamps_ns.append(stamp_ns)
        elif isinstance(value, np.ndarray):
            self._values.frombytes(value.tobytes())
            self._stamps_ns.extend(array('q', (stamp_ns,)) * value.size)
        elif isinstance(value, Levels):
            self._add_levels(value, stamp_ns)
        else:
            self._add_bins(value, stamp_ns)
        if len(self._values) >= _BLOCK:
            self._flush()

    def add_many(self, values: NDArray[np.float64], stamps_ns: NDArray[np.int64]) -> None:
        """Add values, (N,), each with its stamp, (N,); NaN counts as missing."""
        finite = np.abs(values) <= LARGEST
        if not finite.all():
            self._missing += int(np.isnan(values).sum())
            self._pos_inf += int((values > LARGEST).sum())
            self._neg_inf += int((values < -LARGEST).sum())
            values, stamps_ns = values[finite], stamps_ns[finite]
        self._moments = self._moments.merged(moments_of(values, stamps_ns))
        self._sketch.update(values)

    def add_zeros(self, count: int, stamp_ns: int) -> None:
        """Add 0 count times."""
        if count:
            zeros = Moments(count, min_stamp_ns=stamp_ns, max_stamp_ns=stamp_ns)
            self._moments = self._moments.merged(zeros)
            self._sketch.update_weighted(np.zeros(1, np.float32), np.full(1, count))

    def _add_levels(self, levels: Levels, stamp_ns: int) -> None:
        key = (levels.counts.size, levels.unit)
        if key not in self._levels:
            self._levels[key] = _LevelCounts(*key)
        self._levels[key].add(levels.counts, stamp_ns)

    def _add_bins(self, bins: FloatBins, stamp_ns: int) -> None:
        if self._floats is None:
            self._floats = _FloatCounts()
        self._floats.add(bins.counts)
        self._missing += bins.missing
        self._pos_inf += bins.pos_inf
        self._neg_inf += bins.neg_inf
        self._moments = self._moments.merged(
            Moments(bins.count, bins.mean, bins.m2, bins.min, bins.max, stamp_ns, stamp_ns)
        )

    def _flush(self) -> None:
        if self._values:
            self.add_many(np.array(self._values, np.float64), np.array(self._stamps_ns, np.int64))
            self._values, self._stamps_ns = array('d'), array('q')

    def copy(self) -> 'NumericAccumulator':
        """Return one to add single numbers to; anything else would be added to both."""
        other = copy(self)
        other._sketch = self._sketch.copy()
        return other

    def finish(self) -> NumericFeature:
        """Return the feature as it is now.

        What is kept back stays so, or the blocks, and with them the last digits, would depend on
        how often this is called.
        """
        flushed = self.copy()
        flushed._flush()
        sketch, moments = flushed._sketch, flushed._moments
        if self._floats is not None:
            sketch.update_weighted(*bin_values(self._floats.counts()))
        for levels in self._levels.values():
            moments = moments.merged(levels.moments())
            sketch.update_weighted(*levels.values())
        return NumericFeature(
            kind=self._kind,
            moments=moments,
            kll=sketch.to_bytes(),
            missing=flushed._missing,
            pos_inf=flushed._pos_inf,
            neg_inf=flushed._neg_inf,
        )


class FlagAccumulator:
    """A number that is 0 or 1 in each message, of which counts say all."""

    def __init__(self, config: SketchConfig) -> None:
        self._config = config
        self._counts = [0, 0]
        self._stamps_ns = [_LAST_STAMP_NS, _LAST_STAMP_NS]

    def add(self, value: bool, stamp_ns: int) -> None:
        """Add value."""
        self._counts[value] += 1
        if stamp_ns < self._stamps_ns[value]:  # noqa: PLR1730 (min is slower)
            self._stamps_ns[value] = stamp_ns

    def finish(self) -> NumericFeature:
        """Return the feature as it is now."""
        sketch, moments = QuantileSketch(self._config.kll_k), Moments()
        for number, (count, stamp_ns) in enumerate(zip(self._counts, self._stamps_ns, strict=True)):
            if count:
                values = float(number), 0.0, float(number), float(number)
                moments = moments.merged(Moments(count, *values, stamp_ns, stamp_ns))
                sketch.update_weighted(np.full(1, number, np.float32), np.full(1, count))
        return NumericFeature('scalar', moments, sketch.to_bytes())


class RowsAccumulator:
    """The features of messages of a fixed layout, which are kept back a block at a time."""

    def __init__(self, config: SketchConfig) -> None:
        self._config = config
        self._features: dict[str, NumericAccumulator] = {}
        # By type: two publishers with frames of other lengths may take turns.
        self._blocks: dict[np.dtype[Any], _Block] = {}
        self._count = self._size = 0

    def add(self, row: Row, stamp_ns: int) -> None:
        """Add the numbers of one message; all of them are of one layout."""
        block = self._blocks.get(row.dtype)
        if block is None:
            block = self._blocks[row.dtype] = _Block(row.layout)
        block.data += row.data
        block.stamps_ns.append(stamp_ns)
        self._count += 1
        self._size += len(row.data)
        if self._count >= _BLOCK or self._size >= _MOST_KEPT:
            self._flush()

    def _flush(self) -> None:
        for dtype, block in self._blocks.items():
            self._add_block(np.frombuffer(block.data, dtype), block)
        self._blocks = {}
        self._count = self._size = 0

    def _add_block(self, rows: NDArray[Any], block: '_Block') -> None:
        stamps_ns = np.array(block.stamps_ns, np.int64)
        for name, read in block.layout.columns.items():
            with np.errstate(invalid='ignore'):  # signaling NaN
                values = read(rows)
            if name not in self._features:
                kind: NumericKind = 'scalar' if values.ndim == 1 else 'elements'
                self._features[name] = NumericAccumulator(kind, self._config)
            repeats = values.size // len(rows)
            self._features[name].add_many(values.ravel(), stamps_ns.repeat(repeats))

    def finish(self) -> dict[str, Feature]:
        """Return the features as they are now, by name; as NumericAccumulator.finish."""
        flushed = copy(self)
        flushed._features = {name: feature.copy() for name, feature in self._features.items()}
        flushed._flush()
        return {name: feature.finish() for name, feature in flushed._features.items()}


@dataclass(slots=True)
class _Block:
    """Rows of one type."""

    layout: RowLayout
    data: bytearray = field(default_factory=bytearray)
    stamps_ns: 'array[int]' = field(default_factory=lambda: array('q'))


class _FloatCounts:
    """Bins of floats: of the few pages that are in use, as most of the bins of a sensor are not."""

    def __init__(self) -> None:
        self._pages: dict[int, Counts] = {}

    def add(self, counts: Counts) -> None:
        """Add counts, (65,536,)."""
        pages = counts.reshape(-1, _PAGE)
        for index in np.flatnonzero(pages.max(axis=1)).tolist():
            if index in self._pages:
                self._pages[index] += pages[index]
            else:
                self._pages[index] = pages[index].copy()

    def counts(self) -> Counts:
        """Return the counts of all bins, (65,536,)."""
        counts = np.zeros((FLOAT_BINS // _PAGE, _PAGE), dtype=np.int64)
        for index, page in self._pages.items():
            counts[index] = page
        return counts.ravel()


class _LevelCounts:
    """Elements that are whole numbers of one unit."""

    def __init__(self, levels: int, unit: float) -> None:
        self._unit = unit
        self._counts: Counts = np.zeros(levels, dtype=np.int64)
        self._min: tuple[int, int] | None = None  # (level, stamp), and the max's stamp is negated
        self._max: tuple[int, int] | None = None

    def add(self, counts: Counts, stamp_ns: int) -> None:
        occupied = np.flatnonzero(counts > 0)  # five times as quick as of the counts themselves
        if not occupied.size:
            return
        low, high = (int(occupied[0]), stamp_ns), (int(occupied[-1]), -stamp_ns)
        self._min = low if self._min is None else min(self._min, low)
        self._max = high if self._max is None else max(self._max, high)
        self._counts += counts

    def moments(self) -> Moments:
        if self._min is None or self._max is None:
            return Moments()
        count, mean, m2 = level_moments(self._counts)
        (low, low_stamp), (high, minus_stamp), unit = self._min, self._max, self._unit
        return Moments(
            count, mean * unit, m2 * unit**2, low * unit, high * unit, low_stamp, -minus_stamp
        )

    def values(self) -> tuple[NDArray[np.float32], Counts]:
        occupied = np.flatnonzero(self._counts)
        return (occupied * self._unit).astype(np.float32), self._counts[occupied]


def _cut(category: str) -> str:
    """Return category, a long one cut and with a hash, so that it stays one of its own."""
    if len(category) <= _LONGEST_CATEGORY:
        return category
    digest = hashlib.sha256(category.encode('utf-8', 'replace')).hexdigest()[:8]
    return f'{category[: _LONGEST_CATEGORY - 9]}~{digest}'


class CategoryAccumulator:
    """Strings, one a message or several. Long ones are cut, lone surrogates replaced."""

    def __init__(self, config: SketchConfig) -> None:
        self._sketch = CategorySketch(config.hll_lg_k, config.frequent_lg_max_k)
        self._pending: Counter[str] = Counter()
        self._weights: dict[tuple[str, ...], Counts] = {}
        self._count = 0

    def add(self, value: str | tuple[str, ...] | Weights, stamp_ns: int) -> None:  # noqa: ARG002 (protocol)
        """Add value; of weights, each category so many times."""
        if isinstance(value, Weights):
            before = self._weights.get(value.categories, 0)
            self._weights[value.categories] = value.counts + before
            return
        categories = (value,) if isinstance(value, str) else value
        for category in categories:
            self._add(category, 1)

    def _add(self, category: str, weight: int) -> None:
        self._count += weight
        self._pending[_cut(category)] += weight
        if len(self._pending) == _MOST_PENDING:
            self._flush()

    def _flush(self) -> None:
        for value, weight in self._pending.items():
            self._sketch.update(value.encode('utf-8', 'replace').decode(), weight)
        self._pending.clear()

    def finish(self) -> CategoricalFeature:
        """Return the feature as it is now."""
        for categories, counts in self._weights.items():
            for index in np.flatnonzero(counts).tolist():
                self._add(categories[index], int(counts[index]))
        self._weights.clear()
        self._flush()
        hll, frequent = self._sketch.to_bytes()
        return CategoricalFeature(self._count, hll, frequent)
