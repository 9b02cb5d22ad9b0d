"""The live node's parameter file, read without ROS, so that a recording is profiled alike."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from profiler_node.bags import Channel, Plan
from profiler_node.core.config import SegmentConfig, SketchConfig, StreamConfig, WindowConfig
from profiler_node.profiler_config import STREAM_DEFAULTS, ProfilerConfig
from profiler_node.settings import RESERVED, take

Parameters = dict[str, Any]

_NODE = 'profiler'
_MARK = 'ros__parameters'


class SettingsError(ValueError):
    """A file that is not one of parameters, or has some that the profiler does not know."""


def plan_of(path: Path, namespace: str = '') -> Plan:
    """Return the plan that the live node, in namespace, would have by the file at path.

    Where the file names no streams, each topic is one. Raises SettingsError, naming what is wrong.
    """
    parameters = read_parameters(path, '/'.join(['', *_parts(namespace), _NODE]))
    try:
        return _plan(parameters, '/'.join(_parts(namespace)))
    except ValueError as error:
        raise SettingsError(f'{path}: {error}') from error


def _plan(parameters: Parameters, namespace: str) -> Plan:
    named = any(name == 'streams' or name.startswith('stream.') for name in parameters)
    config = take(parameters, ProfilerConfig, '')
    window = take(parameters, WindowConfig, 'window')
    sketch = take(parameters, SketchConfig, 'sketch')
    segment = take(parameters, SegmentConfig, 'segment')
    channels = []
    for name in config.streams if named else ():
        stream = take(parameters, StreamConfig, f'stream.{name}', STREAM_DEFAULTS.get(name))
        full_name = f'{namespace}/{name}' if namespace else name
        topic = resolved(stream.topic or name, namespace)
        channels.append(Channel(full_name, topic, stream))
    unknown = {name for name in parameters if not name.startswith('qos_overrides.')} - RESERVED
    if unknown:
        raise ValueError(f'parameter {min(unknown)} is not known')
    if segment.topic:
        segment = SegmentConfig(resolved(segment.topic, namespace), segment.field)
    return Plan(
        robot_id=config.robot_id,
        tags=config.tag_map,
        channels=tuple(channels) if named else None,
        optional=True,
        window=window,
        sketch=sketch,
        segment=segment,
        detections_file=config.detections_file,
    )


def resolved(topic: str, namespace: str) -> str:
    """Return topic as ROS does in a namespace where nothing is remapped."""
    if topic.startswith('/'):
        return topic
    if topic.startswith('~/'):
        topic = f'{_NODE}/{topic[2:]}'
    return '/'.join(['', *_parts(namespace), topic])


def _parts(name: str) -> list[str]:
    return [part for part in name.split('/') if part]


def read_parameters(path: Path, node: str) -> Parameters:
    """Return the parameters by dotted name that a ROS file has for a node, the last ones given.

    node: with its namespace, as /profiler. Raises SettingsError where there are none.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding='utf-8'))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise SettingsError(f'{path}: {" ".join(str(error).split())}') from error
    sections = list(_sections(content, '')) if isinstance(content, dict) else []
    found: Parameters = {}
    matching = [section for pattern, section in sections if _matches(pattern, node)]
    if not matching:
        names = ', '.join(pattern for pattern, _ in sections) or 'no node'
        raise SettingsError(f'{path}: has parameters of {names}, not of {node}')
    for section in matching:
        if not isinstance(section, dict):
            raise SettingsError(f'{path}: {_MARK} must have names and values')
        found |= _flat(section, '')
    return found


def _sections(content: Mapping[Any, Any], name: str) -> Iterator[tuple[str, Any]]:
    """Yield the names of nodes, wildcards included, and their parameters."""
    for key, value in content.items():
        if key == _MARK:
            yield name, value
        elif isinstance(value, dict):
            yield from _sections(value, f'{name}/{str(key).strip("/")}')


def _matches(pattern: str, node: str) -> bool:
    """Whether a node's name fits a pattern: * is one part of it, ** any number of them."""
    kinds = {'*': '/[^/]+', '**': '(/[^/]+)*'}
    text = ''.join(kinds.get(part, f'/{re.escape(part)}') for part in _parts(pattern))
    return re.fullmatch(text, node) is not None


def _flat(section: Mapping[Any, Any], prefix: str) -> Parameters:
    """Return the leaves of nested names by dotted name."""
    flat: Parameters = {}
    for key, value in section.items():
        name = f'{prefix}.{key}' if prefix else str(key)
        flat |= _flat(value, name) if isinstance(value, dict) else {name: value}
    return flat
