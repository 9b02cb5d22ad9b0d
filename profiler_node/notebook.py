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

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from profiler_node.collector import IMAGE_TYPE, Collector, image_of, is_array, value_of
from profiler_node.core.config import StreamConfig
from profiler_node.core.errors import DecodeError
from profiler_node.core.extract.camera import ImageExtractor
from profiler_node.core.observation import Observation, Value
from profiler_node.core.pixels.encodings import ENCODINGS, Pixels
from profiler_node.core.profile import Counters, Profile, Source
from profiler_node.fleet.store import read_profiles
from profiler_node.frames import column_stamps, columns_of, unrepeated
from profiler_node.objects import write_file
from profiler_node.wire.codec import encode

_ENCODING_OF = {
    (np.dtype(kind), channels): f'{name}{bits}'
    for kind, bits in (('u1', 8), ('u2', 16))
    for channels, name in ((1, 'mono'), (3, 'rgb'), (4, 'rgba'))
}
_LAST_NS = 2**63 - 2  # of stamps: windows end behind it


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
    """Return the profile of obj, which has one window. Its epoch is a digest of what is in it.

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
    if columns := columns_of(obj):
        if encoding:
            raise ValueError('encoding is for images, a frame has none')
        count = len(next(iter(columns.values())).values)
        if stamp_column:
            if stamps_ns is not None:
                raise ValueError('the stamps are given by stamp_column and by stamps_ns')
            stamps_ns = column_stamps(columns, stamp_column)
        stamps = _stamps(stamps_ns, count)
        columns.pop(stamp_column, None)
        names = unrepeated(map(_feature_name, columns))
        for name, column in zip(names, columns.values(), strict=True):
            collected.add_column(name, column, stamps)
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
    first, last = int(stamps.min()), int(stamps.max())
    if last > _LAST_NS or last - first > _LAST_NS:
        raise ValueError(f'stamps_ns from {first} to {last} are beyond 64 bits')
    return stamps.astype(np.int64)


def _observations_of(
    obj: Any, encoding: str
) -> tuple[Sequence[Callable[[], Mapping[str, Value | None]]], str]:
    """Return what makes the observation of each message in obj, and the type of messages."""
    items = [obj] if isinstance(obj, Mapping) else obj
    if isinstance(items, list | tuple) and all(isinstance(item, Mapping) for item in items):
        if encoding:
            raise ValueError('encoding is for images, these are none')
        return [lambda item=item: _observation_of(item) for item in items], ''
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
    if isinstance(obj, list | tuple) and all(map(is_array, obj)):
        return [np.asarray(item) for item in obj]
    if is_array(obj):
        return [np.asarray(obj)]
    raise TypeError(
        f'{type(obj).__name__} is neither an image, a dict, a frame nor a list of images or dicts'
    )


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


def _observation_of(fields: Mapping[Any, Any]) -> dict[str, Value | None]:
    values = list(_values_of(fields))
    return dict(zip(unrepeated(name for name, _ in values), (v for _, v in values), strict=True))


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
            yield name, None if value is None else value_of(name, value)


def _feature_name(path: str) -> str:
    return path if '/' in path else f'field/{path}'
