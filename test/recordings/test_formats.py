"""Every format gives the messages that were written, as they were written."""

import shutil
import sqlite3
from contextlib import closing

import pytest
from recorded import (
    FORMATS,
    FORMATS1,
    START_NS,
    STORE,
    TOPICS,
    any_bag,
    messages,
    only_file,
    write,
    write1,
)
from rosbags.highlevel import AnyReader

from profiler_node.recordings.message import RecordingError, Span
from profiler_node.recordings.recording import Recording

ITEMS = messages(2.0)


def read(path, **given):
    """The messages of a recording, and what is wrong with it."""
    with Recording(path) as recording:
        items = [(m.topic.name, m.log_ns, bytes(m.data)) for m in recording.messages(**given)]
        return items, recording.problems


def as_ros1(items):
    return [
        (topic, log_ns, bytes(STORE.cdr_to_ros1(data, TOPICS[topic])))
        for topic, log_ns, data in items
    ]


@pytest.mark.parametrize('kind', FORMATS)
def test_ros2(tmp_path, kind):
    bag = write(tmp_path / 'bag', ITEMS, kind)
    assert read(bag) == (ITEMS, [])
    if 'file' not in kind:
        assert read(only_file(bag)) == (ITEMS, [])
    with Recording(bag) as recording:
        topics = {topic.name: topic.message_type for topic in recording.topics()}
    assert topics == TOPICS


@pytest.mark.parametrize('kind', FORMATS1)
def test_ros1(tmp_path, kind):
    assert read(write1(tmp_path / 'a.bag', ITEMS, kind)) == (as_ros1(ITEMS), [])


@pytest.mark.parametrize('kind', ['mcap', 'sqlite', 'ros1'])
def test_topics_and_times_are_chosen(tmp_path, kind):
    bag = any_bag(tmp_path / 'bag', ITEMS, kind)
    span = Span(START_NS + 500_000_000, START_NS + 1_500_000_000)
    items, _ = read(bag, wanted={'/camera'}, span=span)
    expected = [item for item in ITEMS if item[0] == '/camera' and span[0] <= item[1] < span[1]]
    assert [item[:2] for item in items] == [item[:2] for item in expected]
    assert len(items) == 10


def test_real_recordings_are_read_as_rosbags_reads_them(each_recording):
    with AnyReader([each_recording], default_typestore=STORE) as reader:
        expected = [(c.topic, log_ns, bytes(data)) for c, log_ns, data in reader.messages()]
    items, problems = read(each_recording)
    assert problems == []
    # Those of the same time may be in another order across topics.
    for topic in {item[0] for item in expected}:
        assert [i for i in items if i[0] == topic] == [e for e in expected if e[0] == topic]
    assert len(items) == len(expected)


@pytest.mark.parametrize('kind', ['mcap', 'mcap_zstd', 'sqlite', 'ros1'])
def test_messages_are_put_in_the_order_of_their_times(tmp_path, kind):
    mixed = [item for i in range(0, len(ITEMS), 20) for item in reversed(ITEMS[i : i + 20])]
    items, _ = read(any_bag(tmp_path / 'bag', mixed, kind))
    assert [item[:2] for item in items] == [item[:2] for item in ITEMS]


def test_split_files_are_read_in_the_order_of_their_numbers(tmp_path):
    folder = tmp_path / 'bag'
    folder.mkdir()
    same_time = [(topic, START_NS, data) for topic, _, data in ITEMS]  # or they were sorted by it
    for number in range(11):
        part = write(tmp_path / f'part_{number}', same_time[number * 10 : number * 10 + 10])
        shutil.copy(only_file(part), folder / f'bag_{number}.mcap')
    names = ''.join(f'  - bag_{number}.mcap\n' for number in range(11))
    text = f'rosbag2_bagfile_information:\n  relative_file_paths:\n{names}'
    (folder / 'metadata.yaml').write_text(text, encoding='utf-8')
    assert read(folder) == (same_time[:110], [])
    (folder / 'bag_3.mcap').unlink()
    assert read(folder) == (same_time[:30] + same_time[40:110], ['bag_3.mcap is missing'])
    (folder / 'metadata.yaml').write_text('{', encoding='utf-8')
    items, (problem,) = read(folder)
    assert items == same_time[:30] + same_time[40:110]
    assert problem.startswith('metadata.yaml is damaged')
    (folder / 'metadata.yaml').unlink()
    assert read(folder)[1] == ['metadata.yaml is missing']
    (folder / 'bag_4.mcap').write_bytes(b'')
    items, problems = read(folder)
    assert items == same_time[:30] + same_time[50:110]
    assert 'bag_4.mcap is neither MCAP nor sqlite3 nor a ROS 1 bag' in problems[1]


