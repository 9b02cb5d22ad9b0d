"""Quality of service: what to ask for, given what is offered."""

from collections.abc import Sequence

from rclpy.node import Node
from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    QoSPolicyKind,
    QoSProfile,
    ReliabilityPolicy,
)
from rclpy.qos_overriding_options import QoSOverridingOptions

PROFILES_QOS = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=1000,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)
"""Of the topic `profiles`: a bridge that starts late, or is slow, still gets the last 1,000."""


def matching_qos(
    offered: Sequence[QoSProfile], depth: int, present: QoSProfile | None = None
) -> QoSProfile:
    """Return the strongest QoS that is compatible with all of offered, one or more.

    depth is ours: how many messages may wait for us is not told by discovery. present: the QoS so
    far; a new subscription is volatile, or the publishers would send again what has been counted.
    """
    reliable = all(qos.reliability == ReliabilityPolicy.RELIABLE for qos in offered)
    latched = all(qos.durability == DurabilityPolicy.TRANSIENT_LOCAL for qos in offered)
    strongest = QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )
    if present is not None and strongest != present:
        strongest.durability = DurabilityPolicy.VOLATILE
    return strongest


def given_overrides(node: Node, topic: str) -> QoSOverridingOptions:
    """Return the options for a subscription whose QoS the user may have overridden.

    Only what was given as qos_overrides.<topic>.subscription.<policy>: rclpy would declare the rest
    with what the first publisher offers, and hold on to that when the publishers change.
    """
    prefix = f'qos_overrides.{topic}.subscription.'
    return QoSOverridingOptions(
        [kind for kind in QoSPolicyKind if node.has_parameter(prefix + kind.name.lower())]
    )
