"""Pictures of awkward things: labels of any letters, one point, dark paper, unsorted input."""

import dataclasses
import io

import matplotlib.style
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.patches import FancyBboxPatch, Polygon
from matplotlib.text import Text

import minidl as md
from minidl import nn
from minidl.plot.labels import folded, percent
from minidl.robustness import Certificate, TwoSided

LABELS = {
    "underscore": "_a",
    "dollar": "$",
    "mathematics": r"$\nosuch{$ 5% & #1 ^_ {",
    "long": "wide " * 60,
    "one word": "x" * 300,
    "wide letters": "W" * 300,
    "accents": "é à ü Ø ş",
    "Chinese": "对抗样本",
    "lines": "two\nlines",
    "empty": "",
    "number": 90,
}
EPSILONS = [8 / 255, 0, 4 / 255]


def curve_of(epsilons=EPSILONS, count=6, **settings):
    model = md.models.fc5(image_size=8, channels=1, seed=0)
    images, labels = md.data.digits("val")
    return md.robustness.accuracy_curve(model, images[:count], labels[:count], epsilons, **settings)


@pytest.fixture(scope="module")
def curve():
    return curve_of()


def accuracy(label, curve):
    return md.plot.accuracy({label: curve, "other": curve})


def both_sides(curve):
    nothing, none = np.zeros_like(curve.right), np.zeros(len(curve.epsilons))
    certificate = Certificate(curve.epsilons, nothing, none, np.stack([none, none]), "inf", 0.95)
    return TwoSided(certificate, curve)


def band(label, curve):
    return md.plot.band({label: both_sides(curve), "other": both_sides(curve)})


def adversary(label, curve):
    model = md.models.fc5(num_classes=2, image_size=8, channels=1, seed=0)
    return md.plot.adversary(model, np.full((8, 8, 1), 0.5), np.full((8, 8, 1), 0.6), classes=[label, label])


def decision(label, curve):
    points = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
    return md.plot.decision(lambda x: x[:, 0] + x[:, 1] - 1.5, points, np.array([0, 0, 0, 1]), [label, "other"], 20)


def confusion(label, curve):
    images = np.random.default_rng(0).random((20, 8, 8, 1), np.float32)
    model = md.models.fc5(num_classes=2, image_size=8, channels=1, seed=0)
    return md.plot.confusion(model, images, np.arange(20) % 2, classes=[label, "other"])


def epoch(number, accuracy, **others):
    return md.train.Epoch(number, 1 - accuracy, accuracy, 0.1, **{"sparsity": 0.0, "images_per_second": 1.0} | others)


def graph(label, curve):
    x = md.Tensor([[1.0, 2.0]], requires_grad=True)
    return md.plot.graph((x * x).sum(), **{str(label): x})


def drawn(picture):
    """Draw it, warnings being errors, and give all texts that are to be seen."""
    picture.savefig(io.BytesIO(), format="png")
    return [text for text in picture.findobj(Text) if text.get_text() and text.get_visible()]


@pytest.mark.parametrize("kind", LABELS)
@pytest.mark.parametrize(
    "draw", [accuracy, band, adversary, decision, graph, confusion], ids=lambda draw: draw.__name__
)
def test_a_label_is_drawn_as_it_is_and_within_the_picture(draw, kind, curve):
    label = LABELS[kind]
    picture = draw(label, curve)
    texts = drawn(picture)
    begin = "".join(str(label).split())[:20]
    mine = [text for text in texts if begin and begin in "".join(text.get_text().split())]
    assert mine or not begin, [text.get_text() for text in texts]
    paper = picture.bbox
    for text in mine:
        assert text.get_parse_math() is False or "$" not in text.get_text()
        box = text.get_window_extent()
        assert paper.x0 - 1 <= box.x0, text
        assert box.x1 <= paper.x1 + 1, text
        assert paper.y0 - 1 <= box.y0, text
        assert box.y1 <= paper.y1 + 1, text
    for axes in picture.axes:  # and leaves room for what it is a label of
        assert axes.get_position().width * picture.get_figwidth() > 1
        assert axes.get_position().height * picture.get_figheight() > 1


