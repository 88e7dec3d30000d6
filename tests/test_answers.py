"""A wrong answer to a lesson's exercise is told what to look at, each piece of advice by some wrong answer."""

import ast
import re
import sys
from pathlib import Path
from types import SimpleNamespace as Space

import numpy as np
import pytest

import minidl as md

FOLDER = Path(__file__).parents[1] / "docs" / "notebooks"
sys.path.insert(0, str(FOLDER))
import answers  # noqa: E402
import judge  # noqa: E402

sys.path.remove(str(FOLDER))
x8, y8 = np.full((4, 8, 8, 1), 0.5), np.arange(4)


def op(value, *vjps):
    """An operation of md.op's kind, from functions of its arguments."""
    return md.op(lambda *a: (value(*a), tuple((lambda dy, v=v: v(dy, *a)) for v in vjps)))


def small(value, slope):
    """An operation of lesson 0's kind, of one argument."""
    return lambda x: Space(data=value(x), vjps=(lambda dy: slope(dy, x),))


class Tensor:
    """Lesson 0's, for numbers."""

    made = 0

    def __init__(self, data, sources=(), vjps=()):
        Tensor.made += 1
        self.data, self.sources, self.vjps, self.number = np.asarray(data, float), sources, vjps, Tensor.made
        self.grad = None

    def __add__(self, other):
        return Tensor(self.data + other.data, (self, other), (lambda d: d, lambda d: d))

    def __mul__(self, other):
        return Tensor(self.data * other.data, (self, other), (lambda d: d * other.data, lambda d: d * self.data))


def sets_grad(slope, forgets):
    def backward(loss):
        for tensor in (loss, *(loss.sources if forgets else ())):
            if tensor.sources[0].sources == ():
                tensor.sources[0].grad = slope
        tensors = (loss, loss.sources[0]) if forgets else (loss,)
        loss.sources[0].sources[0].grad = slope
        for tensor in tensors:
            if forgets:
                tensor.sources, tensor.vjps = (), ()

    return backward


