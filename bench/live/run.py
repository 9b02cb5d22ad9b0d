"""12 GB/min over DDS into a subscriber that does nothing, and into the profiler, in turns.

run.py [--seconds S] [--rounds N] [--best-effort] [--json FILE]. What the first costs is transport,
what the second costs more is ours. Exits with 1 where a message was lost.
"""

import argparse
import contextlib
import json
import os
import platform
import re
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml
from domain_coordinator import domain_id

from profiler_node.fleet.store import read_profiles

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent))  # for messages.py

from mix import MIX  # noqa: E402

NODES = HERE.parents[1] / 'install' / 'edge_profiler' / 'lib' / 'edge_profiler'
WINDOW_S = 10.0
ENDS_WITHIN_S = 10.0


@dataclass(frozen=True)
class Round:
    """What one receiver did with what was played. counters: of the profiler, by stream."""

    receiver: str
    gb_per_min: float
    latest_ms: float
    sent: dict[str, int]
    received: dict[str, int]
    receiver_cores: float
    player_cores: float
    peak_rss_mb: float
    counters: dict[str, dict[str, int]]

    @property
    def lost(self) -> int:
        """Messages that were sent and not received, or received and not decoded."""
        return sum(self.sent.values()) - sum(self.received.values())


@contextlib.contextmanager
def process(*command: object) -> Iterator[subprocess.Popen[bytes]]:
    """A process that ends at the latest with the block: asked first, then killed."""
    with subprocess.Popen(list(map(str, command))) as child:
        try:
            yield child
        finally:
            end(child)


