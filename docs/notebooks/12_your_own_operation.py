# %% [markdown]
# # 12. An operation of your own
#
# After this lesson you can
#
# * add a differentiable operation to the engine,
# * write the gradient of a matrix operation without indices,
# * check any gradient against finite differences, and read what the check says,
# * find the bug in a gradient.
#
# It is lesson 4 once more, from the engine's side.

# %%
import matplotlib.pyplot as plt
import numpy as np
from answers import judge

import minidl as md
from minidl import functional as F
from minidl import nn
from minidl.testing import check_gradients

plt.rc("axes.spines", top=False, right=False)
seed = 0  # of all random numbers; what is said below also holds for 1 and 2
rng = np.random.default_rng(seed)

# %% [markdown]
# ## A value and its vector-Jacobian product
#
# The chain rule asks little of an operation $y = f(x)$: given $dy$, the gradient of the loss by its
# result, it must return $dx$, the gradient by its argument. That is the vector-Jacobian product of
# lesson 0, $dx = J^T dy$. The **Jacobian** $J$ is the matrix of the derivatives of each number of
# $y$ by each number of $x$, and it is itself never needed. In minidl both stand side by side, over
# plain NumPy arrays. Guess the gradient at 1, 2 and 3:


# %%
@md.op
def cube(x):
    return x**3, (lambda dy: dy * 3 * x**2,)


x = md.Tensor([1.0, 2.0, 3.0], requires_grad=True)
cube(x).sum().backward()
x.grad

# %% tags=["hide-input"]
assert np.array_equal(x.grad, [3, 12, 27])

# %% [markdown]
# `@md.op` does the rest: it takes tensors apart, records the operation in the graph, and lets
# `backward` call the function that you gave. What stands after the value is a tuple with one
# function for each argument, hence the comma behind the only one.
#
# ## Never without a check
#
# `check_gradients` calls your operation in float64, and compares the slope along a random
# direction $u$: once from your gradient, once as a central difference
#
# $$\frac{L(x + h u) - L(x - h u)}{2 h}$$

# %%
check_gradients(cube, rng.standard_normal(5))

# %% [markdown]
# Why $h = 10^{-5}$? Write both sides as Taylor series. The slope is in the difference; the terms in
# $f''$ are the same on both sides, and cancel. What is left of the error is $h^2 f''' / 6$, so the
# smaller the step the better, until the difference of two nearly equal numbers drowns in their
# rounding. The error of the difference quotient of $x^3$ at 1, where $f''' / 6 = 1$, against the
# step, in both precisions. Guess where each line is lowest:

# %%
figure, ax = plt.subplots(figsize=(5, 2.8))
steps = np.geomspace(1e-12, 1, 100)
errors = {}
for dtype, color in ((np.float64, "#0072B2"), (np.float32, "#D55E00")):
    h = steps.astype(dtype)
    quotient = ((dtype(1) + h) ** 3 - (dtype(1) - h) ** 3) / (2 * h)
    errors[dtype] = np.abs(quotient - 3)
    ax.loglog(steps, np.maximum(errors[dtype], 1e-17), color=color, label=dtype.__name__)
ax.loglog(steps, steps**2, ":", color="black", label="$h^2$")
ax.axvline(1e-5, color="0.7", linewidth=0.8)
ax.set(xlabel="step h", ylabel="error of the slope", ylim=(1e-12, 10))
ax.legend(frameon=False)
plt.show()
for dtype, error in errors.items():
    low = np.median(steps[np.argsort(error)[:9]])  # of the nine best, as single ones are luck
    print(f"{dtype.__name__}: best at about {low:.0e}")

# %% tags=["hide-input"]
large = steps > 1e-3
assert np.allclose(errors[np.float64][large], steps[large] ** 2, rtol=1e-3)
assert errors[np.float64][abs(np.log10(steps) + 5) < 0.5].max() < 1e-8
assert np.median(errors[np.float32][(steps > 3e-4) & (steps < 3e-2)]) > 1e-5
assert errors[np.float32][steps < 1e-4].max() > 1e-3

# %% [markdown]
# In float32 one gets four or five digits, at a step that must be just right: no way to tell a small
# bug from rounding. So gradients are checked in float64, where $10^{-5}$ leaves eight digits and
# more.
#
# ## Several arguments, and matrices
#
# An operation $y = x A x^T$, row by row: $y_r = \sum_{ij} x_{ri} A_{ij} x_{rj}$. To find the
# gradients without drowning in indices, write down how $y$ changes:
#
# $$\delta y_r = \delta x_r \, A x_r^T + x_r \, \delta A \, x_r^T + x_r A \, \delta x_r^T$$
#
# What stands beside $\delta x_r$ is $A x_r^T + A^T x_r^T$, and beside $\delta A_{ij}$ stands
# $x_{ri} x_{rj}$. Shapes tell where to put things: `dx` has the shape of `x`, `dA` that of `A`.


