"""Scan features against plain numpy, by REP-117."""

import numpy as np
import pytest

from profiler_node.core.decode import STORE

RANDOM = np.random.default_rng(13)
SCAN = 'sensor_msgs/msg/LaserScan'
NAN, INF = np.nan, np.inf


def expected_features(scans):
    """The numbers of each feature of scans, each as (ranges, range_min, range_max)."""
    names = ('range_m', 'beams', 'valid_fraction', 'nan_fraction', 'inf_fraction')
    names += ('below_min_fraction', 'above_max_fraction', 'min_m', 'max_m', 'mean_m')
    expected = {name: [] for name in names}
    for ranges, range_min, range_max in scans:
        low, high = np.float32(range_min), np.float32(range_max)
        kinds = {
            'nan': np.isnan(ranges),
            'inf': np.isposinf(ranges),
            'below_min': np.isneginf(ranges) | (ranges < low) | (ranges == 0),
            'above_max': np.isfinite(ranges) & (ranges > high),
            'valid': np.isfinite(ranges) & (ranges != 0) & (ranges >= low) & (ranges <= high),
        }
        assert sum(kinds.values()).tolist() == [1] * ranges.size
        for kind, which in kinds.items():
            expected[f'{kind}_fraction'].append(which.mean())
        valid = ranges[kinds['valid']].astype(np.float64)
        expected['beams'].append(ranges.size)
        expected['range_m'].extend(valid)
        expected['min_m'].append(valid.min() if valid.size else NAN)
        expected['max_m'].append(valid.max() if valid.size else NAN)
        expected['mean_m'].append(valid.mean() if valid.size else NAN)
    return expected


@pytest.mark.parametrize(
    ('name', 'beams'), [('scan_hokuyo_2010', 681), ('scan_sick_intel_lab', 180)]
)
def test_every_feature_of_a_recording(replay, same_features, same_sectors, name, beams):
    messages, profile = replay(name, '/scan')
    assert all(message.ranges.size == beams for message in messages)
    scans = [(message.ranges, message.range_min, message.range_max) for message in messages]
    same_features(profile, 'scan', expected_features(scans))
    same_sectors(profile, 'scan', [returns_of(message) for message in messages])


def returns_of(scan):
    """Azimuth [deg] and range [m] of the valid beams, (N, 2)."""
    ranges, index = scan.ranges.astype(np.float64), np.arange(scan.ranges.size)
    azimuth_deg = np.degrees(scan.angle_min + index * scan.angle_increment) % 360
    azimuth_deg[azimuth_deg >= 180] -= 360
    low, high = np.float32(scan.range_min), np.float32(scan.range_max)
    valid = np.isfinite(ranges) & (ranges != 0) & (ranges >= low) & (ranges <= high)
    return np.stack([azimuth_deg, ranges], axis=1)[valid]


def ranges_of(beams, low, high):
    """Ranges of every kind, most of them valid."""
    ranges = RANDOM.uniform(low, high, beams).astype(np.float32)
    odd = [NAN, INF, -INF, 0.0, -1.0, np.nextafter(low, -INF), np.nextafter(high, INF), low, high]
    if beams >= 100:
        ranges[: 3 * len(odd)] = odd * 3
    return ranges


@pytest.mark.parametrize(
    ('range_min', 'range_max'), [(0.02, 5.6), (0.1, 30.0), (0.0, INF), (1e-45, 3e38)]
)
def test_what_is_no_distance_is_told_apart(
    serialized, profiled, same_features, range_min, range_max
):
    low, high = np.float32(range_min), np.float32(range_max)
    # Drivers that drop beams send scans of varying length; the longest are binned.
    scans = [
        (ranges_of(beams, low, min(high, np.float32(1e6))), range_min, range_max)
        for beams in (1, 100, 681, 4097, 9000)
    ]
    messages = [
        serialized(SCAN, ranges=ranges, range_min=low, range_max=high)
        for ranges, low, high in scans
    ]
    same_features(profiled(SCAN, *messages), 'scan', expected_features(scans))


@pytest.mark.parametrize('limits', [(0.0, 0.0), (5.0, 1.0), (NAN, NAN), (0.1, NAN)])
def test_limits_that_a_driver_did_not_set_are_none(serialized, profiled, same_features, limits):
    ranges = np.array([NAN, INF, -INF, -0.5, 0.0, 1e-3, 2.0, 500.0], np.float32)
    message = serialized(SCAN, ranges=ranges, range_min=limits[0], range_max=limits[1])
    same_features(profiled(SCAN, message), 'scan', expected_features([(ranges, 0.0, INF)]))


def test_minus_infinity_is_too_close_whatever_the_limit(serialized, profiled):
    message = serialized(SCAN, ranges=[-INF, -1.0, 2.0], range_min=-INF, range_max=5.0)
    features = profiled(SCAN, message).features
    assert features['scan/below_min_fraction'].moments.mean == 1 / 3
    assert features['scan/range_m'].moments.min == -1.0


