"""What goes wrong in the first week: each mistake, and what minidl says to it.

A message names what was given, what was expected, and the likely fix. Where a mistake raises no error anywhere (in
PyTorch neither), there is a warning if it can be told for certain, and docs/mistakes.md says what it looks like.
"""

import doctest
import warnings
from pathlib import Path

import numpy as np
import pytest

import minidl as md
from minidl import functional as F
from minidl import nn

IMAGES = np.random.default_rng(0).random((4, 8, 8, 3), np.float32)
LABELS = np.array([0, 1, 2, 1])
GREY_LEVELS = (255 * IMAGES).astype(np.uint8)
LOGITS = md.Tensor(np.random.default_rng(1).standard_normal((4, 3)), requires_grad=True)


def cnn():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 3))


def sgd(parameters):
    return md.optim.SGD(parameters, lr=0.1)


def loss_of(model):
    return F.cross_entropy(model(IMAGES), LABELS)


def attack(model, images=IMAGES, labels=LABELS, epsilon=8 / 255):
    return md.robustness.fgsm(model, images, labels, epsilon)


# Each row: what a beginner does, the error, and parts of its message: given, expected, fix.

SHAPES = {
    "one image without a batch": (
        lambda: cnn()(IMAGES[0]),
        ("(8, 8, 3)", "(B, H, W, C): batch, height, width, channels", "image[None]"),
    ),
    "channels first": (
        lambda: cnn()(IMAGES.transpose(0, 3, 1, 2)),
        ("(4, 3, 8, 8)", "C = 8 channels last", "x.transpose(0, 2, 3, 1)"),
    ),
    "channels first, into a model": (
        lambda: md.models.resnet18()(np.zeros((2, 3, 64, 64), np.float32)),
        ("made for 3 channels, and the images have 64", "(2, 3, 64, 64)", "x.transpose(0, 2, 3, 1)"),
    ),
    "channels first, into BatchNorm2d": (
        lambda: nn.BatchNorm2d(3)(IMAGES.transpose(0, 3, 1, 2)),
        ("gamma has shape (3,)", "asks for (8,)", "x.transpose(0, 2, 3, 1)"),
    ),
    "grey images into a model for colours": (
        lambda: md.models.resnet18()(np.zeros((2, 64, 64, 1), np.float32)),
        ("made for 3 channels, and the images have 1",),
    ),
    "images that were not flattened": (
        lambda: nn.Linear(192, 3)(IMAGES),
        ("(4, 8, 8, 3)", "(..., in) and (in, out)", "Flatten images first"),
    ),
    "images of another size than the perceptron's": (
        lambda: md.models.fc5()(np.zeros((2, 32, 32, 3), np.float32)),
        ("(2, 3072)", "made for 12288 inputs", "images of another size?"),
    ),
    "one image without a batch, into a perceptron": (
        lambda: md.models.fc5(image_size=8)(IMAGES[0]),
        ("(8, 24)", "one image without a batch: image[None]"),
    ),
    "one image without a batch, into AlexNet": (
        lambda: md.models.alexnet()(np.zeros((64, 64, 3), np.float32)),
        ("(64, 64, 3)", "(B, H, W, C)", "image[None]"),
    ),
    "a Linear after the wrong number of features": (
        lambda: nn.Sequential(nn.Linear(5, 7), nn.Linear(8, 2))(np.ones((1, 5), np.float32)),
        ("(1, 7) and weight (8, 2)", "made for 8 inputs"),
    ),
    "images that are too small": (
        lambda: cnn()(IMAGES[:, :2, :2]),
        ("3 x 3", "(4, 2, 2, 3)", "floor((2 + 2*0 - 3)/1) + 1 = 0", "Use larger images, a smaller kernel"),
    ),
    "a batch of one, in training": (
        lambda: nn.BatchNorm2d(3)(IMAGES[:1, :1, :1]),
        ("1 value a channel", "two or more images, or model.eval()"),
    ),
    "pooling without a batch": (lambda: nn.MaxPool2d(2)(IMAGES[0]), ("(8, 8, 3)", "(B, H, W, C)", "image[None]")),
    "rows of unequal lengths": (lambda: md.Tensor([[1, 2], [3]]), ("nested lists of equal lengths are wanted",)),
    "columns times rows": (
        lambda: md.Tensor(np.ones((2, 3))) @ np.ones((2, 3)),
        ("shapes (2, 3) and (2, 3) do not fit", "must be equal"),
    ),
    "one-hot labels": (
        lambda: F.cross_entropy(LOGITS, np.eye(3, dtype=int)[LABELS]),
        ("(4, 3)", "ask for (4,)", "labels.argmax(axis=1)"),
    ),
    "labels in a column": (lambda: F.cross_entropy(LOGITS, LABELS[:, None]), ("(4, 1)", "(4,)", "labels[:, 0]")),
    "labels of another batch": (lambda: F.cross_entropy(LOGITS, LABELS[:3]), ("(3,)", "(4,)")),
    "labels counted from 1": (
        lambda: F.cross_entropy(LOGITS, LABELS + 1),
        ("label 3 of image 2", "with 3 classes, labels go from 0 to 2"),
    ),
    "epsilon in grey levels": (lambda: attack(cnn(), epsilon=8), ("epsilon is 8", "[0, 1]", "8 / 255")),
    "attacked images in grey levels": (
        lambda: attack(cnn(), 255 * IMAGES),
        ("they span", "[0, 1]", "Divide pixels from 0 to 255 by 255"),
    ),
    "one attacked image without a batch": (lambda: attack(cnn(), IMAGES[0], LABELS[:1]), ("(8, 8, 3)", "image[None]")),
    "an optimiser without parameters": (
        lambda: sgd(nn.ReLU().parameters()),
        ("there are no parameters", "used up", "use nn.Sequential"),
    ),
    "a parameter twice": (lambda: sgd([*[md.Parameter(np.ones(2))] * 2]), ("a parameter is there twice",)),
    "a negative number of neurons": (lambda: nn.Linear(3, -1), ("out_features is -1", "at least 1")),
    "padding by name": (lambda: nn.Conv2d(3, 4, 3, padding="same"), ("padding is 'same'", "an int or a pair of ints")),
    "another device's name": (lambda: cnn().to("cuda"), ("unknown device 'cuda'", "'cpu' or 'gpu'")),
}

