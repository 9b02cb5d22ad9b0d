"""What a recording holds, decoded without the code under test, and how to compare with it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rosbags.highlevel import AnyReader

from profiler_node.bags import profile_bag
from profiler_node.core import sketches
from profiler_node.core.config import StreamConfig, WindowConfig
from profiler_node.core.profile import NumericFeature, Profile

RANKS = (0.0, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0)
BIN_WIDTH = 2**-8  # of half a bin of floats, relative


@pytest.fixture(scope='session')
def replay(recording: Callable[[str], Path]) -> Callable[..., tuple[list[Any], Profile]]:
    """All messages of a topic of a recording, and their one profile."""

    def read(name: str, topic: str, config: StreamConfig | None = None) -> tuple[Any, Profile]:
        path = recording(name)
        with AnyReader([path]) as reader:
            chosen = [c for c in reader.connections if c.topic == topic]
            messages = [
                reader.deserialize(data, connection.msgtype)
                for connection, _, data in reader.messages(chosen)
            ]
        window = WindowConfig(86_400.0, 3_600.0)
        streams = {topic: config or StreamConfig()}
        first, *others = profile_bag(path, [topic], window=window, streams=streams)
        profile = first.merged(*others)
        assert profile.counters.decoded == len(messages) > 0
        return messages, profile

    return read


@pytest.fixture(scope='session')
def same_numbers() -> Callable[[NumericFeature, Any], None]:
    """Asserts that a feature is of these numbers, whose order does not matter.

    rounded: they are sums, which may differ in the last digit.
    """

    def check(feature: NumericFeature, numbers: Any, rounded: bool = False) -> None:
        numbers = np.asarray(numbers, dtype=np.float64).ravel()
        finite = np.sort(numbers[np.isfinite(numbers)])
        moments = feature.moments
        assert moments.count == finite.size
        odd = [np.isnan(numbers), numbers == np.inf, numbers == -np.inf]
        assert [feature.missing, feature.pos_inf, feature.neg_inf] == [o.sum() for o in odd]
        if not finite.size:
            return
        ends = finite[0], finite[-1]
        assert (moments.min, moments.max) == pytest.approx(ends, rel=1e-14 * rounded, abs=0)
        largest, mean = np.abs(finite).max(), finite.mean()
        assert moments.mean == pytest.approx(mean, rel=1e-12, abs=1e-14 * largest)
        m2 = np.square(finite - mean).sum()
        rel = 1e-9 if rounded else 1e-12
        assert moments.m2 == pytest.approx(m2, rel=rel, abs=1e-28 * finite.size * largest**2)
        # 99 of 100 are within the bound, and in practice all within twice the bound.
        error = 2 * sketches.rank_error(200)
        for rank, answer in zip(RANKS, feature.quantiles(RANKS), strict=True):
            low, high = sorted((answer * (1 - BIN_WIDTH), answer * (1 + BIN_WIDTH)))
            assert np.searchsorted(finite, low, 'left') / finite.size <= rank + error
            assert np.searchsorted(finite, high, 'right') / finite.size >= rank - error

    return check


@pytest.fixture(scope='session')
def same_sectors() -> Callable[..., None]:
    """Asserts that the sectors of a profile are those of returns, each as (azimuth [deg], range).

    returns: arrays (N, 2) of each message.
    """

    def check(profile: Profile, group: str, returns: list[Any]) -> None:
        counts, sums_cm = np.zeros(36, int), np.zeros(36)
        for azimuth_deg, range_m in (
            np.asarray(each, np.float64).reshape(-1, 2).T for each in returns
        ):
            sectors = np.floor((azimuth_deg + 180) / 10).astype(int) % 36
            here = [range_m[sectors == index].sum() * 100 for index in range(36)]
            counts += [np.count_nonzero(sectors == index) for index in range(36)]
            sums_cm += np.rint(here)
        for name, numbers, off in (
            ('sector', counts, 0),
            ('sector_range_cm', sums_cm, len(returns)),
        ):
            feature = profile.features[f'{group}/{name}']
            found = dict(feature.top(99))
            assert feature.count == sum(found.values())
            assert found.keys() == {f'{index:02}' for index in np.flatnonzero(numbers)}
            assert feature.distinct == len(found)
            for index, number in enumerate(numbers):
                # A sum in another order may be rounded to another centimetre.
                assert abs(found.get(f'{index:02}', 0) - number) <= off

    return check


@pytest.fixture(scope='session')
def same_features(same_numbers: Any) -> Callable[..., None]:
    """Asserts that these are all numeric features of a group, each of these numbers."""

    def check(profile: Profile, group: str, expected: dict[str, Any]) -> None:
        features = {
            name.removeprefix(f'{group}/'): feature
            for name, feature in profile.features.items()
            if name.startswith(f'{group}/') and feature.kind != 'categorical'
        }
        assert features.keys() == expected.keys()
        for name, numbers in expected.items():
            same_numbers(features[name], numbers, rounded=name == 'mean_m')

    return check
