"""The report's three networks: torchvision's names and shapes, and PyTorch's values and gradients."""

import itertools

import numpy as np
import pytest
from safetensors.numpy import load_file

import minidl as md
from minidl import Tensor, models, nn
from minidl import functional as F


@pytest.fixture(scope="module")
def alexnet():
    """One for all tests that do not change it: it has 57 million weights."""
    return models.alexnet()


# Names and shapes, by torchvision's rules


def batch_norm_shapes(name, channels):
    vectors = {f"{name}.{part}": (channels,) for part in ("weight", "bias", "running_mean", "running_var")}
    return vectors | {f"{name}.num_batches_tracked": ()}


def resnet18_shapes(classes=10, channels=3):
    shapes = {"conv1.weight": (64, channels, 7, 7)} | batch_norm_shapes("bn1", 64)
    before = 64
    for stage, width in enumerate((64, 128, 256, 512), start=1):
        for block in (0, 1):
            name = f"layer{stage}.{block}"
            shapes |= {f"{name}.conv1.weight": (width, before, 3, 3)} | batch_norm_shapes(f"{name}.bn1", width)
            shapes |= {f"{name}.conv2.weight": (width, width, 3, 3)} | batch_norm_shapes(f"{name}.bn2", width)
            if before != width:
                shapes |= {f"{name}.downsample.0.weight": (width, before, 1, 1)}
                shapes |= batch_norm_shapes(f"{name}.downsample.1", width)
            before = width
    return shapes | {"fc.weight": (classes, 512), "fc.bias": (classes,)}


def alexnet_shapes(classes=10, channels=3):
    shapes, before = {}, channels
    for place, (width, kernel) in {0: (64, 11), 3: (192, 5), 6: (384, 3), 8: (256, 3), 10: (256, 3)}.items():
        shapes |= {f"features.{place}.weight": (width, before, kernel, kernel), f"features.{place}.bias": (width,)}
        before = width
    before = 256 * 6 * 6
    for place, width in {1: 4096, 4: 4096, 6: classes}.items():
        shapes |= {f"classifier.{place}.weight": (width, before), f"classifier.{place}.bias": (width,)}
        before = width
    return shapes


def shapes(model):
    return {name: array.shape for name, array in model.state_dict().items()}


def test_names_and_shapes_are_torchvisions(alexnet):
    for model, expected in (
        (models.resnet18(), resnet18_shapes()),
        (models.resnet18(num_classes=7, channels=1), resnet18_shapes(7, 1)),
        (alexnet, alexnet_shapes()),
        (models.alexnet(num_classes=7, channels=1), alexnet_shapes(7, 1)),
    ):
        assert shapes(model) == expected
        assert list(shapes(model)) == list(expected)  # the order too


def test_the_files_of_resnet18(tmp_path):
    model, other = models.resnet18(seed=0), models.resnet18(seed=1)
    model(np.random.default_rng(0).uniform(size=(2, 32, 32, 3)).astype(np.float32))
    md.save(model, tmp_path / "w")
    assert {name: a.shape for name, a in load_file(tmp_path / "w").items()} == resnet18_shapes()
    md.load(other, tmp_path / "w")
    for (name, a), b in zip(model.state_dict().items(), other.state_dict().values(), strict=True):
        np.testing.assert_array_equal(a, b, err_msg=name)


def test_a_file_for_another_model_is_refused(tmp_path, alexnet):
    md.save(models.resnet18(num_classes=10), tmp_path / "w")
    with pytest.raises(ValueError, match="nothing was loaded") as caught:
        md.load(models.resnet18(num_classes=7), tmp_path / "w")
    assert str(caught.value).split("\n  ")[1:] == [
        "wrong shape: fc.weight is (10, 512), and the model needs (7, 512)",
        "wrong shape: fc.bias is (10,), and the model needs (7,)",
    ]
    with pytest.raises(ValueError, match="AlexNet: the state does not fit") as caught:
        md.load(alexnet, tmp_path / "w")
    assert str(caught.value).count("missing: ") == len(alexnet_shapes())
    assert str(caught.value).count("unknown: ") == len(resnet18_shapes())


# FC5


@pytest.mark.parametrize(
    ("settings", "inputs", "classes"),
    [
        ({}, 64 * 64 * 3, 10),
        ({"image_size": 8, "channels": 1}, 64, 10),
        ({"num_classes": 3, "image_size": (5, 7)}, 5 * 7 * 3, 3),
    ],
)
def test_fc5(settings, inputs, classes):
    model = models.fc5(**settings)
    sizes = [inputs, 1344, 672, 588, 294, classes]
    weights = [p.shape for p in model.parameters() if p.ndim == 2]
    assert weights == list(itertools.pairwise(sizes))
    assert [p.shape for p in model.parameters() if p.ndim == 1] == [(n,) for n in sizes[1:]]


