"""What docs/results/README.md says is what the files beside it say: the essay's numbers, each row of the tables."""

import re
from collections import defaultdict
from pathlib import Path
from statistics import fmean, stdev

import numpy as np
import pytest

from minidl.report import Results, read_csv
from minidl.report.carried import Carried
from minidl.report.evidence import Lines
from minidl.report.nine import CLAIMS

RESULTS = Path(__file__).parents[1] / "docs" / "results"
TEXT = (RESULTS / "README.md").read_text(encoding="utf-8")
OWN_FIGURES = {(name, claim.figure) for name, claim in CLAIMS.items()}
ESSAY = " ".join(TEXT[: TEXT.index("## Behind the essay")].split())


@pytest.fixture(scope="module")
def rows():
    """{(figure, what varies, its value): its rows on fresh images}."""
    found = defaultdict(list)
    for row in read_csv(RESULTS / "imagenette-64px" / "results.csv"):
        if row["images"] == "fresh":
            for varied in ("sparsity", "low_rank", "temperature"):
                found[str(row["figure"]), varied, row[varied]].append(row)
    return found


@pytest.fixture(scope="module")
def claims():
    """The report's nine, under its own attack."""
    rows = read_csv(RESULTS / "imagenette-64px" / "claims.csv")
    return {row["claim"]: row for row in rows if (row["claim"], str(row["figure"])) in OWN_FIGURES}


def at(rows, epsilon):
    """Accuracy under attack in %, the mean over seeds, to one digit."""
    return f"{100 * fmean(row['accuracy'] for row in rows if round(255 * row['epsilon'], 3) == epsilon):.1f}"


def known(rows):
    """Validation accuracy of each seed, in %."""
    return [100 * value for value in {row["run"]: row["val_accuracy"] for row in rows}.values()]


def drops(figure, line):
    """By how much a line's drop at epsilon 1 and 2 exceeds the first line's, on the same images, in points."""
    of = defaultdict(dict)
    for row in read_csv(RESULTS / "imagenette-64px" / "pairs.csv"):
        if str(row["figure"]) == figure and row["line"] == line:
            of[row["seed"]][round(255 * row["epsilon"])] = 100 * row["difference"]
    return [each[0] - (each[1] + each[2]) / 2 for each in of.values()]


def told(*sentences):
    for sentence in sentences:
        assert sentence in ESSAY, sentence


def test_the_verdicts_are_those_of_the_claims(claims):
    for name in ("C2", "C7"):
        assert claims[name]["verdict"] == "fails"
        told(f"({name} fails)")
    undecided = [name for name, row in claims.items() if row["verdict"] == "undecided"]
    told(f"Neither right nor wrong yet: {', '.join(undecided[:-1])} and {undecided[-1]}.")
    for name, words in {
        "C2": "the drop grows by {} points (95 % interval {} to {})",
        "C7": "the drop is {} points larger ({} to {})",
    }.items():
        told(words.format(*(f"{100 * claims[name][key]:.1f}" for key in ("effect", "low", "high"))))
    beyond = (100 * claims["C2"]["low"], 100 * claims["C7"]["low"] - 3)
    told("C2's interval begins {:.1f} points, C7's {:.1f} points beyond what was asked for".format(*beyond))
    effect, low, high = (f"{-100 * claims['C5'][key]:.1f}" for key in ("effect", "high", "low"))
    told(f"drops by {effect} points less ({low} to {high})")
    effect, low, high = (f"{100 * claims['C8'][key]:.1f}" for key in ("effect", "low", "high"))
    told(f"+{effect} points ({low} to {high})")
    large = CLAIMS["C8"].parts(Lines.of(Results.load(RESULTS / "imagenette-64px"), "13b"))[0].estimate
    told(
        "at large epsilons only: {:.1f} points ({:.1f} to {:.1f})".format(
            *(100 * x for x in (large.effect, *large.interval()))
        )
    )
    assert "about 11 seeds would settle" in claims["C5"]["reason"]
    assert all("More than 100 seeds" in claims[name]["reason"] for name in ("C8", "C9"))
    told("about eleven seeds would settle it", "(more than 100 for either)")
    gained = re.search(
        r"gains \+([\d.]+) points.*\) \+([\d.]+) \((-[\d.]+) to \+([\d.]+)\): at most about (\d+)%",
        claims["C9"]["reason"],
    )
    apparent, real, low, high, share = gained.groups()
    told(f"Of the {apparent} points that temperature gains", f"{real} are left ({low} to {high})")
    told(f"at most about {share} %")


