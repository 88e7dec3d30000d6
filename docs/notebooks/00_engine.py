# %% [markdown]
# # 0. The engine, in sixty lines
#
# Before the mathematics comes the machine: in this lesson you write, from nothing but NumPy, what
# PyTorch, JAX and minidl are at their hearts. After it you can
#
# * say what a *tensor*, an *operation* and a *graph* are,
# * write the chain rule as a loop of a dozen lines, and say why it needs no more,
# * train a network with it,
# * find the same pieces in `minidl/tensor.py` and `minidl/graph.py`, and say what these have more.
#
# You need Python, NumPy and the chain rule. What the network *is*, and why it learns, is the matter
# of lessons 1 to 4; who prefers to begin there can come back here before lesson 4.

# %%
import sys
import textwrap
import weakref
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from answers import judge

import minidl as md

plt.rc("axes.spines", top=False, right=False)
seed = 0  # of all random numbers; what is said below also holds for 1 and 2

# %% [markdown]
# ## What it is for
#
# The **loss** is the single number at the end of a computation, and training makes it small. Take
# $L = (w x + b)^2$. We want $dL/dw$, $dL/dx$ and $dL/db$. By hand: name what comes between,
# $u = w x$ and $s = u + b$, and go from the end to the beginning,
#
# $$\frac{dL}{ds} = 2 s, \qquad \frac{dL}{du} = \frac{dL}{ds} \cdot 1, \qquad
# \frac{dL}{db} = \frac{dL}{ds} \cdot 1, \qquad \frac{dL}{dw} = \frac{dL}{du}\, x, \qquad
# \frac{dL}{dx} = \frac{dL}{du}\, w$$
#
# An **operation** is a function of arrays whose derivative is known. Each step knows one of them,
# and multiplies what arrives from its right by its derivative. An engine does these steps for you.
# The **graph** of a computation is the record that it needs: which operations there were, what they
# were given, and in which order.
#
# ## A tensor remembers where it came from
#
# The **gradient** by an array is the array of the loss's derivatives by each of its numbers, and
# has the same shape. A **tensor** is an array, the tensors it was computed from, and for each of
# these a function. The **vector-Jacobian product** (`vjp`) of an operation is the function that
# makes the gradient by what went in from the gradient by what came out.


# %%
class Tensor:
    made = 0

    def __init__(self, data, sources=(), vjps=()):
        self.data, self.grad = np.asarray(data, float), None
        self.sources, self.vjps = sources, vjps
        Tensor.made += 1
        self.number = Tensor.made  # what is computed later has the larger number

    def __add__(self, other):
        return add(self, other)

    def __mul__(self, other):
        return multiply(self, other)

    def __matmul__(self, other):
        return matmul(self, other)


# %% [markdown]
# ## An operation is its value and its gradients, side by side
#
# The mathematics of each is one line, over plain arrays. `matmul`'s is derived in lesson 4, and
# `cross_entropy`'s in lesson 3; here, take them as given. `op` does the remembering:


# %%
def op(function):
    def remembered(*arguments):
        tensors = [a if isinstance(a, Tensor) else Tensor(a) for a in arguments]
        value, vjps = function(*[tensor.data for tensor in tensors])
        return Tensor(value, tensors, vjps)

    return remembered


@op
def add(x, y):
    return x + y, (lambda dz: dz, lambda dz: dz)


@op
def multiply(x, y):
    return x * y, (lambda dz: dz * y, lambda dz: dz * x)


@op
def matmul(x, y):
    return x @ y, (lambda dz: dz @ y.T, lambda dz: x.T @ dz)


@op
def relu(x):
    return np.maximum(x, 0), (lambda dy: dy * (x > 0),)


@op
def cross_entropy(logits, wanted):  # wanted: a row for each image, 1 at its class (lesson 3)
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    loss = -(wanted * np.log(p + 1e-12)).sum() / len(p)
    return loss, (lambda d: d * (p - wanted) / len(p), None)  # None: nobody trains the labels