def test_a_folder_of_several_recordings_is_not_taken_for_one(tmp_path):
    for name in ('a', 'b'):
        shutil.copy(only_file(write(tmp_path / name, ITEMS[:5])), tmp_path / f'{name}.mcap')
    with pytest.raises(RecordingError, match=r'several recordings; name them: a\.mcap, b\.mcap'):
        read(tmp_path)


@pytest.mark.parametrize('encoding', ['unknown', ''])
def test_sqlite_definitions_of_unknown_encoding_are_none(tmp_path, encoding):
    bag = write(tmp_path / 'bag', ITEMS, 'sqlite')
    with closing(sqlite3.connect(only_file(bag))) as database, database:
        database.execute('UPDATE message_definitions SET encoding=?', (encoding,))
    with Recording(bag) as recording:
        assert {topic.language for topic in recording.topics()} == {''}
    assert read(bag) == (ITEMS, [])


def test_a_recorder_that_still_writes_does_not_hide_what_it_has_committed(tmp_path):
    bag = write(tmp_path / 'bag', ITEMS[:50], 'sqlite')
    with closing(sqlite3.connect(only_file(bag))) as recorder:
        recorder.execute('PRAGMA journal_mode=WAL')
        recorder.executemany(
            'INSERT INTO messages (topic_id, timestamp, data) VALUES (?, ?, ?)',
            [(1 if topic == '/camera' else 2, log_ns, data) for topic, log_ns, data in ITEMS[50:]],
        )
        recorder.commit()
        path = only_file_of_wal(bag)
        assert read(path) == (ITEMS, [f'it was not closed; {path.name}-wal is read with it'])


def test_a_log_beside_a_database_is_read_or_said_to_be_missing(tmp_path):
    whole = only_file(write(tmp_path / 'whole', ITEMS[:50], 'sqlite'))
    path = tmp_path / whole.name
    with closing(sqlite3.connect(whole)) as recorder:  # killed, and copied
        recorder.execute('PRAGMA journal_mode=WAL')
        recorder.execute('DELETE FROM messages WHERE id > 40')
        recorder.commit()
        for each in (whole, whole.with_name(f'{whole.name}-wal')):
            shutil.copy(each, tmp_path)
    items, problems = read(path)
    assert items == ITEMS[:40]
    text = f'it was not closed; {path.name}-wal is read with it, for which {path.name}-shm was made'
    assert problems == [text]
    index = tmp_path / f'{path.name}-shm'
    index.unlink()
    index.symlink_to(tmp_path / 'none' / 'none')  # as where nothing can be written
    items, (problem,) = read(path)
    assert items == ITEMS[:50]
    assert f'{path.name}-wal cannot be read' in problem


def only_file_of_wal(bag):
    (path,) = bag.glob('*.db3')
    return path


@pytest.mark.parametrize('content', [b'', b'no recording', b'\x89MCAP0\r\n', b'#ROSBAG V1.2\n'])
def test_what_is_no_recording_is_refused(tmp_path, content):
    path = tmp_path / 'a.mcap'
    path.write_bytes(content)
    try:
        items, problems = read(path)
    except RecordingError as error:
        assert str(path) in str(error)  # noqa: PT017
    else:
        assert items == []
        assert problems == ['it ends at byte 8, not closed']