def test_what_it_says_of_pruning_and_of_low_rank(rows):
    half, ninety, most = (fmean(drops("9", sparsity)) for sparsity in (0.5, 0.9, 0.98))
    told(f"cost nothing ({half:.1f} points), 90 % cost {ninety:.1f}, and 98 % cost {most:.1f}")
    told(f"the drop at 98 % is larger by {min(drops('9', 0.98)):.1f} to {max(drops('9', 0.98)):.1f} points")
    told(f"with LR1 by {min(drops('12b', 'LR1')):.1f} to {max(drops('12b', 'LR1')):.1f}")
    dense = fmean(known(rows["9", "sparsity", 0]))
    told(f"clean accuracy falls by {dense - fmean(known(rows['9', 'sparsity', 0.98])):.1f} points")
    lost = max(dense - fmean(known(rows["12b", "low_rank", ranks])) for ranks in ("LR1", "LR2"))
    told(f"Clean accuracy stays within {lost:.1f} points")
    low, full = (at(rows["12b", "low_rank", ranks], 1) for ranks in ("LR1", "none"))
    told(f"{low} % of the images stand with LR1, and {full} % with full rank")
    assert max(fmean(drops("11", sparsity)) for sparsity in (0.5, 0.9, 0.98)) < 0  # no sparsity that looks worse


def test_what_it_says_of_masking(rows):
    cold, hot = rows["13a", "temperature", 1], rows["13a", "temperature", 90]
    told(f"keep {at(hot, 16)} % of its images at 16/255, where the plain one keeps {at(cold, 16)} %")
    vanished = 100 * fmean(row["vanished_gradients"] for row in hot if row["epsilon"] == 0)
    told(f"{vanished:.1f} % of all")
    told(
        f"who knows T leaves {at(rows['13b', 'temperature', 90], 16)} %",
        f"cannot vanish, {at(rows['13c', 'temperature', 90], 16)} %",
    )
    told(f"{at(rows['13b', 'temperature', 90], 8)} % against {at(rows['13b', 'temperature', 1], 8)} % at 8/255")
    ends = [f"{end(known(some)):.1f}" for some in (hot, cold) for end in (min, max)]
    told("({} to {} % of the validation images, where the plain ones know {} to {} %)".format(*ends))


def test_what_it_says_of_certificates():
    bands = defaultdict(list)
    for row in read_csv(RESULTS / "certificates-digits" / "band.csv"):
        bands[row["sparsity"], row["epsilon"]].append((row["certified"], row["attacked"]))
    small = {key: [100 * fmean(side) for side in zip(*some, strict=True)] for key, some in bands.items() if key[1] <= 4}
    assert len({sparsity for sparsity, _ in small}) == 4
    assert max(attacked - certified for certified, attacked in small.values()) < 1
    told("it meets the attack within a point up to 4/255")
    dense = {epsilon: band for (sparsity, epsilon), band in small.items() if sparsity == 0}
    apart = [
        max(attacked - dense[epsilon][0], dense[epsilon][1] - certified)
        for (sparsity, epsilon), (certified, attacked) in small.items()
        if sparsity
    ]
    told(f"no sparsity changes the dense network's part by more than {max(apart):.1f} points")


def test_the_tables_are_the_table(rows):
    """Each row of the first table: seeds, validation accuracy and accuracy under FGSM."""
    lines = {"ResNet18": ("9", "sparsity", 0), "FC5": ("11", "sparsity", 0)}
    for model, figure in (("ResNet18", "9"), ("FC5", "11")):
        lines |= {f"{model}, {100 * s:g} % pruned": (figure, "sparsity", s) for s in (0.5, 0.9, 0.98)}
    lines |= {f"ResNet18, {ranks}": ("12b", "low_rank", ranks) for ranks in ("LR1", "LR2")}
    for name, which in lines.items():
        mine = rows[which]
        accuracies = known(mine)
        shown = f"{fmean(accuracies):.1f} ± {stdev(accuracies):.1f}"
        cells = " | ".join(at(mine, epsilon) for epsilon in (1, 2, 4, 8, 16))
        assert f"| {name} | {len(accuracies)} | {shown} | {cells} |" in TEXT.replace("**", ""), name


