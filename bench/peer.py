"""The same work done by whylogs, as its documentation does it, on data that is already decoded."""

import io
from itertools import cycle

import numpy as np
import pandas as pd
from messages import ROW, WIDE_ROW, depths_m, detections, pictures, points, ranges_m
from PIL import Image
from timing import Call
from whylogs.core import DatasetProfile
from whylogs.extras.image_metric import log_image


def _columns(**columns: object) -> Call:
    """Return what logs columns of a table into one profile."""
    profile = DatasetProfile()
    frame = pd.DataFrame(columns)
    return lambda: profile.track(frame)


def _rows(rows: list[dict[str, float]]) -> Call:
    """Return what logs the next of rows into one profile."""
    profile = DatasetProfile()
    turns = cycle(rows)
    return lambda: profile.track(next(turns))


def _numbers(count: int, names: list[str]) -> list[dict[str, float]]:
    random = np.random.default_rng(7)
    return [
        dict(zip(names, random.normal(size=len(names)).tolist(), strict=True)) for _ in range(count)
    ]


def _jpeg(pixels: np.ndarray) -> Call:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, 'JPEG', quality=90)
    data = buffer.getvalue()
    return lambda: log_image(Image.open(io.BytesIO(data)))


def _profile_rows() -> dict[str, Call]:
    """Return merging and writing of profiles of 30 numbers."""
    rows = _numbers(3000, [f'column_{index}' for index in range(ROW)])
    views = []
    for _ in range(2):
        profile = DatasetProfile()
        profile.track(pd.DataFrame(rows))
        views.append(profile.view())
    first, second = views
    payload = first.serialize()
    return {
        'merge_30': lambda: first.merge(second),
        'encode_30': first.serialize,
        'decode_30': lambda: type(first).deserialize(payload),
    }


def whylogs_calls() -> dict[str, Call]:
    """Return what whylogs does, by the name of our row, where it can do it at all."""
    picture = np.ascontiguousarray(pictures(1)[0][:, :, ::-1])
    image = Image.fromarray(picture)
    depth_m = depths_m(1)[0].ravel()
    x, y, z, intensity = np.ascontiguousarray(points(1)[0].T)
    boxes = pd.DataFrame(detections(1)[0])
    imu = [
        f'{part}.{axis}' for part in ('orientation', 'velocity', 'acceleration') for axis in 'xyz'
    ]
    return {
        'image_bgr8_1080p': lambda: log_image(image),
        'image_jpeg_1080p': _jpeg(picture),
        'depth_16uc1_720p': _columns(
            depth=np.nan_to_num(np.rint(depth_m * 1000)).astype(np.uint16)
        ),
        'depth_32fc1_720p': _columns(depth=depth_m),
        'cloud_131k': _columns(
            x=x, y=y, z=z, range=np.hypot(np.hypot(x, y), z), intensity=intensity
        ),
        'scan_1440': _columns(range=ranges_m(1)[0]),
        'boxes_50': _columns(**{name: boxes[name] for name in boxes}),
        'imu': _rows(_numbers(100, [*imu, 'orientation.w'])),
        'row_151': _rows(_numbers(100, [f'column_{index}' for index in range(WIDE_ROW)])),
        **_profile_rows(),
    }
