"""A robot that is offline for long: real profiles of cameras into a spool, and out of it."""

import os
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ledger import files

from profiler_node.bridge.config import BridgeConfig, SpoolConfig
from profiler_node.bridge.room import Merge
from profiler_node.bridge.spool import Entry, Spool
from profiler_node.bridge.transport import Send, sender
from profiler_node.bridge.uploader import Uploader
from profiler_node.core.accumulators import CategoryAccumulator, NumericAccumulator
from profiler_node.core.config import SketchConfig
from profiler_node.core.observation import Levels
from profiler_node.core.profile import Counters, Feature, Profile, Source
from profiler_node.wire.codec import _Message, decode, encode, merge
from profiler_node.wire.objects import unpack

MINUTE_NS = 60 * 10**9
START_NS = 29_000_000 * MINUTE_NS
MESSAGES = 600  # a minute of a camera at 10 Hz
PIXELS = 640 * 480
_PAGE = os.sysconf('SC_PAGE_SIZE')


def camera_profile(seed: int) -> bytes:
    """Return the serialized profile of a minute of a camera: eight features."""
    random = np.random.default_rng(seed)
    stamps_ns = START_NS + np.arange(MESSAGES) * 100_000_000
    features: dict[str, Feature] = {}
    for name in ('red', 'green', 'blue'):
        levels = np.clip(random.normal(random.uniform(60, 180), 40, 20_000), 0, 255).astype(int)
        counts = np.bincount(levels, minlength=256) * (PIXELS * MESSAGES // 20_000)
        elements = NumericAccumulator('elements', SketchConfig())
        elements.add(Levels(counts), START_NS)
        features[f'image/{name}'] = elements.finish()
    for name, center, spread in (
        ('image/brightness', 120, 9),
        ('image/sharpness', 300, 40),
        ('message/interval_s', 0.1, 0.002),
        ('message/latency_s', 0.02, 0.004),
    ):
        scalar = NumericAccumulator('scalar', SketchConfig())
        scalar.add_many(random.normal(center, spread, MESSAGES), stamps_ns)
        features[name] = scalar.finish()
    encoding = CategoryAccumulator(SketchConfig())
    for _ in range(MESSAGES):
        encoding.add('bgr8', START_NS)
    features['image/encoding'] = encoding.finish()
    return encode(
        Profile(
            source=Source('robot', 'camera', '/camera', 'sensor_msgs/msg/Image', {'model': 'a'}),
            epoch=0,
            window_start_ns=START_NS,
            window_end_ns=START_NS + MINUTE_NS,
            counters=Counters(seen=1, decoded=1),  # so that a sum tells how many went into it
            features=features,
        )
    )


class Cameras:
    """Profiles of as many cameras as wanted, made of a few different ones."""

    def __init__(self, count: int, different: int = 100) -> None:
        self.count = count
        self._messages: list[Any] = [
            _Message.FromString(camera_profile(seed)) for seed in range(different)
        ]

    def minute(self, number: int) -> list[Entry]:
        """Return the profiles of all cameras in this minute."""
        return [self._entry(number, camera) for camera in range(self.count)]

    def _entry(self, number: int, camera: int) -> Entry:
        message = self._messages[(number * self.count + camera) % len(self._messages)]
        message.stream = f'camera-{camera}'
        message.window_start_ns = START_NS + number * MINUTE_NS
        message.window_end_ns = message.window_start_ns + MINUTE_NS
        window = message.window_start_ns, message.window_end_ns
        data = message.SerializeToString()
        return Entry('robot', message.stream, '', 0, *window, data, source='camera')


def resident_mb() -> float:
    """Return the resident size of this process [MB]."""
    pages = Path('/proc/self/statm').read_text(encoding='ascii').split()[1]
    return int(pages) * _PAGE / 1e6


@dataclass
class Outage:
    """What came of it.

    slowest_put_s: of one minute's profiles. grown_mb: of the resident size, since the first hour,
    at most.
    windows: how many windows of each length [min] arrived, by their age [days] at the end.
    wrong: what arrived wrongly: a window twice, in part, or not.
    """

    minutes: int
    profiles: int = 0
    raw_bytes: int = 0
    fill_s: float = 0.0
    slowest_put_s: float = 0.0
    drain_s: float = 0.0
    grown_mb: float = 0.0
    object_bytes: int = 0
    merged: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    windows: dict[int, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    wrong: list[str] = field(default_factory=list)


def stay_offline(
    folder: Path,
    config: SpoolConfig,
    cameras: Cameras,
    minutes: int,
    *,
    merge: Merge = merge,
    tell: Callable[[str], None] = print,
) -> Outage:
    """Fill a spool for so many minutes of the profiles' time, then upload all of it.

    tell: is told how it goes on, once a day.
    """
    outage = Outage(minutes)
    memory = _Memory()
    store = folder / 'store'
    with Spool(folder / 'spool.sqlite3', config, merge) as spool:
        start_s = time.monotonic()
        for number in range(minutes):
            entries = cameras.minute(number)
            put_s = time.monotonic()
            spool.put(entries)
            outage.slowest_put_s = max(outage.slowest_put_s, time.monotonic() - put_s)
            outage.profiles += len(entries)
            outage.raw_bytes += sum(len(entry.payload) for entry in entries)
            if number % 60 == 59:
                memory.look()
            if number % 1440 == 1439:
                tell(f'day {number // 1440 + 1}: {time.monotonic() - start_s:.0f} s')
        outage.fill_s = time.monotonic() - start_s
        outage.merged, outage.dropped = spool.backlog().merged, spool.backlog().dropped
        start_s = time.monotonic()
        _drain(spool, memory.watching(sender(str(store), 30.0)))
        outage.drain_s = time.monotonic() - start_s
    outage.grown_mb = memory.grown_mb
    _compare(outage, files(store).values(), cameras.count)
    return outage


def _drain(spool: Spool, send: Send) -> None:
    uploader = Uploader(spool, lambda: send, BridgeConfig())
    uploader.turn()
    backlog = spool.backlog()
    assert (backlog.profiles, backlog.batches, uploader.upload.error) == (0, 0, '')


class _Memory:
    """How much memory is held more than at the first look."""

    def __init__(self) -> None:
        self.grown_mb, self._first_mb = 0.0, 0.0

    def look(self) -> None:
        now_mb = resident_mb()
        self._first_mb = self._first_mb or now_mb
        self.grown_mb = max(self.grown_mb, now_mb - self._first_mb)

    def watching(self, send: Send) -> Send:
        def do(key: str, body: bytes) -> None:
            send(key, body)
            self.look()

        return do


def _compare(outage: Outage, objects: Iterable[bytes], cameras: int) -> None:
    """See that what arrived has each minute of each camera in it once."""
    minutes: dict[str, Counter[int]] = defaultdict(Counter)
    for body in objects:
        outage.object_bytes += len(body)
        for payload in unpack(body):
            profile = decode(payload)
            first = (profile.window_start_ns - START_NS) // MINUTE_NS
            last = (profile.window_end_ns - START_NS) // MINUTE_NS
            if profile.counters.seen != last - first:
                outage.wrong.append(f'{profile.counters.seen} minutes in {first} to {last}')
            minutes[profile.source.stream].update(range(first, last))
            outage.windows[(outage.minutes - first - 1) // 1440][last - first] += 1
    whole = Counter(range(outage.minutes))
    if len(minutes) != cameras:
        outage.wrong.append(f'{len(minutes)} of {cameras} cameras')
    for stream, arrived in minutes.items():
        if arrived != whole:
            outage.wrong.append(
                f'{stream}: {len(whole - arrived)} minutes lost, {len(arrived - whole)} doubled'
            )
