"""Plays a recording with `ros2 bag play` into the profiler, in simulated time, and ends with it.

    ros2 launch edge_profiler replay.launch.py bag:=run_17 image:=/camera/image_raw store_url:=out

The arguments of profiler.launch.py are taken too: config_file, robot_id, bridge:=false, and so on.
It begins when the profiler is ready, which then has `delay` to subscribe what is played. When it is
over both nodes are asked to end: the last windows are profiled and uploaded.
With loop:=true that is at Ctrl-C, and each time through is an epoch of its own. While it is paused,
by the player's service ~/toggle_paused, windows stay open.

The same numbers without ROS, and much faster: edge-profiler bag.
"""

import shlex
from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    IncludeLaunchDescription,
    OpaqueFunction,
    RegisterEventHandler,
    Shutdown,
)
from launch.event_handlers import OnProcessExit, OnProcessIO
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration

READY = b'ready to profile'  # says the profiler
PROFILER = Path(get_package_share_directory('edge_profiler')) / 'launch' / 'profiler.launch.py'

# What `ros2 bag play` has in every distribution from Humble on.
ARGUMENTS = {
    'bag': (None, 'the recording: a folder or a file'),
    'rate': ('1.0', 'how many times as fast'),
    'loop': ('false', 'true: play it again and again'),
    'start_offset': ('0.0', 'how far into the recording to begin [s]'),
    # DDS announces itself every 3 s, and the profiler looks every second.
    'delay': ('5.0', 'how long to wait, each time through, for those who subscribe [s]'),
    'clock': ('100.0', 'how often /clock is told [Hz]'),
    'acknowledge_ms': ('5000', 'how long to wait at the end for reliable subscribers [ms]'),
    'play_arguments': ('', 'more for `ros2 bag play`, as --topics /a /b'),
}


def player(context):
    given = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    if not Path(given['bag']).exists():
        raise FileNotFoundError(f'bag:={given["bag"]} does not exist')
    if given['loop'] not in {'true', 'false'}:
        raise ValueError(f'loop:={given["loop"]} must be true or false')
    command = ['ros2', 'bag', 'play', given['bag'], '--disable-keyboard-controls']
    command += ['--rate', given['rate'], '--clock', given['clock']]
    command += ['--start-offset', given['start_offset']]
    command += ['--delay', given['delay']] if float(given['delay']) else []  # it refuses 0
    command += ['--wait-for-all-acked', given['acknowledge_ms']]
    command += ['--loop'] if given['loop'] == 'true' else []
    command += shlex.split(given['play_arguments'])
    waiting = [ExecuteProcess(cmd=command, name='player', output='screen')]

    def play_once_ready(event):
        return waiting.pop() if waiting and READY in event.text else None

    return [
        RegisterEventHandler(OnProcessIO(on_stdout=play_once_ready, on_stderr=play_once_ready)),
        # Whichever it is: without the profiler or the bridge there is no use in playing.
        RegisterEventHandler(OnProcessExit(on_exit=Shutdown(reason='a process has ended'))),
    ]


def generate_launch_description():
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=description)
                for name, (default, description) in ARGUMENTS.items()
            ),
            OpaqueFunction(function=player),
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(str(PROFILER)),
                launch_arguments={'use_sim_time': 'true'}.items(),
            ),
        ]
    )
