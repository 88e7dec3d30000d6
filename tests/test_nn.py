"""Modules: what belongs to them, their two modes, surgery, and weights in and out of files."""

import copy
import json
import os
import pickle
import struct

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import minidl as md
from minidl import Parameter, Tensor, nn
from minidl import functional as F


class Block(nn.Module):
    """A bit of everything, nested."""

    def __init__(self, seed=0):
        rng = np.random.default_rng(seed)
        self.conv = nn.Conv2d(3, 4, (3, 2), rng=rng)
        self.norm = nn.BatchNorm2d(4)
        self.head = nn.Sequential(nn.ReLU(), nn.Flatten(), nn.Linear(4 * 2 * 3, 5, bias=False, rng=rng))
        self.scale = Parameter(np.float32([2.0]))

    def forward(self, x):
        return self.head(self.norm(self.conv(x))) * self.scale


IMAGES = np.random.default_rng(0).uniform(size=(2, 4, 4, 3)).astype(np.float32)
NAMES = {
    "conv.weight": (4, 3, 3, 2),  # PyTorch's (N, C, KH, KW)
    "conv.bias": (4,),
    "norm.weight": (4,),
    "norm.bias": (4,),
    "norm.running_mean": (4,),
    "norm.running_var": (4,),
    "norm.num_batches_tracked": (),
    "head.2.weight": (5, 24),  # PyTorch's (out, in)
    "scale": (1,),
}


def shapes(state):
    return {name: array.shape for name, array in state.items()}


def assert_same_state(a, b):
    assert list(a) == list(b)
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


# What belongs to a module


def test_names_in_order_of_assignment():
    model = Block()
    modules = ["", "conv", "norm", "head", "head.0", "head.1", "head.2"]
    assert [name for name, _ in model.named_modules()] == modules
    assert len(list(model.modules())) == len(modules)
    # a module's own parameters come before those of the modules within, as in PyTorch
    parameters = ["scale", "conv.weight", "conv.bias", "norm.weight", "norm.bias", "head.2.weight"]
    assert [name for name, _ in model.named_parameters()] == parameters
    assert [p.shape for p in model.parameters()] == [(1,), (4, 3, 2, 3), (4,), (4,), (4,), (24, 5)]


def test_parameters_have_gradients_and_the_rest_has_none():
    model = Block()
    model(IMAGES).sum().backward()
    assert all(p.grad.shape == p.shape and p.grad.dtype == np.float32 for p in model.parameters())


def test_a_module_says_what_it_computes():
    class Silent(nn.Module):
        pass

    with pytest.raises(TypeError, match="Silent has no forward"):
        Silent()(1)


def test_sequential():
    layers = [nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)]
    model = nn.Sequential(*layers)
    assert list(model) == layers
    assert (len(model), model[1], model[-1]) == (3, layers[1], layers[2])
    named = nn.Sequential(layers[0], act=layers[1], last=layers[2])
    assert [name for name, _ in named.named_parameters()] == ["0.weight", "0.bias", "last.weight", "last.bias"]
    x = np.ones((1, 3), np.float32)
    expected = np.maximum(x @ layers[0].weight.data + layers[0].bias.data, 0) @ layers[2].weight.data
    np.testing.assert_allclose(model(x).data, expected + layers[2].bias.data, rtol=1e-6)
    np.testing.assert_array_equal(named(x).data, model(x).data)


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda: nn.Sequential(nn.Linear(2, 2), F.relu), "layer 1 is a function"),
        (lambda: nn.Sequential([nn.Linear(2, 2)]), "layer 0 is a list"),
        (lambda: nn.Sequential(nn.Linear(2, 2), act=nn.ReLU), "layer act is a type"),
        (lambda: nn.Sequential(None), "layer 0 is a NoneType"),
    ],
)
def test_sequential_takes_modules_only(make, kind):
    with pytest.raises(TypeError, match=rf"Sequential: {kind}, and must be a Module \(nn\.ReLU\(\) for F\.relu\)"):
        make()