# %% [markdown]
# ## The chain rule is a loop
#
# Take the tensor that was made last; everything that uses it has been dealt with, so its gradient
# is complete. Hand the gradient on to its sources. If one of them has a gradient already, because
# it was used twice, *add*: $L(u, v)$ with $u = u(x)$ and $v = v(x)$ has $dL/dx = dL/du\; du/dx +
# dL/dv\; dv/dx$. **Broadcasting** is NumPy's way to repeat an array along an axis so that its shape
# fits, as when a row is added to each row of a matrix. What was repeated was used several times,
# and gets the sum of these gradients: `fit` sees to it.


# %%
def backward(loss):
    gradients = {loss: np.ones_like(loss.data)}
    while gradients:
        tensor = max(gradients, key=lambda t: t.number)
        d = gradients.pop(tensor)
        if not tensor.sources:
            tensor.grad = d
        for source, vjp in zip(tensor.sources, tensor.vjps):
            if vjp is not None:
                gradients[source] = gradients.get(source, 0) + fit(vjp(d), source.data.shape)


def fit(gradient, shape):  # undo broadcasting: what was repeated gets the sum of all its gradients
    while gradient.ndim > len(shape):
        gradient = gradient.sum(axis=0)
    for axis, size in enumerate(shape):
        if size == 1:
            gradient = gradient.sum(axis=axis, keepdims=True)
    return gradient


# %% [markdown]
# That is all of it. Guess first: what are the three derivatives of $(w x + b)^2$ at
# $w = 2, x = 3, b = 1$?

# %%
w, x, b = Tensor(2.0), Tensor(3.0), Tensor(1.0)
s = w * x + b
backward(s * s)  # s is used twice
print("dL/dw =", w.grad, "  dL/dx =", x.grad, "  dL/db =", b.grad)

# %% tags=["hide-input"]
assert (w.grad, x.grad, b.grad) == (42, 28, 14)

# %% [markdown]
# ## A network
#
# It reads the 8 x 8 digits: $\max(x W_1 + b_1, 0)\, W_2 + b_2$, ten numbers for each image $x$, of
# which the largest is its answer (lessons 1 and 2 say why it looks like this). The **weights** of a
# network are the numbers that training changes. They begin at random. **Gradient descent** moves
# each weight a little against its gradient, again and again. The digits are 1437 images to learn
# from (`"train"`) and 360 to be examined on (`"val"`), each 8 x 8 pixels between 0 and 1. Guess how
# many of the 360 are read rightly after 300 steps; one answer in ten would be right by chance.

# %%
train, val = md.data.digits("train"), md.data.digits("val")
rng = np.random.default_rng(seed)
W1, b1 = Tensor(rng.normal(0, 0.2, (64, 40))), Tensor(np.zeros(40))
W2, b2 = Tensor(rng.normal(0, 0.2, (40, 10))), Tensor(np.zeros(10))


def network(images):
    x = Tensor(images.reshape(len(images), 64))
    return relu(x @ W1 + b1) @ W2 + b2


def accuracy(images, labels):
    return (network(images).data.argmax(axis=1) == labels).mean()


wanted = np.eye(10)[train.labels]  # one row an image, 1 at its class
losses, right = [], []
for _ in range(300):
    loss = cross_entropy(network(train.images), wanted)
    backward(loss)
    for weight in (W1, b1, W2, b2):
        weight.data = weight.data - 0.5 * weight.grad
    losses.append(float(loss.data))
    right.append(accuracy(*val))

figure, axes = plt.subplots(1, 2, figsize=(8, 2.8))
axes[0].plot(losses)
axes[0].set(xlabel="step", ylabel="loss on 1437 images")
axes[1].plot(right)
axes[1].set(xlabel="step", ylabel="right of 360 new images", ylim=(0, 1))
figure.tight_layout()
plt.show()
print(f"right at the end: {right[-1]:.1%}")

