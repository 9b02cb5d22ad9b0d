"""Benchmarks: medians of interleaved runs in one process, on one core. run.py [--json FILE]."""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from rosbags.typesys import Stores, get_typestore

from profiler_node.core.config import SketchConfig, WindowConfig
from profiler_node.core.profile import Source
from profiler_node.core.stream import Stream
from profiler_node.wire.codec import decode, encode

RUNS = 60
STORE = get_typestore(Stores.ROS2_JAZZY)


def image_message(pixels: np.ndarray) -> memoryview:
    """Return a serialized bgr8 image."""
    types = STORE.types
    stamp = types['builtin_interfaces/msg/Time'](sec=1000, nanosec=0)
    message = types['sensor_msgs/msg/Image'](
        header=types['std_msgs/msg/Header'](stamp=stamp, frame_id='camera'),
        height=pixels.shape[0],
        width=pixels.shape[1],
        encoding='bgr8',
        is_bigendian=0,
        step=pixels.shape[1] * 3,
        data=pixels.ravel(),
    )
    return STORE.serialize_cdr(message, 'sensor_msgs/msg/Image')


def new_stream() -> Stream:
    """Return an empty stream of images."""
    source = Source('robot', 'image', '/image', 'sensor_msgs/msg/Image')
    return Stream(source, WindowConfig(), SketchConfig())


def medians_ms(**calls: Callable[[], object]) -> dict[str, float]:
    """Return the median time of each call, all of them taking turns."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for run in range(RUNS + 5):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if run >= 5:
                times[name].append((time.perf_counter() - start) * 1e3)
    return {name: statistics.median(values) for name, values in times.items()}


def rows() -> list[dict[str, object]]:
    """Measure everything."""
    random = np.random.default_rng(1)
    # Smooth with noise, as a camera's: white noise is no picture.
    smooth = cv2.resize(random.integers(0, 256, (27, 48, 3), dtype=np.uint8), (1920, 1080))
    noisy = smooth + random.normal(0, 3, smooth.shape)
    message = image_message(np.clip(noisy, 0, 255).astype(np.uint8))
    stream = new_stream()
    buffer = bytearray(len(message))

    def memcpy() -> None:
        buffer[:] = message

    def window_close() -> None:
        closing.windows.close()
        closing.update(message, 10**12)

    closing = new_stream()
    closing.update(message, 10**12)
    filled = new_stream()
    filled.update(message, 10**12)
    (profile,) = filled.windows.close()
    payload = encode(profile)
    times = medians_ms(
        memcpy=memcpy,
        image_bgr8_1080p=lambda: stream.update(message, 10**12),
        close_and_image=window_close,
        encode_image=lambda: encode(profile),
        decode_image=lambda: decode(payload),
    )
    times['window_close'] = times.pop('close_and_image') - times['image_bgr8_1080p']
    return [
        {
            'name': name,
            'ms': ms,
            'ratio_memcpy': ms / times['memcpy'],
            'profile_bytes': len(payload),
        }
        for name, ms in times.items()
    ]


def main() -> None:
    """Print the table, and write it as JSON where asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--json', type=Path)
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    cv2.setNumThreads(1)
    table = rows()
    for row in table:
        print(f'{row["name"]:20}{row["ms"]:9.3f} ms{row["ratio_memcpy"]:9.2f} x memcpy')
    print(f'profile: {table[0]["profile_bytes"]} bytes')
    if arguments.json:
        arguments.json.write_text(
            json.dumps({'machine': platform.platform(), 'rows': table}, indent=1), encoding='utf-8'
        )


if __name__ == '__main__':
    main()