def test_slices_of_sequential():
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), last=nn.Linear(4, 2))
    part = model[1:]
    assert isinstance(part, nn.Sequential)
    assert list(part) == [model[1], model[2]]
    assert [name for name, _ in part.named_modules()] == ["", "1", "last"]
    x = np.ones((1, 4), np.float32)
    np.testing.assert_array_equal(part(x).data, model[2](np.maximum(x, 0)).data)
    assert len(model[3:]) == 0


def test_children():
    model = Block()
    assert list(model.children()) == [model.conv, model.norm, model.head]
    relu = nn.ReLU()
    twice = nn.Sequential(relu, nn.Linear(2, 2), relu)
    assert list(twice.children()) == [relu, twice[1]]
    assert len(twice) == 3


def test_zero_grad():
    model = Block()
    model(IMAGES).sum().backward()
    model.zero_grad()
    assert all(p.grad is None for p in model.parameters())


def test_what_a_module_shows():
    model = Block().eval()
    model.drop = nn.Dropout(0.25)
    assert repr(model) == (
        "Block(scale: (1,)\n"
        "  (conv): Conv2d(stride=(1, 1), padding=(0, 0), weight: (4, 3, 2, 3), bias: (4,))\n"
        "  (norm): BatchNorm2d(eps=1e-05, momentum=0.1, weight: (4,), bias: (4,))\n"
        "  (head): Sequential(\n"
        "    (0): ReLU()\n"
        "    (1): Flatten(channels_first=False)\n"
        "    (2): Linear(weight: (24, 5))\n"
        "  )\n"
        "  (drop): Dropout(p=0.25)\n"
        ")"
    )
    assert repr(nn.Normalize([0.5, 0.25], 1)) == "Normalize(mean=[0.5, 0.25], std=[1.0])"


def test_layers_are_of_their_own_kind_only():
    assert not isinstance(nn.AvgPool2d(2), nn.MaxPool2d)
    assert nn.BatchNorm2d(num_features=3).weight.shape == (3,)


# The layers call their operations


