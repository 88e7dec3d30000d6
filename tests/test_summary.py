"""A model as a table: what it says is what the layers do."""

import numpy as np
import pytest

import minidl as md
from minidl import nn


def small():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8 * 8 * 8, 10)
    )


def test_each_layer_has_its_formula_and_shape():
    rows = md.summary(small(), (32, 32, 3)).layers
    assert [(row.name, row.formula, row.output) for row in rows] == [
        ("0", "floor((32 + 2*1 - 3)/2) + 1 = 16", (16, 16, 8)),
        ("1", "max(x, 0)", (16, 16, 8)),
        ("2", "floor((16 + 2*0 - 2)/2) + 1 = 8", (8, 8, 8)),
        ("3", "8 * 8 * 8 = 512", (512,)),
        ("4", "x W + b, W 512 x 10", (10,)),
    ]


@pytest.mark.parametrize("model", [md.models.resnet18, md.models.alexnet, md.models.fc5])
def test_totals_are_those_of_the_parts(model):
    model = model(seed=0)
    table, costs = md.summary(model, (64, 64, 3)), md.compress.cost(model, (64, 64, 3))
    assert sum(row.parameters for row in table.layers) == table.total.parameters
    assert table.total.parameters == sum(p.size for p in model.parameters())
    assert sum(row.multiply_adds or 0 for row in table.layers) == table.total.multiply_adds == costs.multiply_adds
    assert table.total.output == (10,)


def test_sparsity_is_that_of_each_layer():
    model = small()
    md.compress.MagnitudePruner(model, 0.5, start=0, every=1, count=1, exclude="0").step(1)
    zeros = [row.sparsity for row in md.summary(model, (32, 32, 3)).layers]
    assert zeros == [0, None, None, None, 0.5]
    assert md.summary(model, (32, 32, 3)).total.sparsity == md.compress.sparsity(model)


def test_layers_come_in_the_order_of_calls_and_once():
    class Model(nn.Module):
        def __init__(self):
            self.last, self.first = nn.Linear(4, 2), nn.Linear(4, 4)

        def forward(self, x):
            return self.last(self.first(self.first(x)))

    first, last = md.summary(Model(), (4,)).layers
    assert (first.name, last.name) == ("first", "last")
    assert first.formula == "x W + b, W 4 x 4; called 2 times"
    assert (first.multiply_adds, last.multiply_adds) == (32, 8)


def test_what_a_normalisation_does_besides_is_told():
    rows = {row.name: row.formula for row in md.summary(md.models.resnet18(), (64, 64, 3)).layers}
    assert rows["layer1.0.bn1"] == "max(gamma (x - mean) / sqrt(var + 1e-05) + beta, 0)"
    assert rows["layer1.0.bn2"] == "max(gamma (x - mean) / sqrt(var + 1e-05) + beta + residual, 0)"


def test_windows_that_are_not_square_have_both_formulas():
    layer = nn.Conv2d(3, 4, (3, 1), stride=(2, 1), padding=(1, 0))
    (row,) = md.summary(layer, (9, 8, 3)).layers
    assert row.formula == "floor((9 + 2*1 - 3)/2) + 1 = 5 by floor((8 + 2*0 - 1)/1) + 1 = 8"
    assert row.output == layer(np.zeros((1, 9, 8, 3), np.float32)).shape[1:]


def test_a_layer_of_ones_own_has_a_row():
    class Scale(nn.Module):
        def __init__(self):
            self.factor = md.Parameter(np.ones(3, np.float32))

        def forward(self, x):
            return x * self.factor

    table = md.summary(nn.Sequential(Scale(), nn.Flatten()), (2, 2, 3))
    assert [(row.kind, row.formula, row.parameters, row.sparsity) for row in table.layers] == [
        ("Scale", "", 3, None),
        ("Flatten", "2 * 2 * 3 = 12", 0, None),
    ]


def test_the_text_is_set_in_columns_and_the_page_has_every_cell():
    table = md.summary(small(), (32, 32, 3))
    lines = str(table).splitlines()
    assert len(set(map(len, [line for line in lines if "%" in line or "sparsity" in line or "---" in line]))) == 1
    page = table._repr_html_()
    assert page.count("<tr>") == len(table.layers) + 2
    for row in table.layers:
        for cell in row.cells():
            assert f">{cell}</td>" in page


def test_names_cannot_break_the_page():
    class A(nn.Module):
        def forward(self, x):
            return x

    A.__name__ = "<b>"
    assert "<b>" not in md.summary(A(), (3,))._repr_html_()


def test_the_model_is_left_as_it_was():
    model = md.models.resnet18()
    before = {name: value.copy() for name, value in model.state_dict().items()}
    md.summary(model, (64, 64, 3))
    assert model.bn1.training
    assert all((value == before[name]).all() for name, value in model.state_dict().items())
    assert "forward" not in vars(model.conv1)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((64, 64), r"summary: input_shape is \(64, 64\).*such as \(64, 64, 3\) for colour images"),
        ((3, 64, 64), "channels"),
        ((64, 0, 3), r"summary: input_shape\[1\] is 0, and must be at least 1"),
    ],
)
def test_wrong_shapes_are_refused(shape, message):
    with pytest.raises(ValueError, match=message):
        md.summary(md.models.resnet18(), shape)
    with pytest.raises(TypeError, match=r"minidl\.nn\.Module"):
        md.summary(md.models.resnet18, shape)


def test_a_perceptron_takes_its_number_of_features():
    model = nn.Sequential(nn.Linear(12, 5), nn.Linear(5, 2))
    assert str(md.summary(model, (12,))) == str(md.summary(model, 12))
    assert md.compress.cost(model, 12).multiply_adds == 70


def test_the_cost_counts_weights_and_biases_once_and_no_noise():
    noisy = md.compress.variational(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)))
    assert md.compress.cost(noisy, (8, 8, 1)).parameters == 650
    tied = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8))
    tied[2].weight = tied[0].weight
    assert md.compress.cost(tied, (8,)).parameters == sum(p.size for p in tied.parameters()) == 80
