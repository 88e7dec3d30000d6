"""The claims' verdicts on made-up studies whose truth is known, and how often a false claim would be said to hold."""

import math

import numpy as np
import pytest

from minidl.report import Outcome, Results, claims, read_csv, write_claims
from minidl.report.claims import CLAIMS
from minidl.report.evidence import FEWEST_SEEDS, Estimate, Lines, MissingError, slope
from minidl.report.verdict import Part, decide, points
from tests.report.synthetic import write_study

EPSILONS = np.array([0, 1, 2, 4, 8, 16]) / 255
BASE = np.array([0.8, 0.6, 0.45, 0.25, 0.15, 0.05])  # two small epsilons, three large; above chance until the last
SPARSITIES, RANKS, TEMPERATURES = (0, 0.5, 0.8, 0.9, 0.95, 0.98), ("none", "LR1", "LR2"), (1, 20, 50, 70, 90)
VARIED = dict.fromkeys(("8", "9", "10a", "10b", "11"), "sparsity")
VARIED |= dict.fromkeys(("12a", "12b", "12c"), "low_rank") | dict.fromkeys(("13a", "13b", "13c"), "temperature")
VARIED |= dict.fromkeys(("16", "16-auto"), "defence") | dict.fromkeys(("17", "17-pgd"), "pruned")


class Study:
    """A study in memory: for each figure the true accuracies (E,) of each level, seen with some seeds and images.

    An image is right where its difficulty is below the accuracy, so that an image keeps falling once it fell; levels
    share the difficulties but for one image in twenty. Each network is better or worse by ``spread``, without and
    under attack, as a seed makes it.
    """

    def __init__(self, figures, seeds=3, images=300, spread=0.005, rng=None, vanished=None):
        self.study, self.rows, self.runs, self.outcomes, self.transfers = {"figures": []}, [], {}, {}, {}
        self.rng = rng or np.random.default_rng(0)
        for figure, levels in figures.items():
            self.add(figure, levels, seeds, images, spread, vanished or {})

    def add(self, figure, levels, seeds, images, spread, vanished):
        names, varied = [], VARIED[figure]
        for seed in range(seeds):
            difficulty = self.rng.random(images)
            for level, accuracy in levels.items():
                mine = np.where(self.rng.random(images) < 0.95, difficulty, self.rng.random(images))
                shift = np.array([0, *[1] * (len(EPSILONS) - 1)]) * self.rng.normal(0, spread) + self.rng.normal(
                    0, spread
                )
                right = mine < (accuracy + shift)[:, None]
                gone = self.rng.random(images) < vanished.get(level, 0)
                name = f"{figure}-{level}-{seed}"
                names.append(name)
                self.runs[name] = {"run": {"seed": seed}}
                self.rows.append({"figure": figure, "run": name, varied: level, "seed": seed, "images": "paired"})
                self.outcomes[name] = Outcome(
                    EPSILONS, np.arange(images) + seed, np.arange(images) % 10, right, gone & False, gone
                )
        attacks = {"paired": dict.fromkeys(names, "attack")}
        about = {"figure": figure, "batch_size": 512 if figure in ("8", "10b", "11", "12a") else 128}
        self.study["figures"].append({**about, "varied": varied, "runs": names, "attacks": attacks})

    def outcome(self, run, attack):
        if run not in self.outcomes:
            raise FileNotFoundError(run)
        return self.outcomes[run]


def attacked(shift):
    """The same change at every epsilon but 0."""
    return np.array([0, *[shift] * (len(EPSILONS) - 1)])


def along(change):
    """Accuracies of all sparsities: the baseline's, changed in proportion to the sparsity."""
    return {s: BASE + s * np.asarray(change) for s in SPARSITIES}


def ranks(none=0.0, lr1=0.0, lr2=0.0):
    return dict(zip(RANKS, (BASE + none, BASE + lr1, BASE + lr2), strict=True))


def hot(change):
    """Accuracies of all temperatures: those above 1 are changed alike."""
    return {t: BASE + (t > 1) * np.asarray(change) for t in TEMPERATURES}


