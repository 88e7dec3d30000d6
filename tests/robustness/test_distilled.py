"""Defensive distillation, tested at T = 1, hides a network's gradient: what the doctor says of it."""

import warnings

import numpy as np
import pytest

import minidl as md
from minidl.objectives import CrossEntropy, Distillation
from minidl.robustness import ZeroGradientWarning, apgd, diagnose, fgsm
from tests.robustness.twins import cnn

EPSILON = 0.1


def trained(objective):
    model = cnn(np.random.default_rng(0))
    batches = md.data.Loader(*md.data.digits("train"), batch_size=32, seed=0)
    optimizer = md.optim.Adam(model.parameters(), lr=0.003)  # whose steps are as large whatever T divides the loss by
    md.fit(model, batches, optimizer, epochs=20, objective=objective, progress=False)
    return model


@pytest.fixture(scope="module")
def images():
    images, labels = md.data.digits("val")
    return images[:100], labels[:100]


@pytest.mark.slow
@pytest.mark.parametrize(("T", "hidden"), [(20, 0.05), (100, 0.3)])
def test_the_doctor_sees_through_it(T, hidden, images):
    teacher = trained(CrossEntropy(T))
    student = trained(Distillation(teacher, T))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ZeroGradientWarning)
        by_loss = 1 - fgsm(student, *images, EPSILON).success.mean()
    by_margin = 1 - apgd(student, *images, EPSILON, loss="margin").success.mean()
    assert by_loss > by_margin + hidden
    diagnosis = diagnose(student, *images, EPSILON)
    assert diagnosis.clean_accuracy > 0.95
    assert {"I1", "I6", "gradients are zero"} <= {flag.name for flag in diagnosis.flags}
    assert "do not believe this number" in str(diagnosis)
    assert not diagnose(student, *images, EPSILON, loss="margin").flags
