"""Paired tests and intervals over seeds: published numbers, SciPy's where it is installed, and their rates of error."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl.robustness import mcnemar, over_seeds
from minidl.robustness.comparison import student_quantile


def answers(both, only_a, only_b, neither):
    """Two networks' answers with the four counts of a paired table."""
    counts = [both, only_a, only_b, neither]
    return np.repeat([True, True, False, False], counts), np.repeat([True, False, True, False], counts)


@pytest.mark.parametrize(
    ("counts", "p_value"),
    [
        ((1, 1, 7, 12), 0.0703),  # Fagerland, Lydersen and Laake, BMC Medical Research Methodology 13:91 (2013)
        ((794, 150, 86, 570), 3.716e-5),  # Agresti, "Categorical data analysis": approval of a prime minister, twice
    ],
)
def test_mcnemar_gives_published_numbers(counts, p_value):
    found = mcnemar(*answers(*counts))
    assert (found.only_a, found.only_b) == counts[1:3]
    assert found.p_value == pytest.approx(p_value, rel=1e-3)


@given(st.lists(st.integers(0, 40), min_size=4, max_size=4).filter(any))
def test_mcnemar_is_the_binomial_test(counts):
    stats = pytest.importorskip("scipy.stats")
    a, b = answers(*counts)
    found = mcnemar(a, b)
    told = found.only_a + found.only_b
    expected = stats.binomtest(found.only_a, told).pvalue if told else 1.0
    assert found.p_value == pytest.approx(expected, rel=1e-9)
    assert mcnemar(b, a) == (found.only_b, found.only_a, found.p_value)


def test_mcnemar_of_many_images_neither_overflows_nor_rounds_to_zero():
    assert mcnemar(*answers(0, 2000, 1900, 0)).p_value == pytest.approx(0.113, abs=2e-3)
    assert 0 < mcnemar(*answers(0, 1000, 0, 0)).p_value < 1e-290
    assert mcnemar(*answers(5, 0, 0, 5)).p_value == 1


def test_mcnemar_finds_no_more_than_chance_between_equals():
    rng = np.random.default_rng(0)
    found = [mcnemar(*answers(0, k, 60 - k, 40)).p_value < 0.05 for k in rng.binomial(60, 0.5, 2000)]
    assert 0.01 < np.mean(found) < 0.05  # an exact test keeps below its level


def test_mcnemar_says_what_is_wrong():
    right = np.ones(3, bool)
    with pytest.raises(TypeError, match="boolean.*int64"):
        mcnemar(right, right.astype(np.int64))
    with pytest.raises(ValueError, match=r"the same images.*\(3,\).*\(2,\)"):
        mcnemar(right, right[:2])
    with pytest.raises(ValueError, match=r"\(1, 3\)"):
        mcnemar(right[None], right[None])


# Over seeds


@pytest.mark.parametrize(
    ("confidence", "freedom", "published"),
    [(0.95, 1, 12.706), (0.95, 2, 4.303), (0.95, 4, 2.776), (0.99, 9, 3.250), (0.9, 30, 1.697), (0.95, 120, 1.980)],
)
def test_quantiles_are_those_of_the_tables(confidence, freedom, published):
    assert student_quantile(confidence, freedom) == pytest.approx(published, abs=5e-4)


@given(st.floats(0.01, 0.9999), st.integers(1, 400))
def test_quantiles_are_scipys(confidence, freedom):
    stats = pytest.importorskip("scipy.stats")
    assert student_quantile(confidence, freedom) == pytest.approx(stats.t.ppf((1 + confidence) / 2, freedom), rel=1e-8)


def test_the_interval_of_students_sleep_data():
    """The differences of Student's own paper, of which R prints the interval 0.7001142 to 2.4598858."""
    found = over_seeds([1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4])
    assert (found.count, found.mean) == (10, pytest.approx(1.58))
    assert found.deviation == pytest.approx(1.229995, abs=1e-6)
    assert found.interval == pytest.approx((0.7001142, 2.4598858), abs=1e-7)


def test_one_seed_has_no_interval():
    found = over_seeds([0.5])
    assert (found.count, found.mean, found.deviation, found.interval) == (1, 0.5, None, None)
    assert "one seed" in str(found)


def test_the_interval_covers_the_mean():
    rng = np.random.default_rng(0)
    for count in (2, 3, 5):
        intervals = [over_seeds(seeds).interval for seeds in rng.normal(size=(2000, count))]
        assert 0.935 < np.mean([low <= 0 <= high for low, high in intervals]) < 0.965


@pytest.mark.parametrize("values", [[], [[0.5]], [0.5, math.nan], [math.inf]])
def test_values_are_numbers(values):
    with pytest.raises(ValueError, match="over_seeds: values is .*, and must be (finite|one number, or a sequence)"):
        over_seeds(values)


@pytest.mark.parametrize("confidence", [0, 1, 95])
def test_confidence_is_a_probability(confidence):
    with pytest.raises(ValueError, match=f"confidence is {confidence}"):
        over_seeds([0.5, 0.6], confidence)
