"""Equal settings are one thing, whatever their type: the same result to the bit, or the same clear refusal.

A row of the table is an argument of a public function, and what it is: a number, a whole one, an array ... Each is
given in every way in which one may come to have it: as Python's number, each of NumPy's, an array without axes, of the
other byte order, read-only, in Fortran's order, a view; and as what is no such number. A function that is added to the
public surface needs its rows, or its place among those that are left out.
"""

import dataclasses
import functools
import inspect
import re
import sys
import warnings

import numpy as np
import pytest

import minidl as md
from minidl import compress, nn, optim, robustness
from minidl import functional as F
from minidl.checkpoint import Checkpoints
from minidl.objectives import Adversarial, CrossEntropy, Distillation, Penalized
from minidl.train import Guard
from tests.test_public_surface import SURFACE, parameters

INTEGERS = [np.dtype(c).type for c in "bBhHiIlL"]
FLOATS = [np.float16, np.float32, np.float64, np.longdouble]
SWAPPED = ">" if sys.byteorder == "little" else "<"
RNG = np.random.default_rng(0)
IMAGES, LABELS = RNG.random((4, 8, 8, 3), np.float32), np.array([0, 1, 2, 1])
LOGITS = RNG.standard_normal((4, 20)).astype(np.float32)
TRUE, OTHER = np.repeat([True, True, False], [14, 5, 22]), np.repeat([True, False, False], [14, 5, 22])


# The ways of writing one thing. Each gives pairs: equal ones, and ones that must be refused, as TypeError or ValueError


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


def layouts(array):
    """The same numbers, lying otherwise in memory."""
    wide = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)
    wide[..., ::2] = array
    swapped = array.astype(array.dtype.newbyteorder(SWAPPED))
    return [read_only(array), np.asfortranarray(array), wide[..., ::2], np.flip(np.flip(array).copy()), swapped]


def number(value):
    kinds = [float, np.array, lambda v: read_only(np.array(v)), lambda v: np.array(v, SWAPPED + "f8")]
    kinds += FLOATS + ([int, *INTEGERS] if value == int(value) else [])
    return [kind(value) for kind in kinds], [
        True,
        np.True_,
        np.array(True),
        "0.5",
        1j,
        [0.5],
        np.nan,
        np.timedelta64(1, "s"),
    ]


def whole(value):
    kinds = [int, *INTEGERS, np.array, lambda v: read_only(np.array(v)), lambda v: np.array(v, SWAPPED + "i8")]
    bad = [
        float(value),
        np.float32(value),
        np.array(float(value)),
        True,
        np.True_,
        np.array(True),
        "1",
        np.nan,
        [1],
        1j,
    ]
    return [kind(value) for kind in kinds], [*bad, np.timedelta64(1, "s")]


def pair(value):
    same, bad = whole(value)
    same += [(value, value), [value, value], np.array([value, value]), (np.int8(value), np.array(value))]
    return same, [*[b for b in bad if b != [1]], [1], (value, float(value)), (value, True), (value,) * 3, "12"]


def shape(value):
    """The sizes of an input."""
    arrays = [np.array(value, kind) for kind in INTEGERS]
    bad = [(float(value[0]), *value[1:]), (True, *value[1:]), np.array(value, float), ("1", *value[1:])]
    return [list(value), *arrays, *layouts(np.array(value))], bad


def sequence(value):
    """Real numbers, one or more."""
    arrays = [np.array(value, kind) for kind in FLOATS]
    bad = [
        np.array(value, bool),
        [True] * len(value),
        ["0.5"] * len(value),
        np.array(value, complex),
        [np.nan],
        [value],
    ]
    return [list(value), tuple(value), *arrays, *layouts(np.array(value, float))], [*bad, []]


def reals(value):
    """An array of real numbers, of the precision of everything else."""
    bad = [value.astype(kind) for kind in (np.int64, np.uint8, bool, complex, object)]
    return layouts(value), bad


def pixels(value):
    """Images that may also be grey levels, and so of one kind of whole numbers."""
    return layouts(value), [value.astype(kind) for kind in (np.int64, bool, complex, object)]


def anything(value):
    return layouts(value), []


def labels(value):
    arrays = [value.astype(kind) for kind in INTEGERS]
    bad = [value == 1, value.astype(float), value.astype(str), value[:, None], value[:-1], value - 1, list("abcd")]
    return [value.tolist(), *arrays, *layouts(value)], [*bad, value.astype(np.uint64) + np.uint64(2**63), [0.0] * 4]


def named(value):
    """Labels, of which texts are names."""
    same, bad = labels(value)
    return same, [b for b in bad if np.asarray(b).dtype.kind != "U"]


def probabilities(value):
    arrays = [value.astype(kind) for kind in FLOATS]
    bad = [value.astype(int), value > 0, value.astype(complex), 2 * value, -value, value[:-1], value * np.nan]
    return [value.tolist(), *arrays, *layouts(value)], [*bad, value.astype(str)]


def counts(value):
    return [value.tolist(), *[value.astype(k) for k in INTEGERS], *layouts(value)], [value / 1, value == 1, -value, "1"]


def truths(value):
    same = [value.tolist(), *layouts(value)]
    return same, [
        value.astype(int),
        value / 1,
        value.astype(np.int8),
        value[:-1],
        value[None],
        value.tolist()[:1],
        "yes",
    ]


# What the functions work on


