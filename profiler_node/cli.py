"""The command edge-profiler: one verb per function."""

import argparse
import json
import os
import sys
from collections.abc import Sequence

from rich.console import Console

from profiler_node.core.profile import ProfileError
from profiler_node.core.sketches import SketchError
from profiler_node.fleet.show import profile_json, selected, show_tables
from profiler_node.fleet.store import StoreError, read_profiles

_PIPE_COLUMNS = 200  # a table that is not for a terminal is not folded


def show(arguments: argparse.Namespace) -> int:
    """Print the profiles of a store or a file."""
    problems: list[StoreError] = []
    profiles = list(
        selected(
            read_profiles(arguments.location, problems.append), arguments.stream, arguments.feature
        )
    )
    if arguments.json:
        json.dump([profile_json(profile) for profile in profiles], sys.stdout, indent=1)
        print()
    else:
        width = None if sys.stdout.isatty() else _PIPE_COLUMNS
        console = Console(width=width, markup=False, emoji=False, highlight=False)
        show_tables(profiles, arguments.feature, console)
    for problem in problems:
        print(f'edge-profiler: {problem}', file=sys.stderr)
    if not profiles and not problems:
        chosen = [arguments.location, arguments.stream, arguments.feature]
        print(f'edge-profiler: no profiles in {" ".join(filter(None, chosen))}', file=sys.stderr)
    return 1 if problems or not profiles else 0


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    top = argparse.ArgumentParser(
        prog='edge-profiler', description='Statistical profiles of robot sensor data.'
    )
    verbs = top.add_subparsers(metavar='VERB', required=True)
    verb = verbs.add_parser('show', help=show.__doc__, description=show.__doc__)
    verb.add_argument('location', metavar='STORE_OR_FILE', help='directory, object file or URL')
    verb.add_argument('--stream', default='', help='this stream alone')
    verb.add_argument('--feature', default='', help='this feature alone, window by window')
    verb.add_argument('--json', action='store_true', help='print JSON, one entry per profile')
    verb.set_defaults(run=show)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    arguments = parser().parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except (StoreError, ProfileError, SketchError) as error:
        print(f'edge-profiler: {error}', file=sys.stderr)
        return 1
    except BrokenPipeError:
        # The reader went away (| head): stop quietly, and give the flush at exit somewhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


if __name__ == '__main__':
    sys.exit(main())
