"""Recordings and messages for all tests."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rosbags.typesys import Stores, get_typestore

ROOT = Path(__file__).parent.parent
STORE = get_typestore(Stores.ROS2_JAZZY)


@pytest.fixture(scope='session')
def recording() -> Callable[[str], Path]:
    """The folder of a real recording by name; skips where there is none."""
    folder = Path(os.environ.get('EDGE_PROFILER_DATA', ROOT.parent / 'shared' / 'data'))

    def find(name: str) -> Path:
        if not (folder / name).exists():
            pytest.skip(f'needs the recording {name}: set EDGE_PROFILER_DATA to its folder')
        return folder / name

    return find


@pytest.fixture(scope='session')
def image() -> Callable[..., memoryview]:
    """Serializes a sensor_msgs/Image of pixels, (H, W) or (H, W, C) uint8."""

    def serialize(
        pixels: np.ndarray, encoding: str, stamp_ns: int = 10**18, padding: int = 0, **changes: Any
    ) -> memoryview:
        rows = pixels.reshape(pixels.shape[0], -1)
        rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=99)
        types = STORE.types
        fields = {
            'height': pixels.shape[0],
            'width': pixels.shape[1],
            'encoding': encoding,
            'is_bigendian': 0,
            'step': rows.shape[1],
            'data': rows.ravel(),
        } | changes
        header = types['std_msgs/msg/Header'](
            stamp=types['builtin_interfaces/msg/Time'](
                sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9
            ),
            frame_id='camera',
        )
        message = types['sensor_msgs/msg/Image'](header=header, **fields)
        return STORE.serialize_cdr(message, 'sensor_msgs/msg/Image')

    return serialize
