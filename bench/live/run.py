"""12 GB/min over DDS into a subscriber that does nothing, and into the profiler, in turns.

run.py [--seconds S] [--rounds N] [--best-effort] [--fastdds FILE] [--json FILE]

What the first costs is transport, what the second costs more is ours. Exits with 1 where a message
was not received, or not profiled.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from domain_coordinator import domain_id

BENCH = Path(__file__).resolve().parent.parent
sys.path += [str(BENCH), str(BENCH.parent / 'demo')]  # for messages.py and processes.py

from receivers import Player, Round, into_profiler, into_sink  # noqa: E402

BEHIND_MS = 100.0  # a player so late has not kept its rate


def rounds(player: Player, count: int) -> Iterator[Round]:
    """Yield what each receiver did, in turns."""
    for _ in range(count):
        for play in (into_sink, into_profiler):
            with tempfile.TemporaryDirectory() as folder:
                yield play(player, Path(folder))


def show(each: Round) -> None:
    """Print a line about the process, and one about each topic."""
    print(
        f'\n{each.receiver}: {each.gb_per_min:.1f} GB/min for {each.seconds:.0f} s, '
        f'{each.receiver_cores:.3f} cores, {each.peak_rss_mb:.0f} MB at most; '
        f'player {each.player_cores:.2f} cores, at most {each.latest_ms:.0f} ms late'
    )
    if each.latest_ms > BEHIND_MS:
        print('  the player fell behind: this machine is too slow, or was busy')
    for name, sent in each.sent.items():
        received = each.received.get(name, 0)
        print(f'  {name:11}{sent:6} sent{received:6} received{sent - received:5} lost', end='')
        counters = dict(each.counters.get(name, {}))
        if cpu_ns := counters.pop('cpu_ns', 0):
            cpu_ms = cpu_ns / 1e6 / max(counters['decoded'], 1)
            about = ', '.join(f'{counters[key]} {key}' for key in ('decoded', 'shed', 'lost'))
            print(f' ({about}; {cpu_ms:.3f} ms a message)', end='')
        print(flush=True)


def summary(done: Sequence[Round]) -> dict[str, float]:
    """Return the medians [cores] of transport, of the profiler, and of what is ours."""
    sinks = [each for each in done if each.receiver == 'sink']
    profilers = [each for each in done if each.receiver == 'profiler']
    transport = statistics.median(each.receiver_cores for each in sinks)
    profiler = statistics.median(each.receiver_cores for each in profilers)
    return {
        'transport_cores': transport,
        'profiler_cores': profiler,
        'ours_cores': profiler - transport,
        # Of the thread that feeds, without what libraries do in threads of their own.
        'ours_counted_cores': statistics.median(each.counted_cores for each in profilers),
    }


def main() -> None:
    """Print the figures, and write them as JSON where asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--seconds', type=float, default=60.0, help='into each receiver')
    parser.add_argument('--rounds', type=int, default=1)
    parser.add_argument('--best-effort', action='store_true', help='publish without guarantee')
    parser.add_argument('--fastdds', type=Path, help='profiles of Fast DDS, for the player alone')
    parser.add_argument('--json', type=Path)
    arguments = parser.parse_args()
    player = Player(arguments.seconds, arguments.best_effort, arguments.fastdds)
    done = []
    # DDS stays on this machine, and in a domain that no other run has.
    with domain_id() as domain:
        os.environ |= {
            'ROS_DOMAIN_ID': os.environ.get('ROS_DOMAIN_ID', str(domain)),
            'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
            'ROS_STATIC_PEERS': '',
            'PYTHONPATH': f'{BENCH}:{os.environ.get("PYTHONPATH", "")}',
        }
        for each in rounds(player, arguments.rounds):
            show(each)
            done.append(each)
    result = summary(done)
    print('\n' + '\n'.join(f'{name:20}{value:7.3f}' for name, value in result.items()))
    if arguments.json:
        content = {'machine': platform.platform(), **result, 'rounds': [*map(asdict, done)]}
        arguments.json.write_text(json.dumps(content, indent=1), encoding='utf-8')
    if not all(each.complete for each in done):
        sys.exit('not all messages were received and profiled')


if __name__ == '__main__':
    main()
