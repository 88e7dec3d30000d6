"""What speaks against a number: what was kept with it, what it tells itself, and what other attacks say."""

import numpy as np

from minidl.records import Outcome
from minidl.report.flags import flags_of, flags_of_run
from minidl.report.results import Results

EPSILONS = np.array([0, 4, 8, 16]) / 255
NONE = np.zeros(100, bool)


def outcome(*counts, vanished=NONE, first=0, images=100, **kept):
    """So many of the images are right at each epsilon."""
    right = np.arange(images) < np.array(counts)[:, None]
    return Outcome(EPSILONS, np.arange(images) + first, np.arange(images) % 10, right, NONE[:images], vanished, **kept)


def names(found):
    return [flag.name for flag in found]


def test_a_number_that_nothing_speaks_against():
    assert flags_of(outcome(90, 50, 20, 20)) == []


def test_what_was_kept_comes_first_and_is_not_said_twice():
    kept = (("I1", "seen by the doctor", "Attack the margin."), ("I4", "it still rises", "Take more steps."))
    found = flags_of(outcome(90, 50, 20, 5, vanished=~NONE, flags=kept))
    assert names(found) == ["I1", "I4"]
    assert str(found[0]) == "I1: seen by the doctor. Attack the margin."


def test_accuracy_that_rises_with_epsilon():
    (flag,) = flags_of(outcome(90, 50, 20, 30))
    assert flag.name == "rises"
    assert "20.0% are right at 8/255, and 30.0% at 16/255" in flag.evidence
    assert names(flags_of(outcome(90, 20, 50, 0))) == ["rises"]  # though it ends at nothing


def test_gradients_that_vanished_count_where_one_loss_is_climbed():
    vanished = np.arange(100) < 45  # half of the 90 that are right
    (flag,) = flags_of(outcome(90, 60, 60, 60, vanished=vanished))
    assert flag.name == "I1"
    assert flag.evidence.startswith("50.0%")
    wrong_alone = np.arange(100) >= 90
    assert flags_of(outcome(90, 60, 60, 60, vanished=wrong_alone)) == []
    right = np.arange(100) < np.array([90, 60, 60, 60])[:, None]
    several = np.where(right, "", "square")
    assert flags_of(outcome(90, 60, 60, 60, vanished=vanished, broken_by=several)) == []


class Study:
    """The parts of Results that flags are read from: figure 9 under FGSM, and twins."""

    def __init__(self, **outcomes):
        self.outcomes = {name.replace("_", "-").removeprefix("f"): found for name, found in outcomes.items()}
        self.figures = {name: {"attacks": {"paired": {"run": name}}} for name in self.outcomes}

    def shown(self, figure):
        return "paired"

    def twins(self, figure):
        return [name for name in self.figures if name != figure]

    def method(self, figure):
        return figure.partition("-")[2] or "fgsm"

    def outcome(self, run, attack):
        if self.outcomes[attack] is None:
            raise FileNotFoundError
        return self.outcomes[attack]

    kept = Results.kept


def test_a_stronger_attack_refutes_a_weaker_one():
    results = Study(f9=outcome(90, 60, 50, 40), f9_pgd=outcome(90, 55, 20, 4))
    (flag,) = flags_of_run(results, "9", "run")
    assert flag.name == "weaker than PGD"
    assert flag.evidence == "at 16/255 this leaves 40.0% of 100 images right, and PGD 4.0%"
    assert flag.advice == "Believe figure 9-pgd."
    assert flags_of_run(results, "9-pgd", "run") == []


def test_only_the_same_images_are_compared():
    few = {"images": 6, "vanished": NONE[:6]}
    (flag,) = flags_of_run(Study(f9=outcome(90, 60, 50, 40), f9_auto=outcome(6, 0, 0, 0, **few)), "9", "run")
    assert flag.evidence == "at 4/255 this leaves 100.0% of 6 images right, and the worst case 0.0%"
    elsewhere = outcome(6, 0, 0, 0, first=200, **few)
    assert flags_of_run(Study(f9=outcome(90, 60, 50, 40), f9_auto=elsewhere), "9", "run") == []


def test_files_that_were_removed_say_nothing():
    assert flags_of_run(Study(f9=outcome(90, 60, 50, 40), f9_pgd=None), "9", "run") == []
    assert flags_of_run(Study(f9=None), "9", "run") == []
