"""sensor_msgs/Image and CompressedImage: colour or depth, by encoding or configuration."""

from typing import Any

from profiler_node.core.config import StreamConfig
from profiler_node.core.errors import DecodeError
from profiler_node.core.extract.depth import DEPTH_ENCODINGS, DepthLimits, add_depth
from profiler_node.core.extract.image import Picture, RepeatDetector, add_picture, picture_of
from profiler_node.core.observation import Observation
from profiler_node.core.pixels.compressed import decode_depth, decode_image, head_of
from profiler_node.core.pixels.encodings import (
    ENCODINGS,
    Pixels,
    ToBgr,
    bgr_of,
    encoding_of,
    pixels_of,
)

_DEPTH_TRANSPORT = 'compressedDepth'
_CHANNELS = {1: ENCODINGS['mono8'], 3: ENCODINGS['bgr8'], 4: ENCODINGS['bgra8']}


def _group(kind: str, encoded_as_depth: bool) -> str:
    """Return what an image is taken for: depth or image."""
    return kind or ('depth' if encoded_as_depth else 'image')


def _limits(config: StreamConfig) -> DepthLimits:
    return DepthLimits(config.depth_scale_m, config.depth_min_m, config.depth_max_m)


def _picture(pixels: Pixels) -> Picture:
    """Return the picture in decoded pixels, (H, W), (H, W, 3) or (H, W, 4)."""
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    return picture_of(pixels, _CHANNELS[pixels.shape[2]])


class ImageExtractor:
    """The `image/` or `depth/` features of each Image of one stream."""

    def __init__(self, config: StreamConfig, to_bgr: ToBgr = bgr_of) -> None:
        self._kind = config.kind
        self._limits = _limits(config)
        self._to_bgr = to_bgr
        self._repeated = RepeatDetector()

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
        form = (message.encoding, message.height, message.width, message.step)
        observation[f'{group}/repeated'] = self._repeated(form, message.data)


class CompressedImageExtractor:
    """The `image/` or `depth/` features of each CompressedImage of one stream."""

    def __init__(self, config: StreamConfig) -> None:
        self._kind = config.kind
        self._limits = _limits(config)
        self._reduction = config.jpeg_reduction
        self._repeated = RepeatDetector()

    def __call__(self, message: Any, observation: Observation) -> None:
        """Add the features of message. Raises DecodeError."""
        encoding = message.format.partition(';')[0].strip()
        transported = _DEPTH_TRANSPORT in message.format
        group = _group(self._kind, transported or encoding in DEPTH_ENCODINGS)
        observation[f'{group}/encoding'] = message.format
        if transported:
            pixels = decode_depth(message)
        else:
            head = head_of(message.data)
            observation[f'{group}/size'] = f'{head.width}x{head.height}'
            if group == 'depth' and head.kind != 'png':
                raise DecodeError('lossy_depth', f'depth as {head.kind}, which changes its values')
            reduction = self._reduction if head.kind == 'jpeg' else 1
            pixels = decode_image(message.data, head, reduction)
            if reduction > 1:
                observation['image/reduction'] = float(reduction)
        if group == 'depth':
            if pixels.ndim != 2:
                raise DecodeError('unsupported_encoding', f'depth of shape {pixels.shape}')
            observation['depth/size'] = f'{pixels.shape[1]}x{pixels.shape[0]}'
            add_depth(observation, pixels, self._limits)
        else:
            add_picture(observation, _picture(pixels))
        observation[f'{group}/repeated'] = self._repeated((message.format,), message.data)
