"""Starts the profiler and, unless bridge:=false, the bridge.

To profile topics of an existing launch file, include this one with remappings (SetRemap), or name
the topics in config_file.
"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from profiler_node.core.config import ZERO_CONFIGURATION

CONFIG = Path(get_package_share_directory('edge_profiler')) / 'config'

ARGUMENTS = {
    'config_file': (str(CONFIG / 'profiler.yaml'), 'parameters of the profiler'),
    'bridge_config_file': (str(CONFIG / 'bridge.yaml'), 'parameters of the bridge'),
    'namespace': ('', 'namespace of both nodes; relative topics follow it'),
    **{name: (name, f'topic of the stream {name}') for name in ZERO_CONFIGURATION},
    'robot_id': ('', 'name of this robot; empty: as in config_file'),
    'use_sim_time': ('false', 'true: follow /clock, as for a bag that is played'),
    'bridge': ('true', 'false: publish profiles, but do not store or upload them'),
    'store_url': ('', 'where profiles go; empty: as in bridge_config_file'),
}


def nodes(context):
    given = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    sim_time = {
        'use_sim_time': ParameterValue(LaunchConfiguration('use_sim_time'), value_type=bool)
    }
    for name in ('config_file', 'bridge_config_file'):
        if not Path(given[name]).is_file():
            raise FileNotFoundError(f'{name}:={given[name]} does not exist')

    def override(name):
        return {name: given[name]} if given[name] else {}

    profiler = Node(
        package='edge_profiler',
        executable='profiler',
        name='profiler',
        namespace=given['namespace'],
        parameters=[given['config_file'], sim_time | override('robot_id')],
        remappings=[(name, given[name]) for name in ZERO_CONFIGURATION if given[name] != name],
        output='screen',
    )
    bridge = Node(
        package='edge_profiler',
        executable='bridge',
        name='bridge',
        namespace=given['namespace'],
        parameters=[given['bridge_config_file'], sim_time | override('store_url')],
        condition=IfCondition(given['bridge']),
        output='screen',
    )
    return [profiler, bridge]


def generate_launch_description():
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=description)
                for name, (default, description) in ARGUMENTS.items()
            ),
            OpaqueFunction(function=nodes),
        ]
    )
