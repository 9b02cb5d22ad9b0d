"""What a well-equipped robot publishes: 12 GB/min on five topics."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import messages


@dataclass(frozen=True)
class Sensor:
    """One topic: its messages, how many a second, and how many of them may wait to be handled."""

    name: str
    message_type: str
    rate_hz: float
    make: Callable[[int], list[bytearray]]
    depth: int
    parameters: dict[str, str] = field(default_factory=dict)

    @property
    def topic(self) -> str:
        """The topic that carries it."""
        return f'/bench/{self.name}'

    @property
    def message_class(self) -> Any:
        """The class that rclpy wants to see."""
        package, _, name = self.message_type.partition('/msg/')
        return getattr(importlib.import_module(f'{package}.msg'), name)


# The depths are those that the profiler gives such topics.
MIX = (
    Sensor('image', 'sensor_msgs/msg/Image', 25.0, messages.image_bgr8, 10),
    Sensor('depth', 'sensor_msgs/msg/Image', 15.0, messages.depth_16uc1, 10, {'kind': 'depth'}),
    Sensor('points', 'sensor_msgs/msg/PointCloud2', 10.0, messages.cloud, 10),
    Sensor('detections', 'vision_msgs/msg/Detection2DArray', 25.0, messages.boxes, 500),
    Sensor('imu', 'sensor_msgs/msg/Imu', 200.0, messages.imu, 500),
)
