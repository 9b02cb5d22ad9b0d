"""The one-line API for data in memory."""

import doctest
import subprocess
import sys

import numpy as np
import pytest

import profiler_node
from profiler_node import notebook
from profiler_node.collector import image_of
from profiler_node.core.config import StreamConfig
from profiler_node.core.decode import decoder_for
from profiler_node.core.extract.camera import ImageExtractor
from profiler_node.core.observation import FloatBins, Levels
from profiler_node.core.profile import NumericFeature
from profiler_node.core.sketches import rank_error
from profiler_node.fleet.store import StoreError
from profiler_node.notebook import load, save

START = 10**18
RANKS = (0.05, 0.25, 0.5, 0.75, 0.95)


def pixels(*shape, dtype=np.uint8, seed=3):
    """Random pixels, darker in the channels to the right so that they can be told apart."""
    random = np.random.default_rng(seed)
    if np.dtype(dtype).kind == 'f':
        return random.uniform(0.5, 9.5, shape).astype(dtype)
    top = np.iinfo(dtype).max
    scale = np.linspace(1, 0.3, shape[-1]) if len(shape) > 2 else 1
    return (random.integers(0, top, shape) * scale).astype(dtype)


def assert_equal(ours, theirs):
    """Whether all features of content are the same, sketches within their error."""
    names = {name for name in theirs.features if not name.startswith('message/')}
    assert ours.features.keys() == names
    for name in names:
        mine, other = ours.features[name], theirs.features[name]
        if isinstance(mine, NumericFeature):
            assert mine._replace(kll=b'') == other._replace(kll=b''), name
            lows, highs = (
                other.quantiles(np.clip(np.array(RANKS) + shift, 0, 1))
                for shift in (-2 * rank_error(200), 2 * rank_error(200))
            )
            for low, value, high in zip(lows, mine.quantiles(RANKS), highs, strict=True):
                assert low <= value <= high, name
        else:
            assert (mine.count, mine.top(9)) == (other.count, other.top(9)), name


