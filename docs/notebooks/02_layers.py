# %% [markdown]
# # 2. Layers, and what they can approximate
#
# After this lesson you can
#
# * write a whole perceptron as three lines of Python,
# * count its parameters,
# * build by hand a network that comes as close to a curve as you like,
# * say what the theorem of universal approximation promises, and what it does not.
#
# It follows section 2.1.1 of the report: figure 3, equation (1) and theorem 1.

# %%
import matplotlib.pyplot as plt
import numpy as np
from answers import judge

import minidl as md

plt.rc("axes.spines", top=False, right=False)
seed = 0  # of all random numbers; what is said below also holds for 1 and 2

# %% [markdown]
# ## Many neurons at once
#
# A layer is $m$ neurons that read the same input $z$ of $n$ numbers. Write the weights of
# neuron $j$ into column $j$ of a matrix $W \in \mathbb{R}^{n \times m}$, and the layer is
#
# $$f(z) = \psi(W^T z + b)$$
#
# Engines take many inputs at once. A **batch** is inputs that are computed together, one in each
# *row* of a matrix. Then $W^T z$ becomes `z @ W`. Guess the shape of the result, of five inputs and
# two neurons:


# %%
def layer(z, W, b, psi):
    return psi(z @ W + b)  # (batch, n) @ (n, m) + (m,) -> (batch, m)


z = np.ones((5, 3))  # five inputs of three numbers
layer(z, W=np.ones((3, 2)), b=np.zeros(2), psi=np.tanh).shape

# %% [markdown]
# ## A network
#
# A **perceptron** is layers in a row, each of which reads what the one before gives (the report's
# figure 3). A **hidden layer** of a network is any but the last.

# %% tags=["hide-input"]
sizes = {"input": 4, "hidden layer 1": 6, "hidden layer 2": 5, "output": 3}
places = [
    [(2.2 * i, 0.6 * (j - (m - 1) / 2)) for j in range(m)] for i, m in enumerate(sizes.values())
]
figure, axes = plt.subplots(figsize=(6, 3.2))
axes.set(xlim=(-0.6, 7.2), ylim=(-2.2, 1.9), aspect="equal")
axes.axis("off")
for before, after in zip(places, places[1:]):
    for x0, y0 in before:
        for x1, y1 in after:
            axes.plot([x0, x1], [y0, y1], color="0.75", linewidth=0.7, zorder=1)
colors = ("#CFE3F3", "#FBE3C4", "#FBE3C4", "#D6EBD3")
for column, name, color in zip(places, sizes, colors):
    for place in column:
        axes.add_patch(plt.Circle(place, 0.21, fc=color, ec="0.35", zorder=2))
    axes.text(column[0][0], -2.1, name, ha="center", fontsize=10)
for i, name in enumerate(("$W_1$", "$W_2$", "$W_3$")):
    axes.text(2.2 * i + 1.1, 1.65, name, ha="center", fontsize=12)
plt.show()

# %% [markdown]
# With $d$ layers, equation (1) of the report:
#
# $$f(x) = \psi_d\big(W_d^T \, \psi_{d-1}(\dots \psi_1(W_1^T x + b_1) \dots) + b_d\big)$$
#
# Read from the inside to the outside it is a loop:


# %%
def network(x, layers):
    for W, b, psi in layers:
        x = psi(x @ W + b)
    return x


rng = np.random.default_rng(seed)
relu, identity = lambda s: np.maximum(s, 0), lambda s: s
W1, W2, W3 = (rng.standard_normal(shape) for shape in [(4, 6), (6, 5), (5, 3)])
b1, b2, b3 = (rng.standard_normal(m) for m in (6, 5, 3))
x = rng.standard_normal((10, 4))
by_hand = network(x, [(W1, b1, relu), (W2, b2, relu), (W3, b3, identity)])
by_hand.shape

# %% [markdown]
# minidl says the same with `nn.Sequential`. Give it our weights, and guess how far its numbers are
# from ours:

# %%
model = md.nn.Sequential(
    md.nn.Linear(4, 6), md.nn.ReLU(), md.nn.Linear(6, 5), md.nn.ReLU(), md.nn.Linear(5, 3)
).astype(np.float64)
for linear, W, b in [(model[0], W1, b1), (model[2], W2, b2), (model[4], W3, b3)]:
    linear.weight.data[...], linear.bias.data[...] = W, b
np.abs(model(md.Tensor(x)).data - by_hand).max()

# %% tags=["hide-input"]
assert np.abs(model(md.Tensor(x)).data - by_hand).max() < 1e-12

# %% [markdown]
# ## How many parameters?
#
# The **parameters** of a network are its weights and biases: a layer from $n$ to $m$ numbers has $n
# m + m$ of them. The report's perceptron FC5 has layers of 1344, 672, 588, 294 and 10 neurons. On
# images of 64 x 64 pixels in three colours, guess which part of all sits in the first layer:

# %%
sizes = [64 * 64 * 3, 1344, 672, 588, 294, 10]
counted = [n * m + m for n, m in zip(sizes, sizes[1:])]
fc5 = md.models.fc5(num_classes=10, image_size=64)
print("by hand:", [f"{count:,}" for count in counted], f"{sum(counted):,}")
print("minidl: ", f"{sum(parameter.size for parameter in fc5.parameters()):,}")

