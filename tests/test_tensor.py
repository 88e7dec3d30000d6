"""The engine: recording, the chain rule, memory, and what it says when it cannot."""

import contextlib
import gc
import weakref

import numpy as np
import pytest

import minidl as md
from minidl import Parameter, Tensor, no_grad
from minidl import functional as F
from minidl.backend import gpu_available, to_device, to_numpy
from minidl.graph import once


def leaf(values, device="cpu", dtype=np.float64):
    return Tensor(to_device(np.asarray(values, dtype), device), requires_grad=True)


@contextlib.contextmanager
def no_garbage_collection():
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@md.op
def double(x):
    return 2 * x, (lambda dy: 2 * dy,)


# What a tensor is


def test_arrays_are_kept_and_not_copied():
    for dtype in (np.float32, np.float64, np.int64, np.uint8):
        array = np.ones(3, dtype)
        assert Tensor(array).data is array
    assert Tensor(Tensor(array)).data is array


def test_numbers_and_lists_become_float32():
    assert Tensor(1).dtype == Tensor([[1.0, 2.0]]).dtype == np.float32
    assert Tensor(np.float64(1)).dtype == np.float64  # a NumPy scalar says what it is


def test_what_a_tensor_shows():
    x = leaf([[1.0, 2.0, 3.0]])
    assert (x.shape, x.ndim, x.size, len(x), x.dtype, x.device) == ((1, 3), 2, 3, 1, np.float64, "cpu")
    assert repr(x) == "Tensor([[1., 2., 3.]], shape=(1, 3), dtype=float64, requires_grad=True)"
    assert float(x.sum()) == x.sum().item() == 6.0
    assert x.numpy() is x.data
    assert not x.detach().requires_grad
    assert x.detach().data is x.data
    assert not hasattr(x, "nonsense")


def test_numpy_gets_the_array_and_its_functions_refuse():
    x = leaf([[1.0, 2.0]])
    assert np.asarray(x) is x.data
    assert np.array(x) is not x.data
    assert np.asarray(x, np.float32).dtype == np.float32
    np.testing.assert_allclose(x, [[1, 2]])
    for function in (np.exp, lambda x: np.add(x, 1)):
        with pytest.raises(TypeError, match="Tensor"):  # and does not lose the gradient
            function(x)


def test_equality_is_identity():
    x, y = leaf([1.0]), leaf([1.0])
    assert x == x
    assert x != y
    assert {x: 1}[x] == len({x, y}) - 1 == 1
    assert x != None  # noqa: E711
    for other in (x.data, np.float64(1), 1.0, [1.0]):
        for compare in (lambda: x == other, lambda: other == x, lambda: x != other):  # noqa: B023
            with pytest.raises(TypeError, match=r"Tensor: == tells .* compare the array, x\.data =="):
                compare()
    with pytest.raises(TypeError):
        x < 1  # noqa: B015


def test_shared_maxima_share_the_gradient():
    x = leaf([[1.0, 1.0], [0.0, 2.0]], dtype=np.float32)
    x.max(axis=1).sum().backward()
    np.testing.assert_array_equal(x.grad, [[0.5, 0.5], [0, 1]])
    assert x.grad.dtype == np.float32


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, bool, complex])
def test_only_real_numbers_have_gradients(dtype):
    with pytest.raises(TypeError, match="requires_grad needs real numbers"):
        Tensor(np.ones(3, dtype), requires_grad=True)


# Precision


@pytest.mark.parametrize(
    "number", [2, 2.0, np.float64(2), np.float32(2), np.int64(2), np.array(2.0), np.array(2)], ids=repr
)
@pytest.mark.parametrize(
    "f",
    [
        lambda x, a: x + a,
        lambda x, a: a + x,
        lambda x, a: x - a,
        lambda x, a: a - x,
        lambda x, a: x * a,
        lambda x, a: a * x,
        lambda x, a: x / a,
        lambda x, a: a / x,
        lambda x, a: x**a,
    ],
    ids=["x+a", "a+x", "x-a", "a-x", "x*a", "a*x", "x/a", "a/x", "x**a"],
)
def test_scalars_do_not_change_the_precision(f, number):
    x = leaf([1.0, 3.0], dtype=np.float32)
    y = f(x, number)
    assert isinstance(y, Tensor)
    np.testing.assert_allclose(y.data, f(np.array([1.0, 3.0]), float(number)), rtol=1e-6)
    y.sum().backward()
    assert y.dtype == x.grad.dtype == np.float32


