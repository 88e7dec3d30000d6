"""What is committed can be cloned on every system."""

import subprocess
from collections import Counter
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).parents[1]
LONGEST = 133  # letters of a path; Windows has 260, which leaves 126 for the folder of the clone
RESERVED = {"con", "prn", "aux", "nul", *(f"{kind}{k}" for kind in ("com", "lpt") for k in range(1, 10))}


@pytest.fixture(scope="module")
def paths():
    try:
        command = ["git", "-C", str(ROOT), "ls-files", "-z"]
        done = subprocess.run(command, capture_output=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        pytest.skip("this is no clone")
    return [PurePosixPath(name) for name in done.stdout.decode().split("\0") if name]


def test_names_differ_in_more_than_the_case_of_letters(paths):
    everything = {str(part) for path in paths for part in (path, *path.parents)}
    assert [name for name, count in Counter(map(str.casefold, everything)).items() if count > 1] == []


def test_names_are_names_on_windows(paths):
    parts = {part for path in paths for part in path.parts}
    wrong = [part for part in parts if set(part) & set('<>:"\\|?*') or part.split(".")[0].lower() in RESERVED]
    assert wrong == []
    assert [part for part in parts if part[-1] in " ."] == []


def test_paths_leave_room(paths):
    assert [str(path) for path in paths if len(str(path)) > LONGEST] == []
