"""Images as cv_bridge reads them."""

import importlib.util

import numpy as np
import pytest

from profiler_node.core.decode import decoder_for
from profiler_node.core.pixels.encodings import ENCODINGS, bgr_of, pixels_of

if not importlib.util.find_spec('cv_bridge'):
    pytest.skip('needs cv_bridge', allow_module_level=True)

from profiler_node.ros.images import cv_bridge, to_bgr

if cv_bridge() is None:
    pytest.skip('needs a cv_bridge that works with the NumPy here', allow_module_level=True)

HEIGHT, WIDTH = 12, 16
DECODE = decoder_for('sensor_msgs/msg/Image')
VIEWS = [name for name, encoding in ENCODINGS.items() if encoding.to_bgr is None]
YUV = [name for name in ENCODINGS if name not in VIEWS]


def known(encoding):
    """Whether this release of cv_bridge has the encoding."""
    try:
        cv_bridge().encoding_to_cvtype2(encoding)
    except Exception:
        return False
    return True


def random_image(image, name, padding):
    encoding = ENCODINGS[name]
    rows = HEIGHT * encoding.rows // 2
    random = np.random.default_rng(3)
    pixels = random.integers(0, 256, (rows, WIDTH * encoding.pixel_bytes), dtype=np.uint8)
    return DECODE(image(pixels, name, height=HEIGHT, width=WIDTH, padding=padding))


@pytest.mark.parametrize('name', VIEWS)
def test_views_of_channels_are_those_of_cv_bridge(image, name):
    if not known(name):
        pytest.skip(f'needs a cv_bridge that knows {name}')
    message = random_image(image, name, padding=0)
    theirs = cv_bridge().imgmsg_to_cv2(message).reshape(HEIGHT, WIDTH, -1)
    np.testing.assert_array_equal(pixels_of(message), theirs)


@pytest.mark.parametrize('padding', [0, 1, 6])
@pytest.mark.parametrize('name', YUV)
def test_yuv_images_are_the_same_with_and_without_cv_bridge(image, name, padding):
    message = random_image(image, name, padding * ENCODINGS[name].channels)
    np.testing.assert_array_equal(to_bgr(message), bgr_of(message))
    if known(name) and not padding:
        theirs = cv_bridge().imgmsg_to_cv2(message, 'bgr8')
        np.testing.assert_array_equal(to_bgr(message), theirs)
