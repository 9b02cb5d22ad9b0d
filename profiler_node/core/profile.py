"""The finished profile of one stream in one window: immutable, mergeable.

Counts, moments, min, max and their stamps merge exactly (moments up to floating-point rounding),
sketches within their error, whatever the order; only how many zeros a label is given depends on it
where some windows have too many labels to count each. `merged` leaves its inputs alone. Counts and
KLL sketches are not idempotent: drop duplicates by `identity` first.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from profiler_node.core import sketches
from profiler_node.core.moments import Moments
from profiler_node.core.names import LABEL_COUNT, OTHER

NumericKind = Literal['scalar', 'elements']
VARIOUS = '*'  # stands for an attribute in which merged profiles differ
_DIGEST_BYTES = 16
_DIGESTS = 1 << 8 * _DIGEST_BYTES

_UNITS = {
    'bits': 'bit',
    'bytes': 'byte',
    'deg': 'deg',
    'm': 'm',
    'm3': 'm^3',
    'rad': 'rad',
    's': 's',
}


class ProfileError(ValueError):
    """Profiles that do not belong together."""


def unit_of(name: str) -> str:
    """Return the unit that a feature's name ends in, '' for none; a label in it has none."""
    _, underscore, suffix = name.rpartition('_')
    return _UNITS.get(suffix, '') if underscore and name.count('/') == 1 else ''


class NumericFeature(NamedTuple):
    """Numbers: one a message (scalar), or every pixel, point, beam or box (elements).

    moments.count counts the finite values; missing (NaN or null), pos_inf and neg_inf (infinite, or
    beyond 1e140) are apart and in neither the moments nor the sketch. kll: serialized quantile
    sketch of the finite values.
    """

    kind: NumericKind
    moments: Moments
    kll: bytes
    missing: int = 0
    pos_inf: int = 0
    neg_inf: int = 0

    def quantiles(self, ranks: Sequence[float]) -> list[float]:
        """Return the quantile at each of ranks (0 to 1), within the sketch's rank error.

        They are kept inside [min, max], which the float32 of the sketch can miss by rounding.
        """
        low, high = self.moments.min, self.moments.max
        return [min(max(value, low), high) for value in sketches.quantiles(self.kll, ranks)]

    def as_zeros(self, stamp_ns: int) -> 'NumericFeature':
        """Return a feature of as many values, all 0, with this stamp."""
        count = self.moments.count
        moments = (
            Moments(count, min_stamp_ns=stamp_ns, max_stamp_ns=stamp_ns) if count else Moments()
        )
        return NumericFeature(self.kind, moments, sketches.zeros_like(self.kll))

    def merged(self, *others: 'NumericFeature') -> 'NumericFeature':
        """Return the feature of all values of this one and others."""
        _, moments, klls, *counts = zip(self, *others, strict=True)
        return NumericFeature(
            self.kind,
            moments[0].merged(*moments[1:]),
            sketches.merge_quantiles(klls),
            *map(sum, counts),
        )


@dataclass(frozen=True, slots=True)
class CategoricalFeature:
    """Strings. hll, frequent: serialized sketches of distinct values and of the commonest ones."""

    count: int
    hll: bytes
    frequent: bytes
    missing: int = 0

    @property
    def kind(self) -> Literal['categorical']:
        """The kind, as for numbers."""
        return 'categorical'

    @property
    def distinct(self) -> int:
        """Number of distinct values, estimated."""
        return sketches.distinct(self.hll)

    def top(self, most: int) -> list[tuple[str, int]]:
        """Return up to `most` values with their counts, the most frequent first."""
        return sketches.frequent(self.frequent, most)

    def merged(self, *others: 'CategoricalFeature') -> 'CategoricalFeature':
        """Return the feature of all strings of this one and others."""
        every = (self, *others)
        return CategoricalFeature(
            count=sum(feature.count for feature in every),
            hll=sketches.merge_distinct([feature.hll for feature in every]),
            frequent=sketches.merge_frequent([feature.frequent for feature in every]),
            missing=sum(feature.missing for feature in every),
        )


