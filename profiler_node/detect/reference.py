"""What is normal for the streams of one kind: the statistics of their windows, one row each.

A row takes a kilobyte or so, and there are at most MOST_WINDOWS: a robot can hold it.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from profiler_node.detect.scales import Family
from profiler_node.detect.statistics import (
    FORMATS,
    LABEL,
    MIX_KEY,
    Window,
    family_of_key,
    feature_of,
)
from profiler_node.detect.thresholds import Floats, Normal, normal_of

T = TypeVar('T')

MOST_WINDOWS = 2_880  # two days of minutes
FEWEST_WINDOWS = 4  # of which it can be told what is normal

_STALE = 0.05  # share of windows that may be new before all is computed again
_RUN = 24  # windows that stay together where there are too many
_MOST_ONE_WAY = 0.9  # share of adjacent steps of one sign, above which a field is a counter
_HOURS_NS = 3_600 * 10**9
_DAY_NS = 24 * _HOURS_NS


class Reference:
    """The windows of one kind of stream, which may grow. It changes by `add` alone."""

    def __init__(self) -> None:
        self._columns: dict[str, int] = {}
        self._rows: NDArray[np.float32] = np.full((0, 0), np.nan, np.float32)
        self._robots: list[str] = []
        self._starts_ns: list[int] = []
        self._follows: list[bool] = []  # whether a window continues the one before
        self._last_end: tuple[str, int, int] = ('', 0, 0)
        self._formats: dict[str, dict[str, int]] = defaultdict(dict)
        self._cache: dict[Hashable, Any] = {}  # what was computed of the rows
        self._added = 0  # windows since then
        self.messages: list[int] = []

    def __len__(self) -> int:
        return len(self._starts_ns)

    @classmethod
    def of(cls, windows: Iterable[Window]) -> 'Reference':
        """Return a reference of windows; of too many, runs that are spread over all."""
        ordered = sorted(
            (window for window in windows if window.is_enough),
            key=lambda window: (window.robot_id, window.epoch, window.start_ns),
        )
        reference = cls()
        reference._extend(_thinned(ordered))
        return reference

    def add(self, window: Window) -> None:
        """Take one more window that is good; the oldest goes where there are too many."""
        self._extend([window])
        if len(self) > MOST_WINDOWS:
            for kept in (self._robots, self._starts_ns, self._follows, self.messages):
                del kept[0]
            self._rows = self._rows[1:]

    def near_time_of_day(self, start_ns: int, hours: float) -> 'Reference':
        """Return a reference of the windows within so many hours of the time of day of start_ns."""
        apart = [(each - start_ns) % _DAY_NS for each in self._starts_ns]
        near = [min(each, _DAY_NS - each) <= hours * _HOURS_NS for each in apart]
        chosen = Reference()
        chosen._columns = dict(self._columns)
        chosen._rows = self._rows[np.array(near, bool)]
        for name in ('_robots', '_starts_ns', '_follows', 'messages'):
            every = getattr(self, name)
            setattr(chosen, name, [v for v, take in zip(every, near, strict=True) if take])
        before = [False, *near[:-1]]
        follows = zip(self._follows, before, near, strict=True)
        chosen._follows = [follow and both for follow, both, take in follows if take]
        chosen._formats = self._formats
        return chosen

    def _extend(self, windows: Sequence[Window]) -> None:
        for window in windows:
            for key in _cells(window):
                self._columns.setdefault(key, len(self._columns))
        before, width = len(self), len(self._columns)
        rows = np.full((before + len(windows), width), np.nan, np.float32)
        rows[:before, : self._rows.shape[1]] = self._rows
        for row, window in zip(rows[before:], windows, strict=True):
            for key, value in _cells(window).items():
                row[self._columns[key]] = value
            self._follows.append(self._last_end == (window.robot_id, window.epoch, window.start_ns))
            self._last_end = window.robot_id, window.epoch, window.end_ns
            self._robots.append(window.robot_id)
            self._starts_ns.append(window.start_ns)
            self.messages.append(window.messages)
            for name in FORMATS:
                counts = self._formats[name]
                for text, count in window.counts.get(name, {}).items():
                    counts[text] = counts.get(text, 0) + count
        self._rows = rows
        self._added += len(windows)
        if self._added > _STALE * len(self):
            self._cache.clear()
            self._added = 0

    def formats(self, feature: str) -> Mapping[str, int]:
        """Return how often a categorical feature had each value."""
        return self._formats.get(feature, {})

    def column(self, key: str) -> Floats:
        """Return a key, or a plain number, of each window, (N,), NaN where it has none."""
        if key not in self._columns:
            return np.full(len(self), np.nan)
        return self._rows[:, self._columns[key]].astype(np.float64)

    def known(self, key: str) -> Floats:
        """Return a key, or a plain number, of the windows that have it, (N,)."""
        column = self.column(key)
        return column[np.isfinite(column)]

    def keys(self) -> list[str]:
        """Return the keys that are compared."""
        return [key for key in self._columns if ':' in key and key[0] != '=']

    @property
    def features(self) -> int:
        """The number of features that are compared."""
        return len({feature_of(key) for key in self.keys()})

    def normal(self, key: str, *, of_steps: bool = False) -> Normal | None:
        """Return what is normal of a key, or of its steps from window to window.

        None where there are too few windows with it, or a field only ever rises or falls.
        """

        def build() -> Normal | None:
            values = self.mix_values() if key == MIX_KEY else self.column(key)
            return self.normal_of(values, family_of_key(key), key, of_steps=of_steps)

        return self.cached(('normal', key, of_steps), build)

    def cached(self, name: Hashable, build: Callable[[], T]) -> T:
        """Return what build returns, as computed when the reference was about as it is now."""
        if name not in self._cache:
            self._cache[name] = build()
        found: T = self._cache[name]
        return found

    def normal_of(
        self, values: Floats, family: Family, key: str = '', *, of_steps: bool = False
    ) -> Normal | None:
        """Return what is normal of values, (len(self),), or of their steps; None: too few."""
        follows = np.array(self._follows[1:], bool)
        prior = family.prior * (self.unit(key) if family.relative else 1.0)
        if of_steps:
            steps = np.diff(values)
            steps = steps[follows & np.isfinite(steps)]
            if steps.size < FEWEST_WINDOWS:
                return None
            return normal_of(steps, np.zeros(steps.size - 1, bool), prior)
        finite = np.isfinite(values)
        kept = values[finite]
        if kept.size < FEWEST_WINDOWS:
            return None
        together = np.flatnonzero(finite)
        adjacent = (np.diff(together) == 1) & follows[together[1:] - 1]
        if family.relative and _is_counter(kept, adjacent):
            return None
        return normal_of(kept, adjacent, prior)

    def unit(self, key: str) -> float:
        """Return the spread within a window, for features that say nothing of their scale."""
        feature = feature_of(key)

        def build() -> float:
            width = self.known(f'{feature}:q90') - self.known(f'{feature}:q10')
            middle = self.known(f'{feature}:q50')
            if not width.size:
                return 1.0
            least = 1e-3 * float(np.abs(middle).max()) if middle.size else 0.0
            return max(float(np.median(width)), least, 1e-9)

        return self.cached(('unit', feature), build)

    def threshold(self, key: str, normal: Normal, alpha: float) -> float:
        """Return the threshold of a key of which normal is what is normal."""

        def build() -> float:
            family = family_of_key(key)
            unit = self.unit(key) if family.relative else 1.0
            return normal.threshold(alpha, family, unit=unit)

        return self.cached(('threshold', key, alpha), build)

    def usual_shares(self) -> dict[str, float]:
        """Return the mean share of each label; {} where there are none."""

        def build() -> dict[str, float]:
            labels, table = self.shares()
            seen = np.isfinite(table).all(axis=1) & (table.shape[1] > 0)
            if not seen.any():
                return {}
            return dict(zip(labels, table[seen].mean(axis=0).tolist(), strict=True))

        return self.cached('shares', build)

    def shares(self) -> tuple[list[str], Floats]:
        """Return the labels, and the share of each in each window, (N, L)."""
        labels = [key for key in self._columns if key.startswith(f'={LABEL}=')]
        if not labels:
            return [], np.zeros((len(self), 0))
        table = np.stack([self.column(key) for key in labels], axis=1)
        seen = np.isfinite(table).any(axis=1)
        table = np.where(np.isfinite(table), table, 0.0)
        table[~seen] = np.nan
        return [key.partition('=')[2].partition('=')[2] for key in labels], table

    def mix_values(self) -> Floats:
        """Return how far the labels of each window are from those of the others, (N,)."""
        _, table = self.shares()
        seen = np.isfinite(table).all(axis=1) & (table.shape[1] > 0)
        count = int(seen.sum())
        values = np.full(len(self), np.nan)
        if count > 1:
            rows = table[seen]
            others = (rows.sum(axis=0) - rows) / (count - 1)
            values[seen] = np.abs(rows - others).sum(axis=1) / 2
        return values

    def mix_of(self, window: Window) -> float | None:
        """Return how far the labels of window are from the reference's: total variation, 0 to 1."""
        current = window.counts.get(LABEL, {})
        total = sum(current.values())
        usual = self.usual_shares()
        if not total or not usual:
            return None
        every = usual.keys() | current.keys()
        apart = [abs(usual.get(k, 0.0) - current.get(k, 0) / total) for k in every]
        return float(sum(apart)) / 2


