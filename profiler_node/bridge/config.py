"""What can be configured in the bridge. The ROS parameters are declared from these classes."""

from dataclasses import dataclass

from profiler_node.settings import check_ranges, setting


@dataclass(frozen=True)
class SpoolConfig:
    """How much may wait on the robot's disk."""

    max_bytes: int = setting(
        256_000_000,
        'Size of the spool on disk at most. Near it neighbouring windows are merged into longer '
        'ones, of 2, 5, 15 and 60 minutes, the oldest first; what is still too much is dropped, '
        'the oldest first.',
        minimum=4_000_000,
        maximum=1_000_000_000_000,
    )
    max_rows: int = setting(
        500_000,
        'Profiles that may wait at most; beyond it as for max_bytes.',
        minimum=100,
        maximum=100_000_000,
    )
    max_age_s: float = setting(
        0.0,
        'How long a profile may wait before it is dropped [s]; 0: as long as there is room. It is '
        "told by the robot's clock.",
        minimum=0.0,
        maximum=1e9,
    )

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True)
class BridgeConfig:
    """When profiles leave the robot, and in which portions."""

    upload_interval_s: float = setting(
        10.0,
        'Time between two looks for something to upload [s]. What is urgent does not wait for it.',
        minimum=0.1,
        maximum=86_400.0,
    )
    batch_bytes: int = setting(
        1_000_000,
        'Payload bytes that go into one object at most, before compression.',
        minimum=1_000,
        maximum=64_000_000,
    )
    newest_first_s: float = setting(
        60.0,
        'How long after a link has come back the newest profiles go first [s]; then the oldest.',
        minimum=0.0,
        maximum=86_400.0,
    )
    bytes_per_s: float = setting(
        0.0,
        'Bytes of objects that may be sent per second, on average; 0: as fast as the link is.',
        minimum=0.0,
        maximum=1e12,
    )
    bytes_per_day: int = setting(
        0,
        'Bytes of objects that may be sent from one midnight (UTC) to the next, tries that failed '
        'included; 0: no limit.',
        minimum=0,
        maximum=1_000_000_000_000,
    )
    metered: bool = setting(
        False,
        'Whether the link is metered at the start: then only what is urgent is sent. Topic and '
        'service switch it.',
    )
    max_backoff_s: float = setting(
        300.0,
        'Longest wait after failed uploads [s]. It doubles from upload_interval_s up to this, less '
        'a random part of up to one half. After an error that a human has to mend it is this.',
        minimum=1.0,
        maximum=86_400.0,
    )
    timeout_s: float = setting(
        30.0,
        'How long one upload may take [s]; after each that took longer twice as much, up to 32 '
        'times.',
        minimum=1.0,
        maximum=3_600.0,
    )

    def __post_init__(self) -> None:
        check_ranges(self)