# %% tags=["hide-input"]
assert right[-1] > 0.93
assert losses[-1] < losses[0] / 4

# %% [markdown]
# Can the gradients be trusted? A **difference quotient**, $(L(w + h) - L(w - h)) / 2h$, tells how
# much the loss changes when one weight is changed by a little $h$, and needs no engine. (How small
# $h$ should be: lesson 12.) Guess how many digits will agree:

# %%
loss = cross_entropy(network(train.images), wanted)
backward(loss)
h, place = 1e-5, (20, 3)
sides = []
for change in (h, -h):
    W1.data[place] += change
    sides.append(float(cross_entropy(network(train.images), wanted).data))
    W1.data[place] -= change
print(f"by the engine:             {W1.grad[place]:.8e}")
print(f"by a difference quotient:  {(sides[0] - sides[1]) / (2 * h):.8e}")

# %% tags=["hide-input"]
assert np.isclose(W1.grad[place], (sides[0] - sides[1]) / (2 * h), rtol=1e-5, atol=1e-9)

# %% [markdown]
# ## Beside minidl's
#
# `minidl/tensor.py` and `minidl/graph.py` are the same three pieces: `Tensor`, `op`, and
# `backward`. Without their documentation they have some 290 lines, where yours has sixty. What
# are the others for?
#
# * Yours keeps every array as long as the loss is held. In minidl a `Node` of its own
#   remembers the sources, and no values; `backward` frees each array as soon as it has served,
#   and when the loss is forgotten the whole graph is gone at once.
# * Yours remembers everything. minidl remembers what depends on something with `requires_grad`, and
#   nothing within `no_grad()`: to evaluate takes no memory for a graph.
# * Yours computes all gradients. `backward(inputs=[x])` computes only what leads to `x`: an
#   attack wants the gradient by the image, and skips the weights', about a third of the work.
# * Yours overwrites `grad`. minidl's add up, so that several losses may share a step, and a
#   warning comes when an optimiser, the part that takes the steps, has used them already: the usual
#   mistake.
# * Yours computes in float64, minidl in the precision of the data: float32 is about twice as
#   fast, and float64 checks it.
# * A wrong shape fails somewhere in yours. In minidl each message begins with the operation's
#   name, says what was given, and what to do.
#
# The first of these can be seen. Guess: is the array in the middle, `hidden`, still there, after
# `backward` and with nobody but the loss to hold it?

# %%
x = Tensor(val.images.reshape(360, 64))
hidden = relu(x @ W1 + b1)
loss = cross_entropy(hidden @ W2 + b2, np.eye(10)[val.labels])
ours = weakref.ref(hidden.data)
del hidden
backward(loss)

w1, w2 = (md.Parameter(w.data) for w in (W1, W2))
hidden = md.functional.relu(md.Tensor(x.data) @ w1)
mean_loss = md.functional.cross_entropy(hidden @ w2, val.labels)
theirs = weakref.ref(hidden.data)
del hidden
mean_loss.backward()
print("yours still there:", ours() is not None, "  minidl's:", theirs() is not None)

# %% tags=["hide-input"]
assert ours() is not None
assert theirs() is None

# %% [markdown]
# ## One training step through the house
#
# Now minidl's own: a step of a small network (that of lesson 7), and the files that it passes
# through, in the order in which it meets them. `kernels.using("portable")` takes what is written in
# plain NumPy, which reads best. Python itself tells us where it is (`sys.setprofile`); beside
# each file is what it says of itself in its first line. Guess how many files there are:

# %%
model = md.nn.Sequential(
    md.nn.Conv2d(1, 8, 3), md.nn.ReLU(), md.nn.MaxPool2d(2), md.nn.Flatten(), md.nn.Linear(72, 10)
)
optimizer = md.optim.SGD(model.parameters(), lr=0.1)
house = Path(md.__file__).parent
met = []