def test_fc5_by_hand(rng):
    """Equation (1), layer by layer."""
    model = double(models.fc5(image_size=(4, 5), channels=1))
    x = rng.uniform(size=(3, 4, 5, 1))
    z = ((x - 0.5) / 0.25).reshape(3, 20)
    layers = [m for m in model.modules() if isinstance(m, nn.Linear)]
    for layer in layers[:-1]:
        z = np.maximum(z @ layer.weight.data + layer.bias.data, 0)
    np.testing.assert_allclose(model(x).data, z @ layers[-1].weight.data + layers[-1].bias.data, rtol=1e-12)


def test_fc5_wants_its_own_image_size():
    with pytest.raises(ValueError, match=r"linear: x has shape \(2, 108\) and weight \(192, 1344\)"):
        models.fc5(image_size=8)(np.zeros((2, 6, 6, 3), np.float32))


# What all have in common

SMALL = {"fc5": lambda **s: models.fc5(image_size=32, **s), "resnet18": models.resnet18}


@pytest.mark.parametrize("name", SMALL)
def test_classes_and_channels(name):
    model = SMALL[name](num_classes=4, channels=1).eval()
    images = np.random.default_rng(0).uniform(size=(2, 32, 32, 1)).astype(np.float32)
    logits = model(images)
    assert (logits.shape, logits.dtype) == ((2, 4), np.float32)
    np.testing.assert_allclose(model(images[:1]).data, logits.data[:1], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", SMALL)
def test_the_seed_gives_the_same_weights(name):
    same = SMALL[name](seed=1)
    md.manual_seed(5)  # the default streams have no part in it
    again, other = SMALL[name](seed=1), SMALL[name](seed=2)
    for p, q, r in zip(same.parameters(), again.parameters(), other.parameters(), strict=True):
        np.testing.assert_array_equal(p.data, q.data)
        assert p.dtype == np.float32
        assert p.ndim == 1 or not np.array_equal(p.data, r.data)


@pytest.mark.parametrize("name", SMALL)
def test_without_a_seed_the_default_streams_draw_the_weights(name):
    drawn = []
    for seed in (1, 1, 2):
        md.manual_seed(seed)
        drawn.append(SMALL[name]())
    for p, q, r in zip(*(model.parameters() for model in drawn), strict=True):
        np.testing.assert_array_equal(p.data, q.data)
        assert p.ndim == 1 or not np.array_equal(p.data, r.data)
    assert not np.array_equal(next(SMALL[name]().parameters()).data, next(drawn[2].parameters()).data)


def test_images_in_the_unit_interval_are_normalised_within(alexnet):
    for model in (models.fc5(), models.resnet18(), alexnet):
        first = next(iter(vars(model).values()))
        assert isinstance(first, nn.Normalize)
        np.testing.assert_array_equal(first.mean, [0.485, 0.456, 0.406])
        np.testing.assert_array_equal(first.std, [0.229, 0.224, 0.225])
        with pytest.raises(ValueError, match="Normalize was made for 3 channels, and the images have 1"):
            model(np.zeros((1, 64, 64, 1), np.float32))


@pytest.mark.parametrize("size", [(62, 80), (80, 62), (11, 11)])
def test_alexnet_needs_63_pixels(size, alexnet):
    with pytest.raises(ValueError, match=rf"AlexNet needs images of 63 x 63 pixels.*\(1, {size[0]}, {size[1]}, 3\)"):
        alexnet(np.zeros((1, *size, 3), np.float32))


def test_alexnet_drops_only_while_training(alexnet):
    images = np.random.default_rng(0).uniform(size=(1, 63, 63, 3)).astype(np.float32)
    with md.no_grad():
        assert not np.array_equal(alexnet.train()(images).data, alexnet(images).data)
        np.testing.assert_array_equal(alexnet.eval()(images).data, alexnet(images).data)


def test_resnet_evaluates_each_image_alone():
    model = models.resnet18()
    images = np.random.default_rng(0).uniform(size=(3, 33, 35, 3)).astype(np.float32)
    model(images)
    state = model.state_dict()
    with md.no_grad():
        logits = model.eval()(images).data
        np.testing.assert_allclose(model(images[1:2]).data, logits[1:2], rtol=1e-3, atol=1e-5)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, state[name])
    assert state["layer3.0.downsample.1.num_batches_tracked"] == 1


# Against PyTorch, in float64 with the same weights


def double(model):
    """The model in float64."""
    for p in model.parameters():
        p.data = p.data.astype(np.float64)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean = module.running_mean.astype(np.float64)
            module.running_var = module.running_var.astype(np.float64)
    return model


def torch_normalize(x):
    return (x - x.new_tensor([0.485, 0.456, 0.406]).view(3, 1, 1)) / x.new_tensor([0.229, 0.224, 0.225]).view(3, 1, 1)


