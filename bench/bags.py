"""Speed and memory of `edge-profiler bag`: reading alone, and reading with profiling.

Generated recordings of raw 1080p images, of measurements (Imu), and of a robot's mix, in each
format, and each folder of EDGE_PROFILER_DATA. MB are of serialized messages, files are in the page
cache, and each is read in a process of its own, on one core, whose time is measured.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import messages as make
from rosbags.rosbag1 import Writer as Writer1
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from profiler_node.bags import Pass, Plan
from profiler_node.memory import keep_freed_memory
from profiler_node.recordings.recording import Recording

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / 'test' / 'recordings'))

from recorded import pack_lz4  # noqa: E402

_ROUNDS = 3
_LONGER = 10
_FORMATS = ('mcap', 'mcap lz4', 'mcap zstd', 'sqlite3', 'ros1', 'ros1 lz4')
_IMAGE, _IMU = 'sensor_msgs/msg/Image', 'sensor_msgs/msg/Imu'
_SCAN, _CLOUD = 'sensor_msgs/msg/LaserScan', 'sensor_msgs/msg/PointCloud2'
Mix = Sequence[tuple[str, list[bytearray], int]]
"""Type, different messages, and how many there are a second."""


def mixes() -> dict[str, Mix]:
    """Return what is recorded, by name."""
    images, imu = make.image_bgr8(4), make.imu(50)
    return {
        'image': [(_IMAGE, images, 30)],
        'imu': [(_IMU, imu, 1000)],
        'robot': [
            (_IMAGE, make.image_bgr8(4, (640, 480)), 30),
            (_IMU, imu, 200),
            (_SCAN, make.scan(4), 20),
            (_CLOUD, make.cloud(4), 10),
        ],
    }


def timeline(mix: Mix, seconds: float) -> Iterator[tuple[int, int, bytes]]:
    """Yield number in mix, time and content of all messages, by time."""
    due = [
        (make.FIRST_STAMP_NS + index * 10**9 // rate, number, index)
        for number, (_, _, rate) in enumerate(mix)
        for index in range(round(seconds * rate))
    ]
    for stamp_ns, number, index in sorted(due):
        message = mix[number][1][index % len(mix[number][1])]
        make.put_stamp(message, stamp_ns)
        yield number, stamp_ns, bytes(message)


def write(path: Path, mix: Mix, seconds: float, kind: str) -> Path:
    """Write a recording and return it."""
    store = make.store()
    if kind.startswith('ros1'):
        writer1 = Writer1(path.with_suffix('.bag'))
        if kind == 'ros1 lz4':
            writer1.set_compression(Writer1.CompressionFormat.LZ4)
        with writer1:
            ones = [
                writer1.add_connection(f'/t{n}', m[0], typestore=store) for n, m in enumerate(mix)
            ]
            for number, stamp_ns, data in timeline(mix, seconds):
                raw = store.cdr_to_ros1(data, mix[number][0])
                writer1.write(ones[number], stamp_ns, raw)
        return path.with_suffix('.bag')
    plugin = StoragePlugin.SQLITE3 if kind == 'sqlite3' else StoragePlugin.MCAP
    writer = Writer(path, version=9, storage_plugin=plugin)
    if kind == 'mcap zstd':
        writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
    with writer:
        twos = [writer.add_connection(f'/t{n}', m[0], typestore=store) for n, m in enumerate(mix)]
        for number, stamp_ns, data in timeline(mix, seconds):
            writer.write(twos[number], stamp_ns, data)
    if kind == 'mcap lz4':
        pack_lz4(next(path.glob('*.mcap')))
    return path


def read_only(path: Path) -> tuple[int, int]:
    """Read all messages; return how many there are, and their bytes."""
    count = size = 0
    with Recording(path) as recording:
        recording.topics()
        for message in recording.messages():
            count += 1
            size += len(message.data)
    return count, size


def profile(path: Path) -> tuple[int, int]:
    """Profile all messages; return as read_only."""
    with Recording(path) as recording:
        taken = Pass(recording, Plan())
        for _ in taken.profiles():
            pass
        return (
            sum(count.messages for count in taken.counts),
            sum(count.size_bytes for count in taken.counts),
        )


def peak_mb() -> float:
    """Return the peak memory of this process [MB]; that of getrusage may be its parent's."""
    text = Path('/proc/self/status').read_text(encoding='ascii')
    return int(text.partition('VmHWM:')[2].split()[0]) * 1024 / 1e6


def measure(path: Path) -> dict[str, float]:
    """Return speeds [MB/s], their ratio, and the peak memory [MB] of this process."""
    seconds: dict[str, list[float]] = {'read': [], 'profile': []}
    count = size = 0
    for _ in range(_ROUNDS):
        for name, run in (('read', read_only), ('profile', profile)):
            start = time.process_time()
            count, size = run(path)
            seconds[name].append(time.process_time() - start)
    read_s, profile_s = (min(seconds[name]) for name in ('read', 'profile'))
    return {
        **{'messages': count, 'mb': size / 1e6, 'read_mb_per_s': size / 1e6 / read_s},
        **{'profile_mb_per_s': size / 1e6 / profile_s, 'ratio': read_s / profile_s},
        **{'us_per_message': profile_s / count * 1e6, 'peak_mb': peak_mb()},
    }


def measured_apart(path: Path) -> dict[str, float]:
    """Return measure(path), by a process of its own."""
    command = [sys.executable, __file__, '--measure', str(path)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def rows(seconds: float) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield the name of each recording, and what was measured."""
    with tempfile.TemporaryDirectory(prefix='bench-bags-') as name:
        for what, mix in mixes().items():
            for kind in _FORMATS:
                path = write(Path(name) / 'bag', mix, seconds, kind)
                yield f'{what} {kind}', measured_apart(path)
                _remove(path)
        for what, mix in mixes().items():
            path = write(Path(name) / 'bag', mix, seconds * _LONGER, 'mcap')
            yield f'{what} mcap, {_LONGER} times as long', measured_apart(path)
            _remove(path)
    data = Path(os.environ.get('EDGE_PROFILER_DATA', ROOT.parent / 'shared' / 'data'))
    for path in sorted(data.glob('*/metadata.yaml')):
        yield path.parent.name, measured_apart(path.parent)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def main() -> None:
    """Print a table, and write it as JSON where asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--measure', type=Path, help=argparse.SUPPRESS)
    parser.add_argument('--json', type=Path, help='write the figures there too')
    parser.add_argument('--seconds', type=float, default=2.0, help='of a generated recording')
    arguments = parser.parse_args()
    if arguments.measure:
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        cv2.setNumThreads(1)
        keep_freed_memory()
        json.dump(measure(arguments.measure), sys.stdout)
        return
    heads = ('messages', 'MB', 'read MB/s', 'profile MB/s', 'ratio', 'us each', 'peak MB')
    print(f'{"":30}', *(f'{head:>12}' for head in heads))
    table = {}
    for name, row in rows(arguments.seconds):
        table[name] = row
        digits = (0, 1, 0, 0, 2, 1, 0)
        cells = (f'{value:12.{n}f}' for value, n in zip(row.values(), digits, strict=True))
        print(f'{name:30}', *cells, flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(table, indent=1), encoding='utf-8')


if __name__ == '__main__':
    main()
