"""How a node is doing, on /diagnostics: as rqt_robot_monitor and diagnostic_aggregator read it."""

from collections.abc import Callable, Iterable

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from profiler_node.health import Status

_PERIOD_S = 1.0
_DEPTH = 10


class Diagnostics:
    """Publishes what collect returns once a second.

    hardware_id: the robot. collect is called in the node's executor.
    """

    def __init__(
        self, node: Node, hardware_id: str, collect: Callable[[], Iterable[Status]]
    ) -> None:
        self._node, self._hardware_id, self._collect = node, hardware_id, collect
        self._name = node.get_fully_qualified_name().strip('/')
        self._publisher = node.create_publisher(DiagnosticArray, '/diagnostics', _DEPTH)
        # Steady time, so that neither a clock that is set nor a paused simulation stops it.
        node.create_timer(_PERIOD_S, self._publish, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _publish(self) -> None:
        message = DiagnosticArray(status=[self._message(status) for status in self._collect()])
        message.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(message)

    def _message(self, status: Status) -> DiagnosticStatus:
        return DiagnosticStatus(
            level=bytes([status.level]),
            name=f'{self._name}: {status.name}',
            message=status.message,
            hardware_id=self._hardware_id,
            values=[KeyValue(key=key, value=str(value)) for key, value in status.values.items()],
        )
