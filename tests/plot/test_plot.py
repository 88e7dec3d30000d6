"""Pictures show what they say: the numbers are read back from what matplotlib was given."""

import copy
import subprocess
import sys
import types

import numpy as np
import pytest

import minidl as md
from minidl import functional as F
from minidl import nn


def texts(picture):
    return [text.get_text() for text in picture.axes[0].texts]


def pixels(axes):
    return np.ma.getdata(axes.images[0].get_array())


# How a picture is shown


def test_a_picture_shows_itself_once_and_leaves_nothing_open(rng):
    picture = md.plot.kernels(rng.standard_normal((4, 3, 3, 1)))
    png, size = picture._repr_png_()
    assert png.startswith(b"\x89PNG")
    width, height = (round(100 * inches) for inches in picture.get_size_inches())
    assert size == {"width": width, "height": height}
    assert int.from_bytes(png[16:20]) == pytest.approx(2 * width, abs=2)  # pixels, from the PNG's head
    pyplot = pytest.importorskip("matplotlib.pyplot")
    assert pyplot.get_fignums() == []


def test_a_notebook_finds_one_image_in_a_picture(rng):
    formatters = pytest.importorskip("IPython.core.formatters")
    data, _ = formatters.DisplayFormatter().format(md.plot.feature_maps(rng.random((4, 4, 2))))
    assert sorted(data) == ["image/png", "text/plain"]


def test_matplotlib_comes_with_the_first_picture():
    code = "import sys, minidl as md; a = 'matplotlib' in sys.modules; md.plot; print(a, 'matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, encoding="utf-8", timeout=60)
    assert done.stdout == "False True\n"
    assert "plot" in dir(md)
    with pytest.raises(AttributeError, match="no attribute 'plots'"):
        _ = md.plots


# The computation


def test_a_graph_has_every_operation_leaf_and_shape():
    x = md.Tensor(np.ones((4, 3)))
    W, b = md.Parameter(np.ones((3, 2))), md.Parameter(np.ones(2))
    z = F.relu(x @ W + b)
    loss = F.cross_entropy(z, np.array([0, 1, 0, 1]))
    expected = [
        "constant\n(4, 3)",
        "W\n(3, 2)",
        "matmul\n(4, 2)",
        "parameter\n(2,)",
        "add\n(4, 2)",
        "z = relu\n(4, 2)",
        "cross_entropy\n()",
    ]
    assert texts(md.plot.graph(loss, W=W, z=z)) == expected
    loss.backward()
    assert texts(md.plot.graph(loss, W=W, z=z)) == expected


def test_parameters_are_called_as_in_their_model(rng):
    model = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 2))
    found = texts(md.plot.graph(model(rng.standard_normal((5, 3)).astype(np.float32)), model))
    assert {"0.weight\n(3, 2)", "0.bias\n(2,)", "2.weight\n(2, 2)", "2.bias\n(2,)"} < set(found)


def test_a_value_that_is_used_twice_says_so():
    x = md.Tensor([3.0], requires_grad=True)
    assert texts(md.plot.graph(x * x, x=x)) == ["x2", "x\n(1,)", "multiply\n(1,)"]


def test_a_long_computation_runs_downwards():
    x = y = md.Tensor([3.0], requires_grad=True)
    for _ in range(12):
        y = F.tanh(y)
    width, height = md.plot.graph(y).get_size_inches()
    assert height > width
    short_width, short_height = md.plot.graph(x.exp().exp()).get_size_inches()
    assert short_width > short_height


def test_there_must_be_something_to_draw():
    x = md.Tensor([1.0], requires_grad=True)
    with pytest.raises(ValueError, match="nothing was recorded.*requires_grad"):
        md.plot.graph(x)
    with md.no_grad(), pytest.raises(ValueError, match="nothing was recorded"):
        md.plot.graph(x * 2)
    with pytest.raises(TypeError, match="graph: draws the computation of a Tensor, and got a ndarray"):
        md.plot.graph(np.ones(3))
    with pytest.raises(TypeError, match="graph: W is a ndarray, and must be a Tensor"):
        md.plot.graph(x * 2, W=np.ones(3))
    with pytest.raises(TypeError, match="graph: the model is a dict"):
        md.plot.graph(x * 2, {"x": x})


# Many small images


