"""Recordings and messages for all tests."""

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rosbags.interfaces import Nodetype
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.base import normalize_fieldname
from rosbags.typesys.store import Typestore

from profiler_node.core.config import SketchConfig, StreamConfig, WindowConfig
from profiler_node.core.profile import Profile, Source
from profiler_node.core.stream import Sensing, Stream

ROOT = Path(__file__).parent.parent
STORE = get_typestore(Stores.ROS2_JAZZY)
NOT_GIVEN = object()
RECORDINGS = (
    'euroc_camera_imu',
    'kinect_rgbd',
    'lidar_sweeps',
    'realsense_d435',
    'scan_hokuyo_2010',
    'scan_sick_intel_lab',
    'voc_detections',
)


@pytest.fixture(scope='session')
def recording() -> Callable[[str], Path]:
    """The folder of a real recording by name; skips where there is none."""
    folder = Path(os.environ.get('EDGE_PROFILER_DATA', ROOT.parent / 'shared' / 'data'))

    def find(name: str) -> Path:
        if not (folder / name).exists():
            pytest.skip(f'needs the recording {name}: set EDGE_PROFILER_DATA to its folder')
        return folder / name

    return find


@pytest.fixture(scope='session')
def recordings(recording: Callable[[str], Path]) -> list[Path]:
    """The folders of all real recordings."""
    return [recording(name) for name in RECORDINGS]


@pytest.fixture(params=RECORDINGS)
def each_recording(request: pytest.FixtureRequest, recording: Callable[[str], Path]) -> Path:
    """The folder of one real recording after the other."""
    return recording(request.param)


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """What the package logs. Not by caplog: launch, where it is loaded, stops propagation."""
    messages: list[str] = []
    records: list[logging.LogRecord] = []

    def emit(record: logging.LogRecord) -> None:
        if record not in records:  # a package's logger gets those of its modules too
            records.append(record)
            messages.append(record.getMessage())

    handler = logging.Handler()
    handler.emit = emit
    names = [name for name in logging.root.manager.loggerDict if name.startswith('profiler_node.')]
    for name in names:
        logging.getLogger(name).addHandler(handler)
    yield messages
    for name in names:
        logging.getLogger(name).removeHandler(handler)


@pytest.fixture(scope='session')
def vision_store() -> Typestore:
    """ROS's own types and those of vision_msgs."""
    store = get_typestore(Stores.ROS2_JAZZY)
    for path in (ROOT / 'demo' / 'vision_msgs' / 'msg').glob('*.msg'):
        text = path.read_text(encoding='utf-8')
        store.register(get_types_from_msg(text, f'vision_msgs/msg/{path.stem}'))
    return store


def built(store: Typestore, message_type: str, given: Mapping[str, Any]) -> Any:
    """A message of message_type: what is given, and zeros for the rest."""
    fields = store.fielddefs[message_type][1]
    assert given.keys() <= {name for name, _ in fields}, f'{message_type}: {given.keys()}'
    values = {}
    for name, description in fields:
        value = given.get(name, NOT_GIVEN)
        values[normalize_fieldname(name)] = filled(store, description, value)
    return store.types[message_type](**values)


def dtype_of(name: str) -> np.dtype:
    return np.dtype({'byte': 'uint8', 'char': 'uint8'}.get(name, name))


def filled(store: Typestore, description: Any, value: Any) -> Any:
    kind, about = description
    if kind == Nodetype.NAME:
        given = {} if value is NOT_GIVEN else value
        return built(store, about, given) if isinstance(given, Mapping) else given
    if kind == Nodetype.BASE:
        zero = '' if about[0] in {'string', 'wstring'} else dtype_of(about[0]).type(0).item()
        return zero if value is NOT_GIVEN else value
    item, length = about
    if value is NOT_GIVEN:
        value = [NOT_GIVEN] * (length if kind == Nodetype.ARRAY else 0)
    if item[0] == Nodetype.BASE and item[1][0] not in {'string', 'wstring'}:
        dtype = dtype_of(item[1][0])
        numbers = [0 if number is NOT_GIVEN else number for number in value]
        return value.astype(dtype) if isinstance(value, np.ndarray) else np.array(numbers, dtype)
    return [filled(store, item, element) for element in value]


@pytest.fixture(scope='session')
def serialized() -> Callable[..., memoryview]:
    """Serializes a message of any type out of nested dicts; what is not in them is 0, '' or []."""

    def serialize(message_type: str, store: Typestore = STORE, **given: Any) -> memoryview:
        return store.serialize_cdr(built(store, message_type, given), message_type)

    return serialize


@pytest.fixture(scope='session')
def profiled() -> Callable[..., Profile]:
    """Profiles serialized messages in one window, each received a second after 10**18 ns."""

    def profile(
        message_type: str, *messages: memoryview, config: StreamConfig | None = None, **sensing: Any
    ) -> Profile:
        stream = Stream(
            Source('robot', 'stream', '/topic', message_type),
            WindowConfig(3600.0),
            SketchConfig(),
            Sensing(config=config or StreamConfig(), **sensing),
        )
        for message in messages:
            assert stream.update(message, receive_ns=10**18 + 10**9) == []
        (result,) = stream.windows.close()
        return result

    return profile


@pytest.fixture(scope='session')
def image(serialized: Callable[..., memoryview]) -> Callable[..., memoryview]:
    """Serializes a sensor_msgs/Image of pixels, (H, W) or (H, W, C) of any type."""

    def serialize(
        pixels: np.ndarray, encoding: str, stamp_ns: int = 10**18, padding: int = 0, **changes: Any
    ) -> memoryview:
        rows = np.ascontiguousarray(pixels).view(np.uint8).reshape(pixels.shape[0], -1)
        rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=99)
        fields = {
            'height': pixels.shape[0],
            'width': pixels.shape[1],
            'encoding': encoding,
            'step': rows.shape[1],
            'data': rows.ravel(),
        } | changes
        seconds, nanoseconds = divmod(stamp_ns, 10**9)
        header = {'stamp': {'sec': seconds, 'nanosec': nanoseconds}, 'frame_id': 'camera'}
        return serialized('sensor_msgs/msg/Image', header=header, **fields)

    return serialize
