# %% [markdown]
# # 4. Backpropagation
#
# After this lesson you can
#
# * differentiate a neuron by hand with the chain rule, and check the result,
# * train a neuron by gradient descent, and say what the learning rate does,
# * write the backward pass of a two-layer network in five lines of NumPy,
# * say what an engine records, and what `backward()` does with it,
# * write `md.fit` in ten lines: epochs, mini-batches, shuffling, momentum.
#
# It follows section 2.1.2 of the report: the chain rule and gradient descent.

# %%
import matplotlib.pyplot as plt
import numpy as np
from answers import judge

import minidl as md
from minidl import functional as F

plt.rc("axes.spines", top=False, right=False)
seed = 0  # of all random numbers; what is said below also holds for 1 and 2

# %% [markdown]
# ## The chain rule, on one neuron
#
# A sigmoid neuron with one input $x$ shall answer $y$; its loss is the squared error. In small
# steps:
#
# $$s = w x + b, \qquad o = \operatorname{sigmoid}(s), \qquad L = (o - y)^2$$
#
# How does $L$ change with $w$? The chain rule $\frac{dL}{dX} = \frac{dL}{dY} \cdot \frac{dY}{dX}$
# walks back through the steps, from the last to the first, and multiplies their derivatives.
# **Backpropagation** is to compute gradients in this order, from the loss back. Guess the sign of
# $dL/dw$: here $x = 2$, and the neuron answers less than it should.
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

# %% tags=["hide-input"]
assert np.isclose(dL_dw, (loss(w + h, b) - loss(w - h, b)) / (2 * h))
assert np.isclose(dL_db, (loss(w, b + h) - loss(w, b - h)) / (2 * h))

# %% [markdown]
# ## The engine does the same
#
# A `Tensor` remembers the operation that made it, and what went in. It takes part in formulas as an
# array does: `+ - * / @ **`, and methods such as `t.exp()`, `t.log()`, `t.sum()` and `t.mean()`.
# `backward()` walks that graph from the loss to its *leaves*, the tensors that were not computed
# from others, and puts each derivative into their `.grad`. Guess whether all six digits will agree:

# %%
w_, b_ = md.Tensor(np.array(w), requires_grad=True), md.Tensor(np.array(b), requires_grad=True)
L_ = (F.sigmoid(w_ * x + b_) - y) ** 2
L_.backward()
print(f"dL/dw = {w_.grad:.6f}, dL/db = {b_.grad:.6f}")

# %% tags=["hide-input"]
assert np.isclose(w_.grad, dL_dw)
assert np.isclose(b_.grad, dL_db)

# %% [markdown]
# The graph that it recorded. Forward, values run along the arrows; backward, gradients run
# against them, and each operation multiplies by its own derivative:

# %%
md.plot.graph(L_, w=w_, b=b_)

# %% [markdown]
# ## Gradient descent
#
# The derivative says which way is up. So go the other way, with the learning rate $\eta$, and
# again:
#
# $$w \leftarrow w - \eta \frac{dL}{dw}, \qquad b \leftarrow b - \eta \frac{dL}{db}$$
#
# Let our neuron learn from eight examples: small $x$ shall give 0, large $x$ shall give 1. With
# two parameters we can draw the loss as a landscape, and watch the walk. Four rates, each ten times
# the one before, or three. Guess which of them arrive at the bottom in forty steps:

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


ws, bs = np.meshgrid(np.linspace(-4, 13, 171), np.linspace(-4, 9, 131))
landscape = ((sigmoid(ws[..., None] * xs + bs[..., None]) - ys) ** 2).mean(axis=-1)
figure, axes = plt.subplots(1, 4, figsize=(9, 2.6), sharey=True, layout="constrained")
after_40 = {}
for ax, rate in zip(axes, (0.3, 3, 30, 100)):
    path = descend(rate, steps=40)
    after_40[rate] = mean_loss(*path[-1]).item()
    ax.contourf(ws, bs, landscape, levels=20, cmap="Blues_r")
    ax.plot(*path.T, "o-", color="#D55E00", markersize=3, linewidth=1)
    ax.plot(*path[0], "o", color="black")
    ax.set(title=rf"$\eta$ = {rate}: loss {after_40[rate]:.3f}", xlabel="w")