def test_colour_kernels_are_grey_at_zero_and_full_at_their_largest():
    w = np.zeros((2, 1, 2, 3))
    w[0, 0, 1] = [2, -2, 1]
    image = pixels(md.plot.kernels(w).axes[0])
    assert (image == 0.5).all(axis=-1).sum() == 3  # the zeros, those of a kernel without anything else too
    assert (image == [1, 0, 0.75]).all(axis=-1).sum() == 1


def test_grey_kernels_have_one_scale_with_zero_in_the_middle(rng):
    w = rng.standard_normal((5, 3, 3, 1))
    picture = md.plot.kernels(w)
    (image,) = picture.axes[0].images
    assert image.get_clim() == (-np.abs(w).max(), np.abs(w).max())
    np.testing.assert_array_equal(
        np.sort(pixels(picture.axes[0])[~np.isnan(pixels(picture.axes[0]))]), np.sort(w.ravel())
    )
    assert picture.axes[1].get_ylabel() == "weight"


def test_other_kernels_show_norms_and_say_so(rng):
    w = rng.standard_normal((5, 3, 3, 8))
    picture = md.plot.kernels(md.Parameter(w))
    shown = pixels(picture.axes[0])
    np.testing.assert_allclose(np.sort(shown[~np.isnan(shown)]), np.sort(np.linalg.norm(w, axis=-1).ravel()))
    assert picture.axes[1].get_ylabel() == "norm of a place's 8 weights"


def test_feature_maps_are_the_channels_in_order(rng):
    maps = rng.random((6, 5, 3))
    picture = md.plot.feature_maps(md.Tensor(maps[None]))
    shown = pixels(picture.axes[0])
    assert texts(picture) == ["0", "1", "2"]
    for c, text in enumerate(picture.axes[0].texts):
        x = round(text.get_position()[0] + 0.5)
        y = int(np.ceil(text.get_position()[1] + 0.5))
        np.testing.assert_array_equal(shown[y : y + 6, x : x + 5], maps[..., c])


def test_only_so_many_are_drawn(rng):
    picture = md.plot.feature_maps(rng.random((4, 4, 100)), count=10)
    assert picture.axes[0].get_title() == "the first 10 of 100 feature maps of 4 x 4"
    assert len(picture.axes[0].texts) == 10
    assert "the first 2 of 9 kernels" in md.plot.kernels(rng.random((9, 3, 3, 1)), count=2).axes[0].get_title()


def test_grids_say_what_they_take():
    with pytest.raises(ValueError, match=r"kernels: the weight has shape \(3, 3\).*\(N, KH, KW, C\)"):
        md.plot.kernels(np.ones((3, 3)))
    with pytest.raises(ValueError, match=r"feature_maps: has shape \(2, 4, 4, 1\), and must be one image"):
        md.plot.feature_maps(np.ones((2, 4, 4, 1)))
    with pytest.raises(TypeError, match="kernels: must be numbers"):
        md.plot.kernels("conv1")
    with pytest.raises(ValueError, match="nothing to draw"):
        md.plot.kernels(np.ones((0, 3, 3, 1)))


# Decisions and adversaries

POINTS = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)


def test_the_regions_and_the_boundary_are_the_models():
    picture = md.plot.decision(lambda x: x[:, 0] + 2 * x[:, 1] - 1.53, POINTS, np.array([0, 1, 0, 1]), resolution=101)
    (axes,) = picture.axes
    x1, x2 = (np.linspace(-0.1, 1.1, 101) for _ in "12")
    np.testing.assert_array_equal(pixels(axes), x1 + 2 * x2[:, None] > 1.53)
    boundary = np.concatenate([path.vertices for path in axes.collections[0].get_paths()])
    np.testing.assert_allclose(boundary @ [1, 2], 1.53, atol=1e-6)
    assert axes.get_title() == "4 of 4 points on their own side"


def test_a_model_answers_in_evaluation_mode_and_keeps_its_own():
    model = nn.Sequential(nn.Linear(2, 8), nn.Dropout(0.5), nn.Linear(8, 3))
    picture = md.plot.decision(model, POINTS.tolist(), [0, 1, 2, 2], classes=["a", "b", "c"], resolution=20)
    assert model[1].training
    expected = model.eval()(POINTS).data.argmax(axis=1)
    assert picture.axes[0].get_title() == f"{(expected == [0, 1, 2, 2]).sum()} of 4 points on their own side"
    assert [t.get_text() for t in picture.legends[0].get_texts()] == ["a", "b", "c"]