# %%
@md.op
def quadratic(x, A):
    y = ((x @ A) * x).sum(axis=1)  # (B, n), (n, n) -> (B,)

    def dx(dy):
        return dy[:, None] * (x @ A + x @ A.T)

    def dweights(dy):
        return x.T @ (dy[:, None] * x)

    return y, (dx, dweights)


check_gradients(quadratic, rng.standard_normal((4, 3)), rng.standard_normal((3, 3)))

# %% [markdown]
# Broadcasting is the engine's business: where an argument was stretched to fit, it sums the
# gradient back. So a scale for each channel needs no care:


# %%
@md.op
def scale(x, s):
    return x * s, (lambda dy: dy * s, lambda dy: dy * x)


check_gradients(scale, rng.standard_normal((2, 4, 4, 3)), rng.standard_normal(3))

# %% [markdown]
# ## Using it
#
# An activation of our own: **swish** is $x \, s$ with $s = \operatorname{sigmoid}(x)$ (Ramachandran
# et al. 2017). Its slope is $s + x s (1 - s)$. A layer is a Python class with a `forward` (lesson
# 5). Guess whether it beats ReLU on the digits:


# %%
@md.op
def swish(x):
    s = 1 / (1 + np.exp(-x))
    return x * s, (lambda dy: dy * (s + x * s * (1 - s)),)


class Swish(nn.Module):
    def forward(self, x):
        return swish(x)


check_gradients(swish, rng.standard_normal(10))

# %%
figure, axes = plt.subplots(1, 2, figsize=(8, 2.6), layout="constrained")
x = md.Tensor(np.linspace(-5, 5, 200), requires_grad=True)
y = swish(x)
y.sum().backward()
axes[0].plot(x.data, y.data, label="swish")
axes[0].plot(x.data, x.grad, "--", label="its slope")
axes[0].legend(frameon=False)

train, val = md.data.digits("train"), md.data.digits("val")
ends = {}
for activation, style in ((nn.ReLU, "--"), (Swish, "-")):
    md.manual_seed(seed)
    model = nn.Sequential(
        nn.Normalize(0.5, 0.25), nn.Flatten(), nn.Linear(64, 64), activation(), nn.Linear(64, 10)
    )
    batches = md.data.Loader(*train, batch_size=64, augment=False, seed=seed)
    optimizer = md.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    check = md.data.Loader(*val, batch_size=360, shuffle=False)
    curve = md.fit(model, batches, optimizer, epochs=12, validation=check, progress=False)
    ends[activation.__name__] = curve[-1].val_accuracy
    axes[1].plot(
        range(1, 13),
        [100 * epoch.val_accuracy for epoch in curve],
        style,
        label=activation.__name__,
    )
axes[1].set(xlabel="epoch", ylabel="accuracy on unseen digits (%)", ylim=(80, 100))
axes[1].legend(frameon=False)
plt.show()
print(*(f"{name}: {end:.1%}" for name, end in ends.items()), sep=", ")

# %% tags=["hide-input"]
assert abs(ends["Swish"] - ends["ReLU"]) < 0.02

# %% [markdown]
# On these digits it makes no difference: less than two points, which is less than one accuracy of
# 360 images is known by.
#
# ## What the check cannot know
#
# At a kink a function has no derivative, and the difference quotient looks to both sides. Keep
# test points away from kinks. Guess what the quotient says of ReLU at 0:

# %%
try:
    check_gradients(F.relu, np.array([0.0, 1.0]))
except AssertionError as error:
    print(error)
check_gradients(F.relu, np.array([0.5, 1.0]))

# %% [markdown]
# And some gradients are wrong on purpose. Rounding has slope 0 almost everywhere, so nothing before
# it could learn. A **straight-through gradient** pretends that an operation was the identity. The
# check tells you that you lie, which is its business:


# %%
@md.op
def straight_through_round(x):
    return np.round(x), (lambda dy: dy,)


try:
    check_gradients(straight_through_round, np.array([0.3, 1.7]))
except AssertionError as error:
    print(error)

# %% [markdown]
# ## Find the bug
#
# Layer normalisation gives each row of `x` mean 0 and variance 1. This operation has the right
# value, and a gradient of the right shape. The gradient is wrong. Run the check, read what it says,
# and mend it. *Hint: what in $\hat x = (x - \mu) / s$ depends on $x$?*


