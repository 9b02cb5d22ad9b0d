"""Many profiles to few: over time, and over what they are not to be told apart by.

The profiles may come in any order: those of a robot that was offline for a month are at the end.
What has been merged so far of a group is in memory as long as there is room for it, and else in a
file, to which a group that is in use no longer is written once.
"""

import re
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import BinaryIO

from profiler_node.core.config import NS_PER_S
from profiler_node.core.profile import CategoricalFeature, Profile, ProfileError
from profiler_node.core.sketches import SketchError
from profiler_node.wire.codec import WireError, decode, encode

Group = tuple[int, str, str, str, int, tuple[str, ...]]
"""Start of the slot of time, robot, stream, segment, epoch, tags; 0 or "" where it is any."""

_TAG = 'tag:'
_UNITS_S = {'s': 1, 'min': 60, 'h': 3600, 'd': 86_400, 'day': 86_400, 'week': 604_800}
_LENGTH = re.compile(rf'([0-9]+)({"|".join(_UNITS_S)})')
_TOGETHER = 16  # profiles of a group that are merged in one step, at half the cost of one by one
_PROFILE_BYTES, _FEATURE_BYTES = 1000, 600  # of memory, besides its features and their sketches
_MOST_BYTES = 256 * 2**20
_ERRORS = (ProfileError, SketchError, WireError)


class MergeError(Exception):
    """A profile that cannot be merged with the others of its group."""


@dataclass(frozen=True)
class Grouping:
    """What profiles must have in common to be merged.

    tags: keys of tags, whose values must be the same or be missing in all. length_ns: profiles are
    together whose windows begin in the same slot of that length, aligned to 1970, UTC; 0: at any
    time.
    """

    robot: bool = False
    stream: bool = False
    segment: bool = False
    epoch: bool = False
    tags: tuple[str, ...] = ()
    length_ns: int = 0

    def group_of(self, profile: Profile) -> Group:
        """Return the group that profile belongs to."""
        source = profile.source
        return (
            self.slot_of(profile.window_start_ns),
            source.robot_id if self.robot else '',
            source.stream if self.stream else '',
            source.segment if self.segment else '',
            profile.epoch if self.epoch else 0,
            tuple(
                f'={value}' if value is not None else ''
                for value in map(source.tags.get, self.tags)
            ),
        )

    def slot_of(self, start_ns: int) -> int:
        """Return where the slot begins that a window belongs to, which begins at start_ns."""
        return start_ns - start_ns % self.length_ns if self.length_ns else 0

    def finished(self, merged: Profile) -> Profile:
        """Return what was merged of a group, over the whole of its slot."""
        start_ns, end_ns = merged.window_start_ns, merged.window_end_ns
        if self.length_ns:
            start_ns = self.slot_of(start_ns)
            end_ns = max(end_ns, start_ns + self.length_ns)
        return replace(
            merged, window_start_ns=start_ns, window_end_ns=end_ns, provenance=merged.origin
        )


def grouping_of(text: str) -> Grouping:
    """Return the grouping that text names, as robot,stream,tag:firmware,1h. Raises ValueError."""
    names, tags, lengths = [], [], []
    for part in (part.strip() for part in text.split(',')):
        if part in {'robot', 'stream', 'segment', 'epoch'}:
            names.append(part)
        elif part.startswith(_TAG) and part != _TAG:
            tags.append(part.removeprefix(_TAG))
        elif (match := _LENGTH.fullmatch(part)) and int(match[1]):
            lengths.append(int(match[1]) * _UNITS_S[match[2]] * NS_PER_S)
        else:
            raise ValueError(
                f'{part!r} is none of robot, stream, segment, epoch, {_TAG}KEY and a length of '
                'time as 30s, 5min, 1h, 1day'
            )
    if len(lengths) > 1:
        raise ValueError(f'{text!r} has more than one length of time')
    return Grouping(**dict.fromkeys(names, True), tags=tuple(tags), length_ns=sum(lengths))


@dataclass(slots=True)
class _Merging:
    """A group in the making.

    waiting: in memory, of that size; written: where its other parts are in the file, and their
    sizes.
    """

    waiting: list[Profile] = field(default_factory=list)
    size_bytes: int = 0
    written: list[tuple[int, int]] = field(default_factory=list)


