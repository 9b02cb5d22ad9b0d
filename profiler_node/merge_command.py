"""edge-profiler merge: many profiles to few."""

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from tempfile import TemporaryFile

from rich.console import Console

from profiler_node.bridge.transport import sender
from profiler_node.fleet.merge import Grouping, Merger, grouping_of
from profiler_node.fleet.select import add_arguments as add_selection
from profiler_node.fleet.select import selection_of
from profiler_node.fleet.store import Seen, read_profiles
from profiler_node.objects import UPLOAD_TIMEOUT_S, ObjectWriter
from profiler_node.stores import local_path, shown
from profiler_node.wire.codec import WireError, encode

FAILED, USAGE, PARTLY = 1, 2, 3

_FOLDER = 'merged'  # of the objects, where the robot's name is else
_DESCRIPTION = """
Merge profiles over time, and over what --by does not name. Each is taken once, however often it is
in the stores. What differs in what is merged becomes *, and tags that differ go. A merged profile
says of how many windows and robots it is, and from when to when, also when it is merged again.
"""
_EPILOG = """
--by names what is kept apart: robot, stream, segment (of a stream), epoch, tag:KEY, and a length
of time in s, min, h, d (or day) or week: windows are merged that begin in the same slot of that
length, aligned to 1970, UTC. Without a length all times are merged. Epochs that are not kept apart
are merged: those of a robot's restarts, and the rounds of a recording that was played in a loop.
To merge the same again adds nothing to a store. What has since grown, or is merged by something
else, does, and would count twice: merge a span of time when it is over, and each --by into a store
of its own. So nothing is written where some could not be read, unless --partial is given.
Memory: some 93 bytes for each profile that is read, which is taken once, and 600 for each that is
made; of the rest up to 256 MiB, and what is more waits in a temporary file.
Exit status: 0, 1: an error, some could not be read, or there are no such profiles, 2: wrong
arguments, 3: done, but some could not be merged or, with --partial, read, and were named.
"""


def add_arguments(verb: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    verb.description, verb.epilog = _DESCRIPTION, _EPILOG
    verb.add_argument('paths', nargs='+', metavar='PATH', help='store, object file or URL')
    verb.add_argument(
        '--by',
        type=_grouping,
        default='robot,stream,segment,1h',
        metavar='KEYS',
        help='what to keep apart, default %(default)s',
    )
    verb.add_argument('--out', required=True, metavar='STORE', help='folder or URL, another one')
    verb.add_argument(
        '--partial', action='store_true', help='merge the others where some cannot be read'
    )
    add_selection(verb)


def _grouping(text: str) -> Grouping:
    try:
        return grouping_of(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def run(
    arguments: argparse.Namespace, console: Console, on_error: Callable[[Exception], None]
) -> int:
    """Merge profiles, print what became of them, and return the exit status.

    on_error: is told what goes wrong. Raises StoreError and TransportError, which end it.
    """
    try:
        if around := [path for path in arguments.paths if _overlap(path, arguments.out)]:
            text = f'--out {shown(arguments.out)} is in, or around, {shown(around[0])}'
            on_error(ValueError(text))
            return USAGE
        writer = ObjectWriter(_FOLDER, sender(arguments.out, UPLOAD_TIMEOUT_S))
    except ValueError as error:  # also of a URL
        on_error(error)
        return USAGE
    try:
        return _merge(arguments, writer, console, on_error)
    except OSError as error:
        on_error(error)
        return FAILED


@dataclass
class _Reported:
    """What went wrong, counted and handed on."""

    on_error: Callable[[Exception], None]
    count: int = 0

    def report(self, error: Exception) -> None:
        self.count += 1
        self.on_error(error)


def _merge(
    arguments: argparse.Namespace,
    writer: ObjectWriter,
    console: Console,
    on_error: Callable[[Exception], None],
) -> int:
    unread, unmerged = _Reported(on_error), _Reported(on_error)
    start, taken, merged, seen = time.perf_counter(), 0, 0, Seen()
    with TemporaryFile() as file:
        merger = Merger(arguments.by, file, unmerged.report)
        for path in arguments.paths:
            for profile in read_profiles(path, unread.report, selection_of(arguments), seen):
                merger.add(profile)
                taken += 1
        if unread.count and not arguments.partial:
            text = f'{unread.count} object(s) or profile(s) could not be read'
            on_error(ValueError(f'{text}: nothing is merged; --partial merges the others'))
            return FAILED
        for payload in _payloads(merger, unmerged.report):
            writer.add(payload)
            merged += 1
        writer.flush()
    seconds = time.perf_counter() - start
    console.print(
        f'{taken} profile(s) merged into {merged}, in {writer.written} object(s) in '
        f'{shown(arguments.out)}; {seen.repeated} more were repeated; '
        f'{seconds:.1f} s, {taken / seconds:.0f} profiles/s'
    )
    if not merged:
        on_error(ValueError(f'{", ".join(map(shown, arguments.paths))}: no such profiles'))
        return FAILED
    return PARTLY if unread.count or unmerged.count else 0


def _payloads(merger: Merger, report: Callable[[Exception], None]) -> Iterator[bytes]:
    """Yield what was merged, serialized; report is told of what cannot be written."""
    for profile in merger.finish():
        try:
            yield encode(profile)
        except WireError as error:
            source = profile.source
            report(WireError(f'{source.robot_id} {source.stream}: left out: {error}'))


def _overlap(path: str, out: str) -> bool:
    """Whether one place is, or is within, the other."""
    here, there = local_path(path), local_path(out)
    if here is not None and there is not None:
        here, there = here.resolve(), there.resolve()
        return here.is_relative_to(there) or there.is_relative_to(here)
    first, second = f'{path.rstrip("/")}/', f'{out.rstrip("/")}/'
    return first.startswith(second) or second.startswith(first)