def model():
    layers = nn.Sequential(nn.Normalize(0.5, 0.25), nn.Conv2d(3, 4, 3, rng=np.random.default_rng(1)), nn.ReLU())
    return nn.Sequential(body=layers, pool=nn.MaxPool2d(2), flat=nn.Flatten(), fc=nn.Linear(36, 3, rng=rng()))


def rng():
    return np.random.default_rng(2)


def trained(optimizer=None, objective=None, images=IMAGES, labels=LABELS, epochs=2, **settings):
    network = model()
    optimizer = (optimizer or (lambda p: optim.SGD(p, 0.125)))(list(network.parameters()))
    curve = md.fit(network, [(images, labels)], optimizer, epochs, objective=objective, progress=False, **settings)
    return network, [dataclasses.replace(row, images_per_second=0.0) for row in curve]


def layer(kind, inputs=None, **settings):
    """The layer itself, with the weights of one seed, and what it gives."""
    if kind in (nn.Linear, nn.VariationalLinear, nn.Conv2d, nn.LowRankConv2d):
        settings["rng"] = rng()
    made = kind(**settings)
    return made, repr(made), (made(IMAGES) if inputs is None else made(inputs))


def gradients(f, *arrays):
    """The value of an operation, and the gradients by all arrays."""
    leaves = [md.Tensor(a, requires_grad=True) if a.dtype.kind == "f" else a for a in arrays]
    y = f(*leaves)
    (y * y).sum().backward()
    return y, [leaf.grad for leaf in leaves]


def loaded(**settings):
    defaults = {"images": IMAGES, "labels": LABELS, "batch_size": 2, "prefetch": 0}
    return list(md.data.Loader(**defaults | settings))


def attacked(f, **settings):
    return f(model(), **{"images": IMAGES, "labels": LABELS} | settings)


def rated(schedule, step=3, **settings):
    return [schedule(**settings)(t) for t in (0, step, 30)]


def optimised(kind, data=LOGITS, **settings):
    parameter = md.Parameter(data.copy() if data is LOGITS else data)
    optimizer = kind([parameter], **settings)
    for _ in range(2):
        optimizer.zero_grad()
        (parameter * parameter).sum().backward()
        optimizer.step()
    return parameter, {name: value for name, value in vars(optimizer).items() if isinstance(value, int | float | tuple)}


def pruned(**settings):
    network = model()
    pruner = compress.MagnitudePruner(network, **{"final_sparsity": 0.5, "start": 1, "every": 1, "count": 2} | settings)
    for t in range(6):
        pruner.step(t)
    return network, pruner.sparsity, repr(vars(pruner)["final_sparsity"])


WEIGHT, BIAS, ROWS, ONES = (
    RNG.random((4, 3, 3, 3), np.float32),
    np.ones(4, np.float32),
    IMAGES[0, 0],
    np.ones(3, np.float32),
)
KERNEL, MATRIX = {"kernel_size": 2, "stride": 2, "padding": 1}, RNG.random((3, 4), np.float32)
TABLE = []  # (function, argument, what it is, a right value, call)


def rows(name, call, kinds, **values):
    """A row for each of the values: call(argument=value) is tried with all that equals the value."""
    for argument, value in values.items():
        TABLE.append((name, argument, kinds, value, lambda v, a=argument: call(**values | {a: v})))


def operation(name, f, *arrays, **settings):
    """Rows of an operation: for each of its arrays, alone and with its gradient."""
    names = parameters(SURFACE[f"minidl.functional.{name}"])
    for i, array in enumerate(arrays):
        call = lambda v, i=i: gradients(lambda *a: f(*a, **settings), *arrays[:i], v, *arrays[i + 1 :])  # noqa: E731
        TABLE.append((f"minidl.functional.{name}", names[i], anything if f is F.flatten else reals, array, call))


operation("relu", F.relu, LOGITS)
operation("leaky_relu", F.leaky_relu, LOGITS)
operation("gelu", F.gelu, LOGITS)
operation("clip", lambda x: F.clip(x, -0.5, 0.5), LOGITS)
operation("group_norm", lambda x, g, b: F.group_norm(x, g, b, 3), IMAGES, ONES, ONES)
operation("layer_norm", F.layer_norm, IMAGES, ONES, ONES)
operation("sigmoid", F.sigmoid, LOGITS)
operation("tanh", F.tanh, LOGITS)
operation("dropout", lambda x: F.dropout(x, rng=rng()), LOGITS)
operation("gaussian", lambda m, v: F.gaussian(m, v, rng()), LOGITS, LOGITS**2)
operation("log_alpha", F.log_alpha, LOGITS, LOGITS)
operation("variational_kl", F.variational_kl, LOGITS)
operation("flatten", F.flatten, IMAGES)
operation("linear", F.linear, ROWS, MATRIX, BIAS)
operation("conv2d", F.conv2d, IMAGES, WEIGHT, BIAS)
operation("max_pool2d", F.max_pool2d, IMAGES, kernel_size=2)
operation("avg_pool2d", F.avg_pool2d, IMAGES, kernel_size=2)
operation("adaptive_avg_pool2d", F.adaptive_avg_pool2d, IMAGES, output_size=3)
operation("normalize", lambda x: F.normalize(x, 0.5, 0.25), IMAGES)
operation("local_response_norm", F.local_response_norm, IMAGES)
operation("softmax", F.softmax, LOGITS)
operation("log_softmax", F.log_softmax, LOGITS)
operation("cross_entropy", lambda x: F.cross_entropy(x, LABELS), LOGITS)
operation("margin_loss", lambda x: F.margin_loss(x, LABELS), LOGITS)
operation("batch_norm", F.batch_norm, IMAGES, ONES, ONES)
rows(
    "minidl.functional.batch_norm",
    lambda **s: gradients(lambda x: F.batch_norm(x, ONES, ONES, **s), IMAGES),
    reals,
    mean=ONES,
    var=ONES,
)
rows(
    "minidl.functional.batch_norm",
    lambda **s: gradients(lambda x: F.batch_norm(x, ONES, ONES, **s), IMAGES),
    reals,
    residual=IMAGES,
)
rows(
    "minidl.functional.batch_norm",
    lambda **s: gradients(lambda x: F.batch_norm(x, ONES, ONES, **s), IMAGES),
    number,
    eps=0.5,
)
rows("minidl.functional.dropout", lambda **s: gradients(lambda x: F.dropout(x, rng=rng(), **s), LOGITS), number, p=0.5)
for f in (F.softmax, F.log_softmax):
    rows(
        f"minidl.functional.{f.__name__}",
        lambda f=f, **s: gradients(lambda x: f(x, **s), LOGITS),
        number,
        temperature=2,
    )
