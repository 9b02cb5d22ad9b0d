"""Dataclass fields that carry their description and range: one source for checks, ROS and docs."""

from collections.abc import Callable, Sequence
from dataclasses import field, fields
from typing import Any, TypeVar

Config = TypeVar('Config')

RESERVED = {'use_sim_time', 'start_type_description_service'}
"""Parameters of a node that rclpy declares or reads itself."""


def setting(
    default: Any, description: str, *, minimum: float | None = None, maximum: float | None = None
) -> Any:
    """Return a dataclass field that carries its description and its inclusive range."""
    metadata = {'description': description, 'minimum': minimum, 'maximum': maximum}
    return field(default=default, metadata=metadata)


def check_ranges(config: Any) -> None:
    """Raise ValueError, naming the field, where a value is of another type or out of its range."""
    for item in fields(config):
        value = getattr(config, item.name)
        if not _fits(value, item.default):
            expected = type(item.default).__name__
            expected = 'a list of strings' if expected == 'tuple' else expected
            raise ValueError(f'{item.name} is {value!r}, it must be {expected}')
        low, high = item.metadata['minimum'], item.metadata['maximum']
        # A NaN compares false with everything, so the test is for inside, not for outside.
        if (low is not None and not value >= low) or (high is not None and not value <= high):
            bounds = f'at least {low}' if high is None else f'in [{low}, {high}]'
            raise ValueError(f'{item.name} is {value}, it must be {bounds}')


def _fits(value: Any, default: Any) -> bool:
    """Whether value is of the type of default; a whole number fits a float."""
    if isinstance(default, tuple):
        return type(value) is tuple and all(isinstance(item, str) for item in value)
    return type(value) is type(default) or (isinstance(default, float) and type(value) is int)


def take(
    parameters: dict[str, Any], config: Callable[..., Config], prefix: str, defaults: Any = None
) -> Config:
    """Remove from parameters those that the dataclass config has, and return it filled.

    defaults: where they differ from the class's own. Raises ValueError, naming the parameter, for a
    value that config does not accept.
    """
    values = {}
    for item in fields(config):  # type: ignore[arg-type]
        name = f'{prefix}.{item.name}' if prefix else item.name
        values[item.name] = getattr(defaults, item.name, item.default)
        if name in parameters:
            values[item.name] = _converted(parameters.pop(name), item.default)
    try:
        return config(**values)
    except ValueError as error:
        where = f'parameter {prefix}.{error}' if prefix else f'parameter {error}'
        raise ValueError(where) from error


def _converted(value: Any, default: Any) -> Any:
    """Return value as the type of default, where YAML or ROS has another for it."""
    if isinstance(default, tuple) and value is None:  # an empty list
        return ()
    if isinstance(default, tuple) and isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(value)
    if isinstance(default, float) and type(value) is int:
        return float(value)
    if isinstance(default, float) and isinstance(value, str):  # 1e3, to YAML 1.1
        try:
            return float(value)
        except ValueError:
            return value
    return value