@pytest.mark.parametrize('beams', [180, 5000])
def test_intensities_are_those_of_all_beams(serialized, profiled, same_numbers, beams):
    ranges = np.full(beams, INF, np.float32)
    intensities = RANDOM.gamma(2, 300, beams).astype(np.float32)
    intensities[:4] = NAN, INF, -INF, 0
    messages = [
        serialized(SCAN, ranges=ranges, range_max=9.0, intensities=given)
        for given in (intensities, [], intensities[:7])
    ]
    profile = profiled(SCAN, *messages)
    same_numbers(profile.features['scan/intensity'], np.concatenate([intensities, intensities[:7]]))


def test_a_scan_without_intensities_has_no_such_feature(serialized, profiled):
    profile = profiled(SCAN, serialized(SCAN, ranges=[1.0, 2.0], range_max=9.0))
    assert 'scan/intensity' not in profile.features


@pytest.mark.parametrize(
    ('range_', 'kind'), [(NAN, 'nan'), (INF, 'inf'), (0.01, 'below_min'), (6.0, 'above_max')]
)
def test_a_scan_without_a_distance_has_fractions_alone(serialized, profiled, range_, kind):
    message = serialized(SCAN, ranges=[range_] * 9, range_min=0.02, range_max=5.6)
    features = profiled(SCAN, message).features
    assert features[f'scan/{kind}_fraction'].moments.mean == 1
    assert features['scan/range_m'].moments.count == 0
    for name in ('min_m', 'max_m', 'mean_m'):
        assert (features[f'scan/{name}'].moments.count, features[f'scan/{name}'].missing) == (0, 1)


def test_a_scan_without_beams_is_counted(serialized, profiled):
    profile = profiled(SCAN, serialized(SCAN))
    assert profile.counters.decoded == 1
    assert profile.features['scan/beams'].moments.max == 0
    assert 'scan/valid_fraction' not in profile.features


@pytest.mark.parametrize('beams', [1000, 5000])
def test_any_bits_are_counted_without_a_warning(serialized, profiled, same_features, beams):
    bits = RANDOM.integers(0, 2**32, beams, dtype=np.uint32)
    bits[:2] = 0x7FA00000, 0xFFA00000  # signaling NaN
    values = bits.view(np.float32)
    message = serialized(SCAN, ranges=values, intensities=values, range_min=0.1, range_max=30.0)
    profile = profiled(SCAN, message)
    expected = expected_features([(values, 0.1, 30.0)])
    intensity = profile.features['scan/intensity']
    assert intensity.missing == np.isnan(values).sum()
    same_features(
        profile.with_features(set(profile.features) - {'scan/intensity'}), 'scan', expected
    )


def test_every_cut_of_a_scan_is_counted_and_never_raises(serialized, profiled):
    whole = bytes(serialized(SCAN, ranges=[1.0] * 5, intensities=[2.0] * 5))
    counters = profiled(SCAN, *(memoryview(whole[:n]) for n in range(len(whole)))).counters
    assert (counters.seen, counters.decoded) == (len(whole), 0)


@pytest.mark.parametrize('beams', [1, 720, 5000])
@pytest.mark.parametrize(
    ('angle_min', 'increment'),
    [(-np.pi, 0.01), (0.0, 2 * np.pi / 720), (2.0, -0.005), (700.0, 0.002), (0.5, 0.0)],
)
def test_the_sectors_go_by_the_angles_of_the_beams(
    serialized, profiled, same_sectors, beams, angle_min, increment
):
    """Whatever the way round, and however many times."""
    limits = {'range_min': np.float32(0.1), 'range_max': np.float32(30.0)}
    angles = {'angle_min': np.float32(angle_min), 'angle_increment': np.float32(increment)}
    messages = [
        serialized(SCAN, ranges=ranges_of(beams, 0.1, 30.0), **limits, **angles) for _ in range(3)
    ]
    scans = [STORE.deserialize_cdr(message, SCAN) for message in messages]
    same_sectors(profiled(SCAN, *messages), 'scan', [returns_of(scan) for scan in scans])


def test_the_angles_of_one_scan_are_not_taken_for_those_of_another(serialized, profiled):
    scans = [(1, 0.0), (1, 1.0), (2, 0.0)]
    messages = [
        serialized(SCAN, ranges=[2.0] * beams, range_max=9.0, angle_min=angle, angle_increment=3.0)
        for beams, angle in scans
    ]
    features = profiled(SCAN, *messages).features
    assert dict(features['scan/sector'].top(9)) == {'18': 2, '23': 1, '35': 1}
    assert dict(features['scan/sector_range_cm'].top(9)) == {'18': 400, '23': 200, '35': 200}


@pytest.mark.parametrize('angles', [(NAN, 0.1), (0.1, NAN), (INF, 0.1), (0.0, -INF)])
def test_beams_without_an_angle_are_in_no_sector(serialized, profiled, angles):
    low, step = angles
    message = serialized(SCAN, ranges=[1.0], range_max=9.0, angle_min=low, angle_increment=step)
    profile = profiled(SCAN, message)
    assert profile.counters.decoded == 1
    assert 'scan/range_m' in profile.features
    assert not {'scan/sector', 'scan/sector_range_cm'} & profile.features.keys()


def test_distances_below_0_do_not_lower_the_sum(serialized, profiled):
    message = serialized(SCAN, ranges=[-5.0, 2.0], range_min=-9.0, range_max=9.0)
    features = profiled(SCAN, message).features
    assert features['scan/sector'].top(9) == [('18', 2)]
    assert features['scan/sector_range_cm'].top(9) == []
