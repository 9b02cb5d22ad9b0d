"""Reading stores."""

from http import HTTPStatus

import obstore
import pytest
from faults import FaultyStore, Reply
from obstore.store import LocalStore

from profiler_node.bridge.batch import pack
from profiler_node.core.profile import Counters, Profile, Source
from profiler_node.fleet.select import Selection
from profiler_node.fleet.store import Seen, StoreError, read_profiles
from profiler_node.wire.codec import encode

LISTING = b"""<?xml version="1.0"?>
<D:multistatus xmlns:D="DAV:"><D:response><D:href>/a.pb.zst</D:href><D:propstat><D:prop>
<D:getlastmodified>Thu, 01 Jan 2026 00:00:00 GMT</D:getlastmodified>
<D:getcontentlength>1</D:getcontentlength><D:getetag>"1"</D:getetag><D:resourcetype/>
</D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response></D:multistatus>"""


def make(start, robot_id='r'):
    source = Source(robot_id, 'image', '/image', 'sensor_msgs/msg/Image')
    return Profile(source, 0, start, start + 60, Counters(seen=1), {})


def write(folder, key, *profiles):
    obstore.put(LocalStore(folder, mkdir=True), key, pack([encode(p) for p in profiles]))


def read(location):
    problems = []
    return list(read_profiles(str(location), problems.append)), problems


def test_a_store_is_read_in_order_and_duplicates_are_dropped(tmp_path):
    write(tmp_path, '2026-01-02/r/b.pb.zst', make(120), make(60))
    write(tmp_path, '2026-01-01/r/a.pb.zst', make(0), make(60))
    profiles, problems = read(tmp_path)
    assert [p.window_start_ns for p in profiles] == [0, 60, 120]
    assert problems == []


@pytest.mark.parametrize('form', ['{}', 'file://{}'])
def test_a_store_an_object_and_a_url_can_be_named(tmp_path, form):
    write(tmp_path, 'd/r/a.pb.zst', make(0))
    assert read(form.format(tmp_path))[0] == [make(0)]
    assert read(form.format(tmp_path / 'd/r/a.pb.zst'))[0] == [make(0)]


def test_other_files_in_the_folder_are_not_objects(tmp_path):
    write(tmp_path, 'd/a.pb.zst', make(0))
    (tmp_path / 'README.txt').write_text('hello')
    assert read(tmp_path) == ([make(0)], [])


def test_a_damaged_object_is_named_and_the_others_are_read(tmp_path):
    write(tmp_path, 'd/a.pb.zst', make(0))
    (tmp_path / 'd/b.pb.zst').write_bytes(b'junk')
    future = b'\x08\x63' + encode(make(60))[2:]
    (tmp_path / 'd/c.pb.zst').write_bytes(pack([future, encode(make(90))]))
    write(tmp_path, 'd/d.pb.zst', make(120))
    profiles, problems = read(tmp_path)
    assert [p.window_start_ns for p in profiles] == [0, 90, 120]
    assert [str(problem).partition(':')[0] for problem in problems] == ['d/b.pb.zst', 'd/c.pb.zst']
    assert 'wire version 99' in str(problems[1])


@pytest.mark.parametrize(
    'location',
    ['/no/such/place', 'ftp://host/x', 'file:///no/such/place', 'http://127.0.0.1:9/x', 's3://'],
)
def test_a_place_that_cannot_be_read_is_named_in_one_line(location):
    with pytest.raises(StoreError, match=location) as caught:
        read(location)
    assert '\n' not in str(caught.value)
    assert 'Debug source' not in str(caught.value)


def test_a_remote_store_that_fails_for_a_moment_is_read_all_the_same():
    failed = set()
    with FaultyStore() as store:
        store.objects['a.pb.zst'] = pack([encode(make(0))])

        def answer(request):
            if request.method not in failed:
                failed.add(request.method)
                return Reply(HTTPStatus.SERVICE_UNAVAILABLE)
            return Reply(HTTPStatus.MULTI_STATUS, {}, LISTING) if request.method != 'GET' else None

        store.script = answer
        assert read(store.url) == ([make(0)], [])
    assert failed == {'PROPFIND', 'GET'}


def test_a_selection_and_what_was_seen_elsewhere_leave_profiles_out(tmp_path):
    write(tmp_path, 'd/a.pb.zst', make(0), make(60), make(60, 'other'), make(120))
    seen = Seen()
    assert seen.is_new(make(0))
    profiles = read_profiles(str(tmp_path), pytest.fail, Selection(robots=['r']), seen)
    assert [p.window_start_ns for p in profiles] == [60, 120]
    assert seen.repeated == 1
    assert seen.is_new(make(60, 'other'))


def test_a_file_of_many_objects_is_read_up_to_where_it_is_damaged(tmp_path):
    parts = [pack([encode(make(start))]) for start in (0, 60)]
    path = tmp_path / 'reference.pb.zst'
    path.write_bytes(b''.join(parts) + b'junk')
    profiles, problems = read(path)
    assert [p.window_start_ns for p in profiles] == [0, 60]
    assert len(problems) == 1