for f in (F.cross_entropy, F.margin_loss):
    rows(
        f"minidl.functional.{f.__name__}",
        lambda f=f, **s: gradients(lambda x: f(x, **s), LOGITS),
        labels,
        labels=LABELS,
    )
rows(
    "minidl.functional.cross_entropy",
    lambda **s: gradients(lambda x: F.cross_entropy(x, **s), LOGITS),
    probabilities,
    labels=np.eye(20)[::-5] * 0.5 + np.eye(20)[::5] * 0.5,
)
rows(
    "minidl.functional.cross_entropy",
    lambda **s: gradients(lambda x: F.cross_entropy(x, LABELS, **s), LOGITS),
    number,
    temperature=2,
)
rows(
    "minidl.functional.normalize",
    lambda **s: gradients(lambda x: F.normalize(x, **s), IMAGES),
    sequence,
    mean=[0, 0.5, 1],
    std=[1, 0.5, 2],
)
rows(
    "minidl.functional.local_response_norm",
    lambda **s: gradients(lambda x: F.local_response_norm(x, **s), IMAGES),
    whole,
    size=2,
)
rows(
    "minidl.functional.local_response_norm",
    lambda **s: gradients(lambda x: F.local_response_norm(x, **s), IMAGES),
    number,
    alpha=1,
    beta=0.5,
    k=2,
)
rows(
    "minidl.functional.conv2d",
    lambda **s: gradients(lambda x: F.conv2d(x, WEIGHT, **s), IMAGES),
    pair,
    stride=2,
    padding=1,
)
rows(
    "minidl.functional.adaptive_avg_pool2d",
    lambda **s: gradients(lambda x: F.adaptive_avg_pool2d(x, **s), IMAGES),
    pair,
    output_size=3,
)
for f, kind in ((F.max_pool2d, nn.MaxPool2d), (F.avg_pool2d, nn.AvgPool2d)):
    rows(f"minidl.functional.{f.__name__}", lambda f=f, **s: gradients(lambda x: f(x, **s), IMAGES), pair, **KERNEL)
    rows(f"minidl.nn.{kind.__name__}", lambda kind=kind, **s: layer(kind, **s), pair, **KERNEL)
rows("minidl.nn.AdaptiveAvgPool2d", lambda **s: layer(nn.AdaptiveAvgPool2d, **s), pair, output_size=3)
rows("minidl.nn.BatchNorm2d", lambda **s: layer(nn.BatchNorm2d, **s), whole, num_features=3)
rows("minidl.nn.BatchNorm2d", lambda **s: layer(nn.BatchNorm2d, num_features=3, **s), number, eps=0.5, momentum=0.25)
rows("minidl.nn.Dropout", lambda **s: nn.Dropout(**s, rng=rng())(LOGITS), number, p=0.5)
BORDER = ((0, 0), (1, 0), (0, 2), (0, 0))
rows(
    "minidl.functional.leaky_relu",
    lambda **s: gradients(lambda x: F.leaky_relu(x, **s), LOGITS),
    number,
    negative_slope=0.5,
)
rows("minidl.functional.clip", lambda **s: gradients(lambda x: F.clip(x, **s), LOGITS), number, low=0, high=0.5)
rows("minidl.functional.pad", lambda **s: gradients(lambda x: F.pad(x, BORDER, **s), IMAGES), number, value=0.5)
rows("minidl.functional.group_norm", lambda **s: F.group_norm(IMAGES, ONES, ONES, **s), whole, groups=3)
rows("minidl.functional.group_norm", lambda **s: F.group_norm(IMAGES, ONES, ONES, 1, **s), number, eps=0.5)
rows("minidl.functional.layer_norm", lambda **s: F.layer_norm(IMAGES, ONES, ONES, **s), number, eps=0.5)
rows("minidl.functional.concatenate", lambda **s: F.concatenate([IMAGES, IMAGES], **s), whole, axis=2)
rows("minidl.functional.stack", lambda **s: F.stack([IMAGES, IMAGES], **s), whole, axis=2)
rows("minidl.nn.LeakyReLU", lambda **s: layer(nn.LeakyReLU, LOGITS, **s), number, negative_slope=0.5)
rows("minidl.nn.Softmax", lambda **s: layer(nn.Softmax, LOGITS, **s), number, temperature=2)
rows("minidl.nn.GroupNorm", lambda **s: layer(nn.GroupNorm, **s), whole, num_groups=3, num_channels=3)
rows("minidl.nn.GroupNorm", lambda **s: layer(nn.GroupNorm, num_groups=3, num_channels=3, **s), number, eps=0.5)
rows("minidl.nn.LayerNorm", lambda **s: layer(nn.LayerNorm, **s), whole, num_channels=3)
rows("minidl.nn.LayerNorm", lambda **s: layer(nn.LayerNorm, num_channels=3, **s), number, eps=0.5)
rows("minidl.nn.Linear", lambda **s: layer(nn.Linear, **s), whole, in_features=3, out_features=2)
CHANNELS = {"in_channels": 3, "out_channels": 4}
rows("minidl.nn.Conv2d", lambda **s: layer(nn.Conv2d, kernel_size=3, **s), whole, **CHANNELS)
rows("minidl.nn.Conv2d", lambda **s: layer(nn.Conv2d, **CHANNELS, **s), pair, **KERNEL)
rows("minidl.nn.LowRankConv2d", lambda **s: layer(nn.LowRankConv2d, kernel_size=3, **s), whole, **CHANNELS, rank=2)
rows("minidl.nn.LowRankConv2d", lambda **s: layer(nn.LowRankConv2d, **CHANNELS, rank=2, **s), pair, **KERNEL)
rows("minidl.nn.Normalize", lambda **s: layer(nn.Normalize, **s), sequence, mean=[0, 0.5, 1], std=[1, 0.5, 2])
rows("minidl.nn.LocalResponseNorm", lambda **s: layer(nn.LocalResponseNorm, **s), whole, size=2)
rows("minidl.nn.LocalResponseNorm", lambda **s: layer(nn.LocalResponseNorm, **s), number, alpha=1, beta=0.5, k=2)
rows("minidl.nn.init.uniform_fan_in", lambda **s: nn.init.uniform_fan_in(rng(), (2, 3), **s), whole, fan_in=3)
rows("minidl.nn.init.he_normal", lambda **s: nn.init.he_normal(rng(), (2, 3), **s), whole, fan=3)

