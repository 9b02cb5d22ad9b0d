"""ROS parameters from configuration dataclasses."""

from collections.abc import Callable
from dataclasses import Field, fields
from typing import Any, TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node

from profiler_node.settings import RESERVED, take

Config = TypeVar('Config')


def read_config(
    node: Node, config: Callable[..., Config], prefix: str, defaults: Config | None = None
) -> Config:
    """Declare a read-only parameter for each field of the dataclass config and return it filled.

    defaults: where they differ from the class's own. The node must have been created with
    automatically_declare_parameters_from_overrides. A whole number is accepted for a float. Raises
    ValueError, naming the parameter, for a value that config does not accept.
    """
    names = {item.name: f'{prefix}.{item.name}' if prefix else item.name for item in fields(config)}
    given = {}
    for name in filter(node.has_parameter, names.values()):
        given[name] = node.get_parameter(name).value
        node.undeclare_parameter(name)
    filled = take(given, config, prefix, defaults)
    for item in fields(config):
        value = getattr(filled, item.name)
        declared = list(value) if isinstance(value, tuple) else value
        node.declare_parameter(names[item.name], declared, _descriptor(item), ignore_override=True)
    return filled


def _descriptor(item: Field[Any]) -> ParameterDescriptor:
    low, high = item.metadata['minimum'], item.metadata['maximum']
    descriptor = ParameterDescriptor(description=item.metadata['description'], read_only=True)
    if low is not None and high is not None:
        if isinstance(item.default, float):
            descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
        else:
            descriptor.integer_range = [IntegerRange(from_value=low, to_value=high, step=1)]
    return descriptor


def reject_unknown(node: Node) -> None:
    """Raise ValueError, naming it, where a parameter was given that read_config has not declared.

    To be called after the last read_config.
    """
    for name in sorted(node.get_parameters_by_prefix('')):
        # Only what read_config declares has a description.
        ours = bool(node.describe_parameter(name).description)
        if not ours and name not in RESERVED and not name.startswith('qos_overrides.'):
            raise ValueError(f'parameter {name} is not known')