def test_a_legend_names_every_curve(curve):
    names = ["_a", "__b", "_", "$x$", "", "c"]
    (legend,) = md.plot.accuracy(dict.fromkeys(names, curve)).legends
    assert [text.get_text() for text in legend.get_texts()] == names
    markers = [handle.get_marker() for handle in legend.legend_handles]
    assert len(set(markers)) == len(names)


# Paper of any colour


def kernels(label, curve):
    return md.plot.kernels(np.linspace(-1, 1, 4 * 9).reshape(4, 3, 3, 1))


def colour_kernels(label, curve):
    return md.plot.kernels(np.linspace(-1, 1, 4 * 27).reshape(4, 3, 3, 3))


def feature_maps(label, curve):
    return md.plot.feature_maps(np.linspace(-1, 1, 4 * 9).reshape(3, 3, 4))


def weights(label, curve):
    w = np.linspace(-1, 1, 100)
    return md.plot.weights(w, np.where(abs(w) > 0.5, w, 0))


def long_graph(label, curve):
    x = md.Tensor([[1.0, 0.5]], requires_grad=True)
    y = x
    for _ in range(8):
        y = y * y
    return md.plot.graph(y.sum(), x=x)


def training(label, curve):
    return md.plot.training([epoch(k, 0.5 + 0.1 * k, sparsity=0.1 * k) for k in range(3)])


ALL = [accuracy, band, adversary, decision, graph, long_graph, kernels, colour_kernels, feature_maps, weights]
ALL += [confusion, training]


def luminance(colour):
    return float(np.dot(to_rgb(colour), (0.299, 0.587, 0.114)))


@pytest.mark.parametrize("style", ["default", "dark_background", "Solarize_Light2", "grayscale"])
@pytest.mark.parametrize("draw", ALL, ids=lambda draw: draw.__name__)
def test_everything_can_be_read_on_paper_of_any_colour(draw, style, curve):
    with matplotlib.style.context(style):
        picture = draw("one", curve)
        texts = drawn(picture)
        file = io.BytesIO()
        picture.savefig(file, format="rgba", dpi=20)
    corner = np.frombuffer(file.getvalue()[:4], np.uint8) / 255
    assert np.allclose(corner[:3], to_rgb(picture.get_facecolor()), atol=0.01)
    for text in texts:
        middle = text.get_window_extent().get_points().mean(0)
        boxes = [p for p in text.axes.patches if isinstance(p, FancyBboxPatch)] if "graph" in draw.__name__ else []
        patches = [p for p in boxes if p.contains_point(middle)]
        below = patches[0].get_facecolor() if patches else picture.get_facecolor()
        assert abs(luminance(text.get_color()) - luminance(below)) > 0.3, (text, text.get_color(), below)
    for axes in picture.axes:
        for line in axes.lines:
            assert np.abs(np.subtract(to_rgb(line.get_color()), to_rgb(axes.get_facecolor()))).max() > 0.3
        for patch in [p for p in axes.patches if draw is weights and isinstance(p, Polygon)]:
            assert np.abs(np.subtract(to_rgb(patch.get_edgecolor()), to_rgb(axes.get_facecolor()))).max() > 0.3


# Few, and in any order


def test_a_curve_goes_from_left_to_right(curve):
    axes = md.plot.accuracy(curve).axes[0]
    (line,) = axes.lines
    x, y = line.get_data()
    assert (np.diff(x) > 0).all()
    ordered = md.plot.accuracy(curve_of(sorted(EPSILONS))).axes[0]
    np.testing.assert_array_equal(y, ordered.lines[0].get_ydata())
    one, other = (a.collections[0].get_paths()[0].vertices for a in (axes, ordered))
    np.testing.assert_array_equal(one, other)
    for line in md.plot.band(both_sides(curve)).axes[0].lines:
        assert (np.diff(line.get_xdata()) > 0).all()


