"""edge-profiler reference: what other data is compared with, in one file."""

import argparse
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from rich.console import Console
from rich.table import Table

from profiler_node.bags import Pass, Plan
from profiler_node.core.config import NS_PER_S
from profiler_node.core.profile import Profile
from profiler_node.fleet.select import add_arguments as add_selection
from profiler_node.fleet.select import selection_of
from profiler_node.fleet.show import printable, utc
from profiler_node.fleet.store import SUFFIX, Seen, StoreError, read_profiles
from profiler_node.mappings import MappingError
from profiler_node.objects import write_file
from profiler_node.pictures import PER_WINDOW, picture_profiles, picture_source
from profiler_node.recordings.message import RecordingError
from profiler_node.recordings.recording import Recording, looks_like_recording
from profiler_node.settings_file import SettingsError, plan_of
from profiler_node.stores import local_path, shown
from profiler_node.wire.codec import WireError, encode

FAILED, USAGE, PARTLY = 1, 2, 3

_DESCRIPTION = """
Put profiles into one file, to compare others with: of stores, of recordings, which are profiled as
by the verb bag, and of folders of images, as of a training set. The windows stay single, because
what differs between them says how much is normal. Each is taken once.
"""
_EPILOG = """
Images are taken in the order of their names, --images-per-window of them to a window; the n-th from
0 has the stamp n seconds. They are not turned as EXIF says, and alpha is dropped. 8 and 16 bits, in
JPEG, PNG, WebP, BMP, TIFF and PNM. Folders below are read too, links to folders are not. Recordings
are profiled one after the other: of many, run bag with --jobs and --out, and take the store.
Filters are of profiles, whatever they come from.
Exit status: 0, 1: an error, or there are no such profiles, 2: wrong arguments, 3: done, but some
could not be read, or a PATH has no such profiles, and were named.
"""

Report = Callable[[Exception], None]