def test_layers_are_their_operations(rng):
    x = Tensor(rng.uniform(-1, 1, (2, 6, 6, 4)).astype(np.float32))
    for layer, expected in (
        (nn.ReLU(), F.relu(x)),
        (nn.LeakyReLU(0.2), F.leaky_relu(x, 0.2)),
        (nn.GELU(), F.gelu(x)),
        (nn.Softmax(2), F.softmax(x, 2)),
        (nn.Identity(), x),
        (nn.GroupNorm(2, 4), F.group_norm(x, np.ones(4, np.float32), np.zeros(4, np.float32), 2)),
        (nn.LayerNorm(4), F.layer_norm(x, np.ones(4, np.float32), np.zeros(4, np.float32))),
        (nn.Sigmoid(), F.sigmoid(x)),
        (nn.Tanh(), F.tanh(x)),
        (nn.MaxPool2d(3, 2, 1), F.max_pool2d(x, 3, 2, 1)),
        (nn.MaxPool2d((2, 3)), F.max_pool2d(x, (2, 3))),
        (nn.AvgPool2d(3, 2, 1), F.avg_pool2d(x, 3, 2, 1)),
        (nn.AdaptiveAvgPool2d((2, 3)), F.adaptive_avg_pool2d(x, (2, 3))),
        (nn.Flatten(), F.flatten(x)),
        (nn.Flatten(channels_first=True), F.flatten(x, channels_first=True)),
        (nn.LocalResponseNorm(3, 0.1, 0.5, 2.0), F.local_response_norm(x, 3, 0.1, 0.5, 2.0)),
        (nn.Normalize(0.5, 0.25), F.normalize(x, 0.5, 0.25)),
        (nn.Normalize([0, 1, 2, 3], (1, 2, 3, 4)), F.normalize(x, [0, 1, 2, 3], [1, 2, 3, 4])),
    ):
        result = layer(x)
        assert result.dtype == np.float32
        np.testing.assert_array_equal(result.data, expected.data)
    conv, linear = nn.Conv2d(4, 5, (2, 3), stride=(2, 1), padding=(0, 1)), nn.Linear(4, 3)
    np.testing.assert_array_equal(conv(x).data, F.conv2d(x, conv.weight, conv.bias, (2, 1), (0, 1)).data)
    np.testing.assert_array_equal(linear(x).data, F.linear(x, linear.weight, linear.bias).data)
    assert nn.Conv2d(4, 5, 3, bias=False).bias is nn.Linear(4, 5, bias=False).bias is None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Normalize(0.5, 0), "Normalize: std is 0, and must be above 0"),
        (lambda: nn.Normalize([0, 0], [1, -1]), "Normalize: std is"),
        (lambda: nn.Dropout(1.5), "Dropout: p is 1.5"),
        (lambda: nn.LeakyReLU(-0.1), "LeakyReLU: negative_slope is -0.1"),
        (lambda: nn.GroupNorm(3, 4), "GroupNorm: num_groups is 3, and must divide num_channels, 4"),
        (lambda: nn.LayerNorm(0), "LayerNorm: num_channels is 0"),
        (lambda: nn.Softmax(0), "Softmax: temperature is 0"),
        (lambda: nn.Conv2d(3, 4, 0), "Conv2d: kernel_size is 0"),
        (lambda: nn.Conv2d(3, 4, 3, stride=0), "Conv2d: stride is 0"),
        (lambda: nn.Conv2d(3, 4, 3, padding=-1), "Conv2d: padding is -1"),
    ],
)
def test_bad_settings(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_initial_weights_keep_the_scale():
    rng = np.random.default_rng(0)
    for layer, fan_in in ((nn.Linear(400, 300, rng=rng), 400), (nn.Conv2d(16, 300, (5, 5), rng=rng), 400)):
        for array in (layer.weight.data, layer.bias.data):
            assert array.dtype == np.float32
            assert np.abs(array).max() <= 1 / np.sqrt(fan_in)
            assert array.std() == pytest.approx(1 / np.sqrt(3 * fan_in), rel=0.1)
    he = nn.init.he_normal(rng, (100, 100), 50)
    assert (he.dtype, he.std()) == (np.float32, pytest.approx(0.2, rel=0.05))


# Two modes


def test_train_and_eval_reach_every_module():
    model = Block()
    assert all(m.training for m in model.modules())
    assert model.eval() is model
    assert not any(m.training for m in model.modules())
    assert model.train() is model
    assert all(m.training for m in model.modules())
    assert nn.ReLU().training  # the mode of one model is not that of all


def test_batch_norm_follows_the_mode():
    model = Block()
    before = copy.deepcopy(model.state_dict())
    model.eval()
    first, again = model(IMAGES), model(IMAGES[:1])
    np.testing.assert_allclose(first.data[:1], again.data, rtol=1e-5)  # one image does not depend on the others
    assert_same_state(model.state_dict(), before)
    model.train()(IMAGES)
    after = model.state_dict()
    x = F.conv2d(IMAGES, model.conv.weight, model.conv.bias).data
    np.testing.assert_allclose(after["norm.running_mean"], 0.1 * x.mean(axis=(0, 1, 2)), rtol=1e-4, atol=1e-6)
    unbiased = x.var(axis=(0, 1, 2), ddof=1)
    np.testing.assert_allclose(after["norm.running_var"], 0.9 + 0.1 * unbiased, rtol=1e-4)
    assert after["norm.num_batches_tracked"] == 1


def test_dropout_follows_the_mode():
    layer, x = nn.Dropout(0.5, np.random.default_rng(0)), np.ones((4, 50), np.float32)
    assert set(np.unique(layer(x).data)) == {0, 2}
    np.testing.assert_array_equal(layer.eval()(x).data, x)


# Surgery and copies


def test_replace_modules():
    model = Block()
    seen = {}

    def change(name, module):
        seen[name] = module
        return nn.Tanh() if isinstance(module, nn.ReLU) else module

    conv = model.conv
    model.replace_modules(change)
    assert list(seen) == ["conv", "norm", "head", "head.0", "head.1", "head.2"]
    assert isinstance(model.head[0], nn.Tanh)
    assert model.conv is conv
    assert [name for name, _ in model.named_modules()] == ["", "conv", "norm", "head", "head.0", "head.1", "head.2"]


def test_replacing_keeps_the_order():
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))
    wider = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 3))
    model.replace_modules(lambda name, module: wider if name == "0" else module)
    assert [type(m) for m in model] == [nn.Sequential, nn.ReLU, nn.Linear]
    assert model(np.ones((1, 2), np.float32)).shape == (1, 2)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_are_whole_and_apart(duplicate):
    model = Block()
    model.conv.weight.mask = np.random.default_rng(0).random(model.conv.weight.shape) < 0.5
    model(IMAGES).sum().backward()
    twin = duplicate(model)
    assert_same_state(twin.state_dict(), model.state_dict())
    np.testing.assert_array_equal(twin.conv.weight.mask, model.conv.weight.mask)
    np.testing.assert_array_equal(twin.eval()(IMAGES).data, model.eval()(IMAGES).data)
    before = model.state_dict()
    for p in twin.parameters():
        p.data += 1
    twin.norm.running_mean += 1
    assert_same_state(model.state_dict(), before)


