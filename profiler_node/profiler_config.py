"""What the profiler can be told beyond the core: by parameters, or for bags by a file of them."""

from dataclasses import dataclass

from profiler_node.core.config import ZERO_CONFIGURATION, StreamConfig
from profiler_node.settings import check_ranges, setting

STREAM_DEFAULTS = {'depth': StreamConfig(kind='depth')}
"""The defaults of streams of such a name, where they are not those of all others."""


@dataclass(frozen=True)
class ProfilerConfig:
    """What the node itself can be told."""

    robot_id: str = setting('', 'Name of this robot in the fleet. Empty: the host name.')
    tags: tuple[str, ...] = setting(
        ('',), 'Where the data comes from, as key=value: firmware=1.4.2, model=yolo-7.'
    )
    streams: tuple[str, ...] = setting(
        ZERO_CONFIGURATION, 'Names of the streams to profile; stream.<name>.* configures each.'
    )
    detections_file: str = setting(
        '',
        'YAML file that says where further message types keep their detections. Empty: only those '
        'that are built in.',
    )
    queue_depth: int = setting(
        10,
        'Images or clouds of a topic that may wait to be profiled; of other messages 50 times as '
        'many.',
        minimum=1,
        maximum=1_000,
    )
    cpu_budget: float = setting(
        0.0,
        'CPU time that profiling may take, as a share of one core; messages beyond it are left out '
        'evenly and counted as shed. 0: as much as there is.',
        minimum=0.0,
        maximum=1.0,
    )
    state_dir: str = setting(
        '', 'Folder for what outlives a restart. Empty: edge_profiler in ROS_HOME or ~/.ros.'
    )
    checkpoint_interval_s: float = setting(
        10.0,
        'How often the open windows are written to state_dir [s]: a kill loses no more than that '
        'of them. Also after windows closed, at most every second. 0: never.',
        minimum=0.0,
        maximum=3_600.0,
    )

    def __post_init__(self) -> None:
        check_ranges(self)
        for tag in filter(None, self.tags):
            if not tag.partition('=')[0] or '=' not in tag:
                raise ValueError(f'tags has {tag!r}, it must be key=value')
        if not all(self.streams) or len(set(self.streams)) < len(self.streams):
            raise ValueError(f'streams is {list(self.streams)}, its names must be given once each')

    @property
    def tag_map(self) -> dict[str, str]:
        """The tags by key."""
        return dict(tag.split('=', 1) for tag in self.tags if tag)
