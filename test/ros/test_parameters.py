"""Parameters: declared from the dataclasses, listed in config/, checked with one clear line."""

from dataclasses import fields
from pathlib import Path

import pytest

pytest.importorskip('edge_profiler', reason='needs ROS 2 and the package built with colcon')

import yaml

from profiler_node.bridge.config import BridgeConfig, SpoolConfig
from profiler_node.core.config import SegmentConfig, SketchConfig, StreamConfig, WindowConfig
from profiler_node.profiler_config import STREAM_DEFAULTS, ProfilerConfig
from profiler_node.ros.bridge import BridgeNodeConfig

CONFIG = Path(__file__).parent.parent.parent / 'config'
DECLARED = {
    'profiler': {
        '': ProfilerConfig,
        'segment.': SegmentConfig,
        'window.': WindowConfig,
        'sketch.': SketchConfig,
        'stream.image.': StreamConfig,
    },
    'bridge': {'': BridgeNodeConfig, 'spool.': SpoolConfig, 'upload.': BridgeConfig},
}


def flat(tree, prefix=''):
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from flat(value, f'{prefix}{name}.')
        else:
            yield f'{prefix}{name}', value


@pytest.mark.parametrize('node', DECLARED)
def test_the_file_lists_every_parameter_with_its_default(node):
    text = (CONFIG / f'{node}.yaml').read_text(encoding='utf-8')
    listed = dict(flat(yaml.safe_load(text)['/**']['ros__parameters']))
    declared = {
        f'{prefix}{item.name}': list(item.default)
        if isinstance(item.default, tuple)
        else item.default
        for prefix, config in DECLARED[node].items()
        for item in fields(config)
    }
    for name, defaults in STREAM_DEFAULTS.items() if node == 'profiler' else ():
        differ = (i.name for i in fields(defaults) if getattr(defaults, i.name) != i.default)
        declared |= {f'stream.{name}.{key}': getattr(defaults, key) for key in differ}
    assert listed == declared


@pytest.mark.parametrize('node', DECLARED)
def test_the_shipped_file_is_accepted(run, node, tmp_path):
    arguments = ['--params-file', CONFIG / f'{node}.yaml', '-p', f'state_dir:={tmp_path}']
    process = run(node, '--ros-args', *arguments)
    assert process.runs_for(1.5), process.output
    assert process.end() == 0, process.output


@pytest.mark.parametrize(
    ('node', 'parameter', 'message'),
    [
        ('profiler', 'windw.length_s:=3.0', 'parameter windw.length_s is not known'),
        ('profiler', 'stream.rear.topic:=/x', 'parameter stream.rear.topic is not known'),
        ('profiler', 'window.length_s:=0.0', 'parameter window.length_s is 0.0, it must be in'),
        ('profiler', 'use_sim_time_oops:=true', 'parameter use_sim_time_oops is not known'),
        ('profiler', 'queue_depth:=0', 'parameter queue_depth is 0, it must be in'),
        ('profiler', 'window.length_s:=soon', "parameter window.length_s is 'soon'"),
        ('profiler', 'sketch.kll_k:=200.5', 'parameter sketch.kll_k is 200.5, it must be int'),
        ('profiler', "tags:=['firmware']", "parameter tags has 'firmware', it must be key=value"),
        ('profiler', 'tags:=[1, 2]', 'parameter tags is (1, 2), it must be a list of strings'),
        ('profiler', 'stream.image.topic:=3', 'parameter stream.image.topic is 3, it must be str'),
        ('bridge', 'store_url:=5', 'parameter store_url is 5, it must be str'),
        ('profiler', "streams:=['a', 'a']", 'parameter streams is'),
        ('profiler', "streams:=['front camera']", "'front camera'"),
        ('profiler', 'state_dir:=/proc/nowhere', '/proc/nowhere'),
        ('bridge', 'upload.batch_bytes:=1', 'parameter upload.batch_bytes is 1, it must be in'),
    ],
)
def test_what_is_wrong_is_named_in_one_line(run, tmp_path, node, parameter, message):
    state = [] if 'state_dir' in parameter else ['-p', f'state_dir:={tmp_path}']
    process = run(node, '--ros-args', *state, '-p', parameter)
    assert process.wait() == 1
    assert message in process.output
    assert process.output.count('\n') == 1, process.output


@pytest.mark.parametrize(
    ('parameter', 'message'),
    [
        ('store_url:=ftp://host', "store URL 'ftp://host'"),
        ('store_url:=https://me:secret@host', 'https://host: store_url holds credentials'),
        ('store_url:=/proc/nowhere', '/proc/nowhere'),
        ('state_dir:=/proc/nowhere', '/proc/nowhere'),
    ],
)
def test_a_bridge_without_a_store_or_a_disk_goes_on_and_says_so(run, tmp_path, parameter, message):
    state = [] if 'state_dir' in parameter else ['-p', f'state_dir:={tmp_path}']
    process = run('bridge', '--ros-args', *state, '-p', parameter)
    assert process.says(message), process.output
    assert 'secret' not in process.output
    assert process.runs_for(0.5), process.output
    assert process.end() == 0, process.output


def test_a_whole_number_is_a_float(run, tmp_path):
    arguments = ['-p', f'state_dir:={tmp_path}', '-p', 'window.length_s:=30']
    process = run('profiler', '--ros-args', *arguments)
    assert process.runs_for(1.5), process.output
    assert process.end() == 0, process.output