def test_to_the_same_device_changes_nothing():
    model = Block()
    model.conv.weight.mask = np.ones(model.conv.weight.shape, bool)
    before, mask = model.state_dict(), model.conv.weight.mask
    assert model.to("cpu") is model
    assert_same_state(model.state_dict(), before)
    assert model.conv.weight.mask is mask


@pytest.mark.gpu
def test_to_the_gpu_and_back():
    model = Block().eval()
    model.conv.weight.mask = np.random.default_rng(0).random(model.conv.weight.shape) < 0.5
    before, expected = model.state_dict(), model(IMAGES).data
    model.to("gpu")
    assert {p.device for p in model.parameters()} == {"gpu"}
    assert_same_state(model.state_dict(), before)
    np.testing.assert_allclose(model(Tensor(IMAGES).to("gpu")).numpy(), expected, rtol=1e-4, atol=1e-5)
    model.load_state_dict(before)
    assert_same_state(model.to("cpu").state_dict(), before)
    assert isinstance(model.conv.weight.mask, np.ndarray)


# State


def test_state_has_pytorchs_names_and_shapes():
    model = Block()
    state = model.state_dict()
    assert shapes(state) == NAMES
    np.testing.assert_array_equal(state["conv.weight"], model.conv.weight.data.transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(state["head.2.weight"], model.head[2].weight.data.T)
    assert all(array.flags.c_contiguous for array in state.values())


def test_state_is_a_copy():
    model = Block()
    for array in model.state_dict().values():
        array += 7
    assert_same_state(model.state_dict(), Block().state_dict())


def test_state_goes_from_one_model_to_another():
    model, other = Block(seed=0), Block(seed=1)
    arrays = [p.data for p in other.parameters()]
    assert not np.array_equal(model.eval()(IMAGES).data, other.eval()(IMAGES).data)
    other.load_state_dict(model.state_dict())
    np.testing.assert_array_equal(model(IMAGES).data, other(IMAGES).data)
    assert all(
        p.data is a for p, a in zip(other.parameters(), arrays, strict=True)
    )  # an optimiser's hold on them stays


def test_loaded_arrays_are_copied_in_the_models_precision():
    model, state = Block(), {name: a.astype(np.float64) for name, a in Block(seed=1).state_dict().items()}
    model.load_state_dict(state)
    assert {a.dtype for a in model.state_dict().values()} == {np.dtype(np.float32), np.dtype(np.int64)}
    before = model.state_dict()
    for array in state.values():
        array += 7
    assert_same_state(model.state_dict(), before)


def test_pruned_weights_stay_pruned():
    model = Block()
    model.conv.weight.mask = np.arange(model.conv.weight.size).reshape(model.conv.weight.shape) % 2 == 0
    model.load_state_dict(Block(seed=1).state_dict())
    assert not model.conv.weight.data[~model.conv.weight.mask].any()
    assert model.conv.weight.data[model.conv.weight.mask].all()


def test_a_state_from_before_batches_were_counted():
    model, state = Block(), Block(seed=1).state_dict()
    del state["norm.num_batches_tracked"]
    model.norm.num_batches_tracked += 3
    model.load_state_dict(state)
    assert_same_state(model.state_dict(), {**Block(seed=1).state_dict(), "norm.num_batches_tracked": np.array(3)})


@pytest.mark.parametrize("strict", [True, False])
def test_values_that_are_no_numbers(strict):
    model, state = Block(), Block(seed=1).state_dict()
    before = model.state_dict()
    state["scale"], state["norm.bias"] = np.array(["2.0"]), np.ones(4, complex)
    state["norm.weight"], state["conv.bias"] = np.array([None] * 4), [[1.0], [2.0, 3.0]]
    with pytest.raises(ValueError, match="nothing was loaded") as caught:
        model.load_state_dict(state, strict)
    lines = sorted(str(caught.value).split("\n  ")[1:])
    assert lines[0].startswith("no array: conv.bias (")
    assert lines[1:] == [
        "wrong type: norm.bias is complex128, and the model needs float32",
        "wrong type: norm.weight is object, and the model needs float32",
        "wrong type: scale is <U3, and the model needs float32",
    ]
    assert_same_state(model.state_dict(), before)


@pytest.mark.parametrize("kind", [np.int64, np.int8, bool])
def test_whole_weights_are_refused(kind):
    """Of weights that were cast to whole numbers nothing is left; what is whole in the model may stay so."""
    model, state = Block(), Block(seed=1).state_dict()
    before, state["conv.weight"] = model.state_dict(), state["conv.weight"].astype(kind)
    with pytest.raises(ValueError, match=rf"wrong type: conv.weight is {np.dtype(kind)}, and the model needs float32"):
        model.load_state_dict(state)
    assert_same_state(model.state_dict(), before)


def broken_state():
    """Three kinds of trouble, two of each."""
    state = Block(seed=1).state_dict()
    del state["conv.bias"], state["norm.running_var"]
    state["head.2.weight"] = state["head.2.weight"].T
    state["scale"] = np.ones((1, 1))
    state["head.3.bias"], state["extra"] = np.ones(5), np.ones((2, 2))
    return state


MISSING = ["missing: conv.bias (4,)", "missing: norm.running_var (4,)"]
MISSHAPEN = [
    "wrong shape: head.2.weight is (24, 5), and the model needs (5, 24)",
    "wrong shape: scale is (1, 1), and the model needs (1,)",
]
UNKNOWN = ["unknown: head.3.bias (5,)", "unknown: extra (2, 2)"]


def test_everything_that_does_not_fit_is_listed_and_nothing_loaded(tmp_path):
    model = Block()
    before = model.state_dict()
    save_file({k: np.ascontiguousarray(v) if v.ndim else v for k, v in broken_state().items()}, tmp_path / "broken")
    for load in (lambda: model.load_state_dict(broken_state()), lambda: md.load(model, tmp_path / "broken")):
        with pytest.raises(ValueError, match="Block: the state does not fit, and nothing was loaded") as caught:
            load()
        assert sorted(str(caught.value).split("\n  ")[1:]) == sorted(MISSING + MISSHAPEN + UNKNOWN)
        assert_same_state(model.state_dict(), before)


def test_not_strict():
    model, state = Block(), broken_state()
    before = model.state_dict()
    with pytest.raises(ValueError, match="nothing was loaded") as caught:
        model.load_state_dict(state, strict=False)
    assert sorted(str(caught.value).split("\n  ")[1:]) == sorted(MISSHAPEN)
    assert_same_state(model.state_dict(), before)
    del state["head.2.weight"], state["scale"]
    model.load_state_dict(state, strict=False)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, state.get(name, before[name]), err_msg=name)


