"""Runs one node as a process: errors in one line, and a clean end."""

import logging
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.impl.rcutils_logger import RcutilsLogger
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rclpy.subscription import Subscription
from rosgraph_msgs.msg import Clock

from profiler_node.bridge.errors import BridgeError
from profiler_node.memory import keep_freed_memory

_QUIET_S = 0.2  # without a message; timers and /clock, which goes on, are none
_WAKE_S = 0.1  # how soon a signal is seen while nothing else happens


class ProcessNode(Node):
    """A node with something left to do when its process is asked to end.

    handled: messages so far, counted by the node's callbacks. drain_s: how long it may go on for
    those that have arrived or are still to come.
    """

    handled = 0
    drain_s = 1.0
    _clock_is_bad = False

    def create_subscription(
        self, msg_type: Any, topic: str, callback: Any, *more: Any, **named: Any
    ) -> Subscription:
        """Subscribe, as any node; but a /clock before 1970 ends none of ours.

        rclpy raises for it, in a callback of its own. So is the time of a recording from after 2038
        told, whose seconds the message cannot hold.
        """
        if msg_type is Clock:
            callback = partial(self._take_clock, callback)
        return super().create_subscription(msg_type, topic, callback, *more, **named)

    def _take_clock(self, take: Callable[[Clock], object], message: Clock) -> None:
        if message.clock.sec >= 0:
            take(message)
        elif not self._clock_is_bad:
            self._clock_is_bad = True
            self.get_logger().error('/clock says a time before 1970, or after 2038: it is left out')

    def expects_more(self) -> bool:
        """Whether messages are still to come, though none is waiting."""
        return False

    def finish(self) -> None:
        """Bring in what is open, so that the process ends within five seconds."""


class _RosLogHandler(logging.Handler):
    """Passes the log of the ROS-free modules on to the node's."""

    def __init__(self, logger: RcutilsLogger) -> None:
        super().__init__(logging.INFO)
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        if record.levelno >= logging.ERROR:
            self._logger.error(text)
        elif record.levelno >= logging.WARNING:
            self._logger.warning(text)
        else:
            self._logger.info(text)


def drain(executor: SingleThreadedExecutor, node: ProcessNode) -> None:
    """Handle the messages that have arrived: they are acknowledged, nobody sends them again."""
    heard_s = time.monotonic()
    deadline_s = heard_s + node.drain_s
    while rclpy.ok() and (time.monotonic() < heard_s + _QUIET_S or node.expects_more()):
        if time.monotonic() > deadline_s:
            return
        before = node.handled
        executor.spin_once(timeout_sec=_WAKE_S)
        if node.handled != before:
            heard_s = time.monotonic()


def run(name: str, make_node: Callable[[], ProcessNode]) -> int:
    """Run the node until SIGINT, SIGTERM or the end of the context; return the exit status."""
    keep_freed_memory()
    stopped = False

    def stop(*_: object) -> None:
        nonlocal stopped
        stopped = True

    # rclpy's own handlers would end the context, and with it the publishers, before finish().
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    try:
        rclpy.init(args=sys.argv, signal_handler_options=SignalHandlerOptions.NO)
        node = make_node()
    except (OSError, RuntimeError, ValueError, BridgeError) as error:
        print(f'{name}: {" ".join(str(error).split())}', file=sys.stderr)
        return 1
    log = logging.getLogger('profiler_node')
    log.addHandler(_RosLogHandler(node.get_logger()))
    log.setLevel(logging.INFO)
    # Not EventsExecutor: Jazzy's raises SystemError for callbacks that take the message's info.
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    while not stopped and rclpy.ok():
        executor.spin_once(timeout_sec=_WAKE_S)
    drain(executor, node)
    executor.remove_node(node)
    node.finish()
    node.destroy_node()
    rclpy.try_shutdown()
    return 0