def test_decision_says_what_it_takes():
    with pytest.raises(ValueError, match=r"points have shape \(4, 3\), and must have shape \(B, 2\)"):
        md.plot.decision(nn.Linear(3, 2), np.ones((4, 3)), np.zeros(4, int))
    with pytest.raises(ValueError, match=r"labels have shape \(3,\)"):
        md.plot.decision(nn.Linear(2, 2), POINTS, np.zeros(3, int))
    with pytest.raises(ValueError, match=r"the model gives shape \(2, 4\), and must give logits"):
        md.plot.decision(lambda x: x.data.T, POINTS, np.zeros(4, int))


def test_an_adversary_is_the_image_plus_what_is_shown(rng):
    model = md.models.fc5(image_size=6, channels=3, seed=0)
    image = rng.random((1, 6, 6, 3)).astype(np.float32)
    adversarial = md.robustness.fgsm(model, image, np.array([0]), 8 / 255).adversarial[0]
    left, middle, right = md.plot.adversary(model, image, adversarial, 8 / 255, classes="abcdefghij").axes
    shown = (pixels(middle) - 0.5) * 2 * 8 / 255
    np.testing.assert_allclose(pixels(left) + shown, pixels(right), atol=1e-6)
    for axes, x in ((left, image), (right, adversarial)):
        p = F.softmax(model(x)).data[0]
        assert axes.get_xlabel() == f"{'abcdefghij'[p.argmax()]}, {p.max():.1%}"


def test_an_adversary_that_does_not_fit_is_refused(rng):
    model, image = md.models.fc5(image_size=6, channels=1), np.full((6, 6, 1), 0.5)
    with pytest.raises(ValueError, match="a pixel moves by 12.8/255, more than epsilon, 8/255"):
        md.plot.adversary(model, image, image + 0.05, 8 / 255)
    with pytest.raises(ValueError, match=r"adversarial spans \[128, 128\], and must lie in \[0, 1\]: divide"):
        md.plot.adversary(model, image, np.full((6, 6, 1), 128))
    with pytest.raises(ValueError, match=r"image has shape \(6, 6, 1\) and adversarial \(5, 6, 1\)"):
        md.plot.adversary(model, image, image[1:])
    same = md.plot.adversary(model, image, image)
    assert (pixels(same.axes[1]) == 0.5).all()


# Weights and curves


def test_pruned_weights_are_counted_where_they_were(rng):
    model = nn.Sequential(nn.Linear(20, 20), nn.Linear(20, 20))
    before = copy.deepcopy(model)
    md.compress.MagnitudePruner(model, 0.75, start=0, every=1, count=1).step(1)
    picture = md.plot.weights(before, model, bins=40)
    pruned, kept, everything = (
        sum(part.get_height() for part in picture.axes[0].containers[0]),
        sum(part.get_height() for part in picture.axes[0].containers[1]),
        picture.legends[0].get_texts()[2].get_text(),
    )
    assert (pruned, kept, everything) == (600, 200, "before: all 800")
    assert picture.axes[0].get_title() == "800 weights, 75.0% pruned"
    with pytest.raises(ValueError, match="weights: 800 weights before and 3 after"):
        md.plot.weights(before, np.ones(3))
    with pytest.raises(ValueError, match="no kernels"):
        md.plot.weights(nn.ReLU(), nn.ReLU())


def test_a_curve_is_drawn_as_measured(rng):
    model = md.models.fc5(image_size=4, channels=1, seed=0)
    images, labels = rng.random((30, 4, 4, 1)), rng.integers(0, 10, 30)
    curve = md.robustness.accuracy_curve(model, images.astype(np.float32), labels, [0, 1 / 255, 4 / 255])
    picture = md.plot.accuracy({"one": curve, "two": curve})
    line = picture.axes[0].lines[0]
    np.testing.assert_allclose(line.get_xdata(), [0, 1, 2])  # the square root of grey levels
    np.testing.assert_allclose(line.get_ydata(), 100 * curve.accuracy)
    band = picture.axes[0].collections[0].get_paths()[0].vertices
    assert band[:, 1].max() == pytest.approx(100 * curve.accuracy_band[1].max())
    with pytest.raises(TypeError, match="robustness.accuracy_curve"):
        md.plot.accuracy(curve.accuracy)
    with pytest.raises(ValueError, match="accuracy: .*nothing to draw"):
        md.plot.accuracy({})


# The doctor's picture


