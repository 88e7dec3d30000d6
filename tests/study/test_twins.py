"""A study under several attacks, and its matrix of transfer, from the networks to the page."""

import json
import shutil

import numpy as np
import pytest

from minidl import report, robustness
from minidl.records import read_transfer
from minidl.report.flags import flags_of_run
from minidl.settings import settings
from minidl.study import (
    Attack,
    Figure,
    Folder,
    Place,
    Pruning,
    Run,
    TransferFigure,
    examine,
    load_problem,
    run_study,
    write_report,
)
from minidl.weights import load

EPSILONS = (0, 16, 48)
FGSM = Attack(EPSILONS)
PGD = Attack(EPSILONS, method="pgd", steps=12)
BAND = Attack(EPSILONS, "margin", images="paired", method="pgd", steps=5)
PROOF = Attack(EPSILONS, images="paired", method="certify")
AUTO = Attack(EPSILONS, method="auto", steps=3, queries=10, every=2)
CONTROL = Run("digits", 8, 8, "fc5", 128, epochs=2, lr=0.05, seed=1)
DENSE, SPARSE = (
    Run("digits", 8, 8, "fc5", 128, epochs=2, lr=0.05, pruning=pruning)
    for pruning in (None, Pruning(0.9, between=(0.2, 0.7), steps=4))
)
NETWORKS = (("dense", DENSE), ("90 % pruned", SPARSE), ("another seed", CONTROL))
MATRIX = TransferFigure("14", "FGSM, 16/255", (NETWORKS,), Attack((0, 16), images="paired"))
FIGURES = [
    Figure("11", "FC5", "sparsity", ((DENSE, FGSM), (SPARSE, FGSM))),
    Figure("11-pgd", "FC5, under PGD", "sparsity", ((DENSE, PGD), (SPARSE, PGD)), of=("11",)),
    Figure("11-auto", "FC5, at worst", "sparsity", ((DENSE, AUTO), (SPARSE, AUTO)), of=("11",)),
    Figure("15a", "FC5", "sparsity", ((DENSE, BAND), (SPARSE, BAND)), ("11",), PROOF),
    MATRIX,
]
RECORD = {"command": "python experiments/study.py", "preset": "quick", "settings": {"attacks": ["fgsm", "pgd", "auto"]}}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("study")
    ending = run_study(FIGURES, Place(out, threads=1, progress=False), RECORD)
    assert (ending.finished, ending.missing) == (3, {})  # the control is trained, and attacked by the matrix alone
    return out


@pytest.fixture
def out(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "out")
    return tmp_path / "out"


def again(out):
    return run_study(FIGURES, Place(out, threads=1, progress=False), RECORD)


def test_the_table_says_which_attack_and_what_speaks_against_it(finished):
    rows = report.Results.load(finished).rows
    methods = {(row["figure"], row["images"], row["method"]) for row in rows}
    twins = {("11-pgd", "paired", "pgd"), ("11-auto", "paired", "auto")}
    twins |= {("15a", "paired", "pgd"), ("15a", "paired", "certify")}
    assert methods == {("11", "fresh", "fgsm"), ("11", "paired", "fgsm"), *twins}
    assert all(isinstance(row["flags"], str) for row in rows)


def test_an_older_table_is_one_of_fgsm(out):
    lines = [line.split(",") for line in (out / "results.csv").read_text(encoding="utf-8").splitlines()]
    at = lines[0].index("method")
    older = [line[:at] + line[at + 1 : -1] for line in lines if line[0] in ("figure", "11")]
    (out / "results.csv").write_text("\n".join(map(",".join, older)) + "\n", encoding="utf-8")
    rows = report.Results.load(out).rows
    assert {(row["method"], row["flags"]) for row in rows} == {("fgsm", "")}


def test_claims_are_read_under_each_attack(finished, monkeypatch):
    found = report.Results.load(finished).claims
    assert [claim["claim"] for claim in found[:9]] == [f"C{i}" for i in range(1, 10)]
    twins, ours = [("C5", "11-pgd"), ("C5", "11-auto")], [("C13", "14")]
    assert [(claim["claim"], claim["figure"]) for claim in found[9:]] == twins + ours
    monkeypatch.setattr("minidl.report.learnt.LEARNT", 0)  # after so short a training none has
    again = report.claims(report.Results.load(finished))
    assert len({verdict.effect for verdict in again if verdict.claim == "C5"}) > 1


def test_the_page_has_twins_flags_and_matrix(finished):
    page = (finished / "index.html").read_text(encoding="utf-8")
    for words in ("Under PGD", "Under the worst case", "figure-11-pgd", "figure-11-auto", "figure-14", "made to fool"):
        assert words in page
    results = report.Results.load(finished)
    flagged = {
        flag.name
        for name in results.figures
        for run in (DENSE, SPARSE)
        for flag in flags_of_run(results, name, run.name)
    }
    assert flagged
    for name in flagged:
        assert f"<strong>{name}</strong>" in page


