"""What all tests share: the device they run on, their random numbers, and which of them need more than a laptop."""

import os

import hypothesis
import numpy as np
import pytest

from minidl.backend import check_device, manual_seed
from minidl.kernels import precision, set_precision

hypothesis.settings.register_profile(
    "minidl",
    deadline=None,  # the first call of a kernel compiles it
    max_examples=25,
    derandomize=bool(os.environ.get("CI")),  # the same examples each time where nobody looks at a failure twice
)
hypothesis.settings.load_profile("minidl")


# What is slow and rarely tells more: statistics, thousands of damages, and what builds the site, runs all lessons and
# studies, or kills a training. ``pytest`` leaves it out, ``pytest -m slow`` runs it, and so does .ci/run. All else is
# run with each Python and on each system.
LONG = {
    "adversity",
    "experiments",
    "test_claims.py",
    "test_emulated_card.py",
    "test_in_browser.py",
    "test_killed.py",
    "test_notebooks.py",
    "test_numbers_in_browser.py",
    "test_page_in_browser.py",
    "test_site.py",
    "test_twins.py",
}


@pytest.hookimpl(tryfirst=True)  # before -m looks at marks
def pytest_collection_modifyitems(items):
    for item in items:
        if LONG & set(item.path.parts):
            item.add_marker("slow")


def pytest_addoption(parser):
    parser.addoption("--device", choices=("cpu", "gpu"), default="cpu", help="where the table of operations runs")


def pytest_configure(config):
    config.addinivalue_line("markers", "imagenette: needs the real images, where MINIDL_DATA points")
    config.addinivalue_line("markers", "slow: left out unless asked for by -m slow")
    config.addinivalue_line("markers", "gpu: needs an NVIDIA card and CuPy")


def pytest_runtest_setup(item):
    if item.get_closest_marker("imagenette") and not os.environ.get("MINIDL_DATA"):
        pytest.skip("needs MINIDL_DATA")
    if item.get_closest_marker("gpu"):
        _skip_without("gpu")


def _skip_without(device):
    try:
        check_device(device)
    except RuntimeError as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="session")
def device(request):
    """ "cpu", or what ``pytest --device gpu`` asks for; skipped, with the reason, where there is none."""
    device = request.config.getoption("--device")
    _skip_without(device)
    return device


@pytest.fixture(autouse=True)
def _exact_on_a_card(request):
    """TF32, in which a card multiplies otherwise, keeps three digits."""
    before = precision()
    there = request.config.getoption("--device") == "gpu" or request.node.get_closest_marker("gpu")
    if there and isinstance(request.node, pytest.Function):  # no doctest
        set_precision("exact")
    yield
    set_precision(before)


@pytest.fixture(autouse=True)
def _default_streams():
    """The same initial weights in each test, whatever ran before it."""
    manual_seed(0)


@pytest.fixture
def rng():
    """The same random numbers for each test, whatever ran before it."""
    return np.random.default_rng(0)
