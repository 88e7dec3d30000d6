# %% [markdown]
# # 4. Backpropagation
#
# After this lesson you can
#
# * differentiate a neuron by hand with the chain rule, and check the result,
# * train a neuron by gradient descent, and say what the learning rate does,
# * write the backward pass of a two-layer network in five lines of NumPy,
# * say what an engine records, and what `backward()` does with it.
#
# It follows section 2.1.2 of the report: the chain rule and gradient descent.

# %%
import matplotlib.pyplot as plt
import numpy as np

import minidl as md
from minidl import functional as F

plt.rc("axes.spines", top=False, right=False)
md.manual_seed(0)

# %% [markdown]
# ## The chain rule, on one neuron
#
# A sigmoid neuron with one input $x$ shall answer $y$; its loss is the squared error. In small
# steps:
#
# $$s = w x + b, \qquad o = \sigma(s), \qquad L = (o - y)^2$$
#
# How does $L$ change with $w$? The chain rule $\frac{dL}{dX} = \frac{dL}{dY} \cdot \frac{dY}{dX}$
# walks back through the steps, from the last to the first, and multiplies their derivatives:
#
# $$\frac{dL}{do} = 2 (o - y), \qquad \frac{dL}{ds} = \frac{dL}{do} \cdot o (1 - o), \qquad
# \frac{dL}{dw} = \frac{dL}{ds} \cdot x, \qquad \frac{dL}{db} = \frac{dL}{ds}$$


# %%
def sigmoid(s):
    return 1 / (1 + np.exp(-s))


x, y = 2.0, 1.0
w, b = 0.5, -2.0

s = w * x + b  # forward
o = sigmoid(s)
L = (o - y) ** 2

dL_do = 2 * (o - y)  # backward
dL_ds = dL_do * o * (1 - o)
dL_dw = dL_ds * x
dL_db = dL_ds
print(f"L = {L:.4f}, dL/dw = {dL_dw:.6f}, dL/db = {dL_db:.6f}")

# %% [markdown]
# Never trust a derivative that was not checked. A central difference needs only the forward pass:


# %%
def loss(w, b):
    return (sigmoid(w * x + b) - y) ** 2


h = 1e-5
print(f"dL/dw = {(loss(w + h, b) - loss(w - h, b)) / (2 * h):.6f}")
print(f"dL/db = {(loss(w, b + h) - loss(w, b - h)) / (2 * h):.6f}")

# %% [markdown]
# ## The engine does the same
#
# A `Tensor` remembers the operation that made it, and what went in. `backward()` walks that graph
# from the loss to the leaves, and leaves each derivative in `.grad`:

# %%
w_, b_ = md.Tensor(np.array(w), requires_grad=True), md.Tensor(np.array(b), requires_grad=True)
L_ = (F.sigmoid(w_ * x + b_) - y) ** 2
L_.backward()
print(f"dL/dw = {w_.grad:.6f}, dL/db = {b_.grad:.6f}")

# %% [markdown]
# The graph that it recorded. Forward, values run along the arrows; backward, gradients run
# against them, and each operation multiplies by its own derivative:

# %%
md.plot.graph(L_, w=w_, b=b_)

# %% [markdown]
# ## Gradient descent
#
# The derivative says which way is up. So go the other way, a step of size $\eta$, the **learning
# rate**, and again:
#
# $$w \leftarrow w - \eta \frac{dL}{dw}, \qquad b \leftarrow b - \eta \frac{dL}{db}$$
#
# Let our neuron learn from eight examples: small $x$ shall give 0, large $x$ shall give 1. With
# two parameters we can draw the loss as a landscape, and watch the walk:

# %%
xs = np.array([-2.0, -1.5, -1.0, -0.3, 0.1, 0.9, 1.6, 2.2])
ys = np.array([0, 0, 0, 1, 0, 1, 1, 1])


def mean_loss(w, b):
    return ((F.sigmoid(w * xs + b) - ys) ** 2).mean()


def descend(rate, steps, start=(-2.0, 2.0)):
    w, b = (md.Tensor(np.array(v), requires_grad=True) for v in start)
    path = [start]
    for _ in range(steps):
        w.grad = b.grad = None  # backward adds to what is there
        mean_loss(w, b).backward()
        w.data = w.data - rate * w.grad
        b.data = b.data - rate * b.grad
        path.append((float(w.data), float(b.data)))
    return np.array(path)


