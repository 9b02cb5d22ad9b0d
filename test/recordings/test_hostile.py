"""Whatever is in a file, its other messages are read, and what is lost is said."""

import bz2
import itertools
import struct
import tracemalloc

import lz4.frame
import pytest
import yaml
import zstandard
from crafted import (
    BOOL,
    BOOLS1,
    END,
    HEAD,
    HEAD1,
    SECOND,
    bools,
    channel,
    chunk,
    chunk1,
    connection1,
    database,
    message,
    message1,
    record1,
    schema,
)
from recorded import any_bag, messages

from profiler_node.bags import profile_bag
from profiler_node.recordings import compression, rosbag1
from profiler_node.recordings import recording as recording_module
from profiler_node.recordings.message import Message, Topic
from profiler_node.recordings.recording import Recording, _in_order

ITEMS = messages(4.0)


def read(path, **given):
    """Topic, time and content of the messages, and what is wrong."""
    with Recording(path) as recording:
        recording.topics()
        items = [(m.topic.name, m.log_ns, bytes(m.data)) for m in recording.messages(**given)]
        return items, recording.problems


@pytest.mark.parametrize('kind', ['mcap', 'mcap_zstd', 'mcap_lz4', 'sqlite', 'ros1', 'ros1_bz2'])
def test_a_small_message_does_not_keep_the_large_ones_of_its_chunk(tmp_path, kind):
    with Recording(any_bag(tmp_path / 'bag', ITEMS, kind)) as recording:
        kept = [message.data for message in recording.messages({'/imu'})]
    assert len(kept) == 200
    assert all(len(data.obj) <= 2 * len(data) for data in kept)


def test_messages_without_content_take_memory_too():
    topic = Topic('/b', 'std_msgs/msg/Empty', 'cdr', '', '')
    made = 0

    def endless():
        nonlocal made
        while made < 200_000:
            made += 1
            yield Message(topic, made, memoryview(b''))

    assert next(_in_order(endless())).log_ns == 1
    assert made < 50_000


@pytest.mark.parametrize('length', [2**63 + 5, 2**64 - 1, 2**44, 2**37])
def test_a_chunk_of_impossible_length_is_read_as_far_as_there_is_a_file(tmp_path, length):
    path = tmp_path / 'a.mcap'
    path.write_bytes(HEAD + chunk(bools()) + struct.pack('<BQ', 6, length) + b'abc' * 100)
    items, problems = read(path)
    assert len(items) == 10
    assert problems


@pytest.mark.parametrize('start', [2**64 - 1, 2**63 - 1, 2**40])
def test_an_index_that_is_not_in_the_file_is_not_needed(tmp_path, start):
    path = tmp_path / 'a.mcap'
    data = bytearray(HEAD + chunk(bools()) + END)
    struct.pack_into('<Q', data, len(data) - 28, start)
    path.write_bytes(data)
    items, problems = read(path)
    assert len(items) == 10
    assert problems == ['its index is damaged, all messages before it are read']


def test_a_record_of_ros1_without_a_kind_ends_its_chunk(tmp_path):
    path = tmp_path / 'a.bag'
    path.write_bytes(HEAD1 + chunk1(BOOLS1 + record1(b'', op=b'')) + chunk1(message1(0, 1001)))
    items, problems = read(path)
    assert [log_ns for _, log_ns, _ in items] == [1000 * SECOND, 1001 * SECOND]
    assert 'is damaged' in problems[0]


@pytest.mark.parametrize('definition', [b'Header header\n', b'my_msgs/Foo foo\n', b'', b'%%%'])
def test_a_type_of_ros1_whose_definition_lacks_a_part_is_counted(tmp_path, definition):
    path = tmp_path / 'a.bag'
    odd = connection1(1, b'/x', b'my_msgs/X', definition) + message1(1, 1000)
    path.write_bytes(HEAD1 + chunk1(BOOLS1 + odd))
    known, unknown = profile_bag(path)
    assert known.counters.decoded == 1
    assert (unknown.source.topic, unknown.counters.seen) == ('/x', 1)
    if definition:
        assert dict(unknown.counters.decode_errors) == {'unknown_type': 1}


NOW = 10**18
ROWS = [(1, NOW + n, BOOL) for n in range(10)]