def end(child: subprocess.Popen[bytes]) -> None:
    """Ask child to end, and wait for it."""
    if child.poll() is None:
        child.send_signal(signal.SIGINT)
    try:
        child.wait(ENDS_WITHIN_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def peak_rss_mb(pid: int) -> float:
    """Return the most memory that a process has held [MB], with what it shares."""
    status = Path(f'/proc/{pid}/status').read_text(encoding='ascii')
    return int(re.search(r'VmHWM:\s+(\d+)', status)[1]) * 1024 / 1e6


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


def play_into(receiver: subprocess.Popen[bytes], folder: Path, options: list[str]) -> Any:
    """Play, and return what the player reports and the receiver's peak of memory."""
    report = folder / 'played.json'
    player = [sys.executable, HERE / 'player.py', '--watch', receiver.pid, '--report', report]
    subprocess.run([*map(str, player), *options], check=True)
    played = json.loads(report.read_text(encoding='utf-8'))
    return played | {'peak_rss_mb': peak_rss_mb(receiver.pid)}


def into_sink(folder: Path, options: list[str]) -> Round:
    """Play into the subscriber that does nothing."""
    received = folder / 'received.json'
    with process(sys.executable, HERE / 'sink.py', received) as sink:
        played = play_into(sink, folder, options)
    return as_round('sink', played, json.loads(received.read_text(encoding='utf-8')), {})


def into_profiler(folder: Path, options: list[str]) -> Round:
    """Play into the profiler, whose profiles go through the bridge into a store."""
    store = folder / 'store'
    bridge = (NODES / 'bridge', '--ros-args', '-p', f'store_url:={store}')
    with (
        process(*bridge, '-p', f'state_dir:={folder}', '--log-level', 'warn') as forwarder,
        process(
            NODES / 'profiler', '--ros-args', '--params-file', write_parameters(folder),
            '--log-level', 'warn',
        ) as profiler,
    ):  # fmt: skip
        played = play_into(profiler, folder, options)
        end(profiler)  # first, so that the bridge gets the last windows
        end(forwarder)
    counters = read_counters(store)
    return as_round('profiler', played, {n: c['decoded'] for n, c in counters.items()}, counters)


def read_counters(store: Path) -> dict[str, dict[str, int]]:
    """Return the sums of the counters of all profiles in store, by stream."""
    whole: dict[str, Any] = {}
    for profile in read_profiles(str(store), lambda error: sys.exit(str(error))):
        name = profile.source.stream
        whole[name] = whole[name].merged(profile) if name in whole else profile
    names = ('seen', 'decoded', 'lost', 'shed', 'late', 'cpu_ns')
    return {
        name: {counter: getattr(profile.counters, counter) for counter in names}
        for name, profile in whole.items()
    }


def as_round(
    receiver: str, played: Any, received: dict[str, int], counters: dict[str, dict[str, int]]
) -> Round:
    """Return the figures of one round."""
    seconds = played['seconds']
    return Round(
        receiver=receiver,
        gb_per_min=played['sent_bytes'] / 1e9 / seconds * 60,
        latest_ms=played['latest_ms'],
        sent=played['sent'],
        received=received,
        receiver_cores=played['watched_cpu_s'] / seconds,
        player_cores=played['player_cpu_s'] / seconds,
        peak_rss_mb=played['peak_rss_mb'],
        counters=counters,
    )


def print_round(each: Round) -> None:
    """Print a line about the process, and one about each topic."""
    print(
        f'\n{each.receiver}: {each.gb_per_min:.1f} GB/min, {each.receiver_cores:.3f} cores, '
        f'{each.peak_rss_mb:.0f} MB at most; player {each.player_cores:.2f} cores, '
        f'at most {each.latest_ms:.0f} ms late'
    )
    for name, sent in each.sent.items():
        received = each.received.get(name, 0)
        counters = dict(each.counters.get(name, {}))
        cpu_ms = counters.pop('cpu_ns', 0) / 1e6 / max(received, 1)
        about = ', '.join(f'{count} {counter}' for counter, count in counters.items())
        tail = f'  ({about}; {cpu_ms:.3f} ms a message)' if counters else ''
        print(f'  {name:12}{sent:7} sent{received:7} received{sent - received:5} missing{tail}')
    sys.stdout.flush()


def summary(rounds: Sequence[Round], seconds: float) -> dict[str, float]:
    """Return the medians [cores] of transport, of the profiler, and of what is ours."""
    cores = {
        name: statistics.median(r.receiver_cores for r in rounds if r.receiver == name)
        for name in ('sink', 'profiler')
    }
    counted_ns = [
        sum(c['cpu_ns'] for c in r.counters.values()) for r in rounds if r.receiver == 'profiler'
    ]
    return {
        'transport_cores': cores['sink'],
        'profiler_cores': cores['profiler'],
        'ours_cores': cores['profiler'] - cores['sink'],
        'ours_counted_cores': statistics.median(counted_ns) / 1e9 / seconds,
    }


def main() -> None:
    """Print the figures, and write them as JSON where asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--seconds', type=float, default=60.0, help='of each receiver in a round')
    parser.add_argument('--rounds', type=int, default=1)
    parser.add_argument('--best-effort', action='store_true', help='publish without guarantee')
    parser.add_argument('--json', type=Path)
    arguments = parser.parse_args()
    options = ['--seconds', str(arguments.seconds), *['--best-effort'] * arguments.best_effort]
    # DDS stays on this machine, and in a domain that no other run has.
    with domain_id() as domain:
        os.environ |= {
            'ROS_DOMAIN_ID': os.environ.get('ROS_DOMAIN_ID', str(domain)),
            'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
            'ROS_STATIC_PEERS': '',
            'PYTHONPATH': f'{HERE.parent}:{os.environ.get("PYTHONPATH", "")}',
        }
        rounds = []
        for _ in range(arguments.rounds):
            for play in (into_sink, into_profiler):
                with tempfile.TemporaryDirectory() as folder:
                    rounds.append(play(Path(folder), options))
                print_round(rounds[-1])
    result = summary(rounds, arguments.seconds)
    print('\n' + '\n'.join(f'{name:20}{value:7.3f}' for name, value in result.items()))
    if arguments.json:
        content = {'machine': platform.platform(), **result, 'rounds': [*map(asdict, rounds)]}
        arguments.json.write_text(json.dumps(content, indent=1), encoding='utf-8')
    if any(each.lost for each in rounds):
        sys.exit('messages were lost')


if __name__ == '__main__':
    main()