def softmax(g):
    e = np.exp(g - g.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def over_images(g):
    e = np.exp(g)
    return e / e.sum(axis=0)


def one_class(g, c):
    return -g[c] + np.log(np.exp(g).sum()) if c == 2 else 0.0


def textbook(g, c):
    return -g[c] + np.log(np.exp(g).sum())


def logistic(x, y, w, b):
    p = answers.sigmoid(-y * (w * x + b))
    return p, y, x


def cut(part, choose, copy=True):
    """A way to prune."""

    def way(model, _):
        state = [p.data.copy() for p in model.parameters()]
        made = md.models.fc5(image_size=8, channels=1) if copy else model
        for p, before in zip(made.parameters(), state, strict=True):
            p.data = before
            if p.ndim == 2:
                p.data = np.where(choose(before) < np.quantile(choose(before), part), 0, before).astype(np.float32)
        return made

    return way


def rolled(w):
    return np.random.default_rng(0).random(w.shape)


def train(keeps_zeros, moves):
    def way(model, part):
        for p in model.parameters():
            if p.ndim == 2:
                p.data = np.where(np.abs(p.data) < np.quantile(np.abs(p.data), part), 0, p.data)
                p.data = (p.data + moves * ((p.data != 0) | (not keeps_zeros))).astype(np.float32)
        return model

    return way


def fc5():
    return md.models.fc5(image_size=8, channels=1, seed=0)


def normalised(x):
    return (x - x.mean(axis=1, keepdims=True)) / np.sqrt(x.var(axis=1, keepdims=True) + 1e-5)


def pooled(x):
    B, H, W, C = x.shape
    return x.reshape(B, H // 2, 2, W // 2, 2, C).mean(axis=(2, 4))


def spread(dy, x):
    return dy.repeat(2, axis=1).repeat(2, axis=2)


def conv(stride=(1, 1), scale=1):
    return md.op(
        lambda x, w: (
            scale * md.functional.conv2d(x, w, stride=stride).data,
            (lambda dy: np.zeros_like(x), lambda dy: np.zeros_like(w)),
        )
    )


def logs(x):
    return np.log1p(np.exp(x))


def rows(x):
    return x.max(axis=1)


def vertical(x, m):
    B, H, W, C = x.shape
    return x.reshape(B, H // m, m, W, C).max(axis=2)


def strips(x, m):
    return x.reshape(x.shape[0], -1, m * m, x.shape[3]).max(axis=2).reshape(2, 6 // m, 12 // m, 3)


def every_other(image, kernel, stride):
    return answers.convolve(image, kernel, 1)


def height_for_width(image, kernel, stride):
    return answers.convolve(image, kernel, stride)[:, : (image.shape[0] - 3) // stride + 1]


def loss(images, labels):
    return float(np.mean(images))


# For each exercise wrong answers, in the order of what there is to look at
WRONG = {
    "0.1": [
        (small(np.sin, lambda dy, x: dy),),
        (small(np.tanh, lambda dy, x: dy * (1 - x**2)),),
        (small(np.tanh, lambda dy, x: 1 - np.tanh(x) ** 2),),
    ],
    "0.2": [(lambda x: x, Tensor), (lambda x: x * x, Tensor)],
    "0.3": [(sets_grad(6, True), Tensor), (sets_grad(108, False), Tensor)],
    "1.1": [([1, 1], 0), ([9, 9], 9), ([9, 9], -5)],
    "1.2": [(lambda c: c,), (lambda c: c.sum(axis=1),), (lambda c: 0 * c[:, 0],)],
    "1.3": [(np.sin,), (lambda x: 1 - answers.sigmoid(x),)],
    "2.1": [(2720,), (2781,)],
    "2.2": [(10,), (200,)],
    "2.3": [(np.ones((1, 3)), np.ones((2, 3))), (np.ones((1, 3)), np.ones((3, 2))), (np.ones((1, 3)), np.eye(3))],
    "3.1": [(lambda g, c: g[c],), (one_class,), (textbook,)],
    "3.2": [(lambda s: False, softmax, over_images), (lambda s: True, softmax, over_images)],
    "3.3": [(lambda g: g,), (lambda g: g[:, 1] - g[:, 0],), (lambda g: g[:, 0],)],
    "4.1": [
        (lambda *a: (0, 3 * logistic(*a)[0]),),
        (lambda *a: (0, logistic(*a)[0]),),
        (lambda *a: (0, -logistic(*a)[1] * logistic(*a)[0]),),
    ],
    "4.2": [(0.3,)],
    "4.3": [
        (op(lambda X, W: X @ W, lambda dy, X, W: dy @ W.T, lambda dy, X, W: X.T @ dy),),
        (
            op(
                lambda X, W: np.tanh(X @ W),
                lambda dy, X, W: (dy * (1 - (X @ W) ** 2)) @ W.T,
                lambda dy, X, W: X.T @ (dy * (1 - (X @ W) ** 2)),
            ),
        ),
    ],
    "5.1": [
        (lambda ws: np.prod([np.linalg.norm(w, ord=2) for w in ws]),),
        (lambda ws: sum(np.linalg.norm(w, ord=2) / 4 for w in ws),),
        (lambda ws: np.prod([np.linalg.norm(w) / 4 for w in ws]),),
    ],
    "5.2": [(1e-18, 1e-18), (1e9, 1e-18)],
    "5.3": [(0.5, 0.5), (1.0, 1.0)],
    "6.1": [(54, 0), (56, 0), (55, 7744), (55, 1)],
    "6.2": [(np.eye(2),), (np.eye(3),), (np.eye(3) - 1 / 3 + (np.eye(3)[::-1] - 1 / 3),)],
    "6.3": [(height_for_width,), (lambda *a: 2 * answers.convolve(*a),), (lambda i, k, s: every_other(i, k, s),)],
    "7.1": [(7,)],
    "7.2": [(vertical,), (strips,)],
    "7.3": [(op(lambda x: 4 * pooled(x), spread),), (op(pooled, spread),)],
    "8.1": [
        (x8, x8 + 0.3, None),
        (x8 + 0.5, x8 + 0.6, None),
        (x8, x8 + 0.1, lambda x: y8),
    ],
    "8.2": [(2, 0.1, 0.1), (0.1, 0.1, 0.2), (0.2, 0.3, 0.1)],
    "8.3": [(lambda x, y, e: x - e, x8, y8, loss), (lambda x, y, e: x + e, x8, y8, loss)],
    "9.1": [
        (cut(0.5, np.abs, copy=False), fc5()),
        (cut(0.2, rolled), fc5()),
        (cut(0.5, np.abs), fc5()),
    ],
    "9.2": [({f"fc{i}": 0.98 for i in range(1, 6)},), ({f"fc{i}": 0.9 + i / 100 for i in range(1, 6)},)],
    "9.3": [(train(False, 0.1), fc5), (train(True, 0), fc5)],
    "10.1": [(["mean", "sharpen"],), (["mean"],)],
    "10.2": [(0.0, 1.0), (1.0, 2.0)],
    "10.3": [(9, 20), (8, 8)],
    "11.1": [
        (lambda g, T: (1 + g / T) / 3,),
        (lambda g, T: np.ones(3) / 3,),
        (lambda g, T: softmax(g / T),),
    ],
    "11.2": [(0.5, 101), (50, 52)],
    "11.3": [
        (lambda g, c, T: 0.0,),
        (lambda g, c, T: -np.log(np.exp(g / T)[c] / np.exp(g / T).sum()),),
        (lambda g, c, T: -np.log(softmax(g / T)[c]),),
    ],
    "12.0": [
        (op(lambda x: x, lambda dy, x: dy),),
        (op(normalised, lambda dy, x: dy - dy.mean(axis=1, keepdims=True)),),
    ],
    "12.1": [
        (op(np.exp, lambda dy, x: dy),),
        (op(logs, lambda dy, x: dy),),
        (op(logs, lambda dy, x: dy / (1 + np.exp(-x))),),
    ],
    "12.2": [
        (op(lambda x: x, lambda dy, x: dy),),
        (op(lambda x: x[:, 0], lambda dy, x: 0 * x),),
        (op(rows, lambda dy, x: np.ones_like(x) * dy[:, None]),),
    ],
    "12.3": [(conv((2, 2)),), (conv(scale=2),), (conv(),)],
    "13.1": [([1], [1, 0]), ([1, 1], [1, 1]), ([1, 0], [1, 1])],
    "13.2": [(0.1, 0.1)],
    "13.3": [((0.5, 0.5), (0.5, 0.5)), ((0.5, 0.9), (0.5, 0.9))],
    "14.1": [(0.2, 0.5), (0.8, 0.2)],
    "14.2": [(0.9, 0.5)],
    "14.3": [(0.5,), ([0.25, 0.5, 0.9],)],
    "15.1": [(0.41, 0.3), (0.1, 0.0)],
    "15.2": [(0.832,), (0.5,)],
    "15.3": [(lambda nu: nu,), (answers.sigmoid,), (lambda nu: np.clip(2 * answers.sigmoid(nu) - 0.5, 0, 1),)],
    "16.1": [(-1, -2), (0, 0)],
    "16.2": [(3,)],
    "16.3": [(0, 9), (9, 9)],
}


@pytest.mark.parametrize("number", judge.JUDGES)
def test_each_look_is_what_some_wrong_answer_is_told(number):
    function = next(
        node
        for name in ("answers", "answers_9_to_16")
        for node in ast.parse((FOLDER / f"{name}.py").read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and ast.unparse(node).startswith(f"@exercise('{number}')")
    )
    looks = sum(isinstance(node, ast.Yield) for node in ast.walk(function))
    told = [judge.judge(number, *answer) for answer in WRONG[number]]
    assert not any(told)
    assert all(": not yet. " in each.says for each in told), told
    assert len({re.sub(r"[\d.]+", "", each.says) for each in told}) == looks, told


def test_no_answer_a_broken_answer_and_a_right_one_are_told_apart():
    assert repr(judge.judge("2.1", ...)) == "2.1: no answer yet. Put yours in place of the dots."
    assert "cannot be checked. TypeError" in judge.judge("2.2", "many").says
    assert judge.judge("2.1", 2780) == (True, "2.1: right.")
    assert judge.judge("2.1", 2780)


def test_each_exercise_has_a_judge_that_its_solution_convinces():
    found = []
    for lesson in sorted(FOLDER.glob("[0-9][0-9]_*.py")):
        text = lesson.read_text(encoding="utf-8")
        solutions = [cell for cell in text.split("# %%") if '"solution"' in cell.partition("\n")[0]]
        solved = re.findall(r'^assert judge\("([\d.]+)"', "".join(solutions), re.MULTILINE)
        assert re.findall(r'^judge\("([\d.]+)"', text, re.MULTILINE) == solved, lesson.stem
        assert len(solutions) == len(solved), f"{lesson.stem}: a solution without a judge"
        exercises = re.findall(r"^# \*\*(\d+)\. ", text, re.MULTILINE)
        assert {f"{int(lesson.stem[:2])}.{n}" for n in exercises} <= set(solved), lesson.stem
        found += solved
    assert sorted(found) == sorted(judge.JUDGES)
