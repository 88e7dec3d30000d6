# %% [markdown]
# # 3. Softmax and cross-entropy
#
# After this lesson you can
#
# * turn a network's outputs into probabilities, without overflow,
# * compute the loss of a classifier in three ways that agree,
# * say in one formula how the loss wants each output to change,
# * read a prediction, and how sure it is.
#
# It follows section 2.1.2 of the report, equations (2) to (8). Of these, (2) to (6) come again as
# (15) to (19), and (20) and (21) put them together.

# %%
import matplotlib.pyplot as plt
import numpy as np
from answers import judge

import minidl as md
from minidl import functional as F

plt.rc("axes.spines", top=False, right=False)
seed = 0  # of all random numbers; what is said below also holds for 1 and 2

# %% [markdown]
# ## Logits
#
# A **class** is one of the things that an image may show. A network that sorts images into $m$
# classes ends with $m$ neurons. The **logits** $g(x)$ of an image $x$ are the outputs of a
# network's last neurons, one for each class, before any activation. With $f(x)$ for what the layers
# before the last one make of the image (equation 3; the report comes back to it as 15):
#
# $$g(x) = W_d^T f(x) + b_d \in \mathbb{R}^m$$
#
# They are any numbers, large for likely classes. Say, for one image and three classes:

# %%
classes = ["elephant", "dog", "cat"]
logits = np.array([-1.0, 2.0, 1.0])

# %% [markdown]
# ## Softmax: from logits to probabilities
#
# Probabilities are positive and sum to 1. **Softmax**, written $\sigma$, makes probabilities of
# logits by an exponential, which is positive, and a division by the sum (equations 2, 4 and 5;
# again as 16 to 18). Guess before you run it: is the dog about twice as likely as the cat, or more?
#
# $$p(x) = \sigma(W_d^T f(x) + b_d) = \sigma(g(x)), \qquad
# \sigma_k(g) = \frac{\exp(g_k)}{\sum_{i=1}^m \exp(g_i)}$$


# %%
def softmax(g):
    e = np.exp(g)
    return e / e.sum(axis=-1, keepdims=True)  # the last axis: the classes


p = softmax(logits)
figure, axes = plt.subplots(1, 2, figsize=(6, 2.2), layout="constrained")
axes[0].bar(classes, logits, color="0.6")
axes[0].axhline(0, color="black", linewidth=0.8)
axes[0].set_title("logits g")
bars = axes[1].bar(classes, p, color="#0072B2")
axes[1].bar_label(bars, fmt="%.2f")
axes[1].set(title="probabilities p = softmax(g)", ylim=(0, 1))
plt.show()

# %% [markdown]
# The factor between two probabilities depends on the *difference* of their logits alone: a dog is
# $e^{2-1} \approx 2.7$ times as likely as a cat. So a number added to all logits changes nothing:

# %%
print(p, softmax(logits + 100))

# %% [markdown]
# That is more than a curiosity. The textbook formula overflows for large logits. Subtract the
# largest one first, and no exponent is above 0. Guess what the formula as it stands makes of 1000:

# %%
large = np.array([1000.0, 999.0, 0.0])
with np.errstate(over="ignore", invalid="ignore"):
    print("textbook:", softmax(large))
print("shifted: ", softmax(large - large.max()))
print("minidl:  ", F.softmax(large).data)

# %% tags=["hide-input"]
assert np.allclose(p, softmax(logits + 100))
assert np.array_equal(softmax(large - large.max()), F.softmax(large).data)

# %% [markdown]
# ## Cross-entropy: how wrong is a prediction?
#
# The label of an image is the number $c$ of its class. A **one-hot** label is a vector $y = (0,
# \dots, 1, \dots, 0)$ with the 1 at place $c$: the probabilities of somebody who knows.
# **Cross-entropy** is the loss that sums up minus the logarithm of the true class's probability
# over all images. Over a data set $D$ (equations 6 and 7):
#
# $$L = -\sum_{i \in D} \sum_{k=1}^m y_i[k] \log p(x_i)[k] = -\sum_{i \in D} \log p(x_i)[c_i]$$
#
# All terms but that of the true class $c_i$ of image $i$ are multiplied by 0, which gives the
# second form.
#
# Why minus the logarithm? A good network makes it likely that *all* labels are what they are.
# The probability of that is the product of the probabilities of each, $\prod_i p(x_i)[c_i]$. A
# thousand numbers below 1 have a product that is too small for any computer, so take the
# logarithm, which makes a sum of it and rises where the product rises. We look for the smallest of
# a loss, hence the minus.
#
# Both forms, and minidl's (which takes the mean over the images unless it is asked for the sum, so
# that the loss does not grow with their number). Guess first: of five images and three classes,
# what is the loss of somebody who gives each class a third?

# %%
rng = np.random.default_rng(seed)
g = rng.standard_normal((5, 3))  # logits of five images
c = np.array([0, 2, 1, 1, 0])  # their classes
y = np.eye(3)[c]  # the same as vectors
p = softmax(g)