FALLING = -np.array([0.06, 0.2, 0.2, 0.15, 0.1, 0])
LATE = np.array([0, 0, 0, 0.2, 0.3, 0.3])  # at large epsilons alone
# claim: (a study where it is true, one where it is false, one on the edge between the two)
WORLDS = {
    "C1": (along(FALLING), along(-FALLING / 2), along(np.array([-0.01, -0.2, -0.2, -0.15, -0.1, 0]))),
    "C2": (along(attacked(0.015)), along(attacked(-0.15)), along(0)),
    "C3": (along(attacked(-0.12)), along(attacked(0.1)), along(attacked(-0.01))),
    "C4": (
        along(0) | {0.5: BASE + attacked(0.08), 0.9: BASE + attacked(-0.08)},
        along(0) | {0.5: BASE + attacked(-0.08), 0.9: BASE + attacked(0.08)},
        along(0) | {0.5: BASE + attacked(0.01), 0.9: BASE + attacked(-0.1)},
    ),
    "C5": (along(0), along(attacked(-0.12)), along(0) | {0.98: BASE + attacked(-0.03)}),
    "C6": (ranks(lr1=-0.05, lr2=-0.1), ranks(lr1=0.1, lr2=0.1), ranks(lr1=-0.01, lr2=-0.08)),
    "C7": (
        ranks(lr1=attacked(-0.015), lr2=attacked(-0.015)),
        ranks(lr1=-0.1, lr2=-0.1),
        ranks(),
    ),
    "C8": (hot(LATE), hot(-LATE / 6), hot(0.01 * (LATE > 0))),
    "C9": (hot(attacked(0.12)), hot(attacked(-0.04)), hot(np.array([0, 0.2, 0.01, 0.2, 0.2, 0.2]))),
}


def verdict_of(claim, levels, **settings):
    results = Study({CLAIMS[claim].figure: levels}, **settings)
    return next(verdict for verdict in claims(results) if verdict.claim == claim)


each_claim = pytest.mark.parametrize("claim", list(CLAIMS))


# Holds, fails, undecided


@each_claim
def test_a_true_claim_holds(claim):
    found = verdict_of(claim, WORLDS[claim][0], seeds=6, images=2000, spread=0.002)
    assert found.verdict == "holds", found.reason
    assert found.seeds == 6
    assert found.interval[0] < found.effect < found.interval[1]
    assert "the claim asks for" in found.reason


@each_claim
def test_a_false_claim_fails(claim):
    found = verdict_of(claim, WORLDS[claim][1], seeds=4, images=785)
    assert found.verdict == "fails", found.reason
    assert found.interval[0] < found.effect < found.interval[1]


@each_claim
def test_between_the_two_nothing_is_decided(claim):
    found = verdict_of(claim, WORLDS[claim][2], seeds=3, spread=0.02, rng=np.random.default_rng(1))
    assert found.verdict == "undecided"
    assert "seeds would" in found.reason


@each_claim
@pytest.mark.parametrize("seeds", [1, 2])
def test_too_few_seeds_decide_nothing(claim, seeds):
    found = verdict_of(claim, WORLDS[claim][0], seeds=seeds, images=2000, spread=0)
    assert (found.verdict, found.seeds) == ("undecided", seeds)
    assert f"{seeds} seed" in found.reason
    assert f"Run at least {FEWEST_SEEDS}" in found.reason
    assert found.interval[0] < found.effect < found.interval[1]


@each_claim
def test_every_part_of_a_study_may_be_missing(claim):
    """Whatever is taken away, the answer is undecided, and says what to run."""
    figure = CLAIMS[claim].figure

    def without(change):
        results = Study({figure: WORLDS[claim][0]}, images=50)
        change(results)
        found = next(verdict for verdict in claims(results) if verdict.claim == claim)
        assert found.verdict == "undecided"
        return found

    first = next(iter(Study({figure: WORLDS[claim][0]}, images=1).runs))
    for change in (lambda r: r.outcomes.pop(first), lambda r: r.runs.pop(first)):
        found = without(change)
        assert f"makes the 1 that are missing: {first}." in found.reason
        assert found.seeds == 2
    assert f"Figure {figure} is not in this study" in without(lambda r: r.study["figures"].clear()).reason
    nothing_yet = without(lambda r: r.rows.clear())
    assert (nothing_yet.effect, nothing_yet.interval, nothing_yet.seeds) == (None, None, 0)
    assert "no seed of which all networks are finished" in nothing_yet.reason
    assert without(lambda r: r.study["figures"][0]["attacks"].clear()).effect is None


