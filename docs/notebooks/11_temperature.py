# %% [markdown]
# # 11. Temperature, and a trap
#
# After this lesson you can
#
# * say what a temperature does to probabilities, to the loss and to its gradient,
# * train at a high temperature, and say what it does to the logits,
# * see how an attack can fail for want of digits, not for the network's strength,
# * tell the one from the other.
#
# It follows section 4.3 of the report: equations (22) to (24), and figure 13.

# %%
import copy
import warnings

import matplotlib.pyplot as plt
import numpy as np
from answers import judge

import minidl as md
from minidl import functional as F
from minidl import nn

plt.rc("axes.spines", top=False, right=False)
train, val = md.data.digits("train"), md.data.digits("val")
seed = 0  # of all random numbers; what is said below also holds for 1 and 2

# %% [markdown]
# ## Dividing the logits
#
# The **temperature** $T$ is a number that the logits are divided by before the softmax:
#
# $$p_k = \frac{\exp(g_k / T)}{\sum_j \exp(g_j / T)}$$
#
# $T = 1$ is the plain softmax. The larger $T$, the more alike the probabilities, down to $1 / m$
# each for $m$ classes; towards $T = 0$ the largest takes all. The report's animals. Guess the cat's
# probability at $T = 20$:

# %%
classes, logits = ["elephant", "dog", "cat"], np.array([-4.0, 5.0, 6.0])
figure, axes = plt.subplots(1, 5, figsize=(8.5, 2), sharey=True, layout="constrained")
for T, ax in zip((0.2, 1, 5, 20, 1000), axes):
    bars = ax.bar(classes, F.softmax(logits, temperature=T).data, color="#0072B2")
    ax.bar_label(bars, fmt="%.2f", fontsize=8)
    ax.set_title(f"T = {T}", fontsize=10)
    ax.tick_params(axis="x", labelsize=8)
    ax.set_ylim(0, 1.1)
plt.show()

# %% [markdown]
# The predicted class stays the same: dividing by $T > 0$ keeps the order.
#
# ## The loss
#
# Put that into the cross-entropy (equations 22, 23 and 24, from left to right), and the loss of an
# image of class $c$ is
#
# $$L = -\sum_k y[k] \log p_k = -\sum_k y[k] \log \frac{\exp(g_k / T)}{\sum_j \exp(g_j / T)}
# = -\frac{g_c}{T} + \log \sum_j \exp \frac{g_j}{T}$$
#
# Guess it for the dog, at $T = 5$, from the picture (its probability there is .42):

# %%
T, c = 5.0, 1
by_hand = -logits[c] / T + np.log(np.exp(logits / T).sum())
print(by_hand, F.cross_entropy(logits[None], [c], temperature=T).item())

# %% tags=["hide-input"]
assert np.isclose(by_hand, F.cross_entropy(logits[None], [c], temperature=T).item())

# %% [markdown]
# Its gradient is $(p - y) / T$. So with a high temperature training goes on pushing until the
# *divided* logits are large. Were the divided logits to become as large as those of $T = 1$, the
# logits themselves would be $T$ times as large.
#
# ## Training at several temperatures
#
# A perceptron with two hidden layers, trained at T = 1, 20 and 90 (the report's range). Since the
# gradient is $1/T$ times as large, the learning rate is raised by $\sqrt T$. That is the report's
# recipe, found by trying, and not derived from anything. Guess whether training makes the logits
# $T$ times as large:


