"""How well changes are detected and named: matrix.py [--json FILE] [--only NAME] [--draws N].

Windows of real recordings and of the generated scene. References of 8 and 30 windows are of one
half of the messages, and the other half is judged. Those of 1,000 take the recording for all that
there is: 60 windows of all its messages, drawn a thousand times and varied. Constants were chosen
on the sequences of development; the held-out ones are apart.
"""

import argparse
import json
import statistics
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from faults import FAULTS, Fault
from sequences import MINUTE_S, NS, START_NS, Material, scene_messages, sequences

from profiler_node.detect.judge import Judge, JudgeConfig
from profiler_node.detect.reference import references_of
from profiler_node.detect.statistics import Window

SIZES = (8, 30, 1000)
POOL = 60  # windows of a reference that are made of messages
FEATURES = 200
WEAK_WINDOWS = 40
MOVED = 0.3
CONFIG = JudgeConfig(features=FEATURES)


def varied(pool: Sequence[Window], count: int, random: np.random.Generator) -> list[Window]:
    """Return windows that are one of pool, moved by a part of the difference of two others."""
    found = []
    for number in range(count):
        base, one, other = (pool[int(i)] for i in random.integers(len(pool), size=3))

        def moved(a: Any, b: Any, c: Any) -> Any:
            return {k: v + MOVED * (b[k] - c[k]) if k in b and k in c else v for k, v in a.items()}

        values = moved(base.values, one.values, other.values)
        plain = moved(base.plain, one.plain, other.plain)
        found.append(placed(replace(base, values=values, plain=plain), number))
    return found


def placed(window: Window, number: int) -> Window:
    """Return window as the number-th minute."""
    start_ns = START_NS + number * MINUTE_S * NS
    return replace(window, start_ns=start_ns, end_ns=start_ns + MINUTE_S * NS)


def judged(sequence: Material, draws: int, seed: int = 1) -> Iterator[dict[str, Any]]:
    """Yield a row for each fault, draw and size of reference."""
    random = np.random.default_rng(seed)
    pool = sequence.windows(POOL, random, 0)
    whole = sequence.windows(POOL, random, None)
    good = sequence.windows(POOL, random, 1)
    faults = [fault for fault in FAULTS if fault.fits(sequence.kind, sequence.name)]
    faulty: dict[str, list[Window]] = {}
    for fault in faults:
        count = 8 if fault.weak else draws
        faulty[fault.name] = [bad(sequence, fault, random) for _ in range(count)]
    for size in SIZES:
        for draw in range(draws):
            if size <= POOL:
                chosen = random.choice(POOL, size, replace=False)
                windows = [placed(pool[int(i)], n) for n, i in enumerate(chosen)]
            else:
                windows = varied(whole, size, random)
            references = references_of(windows)
            for row in of_reference(references, faults, faulty, good, (draw, size)):
                yield {'sequence': sequence.name, 'split': sequence.split, 'size': size, **row}


def bad(sequence: Material, fault: Fault, random: np.random.Generator) -> Window:
    """Return a window with a fault."""
    sent = sequence.sent(sequence.block(random, 1), random)
    if fault.name == 'frozen':
        sent = [*sent[:1], *sent]
    return sequence.window(0, fault.inject(sent, random))


def of_reference(
    references: Any,
    faults: Sequence[Fault],
    faulty: dict[str, list[Window]],
    good: Sequence[Window],
    numbers: tuple[int, int],
) -> Iterator[dict[str, Any]]:
    """Yield a row for each fault, and for the windows without one.

    numbers: which of the faulty windows, and how many the reference has.
    """
    draw, size = numbers
    for fault in faults:
        windows = faulty[fault.name]
        judge = Judge(references, CONFIG)
        judge.judge(placed(good[draw % len(good)], size))
        run = [windows[draw % len(windows)]] * 2
        if fault.weak:
            run = [windows[(draw + i) % len(windows)] for i in range(WEAK_WINDOWS)]
        named, delay = '', None
        for number, window in enumerate(run):
            verdict = judge.judge(placed(window, size + 1 + number))
            name = verdict.causes[0].id if verdict.causes else ''
            if number == 0:
                named = name
            if name in fault.expected:
                delay = number + 1
                break
        yield {
            'fault': fault.name,
            'kind': fault.kind,
            'weak': fault.weak,
            'expected': fault.expected,
            'named': named,
            'delay': delay,
        }
    judge = Judge(references, CONFIG)
    for number, window in enumerate(good):
        verdict = judge.judge(placed(window, size + number))
        yield {
            'fault': '',
            'named': verdict.causes[0].id if verdict.causes else '',
            'evidence': verdict.causes[0].evidence if verdict.causes else '',
        }


