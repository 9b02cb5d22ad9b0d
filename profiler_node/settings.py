"""Dataclass fields that carry their description and range: one source for checks, ROS and docs."""

from dataclasses import field, fields
from typing import Any


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
