"""What the bridge keeps to under kills and long outages. Exits with 1 where anything is lost.

kills: SIGKILL at random, with a store that fails at times. merges: the same while the spool is near
its cap. outage: 36 h without a link, 20 streams. cap: 30 days without a link, and what resolution
is left. wire: bytes per profile in objects.
"""

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / 'test' / 'bridge'))

from faults import FaultyStore
from ledger import NEAR_THE_CAP, Robot, kill_at_random, vary, vary_rarely_up
from outage import Cameras, Outage, camera_profile, stay_offline

from profiler_node.bridge.batch import compress, pack
from profiler_node.bridge.config import BridgeConfig, SpoolConfig

_KILLS_A_DRAIN = 100
_DAY_MIN = 1_440


def kills(arguments: argparse.Namespace, folder: Path) -> bool:
    """Kill a bridge whose store fails at times."""
    return _killed(arguments, folder, vary)


def merges(arguments: argparse.Namespace, folder: Path) -> bool:
    """Kill a bridge that is offline for long, so that its spool merges windows."""
    return _killed(arguments, folder, vary_rarely_up, **NEAR_THE_CAP)


def _killed(
    arguments: argparse.Namespace,
    folder: Path,
    change: Callable[[FaultyStore, random.Random], None],
    **job: Any,
) -> bool:
    """Kill a bridge again and again, and hold its ledger against the store."""
    with FaultyStore() as store:
        robot = Robot(folder / 'robot', store.url, **job)
        backlog: dict[str, Any] = {}
        start_s = time.monotonic()
        for done in range(0, arguments.kills, _KILLS_A_DRAIN):
            count, seed = min(_KILLS_A_DRAIN, arguments.kills - done), arguments.seed + done
            kill_at_random(robot, count, seed, lambda chance: change(store, chance))
            store.fault = None
            backlog = robot.drain()  # or there would be too much even for the longest windows
            print(f'{done + count} kills, {time.monotonic() - start_s:.0f} s', file=sys.stderr)
        outcome = robot.account(store.objects)
    print(f'{arguments.kills} kills, {len(store.objects)} objects, {len(robot.sent())} tries')
    print(f'{backlog["merged"]} merged into others, dropped: {backlog["dropped"]}')
    print(outcome)
    return outcome.is_right and not backlog['dropped']


def outage(arguments: argparse.Namespace, folder: Path) -> bool:
    """Fill a spool of the default size, then upload all."""
    cameras = Cameras(arguments.streams or 20)
    result = stay_offline(folder, SpoolConfig(), cameras, arguments.minutes or 36 * 60)
    return _tell(result)


def cap(arguments: argparse.Namespace, folder: Path) -> bool:
    """Stay offline for 30 days, with the part of the default cap for the streams that there are."""
    streams, full = arguments.streams or 2, SpoolConfig()
    config = SpoolConfig(full.max_bytes * streams // 20, full.max_rows * streams // 20)
    print(f'{streams} of 20 streams, within {config.max_bytes / 1e6:.1f} MB')
    result = stay_offline(folder, config, Cameras(streams), arguments.minutes or 30 * _DAY_MIN)
    return _tell(result)


def wire(_: argparse.Namespace, __: Path) -> bool:
    """Compare the bytes of objects with those of the protobuf messages in them."""
    raw = [camera_profile(seed) for seed in range(1_000)]
    size, most = sum(map(len, raw)), BridgeConfig().batch_bytes
    at_once = max(1, most * len(raw) // size)
    objects = [pack(raw[start : start + at_once]) for start in range(0, len(raw), at_once)]
    print(f'raw protobuf             {size / len(raw):8.0f} bytes/profile')
    for name, total in (
        ('in the spool, one by one', sum(len(compress(data)) for data in raw)),
        (f'in objects, {at_once} in each', sum(map(len, objects))),
    ):
        print(f'{name:24} {total / len(raw):8.0f} bytes/profile, {total / size:.2f} of raw')
    return True


def _tell(result: Outage) -> bool:
    rate = result.profiles / result.fill_s, result.profiles / result.drain_s
    print(f'{result.profiles} profiles in {result.minutes / 60:.0f} h')
    print(f'filled in {result.fill_s:.1f} s ({rate[0]:.0f}/s), drained in {result.drain_s:.1f} s')
    print(
        f'slowest put {result.slowest_put_s:.2f} s, '
        f'resident memory grew by {result.grown_mb:.1f} MB at most'
    )
    print(
        f'{result.merged} merged into others, dropped: {dict(result.dropped) or 0}, '
        f'{result.object_bytes / 1e6:.1f} MB of objects for {result.raw_bytes / 1e6:.1f} MB'
    )
    bounds = (1, 2, 5, 15, 60, 120)
    print('age [days]  windows of up to ' + ''.join(f'{bound:>6} min' for bound in bounds))
    for age, lengths in sorted(result.windows.items()):
        counts = [0] * len(bounds)
        for length, count in lengths.items():
            counts[next(i for i, bound in enumerate(bounds) if length <= bound)] += count
        print(f'{age:4} to {age + 1:<4}{"":18}' + ''.join(f'{count:>10}' for count in counts))
    for wrong in result.wrong[:10]:
        print(f'WRONG: {wrong}')
    return not result.wrong and not result.dropped


def main() -> int:
    """Run one of the above; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    runs = {run.__name__: run for run in (kills, merges, outage, cap, wire)}
    parser.add_argument('run', choices=runs)
    parser.add_argument('--kills', type=int, default=1_000)
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--streams', type=int, help='20 for outage, 2 for cap')
    parser.add_argument('--minutes', type=int, help='36 h for outage, 30 days for cap')
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        return 0 if runs[arguments.run](arguments, Path(folder)) else 1


if __name__ == '__main__':
    sys.exit(main())
