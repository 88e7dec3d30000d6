"""What is proved and what stands under attack: what a study that was stopped goes on with."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("tyro")
sys.path.insert(0, str(Path(__file__).parents[2] / "experiments"))
import certificates
from settings import PRESETS

from minidl import nn
from minidl.study import load_problem

sys.path.remove(str(Path(__file__).parents[2] / "experiments"))
EPSILONS = np.array([1, 4]) / 255


def test_more_images_than_are_asked_for_and_another_network(tmp_path, monkeypatch):
    """All of them are attacked: what is proved and what stands are of the same images."""
    problem, run = load_problem("digits", 8, 8), PRESETS["quick"].run("fc5", 512, 0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    known = SimpleNamespace(val=problem.val, crop=problem.crop, model=lambda run: model)
    monkeypatch.setattr(certificates, "load_problem", lambda *which: known)
    monkeypatch.setattr(certificates, "load", lambda model, path: None)
    monkeypatch.setattr(certificates, "hash_of", lambda path: "ours")
    path = tmp_path / "bands" / f"{run.name}.npz"
    path.parent.mkdir()
    certificates.write(path, epsilons=EPSILONS, certified=np.zeros((2, 7), bool), seconds=1.0)
    certificates.band_of(run, EPSILONS, 5, tmp_path, tmp_path)
    assert certificates.is_whole(run, 5, tmp_path)
    assert certificates.both_sides([run], 5, tmp_path).standing.shape == (2, 5)
    assert certificates.read(path)["standing"].shape == (2, 7)
    monkeypatch.setattr(certificates, "hash_of", lambda path: "another's")
    certificates.write(path, epsilons=EPSILONS, certified=np.ones((2, 5), bool), seconds=1.0, weights="ours")
    certificates.band_of(run, EPSILONS, 5, tmp_path, tmp_path)
    assert not certificates.read(path)["certified"].all()  # those were of another network