class Merger:
    """Merges profiles, each of which must be given once, by groups.

    file: for what there is no room for in memory, empty. on_error: takes what cannot be merged.
    most_bytes: of profiles in memory; some 600 bytes for each group come on top.
    """

    def __init__(
        self,
        by: Grouping,
        file: BinaryIO,
        on_error: Callable[[MergeError], None],
        most_bytes: int = _MOST_BYTES,
    ) -> None:
        self._by, self._file, self._on_error = by, file, on_error
        self._most_bytes = most_bytes
        self._groups: OrderedDict[Group, _Merging] = OrderedDict()  # those last used at the end
        self._resting: dict[Group, _Merging] = {}  # those of which nothing is in memory
        self._bytes = 0
        self._end = 0  # of the file

    def add(self, profile: Profile) -> None:
        """Take a profile. Raises OSError where the file takes no more."""
        key = self._by.group_of(profile)
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = self._resting.pop(key, _Merging())
        self._groups.move_to_end(key)
        group.waiting.append(profile)
        self._count(group, group.size_bytes + _size(profile))
        if len(group.waiting) == _TOGETHER:
            group.waiting = self._merged(group.waiting)
            self._count(group, sum(map(_size, group.waiting)))
        while self._bytes > self._most_bytes and len(self._groups) > 1:
            self._write(*self._groups.popitem(last=False))

    def _count(self, group: _Merging, size_bytes: int) -> None:
        """Take into account what of a group is now in memory."""
        self._bytes += size_bytes - group.size_bytes
        group.size_bytes = size_bytes

    def _write(self, key: Group, group: _Merging) -> None:
        """Move what waits of a group to the file."""
        for profile in self._merged(group.waiting):
            payload = encode(profile)
            self._file.seek(self._end)
            self._file.write(payload)
            group.written.append((self._end, len(payload)))
            self._end += len(payload)
        group.waiting = []
        self._count(group, 0)
        self._resting[key] = group

    def finish(self) -> Iterator[Profile]:
        """Yield what was merged of each group, in the order of time. Nothing can be added then."""
        groups = {**self._groups, **self._resting}
        for key in sorted(groups):
            for profile in self._whole(groups.pop(key)):
                yield self._by.finished(profile)

    def _whole(self, group: _Merging) -> list[Profile]:
        """Return the profile of a group in a list, which is empty where none can be read."""
        merged = group.waiting
        for position, size in group.written:
            self._file.seek(position)
            merged = [*merged, decode(self._file.read(size))]
            if len(merged) == _TOGETHER:
                merged = self._merged(merged)
        return self._merged(merged)

    def _merged(self, profiles: Sequence[Profile]) -> list[Profile]:
        """Return the profile of all of profiles in a list, without those that cannot be merged."""
        if not profiles:
            return []
        try:
            return [_checked(profiles[0].merged(*profiles[1:]))]
        except _ERRORS:
            return self._merged_singly(profiles)

    def _merged_singly(self, profiles: Sequence[Profile]) -> list[Profile]:
        merged: list[Profile] = []
        for profile in profiles:
            try:
                merged = [_checked(profile.merged(*merged))]
            except _ERRORS as error:
                source, windows = profile.source, profile.origin.profiles
                start_s = profile.window_start_ns / NS_PER_S
                name = f'{source.robot_id} {source.stream}, {windows} window(s) at {start_s:.3f} s'
                self._on_error(MergeError(f'{name}: left out: {error}'))
        return merged


def _checked(merged: Profile) -> Profile:
    """Return merged. Raises WireError where its sums are beyond what can be written."""
    encode(merged)
    return merged


def _size(profile: Profile) -> int:
    """Return about how much memory a profile takes [bytes]."""
    return _PROFILE_BYTES + sum(
        _FEATURE_BYTES + len(feature.hll) + len(feature.frequent)
        if isinstance(feature, CategoricalFeature)
        else _FEATURE_BYTES + len(feature.kll)
        for feature in profile.features.values()
    )
