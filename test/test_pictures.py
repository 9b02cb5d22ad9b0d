"""Folders of images."""

import os
import struct

import cv2
import numpy as np
import pytest

import profiler_node
from profiler_node.fleet.store import Seen
from profiler_node.pictures import image_files, picture_profiles, picture_source

SECOND = 10**9
# Orientation 6: to be turned by 90 degrees.
EXIF = b'Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0'


def pixels(*shape, seed=0, dtype=np.uint8):
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype=dtype)


def write(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)


def profiles_of(folder, per_window=50):
    problems = []
    source = picture_source(folder, '', 'image')
    return list(picture_profiles(folder, source, problems.append, per_window)), problems


def test_the_profile_of_a_folder_is_that_of_its_pixels(tmp_path):
    images = [pixels(20, 30, 3, seed=n) for n in range(3)]
    for index, image in enumerate(images):
        write(tmp_path / 'set' / f'{index}.png', image)
    (profile,), problems = profiles_of(tmp_path / 'set')
    assert problems == []
    stamps = [n * SECOND for n in range(3)]
    expected = profiler_node.log(images, stream='image', encoding='bgr8', stamps_ns=stamps)
    moments, theirs = (
        {name: getattr(f, 'moments', None) for name, f in p.features.items()}
        for p in (profile, expected)
    )
    assert moments == theirs
    assert profile.source.robot_id == 'set'
    assert profile.source.message_type == expected.source.message_type
    assert (profile.counters.seen, profile.counters.decoded) == (3, 3)


def test_images_are_cut_into_windows_in_the_order_of_their_names(tmp_path):
    for index in range(5):
        image = np.full((4, 4), 10 * index, np.uint8)
        write(tmp_path / f'{index // 3}' / f'{index}.png', image)
    profiles, _ = profiles_of(tmp_path, per_window=2)
    spans = [(p.window_start_ns / SECOND, p.window_end_ns / SECOND) for p in profiles]
    assert spans == [(0, 2), (2, 4), (4, 6)]
    grays = [p.features['image/gray'].moments for p in profiles]
    assert [(m.min, m.max) for m in grays] == [(0, 10), (20, 30), (40, 40)]
    assert grays[1].max_stamp_ns == 3 * SECOND
    assert len({p.identity for p in profiles}) == 3


def test_folders_of_one_name_are_told_apart_by_what_is_in_them(tmp_path):
    for index, place in enumerate(('a', 'b', 'c')):
        write(tmp_path / place / 'train' / '1.png', pixels(20, 30, seed=min(index, 1)))
        write(tmp_path / place / 'train' / '2.png', pixels(20, 30, seed=7))
    found = [profiles_of(tmp_path / place / 'train', per_window=1)[0] for place in 'abc']
    first, second, third = ([p.identity for p in profiles] for profiles in found)
    assert second == third
    assert first[0] != second[0]
    assert first[1] == second[1]  # of the same image in the same place


def test_what_is_new_in_a_folder_that_has_grown_is_not_taken_for_what_was_there(tmp_path):
    for index in range(3):
        write(tmp_path / f'{index}.png', pixels(20, 30, seed=index))
    before, _ = profiles_of(tmp_path, per_window=2)
    for index in range(3, 7):
        write(tmp_path / f'{index}.png', pixels(20, 30, seed=index))
    after, _ = profiles_of(tmp_path, per_window=2)
    seen = Seen()
    new = [p.counters.seen for p in (*before, *after) if seen.is_new(p)]
    assert new == [2, 1, 2, 2, 1]  # the second window of before is not all of that of after
    assert seen.repeated == 1


def test_folders_that_are_not_read_are_named(tmp_path, monkeypatch):
    write(tmp_path / 'set' / 'a.png', pixels(4, 5))
    write(tmp_path / 'set' / 'shut' / 'b.png', pixels(4, 5))
    write(tmp_path / 'elsewhere' / 'c.png', pixels(4, 5))
    (tmp_path / 'set' / 'link').symlink_to(tmp_path / 'elsewhere')
    listed = os.scandir

    def scandir(path):
        if str(path).endswith('shut'):
            raise PermissionError(13, 'Permission denied', str(path))
        return listed(path)

    monkeypatch.setattr(os, 'scandir', scandir)  # root may read all
    (profile,), problems = profiles_of(tmp_path / 'set')
    assert profile.counters.seen == 1
    assert sorted(str(problem).removeprefix(f'{tmp_path}/set/') for problem in problems) == [
        'link: a link to a folder, not followed',
        'shut: Permission denied',
    ]


@pytest.mark.parametrize(
    ('name', 'image', 'encoding'),
    [
        ('a.jpg', pixels(20, 30, 3), 'bgr8'),
        ('a.JPEG', pixels(20, 30), 'mono8'),
        ('a.png', pixels(20, 30, 4), 'bgra8'),
        ('a.png', pixels(20, 30, dtype=np.uint16), 'mono16'),
        ('a.png', pixels(20, 30, 3, dtype=np.uint16), 'bgr16'),
        ('a.bmp', pixels(20, 30, 3), 'bgr8'),
        ('a.tiff', pixels(20, 30, 3), 'bgr8'),
        ('a.webp', pixels(20, 30, 3), 'bgr8'),
        ('a.pgm', pixels(20, 30), 'mono8'),
    ],
)
def test_formats(tmp_path, name, image, encoding):
    write(tmp_path / name, image)
    (profile,), problems = profiles_of(tmp_path)
    assert problems == []
    assert profile.features['image/encoding'].top(1) == [(encoding, 1)]
    assert profile.features['image/size'].top(1) == [('30x20', 1)]


def test_images_are_not_turned_as_exif_says(tmp_path):
    image = pixels(20, 30, 3)
    data = cv2.imencode('.jpg', image)[1].tobytes()
    exif = b'\xff\xe1' + struct.pack('>H', len(EXIF) + 2) + EXIF
    (tmp_path / 'a.jpg').write_bytes(data[:2] + exif + data[2:])
    assert cv2.imread(str(tmp_path / 'a.jpg')).shape == (30, 20, 3)
    (profile,), _ = profiles_of(tmp_path)
    assert profile.features['image/size'].top(1) == [('30x20', 1)]


def test_files_that_cannot_be_read_are_named_and_counted(tmp_path):
    write(tmp_path / 'a.png', pixels(20, 30))
    (tmp_path / 'b.jpg').write_bytes(b'')
    (tmp_path / 'c.png').write_bytes((tmp_path / 'a.png').read_bytes()[:99])
    (tmp_path / 'd.bmp').write_bytes(b'junk')
    write(tmp_path / 'e.tiff', np.ones((4, 5), np.float32))
    (tmp_path / 'f.png').symlink_to(tmp_path / 'gone.png')
    (profile,), problems = profiles_of(tmp_path)
    assert [str(p).partition(':')[0].rpartition('/')[2] for p in problems] == [
        *('b.jpg', 'c.png', 'd.bmp', 'e.tiff', 'f.png')
    ]
    assert (profile.counters.seen, profile.counters.decoded) == (6, 1)
    errors = {'bad_data': 1, 'short_data': 2, 'unreadable': 1, 'unsupported_encoding': 1}
    assert dict(profile.counters.decode_errors) == errors


def test_other_files_and_hidden_ones_are_no_images(tmp_path):
    for name in ('a.png', '.b.png', '.git/c.png', 'd/e.png', 'notes.txt', 'labels.json'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [path.name for path in image_files(tmp_path, pytest.fail)] == ['a.png', 'e.png']
