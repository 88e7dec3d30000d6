# %% [markdown]
# # 14. Adversarial training, and how it deceives itself
#
# After this lesson you can
#
# * say what adversarial training minimises, and write its step in six lines,
# * say what a random start changes, and what a step of 1.25 epsilon does with it,
# * make catastrophic overfitting happen, see it, and say what the network has learnt instead,
# * choose a remedy, and say what it costs,
# * set a guard over a training, and take back its best epoch.
#
# The report attacks networks that were trained on images as they are. It names this defence and
# does not try it.

# %%
import copy
import warnings
from functools import partial

import matplotlib.pyplot as plt
import numpy as np
from answers import judge

import minidl as md
from minidl import functional as F
from minidl import nn
from minidl import robustness as R

plt.rc("axes.spines", top=False, right=False)
seed = 0  # of all random numbers; what is said below also holds for 1 and 2

# %% [markdown]
# ## Train on what fools you
#
# Training makes the loss small on images as they are. An attacker then looks for the place nearby
# where it is large. So ask for what we really want, that it be small even *there*:
#
# $$\min_\theta \; \frac1n \sum_i \; \max_{\lVert \delta_i \rVert_\infty \le \varepsilon} \;
# L(x_i + \delta_i, y_i, \theta)$$
#
# **Adversarial training** minimises the loss on the adversarial images of the network as it is at
# each step. A game: within, the attacker moves the image; outside, the network moves its weights
# (Madry et al. 2018). Which way should they go? Call the best attack $\delta^*(\theta)$. It depends
# on the weights too, and by the chain rule
#
# $$\frac{d}{d\theta} L\big(x + \delta^*(\theta), y, \theta\big) =
# \frac{\partial L}{\partial \theta} + \frac{\partial L}{\partial \delta}
# \frac{d \delta^*}{d \theta}$$
#
# The second term is 0. At a maximum either the loss does not rise along a pixel, and then
# $\partial L / \partial \delta = 0$; or the pixel stands at the border of the box, and stays there
# when the weights move a little, and then $d \delta^* / d \theta = 0$. (This is Danskin's theorem.)
# So one does not differentiate *through* the attack: attack, then take a plain step on the images
# that came out, as if they had been the data. (One step need not reach the maximum. That this
# matters is what the second half of this lesson is about.)

# %%
train, val = md.data.digits("train"), md.data.digits("val")


def perceptron(pixels):
    """pixels -> 256 -> 256 -> 10."""
    layers = nn.Linear(pixels, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10)
    return nn.Sequential(nn.Normalize(0.5, 0.5), nn.Flatten(), *layers)


def adversarial(model, images, labels, epsilon):
    """What a step of training minimises: the loss where FGSM (lesson 8) leads. For md.fit."""
    x = md.Tensor(images.data, requires_grad=True)
    F.cross_entropy(model(x), labels).backward(
        inputs=[x]
    )  # of the pixels alone, not of the weights
    moved = (images.data + np.float32(epsilon) * np.sign(x.grad)).clip(0, 1)
    logits = model(md.Tensor(moved))
    return F.cross_entropy(logits, labels), logits


md.manual_seed(seed)
model, batch = perceptron(64), (md.Tensor(train.images[:64]), train.labels[:64])
ours, _ = adversarial(model, *batch, 32 / 255)
theirs, _ = md.objectives.Adversarial(32 / 255, start="image")(model, *batch)
assert np.isclose(ours.item(), theirs.item())
plain, _ = md.objectives.CrossEntropy()(model, *batch)
print(f"the loss as they are {plain.item():.3f}, attacked {ours.item():.3f}")

# %% [markdown]
# `md.fit` takes it as its `objective`. Now train the same perceptron three times: on the images as
# they are; under our attack; and, as a control, on images whose pixels were moved just as far, but
# at random. Then attack all three by PGD of twenty steps (lesson 13), at 32/255. Guess: how many
# of the 360 unseen digits stand in each case?


# %%
def noise(model, images, labels, epsilon, rng):
    signs = rng.choice([-1, 1], images.shape).astype(np.float32)
    logits = model(md.Tensor((images.data + np.float32(epsilon) * signs).clip(0, 1)))
    return F.cross_entropy(logits, labels), logits


