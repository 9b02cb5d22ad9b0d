"""Lost messages, by sequence numbers and by the gaps in regular stamps."""

import numpy as np

from profiler_node.core.gaps import SequenceGaps, StampGaps

MS = 10**6


def missing(stamps_ms):
    gaps = StampGaps()
    return sum(gaps.missing_before(round(stamp * MS)) for stamp in stamps_ms)


def test_sequence_numbers_tell_each_lost_message():
    gaps = SequenceGaps()
    assert [gaps.lost_before(number) for number in (7, 8, 9, 12, 13)] == [0, 0, 0, 2, 0]


def test_numbers_of_several_publishers_tell_nothing():
    gaps = SequenceGaps()
    numbers = (100_000, 1, 100_001, 2, 100_003, 4)
    assert [gaps.lost_before(number) for number in numbers] == [0, *[None] * 5]


def test_gaps_in_a_regular_stream_are_lost_messages():
    stamps = [index * 50 for index in range(100) if index not in {30, 60, 61, 62}]
    assert missing(stamps) == 4


def test_jitter_is_no_loss():
    jitter = np.random.default_rng(1).normal(0.0, 4.0, 1000)
    assert missing(np.arange(1000) * 50 + jitter) == 0


def test_an_irregular_stream_tells_nothing():
    intervals = np.random.default_rng(2).exponential(50.0, 1000)
    assert missing(np.cumsum(intervals)) == 0


def test_a_silence_longer_than_a_minute_is_no_loss():
    stamps = [index * 50 for index in range(50)]
    assert missing([*stamps, stamps[-1] + 60_050, stamps[-1] + 60_100]) == 0


def test_a_change_of_rate_is_no_loss():
    fast = [index * 20 for index in range(100)]
    slow = [fast[-1] + (index + 1) * 100 for index in range(200)]
    assert missing(fast + slow) == 0


def test_a_rate_that_falls_to_a_third_and_recovers_is_no_loss():
    stamps = [0]
    for count, interval in ((60, 33), (60, 100), (60, 33)):
        stamps += [stamps[-1] + interval * (n + 1) for n in range(count)]
    assert missing(stamps) == 0


def test_a_message_that_comes_after_the_next_one_is_not_missing():
    stamps = [index * 50 for index in range(40)]
    stamps[20], stamps[21] = stamps[21], stamps[20]
    assert missing(stamps) == 0


def test_an_unreadable_message_is_not_missing():
    gaps, found = StampGaps(), 0
    for index in range(40):
        if index == 20:
            gaps.unreadable()
        else:
            found += gaps.missing_before(index * 50 * MS)
    assert found == 0


def test_stamps_that_run_back_are_no_loss():
    stamps = [index * 50 for index in range(40)]
    assert missing([*stamps, 100, 150, *(stamps[-1] + 50 * (i + 1) for i in range(10))]) == 0
