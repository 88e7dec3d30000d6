"""One small study that is finished, for all that is done to it."""

import pytest

from tests.adversity.damage import Study


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    return Study(tmp_path_factory.mktemp("study") / "out")


@pytest.fixture
def study(whole):
    """The finished study, which is put back afterwards."""
    yield whole
    whole.restore()
