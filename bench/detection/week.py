"""False alarms of a simulated week: week.py [--robots N] [--jobs N].

No fault at all, windows of 15 minutes, 60 features a robot in three streams, made as statistics and
not as messages. Each feature has a level common to its quantiles that is correlated from window to
window (phi 0.6 to 0.99), a slow drift, and a cycle of a day; counts come in bursts. References are
the windows before the week; a growing one takes in what is found good.
"""

import argparse
import math
import time
from collections import Counter
from collections.abc import Iterator
from multiprocessing import get_context

import numpy as np
from numpy.typing import NDArray

from profiler_node.detect.incidents import incidents_of
from profiler_node.detect.judge import Judge, JudgeConfig
from profiler_node.detect.reference import references_of
from profiler_node.detect.scales import family_of
from profiler_node.detect.statistics import Window

NS, LENGTH_S = 10**9, 900
DAY = 86_400 // LENGTH_S
WEEK = 7 * DAY
START_NS = 1_700_006_400 * NS
FEATURES = {
    'camera': [
        *(f'image/{c}' for c in ('red', 'green', 'blue')),
        *(f'image/{c}_mean' for c in ('red', 'green', 'blue')),
        *(f'image/{n}' for n in ('brightness', 'contrast', 'sharpness', 'entropy_bits')),
        *('image/saturation', 'image/dark_fraction', 'image/bright_fraction'),
        *('message/interval_s', 'message/latency_s'),
    ],
    'depth': [
        *('depth/range_m', 'depth/mean_m', 'depth/median_m', 'depth/valid_fraction'),
        *('depth/zero_fraction', 'depth/nan_fraction', 'depth/out_of_range_fraction'),
        *('message/interval_s', 'message/latency_s'),
        *(f'field/{number}' for number in range(14)),
    ],
    'boxes': [
        *('detections/count', 'detections/score', 'detections/width', 'detections/height'),
        *('detections/area', 'detections/aspect_ratio', 'message/interval_s'),
        *('message/latency_s', *(f'field/{number}' for number in range(14))),
    ],
}
CENTRES = {
    'level': 5.0, 'range': 1.2, 'sharpness': 5.0, 'fraction': -1.5, 'count': 1.8, 'box': 4.0,
    'score': 0.8, 'interval': -2.7, 'latency': 0.02, 'entropy': 6.5, 'other': 0.0,
}  # fmt: skip
SPREADS = {
    'level': 0.08, 'range': 0.15, 'sharpness': 0.3, 'fraction': 0.3, 'count': 0.15, 'box': 0.1,
    'score': 0.02, 'interval': 0.005, 'latency': 0.003, 'entropy': 0.2, 'other': 0.3,
}  # fmt: skip
CYCLES = {'level': 2.0, 'sharpness': 1.0, 'fraction': 1.0, 'count': 2.0, 'entropy': 1.0}
CYCLE, DRIFT, BURSTS = 1.0, 1.0, 0.02  # standard deviations; in a week; share of the windows

Floats = NDArray[np.float64]


def walk(random: np.random.Generator, n: int, phi: float) -> Floats:
    """Return an AR(1) process of variance 1, (n,)."""
    steps = random.normal(0, math.sqrt(1 - phi * phi), n)
    values = np.empty(n)
    values[0] = random.normal()
    for index in range(1, n):
        values[index] = phi * values[index - 1] + steps[index]
    return values


def simulated(random: np.random.Generator, stream: str, n: int) -> list[Window]:
    """Return n windows of a stream without a fault."""
    columns: dict[str, Floats] = {}
    day = 2 * math.pi * np.arange(n) / DAY
    for feature in FEATURES[stream]:
        family = family_of(feature)
        if family is None:
            raise ValueError(feature)
        level = walk(random, n, random.choice([0.6, 0.9, 0.97, 0.99]))
        level += CYCLES.get(family.name, 0.0) * np.sin(day + random.normal(0, 0.3))
        level += random.uniform(-DRIFT, DRIFT) * np.arange(n) / WEEK
        if family.name == 'count':
            level += (random.random(n) < BURSTS) * random.exponential(2.0, n)
        for text in family.statistics:
            own = level + 0.2 * random.normal(size=n)
            rank = {'q05': -1.6, 'q10': -1.3, 'q25': -0.7, 'q75': 0.7, 'q90': 1.3, 'q95': 1.6}
            offset = rank.get(text, 0.0)
            columns[f'{feature}:{text}'] = CENTRES[family.name] + SPREADS[family.name] * (
                own + offset
            )
    plain = {'detections/count:mean': 6.0} if stream == 'boxes' else {}
    return [
        Window(
            robot_id='r',
            stream=stream,
            segment='',
            tags={},
            message_type='',
            epoch=0,
            start_ns=START_NS + index * LENGTH_S * NS,
            end_ns=START_NS + (index + 1) * LENGTH_S * NS,
            messages=3000,
            values={key: float(column[index]) for key, column in columns.items()},
            plain=plain,
        )
        for index in range(n)
    ]


SETTINGS = {
    '30 windows': (30, False),
    '8 windows, growing': (8, True),
    '30 windows, growing': (30, True),
}


def week_of(robot: int) -> dict[str, Counter[str]]:
    """Return the incidents of a robot's week by reference, by their causes."""
    random = np.random.default_rng(robot)
    streams = [simulated(random, stream, 2 * WEEK) for stream in FEATURES]
    found = {}
    for name, (count, grow) in SETTINGS.items():
        past = [window for stream in streams for window in stream[WEEK - count : WEEK]]
        judge = Judge(references_of(past), JudgeConfig(grow=grow))
        verdicts = [
            judge.judge(window)
            for windows in zip(*(stream[WEEK:] for stream in streams), strict=True)
            for window in windows
        ]
        found[name] = Counter(incident.cause for incident in incidents_of(verdicts))
    return found


def weeks(robots: int, jobs: int) -> Iterator[tuple[str, list[Counter[str]]]]:
    """Yield each reference with the incidents of each robot."""
    with get_context('fork').Pool(jobs) as workers:
        results = workers.map(week_of, range(robots), chunksize=1)
    for name in SETTINGS:
        yield name, [result[name] for result in results]


def main() -> None:
    """Print the incidents a robot-week."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--robots', type=int, default=50)
    parser.add_argument('--jobs', type=int, default=2)
    arguments = parser.parse_args()
    start = time.perf_counter()
    print(f'false alarms: incidents a robot-week, {arguments.robots} robots')
    for name, robots in weeks(arguments.robots, arguments.jobs):
        counts = [sum(each.values()) for each in robots]
        causes = sum(robots, Counter())
        print(
            f'  {name:22} mean {np.mean(counts):5.2f}  median {np.median(counts):3.0f}  '
            f'most {max(counts):3}  {dict(causes.most_common(6))}'
        )
    print(f'{time.perf_counter() - start:.0f} s')


if __name__ == '__main__':
    main()