print("a third each:", 5 * np.log(3))
print("(6):   ", -(y * np.log(p)).sum())
print("(7):   ", -np.log(p[np.arange(5), c]).sum())
print("minidl:", F.cross_entropy(g, c, reduction="sum").item())

# %% tags=["hide-input"]
assert np.isclose(-(y * np.log(p)).sum(), -np.log(p[np.arange(5), c].prod()))
assert np.isclose(-(y * np.log(p)).sum(), F.cross_entropy(g, c, reduction="sum").item())

# %% [markdown]
# What one image adds depends on the probability of its true class alone. It is 0 for a sure and
# right answer, and grows without bound for a sure and wrong one. Somebody who knows nothing gives
# each of ten classes 1/10 and pays $\log 10$:

# %%
q = np.linspace(0.002, 1, 500)
figure, ax = plt.subplots(figsize=(4.6, 2.6))
ax.plot(q, -np.log(q), color="#D55E00")
ax.plot(0.1, np.log(10), "o", color="black")
ax.annotate(
    "ten classes, no idea: 2.30",
    xy=(0.1, np.log(10)),
    xytext=(0.2, 3.2),
    arrowprops={"arrowstyle": "->"},
)
ax.set(xlabel="probability of the true class", ylabel="loss of one image", ylim=(0, 6))
plt.show()

# %% [markdown]
# ## What the loss wants
#
# How does the loss of one image, $-\log p_c$, change with each logit? First the probability: its
# numerator $\exp(g_c)$ changes with $g_c$ alone, its denominator with every $g_k$, and the rule for
# quotients makes of it
#
# $$\frac{\partial p_c}{\partial g_k} = p_c \, (y_k - p_k)$$
#
# with $y_k = 1$ for $k = c$ and 0 otherwise. The logarithm divides by $p_c$, and what is left is as
# simple as can be:
#
# $$\frac{\partial L}{\partial g_k} = -\frac{1}{p_c} \frac{\partial p_c}{\partial g_k} = p_k - y_k$$
#
# The true class's logit shall rise, the others fall, each by as much as its probability is wrong.
# Check it, for all five images at once (`backward` leaves the derivative in `.grad`, as in lesson
# 1). Guess the largest difference:

# %%
g = md.Tensor(g, requires_grad=True)
F.cross_entropy(g, c, reduction="sum").backward()
print(np.abs(g.grad - (p - y)).max())

# %% tags=["hide-input"]
assert np.abs(g.grad - (p - y)).max() < 1e-12

# %% [markdown]
# In a picture, for our animals, if the image is a cat: arrows show which way gradient descent
# moves each logit.

# %%
target = np.array([0, 0, 1])
p = softmax(logits)
figure, ax = plt.subplots(figsize=(4.6, 2.4))
ax.bar(classes, p, color="#0072B2", width=0.5, label="p")
ax.bar(
    classes,
    target,
    fill=False,
    edgecolor="black",
    width=0.5,
    linestyle="--",
    label="y: it is a cat",
)
for k in range(3):
    ax.annotate("", xy=(k + 0.35, target[k]), xytext=(k + 0.35, p[k]),
                arrowprops={"arrowstyle": "-|>", "color": "#D55E00", "linewidth": 2})  # fmt: skip
ax.legend(frameon=False, loc="upper left")
plt.show()

# %% [markdown]
# ## On real digits
#
# One layer, 64 pixels to ten logits, learns to read. `Normalize` subtracts 0.5 from each pixel and
# divides by 0.25, so that they lie around 0, between -2 and 2; `Flatten` writes the 8 x 8 pixels in
# a row. `md.fit` goes through the images ten times, 64 at a time, and each time moves the weights a
# little to where their loss is smaller; in lesson 4 we write it in ten lines. (What `SGD` and
# `momentum` are comes there, too.) At first it knows nothing, and its loss is about $\log 10 =
# 2.3$. Guess the last one:

# %%
train, val = md.data.digits("train"), md.data.digits("val")
md.manual_seed(seed)
model = md.nn.Sequential(md.nn.Normalize(0.5, 0.25), md.nn.Flatten(), md.nn.Linear(64, 10))
batches = md.data.Loader(*train, batch_size=64, augment=False, seed=seed)
optimizer = md.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
curve = md.fit(model, batches, optimizer, epochs=10, progress=False)
print(f"loss of the first epoch {curve[0].loss:.2f}, of the last {curve[-1].loss:.2f}")

# %% [markdown]
# The **predicted class** $\hat y$ is that of the largest probability, counted from zero (equation
# 8). It is that of the largest logit too, since the exponential rises. Guess the accuracy of one
# layer:
#
# $$\hat y(x) = \operatorname{argmax}_k \, p(x)[k]$$

# %%
logits = model(md.Tensor(val.images))
p = F.softmax(logits).data
predicted = p.argmax(axis=1)
right = np.mean(predicted == val.labels)
print(f"{right:.1%} of {len(val.labels)} unseen digits are read rightly")