def trained(data, objective=None, epochs=15, model=None, watched=None):
    """A network of its own, or the one that is given, trained further; and what watched it."""
    md.manual_seed(seed)
    model = perceptron(data.images[0].size) if model is None else model
    batches = md.data.Loader(*data, batch_size=64, augment=False, seed=seed)
    optimizer = md.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    schedule = md.optim.one_cycle(lr=0.1, steps=epochs * len(batches))
    guard = watched and md.train.Guard(model, *watched)
    md.fit(model, batches, optimizer, epochs, objective=objective, schedule=schedule,
           on_epoch=guard, progress=False)  # fmt: skip
    return model, guard


pgd = partial(R.pgd, steps=20)


def stands(model, data, epsilon, attack=pgd):
    """Which images are right after an attack (B,)."""
    return ~attack(model, *data, epsilon).success.reshape(-1)


three = {
    "plain": trained(train)[0],
    "noise": trained(train, partial(noise, epsilon=32 / 255, rng=np.random.default_rng(seed)))[0],
    "adversarial": trained(train, partial(adversarial, epsilon=32 / 255))[0],
}
found = {name: stands(model, val, 32 / 255) for name, model in three.items()}
for name, model in three.items():
    clean = stands(model, val, 0, R.fgsm).mean()
    print(f"{name:12} as they are {clean:.1%}, under PGD {found[name].mean():.1%}")

# %%
epsilons = np.arange(0, 57, 14) / 255
attack = partial(R.pgd, steps=20, stop_early=True)
md.plot.accuracy({k: R.accuracy_curve(m, *val, epsilons, attack=attack) for k, m in three.items()})

# %% tags=["hide-input"]
right = {name: stands(model, val, 0, R.fgsm).mean() for name, model in three.items()}
assert found["adversarial"].mean() > found["plain"].mean() + 0.2
assert found["adversarial"].mean() > found["noise"].mean() + 0.15
assert R.mcnemar(found["adversarial"], found["noise"]).p_value < 1e-6
assert right["adversarial"] > right["plain"] - 0.02

# %% [markdown]
# Training under attack pays, and not because pixels move: moved as far, but at random, they teach
# far less. The images are the same for all three, so that the counts may be compared image by
# image (lesson 13). Here the digits as they are cost it nothing; on harder images it usually costs
# some points.
#
# ## A random start
#
# The formula asks for the maximum, and we took one step of FGSM. Many steps come closer, and each
# costs a gradient. A cheap idea is to begin at a random point of the box: draw each number of a
# start $\xi$ evenly from $[-\varepsilon, \varepsilon]$, take the gradient *there*, go a step $a$
# along its sign, and return into the box (FGSM-RS, Wong et al. 2020):
#
# $$\delta = \Pi\big(\xi + a \operatorname{sign} \nabla_x L(x + \xi)\big), \qquad
# a = 1.25\, \varepsilon$$
#
# Why not $a = \varepsilon$, as before? Look at one pixel, in units of $\varepsilon$, along the way
# that the sign points. It begins at $u$, even in $[-1, 1]$, and comes to $\min(u + a, 1)$. What it
# lacks to 1 is $1 - a - u$, where that is positive, and so on average, for $a \le 2$,
#
# $$E \min(u + a, 1) = 1 - \frac12 \int_{-1}^{1 - a} (1 - a - u)\, du = 1 - \frac{(2 - a)^2}{4}$$
#
# And the part of the pixels that end at the border, where nothing is left of the start, is
# $P(u > 1 - a) = a / 2$. Guess both for $a = 1$. Then draw them:

# %%
u = np.random.default_rng(seed).uniform(-1, 1, 100_000)
sizes = np.linspace(0, 2, 41)
reach = np.array([np.minimum(u + a, 1).mean() for a in sizes])
border = np.array([(u + a >= 1).mean() for a in sizes])
figure, ax = plt.subplots(figsize=(4.8, 2.8), layout="constrained")
ax.plot(sizes, reach, label="how far pixels come, on average")
ax.plot(sizes, border, "--", color="#D55E00", label="part of them at the border")
ax.axvline(1.25, color="0.6", lw=0.8)
ax.set(xlabel="step a, in units of epsilon")
ax.legend(frameon=False, fontsize=8)
plt.show()

# minidl's attack, on images of 0.25 to 0.75, so that no pixel is cut at 0 or 1
objective = md.objectives.Adversarial(32 / 255, start="random")  # its step: 1.25 epsilon
pale = 0.25 + 0.5 * train.images[:100]
moved = abs(objective.attack(three["adversarial"], pale, train.labels[:100]) - pale)
print(f"at the border: {(moved > 0.999 * 32 / 255).mean():.1%}, and 1.25 / 2 = {1.25 / 2:.1%}")