rows("minidl.optim.SGD", lambda **s: optimised(optim.SGD, **s), number, lr=0.125, momentum=0.5, weight_decay=0.25)
rows("minidl.optim.Adam", lambda **s: optimised(optim.Adam, **s), number, lr=0.125, eps=0.5, weight_decay=0.25)
rows("minidl.optim.AdamW", lambda **s: optimised(optim.AdamW, **s), number, lr=0.125, weight_decay=0.25)
rows("minidl.optim.Adam", lambda **s: optimised(optim.Adam, **s), sequence, betas=[0.5, 0.25])
rows(
    "minidl.optim.Optimizer",
    lambda **s: vars(optim.Optimizer([md.Parameter(ONES)], decay_all=True, **s))["lr"],
    number,
    lr=1,
    weight_decay=0,
)
rows("minidl.optim.constant", lambda **s: rated(optim.constant, warmup=2, **s), number, lr=0.5, step=3)
rows("minidl.optim.constant", lambda **s: rated(optim.constant, lr=0.5, **s), whole, warmup=5)
rows("minidl.optim.step_decay", lambda **s: rated(optim.step_decay, every=2, **s), number, lr=0.5, factor=0.25, step=3)
rows("minidl.optim.step_decay", lambda **s: rated(optim.step_decay, lr=0.5, **s), whole, every=2, warmup=5)
rows("minidl.optim.cosine", lambda **s: rated(optim.cosine, steps=9, **s), number, lr=0.5, final=0.25, step=3)
rows("minidl.optim.cosine", lambda **s: rated(optim.cosine, lr=0.5, **s), whole, steps=9, warmup=5)
rows(
    "minidl.optim.one_cycle",
    lambda **s: rated(optim.one_cycle, steps=9, **s),
    number,
    lr=0.5,
    pct_start=0.5,
    start=0.25,
    final=0.125,
    step=3,
)
rows("minidl.optim.one_cycle", lambda **s: rated(optim.one_cycle, lr=0.5, **s), whole, steps=9)

rows(
    "minidl.compress.cubic_sparsity",
    lambda **s: compress.cubic_sparsity(final=0.5, **s),
    whole,
    step=3,
    start=1,
    every=1,
    count=3,
)
rows(
    "minidl.compress.cubic_sparsity",
    lambda **s: compress.cubic_sparsity(3, start=1, every=1, count=3, **s),
    number,
    final=0.5,
)
rows("minidl.compress.MagnitudePruner", pruned, whole, start=1, every=1, count=2)
rows("minidl.compress.MagnitudePruner", pruned, number, final_sparsity=0.5)
rows("minidl.compress.factorize", lambda **s: compress.factorize(rank=2, **s), reals, weight=WEIGHT)
rows("minidl.compress.factorize", lambda **s: compress.factorize(WEIGHT, **s), whole, rank=2)
rows("minidl.compress.low_rank", lambda ranks: compress.low_rank(model(), [ranks], init="svd"), whole, ranks=2)
rows(
    "minidl.compress.low_rank",
    lambda condition: compress.low_rank(model(), [2], init="svd", condition=condition),
    number,
    condition=2,
)


def shrunk(**settings):
    network = model()
    compress.NuclearL1(network, **{"nuclear": 0.25, "l1": 0.125} | settings).step(1)
    return network


def settled(**settings):
    network = compress.variational(model())
    pruner = compress.NoisePruner(network, **{"at": 2, "sparsity": 0.5} | settings)
    for t in range(4):
        pruner.step(t)
    return network, pruner.sparsity