@each_claim
def test_batches_of_another_size_than_the_report_s_are_said(claim):
    figure = CLAIMS[claim].figure
    results = Study({figure: WORLDS[claim][0]}, images=50)
    said = "Batches were of 64 images"
    assert said not in next(verdict for verdict in claims(results) if verdict.claim == claim).reason
    results.study["figures"][0]["batch_size"] = 64
    assert said in next(verdict for verdict in claims(results) if verdict.claim == claim).reason


@each_claim
def test_a_line_that_is_not_in_the_study(claim):
    baseline = next(iter(WORLDS[claim][0]))
    levels = dict(WORLDS[claim][0])
    alone, absent = {baseline: levels[baseline]}, {k: v for k, v in levels.items() if k != baseline}
    assert "run" in verdict_of(claim, alone).reason
    assert verdict_of(claim, alone).verdict == "undecided"
    found = verdict_of(claim, absent)
    assert (found.verdict, found.effect) == ("undecided", None)
    assert f"no network of {VARIED[CLAIMS[claim].figure].replace('_', ' ')} {baseline}" in found.reason


@each_claim
@pytest.mark.parametrize("accuracy", [0.0, 0.05, 1.0])
def test_networks_that_learned_nothing_or_never_fall(claim, accuracy):
    """Chance, or perfection at every epsilon, has no curve to read a claim off: said, not raised."""
    levels = {level: np.full(len(EPSILONS), accuracy) for level in WORLDS[claim][0]}
    found = verdict_of(claim, levels, spread=0)
    assert found.reason
    assert found.verdict in ("undecided", "fails") or claim == "C5"
    assert found.effect is None or math.isfinite(found.effect)


def test_images_that_are_not_paired_are_noticed():
    results = Study({"9": WORLDS["C2"][0]})
    last = list(results.outcomes)[-1]
    old = results.outcomes[last]
    for change, message in (
        ({"indices": old.indices + 1}, "same images"),
        ({"epsilons": EPSILONS * 2}, "different eps"),
    ):
        results.outcomes[last] = Outcome(**{**vars(old), **change})
        assert message in claims(results)[1].reason


def test_a_damaged_file_says_so():
    def broken(run, attack):
        raise ValueError("x.npz is damaged (no zip): delete it and run the study again")

    results = Study({"9": WORLDS["C2"][0]})
    results.outcome = broken
    assert "delete it and run the study again" in claims(results)[1].reason


# How often a false claim would be said to hold


@each_claim
def test_a_claim_that_is_just_false_seldom_holds(claim):
    """On the edge the worst that can be is one in forty for a range with one end; 200 studies of three seeds."""
    rng = np.random.default_rng(7)
    held = [
        verdict_of(claim, WORLDS[claim][2], images=150, spread=spread, rng=rng).verdict == "holds"
        for spread in np.tile([0.002, 0.02], 100)
    ]
    assert np.mean(held) <= 0.05


def test_nothing_but_noise_seldom_decides_anything_wrongly():
    """Networks that do not differ: all claims that ask for a difference may not hold, and C5 may not fail."""
    rng = np.random.default_rng(3)
    noise = {"sparsity": along(0), "low_rank": ranks(), "temperature": hot(0)}
    figures = {figure: noise[varied] for figure, varied in VARIED.items() if varied in noise}
    found = []
    for _ in range(100):
        results = Study(figures, images=150, spread=0.015, rng=rng)
        found.append({verdict.claim: verdict.verdict for verdict in claims(results)})
    for claim in CLAIMS:
        wrong = "fails" if claim == "C5" else "holds"
        assert np.mean([verdicts[claim] == wrong for verdicts in found]) <= 0.05, claim


# Figure 13: how much is real


