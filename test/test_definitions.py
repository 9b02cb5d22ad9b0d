"""Definitions from share folders, made up here and as they are installed."""

import os
from pathlib import Path

import pytest

from profiler_node.core.decode import (
    STORE,
    UnknownTypeError,
    decoder_for,
    store_with,
    type_of,
    types_in,
    types_in_idl,
)
from profiler_node.definitions import installed_store

THING = 'thing_msgs/msg/Thing'


@pytest.fixture
def share(tmp_path, monkeypatch):
    """Writes definitions into prefix folders, of which the first given goes first."""
    prefixes = []

    def write(prefix, **texts):
        for name, text in texts.items():
            package, _, file = name.partition('__')
            path = tmp_path / prefix / 'share' / package / 'msg' / file.replace('_', '.')
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
        if str(tmp_path / prefix) not in prefixes:
            prefixes.append(str(tmp_path / prefix))
        monkeypatch.setenv('AMENT_PREFIX_PATH', os.pathsep.join(prefixes))

    monkeypatch.setenv('AMENT_PREFIX_PATH', '')
    return write


def fields(store, name=THING):
    return {field: type_of(description)[1] for field, description in store.fielddefs[name][1]}


def idl(package, name, body, includes=''):
    struct = f'struct {name} {{ {body} }};'
    return f'{includes}\nmodule {package} {{ module msg {{ {struct} }}; }};\n'


def test_a_type_and_all_types_that_it_uses_are_found(share, serialized):
    share('a', thing_msgs__Thing_msg='Part[] parts\nother_msgs/Other other\nHeader header')
    share('a', thing_msgs__Part_msg='int8 x', other_msgs__Other_msg='duration d\ntime t')
    store = installed_store(THING)
    assert fields(store) == {
        'parts': 'thing_msgs/msg/Part',
        'other': 'other_msgs/msg/Other',
        'header': 'std_msgs/msg/Header',
    }
    assert fields(store, 'thing_msgs/msg/Part') == {'x': 'int8'}
    data = serialized(THING, store=store, parts=[{'x': -5}])
    assert decoder_for(THING, store)(data).parts[0].x == -5


def test_what_is_not_installed_is_taken_from_ros(share):
    share('a', thing_msgs__Thing_msg='geometry_msgs/PoseStamped pose')
    store = installed_store(THING)
    for name in ('geometry_msgs/msg/PoseStamped', 'std_msgs/msg/Header'):
        assert store.fielddefs[name] == STORE.fielddefs[name]
    assert installed_store('sensor_msgs/msg/Image').fielddefs.keys() == {
        *('sensor_msgs/msg/Image', 'std_msgs/msg/Header'),
        *('builtin_interfaces/msg/Time', 'builtin_interfaces/msg/Duration'),
    }


def test_the_installed_definition_goes_before_that_of_ros(share):
    share('a', std_msgs__Header_msg='uint32 seq\ntime stamp\nstring frame_id')
    assert list(fields(installed_store('sensor_msgs/msg/Imu'), 'std_msgs/msg/Header')) == [
        *('seq', 'stamp', 'frame_id')
    ]


def test_the_first_folder_and_in_it_msg_goes_first(share):
    share('b', thing_msgs__Thing_idl=idl('thing_msgs', 'Thing', 'octet from_idl;'))
    share('c', thing_msgs__Thing_msg='byte from_c')
    assert list(fields(installed_store(THING))) == ['from_idl']
    share('b', thing_msgs__Thing_msg='byte from_msg')
    assert list(fields(installed_store(THING))) == ['from_msg']


def test_idl_is_read_with_what_it_includes(share):
    includes = '#include "thing_msgs/msg/Part.idl"\n#include "std_msgs/msg/Header.idl"'
    body = 'std_msgs::msg::Header header; sequence<thing_msgs::msg::Part, 3> parts;'
    share('a', thing_msgs__Thing_idl=idl('thing_msgs', 'Thing', body, includes))
    share('a', thing_msgs__Part_idl=idl('thing_msgs', 'Part', 'long x; wchar_msgs::msg::Odd odd;'))
    share('a', wchar_msgs__Odd_msg='bool odd')
    store = installed_store(THING)
    assert fields(store) == {'header': 'std_msgs/msg/Header', 'parts': 'thing_msgs/msg/Part'}
    assert fields(store, 'thing_msgs/msg/Part') == {'x': 'int32', 'odd': 'wchar_msgs/msg/Odd'}
    decoder_for(THING, store)


def test_comments_in_another_encoding_do_no_harm(share):
    share('a', thing_msgs__Thing_msg='# Größe\r\nint8 x\r\n'.encode('latin-1'))
    assert fields(installed_store(THING)) == {'x': 'int8'}


@pytest.mark.parametrize(
    ('texts', 'told'),
    [
        ({}, 'thing_msgs/msg/Thing is not installed'),
        ({'thing_msgs__Thing_msg': 'Part x'}, 'thing_msgs/msg/Part is not installed'),
        ({'thing_msgs__Thing_msg': 'wstring x'}, 'thing_msgs/msg/wstring is not installed'),
        ({'thing_msgs__Thing_msg': 'int8'}, 'Thing: the definition cannot be read'),
        ({'thing_msgs__Thing_idl': 'struct'}, 'Thing: the definition cannot be read'),
        ({'thing_msgs__Thing_idl': idl('x', 'Y', 'octet z;')}, 'does not define thing_msgs/msg/'),
        ({'thing_msgs__Thing_msg': 'int8 x\nint8 x'}, 'conflicting'),
    ],
)
def test_a_definition_that_is_missing_or_damaged_is_told(share, texts, told):
    share('a', **texts)
    with pytest.raises(UnknownTypeError, match=told):
        installed_store(THING)


@pytest.mark.parametrize(
    'name', ['', 'Thing', 'thing_msgs/Thing', 'a/srv/B', '../../etc/msg/passwd']
)
def test_names_that_are_no_message_type_are_told(share, name):
    share('a')
    with pytest.raises(UnknownTypeError, match='is not installed'):
        installed_store(name)


INSTALLED = [
    path
    for prefix in filter(None, os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep))
    for path in sorted(Path(prefix, 'share').glob('*/msg/*.msg'))
]


def test_installed_idl_says_the_same_as_installed_msg():
    pairs = [(path, path.with_suffix('.idl')) for path in INSTALLED]
    pairs = [(msg, idl) for msg, idl in pairs if idl.exists()][::10]
    if not pairs:
        pytest.skip('needs installed ROS packages: set AMENT_PREFIX_PATH')
    for msg, idl in pairs:
        name = f'{msg.parts[-3]}/msg/{msg.stem}'
        here = types_in(name, msg.read_text(encoding='utf-8'))
        there = types_in_idl(name, idl.read_text(encoding='utf-8'))
        octets = {'char': 'uint8'}  # as which IDL has it
        found = fields(store_with(here), name).items()
        expected = fields(store_with(there), name)
        assert {field: octets.get(kind, kind) for field, kind in found} == expected
