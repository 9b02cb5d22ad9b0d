"""The command line, on profiles of generated images."""

import io
import json
import subprocess
import sys

import numpy as np
import pytest
from rich.console import Console

from profiler_node import cli
from profiler_node.bridge.batch import pack
from profiler_node.core.config import SketchConfig, WindowConfig
from profiler_node.core.profile import Counters, Profile, Source
from profiler_node.core.stream import Stream
from profiler_node.fleet.show import _digits, show_tables
from profiler_node.fleet.store import read_profiles
from profiler_node.notebook import log, save
from profiler_node.wire.codec import encode

SECOND = 10**9
START = 1_700_000_040 * SECOND


@pytest.fixture
def store(tmp_path, image):
    """Two windows of a stream `front` and one of `[b]rear`, in one object."""
    random = np.random.default_rng(5)
    profiles = []
    for name, seconds in (('front', (0, 20, 70)), ('[b]rear', (0,))):
        source = Source('r[1]', name, f'/{name}', 'sensor_msgs/msg/Image', {'firmware': '1.4'})
        stream = Stream(source, WindowConfig(), SketchConfig())
        for second in seconds:
            pixels = random.integers(0, 256, (20, 30), dtype=np.uint8)
            stamp_ns = START + second * SECOND
            profiles += stream.update(image(pixels, 'mono8', stamp_ns), stamp_ns)
        profiles += stream.windows.close()
    (tmp_path / 'a.pb.zst').write_bytes(pack([encode(profile) for profile in profiles]))
    return tmp_path


def test_json_has_every_profile_with_its_statistics(store, capsys):
    assert cli.main(['show', str(store), '--json']) == 0
    profiles = json.loads(capsys.readouterr().out)
    assert [(p['stream'], p['counters']['decoded']) for p in profiles] == [
        ('front', 2),
        ('front', 1),
        ('[b]rear', 1),
    ]
    first = profiles[0]
    assert first['tags'] == {'firmware': '1.4'}
    assert first['window_end_ns'] - first['window_start_ns'] == 60 * SECOND
    gray = first['features']['image/gray']
    assert (gray['kind'], gray['count'], gray['missing']) == ('elements', 1200, 0)
    assert list(gray['quantiles']) == ['0.01', '0.05', '0.25', '0.5', '0.75', '0.95', '0.99']
    assert gray['min'] <= gray['quantiles']['0.5'] <= gray['max']
    assert gray['min_stamp_ns'] in {START, START + 20 * SECOND}
    encoding = first['features']['image/encoding']
    assert (encoding['top'], encoding['distinct']) == ([['mono8', 2]], 1)
    assert first['features']['message/interval_s']['unit'] == 's'


def test_stream_and_feature_narrow_the_output(store, capsys):
    arguments = ['show', str(store), '--json', '--stream', 'front', '--feature', 'image/gray_mean']
    assert cli.main(arguments) == 0
    profiles = json.loads(capsys.readouterr().out)
    assert [list(p['features']) for p in profiles] == [['image/gray_mean']] * 2


def test_the_table_merges_the_windows_of_a_stream(store, capsys):
    assert cli.main(['show', str(store)]) == 0
    out = capsys.readouterr().out
    assert 'front  sensor_msgs/msg/Image on /front  robot r[1]  firmware=1.4' in out
    span = '2023-11-14 22:14:00 to 2023-11-14 22:16:00 UTC'
    assert f'2 windows, {span}; 3 of 3 messages decoded' in out
    (row,) = [line for line in out.splitlines() if line.startswith('image/gray_mean')][1:]
    assert row.split()[1] == '3'
    assert '[b]rear' in out


def test_a_feature_is_shown_window_by_window(store, capsys):
    assert cli.main(['show', str(store), '--stream', 'front', '--feature', 'image/gray']) == 0
    rows = [line.split()[:3] for line in capsys.readouterr().out.splitlines()]
    assert ['2023-11-14', '22:14:00', '1200'] in rows
    assert ['2023-11-14', '22:15:00', '600'] in rows


