"""What can be configured in the core. The ROS parameters are declared from these classes."""

import re
from dataclasses import dataclass

from profiler_node.settings import check_ranges, setting

NS_PER_S = 1_000_000_000
MOST_OPEN_WINDOWS = 60


@dataclass(frozen=True)
class WindowConfig:
    """How event time is cut into windows."""

    length_s: float = setting(
        60.0,
        'Length of a window [s]. Windows are aligned to 1970, so those of all robots line up.',
        minimum=0.1,
        maximum=86_400.0,
    )
    allowed_lateness_s: float = setting(
        2.0,
        'How long a window waits for late messages [s]. A stamp further back than this behind the '
        'newest is late, or starts a new epoch when the next ones follow it.',
        minimum=0.0,
        maximum=3_600.0,
    )

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.allowed_lateness_s > MOST_OPEN_WINDOWS * self.length_s:
            raise ValueError(
                f'allowed_lateness_s is {self.allowed_lateness_s}, it must be at most '
                f'{MOST_OPEN_WINDOWS} times length_s ({self.length_s}): every window in that time '
                'is held in memory'
            )

    @property
    def length_ns(self) -> int:
        """Length of a window [ns]."""
        return round(self.length_s * NS_PER_S)

    @property
    def allowed_lateness_ns(self) -> int:
        """Allowed lateness [ns]."""
        return round(self.allowed_lateness_s * NS_PER_S)


@dataclass(frozen=True)
class SketchConfig:
    """Accuracy of the sketches against their size."""

    kll_k: int = setting(
        200,
        'k of the KLL quantile sketches: 200 gives 1.33 % rank error in up to about 3.3 kB.',
        minimum=8,
        maximum=65_535,
    )
    hll_lg_k: int = setting(
        12,
        'Base-2 logarithm of the HyperLogLog registers: 12 gives 1.6 % error in up to 2 kB.',
        minimum=7,
        maximum=21,
    )
    frequent_lg_max_k: int = setting(
        7,
        'Base-2 logarithm of the frequent-items map: 7 counts up to 96 categories exactly.',
        minimum=3,
        maximum=16,
    )

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True)
class SegmentConfig:
    """What splits all streams into segments."""

    topic: str = setting(
        '',
        'Topic whose latest value splits all streams: robot mode, weather. Empty: none. At most 16 '
        'values, the others are one segment.',
    )
    field: str = setting('data', 'Field of that topic that holds the value, as a path.')

    def __post_init__(self) -> None:
        check_ranges(self)


ZERO_CONFIGURATION = ('image', 'depth', 'points', 'scan', 'detections')
"""The streams without configuration, each of the topic of its name."""

KINDS = ('', 'image', 'depth', 'fields')
JPEG_REDUCTIONS = (1, 2, 4, 8)
MESSAGE_TYPE = re.compile(r'[a-z]\w*/msg/[A-Z]\w*', re.ASCII)


@dataclass(frozen=True)
class StreamConfig:
    """One topic to profile, and how."""

    topic: str = setting(
        '',
        'Topic to profile. A relative name follows the namespace and can be remapped. Empty: the '
        'name of the stream.',
    )
    type: str = setting('', 'Message type, as sensor_msgs/msg/Image. Empty: what is published.')
    kind: str = setting(
        '',
        'What an image shows: image or depth; fields: take the message field by field, whatever '
        'its type. Empty: by message type and encoding.',
    )
    fields: tuple[str, ...] = setting(
        ('',), 'Fields to profile, as path or name=path. Empty: all, at most 256.'
    )
    depth_scale_m: float = setting(
        0.0,
        'Metres of 1 in a depth image. 0: 0.001 for integers, 1 for floats.',
        minimum=0.0,
        maximum=1e6,
    )
    depth_min_m: float = setting(
        0.0, 'Depth below this is out of range [m].', minimum=0.0, maximum=1e6
    )
    depth_max_m: float = setting(
        0.0, 'Depth above this is out of range [m]. 0: no limit.', minimum=0.0, maximum=1e6
    )
    jpeg_reduction: int = setting(
        1, 'Decode JPEG at 1/1, 1/2, 1/4 or 1/8 of its size: faster.', minimum=1, maximum=8
    )

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.type and not MESSAGE_TYPE.fullmatch(self.type):
            raise ValueError(f'type is {self.type!r}, it must be as sensor_msgs/msg/Image')
        if self.kind not in KINDS:
            raise ValueError(f'kind is {self.kind!r}, it must be one of {KINDS}')
        if self.jpeg_reduction not in JPEG_REDUCTIONS:
            raise ValueError(
                f'jpeg_reduction is {self.jpeg_reduction}, it must be one of {JPEG_REDUCTIONS}'
            )
        if self.depth_max_m and self.depth_max_m <= self.depth_min_m:
            raise ValueError(
                f'depth_max_m is {self.depth_max_m}, it must be above depth_min_m '
                f'({self.depth_min_m})'
            )

    @property
    def field_paths(self) -> tuple[str, ...]:
        """The fields that were given."""
        return tuple(filter(None, self.fields))