def test_the_diagnosis_shows_the_paths_of_loss_and_margin():
    model = md.models.fc5(image_size=8, channels=1, seed=0).eval()
    images = np.random.default_rng(0).random((9, 8, 8, 1), dtype=np.float32)
    with md.no_grad():
        labels = model(md.Tensor(images)).data.argmax(axis=1)
    found = md.robustness.diagnose(model, images, labels, 0.05, steps=12, queries=5)
    picture = md.plot.diagnosis(found, images=4)
    for axes, paths in zip(picture.axes, (found.loss, found.margin), strict=True):
        lines = [line for line in axes.get_lines() if line.get_label().startswith("image")]
        assert len(lines) == 4
        for line in lines:
            np.testing.assert_array_equal(line.get_ydata(), paths[:, int(line.get_label().removeprefix("image "))])
    ends = [line.get_ydata()[-1] for line in lines]
    assert ends == sorted(ends, reverse=True)
    assert (ends[0], ends[-1]) == (found.margin[-1].max(), found.margin[-1].min())
    assert picture.get_suptitle().startswith(f"{found.accuracy:.1%} stand at 12.8/255. Raised: ")


def test_only_a_diagnosis_is_drawn():
    with pytest.raises(TypeError, match="robustness.diagnose returns, and got a float"):
        md.plot.diagnosis(0.5)
    model, images = nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), np.full((2, 2, 2, 1), 0.5, np.float32)
    found = md.robustness.diagnose(model, images, model(images).argmax(axis=1), 0.1, steps=12, queries=2)
    for bad in (0, 1.5, "2"):
        with pytest.raises((TypeError, ValueError), match="diagnosis: images is"):
            md.plot.diagnosis(found, bad)


# Spectra


def test_a_spectrum_is_drawn_layer_by_layer():
    spectra = {}
    for name, diagonal in (("a", [4.0, 2.0, 1.0]), ("b", [5.0, 5.0, 0.0])):
        model = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 2))
        model[0].weight.data[...] = np.diag(diagonal)
        spectra[name] = md.robustness.spectrum(model, (3,))
    picture = md.plot.spectrum(spectra)
    assert [axes.get_title() for axes in picture.axes] == ["0", "2"]
    a, rank_of_a, b, rank_of_b = picture.axes[0].lines
    np.testing.assert_allclose(a.get_ydata(), [1, 0.5, 0.25])
    np.testing.assert_allclose(b.get_ydata(), [1, 1, 0])
    assert rank_of_a.get_xdata()[0] == pytest.approx(100 * 49 / 21 / 3)
    assert rank_of_b.get_xdata()[0] == pytest.approx(100 * 2 / 3)
    assert [text.get_text() for text in picture.legends[0].get_texts()] == ["a", "b"]
    for wrong, error in (({}, ValueError), ("a", TypeError), ({"a": 1}, TypeError)):
        with pytest.raises(error, match="spectrum: "):
            md.plot.spectrum(wrong)


# Training, and who is taken for whom


def classifier(weights):
    """Logits that are linear in two pixels."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(2, len(weights[0]), bias=False))
    model[1].weight.data[...] = weights
    return model


PIXELS = np.array([[1, 0], [0, 1], [0.2, 0.9], [0.8, 0.1], [0.4, 0.6]], np.float32).reshape(5, 1, 2, 1)


def cells(picture):
    """The numbers in a confusion's cells: {(class, answer): count}."""
    return {(int(t.get_position()[1]), int(t.get_position()[0])): int(t.get_text()) for t in picture.axes[0].texts}


def test_a_confusion_counts_each_class_and_answer():
    picture = md.plot.confusion(classifier([[1, 0], [0, 1]]), PIXELS, np.array([0, 1, 0, 0, 1]), classes=("cat", "dog"))
    assert cells(picture) == {(0, 0): 2, (0, 1): 1, (1, 1): 2}
    axes = picture.axes[0]
    assert axes.get_title() == "5 images, 80.0% right"
    assert [t.get_text() for t in axes.get_yticklabels()] == ["cat", "dog"]
    np.testing.assert_allclose(axes.images[0].get_array(), [[2 / 3, 1 / 3], [0, 1]])


def test_a_confusion_of_an_attack_has_what_was_right_alone():
    """Which classes an attack turns into which: the image that was wrong before is in no cell."""
    model, labels = classifier([[1, 0], [0, 1]]), np.array([0, 1, 0, 0, 1])
    attack = md.robustness.fgsm(model, PIXELS, labels, [0.15])
    picture = md.plot.confusion(model, PIXELS, labels, attack.adversarial[0])
    assert cells(picture) == {(0, 0): 2, (1, 0): 1, (1, 1): 1}
    assert picture.axes[0].get_title() == "4 images, 75.0% stay right"
    grey = md.plot.confusion(model, (255 * PIXELS).astype(np.uint8), labels)
    assert cells(grey) == cells(md.plot.confusion(model, PIXELS, labels))