@pytest.mark.parametrize('width', [80, 100, 120])
def test_names_and_numbers_are_whole_on_a_terminal_of_any_width(store, width):
    console = Console(width=width, file=io.StringIO(), markup=False, highlight=False)
    show_tables(list(read_profiles(str(store), pytest.fail)), '', console)
    out = console.file.getvalue()
    assert '…' not in out
    rows = [line.split() for line in out.splitlines() if line.startswith('message/size_bytes')]
    assert [row[1] for row in rows] == ['1', '3']
    assert len({len(row) for row in rows}) == 1


def test_what_a_robot_says_does_not_steer_the_terminal(tmp_path, capsys):
    source = Source('r', 'a\x1b[31m', '/a\n', 'sensor_msgs/msg/Image')
    profile = Profile(source, 0, 0, 500_000_000, Counters(), {})
    (tmp_path / 'a.pb.zst').write_bytes(pack([encode(profile)]))
    assert cli.main(['show', str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert '\x1b' not in out
    assert 'a\\x1b[31m' in out
    assert '1970-01-01 00:00:00 to 1970-01-01 00:00:00.5 UTC' in out


def test_json_has_null_where_there_is_no_number(tmp_path, image, capsys):
    stream = Stream(Source('r', 's', '/s', 'sensor_msgs/msg/Image'), WindowConfig(), SketchConfig())
    stream.update(image(np.full((4, 4, 3), 9, np.uint8), 'rgb8', START), START)
    (profile,) = stream.windows.close()
    (tmp_path / 'a.pb.zst').write_bytes(pack([encode(profile)]))
    assert cli.main(['show', str(tmp_path), '--json', '--feature', 'image/hue_deg']) == 0
    hue = json.loads(capsys.readouterr().out)[0]['features']['image/hue_deg']
    assert (hue['count'], hue['missing'], hue['mean'], hue['unit']) == (0, 1, None, 'deg')
    assert set(hue['quantiles'].values()) == {None}


@pytest.mark.parametrize('number', [99_999.7, 100_000.0, 123_456_789.0, 0.1234567, -0.0, 12.5])
def test_numbers_have_five_digits_or_all_before_the_point(number):
    text = _digits(number)
    assert 'e' not in text
    assert float(text) == pytest.approx(number, rel=1e-4)
    assert text != '-0'


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['/no/such/store'], '/no/such/store: no such file'),
        (['{store}', '--stream', 'side'], '{store}: no such profiles'),
        (['{store}/a.pb.zst.cut'], 'cut off: the last zstd frame'),
    ],
)
def test_what_went_wrong_is_one_line(store, capsys, arguments, message):
    (store / 'a.pb.zst.cut').write_bytes((store / 'a.pb.zst').read_bytes()[:50])
    given = [argument.format(store=store) for argument in arguments]
    assert cli.main(['show', *given]) == 1
    error = capsys.readouterr().err
    assert message.format(store=store) in error
    assert error.count('\n') == 1


def test_a_closed_pipe_ends_the_command_quietly(store):
    command = f'{sys.executable} -m profiler_node.cli show {store} --json | head -1'
    done = subprocess.run(  # noqa: S602
        command, shell=True, cwd=store, capture_output=True, text=True, check=True
    )
    assert done.stdout == '[\n'
    assert done.stderr == ''


def test_of_data_that_came_from_no_topic_none_is_shown(tmp_path, capsys):
    save(tmp_path / 'a.pb.zst', log({'x': 1.0}, stream='s', robot_id='me'))
    assert cli.main(['show', str(tmp_path / 'a.pb.zst')]) == 0
    title = capsys.readouterr().out.splitlines()[:2]
    assert title[0] == 's  robot me'
    assert title[1].endswith('1 of 1 messages decoded')