@pytest.mark.parametrize(
    'row', [(1, NOW, 'text'), (1, NOW, 1.5), (1, 'noon', BOOL), (1, 0.5, BOOL)]
)
def test_rows_that_are_no_messages_are_counted(tmp_path, row):
    items, problems = read(database(tmp_path / 'a.db3', [*ROWS[:5], row, *ROWS[5:]]))
    assert [item[1] for item in items] == [row[1] for row in ROWS]
    assert problems == ['1 messages have no time or content that can be read']


@pytest.mark.parametrize('topic', [(2, '/x', None, 'cdr'), (2, None, 'std_msgs/msg/Bool', 'cdr')])
def test_rows_of_a_topic_that_is_not_described_are_counted(tmp_path, topic):
    topics = ((1, '/b', 'std_msgs/msg/Bool', 'cdr'), topic)
    rows = [*ROWS, (2, NOW, BOOL), (3, NOW, BOOL)]
    items, problems = read(database(tmp_path / 'a.db3', rows, topics))
    assert len(items) == 10
    assert problems == ['2 messages are of topics whose description is lost']


def test_times_before_1970_are_read(tmp_path):
    rows = [(1, log_ns, BOOL) for log_ns in (-(2**63), -5, 0, 2**63 - 1)]
    items, problems = read(database(tmp_path / 'a.db3', rows))
    assert [item[1] for item in items] == [row[1] for row in rows]
    assert problems == []


def peak_bytes(read):
    """How much memory Python took for read at once."""
    tracemalloc.start()
    read()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


ZEROS = bytes(2**27)


@pytest.mark.parametrize(
    ('name', 'pack'),
    [
        ('bz2', bz2.compress),
        ('lz4', lz4.frame.compress),
        ('zstd', zstandard.ZstdCompressor().compress),
    ],
)
def test_a_chunk_that_is_larger_than_it_says_is_left_out(tmp_path, name, pack):
    path = tmp_path / 'a'
    if name == 'bz2':
        path.write_bytes(HEAD1 + chunk1(BOOLS1) + chunk1(bytes(100), pack(ZEROS), b'bz2'))
    else:
        path.write_bytes(HEAD + chunk(bools()) + chunk(bytes(100), pack(ZEROS), name) + END)
    found = []
    assert peak_bytes(lambda: found.append(read(path))) < 2**25
    ((items, problems),) = found
    assert len(items) in {1, 10}
    assert 'is damaged' in problems[0]


def test_a_chunk_may_not_claim_any_size(tmp_path):
    packer = zstandard.ZstdCompressor(write_content_size=False)
    bad = chunk(b'', packer.compress(bools()), 'zstd', 2**50)
    path = tmp_path / 'a.mcap'
    path.write_bytes(HEAD + chunk(bools()) + bad + END)
    items, problems = read(path)
    assert len(items) == 10
    assert 'is too large' in problems[0]


def test_a_packed_message_is_unpacked_within_bounds(tmp_path, monkeypatch):
    monkeypatch.setattr(compression, '_MOST_MESSAGE_BYTES', 1000)
    plain, without_size = (zstandard.ZstdCompressor(write_content_size=w) for w in (True, False))
    packed = [plain.compress(BOOL), without_size.compress(BOOL), plain.compress(bytes(2000))]
    body = schema(1) + channel(1, '/b') + b''.join(message(1, n, d) for n, d in enumerate(packed))
    path = tmp_path / 'a.mcap'
    path.write_bytes(HEAD + chunk(body) + END)
    items, _ = read(path)
    assert [data for _, _, data in items] == [BOOL, BOOL, packed[2]]


def listed(folder, names, *topics):
    """Write the metadata of a bag."""
    about = [{'topic_metadata': {'name': name, 'type': kind}} for name, kind in topics]
    files = [str(name) for name in names]
    content = {'relative_file_paths': files, 'topics_with_message_count': about}
    text = yaml.safe_dump({'rosbag2_bagfile_information': content})
    (folder / 'metadata.yaml').write_text(text, encoding='utf-8')


