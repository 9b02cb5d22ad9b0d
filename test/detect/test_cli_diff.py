"""edge-profiler diff, of two stores."""

import json

import numpy as np
import pytest

from profiler_node import cli
from profiler_node.bridge.batch import pack
from profiler_node.wire.codec import encode

INCIDENT = {
    *('cause', 'evidence', 'severity', 'streams', 'robots', 'tags', 'features'),
    *('first_window_start_ns', 'last_window_start_ns', 'stamps_ns'),
}
FEATURE = {'name', 'score', 'threshold', 'reference', 'current'}


@pytest.fixture(scope='module')
def stores(profile_at, tmp_path_factory):
    """A reference of 20 minutes, and stores of three more: good, swapped on one of two robots."""
    folder = tmp_path_factory.mktemp('stores')

    def swapped(image, _):
        return image[..., ::-1]

    def write(name, profiles):
        (folder / name).mkdir()
        packed = pack([encode(profile) for profile in profiles])
        (folder / name / 'a.pb.zst').write_bytes(packed)

    write('reference', [profile_at('camera', minute) for minute in range(20)])
    good = [profile_at('camera', m, tags={'firmware': '1'}) for m in (30, 31, 32)]
    write('good', good)
    bad = [
        profile_at('camera', m, swapped, robot_id='r2', tags={'firmware': '2'}) for m in (31, 32)
    ]
    write('swapped', good + bad)
    write('few', [profile_at('camera', 40, count=2)])
    return folder


@pytest.fixture
def run(stores, capsys):
    """Runs the command; returns its status and what was printed."""

    def call(reference, current, *arguments):
        paths = [str(stores / reference), str(stores / current)]
        try:
            status = cli.main(['diff', *paths, *map(str, arguments)])
        except SystemExit as exit_:
            status = exit_.code
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return call


def test_json_names_the_cause_the_robot_and_the_tag(run):
    status, out, _ = run('reference', 'swapped', '--json')
    result = json.loads(out)
    assert status == 0
    assert result.keys() == {'verdict', 'incidents'}
    (incident,) = result['incidents']
    assert incident.keys() == INCIDENT
    assert all(feature.keys() == FEATURE for feature in incident['features'])
    assert incident['features']
    assert (result['verdict'], incident['cause']) == ('alert', 'channels_swapped')
    assert (incident['robots'], incident['streams']) == (['r2'], ['camera'])
    assert incident['tags'] == {'firmware': '2'}
    start = 1_700_000_040 * 10**9
    assert incident['first_window_start_ns'] == start + 31 * 60 * 10**9
    assert incident['last_window_start_ns'] == start + 32 * 60 * 10**9


@pytest.mark.parametrize(
    ('current', 'arguments', 'status', 'verdict'),
    [
        ('good', ['--fail-on', 'warn'], 0, 'ok'),
        ('swapped', [], 0, 'alert'),
        ('swapped', ['--fail-on', 'warn'], 11, 'alert'),
        ('swapped', ['--fail-on', 'alert'], 11, 'alert'),
        ('swapped', ['--fail-on', 'alert', '--robot', 'r1'], 0, 'ok'),
        ('few', [], 0, 'too_few'),
        ('few', ['--fail-on', 'alert'], 12, 'too_few'),
    ],
)
def test_the_status_is_as_asked_for(run, current, arguments, status, verdict):
    found, out, _ = run('reference', current, *arguments, '--json')
    assert (found, json.loads(out)['verdict']) == (status, verdict)


def test_a_stream_that_is_gone_is_a_warning(run, stores, profile_at):
    (stores / 'more').mkdir(exist_ok=True)
    profiles = [profile_at(stream, m) for stream in ('camera', 'depth') for m in range(5)]
    (stores / 'more' / 'a.pb.zst').write_bytes(pack([encode(p) for p in profiles]))
    status, out, _ = run('more', 'good', '--fail-on', 'warn')
    assert status == 10
    assert 'rate_changed in depth' in out
    status, out, _ = run('more', 'good', '--fail-on', 'warn', '--stream', 'camera')
    assert status == 0


def test_the_text_begins_with_the_verdict(run):
    _, out, _ = run('reference', 'swapped')
    lines = out.splitlines()
    assert lines[0] == 'alert: 1 incident(s); windows: 2 alert, 3 ok'
    assert 'channels_swapped in camera; robot r2' in out
    assert 'red is blue and blue is red of the reference' in out
    assert 'firmware=2 has 1 of 1 affected robot(s) and 0 of 1 other(s)' in out
    _, out, _ = run('reference', 'good')
    assert out.startswith('ok: 0 incident(s); windows: 3 ok')
    assert 'nearest to an alarm' in out


def test_limits_need_no_reference(run, tmp_path):
    limits = tmp_path / 'limits.yaml'
    limits.write_text('image/brightness: {mean: [20, 50]}\n', encoding='utf-8')
    status, out, _ = run('few', 'good', '--limits', limits, '--json', '--fail-on', 'alert')
    (incident,) = json.loads(out)['incidents']
    assert (status, incident['cause']) == (11, 'drift')
    assert 'the limits are 20 to 50 (3 window(s))' in incident['evidence']
    limits.write_text('image/brightness: {mean: 3}\n', encoding='utf-8')
    status, _, err = run('reference', 'good', '--limits', limits)
    assert status == 2
    assert f'{limits}: image/brightness: mean: 3 is not [low, high]' in err


@pytest.mark.parametrize('value', ['0', '-1', 'x', 'nan', 'inf'])
def test_a_false_alarm_rate_is_a_positive_number(run, value):
    status, _, err = run('reference', 'good', f'--false-alarms={value}')
    assert status == 2
    assert 'is not a number > 0' in err


def test_what_cannot_be_read_is_an_error(run):
    status, _, err = run('nowhere', 'good')
    assert status == 1
    assert 'no such file' in err
    status, _, err = run('reference', 'good', '--stream', 'x*')
    assert status == 1
    assert 'no such profiles' in err


def test_the_rest_is_compared_where_an_object_is_damaged(run, stores, profile_at):
    (stores / 'half').mkdir(exist_ok=True)
    whole = pack([encode(profile_at('camera', 33))])
    (stores / 'half' / 'a.pb.zst').write_bytes(whole)
    (stores / 'half' / 'b.pb.zst').write_bytes(whole[: len(whole) // 2])
    status, out, err = run('reference', 'half')
    assert status == 3
    assert out.startswith('ok')
    assert 'b.pb.zst' in err


def test_a_recording_is_compared_with_itself(recording, capsys):
    folder = str(recording('scan_hokuyo_2010'))
    assert cli.main(['diff', folder, folder, '--window', '1', '--fail-on', 'warn']) == 0
    assert capsys.readouterr().out.startswith('ok')


def test_all_numbers_are_json(run):
    _, out, _ = run('reference', 'swapped', '--json')
    for incident in json.loads(out)['incidents']:
        for feature in incident['features']:
            assert all(np.isfinite(feature[key]) for key in FEATURE - {'name'})