def test_the_table_of_temperatures_is_the_table(rows):
    attackers = {
        "takes T for 1": "13a",
        "takes T for 1, which it is": "13a",
        "knows T": "13b",
        "climbs the margin": "13c",
    }
    text = TEXT[TEXT.index("### Temperature and FC5") : TEXT.index("### Defences")]
    found = re.findall(r"^\| T = (\d+) \| ([^|]+) \| ([\d. |]+) \|$", text, re.MULTILINE)
    assert len(found) == 8
    for temperature, attacker, cells in found:
        mine = rows[attackers[attacker], "temperature", int(temperature)]
        gone = 100 * fmean(row["vanished_gradients"] for row in mine if row["epsilon"] == 0)
        assert cells.split(" | ") == [*(at(mine, epsilon) for epsilon in (1, 2, 4, 8, 16)), f"{gone:.0f}"]


ATTACKS = {"FGSM": "", "PGD-20": "-pgd", "APGD-100": "-apgd", "worst case": "-auto"}  # what a figure's twin is called
KINDS = {"none": "ResNet18", "LR1": "ResNet18, LR1", "LR1, condition 2": "ResNet18, LR1, condition 2"}


def paired(study, figure, line):
    """{(the line, attack): outcome} of seed 0, on the paired images; ``line`` is the column that tells lines apart."""
    found = {}
    for attack, twin in ATTACKS.items():
        for row in study.rows:
            if (str(row["figure"]), row["images"], row["seed"], row["epsilon"]) == (figure + twin, "paired", 0, 0):
                kept = study.figures[figure + twin]["attacks"]["paired"][row["run"]]
                found[row[line], attack] = study.outcome(row["run"], kept)
    return found


@pytest.fixture(scope="module")
def stronger():
    """{(low rank, attack): (images, right (E, B))} of seed 0, on the paired images."""
    found = paired(Results.load(RESULTS / "imagenette-64px"), "12c", "low_rank")
    return {key: (outcome.indices, outcome.right) for key, outcome in found.items()}


def test_the_table_of_stronger_attacks_is_what_they_left(stronger):
    text = TEXT[TEXT.index("### Under stronger attacks") :]
    assert {(ranks, attack) for ranks in KINDS for attack in ATTACKS} == set(stronger)
    for (ranks, attack), (images, right) in stronger.items():
        cells = " | ".join(f"{100 * part:.1f}" for part in right.mean(axis=1))
        assert f"| {KINDS[ranks]} | {attack} | {len(images)} | {cells} |" in text


def drop(right):
    """(B,): what each image loses at 1 and 2 / 255, from what is right (E, B)."""
    return right[0] - right[1:3].mean(axis=0)


def over_images(each):
    """The mean of each image's value, and the ends of its interval, in points."""
    mean, half = 100 * each.mean(), 196 * each.std(ddof=1) / len(each) ** 0.5
    return tuple(round(end, 1) + 0.0 for end in (mean, mean - half, mean + half))


def test_what_it_says_of_stronger_attacks(stronger):
    text = " ".join(TEXT[TEXT.index("### Under stronger attacks") :].split())
    larger = {}
    for attack in ("FGSM", "PGD-20"):
        dense, low = (drop(stronger[ranks, attack][1]) for ranks in ("none", "LR1"))
        larger[attack] = over_images(low - dense)
    told("from {:.1f} points under FGSM to {:.1f} under PGD".format(*(mean for mean, *_ in larger.values())))
    assert "by {:.1f} under PGD ({:.1f} to {:.1f}, over images alone)".format(*larger["PGD-20"]) in text
    more_lost = []
    for attack in ("FGSM", "PGD-20"):
        low, bounded = (drop(stronger[ranks, attack][1]) for ranks in [*KINDS][1:])
        mean, *ends = over_images(bounded - low)
        more_lost += [f"{mean:.1f}", "({:.1f} to {:.1f})".format(*ends)]
    assert "by {} points {} larger than LR1's under FGSM and by {} {} under PGD".format(*more_lost) in text
    costs, more = {}, []
    for ranks in KINDS:
        images, worst = stronger[ranks, "worst case"]
        left = {a: right[:, np.isin(mine, images)] for (other, a), (mine, right) in stronger.items() if other == ranks}
        np.testing.assert_array_equal(left["APGD-100"], worst)  # "breaks none that APGD leaves"
        more.append((left["PGD-20"].sum(axis=1) - worst.sum(axis=1)).max())
        both = np.isin(stronger[ranks, "PGD-20"][0], stronger[ranks, "APGD-100"][0])
        for attack, right in (
            ("PGD-20", stronger[ranks, "PGD-20"][1][:, both]),
            ("APGD-100", stronger[ranks, "APGD-100"][1]),
        ):
            costs[ranks, attack] = 100 * (right[0] - right[1:3].mean(axis=0)).mean()
    assert max(more) == 3  # "at most three more"
    pgd, apgd = (costs["LR1", attack] - costs["none", attack] for attack in ("PGD-20", "APGD-100"))
    assert abs(pgd - apgd) < 1  # "by less than a point"
    low = 100 * stronger["LR1", "FGSM"][1].mean(axis=1)
    assert f"from {low[4]:.1f} % at 8/255 to {low[5]:.1f} % at 16" in text


