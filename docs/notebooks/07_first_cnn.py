# %% [markdown]
# # 7. A first convolutional network
#
# After this lesson you can
#
# * say what pooling and flattening do, and where their gradients go,
# * build, train and test a convolutional network,
# * look inside it: at its kernels, and at what they see,
# * compare it fairly with a perceptron.
#
# It follows the end of section 2.2 of the report: figures 6 and 7.

# %%
import matplotlib.pyplot as plt
import numpy as np

import minidl as md
from minidl import functional as F
from minidl import nn
from minidl.kernels import loops

plt.rc("axes.spines", top=False, right=False)
md.manual_seed(0)

# %% [markdown]
# ## Pooling
#
# **Max-pooling** keeps the largest value of each window and forgets where in the window it was.
# The report's figure 7, windows of 2 x 2 with stride 2:

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
# figure 6, for our digits of 8 x 8 pixels.


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


model = cnn()
md.summary(model, (8, 8, 1))

# %% [markdown]
# Read it from top to
# bottom: fewer and fewer pixels, more and more channels.
#
# ## Training
#
# Eighteen passes over 1437 digits. The loader shifts each digit by up to a pixel at random
# (`pad=1`), so that the network never sees quite the same image twice; the other 360 digits say
# how well it reads what it has not seen.


# %%
train, val = md.data.digits("train"), md.data.digits("val")


def trained(model, pad, epochs=18):
    batches = md.data.Loader(*train, batch_size=64, pad=pad, seed=0)
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

# %% [markdown]
# (The training loss is the higher one at first: it is a mean over the epoch, while the network
# was still learning, and of shifted digits.)
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
# The sixteen kernels of the first layer, as it has learned them:

# %%
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
# Some answer to its bars, some to its slope, some to the white around it.
#
# ## Beside a perceptron
#
# A perceptron with one hidden layer and about as many parameters, trained in the same way. Both
# are tried on the unseen digits as they are, and shifted by one pixel in each of four directions.
# And each is trained twice: once on digits that always stand in the middle (`pad=0`), once on
# shifted ones.


# %%
def perceptron():
    return nn.Sequential(
        nn.Normalize(0.5, 0.25), nn.Flatten(), nn.Linear(64, 80), nn.ReLU(), nn.Linear(80, 10)
    )


def shifted(images):
    """All images, moved by one pixel to each side; what comes in is white, which is 0."""
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    return [padded[:, i : i + 8, j : j + 8] for i, j in ((0, 1), (2, 1), (1, 0), (1, 2))]


def accuracy(model, images):
    return (model(md.Tensor(np.ascontiguousarray(images))).data.argmax(axis=1) == val.labels).mean()


print(f"{'':<12}{'parameters':>10}{'trained on':>12}{'centred':>9}{'shifted':>9}")
measured = {}
for name, make in {"perceptron": perceptron, "CNN": cnn}.items():
    for pad in (0, 1):
        md.manual_seed(0)
        contestant = make()
        trained(contestant, pad)
        count = sum(parameter.size for parameter in contestant.parameters())
        centred = accuracy(contestant, val.images)
        moved = np.mean([accuracy(contestant, images) for images in shifted(val.images)])
        measured[name, pad] = (centred, moved)
        print(
            f"{name:<12}{count:>10,}{('centred', 'shifted')[pad]:>12}{centred:>9.1%}{moved:>9.1%}"
        )

# %% [markdown]
# The convolutional network, trained on centred digits only, copes far better with shifted ones:
# its kernels are the same at every place, and pooling forgets small moves. Shifted examples teach
# the perceptron the same, at a price.
#
# ## Exercises
#
# **1. Sizes.** What does `nn.MaxPool2d(3, stride=2)` make of an image of 13 x 13? Use the formula
# of lesson 6, then check.

# %%
# your answer

# %% tags=["hide-cell", "solution"]
side = (13 - 3) // 2 + 1
assert F.max_pool2d(np.zeros((1, 13, 13, 1)), 3, stride=2).shape == (1, side, side, 1)
assert side == 6

# %% [markdown]
# **2. Pooling in one line.** For windows that do not overlap, max-pooling is one `reshape` and
# one `max` of NumPy. Write it for images `(B, H, W, C)` whose sides are multiples of m.

# %%
# your line


# %% tags=["hide-cell", "solution"]
def pool(x, m):
    B, H, W, C = x.shape
    return x.reshape(B, H // m, m, W // m, m, C).max(axis=(2, 4))


x = np.random.default_rng(0).standard_normal((2, 6, 12, 3))
for m in (1, 2, 3, 6):
    assert np.array_equal(pool(x, m), F.max_pool2d(x, m).data)

# %% [markdown]
# **3. Find the bug.** This average-pooling has the right value, and a gradient with the right
# shape. Is it right?


# %%
@md.op
def average_pool(x):
    B, H, W, C = x.shape
    y = x.reshape(B, H // 2, 2, W // 2, 2, C).mean(axis=(2, 4))
    return y, (lambda dy: dy.repeat(2, axis=1).repeat(2, axis=2),)


# your check: md.testing.check_gradients(...)


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

# %% [markdown]
# **Next:** [attack it](08_fgsm.ipynb).
