"""Quantiles of Student's t."""

import math

import pytest

from profiler_node.detect.student import critical, two_sided


@pytest.mark.parametrize(
    ('alpha', 'freedom', 'expected'),
    [
        (0.05, 10, 2.2281388520),
        (0.01, 5, 4.0321429836),
        (0.001, 9, 4.7809125859),
        (0.05, 1e7, 1.9599642),
        (1e-6, 1e7, 4.8916406),
        (0.10, 30, 1.6972608865),
    ],
)
def test_known_values(alpha, freedom, expected):
    assert critical(alpha, freedom) == pytest.approx(expected, rel=2e-6)


@pytest.mark.parametrize('alpha', [0.5, 1e-2, 5e-7, 1e-10])
def test_one_and_two_degrees_of_freedom_have_a_formula(alpha):
    assert critical(alpha, 1.0) == pytest.approx(1 / math.tan(math.pi * alpha / 2), rel=1e-8)
    assert critical(alpha, 2.0) == pytest.approx(
        (1 - alpha) * math.sqrt(2 / (alpha * (2 - alpha))), rel=1e-8
    )


@pytest.mark.parametrize('freedom', [1.0, 9.7, 11.0, 250.3])
def test_the_quantile_has_the_probability(freedom):
    for alpha in (0.3, 1e-3, 5e-7):
        assert two_sided(critical(alpha, freedom), freedom) == pytest.approx(alpha, rel=1e-7)