def test_an_array_beside_a_tensor_makes_one_tensor():
    array, x = np.array([[1.0], [2.0]]), leaf([1.0, 2.0, 3.0])
    for y, expected in (
        (array + x, array + x.data),
        (array - x, array - x.data),
        (array * x, array * x.data),
        (array / x, array / x.data),
        (array.T @ x.reshape(1, 3).transpose().reshape(3, 1)[:2], array.T @ x.data[:2, None]),
    ):
        assert isinstance(y, Tensor)
        assert y.dtype == np.float64
        np.testing.assert_array_equal(y.data, expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_lists_take_the_precision_of_what_they_stand_beside(dtype):
    x = leaf([1.0, 3.0], dtype=dtype)
    for y, expected in ((x * [0.1, 0.2], [0.1, 0.6]), ((2, 4) - x, [1, 1]), (F.linear(x, [[1], [0.1]]), [1.3])):
        assert y.dtype == dtype
        np.testing.assert_allclose(y.data, expected, rtol=10 * np.finfo(dtype).eps)
    (x * [0.1, 0.2]).sum().backward()
    assert x.grad.dtype == dtype
    np.testing.assert_array_equal(x.grad, np.array([0.1, 0.2], dtype))


def test_lists_alone_become_float32():
    for y in (F.relu([1, -1]), F.softmax([[0.0, 0.0]]), F.max_pool2d([[[[1.0]]]], [1, 1])):
        assert y.dtype == np.float32
    assert F.cross_entropy([[0.0, 0.0]], [1]).dtype == np.float32
    with pytest.raises(TypeError, match=r"labels must be integers .* float64"):
        F.cross_entropy([[0.0, 0.0]], [1.0])
    assert leaf([1.0, 2.0])[[1, 0]].data.tolist() == [2, 1]  # an index is no array of numbers


def test_an_array_without_axes_stays_one_where_it_is_alone():
    for x in (np.array(2.0), np.array(2.0, np.float32)):
        y = F.tanh(x)
        assert (y.shape, y.dtype) == ((), x.dtype)


def test_the_gradient_of_a_leaf_has_its_precision():
    x, scale = leaf([1.0, 2.0], dtype=np.float32), leaf(2.0, dtype=np.float32)
    for _ in range(2):
        (x * scale * np.array([1.0, 0.1])).sum().backward()
    assert x.grad.dtype == scale.grad.dtype == np.float32
    assert isinstance(scale.grad, np.ndarray)
    np.testing.assert_allclose(x.grad, [4, 0.4], rtol=1e-6)
    np.testing.assert_allclose(scale.grad, 2.4, rtol=1e-6)


def test_the_gradient_given_to_backward_takes_the_precision():
    x = leaf([1.0, 2.0], dtype=np.float32)
    (x * 3).backward(np.array([1.0, 2.0]))
    assert x.grad.dtype == np.float32
    np.testing.assert_array_equal(x.grad, [3, 6])


# The chain rule


def test_broadcasting_is_undone(device):
    x, y, z = leaf(np.ones((2, 1, 4)), device), leaf(np.ones((3, 1)), device), leaf(2.0, device)
    (x * y * z).sum().backward()
    assert (x.grad.shape, y.grad.shape, z.grad.shape) == ((2, 1, 4), (3, 1), ())
    np.testing.assert_array_equal(to_numpy(x.grad), np.full((2, 1, 4), 6))
    np.testing.assert_array_equal(to_numpy(y.grad), np.full((3, 1), 16))
    assert z.grad.item() == 24


def test_gradients_accumulate_until_forgotten():
    x = leaf([1.0, 2.0])
    for times in (1, 2, 3):
        (x * x).sum().backward()
        np.testing.assert_array_equal(x.grad, times * 2 * x.data)


def test_a_value_used_twice():
    x = leaf(3.0)
    y = x * x  # 9
    z = y * x + y  # x^3 + x^2
    (z * y).backward()  # x^5 + x^4
    assert x.grad.item() == 5 * 81 + 4 * 27


def test_a_diamond_visits_each_operation_once():
    visits = []

    @md.op
    def counted(x):
        return x, (lambda dy: visits.append(1) or dy,)

    x = leaf(1.0)
    y = counted(x)
    for _ in range(10):  # 2^10 paths
        y = counted(y + y)
    y.backward()
    assert len(visits) == 11
    assert x.grad.item() == 2**10


def test_a_deep_graph_needs_no_deep_stack():
    x = leaf(1.0)
    y = x
    for _ in range(20_000):
        y = y + x
    y.backward()
    assert x.grad.item() == 20_001
    del y
    y = x
    for _ in range(20_000):
        y = double(y) * 0.5
    del y  # and neither does an unused one


def test_leaf_gradient_of_itself():
    x = leaf([1.0, 2.0])
    given = np.array([3.0, 4.0])
    x.backward(given)
    given[:] = 0
    np.testing.assert_array_equal(x.grad, [3, 4])


def test_constants_get_no_gradient():
    x, y = leaf([1.0]), Tensor(np.array([2.0]))
    (x * y).backward()
    assert y.grad is None
    assert not (y * y).requires_grad


def test_tensors_by_keyword_are_recorded(rng):
    x, w, b = (leaf(rng.standard_normal(s)) for s in ((2, 3), (3, 4), (4,)))
    F.linear(bias=b, weight=w, x=x).sum().backward()
    np.testing.assert_array_equal(b.grad, [2, 2, 2, 2])
    np.testing.assert_allclose(w.grad, np.broadcast_to(x.data.sum(axis=0)[:, None], (3, 4)))


# Not recording


def test_no_grad():
    x = leaf([1.0])
    with no_grad():
        with no_grad():
            pass
        y = x * 2
        assert not y.requires_grad  # the inner one has not switched it on again
    assert (x * 2).requires_grad
    with pytest.raises(ZeroDivisionError), no_grad():
        raise ZeroDivisionError
    assert (x * 2).requires_grad
    with pytest.raises(RuntimeError, match="nothing here requires a gradient"):
        y.backward()


# backward(inputs=...)


def test_inputs_leaves_the_others_alone():
    """The gradient by the images is had without computing those by the weights."""

    def refuse(dy):
        raise AssertionError("computed a gradient that nobody asked for")

    @md.op
    def layer(x, w):
        return x * w, (lambda dy: dy * w, refuse)

    @md.op
    def penalty(w):
        return w * w, (refuse,)

    x, w = leaf([2.0]), Parameter(np.array([3.0]))
    (layer(layer(x, w), w) + penalty(w)).backward(inputs=[x])
    assert x.grad.item() == 9
    assert w.grad is None
    with pytest.raises(AssertionError, match="nobody asked for"):  # so it would have been noticed
        layer(x, w).backward()


def test_inputs_through_a_model(rng):
    model = md.nn.Sequential(md.nn.Conv2d(3, 4, 3), md.nn.BatchNorm2d(4), md.nn.ReLU(), md.nn.Flatten())
    images = leaf(rng.uniform(size=(2, 4, 4, 3)), dtype=np.float32)
    model(images).sum().backward()
    whole, images.grad = images.grad, None
    for parameter in model.parameters():
        assert parameter.grad is not None
        parameter.grad = None
    model(images).sum().backward(inputs=[images])
    np.testing.assert_array_equal(images.grad, whole)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_inputs_that_are_no_leaves_of_this_result():
    x, other = leaf([1.0]), leaf([1.0])
    y = x * 2
    for wrong in (other, y, Tensor(np.ones(1))):
        with pytest.raises(ValueError, match=r"inputs\[1\] is no leaf"):
            (y * 3).backward(inputs=[x, wrong])
    assert x.grad is None


# What is refused


def test_backward_twice():
    x = leaf([1.0, 2.0])
    y = double(x)
    loss = (y * x).sum()
    loss.backward()
    first = x.grad.copy()
    with pytest.raises(RuntimeError, match="graph through 'sum' was used by an earlier backward"):
        loss.backward()
    with pytest.raises(RuntimeError, match="graph through 'double' was used"):
        y.sum().backward()
    np.testing.assert_array_equal(x.grad, first)


def test_backward_from_more_than_one_number():
    with pytest.raises(RuntimeError, match=r"one number .* shape \(2, 3\): reduce it first"):
        (leaf(np.ones((2, 3))) * 2).backward()


def test_backward_with_a_gradient_of_another_shape():
    with pytest.raises(ValueError, match=r"gradient has shape \(3,\), the tensor has \(2,\)"):
        (leaf([1.0, 2.0]) * 2).backward(np.ones(3))


def test_backward_without_a_graph():
    with pytest.raises(RuntimeError, match="nothing here requires a gradient"):
        Tensor([1.0]).backward()


def test_a_wrong_shape_names_the_operation():
    @md.op
    def wrong(x):
        return x.sum(axis=0), (lambda dy: dy,)

    with pytest.raises(RuntimeError, match=r"wrong: the gradient by argument 0 has shape \(3,\).* \(2, 3\)"):
        wrong(leaf(np.ones((2, 3)))).backward(np.ones(3))


def test_a_missing_gradient_names_the_operation():
    @md.op
    def half(x, y):
        return x * y, (lambda dy: dy * y,)

    @md.op
    def constant(x, y):
        return x * y, (lambda dy: dy * y, None)

    x = leaf([1.0])
    for f in (half, constant):
        f(x, np.ones(1)).backward()
        with pytest.raises(RuntimeError, match=f"{f.__name__}: has no gradient by argument 1"):
            f(x, leaf([1.0])).backward()


@pytest.mark.parametrize("change", ["an argument", "the value", "a constant", "nothing", "statistics that were copied"])
def test_arrays_that_change_before_backward_are_noticed(change, rng):
    x, w = leaf(rng.standard_normal((4, 3))), leaf(rng.standard_normal((3, 3)))
    constant, statistics = np.full((4, 3), 2.0), (np.zeros(3), np.ones(3))
    with md.settings(debug=True):
        y = F.sigmoid(F.linear(x, w)) * constant
        y = F.batch_norm(y, np.ones(3), np.zeros(3), *statistics)
        if change == "an argument":
            w.data[0] = 0
        elif change == "the value":
            kept = F.sigmoid(x)
            kept.data += 1
            y = y + kept
        elif change == "a constant":
            constant -= 1
        elif change == "statistics that were copied":
            statistics[0][...] = 5
        if change in ("nothing", "statistics that were copied"):
            y.sum().backward()
        else:
            name = {"an argument": "'linear' keeps weight", "the value": "'sigmoid' keeps y"}.get(change, "keeps y")
            with pytest.raises(RuntimeError, match=f"{name}, of shape .* was changed in place since"):
                y.sum().backward()


# Memory


def test_a_graph_dies_with_its_result():
    with no_garbage_collection():
        x = leaf(np.ones((2, 5, 5, 3)))
        w, gamma, beta = leaf(np.ones((4, 3, 3, 3))), leaf(np.ones(4)), leaf(np.ones(4))
        y = F.conv2d(x, w)
        kept = [weakref.ref(y), weakref.ref(y.data)]
        y = F.batch_norm(y, gamma, beta, relu=True)
        kept += [weakref.ref(y), weakref.ref(y.data)]
        y = F.dropout(F.local_response_norm(F.max_pool2d(y, 2)), 0.5)
        kept += [weakref.ref(y), weakref.ref(y.data)]
        loss = F.cross_entropy(F.flatten(y), np.array([0, 1]))
        kept.append(weakref.ref(loss))
        del y
        assert kept[1]() is not None  # the normalisation's input is needed by its gradient
        del loss
        assert [ref() for ref in kept] == [None] * len(kept)
        assert gc.collect() == 0  # no cycles were left either


def test_every_operation_dies_by_reference_count(rng):
    x = leaf(rng.uniform(1, 2, (2, 4, 4, 3)))
    for f in (
        lambda: F.softmax(x) * F.log_softmax(x),
        lambda: F.sigmoid(x) - F.tanh(x) / x.exp() + x.log() ** 2,
        lambda: F.normalize(F.avg_pool2d(x, 2), 0.5, 0.5) @ np.ones((3, 2)),
        lambda: F.adaptive_avg_pool2d(x, 3)[:, np.array([0, 0])].transpose().mean(axis=0),
        lambda: -F.relu(x).reshape(-1).sum(),
    ):
        with no_garbage_collection():
            y = f()
            y.backward(np.ones(y.shape))
            y = f()
            ref = weakref.ref(y)
            del y
            assert ref() is None
            assert gc.collect() == 0


def test_backward_frees_arrays_as_it_goes():
    """The arrays of the last operation are gone before the first one's gradient is computed."""
    alive = []

    @md.op
    def keeping(x, note):
        saved = x * 1
        ref = weakref.ref(saved)

        def vjp(dy):
            alive.append({name: r() is not None for name, r in refs.items() if name != note})
            return dy * saved

        refs[note] = ref
        return x * 1, (vjp,)

    refs = {}
    x = leaf(np.ones(3))
    y = keeping(keeping(keeping(x, "first"), "second"), "third").sum()
    y.backward()
    assert alive == [
        {"first": True, "second": True},
        {"first": True, "third": False},
        {"second": False, "third": False},
    ]


def test_results_that_no_gradient_needs_are_freed_at_once(rng):
    """The sums before a ReLU, say: what holds them holds the memory of a whole layer."""
    x = leaf(rng.standard_normal((2, 4, 4, 3)))
    for f in (
        lambda: F.linear(x, np.ones((3, 2)), np.ones(2)),
        lambda: F.conv2d(x, np.ones((2, 3, 3, 3))),
        lambda: F.normalize(x, 0.5, 0.25),
        lambda: F.local_response_norm(x),
        lambda: F.max_pool2d(x, 2),
        lambda: x + 1,
    ):
        y = f()
        ref = weakref.ref(y.data if y.data.base is None else y.data.base)
        z = y + 1
        del y
        assert ref() is None
        z.backward(np.ones(z.shape))


# Whose memory a gradient is

OWN = {
    "add": lambda x, y: x + y,
    "subtract": lambda x, y: x - y,
    "sum": lambda x, y: x.sum() + y.sum(),
    "mean": lambda x, y: x.mean(axis=0) * y.mean(),
    "views": lambda x, y: x.reshape(3, 2).transpose() + y[:, :].transpose().reshape(2, 3),
    "flatten": lambda x, y: F.flatten(x) + F.flatten(y),
    "dropout off": lambda x, y: F.dropout(x, training=False) + F.dropout(y, p=0.0),
    "exp": lambda x, y: x.exp() + y.exp(),
    "linear": lambda x, y: F.linear(x, y.transpose()),
    "used twice": lambda x, y: x + x + y + y,
    "itself": lambda x, y: x,
}


@pytest.mark.parametrize("f", OWN.values(), ids=OWN)
def test_gradients_of_leaves_are_their_own(f, rng):
    x, y = leaf(rng.standard_normal((2, 3))), leaf(rng.standard_normal((2, 3)))
    z = f(x, y)
    given = np.ones(z.shape)
    z.backward(given)
    gradients = [g for g in (x.grad, y.grad) if g is not None]
    for gradient in gradients:
        assert gradient.flags.writeable
        others = [given, z.data, x.data, y.data, *(g for g in gradients if g is not gradient)]
        assert not any(np.shares_memory(gradient, other) for other in others)


def test_gradients_stay_when_the_operation_runs_again(rng):
    """Kernels may reuse buffers, but not those they have given away."""
    x, w, b = (leaf(rng.standard_normal(s), dtype=np.float32) for s in ((2, 6, 6, 3), (4, 3, 3, 3), (4,)))

    def run():
        for t in (x, w, b):
            t.grad = None
        y = F.max_pool2d(F.relu(F.conv2d(x, w, b, padding=1)), 2)
        kept = y.data
        y.sum().backward()
        return [kept, x.grad, w.grad, b.grad]

    first = run()
    copies = [a.copy() for a in first]
    x.data *= -2
    run()
    for a, copy in zip(first, copies, strict=True):
        np.testing.assert_array_equal(a, copy)


def test_the_gradient_by_one_number_is_an_array():
    x = leaf(3.0)
    (x * x).backward()
    (x * x).backward()
    assert isinstance(x.grad, np.ndarray)
    assert x.grad.shape == ()
    x.grad[...] = 0
    assert F.relu(x).data.shape == ()
    F.relu(x).backward()
    assert x.grad.item() == 1


# Parameters


def test_mask_zeroes_and_is_copied():
    w = Parameter(np.array([1.0, 2.0, 3.0]))
    assert w.requires_grad
    assert w.mask is None
    mask = np.array([1, 0, 1])
    w.mask = mask
    mask[:] = 0
    assert w.mask.dtype == bool
    np.testing.assert_array_equal(w.mask, [True, False, True])
    np.testing.assert_array_equal(w.data, [1, 0, 3])
    w.mask = None
    np.testing.assert_array_equal(w.data, [1, 0, 3])


def test_mask_of_another_shape():
    w = Parameter(np.ones((2, 3)))
    with pytest.raises(ValueError, match=r"mask has shape \(3, 2\), but the parameter has shape \(2, 3\)"):
        w.mask = np.ones((3, 2), bool)
    assert w.mask is None


# Devices


@pytest.mark.skipif(gpu_available(), reason="this machine has a GPU")
def test_a_gpu_where_there_is_none():
    model = md.nn.Linear(2, 3)
    before = model.weight.data
    for to in (Tensor([1.0]).to, model.to):
        with pytest.raises(RuntimeError, match=r"'gpu' was asked for, but .* use device 'cpu'"):
            to("gpu")
    assert model.weight.data is before


def test_an_unknown_device():
    for to in (Tensor([1.0]).to, md.nn.Linear(2, 3).to):
        with pytest.raises(ValueError, match="unknown device 'tpu': choose 'cpu' or 'gpu'"):
            to("tpu")


@pytest.mark.gpu
def test_there_and_back(rng):
    x = leaf(rng.standard_normal(3)).to("gpu")
    assert (x.device, x.requires_grad) == ("gpu", True)
    (x * x).sum().backward()
    assert md.backend.is_gpu_array(x.grad)
    np.testing.assert_allclose(to_numpy(x.grad), 2 * x.numpy())


def test_what_an_operation_returns_is_checked():
    """Without its vjp, a value of two rows would pass for a pair."""

    @md.op
    def forgotten(x):
        return x * 2

    @md.op
    def bare(x):
        return x * 2, (lambda dy: dy * 2)

    with pytest.raises(TypeError, match="forgotten: an operation returns a tuple"):
        forgotten(np.ones((2, 3)))
    with pytest.raises(TypeError, match=r"bare: an operation returns .* \(add a comma\?\)"):
        bare(np.ones(3))


def test_numbers_can_be_formatted():
    assert f"{md.Tensor(0.25):.3f}" == "0.250"


def test_gradients_of_sums_and_of_shared_results_are_their_own():
    """Not a repeated view of one number, and not each other's."""
    x = md.Tensor(np.ones(3), requires_grad=True)
    (x.sum() * 2).backward()
    x.grad *= 0.5
    assert x.grad.tolist() == [1, 1, 1]


def _the_same(a, b):
    each = once(lambda dy: dy * 2)
    return a + b, (each, each)


def _turned(a, b):  # one array, and a view of it
    each = once(lambda dy: dy * 2)
    return a + b.T, (each, lambda dy: each(dy).T)


def _parts(a, b):  # views of one array that do not overlap: to tell is more work than to copy
    whole = once(lambda dy: np.stack([dy * 2, dy * 2]))
    return a + b, (lambda dy: whole(dy)[0], lambda dy: whole(dy)[1])


def _what_it_was_given(a, b):  # d(a b): each gradient is the other's data
    return (a * b).sum(), (lambda dy: b, lambda dy: a)


def _what_it_got(a, b):
    return a + b, (lambda dy: dy, lambda dy: dy)


@pytest.mark.parametrize("function", [_the_same, _turned, _parts, _what_it_was_given, _what_it_got])
def test_leaves_keep_gradients_that_share_no_memory(function):
    """Clipping one gradient in place must change no other, no weight, and not what the caller passed in."""
    a, b = (md.Tensor(np.full((2, 2), 2.0), requires_grad=True) for _ in range(2))
    y = md.op(function)(a, b)
    dy = np.ones(y.shape)
    y.backward(dy)
    a.grad *= 0
    assert b.grad.tolist() == (np.full((2, 2), 1.0 if function is _what_it_got else 2.0)).tolist()
    b.grad *= 0
    for array, value in ((a.data, 2), (b.data, 2), (dy, 1)):
        np.testing.assert_array_equal(array, value)