def test_the_matrix_is_what_robustness_says(finished):
    folder, models = Folder(finished), {}
    problem = load_problem("digits", 8, 8)
    for label, run in NETWORKS:
        models[label] = problem.model(run).eval()
        load(models[label], folder.layout.weights(run.name))
    rows, images, labels = problem.sample(DENSE, MATRIX.attack)
    with settings(precision="exact", threads=1):
        expected = robustness.transfer(models, images, labels, 16 / 255)
    ((transfer, networks),) = MATRIX.transfers()
    runs = {run.name: folder.record(run) for run in networks.values()}
    outcome, what = read_transfer(folder.layout, transfer.name, runs)
    assert what == transfer
    np.testing.assert_array_equal(outcome.indices, rows)
    np.testing.assert_array_equal(outcome.fooled, expected.fooled)
    table = report.read_csv(finished / "transfers.csv")
    assert [row["rate"] for row in table] == expected.rate.ravel().tolist()
    assert [row["high"] for row in table] == expected.high.ravel().tolist()
    for ending in ("svg", "png"):
        assert (finished / "figures" / f"figure-14.{ending}").stat().st_size > 5000


def test_what_is_proved_is_what_robustness_says(finished):
    folder, problem = Folder(finished), load_problem("digits", 8, 8)
    model = problem.model(SPARSE).eval()
    load(model, folder.layout.weights(SPARSE.name))
    rows, images, labels = problem.sample(SPARSE, PROOF)
    with settings(precision="exact", threads=1):
        expected = robustness.certified(model, images, labels, np.array(EPSILONS) / 255)
    outcome = report.Results.load(finished).outcome(SPARSE.name, PROOF.name)
    np.testing.assert_array_equal(outcome.indices, rows)
    np.testing.assert_array_equal(outcome.right, expected.verified)
    table = {(row["line"], round(255 * row["epsilon"])): row for row in report.read_csv(finished / "sides.csv")}
    for e, epsilon in enumerate(EPSILONS):
        row = table["sparsity 90 %", epsilon]
        assert row["certified"] == expected.part[e]
        assert row["certified"] <= row["attacked"]
    page = (finished / "index.html").read_text(encoding="utf-8")
    for words in (
        "Certified to attacked",
        "From both sides, on these images",
        "More robust than sparsity 0 %?",
        "figure-15a",
    ):
        assert words in page


def test_a_matrix_of_other_weights_is_made_again(out):
    path = next((out / "transfers").iterdir())
    before = path.read_bytes()
    folder = Folder(out)
    for run, weights in ((SPARSE, "0" * 64),):
        record = folder.record(run)
        runs = {each.name: folder.record(each) for _, each in NETWORKS} | {run.name: record | {"weights": weights}}
        assert read_transfer(folder.layout, path.stem, runs) is None
    path.unlink()
    assert again(out).missing == {}
    assert path.read_bytes() == before


def test_without_the_weights_the_matrix_is_left_out_and_said_so(out, capsys):
    next((out / "transfers").iterdir()).unlink()
    Folder(out).layout.weights(SPARSE.name).unlink()
    assert again(out).missing == {}
    assert f"figure 14: the weights of {SPARSE.name} are not kept" in "".join(capsys.readouterr())
    page = (out / "index.html").read_text(encoding="utf-8")
    assert "It is made once all of its networks are trained" in page
    assert not (out / "transfers.csv").exists()


def test_every_file_is_examined(out):
    path = next((out / "transfers").iterdir())

    def states():
        return {finding.path: (finding.state, finding.why) for finding in examine(Folder(out))}

    assert {state for state, _ in states().values()} == {"whole"}
    content = path.read_bytes()
    path.write_bytes(content[:-40])
    state, why = states()[path]
    assert state == "damaged"
    assert "delete it and run the study again" in why
    with pytest.raises(ValueError, match=rf"{path.name} is damaged"):
        write_report(Folder(out))
    path.unlink()
    assert states()[path][0] == "missing"
    path.write_bytes(content)
    (out / "transfers.csv").write_bytes(b"")
    assert states()[out / "transfers.csv"][0] == "made again"


def test_a_folder_of_fgsm_alone_gets_the_others_later(tmp_path):
    place, fgsm = Place(tmp_path, threads=1, progress=False), FIGURES[:1]
    run_study(fgsm, place, RECORD | {"settings": {}})
    before = json.loads((tmp_path / "study.json").read_text(encoding="utf-8"))
    assert "transfers" not in before
    trained = Folder(tmp_path).layout.record(DENSE.name).stat().st_mtime_ns
    run_study(FIGURES[:2], place, RECORD)
    assert Folder(tmp_path).layout.record(DENSE.name).stat().st_mtime_ns == trained
    assert {row["method"] for row in report.Results.load(tmp_path).rows} == {"fgsm", "pgd"}