axes[0].set_ylabel("b")
plt.show()
stuck = mean_loss(*descend(100, steps=400)[-1]).item()
print(f"lowest of the landscape: {landscape.min():.4f}; at rate 100, after 400 steps: {stuck:.4f}")

# %% tags=["hide-input"]
assert after_40[0.3] > 4 * landscape.min()
assert max(after_40[3], after_40[30]) < landscape.min() + 0.001
assert after_40[100] > 1.3 * landscape.min()
assert stuck > 1.3 * landscape.min()
leap = descend(100, steps=400)
assert leap[1, 0] > 5
assert np.abs(np.diff(leap, axis=0)).max(axis=1)[-1] / 100 < 1e-4  # the gradient at the end
assert (abs(sigmoid(leap[-1] @ [xs, np.ones(8)]) - ys) < 0.5).sum() == 7

# %% [markdown]
# Forty steps each, from the black dot. Too small a rate does not arrive. 3 and 30 do: there is room
# for a factor of ten. The largest leaps over the valley in its first step, on to a plain where
# seven examples are right and one is surely wrong. There the gradient is next to nothing, and it
# stays. Trainings of larger networks often follow a schedule. A **one-cycle** schedule begins with
# a small learning rate, lets it rise over the first quarter of the steps, and fall to nearly 0 over
# the others (`md.optim.one_cycle`). Later lessons use it.
#
# ## Two layers by hand
#
# Now a network: two inputs, ten tanh neurons, two classes. Its forward pass is lesson 2, its loss
# lesson 3:
#
# $$H = X W_1 + b_1, \qquad A = \tanh H, \qquad G = A W_2 + b_2,
# \qquad L = \text{cross-entropy}(G, c)$$
#
# And backward, each line the chain rule through one step of it. Write $dY$ for $\partial L /
# \partial Y$, and $Y = X W$ with its indices, for row $r$ (an image) and neuron $j$:
# $Y_{rj} = \sum_i X_{ri} W_{ij}$. The weight $W_{ij}$ meets $X_{ri}$ in $Y_{rj}$, for every image,
# and the number $X_{ri}$ meets $W_{ij}$, for every neuron. So the chain rule sums over images, or
# over neurons:
#
# $$\frac{\partial L}{\partial W_{ij}} = \sum_r X_{ri} \, dY_{rj} = (X^T dY)_{ij}, \qquad
# \frac{\partial L}{\partial X_{ri}} = \sum_j dY_{rj} W_{ij} = (dY \, W^T)_{ri}$$
#
# A bias is added to every row, and gets the sum over the rows.


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


rng = np.random.default_rng(seed)
turn = rng.uniform(0, np.pi, 200)
c = np.arange(200) % 2  # two half moons
X = np.stack([np.cos(turn) * (1 - 2 * c) + c, np.sin(turn) * (1 - 2 * c) + 0.4 * c], axis=1)
X += 0.12 * rng.standard_normal(X.shape)
parameters = [0.5 * rng.standard_normal(shape) for shape in [(2, 10), 10, (10, 2), 2]]

# %% [markdown]
# Against the engine, which knows only the forward pass. Guess the four largest differences:

# %%
L, by_hand = forward_backward(X, c, *parameters)
W1, b1, W2, b2 = leaves = [md.Tensor(p, requires_grad=True) for p in parameters]
loss_ = F.cross_entropy(F.tanh(X @ W1 + b1) @ W2 + b2, c)
loss_.backward()
print([float(np.abs(ours - theirs.grad).max()) for ours, theirs in zip(by_hand, leaves)])

# %% tags=["hide-input"]
assert all(np.allclose(ours, theirs.grad, atol=1e-12) for ours, theirs in zip(by_hand, leaves))

# %% [markdown]
# Equal to rounding. What it went through, with the shape of each value:

# %%
md.plot.graph(loss_, W1=W1, b1=b1, W2=W2, b2=b2)

