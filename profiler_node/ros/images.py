"""YUV images by cv_bridge, where it is there."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from profiler_node.core.pixels.encodings import bgr_of, yuv_of

# Of the encodings that are no view of channels, those that cv_bridge converts.
_OF_CV_BRIDGE = {'yuv422', 'yuv422_yuy2'}


@cache
def _convert() -> Callable[..., Any] | None:
    """Return cv_bridge's conversion, None where it is not installed or does not import.

    Looked for when it is first needed: built for NumPy 1, it prints a page about NumPy 2.
    """
    try:
        from cv_bridge.boost.cv_bridge_boost import cvtColor2  # noqa: PLC0415
    except (ImportError, AttributeError):
        return None
    return cvtColor2


def to_bgr(message: Any) -> NDArray[np.uint8]:
    """Return the pixels of a YUV Image, (H, W, 3) uint8 as b, g, r. Raises DecodeError."""
    convert = _convert() if message.encoding in _OF_CV_BRIDGE else None
    if convert is None:
        return bgr_of(message)
    return np.asarray(convert(yuv_of(message), message.encoding, 'bgr8'), np.uint8)
