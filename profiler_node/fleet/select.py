"""Which profiles are meant: by robot, stream, tag and time; the same for all that reads them."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from fnmatch import fnmatchcase
from types import MappingProxyType

from profiler_node.core.config import NS_PER_S
from profiler_node.core.profile import Profile

_DAY_S = 86_400


@dataclass(frozen=True)
class Selection:
    """The profiles of any of robots and any of streams that have all of tags, all where empty.

    Names and the values of tags may have the wildcards *, ? and [...]; one that is literally the
    same is always meant. start_ns, end_ns: windows that begin from start_ns on and before end_ns,
    so that each window is in one of two spans that follow each other.
    """

    robots: Sequence[str] = ()
    streams: Sequence[str] = ()
    tags: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    start_ns: int | None = None
    end_ns: int | None = None

    def takes(self, profile: Profile) -> bool:
        """Whether profile is meant."""
        source, start_ns = profile.source, profile.window_start_ns
        return (
            _is_any(source.robot_id, self.robots)
            and _is_any(source.stream, self.streams)
            and all(
                key in source.tags and _is_like(source.tags[key], pattern)
                for key, pattern in self.tags.items()
            )
            and (self.start_ns is None or start_ns >= self.start_ns)
            and (self.end_ns is None or start_ns < self.end_ns)
        )


ALL = Selection()


def _is_any(name: str, patterns: Sequence[str]) -> bool:
    return not patterns or any(_is_like(name, pattern) for pattern in patterns)


def _is_like(name: str, pattern: str) -> bool:
    return name == pattern or fnmatchcase(name, pattern)


def time_of(text: str) -> int:
    """Return an ISO time, of UTC unless it says otherwise, in ns since 1970. Raises ValueError."""
    moment = datetime.fromisoformat(f'{text[:-1]}+00:00' if text.endswith('Z') else text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    since = moment - datetime.fromtimestamp(0, timezone.utc)
    return (since.days * _DAY_S + since.seconds) * NS_PER_S + since.microseconds * 1000


def add_arguments(verb: argparse.ArgumentParser) -> None:
    """Add what selects profiles to the arguments of a verb."""
    for name, what in (('robot', 'robots'), ('stream', 'streams')):
        verb.add_argument(
            f'--{name}',
            action='append',
            default=[],
            metavar='NAME',
            help=f'these {what} alone; may be repeated, and have wildcards as *',
        )
    verb.add_argument(
        '--tag',
        action='append',
        default=[],
        type=_tag,
        metavar='KEY=VALUE',
        help='what has this tag alone; may be repeated, all must fit; VALUE may have wildcards',
    )
    verb.add_argument(
        '--start', type=_time, metavar='TIME', help='windows that begin then or later; ISO, UTC'
    )
    verb.add_argument('--end', type=_time, metavar='TIME', help='windows that begin before')


def selection_of(arguments: argparse.Namespace) -> Selection:
    """Return what the arguments of add_arguments select."""
    return Selection(
        robots=arguments.robot,
        streams=arguments.stream,
        tags=dict(arguments.tag),
        start_ns=arguments.start,
        end_ns=arguments.end,
    )


def _tag(text: str) -> tuple[str, str]:
    key, equals, value = text.partition('=')
    if not key or not equals:
        raise argparse.ArgumentTypeError(f'{text!r} is not KEY=VALUE')
    return key, value


def _time(text: str) -> int:
    try:
        return time_of(text)
    except (ValueError, OverflowError) as error:
        raise argparse.ArgumentTypeError(f'{text!r} is no ISO time, as 2024-05-01T12:00') from error
