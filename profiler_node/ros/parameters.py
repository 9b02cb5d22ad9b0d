"""ROS parameters from configuration dataclasses."""

from collections.abc import Callable, Sequence
from dataclasses import Field, fields
from typing import Any, TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node

Config = TypeVar('Config')

# Parameters that rclpy declares or reads itself.
_RESERVED = {'use_sim_time', 'start_type_description_service'}


def read_config(
    node: Node, config: Callable[..., Config], prefix: str, defaults: Config | None = None
) -> Config:
    """Declare a read-only parameter for each field of the dataclass config and return it filled.

    defaults: where they differ from the class's own. The node must have been created with
    automatically_declare_parameters_from_overrides. A whole number is accepted for a float. Raises
    ValueError, naming the parameter, for a value that config does not accept.
    """
    names = {item.name: f'{prefix}.{item.name}' if prefix else item.name for item in fields(config)}
    values = {}
    for item in fields(config):
        values[item.name] = getattr(defaults, item.name, item.default)
        if node.has_parameter(name := names[item.name]):
            values[item.name] = _converted(node.get_parameter(name).value, item.default)
            node.undeclare_parameter(name)
    try:
        filled = config(**values)
    except ValueError as error:
        raise ValueError(
            f'parameter {prefix}.{error}' if prefix else f'parameter {error}'
        ) from error
    for item in fields(config):
        value = values[item.name]
        declared = list(value) if isinstance(value, tuple) else value
        node.declare_parameter(names[item.name], declared, _descriptor(item), ignore_override=True)
    return filled


def _converted(value: Any, default: Any) -> Any:
    """Return value as the type of default, where ROS has another for it."""
    if isinstance(default, float) and type(value) is int:
        return float(value)
    if isinstance(default, tuple) and value is None:  # what rcl makes of an empty list
        return ()
    if isinstance(default, tuple) and isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(value)
    return value


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
        if not ours and name not in _RESERVED and not name.startswith('qos_overrides.'):
            raise ValueError(f'parameter {name} is not known')
