"""Statistical profiles of robot sensor data: small, mergeable, made on the robot."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from profiler_node.notebook import log

__all__ = ['log']


def __getattr__(name: str) -> Any:
    """Load what is exported when it is used: importing the package alone is to cost nothing."""
    if name not in __all__:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    from profiler_node.notebook import log  # noqa: PLC0415

    return log