# %% tags=["hide-input"]
assert np.allclose(reach, 1 - (2 - sizes) ** 2 / 4, atol=0.01)
assert np.allclose(border, sizes / 2, atol=0.01)
assert abs((moved > 0.999 * 32 / 255).mean() - 1.25 / 2) < 0.06

# %% [markdown]
# With $a = \varepsilon$ pixels come three quarters of the way: half of them began on the wrong
# side. With $2 \varepsilon$ they come all the way, and all of them stand at the border, as FGSM's
# do, so that the start hardly matters. At 1.25 they come 86 % of the way. That it is 1.25 and not
# 1.2 is not derived: Wong et al. tried, and found that it goes wrong with longer ones. (minidl's
# count is near the formula, and not on it: we took it that the sign is the same wherever the pixel
# begins, and in a network it is only mostly so.)
#
# What goes wrong?
#
# ## A place to write
#
# Print the digits on grey paper, in ink that is not much brighter, with a broad margin. Each image
# is now 20 x 20, and the frame is the same in all of them: it says nothing about the digit. But
# the attacker may change it as any other pixel.


# %%
def framed(part, width=6):
    edge = (0, 0), (width, width), (width, width), (0, 0)
    images = np.pad(0.5 + 0.4 * part.images, edge, constant_values=0.5)  # (B, 20, 20, 1)
    return md.data.ImageSet(images.astype(np.float32), part.labels, part.classes)


paper, unseen = framed(train), framed(val)
epsilon = 0.06  # about 15/255; the ink differs from the paper by 0.4


def fgsm_change(model, data):
    """What FGSM adds to the images, (B, H, W, C)."""
    x = md.Tensor(data.images, requires_grad=True)
    F.cross_entropy(model(x), data.labels, reduction="sum").backward(inputs=[x])
    return np.float32(epsilon) * np.sign(x.grad)


# %% [markdown]
# We train two networks, from the same weights, on the same batches. One is attacked by FGSM from
# the image, as above, the other by FGSM from a random start. A **guard** attacks images that nobody
# trains on after each epoch of a training, and takes notes. Ours has 200 digits, FGSM, and PGD of
# five steps. Guess what you will see.

# %%
watched = unseen.images[:200], unseen.labels[:200], epsilon
models, guards = {}, {}
for start in ("image", "random"):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        objective = md.objectives.Adversarial(epsilon, start=start)
        models[start], guards[start] = trained(paper, objective, 20, watched=watched)
    print(f"start: {start}. {told[0].message if told else 'The guard said nothing.'}\n")

figure, axes = plt.subplots(1, 2, figsize=(7.5, 2.6), layout="constrained", sharey=True)
for ax, (start, guard) in zip(axes, guards.items()):
    for name, style in (("fgsm", "o-"), ("pgd", "s-")):
        line = [100 * getattr(seen, name) for seen in guard.history]
        ax.plot(range(1, 21), line, style, ms=3, label=name.upper())
    ax.set(xlabel="epoch", title=f"start: {start}", xticks=range(0, 21, 5))
axes[0].set(ylabel="accuracy under attack (%)", ylim=(0, 90))
axes[0].legend(frameon=False)
plt.show()

# %% tags=["hide-input"]
seen, other = guards["image"].history[-1], guards["random"].history[-1]
assert [w.category for w in told] == []  # of the second, from a random start
assert guards["image"].fallen is not None
assert guards["image"].best.pgd < max(seen.pgd for seen in guards["random"].history) - 0.05

# %% [markdown]
# On the left the accuracy under FGSM is the higher of the two, and there is nothing behind it: PGD
# takes most of it. **Catastrophic overfitting** is to learn to fool the one-step attack of one's
# training, and to be broken by any other (Wong et al. 2020). The training's own loss does not show
# it, since that is measured under FGSM, and there all goes well. (On larger images robustness is
# often there first and lost within an epoch; here it hardly comes.) On all 360:

# %%
once, many = ({k: stands(m, unseen, epsilon, a) for k, m in models.items()}
              for a in (R.fgsm, pgd))  # fmt: skip
for start, model in models.items():
    clean = stands(model, unseen, 0, R.fgsm).mean()
    under = f"FGSM {once[start].mean():.1%}, PGD {many[start].mean():.1%}"
    print(f"start: {start:6}: as they are {clean:.1%}, {under}")

# %% tags=["hide-input"]
assert once["image"].mean() > 0.7
assert many["image"].mean() < 0.22
assert once["image"].mean() > once["random"].mean() + 0.05
assert many["random"].mean() > many["image"].mean() + 0.15
assert R.mcnemar(many["random"], many["image"]).p_value < 1e-6

