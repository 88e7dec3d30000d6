"""What the playground's tests share: the script that made its networks, and the page in a browser."""

import contextlib
import importlib.util

import pytest

from tests.playground import browser


@pytest.fixture(scope="session")
def make():
    spec = importlib.util.spec_from_file_location("make", browser.PAGE.with_name("make.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """In English, as wide as a desk's. Where there is no browser, what asks for it is skipped, with the reason."""
    if browser.CHROMIUM is None:
        pytest.skip("needs chromium, chromium-browser or google-chrome")
    chromium = browser.Browser(tmp_path_factory.mktemp("browser"))
    chromium.open(browser.ENGLISH)
    with contextlib.closing(chromium):
        yield chromium