def ticket(**settings):
    network = model()
    optimizer = optim.SGD(network.parameters(), 0.125)
    drawn = compress.lottery_ticket(network, optimizer, **{"sparsity": 0.5, "steps": 3, "part": 0.5} | settings)
    for t in range(6):
        drawn.step(t)
    return network, drawn.rounds


def randomly(**settings):
    network = model()
    settings = {"final_sparsity": 0.5, "start": 1, "every": 1, "count": 2} | settings
    pruner = compress.RandomPruner(network, **settings, rng=rng())
    for t in range(6):
        pruner.step(t)
    return network, pruner.sparsity


rows("minidl.compress.variational", lambda **s: compress.variational(model(), **s), number, log_variance=0.5)
rows("minidl.compress.l0", lambda **s: compress.l0(model(), **s), number, open_at_first=0.5)
rows("minidl.compress.decompose", lambda ranks: compress.decompose(model(), [ranks], "denton"), whole, ranks=2)
rows(
    "minidl.compress.decompose",
    lambda images: compress.decompose(model(), [2], "jaderberg", images),
    pixels,
    images=IMAGES,
)
rows("minidl.compress.NoisePruner", settled, whole, at=2)
rows("minidl.compress.NoisePruner", settled, number, sparsity=0.5)
rows("minidl.compress.lottery_ticket", ticket, number, sparsity=0.5, part=0.5)
rows("minidl.compress.lottery_ticket", ticket, whole, steps=3, rewind=1)
rows("minidl.compress.RandomPruner", randomly, whole, start=1, every=1, count=2)
rows("minidl.compress.RandomPruner", randomly, number, final_sparsity=0.5)
rows(
    "minidl.compress.hard_concrete",
    lambda log_alpha: gradients(lambda x: compress.hard_concrete(x, rng=rng()), log_alpha),
    reals,
    log_alpha=LOGITS,
)
rows(
    "minidl.compress.hard_concrete_open",
    lambda log_alpha: gradients(compress.hard_concrete_open, log_alpha),
    reals,
    log_alpha=LOGITS,
)
rows(
    "minidl.nn.VariationalLinear",
    lambda **s: layer(nn.VariationalLinear, **s)[1],
    whole,
    in_features=3,
    out_features=2,
)
rows("minidl.compress.NuclearL1", shrunk, number, nuclear=0.5, l1=0.25)
rows("minidl.compress.NuclearL1", shrunk, whole, every=2)
rows("minidl.compress.NuclearL1", lambda **s: shrunk(matrix="operator", **s), shape, input_shape=(8, 8, 3))
rows("minidl.robustness.spectrum", lambda **s: str(robustness.spectrum(model(), **s)), shape, input_shape=(8, 8, 3))
rows("minidl.robustness.spectrum", lambda **s: str(robustness.spectrum(model(), (8, 8, 3), **s)), whole, largest=2)
rows("minidl.compress.cost", lambda **s: str(compress.cost(model(), **s)), shape, input_shape=(8, 8, 3))
rows("minidl.summary", lambda **s: str(md.summary(model(), **s)), shape, input_shape=(8, 8, 3))
rows(
    "minidl.robustness.lipschitz_bound",
    lambda **s: robustness.lipschitz_bound(model(), **s),
    shape,
    input_shape=(8, 8, 3),
)

for f in (robustness.fgsm, robustness.accuracy_curve, robustness.smallest_epsilon):
    name, sizes = (
        f"minidl.robustness.{f.__name__}",
        {} if f is robustness.smallest_epsilon else {"epsilons": [0, 0.125]},
    )
    rows(name, lambda f=f, sizes=sizes, **s: attacked(f, **sizes, **s), number, temperature=2)
    rows(name, lambda f=f, sizes=sizes, **s: attacked(f, **sizes, **s), whole, batch_size=3)
    rows(name, lambda f=f, sizes=sizes, **s: attacked(f, **sizes, **s), pixels, images=IMAGES)
    rows(name, lambda f=f, sizes=sizes, **s: attacked(f, **sizes, **s), labels, labels=LABELS)
    if sizes:
        rows(name, lambda f=f, **s: attacked(f, **s), sequence, epsilons=[0, 0.125])
SMALLEST = {"max_epsilon": 0.5, "tolerance": 0.03125}
rows("minidl.robustness.smallest_epsilon", lambda **s: attacked(robustness.smallest_epsilon, **s), number, **SMALLEST)
rows("minidl.robustness.smallest_epsilon", lambda **s: attacked(robustness.smallest_epsilon, **s), whole, steps=4)
rows(
    "minidl.robustness.accuracy_curve",
    lambda **s: attacked(robustness.accuracy_curve, epsilons=0.125, **s),
    number,
    confidence=0.75,
)
rows("minidl.robustness.mcnemar", robustness.mcnemar, truths, right_a=TRUE, right_b=OTHER)
rows(
    "minidl.robustness.paired_difference_interval",
    robustness.paired_difference_interval,
    truths,
    before=TRUE,
    after=OTHER,
)
rows(
    "minidl.robustness.paired_difference_interval",
    lambda **s: robustness.paired_difference_interval(TRUE, OTHER, **s),
    number,
    confidence=0.75,
)
rows("minidl.robustness.over_seeds", robustness.over_seeds, sequence, values=[0.25, 0.5, 1])
rows("minidl.robustness.over_seeds", lambda **s: robustness.over_seeds([0.25, 0.5], **s), number, confidence=0.75)
rows("minidl.robustness.wilson_interval", lambda **s: robustness.wilson_interval(81, **s), whole, count=120)
rows("minidl.robustness.wilson_interval", lambda **s: robustness.wilson_interval(81, 120, **s), number, confidence=0.75)
rows(
    "minidl.robustness.wilson_interval",
    lambda **s: robustness.wilson_interval(count=120, **s),
    counts,
    successes=np.array([0, 81, 120]),
)
NORM = {"layer": nn.Linear(3, 2, rng=rng())}
rows(
    "minidl.robustness.spectral_norm",
    lambda **s: robustness.spectral_norm(**NORM, x=md.Tensor(ROWS), **s),
    number,
    tolerance=0.25,
)
rows(
    "minidl.robustness.spectral_norm",
    lambda **s: robustness.spectral_norm(**NORM, x=md.Tensor(ROWS), **s),
    whole,
    most_steps=3,
)

