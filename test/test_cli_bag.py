"""edge-profiler bag: recordings in, a summary and profiles in a store out."""

import os
import pty
import shutil
import subprocess
import sys

import pytest
from crafted import END, HEAD, bools, channel, chunk, ends_or_profiles, message, schema
from recorded import (
    FORMATS,
    FORMATS1,
    IMAGE,
    START_NS,
    STORE,
    any_bag,
    cut,
    messages,
    only_file,
    write,
)
from rosbags.rosbag2 import Writer

from profiler_node import cli, offline
from profiler_node.bags import Plan, profile_bag
from profiler_node.bridge.batch import object_key
from profiler_node.fleet.store import read_profiles

ITEMS = messages(4.0)
SECOND = 10**9


@pytest.fixture
def bag(tmp_path):
    return write(tmp_path / 'bag', ITEMS)


@pytest.fixture
def run(capsys):
    """Runs the command; returns its status, and what it printed to stdout and stderr."""

    def call(*arguments):
        try:
            status = cli.main(['bag', '--jobs', '1', *map(str, arguments)])
        except SystemExit as exit_:
            status = exit_.code
        return status, *capsys.readouterr()

    return call


def stored(store):
    """The profiles in a store, by identity."""
    return {profile.identity: profile for profile in read_profiles(str(store), pytest.fail)}


def exact(profiles):
    """All of profiles that does not depend on chance or on the machine."""
    return sorted(
        (
            *(p.source.stream, p.source.topic, p.source.message_type, p.window_start_ns),
            *(p.window_end_ns, p.counters.seen, p.counters.decoded),
            [
                (name, feature.count, feature.top(9))
                if feature.kind == 'categorical'
                else (name, feature.moments, feature.missing)
                for name, feature in p.features.items()
            ],
        )
        for p in profiles
    )


def test_every_format_gives_the_same_profiles(tmp_path, bag, run):
    expected = exact(profile_bag(bag))
    assert len(expected) == 2
    for kind in [*FORMATS, *FORMATS1]:
        other = any_bag(tmp_path / kind, ITEMS, kind)
        status, out, err = run(other, '--out', tmp_path / f'{kind}_store')
        assert (status, err) == (0, ''), kind
        assert '240 messages' in out
        assert exact(stored(tmp_path / f'{kind}_store').values()) == expected, kind


def test_the_summary_says_what_became_of_each_topic(bag, run):
    status, out, err = run(bag)
    assert (status, err) == (0, '')  # no progress bar where there is no terminal
    rows = {line.split()[0]: line.split()[1:] for line in out.splitlines() if line[:1] == '/'}
    assert rows['/camera'][:5] == ['sensor_msgs/msg/Image', '40', '40', '1', '3.9']
    assert rows['/imu'][:5] == ['sensor_msgs/msg/Imu', '200', '200', '1', '4.0']
    assert 'not kept: --out STORE keeps them' in out


def test_errors_are_told_by_reason(tmp_path, run):
    items = [*ITEMS[:10], ('/camera', START_NS + SECOND, b'\0\1\0\0broken')]
    status, out, _ = run(write(tmp_path / 'bag', items))
    assert status == 0
    (row,) = [line for line in out.splitlines() if line.startswith('/camera')]
    assert row.split()[2:4] == ['3', '2']
    assert row.rstrip().endswith('malformed 1')


