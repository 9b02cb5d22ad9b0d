"""Cloud features against plain numpy, for the layouts that drivers publish and for broken ones."""

import itertools
import tracemalloc

import numpy as np
import pytest

from profiler_node.wire.codec import decode, encode

RANDOM = np.random.default_rng(12)
CLOUD = 'sensor_msgs/msg/PointCloud2'
NAN, INF = np.nan, np.inf
DATATYPES = {'i1': 1, 'u1': 2, 'i2': 3, 'u2': 4, 'i4': 5, 'u4': 6, 'f4': 7, 'f8': 8}
XYZ = np.dtype([('x', '<f4'), ('y', '<f4'), ('z', '<f4')])


@pytest.fixture
def cloud(serialized):
    """Serializes a PointCloud2 of a structured array, (N,) or (H, W)."""

    def serialize(points, padding=0, big_endian=False, **changes):
        rows = np.atleast_2d(points)
        height, width = rows.shape
        fields = [
            {'name': name, 'offset': offset, 'datatype': DATATYPES[kind.str[1:]], 'count': 1}
            for name, (kind, offset) in points.dtype.fields.items()
        ]
        data = np.ascontiguousarray(rows).view(np.uint8).reshape(height, -1)
        data = np.pad(data, ((0, 0), (0, padding)), constant_values=77)
        message = {
            'height': height,
            'width': width,
            'fields': fields,
            'is_bigendian': big_endian,
            'point_step': points.dtype.itemsize,
            'row_step': data.shape[1],
            'data': data.ravel(),
        }
        return serialized(CLOUD, header={'stamp': {'sec': 10**9}}, **message | changes)

    return serialize


def expected_features(clouds, intensity='', ring=''):
    """The numbers of each feature of clouds, structured arrays with x, y and z, by its name."""
    names = ('range_m', 'x_m', 'y_m', 'z_m', 'intensity', 'ring', 'count', 'valid_fraction')
    names += ('min_range_m', 'max_range_m', 'azimuth_coverage')
    expected = {name: [] for name in names}
    for points in map(np.ravel, clouds):
        x, y, z = (points[axis].astype(np.float64) for axis in 'xyz')
        valid = np.isfinite(x) & np.isfinite(y) & np.isfinite(z) & ((x != 0) | (y != 0) | (z != 0))
        expected['count'].append(points.size)
        expected['valid_fraction'].append(valid.mean())
        x, y, z = x[valid], y[valid], z[valid]
        range_m = np.sqrt(x**2 + y**2 + z**2)
        sectors = np.floor(np.degrees(np.arctan2(y, x)) % 360)
        expected['azimuth_coverage'].append(np.unique(sectors).size / 360)
        expected['min_range_m'].append(range_m.min())
        expected['max_range_m'].append(range_m.max())
        for name, values in (('range_m', range_m), ('x_m', x), ('y_m', y), ('z_m', z)):
            expected[name].extend(values)
        for feature, name in (('intensity', intensity), ('ring', ring)):
            expected[feature].extend(points[name][valid] if name else ())
    return {name: numbers for name, numbers in expected.items() if numbers}


def returns_of(points):
    """Azimuth [deg] and range [m] of the valid points, (N, 2)."""
    x, y, z = (np.ravel(points)[axis].astype(np.float64) for axis in 'xyz')
    with np.errstate(over='ignore', invalid='ignore'):
        range_m = np.sqrt(x**2 + y**2 + z**2)
    returns = np.stack([np.degrees(np.arctan2(y, x)), range_m], axis=1)
    return returns[np.isfinite(range_m) & (range_m > 0)]


@pytest.mark.parametrize(
    ('name', 'topic', 'fields'),
    [
        ('lidar_sweeps', '/lidar/points', 'x:f4,y:f4,z:f4'),
        ('kinect_rgbd', '/camera/depth/color/points', 'x:f4,y:f4,z:f4,rgb:f4'),
    ],
)
def test_every_feature_of_a_recording(replay, same_features, same_sectors, name, topic, fields):
    messages, profile = replay(name, topic)
    dtype = [(item[:-3], f'<{item[-2:]}') for item in fields.split(',')]
    clouds = [message.data.view(dtype) for message in messages]
    same_features(profile, 'points', expected_features(clouds))
    same_sectors(profile, 'points', [returns_of(cloud) for cloud in clouds])
    assert profile.features['points/fields'].top(2) == [(fields, len(messages))]


