"""What merging costs: profiles a second, and memory, of a store that is made for it.

python bench/merge.py [--profiles N] [--robots N] [--by KEYS]...
"""

import argparse
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from profiler_node.bridge.batch import pack
from profiler_node.bridge.transport import sender
from profiler_node.core.accumulators import CategoryAccumulator, NumericAccumulator
from profiler_node.core.config import NS_PER_S, SketchConfig
from profiler_node.core.profile import Counters, Feature, Profile, Source
from profiler_node.fleet.merge import Merger, grouping_of
from profiler_node.fleet.store import Seen, read_profiles
from profiler_node.objects import UPLOAD_TIMEOUT_S, ObjectWriter
from profiler_node.wire.codec import encode

START_NS = 1_700_006_400 * NS_PER_S
WINDOW_NS = 60 * NS_PER_S
NUMERIC, CATEGORICAL, MESSAGES = 27, 3, 600  # ten messages a second
DIFFERENT = 64
PER_OBJECT = 30
DAY = 1440  # windows


def features(seed: int) -> dict[str, Feature]:
    """Return the features of a window."""
    random = np.random.default_rng(seed)
    made: dict[str, Feature] = {}
    for index in range(NUMERIC):
        numbers = NumericAccumulator('scalar', SketchConfig())
        numbers.add_many(random.normal(size=MESSAGES), START_NS + np.arange(MESSAGES))
        made[f'field/number_{index}'] = numbers.finish()
    for index in range(CATEGORICAL):
        names = CategoryAccumulator(SketchConfig())
        names.add(('rgb8',) * MESSAGES, START_NS)
        made[f'field/name_{index}'] = names.finish()
    return made


def write_store(folder: Path, profiles: int, robots: int) -> None:
    """Write a store as the bridges of robots do: objects by day and robot."""
    base = [features(seed) for seed in range(DIFFERENT)]
    for robot in range(robots):
        source = Source(f'robot-{robot}', 'image', '/image', 'sensor_msgs/msg/Image')
        windows = range(profiles // robots)
        for first in windows[::PER_OBJECT]:
            some = windows[first : first + PER_OBJECT]
            path = folder / f'{first // DAY:03d}' / source.robot_id / f'{first:07d}.pb.zst'
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(pack([encode(window(source, n, base)) for n in some]))


def window(source: Source, number: int, base: list[dict[str, Feature]]) -> Profile:
    """Return the profile of one window."""
    start_ns = START_NS + number * WINDOW_NS
    counters = Counters(seen=MESSAGES, decoded=MESSAGES)
    own = base[hash((source.robot_id, number)) % DIFFERENT]
    return Profile(source, 0, start_ns, start_ns + WINDOW_NS, counters, own)


def merged(store: Path, by: str) -> tuple[int, int, float, int]:
    """Merge a store; return profiles in and out, seconds, and peak RSS [bytes]."""
    start, count, results = time.perf_counter(), 0, 0
    with tempfile.TemporaryDirectory() as out, tempfile.TemporaryFile() as file:
        writer = ObjectWriter('merged', sender(out, UPLOAD_TIMEOUT_S))
        merger = Merger(grouping_of(by), file, fail)
        for profile in read_profiles(str(store), fail, seen=Seen()):
            merger.add(profile)
            count += 1
        for result in merger.finish():
            writer.add(encode(result))
            results += 1
        writer.flush()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return count, results, time.perf_counter() - start, peak


def fail(error: Exception) -> None:
    """Raise error: there is none in what was made here."""
    raise error


def rows(store: Path, keys: list[str]) -> Iterator[tuple[str, ...]]:
    """Yield a row of figures for each way to merge, each in a process of its own."""
    for by in keys:
        with multiprocessing.get_context('spawn').Pool(1) as pool:
            count, results, seconds, peak = pool.apply(merged, (store, by))
        yield by, str(count), str(results), f'{count / seconds:.0f}', f'{peak / 1e6:.0f}'


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--profiles', type=int, default=10_000)
    parser.add_argument('--robots', type=int, default=10)
    parser.add_argument('--by', action='append', default=[])
    arguments = parser.parse_args()
    table = Table('by', 'profiles', 'merged into', 'profiles/s', 'peak RSS MB', box=None)
    with tempfile.TemporaryDirectory() as folder:
        write_store(Path(folder), arguments.profiles, arguments.robots)
        for row in rows(Path(folder), arguments.by or ['robot,stream,1h', '1day', 'robot,1min']):
            table.add_row(*row)
    Console().print(table)


if __name__ == '__main__':
    main()