# %%
def trained(T, epochs=30):
    md.manual_seed(seed)
    model = nn.Sequential(
        nn.Normalize(0.5, 0.25), nn.Flatten(),
        nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip
    batches = md.data.Loader(*train, batch_size=64, augment=False, seed=seed)
    lr = 0.05 * np.sqrt(T)
    optimizer = md.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    schedule = md.optim.one_cycle(lr=lr, steps=epochs * len(batches))
    md.fit(model, batches, optimizer, epochs, schedule=schedule, temperature=T, progress=False)
    return model


models = {T: trained(T) for T in (1, 20, 90)}
figure, ax = plt.subplots(figsize=(7.5, 2.4), layout="constrained")
leads, accuracies = {}, {}
for (T, model), color in zip(models.items(), ("#0072B2", "#009E73", "#D55E00")):
    g = np.sort(model(md.Tensor(val.images)).data, axis=1)
    leads[T] = g[:, -1] - g[:, -2]
    accuracies[T] = np.mean(model(md.Tensor(val.images)).data.argmax(axis=1) == val.labels)
    ax.hist(
        leads[T],
        bins=np.geomspace(0.1, 3000, 60),
        color=color,
        alpha=0.6,
        label=f"T = {T}: accuracy {accuracies[T]:.1%}",
    )
ax.set(xscale="log", xlabel="lead of the largest logit over the second", ylabel="images")
ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
plt.show()
for T, lead in leads.items():
    times = np.median(lead) / np.median(leads[1])
    print(
        f"T = {T:2}: half of all leads are above {np.median(lead):5.1f}, {times:4.1f} times T = 1's"
    )

# %% tags=["hide-input"]
assert min(accuracies.values()) > 0.95
grown = {T: np.median(lead) / np.median(leads[1]) for T, lead in leads.items()}
assert 12 < grown[20] < 18
assert 45 < grown[90] < 70

# %% [markdown]
# All read well. What changed is the scale of the logits: a lead of 10 at $T = 1$ is one of
# hundreds when $T = 90$. It is less than $T$ times as large, though not much.
#
# ## The trap
#
# Now attack them by FGSM. The report distinguishes two attackers: one knows $T$ and uses it in
# the loss (figure 13 b); the other does not, and uses $T = 1$ (figure 13 a). Against the second,
# hot networks seem robust at every epsilon.
#
# But look at what that attacker computes. At $T = 1$ a lead of several hundred gives $p_c = 1$,
# the gradient $p - y$ is a difference of two numbers that are equal in all digits, and FGSM takes
# the *sign* of it:

# %%
for dtype in (np.float32, np.float64):
    g = np.array([0, 20, 60], dtype)
    e = np.exp(g - g.max())
    p = e / e.sum()
    print(f"{dtype.__name__}: p = {p}, p - y = {p - np.array([0, 0, 1], dtype)}")

# %% [markdown]
# The last entry is 0 in both, though it is really $-(p_0 + p_1)$: float32 has about 7 digits, and
# near 1 it cannot show anything smaller than $6 \cdot 10^{-8}$. The others are there, but tiny, and
# a lead of 104 or more leaves nothing: $e^{-104}$ is 0 in float32, whose smallest number is about
# $10^{-45}$. An **underflow** is a result too small for the computer's numbers, which becomes 0.
# Then the whole gradient is exactly zero. Guess for which part of the images that is so, to an
# attacker with the textbook formula:


# %%
def textbook_gradient(model, images, labels, T=1.0):
    """By the pixels, with the softmax and p - y of the textbook, in the model's precision."""
    x = md.Tensor(images, requires_grad=True)
    logits = model(x)
    e = np.exp((logits.data - logits.data.max(axis=1, keepdims=True)) / np.float32(T))
    p = e / e.sum(axis=1, keepdims=True)
    logits.backward((p - np.eye(10, dtype=p.dtype)[labels]) / np.float32(T), inputs=[x])
    return x.grad


dead = {}
for T, model in models.items():
    gradient = textbook_gradient(model, val.images, val.labels)
    dead[T] = (gradient == 0).all(axis=(1, 2, 3)).mean()
    print(f"trained at T = {T:2}: the gradient is exactly zero for {dead[T]:6.1%} of the images")

# %% tags=["hide-input"]
assert dead[1] == 0
assert 0.1 < dead[20] < dead[90] - 0.1
assert dead[90] > 0.85

# %% [markdown]
# An image whose gradient is zero does not move, whatever epsilon. It counts as robust, and
# nothing was tested.
#
# What could a better attacker do? Compute in float64, whose smallest number is about $5 \cdot
# 10^{-324}$. Or guess $T$: FGSM needs only the *direction* of the gradient, and at the temperature
# of the training nothing underflows. Or climb another loss: the margin loss of lesson 8, $\max_{k
# \ne c} g_k - g_c$, has no exponential, and so nothing to underflow. Four attackers, the same three
# networks. Guess what is left of the robustness at $T = 90$ under each:

# %%
epsilons = np.arange(0, 41, 4) / 255


def attacked(model, direction):
    """Accuracy in percent at each epsilon, along a direction."""
    moved = [(val.images + np.float32(e) * direction).clip(0, 1) for e in epsilons]
    return [
        100 * np.mean(model(md.Tensor(images)).data.argmax(axis=1) == val.labels)
        for images in moved
    ]


def attackers(model, T):
    """The direction of each attacker."""
    yield "T = 1, float32", np.sign(textbook_gradient(model, val.images, val.labels))
    precise = copy.deepcopy(model).astype(np.float64)
    yield (
        "T = 1, float64",
        np.sign(textbook_gradient(precise, val.images.astype(np.float64), val.labels)),
    )
    yield "knows T", np.sign(textbook_gradient(model, val.images, val.labels, T))
    x = md.Tensor(val.images, requires_grad=True)
    F.margin_loss(model(x), val.labels, reduction="sum").backward(inputs=[x])
    yield "the margin", np.sign(x.grad)


lines, still = {}, {}
figure, axes = plt.subplots(1, 4, figsize=(9, 2.7), sharey=True, layout="constrained")
for (T, model), marker in zip(models.items(), "os^"):
    for ax, (name, direction) in zip(axes, attackers(model, T)):
        line = lines[T, name] = attacked(model, direction.astype(np.float32))
        still[T, name] = (direction == 0).all(axis=(1, 2, 3)).mean()
        ax.plot(255 * epsilons, line, marker=marker, markersize=4, label=f"trained at T = {T}")
        ax.set_title(name, fontsize=10)
        ax.set(xlabel="epsilon, in 1/255", ylim=(0, 100))
axes[0].set_ylabel("accuracy (%)")
axes[0].legend(frameon=False, fontsize=8, loc="lower left")
plt.show()
print(f"in float64, at T = 90, still zero: {still[90, 'T = 1, float64']:.1%}")

# %% tags=["hide-input"]
end = {key: line[-1] for key, line in lines.items()}  # at 40/255, in percent
assert end[90, "T = 1, float32"] > 85
assert end[90, "T = 1, float64"] < end[90, "T = 1, float32"] - 30
assert end[90, "T = 1, float64"] > end[90, "the margin"] + 10
assert 0.2 < still[90, "T = 1, float64"] < 0.45
for name in ("knows T", "the margin"):
    assert end[90, name] < end[1, name] + 5
    assert end[20, name] < end[1, name] + 5

# %% [markdown]
# The first picture is the report's figure 13 a in small: hot networks look robust at every epsilon.
# In the second the same attacker, with the same $T = 1$, computes with more digits, and much of the
# robustness is gone. Not all of it: a lead of 745 is too much for float64 too. At $T = 90$ about a
# third of the gradients is zero still, and the line levels off high above chance. More digits alone
# are no way out. The last two leave nothing of the robustness. **Gradient masking** is what makes a
# network look robust by leaving the attack without a useful gradient (Papernot et al. 2017; Carlini
# and Wagner 2016). Whenever a defence looks good, first ask whether the attack still works.
#
# `md.robustness` has these attackers too: `fgsm` and `accuracy_curve` take `temperature=T` and
# `loss="margin"`, and their cross-entropy computes $p_c - 1$ as minus the sum of the others, so
# that at least the digits near 1 are not lost.
#
# ## How to tell
#
# Three checks, each a line or two:
#
# * *Zero gradients.* Count the images whose gradient is exactly zero.
#   `accuracy_curve(...).zero_gradients` does, and warns.
# * *Large steps.* At an epsilon where the image is lost to any eye, accuracy must fall to
#   chance. A line that levels off high above it tells of an attack that stands still.
# * *Another attack.* One that climbs the margin loss must not do much better. (One that computes in
#   float64 shows *that* something is wrong, and as we saw not how much.)
#
# Guess what the first two say of the network trained at $T = 90$:

# %%
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    curve = md.robustness.accuracy_curve(models[90], val.images, val.labels, [0, 40 / 255])
print(f"zero gradients: {curve.zero_gradients:.1%}; accuracy at 40/255: {curve.accuracy[1]:.1%}")
print(caught[0].category.__name__, "-", caught[0].message)

# %% tags=["hide-input"]
assert curve.zero_gradients > 0.8
assert curve.accuracy[1] > 0.5

# %% [markdown]
# ## Exercises
#
# **1. The limit.** Show that for very large $T$ the probabilities are $p_k \approx \frac1m \big(1 +
# (g_k - \bar g) / T\big)$, with $\bar g$ the mean logit. Check it for the animals at T = 1000.

# %%
first_order = ...  # your function of the logits (m,) and T
judge("11.1", first_order)


# %% tags=["hide-cell", "solution"]
def first_order(logits, T):
    return (1 + (logits - logits.mean()) / T) / len(logits)  # exp(z) is about 1 + z


T = 1000
assert np.allclose(F.softmax(logits, temperature=T).data, first_order(logits, T), atol=1e-4)
assert not np.allclose(F.softmax(logits, temperature=T).data, 1 / 3, atol=1e-4)
assert judge("11.1", first_order)

# %% [markdown]
# **2. A fake defence.** Take the network trained at T = 1, and multiply its last layer's weights
# and bias by 100. Its answers are the same for every image. How "robust" is it against the
# attacker of the first picture, at 32/255?

# %%
before, after = ..., ...  # accuracy at 32/255, in percent
judge("11.2", before, after)

# %% tags=["hide-cell", "solution"]
fake = trained(1)
before = attacked(fake, np.sign(textbook_gradient(fake, val.images, val.labels)))
fake[-1].weight.data *= 100
fake[-1].bias.data *= 100
after = attacked(fake, np.sign(textbook_gradient(fake, val.images, val.labels)))
print(f"accuracy at 32/255: {before[8]:.0f} % before, {after[8]:.0f} % after multiplying by 100")
assert after[8] > before[8] + 30
knowing = attacked(fake, np.sign(textbook_gradient(fake, val.images, val.labels, T=100)))
assert abs(knowing[8] - before[8]) < 3  # who knows about it is not impressed
assert judge("11.2", before[8], after[8])

# %% [markdown]
# **3. Find the bug.** This loss passes every test at small logits. Where does it fail, and how
# would you write it? (Two different failures.)


# %%
def wrong_loss(logits, label, T):
    e = np.exp(logits / T)
    return -np.log(e[label] / e.sum())


print(wrong_loss(logits, 1, 5.0))  # right
stable_loss = ...  # your function
judge("11.3", stable_loss)


# %% tags=["hide-cell", "solution"]
def stable_loss(logits, label, T):
    z = (logits - logits.max()) / T
    return np.log(np.exp(z).sum()) - z[label]


with np.errstate(all="ignore"):
    overflow = wrong_loss(np.array([0.0, 1000.0]), 1, 1.0)  # exp(1000) is infinite
    # Exp(-1000) is 0, and its logarithm -inf
    underflow = wrong_loss(np.array([0.0, -1000.0]), 1, 1.0)
assert np.isnan(overflow)
assert np.isinf(underflow)
for g in ([0.0, 1000.0], [0.0, -1000.0], [2.0, 1.0]):
    exact = F.cross_entropy(np.array([g]), [1], temperature=1.0).item()
    assert np.isclose(stable_loss(np.array(g), 1, 1.0), exact)
assert judge("11.3", stable_loss)

# %% [markdown]
# **Next:** [an operation of your own](12_your_own_operation.ipynb).
