"""A topic as a source of serialized messages, subscribed as its publishers offer."""

import importlib
import time
from collections.abc import Callable, Collection, Sequence
from copy import copy
from dataclasses import dataclass
from functools import partial
from typing import Any

from rclpy.qos import DurabilityPolicy, QoSCompatibility, QoSProfile, qos_check_compatible
from rclpy.subscription import Subscription
from rclpy.topic_endpoint_info import TopicEndpointInfo

from profiler_node.core.gaps import SequenceGaps
from profiler_node.ros.process import ProcessNode
from profiler_node.ros.qos import given_overrides, matching_qos

_NO_SEQUENCE_NUMBER = 2**64 - 1  # what an RMW says that does not number the messages


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message. lost: how many before it were lost, None if unknown; waited_ns: in our queue."""

    data: memoryview
    receive_ns: int
    lost: int | None
    waited_ns: int


Receive = Callable[[Arrival], None]


@dataclass(frozen=True, slots=True)
class Taking:
    """What to take of a topic: messages of which type, how many may wait, and what takes them.

    resumed: what is latched has been counted already, by an earlier process.
    """

    message_type: str
    depth: int
    receive: Receive
    resumed: bool = False


Begin = Callable[[str, Collection[str]], Taking]


class Input:
    """One topic. Nothing happens before something is published on it.

    topic: as configured. begin: is called with the resolved name and the message types that are
    published, and returns what to take; ValueError says why there can be nothing.
    """

    def __init__(self, node: ProcessNode, topic: str, begin: Begin) -> None:
        self._node = node
        # What the node is asked by this name it remaps itself, so that it must be the given one.
        self._topic = topic
        try:
            self.resolved = node.resolve_topic_name(topic)
        except RuntimeError as error:
            raise ValueError(f'topic {topic!r}: {error}') from error
        self._begin = begin
        self._refused: Collection[str] = ()
        self._taking: Taking | None = None
        self._subscription: Subscription | None = None
        self._qos: QoSProfile | None = None
        self._publisher_ids: set[bytes] = set()
        self._gaps: SequenceGaps | None = None
        self._asked: QoSProfile | None = None  # with what was overridden
        self._problems: dict[str, str] = {}
        self.publishers = 0

    def match(self) -> None:
        """Subscribe as the publishers offer; again when they have changed."""
        publishers = self._node.get_publishers_info_by_topic(self._topic)
        self.publishers = len(publishers)
        if not publishers:
            self._note('others')
            self._note('qos')
            return
        types = {publisher.topic_type for publisher in publishers}
        taking = self._taking or self._begin_with(types)
        if taking is None:
            return
        others = ', '.join(sorted(types - {taking.message_type}))
        self._note('others', others and f'profiling {taking.message_type}, not {others}')
        taken = self._of_our_type(publishers)
        if not taken:
            return
        offered = [publisher.qos_profile for publisher in taken]
        qos = matching_qos(offered, taking.depth, self._qos)
        if taking.resumed:
            qos.durability = DurabilityPolicy.VOLATILE
        ids = _ids(taken)
        if ids != self._publisher_ids or qos != self._qos:
            # A message does not say which publisher its sequence number is of.
            self._publisher_ids, self._gaps = ids, SequenceGaps() if len(ids) == 1 else None
        if qos != self._qos:
            self._subscribe(taking, qos)
        self._note('qos', _mismatch(offered, self._asked))

    def _begin_with(self, types: Collection[str]) -> Taking | None:
        """Choose one of types; None where there is none to take."""
        if types == self._refused:
            return None
        try:
            self._taking = self._begin(self.resolved, types)
        except ValueError as error:
            self._refused = types
            self._note('type', f'cannot be profiled: {error}')
        else:
            self._note('type')
        return self._taking

    @property
    def problem(self) -> str:
        """What is wrong with the topic now, '' if all is well."""
        return '; '.join(filter(None, self._problems.values()))

    @property
    def fails(self) -> bool:
        """Whether nothing of the topic can be profiled."""
        return bool(self._problems.get('type') or self._problems.get('subscription'))

    def _note(self, kind: str, text: str = '') -> None:
        """Note what is wrong, '' for nothing, and log it when it begins."""
        if text and text != self._problems.get(kind):
            self._node.get_logger().warning(f'{self.resolved}: {text}')
        self._problems[kind] = text

    def _subscribe(self, taking: Taking, qos: QoSProfile) -> None:
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
        self._subscription, self._qos, self._asked = None, qos, None
        asked = copy(qos)  # rclpy writes the overrides into it
        callback: Callable[..., None] = self._on_message
        if not hasattr(Subscription, 'CallbackType'):  # Humble's callbacks get no message info
            callback = partial(callback, info={})
        try:
            self._subscription = self._node.create_subscription(
                _message_class(taking.message_type),
                self._topic,
                callback,
                asked,
                raw=True,
                qos_overriding_options=given_overrides(self._node, self.resolved),
            )
        except Exception as error:
            # What rclpy raises for a bad QoS override depends on the policy, and a broken message
            # package has an exception of its own: the other topics are to be profiled all the same.
            self._note('subscription', f'cannot be subscribed: {error}')
            return
        self._note('subscription')
        self._asked = asked
        self._node.get_logger().info(
            f'{self.resolved}: subscribed ({asked.reliability.name.lower()}, '
            f'{asked.durability.name.lower()})'
        )

    def _on_message(self, data: bytes, info: dict[str, Any]) -> None:
        self._node.handled += 1
        number = info.get('publication_sequence_number', _NO_SEQUENCE_NUMBER)
        lost = None
        if self._gaps is not None and number != _NO_SEQUENCE_NUMBER:
            lost = self._gaps.lost_before(number)
            if lost is None or (lost and self._has_other_publishers()):
                lost = self._gaps = None
                self._publisher_ids = set()  # the next look begins anew with those that are there
        if self._taking is not None:
            waited_ns = 0
            if received_ns := info.get('received_timestamp'):
                waited_ns = max(time.time_ns() - received_ns, 0)
            arrival = Arrival(memoryview(data), self._receive_ns(info), lost, waited_ns)
            self._taking.receive(arrival)

    def _has_other_publishers(self) -> bool:
        """Whether somebody publishes who did not at the last look."""
        publishers = self._node.get_publishers_info_by_topic(self._topic)
        return _ids(self._of_our_type(publishers)) != self._publisher_ids

    def _of_our_type(self, publishers: list[TopicEndpointInfo]) -> list[TopicEndpointInfo]:
        ours = self._taking.message_type if self._taking else ''
        return [publisher for publisher in publishers if publisher.topic_type == ours]

    def _receive_ns(self, info: dict[str, Any]) -> int:
        """Return when a message came in, in the clock that the stamps are to be compared with."""
        clock = self._node.get_clock()
        if clock.ros_time_is_active:
            return int(clock.now().nanoseconds)
        return info.get('received_timestamp') or int(clock.now().nanoseconds)


def _mismatch(offered: Sequence[QoSProfile], asked: QoSProfile | None) -> str:
    """Return what keeps publishers from being heard, '' for nothing: our QoS may be overridden."""
    for qos in offered if asked is not None else ():
        verdict, reason = qos_check_compatible(qos, asked)
        if verdict == QoSCompatibility.ERROR:
            return f'a publisher is not heard, its QoS is incompatible: {reason.rstrip(";")}'
    return ''


def _ids(publishers: list[TopicEndpointInfo]) -> set[bytes]:
    return {bytes(publisher.endpoint_gid) for publisher in publishers}


def _message_class(message_type: str) -> Any:
    package, _, name = message_type.partition('/msg/')
    return getattr(importlib.import_module(f'{package}.msg'), name)
