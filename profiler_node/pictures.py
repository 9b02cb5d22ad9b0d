"""A folder of images in, as of a training set, profiles out."""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from types import MappingProxyType

import cv2
import numpy as np

from profiler_node.collector import IMAGE_TYPE, Collector, image_of
from profiler_node.core.config import NS_PER_S, StreamConfig
from profiler_node.core.errors import DecodeError
from profiler_node.core.extract.camera import ImageExtractor
from profiler_node.core.observation import Observation
from profiler_node.core.pixels.compressed import decode_image, head_of
from profiler_node.core.pixels.encodings import Pixels
from profiler_node.core.profile import Counters, Profile, Source

PER_WINDOW = 50
PERIOD_NS = NS_PER_S  # between the stamps of two images, which have none of their own

_SUFFIXES = {
    *('.jpg', '.jpeg', '.jpe', '.png', '.webp', '.bmp', '.tif', '.tiff'),
    *('.pgm', '.ppm', '.pnm', '.jp2'),
}
_ENCODINGS = {
    (dtype, channels): f'{name}{bits}'
    for dtype, bits in ((np.dtype('u1'), 8), (np.dtype('u2'), 16))
    for channels, name in ((1, 'mono'), (3, 'bgr'), (4, 'bgra'))
}

Report = Callable[[Exception], None]


class PictureError(Exception):
    """An image file, or a folder of them, that cannot be read."""


def image_files(folder: Path, on_error: Report) -> Iterator[Path]:
    """Yield the image files in folder and below, by their names, sorted; hidden ones are not.

    on_error is told of each folder that cannot be read, or is a link: a link may lead in circles.
    """

    def report(error: OSError) -> None:
        on_error(PictureError(f'{error.filename}: {error.strerror}'))

    for where, folders, files in os.walk(folder, onerror=report):
        folders[:] = sorted(name for name in folders if not name.startswith('.'))
        for name in folders:
            if Path(where, name).is_symlink():
                on_error(PictureError(f'{Path(where, name)}: a link to a folder, not followed'))
        for name in sorted(files):
            path = Path(where, name)
            if path.suffix.lower() in _SUFFIXES and not name.startswith('.'):
                yield path


def picture_profiles(
    folder: Path, source: Source, on_error: Report, per_window: int = PER_WINDOW
) -> Iterator[Profile]:
    """Yield the profiles of the images in folder, per_window of them at a time.

    Image n, from 0 on, has the stamp n seconds: those of min and max say which one that was. The
    pixels are as they are in the file: they are not turned as EXIF says, as a robot's are not, and
    alpha is dropped. The features are `image/`, of those that are 8 or 16 bits deep. on_error is
    told of each file that cannot be read, which counts as a message that cannot, and of each folder
    below that is not read. The epoch of each profile is a digest of what is in it: of a folder that
    has grown, and of two of one name, the windows that differ are not taken for the same.
    """
    extract = ImageExtractor(StreamConfig())
    files = image_files(folder, on_error)
    start_ns = 0
    while some := list(islice(files, per_window)):
        collected, errors = Collector(), Counter[str]()
        for index, path in enumerate(some):
            try:
                collected.add(_observation(extract, path), start_ns + index * PERIOD_NS)
            except DecodeError as error:
                errors[error.reason] += 1
                on_error(PictureError(f'{path}: {error}'))
        counters = Counters(
            seen=len(some),
            decoded=len(some) - errors.total(),
            decode_errors=MappingProxyType(dict(sorted(errors.items()))),
        )
        end_ns = start_ns + per_window * PERIOD_NS
        yield collected.profile(source, start_ns, end_ns, counters)
        start_ns = end_ns


def picture_source(folder: Path, robot_id: str, stream: str) -> Source:
    """Return what the profiles of folder are labelled with; robot_id: '' for its name."""
    return Source(robot_id or folder.resolve().name, stream, '', IMAGE_TYPE)


def _observation(extract: ImageExtractor, path: Path) -> Observation:
    """Return the features of an image file. Raises DecodeError."""
    pixels = _pixels(path)
    encoding = _ENCODINGS.get((pixels.dtype, pixels.shape[2]))
    if encoding is None:
        raise DecodeError('unsupported_encoding', f'{pixels.dtype}, {pixels.shape[2]} channels')
    observation: Observation = {}
    extract(image_of(pixels, encoding), observation)
    return observation


def _pixels(path: Path) -> Pixels:
    """Return the pixels of an image file, (H, W, C) in the order b, g, r, a. Raises DecodeError."""
    try:
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        raise DecodeError('unreadable', str(error.strerror)) from error
    try:
        pixels = decode_image(data, head_of(data))
    except DecodeError as error:
        if error.reason != 'unsupported_format':
            raise
        pixels = _of_other_format(data)
    return pixels.reshape(*pixels.shape[:2], -1)


def _of_other_format(data: Pixels) -> Pixels:
    """Return the pixels of an image that robots do not send. Raises DecodeError."""
    try:
        pixels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise DecodeError('bad_data', ' '.join(str(error).split())) from error
    if pixels is None:
        raise DecodeError('bad_data', f'{data.size} bytes that are no image')
    return pixels