def test_what_it_says_of_defences():
    text = TEXT[TEXT.index("### Defences") :]
    study = Results.load(RESULTS / "defences")
    seen = paired(study, "16", "defence")
    for (defence, attack), outcome in seen.items():
        cells = " | ".join(f"{100 * part:.1f}" for part in outcome.right.mean(axis=1))
        gone = f"{100 * outcome.vanished_gradient.mean():.0f}"
        assert f"| {defence} | {attack} | {len(outcome.indices)} | {cells} | {gone} |" in text
    assert len(seen) == 24
    words = " ".join(text.split())
    fgsm, apgd, worst = (100 * seen["T = 20", attack].right[-1].mean() for attack in ("FGSM", "APGD-100", "worst case"))
    assert f"FGSM leaves {fgsm:.1f} % of the hot network's images" in words
    assert f"of the same vanished gradient, {apgd:.1f} of a fourth of them. The worst case" in words
    assert worst == seen["none", "worst case"].right[-1].mean() == 0
    for defence in ("T = 20", "distilled, T = 20"):
        for attack in ("PGD-20", "APGD-100"):
            assert {"I1", "I6", "gradients are zero"} == {flag[0] for flag in seen[defence, attack].flags}
        assert [flag[0] for flag in seen[defence, "worst case"].flags] == ["gradients are zero"]
    worst_case = {name: 100 * seen[name, "worst case"].right.mean(axis=1) for name in ("FGSM-RS", "PGD-3", "none")}
    one, three, plain = worst_case.values()
    assert (
        f"FGSM-RS keeps {one[3]:.1f} % at the epsilon that it was trained for, 4/255, PGD-3 {three[3]:.1f} %" in words
    )
    assert (
        f"and the plain network {plain[3]:.1f} %; at twice that {one[4]:.1f}, {three[4]:.1f} and {plain[4]:.1f} %"
        in words
    )
    more, images = [], []
    for hardened in ("FGSM-RS", "PGD-3"):
        left = {attack: seen[hardened, attack] for attack in ATTACKS}
        assert not any(outcome.flags or outcome.vanished_gradient.any() for outcome in left.values())
        for attack, other, found in (("PGD-20", "APGD-100", more), ("APGD-100", "worst case", images)):
            same = left[attack].right[:, np.isin(left[attack].indices, left[other].indices)]
            found.append((same.sum(axis=1) - left[other].right.sum(axis=1)).max())
    assert f"steps find at most {100 * max(more) / 197:.1f} points more than twenty" in words
    assert max(images) == 2  # "at most two images of 99 more"
    known = {row["defence"]: 100 * row["val_accuracy"] for row in study.rows}
    clean = [f"{known[name]:.1f}" for name in worst_case]
    assert "{} and {} % of all validation images in place of {} %".format(*clean) in words
    told(
        f"keeps {one[3]:.1f} % of its images at 4/255",
        f"PGD {three[3]:.1f} %, where the plain one keeps {plain[3]:.1f} %",
    )
    told("they pay {:.1f} and {:.1f} points".format(*(known["none"] - known[name] for name in ("FGSM-RS", "PGD-3"))))
    better = seen["PGD-3", "PGD-20"].right.astype(float) - seen["FGSM-RS", "PGD-20"].right
    assert "{:.1f} points at 4/255 ({:.1f} to {:.1f}, over images alone)".format(*over_images(better[3])) in words
    assert "and {:.1f} at 8/255 ({:.1f} to {:.1f})".format(*over_images(better[4])) in words
    assert f"falls from {known['none']:.1f} to {known['nuclear + l1']:.1f} %" in words
    told_of = {
        "FGSM": "by {:.1f} points under FGSM ({:.1f} to {:.1f})",
        "PGD-20": "by {:.1f} under PGD ({:.1f} to {:.1f}",
    }
    for attack, sentence in told_of.items():
        dense, low_rank = (drop(seen[name, attack].right) for name in ("none", "nuclear + l1"))
        assert sentence.format(*over_images(low_rank - dense)) in words
    kept = 100 * seen["nuclear + l1", "worst case"].right.mean(axis=1)
    assert f"it keeps {kept[3]:.1f} % at 4/255, and the plain one {plain[3]:.1f} %." in words
    claim = study.claims[-1]
    effect, low, high = (100 * claim[name] for name in ("effect", "low", "high"))
    assert (claim["claim"], claim["seeds"]) == ("C14", 1)
    assert (
        f"temperature alone under the worst case: {effect:+.1f} points ({low:.1f} to {high:.1f}, over images)" in words
    )