def add_arguments(verb: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    verb.description, verb.epilog = _DESCRIPTION, _EPILOG
    verb.add_argument(
        'paths',
        nargs='+',
        metavar='PATH',
        help='store, object file, URL, recording or folder of images',
    )
    verb.add_argument('--out', required=True, type=_out, metavar='FILE', help=f'NAME{SUFFIX}')
    add_selection(verb)
    verb.add_argument(
        '--config', type=Path, metavar='FILE', help="the live node's parameters, for recordings"
    )
    verb.add_argument(
        '--window', type=float, metavar='S', help='length of a window of recordings, default 60'
    )
    verb.add_argument(
        '--robot-id',
        default='',
        metavar='NAME',
        help="of recordings and images; default: this machine's name, and the folder's",
    )
    verb.add_argument(
        '--images-per-window',
        type=_count,
        default=PER_WINDOW,
        metavar='N',
        help='default %(default)s',
    )
    verb.add_argument(
        '--images-as', default='image', metavar='STREAM', help='their stream, default %(default)s'
    )


def _out(text: str) -> Path:
    if not text.endswith(SUFFIX) or Path(text).is_dir():
        raise argparse.ArgumentTypeError(f'{text!r} is not the name of a file, as NAME{SUFFIX}')
    return Path(text)


def _count(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f'{text!r} is not 1 or more')
    return int(text)


@dataclass
class _Content:
    """What a reference has of one stream."""

    windows: int = 0
    merged: int = 0
    messages: int = 0
    start_ns: int = 2**63
    end_ns: int = -(2**63)
    shortest_ns: int = 2**63
    longest_ns: int = 0

    def add(self, profile: Profile) -> None:
        length_ns = profile.window_end_ns - profile.window_start_ns
        self.windows += 1
        self.merged += profile.provenance is not None
        self.messages += profile.counters.decoded
        self.start_ns = min(self.start_ns, profile.window_start_ns)
        self.end_ns = max(self.end_ns, profile.window_end_ns)
        self.shortest_ns = min(self.shortest_ns, length_ns)
        self.longest_ns = max(self.longest_ns, length_ns)


def run(arguments: argparse.Namespace, console: Console, on_error: Report) -> int:
    """Write a reference, print what is in it, and return the exit status.

    on_error: is told what goes wrong.
    """
    problems: list[None] = []

    def report(error: Exception) -> None:
        problems.append(None)
        on_error(error)

    contents: dict[tuple[str, str, str], _Content] = {}
    try:
        payloads = _payloads(arguments, plan_of_recordings(arguments), report, contents)
        first = next(payloads, None)
        if first is None:
            return FAILED
        count = write_file(arguments.out, chain([first], payloads))
    except (SettingsError, MappingError, ValueError) as error:
        on_error(error)
        return USAGE
    except OSError as error:
        on_error(error)
        return FAILED
    _print(contents, console)
    merged = sum(content.merged for content in contents.values())
    note = f'; {merged} of them had been merged, and vary less than single ones' if merged else ''
    console.print(f'{count} profile(s) in {arguments.out}{note}')
    return PARTLY if problems else 0


def plan_of_recordings(arguments: argparse.Namespace) -> Plan:
    """Return how recordings are profiled. Raises SettingsError and ValueError."""
    plan = plan_of(arguments.config) if arguments.config else Plan()
    robot_id = arguments.robot_id or plan.robot_id or socket.gethostname()
    plan = replace(plan, robot_id=robot_id, epoch=None)
    if arguments.window is not None:
        plan = replace(plan, window=replace(plan.window, length_s=arguments.window))
    return plan


def _payloads(
    arguments: argparse.Namespace,
    plan: Plan,
    report: Report,
    contents: dict[tuple[str, str, str], _Content],
) -> Iterator[bytes]:
    """Yield the serialized profiles, each once, and fill contents, by robot, stream and type.

    report is told of each path that cannot be read, or of which nothing is selected.
    """
    selection, seen = selection_of(arguments), Seen()
    for path in arguments.paths:
        selected = 0
        try:
            for profile in profiles_at(path, arguments, plan, report):
                if not selection.takes(profile):
                    continue
                selected += 1
                if seen.is_new(profile):
                    yield from _payload(profile, report, contents)
        except (StoreError, RecordingError, OSError) as error:
            report(error)
        else:
            if not selected:
                report(StoreError(f'{shown(path)}: no such profiles'))


def _payload(
    profile: Profile, report: Report, contents: dict[tuple[str, str, str], _Content]
) -> Iterator[bytes]:
    """Yield the serialized profile, unless it cannot be written, and add it to contents."""
    source = profile.source
    try:
        payload = encode(profile)
    except WireError as error:
        report(WireError(f'{source.robot_id} {source.stream}: left out: {error}'))
        return
    key = source.robot_id, source.stream, source.message_type
    contents.setdefault(key, _Content()).add(profile)
    yield payload


def profiles_at(
    location: str, arguments: argparse.Namespace, plan: Plan, report: Report
) -> Iterator[Profile]:
    """Yield the profiles of what is at location: store, file, URL, recording or images.

    arguments: robot_id, images_as and images_per_window, of images. Raises StoreError and
    RecordingError.
    """
    path = local_path(location)
    if path is not None and path.exists() and looks_like_recording(path):
        return _of_recording(path, plan, report)
    if path is not None and path.is_dir() and not any(path.rglob(f'*{SUFFIX}')):
        source = picture_source(path, arguments.robot_id, arguments.images_as)
        profiles = picture_profiles(path, source, report, arguments.images_per_window)
        return _not_empty(profiles, location)
    return read_profiles(location, report)


def _not_empty(profiles: Iterator[Profile], location: str) -> Iterator[Profile]:
    first = next(profiles, None)
    if first is None:
        raise StoreError(f'{location} has neither profiles nor images, and is no recording')
    yield first
    yield from profiles


def _of_recording(path: Path, plan: Plan, report: Report) -> Iterator[Profile]:
    with Recording(path) as recording:
        yield from Pass(recording, plan).profiles()
        for problem in recording.problems:
            report(RecordingError(f'{path}: {problem}'))


def _print(contents: dict[tuple[str, str, str], _Content], console: Console) -> None:
    table = Table(box=None, pad_edge=False, header_style='dim')
    for name in ('robot', 'stream', 'type', 'windows', 'of', 'messages', 'from (UTC)', 'to (UTC)'):
        table.add_column(name, justify='right' if name in {'windows', 'messages'} else 'left')
    for names, content in sorted(contents.items()):
        lengths = sorted({content.shortest_ns, content.longest_ns})
        table.add_row(
            *map(printable, names),
            str(content.windows),
            ' to '.join(f'{length / NS_PER_S:g} s' for length in lengths),
            str(content.messages),
            utc(content.start_ns),
            utc(content.end_ns),
        )
    console.print(table)