def torch_resnet18(w, x, training):
    """torchvision's ResNet18 as a function of its state."""
    TF = pytest.importorskip("torch").nn.functional

    def conv(x, name, stride=1, padding=0):
        return TF.conv2d(x, w[f"{name}.weight"], stride=stride, padding=padding)

    def norm(x, name):
        statistics = w[f"{name}.running_mean"], w[f"{name}.running_var"]
        return TF.batch_norm(x, *statistics, w[f"{name}.weight"], w[f"{name}.bias"], training=training)

    x = TF.max_pool2d(TF.relu(norm(conv(torch_normalize(x), "conv1", 2, 3), "bn1")), 3, 2, 1)
    for stage in (1, 2, 3, 4):
        for block in (0, 1):
            name, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            shortcut = x if stride == 1 else norm(conv(x, f"{name}.downsample.0", stride), f"{name}.downsample.1")
            x = TF.relu(norm(conv(x, f"{name}.conv1", stride, 1), f"{name}.bn1"))
            x = TF.relu(norm(conv(x, f"{name}.conv2", 1, 1), f"{name}.bn2") + shortcut)
    return TF.linear(x.mean(dim=(2, 3)), w["fc.weight"], w["fc.bias"])


def torch_alexnet(w, x, training):
    """torchvision's AlexNet, without its dropout, as a function of its state."""
    TF = pytest.importorskip("torch").nn.functional
    x = torch_normalize(x)
    for place, stride, padding in ((0, 4, 2), (3, 1, 2), (6, 1, 1), (8, 1, 1), (10, 1, 1)):
        name = f"features.{place}"
        x = TF.relu(TF.conv2d(x, w[f"{name}.weight"], w[f"{name}.bias"], stride, padding))
        if place in (0, 3, 10):
            x = TF.max_pool2d(x, 3, 2)
    x = TF.adaptive_avg_pool2d(x, 6).flatten(1)
    for place in (1, 4, 6):
        x = TF.linear(x, w[f"classifier.{place}.weight"], w[f"classifier.{place}.bias"])
        x = TF.relu(x) if place < 6 else x
    return x


def to_our_layout(array):
    return array.permute(0, 2, 3, 1) if array.ndim == 4 else array.t()


def assert_same_as_torch(model, theirs, shape, training, without=(), T=2.0):
    """Logits, loss and gradients, all but those of the parameters named in ``without`` (AlexNet's largest)."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    images, labels = Tensor(rng.uniform(size=shape), requires_grad=True), rng.integers(0, 10, len(shape) and shape[0])
    weights = {name: torch.from_numpy(array) for name, array in model.state_dict().items()}
    parameters = {name: p for name, p in model.named_parameters() if name not in without}
    for name in parameters:
        weights[name].requires_grad_()

    model.train(training)
    logits = model(images)
    loss = F.cross_entropy(logits, labels, temperature=T)
    loss.backward(inputs=[images, *parameters.values()])

    x = torch.tensor(images.data.transpose(0, 3, 1, 2), requires_grad=True)
    torch_logits = theirs(weights, x, training)
    torch_loss = torch.nn.functional.cross_entropy(torch_logits / T, torch.from_numpy(labels))
    torch_loss.backward()

    def assert_close(ours, theirs, name):
        theirs = theirs.detach().numpy()
        np.testing.assert_allclose(ours, theirs, rtol=1e-7, atol=1e-9 * np.abs(theirs).max(), err_msg=name)

    assert logits.dtype == np.float64
    assert_close(logits.data, torch_logits, "logits")
    assert_close(loss.data, torch_loss, "loss")
    assert_close(images.grad.transpose(0, 3, 1, 2), x.grad, "images")
    for name, p in parameters.items():
        assert_close(p.grad, to_our_layout(weights[name].grad), name)
    for name, array in model.state_dict().items():
        if "running" in name:
            assert_close(array, weights[name], name)


@pytest.mark.parametrize(("size", "training"), [((47, 33), True), ((32, 70), False)], ids=["training", "evaluation"])
def test_resnet18_is_pytorchs(size, training):
    model = double(models.resnet18())
    for module in model.modules():  # as after some training, so that evaluation has something to go by
        if isinstance(module, nn.BatchNorm2d):
            rng = np.random.default_rng(len(module.bias.data))
            module.weight.data[...], module.bias.data[...] = rng.uniform(0.5, 1, (2, module.bias.size))
            module.running_mean[...], module.running_var[...] = rng.uniform(0.5, 2, (2, module.bias.size))
    assert_same_as_torch(model, torch_resnet18, (2, *size, 3), training)


def test_alexnet_is_pytorchs():
    large = ("classifier.1.weight", "classifier.4.weight")  # a gigabyte of gradients between them, and nothing new
    model = double(models.alexnet(dropout=0.0))
    assert_same_as_torch(model, torch_alexnet, (2, 63, 97, 3), training=True, without=large)