# %% [markdown]
# Gradient descent with our own backward pass, and what the network answers on
# the way. The black line is where both classes are equally likely. Guess its shape after 0, 100 and
# 1000 steps:

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

# %% tags=["hide-input"]
assert losses[1000] < 0.5 * losses[100] < losses[0]

# %% [markdown]
# ## Why backward, and not forward?
#
# Guess: ResNet18, one of the report's networks, has eleven million parameters. How many forward
# passes would its gradient take by difference quotients? Two for each parameter, twenty-two
# million. One backward pass gives the derivative by *every* parameter, for about twice the work of
# a forward pass: two products of matrices behind each one.
#
# ## Two sums
#
# A value that is used twice *within one computation* gets the sum of both gradients, as the
# chain rule says: $L = x \cdot x$ has $dL/dx = x + x$.
#
# That `.grad` also adds up *from one backward pass to the next* is no mathematics, but a choice
# of engines. It lets several losses share one step. Its price is that `.grad` must be forgotten
# before the next step, and who forgets to forget goes along the sum of all gradients so far. Guess
# what `.grad` is at $x = 3$ after one backward pass, and after two:

# %%
x = md.Tensor(np.array(3.0), requires_grad=True)
(x * x).backward()
once = float(x.grad)
(x * x).backward()
twice = float(x.grad)
x.grad = None
(x * x).backward()
print(f"after one backward {once}, after a second {twice}, and forgotten in between {x.grad}")

# %% tags=["hide-input"]
assert (once, twice, float(x.grad)) == (6, 12, 6)

# %% [markdown]
# ## Many images: mini-batches, epochs
#
# The loss of 1437 digits is a mean over all of them, and so is its gradient. But must it be all,
# for one step? A **mini-batch** is some of the images, picked at random, that one step looks at.
# Its mean gradient is not the same, but its average over all picks is. How far off is it? Measure
# the cosine of the angle between the two, for the network of lesson 3 with a hidden layer of 32
# neurons: 1 is the same direction, 0 a right angle. Guess it for 64 images.


# %%
train, val = md.data.digits("train"), md.data.digits("val")


def reader():
    md.manual_seed(seed)
    return md.nn.Sequential(
        md.nn.Normalize(0.5, 0.25), md.nn.Flatten(),
        md.nn.Linear(64, 32), md.nn.ReLU(), md.nn.Linear(32, 10),
    )  # fmt: skip


def gradient(model, chosen):
    """Of the mean loss of the chosen images, by all parameters, as one vector."""
    model.zero_grad()
    F.cross_entropy(model(train.images[chosen]), train.labels[chosen]).backward()
    return np.concatenate([p.grad.ravel() for p in model.parameters()])


model, cosines = reader(), {}
of_all = gradient(model, np.arange(1437))
for size in (1, 16, 64, 256):
    picks = [gradient(model, rng.choice(1437, size, replace=False)) for _ in range(50)]
    cosines[size] = np.mean(
        [pick @ of_all / np.linalg.norm(pick) / np.linalg.norm(of_all) for pick in picks]
    )
    print(f"{size:4} images, {size / 1437:6.1%} of the work: cosine {cosines[size]:.2f}")

# %% tags=["hide-input"]
assert cosines[1] < 0.25
assert 0.7 < cosines[64] < 0.9
assert cosines[256] > cosines[64] + 0.05

# %% [markdown]
# For a twentieth of the work, a direction that is nearly as good. So take many such steps instead
# of one: shuffle the images, deal them out in mini-batches, take a step on each. An **epoch** is
# one turn through all images. **Stochastic gradient descent** (`SGD`) is gradient descent with the
# gradients of mini-batches. With it `md.fit` is these ten lines (and a progress bar):


# %%
def fit(model, batches, rate, momentum, epochs):
    velocity = dict.fromkeys(model.parameters(), 0)
    for _ in range(epochs):
        for images, labels in batches:  # deals them out anew, in another order, each time
            model.zero_grad()
            F.cross_entropy(model(images), labels).backward()
            for p in model.parameters():
                velocity[p] = momentum * velocity[p] + p.grad
                p.data = p.data - rate * velocity[p]