ws, bs = np.meshgrid(np.linspace(-4, 7, 111), np.linspace(-4, 4, 81))
landscape = ((sigmoid(ws[..., None] * xs + bs[..., None]) - ys) ** 2).mean(axis=-1)
figure, axes = plt.subplots(1, 3, figsize=(8.5, 2.8), sharey=True, layout="constrained")
for ax, rate in zip(axes, (0.3, 3, 30)):
    path = descend(rate, steps=40)
    ax.contourf(ws, bs, landscape, levels=20, cmap="Blues_r")
    ax.plot(*path.T, "o-", color="#D55E00", markersize=3, linewidth=1)
    ax.plot(*path[0], "o", color="black")
    ax.set(
        title=rf"$\eta$ = {rate}: loss {mean_loss(*path[-1]).item():.3f}",
        xlabel="w",
        xlim=(-4, 7),
        ylim=(-4, 4),
    )
axes[0].set_ylabel("b")
plt.show()

# %% [markdown]
# Forty steps each, from the black dot. Too small a rate hardly arrives; too large a one jumps
# about, and may never settle. Trainings therefore often start with a warm-up, and let the rate
# fall towards the end (`md.optim.one_cycle`).
#
# ## Two layers by hand
#
# Now a network: two inputs, ten tanh neurons, two classes. Its forward pass is lesson 2, its loss
# lesson 3:
#
# $$H = X W_1 + b_1, \qquad A = \tanh H, \qquad G = A W_2 + b_2,
# \qquad L = \text{cross-entropy}(G, c)$$
#
# And backward, each line the chain rule through one step of it. Two rules are worth remembering:
# behind `Y = X @ W` the gradients are `X.T @ dY` by W and `dY @ W.T` by X; and a bias, added to
# every row, gets the sum over the rows.


# %%
def forward_backward(X, c, W1, b1, W2, b2):
    H = X @ W1 + b1  # (B, 10)
    A = np.tanh(H)
    G = A @ W2 + b2  # (B, 2)
    P = np.exp(G - G.max(axis=1, keepdims=True))
    P /= P.sum(axis=1, keepdims=True)
    L = -np.log(P[np.arange(len(X)), c]).mean()

    dG = (P - np.eye(2)[c]) / len(X)  # lesson 3: p - y
    dW2, db2 = A.T @ dG, dG.sum(axis=0)
    dA = dG @ W2.T
    dH = dA * (1 - A**2)  # tanh's slope
    dW1, db1 = X.T @ dH, dH.sum(axis=0)
    return L, (dW1, db1, dW2, db2)


rng = np.random.default_rng(0)
turn = rng.uniform(0, np.pi, 200)
c = np.arange(200) % 2  # two half moons
X = np.stack([np.cos(turn) * (1 - 2 * c) + c, np.sin(turn) * (1 - 2 * c) + 0.4 * c], axis=1)
X += 0.12 * rng.standard_normal(X.shape)
parameters = [0.5 * rng.standard_normal(shape) for shape in [(2, 10), 10, (10, 2), 2]]

# %% [markdown]
# Against the engine, which knows only the forward pass:

# %%
L, by_hand = forward_backward(X, c, *parameters)
W1, b1, W2, b2 = leaves = [md.Tensor(p, requires_grad=True) for p in parameters]
loss_ = F.cross_entropy(F.tanh(X @ W1 + b1) @ W2 + b2, c)
loss_.backward()
print([float(np.abs(ours - theirs.grad).max()) for ours, theirs in zip(by_hand, leaves)])

# %% [markdown]
# Equal to rounding. What it went through, with the shape of each value:

# %%
md.plot.graph(loss_, W1=W1, b1=b1, W2=W2, b2=b2)

# %% [markdown]
# Gradient descent with our own backward pass, and what the network answers on
# the way. The black line is where both classes are equally likely:

# %%
losses, snapshots = [], {}
for step in range(1001):
    L, gradients = forward_backward(X, c, *parameters)
    losses.append(L)
    if step in (0, 100, 1000):
        snapshots[step] = [p.copy() for p in parameters]
    parameters = [p - 0.5 * g for p, g in zip(parameters, gradients)]


def probability_of_1(points, W1, b1, W2, b2):
    return F.softmax(np.tanh(points @ W1 + b1) @ W2 + b2).data[:, 1]


x1, x2 = np.meshgrid(np.linspace(-1.6, 2.6, 120), np.linspace(-1.2, 1.7, 90))
points = np.stack([x1.ravel(), x2.ravel()], axis=1)
figure, axes = plt.subplots(1, 4, figsize=(9, 2.5), layout="constrained")
axes[0].plot(losses, color="#D55E00")
axes[0].set(xlabel="step", ylabel="loss", ylim=(0, None))
for ax, (step, snapshot) in zip(axes[1:], snapshots.items()):
    p = probability_of_1(points, *snapshot).reshape(x1.shape)
    ax.contourf(x1, x2, p, levels=np.linspace(0, 1, 21), cmap="RdBu_r", alpha=0.7)
    ax.contour(x1, x2, p, levels=[0.5], colors="black", linewidths=1)
    ax.scatter(*X.T, c=c, cmap="RdBu_r", s=14, edgecolors="white", linewidths=0.4)
    ax.set(title=f"step {step}", xticks=[], yticks=[])
