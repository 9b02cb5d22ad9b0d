"""What is normal: of correlated windows, of few, and with outliers among them."""

import math

import numpy as np
import pytest

from profiler_node.detect.scales import family_of
from profiler_node.detect.thresholds import alpha_of, correlation_of, normal_of

ALPHA = 5e-7
LEVEL = family_of('image/brightness')
COUNT = family_of('detections/count')


def ar1(random, n, phi):
    noise = random.normal(0, math.sqrt(1 - phi**2), n)
    values = np.empty(n)
    values[0] = random.normal()
    for index in range(1, n):
        values[index] = phi * values[index - 1] + noise[index]
    return values


def of(values, prior=0.05):
    return normal_of(np.asarray(values, float), np.ones(len(values) - 1, bool), prior)


@pytest.mark.parametrize('n', [2, 3, 4, 5, 8, 9, 30])
def test_the_largest_left_out_deviation_is_that_of_the_definition(n):
    values = np.random.default_rng(n).normal(size=n)
    each = [abs(v - np.median(np.delete(values, i))) for i, v in enumerate(values)]
    assert of(values).left_out == pytest.approx(max(each), rel=1e-12)


def test_one_in_a_hundred_of_the_left_out_is_an_outlier():
    values = np.random.default_rng(1).normal(size=200)
    values[[3, 90]] = 1e4  # a sentinel in two of the windows
    after = of(values)
    assert after.left_out < 4
    assert after.spread == pytest.approx(of(values[4:80]).spread, rel=0.3)


def test_correlated_windows_count_less():
    random = np.random.default_rng(2)
    values = ar1(random, 4000, 0.8)
    assert correlation_of(values, np.ones(3999, bool)) == pytest.approx(0.8, abs=0.05)
    assert of(values).effective == pytest.approx(4000 * 0.2 / 1.8, rel=0.3)
    assert of(random.normal(size=4000)).effective == pytest.approx(4000, rel=0.1)


def test_the_prior_is_all_that_few_equal_windows_have():
    few = of([0.0] * 8, prior=0.07)
    assert few.spread == pytest.approx(0.07 * math.sqrt(10 / 18))
    many = of(np.random.default_rng(3).normal(0, 0.5, 2000), prior=0.07)
    assert many.spread == pytest.approx(0.5, rel=0.05)


def test_a_threshold_falls_with_windows_and_is_within_its_ends():
    random = np.random.default_rng(4)
    thresholds = [
        of(random.normal(0, 0.1, n), prior=0.25).threshold(ALPHA, COUNT) for n in (8, 30, 1000)
    ]
    assert thresholds == sorted(thresholds, reverse=True)
    assert of([1.0] * 1000, prior=0.0).threshold(ALPHA, LEVEL) == LEVEL.least
    assert of([0.0] * 8, prior=5.0).threshold(ALPHA, LEVEL) == LEVEL.cap


def test_few_false_alarms_of_correlated_windows():
    """A walk of phi 0.99 over a day is judged by the day before: tests on samples alarm always."""
    random = np.random.default_rng(5)
    alarms, judged = 0, 0
    for _ in range(20):
        values = 0.1 * ar1(random, 2880, 0.99)
        normal = of(values[:1440], prior=0.07)
        threshold = normal.threshold(ALPHA, COUNT)
        alarms += int((np.abs(values[1440:] - normal.centre) > threshold).sum())
        judged += 1440
    assert alarms / judged < 1e-3


def test_the_rate_is_shared_by_features_and_windows():
    assert alpha_of(1.0, 60.0, 200) == pytest.approx(1 / (10_080 * 200))
    assert alpha_of(1.0, 7 * 86_400.0, 1) == 0.05  # one window says little, but something