KINDS = {
    "images of integers": (
        lambda: cnn()(GREY_LEVELS),
        ("conv2d: images must be real numbers, and got uint8", ".astype(np.float32)", "by 255"),
    ),
    "images of integers, into a model": (
        lambda: md.models.resnet18()(GREY_LEVELS),
        ("normalize: images must be real numbers, and got uint8", "by 255"),
    ),
    "attacked images of integers": (
        lambda: attack(cnn(), GREY_LEVELS.astype(int)),
        ("images must be uint8 in 0..255 or float32 in [0, 1], got int64", "images.astype(np.uint8)"),
    ),
    "attacked images in a list": (
        lambda: attack(cnn(), IMAGES.tolist()),
        ("must be an array (B, H, W, C), and are a list", "np.asarray(images, np.float32)"),
    ),
    "a path instead of an image": (lambda: cnn()("cat.png"), ("images must be a Tensor or an array, and got a str",)),
    "a gradient that is not there": (lambda: md.Tensor(LOGITS.grad), ("None is no number", "not computed yet?")),
    "a gradient by integers": (
        lambda: md.Tensor(np.arange(3), requires_grad=True),
        ("needs real numbers, not int64", "x.astype(np.float32)"),
    ),
    "labels of real numbers": (
        lambda: F.cross_entropy(LOGITS, LABELS.astype(float)),
        ("must be integers (class numbers), and are float64", ".astype(int)"),
    ),
    "logits and labels exchanged": (
        lambda: F.cross_entropy(LABELS, LOGITS),
        ("logits must be an array of real numbers", "int64, of shape (4,)", "come before the labels"),
    ),
    "NumPy's own functions": (lambda: np.exp(LOGITS), ("Tensor",)),
    "comparing tensors": (lambda: LOGITS.data == LOGITS, ("compare the array, x.data == ...",)),
    "the model in place of its parameters": (lambda: sgd(cnn()), ("parameter 0 is a Conv2d", "model.parameters()")),
    "the method in place of its result": (lambda: sgd(cnn().parameters), ("model.parameters(), and got a method",)),
    "names with the parameters": (lambda: sgd(cnn().named_parameters()), ("parameter 0 is a tuple", "parameters()")),
    "the class of a layer": (lambda: nn.Sequential(nn.ReLU), ("layer 0 is a type, and must be a Module",)),
    "a function for a layer": (lambda: nn.Sequential(F.relu), ("is a function", "nn.ReLU() for F.relu")),
    "half a neuron": (lambda: nn.Linear(7 / 2, 3), ("in_features is 3.5, and must be a whole number",)),
    "a model that is a function": (lambda: attack(lambda x: x), ("must be a minidl.nn.Module", "is a function")),
    "an array in a parameter's place": (
        lambda: setattr(nn.Linear(3, 2), "weight", np.ones((3, 2))),
        ("weight is a Parameter, and cannot become a ndarray", "weight.data[...] = values"),
    ),
    "layers in a list": (
        lambda: setattr(nn.Module(), "layers", [nn.Linear(3, 2)]),
        ("layers is a list with layers", "nor trained", "use nn.Sequential"),
    ),
    "whole arrays in place of batches": (
        lambda: md.evaluate(cnn(), IMAGES, LABELS),
        ("wants batches of images and labels", "data.Loader(images, labels, batch_size=64)"),
    ),
    "float32 finite differences": (
        lambda: md.testing.check_gradients(F.relu, IMAGES),
        ("input 0 is float32", "need float64 (.astype(float))"),
    ),
}