# %% tags=["hide-input"]
assert (predicted == logits.data.argmax(axis=1)).all()
assert right > 0.93
assert curve[-1].loss < curve[0].loss / 5

# %% [markdown]
# Some draw the class from $p(x)$ instead, as the report says: seven in ten times what has
# probability 0.7. An image is then right with the probability of its true class, so that on average
# the accuracy is the mean of these. Guess: is that more often right, or less often?

# %%
draws = [md.evaluate(model, [val], stochastic=True, seed=i, progress=False) for i in range(20)]
drawn = np.mean([draw.accuracy for draw in draws])
true_class = p[np.arange(len(p)), val.labels]
print("the largest: ", f"{right:.1%}")
print("drawn:       ", *(f"{draw.accuracy:.1%}" for draw in draws[:5]), f"... mean {drawn:.1%}")
print("mean probability of the true class:", f"{true_class.mean():.1%}")

# %% tags=["hide-input"]
assert abs(drawn - true_class.mean()) < 0.008
assert drawn < right - 0.01

# %% [markdown]
# Less often. A class of probability 0.7 is given up three times in ten, and mostly it was right.
#
# Three that it reads surely, and the three mistakes that cost most. Green bars are the true class:

# %%
loss = -np.log(true_class)
order = np.argsort(loss)
shown = [*order[:3], *order[-3:]]
figure, axes = plt.subplots(2, 6, figsize=(8.5, 3), layout="constrained", height_ratios=[1.3, 1])
for i, (image, bars) in zip(shown, axes.T):
    image.imshow(val.images[i, :, :, 0], cmap="gray_r", vmin=0, vmax=1)
    image.set_title(f"{predicted[i]}, loss {loss[i]:.2g}", fontsize=9)
    image.axis("off")
    colors = ["#009E73" if k == val.labels[i] else "#D55E00" for k in range(10)]
    bars.bar(range(10), p[i], color=colors)
    bars.set(ylim=(0, 1), xticks=range(10), yticks=[])
    bars.tick_params(labelsize=7)
plt.show()

# %% tags=["hide-input"]
assert (predicted[order[-3:]] != val.labels[order[-3:]]).all()
assert (predicted[order[:3]] == val.labels[order[:3]]).all()

# %% [markdown]
# ## Exercises
#
# **1. The loss from logits.** Put the softmax into the loss of one image (the report's equations 19
# and 20):
#
# $$L = -\sum_k y[k] \log p(x)[k] = -\sum_k y[k] \log \frac{\exp(g_k)}{\sum_j \exp(g_j)}$$
#
# Show, with pencil and with code, that this is $-g_c + \log \sum_j \exp(g_j)$ (equation 21). Write
# it so that it survives the logits `large`, even if the class is the last.

# %%
loss_from_logits = ...  # your function of the logits (3,) and the class
judge("3.1", loss_from_logits)


# %% tags=["hide-cell", "solution"]
def loss_from_logits(g, c):
    g = g - g.max()
    return -g[c] + np.log(np.exp(g).sum())


assert np.isclose(
    loss_from_logits(np.array([-1.0, 2.0, 1.0]), 2), -np.log(softmax(np.array([-1.0, 2.0, 1.0]))[2])
)
# Softmax itself says 0 here, and its logarithm -inf
assert np.isclose(loss_from_logits(large, 2), 1000.3132617)
assert judge("3.1", loss_from_logits)

# %% [markdown]
# **2. The wrong axis.** This softmax is wrong for batches. Which check, that every softmax should
# pass, shows it?


# %%
def wrong_softmax(g):
    e = np.exp(g - g.max())
    return e / e.sum(axis=0)


passes = ...  # your check: a function that says of a softmax whether it passes
judge("3.2", passes, softmax, wrong_softmax)

# %% tags=["hide-cell", "solution"]
batch = np.array([[0.0, 1.0, 2.0], [2.0, 1.0, 0.0]])
assert np.allclose(softmax(batch).sum(axis=1), 1)  # the probabilities of each image sum to 1
assert not np.allclose(wrong_softmax(batch).sum(axis=1), 1)
assert np.allclose(wrong_softmax(batch[0]), softmax(batch[0]))  # one image alone shows nothing


def passes(function):
    return np.allclose(function(batch).sum(axis=1), 1)


assert judge("3.2", passes, softmax, wrong_softmax)

# %% [markdown]
# **3. Two classes.** With two classes, softmax is the sigmoid of lesson 1 in disguise: of which
# number?

# %%
number = ...  # your function of pairs of logits (B, 2)
judge("3.3", number)

# %% tags=["hide-cell", "solution"]
g = np.random.default_rng(1).standard_normal((100, 2))
# Of the difference of the logits
assert np.allclose(softmax(g)[:, 0], F.sigmoid(g[:, 0] - g[:, 1]).data)
assert judge("3.3", lambda g: g[:, 0] - g[:, 1])

# %% [markdown]
# **Next:** [backpropagation](04_backpropagation.ipynb), how all those derivatives are found.
