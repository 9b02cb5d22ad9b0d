"""edge-profiler merge."""

import json
from dataclasses import replace

import pytest

from profiler_node import cli
from profiler_node.bridge.batch import pack
from profiler_node.core.profile import Counters, Profile, Source
from profiler_node.fleet.store import read_profiles
from profiler_node.wire.codec import encode

MINUTE = 60 * 10**9
START = 1_700_000_040 * 10**9  # 22:14


def make(minute, robot_id='r1', **tags):
    source = Source(robot_id, 'image', '/image', 'a/msg/B', tags)
    start_ns = START + minute * MINUTE
    return Profile(source, 0, start_ns, start_ns + MINUTE, Counters(seen=1), {})


@pytest.fixture
def stores(tmp_path):
    """Two stores that share some of their profiles, with a damaged object in one of them."""
    for name, minutes in (('a', range(60)), ('b', range(50, 90))):
        (tmp_path / name / 'd').mkdir(parents=True)
        for robot_id in ('r1', 'r2'):
            packed = pack([encode(make(minute, robot_id)) for minute in minutes])
            (tmp_path / name / 'd' / f'{robot_id}.pb.zst').write_bytes(packed)
    (tmp_path / 'b' / 'd' / 'damaged.pb.zst').write_bytes(b'junk')
    return tmp_path


def contents(folder):
    """How many windows and robots there are in each profile of a store."""
    found = read_profiles(str(folder), pytest.fail)
    return sorted((p.source.robot_id, p.origin.profiles, p.counters.seen) for p in found)


def test_stores_are_merged_without_what_is_in_both(stores, capsys):
    out = stores / 'out'
    arguments = ['merge', f'{stores}/a', f'file://{stores}/b', '--out', str(out)]
    assert cli.main([*arguments, '--by', 'robot,stream,1h', '--partial']) == 3
    said = capsys.readouterr()
    assert said.err.count('\n') == 1
    assert 'd/damaged.pb.zst: no zstd frame' in said.err
    assert '180 profile(s) merged into 4, in 1 object(s)' in said.out
    assert '20 more were repeated' in said.out
    assert contents(out) == [(robot, n, n) for robot in ('r1', 'r2') for n in (44, 46)]


def test_nothing_is_written_where_some_cannot_be_read(stores, capsys):
    """Else what is merged when it can be read again counts twice."""
    arguments = ['merge', f'{stores}/a', '--by', 'robot,1h', '--out', f'{stores}/out']
    damaged = stores / 'a' / 'd' / 'r2.pb.zst'
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:50])
    assert cli.main(arguments) == 1
    error = capsys.readouterr().err
    assert 'd/r2.pb.zst: ' in error
    assert '1 object(s) or profile(s) could not be read: nothing is merged; --partial' in error
    assert not list((stores / 'out').rglob('*.pb.zst'))
    damaged.write_bytes(whole)
    assert cli.main(arguments) == 0
    assert sum(seen for *_, seen in contents(stores / 'out')) == 120


def test_profiles_that_no_format_holds_when_merged_are_named(stores, capsys):
    (stores / 'c').mkdir()
    first, second, third = (replace(make(n), counters=Counters(seen=2**63)) for n in range(3))
    early = replace(third, window_start_ns=-(2**63), window_end_ns=-(2**63) + 1)
    packed = pack([encode(profile) for profile in (first, second, early)])
    (stores / 'c' / 'a.pb.zst').write_bytes(packed)
    paths = [f'{stores}/c', f'{stores}/a']
    assert cli.main(['merge', *paths, '--by', 'robot,1h', '--out', f'{stores}/out']) == 3
    error = capsys.readouterr().err
    assert error.count('left out: no edge_profiler.v1.Profile holds this') == 2
    assert sum(windows for _, windows, _ in contents(stores / 'out')) == 119


def test_merging_twice_into_one_store_adds_nothing(stores):
    arguments = ['merge', f'{stores}/a', '--by', 'robot,1h', '--out', f'{stores}/out']
    assert cli.main(arguments) == 0
    once = contents(stores / 'out')
    assert cli.main(arguments) == 0
    assert len(list((stores / 'out').rglob('*.pb.zst'))) == 2
    assert contents(stores / 'out') == once


def test_what_was_merged_is_merged_again_and_shown(stores, capsys):
    cli.main(['merge', f'{stores}/a', '--by', 'robot,1h', '--out', f'{stores}/hours'])
    arguments = ['merge', f'{stores}/hours', '--out', f'{stores}/days', '--by', '1day']
    assert cli.main(arguments) == 0
    assert contents(stores / 'days') == [('*', 120, 120)]
    capsys.readouterr()
    assert cli.main(['show', f'{stores}/days']) == 0
    title = '120 windows of 2 robots, 2023-11-14 00:00:00 to 2023-11-15 00:00:00 UTC'
    assert title in capsys.readouterr().out
    cli.main(['show', f'{stores}/days', '--json'])
    (shown,) = json.loads(capsys.readouterr().out)
    assert shown['merged_from'] == {
        'profiles': 120,
        'robots': 2,
        'start_ns': START,
        'end_ns': START + 60 * MINUTE,
    }


def test_what_is_merged_can_be_chosen(stores):
    chosen = ['--robot', 'r[1]', '--end', '2023-11-14T22:19']
    assert cli.main(['merge', f'{stores}/a', '--out', f'{stores}/out', *chosen]) == 0
    assert contents(stores / 'out') == [('r1', 5, 5)]


@pytest.mark.parametrize('out', ['a', 'a/d', '.', 'a/../a/'])
def test_a_store_is_not_merged_into_itself(stores, out, capsys):
    assert cli.main(['merge', f'{stores}/a', '--out', f'{stores}/{out}']) == 2
    assert 'is in, or around' in capsys.readouterr().err
    assert len(list((stores / 'a').rglob('*.pb.zst'))) == 2


@pytest.mark.parametrize(
    ('arguments', 'status', 'message'),
    [
        (['{}/none', '--out', '{}/out'], 1, 'none: no such file'),
        (['{}/a', '--out', '{}/out', '--robot', 'x'], 1, 'a: no such profiles'),
        (['{}/a', '--out', 'ftp://x/y'], 2, "store URL 'ftp://x/y'"),
        (['s3://bucket/a', '--out', 's3://bucket/a/b'], 2, 'is in, or around'),
        (['{}/a', '--out', '{}/a/d/r1.pb.zst/x'], 2, 'is in, or around'),
        (['{}/a/d/r1.pb.zst', '--out', '{}/b/d/r1.pb.zst'], 2, 'r1.pb.zst'),
    ],
)
def test_what_went_wrong_is_one_line(stores, capsys, arguments, status, message):
    assert cli.main(['merge', *(argument.format(stores) for argument in arguments)]) == status
    error = capsys.readouterr().err
    assert message in error
    assert error.count('\n') == 1


def test_what_cannot_be_kept_apart_is_a_usage_error(stores, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(['merge', f'{stores}/a', '--out', f'{stores}/out', '--by', 'colour'])
    assert caught.value.code == 2
    assert "'colour' is none of robot" in capsys.readouterr().err