# %% [markdown]
# ## What it has learnt instead
#
# Walk to where FGSM leads, as in lesson 8, with both networks, and look at the mean loss on the
# way. And then take FGSM's change apart: make it in the frame alone, or on the digit alone. Guess
# which of the two hurts, and which helps.

# %%
parts = np.linspace(0, 1, 21, dtype=np.float32)
digit = np.zeros((20, 20, 1), np.float32)
digit[6:14, 6:14] = 1
changes = {start: fgsm_change(model, unseen) for start, model in models.items()}
walks, apart = {}, {}
for start, model in models.items():
    x, y, change = unseen.images, unseen.labels, changes[start]
    walks[start] = [F.cross_entropy(model(x + part * change), y).item() for part in parts]
    cases = {"no change": x, "frame alone": x + change * (1 - digit),
             "digit alone": x + change * digit, "both: FGSM": x + change}  # fmt: skip
    apart[start] = {k: model(at).data.argmax(axis=1) == y for k, at in cases.items()}

figure, axes = plt.subplots(1, 3, figsize=(9, 2.7), layout="constrained")
for start, style in (("image", "-"), ("random", "--")):
    axes[0].plot(epsilon * parts, walks[start], style, label=f"start: {start}")
axes[0].set(xlabel="epsilon", ylabel="mean loss", ylim=(0, None))
axes[0].legend(frameon=False, fontsize=8)
axes[1].imshow(unseen.images[0, :, :, 0], cmap="gray", vmin=0, vmax=1)
axes[1].set_title("a digit in its frame", fontsize=9)
axes[2].imshow(changes["image"][0, :, :, 0], cmap="RdBu_r")
axes[2].set_title("what FGSM adds (start: image)", fontsize=9)
for ax in axes[1:]:
    ax.axis("off")
plt.show()
for start, each in apart.items():
    print(f"{start:6}:", ", ".join(f"{k} {v.mean():.1%}" for k, v in each.items()))

# %% tags=["hide-input"]
assert walks["image"][-1] < walks["image"][0] - 0.03
assert min(walks["image"]) < walks["image"][0] - 0.15
assert walks["random"][-1] > walks["random"][0] + 0.3
helped, alone, whole = (apart["image"][k] for k in ("frame alone", "digit alone", "both: FGSM"))
assert helped.mean() > apart["image"]["no change"].mean() + 0.08
assert whole.mean() > alone.mean() + 0.2
assert R.mcnemar(helped, apart["image"]["no change"]).p_value < 1e-4
assert apart["random"]["both: FGSM"].mean() - apart["random"]["digit alone"].mean() < 0.12

# %% [markdown]
# The attack *lowers* the loss of the network that was trained on it. What FGSM does to the digit
# hurts. But what it does to the frame *helps*: with the frame changed alone, more digits are
# right than without any attack.
#
# How can an attack help? FGSM's change is a function of the image, of its *label* and of the
# network, and so it writes something of the label into the frame, whatever the network is. From the
# image it is always the same function, and training minimises the loss where it leads. One way to
# do that is to resist. Another is to *read* what is written there. **Label leaking** is when the
# attack itself takes the label to the network (Kurakin et al. 2017). An attacker who takes a second
# gradient, or does not touch the frame, does not play along: here FGSM on the digit alone is the
# stronger attack of the two, with fewer pixels.
#
# The other network has not learnt to read it. Why a random start prevents it, and until which
# epsilon, is still argued about. Andriushchenko and Flammarion (2020) find that it does so mostly
# by making changes shorter (86 % of the way), and that at larger epsilons it fails as well.
#
# ## Remedies
#
# The overfitted network is trained for five more epochs, in three ways: as before, which is the
# control; from a random start; and with PGD of three steps. Guess which of them mends it.

# %%
mended = {}
for name, settings in {
    "as before": {"start": "image"},
    "random start": {"start": "random"},
    "three steps": {"start": "random", "steps": 3},
}.items():
    objective = md.objectives.Adversarial(epsilon, **settings)
    model, _ = trained(paper, objective, 5, model=copy.deepcopy(models["image"]))
    mended[name], by_fgsm = stands(model, unseen, epsilon), stands(model, unseen, epsilon, R.fgsm)
    print(f"{name:12}: FGSM {by_fgsm.mean():.1%}, PGD {mended[name].mean():.1%}")

# %% tags=["hide-input"]
control, by_start, by_steps = mended.values()
assert by_steps.mean() > control.mean() + 0.12
assert by_steps.mean() > by_start.mean() + 0.08
assert by_start.mean() < many["random"].mean() - 0.08
assert R.mcnemar(by_steps, control).p_value < 1e-4

