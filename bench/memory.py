"""Memory after 1,000 and after 100,000 messages of each kind, and of a window of 151 numbers.

The messages are small, so that it ends today, but large enough to take the way of large ones.
"""

import argparse
import gc
import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import messages as make
from rows import Feed

from profiler_node.wire.codec import encode

_PAGE = os.sysconf('SC_PAGE_SIZE')
_WARM_UP = 1_000
_MB = 1e6


def resident_mb() -> float:
    """Return the resident size of this process [MB]."""
    gc.collect()
    pages = Path('/proc/self/statm').read_text(encoding='ascii').split()[1]
    return int(pages) * _PAGE / _MB


def feeds() -> Iterator[tuple[str, Feed]]:
    """Yield a stream of each kind."""
    image = 'sensor_msgs/msg/Image'
    yield 'image bgr8', Feed(image, make.image_bgr8(4, (160, 120)))
    yield 'image jpeg', Feed('sensor_msgs/msg/CompressedImage', make.image_jpeg(4, (160, 120)))
    yield 'depth 16UC1', Feed(image, make.depth_16uc1(4, (640, 480)))
    yield 'depth 32FC1', Feed(image, make.depth_32fc1(4, (160, 120)))
    yield 'cloud', Feed('sensor_msgs/msg/PointCloud2', make.cloud(4, 64))
    yield 'scan', Feed('sensor_msgs/msg/LaserScan', make.scan(4))
    yield 'boxes', Feed('vision_msgs/msg/Detection2DArray', make.boxes(4))
    yield 'imu', Feed('sensor_msgs/msg/Imu', make.imu(4))
    yield 'row', Feed(make.row_type(make.ROW), make.rows(1_000, make.ROW))


def grown_mb(feed: Feed, count: int) -> tuple[float, float]:
    """Return the resident size after the warm-up, and by how much it has grown after count."""
    for _ in range(_WARM_UP):
        feed()
    before = resident_mb()
    for _ in range(count - _WARM_UP):
        feed()
    return before, resident_mb() - before


def wide_window() -> tuple[float, int]:
    """Return the state [MB] of 151 numbers in a full window, and the bytes of its profile."""
    messages = make.rows(20_000, make.WIDE_ROW)
    before = resident_mb()
    feed = Feed(make.row_type(make.WIDE_ROW), messages)
    for _ in messages:
        feed()
    state = resident_mb() - before
    return state, len(encode(feed.profile()))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--messages', type=int, default=100_000)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    state, size = wide_window()
    print(f'151 numbers, full window: {state:.1f} MB, profile {size / 1e3:.0f} kB')
    for name, feed in feeds():
        before, growth = grown_mb(feed, arguments.messages)
        print(
            f'{name:12} {before:7.1f} MB after {_WARM_UP}, {growth:+.2f} MB after '
            f'{arguments.messages} messages',
            flush=True,
        )


if __name__ == '__main__':
    main()