def test_hidden_gradients_are_told_from_robustness():
    """At T > 1 most gradients vanish: the attack on the margin finds all of what cross-entropy seemed to resist."""
    change = attacked(0.12)
    masked = {"13a": hot(change), "13b": hot(change), "13c": hot(0)}
    results = Study(masked, seeds=8, images=1000, vanished=dict.fromkeys(TEMPERATURES[1:], 0.6))
    c8, c9 = claims(results)[-2:]
    assert c9.verdict == "holds"
    for verdict in (c8, c9):
        assert "vanished for 0.0% of the images at T = 1 and for 6" in verdict.reason
        share = int(verdict.reason.rsplit("about ", 1)[1].split("%")[0])
        assert share < 15  # the most that the interval of what is left allows
    real = Study(dict.fromkeys(masked, hot(change)), seeds=5, images=1000)
    share = int(claims(real)[-1].reason.rsplit("about ", 1)[1].split("%")[0])
    assert 85 < share <= 100


def test_without_the_attack_on_the_margin_the_reason_asks_for_it():
    found = verdict_of("C9", WORLDS["C9"][0], seeds=4)
    assert "Figure 13c is not in this study: run it, with --figures 13c." in found.reason


# The parts they are made of


def test_the_slope_is_that_of_least_squares():
    y = np.random.default_rng(0).random(len(SPARSITIES))
    weights = slope(SPARSITIES)
    assert sum(weights.values()) == pytest.approx(0, abs=1e-14)
    assert sum(w * v for w, v in zip(weights.values(), y, strict=True)) == pytest.approx(
        np.polyfit(SPARSITIES, y, 1)[0]
    )
    with pytest.raises(MissingError, match="at least two sparsities"):
        slope([0.5])


def test_a_difference_is_that_of_the_curves():
    levels = along(FALLING)
    lines = Lines.of(Study({"8": levels}, seeds=4), "8")
    assert lines.seeds == [0, 1, 2, 3]
    weights = {0.98: 1.0, 0: -1.0}
    accuracy = lines.accuracy(0.98) - lines.accuracy(0)
    assert lines.difference(weights, [2]).effect == pytest.approx(accuracy[2])
    assert lines.difference(weights, [1, 3]).effect == pytest.approx(accuracy[[1, 3]].mean())
    drop = lines.difference(weights, [1, 3], drop=True)
    assert drop.effect == pytest.approx(accuracy[0] - accuracy[[1, 3]].mean())
    assert drop.values.shape == (4,)


def test_of_several_quantities_all_must_hold_and_one_out_of_range_must_be_far_out():
    """Outside at 95 % is not enough where there are two: the interval of both together is wider."""
    lines = Lines.of(Study({"9": along(0)}, images=10), "9")
    inside = Part("", Estimate(np.array([0.49, 0.5, 0.51]), 0), 0, 1)  # half-widths: 0.025 at 95 %, 0.036 at 97.5 %
    below = Part("", Estimate(np.array([-0.04, -0.03, -0.02]), 0), 0, 1)
    across = Part("", Estimate(np.array([0, 0.01, 0.02]), 0), 0, 1)
    assert decide(lines, [inside])[:2] == ("holds", inside)
    assert decide(lines, [inside, across])[:2] == ("undecided", across)
    assert decide(lines, [below])[:2] == ("fails", below)
    assert decide(lines, [inside, below])[:2] == ("undecided", below)
    far = Part("", Estimate(np.array([-0.05, -0.04, -0.03]), 0), 0, 1)
    assert decide(lines, [across, far])[:2] == ("fails", far)


def test_the_same_images_tell_more_than_others():
    """What images contribute to a paired difference is far less than what two independent samples would."""
    lines = Lines.of(Study({"8": along(0)}, images=1000), "8")
    paired = lines.difference({0.98: 1.0, 0: -1.0}, [1]).image_variance
    assert paired < 0.3 * 2 * 0.6 * 0.4 / 1000


def test_the_interval_is_the_seeds_or_the_images_whichever_is_wider():
    seeds = np.array([0.1, 0.2, 0.3])
    spread = Estimate(seeds, image_variance=1e-9)
    assert spread.half_width() == pytest.approx(4.3027 * 0.1 / math.sqrt(3), rel=1e-4)
    assert spread.half_width(count=6) == pytest.approx(2.5706 * 0.1 / math.sqrt(6), rel=1e-4)
    agreeing = Estimate(seeds * 0 + 0.2, image_variance=0.01)
    assert agreeing.half_width() == pytest.approx(1.96 * 0.1 / math.sqrt(3), rel=1e-4)
    assert Estimate(seeds[:2], 0.01).half_width() == pytest.approx(1.96 * 0.1 / math.sqrt(2), rel=1e-4)