# %% [markdown]
# A random start, which prevented it, does not cure it. Three steps do, or begin to. The price is
# counted in gradients: a step of training with an attack of $K$ steps takes $K + 1$ of them, two
# for FGSM and four here. A third remedy costs two again. It begins at a *wide* start, and does not
# return into the box (N-FGSM, de Jorge et al. 2022; `start="wide"`):
#
# $$\delta = \xi + \varepsilon \operatorname{sign} \nabla_x L(x + \xi), \qquad
# \xi_i \text{ even in } [-2 \varepsilon, 2 \varepsilon]$$
#
# And whatever you choose: let a guard look. It remembers the weights of its best epoch
# (`guard.best`, `guard.restore()`), and with `stop=True` it ends the training by a
# `CatastrophicOverfittingError`.

# %%
guard = guards["random"]
guard.restore()  # into models["random"]
print(f"the best of 20 epochs: {guard.best.epoch + 1}, {guard.best.pgd:.1%} under the guard's PGD")

# %% [markdown]
# ## Exercises
#
# **1. Take away the frame.** `framed(train, width=0)` prints the same digits without a margin.
# Train on them with FGSM from the image, as above. Is there still a gulf between FGSM and PGD?

# %%
bare_once, bare_many = ..., ...  # what stands under FGSM, and under PGD
judge("14.1", bare_once, bare_many)

# %% tags=["hide-cell", "solution"]
bare, bare_unseen = framed(train, width=0), framed(val, width=0)
objective = md.objectives.Adversarial(epsilon, start="image")
model, _ = trained(bare, objective)
bare_once, bare_many = (stands(model, bare_unseen, epsilon, a).mean() for a in (R.fgsm, pgd))
print(f"without a frame: FGSM {bare_once:.1%}, PGD {bare_many:.1%}")
# Every pixel that the attack can write on is one that the digit needs.
assert bare_once - bare_many < 0.25
assert bare_many > many["image"].mean() + 0.15
assert judge("14.1", bare_once, bare_many)

# %% [markdown]
# **2. Find the bug.** To save gradients, somebody attacks the training images *once*, by PGD on
# the plain network, and trains a new network on them. On those very images it is nearly perfect.
# How robust is it, beside our `three`, and why?

# %%
attacked = R.pgd(three["plain"], *train, 32 / 255, steps=20).adversarial[0]
saved, _ = trained(md.data.ImageSet(attacked, train.labels, train.classes))
known = saved(attacked).data.argmax(axis=1) == train.labels
print(f"right on its training images: {known.mean():.1%}")
under_pgd = ...  # what stands of the unseen digits, at 32/255
judge("14.2", under_pgd, found["adversarial"].mean())

# %% tags=["hide-cell", "solution"]
by_saving = stands(saved, val, 32 / 255)
print(
    f"under PGD {by_saving.mean():.1%}, under attack at each step {found['adversarial'].mean():.1%}"
)
# The inner maximum is of the network as it *is*. Images that fooled another one, once, are data
# like any: the new network learns them, and has its own weak spots.
assert found["adversarial"].mean() > by_saving.mean() + 0.1
assert R.mcnemar(found["adversarial"], by_saving).p_value < 1e-3
assert judge("14.2", by_saving.mean(), found["adversarial"].mean())

# %% [markdown]
# **3. How much is left of the start?** Take `md.objectives.Adversarial(32 / 255, step=...)`, which
# starts at a random point unless told otherwise, with a step of 1/2, 1, and 2 epsilon, and count on
# `pale` which part of the pixels ends at the border. What does the formula say?

# %%
counted = ...  # three parts, for 1/2, 1 and 2 epsilon
judge("14.3", counted)

# %% tags=["hide-cell", "solution"]
counted = []
for a in (0.5, 1, 2):
    objective = md.objectives.Adversarial(32 / 255, step=a * 32 / 255)
    moved = abs(objective.attack(three["adversarial"], pale, train.labels[:100]) - pale)
    part = (moved > 0.999 * 32 / 255).mean()
    counted.append(part)
    print(f"step {a} epsilon: {part:.1%} at the border, the formula says {a / 2:.1%}")
    assert abs(part - a / 2) < 0.06
# Nearly: in a network, the sign of the gradient depends a little on where it is taken.
assert judge("14.3", counted)

# %% [markdown]
# **Next:** [sparsity, four ways](15_sparsity.ipynb).
