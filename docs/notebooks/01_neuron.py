# %% [markdown]
# # 1. One neuron
#
# After this lesson you can
#
# * write a neuron as one line of Python,
# * draw the usual activation functions and their slopes,
# * say what the weights and the bias do, in a picture,
# * explain why a network without activation functions is no more than one layer.
#
# It follows section 2.1.1 of the report (figures 1 and 2). You need Python, NumPy and derivatives.

# %%
import matplotlib.pyplot as plt
import numpy as np
from answers import judge

import minidl as md
from minidl import functional as F

plt.rc("axes.spines", top=False, right=False)
seed = 0  # of all random numbers; what is said below also holds for 1 and 2

# %% [markdown]
# ## The formula
#
# A **neuron** is a function of $n$ numbers that multiplies each by a weight, adds up, and bends the
# sum. The **bias** $b$ of a neuron is one more number that it adds to the sum. The **activation
# function** $\psi$ of a neuron is what it bends the sum with.
#
# $$O = \psi\Big(\sum_{i=1}^n w_i x_i + b\Big)$$
#
# The code is the formula. Guess its value: the sum is .5 - 2 + 1.5 + .2.


# %%
def neuron(x, w, b, psi):
    return psi(np.dot(w, x) + b)


neuron(x=[1.0, 2.0, 3.0], w=[0.5, -1.0, 0.5], b=0.2, psi=np.tanh)

# %% [markdown]
# Drawn as a graph (the report's figure 1), each arrow is a weight, and the node sums what arrives
# and applies $\psi$:

# %% tags=["hide-input"]
figure, axes = plt.subplots(figsize=(5.6, 2.4))
axes.set(xlim=(0, 7), ylim=(-0.2, 3.2), aspect="equal")
axes.axis("off")
arrow = {"arrowstyle": "-|>", "color": "0.35", "shrinkA": 14, "shrinkB": 20}
for i, y in enumerate((2.7, 1.5, 0.3), start=1):
    axes.annotate("", xy=(3.4, 1.5), xytext=(0.6, y), arrowprops=arrow)
    axes.text(1.9, {1: 2.38, 2: 1.62, 3: 0.98}[i], f"$w_{i}$", ha="center", fontsize=12)
    axes.add_patch(plt.Circle((0.6, y), 0.33, fc="#CFE3F3", ec="0.35"))
    axes.text(0.6, y, f"$x_{i}$", ha="center", va="center", fontsize=12)
axes.annotate(
    "", xy=(6.4, 1.5), xytext=(3.4, 1.5), arrowprops=arrow | {"shrinkA": 22, "shrinkB": 8}
)
axes.add_patch(plt.Circle((3.4, 1.5), 0.6, fc="#FBE3C4", ec="0.35"))
axes.text(3.4, 1.5, r"$\Sigma\;|\;\psi$", ha="center", va="center", fontsize=13)
axes.annotate(
    "$b$",
    xy=(3.4, 1.5),
    xytext=(3.4, 3.0),
    ha="center",
    fontsize=12,
    arrowprops=arrow | {"shrinkA": 2},
)
axes.text(6.5, 1.5, "$O$", va="center", fontsize=13)
plt.show()

# %% [markdown]
# ## Activation functions
#
# The **sigmoid** makes a number between 0 and 1 of any, so that it can be read as a probability.
# **ReLU** (*rectified linear unit*) lets positive numbers through and makes 0 of the others. Four
# common choices (figure 2), and below each its slope, which learning will need:
#
# | | $\psi(x)$ | slope |
# | --- | --- | --- |
# | sigmoid | $1 / (1 + e^{-x})$ | $\psi (1 - \psi)$, at most 1/4 |
# | tanh | $(e^x - e^{-x}) / (e^x + e^{-x})$ | $1 - \psi^2$, at most 1 |
# | ReLU | $\max(x, 0)$ | 0 or 1 |
# | leaky ReLU | $\max(x, 0.1 x)$ | 0.1 or 1 |
#
# We do not type the slopes in. minidl finds them: a `Tensor` with `requires_grad=True` remembers
# what was computed from it, and `backward()` leaves the derivative in `.grad`. Lesson 4 shows how.
# Guess which of the four slopes is never near 0.