def test_a_confusion_that_cannot_be():
    model, labels = classifier([[1, 0], [0, 1]]), np.array([0, 1, 0, 0, 1])
    with pytest.raises(ValueError, match="3 names of classes, and the model knows 2"):
        md.plot.confusion(model, PIXELS, labels, classes="abc")
    with pytest.raises(ValueError, match="5 images and 2 adversarial"):
        md.plot.confusion(model, PIXELS, labels, PIXELS[:2])
    with pytest.raises(ValueError, match="none of the images right"):
        md.plot.confusion(model, PIXELS[:2], np.array([1, 0]), PIXELS[:2])
    with pytest.raises(ValueError, match="confusion: label 2 of image 0"):
        md.plot.confusion(model, PIXELS, labels + 2)


def test_many_classes_have_a_picture_too(rng):
    model = classifier(rng.standard_normal((2, 100)))
    picture = md.plot.confusion(model, PIXELS, np.arange(5))
    assert not cells(picture)
    assert len(picture.axes[0].get_xticks()) <= 40


def run(on_epoch=None):
    model, (images, labels) = md.models.fc5(image_size=8, channels=1, seed=0), md.data.digits("val")
    batches, optimizer = [(images, labels)], md.optim.SGD(model.parameters(), lr=0.1)
    return md.fit(model, batches, optimizer, 3, validation=batches, on_epoch=on_epoch, progress=False)


def test_a_training_is_drawn_as_it_was():
    curve = run()
    loss, accuracy = md.plot.training(curve).axes
    for axes, name, scale in ((loss, "loss", 1), (accuracy, "accuracy", 100)):
        for line, part in zip(axes.lines, ("", "val_"), strict=True):
            x, y = line.get_data()
            assert list(x) == [1, 2, 3]
            np.testing.assert_allclose(y, [scale * getattr(row, part + name) for row in curve])
    assert [text.get_text() for text in md.plot.training(curve).legends[0].get_texts()] == ["training", "validation"]


def test_a_training_is_drawn_while_it_runs(monkeypatch):
    """In a notebook the picture is displayed once, and then changes in its place."""
    shown = []

    class Handle:
        def update(self, picture):
            shown.append(("updated", len(picture.curve)))

    def display(picture, display_id):
        shown.append(("displayed", len(picture.curve)))
        return Handle()

    monkeypatch.setitem(sys.modules, "ipykernel", types.ModuleType("ipykernel"))
    monkeypatch.setitem(sys.modules, "IPython", types.ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", types.SimpleNamespace(display=display))
    live = md.plot.training()
    curve = run(live)
    assert shown == [("displayed", 1), ("updated", 2), ("updated", 3)]
    assert live.curve == curve
    np.testing.assert_array_equal(*(p.axes[0].lines[0].get_ydata() for p in (live, md.plot.training(curve))))


def test_only_epochs_are_drawn():
    with pytest.raises(TypeError, match="training: draws what fit returns, a list of Epoch, and got a float"):
        md.plot.training([0.5])
    with pytest.raises(TypeError, match="got a str"):
        md.plot.training()("epoch 1")


BAD_NUMBERS = {
    "kernels: count": lambda bad: md.plot.kernels(np.ones((4, 3, 3, 1)), bad),
    "feature_maps: count": lambda bad: md.plot.feature_maps(np.ones((4, 4, 3)), bad),
    "decision: resolution": lambda bad: md.plot.decision(nn.Linear(2, 2), POINTS, np.zeros(4, int), None, bad),
    "weights: bins": lambda bad: md.plot.weights(np.ones(4), np.ones(4), bad),
    "adversary: epsilon": lambda bad: md.plot.adversary(classifier([[1, 0], [0, 1]]), PIXELS[0], PIXELS[0], bad),
}


@pytest.mark.parametrize("name", BAD_NUMBERS)
@pytest.mark.parametrize("bad", [-1, 2.5, "3", True, np.nan])
def test_numbers_are_numbers_in_pictures_too(name, bad):
    with pytest.raises((TypeError, ValueError), match=f"^{name} is"):
        BAD_NUMBERS[name](bad)
