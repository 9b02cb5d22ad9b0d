"""Damaged and unfinished recordings are read as far as they go, and after the damage."""

import re
import sqlite3
import struct
from collections import Counter
from contextlib import closing

import pytest
from recorded import (
    FORMATS,
    FORMATS1,
    MCAP_CHUNK,
    add_checksums,
    any_bag,
    cut,
    flip,
    is_part,
    messages,
    only_file,
    overwrite,
    write,
    write1,
)

from profiler_node.bags import Pass, Plan
from profiler_node.recordings.message import RecordingError
from profiler_node.recordings.recording import Recording

ITEMS = messages(4.0)
ROS1_CHUNK = re.compile(rb'op=\x05')


def read(path):
    """Topic and time of the messages, their content, and what is wrong with the recording."""
    with Recording(path) as recording:
        topics = {topic.name for topic in recording.topics()}
        found = [(m.topic.name, m.log_ns, bytes(m.data)) for m in recording.messages()]
        assert {item[0] for item in found} <= topics
        return found, recording.problems


def file_of(bag):
    return bag if bag.is_file() else only_file(bag)


def heads(items):
    return [item[:2] for item in items]


@pytest.fixture
def whole(tmp_path):
    """Makes a whole recording, and returns its file and its messages."""

    def make(kind):
        path = file_of(any_bag(tmp_path / 'bag', ITEMS, kind))
        if kind in {'mcap', 'mcap_zstd'}:
            add_checksums(path)
        items, problems = read(path)
        assert problems == []
        assert heads(items) == heads(ITEMS)
        return path, items

    return make


@pytest.mark.parametrize('share', [0.15, 0.4, 0.6, 0.85, 0.97])
@pytest.mark.parametrize(
    ('kind', 'block'),  # what of a recording may be missing before the cut
    [
        ('mcap', 0.03),
        ('mcap_lz4', 0.1),
        ('mcap_zstd', 0.1),
        ('ros1', 0.03),
        ('ros1_lz4', 0.1),
        ('ros1_bz2', 0.6),
    ],
)
def test_a_recording_that_was_cut_off_is_read_up_to_there(whole, kind, block, share):
    path, items = whole(kind)
    size = int(path.stat().st_size * share)
    cut(path, size)
    found, problems = read(path)
    assert found == items[: len(found)]
    assert len(found) >= (share - block) * len(items)
    assert problems == [f'it ends at byte {size}, not closed']


@pytest.mark.parametrize('share', [0.15, 0.4, 0.6, 0.85, 0.97, 0.999])
def test_a_database_that_was_cut_off_is_read_up_to_there(whole, share):
    path, items = whole('sqlite')
    cut(path, int(path.stat().st_size * share))
    found, problems = read(path)
    check_rows(found, items)
    assert len(found) >= (share - 0.1) * len(items)
    assert 'damaged after row' in problems[0]