plt.show()

# %% [markdown]
# ## Why backward, and not forward?
#
# One backward pass gives the derivative by *every* parameter, for about twice the work of a
# forward pass. Difference quotients would take two forward passes for each parameter: for
# ResNet18's eleven million, twenty-two million of them. That is the whole reason why networks can
# be trained.
#
# A value that is used twice gets the **sum** of both gradients: $L = x \cdot x$ has
# $dL/dx = x + x$. Engines add up, and this is why `.grad` must be forgotten before the next step.

# %%
x = md.Tensor(np.array(3.0), requires_grad=True)
(x * x).backward()
print("after one backward: ", x.grad)
(x * x).backward()
print("after a second one: ", x.grad)

# %% [markdown]
# ## Exercises
#
# **1. By hand.** Differentiate $L = \log(1 + e^{-y (w x + b)})$ by $w$ and $b$ (the loss of
# logistic regression, with $y = \pm 1$). Check it with the engine.

# %%
# your derivatives

# %% tags=["hide-cell", "solution"]
x, y, w, b = 1.5, -1.0, 0.3, 0.2
dL_ds = -y * sigmoid(-y * (w * x + b))  # s = w x + b
w_, b_ = md.Tensor(np.array(w), requires_grad=True), md.Tensor(np.array(b), requires_grad=True)
(1 + (-y * (w_ * x + b_)).exp()).log().backward()
assert np.isclose(w_.grad, dL_ds * x)
assert np.isclose(b_.grad, dL_ds)

# %% [markdown]
# **2. Momentum.** Instead of $w \leftarrow w - \eta g$ let $v \leftarrow \mu v + g$ and
# $w \leftarrow w - \eta v$: a ball that keeps rolling. Add it to `descend`, with $\mu = 0.9$ and
# $\eta = 0.3$. Does it get further in forty steps?

# %%
# your descend


# %% tags=["hide-cell", "solution"]
def descend_with_momentum(rate, steps, momentum, start=(-2.0, 2.0)):
    parameters = [md.Tensor(np.array(v), requires_grad=True) for v in start]
    velocity = [0.0, 0.0]
    for _ in range(steps):
        for p in parameters:
            p.grad = None
        mean_loss(*parameters).backward()
        velocity = [momentum * v + p.grad for v, p in zip(velocity, parameters)]
        for p, v in zip(parameters, velocity):
            p.data = p.data - rate * v
    return [float(p.data) for p in parameters]


plain, rolling = descend(0.3, 40)[-1], descend_with_momentum(0.3, 40, momentum=0.9)
print(f"plain {mean_loss(*plain).item():.3f}, with momentum {mean_loss(*rolling).item():.3f}")
assert mean_loss(*rolling).item() < mean_loss(*plain).item()
assert np.allclose(descend_with_momentum(0.3, 40, momentum=0), plain)

# %% [markdown]
# **3. Find the bug.** This backward pass of $\tanh(X W)$ runs, has the right shapes, and even
# learns a little. `md.testing.check_gradients` compares an operation's gradients with difference
# quotients. Let it tell you by how much they differ, then mend the operation. (`@md.op` makes an
# operation of a value and its gradients: lesson
# 12.)


# %%
@md.op
def tanh_layer(X, W):
    H = X @ W
    slope = 1 - H**2
    return np.tanh(H), (lambda dy: (dy * slope) @ W.T, lambda dy: X.T @ (dy * slope))


rng = np.random.default_rng(2)
X, W = rng.standard_normal((4, 3)), rng.standard_normal((3, 2))
# md.testing.check_gradients(tanh_layer, X, W)


# %% tags=["hide-cell", "solution"]
@md.op
def mended(X, W):
    A = np.tanh(X @ W)
    slope = 1 - A**2  # tanh's slope by its value, not by what went in
    return A, (lambda dy: (dy * slope) @ W.T, lambda dy: X.T @ (dy * slope))


message = "no complaint"
try:
    md.testing.check_gradients(tanh_layer, X, W)
except AssertionError as error:
    message = str(error)
print(message)
assert "gradient by input 0" in message
assert md.testing.check_gradients(mended, X, W)

# %% [markdown]
# **Next:** [why deep networks were hard to train](05_vanishing_gradients.ipynb).