@pytest.mark.parametrize(("confidence", "text"), [(0.95, "95%"), (0.999, "99.9%"), (0.9999, "99.99%"), (0.5, "50%")])
def test_a_confidence_is_what_it_is(curve, confidence, text):
    title = md.plot.accuracy(dataclasses.replace(curve, confidence=confidence)).axes[0].get_title()
    assert title == f"6 images, {text} confidence"


def test_a_share_is_never_all_unless_it_is():
    shares = (0, 1e-9, 0.0004, 0.5, 0.9994, 0.99999, 1)
    expected = ["0.0%", "under 0.1%", "under 0.1%", "50.0%", "99.9%", "over 99.9%", "100.0%"]
    assert [percent(share) for share in shares] == expected
    w = np.ones(100_000)
    assert md.plot.weights(w, np.where(np.arange(100_000) > 0, 0, w)).axes[0].get_title().endswith("over 99.9% pruned")


ONE = {
    "one epsilon": lambda: md.plot.accuracy(curve_of([0])),
    "one image": lambda: md.plot.accuracy(curve_of(count=1)),
    "one point": lambda: md.plot.decision(lambda x: x[:, 0], np.zeros((1, 2), np.float32), np.array([0]), None, 9),
    "points in one place": lambda: md.plot.decision(
        lambda x: x[:, 0], np.ones((3, 2), np.float32), np.array([1, 1, 1]), None, 9
    ),
    "one epoch": lambda: md.plot.training([epoch(0, 0.5)]),
    "no image of a class": lambda: md.plot.confusion(
        nn.Sequential(nn.Flatten(), nn.Linear(1, 3)), np.zeros((1, 1, 1, 1), np.float32), np.array([1])
    ),
    "one weight": lambda: md.plot.weights(np.ones(1), np.zeros(1)),
    "zeros": lambda: md.plot.weights(np.zeros(3), np.zeros(3)),
    "one kernel": lambda: md.plot.kernels(np.ones((1, 1, 1, 1))),
    "one feature": lambda: md.plot.feature_maps(np.zeros((1, 1, 1))),
    "one pixel": lambda: md.plot.adversary(
        nn.Sequential(nn.Flatten(), nn.Linear(1, 2)), np.zeros((1, 1, 1)), np.zeros((1, 1, 1))
    ),
    "one operation": lambda: md.plot.graph(md.Tensor([1.0], requires_grad=True).sum()),
}


@pytest.mark.parametrize("name", ONE)
def test_one_of_everything(name):
    assert drawn(ONE[name]())


@pytest.mark.parametrize("draw", [md.plot.accuracy, lambda curve: md.plot.band(both_sides(curve))])
def test_one_epsilon_shows_how_far_to_trust_it(draw):
    axes = draw(curve_of([0])).axes[0]
    heights = [
        np.ptp(segment[:, 1]) for c in axes.collections if hasattr(c, "get_segments") for segment in c.get_segments()
    ]
    assert max(heights) > 5  # per cent, of six images


def test_there_is_a_name_for_each_class():
    points = np.zeros((1, 2), np.float32)
    with pytest.raises(ValueError, match="1 names of classes, and the model knows 2"):
        md.plot.decision(lambda x: x[:, 0], points, np.array([0]), ["only"])


def test_a_text_is_folded_and_cut():
    assert folded("a b\nc", 1, 8, 1) == "a b c"
    assert folded("abc def ghi", 0.3, 8, 3) == "abc\ndef\nghi"
    assert folded("x" * 10, 4.5 * 0.6 * 8 / 72, 8, 2) == "xxxx\nxxx…"
    assert folded("", 1, 8, 2) == ""
    assert folded("对抗样本", 2.2 * 8 / 72, 8, 2) == "对抗\n样本"