def notice(frame, event, argument):
    path = Path(frame.f_code.co_filename)
    if path.is_relative_to(house) and path not in met:
        met.append(path)


with md.kernels.using("portable"):
    sys.setprofile(notice)
    loss = md.functional.cross_entropy(model(md.Tensor(val.images[:32])), val.labels[:32])
    loss.backward()
    optimizer.step()
    sys.setprofile(None)

print(len(met), "files")
for path in met:
    first = path.read_text(encoding="utf-8").partition("\n")[0].strip('"')
    says = textwrap.shorten(first, 88, placeholder=" ...")
    print(f"{path.relative_to(house).as_posix():26} {says}")

# %% [markdown]
# Read them in this order, with the debugger or with an editor: `nn` says what a network is made of,
# `functional` what each piece computes and the gradient beside it, `kernels/portable.py` how,
# `tensor.py` records it, `graph.py` is the loop you wrote, and `optim` takes the step. It is an
# afternoon.
#
# ## Exercises
#
# **1. One more operation.** Give your engine `tanh(x)`, whose slope is $1 - \tanh^2 x$, and
# check it with a difference quotient.

# %%
tanh = ...  # your operation
judge("0.1", tanh)


# %% tags=["hide-cell", "solution"]
@op
def tanh(x):
    y = np.tanh(x)
    return y, (lambda dy: dy * (1 - y**2),)


assert judge("0.1", tanh)
x = Tensor(0.3)
backward(tanh(x))
h = 1e-6
assert np.isclose(x.grad, (np.tanh(0.3 + h) - np.tanh(0.3 - h)) / (2 * h))

# %% [markdown]
# **2. Why the order matters.** Let the loop take *any* tensor that has a gradient, such as the
# first: `next(iter(gradients))` for `max(...)`. On which computation is the result wrong, and
# why? Find the smallest one.

# %%
computation = ...  # a function of a tensor, such as lambda x: x * x
judge("0.2", computation, Tensor)


# %% tags=["hide-cell", "solution"]
def backward_in_any_order(loss):
    gradients = {loss: np.ones_like(loss.data)}
    while gradients:
        tensor = next(iter(gradients))
        d = gradients.pop(tensor)
        if not tensor.sources:
            tensor.grad = d
        for source, vjp in zip(tensor.sources, tensor.vjps):
            if vjp is not None:
                gradients[source] = gradients.get(source, 0) + fit(vjp(d), source.data.shape)


# x is used twice. It is taken when only one of its two gradients is there, and then overwritten
# by the other.
def gradient(rule):
    x = Tensor(2.0)
    rule(x + x * x)
    return float(x.grad)


assert gradient(backward) == 5  # 1 + 2 x
assert gradient(backward_in_any_order) != 5
assert judge("0.2", lambda x: x + x * x, Tensor)

# %% [markdown]
# **3. Forgetting.** After `backward(loss)` your engine still holds every array of the
# computation. Which line would you add so that the arrays of an operation are freed as soon as
# its gradients are handed on? What can then no longer be done?

# %%
forgetful = ...  # your backward
judge("0.3", forgetful, Tensor)


# %% tags=["hide-cell", "solution"]
def backward_and_forget(loss):
    gradients = {loss: np.ones_like(loss.data)}
    while gradients:
        tensor = max(gradients, key=lambda t: t.number)
        d = gradients.pop(tensor)
        if not tensor.sources:
            tensor.grad = d
        for source, vjp in zip(tensor.sources, tensor.vjps):
            if vjp is not None:
                gradients[source] = gradients.get(source, 0) + fit(vjp(d), source.data.shape)
        tensor.sources, tensor.vjps = (), ()  # the line: the functions held the arrays


x = Tensor(3.0)
y = x * x
backward_and_forget(y)
assert x.grad == 6
assert y.vjps == ()  # a second backward pass through y would find nothing
assert judge("0.3", backward_and_forget, Tensor)

# %% [markdown]
# **Next:** [what a neuron is](01_neuron.ipynb).
