# %% [markdown]
# # 7. A first convolutional network
#
# After this lesson you can
#
# * say what pooling and flattening do, and where their gradients go,
# * build, train and test a convolutional network,
# * look inside it: at its kernels, and at what they see,
# * compare it with a perceptron, and say which part of it the difference comes from.
#
# It follows the end of section 2.2 of the report: figures 6 and 7.

# %%
import matplotlib.pyplot as plt
import numpy as np
from answers import judge

import minidl as md
from minidl import functional as F
from minidl import nn
from minidl.kernels import loops

plt.rc("axes.spines", top=False, right=False)
seed = 0  # of all random numbers; what is said below also holds for 1 and 2

# %% [markdown]
# ## Pooling
#
# **Max-pooling** keeps the largest value of each window and forgets where in the window it was. The
# report's figure 7, windows of 2 x 2 with stride 2. Guess the four numbers from the picture below:

# %%
x = np.array([[1, 1, 2, 4], [5, 6, 7, 8], [3, 2, 1, 0], [1, 2, 3, 4]], np.float32)
y = F.max_pool2d(x[None, :, :, None], kernel_size=2, stride=2).data[0, :, :, 0]
y

# %% tags=["hide-input"]
colors = np.kron(np.arange(4).reshape(2, 2), np.ones((2, 2)))
palette = plt.matplotlib.colors.ListedColormap(["#CFE3F3", "#FBE3C4", "#D6EBD3", "#F3D3E0"])
figure, axes = plt.subplots(1, 2, figsize=(4.5, 2.2), width_ratios=[2, 1], layout="constrained")
for ax, values, shade in ((axes[0], x, colors), (axes[1], y, np.arange(4).reshape(2, 2))):
    ax.imshow(shade, cmap=palette)
    for (i, j), value in np.ndenumerate(values):
        largest = values is y or value == y[i // 2, j // 2]
        ax.text(j, i, f"{value:g}", ha="center", va="center", weight="bold" if largest else None)
    ax.axis("off")
plt.show()

# %% [markdown]
# `minidl/kernels/loops.py` has the same as plain loops:

# %%
slow, where = loops.max_pool2d(x[None, :, :, None], (2, 2), (2, 2), (0, 0))
assert np.array_equal(slow[0, :, :, 0], y)
print("place of the largest in each window:", where.ravel())

# %% [markdown]
# Backward, a window's whole gradient goes to the value that won: only that one made a difference.
# Guess where the four ones stand:

# %%
image = md.Tensor(x[None, :, :, None], requires_grad=True)
F.max_pool2d(image, 2).sum().backward()
image.grad[0, :, :, 0]

# %% [markdown]
# ## Flatten
#
# Convolutions make images, and the last layer wants a vector. **Flatten** writes an image of
# $H \times V \times D$ into a vector of $H \cdot V \cdot D$ numbers, and that is all.
#
# ## The network
#
# Convolutions, ReLU, pooling, again, then flatten and one fully-connected layer: the report's
# figure 6, for our digits of 8 x 8 pixels. A **convolutional network** is a network whose first
# layers are convolutions. Guess which of its three layers of weights has the most multiplications:


# %%
def cnn():
    return nn.Sequential(
        nn.Normalize(0.5, 0.25),
        nn.Conv2d(1, 16, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(2 * 2 * 32, 10),
    )


md.manual_seed(seed)
model = cnn()
md.summary(model, (8, 8, 1))

# %% [markdown]
# Read it from top to bottom: fewer and fewer pixels, more and more channels.
#
# ## Training
#
# Eighteen epochs of 1437 digits. With `pad=1` the loader puts a border of one white pixel around
# each digit and cuts an 8 x 8 image from a random place of it. So each digit comes in nine
# positions, one of which is the middle. (To train on images that were changed so is called
# *augmentation*, and `augment=False` switches it off.) The other 360 digits say how well it reads
# what it has not seen. Guess how many of them:


# %%
train, val = md.data.digits("train"), md.data.digits("val")


def trained(model, pad, epochs=18, seed=seed):
    batches = md.data.Loader(*train, batch_size=64, pad=pad, seed=seed)
    check = md.data.Loader(*val, batch_size=360, shuffle=False)
    optimizer = md.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    schedule = md.optim.one_cycle(lr=0.05, steps=epochs * len(batches))
    return md.fit(
        model, batches, optimizer, epochs, schedule=schedule, validation=check, progress=False
    )


curve = trained(model, pad=1)
figure, axes = plt.subplots(1, 2, figsize=(7, 2.5), layout="constrained")
epochs = range(1, len(curve) + 1)
axes[0].semilogy(epochs, [epoch.loss for epoch in curve], "o-", label="training")
axes[0].semilogy(epochs, [epoch.val_loss for epoch in curve], "s--", label="unseen digits")
axes[0].set(xlabel="epoch", ylabel="loss")
axes[0].legend(frameon=False)
axes[0].set_xticks(epochs[::4])
axes[1].set_xticks(epochs[::4])
axes[1].plot(epochs, [100 * epoch.val_accuracy for epoch in curve], "s--", color="C1")
axes[1].set(xlabel="epoch", ylabel="accuracy on unseen digits (%)", ylim=(50, 100))
plt.show()
print(f"{curve[-1].val_accuracy:.1%} of 360 unseen digits are read rightly")

# %% tags=["hide-input"]
assert curve[-1].val_accuracy > 0.97

# %% [markdown]
# (The training loss is a mean over the epoch, taken while the network was still learning.)
#
# What it gets wrong. Would you have known?

# %%
logits = model(md.Tensor(val.images)).data
p = F.softmax(logits).data
wrong = np.flatnonzero(logits.argmax(axis=1) != val.labels)
unsure = np.argsort(p.max(axis=1))
shown = [*wrong, *(i for i in unsure if i not in wrong)][:6]
figure, axes = plt.subplots(1, 6, figsize=(8, 1.9), layout="constrained")
for i, ax in zip(shown, axes):
    ax.imshow(val.images[i, :, :, 0], cmap="gray_r", vmin=0, vmax=1)
    ax.set_title(f"a {val.labels[i]}, read as {p[i].argmax()}\n({p[i].max():.0%} sure)", fontsize=9)
    ax.axis("off")
plt.show()

# %% [markdown]
# ## A look inside
#
# The sixteen kernels of the first layer, as it has learned them. Guess how many have weights of
# both signs, as lesson 6's edge kernels have:

# %%
w = model[1].weight.data.reshape(16, 9)
print(((w.min(axis=1) < 0) & (w.max(axis=1) > 0)).sum(), "of 16")
md.plot.kernels(model[1].weight)

# %% [markdown]
# And what they see in a seven, after ReLU:

# %%
seven = val.images[[p[:, 7].argmax()]]  # the one that it is surest of
figure, ax = plt.subplots(figsize=(1.5, 1.5))
ax.imshow(seven[0, :, :, 0], cmap="gray_r")
ax.axis("off")
plt.show()

# %%
md.plot.feature_maps(model[:3](md.Tensor(seven)))  # after the first three layers

# %% [markdown]
# Which of them answer to its bar, which to its slope, and which to the white around it?
#
# ## Beside a perceptron
#
# A perceptron with one hidden layer and about as many parameters, trained in the same way. Both
# are tried on the unseen digits as they are, and shifted by one pixel in each of four directions.
# And each is trained twice: once on digits that always stand in the middle (`pad=0`), once on
# shifted ones.
#
# Two things set the convolutional network apart: its kernels are the same at every place, and
# pooling forgets small moves. Which of them matters? For that there is a third network, without
# pooling: its convolutions move by 2 pixels at a time, which makes the same sizes with the same
# parameters. As one training may be lucky, each number is a mean of three, from different starts.
# Guess the last column first: of digits that are one pixel off the middle, what does each network
# read that never saw such?


# %%
def perceptron():
    return nn.Sequential(
        nn.Normalize(0.5, 0.25), nn.Flatten(), nn.Linear(64, 80), nn.ReLU(), nn.Linear(80, 10)
    )


def without_pooling():
    return nn.Sequential(
        nn.Normalize(0.5, 0.25),
        nn.Conv2d(1, 16, kernel_size=3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, kernel_size=3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(2 * 2 * 32, 10),
    )


def shifted(images):
    """All images, moved by one pixel to each side; what comes in is white, which is 0."""
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    return [padded[:, i : i + 8, j : j + 8] for i, j in ((0, 1), (2, 1), (1, 0), (1, 2))]


def accuracy(model, images):
    return (model(md.Tensor(np.ascontiguousarray(images))).data.argmax(axis=1) == val.labels).mean()


def read(make, pad):
    """Of unseen digits, centred and shifted: a mean of three trainings."""
    both = []
    for start in range(3 * seed, 3 * seed + 3):
        md.manual_seed(start)
        contestant = make()
        trained(contestant, pad, epochs=10, seed=start)
        moved = np.mean([accuracy(contestant, images) for images in shifted(val.images)])
        both.append((accuracy(contestant, val.images), moved))
    return np.mean(both, axis=0)


contestants = {"perceptron": perceptron, "no pooling": without_pooling, "CNN": cnn}
measured, work = {}, {}
print(
    f"{'':<11}{'parameters':>10}{'multiply-adds':>15}{'trained on':>12}{'centred':>9}{'shifted':>9}"
)
for name, make in contestants.items():
    work[name] = md.compress.cost(make(), (8, 8, 1)).multiply_adds
    size = sum(parameter.size for parameter in make().parameters())
    for pad, on in enumerate(("centred", "shifted")):
        centred, moved = measured[name, pad] = read(make, pad)
        print(f"{name:<11}{size:>10,}{work[name]:>15,}{on:>12}{centred:>9.1%}{moved:>9.1%}")

# %% tags=["hide-input"]
moved = {name: measured[name, 0][1] for name in contestants}
assert moved["no pooling"] > moved["perceptron"] + 0.015
assert moved["CNN"] > moved["no pooling"] + 0.08
assert moved["CNN"] - moved["no pooling"] > 1.5 * (moved["no pooling"] - moved["perceptron"])
assert measured["CNN", 1][1] > measured["CNN", 0][1] + 0.2
assert measured["perceptron", 1][1] > measured["perceptron", 0][1] + 0.4
assert measured["perceptron", 1][0] < measured["perceptron", 0][0] - 0.01
assert work["CNN"] > 14 * work["perceptron"]

# %% [markdown]
# The convolutional network, trained on centred digits only, copes better with shifted ones. Most of
# that comes from pooling; kernels that are the same at every place add a few points. Both have
# their price: nearly four times the multiplications for the one, and for the other four times as
# many again, as convolutions before a pooling look at every pixel. So the comparison is fair in
# parameters, not in work. And shifted examples teach more than any of these layers, though the
# perceptron reads a little less of what stands in the middle for it.
#
# ## Exercises
#
# **1. Sizes.** What does `nn.MaxPool2d(3, stride=2)` make of an image of 13 x 13? Use the formula
# of lesson 6, then check.

# %%
side = ...  # your answer
judge("7.1", side)

# %% tags=["hide-cell", "solution"]
side = (13 - 3) // 2 + 1
assert F.max_pool2d(np.zeros((1, 13, 13, 1)), 3, stride=2).shape == (1, side, side, 1)
assert side == 6
assert judge("7.1", side)

# %% [markdown]
# **2. Pooling in one line.** For windows that do not overlap, max-pooling is one `reshape` and
# one `max` of NumPy. Write it for images `(B, H, W, C)` whose sides are multiples of m.

# %%
x = np.random.default_rng(seed).standard_normal((2, 6, 12, 3))
pool = ...  # your function of x and m
judge("7.2", pool)


# %% tags=["hide-cell", "solution"]
def pool(x, m):
    B, H, W, C = x.shape
    return x.reshape(B, H // m, m, W // m, m, C).max(axis=(2, 4))


for m in (1, 2, 3, 6):
    assert np.array_equal(pool(x, m), F.max_pool2d(x, m).data)
assert judge("7.2", pool)

# %% [markdown]
# **3. Find the bug.** This average-pooling has the right value, and a gradient with the right
# shape. Is it right?


# %%
@md.op
def average_pool(x):
    B, H, W, C = x.shape
    y = x.reshape(B, H // 2, 2, W // 2, 2, C).mean(axis=(2, 4))
    return y, (lambda dy: dy.repeat(2, axis=1).repeat(2, axis=2),)


# your check, with x: md.testing.check_gradients(...), as in lesson 4
mended = ...  # your operation
judge("7.3", mended)


# %% tags=["hide-cell", "solution"]
@md.op
def mended(x):
    B, H, W, C = x.shape
    y = x.reshape(B, H // 2, 2, W // 2, 2, C).mean(axis=(2, 4))
    # Each of four pixels has a quarter of it
    return y, (lambda dy: dy.repeat(2, axis=1).repeat(2, axis=2) / 4,)


message = "no complaint"
try:
    md.testing.check_gradients(average_pool, x)
except AssertionError as error:
    message = str(error)
print(message)
assert "4 times as much" in message
assert md.testing.check_gradients(mended, x)
assert judge("7.3", mended)

# %% [markdown]
# **Next:** [attack it](08_fgsm.ipynb).
