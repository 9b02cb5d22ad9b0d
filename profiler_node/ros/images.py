"""YUV images by cv_bridge, where it is there."""

from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from profiler_node.core.pixels.encodings import bgr_of, yuv_of

# Of the encodings that are no view of channels, those that cv_bridge converts.
_OF_CV_BRIDGE = {'yuv422', 'yuv422_yuy2'}


@cache
def cv_bridge() -> Any:
    """Return a CvBridge, None where it is not installed or does not work.

    Looked for when it is first needed: built for NumPy 1, it prints a page about NumPy 2.
    """
    try:
        from cv_bridge import CvBridge  # noqa: PLC0415

        bridge = CvBridge()
        bridge.encoding_to_cvtype2('bgr8')  # imports its binary
    except (ImportError, AttributeError):
        return None
    return bridge


def to_bgr(message: Any) -> NDArray[np.uint8]:
    """Return the pixels of a YUV Image, (H, W, 3) uint8 as b, g, r. Raises DecodeError."""
    bridge = cv_bridge() if message.encoding in _OF_CV_BRIDGE else None
    if bridge is None:
        return bgr_of(message)
    image = SimpleNamespace(
        encoding=message.encoding,
        height=message.height,
        width=message.width,
        step=2 * message.width,  # it takes no padding by odd numbers of bytes
        is_bigendian=0,
        data=yuv_of(message).ravel(),
    )
    return np.asarray(bridge.imgmsg_to_cv2(image, 'bgr8'), np.uint8)
