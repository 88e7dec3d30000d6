# %% [markdown]
# # 9. Pruning
#
# After this lesson you can
#
# * set the smallest weights of a network to zero, all at once or along a schedule,
# * say why the schedule matters,
# * keep pruned weights at zero while training goes on,
# * ask whether a pruned network is more robust, and judge the answer.
#
# It follows section 4.1 of the report (figures 8 to 11).

# %%
import copy

import matplotlib.pyplot as plt
import numpy as np
from answers import judge

import minidl as md
from minidl.compress import MagnitudePruner, cubic_sparsity, sparsity

plt.rc("axes.spines", top=False, right=False)
seed = 0  # of all random numbers; what is said below also holds for 1 and 2
train, val = md.data.digits("train"), md.data.digits("val")
batches = md.data.Loader(*train, batch_size=64, seed=seed)
EPOCHS = 15
STEPS = EPOCHS * len(batches)


def trained(model, pruner=None, watch=False, epochs=EPOCHS, lr=0.05):
    optimizer = md.optim.SGD(model.parameters(), lr=lr, momentum=0.9, nesterov=True)
    schedule = md.optim.one_cycle(lr=lr, steps=epochs * len(batches))
    check = md.data.Loader(*val, batch_size=360, shuffle=False) if watch else None
    return md.fit(
        model,
        batches,
        optimizer,
        epochs,
        schedule=schedule,
        validation=check,
        pruner=pruner,
        progress=False,
    )


def accuracy(model):
    return md.evaluate(
        model, md.data.Loader(*val, batch_size=360, shuffle=False), progress=False
    ).accuracy


# %% [markdown]
# ## Most weights are small
#
# The report's perceptron FC5, trained on the digits: 1.5 million weights for 1437 images of 64
# pixels. Guess: half of the weights of a layer are below which part of its largest one?


# %%
def fc5():
    return md.models.fc5(image_size=8, channels=1, seed=seed)


dense = fc5()
trained(dense)
weights = dict(dense.named_parameters())
figure, axes = plt.subplots(1, 5, figsize=(9, 2), layout="constrained")
for i, ax in enumerate(axes, start=1):
    w = weights[f"fc{i}.weight"].data
    ax.hist(w.ravel(), bins=80, color="#0072B2")
    ax.set_title(f"fc{i}: {w.shape[0]} x {w.shape[1]}", fontsize=9)
    ax.set(yticks=[])
plt.show()
sizes = [np.abs(w.data) for w in weights.values() if w.ndim == 2]
halves = [np.median(size) / size.max() for size in sizes]
print(f"accuracy {accuracy(dense):.1%}")
print(
    "half of the weights are below", *(f"{half:.0%}" for half in halves), "of the layer's largest"
)

# %% tags=["hide-input"]
assert max(halves) < 0.42
assert max(halves[1:]) < 0.27

# %% [markdown]
# Most are small beside the largest, most of all after the first layer.
#
# To *prune* is to set weights to zero and leave them there. **Magnitude pruning** prunes the
# weights that are smallest in size. A network's **sparsity** is the part of its weights that are
# zero.
#
# ## All at once
#
# Cut the smallest weights of each layer, in one go and without any further training. Guess at which
# sparsity it begins to hurt:


# %%
def cut(model, part):
    """A copy of the model whose smallest weights, this part of each layer, are zero."""
    model = copy.deepcopy(model)
    for w in model.parameters():
        if w.ndim == 2:  # weights, not biases
            threshold = np.quantile(np.abs(w.data), part)
            w.data[np.abs(w.data) < threshold] = 0
    return model


parts = [0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98]
at_once = [accuracy(cut(dense, part)) for part in parts]
figure, ax = plt.subplots(figsize=(5, 2.8))
ax.plot(100 * np.array(parts), 100 * np.array(at_once), "o-", color="#D55E00")
ax.set(xlabel="sparsity (%)", ylabel="accuracy (%)", ylim=(0, 100))
plt.show()

# %% tags=["hide-input"]
assert at_once[parts.index(0.5)] > at_once[0] - 0.01
assert at_once[-1] < 0.6