# Fields in the order and at the offsets in which these drivers have them.
DRIVERS = {
    'velodyne': [('intensity', '<f4', 12), ('ring', '<u2', 16), ('time', '<f4', 18), 22],
    'velodyne_padded': [('intensity', '<f4', 16), ('ring', '<u2', 20), ('time', '<f4', 24), 32],
    'ouster': [
        ('intensity', '<f4', 16),
        ('t', '<u4', 20),
        ('reflectivity', '<u2', 24),
        ('ring', 'u1', 26),
        ('ambient', '<u2', 28),
        ('range', '<u4', 32),
        48,
    ],
    'livox': [
        ('intensity', '<f4', 12),
        ('tag', 'u1', 16),
        ('line', 'u1', 17),
        ('timestamp', '<f8', 18),
        26,
    ],
    'hesai': [('intensity', '<f4', 12), ('ring', '<u2', 16), ('timestamp', '<f8', 18), 26],
    'robosense': [('intensity', 'u1', 12), ('ring', '<u2', 13), ('timestamp', '<f8', 15), 23],
    'autoware': [
        ('intensity', 'u1', 12),
        ('return_type', 'u1', 13),
        ('channel', '<u2', 14),
        ('azimuth', '<f4', 16),
        ('elevation', '<f4', 20),
        ('distance', '<f4', 24),
        ('time_stamp', '<u4', 28),
        32,
    ],
    'sick_multiscan': [('i', '<f4', 12), ('layer', '<i4', 16), 20],
    'reflectivity_alone': [('reflectivity', '<u2', 12), ('laser_id', 'i1', 14), 15],
    'realsense': [('rgb', '<f4', 16), 20],
}


def layout(driver, scalar='<f4'):
    """The type of a point of this driver."""
    *fields, itemsize = DRIVERS[driver]
    names, formats, offsets = zip(*fields, strict=True)
    step = np.dtype(scalar).itemsize
    grown = 3 * (step - 4)
    return np.dtype(
        {
            'names': ['x', 'y', 'z', *names],
            'formats': [scalar] * 3 + list(formats),
            'offsets': [0, step, 2 * step, *(offset + grown for offset in offsets)],
            'itemsize': itemsize + grown,
        }
    )


def points_of(dtype, shape):
    """Random points: some without return, some beyond the reach of numbers."""
    points = np.zeros(shape, dtype)
    for name in dtype.names:
        kind = dtype[name].kind
        values = RANDOM.normal(0, 20, shape) if kind == 'f' else RANDOM.integers(0, 120, shape)
        points[name] = values
    flat = points.reshape(-1)
    if dtype['x'].kind == 'f':
        flat[::7][list('xyz')] = NAN, NAN, NAN
        flat['z'][::31] = INF
        flat['y'][::37] = NAN
    for axis in 'xyz':
        flat[axis][::5] = 0
    flat['x'][::25] = 0
    flat['x'][1] = 0
    return points


@pytest.mark.parametrize('shape', [(300,), (64, 100)])
@pytest.mark.parametrize('driver', DRIVERS)
def test_the_clouds_of_drivers(cloud, profiled, same_features, driver, shape):
    points = points_of(layout(driver), shape)
    names = points.dtype.names
    intensity = next((n for n in ('intensity', 'reflectivity', 'i') if n in names), '')
    ring = next((n for n in ('ring', 'line', 'channel', 'layer', 'laser_id') if n in names), '')
    profile = profiled(CLOUD, cloud(points))
    same_features(profile, 'points', expected_features([points], intensity, ring))
    ((fields, _),) = profile.features['points/fields'].top(1)
    assert fields == ','.join(f'{n}:{points.dtype[n].str[1:]}' for n in names)[:128]


@pytest.mark.parametrize('scalar', ['<f8', '>f4', '>f8', '>i2', '<i4', '<u2', 'i1'])
def test_coordinates_of_any_type_and_byte_order(cloud, profiled, same_features, scalar):
    big_endian = scalar[0] == '>'
    dtype = np.dtype([(axis, scalar) for axis in 'xyz'] + [('intensity', scalar)])
    points = points_of(dtype, (60, 90))
    profile = profiled(CLOUD, cloud(points, big_endian=big_endian))
    same_features(profile, 'points', expected_features([points], 'intensity'))


def test_padding_and_the_row_step_of_a_single_row_change_nothing(cloud, profiled, same_features):
    points = points_of(layout('velodyne'), (5, 40))
    expected = expected_features([points], 'intensity', 'ring')
    same_features(profiled(CLOUD, cloud(points, padding=9)), 'points', expected)
    for row_step in (0, 2**32 - 1):
        message = cloud(points.ravel(), row_step=row_step)
        same_features(profiled(CLOUD, message), 'points', expected)