# %%
def leaky_relu(x):
    return F.relu(x) - 0.1 * F.relu(-x)


activations = {"sigmoid": F.sigmoid, "tanh": F.tanh, "ReLU": F.relu, "leaky ReLU": leaky_relu}
figure, axes = plt.subplots(2, 4, figsize=(8, 3.6), sharex=True, sharey="row", layout="constrained")
for (name, psi), (top, bottom) in zip(activations.items(), axes.T):
    x = md.Tensor(np.linspace(-4, 4, 400), requires_grad=True)
    y = psi(x)
    y.sum().backward()  # the derivative of a sum by each x is psi's slope at that x
    top.plot(x.data, y.data, color="#0072B2")
    bottom.plot(x.data, x.grad, color="#D55E00")
    top.set(title=name, ylim=(-1.2, 2.2))
    bottom.set(xlabel="x", ylim=(-0.1, 1.1))
axes[0, 0].set_ylabel(r"$\psi(x)$")
axes[1, 0].set_ylabel("slope")
plt.show()

# %% [markdown]
# Look at the slopes far from 0: sigmoid's and tanh's vanish on both sides, ReLU's on one, leaky
# ReLU's on none. A neuron that sits where there is no slope hardly learns. Lesson 5 is about that.
#
# A claim can be checked with a few lines. Is the sigmoid's slope really $\psi (1 - \psi)$?
# Compare it with a difference quotient:

# %%
x, h = np.linspace(-4, 4, 9), 1e-5
psi = F.sigmoid(x).data
quotient = (F.sigmoid(x + h).data - F.sigmoid(x - h).data) / (2 * h)
np.abs(psi * (1 - psi) - quotient).max()

# %% [markdown]
# ## What weights and bias do
#
# With two inputs we can draw a neuron's whole output. It is constant along straight lines, at
# right angles to $w$:
#
# * the *direction* of $w$ says which way it rises,
# * the *length* of $w$ says how steeply,
# * the *bias* shifts the line where it is one half.
#
# Guess for each of the four pictures below, by its title, where the black line goes.

# %%
grid = np.linspace(-3, 3, 200)
x1, x2 = np.meshgrid(grid, grid)
settings = {
    "w = (1, 0), b = 0": ([1, 0], 0),
    "turned: w = (1, 1)": ([1, 1], 0),
    "longer: w = (4, 4)": ([4, 4], 0),
    "shifted: b = 6": ([4, 4], 6),
}
figure, axes = plt.subplots(1, 4, figsize=(8, 2.4), sharey=True, layout="constrained")
for (title, (w, b)), ax in zip(settings.items(), axes):
    output = F.sigmoid(w[0] * x1 + w[1] * x2 + b).data
    picture = ax.contourf(x1, x2, output, levels=np.linspace(0, 1, 21), cmap="RdBu_r")
    ax.contour(x1, x2, output, levels=[0.5], colors="black", linewidths=1)
    w = np.array(w)
    foot = -b * w / (w @ w)  # a point of the line where the output is one half
    ax.annotate("", xy=foot + w / np.linalg.norm(w), xytext=foot, arrowprops={"arrowstyle": "->"})
    ax.set_title(title, fontsize=10)
    ax.set(aspect="equal", xlabel="$x_1$")
axes[0].set_ylabel("$x_2$")
figure.colorbar(picture, ax=axes, ticks=[0, 0.5, 1], label="output")
plt.show()