# %%
@md.op
def layer_norm(x):
    mean = x.mean(axis=1, keepdims=True)
    s = np.sqrt(x.var(axis=1, keepdims=True) + 1e-5)
    y = (x - mean) / s
    return y, (lambda dy: (dy - dy.mean(axis=1, keepdims=True)) / s,)


# check_gradients(layer_norm, rng.standard_normal((4, 6)))
mended = ...  # your operation
judge("12.0", mended)


# %% tags=["hide-cell", "solution"]
@md.op
def layer_norm_mended(x):
    mean = x.mean(axis=1, keepdims=True)
    s = np.sqrt(x.var(axis=1, keepdims=True) + 1e-5)
    y = (x - mean) / s

    def dx(dy):  # the deviation s depends on x as well: the part of dy along y goes too
        along = (dy * y).mean(axis=1, keepdims=True)
        return (dy - dy.mean(axis=1, keepdims=True) - y * along) / s

    return y, (dx,)


message = "no complaint"
try:
    check_gradients(layer_norm, rng.standard_normal((4, 6)))
except AssertionError as error:
    message = str(error)
print(message)
assert "slope along a random direction" in message
assert check_gradients(layer_norm_mended, rng.standard_normal((4, 6)))
assert judge("12.0", layer_norm_mended)

# %% [markdown]
# ## More exercises
#
# **1. Softplus.** Write $\log(1 + e^x)$ as an operation that does not overflow at $x = 1000$,
# with its gradient, and check it.

# %%
softplus = ...  # your operation
judge("12.1", softplus)


# %% tags=["hide-cell", "solution"]
@md.op
def softplus(x):
    small = np.exp(-np.abs(x))  # exp of negative numbers only
    sigmoid = np.where(x >= 0, 1, small) / (1 + small)
    return np.maximum(x, 0) + np.log1p(small), (lambda dy: dy * sigmoid,)


assert check_gradients(softplus, rng.standard_normal(10))
assert softplus(np.array([1000.0, -1000.0])).data.tolist() == [1000.0, 0.0]
assert judge("12.1", softplus)

# %% [markdown]
# **2. The largest.** Write `largest(x)`, the largest value of each row, with a gradient that goes
# to that value alone. What happens where two are equal?

# %%
largest = ...  # your operation
judge("12.2", largest)


# %% tags=["hide-cell", "solution"]
@md.op
def largest(x):
    where = x.argmax(axis=1)
    rows = np.arange(len(x))

    def dx(dy):
        gradient = np.zeros_like(x)
        gradient[rows, where] = dy
        return gradient

    return x[rows, where], (dx,)


assert check_gradients(largest, rng.standard_normal((5, 4)))
# Where two are equal there is a kink: argmax takes the first, and the check complains.
assert largest(np.array([[1.0, 1.0]])).data == 1
assert judge("12.2", largest)

# %% [markdown]
# **3. A convolution.** Wrap the plain loops of `minidl.kernels.loops` into an operation of an image
# and its kernels, with stride 1 and no padding, and check it. The loops are three functions: the
# convolution, which lesson 6 has used, and its gradients by the image and by the kernels.

# %%
import inspect

from minidl.kernels import loops

for function in (loops.conv2d, loops.conv2d_grad_input, loops.conv2d_grad_weight):
    print(function.__name__, *inspect.signature(function).parameters, sep=", ")
stride, padding = (1, 1), (0, 0)
slow_conv = ...  # your operation
judge("12.3", slow_conv)


# %% tags=["hide-cell", "solution"]
@md.op
def slow_conv(x, weight):
    y = loops.conv2d(x, weight, None, stride, padding)  # None: no bias
    return y, (
        lambda dy: loops.conv2d_grad_input(dy, weight, x.shape, stride, padding),
        lambda dy: loops.conv2d_grad_weight(dy, x, weight.shape, stride, padding),
    )


x, weight = rng.standard_normal((1, 5, 5, 2)), rng.standard_normal((3, 3, 3, 2))
assert check_gradients(slow_conv, x, weight)
assert np.allclose(slow_conv(x, weight).data, F.conv2d(x, weight).data)
assert judge("12.3", slow_conv)

# %% [markdown]
# From here: [how to add an operation](../adding_an_operation.md) to minidl itself,
# [how its kernels work](../kernels.md), and the code, which is meant to be read.
#
# **Next:** [why one step is not enough](13_many_steps.ipynb).