# %% tags=["hide-input"]
assert sum(counted) == sum(parameter.size for parameter in fc5.parameters())
assert counted[0] > 0.9 * sum(counted)

# %% [markdown]
# Nine in ten and more are in the first layer, which looks at every pixel. Layers made for images
# (lesson 6) do with far fewer.
#
# ## Theorem 1: one hidden layer can approximate any continuous function
#
# > Every continuous function on a compact set (closed and bounded, such as an interval with its
# > ends) can be approximated by a network with one hidden layer of $n$ neurons; the largest error
# > tends to 0 as $n \to \infty$.
#
# (The activation must not be a polynomial: sums of lines stay a line, as lesson 1 showed, and sums
# of parabolas a parabola, however many there are; Leshno et al. 1993. The last layer has none.)
#
# On an interval, and with ReLU, you can build such a network by hand. A ReLU neuron
# $\max(x - t, 0)$ is a line with one bend, at $t$. A sum of them bends wherever we like, so it
# can follow the curve from point to point:

# %%
low, high = -3, 3


def f(x):
    return np.sin(x) + 0.4 * np.sin(4 * x)


def built_by_hand(n):
    """The network with n hidden neurons that joins n + 1 points of f by straight lines."""
    knots = np.linspace(low, high, n + 1)
    slopes = np.diff(f(knots)) / np.diff(knots)
    bends = np.diff(slopes, prepend=0)  # how much the slope changes at each knot
    W1, b1 = np.ones((1, n)), -knots[:-1]  # neuron i is max(x - knot i, 0)
    W2, b2 = bends[:, None], f(knots[:1])
    return lambda x: network(x[:, None], [(W1, b1, relu), (W2, b2, identity)])[:, 0]


x = np.linspace(low, high, 1001)
figure, axes = plt.subplots(1, 3, figsize=(8, 2.3), sharey=True, layout="constrained")
for n, ax in zip((4, 12, 40), axes):
    ax.plot(x, f(x), color="0.7", linewidth=4, label="f")
    ax.plot(x, built_by_hand(n)(x), color="#D55E00", label="network")
    ax.set_title(f"{n} hidden neurons", fontsize=10)
axes[0].legend(frameon=False, fontsize=8)
plt.show()

# %% [markdown]
# Guess: ten times the neurons, and the error is a tenth, a hundredth, or a thousandth? The largest
# error over the interval, against the number of neurons, on logarithmic axes:

# %%
widths = [4, 8, 16, 32, 64, 128, 256, 512]
errors = [np.abs(f(x) - built_by_hand(n)(x)).max() for n in widths]
figure, ax = plt.subplots(figsize=(4.5, 2.8))
ax.loglog(widths, errors, "o-", color="#D55E00", label="network built by hand")
ax.loglog(widths, 30 / np.array(widths) ** 2.0, "--", color="0.6", label="$30 / n^2$")
ax.set(xlabel="hidden neurons n", ylabel="largest error")
ax.legend(frameon=False)
plt.show()
print(f"16 neurons: {errors[2]:.3f}; 160: {np.abs(f(x) - built_by_hand(160)(x)).max():.5f}")

# %% tags=["hide-input"]
assert 60 < errors[2] / np.abs(f(x) - built_by_hand(160)(x)).max() < 140
assert (30 / np.array(widths[2:]) ** 2 / errors[2:] < 2).all()

# %% [markdown]
# A hundredth. (Between knots a distance $d$ apart, a straight line misses a smooth curve by at most
# $d^2 / 8$ times its largest second derivative.)
#
# ## The same by learning
#
# We knew f, so we could build the weights. Usually we only have examples, 200 points of f here, and
# the weights are *found*: begin with random ones, and take many small steps, each of which makes
# the mean squared error a little smaller. The derivative of the error by each weight says which way
# to go, which is lesson 4. Plain gradient descent changes each weight by its derivative times a
# small number. The **learning rate** $\eta$ is by how much of its gradient a weight is moved in a
# step. **Adam** (Kingma and Ba 2015) is gradient descent that first divides each derivative by its
# usual size. It takes two running means, of the derivative and of its square, each a little of the
# new value and much of the old,
#
# $$v \leftarrow 0.9\, v + 0.1\, \frac{dL}{dw}, \qquad
# q \leftarrow 0.999\, q + 0.001 \Big(\frac{dL}{dw}\Big)^2, \qquad
# w \leftarrow w - \eta \frac{v}{\sqrt q}$$
#
# (and makes up for both starting at 0). So every weight moves by about $\eta$ in each step, whether
# its derivatives are large or small. Tanh neurons, 1500 steps of Adam. Guess how many neurons it
# takes to come as close as 0.1:


