"""Profiles of data in memory, in one line: for notebooks and training scripts.

    >>> import numpy, profiler_node
    >>> images = numpy.full((50, 480, 640, 3), 128, numpy.uint8)
    >>> profile = profiler_node.log(images, stream='image')
    >>> profile.features['image/red_mean'].moments.mean
    128.0
    >>> scores = profiler_node.log([{'score': 0.25}, {'score': 0.75}], stream='model')
    >>> scores.features['field/score'].quantiles([0.0, 1.0])
    [0.25, 0.75]
    >>> both = scores.merged(profiler_node.log({'score': 0.5}, stream='model'))
    >>> both.features['field/score'].moments.count
    3

Names and values of the features are those that a robot has of the same data, without `message/`,
of which data in memory has none.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from sys import byteorder
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from profiler_node.core.accumulators import Accumulator, NumericAccumulator, accumulator_for
from profiler_node.core.config import SketchConfig, StreamConfig
from profiler_node.core.elements import elements
from profiler_node.core.errors import DecodeError
from profiler_node.core.extract.camera import ImageExtractor
from profiler_node.core.moments import Moments
from profiler_node.core.observation import Observation, Value
from profiler_node.core.pixels.encodings import ENCODINGS, Pixels
from profiler_node.core.profile import Counters, Feature, NumericFeature, Profile, Source
from profiler_node.core.sketches import QuantileSketch
from profiler_node.fleet.store import read_profiles
from profiler_node.objects import write_file
from profiler_node.wire.codec import encode

IMAGE_TYPE = 'sensor_msgs/msg/Image'
_ENCODING_OF = {
    (np.dtype(kind), channels): f'{name}{bits}'
    for kind, bits in (('u1', 8), ('u2', 16))
    for channels, name in ((1, 'mono'), (3, 'rgb'), (4, 'rgba'))
}
_NUMBERS = 'biuf'  # kinds of dtypes
_INTEGERS, _TIMES = 'iu', 'mM'
_NS_PER_S = 1e9


def log(  # noqa: PLR0913 (all but the first two are rarely needed)
    obj: Any,
    *,
    stream: str,
    encoding: str = '',
    robot_id: str = '',
    tags: Mapping[str, str] | None = None,
    stamps_ns: Sequence[int] | NDArray[Any] | None = None,
    stamp_column: str = '',
) -> Profile:
    """Return the profile of obj, which has one window.

    obj is one of:

    - an image, (H, W) or (H, W, C), or a batch, (N, H, W, C), with C of 1, 3 or 4; or a sequence of
      images of any sizes. uint8 and uint16 are taken as red, green, blue (and alpha, ignored), or
      as gray. All else is named by encoding: 'bgr8' as OpenCV reads files, '32FC1' for depth [m],
      '16UC1' for depth [mm], 'bayer_rggb8'; all of ROS but YUV. Features `image/` or `depth/`.
    - a dict, one message, or a sequence of dicts. Values are numbers, strings, booleans, None for
      missing, arrays of any shape or sequences of numbers or strings, or dicts of these. The
      feature of `{'pose': {'x': 1.0}}` is `field/pose.x`, as of a message; a key with a slash is
      the name of a feature itself, as `detections/label`.
    - a pandas DataFrame, a pyarrow Table or RecordBatch: one message a row, each column a feature
      `field/<column>`; times are in seconds since 1970.

    stream, robot_id, tags: what the profile is labelled with. stamps_ns: (N,) time of each message
    since 1970; stamp_column: the column of a frame that holds it, as a time or in ns. Default: the
    index of each message, so that the stamps of min and max say which one that is.

    Raises ValueError or TypeError, naming what does not fit.
    """
    collected = Collector()
    message_type = ''
    if columns := _columns_of(obj):
        count = len(next(iter(columns.values())).values)
        if stamp_column:
            stamps_ns = _column_stamps(columns, stamp_column)
        stamps = _stamps(stamps_ns, count)
        for name, column in columns.items():
            if name != stamp_column:
                collected.add_column(_feature_name(name), column, stamps)
    else:
        if stamp_column:
            raise ValueError('stamp_column is for frames, this is none: give stamps_ns')
        observations, message_type = _observations_of(obj, encoding)
        stamps = _stamps(stamps_ns, len(observations))
        for observe, stamp_ns in zip(observations, stamps.tolist(), strict=True):
            collected.add(observe(), stamp_ns)
    source = Source(robot_id, stream, '', message_type, MappingProxyType(dict(tags or {})))
    counters = Counters(seen=stamps.size, decoded=stamps.size)
    return collected.profile(source, int(stamps.min()), int(stamps.max()) + 1, counters)


def save(path: str | Path, profiles: Profile | Iterable[Profile]) -> None:
    """Write profiles to a file, which edge-profiler reads, and load. Raises OSError."""
    some = [profiles] if isinstance(profiles, Profile) else profiles
    write_file(Path(path), map(encode, some))


def load(path: str | Path) -> list[Profile]:
    """Return the profiles in a file or a store. Raises StoreError, also where some is damaged."""

    def fail(error: Exception) -> None:
        raise error

    return list(read_profiles(str(path), fail))


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

    def add_column(self, name: str, column: '_Column', stamps_ns: NDArray[np.int64]) -> None:
        """Add a feature of many messages. Raises TypeError."""
        if column.values.dtype != object:
            feature = NumericAccumulator('scalar', self._sketch)
            feature.add_many(column.values, stamps_ns)
            self._features[name] = feature
            return
        for value, missing, stamp_ns in zip(
            column.values, column.missing, stamps_ns.tolist(), strict=True
        ):
            self.add({name: None if missing else _value_of(name, value)}, stamp_ns)

    def profile(self, source: Source, start_ns: int, end_ns: int, counters: Counters) -> Profile:
        """Return the profile of all that was added."""
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
        return Profile(source, 0, start_ns, end_ns, counters, MappingProxyType(features))

    def _without_values(self) -> NumericFeature:
        return NumericFeature('scalar', Moments(), QuantileSketch(self._sketch.kll_k).to_bytes())


def _kind_of(value: Value) -> str:
    if isinstance(value, str | tuple):
        return 'categorical'
    return 'a number' if isinstance(value, float) else 'an array'


def _stamps(stamps_ns: Any, count: int) -> NDArray[np.int64]:
    """Return the time of each message [ns], (count,)."""
    if not count:
        raise ValueError('there is nothing to profile')
    if stamps_ns is None:
        return np.arange(count)
    stamps = np.asarray(stamps_ns)
    if stamps.shape != (count,) or stamps.dtype.kind not in 'iu':
        raise ValueError(
            f'stamps_ns are {stamps.dtype} {stamps.shape}, they must be whole numbers ({count},)'
        )
    return stamps.astype(np.int64)


# Images and dicts


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


def _observations_of(
    obj: Any, encoding: str
) -> tuple[Sequence[Callable[[], Mapping[str, Value | None]]], str]:
    """Return what makes the observation of each message in obj, and the type of messages."""
    items = [obj] if isinstance(obj, Mapping) else obj
    if isinstance(items, list | tuple) and all(isinstance(item, Mapping) for item in items):
        if encoding:
            raise ValueError('encoding is for images, these are none')
        return [lambda item=item: dict(_values_of(item)) for item in items], ''
    extract = ImageExtractor(StreamConfig())
    images = [image for item in _arrays_of(obj) for image in _images_of(item, encoding)]
    return [lambda image=image: _extracted(extract, *image) for image in images], IMAGE_TYPE


def _extracted(extract: ImageExtractor, pixels: Pixels, encoding: str) -> Observation:
    observation: Observation = {}
    try:
        extract(image_of(pixels, encoding), observation)
    except DecodeError as error:
        raise ValueError(str(error)) from error
    return observation


def _arrays_of(obj: Any) -> list[NDArray[Any]]:
    if isinstance(obj, list | tuple) and all(map(_is_array, obj)):
        return [np.asarray(item) for item in obj]
    if _is_array(obj):
        return [np.asarray(obj)]
    raise TypeError(
        f'{type(obj).__name__} is neither an image, a dict, a frame nor a list of images or dicts'
    )


def _is_array(obj: Any) -> bool:
    return hasattr(obj, '__array__') or hasattr(obj, '__array_interface__')


def _images_of(array: NDArray[Any], encoding: str) -> Iterator[tuple[Pixels, str]]:
    """Yield each image in array, (H, W, C), with its encoding."""
    shape = array.shape
    if array.ndim == 2:
        array = array[:, :, None]
    channels = ENCODINGS[_known(encoding)].channels if encoding else 0
    if array.ndim not in {3, 4} or array.shape[-1] not in ({channels} if encoding else {1, 3, 4}):
        text = f'of {channels} channels for {encoding}' if encoding else 'with C of 1, 3 or 4'
        hint = ''
        if array.ndim > 2 and array.shape[-3] in {1, 3, 4}:
            hint = ': channels come last, as by np.moveaxis(image, -3, -1)'
        raise ValueError(
            f'an array {shape} is no image (H, W), (H, W, C) or (N, H, W, C) {text}{hint}'
        )
    name = encoding or _ENCODING_OF.get((array.dtype.newbyteorder('='), array.shape[-1]), '')
    if not name:
        raise ValueError(
            f'{array.dtype} may be anything: give encoding, as 32FC1 for depth [m], or scale '
            'colours to uint8'
        )
    if array.dtype.newbyteorder('=') != np.dtype(ENCODINGS[name].dtype):
        raise ValueError(f'{name} is {np.dtype(ENCODINGS[name].dtype)}, the image {array.dtype}')
    for pixels in array if array.ndim == 4 else [array]:
        yield pixels, name


def _known(encoding: str) -> str:
    """Return encoding. Raises ValueError unless it is one of pixels in rows."""
    usable = [name for name, what in ENCODINGS.items() if what.to_bgr is None]
    if encoding not in usable:
        raise ValueError(f'encoding {encoding!r} is not one of {", ".join(usable)}')
    return encoding


def _values_of(fields: Mapping[Any, Any], above: str = '') -> Iterator[tuple[str, Value | None]]:
    """Yield the features of a dict and those in it."""
    for key, value in fields.items():
        if not isinstance(key, str):
            raise TypeError(f'the key {key!r} is no string')
        path = f'{above}.{key}' if above else key
        if isinstance(value, Mapping):
            yield from _values_of(value, path)
        else:
            name = _feature_name(path)
            yield name, None if value is None else _value_of(name, value)


def _feature_name(path: str) -> str:
    return path if '/' in path else f'field/{path}'


def _value_of(name: str, value: Any) -> Value:
    """Return a value as an extractor would have it. Raises TypeError."""
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bool | int | float | np.number | np.bool_) and not np.iscomplexobj(value):
        return float(value)
    if isinstance(value, list | tuple) and value and all(isinstance(v, str) for v in value):
        return tuple(map(str, value))
    if isinstance(value, list | tuple) or _is_array(value):
        try:
            array = np.asarray(value)
        except ValueError as error:
            raise TypeError(f'{name} is no array: {error}') from error
        if array.dtype.kind == 'U' and _is_array(value):
            return tuple(array.ravel().tolist())
        if array.dtype.kind in _NUMBERS:
            return float(array) if array.ndim == 0 else elements(array)
    raise TypeError(f'{name} is {type(value).__name__}: neither number, string, nor array of these')


# Frames


@dataclass(frozen=True, slots=True)
class _Column:
    """A column of a frame. values: (N,) float64 or objects; missing: (N,) which of these are none.

    ns: (N,) what the values are as stamps, exactly; None where they are none.
    """

    values: NDArray[Any]
    missing: NDArray[np.bool_]
    ns: NDArray[np.int64] | None = None


def _columns_of(obj: Any) -> dict[str, _Column]:
    """Return the columns of a frame, by name; none where obj is not a frame."""
    module = type(obj).__module__.partition('.')[0]
    if module == 'pandas' and hasattr(obj, 'columns'):
        return {str(name): _pandas_column(obj[name]) for name in obj.columns}
    if module == 'pyarrow' and hasattr(obj, 'column_names'):
        names = zip(obj.column_names, obj.columns, strict=True)
        return {name: _arrow_column(column) for name, column in names}
    return {}


def _pandas_column(series: Any) -> _Column:
    missing = series.isna().to_numpy(dtype=bool)
    if series.dtype.kind in _NUMBERS:
        whole = series.dtype.kind in _INTEGERS and not missing.any()
        ns = series.to_numpy(dtype=np.int64) if whole else None
        return _Column(series.to_numpy(dtype=np.float64, na_value=np.nan), missing, ns)
    if series.dtype.kind in _TIMES:
        return _times(series.to_numpy(dtype=f'{series.dtype.kind}8[ns]'), missing)
    return _Column(series.to_numpy(dtype=object), missing)


def _arrow_column(column: Any) -> _Column:
    values = np.asarray(column)
    missing = np.asarray(column.is_null())
    if values.dtype.kind in _TIMES:
        return _times(values.astype(f'{values.dtype.kind}8[ns]'), missing)
    if values.dtype.kind in _NUMBERS:
        ns = values.astype(np.int64) if values.dtype.kind in _INTEGERS else None
        return _Column(values.astype(np.float64), missing, ns)
    values = np.empty(len(column), dtype=object)
    values[:] = column.to_pylist()
    return _Column(values, missing)


def _times(times: NDArray[Any], missing: NDArray[np.bool_]) -> _Column:
    ns = times.astype(np.int64)
    return _Column(np.where(missing, np.nan, ns / _NS_PER_S), missing, ns)


def _column_stamps(columns: Mapping[str, _Column], name: str) -> NDArray[np.int64]:
    """Return the stamps [ns] that a column holds."""
    if name not in columns:
        raise ValueError(f'there is no column {name!r}; there are {", ".join(columns)}')
    column = columns[name]
    if column.missing.any():
        raise ValueError(f'{name}: {int(column.missing.sum())} stamps are missing')
    if column.ns is None:
        raise ValueError(f'{name} holds neither times nor whole numbers of ns')
    return column.ns