# %% [markdown]
# ## A neuron that looks at images
#
# minidl brings 1797 handwritten digits along, of 8 x 8 pixels each. They come in two parts: 1437
# are there to learn from, called `"train"`. The other 360 are called `"val"`. **Validation** images
# are those with whose help nothing is chosen, so that they tell how well a network reads what it
# has never seen. The **label** of an image says what it really shows, here a digit. Each part is an
# array of images, `(number, height, width, colours)` with one colour, and an array of labels:

# %%
images, labels = md.data.digits("train")
val_images, val_labels = md.data.digits("val")
print(images.shape, images.min(), "is white and", images.max(), "is black;", labels[:10])
print(val_images.shape)

# %% [markdown]
# An image of 8 x 8 pixels is 64 numbers. So a neuron with 64 weights can look at it, and its
# weights are an image too. Here is one that tells handwritten ones from zeros. We choose its
# weights by hand: the mean one minus the mean zero.

# %%
zeros, ones = images[labels == 0], images[labels == 1]
w = (ones.mean(axis=0) - zeros.mean(axis=0)).ravel()
middle = (ones.mean(axis=0) + zeros.mean(axis=0)).ravel() / 2
b = -w @ middle  # so that the sum is 0 half way between the two means

figure, axes = plt.subplots(1, 3, figsize=(6, 2.3), layout="constrained")
pictures = {
    "mean zero": zeros.mean(axis=0),
    "mean one": ones.mean(axis=0),
    "weights": w.reshape(8, 8),
}
for (title, picture), ax in zip(pictures.items(), axes):
    limit = np.abs(picture).max()
    low, cmap = (-limit, "RdBu_r") if title == "weights" else (0, "gray_r")
    ax.imshow(picture.reshape(8, 8), vmin=low, vmax=limit, cmap=cmap)
    ax.set_title(title)
    ax.axis("off")
plt.show()

# %% [markdown]
# Where the weights are red, ink speaks for a one; where they are blue, for a zero. **Accuracy** is
# the part of the images on which an answer is right. Guess it for the zeros and ones that played no
# part in choosing the weights:

# %%
chosen = val_labels <= 1
sums = val_images[chosen].reshape(-1, 64) @ w + b
accuracy = np.mean((sums > 0) == (val_labels[chosen] == 1))
print(f"{accuracy:.1%} of {chosen.sum()} images are told apart by one neuron")

# %% tags=["hide-input"]
assert accuracy == 1
assert 0.04 < 0.96 ** chosen.sum() < 0.06

# %% [markdown]
# All of them. That is not "always": a neuron that is wrong once in 25 images has 72 of 72 right in
# one case of twenty ($0.96^{72} = 0.05$).
#
# ## Why the activation must not be linear
#
# Take several neurons without activation that read the same $x$, the weights of each in a column of
# $W_1$, and others that read what these give: $W_2^T (W_1^T x + b_1) + b_2$. This is
# $(W_1 W_2)^T x + (W_2^T b_1 + b_2)$, as if there were only the second ones, with other weights. A
# **layer** is a row of neurons that read the same numbers. Whatever layers you stack, it stays one.
#
# With ReLU in between, is it more than one layer? To compare it with *this* layer would say
# little, since another one may fit better. So look for the best of all: the weights and bias whose
# outputs are nearest to the network's on a thousand inputs. (That is a problem of least squares,
# which `np.linalg.lstsq` solves; a column of ones beside the inputs stands for the bias.) If any
# single layer gave the same outputs, this one would, and miss nothing. Guess which of the five
# numbers are 0:

# %%
rng = np.random.default_rng(seed)
W1, b1, W2, b2 = (rng.standard_normal(shape) for shape in [(2, 5), 5, (5, 1), 1])
# A thousand inputs, one in each row, so that W^T x is written x @ W
x = rng.standard_normal((1000, 2))


def missed_by_one_layer(y):
    """By how much the best single layer misses the outputs y (1000, 1), at most."""
    inputs = np.hstack([x, np.ones((1000, 1))])
    best = np.linalg.lstsq(inputs, y)[0]
    return np.abs(inputs @ best - y).max()