# %% [markdown]
# Half of the weights are not missed at all. Then accuracy falls, suddenly. But a network that is
# allowed to go on training may make up for what it has lost.
#
# ## Step by step
#
# So prune a little, train on, prune some more. The schedule of Zhu and Gupta (2017), which the
# report uses, cuts much at first, while there is plenty, and little towards the end. (Guess the
# shape of its curve from the formula.)
#
# $$s_t = s_f - s_f \Big(1 - \frac{t - t_\text{start}}{n f}\Big)^3 \quad \text{at} \quad
# t \in \{t_\text{start}, t_\text{start} + f, \dots, t_\text{start} + n f\}$$
#
# with $s_f$ the final sparsity, and $n$ cuts after the first, each $f$ steps after the one before.

# %%
start, every, count = STEPS // 5, 8, 20
t = np.arange(STEPS)
figure, ax = plt.subplots(figsize=(5.5, 2.6))
for final in (0.5, 0.9, 0.98):
    by_hand = [
        0
        if step < start
        else final - final * (1 - min((step - start) // every, count) / count) ** 3
        for step in t
    ]
    schedule = [cubic_sparsity(step, final, start, every, count) for step in t]
    assert np.allclose(by_hand, schedule)
    ax.plot(t, 100 * np.array(schedule), label=f"final sparsity {final:.0%}")
ax.set(xlabel="training step t", ylabel="sparsity (%)")
ax.legend(frameon=False)
plt.show()

# %% [markdown]
# `MagnitudePruner` follows it: `pruner.step(t)` cuts to the schedule's sparsity of step $t$, and
# `md.fit` calls that after each step. The **mask** of a parameter (`parameter.mask`) is 1 where a
# weight is kept, and 0 where it was cut. `md.optim`'s optimisers look at it and leave pruned
# weights at exactly zero. Without it the next step of gradient descent would move them again. Guess
# the accuracy with a tenth, and with a fiftieth of the weights:

# %%
sparse, curves, accuracies = {0: dense}, {}, {0: accuracy(dense)}
for final in (0.9, 0.98):
    model = fc5()
    pruner = MagnitudePruner(model, final, start, every, count)
    curves[final] = trained(model, pruner, watch=final == 0.98)
    sparse[final] = model
    accuracies[final] = accuracy(model)
    print(f"sparsity {sparsity(model):.1%}: accuracy {accuracies[final]:.1%}")

# %% [markdown]
# Is it the schedule that does it? The cut above had another disadvantage: no training came after
# it. So the control: cut to 98 % in one go where the schedule starts, and train on, for as many
# steps in all. Guess where it lies between the two:

# %%
model = fc5()
trained(model, MagnitudePruner(model, 0.98, start, every, count=1))
ways = {
    "cut at the end, not trained after": accuracy(cut(dense, 0.98)),
    "cut in one go, trained after": accuracy(model),
    "step by step": accuracies[0.98],
}
for name, value in ways.items():
    print(f"98 %, {name:33}: accuracy {value:.1%}")

# %% tags=["hide-input"]
for final in (0.9, 0.98):
    assert abs(sparsity(sparse[final]) - final) < 1e-3
assert accuracies[0.9] > accuracies[0] - 0.03
assert accuracies[0.98] > accuracies[0] - 0.08
untrained, in_one_go, step_by_step = ways.values()
assert in_one_go > untrained + 0.2
assert step_by_step > in_one_go + 0.01
assert in_one_go - untrained > 2 * (step_by_step - in_one_go)

# %% [markdown]
# A fiftieth of the weights does nearly what all of them did. Most of that is the *training* after
# the cut. The schedule adds a few points to it. The training of the sparsest, epoch by epoch:

# %%
curve = curves[0.98]
figure, ax = plt.subplots(figsize=(5.5, 2.8), layout="constrained")
epochs = range(1, EPOCHS + 1)
ax.plot(
    epochs,
    [100 * epoch.val_accuracy for epoch in curve],
    "o-",
    color="#0072B2",
    label="accuracy (unseen digits)",
)
ax.plot(epochs, [100 * epoch.sparsity for epoch in curve], "s--", color="#D55E00", label="sparsity")
ax.set(xlabel="epoch", ylabel="%", ylim=(0, 102), xticks=epochs[::2])
ax.legend(frameon=False)
plt.show()

# %% [markdown]
# All weights before and after. What was cut is the gap in the middle:

# %%
md.plot.weights(dense, sparse[0.9])

# %% [markdown]
# What is left of the last layer (294 inputs, ten classes), from dense to sparse; zeros are white:

# %%
figure, axes = plt.subplots(3, 1, figsize=(8.5, 2.2), layout="constrained")
for ax, (final, model) in zip(axes, sparse.items()):
    w = dict(model.named_parameters())["fc5.weight"].data.T
    ax.imshow(w, cmap="RdBu_r", vmin=-0.3, vmax=0.3, aspect="auto", interpolation="nearest")
    ax.set_ylabel(f"{final:.0%}", rotation=0, ha="right", va="center")
    ax.set(xticks=[], yticks=[])
plt.show()

# %% [markdown]
# ## Which pixels still count?
#
# Sum up the size of the first layer's weights for each pixel. Guess where most are gone in the
# sparse network:

# %%
figure, axes = plt.subplots(1, 3, figsize=(6, 1.9), layout="constrained")
by_pixel = {}
for ax, (final, model) in zip(axes, sparse.items()):
    w = dict(model.named_parameters())["fc1.weight"].data  # (64, 1344)
    by_pixel[final] = np.abs(w).sum(axis=1).reshape(8, 8)
    ax.imshow(by_pixel[final], cmap="viridis", vmin=0)
    ax.set_title(f"sparsity {final:.0%}", fontsize=9)
    ax.axis("off")
plt.show()

# %% tags=["hide-input"]
assert by_pixel[0.98][:, [0, 7]].mean() < 0.5 * by_pixel[0.98][:, 2:6].mean()
assert by_pixel[0][:, [0, 7]].mean() > 0.8 * by_pixel[0][:, 2:6].mean()

# %% [markdown]
# At the left and right borders, where digits have little ink.
#
# ## Is it more robust?
#
# The report's question. One idea is that what can be left out was superfluous, and that a network
# of few weights has less to be attacked by. Let us see, with the attack of lesson 8 on all 360
# unseen digits. Guess: above the dense network's line, below, or neither?

# %%
epsilons = np.arange(0, 49, 4) / 255
md.plot.accuracy(
    {
        f"sparsity {final:.0%}": md.robustness.accuracy_curve(model, *val, epsilons)
        for final, model in sparse.items()
    }
)

# %% [markdown]
# This is the report's figure 11 in small. Under weak attacks the bands overlap, and that is often
# read as "no difference". But a band says how much a curve would move if *other* images were taken,
# and all curves have the same ones: hard images are hard for every network. So compare image by
# image. What both networks have right, or both wrong, says nothing about which is better. Were they
# equally good, each of the others would be a toss of a coin. **McNemar's test** of two networks
# gives the probability $p$ that chance alone would divide the images, which one of them has right
# and the other wrong, so unevenly (`md.robustness.mcnemar`). Dense against 90 % sparse, for two
# attacks, of which the second climbs the margin loss (lesson 8). Guess who is ahead at 8/255, and
# at 32/255:


# %%
def stands(model, epsilon, loss):
    """Which images are read rightly under FGSM (B,)."""
    attacked = md.robustness.fgsm(model, *val, [epsilon / 255], loss=loss).adversarial[0]
    return model(attacked).data.argmax(axis=1) == val.labels


tests = {}
for epsilon in (8, 32):
    for loss in ("cross_entropy", "margin"):
        test = md.robustness.mcnemar(
            stands(dense, epsilon, loss), stands(sparse[0.9], epsilon, loss)
        )
        tests[epsilon, loss] = test
        print(
            f"at {epsilon:2}/255, {loss:13}: only the dense one stands {test.only_a:2} times, "
            f"only the sparse one {test.only_b:2}, p = {test.p_value:.0e}"
        )

# %% tags=["hide-input"]
for loss in ("cross_entropy", "margin"):
    at_8, at_32 = tests[8, loss], tests[32, loss]
    assert at_32.only_b > at_32.only_a + 10
    assert at_8.only_a > at_8.only_b
assert tests[32, "cross_entropy"].p_value < 0.05

# %% [markdown]
# At 32/255 the sparse network stands more often than the dense one under both attacks, and under
# the first the test calls that more than chance ($p < 0.05$), whatever the bands look like. At
# 8/255 the dense one is ahead, by a few images only. The report found that "sparsity does not
# change robustness" for FC5 (its claim C5). On our small digits it seems to, at some epsilons.
# Here it is one training for each; three seeds say the same, two of them with $p < 0.001$ and the
# third barely. How much of it is pruning, and how much the luck of a training, takes more seeds
# and more images, and that is what `experiments/pruning.py` is for.
#
# ## Exercises
#
# **1. Is it the magnitude?** Prune at random instead of by magnitude, at once, at the same
# sparsities. What does the curve look like beside ours?

# %%
cut_at_random = ...  # your function of a model and a part, like cut
judge("9.1", cut_at_random, dense)


# %% tags=["hide-cell", "solution"]
def cut_at_random(model, part):
    model, rng = copy.deepcopy(model), np.random.default_rng(seed)
    for w in model.parameters():
        if w.ndim == 2:
            w.data[rng.random(w.shape) < part] = 0
    return model


at_random = [accuracy(cut_at_random(dense, part)) for part in parts]
figure, ax = plt.subplots(figsize=(5, 2.6))
ax.plot(100 * np.array(parts), 100 * np.array(at_once), "o-", color="#D55E00", label="smallest")
ax.plot(100 * np.array(parts), 100 * np.array(at_random), "s--", color="0.5", label="at random")
ax.set(xlabel="sparsity (%)", ylabel="accuracy (%)", ylim=(0, 100))
ax.legend(frameon=False)
plt.show()
assert sum(at_once) > sum(at_random)
assert judge("9.1", cut_at_random, dense)

# %% [markdown]
# **2. One order for all.** `MagnitudePruner(..., scope="global")` puts the weights of all layers
# into one order. Train with it to 98 %. Which layers lose most of their weights, and why?
# (Lesson 5 says how large a layer's weights are at the start.)

# %%
lost = ...  # your pruner's layer_sparsity(), after the training
judge("9.2", lost)

# %% tags=["hide-cell", "solution"]
model = fc5()
pruner = MagnitudePruner(model, 0.98, start, every, count, scope="global")
trained(model, pruner)
print(f"accuracy {accuracy(model):.1%}")
for name, part in pruner.layer_sparsity().items():
    w = dict(model.named_parameters())[f"{name}.weight"]
    size = 1 / np.sqrt(3 * w.shape[0])
    print(f"{name}: {part:.1%} of {w.size:,} weights; typical size at the start {size:.3f}")
assert abs(pruner.sparsity - 0.98) < 1e-4
# Many inputs, small weights to begin with: the three layers in the middle are cut nearly whole, and
# a third of the first and of the last is left.
lost = pruner.layer_sparsity()
assert min(lost["fc2"], lost["fc3"], lost["fc4"]) > 0.98
assert min(lost["fc1"], lost["fc5"]) > 0.5
assert max(lost["fc1"], lost["fc5"]) < 0.8
assert judge("9.2", lost)

# %% [markdown]
# **3. Find the bug.** This training loop prunes and goes on training, with an optimiser written
# by hand. At its end the network is not sparse. Why, and what has to change?


# %%
def train_pruned(model, part, steps=23):
    parameters = list(model.parameters())
    for step, (images, labels) in zip(range(steps), batches):
        if step == 10:
            MagnitudePruner(model, part, start=0, every=1, count=1).step(1)  # all at once
        model.zero_grad()
        md.functional.cross_entropy(model(md.Tensor(images)), labels).backward()
        for p in parameters:
            p.data -= 0.05 * p.grad
    return model


mended = ...  # your train_pruned
judge("9.3", mended, fc5)

# %% tags=["hide-cell", "solution"]
wrong = train_pruned(fc5(), 0.9)


def train_pruned_right(model, part, steps=23):
    optimizer = md.optim.SGD(model.parameters(), lr=0.05)  # looks at the masks
    for step, (images, labels) in zip(range(steps), batches):
        if step == 10:
            MagnitudePruner(model, part, start=0, every=1, count=1).step(1)
        optimizer.zero_grad()
        md.functional.cross_entropy(model(md.Tensor(images)), labels).backward()
        optimizer.step()
    return model


mended = train_pruned_right(fc5(), 0.9)
print(f"sparsity {sparsity(wrong):.1%}, mended {sparsity(mended):.1%}")
assert sparsity(wrong) < 0.5  # the gradient of a zero weight is not zero
assert abs(sparsity(mended) - 0.9) < 1e-3
assert judge("9.3", train_pruned_right, fc5)

# %% [markdown]
# **Next:** [low rank](10_low_rank.ipynb), another way to make a network small.
