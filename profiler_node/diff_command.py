"""edge-profiler diff: what changed against a reference."""

import argparse
import json
import math
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

from profiler_node.core.profile import Profile
from profiler_node.core.sketches import SketchError
from profiler_node.detect.comparison import Score
from profiler_node.detect.incidents import Incident, incidents_of, silent_streams
from profiler_node.detect.judge import Judge, JudgeConfig, Status, Verdict
from profiler_node.detect.limits import (
    Limit,
    LimitsError,
    Violation,
    incidents_of_limits,
    limits_of,
    violations_of,
)
from profiler_node.detect.reference import references_of
from profiler_node.detect.statistics import Window, window_of
from profiler_node.fleet.select import Selection, selection_of
from profiler_node.fleet.select import add_arguments as add_selection
from profiler_node.fleet.show import printable, utc
from profiler_node.fleet.store import Seen
from profiler_node.mappings import MappingError
from profiler_node.recordings.message import RecordingError
from profiler_node.reference_command import plan_of_recordings, profiles_at
from profiler_node.settings_file import SettingsError

FAILED, USAGE, PARTLY, WARN, ALERT, TOO_FEW = 1, 2, 3, 10, 11, 12

_GRAVITY: tuple[Status, ...] = ('too_few', 'ok', 'warn', 'alert')
_FEATURES_SHOWN = 12
_DESCRIPTION = """
Compare profiles with a reference, and say what changed, in which streams and robots, since when and
why. REFERENCE and CURRENT are stores, object files, URLs, recordings or folders of images, as for
the verb reference; single windows in the reference say how much is normal, so at least 4 of each
stream are needed, and 30 see much more. The filters are of CURRENT.
"""
_EPILOG = """
Exit status: 0, 1: an error, 2: wrong arguments, 3: some could not be read, and were named. With
--fail-on also 10: warn, 11: alert, 12: too few windows or messages to say anything. LIMITS are
YAML, as `image/brightness: {mean: [20, 235]}`; of mean, stddev, min, max, median, count, missing
(share of NaN) and quantiles as q95; null is an open end. They are told as the cause drift.
"""

Report = Callable[[Exception], None]