def test_intervals_cover_the_truth():
    rng, covered = np.random.default_rng(0), 0
    for _ in range(300):
        results = Study({"9": along(attacked(-0.1))}, images=200, spread=0.01, rng=rng)
        low, high = Lines.of(results, "9").difference(slope(SPARSITIES), [1, 2], drop=True).interval()
        covered += low <= 0.1 <= high
    assert 0.93 <= covered / 300 <= 1


def test_points_have_one_sign_and_one_decimal():
    assert [points(value) for value in (0.0123, -0.031, 0, -0.0001, 1)] == ["+1.2", "-3.1", "+0.0", "+0.0", "+100.0"]


# Folders


def test_a_folder_gets_its_claims(tmp_path):
    folder = write_study(tmp_path, images=60, claims=False)
    found = write_claims(folder)
    assert [verdict.claim for verdict in found] == [f"C{i}" for i in range(1, 10)]
    results = Results.load(folder)
    for row, verdict in zip(results.claims, found, strict=True):
        assert (row["claim"], row["verdict"], row["reason"]) == (verdict.claim, verdict.verdict, verdict.reason)
        assert (row["effect"], (row["low"], row["high"])) == (verdict.effect, verdict.interval or (None, None))
    assert found == write_claims(folder)


def test_a_half_finished_folder_gets_its_claims(tmp_path):
    folder = write_study(tmp_path, figures=("9", "13a"), unfinished=(0, 20), images=40, claims=False)
    found = write_claims(folder)
    assert {verdict.verdict for verdict in found} == {"undecided"}
    row = next(row for row in read_csv(folder / "claims.csv") if row["claim"] == "C1")
    assert (row["effect"], row["low"], row["high"]) == ("", "", "")


def test_a_folder_before_its_first_run(tmp_path):
    folder = write_study(tmp_path, figures=("9",), seeds=(0,), unfinished=range(6), claims=False)
    assert not (folder / "results.csv").exists()
    assert {verdict.effect for verdict in write_claims(folder)} == {None}


# Networks that have not learnt


def of(study, model, data="imagenette"):
    """The same study, of networks of this kind."""
    for record in study.runs.values():
        record["run"] |= {"model": model, "data": data}
    return study


def test_no_claim_is_read_off_a_network_that_has_not_learnt():
    levels = along(FALLING) | {0.98: BASE - 0.25}  # 55 % of the images, of the 78.6 % that a ResNet18 reaches
    study = Study({"8": levels})
    assert claims(study)[0].verdict == "holds"
    verdict = claims(of(study, "resnet18"))[0]
    assert (verdict.verdict, verdict.effect, verdict.interval) == ("undecided", None, None)
    assert verdict.reason.startswith("Not decided: network 8-0.98-0 has not learnt. Of the images as")
    assert claims(of(study, "fc5"))[0].verdict == "holds"  # 55 % is what one can ask of an FC5


def test_a_seed_that_other_lines_lack_is_no_reason():
    study = of(Study({"8": along(FALLING)}), "resnet18")
    bad = study.outcomes["8-0.98-2"].right
    bad[0, : len(bad[0]) // 2] = False
    assert "network 8-0.98-2 has not learnt" in claims(study)[0].reason
    del study.outcomes["8-0-2"]
    assert "has not learnt" not in claims(study)[0].reason


def test_a_verdict_says_what_it_rests_on():
    reason = verdict_of("C6", ranks(lr1=-0.05, lr2=-0.1)).reason
    clean = [float(part.rpartition(" ")[2].rstrip("%.")) for part in reason.partition("Clean accuracy: ")[2].split(",")]
    np.testing.assert_allclose(clean, [80, 75, 70], atol=4)
    assert "T = 20: 7" in verdict_of("C9", hot(attacked(0.12))).reason
