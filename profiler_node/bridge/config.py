"""What can be configured in the bridge. The ROS parameters are declared from this class."""

from dataclasses import dataclass

from profiler_node.settings import check_ranges, setting


@dataclass(frozen=True)
class BridgeConfig:
    """When profiles leave the robot, and in which portions."""

    upload_interval_s: float = setting(
        10.0,
        'Time between two looks for something to upload [s].',
        minimum=0.1,
        maximum=86_400.0,
    )
    batch_bytes: int = setting(
        1_000_000,
        'Payload bytes that go into one object at most, before compression.',
        minimum=1_000,
        maximum=64_000_000,
    )
    max_backoff_s: float = setting(
        300.0,
        'Longest wait after failed uploads [s]. It doubles from upload_interval_s up to this, less '
        'a random part of up to one half.',
        minimum=1.0,
        maximum=86_400.0,
    )
    timeout_s: float = setting(
        30.0, 'How long one upload may take [s].', minimum=1.0, maximum=3_600.0
    )

    def __post_init__(self) -> None:
        check_ranges(self)