rows("minidl.fit", trained, whole, epochs=2)
rows("minidl.fit", lambda first_epoch: trained(first_epoch=first_epoch, epochs=3), whole, first_epoch=1)
rows("minidl.fit", lambda **s: trained(**s), number, temperature=2)
rows("minidl.fit", lambda rate: trained(schedule=lambda t: rate), number, rate=0.25)
rows(
    "minidl.evaluate", lambda **s: md.evaluate(model(), [(IMAGES, LABELS)], progress=False, **s), number, temperature=2
)
rows(
    "minidl.evaluate",
    lambda **s: md.evaluate(model(), [(IMAGES, LABELS)], stochastic=True, progress=False, **s),
    whole,
    seed=2,
)
rows("minidl.fit", lambda **s: trained(**s), pixels, images=IMAGES)
rows("minidl.fit", lambda **s: trained(**s), labels, labels=LABELS)
rows("minidl.objectives.CrossEntropy", lambda **s: trained(objective=CrossEntropy(**s)), number, temperature=2)


def attacking(**settings):
    return trained(objective=Adversarial(**{"epsilon": 0.25, "rng": rng()} | settings))


def guarded(**settings):
    guard = Guard(model(), **{"images": IMAGES, "labels": LABELS, "epsilon": 0.25} | settings)
    guard(md.train.Epoch(0, 0, 0, 0, 0, 0))
    return guard.best, guard.fall


rows("minidl.objectives.Adversarial", attacking, number, epsilon=0.25, step=0.125)
rows("minidl.objectives.Adversarial", attacking, whole, steps=2)
rows(
    "minidl.objectives.Distillation",
    lambda **s: trained(objective=Distillation(**{"teacher": model(), "temperature": 2} | s)),
    number,
    temperature=2,
    mix=0.5,
)


def penalized(weight=0.5, ramp=(0, 4)):
    network = nn.Sequential(nn.Flatten(), nn.VariationalLinear(IMAGES[0].size, 10, rng=rng()))
    objective = Penalized(weight, ramp)
    return [objective(network.eval(), md.Tensor(IMAGES), LABELS)[0].data for _ in range(6)]


rows("minidl.objectives.Penalized", penalized, number, weight=0.5)
TABLE.append(("minidl.objectives.Penalized", "ramp", whole, 2, lambda v: penalized(ramp=(v, 4))))
rows("minidl.train.Guard", guarded, number, epsilon=0.25, fall=0.25)
rows("minidl.train.Guard", guarded, whole, steps=2, seed=3)
rows("minidl.train.Guard", guarded, pixels, images=IMAGES)
rows("minidl.train.Guard", guarded, labels, labels=LABELS)


def computed(data):
    return [gradients(f, data) for f in (md.Tensor.sum, md.Tensor.max, lambda x: x.mean(axis=0), lambda x: x @ x.T)]


rows("minidl.Tensor", computed, anything, data=RNG.standard_normal((40, 50)).astype(np.float32))
rows("minidl.Parameter", lambda data: optimised(optim.SGD, data=data, lr=0.125), anything, data=LOGITS)
rows("minidl.data.Loader", lambda **s: loaded(**s), pixels, images=IMAGES)
rows("minidl.data.arrays", lambda images: list(md.data.arrays(images, LABELS)), pixels, images=IMAGES)
rows("minidl.data.arrays", lambda labels: list(md.data.arrays(IMAGES, labels)), named, labels=LABELS)
rows("minidl.data.arrays", lambda seed: list(md.data.arrays(IMAGES, LABELS, "train", seed=seed)), whole, seed=2)
rows("minidl.data.Loader", lambda **s: loaded(**s), labels, labels=LABELS)
rows("minidl.data.Loader", lambda **s: loaded(**s), whole, batch_size=2, pad=1, prefetch=1, seed=3)
rows("minidl.data.Loader", lambda **s: loaded(**s), pair, crop=4)
rows("minidl.data.Loader", lambda **s: loaded(**s), number, noise=0.25)
rows("minidl.data.Loader", lambda scale: loaded(pad=0, scale=(scale, 1.0)), number, scale=0.5)
rows("minidl.data.digits", lambda **s: md.data.digits("val", **s).images, whole, seed=3)
rows("minidl.checkpoint.Checkpoints", lambda share: vars(Checkpoints("nowhere", share))["share"], number, share=0.5)
rows(
    "minidl.testing.check_gradients",
    lambda **s: md.testing.check_gradients(F.tanh, np.eye(3), **s),
    number,
    step=2**-14,
    tolerance=2**-8,
)
rows("minidl.testing.check_gradients", lambda **s: md.testing.check_gradients(F.tanh, np.eye(3), **s), whole, seed=3)


