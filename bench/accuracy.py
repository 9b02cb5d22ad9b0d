"""What a profile of all the data knows, beside samples of the data. accuracy.py [--json FILE].

Errors are against all the data of real recordings, read with rosbags and numpy alone. Samples are
taken as favourably as can be: they keep the feature's own values and no more, numbers as float32,
are drawn without replacement, and hold at least one frame. Figures are the mean of 20 draws, or of
all first frames where those are fewer; of 5 for the profile, whose sketch is random too. depth and
lidar are lists of unlike scenes, not streams.
"""

import argparse
import json
import os
import platform
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rosbags.highlevel import AnyReader

from profiler_node.bags import profile_bag
from profiler_node.core.profile import CategoricalFeature, NumericFeature, Profile
from profiler_node.wire.codec import encode

DATA = Path(__file__).resolve().parent.parent.parent / 'shared' / 'data'
FOLDER = Path(os.environ.get('EDGE_PROFILER_DATA', DATA))
RANKS = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.999)
RATES = (10, 100, 1000)
DRAWS, PROFILES = 20, 5
TOP = 5  # labels whose counts are compared

Values = NDArray[Any]
Errors = dict[str, float]


def depths(message: Any) -> Values:
    """Return the valid depths [m] of a 32FC1 image, (N,) float32."""
    depth = message.data.view('<f4')
    return depth[np.isfinite(depth) & (depth > 0)]