IMAGES = [
    (pixels(40, 60, 3), 'rgb8', ''),
    (pixels(40, 60, 3), 'bgr8', 'bgr8'),
    (pixels(40, 60), 'mono8', ''),
    (pixels(41, 61, 4), 'rgba8', ''),
    (pixels(40, 60, 3, dtype=np.uint16), 'rgb16', ''),
    (pixels(40, 60, dtype=np.uint16), 'mono16', ''),
    (pixels(40, 60, dtype=np.float32), '32FC1', '32FC1'),
    (pixels(40, 60, dtype=np.uint16) // 8, '16UC1', '16UC1'),
    (pixels(40, 60), 'bayer_rggb8', 'bayer_rggb8'),
    (pixels(40, 60, 2), '8UC2', '8UC2'),
]


@pytest.mark.parametrize(('array', 'encoding', 'given'), IMAGES)
def test_an_image_has_the_profile_of_the_robots_image(image, profiled, array, encoding, given):
    live = profiled('sensor_msgs/msg/Image', image(array, encoding, START))
    ours = profiler_node.log(array, stream='image', encoding=given, stamps_ns=[START])
    assert_equal(ours, live)
    assert ours.source.message_type == live.source.message_type
    assert (ours.counters.seen, ours.counters.decoded) == (1, 1)


@pytest.mark.parametrize(('array', 'encoding', 'given'), IMAGES)
def test_the_very_histograms_are_those_of_the_robot(image, array, encoding, given):
    decode, extract = decoder_for('sensor_msgs/msg/Image'), ImageExtractor(StreamConfig())
    live, ours = {}, {}
    extract(decode(image(array, encoding)), live)
    shaped = array if array.ndim == 3 else array[:, :, None]
    ImageExtractor(StreamConfig())(image_of(shaped, given or encoding), ours)
    histograms = [name for name, v in live.items() if isinstance(v, Levels | FloatBins)]
    assert histograms
    for name in histograms:
        np.testing.assert_array_equal(ours[name].counts, live[name].counts)


def test_a_batch_and_a_list_of_images_are_so_many_messages(image, profiled):
    batch = np.stack([pixels(20, 30, 3, seed=seed) for seed in (1, 2, 2, 3)])
    stamps = [START + n for n in range(4)]
    messages = [image(each, 'rgb8', stamp) for each, stamp in zip(batch, stamps, strict=True)]
    live = profiled('sensor_msgs/msg/Image', *messages)
    for images in (batch, list(batch), tuple(batch), batch[:, ::-1][:, ::-1]):
        ours = profiler_node.log(images, stream='image', stamps_ns=stamps)
        assert_equal(ours, live)
    sizes = [pixels(20, 30, 3), pixels(10, 30)]
    assert profiler_node.log(sizes, stream='s').features['image/size'].count == 2


def test_big_endian_pixels_are_taken_by_their_values():
    array = pixels(9, 9, dtype=np.uint16)
    first, second = (profiler_node.log(a, stream='s') for a in (array, array.astype('>u2')))
    assert_equal(first, second)


def test_without_stamps_they_are_the_index():
    batch = np.full((5, 4, 4, 1), 9, np.uint8)
    batch[3, 0, 0] = 200
    profile = profiler_node.log(batch, stream='image')
    assert profile.features['image/gray'].moments.max_stamp_ns == 3
    assert (profile.window_start_ns, profile.window_end_ns) == (0, 5)


def test_a_dict_has_the_profile_of_a_message(serialized, profiled):
    message = {
        'angular_velocity': {'x': 1.5, 'y': -2.0, 'z': 0.25},
        'linear_acceleration': {'x': 0.0, 'y': 0.0, 'z': 9.81},
        'orientation': {'x': 0.0, 'y': 0.0, 'z': 0.0, 'w': 1.0},
        'angular_velocity_covariance': np.arange(9.0),
        'linear_acceleration_covariance': np.zeros(9),
        'orientation_covariance': np.zeros(9),
    }
    header = {'stamp': {'sec': 10**9, 'nanosec': 0}}
    live = profiled(
        'sensor_msgs/msg/Imu', *[serialized('sensor_msgs/msg/Imu', header=header, **message)] * 3
    )
    ours = profiler_node.log([message] * 3, stream='imu', stamps_ns=[START] * 3)
    assert_equal(ours, live)


def test_values_of_any_kind_are_taken():
    profile = profiler_node.log(
        [
            {
                'a': 1,
                'b': True,
                'c': np.float32(0.5),
                's': 'x',
                'detections/label': ['cat', 'dog'],
                'n': {'v': [1, 2, 3], 'w': np.array(7)},
            },
            {'a': None, 's': None, 'detections/label': np.array(['cat']), 'n': {'v': []}},
        ],
        stream='data',
        robot_id='me',
        tags={'model': '7'},
    )
    features = profile.features
    kinds = {name: feature.kind for name, feature in features.items()}
    assert kinds == {
        'field/a': 'scalar',
        'field/b': 'scalar',
        'field/c': 'scalar',
        'field/s': 'categorical',
        'detections/label': 'categorical',
        'field/n.v': 'elements',
        'field/n.w': 'scalar',
    }
    assert features['detections/label'].top(2) == [('cat', 2), ('dog', 1)]
    assert (features['field/a'].moments.count, features['field/a'].missing) == (1, 1)
    assert (features['field/s'].count, features['field/s'].missing) == (1, 1)
    assert features['field/n.v'].moments.count == 3
    assert (profile.source.robot_id, profile.source.stream) == ('me', 'data')
    assert dict(profile.source.tags) == {'model': '7'}
    only = profiler_node.log({'a': None}, stream='s').features['field/a']
    assert (only.missing, only.moments.count, only.quantiles([0.5])) == (1, 0, [])


@pytest.fixture(params=['pandas', 'pyarrow'])
def frame(request):
    """Makes a frame of columns, of one library after the other."""
    library = pytest.importorskip(request.param, reason=f'needs {request.param}')
    return library.DataFrame if request.param == 'pandas' else library.table


def test_the_columns_of_a_frame_are_features(frame):
    columns = {
        'x': [1.0, 2.0, float('nan'), 4.0],
        'whole': [None, 2, 3, 4],
        'flag': [True, False, True, None],
        'label': ['cat', None, 'dog', 'cat'],
        'lists': [[1.0, 2.0], [3.0], [], [4.0]],
        'detections/score': [0.5, 0.5, 0.5, 0.5],
    }
    profile = profiler_node.log(frame(columns), stream='table')
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    expected = profiler_node.log(rows, stream='table')
    assert profile.features.keys() == expected.features.keys()
    assert_equal(profile, expected)
    assert profile.counters.decoded == 4
    assert profile.features['field/label'].missing == 1
    assert profile.features['field/flag'].missing == 1


@pytest.mark.parametrize('kind', ['ns', 'time'])
def test_a_column_may_hold_the_stamps(frame, kind):
    stamps = np.array([START + 5, START + 7, START + 6])
    given = stamps if kind == 'ns' else stamps.astype('datetime64[ns]')
    profile = profiler_node.log(
        frame({'t': given, 'x': [1.0, 3.0, 0.5]}), stream='s', stamp_column='t'
    )
    assert list(profile.features) == ['field/x']
    moments = profile.features['field/x'].moments
    assert (moments.min_stamp_ns, moments.max_stamp_ns) == (START + 6, START + 7)
    assert (profile.window_start_ns, profile.window_end_ns) == (START + 5, START + 8)


def test_times_that_are_no_stamps_are_seconds(frame):
    times = [*np.array([START, START + 10**9]).astype('datetime64[ns]'), np.datetime64('NaT')]
    columns = {'t': np.array(times, 'datetime64[ns]')}
    feature = profiler_node.log(frame(columns), stream='s').features['field/t']
    assert (feature.moments.min, feature.moments.max) == (1e9, 1e9 + 1)
    assert (feature.moments.count, feature.missing) == (2, 1)


def test_pandas_types_of_its_own_are_taken():
    pandas = pytest.importorskip('pandas', reason='needs pandas')
    frame = pandas.DataFrame(
        {
            'i': pandas.array([1, None, 3], 'Int64'),
            'b': pandas.array([True, None, False], 'boolean'),
            'c': pandas.Categorical(['a', None, 'a']),
            's': pandas.array(['a', None, 'b'], 'string'),
            'z': pandas.date_range('2001-09-09T01:46:40', periods=3, tz='Europe/Berlin'),
        }
    )
    features = profiler_node.log(frame, stream='s').features
    assert [features[f'field/{name}'].missing for name in 'ibcsz'] == [1, 1, 1, 1, 0]
    assert features['field/i'].moments.mean == 2
    assert features['field/c'].top(1) == [('a', 2)]
    assert features['field/z'].moments.min == 1e9 - 7200


@pytest.mark.parametrize(
    ('obj', 'options', 'message'),
    [
        (pixels(3, 40, 60), {}, r'\(3, 40, 60\) is no image .* channels come last'),
        (pixels(2, 3, 40, 60), {}, r'is no image .* channels come last'),
        (pixels(40, 60, 5), {}, r'is no image \(H, W\), \(H, W, C\)'),
        (np.zeros(7), {}, r'\(7,\) is no image'),
        (pixels(40, 60, dtype=np.float32), {}, 'float32 may be anything: give encoding'),
        (pixels(40, 60, 3), {'encoding': 'mono8'}, 'of 1 channels for mono8'),
        (pixels(40, 60, 3), {'encoding': 'rgb16'}, 'rgb16 is uint16, the image uint8'),
        (pixels(40, 60, 2), {'encoding': 'uyvy'}, "encoding 'uyvy' is not one of mono8"),
        (np.zeros((0, 5), np.uint8), {}, 'image of 5x0 pixels'),
        (np.zeros((0, 4, 5, 3), np.uint8), {}, 'nothing to profile'),
        ([], {}, 'nothing to profile'),
        (7, {}, 'int is neither an image'),
        ({'a': {'b': object()}}, {}, 'field/a.b is object'),
        ({'a': 1 + 2j}, {}, 'field/a is complex'),
        ({'a': {1: 2}}, {}, 'the key 1 is no string'),
        ({'a': [1, 'x']}, {}, 'field/a is list: neither number'),
        ({'a': [[1], [2, 3]]}, {}, 'field/a is no array'),
        ([{'a': 1}, {'a': 'x'}], {}, 'field/a is categorical here and a number before'),
        ({'a': 1}, {'encoding': 'rgb8'}, 'encoding is for images'),
        ({'a': 1}, {'stamp_column': 't'}, 'stamp_column is for frames'),
        ({'a': 1}, {'stamps_ns': [1, 2]}, r'must be whole numbers \(1,\)'),
        ({'a': 10**400}, {}, 'field/a is beyond all'),
        ({'a': 1, 'field/a': 2}, {}, "more than one value is named 'field/a'"),
        ({'a': {'b': 1}, 'a.b': 2}, {}, "more than one value is named 'field/a.b'"),
        ({'a': 1}, {'stamps_ns': [2**63]}, f'{2**63} are beyond 64 bits'),
        ({'a': 1}, {'stamps_ns': [2**63 - 1]}, f'{2**63 - 1} are beyond 64 bits'),
        ([{'a': 1}] * 2, {'stamps_ns': [-2, 2**63 - 2]}, f'-2 to {2**63 - 2} are beyond 64 bits'),
        ({'a': 1}, {'stamps_ns': [1.5]}, r'must be whole numbers \(1,\)'),
    ],
)
def test_what_does_not_fit_is_named(obj, options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        profiler_node.log(obj, stream='s', **options)


@pytest.mark.parametrize('unit', ['s', 'ms', 'us'])
def test_times_that_no_stamp_holds_are_seconds_all_the_same(frame, unit):
    columns = {'t': np.array(['3000-01-01', 'NaT', '1970-01-02'], f'datetime64[{unit}]')}
    feature = profiler_node.log(frame(columns), stream='s').features['field/t']
    assert (feature.moments.min, feature.moments.max) == (86_400, 32_503_680_000)
    assert feature.missing == 1
    whole = {'t': columns['t'][[0, 2]]}
    with pytest.raises(ValueError, match=r't holds neither times .* of 64 bits'):
        profiler_node.log(frame(whole), stream='s', stamp_column='t')


def test_times_of_coarse_units_may_be_the_stamps(frame):
    columns = {'t': np.array(['2001-09-09T01:46:40'], 'datetime64[s]'), 'x': [1.0]}
    assert profiler_node.log(frame(columns), stream='s', stamp_column='t').window_start_ns == START


def test_arrow_dates_and_durations_are_seconds():
    pyarrow = pytest.importorskip('pyarrow', reason='needs pyarrow')
    table = pyarrow.table(
        {
            'd': pyarrow.array([1, None], pyarrow.date32()),
            'l': pyarrow.array([1500, -(2**63)], pyarrow.duration('ms')),
        }
    )
    features = profiler_node.log(table, stream='s').features
    assert [features[f'field/{name}'].moments.max for name in 'dl'] == [86_400, 1.5]
    assert [features[f'field/{name}'].missing for name in 'dl'] == [1, 1]


def test_times_that_pandas_keeps_in_arrow_are_seconds():
    pandas = pytest.importorskip('pandas', '2.0', reason='needs pandas')
    pyarrow = pytest.importorskip('pyarrow', reason='needs pyarrow')
    types = {'d': pyarrow.date32(), 't': pyarrow.timestamp('s'), 'l': pyarrow.duration('s')}
    columns = {name: pandas.ArrowDtype(kind) for name, kind in types.items()}
    arrays = {name: pyarrow.array([1, None], kind) for name, kind in types.items()}
    frame = pandas.DataFrame({n: pandas.Series(a, dtype=columns[n]) for n, a in arrays.items()})
    features = profiler_node.log(frame, stream='s').features
    assert [features[f'field/{name}'].moments.max for name in types] == [86_400, 1, 1]
    assert [features[f'field/{name}'].missing for name in types] == [1, 1, 1]


@pytest.mark.parametrize('stamp', [2**63 - 2, 2**63, 2**64 - 1])
def test_unsigned_stamps_are_not_taken_for_times_before_1970(frame, stamp):
    columns = {'t': np.array([stamp], np.uint64), 'x': [1.0]}
    if stamp < 2**63:
        assert profiler_node.log(frame(columns), stream='s', stamp_column='t').features
    else:
        with pytest.raises(ValueError, match=r't holds neither times .* of 64 bits'):
            profiler_node.log(frame(columns), stream='s', stamp_column='t')
    feature = profiler_node.log(frame(columns), stream='s').features['field/t']
    assert feature.moments.max == float(stamp)


def test_small_whole_numbers_may_be_the_stamps(frame):
    for dtype in (np.uint8, np.int16, np.uint32):
        columns = {'t': np.array([7], dtype), 'x': [1.0]}
        assert profiler_node.log(frame(columns), stream='s', stamp_column='t').window_start_ns == 7


def test_two_columns_of_one_name_are_refused(frame):
    if frame.__name__ == 'DataFrame':
        twice = frame([[1, 2]], columns=['a', 'a'])
        like = frame([[1, 2]], columns=[1, '1'])
        with pytest.raises(ValueError, match="more than one value is named '1'"):
            profiler_node.log(like, stream='s')
    else:
        twice = frame([[1], [2]], names=['a', 'a'])
    with pytest.raises(ValueError, match="more than one value is named 'a'"):
        profiler_node.log(twice, stream='s')
    with pytest.raises(ValueError, match="more than one value is named 'field/a'"):
        profiler_node.log(frame({'a': [1], 'field/a': [2]}), stream='s')


def test_what_a_frame_has_no_use_for_is_refused(frame):
    some = frame({'t': [1], 'x': [2]})
    with pytest.raises(ValueError, match='encoding is for images'):
        profiler_node.log(some, stream='s', encoding='rgb8')
    with pytest.raises(ValueError, match='by stamp_column and by stamps_ns'):
        profiler_node.log(some, stream='s', stamp_column='t', stamps_ns=[1])


@pytest.mark.parametrize(
    ('column', 'message'),
    [('x', 'x holds neither times'), ('gaps', '1 stamps are missing'), ('y', "no column 'y'")],
)
def test_stamps_that_are_none_are_named(frame, column, message):
    columns = {'x': [0.5, 1.0], 'gaps': [1, None]}
    with pytest.raises(ValueError, match=message):
        profiler_node.log(frame(columns), stream='s', stamp_column=column)


def test_profiles_are_merged_saved_loaded_and_compared(tmp_path):
    first, second = (
        profiler_node.log(pixels(20, 30, 3, seed=n), stream='image', stamps_ns=[n]) for n in (1, 2)
    )
    save(tmp_path / 'one.pb.zst', first)
    save(tmp_path / 'both.pb.zst', [first, second])
    assert load(tmp_path / 'one.pb.zst') == [first]
    loaded = load(tmp_path / 'both.pb.zst')
    assert loaded == [first, second]
    merged = loaded[0].merged(loaded[1])
    assert merged.features['image/red'].moments.count == 1200
    (tmp_path / 'both.pb.zst').write_bytes(b'junk')
    with pytest.raises(StoreError, match=r'both.pb.zst: no zstd frame'):
        load(tmp_path / 'both.pb.zst')


def test_the_same_data_has_the_same_identity_and_other_data_another(tmp_path):
    numbers = [{'x': float(n), 's': 'a'} for n in range(300)]
    first, again = (profiler_node.log(numbers, stream='s') for _ in range(2))
    others = [
        profiler_node.log([*numbers[1:], last], stream='s')
        for last in ({'x': 0.5, 's': 'a'}, {'x': 0.0, 's': 'b'}, {'x': float('nan'), 's': 'a'})
    ]
    assert first.identity == again.identity
    assert len({profile.identity for profile in (first, *others)}) == 4
    save(tmp_path / 'a.pb.zst', [first, again, *others])
    assert len(load(tmp_path / 'a.pb.zst')) == 4
    assert first.merged(*others).origin.profiles == 4


def test_a_file_that_cannot_be_written_whole_is_not_there(tmp_path):
    with pytest.raises(AttributeError):
        save(tmp_path / 'x.pb.zst', [profiler_node.log({'a': 1}, stream='s'), None])
    assert list(tmp_path.iterdir()) == []


def test_importing_the_package_loads_nothing_until_it_is_used():
    code = (
        'import sys, profiler_node\n'
        "heavy = {'cv2', 'numpy', 'datasketches', 'obstore'}\n"
        'assert not heavy & set(sys.modules), heavy & set(sys.modules)\n'
        'profiler_node.log\n'
        'assert heavy <= set(sys.modules)\n'
    )
    subprocess.run([sys.executable, '-c', code], check=True, cwd='/')
    assert not hasattr(profiler_node, 'nothing')


def test_the_examples_are_as_they_say():
    result = doctest.testmod(notebook)
    assert (result.failed, result.attempted > 5) == (0, True)
