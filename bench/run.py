"""Speed of every kind of message, against memcpy, the library's own call and whylogs.

Medians of calls that take turns in one process on one core.
"""

import argparse
import json
import os
import platform
import statistics
import warnings
from collections.abc import Iterator
from datetime import datetime, timezone
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
from rows import Row, profile_rows, sensor_rows
from timing import Call, interleaved, ratio

from profiler_node.wire.codec import encode

Line = dict[str, object]


def machine() -> dict[str, object]:
    """Return what was measured on."""
    info = Path('/proc/cpuinfo').read_text(encoding='utf-8').splitlines()
    models = [line.partition(': ')[2] for line in info if line.startswith('model name')]
    libraries = ('numpy', 'datasketches', 'rosbags', 'protobuf')
    return {
        'date': datetime.now(timezone.utc).strftime('%Y-%m-%d'),
        'cpu': models[0] if models else platform.machine(),
        'cores': os.cpu_count(),
        'python': platform.python_version(),
        'opencv': cv2.__version__,
        **{name: version(name) for name in libraries},
    }


def _copy(size: int) -> Call:
    source, target = np.ones(size, np.uint8), np.empty(size, np.uint8)
    return lambda: np.copyto(target, source)


def measure(row: Row, whylogs: Call | None, most_s: float) -> Line:
    """Return one line of the table."""
    others = {'memcpy': _copy(row.size), 'baseline': row.baseline, 'whylogs': whylogs}
    calls = {name: call for name, call in others.items() if call} | {'ours': row.ours}
    prepare = {'ours': row.prepare} if row.prepare else {}
    times = interleaved(calls, most_s, prepare)
    ours_s = statistics.median(times['ours'])
    ratios = {
        f'ratio_{name}': ratio(times['ours'], times[name]) if name in times else None
        for name in ('memcpy', 'whylogs', 'baseline')
    }
    return {
        'name': row.name,
        'ms': ours_s * 1e3,
        'gb_per_s': row.size / ours_s / 1e9,
        **ratios,
        'profile_bytes': len(encode(row.profile())),
    }


def lines(most_s: float) -> Iterator[Line]:
    """Measure everything."""
    peers: dict[str, Call] = {}
    if find_spec('whylogs'):
        from peer import whylogs_calls  # noqa: PLC0415 (not for every Python)

        peers = whylogs_calls()
    for row in (*sensor_rows(), *profile_rows()):
        yield measure(row, peers.get(row.name), most_s)


def shown(line: Line) -> str:
    """Return a line of the table as text."""
    cells = [f'{line["name"]:18}', f'{line["ms"]:9.3f}', f'{line["gb_per_s"]:8.2f}']
    for name in ('memcpy', 'baseline', 'whylogs'):
        value = line[f'ratio_{name}']
        cells.append(' ' * 10 if value is None else f'{value:10.4g}')
    return ' '.join([*cells, f'{line["profile_bytes"]:9}'])


def main() -> None:
    """Print the table, and write it as JSON where asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--json', type=Path, help='write the figures there too')
    parser.add_argument('--seconds', type=float, default=6.0, help='how long to measure a row')
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    cv2.setNumThreads(1)
    warnings.simplefilter('ignore')  # what whylogs has to say of its own code
    on = machine()
    print(', '.join(f'{name} {value}' for name, value in on.items()))
    heads = ('x memcpy', 'x library', 'x whylogs')
    print(f'{"":18} {"ms":>9} {"GB/s":>8} {" ".join(f"{head:>10}" for head in heads)} {"bytes":>9}')
    table = []
    for line in lines(arguments.seconds):
        table.append(line)
        print(shown(line), flush=True)
    if arguments.json:
        text = json.dumps({'machine': on, 'rows': table}, indent=1)
        arguments.json.write_text(text, encoding='utf-8')


if __name__ == '__main__':
    main()