VARIATIONAL = "variational 90 %"


@pytest.fixture(scope="module")
def pruned():
    """The study of pruning on Imagenette, its section, and {(way, attack): outcome}."""
    text = TEXT[TEXT.index("### Variational dropout, and magnitude") : TEXT.index("## Handwritten digits")]
    study = Results.load(RESULTS / "pruning")
    return study, " ".join(text.split()), paired(study, "17", "pruned")


def test_what_it_says_of_variational_dropout_on_imagenette(pruned):
    study, text, seen = pruned
    assert len(seen) == 6
    for (way, attack), outcome in seen.items():
        cells = " | ".join(f"{100 * part:.1f}" for part in outcome.right.mean(axis=1))
        assert f"| {way} | {attack} | {len(outcome.indices)} | {cells} |" in text
        assert not outcome.vanished_gradient.any()
    known = {row["pruned"]: 100 * row["val_accuracy"] for row in study.rows}
    assert f"knows {known[VARIATIONAL]:.1f} % in place of {known['none']:.1f}." in text
    less = {
        attack: over_images(drop(seen["none", attack].right) - drop(seen[VARIATIONAL, attack].right))
        for attack in ("FGSM", "PGD-20")
    }
    assert "by {:.1f} points under FGSM ({:.1f} to {:.1f}, over images alone)".format(*less["FGSM"]) in text
    assert "by {:.1f} under PGD ({:.1f} to {:.1f})".format(*less["PGD-20"]) in text
    dense, sparse = (seen[way, "FGSM"].right.astype(float) for way in ("none", VARIATIONAL))
    far = over_images(sparse[0] - sparse[3] - (dense[0] - dense[3]))
    assert "of the table, by {:.1f} ({:.1f} to {:.1f})".format(*far) in text
    fresh = study.figures["17"]["attacks"]["fresh"]
    anew = {row["pruned"]: 100 * drop(study.outcome(row["run"], fresh[row["run"]]).right) for row in study.rows}
    more = anew[VARIATIONAL].mean() - anew["none"].mean()
    half = 1.96 * sum(each.var(ddof=1) / len(each) for each in anew.values()) ** 0.5
    assert f"it is larger by {more:.1f} ({more - half:.1f} to {more + half:.1f})" in text
    told(
        "({:.1f} points less under FGSM, {:.1f} to {:.1f}) and".format(*less["FGSM"]) + f" {more:.1f} points more on",
        f"It knows {known[VARIATIONAL]:.1f} % of the validation images in place of {known['none']:.1f}",
    )