@pytest.mark.parametrize('scalar', ['<f4', '<f8'])
def test_points_without_a_finite_place_are_not_valid(cloud, profiled, scalar):
    dtype = [(axis, scalar) for axis in 'xyz'] + [('intensity', '<f4'), ('ring', 'u1')]
    largest = np.finfo(scalar).max
    odd = [NAN, INF, -INF, largest, -largest]
    places = [place for bad in odd for place in set(itertools.permutations((bad, 1.0, 2.0)))]
    places += [(0.0, -0.0, 0.0), (3.0, 0.0, 4.0), (0.0, 0.0, -1.0)]
    points = np.array([(*place, 9, 3) for place in places], dtype)
    points['intensity'][-2:] = 50, 53
    features = profiled(CLOUD, cloud(points)).features
    assert features['points/valid_fraction'].moments.mean == 2 / len(places)
    ranges = features['points/range_m'].moments
    assert (ranges.count, ranges.min, ranges.max) == (2, 1.0, 5.0)
    intensities = features['points/intensity'].moments
    assert (intensities.count, intensities.min, intensities.max) == (2, 50.0, 53.0)
    assert features['points/ring'].moments.count == 2


def test_a_cloud_without_a_valid_point_says_so(cloud, profiled):
    points = np.zeros(5000, layout('velodyne'))
    features = profiled(CLOUD, cloud(points)).features
    assert features['points/count'].moments.mean == 5000
    assert features['points/valid_fraction'].moments.mean == 0
    assert features['points/azimuth_coverage'].moments.mean == 0
    assert features['points/min_range_m'].missing == features['points/max_range_m'].missing == 1
    for name in ('range_m', 'x_m', 'intensity', 'ring'):
        assert features[f'points/{name}'].moments.count == 0
    for name in ('sector', 'sector_range_cm'):
        assert (features[f'points/{name}'].count, features[f'points/{name}'].top(9)) == (0, [])


def test_the_intensity_may_be_nan(cloud, profiled):
    points = points_of(layout('velodyne'), 50)
    points['intensity'] = NAN
    feature = profiled(CLOUD, cloud(points)).features['points/intensity']
    assert feature.moments.count == 0
    assert feature.missing > 0


RING_DEG = np.arange(0, 360, 360 / 2048)
TWO_OF_THREE_DEG = np.tile([degree + 0.5 for degree in range(360) if degree % 3 < 2], 20)
AZIMUTHS_DEG = {
    'one': [0.0],
    'axes': [0, 90, 180, 270],
    'just_below_the_x_axis': [-1e-9, -1e-20],
    'every_degree': np.arange(360) + 0.5,
    'boundaries': np.arange(-180, 180),
    'near_boundaries': np.arange(360) + RANDOM.choice([-1e-3, 1e-3], 360),
    'a_third': np.linspace(-60.3, 60.4, 40_000),
    'rings_of_2048': np.tile(RING_DEG, 16),
    'blocked': np.linspace(0, 299.999, 30_000),
    'lower_edges': np.append(TWO_OF_THREE_DEG, np.arange(2, 360, 3) + 1e-4),
    'upper_edges': np.append(TWO_OF_THREE_DEG, np.arange(3, 361, 3) - 1e-4),
    'sparse': RANDOM.uniform(0, 360, 200),
}


@pytest.mark.parametrize('scalar', ['<f4', '<f8'])
@pytest.mark.parametrize('name', AZIMUTHS_DEG)
def test_the_azimuth_coverage_is_exact(cloud, profiled, name, scalar):
    azimuth = np.radians(np.asarray(AZIMUTHS_DEG[name], dtype=np.float64))
    points = np.zeros(azimuth.size, [(axis, scalar) for axis in 'xyz'])
    distance = RANDOM.uniform(0.1, 200, azimuth.size)
    points['x'], points['y'] = distance * np.cos(azimuth), distance * np.sin(azimuth)
    x, y = points['x'].astype(np.float64), points['y'].astype(np.float64)
    sectors = {int(degrees % 360) % 360 for degrees in np.degrees(np.arctan2(y, x))}
    feature = profiled(CLOUD, cloud(points)).features['points/azimuth_coverage']
    assert feature.moments.mean == len(sectors) / 360