# Files


def test_a_file_is_what_safetensors_reads(tmp_path):
    model = Block()
    md.save(model, tmp_path / "w.safetensors")
    found = load_file(tmp_path / "w.safetensors")
    assert shapes(found) == NAMES
    assert_same_state({name: found[name] for name in NAMES}, {name: model.state_dict()[name] for name in NAMES})
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]


@pytest.mark.parametrize("kind", [str, lambda path: path])
def test_round_trip(tmp_path, kind):
    model, other = Block(seed=0), Block(seed=1)
    model(IMAGES)  # moves the running statistics
    md.save(model, kind(tmp_path / "w"))
    md.load(other, kind(tmp_path / "w"))
    assert_same_state(other.state_dict(), model.state_dict())


def test_round_trip_of_arrays_that_are_not_contiguous(tmp_path):
    model, other = Block(seed=0), Block(seed=1)
    for m in (model, other):
        for p in m.parameters():
            p.data = np.repeat(np.asfortranarray(p.data), 2, axis=0)[::2]
        m.norm.running_mean = np.arange(8, dtype=np.float32)[::-2]
    assert not model.conv.weight.data.flags.c_contiguous
    md.save(model, tmp_path / "w")
    np.testing.assert_array_equal(load_file(tmp_path / "w")["norm.running_mean"], [7, 5, 3, 1])
    md.load(other, tmp_path / "w")
    assert_same_state(other.state_dict(), model.state_dict())
    md.load(contiguous := Block(seed=2), tmp_path / "w")
    assert_same_state(contiguous.state_dict(), model.state_dict())