Feature = NumericFeature | CategoricalFeature


@dataclass(frozen=True, slots=True)
class Counters:
    """What became of the messages, and what profiling them cost.

    seen = decoded + sum(decode_errors) + late + shed. lost: published but never received, by the
    publisher's sequence numbers, which tell what was lost on the way and what our queue had no room
    for; where there are none, as in a recording, it is stamp_gaps. stamp_gaps: messages missing in
    the stamps of a regular stream, with those that the source never published.
    duplicate_stamps, stamp_regressions: messages whose header stamp equals, or is behind, that of
    the one before.
    zero_stamps: messages that say no time. foreign_stamps: messages whose stamp is of another
    clock, for it is more than 1 s after, or 1 h before, the receive time. cpu_ns: CPU time that the
    feeding thread spent on the stream. peak_rss_bytes: the most memory that the process has held so
    far. interruptions: how often the profiler was killed within the window and went on later; what
    was published meanwhile, and in the seconds before, is in no other counter.
    """

    seen: int = 0
    decoded: int = 0
    decode_errors: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    shed: int = 0
    late: int = 0
    lost: int = 0
    duplicate_stamps: int = 0
    stamp_regressions: int = 0
    zero_stamps: int = 0
    foreign_stamps: int = 0
    stamp_gaps: int = 0
    cpu_ns: int = 0
    peak_rss_bytes: int = 0
    interruptions: int = 0

    def merged(self, *others: 'Counters') -> 'Counters':
        """Return the sums; of the peak, the largest."""
        every = (self, *others)
        sums: dict[str, Any] = {
            item.name: sum(getattr(counters, item.name) for counters in every)
            for item in fields(self)
            if item.name not in {'decode_errors', 'peak_rss_bytes'}
        }
        errors: Counter[str] = Counter()
        for counters in every:
            errors.update(counters.decode_errors)
        return Counters(
            **sums,
            decode_errors=MappingProxyType(dict(sorted(errors.items()))),
            peak_rss_bytes=max(counters.peak_rss_bytes for counters in every),
        )


class Identity(NamedTuple):
    """What makes two profiles the same one.

    parts: Provenance.digest of a merged one, else 0. So what is merged is never taken for one of
    its parts, nor for a merge of other parts, and the same parts give the same one.
    """

    robot_id: str
    stream: str
    segment: str
    epoch: int
    window_start_ns: int
    parts: int = 0

    @property
    def digest(self) -> bytes:
        """16 bytes that no two identities share."""
        return hashlib.blake2b(ascii(tuple(self)).encode(), digest_size=_DIGEST_BYTES).digest()


@dataclass(frozen=True, slots=True)
class Provenance:
    """What a profile was merged from.

    profiles: how many windows. robots: serialized sketch of the ids of their robots. start_ns,
    end_ns: from the start of the first window to the end of the last. digest: sum of the digests of
    the windows' identities, modulo 2^128: as the others it depends neither on the order nor on how
    often what was merged is merged again.
    """

    profiles: int
    robots: bytes
    start_ns: int
    end_ns: int
    digest: int

    @property
    def distinct_robots(self) -> int:
        """Number of robots, exact for some hundred, then estimated."""
        return sketches.distinct(self.robots)

    def merged(self, *others: 'Provenance') -> 'Provenance':
        """Return what all of these were merged from."""
        every = (self, *others)
        robots = {provenance.robots for provenance in every}
        return Provenance(
            profiles=sum(provenance.profiles for provenance in every),
            robots=sketches.merge_distinct(sorted(robots)) if len(robots) > 1 else self.robots,
            start_ns=min(provenance.start_ns for provenance in every),
            end_ns=max(provenance.end_ns for provenance in every),
            digest=sum(provenance.digest for provenance in every) % _DIGESTS,
        )


