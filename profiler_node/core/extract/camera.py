"""sensor_msgs/Image and CompressedImage: colour or depth, by encoding or configuration."""

from typing import Any

from profiler_node.core.config import StreamConfig
from profiler_node.core.errors import DecodeError
from profiler_node.core.extract.depth import DEPTH_ENCODINGS, DepthLimits, add_depth
from profiler_node.core.extract.image import add_picture, picture_of
from profiler_node.core.observation import Observation
from profiler_node.core.pixels.compressed import (
    decode_depth,
    decode_image,
    decode_lossless,
    head_of,
)
from profiler_node.core.pixels.encodings import (
    ENCODINGS,
    Encoding,
    Pixels,
    ToBgr,
    bgr_of,
    encoding_of,
    pixels_of,
)

_DEPTH_TRANSPORT = 'compressedDepth'


def _group(kind: str, encoded_as_depth: bool) -> str:
    """Return what an image is taken for: depth or image."""
    return kind or ('depth' if encoded_as_depth else 'image')


def _limits(config: StreamConfig) -> DepthLimits:
    return DepthLimits(config.depth_scale_m, config.depth_min_m, config.depth_max_m)


def _encoding_of(pixels: Pixels, form: str) -> Encoding:
    """Return the encoding of decoded pixels, (H, W, C); form: the format of the message.

    `rgb8; jpeg compressed rgb8` says that the compressed image holds red where blue belongs, which
    is how image_transport reads it.
    """
    names = {1: 'mono8', 3: 'bgr8', 4: 'bgra8'}
    if 'compressed rgb' in form:
        names |= {3: 'rgb8', 4: 'rgba8'}
    return ENCODINGS[names[pixels.shape[2]]]


class ImageExtractor:
    """The `image/` or `depth/` features of each Image of one stream."""

    def __init__(self, config: StreamConfig, to_bgr: ToBgr = bgr_of) -> None:
        self._kind = config.kind
        self._limits = _limits(config)
        self._to_bgr = to_bgr

    def __call__(self, message: Any, observation: Observation) -> None:
        """Add the features of message. Raises DecodeError."""
        group = _group(self._kind, message.encoding in DEPTH_ENCODINGS)
        observation[f'{group}/encoding'] = message.encoding
        observation[f'{group}/size'] = f'{message.width}x{message.height}'
        encoding = encoding_of(message)
        if group == 'depth':
            if encoding.channels != 1 or encoding.mosaic or encoding.to_bgr is not None:
                raise DecodeError('unsupported_encoding', f'{message.encoding} is no depth')
            add_depth(observation, pixels_of(message)[:, :, 0], self._limits)
        elif encoding.to_bgr is not None:
            add_picture(observation, picture_of(self._to_bgr(message), ENCODINGS['bgr8']))
        else:
            add_picture(observation, picture_of(pixels_of(message), encoding))


class CompressedImageExtractor:
    """The `image/` or `depth/` features of each CompressedImage of one stream."""

    def __init__(self, config: StreamConfig) -> None:
        self._kind = config.kind
        self._limits = _limits(config)
        self._reduction = config.jpeg_reduction

    def __call__(self, message: Any, observation: Observation) -> None:
        """Add the features of message. Raises DecodeError."""
        form = message.format
        encoding = form.partition(';')[0].strip()
        group = _group(self._kind, _DEPTH_TRANSPORT in form or encoding in DEPTH_ENCODINGS)
        observation[f'{group}/encoding'] = form
        pixels = self._decoded(message, group, observation)
        if group == 'depth':
            if pixels.ndim != 2:
                raise DecodeError('unsupported_encoding', f'depth of shape {pixels.shape}')
            add_depth(observation, pixels, self._limits)
        else:
            pixels = pixels.reshape(*pixels.shape[:2], -1)
            add_picture(observation, picture_of(pixels, _encoding_of(pixels, form)))

    def _decoded(self, message: Any, group: str, observation: Observation) -> Pixels:
        """Return the pixels, (H, W) or (H, W, C), and add their size. Raises DecodeError."""
        if _DEPTH_TRANSPORT in message.format:
            pixels = decode_depth(message)
            observation[f'{group}/size'] = f'{pixels.shape[1]}x{pixels.shape[0]}'
            return pixels
        head = head_of(message.data)
        observation[f'{group}/size'] = f'{head.width}x{head.height}'
        if group == 'depth':
            return decode_lossless(message.data, head)
        reduction = self._reduction if head.kind == 'jpeg' else 1
        if reduction > 1:
            observation['image/reduction'] = float(reduction)
        return decode_image(message.data, head, reduction)