def test_a_file_packed_as_a_whole_is_read_up_to_the_cut(tmp_path):
    for kind in ('mcap_file', 'sqlite_file'):
        bag = write(tmp_path / kind, ITEMS, kind)
        cut(only_file(bag), only_file(bag).stat().st_size * 3 // 4)
        found, problems = read(bag)
        assert is_part(found, ITEMS)
        assert len(found) > len(ITEMS) / 2
        assert problems


@pytest.mark.parametrize('kind', ['mcap', 'mcap_lz4', 'mcap_zstd', 'ros1_lz4', 'ros1_bz2'])
def test_a_chunk_that_is_damaged_inside_is_left_out_and_the_others_are_read(whole, kind):
    path, items = whole(kind)
    first = starts(path, kind)[0]
    if kind in {'mcap', 'mcap_zstd'}:
        flip(path, first + 5_000)
    elif kind == 'mcap_lz4':  # no checksum: where the compressed data begins
        overwrite(path, first + 52, bytes(8))
    else:
        overwrite(path, path.read_bytes().index(b'size=', first - 40) + 13, bytes(8))
    found, problems = read(path)
    assert is_part(found, items)
    assert 0 < len(found) < len(items)
    assert found[-1] == items[-1]
    assert re.match(r'the chunk at byte \d+ is damaged', problems[0])


def check_rows(found, items):
    """One message may have zeros in it: there are no checksums in sqlite3."""
    assert is_part(heads(found), heads(items))
    contents = {item[:2]: item[2] for item in items}
    assert sum(contents[item[:2]] != item[2] for item in found) <= 1


def starts(path, kind):
    """Where the chunks of a file begin."""
    pattern = ROS1_CHUNK if 'ros1' in kind else MCAP_CHUNK
    found = [match.start() for match in pattern.finditer(path.read_bytes())]
    assert len(found) > 1
    return found


@pytest.mark.parametrize('kind', ['mcap', 'mcap_lz4', 'mcap_zstd', 'ros1', 'ros1_lz4'])
def test_after_lost_bytes_the_next_chunk_is_found(whole, kind):
    """A block of the disk is gone, and with it where the chunk in it ends."""
    path, items = whole(kind)
    first = starts(path, kind)[0]
    overwrite(path, max(first - 30, 20), bytes(600))
    found, problems = read(path)
    assert is_part(found, items)
    assert 0 < len(found) < len(items)
    assert found[-1] == items[-1]
    assert re.match(r'damaged at byte \d+, goes on at byte \d+', problems[0])


@pytest.mark.parametrize('kind', ['mcap', 'mcap_zstd'])
def test_a_damaged_index_is_said_and_not_needed(whole, kind):
    path, items = whole(kind)
    flip(path, path.stat().st_size - 120)
    assert read(path) == (items, ['its index is damaged, all messages before it are read'])


def test_an_mcap_file_without_an_index_is_whole(whole):
    path, items = whole('mcap')
    data = path.read_bytes()
    (index,) = struct.unpack_from('<Q', data, len(data) - 28)
    footer = struct.pack('<BQQQI', 2, 20, 0, 0, 0) + data[-8:]
    path.write_bytes(data[:index] + footer)
    assert read(path) == (items, [])


@pytest.mark.parametrize('kind', ['ros1', 'ros1_lz4'])
def test_a_ros1_bag_that_was_not_closed_is_read(whole, kind):
    """As rosbag record leaves it: no index, and a last chunk that says to be empty."""
    path, items = whole(kind)
    data = bytearray(path.read_bytes())
    place = data.index(b'index_pos=') + len(b'index_pos=')
    (index,) = struct.unpack_from('<Q', data, place)
    data[place : place + 8] = bytes(8)
    path.write_bytes(data)
    assert read(path) == (items, [f'it ends at byte {len(data)}, not closed'])
    last = [m.start() for m in ROS1_CHUNK.finditer(data)][-1]
    size_place = data.index(b'size=', last - 40) + len(b'size=')
    (length,) = struct.unpack_from('<I', data, size_place + 4)
    data[size_place : size_place + 8] = bytes(8)
    path.write_bytes(data[: size_place + 8 + length])
    found, (problem,) = read(path)
    assert found == items
    assert 'not closed' in problem
    assert index > size_place + 8 + length


@pytest.mark.parametrize('share', [0.3, 0.6, 0.9])
def test_after_a_damaged_page_the_rows_behind_it_are_read(whole, share):
    path, items = whole('sqlite')
    page = int(path.stat().st_size * share) // 4096
    overwrite(path, page * 4096, bytes(2 * 4096))
    found, problems = read(path)
    check_rows(found, items)
    assert len(items) - 40 < len(found) < len(items)
    assert found[-1] == items[-1]
    assert re.search(r'damaged after row \d+ .*goes on at row \d+', problems[0])


def test_a_database_without_its_index_is_whole(whole):
    path, items = whole('sqlite')
    with closing(sqlite3.connect(path)) as database, database:
        database.execute('DROP INDEX timestamp_idx')
    assert read(path) == (items, [])


def test_a_database_whose_first_page_is_gone_is_refused(whole):
    path, _ = whole('sqlite')
    overwrite(path, 16, bytes(4080))
    with pytest.raises(RecordingError, match='no topics can be read'):
        read(path)


SEALED = {'mcap', 'mcap_zstd', 'mcap_messages', 'ros1_bz2'}  # by checksums
WRONG = [
    lambda data: bytes([data[0] ^ 0xFF]) + data[1:],
    lambda _: struct.pack('<Q', 2**63 + 5),
    lambda data: struct.pack('<I', 2**32 - 1) + data[4:],
    lambda data: struct.pack('<I', 2**31) + data[4:],
    lambda _: bytes(8),
]


@pytest.mark.parametrize('kind', [*FORMATS, *FORMATS1])
def test_anything_may_be_wrong_anywhere(tmp_path, kind):
    """Whatever is hit, it ends, what is read was written, in order, and is profiled or told of."""
    items = messages(0.5, pixels=500)
    path = file_of(any_bag(tmp_path / kind, items, kind))
    if kind in {'mcap', 'mcap_zstd', 'mcap_messages'}:
        add_checksums(path)
    written = [item[1:] for item in read(path)[0]]
    data = path.read_bytes()
    counts = Counter()
    evenly = range(0, len(data) - 8, max(1, len(data) // 50))
    cases = [(place, WRONG[n % len(WRONG)]) for n, place in enumerate(evenly)]
    lengths = [found.start() + 1 for found in MCAP_CHUNK.finditer(data)][-1:]
    lengths += [len(data) - 28, len(data) - 20]  # of the index of MCAP
    lengths += [found.end() for found in ROS1_CHUNK.finditer(data)][-1:]
    cases += [(place, wrong) for place in lengths for wrong in WRONG]
    for place, wrong in cases:
        path.write_bytes(data[:place] + wrong(data[place : place + 8]) + data[place + 8 :])
        try:
            with Recording(path) as recording:
                recording.topics()
                found = [(m.log_ns, bytes(m.data)) for m in recording.messages()]
                profiles = list(Pass(recording, Plan()).profiles())
        except RecordingError:
            counts['refused'] += 1
            continue
        as_written = [item for item in found if item in written]
        assert is_part(as_written, written), place
        if kind in SEALED:
            assert as_written == found, place
        elif 'lz4' not in kind and 'file' not in kind:
            assert len(found) - len(as_written) <= 2, place
        seen = sum(profile.counters.seen for profile in profiles)
        assert seen == len(found) or recording.problems, place
        counts['whole' if found == written else 'part'] += 1
    assert counts['whole'] + counts['part'] > 20


def test_what_is_still_being_written_is_read_as_far_as_it_goes(tmp_path):
    bag = write1(tmp_path / 'a.bag', ITEMS)
    data = bag.read_bytes()
    active = tmp_path / 'b.bag.active'
    counts = []
    for size in (len(data) // 3, len(data) // 2, len(data) - 1000):
        active.write_bytes(data[:size])
        counts.append(len(read(active)[0]))
    assert counts == sorted(counts)
    assert counts[0] > len(ITEMS) / 4
