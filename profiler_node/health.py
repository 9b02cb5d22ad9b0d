"""How something is doing, without ROS: what becomes one status on /diagnostics."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from types import MappingProxyType


class Level(IntEnum):
    """The levels of diagnostic_msgs/msg/DiagnosticStatus."""

    OK = 0
    WARN = 1
    ERROR = 2
    STALE = 3


@dataclass(frozen=True)
class Status:
    """How one thing is doing.

    name: of the thing, without the node's name. message: a few words for people. values: the
    figures behind it, by name with the unit; they are shown as text.
    """

    name: str
    level: Level
    message: str
    values: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