@dataclass(frozen=True, slots=True)
class Source:
    """Where a stream's messages come from."""

    robot_id: str
    stream: str
    topic: str
    message_type: str
    tags: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    segment: str = ''

    def merged(self, *others: 'Source') -> 'Source':
        """Return what all have in common; an attribute that differs becomes `*`."""
        every = (self, *others)
        same = {
            item.name: getattr(self, item.name)
            if len({getattr(source, item.name) for source in every}) == 1
            else VARIOUS
            for item in fields(self)
            if item.name != 'tags'
        }
        tags = set(self.tags.items()).intersection(*(source.tags.items() for source in others))
        return Source(**same, tags=MappingProxyType(dict(sorted(tags))))


@dataclass(frozen=True, slots=True)
class Profile:
    """One stream in one window [window_start_ns, window_end_ns), event time since 1970.

    provenance: what it was merged from, None for a single window.
    """

    source: Source
    epoch: int
    window_start_ns: int
    window_end_ns: int
    counters: Counters
    features: Mapping[str, Feature]
    provenance: Provenance | None = None

    @property
    def identity(self) -> Identity:
        """What makes two profiles the same one."""
        source = self.source
        return Identity(
            *(source.robot_id, source.stream, source.segment, self.epoch, self.window_start_ns),
            parts=self.provenance.digest if self.provenance else 0,
        )

    @property
    def origin(self) -> Provenance:
        """What it was merged from; of a single window that is itself."""
        return self.provenance or Provenance(
            profiles=1,
            robots=sketches.distinct_of(self.source.robot_id),
            start_ns=self.window_start_ns,
            end_ns=self.window_end_ns,
            digest=int.from_bytes(self.identity.digest, 'big'),
        )

    def feature(self, name: str) -> Feature | None:
        """Return a feature, None where there is none.

        detections/count/<label> is 0 in all messages if no such label was seen in the window,
        unless there were too many labels to count each. The stamps of such a 0 are the start of the
        first window.
        """
        feature = self.features.get(name)
        if feature is None and name.startswith(f'{LABEL_COUNT}/'):
            count = self.features.get(LABEL_COUNT)
            named = f'{LABEL_COUNT}/{OTHER}' not in self.features
            if named and isinstance(count, NumericFeature):
                return count.as_zeros(
                    self.provenance.start_ns if self.provenance else self.window_start_ns
                )
        return feature

    def with_features(self, names: Iterable[str]) -> 'Profile':
        """Return this profile with the features of these names alone."""
        return replace(self, features=MappingProxyType({n: self.features[n] for n in names}))

    def merged(self, *others: 'Profile') -> 'Profile':
        """Return one profile of all the data behind this and others, leaving them as they are.

        The window becomes the span of all of them, the epoch the smallest. Parts of one window, as
        a process leaves them that was killed, are that window, all else gets a provenance. A label
        of which one has no count was in none of its messages. Raises ProfileError where a feature
        is of one kind here and of another there.
        """
        every = (self, *others)
        parts = {(profile.identity, profile.window_end_ns) for profile in every}
        provenance = self.provenance
        if len(parts) > 1:
            provenance = self.origin.merged(*(profile.origin for profile in others))
        names = sorted({name for profile in every for name in profile.features})
        return Profile(
            source=self.source.merged(*(profile.source for profile in others)),
            epoch=min(profile.epoch for profile in every),
            window_start_ns=min(profile.window_start_ns for profile in every),
            window_end_ns=max(profile.window_end_ns for profile in every),
            counters=self.counters.merged(*(profile.counters for profile in others)),
            features=MappingProxyType(
                {
                    name: _merge_feature(name, [f for p in every if (f := p.feature(name))])
                    for name in names
                }
            ),
            provenance=provenance,
        )


def _merge_feature(name: str, features: Sequence[Any]) -> Feature:
    """Merge one or more features of one name."""
    if len(kinds := {feature.kind for feature in features}) > 1:
        raise ProfileError(f'{name} is {" and ".join(sorted(kinds))} in the profiles to merge')
    merged: Feature = features[0].merged(*features[1:])
    return merged