def add_arguments(verb: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    verb.description, verb.epilog = _DESCRIPTION, _EPILOG
    verb.add_argument('reference', metavar='REFERENCE', help='what is normal')
    verb.add_argument('current', metavar='CURRENT', help='what is compared with it')
    verb.add_argument('--json', action='store_true', help='print JSON')
    verb.add_argument(
        '--fail-on', choices=('warn', 'alert'), help='end with a status that says so, as for CI'
    )
    verb.add_argument('--limits', type=Path, metavar='FILE', help='limits of features, in YAML')
    verb.add_argument(
        '--false-alarms',
        type=_rate,
        default=1.0,
        metavar='PER_WEEK',
        help='of a robot, over all its features; default %(default)g',
    )
    verb.add_argument(
        '--config', type=Path, metavar='FILE', help="the live node's parameters, for recordings"
    )
    verb.add_argument(
        '--window', type=float, metavar='S', help='length of a window of recordings, default 60'
    )
    verb.add_argument('--robot-id', default='', metavar='NAME', help='of recordings and images')
    add_selection(verb)
    verb.set_defaults(images_per_window=100, images_as='image')


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if not 0 < rate < math.inf:
        raise argparse.ArgumentTypeError(f'{text!r} is not a number > 0')
    return rate


def run(arguments: argparse.Namespace, console: Console, on_error: Report) -> int:
    """Print what changed, and return the exit status.

    on_error: is told what goes wrong. Raises StoreError, which ends it.
    """
    problems: list[None] = []

    def report(error: Exception) -> None:
        problems.append(None)
        on_error(error)

    try:
        limits = _limits(arguments.limits)
        streams = Selection(streams=arguments.stream)
        reference = [
            window
            for window, profile in _windows(arguments, arguments.reference, report)
            if streams.takes(profile)
        ]
        selection, violations, current = selection_of(arguments), [], []
        for window, profile in _windows(arguments, arguments.current, report):
            if selection.takes(profile):
                current.append(window)
                violations += violations_of(profile, limits)
    except (SettingsError, MappingError, LimitsError, ValueError) as error:
        on_error(error)
        return USAGE
    except (RecordingError, OSError) as error:
        on_error(error)
        return FAILED
    if not current:
        on_error(ValueError(f'{arguments.current}: no such profiles'))
        return FAILED
    result = _compared(reference, current, violations, arguments.false_alarms)
    if arguments.json:
        json.dump(result.as_json(), sys.stdout, indent=1, allow_nan=False)
        print()
    else:
        result.print(console)
    return _exit_status(result.verdict, arguments.fail_on) or (PARTLY if problems else 0)


def _exit_status(verdict: Status, fail_on: str | None) -> int:
    if fail_on is None or verdict == 'ok':
        return 0
    if verdict == 'too_few':
        return TOO_FEW
    if verdict == 'alert':
        return ALERT
    return WARN if fail_on == 'warn' else 0


def _limits(path: Path | None) -> list[Limit]:
    """Return the limits in a file. Raises LimitsError and OSError."""
    if path is None:
        return []
    try:
        return limits_of(yaml.safe_load(path.read_text(encoding='utf-8')))
    except (yaml.YAMLError, LimitsError, UnicodeDecodeError) as error:
        raise LimitsError(f'{path}: {error}') from error


def _windows(
    arguments: argparse.Namespace, location: str, report: Report
) -> Iterator[tuple[Window, Profile]]:
    """Yield what is compared of each profile at location, once each."""
    seen = Seen()
    for profile in profiles_at(location, arguments, plan_of_recordings(arguments), report):
        if seen.is_new(profile):
            try:
                yield window_of(profile), profile
            except SketchError as error:
                report(SketchError(f'{location}: {profile.source.stream}: {error}'))


def _compared(
    reference: Sequence[Window],
    current: Sequence[Window],
    violations: Sequence[Violation],
    false_alarms: float,
) -> 'Result':
    references = references_of(reference)
    judge = Judge(references, JudgeConfig(false_alarms_per_week=false_alarms))
    ordered = sorted(current, key=lambda window: (window.start_ns, window.is_model))
    verdicts = [judge.judge(window) for window in ordered]
    incidents = [*incidents_of(verdicts), *silent_streams(reference, current)]
    return Result(verdicts, [*incidents, *incidents_of_limits(violations)])


class Result:
    """What changed, over all windows."""

    def __init__(self, verdicts: Sequence[Verdict], incidents: Sequence[Incident]) -> None:
        self._verdicts = verdicts
        self._incidents = sorted(incidents, key=lambda incident: incident.severity != 'alert')
        statuses: set[Status] = {verdict.status for verdict in verdicts}
        statuses |= {incident.severity for incident in incidents}
        self.verdict: Status = max(statuses, key=_GRAVITY.index, default='too_few')

    def as_json(self) -> dict[str, Any]:
        """Return it as documented in docs/detection.md."""
        return {
            'verdict': self.verdict,
            'incidents': [_incident_json(incident) for incident in self._incidents],
        }

    def print(self, console: Console) -> None:
        """Print the verdict, then the incidents, then the features that moved most."""
        console.print(self._headline())
        for number, incident in enumerate(self._incidents, 1):
            console.print(f'\n{number}. {incident.severity}: {_title(incident)}', style='bold')
            for sentence in incident.evidence.split('; '):
                console.print(f'   {printable(sentence)}')
            if incident.stamps_ns:
                stamps = ', '.join(map(str, incident.stamps_ns))
                console.print(f'   messages to look at, by stamp [ns]: {stamps}')
            if incident.scores:
                console.print(_table(incident.scores))
        if not self._incidents and (scores := self._largest()):
            console.print('\nnearest to an alarm (score beyond threshold):')
            console.print(_table(scores))

    def _headline(self) -> str:
        counts = Counter(verdict.status for verdict in self._verdicts)
        windows = ', '.join(
            f'{counts[status]} {status}' for status in reversed(_GRAVITY) if counts[status]
        )
        text = f'{self.verdict}: {len(self._incidents)} incident(s); windows: {windows}'
        reasons = Counter(
            f'{verdict.window.stream}: {verdict.reason}'
            for verdict in self._verdicts
            if verdict.status == 'too_few'
        )
        few = ''.join(
            f'\ntoo few to say: {printable(reason)} ({count} window(s))'
            for reason, count in reasons.most_common(5)
        )
        return text + few

    def _largest(self) -> list[Score]:
        best: dict[str, Score] = {}
        for verdict in self._verdicts:
            for score in verdict.scores:
                name = f'{verdict.window.stream} {score.name}'
                if name not in best or score.ratio > best[name].ratio:
                    best[name] = score
        return sorted(best.values(), key=lambda score: -score.ratio)[:_FEATURES_SHOWN]


def _title(incident: Incident) -> str:
    first, last = utc(incident.first_window_start_ns), utc(incident.last_window_start_ns)
    robots = ', '.join(incident.robots[:5])
    more = f' and {len(incident.robots) - 5} more' if len(incident.robots) > 5 else ''
    when = f'window {first}' if first == last else f'windows {first} to {last}'
    streams = ', '.join(incident.streams)
    return printable(f'{incident.cause} in {streams}; robot {robots}{more}; {when} UTC')


def _table(scores: Sequence[Score]) -> Table:
    table = Table(box=None, pad_edge=False, header_style='dim')
    for name in ('   feature', 'current', 'reference', 'score', 'threshold'):
        table.add_column(name, justify='left' if 'feature' in name else 'right')
    for score in scores[:_FEATURES_SHOWN]:
        numbers = (score.current, score.reference, score.score, score.threshold)
        name = score.key.replace(':', ' ') + (' (step)' if score.step else '')
        table.add_row(f'   {printable(name)}', *(f'{number:.4g}' for number in numbers))
    return table


def _incident_json(incident: Incident) -> dict[str, Any]:
    return {
        'cause': incident.cause,
        'evidence': incident.evidence,
        'severity': incident.severity,
        'streams': list(incident.streams),
        'robots': list(incident.robots),
        'tags': incident.tags,
        'features': [
            {
                'name': score.name,
                'score': score.score,
                'threshold': score.threshold,
                'reference': score.reference,
                'current': score.current,
            }
            for score in incident.scores
        ],
        'first_window_start_ns': incident.first_window_start_ns,
        'last_window_start_ns': incident.last_window_start_ns,
        'stamps_ns': list(incident.stamps_ns),
    }