@pytest.mark.parametrize('kind', ['mcap', 'mcap_zstd', 'ros1', 'ros1_lz4', 'sqlite'])
def test_a_damaged_recording_is_profiled_as_far_as_it_goes(tmp_path, run, kind):
    path = any_bag(tmp_path / 'bag', ITEMS, kind)
    path = path if path.is_file() else only_file(path)
    cut(path, path.stat().st_size * 2 // 3)
    status, out, err = run(path, '--out', tmp_path / 'store')
    assert status == 3
    (total,) = [line for line in out.splitlines() if 'recording(s)' in line]
    count = int(total.split()[2])
    assert 120 < count < 200
    assert err.count('\n') == 1
    assert f'read {count} messages, the last of 2023-11-14 22:14:0' in err
    expected = exact(profile_bag(write(tmp_path / 'part', ITEMS[:count])))
    if kind != 'sqlite':  # where pages between others may be missing
        assert exact(stored(tmp_path / 'store').values()) == expected


@pytest.mark.parametrize(
    ('arguments', 'status', 'message'),
    [
        (['/no/such/bag'], 1, '/no/such/bag: No such file or directory'),
        ([__file__], 1, 'is neither MCAP nor sqlite3 nor a ROS 1 bag'),
        (['{bag}', '--topic', '/camra'], 1, 'has no topic /camra'),
        (['{bag}', '--config', '/no/such.yaml'], 2, '/no/such.yaml'),
        (['{bag}', '--window', '0'], 2, 'length_s is 0.0'),
        (['{bag}', '--tag', 'firmware'], 2, 'must be key=value'),
        (['{bag}', '--start', '12'], 2, "'12' is neither +S nor an ISO time"),
        (['{bag}', '--jobs', '0'], 2, 'is not 1 or more'),
        (['{bag}', '--out', 'ftp://x'], 2, 'ftp://x'),
        ([], 2, 'required: BAG'),
    ],
)
def test_what_goes_wrong_is_said_and_has_a_status(bag, run, arguments, status, message):
    found, _, err = run(*(argument.format(bag=bag) for argument in arguments))
    assert found == status
    assert message in err


def test_a_recording_of_which_nothing_is_left_is_an_error(bag, run):
    cut(only_file(bag), 8)
    status, _, err = run(bag)
    assert status == 1
    assert 'it ends at byte 8, not closed' in err


def test_one_that_fails_does_not_stop_the_others(tmp_path, bag, run):
    status, out, err = run(tmp_path / 'none', bag)
    assert status == 1
    assert 'none: No such file' in err
    assert f'{bag}: 240 messages' in out


def test_recordings_without_metadata_are_told_apart(bag, run):
    (bag / 'metadata.yaml').unlink()
    status, _, err = run(bag)
    assert status == 3
    assert 'metadata.yaml is missing; read 240 messages' in err


def test_many_at_once_give_what_one_after_the_other_gives(tmp_path, run):
    bags = [
        write(tmp_path / f'bag{n}', messages(2.0, n * 90 * SECOND), kind)
        for n, kind in enumerate(('mcap', 'sqlite', 'mcap_zstd'))
    ]
    status, sequential, _ = run(*bags, '--out', tmp_path / 'a')
    assert status == 0
    status, parallel, err = run('--jobs', '2', *bags, '--out', tmp_path / 'b')
    assert (status, err) == (0, '')
    one, two = stored(tmp_path / 'a'), stored(tmp_path / 'b')
    assert len(one) == 6
    assert one.keys() == two.keys()
    assert exact(one.values()) == exact(two.values())

    def counts(text):
        return [line.split()[:5] for line in text.splitlines() if line.startswith('/c')]

    assert counts(sequential) == counts(parallel)


def test_a_repeated_run_adds_nothing_to_what_is_read(tmp_path, bag, run):
    for _ in range(2):
        assert run(bag, '--robot-id', 'r1', '--out', tmp_path / 'store')[0] == 0
    objects = sorted(p.relative_to(tmp_path / 'store') for p in tmp_path.glob('store/*/*/*'))
    assert len(objects) == 2
    alike = object_key('r1', 0)
    assert all(
        len(each.name) == len(alike.rpartition('/')[2]) and '/r1/' in str(each) for each in objects
    )
    profiles = list(read_profiles(str(tmp_path / 'store'), pytest.fail))
    assert exact(profiles) == exact(profile_bag(bag))


def test_two_recordings_that_share_a_window_are_both_kept(tmp_path, run):
    first = write(tmp_path / 'first', messages(2.0))
    second = write(tmp_path / 'second', messages(2.0, 10 * SECOND))
    for each in (first, second):
        assert run(each, '--topic', '/imu', '--out', tmp_path / 'store')[0] == 0
    profiles = stored(tmp_path / 'store').values()
    assert len({p.epoch for p in profiles}) == 2
    assert sum(p.counters.seen for p in profiles) == 200


def test_streams_are_those_of_the_live_node(tmp_path, bag, run):
    config = tmp_path / 'profiler.yaml'
    config.write_text(
        '/**: {ros__parameters: {robot_id: r1, tags: [firmware=1], window: {length_s: 2.0},'
        'streams: [front, gone], stream: {front: {topic: camera, kind: depth}}}}',
        encoding='utf-8',
    )
    given = ('--config', config, '--tag', 'site=a', '--epoch', '0', '--out', tmp_path / 'store')
    assert run(bag, *given)[0] == 0
    profiles = stored(tmp_path / 'store')
    assert sorted(identity[:5] for identity in profiles) == [
        ('r1', 'front', '', 0, START_NS),
        ('r1', 'front', '', 0, START_NS + 2 * SECOND),
    ]
    (profile, *_) = profiles.values()
    assert dict(profile.source.tags) == {'firmware': '1', 'site': 'a'}
    assert 'depth/range_m' in profile.features
    status, out, _ = run(bag, '--config', config, '--topic', 'gone=/imu')
    assert status == 0
    assert 'gone=/imu' in out
    assert '/camera' not in out


@pytest.mark.parametrize(
    'span',
    [
        ('--start', '+1', '--end', '+2.5'),
        ('--start', '2023-11-14T22:14:01Z', '--end', '2023-11-14T23:14:02.5+01:00'),
        ('--start', '2023-11-14T22:14:01', '--end', '+2.5'),
    ],
)
def test_a_part_is_chosen_by_times_of_receipt(tmp_path, bag, run, span):
    assert run(bag, *span, '--out', tmp_path / 'store')[0] == 0
    part = [item for item in ITEMS if SECOND <= item[1] - START_NS < 2.5 * SECOND]
    expected = exact(profile_bag(write(tmp_path / 'part', part)))
    assert exact(stored(tmp_path / 'store').values()) == expected


def test_a_terminal_sees_how_far_it_is(bag):
    ours, theirs = pty.openpty()
    done = subprocess.run(
        [sys.executable, '-m', 'profiler_node.cli', 'bag', str(bag)],
        cwd=bag,
        stdout=subprocess.PIPE,
        stderr=theirs,
        check=True,
        env={**os.environ, 'TERM': 'xterm', 'COLUMNS': '120'},
    )
    os.close(theirs)
    shown = os.read(ours, 2**16).decode()
    os.close(ours)
    assert 'profiling' in shown
    assert 'MB/s' in shown
    assert b'profiling' not in done.stdout


def test_an_error_that_nobody_thought_of_is_of_its_recording_alone(tmp_path, bag, monkeypatch):
    profile = offline._profile

    def fails(recording, *rest):
        if recording.path.name == 'odd':
            raise KeyError('odd')
        profile(recording, *rest)

    monkeypatch.setattr(offline, '_profile', fails)
    odd = write(tmp_path / 'odd', ITEMS[:10])
    paths = [odd, bag]
    outcomes = [offline.profile_one(n, p, Plan(), '', lambda *_: None) for n, p in enumerate(paths)]
    assert [outcome.error for outcome in outcomes] == ["KeyError: 'odd'", '']
    assert outcomes[1].messages == 240


def seen(store):
    """How many messages are in a store, by epoch."""
    found = {}
    for profile in stored(store).values():
        found[profile.epoch] = found.get(profile.epoch, 0) + profile.counters.seen
    return found


def mcap(path, *chunks):
    path.write_bytes(HEAD + b''.join(map(chunk, chunks)) + END)
    return path


def test_runs_in_simulated_time_are_kept_apart(tmp_path, run):
    """They begin alike, at 0: only what comes later differs, in a file of the same size."""
    value = [bytes([n % 2]) for n in range(3000)]
    same = [schema(1), channel(1, '/b')]
    for name, last in (('a', 0), ('b', 1)):
        messages = [message(1, n * 10**8, b'\0\1\0\0' + value[n]) for n in range(2999)]
        messages.append(message(1, 3 * 10**11, b'\0\1\0\0' + bytes([last])))
        bag = mcap(tmp_path / f'{name}.mcap', b''.join(same + messages))
        for _ in range(2):
            assert run(bag, '--out', tmp_path / 'store')[0] == 0
    assert list(seen(tmp_path / 'store').values()) == [3000, 3000]


@pytest.mark.parametrize(
    'other',
    [['--end', '+3'], ['--start', '+1'], ['--config', '{config}']],
)
def test_a_part_or_other_settings_do_not_replace_the_whole(tmp_path, bag, run, other):
    config = tmp_path / 'profiler.yaml'
    config.write_text('/**: {ros__parameters: {sketch: {kll_k: 400}}}', encoding='utf-8')
    other = [argument.format(config=config) for argument in other]
    store = ['--topic', '/imu', '--out', tmp_path / 'store']
    assert run(bag, *other, *store)[0] == 0
    (part,) = seen(tmp_path / 'store').values()
    for _ in range(2):
        assert run(bag, *store)[0] == 0
    assert sorted(seen(tmp_path / 'store').values()) == sorted([part, 200])


def test_a_repaired_recording_is_not_what_was_read_before(tmp_path, bag, run):
    broken = tmp_path / 'broken.mcap'
    broken.write_bytes(only_file(bag).read_bytes())
    cut(broken, broken.stat().st_size // 2)
    for path, status in ((broken, 3), (bag, 0)):
        assert run(path, '--topic', '/imu', '--out', tmp_path / 'store')[0] == status
    counts = seen(tmp_path / 'store').values()
    assert len(counts) == 2
    assert max(counts) == 200


def test_the_same_in_another_place_adds_nothing(tmp_path, bag, run):
    copied = shutil.copytree(bag, tmp_path / 'elsewhere')
    for path, *given in ((bag, '--topic', '/imu'), (copied,), (copied, '--tag', 'a=b')):
        assert run(path, *given, '--out', tmp_path / 'store')[0] == 0
    assert list(seen(tmp_path / 'store').values()) == [240]


def test_a_message_of_an_impossible_time_is_counted(tmp_path, run):
    far = message(1, 2**63 - 2) + message(1, 2**64 - 1)
    status, out, err = run(mcap(tmp_path / 'a.mcap', bools() + far), '--out', tmp_path / 'store')
    assert (status, err) == (0, '')
    assert 'time_out_of_range 2' in out
    (profile,) = stored(tmp_path / 'store').values()
    assert (profile.counters.seen, profile.counters.decoded) == (12, 10)


def test_two_streams_of_one_name_are_refused(bag, run):
    status, _, err = run(bag, '--topic', 'a=/imu', '--topic', 'a=/camera')
    assert status == 2
    assert '/imu and /camera would both be the stream a' in err


def test_topics_that_differ_in_a_slash_are_told_apart(tmp_path, run):
    content = bools('/b') + channel(2, 'b') + b''.join(message(2, n) for n in range(7))
    path = mcap(tmp_path / 'a.mcap', content)
    status, _, err = run(path)
    assert status == 1
    assert '/b and b would both be the stream b' in err
    for arguments, count in ((['--topic', 'b'], 7), (['--topic', '/b'], 10)):
        status, out, _ = run(path, *arguments)
        assert status == 0
        assert f'{count} messages' in out
    status, out, _ = run(path, '--topic', 'x=b', '--topic', 'y=/b')
    assert status == 0
    assert '17 messages' in out


def test_a_topic_is_read_as_the_node_reads_a_stream_of_its_name(tmp_path, run):
    bag = write_as(tmp_path / 'bag', '/depth')
    for given in ([], ['--topic', '/depth']):
        assert run(bag, *given, '--out', tmp_path / 'store')[0] == 0
    (profile,) = stored(tmp_path / 'store').values()
    assert 'depth/range_m' in profile.features


def write_as(folder, topic):
    """Write a recording with the camera's images on another topic."""
    with Writer(folder, version=9) as writer:
        connection = writer.add_connection(topic, IMAGE, typestore=STORE)
        for name, log_ns, data in ITEMS[:50]:
            if name == '/camera':
                writer.write(connection, log_ns, data)
    return folder


def test_a_process_that_is_ended_costs_its_own_recording_alone(tmp_path, monkeypatch):
    """A file that ends whatever process opens it: the others are read again without it."""
    monkeypatch.setattr(offline, '_profile_here', ends_or_profiles)
    paths = [write(tmp_path / f'good{n}', ITEMS[: 20 * (n + 1)]) for n in range(3)]
    paths.insert(1, tmp_path / 'deadly')
    outcomes = offline.profile_all(paths, Plan(), '', 2, lambda *_: None)
    assert [outcome.path for outcome in outcomes] == paths
    assert [outcome.messages for outcome in outcomes] == [20, 0, 40, 60]
    errors = [outcome.error for outcome in outcomes]
    assert errors == ['', 'a process was ended from outside: short of memory?', '', '']


def test_a_file_beside_recordings_is_named_and_skipped(tmp_path, bag, run):
    other = tmp_path / 'README.md'
    other.write_text('About the recordings', encoding='utf-8')
    status, out, err = run(bag, other)
    assert status == 3
    assert f'{bag}: 240 messages' in out
    assert 'README.md is neither' in err
    assert run(other)[0] == 1
    cut(only_file(bag), 8)  # a recording of which nothing is left is an error beside others too
    assert run(bag, write(tmp_path / 'good', ITEMS[:5]))[0] == 1