def test_a_file_from_pytorch(tmp_path):
    torch, st = pytest.importorskip("torch"), pytest.importorskip("safetensors.torch")
    theirs = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, (3, 2), padding=1),
        torch.nn.BatchNorm2d(4),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(4 * 4 * 5, 6),
    )
    theirs(torch.rand(8, 3, 4, 4))
    st.save_file(theirs.state_dict(), tmp_path / "w")
    ours = nn.Sequential(
        nn.Conv2d(3, 4, (3, 2), padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Flatten(channels_first=True),
        nn.Linear(80, 6),
    )
    md.load(ours, tmp_path / "w")
    expected = theirs.eval()(torch.tensor(IMAGES.transpose(0, 3, 1, 2))).detach().numpy()
    np.testing.assert_allclose(ours.eval()(IMAGES).data, expected, rtol=1e-4, atol=1e-5)
    md.save(ours, tmp_path / "back")
    assert theirs.load_state_dict(st.load_file(tmp_path / "back")).missing_keys == []


def test_a_file_appears_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "w"
    md.save(Block(seed=0), path)
    before = path.read_bytes()

    def full(descriptor):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for target in (path, tmp_path / "new"):
        with pytest.raises(OSError, match="no space left"):
            md.save(Block(seed=1), target)
    assert [p.name for p in tmp_path.iterdir()] == ["w"]
    assert path.read_bytes() == before


def test_a_file_is_replaced_and_not_written_over(tmp_path):
    """Whoever reads the old one while the new one is saved reads the old one to its end."""
    md.save(Block(seed=0), tmp_path / "w")
    (tmp_path / "old").hardlink_to(tmp_path / "w")
    before = (tmp_path / "old").read_bytes()
    md.save(Block(seed=1), tmp_path / "w")
    assert (tmp_path / "old").read_bytes() == before != (tmp_path / "w").read_bytes()


@pytest.mark.parametrize(
    "damage", [lambda b: b[:-1], lambda b: b[:50], lambda b: b"", lambda b: b"PK" + b, lambda b: b + b"x"]
)
def test_a_damaged_file(tmp_path, damage):
    model, path = Block(), tmp_path / "w"
    md.save(Block(seed=1), path)
    path.write_bytes(damage(path.read_bytes()))
    before = model.state_dict()
    with pytest.raises(ValueError, match=f"load: {path} is damaged, or no safetensors file"):
        md.load(model, path)
    assert_same_state(model.state_dict(), before)


def test_no_file(tmp_path):
    for path in (tmp_path / "nothing", tmp_path):
        with pytest.raises(FileNotFoundError, match=f"load: there is no weights file {path}"):
            md.load(Block(), path)


@pytest.mark.parametrize(("kind", "size"), [("BF16", 2), ("F8_E4M3", 1)])
def test_numbers_that_numpy_has_not(tmp_path, kind, size):
    path, model = tmp_path / "w", Block()
    header = json.dumps({"scale": {"dtype": kind, "shape": [1], "data_offsets": [0, size]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(size))
    with pytest.raises(ValueError, match=rf"load: NumPy has no such numbers as {path} holds.*\n  scale is {kind}$"):
        md.load(model, path, strict=False)
