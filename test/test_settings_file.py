"""The parameter file of the live node, read without ROS."""

from pathlib import Path

import pytest

from profiler_node.bags import Channel
from profiler_node.core.config import StreamConfig
from profiler_node.settings_file import SettingsError, plan_of

ROOT = Path(__file__).parent.parent


@pytest.fixture
def plan(tmp_path):
    def read(text, namespace=''):
        path = tmp_path / 'profiler.yaml'
        path.write_text(text, encoding='utf-8')
        return plan_of(path, namespace)

    return read


def test_the_shipped_file_gives_the_streams_of_the_node():
    plan = plan_of(ROOT / 'config' / 'profiler.yaml')
    assert [channel[:2] for channel in plan.channels] == [
        (name, f'/{name}') for name in ('image', 'depth', 'points', 'scan', 'detections')
    ]
    assert plan.channels[1].config.kind == 'depth'
    assert plan.window.length_s == 60.0
    assert plan.optional


def test_names_may_be_nested_or_dotted_and_later_ones_win(plan):
    given = plan(
        """
/**:
  ros__parameters:
    window.length_s: 10
    robot_id: r1
    streams: [front, rear]
    stream.front.topic: camera/front
    stream:
      rear: {topic: /camera/rear, kind: depth, depth_max_m: 1e1}
/profiler:
  ros__parameters: {tags: [firmware=1.4], robot_id: r2, use_sim_time: true}
/bridge:
  ros__parameters: {store_url: /x}
"""
    )
    assert (given.robot_id, dict(given.tags), given.window.length_s) == (
        *('r2', {'firmware': '1.4'}),
        10.0,
    )
    assert given.channels == (
        Channel('front', '/camera/front', StreamConfig(topic='camera/front')),
        Channel(
            *('rear', '/camera/rear'),
            StreamConfig(topic='/camera/rear', kind='depth', depth_max_m=10.0),
        ),
    )


@pytest.mark.parametrize(
    ('key', 'matches'),
    [
        ('/**', True),
        ('/*/profiler', True),
        ('/**/profiler', True),
        ('/r1/profiler', True),
        ('/profiler', False),
        ('/r2/profiler', False),
        ('/*', False),
    ],
)
def test_a_file_may_be_of_many_nodes(plan, key, matches):
    text = f'{key}:\n  ros__parameters: {{streams: [front], segment: {{topic: mode}}}}\n'
    if not matches:
        with pytest.raises(SettingsError, match=r'not of /r1/profiler'):
            plan(text, '/r1')
        return
    given = plan(text, '/r1')
    assert given.channels[0][:2] == ('r1/front', '/r1/front')
    assert given.segment.topic == '/r1/mode'


def test_names_of_nodes_may_be_nested(plan):
    assert plan('r1:\n  profiler:\n    ros__parameters: {robot_id: a}\n', 'r1').robot_id == 'a'


def test_without_streams_each_topic_is_one(plan):
    assert plan('/**: {ros__parameters: {robot_id: a}}').channels is None


@pytest.mark.parametrize(
    ('parameters', 'message'),
    [
        ('{windw: {length_s: 1.0}}', 'parameter windw.length_s is not known'),
        ('{streams: [a], stream: {b: {kind: depth}}}', 'parameter stream.b.kind is not known'),
        ('{window: {length_s: -1}}', r'parameter window.length_s is -1.0, it must be in'),
        ('{window: {length_s: long}}', "parameter window.length_s is 'long', it must be float"),
        ('{tags: [firmware]}', "parameter tags has 'firmware', it must be key=value"),
        ('{streams: [a, a]}', 'names must be given once each'),
        ('[1]', 'ros__parameters must have names'),
    ],
)
def test_what_the_node_refuses_is_refused(plan, parameters, message):
    with pytest.raises(SettingsError, match=message):
        plan(f'/**: {{ros__parameters: {parameters}}}')


@pytest.mark.parametrize('text', ['{', '', '[]', 'a: b', 'ünlesbar: \x00'])
def test_a_file_that_is_none_is_named(plan, text):
    with pytest.raises(SettingsError, match=r'profiler\.yaml'):
        plan(text)