def test_what_it_says_of_variational_dropout_beside_magnitude(pruned):
    _, text, seen = pruned
    study = Results.load(RESULTS / "imagenette-64px")
    magnitude = {}
    for run, kept in study.figures["9"]["attacks"]["paired"].items():
        record = study.runs[run]["run"]
        sparsity = record["pruning"]["sparsity"] if record["pruning"] else 0
        magnitude[sparsity, record["seed"]] = study.outcome(run, kept)
    cost = [100 * (drop(magnitude[0.9, s].right) - drop(magnitude[0, s].right)).mean() for s in (0, 1, 2)]
    assert f"of three seeds magnitude pruning costs {fmean(cost):.1f} points, and seed 0 is the one" in text
    assert cost[0] == max(cost)
    assert (magnitude[0.9, 0].indices == seen["none", "FGSM"].indices).all()
    more = over_images(drop(magnitude[0.9, 0].right) - drop(seen[VARIATIONAL, "FGSM"].right))
    assert "by {:.1f} points more than this one under FGSM ({:.1f} to {:.1f})".format(*more) in text


def test_what_it_says_of_ways_of_pruning():
    text = " ".join(TEXT[TEXT.index("### Ways of pruning") : TEXT.index("### Defences, side by side")].split())
    study = Results.load(RESULTS / "sparsifiers")
    rows = [row for row in study.rows if row["figure"] == "17-pgd"]
    for way in ("none", *(f"{way} 90 %" for way in ("magnitude", "variational", "l0", "lottery", "random"))):
        mine = [row for row in rows if row["pruned"] == way]
        assert {row["seed"] for row in mine} == {0, 1, 2}
        assert f"| {way} | {' | '.join(at(mine, epsilon) for epsilon in (0, 4, 8, 16, 32))} |" in text
    claim = study.claims[-1]
    effect, low, high = (100 * claim[name] for name in ("effect", "low", "high"))
    assert (claim["claim"], claim["verdict"], claim["seeds"]) == ("C10", "holds", 3)
    assert f"the drop of l0 at 90 %, larger by {effect:.1f} points ({low:.1f} to {high:.1f})" in text
    assert claim["reason"].startswith("Drop of l0 90 %")
    assert "All 12 such quantities" in claim["reason"]
    attacks = study.figures["17-pgd"]["attacks"]["paired"]
    pair = [
        row["run"] for row in rows if row["pruned"] in ("variational 80 %", "variational 90 %") and row["seed"] == 0
    ]
    first, second = (study.outcome(run, attacks[run]).right for run in dict.fromkeys(pair))
    assert (first != second).sum() == 1


def test_what_it_says_of_defences_on_digits():
    text = " ".join(TEXT[TEXT.index("### Defences, side by side") : TEXT.index("## FC5 from both sides")].split())
    study = Results.load(RESULTS / "defences-digits")
    rows = [row for row in study.rows if row["figure"] == "16-auto"]
    left = {}
    for defence in dict.fromkeys(row["defence"] for row in rows):
        mine = [row for row in rows if row["defence"] == defence]
        assert {(row["seed"], row["count"]) for row in mine} == {(seed, 120) for seed in (0, 1, 2)}
        cells = [at(mine, epsilon) for epsilon in (0, 4, 8, 16, 32)]
        assert f"| {defence} | {' | '.join(cells)} |" in text
        left[defence] = [float(cell) for cell in cells]
    assert len(left) == 8
    for defence in ("T = 20", "distilled, T = 20"):  # "both keep far less than the network without a defence"
        assert all(a < b for a, b in zip(left[defence], left["none"], strict=True))
    hardened = [left[defence] for defence in ("FGSM", "FGSM-RS", "N-FGSM", "PGD-7")]
    least, most = (f"{end(each[-1] for each in hardened):.1f}" for end in (min, max))
    plain = left["none"][-1]
    assert f"withstand 32/255 on {least} to {most} % of the digits, where the plain network does on {plain}" in text
    assert min(each[0] for each in hardened) >= left["none"][0]  # "cost no clean accuracy"
    claim = study.claims[-1]
    effect, low, high = (100 * claim[name] for name in ("effect", "low", "high"))
    assert (claim["claim"], claim["verdict"], claim["seeds"]) == ("C14", "fails", 3)
    assert f"It keeps {-effect:.1f} points less ({-high:.1f} to {-low:.1f})" in text