# %%
def fitted(n, optimizer=md.optim.Adam, rate=0.02, steps=1500):
    md.manual_seed(seed)  # from which the layers draw their first weights
    model = md.nn.Sequential(md.nn.Linear(1, n), md.nn.Tanh(), md.nn.Linear(n, 1))
    model[0].weight.data *= 4  # waves need steep neurons
    model[0].bias.data *= 8
    optimizer = optimizer(model.parameters(), lr=rate)
    x = np.linspace(low, high, 200, dtype=np.float32)[:, None]
    y = f(x)
    for _ in range(steps):
        optimizer.zero_grad()  # forget the last derivatives
        ((model(md.Tensor(x)) - y) ** 2).mean().backward()
        optimizer.step()
    return lambda x: model(md.Tensor(x[:, None].astype(np.float32))).data[:, 0]


networks = {f"{n} neurons": fitted(n) for n in (2, 8, 32)}
networks["32, plain descent"] = fitted(32, md.optim.SGD, rate=0.05)
figure, axes = plt.subplots(1, 4, figsize=(8.5, 2.3), sharey=True, layout="constrained")
learned = {}
for (name, learner), ax in zip(networks.items(), axes):
    learned[name] = np.abs(f(x) - learner(x)).max()
    ax.plot(x, f(x), color="0.7", linewidth=4)
    ax.plot(x, learner(x), color="#0072B2")
    ax.set_title(f"{name}: error {learned[name]:.2f}", fontsize=9)
plt.show()

# %% tags=["hide-input"]
assert learned["2 neurons"] > learned["8 neurons"] + 0.3
assert learned["32 neurons"] < 0.1
assert learned["32, plain descent"] > 2 * learned["32 neurons"]

# %% [markdown]
# Two neurons cannot follow f, with eight it is a likeness, and 32 come close. On the right is the
# control: the same network and the same number of steps, by plain descent. It ends at least twice
# as far from f. (With twice this rate it flies apart: the numbers grow beyond all bounds.) So the
# good network is there, and need not be *found*.
#
# So note what the theorem does *not* say: how many neurons a given error takes, nor that gradient
# descent finds the weights, nor anything about x outside of the interval. Guess how the network
# goes on there:

# %%
wide = np.linspace(-6, 6, 400)
outside = networks["32 neurons"](wide)
figure, ax = plt.subplots(figsize=(6.6, 2.4), layout="constrained")
ax.plot(wide, f(wide), color="0.7", linewidth=4, label="f")
ax.plot(wide, outside, color="#0072B2", label="learned, 32 neurons")
ax.axvspan(low, high, color="0.94", zorder=0, label="where it learned")
ax.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
plt.show()

# %% tags=["hide-input"]
assert np.abs(outside - f(wide)).max() > 5 * learned["32 neurons"]
with np.errstate(all="ignore"):
    assert np.isnan(fitted(32, md.optim.SGD, rate=0.1)(wide)).all()

# %% [markdown]
# ## Exercises
#
# **1. Count.** How many parameters has a perceptron for 8 x 8 digits with hidden layers of 30 and
# 20 neurons and ten outputs? Check your formula against minidl.

# %%
count = ...  # your count
judge("2.1", count)

# %% tags=["hide-cell", "solution"]
count = (64 * 30 + 30) + (30 * 20 + 20) + (20 * 10 + 10)
nn = md.nn
digits_model = nn.Sequential(
    nn.Linear(64, 30), nn.ReLU(), nn.Linear(30, 20), nn.ReLU(), nn.Linear(20, 10)
)
assert count == sum(parameter.size for parameter in digits_model.parameters()) == 2780
assert judge("2.1", count)

# %% [markdown]
# **2. How wide?** Find the smallest number of neurons with which `built_by_hand` stays within
# 0.01 of f.

# %%
n = ...  # your search
judge("2.2", n)

# %% tags=["hide-cell", "solution"]
n = next(n for n in range(1, 1000) if np.abs(f(x) - built_by_hand(n)(x)).max() < 0.01)
print(n, "neurons")
assert (
    np.abs(f(x) - built_by_hand(n)(x)).max() < 0.01 <= np.abs(f(x) - built_by_hand(n - 1)(x)).max()
)
assert 40 < n < 80  # 30 / n^2 = 0.01 at n = 55
assert judge("2.2", n)

# %% [markdown]
# **3. A wrong layer.** This `layer` gives the right shape here, and is wrong. Find an input that
# shows it, and say why it is a mistake that can hide for long.


# %%
def wrong_layer(z, W, b, psi):
    return psi(z @ W.T + b)


rng = np.random.default_rng(seed)
print(
    wrong_layer(
        rng.standard_normal((5, 3)), rng.standard_normal((3, 3)), np.zeros(3), np.tanh
    ).shape
)
z, W = ..., ...  # your input (1, n) and weights
judge("2.3", z, W)

# %% tags=["hide-cell", "solution"]
z, W = np.array([[1.0, 0.0, 0.0]]), np.arange(9.0).reshape(3, 3)
assert np.array_equal(layer(z, W, 0, identity), W[:1])  # the first input's weights: a row of W
# A column: only a square W lets this pass
assert np.array_equal(wrong_layer(z, W, 0, identity), W.T[:1])
assert judge("2.3", z, W)

# %% [markdown]
# **Next:** [from numbers to probabilities](03_softmax_cross_entropy.ipynb), and a loss to learn
# from.