def distances(message: Any) -> Values:
    """Return how far the valid points of a cloud of x, y, z float32 are [m], (N,) float64."""
    points = message.data.view('<f4').reshape(-1, message.point_step // 4)[:, :3]
    distance = np.linalg.norm(points.astype(np.float64), axis=1)
    return distance[np.isfinite(distance) & (distance > 0)]


def beams(message: Any) -> Values:
    """Return the ranges [m] of a scan within its limits, (N,) float32."""
    ranges = message.ranges
    return ranges[(ranges > 0) & (ranges >= message.range_min) & (ranges <= message.range_max)]


def hypotheses(name: str) -> Callable[[Any], Values]:
    """Return a reader of one field of all detections of a message, (N,)."""
    return lambda message: np.array(
        [getattr(item.results[0].hypothesis, name) for item in message.detections]
    )


class Quantity(NamedTuple):
    """A feature of a recording, and how to read its values from a message."""

    title: str
    recording: str
    topic: str
    feature: str
    read: Callable[[Any], Values]


QUANTITIES = (
    Quantity('gray', 'euroc_camera_imu', '/cam0/image_raw', 'image/gray', lambda m: m.data),
    Quantity('depth', 'kinect_rgbd', '/camera/depth/image_rect', 'depth/range_m', depths),
    Quantity('lidar', 'lidar_sweeps', '/lidar/points', 'points/range_m', distances),
    Quantity('hokuyo', 'scan_hokuyo_2010', '/scan', 'scan/range_m', beams),
    Quantity('sick', 'scan_sick_intel_lab', '/scan', 'scan/range_m', beams),
    Quantity(
        'imu z',
        'euroc_camera_imu',
        '/imu0',
        'field/linear_acceleration.z',
        lambda m: np.array([m.linear_acceleration.z]),
    ),
    Quantity('score', 'voc_detections', '/detections', 'detections/score', hypotheses('score')),
    Quantity('label', 'voc_detections', '/detections', 'detections/label', hypotheses('class_id')),
)


def messages(quantity: Quantity) -> list[Values]:
    """Return the values of each message that has some."""
    with AnyReader([FOLDER / quantity.recording]) as reader:
        connections = [c for c in reader.connections if c.topic == quantity.topic]
        decoded = (reader.deserialize(m[2], m[0].msgtype) for m in reader.messages(connections))
        return [values for message in decoded if (values := quantity.read(message)).size]


def profiles(quantity: Quantity) -> Iterator[Profile]:
    """Yield profiles of the whole recording, whose random sketches differ."""
    for _ in range(PROFILES):
        first, *others = profile_bag(FOLDER / quantity.recording, [quantity.topic])
        yield first.merged(*others).with_features([quantity.feature])


def random_elements(everything: Values, size: int) -> Iterator[Values]:
    """Yield samples of size elements, at least one, drawn without replacement."""
    random = np.random.default_rng(1)
    for _ in range(DRAWS):
        yield random.choice(everything, max(size, 1), replace=False, shuffle=False)


def every_frame_of(frames: Sequence[Values], step: int) -> Iterator[Values]:
    """Yield samples of every step-th frame, at least one, from different frames on."""
    offsets = np.random.default_rng(1).permutation(min(step, len(frames)))
    for offset in offsets[:DRAWS]:
        yield np.concatenate(frames[offset::step])


def samples(frames: Sequence[Values], same_bytes: float) -> Iterator[tuple[str, Iterator[Values]]]:
    """Yield the name of each way to sample, with its samples; same_bytes: the profile's size."""
    everything = np.concatenate(frames)
    size = int(same_bytes / size_bytes(everything) * everything.size)
    yield 'sample, same bytes', random_elements(everything, min(size, everything.size))
    for rate in RATES:
        yield f'1 in {rate:,} elements', random_elements(everything, everything.size // rate)
    for rate in RATES:
        yield f'1 in {rate:,} frames', every_frame_of(frames, rate)


def size_bytes(values: Values) -> int:
    """Return what it takes to keep values: numbers as float32, strings with their ends."""
    if values.dtype.kind == 'U':
        return sum(len(value.encode()) + 1 for value in values.tolist())
    return values.size * min(values.itemsize, 4)


class Numbers:
    """All values, to which estimates are compared."""

    def __init__(self, values: Values) -> None:
        self._low, self._high = float(values.min()), float(values.max())
        self._mean = float(values.mean(dtype=np.float64))
        self._stddev = float(values.std(dtype=np.float64))
        # Of float64, sketch and sample keep a float32: ranks are those among rounded values.
        self._ordered = np.sort(values.astype('f4') if values.itemsize == 8 else values)

    def of_sample(self, values: Values) -> Errors:
        """Return how far what a sample says is off, in percent."""
        quantiles = np.quantile(values, RANKS, method='closest_observation')
        mean = float(values.mean(dtype=np.float64))
        return self._errors(quantiles, float(values.min()), float(values.max()), mean)

    def of_feature(self, feature: NumericFeature) -> Errors:
        """Return how far what a profile says is off, in percent."""
        moments = feature.moments
        quantiles = np.array(feature.quantiles(RANKS))
        return self._errors(quantiles, moments.min, moments.max, moments.mean)

    def _errors(self, quantiles: Values, low: float, high: float, mean: float) -> Errors:
        estimates = quantiles.astype(self._ordered.dtype)
        below, up_to = (
            np.searchsorted(self._ordered, estimates, side) / self._ordered.size
            for side in ('left', 'right')
        )
        # Any rank that the value has, as often as it occurs, is right.
        ranks = np.maximum(np.maximum(below - RANKS, RANKS - up_to), 0)
        missed = max(abs(low - self._low), abs(high - self._high))
        return {
            'rank_worst': 100 * float(ranks.max()),
            'rank_mean': 100 * float(ranks.mean()),
            'extremes': 100 * missed / (self._high - self._low),
            'mean': 100 * abs(mean - self._mean) / self._stddev,
        }


class Labels:
    """All labels, to which estimates are compared."""

    def __init__(self, values: Values) -> None:
        self._counts = Counter(values.tolist())
        self._total = values.size

    def of_sample(self, values: Values) -> Errors:
        """Return how far what a sample says is off, the counts as its shares of all."""
        scale = self._total / values.size
        return self._errors({k: n * scale for k, n in Counter(values.tolist()).items()})

    def of_feature(self, feature: CategoricalFeature) -> Errors:
        """Return how far what a profile says is off."""
        return self._errors(dict(feature.top(self._total)))

    def _errors(self, counts: dict[str, float]) -> Errors:
        top = self._counts.most_common(TOP)
        return {
            'top_counts': 100 * max(abs(counts.get(k, 0) - n) / n for k, n in top),
            'labels_missed': len(self._counts.keys() - counts.keys()),
        }


def wire_bytes(profile: Profile) -> int:
    """Return the bytes that the features of profile take on the wire, moments and names too."""
    return len(encode(profile)) - len(encode(profile.with_features([])))


def rows_of(quantity: Quantity) -> Iterator[dict[str, Any]]:
    """Yield a row for the profile, and one for each way to sample."""
    frames = messages(quantity)
    everything = np.concatenate(frames)
    truth = Labels(everything) if everything.dtype.kind == 'U' else Numbers(everything)
    every = list(profiles(quantity))
    size = float(np.mean([wire_bytes(profile) for profile in every]))
    errors = [truth.of_feature(profile.features[quantity.feature]) for profile in every]
    about = {'quantity': quantity.title, 'feature': quantity.feature, 'frames': len(frames)}
    about |= {'elements': everything.size, 'all_bytes': size_bytes(everything)}
    yield {**about, 'sample': 'profile', 'bytes': size, 'looked_at': 100.0, **mean_of(errors)}
    for name, drawn in samples(frames, size):
        kept = [
            truth.of_sample(values)
            | {'bytes': size_bytes(values), 'looked_at': 100 * values.size / everything.size}
            for values in drawn
        ]
        yield {**about, 'sample': name, **mean_of(kept)}


def mean_of(draws: Sequence[Errors]) -> Errors:
    """Return the mean of each figure."""
    return {name: float(np.mean([draw[name] for draw in draws])) for name in draws[0]}


BLOCKS = {
    'kept': ('bytes', 'bytes'),
    'looked at, % of the elements': ('looked_at', 'looked_at'),
    f'quantiles: rank error, %, the worst of {", ".join(f"{100 * rank:g}" for rank in RANKS)}\n'
    f'label: error of the counts of the {TOP} most frequent, %, the worst': (
        'rank_worst',
        'top_counts',
    ),
    'min and max: error, % of the range, the worse of both; label: how many are missed': (
        'extremes',
        'labels_missed',
    ),
    'mean: error, % of the standard deviation': ('mean', 'mean'),
}
"""The parts of the table, each with the figure of numbers and the figure of labels."""


def print_table(rows: Sequence[dict[str, Any]]) -> None:
    """Print a part for each figure, with a line for each sample and a column for each quantity."""
    titles = [quantity.title for quantity in QUANTITIES]
    found = {(row['sample'], row['quantity']): row for row in rows}
    print_line('', titles)
    for name, unit in (('frames', ''), ('elements', ''), ('all_bytes', 'B')):
        about = [found['profile', title][name] for title in titles]
        print_line(name.replace('_', ' '), [scaled(number, unit) for number in about])
    for text, figures in BLOCKS.items():
        print(f'\n{text}')
        for sample in dict.fromkeys(row['sample'] for row in rows):
            lines = [found[sample, title] for title in titles]
            print_line(f'  {sample}', [cell(line, figures) for line in lines])


def print_line(name: str, cells: Sequence[str]) -> None:
    """Print one line of the table."""
    print(f'{name:23}{"".join(f"{text:>9}" for text in cells)}'.rstrip())


def cell(row: dict[str, Any], figures: Sequence[str]) -> str:
    """Return the first of figures that row has, '' for none."""
    name = next(filter(row.__contains__, figures), '')
    if not name:
        return ''
    value = row[name]
    if name == 'bytes':
        return scaled(value, 'B')
    if value < 1e-6:  # rounding
        return '0'
    return f'{value:.2f}' if value < 9.995 else f'{value:.0f}'


def scaled(number: float, unit: str) -> str:
    """Return number with the prefix that suits it."""
    if not unit and number < 1e4:
        return f'{number:,}'
    power = 2 if number >= 1e6 else 1 if number >= 1e3 else 0
    return f'{number / 1000**power:.{min(power, 1)}f} {("", "k", "M")[power]}{unit}'.rstrip()


def main() -> None:
    """Print the table, and write it as JSON where asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--json', type=Path)
    arguments = parser.parse_args()
    needed = sorted({quantity.recording for quantity in QUANTITIES})
    if missing := [name for name in needed if not (FOLDER / name).exists()]:
        sys.exit(f'{FOLDER} has no {", ".join(missing)}: set EDGE_PROFILER_DATA to their folder')
    rows = [row for quantity in QUANTITIES for row in rows_of(quantity)]
    print_table(rows)
    if arguments.json:
        about = {'machine': platform.platform(), 'draws': DRAWS, 'ranks': RANKS}
        text = json.dumps({**about, 'rows': rows}, indent=1)
        arguments.json.write_text(text, encoding='utf-8')


if __name__ == '__main__':
    main()
