"""The command edge-profiler: one verb per function."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from profiler_node import bag_command, diff_command, merge_command, reference_command
from profiler_node.bridge.errors import BridgeError
from profiler_node.bridge.examine import contents, problems, repair
from profiler_node.core.config import NS_PER_S
from profiler_node.core.profile import ProfileError
from profiler_node.core.sketches import SketchError
from profiler_node.fleet.select import add_arguments as add_selection
from profiler_node.fleet.select import selection_of
from profiler_node.fleet.show import printable, profile_json, show_tables, utc, with_feature
from profiler_node.fleet.store import StoreError, read_profiles

_PIPE_COLUMNS = 200  # a table that is not for a terminal is not folded


def _console() -> Console:
    width = None if sys.stdout.isatty() else _PIPE_COLUMNS
    return Console(width=width, markup=False, emoji=False, highlight=False)


def show(arguments: argparse.Namespace) -> int:
    """Print the profiles of a store or a file."""
    problems: list[StoreError] = []
    found = read_profiles(arguments.location, problems.append, selection_of(arguments))
    profiles = list(with_feature(found, arguments.feature))
    if arguments.json:
        json.dump([profile_json(profile) for profile in profiles], sys.stdout, indent=1)
        print()
    else:
        show_tables(profiles, arguments.feature, _console())
    for problem in problems:
        print(f'edge-profiler: {problem}', file=sys.stderr)
    if not profiles and not problems:
        print(f'edge-profiler: {arguments.location}: no such profiles', file=sys.stderr)
    return 1 if problems or not profiles else 0


def bag(arguments: argparse.Namespace) -> int:
    """Profile recordings, of ROS 2 and ROS 1."""
    return bag_command.run(arguments, _console())


def merge(arguments: argparse.Namespace) -> int:
    """Merge the profiles of stores and files, over time and over robots."""
    return merge_command.run(arguments, _console(), _say)


def reference(arguments: argparse.Namespace) -> int:
    """Put profiles into one file, to compare others with."""
    return reference_command.run(arguments, _console(), _say)


def diff(arguments: argparse.Namespace) -> int:
    """Compare profiles with a reference: what changed, where, since when and why."""
    return diff_command.run(arguments, _console(), _say)


def _say(error: Exception) -> None:
    print(f'edge-profiler: {printable(str(error))}', file=sys.stderr)


def spool_inspect(arguments: argparse.Namespace) -> int:
    """Print what waits in a spool, also while a bridge has it."""
    streams, backlog = contents(arguments.path)
    table = Table(box=None, pad_edge=False, header_style='dim')
    for name in ('robot', 'stream', 'profiles', 'kB', 'windows', 'from (UTC)', 'to (UTC)'):
        table.add_column(name, justify='right' if name in {'profiles', 'kB'} else 'left')
    for each in streams:
        lengths = sorted({each.shortest_ns, each.longest_ns})
        table.add_row(
            *(printable(each.robot_id), printable(each.stream), str(each.profiles)),
            f'{each.size / 1e3:.1f}',
            ' to '.join(f'{length / NS_PER_S:g} s' for length in lengths),
            *(utc(each.first_ns), utc(each.last_ns)),
        )
    console = _console()
    if streams:
        console.print(table)
    console.print(
        f'{backlog.profiles} profile(s) and {backlog.batches} batch(es) wait, {backlog.refused} '
        f'batch(es) set aside; {backlog.used_bytes / 1e6:.2f} MB; {backlog.merged} profile(s) '
        'merged into others, '
        + (
            ', '.join(f'{n} dropped ({why})' for why, n in backlog.dropped.items())
            or 'none dropped'
        )
    )
    return 0


def spool_verify(arguments: argparse.Namespace) -> int:
    """Check that all in a spool can be sent as it was taken; exit with 1 where not."""
    found = problems(arguments.path)
    for problem in found:
        print(f'edge-profiler: {arguments.path}: {problem}', file=sys.stderr)
    print(f'{arguments.path}: {len(found)} problem(s)' if found else f'{arguments.path}: whole')
    return 1 if found else 0


def spool_repair(arguments: argparse.Namespace) -> int:
    """Make a new spool of what can be read of a damaged one, which is kept beside it."""
    print(f'{arguments.path}: {repair(arguments.path)}')
    return 0


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    top = argparse.ArgumentParser(
        prog='edge-profiler', description='Statistical profiles of robot sensor data.'
    )
    verbs = top.add_subparsers(metavar='VERB', required=True)
    verb = verbs.add_parser('show', help=show.__doc__, description=show.__doc__)
    verb.add_argument('location', metavar='STORE_OR_FILE', help='directory, object file or URL')
    add_selection(verb)
    verb.add_argument('--feature', default='', help='this feature alone, window by window')
    verb.add_argument('--json', action='store_true', help='print JSON, one entry per profile')
    verb.set_defaults(run=show)
    verb = verbs.add_parser('bag', help=bag.__doc__)
    bag_command.add_arguments(verb)
    verb.set_defaults(run=bag)
    verb = verbs.add_parser('merge', help=merge.__doc__)
    merge_command.add_arguments(verb)
    verb.set_defaults(run=merge)
    verb = verbs.add_parser('reference', help=reference.__doc__)
    reference_command.add_arguments(verb)
    verb.set_defaults(run=reference)
    verb = verbs.add_parser('diff', help=diff.__doc__)
    diff_command.add_arguments(verb)
    verb.set_defaults(run=diff)
    verb = verbs.add_parser('spool', help='Look at what waits on a robot, check it, repair it.')
    actions = verb.add_subparsers(metavar='ACTION', required=True)
    for name, run in (
        ('inspect', spool_inspect),
        ('verify', spool_verify),
        ('repair', spool_repair),
    ):
        action = actions.add_parser(name, help=run.__doc__, description=run.__doc__)
        action.add_argument('path', type=Path, metavar='PATH', help='spool.sqlite3 of a bridge')
        action.set_defaults(run=run)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    arguments = parser().parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except (StoreError, ProfileError, SketchError, BridgeError) as error:
        print(f'edge-profiler: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader went away (| head): stop quietly, and give the flush at exit somewhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


if __name__ == '__main__':
    sys.exit(main())