def with_relu(b1):
    return np.maximum(x @ W1 + b1, 0) @ W2 + b2


two_layers = (x @ W1 + b1) @ W2 + b2
print("without activation: ", np.abs(two_layers - (x @ (W1 @ W2) + (b1 @ W2 + b2))).max())
print("and the best layer: ", missed_by_one_layer(two_layers))
print("with ReLU:          ", missed_by_one_layer(with_relu(b1)))
print("with ReLU, all off: ", missed_by_one_layer(with_relu(b1 - 100)))
print("with ReLU, all on:  ", missed_by_one_layer(with_relu(b1 + 100)))

# %% tags=["hide-input"]
assert missed_by_one_layer(two_layers) < 1e-12
assert missed_by_one_layer(with_relu(b1)) > 0.5
assert missed_by_one_layer(with_relu(b1 - 100)) < 1e-12
assert missed_by_one_layer(with_relu(b1 + 100)) < 1e-10

# %% [markdown]
# All but the third, up to rounding. The last two lines are the control. With a bias of -100 no
# neuron ever answers, with +100 each of them always does, and ReLU is there in name only: a
# straight line again. It is the *bend* that does it, where some inputs lie on one side of it and
# some on the other.

# %% [markdown]
# ## Exercises
#
# **1. And.** Choose weights and a bias so that a sigmoid neuron says *yes* (more than 0.9) when
# both inputs are 1, and *no* (less than 0.1) for (0, 0), (0, 1) and (1, 0).

# %%
corners = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
w, b = ..., ...  # your weights and bias
judge("1.1", w, b)

# %% tags=["hide-cell", "solution"]
w_and, b_and = np.array([10.0, 10.0]), -15.0  # the sum is above 0 only where both are 1
answers = F.sigmoid(corners @ w_and + b_and).data
assert (answers[:3] < 0.1).all()
assert answers[3] > 0.9
assert judge("1.1", w_and, b_and)

# %% [markdown]
# **2. Exclusive or.** One neuron is one straight line, and no straight line separates {(0, 1),
# (1, 0)} from {(0, 0), (1, 1)}. Do it with two ReLU neurons, and a third, without activation,
# that adds them up. *Hint: what is $|x_1 - x_2|$ in terms of ReLU?*

# %%
xor = ...  # your three neurons: a function of the corners (4, 2) that gives four numbers
judge("1.2", xor)


# %% tags=["hide-cell", "solution"]
def relu(s):
    return np.maximum(s, 0)


def xor(corners):  # |x1 - x2|
    hidden = neuron(corners.T, [1, -1], 0, relu), neuron(corners.T, [-1, 1], 0, relu)
    return neuron(hidden, [1, 1], 0, lambda s: s)


assert xor(corners).tolist() == [0, 1, 1, 0]
assert judge("1.2", xor)

# %% [markdown]
# **3. A wrong slope.** Somebody says that the slope of $\text{softplus}(x) = \log(1 + e^x)$ is
# $1 - \text{sigmoid}(x)$. Find out with a difference quotient, and say what it is.


# %%
def softplus(x):
    return np.log1p(np.exp(x))


def claimed_slope(x):
    return 1 - F.sigmoid(x).data


slope = ...  # your function of x
judge("1.3", slope)

# %% tags=["hide-cell", "solution"]
x = np.linspace(-3, 3, 13)
quotient = (softplus(x + h) - softplus(x - h)) / (2 * h)
assert np.abs(claimed_slope(x) - quotient).max() > 0.9  # wrong but at 0, where both are 1/2
assert np.allclose(F.sigmoid(x).data, quotient)  # the slope is the sigmoid itself
assert judge("1.3", lambda x: F.sigmoid(np.asarray(x)).data)

# %% [markdown]
# **Next:** [many neurons in layers](02_layers.ipynb), which can approximate any continuous
# function.