def seeded(seed):
    md.manual_seed(seed)
    return nn.Linear(2, 2)


def threads(count):
    with md.settings():
        md.set_num_threads(count)
        return md.num_threads()


def within(threads):
    with md.settings(threads=threads):
        return md.num_threads()


rows("minidl.manual_seed", seeded, whole, seed=3)
rows("minidl.backend.streams", lambda seed: md.backend.streams(seed)["init"].random(), whole, seed=3)
rows("minidl.set_num_threads", threads, whole, count=2)
rows("minidl.settings", within, whole, threads=2)


def fc5(**settings):
    return md.models.fc5(**{"image_size": 2, "seed": 0} | settings)(IMAGES[:, :2, :2])


def resnet(**settings):
    defaults = {"blocks": (1, 1, 1, 1), "num_classes": 2, "channels": 3, "seed": 0}
    return md.models.ResNet(**defaults | settings).fc.weight


rows("minidl.models.fc5", fc5, whole, num_classes=3, channels=3, seed=1)
rows("minidl.models.fc5", fc5, pair, image_size=2)
rows("minidl.models.ResNet", resnet, whole, num_classes=3, channels=3, seed=1)
rows("minidl.models.ResNet", resnet, shape, blocks=(1, 1, 1, 1))

# Arguments of the surface that have no row, or whole functions, and why
LEFT_OUT = {
    "minidl.backend.address_of minidl.backend.array_module minidl.backend.as_array minidl.kernels.of": "any array",
    "minidl.kernels.made_of.weight": "any array",
    "minidl.backend.device_of minidl.backend.to_device minidl.backend.to_numpy": "any array",
    "minidl.backend.capacity.room_for minidl.backend.cuda.constant": "minidl itself asks these, for a card",
    "minidl.backend.recording.fresh minidl.backend.recording.Replayed": "minidl itself asks these, for a card",
    "minidl.backend.recording.compare_replays": "its check is its own still, and takes Python's ints alone",
    "minidl.compress.LotteryTicket": "lottery_ticket makes it, and checks its numbers",
    "minidl.nn.VariationalConv2d": "takes what Conv2d takes",
    "minidl.fit.pruner": "an object; its numbers have rows: MagnitudePruner",
    "minidl.models.alexnet minidl.models.resnet18": "AlexNet and ResNet under another name",
    "minidl.models.AlexNet": "57 million weights for each row: test_the_largest_model",
    "minidl.data.ImageSet": "keeps what it is given",
    "minidl.data.ImageFolder.held_out minidl.data.arrays.classes": "tests/data/test_folder.py",
    "minidl.nn.init.he_uniform.model": "a Module",
    "minidl.robustness.TwoSided": "joins results; its own array is of truth values, and refused where it is not",
    "minidl.plot.band": "draws results",
    "minidl.functional.maximum minidl.functional.where minidl.functional.pad.x": "any arrays: test_functional.py",
    "minidl.functional.pad.widths": "pairs, each as for padding: test_functional.py",
    "minidl.nn.init.uniform_fan_in.shape minidl.nn.init.he_normal.shape": "a shape as NumPy takes it",
    "minidl.robustness.spectral_norm.x": "a Tensor, of which the shape counts",
    "minidl.plot.Picture minidl.plot.accuracy minidl.plot.adversary minidl.plot.decision": "pictures: tests/plot",
    "minidl.plot.diagnosis minidl.plot.spectrum minidl.plot.confusion minidl.plot.training": "pictures: tests/plot",
    "minidl.plot.feature_maps minidl.plot.graph minidl.plot.kernels minidl.plot.weights": "pictures: tests/plot",
}
LEFT_OUT = {place: why for places, why in LEFT_OUT.items() for place in places.split()}
NO_NUMBERS = re.compile(
    "bool|str|Module|Generator|Path|Callable|Iterable|Batches|Optimizer|Objective|AfterStep|Schedule|Mapping|object|Parameter"
)
SAYS = {
    "minidl.fit": ("cross_entropy",),
    "minidl.objectives.CrossEntropy": ("cross_entropy",),
    "minidl.train.Guard": ("fgsm",),
    "minidl.settings": ("set_num_threads",),
    "minidl.nn.VariationalLinear": ("Linear",),
}  # who refuses for it


# Every other attack takes its arguments in the same way
ROWS_OF = {
    "epsilon": (number, 0.125),
    "temperature": (number, 2),
    "step": (number, 0.25),
    "overshoot": (number, 0.25),
    "theta": (number, 0.5),
    "gamma": (number, 0.5),
    "confidence": (number, 0.75),
    "epsilons": (sequence, [0, 0.125]),
    "images": (pixels, IMAGES),
    "labels": (labels, LABELS),
    "targets": (labels, (LABELS + 1) % 3),
    "candidates": (whole, 2),
    "max_epsilon": (number, 0.5),
    "tolerance": (number, 0.25),
    "sigma": (number, 0.25),
    "alpha": (number, 0.25),
} | dict.fromkeys(("steps", "restarts", "seed", "batch_size", "queries", "n0", "n"), (whole, 2))
FEW = {"epsilons": [0.125], "epsilon": 0.125, "steps": 2, "queries": 2, "parts": ("apgd_ce",)}
FEW |= {"sigma": 0.25, "n0": 2, "n": 2, "tolerance": 0.25}


