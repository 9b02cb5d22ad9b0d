"""Faults, put into the messages of a window before they are serialized."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from sequences import Sent

Random = np.random.Generator
Inject = Callable[[list[Sent], Random], list[Sent]]


@dataclass(frozen=True)
class Fault:
    """A fault of one kind of stream; expected: causes that are right, weak: for many windows."""

    name: str
    kind: str
    expected: tuple[str, ...]
    inject: Inject
    weak: bool = False

    def fits(self, kind: str, sequence: str) -> bool:
        """Return whether a sequence can have it: 16 bits of mm hold no 1,000 m."""
        is_mm = sequence in {'kinect depth mm', 'scene depth'}
        return self.kind == kind and not (is_mm and self.name == 'range x1000')


def each(change: Callable[[Any, Random], Any]) -> Inject:
    """Return a fault that changes each message."""
    return lambda sent, random: [replace(s, message=change(s.message, random)) for s in sent]


def pixels(change: Callable[[Any], Any]) -> Inject:
    """Return a fault that changes the pixels, (H, W, C) uint8."""

    def inject(message: Any, _: Random) -> Any:
        image = message.data.reshape(message.height, message.width, -1)
        return replace(message, data=np.ascontiguousarray(change(image), np.uint8).ravel())

    return each(inject)


def gain(factor: float) -> Inject:
    """Return a fault that makes images so many times as bright."""
    return pixels(lambda image: np.clip(image * factor, 0, 255))


def half_size(message: Any, _: Random) -> Any:
    """Return every other row and column of an image."""
    size = len(message.data) // (message.height * message.width)
    image = message.data.reshape(message.height, message.width, size)[::2, ::2]
    return replace(
        message,
        height=image.shape[0],
        width=image.shape[1],
        step=image.shape[1] * image.shape[2],
        data=np.ascontiguousarray(image).ravel(),
    )


def depths(change: Callable[[Any, Random], Any]) -> Inject:
    """Return a fault that changes the depths [m], (N,) float64 with NaN."""

    def inject(message: Any, random: Random) -> Any:
        if message.encoding == '32FC1':
            data = change(message.data.view('<f4').astype(float), random).astype('<f4')
        else:
            metres = message.data.view('<u2') / 1000.0
            metres[metres == 0] = np.nan
            new = np.nan_to_num(change(metres, random) * 1000.0, nan=0.0)
            data = np.clip(np.round(new), 0, 65535).astype('<u2')
        return replace(message, data=data.view(np.uint8))

    return each(inject)


def lost(share: float) -> Callable[[Any, Random], Any]:
    """Return a change that makes a share of the values NaN."""
    return lambda values, random: np.where(random.random(values.shape) < share, np.nan, values)


def points(change: Callable[[Any, Random], Any]) -> Inject:
    """Return a fault that changes x, y and z, (N, 3), or drops points where it returns fewer.

    change returns (N, 3), or a mask, (N,), of the points that stay.
    """

    def inject(message: Any, random: Random) -> Any:
        offsets = [f.offset for f in message.fields if f.name in {'x', 'y', 'z'}]
        rows = message.data.reshape(-1, message.point_step).copy()
        new = change(positions(message), random)
        if new.dtype == bool:
            rows = rows[new]
        else:
            for axis, offset in enumerate(offsets):
                column = np.ascontiguousarray(new[:, axis : axis + 1].astype('<f4'))
                rows[:, offset : offset + 4] = column.view(np.uint8)
        return replace(message, height=1, width=len(rows), row_step=rows.size, data=rows.ravel())

    return each(inject)


def azimuths(xyz: Any) -> Any:
    """Return the azimuth of points, (N, 3), in degrees."""
    return np.degrees(np.arctan2(xyz[:, 1], xyz[:, 0]))


def busiest(xyz: Any) -> int:
    """Return where the 50 degrees with the most points begin."""
    counts, _ = np.histogram(azimuths(xyz), np.arange(-180, 181, 10))
    runs = np.convolve(np.concatenate([counts, counts[:4]]), np.ones(5), 'valid')
    return -180 + 10 * int(runs.argmax())


def towards(change: Callable[[Any, Any], Any]) -> Inject:
    """Return a fault of the points within the 50 degrees that are the busiest at first.

    change: of x, y and z, (N, 3), and which are within, (N,).
    """

    def inject(sent: list[Sent], random: Random) -> list[Sent]:
        first = sent[0].message
        start = busiest(positions(first))
        return points(lambda xyz, _: change(xyz, (azimuths(xyz) - start) % 360 < 50))(sent, random)

    return inject


def positions(message: Any) -> Any:
    """Return x, y and z of a cloud, (N, 3)."""
    offsets = [f.offset for f in message.fields if f.name in {'x', 'y', 'z'}]
    rows = message.data.reshape(-1, message.point_step)
    return np.concatenate([rows[:, o : o + 4] for o in offsets], axis=1).view('<f4')


def near(xyz: Any, inside: Any) -> Any:
    """Return points of which those inside are at 0.3 m."""
    lengths = np.linalg.norm(xyz, axis=1, keepdims=True)
    with np.errstate(invalid='ignore', divide='ignore'):
        return np.where(inside[:, None] & (lengths > 0), xyz / lengths * 0.3, xyz)


def with_nan(share: float) -> Callable[[Any, Random], Any]:
    """Return a change that makes a share of the points NaN."""
    return lambda xyz, random: np.where(random.random((len(xyz), 1)) < share, np.nan, xyz)


def other_fields(message: Any, _: Random) -> Any:
    """Return a cloud of which a field has another name."""
    renamed = [replace(f, name='reflectivity2') if f.name == 'intensity' else f
               for f in message.fields]  # fmt: skip
    if renamed == message.fields:
        renamed = [*renamed[:-1], replace(renamed[-1], name='other')]
    return replace(message, fields=renamed)


def beams(change: Callable[[Any, Random], Any]) -> Inject:
    """Return a fault that changes the ranges [m] of a scan, (N,)."""

    def inject(message: Any, random: Random) -> Any:
        new = change(message.ranges.astype(float), random)
        return replace(message, ranges=new.astype(np.float32))

    return each(inject)


def blocked_beams(ranges: Any, _: Random) -> Any:
    """Return ranges of which a sixth of the beams has no return."""
    new = ranges.copy()
    new[len(new) // 3 : len(new) // 2] = np.inf
    return new


def boxes(change: Callable[[list[Any], Random], list[Any]]) -> Inject:
    """Return a fault that changes the list of detections."""
    return each(lambda message, random: replace(
        message, detections=change(list(message.detections), random)
    ))  # fmt: skip


def fewer(share: float) -> Callable[[list[Any], Random], list[Any]]:
    """Return a change that drops a share of the detections."""
    return lambda found, random: [box for box in found if random.random() >= share]


def scaled(box: Any, factor: float) -> Any:
    """Return a detection with a box so many times as large."""
    new = replace(box.bbox, size_x=box.bbox.size_x * factor, size_y=box.bbox.size_y * factor)
    return replace(box, bbox=new)


def hypothesis(box: Any, **changes: Any) -> Any:
    """Return a detection with another label or score."""
    first, *rest = box.results
    return replace(
        box, results=[replace(first, hypothesis=replace(first.hypothesis, **changes)), *rest]
    )


def relabelled(share: float) -> Callable[[list[Any], Random], list[Any]]:
    """Labels of another list, as of another model."""

    def change(found: list[Any], random: Random) -> list[Any]:
        return [
            hypothesis(box, class_id=f'{box.results[0].hypothesis.class_id}x')
            if random.random() < share
            else box
            for box in found
        ]

    return change


def rescored(shift: float) -> Callable[[list[Any], Random], list[Any]]:
    """Return a change that moves all scores."""
    return lambda found, _: [
        hypothesis(box, score=float(np.clip(box.results[0].hypothesis.score + shift, 0, 1)))
        for box in found
    ]


def frozen(sent: list[Sent], _: Random) -> list[Sent]:
    """Return messages that all are the first one."""
    return [replace(s, message=sent[0].message) for s in sent]


def halved(sent: list[Sent], _: Random) -> list[Sent]:
    """Return every other message."""
    return sent[::2]


def late(sent: list[Sent], _: Random) -> list[Sent]:
    """Return messages that come 0.3 s later."""
    return [replace(s, latency_ns=s.latency_ns + 300_000_000) for s in sent]


def renamed(message: Any, _: Random) -> Any:
    """Return a message of another frame."""
    return replace(message, header=replace(message.header, frame_id='other_frame'))


def _faults() -> list[Fault]:
    found = []
    for kind in ('colour', 'gray', 'depth', 'cloud', 'scan', 'boxes'):
        found += [
            Fault('frozen', kind, ('frozen',), frozen),
            Fault('rate halved', kind, ('rate_changed',), halved),
            Fault('late by 0.3 s', kind, ('latency_changed',), late),
            Fault('frame_id', kind, ('format_changed',), each(renamed)),
        ]
    for kind in ('colour', 'gray'):
        found += [
            Fault('gain x0.5', kind, ('exposure_changed',), gain(0.5)),
            Fault('gain x1.8', kind, ('exposure_changed', 'saturated'), gain(1.8)),
            Fault('black', kind, ('black',), pixels(lambda image: image * 0 + 2)),
            Fault('saturated', kind, ('saturated',), pixels(lambda image: image * 0 + 255)),
            Fault('blur', kind, ('blurred',), pixels(lambda im: cv2.GaussianBlur(im, (0, 0), 4))),
            Fault('half the size', kind, ('format_changed',), each(half_size)),
        ]
    swapped = ('channels_swapped',)
    found += [
        Fault('swap red, blue', 'colour', swapped, pixels(lambda im: im[..., ::-1])),
        Fault('swap red, green', 'colour', swapped, pixels(lambda im: im[..., [0, 2, 1]])),
        Fault('rotate channels', 'colour', swapped, pixels(lambda im: im[..., [1, 2, 0]])),
        Fault('encoding', 'colour', ('format_changed',),
              each(lambda m, _: replace(m, encoding='rgb8'))),
    ]  # fmt: skip
    scale = ('scale_changed',)
    for kind, change in (('depth', depths), ('cloud', points), ('scan', beams)):
        for factor in (10.0, 0.1, 1000.0, 2.0, 1.25):
            weak = factor in {2.0, 1.25}
            found.append(
                Fault(f'range x{factor:g}', kind, scale,
                      change(lambda values, _, k=factor: values * k), weak)
            )  # fmt: skip
    found += [
        Fault('60 % lost', 'depth', ('missing_data',), depths(lost(0.6))),
        Fault('half the size', 'depth', ('format_changed',), each(half_size)),
        Fault('60 % NaN', 'cloud', ('missing_data',), points(with_nan(0.6))),
        Fault('60 % of the points lost', 'cloud', ('missing_data',),
              points(lambda xyz, random: random.random(len(xyz)) > 0.6)),
        Fault('truncated', 'cloud', ('missing_data', 'blocked_sector'),
              points(lambda xyz, _: azimuths(xyz) < 30)),
        Fault('50 degrees blocked', 'cloud', ('blocked_sector',),
              towards(lambda _, inside: ~inside)),
        Fault('50 degrees at 0.3 m', 'cloud', ('blocked_sector',), towards(near)),
        Fault('fields', 'cloud', ('format_changed',), each(other_fields)),
        Fault('60 % NaN', 'scan', ('missing_data',), beams(lost(0.6))),
        Fault('sector blocked', 'scan', ('blocked_sector',), beams(blocked_beams)),
        Fault('-90 % objects', 'boxes', ('fewer_objects',), boxes(fewer(0.9))),
        Fault('no objects', 'boxes', ('fewer_objects',), boxes(fewer(1.1))),
        Fault('+100 % objects', 'boxes', ('more_objects',),
              boxes(lambda found, _: found * 2), weak=True),
        Fault('all labels', 'boxes', ('label_mix_changed',), boxes(relabelled(1.1))),
        Fault('box x2', 'boxes', ('box_size_changed',),
              boxes(lambda found, _: [scaled(box, 2.0) for box in found])),
        Fault('score -0.3', 'boxes', ('score_shifted',), boxes(rescored(-0.3))),
        Fault('-25 % objects', 'boxes', ('fewer_objects',), boxes(fewer(0.25)), weak=True),
        Fault('half of the labels', 'boxes', ('label_mix_changed',), boxes(relabelled(0.5)),
              weak=True),
        Fault('box x1.3', 'boxes', ('box_size_changed',),
              boxes(lambda found, _: [scaled(box, 1.3) for box in found]), weak=True),
    ]  # fmt: skip
    return found


FAULTS = _faults()
