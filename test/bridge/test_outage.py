"""Hours without a link: all comes through, whole or in longer windows."""

from outage import Cameras, stay_offline

from profiler_node.bridge.config import SpoolConfig
from profiler_node.wire.codec import merge

SMALL = SpoolConfig(max_bytes=4_000_000)


def test_an_hour_offline_comes_through_as_it_was(tmp_path):
    outage = stay_offline(tmp_path, SpoolConfig(), Cameras(20), 60)
    assert outage.wrong == []
    assert (outage.merged, outage.dropped) == (0, {})
    assert outage.windows == {0: {1: 1_200}}
    assert outage.object_bytes < outage.raw_bytes
    assert outage.grown_mb < 50


def test_six_hours_in_a_spool_of_one_come_through_in_longer_windows(tmp_path):
    outage = stay_offline(tmp_path, SMALL, Cameras(4), 360)
    assert outage.wrong == []
    assert outage.dropped == {}
    windows = sum(outage.windows[0].values())
    assert outage.merged == 1_440 - windows > 700
    assert outage.grown_mb < 50


def test_the_comparison_shows_a_merge_that_forgets(tmp_path):
    outage = stay_offline(tmp_path, SMALL, Cameras(4), 200, merge=lambda data: merge(data[:-1]))
    assert any('lost' in wrong for wrong in outage.wrong)


def test_the_comparison_shows_windows_that_were_dropped(tmp_path):
    def cannot(payloads):
        raise ValueError(f'{len(payloads)} of different kinds')

    outage = stay_offline(tmp_path, SMALL, Cameras(4), 200, merge=cannot)
    assert sum(outage.dropped.values()) > 100
    assert any('lost' in wrong for wrong in outage.wrong)