def test_what_it_says_of_singular_values_and_transfer():
    text = " ".join(TEXT[TEXT.index("### Defences, side by side") : TEXT.index("## FC5 from both sides")].split())
    spectra, ranks = read_csv(RESULTS / "spectra-digits" / "spectra.csv"), {}
    for network in dict.fromkeys(row["network"] for row in spectra):
        mine = [row for row in spectra if row["network"] == network and row["layer"] == "all"]
        assert [row["seed"] for row in mine] == [0, 1, 2]
        cells = [fmean(100 * row[name] for row in mine) for name in ("effective_rank", "effective_sparsity")]
        assert f"| {network} | {cells[0]:.1f} | {cells[1]:.1f} |" in text
        ranks[network] = [100 * row["effective_rank"] for row in mine]
    assert stdev(ranks["none"]) > stdev(ranks["FGSM-RS"])
    assert fmean(ranks["nuclear + l1"]) / fmean(ranks["none"]) == pytest.approx(0.8, abs=0.02)  # "a fifth"
    claims = read_csv(RESULTS / "spectra-digits" / "claims.csv")
    said = {
        "C11": "effective rank by {:+.1f} points ({:.1f} to {:.1f})",
        "C12": "{:.1f} points more ({:.1f} to {:.1f})",
    }
    for claim in claims:
        assert (claim["verdict"], claim["seeds"]) == ("undecided", 3)
        numbers = [round(100 * claim[name], 1) + 0.0 for name in ("effect", "low", "high")]
        assert said.pop(claim["claim"]).format(*numbers) in text
    assert not said
    for claim, seeds in zip(claims, ("14", "4"), strict=True):
        assert f"about {seeds} seeds would settle this" in claim["reason"]
    (carried,) = (row for row in read_csv(RESULTS / "transfers-digits" / "claims.csv") if row["claim"] == "C13")
    assert (carried["verdict"], carried["seeds"]) == ("holds", 8)
    assert "of what was made to fool LR1" in carried["reason"]
    assert "97.5 % interval" in carried["reason"]
    effect, low, high = (-100 * carried[name] for name in ("effect", "high", "low"))
    assert f"less often by {effect:.1f} points ({low:.1f} to {high:.1f})" in text
    matrix = Carried.of(Results.load(RESULTS / "transfers-digits"), "14")
    pruned = 100 * matrix.more(("dense", "90 % pruned"), ("dense", "another seed")).values
    assert len(pruned) == 8
    assert pruned.min() > 0
    assert f"more often, by {pruned.mean():.1f} points, in each of the eight seeds" in text
    told(f"more often, by {pruned.mean():.1f} points")


def test_what_it_says_of_the_digits():
    text = " ".join(TEXT[TEXT.index("## Handwritten digits") : TEXT.index("## FC5 from both sides")].split())
    rows = [row for row in read_csv(RESULTS / "quick" / "results.csv") if row["images"] == "fresh"]

    def of(figure, name, value):
        return [row for row in rows if str(row["figure"]) == figure and row[name] == value]

    accuracy = {(f, s): of(f, "sparsity", s)[0]["val_accuracy"] for f in ("9", "10a") for s in (0, 0.9, 0.98)}
    assert f"ResNet18 gets {100 * accuracy['9', 0]:.1f} % of the 360" in text
    assert f"falls to {100 * accuracy['10a', 0.9]:.1f} %" in text
    assert accuracy["10a", 0.98] < 0.15  # chance
    takes_one, margin = (of(figure, "temperature", 20) for figure in ("13a", "13c"))
    assert f"gradient on {100 * takes_one[0]['vanished_gradients']:.0f} % of the images" in text
    assert f"who leaves {at(takes_one, 64)} % at 64/255" in text
    assert f"nothing is left, {at(margin, 64)} %." in text
    claims = read_csv(RESULTS / "quick" / "claims.csv")
    assert {row["claim"] for row in claims} >= set(CLAIMS)
    assert [row["verdict"] for row in claims] == ["undecided"] * 11  # C13 and C15 among them


def test_what_pruning_can_cost_at_most():
    band = read_csv(RESULTS / "certificates-imagenette" / "band.csv")

    def mean(column, sparsity, epsilon):
        same = [row for row in band if (row["sparsity"], row["epsilon"]) == (sparsity, epsilon)]
        assert {row["seed"] for row in same} == {0, 1, 2}
        return 100 * fmean(row[column] for row in same)

    one, four = (mean("attacked", 0.0, epsilon) - mean("certified", 0.98, epsilon) for epsilon in (1.0, 4.0))
    told(f"keeps at most {one:.1f} points fewer of 200 images at 1/255", f"and at most {four:.1f} fewer at 4/255")