@pytest.mark.parametrize('scalar', ['<f4', '<f8'])
@pytest.mark.parametrize('order', ['columns', 'rings', 'none'])
@pytest.mark.parametrize('size', [1, 2000, 60_000])
def test_the_sectors_are_exact_in_any_order(cloud, profiled, same_sectors, size, order, scalar):
    """Among them many points within float32 rounding of a border."""
    random = np.random.default_rng(size)
    azimuth = random.uniform(-180, 180, size)
    borders = random.integers(-18, 19, size) * 10.0
    off = random.choice([-1, 1], size) * 10.0 ** random.uniform(-6, 0, size)
    azimuth = np.where(random.random(size) < 0.3, borders + off, azimuth)
    azimuth = np.sort(azimuth) if order != 'none' else azimuth
    azimuth = azimuth.reshape(-1, 4).T.ravel() if order == 'rings' and size > 1 else azimuth
    distance = 10.0 ** random.uniform(-3, 2.3, size)
    points = np.zeros(size, [(axis, scalar) for axis in 'xyz'])
    points['x'] = distance * np.cos(np.radians(azimuth))
    points['y'] = distance * np.sin(np.radians(azimuth))
    points['z'] = random.normal(0, 3, size)
    same_sectors(profiled(CLOUD, cloud(points)), 'points', [returns_of(points)])


def test_sector_00_begins_behind_and_goes_on_to_the_right(cloud, profiled):
    """REP-103: x forward, y left. The sign of a zero, straight behind, makes no difference."""
    at = {'00': [(-1, 0), (-1, -0.0), (-9, -1)], '09': [(0, -1)], '17': [(9, -1)]}
    at |= {'18': [(1, 0), (1, -0.0), (9, 1), (0, 0)], '27': [(0, 1)], '35': [(-9, 1)]}
    xy = [place for places in at.values() for place in places]
    points = np.array([(x, y, 1.0) for x, y in xy], XYZ)
    features = profiled(CLOUD, cloud(points)).features
    assert dict(features['points/sector'].top(99)) == {name: len(p) for name, p in at.items()}
    assert dict(features['points/sector_range_cm'].top(99))['27'] == 141


def test_the_sectors_of_many_clouds_and_windows_are_still_exact(cloud, profiled, same_sectors):
    random = np.random.default_rng(5)
    clouds = []
    for _ in range(12):
        points = np.zeros(500, XYZ)
        points['x'], points['y'] = random.normal(0, 30, (2, 500))
        clouds.append(points)
    parts = [profiled(CLOUD, *map(cloud, clouds[n : n + 4])) for n in range(0, 12, 4)]
    merged = parts[2].merged(parts[0], parts[1])
    same_sectors(merged, 'points', [returns_of(points) for points in clouds])
    assert decode(encode(merged)) == merged


def test_an_absurd_distance_does_not_overflow_the_sum(cloud, profiled):
    points = np.array([(1e38, 1e30, 0), (-3, 0.1, 4)] * 3000, XYZ)
    ranges = dict(profiled(CLOUD, *[cloud(points)] * 50).features['points/sector_range_cm'].top(9))
    assert ranges == {'18': 50 * 2**36, '35': pytest.approx(50 * 3000 * 500, rel=1e-3)}


def test_rgb_in_a_float_is_no_number(cloud, profiled):
    points = points_of(layout('realsense'), 100)
    features = profiled(CLOUD, cloud(points)).features
    assert not {'points/rgb', 'points/intensity', 'points/ring'} & features.keys()


def test_an_empty_cloud_is_counted_and_has_no_errors(cloud, profiled):
    profile = profiled(CLOUD, cloud(np.zeros(0, XYZ)), cloud(np.zeros(0, XYZ), fields=[]))
    assert (profile.counters.decoded, dict(profile.counters.decode_errors)) == (2, {})
    assert profile.features['points/count'].moments.max == 0
    assert 'points/range_m' not in profile.features


