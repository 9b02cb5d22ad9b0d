"""edge-profiler reference."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from recorded import cut, messages, only_file, write

from profiler_node import cli, reference_command
from profiler_node.bridge.batch import pack
from profiler_node.core.accumulators import NumericAccumulator
from profiler_node.core.config import SketchConfig
from profiler_node.core.profile import Counters, Profile, Source
from profiler_node.fleet.store import read_profiles
from profiler_node.wire.codec import encode

MINUTE = 60 * 10**9
START = 1_700_000_040 * 10**9


def make(minute, robot_id='r1', features=None):
    source = Source(robot_id, 'image', '/image', 'a/msg/B', {'firmware': '1'})
    start_ns = START + minute * MINUTE
    return Profile(
        source, 0, start_ns, start_ns + MINUTE, Counters(seen=1, decoded=1), features or {}
    )


@pytest.fixture
def store(tmp_path):
    """A store of two robots, each object in it twice."""
    (tmp_path / 'store').mkdir()
    for robot_id in ('r1', 'r2'):
        packed = pack([encode(make(minute, robot_id)) for minute in range(3)])
        for copy in '12':
            (tmp_path / 'store' / f'{robot_id}-{copy}.pb.zst').write_bytes(packed)
    return tmp_path / 'store'


@pytest.fixture
def images(tmp_path):
    """Five images, of which one is damaged."""
    (tmp_path / 'images').mkdir()
    for index in range(5):
        cv2.imwrite(str(tmp_path / 'images' / f'{index}.png'), np.full((4, 5, 3), index, np.uint8))
    (tmp_path / 'images' / '2.png').write_bytes(b'junk')
    return tmp_path / 'images'


@pytest.fixture
def run(tmp_path, capsys):
    """Runs the command; returns its status, the profiles in the file, and what was printed."""

    def call(*arguments):
        out = tmp_path / 'reference.pb.zst'
        try:
            status = cli.main(['reference', '--out', str(out), *map(str, arguments)])
        except SystemExit as exit_:
            status = exit_.code
        profiles = list(read_profiles(str(out), pytest.fail)) if out.exists() else []
        assert not list(tmp_path.glob('*.part'))
        return status, profiles, *capsys.readouterr()

    return call


def test_the_windows_of_a_store_are_kept_single_and_once(run, store):
    status, profiles, out, _ = run(store, store / 'r1-1.pb.zst')
    assert status == 0
    assert profiles == [make(minute, robot) for robot in ('r1', 'r2') for minute in range(3)]
    assert '6 profile(s) in ' in out
    row = ['r1', 'image', 'a/msg/B', '3', '60', 's', '3', '2023-11-14', '22:14:00']
    assert row == next(line.split() for line in out.splitlines() if line.startswith('r1'))[:9]


@pytest.mark.parametrize(
    ('chosen', 'count'),
    [
        (['--robot', 'r2'], 3),
        (['--stream', 'im*', '--tag', 'firmware=1', '--start', '2023-11-14T22:15'], 4),
        (['--end', '2023-11-14T22:15', '--robot', 'r1'], 1),
    ],
)
def test_what_goes_in_can_be_chosen(run, store, chosen, count):
    status, profiles, *_ = run(store, *chosen)
    assert (status, len(profiles)) == (0, count)


def test_a_recording_has_the_profiles_that_bag_makes_of_it(run, tmp_path):
    bag = write(tmp_path / 'bag', messages(4.0))
    cli.main(['bag', str(bag), '--jobs', '1', '--window', '1', '--out', str(tmp_path / 'store')])
    status, profiles, *_ = run(bag, '--window', '1')
    assert status == 0
    theirs = {p.identity: p for p in read_profiles(str(tmp_path / 'store'), pytest.fail)}
    assert {p.identity for p in profiles} == theirs.keys()
    assert {p.source.stream for p in profiles} == {'camera', 'imu'}
    for profile in profiles:
        assert profile.counters.decoded == theirs[profile.identity].counters.decoded
    status, again, *_ = run(bag, tmp_path / 'store', '--window', '1', '--robot-id', 'other')
    assert len(again) == 2 * len(profiles)


def test_the_settings_of_the_live_node_are_taken(run, tmp_path):
    bag = write(tmp_path / 'bag', messages(4.0))
    config = tmp_path / 'profiler.yaml'
    config.write_text(
        'profiler:\n  ros__parameters:\n    robot_id: r9\n    streams: [front]\n'
        '    stream: {front: {topic: /camera}}\n    tags: [site=a]\n'
    )
    status, profiles, *_ = run(bag, '--config', config)
    assert status == 0
    assert {(p.source.robot_id, p.source.stream) for p in profiles} == {('r9', 'front')}
    assert dict(profiles[0].source.tags) == {'site': 'a'}


def test_a_folder_of_images_is_a_stream(run, images):
    arguments = ('--images-per-window', '3', '--images-as', 'front')
    status, profiles, out, err = run(images, *arguments)
    assert status == 3
    assert err.count('\n') == 1
    assert '2.png: neither JPEG, PNG nor WebP' in err or '2.png: 4 bytes that are no image' in err
    assert [(p.source.robot_id, p.source.stream) for p in profiles] == [('images', 'front')] * 2
    assert [p.counters.decoded for p in profiles] == [2, 2]
    assert '1970-01-01 00:00:06' in out


def test_sources_of_all_kinds_go_into_one_file(run, store, images, tmp_path):
    (images / '2.png').unlink()
    bag = write(tmp_path / 'bag', messages(2.0))
    status, profiles, *_ = run(store, images, bag, '--robot-id', 'me')
    assert status == 0
    assert {p.source.robot_id for p in profiles} == {'r1', 'r2', 'me'}
    assert {p.source.stream for p in profiles} == {'image', 'camera', 'imu'}


def test_a_reference_may_be_extended(run, store):
    run(store, '--robot', 'r1')
    reference = store.parent / 'reference.pb.zst'
    status, profiles, *_ = run(reference, store / 'r2-1.pb.zst')
    assert (status, len(profiles)) == (0, 6)


def test_what_is_damaged_is_named_and_the_rest_is_kept(run, store, tmp_path):
    (store / 'r3.pb.zst').write_bytes(b'junk')
    bag = write(tmp_path / 'bag', messages(4.0))
    cut(only_file(bag), only_file(bag).stat().st_size // 2)
    status, profiles, _, err = run(store, bag)
    assert status == 3
    assert {p.source.stream for p in profiles} >= {'image', 'camera'}
    assert 'r3.pb.zst: no zstd frame' in err
    assert len(err.splitlines()) == 2


def test_each_path_that_gives_nothing_is_named_and_ends_nothing(run, store, tmp_path):
    (tmp_path / 'broken.mcap').write_bytes(b'junk')
    other = tmp_path / 'other.pb.zst'
    other.write_bytes(pack([encode(make(9, 'r9'))]))
    names = ('broken.mcap', 'none', 'other.pb.zst')
    paths = [tmp_path / name for name in names]
    status, profiles, _, err = run(*paths, store, '--robot', 'r[12]')
    assert (status, len(profiles)) == (3, 6)
    assert len(err.splitlines()) == 3
    assert [name for name in names if name in err] == list(names)
    status, profiles, *_ = run(*paths[:2], store / 'r1-1.pb.zst', store / 'r1-2.pb.zst')
    assert (status, len(profiles)) == (3, 3)


def test_what_is_in_another_path_already_is_no_problem(run, store):
    status, profiles, _, err = run(store / 'r1-1.pb.zst', store / 'r1-2.pb.zst')
    assert (status, len(profiles), err) == (0, 3, '')


def test_a_profile_that_the_format_does_not_hold_is_named(run, store, monkeypatch):
    huge = replace(make(9), counters=Counters(seen=2**64))
    monkeypatch.setattr(reference_command, 'profiles_at', lambda *_: iter([make(0), huge, make(1)]))
    status, profiles, _, err = run(store)
    assert (status, profiles) == (3, [make(0), make(1)])
    assert 'r1 image: left out: no edge_profiler.v1.Profile holds this' in err


def test_merged_profiles_are_said_to_be(run, store):
    merged = make(0).merged(make(1))
    (store / 'm.pb.zst').write_bytes(pack([encode(merged)]))
    assert '1 of them had been merged' in run(store)[2]


def test_a_large_reference_is_written_and_read_a_part_at_a_time(run, store):
    random = np.random.default_rng(1)
    many = [make(n, 'r3', {'a/x': make_feature(random)}) for n in range(600)]  # about 1.4 MB
    (store / 'many.pb.zst').write_bytes(pack([encode(profile) for profile in many]))
    assert len(run(store)[1]) == 606
    data = (store.parent / 'reference.pb.zst').read_bytes()
    assert data.count(b'\x28\xb5\x2f\xfd') > 1


def make_feature(random):
    accumulator = NumericAccumulator('scalar', SketchConfig())
    accumulator.add_many(random.normal(size=5000), np.arange(5000))
    return accumulator.finish()


@pytest.mark.parametrize(
    ('arguments', 'status', 'message'),
    [
        (['{}/none'], 1, 'none: no such file'),
        (['{}/store', '--robot', 'x'], 1, 'store: no such profiles'),
        (['{}/empty'], 1, 'empty has neither profiles nor images'),
        (['{}/empty/a.mcap'], 1, 'a.mcap'),
        (['{}/store', '--config', '{}/none.yaml'], 2, 'none.yaml'),
        (['{}/store', '--window', '0'], 2, 'length_s is 0'),
        (['{}/store', '--out', '{}/x.txt'], 2, 'is not the name of a file'),
        (['{}/store', '--images-per-window', '0'], 2, "'0' is not 1 or more"),
        (['{}/store', '--out', '{}/none/x.pb.zst'], 1, 'No such file'),
    ],
)
@pytest.mark.usefixtures('store')
def test_what_went_wrong_is_said(run, tmp_path, arguments, status, message):
    (tmp_path / 'empty').mkdir()
    if 'a.mcap' in arguments[0]:
        (tmp_path / 'empty' / 'a.mcap').write_bytes(b'junk')
    found, profiles, _, err = run(*(argument.format(tmp_path) for argument in arguments))
    assert (found, profiles) == (status, [])
    assert message in err
