"""Features of data that did not come as messages: the same accumulators as of a robot's."""

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from sys import byteorder
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from profiler_node.core.accumulators import Accumulator, NumericAccumulator, accumulator_for
from profiler_node.core.config import SketchConfig
from profiler_node.core.elements import elements
from profiler_node.core.moments import Moments
from profiler_node.core.observation import Value
from profiler_node.core.pixels.encodings import Pixels
from profiler_node.core.profile import Counters, Feature, NumericFeature, Profile, Source
from profiler_node.core.sketches import QuantileSketch
from profiler_node.frames import Column

IMAGE_TYPE = 'sensor_msgs/msg/Image'
_NUMBERS = 'biuf'  # kinds of dtypes
_EPOCH_BYTES = 4


class Collector:
    """The features of messages, in one window."""

    def __init__(self) -> None:
        self._features: dict[str, Accumulator] = {}
        self._kinds: dict[str, str] = {}
        self._missing: Counter[str] = Counter()
        self._sketch = SketchConfig()

    def add(self, observation: Mapping[str, Value | None], stamp_ns: int) -> None:
        """Add the features of a message; None counts as missing. Raises TypeError."""
        for name, value in observation.items():
            if value is None:
                self._missing[name] += 1
                continue
            kind = _kind_of(value)
            if self._kinds.setdefault(name, kind) != kind:
                raise TypeError(f'{name} is {kind} here and {self._kinds[name]} before')
            if name not in self._features:
                self._features[name] = accumulator_for(value, self._sketch)
            self._features[name].add(value, stamp_ns)

    def add_column(self, name: str, column: Column, stamps_ns: NDArray[np.int64]) -> None:
        """Add a feature of many messages. Raises TypeError and ValueError."""
        if column.values.dtype != object:
            feature = NumericAccumulator('scalar', self._sketch)
            feature.add_many(column.values, stamps_ns)
            self._features[name] = feature
            return
        for value, missing, stamp_ns in zip(
            column.values, column.missing, stamps_ns.tolist(), strict=True
        ):
            self.add({name: None if missing else value_of(name, value)}, stamp_ns)

    def profile(self, source: Source, start_ns: int, end_ns: int, counters: Counters) -> Profile:
        """Return the profile of all that was added.

        Its epoch is a digest of that: without times that tell them apart, profiles of different
        data are not to be taken for the same one, and profiles of the same data are.
        """
        features: dict[str, Feature] = {
            name: feature.finish() for name, feature in self._features.items()
        }
        for name, missing in self._missing.items():
            feature = features.get(name) or self._without_values()
            whole = feature.missing + missing
            features[name] = (
                feature._replace(missing=whole)
                if isinstance(feature, NumericFeature)
                else replace(feature, missing=whole)
            )
        features = dict(sorted(features.items()))
        epoch = _digest(features)
        return Profile(source, epoch, start_ns, end_ns, counters, MappingProxyType(features))

    def _without_values(self) -> NumericFeature:
        return NumericFeature('scalar', Moments(), QuantileSketch(self._sketch.kll_k).to_bytes())


def _kind_of(value: Value) -> str:
    if isinstance(value, str | tuple):
        return 'categorical'
    return 'a number' if isinstance(value, float) else 'an array'


def _digest(features: Mapping[str, Feature]) -> int:
    """Return 32 bits of all in features that is exact."""
    exact = [
        (name, feature.moments, feature.missing, feature.pos_inf, feature.neg_inf)
        if isinstance(feature, NumericFeature)
        else (name, feature.count, feature.missing, feature.top(16))
        for name, feature in features.items()
    ]
    digest = hashlib.blake2b(ascii(exact).encode(), digest_size=_EPOCH_BYTES)
    return int.from_bytes(digest.digest(), 'big')


@dataclass(frozen=True, slots=True)
class Image:
    """What the extractor needs of a sensor_msgs/Image."""

    encoding: str
    height: int
    width: int
    step: int
    data: NDArray[np.uint8]
    is_bigendian: bool = byteorder == 'big'


def image_of(pixels: Pixels, encoding: str) -> Image:
    """Return pixels, (H, W, C), as the robot would have them."""
    height, width, _ = pixels.shape
    native = pixels.astype(pixels.dtype.newbyteorder('='), copy=False)
    data = np.ascontiguousarray(native).reshape(-1).view(np.uint8)
    return Image(encoding, height, width, data.size // height if height else 0, data)


def is_array(obj: Any) -> bool:
    """Whether obj says that it can be an array."""
    return hasattr(obj, '__array__') or hasattr(obj, '__array_interface__')


def value_of(name: str, value: Any) -> Value:
    """Return a value as an extractor would have it. Raises TypeError and ValueError."""
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bool | int | float | np.number | np.bool_) and not np.iscomplexobj(value):
        try:
            return float(value)
        except OverflowError as error:
            raise ValueError(f'{name} is beyond all 64 bit floats') from error
    if isinstance(value, list | tuple) and value and all(isinstance(v, str) for v in value):
        return tuple(map(str, value))
    if isinstance(value, list | tuple) or is_array(value):
        try:
            array = np.asarray(value)
        except ValueError as error:
            raise TypeError(f'{name} is no array: {error}') from error
        if array.dtype.kind == 'U' and is_array(value):
            return tuple(array.ravel().tolist())
        if array.dtype.kind in _NUMBERS:
            return float(array) if array.ndim == 0 else elements(array)
    raise TypeError(f'{name} is {type(value).__name__}: neither number, string, nor array of these')