def attacked_by(f, takes, **settings):
    if f is robustness.jsma:
        settings = {"targets": (LABELS + 1) % 3} | settings
        return f(**{"model": model(), "images": IMAGES} | settings)
    network = {"a": model(), "b": model()} if f is robustness.transfer else model().eval()
    few = {"images": IMAGES, "labels": LABELS} | FEW
    return f(network, **{name: few[name] for name in few if name in takes} | settings)


for f in (
    *(robustness.pgd, robustness.apgd, robustness.square, robustness.auto_attack, robustness.deepfool, robustness.fmn),
    *(robustness.fab, robustness.jsma, robustness.transfer, robustness.diagnose, robustness.fgsm),
):
    takes = inspect.signature(f).parameters
    for argument in (name for name in takes if name in ROWS_OF):
        kinds, value = ROWS_OF[argument]
        if f is robustness.fab and argument == "targets":  # how many
            kinds, value = whole, 2
        call = functools.partial(attacked_by, f, takes)
        if f is not robustness.fgsm or argument == "targets":
            rows(f"minidl.robustness.{f.__name__}", call, kinds, **{argument: value})

ROWS_OF |= dict.fromkeys(("max_epsilon", "sigma", "alpha"), (number, 0.25)) | {"tolerance": (number, 0.125)}
ROWS_OF |= dict.fromkeys(("n0", "n", "draws"), (whole, 2))
PROVED = {"images": IMAGES, "labels": LABELS, "epsilon": 0.125, "epsilons": [0.125], "sigma": 0.25, "n0": 2, "n": 2}


def proved_by(f, takes, **settings):
    given = {name: PROVED[name] for name in PROVED if name in takes} | settings
    result = f(model().eval(), **given)
    return result(IMAGES) if f is robustness.smooth else result


for f in (
    *(robustness.interval_bounds, robustness.linear_bounds, robustness.certified, robustness.certified_epsilon),
    *(robustness.certify_smoothed, robustness.smooth),
):
    takes = inspect.signature(f).parameters
    for argument in (name for name in takes if name in ROWS_OF):
        kinds, value = ROWS_OF[argument]
        rows(f"minidl.robustness.{f.__name__}", functools.partial(proved_by, f, takes), kinds, **{argument: value})
LOWER = {"successes": 81, "count": 120, "alpha": 0.25}
for argument, kinds in (("successes", whole), ("count", whole), ("alpha", number)):
    rows(
        "minidl.robustness.clopper_pearson_lower",
        lambda **s: robustness.clopper_pearson_lower(**LOWER | s),
        kinds,
        **{argument: LOWER[argument]},
    )

# Comparing


def bits(result):
    """All there is in a result, to the bit, with its kind."""
    if isinstance(result, md.Tensor):
        result = result.data
    if isinstance(result, nn.Module):
        result = result.state_dict()
    if dataclasses.is_dataclass(result):
        result = vars(result)
    if isinstance(result, dict):
        return {name: bits(value) for name, value in result.items()}
    if isinstance(result, tuple | list):
        return [bits(part) for part in result]
    if isinstance(result, np.ndarray):
        return result.dtype.str, result.shape, result.tobytes()
    return type(result).__name__, repr(result)


def outcome(call, value):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", robustness.ZeroGradientWarning)
        return bits(call(value))


IDS = [f"{name}-{argument}-{kinds.__name__}" for name, argument, kinds, *_ in TABLE]
each = pytest.mark.parametrize(("name", "argument", "kinds", "value", "call"), TABLE, ids=IDS)


@each
def test_what_is_equal_gives_the_same(name, argument, kinds, value, call):
    expected = outcome(call, value)
    for same in kinds(value)[0]:
        kind = f"{type(same).__name__} {getattr(same, 'dtype', '')} {getattr(same, 'strides', '')}"
        assert outcome(call, same) == expected, f"{name}: {argument} as {kind}"


@each
def test_what_is_no_such_number_is_refused(name, argument, kinds, value, call):
    for bad in kinds(value)[1]:
        with pytest.raises((TypeError, ValueError)) as caught:
            outcome(call, bad)
        message, who = str(caught.value), [name.rpartition(".")[2], *SAYS.get(name, ())]
        assert any(map(message.startswith, who)), f"{bad!r}: {message}"
        called = {argument.removesuffix("s"), "label" if argument == "targets" else argument}  # a target is a label too
        assert any(word in message for word in called), f"{bad!r}: {message}"


def test_every_function_that_takes_numbers_has_its_rows():
    known = {(name, argument) for name, argument, *_ in TABLE}
    missing = []
    for name, value in SURFACE.items():
        for argument in parameters(value):
            place = f"{name}.{argument}"
            kind = str(inspect.signature(value).parameters[argument].annotation)
            if (name, argument) not in known and not NO_NUMBERS.search(kind) and not LEFT_OUT.keys() & {name, place}:
                missing.append(f"{place}: {kind}")
    assert not missing, "give these a row, or say why not:\n" + "\n".join(missing)


def test_what_is_left_out_is_there():
    assert {place for place in LEFT_OUT if place not in SURFACE and place.rpartition(".")[0] not in SURFACE} == set()


def test_the_largest_model():
    for argument, kinds in (("num_classes", whole), ("channels", whole), ("seed", whole), ("dropout", number)):
        for bad in kinds(1)[1]:
            with pytest.raises(TypeError if bad == bad else (TypeError, ValueError), match=f"AlexNet: {argument} is"):
                md.models.alexnet(**{argument: bad})