def test_files_that_the_metadata_does_not_name_are_not_read(tmp_path):
    for name in ('run_0.mcap', 'run_0_fixed.mcap', 'run_1.mcap'):
        (tmp_path / name).write_bytes(HEAD + chunk(bools()) + END)
    listed(tmp_path, ['run_0.mcap', 'run_1.mcap'])
    items, problems = read(tmp_path)
    assert len(items) == 20
    assert problems == ['run_0_fixed.mcap is not in metadata.yaml, and is not read']
    listed(tmp_path, ['before_it_was_renamed.mcap'])
    items, problems = read(tmp_path)
    assert len(items) == 30
    assert problems == ['before_it_was_renamed.mcap is missing']
    (tmp_path / 'metadata.yaml').write_text('[' * 200_000, encoding='utf-8')
    (tmp_path / 'run_0_fixed.mcap').unlink()
    assert read(tmp_path)[1][0].startswith('metadata.yaml is damaged')


BOOL_TOPIC = ('/b', 'std_msgs/msg/Bool')


@pytest.mark.parametrize(
    ('topics', 'unpacked'),
    [([BOOL_TOPIC], 3), ([BOOL_TOPIC, ('/x', 'std_msgs/msg/Bool')], 6), ([], 6)],
)
def test_packed_files_are_unpacked_once_where_the_topics_are_listed(
    tmp_path, monkeypatch, topics, unpacked
):
    names = [f'run_{n}.mcap.zstd' for n in range(3)]
    for name in names:
        packed = zstandard.ZstdCompressor().compress(HEAD + chunk(bools()) + END)
        (tmp_path / name).write_bytes(packed)
    listed(tmp_path, names, *topics)
    done = []
    unpack = recording_module.decompress_file
    monkeypatch.setattr(
        recording_module, 'decompress_file', lambda *paths: done.append(paths) or unpack(*paths)
    )
    items, problems = read(tmp_path)
    assert (len(items), problems) == (30, [])
    assert len(done) == unpacked


def test_after_a_file_could_not_be_unpacked_it_is_unpacked_anew(tmp_path, monkeypatch):
    for n in range(2):
        packed = zstandard.ZstdCompressor().compress(HEAD + chunk(bools()) + END)
        (tmp_path / f'run_{n}.mcap.zstd').write_bytes(packed)
    listed(tmp_path, [f'run_{n}.mcap.zstd' for n in range(2)])
    unpack = recording_module.decompress_file
    fails = iter([False, True])

    def sometimes(source, target):
        if next(fails, False):
            raise OSError('no space left')
        return unpack(source, target)

    monkeypatch.setattr(recording_module, 'decompress_file', sometimes)
    with Recording(tmp_path) as recording:
        assert len(recording.topics()) == 1
        assert recording.problems == ['no space left']
        assert sum(1 for _ in recording.messages()) == 20
        assert recording.problems == []


def test_the_next_chunk_of_ros1_is_found_without_trying_each_place(tmp_path, monkeypatch):
    tried = []
    is_chunk = rosbag1._is_chunk
    monkeypatch.setattr(rosbag1, '_is_chunk', lambda data: tried.append(1) or is_chunk(data))
    lost = b'\xff' * 8 + b'\4\0\0\0op=\5' * 10_000
    path = tmp_path / 'a.bag'
    path.write_bytes(HEAD1 + chunk1(BOOLS1) + lost + chunk1(message1(0, 1001)))
    items, problems = read(path)
    assert [log_ns for _, log_ns, _ in items] == [1000 * SECOND, 1001 * SECOND]
    assert 'goes on at byte' in problems[0]
    assert len(tried) < 20


@pytest.mark.parametrize('kind', ['none', 'bz2', 'lz4'])
@pytest.mark.parametrize('order', list(itertools.permutations(('op', 'compression', 'size'))))
def test_the_head_of_a_chunk_of_ros1_is_known_in_any_order(tmp_path, order, kind):
    pack = {'none': bytes, 'bz2': bz2.compress, 'lz4': lz4.frame.compress}[kind]
    body = message1(0, 1001)
    head = {'op': b'\5', 'compression': kind.encode(), 'size': struct.pack('<I', len(body))}
    path = tmp_path / 'a.bag'
    last = record1(pack(body), **{name: head[name] for name in order})
    path.write_bytes(HEAD1 + chunk1(BOOLS1) + b'\xff' * 800 + last)
    items, _ = read(path)
    assert [log_ns for _, log_ns, _ in items] == [1000 * SECOND, 1001 * SECOND]