def loader(part, size=64, shuffle=True):
    return md.data.Loader(*part, batch_size=size, shuffle=shuffle, augment=False, seed=seed)


ours, theirs = reader(), reader()
fit(ours, loader(train), rate=0.05, momentum=0.9, epochs=5)
optimizer = md.optim.SGD(theirs.parameters(), lr=0.05, momentum=0.9)
md.fit(theirs, loader(train), optimizer, epochs=5, progress=False)
furthest = max(abs(a.data - b.data).max() for a, b in zip(ours.parameters(), theirs.parameters()))
print("largest difference of a weight:", furthest)

# %% [markdown]
# Does it matter that there are many steps, and that they are shuffled? The same five epochs again,
# with one thing changed. First all images in each step. Then, with $\mu = 0$ in place of 0.9 (of
# which below), the digits sorted, zeros first and nines last, and not shuffled. Guess both
# accuracies, on unseen digits:


# %%
def accuracy(model):
    return (model(val.images).data.argmax(axis=1) == val.labels).mean()


in_order = np.argsort(train.labels, kind="stable")
by_label = (train.images[in_order], train.labels[in_order])
ways = {
    "mini-batches of 64": (loader(train), 0.05, 0.9),
    "all at once": (loader(train, size=1437), 0.05, 0.9),
    "all at once, four times the rate": (loader(train, size=1437), 0.2, 0.9),
    "shuffled, no momentum": (loader(by_label), 0.05, 0),
    "sorted, no momentum": (loader(by_label, shuffle=False), 0.05, 0),
}
read, nines = {}, {}
for name, (batches, rate, momentum) in ways.items():
    contestant = reader()
    fit(contestant, batches, rate, momentum, epochs=5)
    read[name] = accuracy(contestant)
    nines[name] = (contestant(val.images).data.argmax(axis=1) == 9).mean()
    print(f"{name:32} {5 * len(batches):3} steps: {read[name]:.1%} right, {nines[name]:.0%} nines")

# %% tags=["hide-input"]
assert furthest < 1e-5
assert read["mini-batches of 64"] > 0.93
assert read["all at once"] < read["mini-batches of 64"] - 0.2
assert read["all at once, four times the rate"] < read["mini-batches of 64"] - 0.05
assert read["sorted, no momentum"] < read["shuffled, no momentum"] - 0.3
assert nines["sorted, no momentum"] > 0.35
assert nines["shuffled, no momentum"] < 0.15

# %% [markdown]
# Five good steps get less far than 115 fair ones. And a network that saw nines last takes four
# digits in ten for nines, where one in ten is: only if they are shuffled do a few images stand for
# all.
#
# ## Momentum
#
# In the ten lines a step does not follow the gradient, $\nabla L$ for short. The **velocity** $v$,
# which it follows, is the sum of all gradients so far, where the older ones have faded.
# **Momentum** $\mu$ is the part of the velocity that is kept from step to step.
#
# $$v \leftarrow \mu v + \nabla L, \qquad w \leftarrow w - \eta v$$
#
# A ball that keeps rolling. Where the gradient stays the same, $v$ grows to $(1 + \mu + \mu^2 +
# \dots) \nabla L = \nabla L / (1 - \mu)$: with $\mu = 0.9$ it is as if the rate were ten times as
# large. Where the gradient changes its sign from step to step, the terms cancel. That is worth
# something in a valley that is steep across and flat along, $L = \tfrac12 (100 w_1^2 + w_2^2)$.
# Across, no rate above $2/100$ settles, and along the valley that is little. Guess whether momentum
# wins if the rate of both is the best for them:


# %%
def end_of_valley(rate, momentum, steps=40):
    w, v = np.array([1.0, 1.0]), 0
    for _ in range(steps):
        v = momentum * v + np.array([100, 1]) * w
        w = w - rate * v
    return np.array([50, 0.5]) @ w**2