def _cells(window: Window) -> dict[str, float]:
    """Return what is kept of a window: keys, plain numbers after '=', and shares of labels."""
    cells = dict(window.values)
    cells |= {f'={key}': value for key, value in window.plain.items()}
    labels = window.counts.get(LABEL, {})
    if total := sum(labels.values()):
        cells |= {f'={LABEL}={label}': count / total for label, count in labels.items()}
        cells[MIX_KEY] = 0.0  # is told from the shares
    return cells


def _is_counter(values: Floats, adjacent: NDArray[np.bool_]) -> bool:
    steps = np.diff(values)[adjacent]
    if steps.size < FEWEST_WINDOWS - 1:
        return False
    return bool(max((steps > 0).mean(), (steps < 0).mean()) > _MOST_ONE_WAY)


def _thinned(windows: Sequence[Window]) -> list[Window]:
    if len(windows) <= MOST_WINDOWS:
        return list(windows)
    runs = [windows[start : start + _RUN] for start in range(0, len(windows), _RUN)]
    chosen = np.linspace(0, len(runs) - 1, MOST_WINDOWS // _RUN).astype(int)
    return [window for index in dict.fromkeys(chosen.tolist()) for window in runs[index]]


def references_of(windows: Iterable[Window]) -> dict[tuple[str, str], Reference]:
    """Return a reference for each kind of stream, over all robots."""
    kinds: dict[tuple[str, str], list[Window]] = defaultdict(list)
    for window in windows:
        kinds[window.kind].append(window)
    return {kind: Reference.of(every) for kind, every in kinds.items()}