def rows_of(task: tuple[str, int]) -> list[dict[str, Any]]:
    """Return the rows of one sequence, in a process of its own."""
    name, draws = task
    return list(judged(sequences()[name](), draws))


def print_matrix(rows: Sequence[dict[str, Any]], split: str, size: int) -> None:
    """Print which causes are given to which strong faults, in the first window."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        if row['split'] == split and row['size'] == size and row['fault'] and not row['weak']:
            name = row['named'] if row['named'] not in row['expected'] else row['expected'][0]
            counts[row['expected'][0]][name or '-'] += 1
    for expected, named in sorted(counts.items()):
        total = sum(named.values())
        cells = ', '.join(
            f'{name} {100 * count / total:.1f}' for name, count in named.most_common()
        )
        print(f'    {expected:18} {total:5}  {cells}')


def summary(rows: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the figures of each split and size of reference."""
    for split in ('dev', 'held-out'):
        for size in SIZES:
            own = [row for row in rows if row['split'] == split and row['size'] == size]
            strong = [row for row in own if row['fault'] and not row['weak']]
            right = sum(row['named'] in row['expected'] for row in strong)
            second = sum(row['delay'] is not None for row in strong)
            wrong = sum(row['named'] not in {*row['expected'], ''} for row in strong)
            quiet = [row for row in own if not row['fault']]
            named = sum(row['named'] not in {'', 'drift'} for row in quiet)
            drifts = sum(row['named'] == 'drift' for row in quiet)
            if strong:
                yield {
                    'split': split,
                    'windows': size,
                    'right': 100 * right / len(strong),
                    'right in two': 100 * second / len(strong),
                    'wrong': 100 * wrong / len(strong),
                    'faults': len(strong),
                    'named FA': 1000 * named / len(quiet),
                    'drift FA': 1000 * drifts / len(quiet),
                    'quiet': len(quiet),
                }


def print_weak(rows: Sequence[dict[str, Any]]) -> None:
    """Print how many windows weak faults take to be named."""
    groups: dict[tuple[str, str, str], dict[int, list[float]]] = defaultdict(dict)
    for row in rows:
        if row['fault'] and row['weak']:
            sizes = groups[row['split'], row['kind'], row['fault']]
            delay = row['delay'] if row['delay'] is not None else float('inf')
            sizes.setdefault(row['size'], []).append(delay)
    print(f'\nweak faults: median delay in windows (named within {WEAK_WINDOWS}, %)')
    for key, sizes in sorted(groups.items()):
        cells = [
            f'{statistics.median(delays):5.1f} ({100 * np.isfinite(delays).mean():3.0f} %)'
            for size in SIZES
            for delays in [sizes[size]]
        ]
        print(f'  {key[0]:9} {key[1]:7} {key[2]:20} {"  ".join(cells)}')


def print_missed(rows: Sequence[dict[str, Any]], size: int) -> None:
    """Print the strong faults that are missed or named wrong most often, and false alarms."""
    counts: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for row in rows:
        if row['size'] == size and row['fault'] and not row['weak']:
            right = row['named'] in row['expected']
            counts[row['sequence'], row['fault']]['right' if right else row['named'] or '-'] += 1
    print(f'\nnot always right with {size} windows')
    for key, named in sorted(counts.items()):
        if named['right'] < sum(named.values()):
            print(f'  {key[0]:16} {key[1]:24} {dict(named)}')
    false = Counter(
        (row['sequence'], row['named'])
        for row in rows
        if row['size'] == size and not row['fault'] and row['named']
    )
    for key, count in false.most_common(12):
        print(f'  false: {key[0]:16} {key[1]:20} {count}')


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--json', type=Path)
    parser.add_argument('--only', default='')
    parser.add_argument('--draws', type=int, default=12)
    arguments = parser.parse_args()
    start = time.perf_counter()
    names = [name for name in sequences() if arguments.only in name]
    if any(name.startswith('scene') for name in names):
        scene_messages()  # before the processes are forked, which share them
    with get_context('fork').Pool(2) as workers:
        tasks = [(name, arguments.draws) for name in names]
        rows = [row for part in workers.imap_unordered(rows_of, tasks, chunksize=1) for row in part]
    figures = list(summary(rows))
    for figure in figures:
        print({k: round(v, 2) if isinstance(v, float) else v for k, v in figure.items()})
    for split in ('dev', 'held-out'):
        for size in SIZES:
            print(f'\n{split}, {size} windows: cause given in the first window, %')
            print_matrix(rows, split, size)
    print_weak(rows)
    for size in SIZES:
        print_missed(rows, size)
    print(f'\n{time.perf_counter() - start:.0f} s')
    if arguments.json:
        arguments.json.write_text(json.dumps({'figures': figures, 'rows': rows}), encoding='utf-8')


if __name__ == '__main__':
    main()
