"""The Square Attack: its squares, its schedule, its promises, and the authors' own code as the measure."""

import numpy as np
import pytest

import minidl as md
from minidl import nn
from minidl.robustness import square
from minidl.robustness.attacks.square import side_of, squares
from tests.robustness.twins import answers, digits_cnn, to_torch, torch_cnn


def test_the_schedule_is_the_papers():
    """Of a million pixels, the squares cover 80 %, halved after 10, 50, 200 ... queries, and never less than one."""
    expected = {0: 894, 10: 894, 11: 632, 50: 632, 51: 447, 201: 316, 501: 224, 1001: 158, 2001: 112, 4001: 79}
    assert {q: side_of(q, 1000, 1000) for q in expected} == expected
    assert side_of(9000, 8, 8) == 1
    assert side_of(0, 4, 100) == 4  # of a rectangle, no more than its shorter side


@pytest.mark.parametrize(("height", "width"), [(8, 8), (3, 9), (9, 2)])
@pytest.mark.parametrize("side", [1, 2])
def test_the_squares_lie_anywhere_within_the_image(height, width, side):
    place = np.random.default_rng(0).random((500, 2))
    inside = squares(place, side, np.zeros((500, height, width, 3)))
    assert inside.shape == (500, height, width, 1)
    np.testing.assert_array_equal(inside.sum(axis=(1, 2, 3)), side * side)
    corners = {tuple(np.argwhere(image[..., 0])[0]) for image in inside}
    assert corners == {(r, c) for r in range(height - side + 1) for c in range(width - side + 1)}


def test_one_query_are_the_stripes():
    model = nn.Sequential(nn.Flatten(), nn.Linear(72, 2))
    model[1].weight.data[...], model[1].bias.data[...] = 0, [1, 0]
    images = np.full((3, 4, 6, 3), 0.5)
    moved = square(model, images, [0, 0, 0], 0.1, queries=1).adversarial[0] - images
    np.testing.assert_allclose(abs(moved), 0.1)
    assert (moved == moved[:, :1]).all()  # vertical
    assert 0.2 < (moved > 0).mean() < 0.8
    assert len({image.tobytes() for image in moved}) == 1  # equal images, equal squares
    assert square(model, images, [0, 0, 0], 0.1, queries=1, seed=1).adversarial.tobytes() != moved.tobytes()


def test_the_claimed_success_is_the_models_answer():
    model, images, labels = digits_cnn(60, np.float32)
    labels = np.where(np.arange(60) < 3, (labels + 1) % 10, labels)
    attack = square(model, images, labels, [0.15, 0, 0.08], queries=100)
    for moved, success, epsilon in zip(attack.adversarial, attack.success, attack.epsilons, strict=True):
        np.testing.assert_array_equal(answers(model, moved) != labels, success)
        assert abs(moved - images).max() <= epsilon + 1e-7
        assert moved.min() >= 0
        assert moved.max() <= 1
    assert (attack.success[0] >= attack.success[2]).all()
    assert attack.success[0].sum() > attack.success[1].sum()
    assert not attack.zero_gradient.any()


def test_more_queries_break_no_less_and_batches_change_nothing():
    model, images, labels = digits_cnn(40, np.float32)
    few, more = (square(model, images, labels, 0.12, queries=n) for n in (20, 120))
    assert (more.success >= few.success).all()
    assert more.success.sum() > few.success.sum()
    parts = square(model, images, labels, 0.12, queries=120, batch_size=9)
    np.testing.assert_array_equal(parts.adversarial, more.adversarial)


def test_it_needs_no_gradient():
    class Rounded(nn.Module):
        def forward(self, x):
            return md.Tensor(np.stack([x.data[:, 0, 0, 0].round(1), np.full(len(x), 0.35, x.dtype)], axis=1))

    images = np.linspace(0.4, 0.9, 6).reshape(6, 1, 1, 1)
    success = square(Rounded(), images, np.zeros(6, int), 0.2, queries=10).success[0]
    assert success.tolist() == [True, True, False, False, False, False]


def test_it_is_as_strong_as_the_authors_code():
    """Their squares never reach the last row and column, as the paper's do: on 8 x 8 pixels ours is stronger."""
    torch, theirs = pytest.importorskip("torch"), pytest.importorskip("pyautoattack.square")
    model, images, labels = digits_cnn(100, np.float32)
    attack = theirs.SquareAttack(torch_cnn(model), n_queries=300, eps=0.12, resc_schedule=False)
    found = attack.perturb(to_torch(images), torch.from_numpy(labels)).numpy().transpose(0, 2, 3, 1)
    broken = (answers(model, found) != labels).sum()
    assert broken - 2 <= square(model, images, labels, 0.12, queries=301).success.sum() <= broken + 20
    assert 20 < broken < 60