FIELDS = [
    {'name': name, 'offset': 4 * i, 'datatype': 7, 'count': 1} for i, name in enumerate('xyz')
]
BIG = 2**32 - 1
BAD = {
    'no fields': ('no_xyz', {'fields': []}),
    'x and y alone': ('no_xyz', {'fields': FIELDS[:2]}),
    'polar': ('no_xyz', {'fields': [FIELDS[0] | {'name': 'range'}]}),
    'datatype 0': ('bad_fields', {'fields': [FIELDS[0] | {'datatype': 0}, *FIELDS[1:]]}),
    'datatype 9': ('bad_fields', {'fields': [*FIELDS[:2], FIELDS[2] | {'datatype': 9}]}),
    'beyond point_step': ('bad_fields', {'fields': [*FIELDS[:2], FIELDS[2] | {'offset': 9}]}),
    'offset 2**32-1': ('bad_fields', {'fields': [*FIELDS[:2], FIELDS[2] | {'offset': BIG}]}),
    'float64 in float32': ('bad_fields', {'fields': [FIELDS[0] | {'datatype': 8}, *FIELDS[1:]]}),
    'all at one offset': ('bad_fields', {'fields': [field | {'offset': 0} for field in FIELDS]}),
    'intensity over z': ('bad_fields', {'fields': [*FIELDS, FIELDS[2] | {'name': 'intensity'}]}),
    'point_step 0': ('bad_step', {'point_step': 0, 'row_step': 0}),
    'point_step 11': ('bad_fields', {'point_step': 11}),
    'point_step 13': ('short_data', {'point_step': 13, 'row_step': 130}),
    'point_step 2**32-1': ('bad_step', {'point_step': BIG}),
    'row_step 119': ('bad_step', {'row_step': 119}),
    'row_step 0': ('bad_step', {'row_step': 0}),
    'row_step 2**32-1': ('short_data', {'row_step': BIG}),
    'height 0': ('bad_size', {'height': 0}),
    'width 0': ('bad_size', {'width': 0}),
    'height 2**32-1': ('short_data', {'height': BIG}),
    'width 2**32-1': ('bad_step', {'width': BIG}),
    'one row of 2**32-1': ('short_data', {'width': BIG, 'height': 1}),
    'no data': ('short_data', {'data': np.zeros(0, np.uint8)}),
    'a byte less': ('short_data', {'data': np.zeros(4 * 120 - 1, np.uint8)}),
}


@pytest.mark.parametrize('case', BAD)
def test_a_cloud_that_does_not_fit_together_is_counted_by_reason(cloud, profiled, case):
    reason, changes = BAD[case]
    points = np.ones((4, 10), XYZ)
    messages = cloud(points), cloud(points, **changes), cloud(points)
    tracemalloc.start()
    profile = profiled(CLOUD, *messages)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert dict(profile.counters.decode_errors) == {reason: 1}
    assert (profile.counters.seen, profile.counters.decoded) == (3, 2)
    assert profile.features['points/range_m'].moments.count == 80
    assert profile.features['points/count'].moments.max == 40
    assert peak < 2e6


def test_what_is_odd_and_not_needed_does_no_harm(cloud, profiled, same_features):
    points = points_of(XYZ, 30)
    others = [
        {'name': 'rgb', 'offset': 8, 'datatype': 7, 'count': 1},
        {'name': 'unknown', 'offset': BIG, 'datatype': 99, 'count': BIG},
        {'name': 'x', 'offset': 4, 'datatype': 7, 'count': 1},
        {'name': '', 'offset': 0, 'datatype': 0, 'count': 0},
    ]
    many = [{'name': f'f{i}' * 50, 'offset': i, 'datatype': 7, 'count': 0} for i in range(3000)]
    fields = [field | {'count': 0} for field in FIELDS] + others + many
    profile = profiled(CLOUD, cloud(points, fields=fields))
    same_features(profile, 'points', expected_features([points]))
    ((label, _),) = profile.features['points/fields'].top(1)
    assert len(label) <= 128


def test_a_field_name_that_is_no_utf8_is_counted(cloud, profiled):
    message = bytes(cloud(np.ones(3, layout('velodyne'))))
    bad = message.replace(b'intensity', b'intens\xff\xfe\xfd')
    counters = profiled(CLOUD, memoryview(message), memoryview(bad)).counters
    assert (counters.decoded, sum(counters.decode_errors.values())) == (1, 1)


def test_every_cut_of_a_cloud_is_counted_and_never_raises(cloud, profiled):
    whole = bytes(cloud(np.ones(3, layout('velodyne'))))
    cuts = [memoryview(whole[:size]) for size in range(len(whole))]
    counters = profiled(CLOUD, *cuts).counters
    assert counters.seen == len(cuts)
    assert counters.decoded == 0


@pytest.mark.parametrize('scalar', ['f4', 'f8'])
def test_any_bits_are_counted_without_a_warning(cloud, profiled, scalar):
    bits = RANDOM.integers(0, 256, (3000, 4 * np.dtype(scalar).itemsize), dtype=np.uint8)
    signaling = np.array([0x7FA00000], '<u4') if scalar == 'f4' else np.array([0x7FF4 << 48], '<u8')
    bits[:9] = np.tile(signaling, 4).view(np.uint8)
    points = bits.view([(name, f'<{scalar}') for name in ('x', 'y', 'z', 'intensity')]).ravel()
    points['x'][5:9] = points['y'][5:9] = points['z'][5:9] = 1.0
    profile = profiled(CLOUD, cloud(points))
    assert profile.counters.decoded == 1
    assert profile.features['points/count'].moments.mean == 3000