rates = np.geomspace(1e-3, 0.1, 200)
best = {mu: min(end_of_valley(rate, mu) for rate in rates) for mu in (0, 0.7)}
print(f"after 40 steps, at its best rate: plain {best[0]:.2g}, with momentum {best[0.7]:.2g}")

# %% tags=["hide-input"]
assert best[0.7] < best[0] / 20

# %% [markdown]
# It does. **Nesterov's momentum** goes a step ahead, $w \leftarrow w - \eta (\nabla L + \mu v)$
# with the $v$ that already has $\nabla L$ in it (`md.optim.SGD(..., momentum=0.9, nesterov=True)`).
#
# ## An operation of your own, in short
#
# Gradients that you have found by hand can be given to the engine (lesson 12 is about that). An
# operation returns its value and, for each argument, the function that makes the gradient by this
# argument from the gradient `dy` by its result. `md.testing.check_gradients` compares them with
# difference quotients, and complains where they differ:


# %%
@md.op
def square(x):
    return x * x, (lambda dy: 2 * x * dy,)


md.testing.check_gradients(square, np.array([1.0, -2.0, 3.0]))

# %% [markdown]
# (`@md.op` above the function hands it to `md.op`, which wraps it into one that also takes and
# returns tensors, as `op` did in lesson 0.)
#
# ## Exercises
#
# **1. By hand.** Differentiate $L = \log(1 + e^{-y (w x + b)})$ by $w$ and $b$ (the loss of
# logistic regression, with $y = \pm 1$). Check it with the engine.

# %%
derivatives = ...  # your function of x, y, w, b that gives dL/dw, dL/db
judge("4.1", derivatives)


# %% tags=["hide-cell", "solution"]
def derivatives(x, y, w, b):
    dL_ds = -y * sigmoid(-y * (w * x + b))  # s = w x + b
    return dL_ds * x, dL_ds


x, y, w, b = 1.5, -1.0, 0.3, 0.2
w_, b_ = md.Tensor(np.array(w), requires_grad=True), md.Tensor(np.array(b), requires_grad=True)
(1 + (-y * (w_ * x + b_)).exp()).log().backward()
assert np.allclose([w_.grad, b_.grad], derivatives(x, y, w, b))
assert judge("4.1", derivatives)

# %% [markdown]
# **2. Momentum, or only a larger rate?** Add momentum to `descend`, with $\mu = 0.9$ and
# $\eta = 0.3$. It gets further in forty steps than $\eta = 0.3$ without. Which rate *without*
# momentum is the fair control, and who is ahead now?

# %%
# your descend, with momentum
rate = ...  # of the fair control
judge("4.2", rate)


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


ends = {
    "0.3": descend(0.3, 40)[-1],
    "0.3, momentum 0.9": descend_with_momentum(0.3, 40, momentum=0.9),
    "3": descend(3, 40)[-1],
}
for name, end in ends.items():
    print(f"rate {name}: loss {mean_loss(*end).item():.4f}")
plain, rolling, fair = (mean_loss(*end).item() for end in ends.values())
# 0.3 / (1 - 0.9) = 3. It was the rate: here, where no valley is narrow, momentum has no merit.
assert rolling < plain - 0.1
assert fair < rolling - 0.01
assert np.allclose(descend_with_momentum(0.3, 40, momentum=0), descend(0.3, 40)[-1])
assert judge("4.2", 0.3 / (1 - 0.9))

# %% [markdown]
# **3. Find the bug.** This backward pass of $\tanh(X W)$ runs, and has the right shapes. Let
# `md.testing.check_gradients` tell you by how much it is wrong, then mend the operation.


# %%
@md.op
def tanh_layer(X, W):
    H = X @ W
    slope = 1 - H**2
    return np.tanh(H), (lambda dy: (dy * slope) @ W.T, lambda dy: X.T @ (dy * slope))


X, W = rng.standard_normal((4, 3)), rng.standard_normal((3, 2))
# md.testing.check_gradients(tanh_layer, X, W)
mended = ...  # your operation
judge("4.3", mended)


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
assert judge("4.3", mended)

# %% [markdown]
# **Next:** [why deep networks were hard to train](05_vanishing_gradients.ipynb).
