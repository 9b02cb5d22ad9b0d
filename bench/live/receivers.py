"""What is played into: a subscriber that does nothing, and the profiler with its bridge."""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from mix import MIX
from processes import end, process

from profiler_node.fleet.store import read_profiles

HERE = Path(__file__).resolve().parent
NODES = HERE.parents[1] / 'install' / 'edge_profiler' / 'lib' / 'edge_profiler'
WINDOW_S = 10.0

Counters = dict[str, dict[str, int]]
"""Some counters of a stream's profiles, by its name."""


@dataclass(frozen=True)
class Round:
    """What one receiver did with what was played. counters: of the profiler alone."""

    receiver: str
    seconds: float
    gb_per_min: float
    latest_ms: float
    sent: dict[str, int]
    received: dict[str, int]
    receiver_cores: float
    player_cores: float
    peak_rss_mb: float
    counters: Counters

    @property
    def complete(self) -> bool:
        """Whether all that was sent came, and the profiler decoded it."""
        decoded = {name: counters['decoded'] for name, counters in self.counters.items()}
        return self.received == self.sent and (not self.counters or decoded == self.sent)

    @property
    def counted_cores(self) -> float:
        """What the profiler says that profiling took."""
        return sum(each['cpu_ns'] for each in self.counters.values()) / 1e9 / self.seconds


def peak_rss_mb(pid: int) -> float:
    """Return the most memory that a process has held [MB], with what it shares."""
    status = Path(f'/proc/{pid}/status').read_text(encoding='ascii')
    return int(re.findall(r'VmHWM:\s+(\d+)', status)[0]) * 1024 / 1e6


@dataclass(frozen=True)
class Player:
    """How to play. fastdds: Fast DDS's profiles for the player alone, None for its defaults."""

    seconds: float
    best_effort: bool
    fastdds: Path | None

    def play(self, receiver: subprocess.Popen[bytes], folder: Path) -> dict[str, Any]:
        """Play, and return what the player reports and the receiver's peak of memory."""
        report = folder / 'played.json'
        command = [sys.executable, HERE / 'player.py', '--seconds', self.seconds]
        command += ['--watch', receiver.pid, '--report', report]
        command += ['--best-effort'] * self.best_effort
        environment = dict(os.environ)
        if self.fastdds:
            for name in ('FASTRTPS', 'FASTDDS'):  # up to Jazzy, and after it
                environment[f'{name}_DEFAULT_PROFILES_FILE'] = str(self.fastdds.resolve())
        subprocess.run(list(map(str, command)), check=True, env=environment)
        played: dict[str, Any] = json.loads(report.read_text(encoding='utf-8'))
        return played | {'peak_rss_mb': peak_rss_mb(receiver.pid)}


def into_sink(player: Player, folder: Path) -> Round:
    """Play into the subscriber that does nothing."""
    received = folder / 'received.json'
    with process(sys.executable, HERE / 'sink.py', received) as sink:
        played = player.play(sink, folder)
    return _round('sink', played, json.loads(received.read_text(encoding='utf-8')), {})


def into_profiler(player: Player, folder: Path) -> Round:
    """Play into the profiler, whose profiles go through the bridge into a store."""
    store = folder / 'store'
    bridge = (NODES / 'bridge', '--ros-args', '-p', f'store_url:={store}')
    profiler = (NODES / 'profiler', '--ros-args', '--params-file', write_parameters(folder))
    quiet = ('--log-level', 'warn')
    with (
        process(*bridge, '-p', f'state_dir:={folder}', *quiet) as forwarding,
        process(*profiler, *quiet) as profiling,
    ):
        played = player.play(profiling, folder)
        end(profiling)  # first, so that the bridge gets the last windows
        end(forwarding)
    counters = read_counters(store)
    return _round('profiler', played, {n: c['seen'] for n, c in counters.items()}, counters)


def write_parameters(folder: Path) -> Path:
    """Write the profiler's parameters: a stream for each sensor."""
    parameters = {
        'robot_id': 'bench',
        'window': {'length_s': WINDOW_S},
        'streams': [sensor.name for sensor in MIX],
        'stream': {sensor.name: {'topic': sensor.topic, **sensor.parameters} for sensor in MIX},
        'state_dir': str(folder / 'state'),
    }
    path = folder / 'profiler.yaml'
    path.write_text(yaml.safe_dump({'/**': {'ros__parameters': parameters}}), encoding='utf-8')
    return path


def read_counters(store: Path) -> Counters:
    """Return the sums of the counters of all profiles in store."""
    whole: dict[str, Any] = {}
    for profile in read_profiles(str(store), lambda error: sys.exit(str(error))):
        name = profile.source.stream
        counters = profile.counters
        whole[name] = whole[name].merged(counters) if name in whole else counters
    names = ('seen', 'decoded', 'lost', 'shed', 'late', 'cpu_ns')
    return {name: {each: getattr(sums, each) for each in names} for name, sums in whole.items()}


def _round(
    receiver: str, played: dict[str, Any], received: dict[str, int], counters: Counters
) -> Round:
    seconds = played['seconds']
    return Round(
        receiver=receiver,
        seconds=seconds,
        gb_per_min=played['sent_bytes'] / 1e9 / seconds * 60,
        latest_ms=played['latest_ms'],
        sent=played['sent'],
        received=received,
        receiver_cores=played['watched_cpu_s'] / seconds,
        player_cores=played['player_cpu_s'] / seconds,
        peak_rss_mb=played['peak_rss_mb'],
        counters=counters,
    )