@pytest.mark.parametrize("mistake", SHAPES)
def test_wrong_shapes_and_values(mistake):
    says(ValueError, *SHAPES[mistake])


@pytest.mark.parametrize("mistake", KINDS)
def test_wrong_kinds(mistake):
    says(TypeError, *KINDS[mistake])


def says(error, do, parts):
    with pytest.raises(error) as raised:
        do()
    message = str(raised.value)
    assert all(part in message for part in parts), message


@pytest.mark.parametrize(
    "layer",
    [
        nn.Linear(3, 2),
        nn.Conv2d(3, 2, 1),
        nn.BatchNorm2d(3),
        nn.Normalize(0.5, 0.25),
        nn.MaxPool2d(2),
        nn.AvgPool2d(2),
        nn.AdaptiveAvgPool2d(1),
        nn.ReLU(),
        nn.Sigmoid(),
        nn.Tanh(),
        nn.Dropout(),
        nn.LocalResponseNorm(),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_no_layer_takes_integers(layer):
    """Some would round, or wrap around, in silence."""
    says(TypeError, lambda: layer(GREY_LEVELS), ("must be real numbers, and got uint8", "by 255"))


# What works, though one might doubt it


def test_a_model_takes_arrays_and_lists_for_tensors():
    model = cnn()
    expected = model(md.Tensor(IMAGES)).data
    np.testing.assert_array_equal(model(IMAGES).data, expected)
    np.testing.assert_array_equal(model(IMAGES.tolist()).data, expected)


def test_labels_may_be_a_list():
    assert F.cross_entropy(LOGITS, LABELS.tolist()).item() == F.cross_entropy(LOGITS, LABELS).item()


def test_an_attack_needs_no_eval():
    """It switches to evaluation mode itself, or dropout would draw another gradient each time, and switches back."""
    model = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(192, 3))
    first, second = attack(model).adversarial, attack(model).adversarial
    assert model[1].training
    np.testing.assert_array_equal(first, second)


# backward and step


def test_backward_twice():
    loss = loss_of(cnn())
    loss.backward()
    says(RuntimeError, loss.backward, ("used by an earlier backward()", "compute the loss again"))


def test_backward_of_many_numbers():
    says(RuntimeError, (LOGITS * 2).backward, ("needs one number", "shape (4, 3)", ".sum() or .mean()"))


def test_backward_without_a_gradient_wanted():
    says(RuntimeError, md.Tensor(np.ones(3)).sum().backward, ("nothing here requires a gradient", "requires_grad=True"))


def test_a_step_without_backward():
    says(RuntimeError, sgd(cnn().parameters()).step, ("no parameter has a gradient", "loss.backward() before step()"))


def test_data_of_another_shape():
    layer = nn.Linear(3, 2)
    optimizer = sgd(layer.parameters())
    layer(np.ones((1, 3), np.float32)).sum().backward()
    layer.weight.data = np.ones((5, 2), np.float32)
    parts = ("has shape (5, 2) and its gradient (3, 2)", "parameter.data[...] = values")
    says(ValueError, optimizer.step, parts)
    says(ValueError, lambda: layer(np.ones((1, 3), np.float32)), ("weight (5, 2)", "made for 5 inputs"))
    layer.weight.data = [[1, 2], [3, 4], [5, 6]]
    says(
        TypeError, lambda: layer(np.ones((1, 3), np.float32)), ("weight must be a Tensor or an array, and got a list",)
    )


# What raises no error: a warning where it can be told


def test_forgotten_zero_grad():
    model = cnn()
    optimizer = sgd(model.parameters())
    loss_of(model).backward()
    optimizer.step()
    with pytest.warns(
        md.optim.SpentGradientWarning,
        match=r"zero_grad\(\) before backward\(\), or, .* backward\(inputs=\[x\]\)",
    ) as caught:
        loss_of(model).backward()
    assert Path(caught[0].filename) == Path(__file__)  # the line of the user's own


def test_gradients_may_add_up_before_a_step():
    """A large batch in parts: two halves of the mean loss give the gradient of the whole."""
    model = cnn()
    optimizer = sgd(model.parameters())
    loss_of(model).backward()
    whole = model[0].weight.grad
    for _ in range(2):
        optimizer.zero_grad()
        for part in (slice(0, 2), slice(2, 4)):
            (F.cross_entropy(model(IMAGES[part]), LABELS[part]) / 2).backward()
        np.testing.assert_allclose(model[0].weight.grad, whole, rtol=1e-4, atol=1e-6)
        optimizer.lr = 0.0  # so that the weights stay
        optimizer.step()


def test_softmax_twice():
    with pytest.warns(UserWarning, match="look like probabilities.*leave it out of the model") as caught:
        F.cross_entropy(F.softmax(LOGITS), LABELS)
    assert Path(caught[0].filename) == Path(__file__)


def test_logits_are_not_taken_for_probabilities():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for logits in (LOGITS.data, np.eye(3)[LABELS], np.abs(LOGITS.data), np.full((4, 3), 0.5)):
            F.cross_entropy(logits, LABELS)


def test_images_up_to_255():
    with pytest.warns(UserWarning, match=r"a pixel is 25\d.*divide pixels from 0 to 255 by 255"):
        md.models.resnet18()(np.float32(255) * np.ones((2, 32, 32, 3), np.float32))


def test_an_array_that_changes_between_forward_and_backward():
    """Documented, not caught: the graph holds the array itself. The gradient of x^2 comes out for the new x."""
    x = md.Tensor(np.array([1.0, 2.0]), requires_grad=True)
    y = (x * x).sum()
    x.data[...] = 5
    y.backward()
    assert x.grad.tolist() == [10, 10]


def test_the_page_on_mistakes_is_true():
    page = Path(__file__).parents[1] / "docs" / "mistakes.md"
    found = doctest.testfile(str(page), module_relative=False, encoding="utf-8")
    assert found.attempted > 20
    assert found.failed == 0
