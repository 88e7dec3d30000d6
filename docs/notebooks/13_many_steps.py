# %% [markdown]
# # 13. Why one step is not enough
#
# After this lesson you can
#
# * say where the single step of FGSM goes wrong, and draw it,
# * write PGD in five lines, and turn it into an attack that finds its own step size,
# * say what restarts and the worst of several attacks are for,
# * find the smallest change that fools a network, along a path that turns,
# * ask a doctor whether an accuracy under attack measures the network or the attack's failure.
#
# The report attacks by FGSM alone (lesson 8). It is the cheapest attack there is: one gradient.

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
epsilon = np.float32(32 / 255)

# %% [markdown]
# ## What FGSM leaves
#
# The network of lesson 8, and what FGSM leaves right of 360 digits at 32/255. Guess: will an
# attacker with ten gradients an image leave about the same, two thirds of it, or less than half?

# %%
train, val = md.data.digits("train"), md.data.digits("val")
images, labels = val.images, np.asarray(val.labels)


def trained(seed):
    md.manual_seed(seed)
    model = nn.Sequential(
        nn.Normalize(0.5, 0.25),
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(128, 10),
    )  # fmt: skip
    batches = md.data.Loader(*train, batch_size=64, pad=1, seed=seed)
    optimizer = md.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    schedule = md.optim.one_cycle(lr=0.05, steps=18 * len(batches))
    md.fit(model, batches, optimizer, epochs=18, schedule=schedule, progress=False)
    return model.eval()


def look(x, y):
    """The loss (B,) and by how much the best wrong logit is ahead of the right one (B,)."""
    logits = model(x)
    return (
        F.cross_entropy(logits, y, reduction="none").data,
        F.margin_loss(logits, y, reduction="none").data,
    )


def gradient(x, y):
    """Of the loss, by the pixels, (B, H, W, C)."""
    x = md.Tensor(x, requires_grad=True)
    F.cross_entropy(model(x), y, reduction="sum").backward(inputs=[x])
    return x.grad


model = trained(seed)
one_step = (images + epsilon * np.sign(gradient(images, labels))).clip(0, 1)  # FGSM
left = look(one_step, labels)[1] < 0
print(
    f"right: {(look(images, labels)[1] < 0).mean():.1%} as they are, {left.mean():.1%} under FGSM"
)

# %% [markdown]
# ## One image that stands
#
# Of those that FGSM leaves right, take one that is neither the nearest miss nor the firmest, and
# walk to where FGSM leads, as in lesson 8: the loss, and the margin loss, which is above 0 where
# the image is lost. Guess whether the loss rises all the way:

# %%
stand = np.flatnonzero(left)
chosen = stand[np.argsort(-look(one_step, labels)[1][stand])[len(stand) // 4]]
image, label = images[[chosen]], labels[[chosen]]
fgsm = one_step[[chosen]] - image  # what FGSM adds to it

parts = np.linspace(0, 1, 33, dtype=np.float32)
walk = image + parts[:, None, None, None] * fgsm  # (33, 8, 8, 1)
figure, axes = plt.subplots(1, 2, figsize=(7, 2.4), layout="constrained")
for ax, line, name in zip(axes, look(walk, label.repeat(33)), ("loss", "margin loss")):
    ax.plot(255 * epsilon * parts, line)
    ax.set(xlabel="epsilon, in 1/255", ylabel=name)
axes[1].axhline(0, color="0.6", lw=0.8)
plt.show()

# %% [markdown]
# The loss rises all the way, and not far enough: the margin loss stays below 0. FGSM asks for the
# gradient once, at the beginning, and trusts it to the end. What does the gradient say at the
# *end*? Guess first: for how many of the pixels has its sign changed?

# %%
before, after = gradient(images, labels), gradient(one_step, labels)
changed = (np.sign(before) != np.sign(after)).mean(axis=(1, 2, 3))  # (B,)
print(f"this image: {changed[chosen]:.0%} of the pixels; on average {changed.mean():.0%}")

# %% tags=["hide-input"]
assert (np.diff(look(walk, label.repeat(33))[0]) > -1e-3).mean() > 0.9
assert look(walk, label.repeat(33))[1].max() < 0
assert 0.2 < changed.mean() < 0.35

# %% [markdown]
# About a quarter of the pixels went the wrong way, as seen from where they arrived. So go less
# far, and ask again.
#
# ## Projected gradient descent
#
# The **box** around an image is all images whose pixels differ by at most $\varepsilon$ from its
# own, and lie in $[0, 1]$. **Projected gradient descent** (PGD) takes FGSM's step many times, each
# shorter than $\varepsilon$, each with a new gradient, and returns into the box after each. To
# return, cut each pixel to what is allowed, which we call $\Pi$:
#
# $$x_{k+1} = \Pi\big(x_k + a \operatorname{sign} \nabla_x L(x_k, y)\big), \qquad
# \Pi(x) = x \text{ cut to } [x_0 - \varepsilon, x_0 + \varepsilon] \cap [0, 1]$$
#
# (Madry et al. 2018. It is called descent, though it climbs.) Guess after how many steps of 8/255
# our image is lost:


# %%
def pgd(x0, y, step, steps, ask=gradient):
    """Every point on the way, (steps + 1, B, H, W, C)."""
    low, high = (x0 - epsilon).clip(0, 1), (x0 + epsilon).clip(0, 1)
    path = [x0]
    for _ in range(steps):
        path.append((path[-1] + np.float32(step) * np.sign(ask(path[-1], y))).clip(low, high))
    return np.stack(path)


path = pgd(image, label, 8 / 255, 10)[:, 0]  # (11, 8, 8, 1)
theirs = R.pgd(model, image, label, epsilon, steps=10, step=8 / 255, start="image")
assert np.array_equal(path[-1], theirs.adversarial[0, 0])
for k in (0, 1, 2, 4, 6, 8, 10):
    loss, margin = look(path[[k]], label)
    print(f"after {k:2} steps: loss {loss[0]:6.3f}, margin loss {margin[0]:6.2f}")
print(
    "FGSM:           loss {:6.3f}, margin loss {:6.2f}".format(
        *(v[0] for v in look(image + fgsm, label))
    )
)

# %% tags=["hide-input"]
assert look(path[[-1]], label)[1] > 0
assert look(path[[-1]], label)[0] > 1.5 * look(image + fgsm, label)[0]

# %% [markdown]
# The image is lost, within the same box. Is it really because the gradient was asked for *again*?
# The control: the same ten steps, with the gradient of the image each time. Guess where they end:

# %%
at_the_image = gradient(image, label)
frozen = pgd(image, label, 8 / 255, 10, ask=lambda x, y: at_the_image)[:, 0]
print(
    "ten steps along the first gradient end where FGSM does:", np.allclose(frozen[-1], image + fgsm)
)

# %% tags=["hide-input"]
assert np.allclose(frozen[-1], image + fgsm, atol=1e-6)

# %% [markdown]
# ## The surface
#
# An image of 64 pixels lies in a space that nobody can draw. A *plane* through it can be drawn:
# all $x + s\,u + t\,v$, for two directions $u$ and $v$. What of it lies outside the box, $\Pi$
# brings back, so that each point of the picture is an image that the attacker may use. The first
# direction is FGSM's, $u = \varepsilon \operatorname{sign} \nabla_x L$. For the second we try a
# random one of the same size, and then the one that leads to PGD's end. Guess: in which of the two
# is there a hill that FGSM walks past?


# %%
def surface(u, v, ends):
    """Loss and margin of each point of the plane, (61, 61) each."""
    s, t = np.meshgrid(ends, ends)
    low, high = (image - epsilon).clip(0, 1), (image + epsilon).clip(0, 1)
    points = image + s.reshape(-1, 1, 1, 1) * u + t.reshape(-1, 1, 1, 1) * v
    return [
        values.reshape(s.shape) for values in look(points.clip(low, high), label.repeat(s.size))
    ]


def shadow(path, u, v):
    """(s, t) of the points of the plane that are nearest to those of a path."""
    return np.linalg.lstsq(np.stack([u.ravel(), v.ravel()], 1), (path - image).reshape(-1, 64).T)[0]


rng = np.random.default_rng(seed)
u = epsilon * np.sign(at_the_image)
seconds = {
    "at random": epsilon * rng.choice([-1, 1], image.shape).astype(np.float32),
    "PGD": path[[-1]] - image,
}
ends, peaks = np.linspace(-0.5, 1.5, 61, dtype=np.float32), {}
figure, axes = plt.subplots(
    1, 2, figsize=(8.6, 3.6), layout="constrained", sharex=True, sharey=True
)
for ax, (name, v) in zip(axes, seconds.items()):
    loss, margin = surface(u, v, ends)
    colours = ax.contourf(
        ends, ends, np.log10(loss + 1e-7), np.arange(-7, 1.25, 0.25), extend="max"
    )
    ax.contour(ends, ends, margin, [0], colors="w", linewidths=2)
    ax.plot([0, 1], [0, 0], "o-", color="#D55E00", label="FGSM")
    if name == "PGD":
        ax.plot(*shadow(path, fgsm, v), "s-", color="k", ms=4, label="PGD")
    ax.set(xlabel="s, along FGSM", ylabel=f"t, second direction: {name}")
    ax.legend(loc="lower left")
    peaks[name] = loss.max(), margin.max()
figure.colorbar(colours, ax=axes, label="loss, power of ten")
plt.show()

# %% [markdown]
# White is the border to another class. On the left there is none within reach: a random direction
# adds nothing to FGSM's own. On the right there is, and the hill is behind it, in a direction that
# the first gradient did not show. PGD's first step is FGSM's, only shorter; the later ones turn.
# (The path leaves the plane, in which only its two ends lie: what is drawn is its shadow.)

# %% tags=["hide-input"]
at_fgsm = look(image + fgsm, label)[0].item()
assert peaks["at random"][1] < 0 < peaks["PGD"][1]
assert peaks["at random"][0] < 1.3 * at_fgsm
assert peaks["PGD"][0] > 1.8 * max(at_fgsm, peaks["at random"][0])

# %% [markdown]
# ## All images
#
# Guess again how many of the 360 stand, after ten steps.

# %%
ways = pgd(images, labels, 8 / 255, 10)  # (11, B, 8, 8, 1)
lost = np.array([look(x, labels)[1] >= 0 for x in ways]).any(axis=0)  # at some step: it counts
print(f"FGSM leaves {left.mean():.1%}, PGD leaves {1 - lost.mean():.1%}")
print("images that stand under FGSM alone:", (left & lost).sum())
print("images that stand under PGD alone: ", (~left & ~lost).sum())

# %% tags=["hide-input"]
assert 1 - lost.mean() < left.mean() / 2
assert (left & lost).sum() > 50
assert (~left & ~lost).sum() <= 5

# %% [markdown]
# Less than half. Both attacks were on the *same* images, and so we compare them image by image:
# what both break or both leave says nothing about which is stronger. If they were equally strong,
# each of the others would be a coin's toss, and all of some 60 coins do not fall on one side (this
# is McNemar's test, of lesson 9).
#
# The curve of lesson 8, with both. `stop_early` leaves each image as soon as it is lost. Guess
# where the two are furthest apart:

# %%
epsilons = np.arange(0, 57, 8) / 255
ten_steps = partial(R.pgd, steps=10, start="image", stop_early=True)
figure, ax = plt.subplots(figsize=(5.2, 2.8))
for name, attack, style in (("FGSM", None, "o-"), ("PGD, 10 steps", ten_steps, "s-")):
    curve = R.accuracy_curve(model, images, labels, epsilons, attack=attack)
    (line,) = ax.plot(255 * epsilons, 100 * curve.accuracy, style, ms=4, label=name)
    ax.fill_between(255 * epsilons, *(100 * curve.accuracy_band), color=line.get_color(), alpha=0.2)
ax.set(xlabel="epsilon, in 1/255", ylabel="accuracy (%)", ylim=(0, 100))
ax.legend(frameon=False)
plt.show()

# %% [markdown]
# ## How long a step?
#
# PGD has a number to choose. Guess which of these step sizes is best for ten steps: 1, 2, 4, 8, 16
# or 64 (in 1/255)?


# %%
def stands(step, steps):
    """The part that PGD leaves."""
    settings = {"start": "image", "stop_early": True, "batch_size": 360}
    found = R.pgd(model, images, labels, epsilon, steps=steps, step=step, **settings)
    return 1 - found.success[0].mean()


sizes = np.array([1, 2, 4, 8, 16, 64]) / 255
fixed = {steps: np.array([stands(step, steps) for step in sizes]) for steps in (10, 40)}
for step, ten, forty in zip(sizes, *fixed.values()):
    print(f"steps of {255 * step:2.0f}/255: ten leave {ten:6.1%}, forty leave {forty:6.1%}")

# %% tags=["hide-input"]
assert fixed[10][0] > 0.8
assert fixed[40][0] < 0.2
assert fixed[10].argmin() in (2, 3, 4)
assert fixed[40][-1] > fixed[10].min() + 0.01

# %% [markdown]
# Too short, and ten steps do not even arrive at the border of the box: forty do. Too long, and
# each pixel can only jump from one side of the box to the other: forty such steps leave more than
# ten good ones. In between lies a good choice, and to find it we have tried six.
#
# ## Halve it when it no longer helps
#
# **APGD** is PGD that halves its steps where the loss no longer rises (Croce and Hein 2020), and so
# does without the choice. Begin with steps of $2 \varepsilon$. From time to time, look back: did
# the loss rise in at least three quarters of the steps? If not, this image has got as far as steps
# of this length lead: go back to its best point, and go on from there with half the step. Each
# image has its own. Guess: does it do worse than the best fixed size, as well, or better?


# %%
def climb(x0, y, steps=40, every=5, halving=True):
    """Which images are lost (B,); and what happened: the losses and the step sizes (steps, B)."""
    low, high = (x0 - epsilon).clip(0, 1), (x0 + epsilon).clip(0, 1)
    x, best, size = x0, x0.copy(), np.full(len(x0), 2 * epsilon)
    last = top = look(x, y)[0]
    lost, rises, losses, lengths = look(x, y)[1] >= 0, np.zeros(len(x0)), [], []
    for k in range(1, steps + 1):
        x = (x + size[:, None, None, None] * np.sign(gradient(x, y))).clip(low, high)
        loss, margin = look(x, y)
        lost, rises, last = lost | (margin >= 0), rises + (loss > last), loss
        best[loss > top], top = x[loss > top], np.maximum(loss, top)
        losses.append(loss)
        lengths.append(size.copy())
        if halving and k % every == 0:
            stuck = rises < 0.75 * every
            size[stuck] /= 2
            x[stuck], last = best[stuck], np.where(stuck, top, last)
            rises[:] = 0
    return lost, np.array(losses), np.array(lengths)


lost_halving, losses, lengths = climb(images, labels)
lost_constant, constant, _ = climb(images, labels, halving=False)
figure, axes = plt.subplots(1, 2, figsize=(7.5, 2.5), layout="constrained")
axes[0].plot(constant[:, chosen], "s:", color="0.5", ms=3, label="always 2 epsilon")
axes[0].plot(losses[:, chosen], "o-", ms=3, label="halved")
axes[0].set(xlabel="step", ylabel="loss of our image")
axes[0].legend(frameon=False, fontsize=8, loc="upper left")
axes[0].set_ylim(0, 1.4 * losses[:, chosen].max())
axes[1].semilogy(255 * lengths[:, chosen], drawstyle="steps-post")
axes[1].set(xlabel="step", ylabel="its step size, in 1/255")
plt.show()
print(f"forty steps of 2 epsilon leave {1 - lost_constant.mean():.1%}")
print(f"forty steps that are halved    {1 - lost_halving.mean():.1%}")
print(f"forty of the best fixed size   {fixed[40].min():.1%}")

# %% tags=["hide-input"]
gained, given = (lost_halving & ~lost_constant).sum(), (~lost_halving & lost_constant).sum()
assert gained >= 10
assert given <= 3
assert 1 - lost_halving.mean() < fixed[40].min() + 0.01

# %% [markdown]
# The halving is what helps: without it, the same steps of $2 \varepsilon$ leave more. And it does
# as well as the best fixed size, which we only know because we tried them all.
#
# `md.robustness.apgd` is this with two things more: a momentum (lesson 4), a quarter of the last
# move; and looks back that come sooner and sooner. In its place in the formula of PGD stands
#
# $$x_{k+1} = \Pi\big(x_k + \tfrac34 (\Pi(x_k + a_k \operatorname{sign} \nabla_x L) - x_k)
# + \tfrac14 (x_k - x_{k-1})\big)$$
#
# ## Begin again
#
# A climber reaches a top, not always the highest. A **restart** is to begin the attack once more,
# at another point drawn at random from the box, and an image counts as lost if *one* of the runs
# breaks it. Ten runs of twenty steps cost as much as one run of two hundred. Guess which leaves
# less.


# %%
def run(steps, number):
    """Which images a run from a random start breaks (B,)."""
    settings = {"step": 8 / 255, "seed": 10 * seed + number, "stop_early": True, "batch_size": 360}
    return R.pgd(model, images, labels, epsilon, steps=steps, **settings).success[0]


runs = np.array([run(20, number) for number in range(10)])  # (10, B)
left_by_runs = 1 - np.logical_or.accumulate(runs).mean(axis=1)  # after 1, 2, ... runs
left_by_long = 1 - run(200, 0).mean()
luck = runs.any(axis=0) & ~runs.all(axis=0)
figure, axes = plt.subplots(1, 2, figsize=(7.5, 2.5), layout="constrained")
axes[0].plot(range(1, 11), 100 * left_by_runs, "o-", label="runs of 20 steps")
axes[0].axhline(100 * left_by_long, color="0.5", ls="--", label="one run of 200")
axes[0].set(xlabel="runs", ylabel="accuracy (%)", ylim=(0, 130 * left_by_runs[0]))
axes[0].legend(frameon=False)
axes[1].hist(runs.sum(axis=0)[luck], bins=np.arange(0.5, 10), rwidth=0.8)
axes[1].set(xlabel="how many of the ten runs break it", ylabel="images", xticks=range(1, 10))
plt.show()
print(f"one run of 20 steps leaves {left_by_runs[0]:.1%}, ten of them {left_by_runs[-1]:.1%}")
print(f"one run of 200 steps       {left_by_long:.1%}")

# %% tags=["hide-input"]
assert left_by_runs[-1] < left_by_runs[0] - 0.01
assert left_by_runs[-1] < left_by_long - 0.01
assert luck.sum() >= 10

# %% [markdown]
# The ten runs: here it matters more where an attack begins than how long it goes on. On the right
# are the images on which it is luck whether a run breaks them.
#
# ## The worst case
#
# An attack may break an image that another leaves. Nobody who wants to know whether a network is
# robust cares *which* attack breaks it. In the **worst case** of several attacks an image stands
# only if it stands under all of them:
#
# $$\text{accuracy} = 1 - \frac1n \sum_i \max_{\text{attacks } a}
# \big[\hat y(x_i + \delta_i^a) \ne c_i\big]$$
#
# (The square bracket is 1 if what stands in it is so, and 0 if not.) **AutoAttack** is four attacks
# that the field has agreed on (Croce and Hein 2020): APGD on the cross-entropy; APGD on the *DLR*,
# which is the margin loss divided by the lead of the largest logit over the third; FAB, which looks
# for the nearest border; and Square, which uses no gradient at all, but tries squares of changed
# pixels at random. Each has to do only with what the ones before have left. Its numbers are 100
# steps and 5000 tries; fewer are enough here. Guess what it leaves of the first 100:

# %%
some = slice(0, 100)
worst = R.auto_attack(model, images[some], labels[some], epsilon, steps=20, queries=300, seed=seed)
print(f"FGSM leaves {left[some].mean():.0%} of the first 100, PGD {1 - lost[some].mean():.0%}")
print(worst)

# %% tags=["hide-input"]
assert worst.accuracy < 1 - lost[some].mean() - 0.01
assert worst.accuracy < left[some].mean() / 2
assert not worst.flags

# %% [markdown]
# Less than half of what FGSM leaves, and it is the same network. Every number by an
# attack is an *upper* bound of what no attacker could break. How to bound that from below is the
# matter of [lesson 16](16_certificates.ipynb).
#
# ## How far is the border?
#
# Equation (10) asks another question: not whether an image is lost at some $\varepsilon$, but the
# smallest change with which it is. `smallest_epsilon` looks along FGSM's ray, a straight line.
# Here too one can turn. Were the lead $f$ of a class $k$ over the label linear, with gradient $w$,
# then the smallest step to the border would be known from lesson 8: $f$ changes by
# $\varepsilon \lVert w \rVert_1$ along $\varepsilon \operatorname{sign}(w)$, where
# $\lVert w \rVert_1 = \sum_i |w_i|$, so that
#
# $$\varepsilon = \frac{|f|}{\lVert w \rVert_1}$$
#
# **DeepFool** goes to the class that is the nearest by this formula, and asks again, until the
# image is lost (Moosavi-Dezfooli et al. 2016). Guess how much less than FGSM's ray it needs:


# %%
def deepfool(x0, y, steps=20):
    """The adversarial image of one image (1, H, W, C)."""
    x, moved = x0, np.zeros_like(x0)
    for _ in range(steps):
        nearest = np.inf
        for k in set(range(10)) - {int(y[0])}:
            t = md.Tensor(x, requires_grad=True)
            logits = model(t)
            f = logits[:, k] - logits[:, int(y[0])]
            f.sum().backward(inputs=[t])
            distance = abs(f.item()) / abs(t.grad).sum()
            if distance < nearest:
                nearest, step = distance, (distance + 1e-4) * np.sign(t.grad)
        moved = moved + step
        x = (x0 + np.float32(1.02) * moved).clip(0, 1)  # a little beyond the border
        if look(x, y)[1] > 0:
            break
    return x


few, whose = images[:60], labels[:60]
distances = {
    "FGSM's ray": np.asarray(R.smallest_epsilon(model, few, whose, max_epsilon=1.0)),
    "deepfool": R.deepfool(model, few, whose).distance,
    "fmn": R.fmn(model, few, whose).distance,
}
ours = abs(deepfool(image, label) - image).max()
print(f"our image: {255 * ours:.2f}/255; by minidl", R.deepfool(model, image, label).distance * 255)
for name, each in distances.items():
    print(f"{name:10}: the median is {255 * np.median(each):5.2f}/255")

# %% tags=["hide-input"]
assert np.isclose(ours, R.deepfool(model, image, label).distance[0], rtol=1e-3)
ray, nearer, nearest = distances.values()
assert (nearer < ray).sum() > 3 * (nearer > ray).sum()
assert (nearest < nearer).sum() > 3 * (nearest > nearer).sum()
assert np.median(ray) > 1.05 * np.median(nearest)

# %% [markdown]
# A path that turns finds less than the ray, and FMN (Pintor et al. 2021) less again: it climbs the
# margin loss, in a box that shrinks while the image is lost and grows while it is not. From
# distances the accuracy at *every* $\varepsilon$ comes at once. It is the part of the distances
# that are larger: `(distance > epsilon).mean()`.
#
# ## Do they fool others?
#
# An attacker may not have your network. He trains one of his own, makes his images on that, and
# hopes. `transfer` attacks each network, and shows what comes of it to all: of the images that
# both have right, the part that the second has wrong. We give it a second network of the same
# kind, and a perceptron. PGD has broken some 20 points more of the network that it knows than
# FGSM. Guess: does it also break 20 points more of those it does *not* know?


# %%
def perceptron(temperature):
    """As in lesson 11."""
    md.manual_seed(seed)
    model = nn.Sequential(
        nn.Normalize(0.5, 0.25), nn.Flatten(),
        nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip
    batches = md.data.Loader(*train, batch_size=64, augment=False, seed=seed)
    lr = 0.05 * np.sqrt(temperature)
    optimizer = md.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    schedule = md.optim.one_cycle(lr=lr, steps=30 * len(batches))
    md.fit(
        model, batches, optimizer, 30, schedule=schedule, temperature=temperature, progress=False
    )
    return model.eval()


plain = perceptron(1)
networks = {"ours": model, "sister": trained(seed + 10), "perceptron": plain}
by_fgsm = R.transfer(networks, images, labels, epsilon)
by_pgd = R.transfer(
    networks, images, labels, epsilon, attack=partial(R.pgd, steps=10, start="image")
)
print(f"FGSM\n{by_fgsm}\n\nPGD\n{by_pgd}\n")
signs, by_noise = rng.choice([-1, 1], images.shape).astype(np.float32), []
for name, network in networks.items():
    right = network(images).data.argmax(axis=1) == labels
    noisy = network((images + epsilon * signs).clip(0, 1)).data.argmax(axis=1) == labels
    by_noise.append(1 - noisy[right].mean())
    print(f"random signs of the same size: {by_noise[-1]:5.1%} of {name}'s")

# %% tags=["hide-input"]
others = ~np.eye(3, dtype=bool)
assert (by_pgd.rate - by_fgsm.rate)[0, 0] > 0.12
assert abs(by_pgd.rate - by_fgsm.rate)[others].mean() < 0.05
for matrix in (by_fgsm, by_pgd):
    assert matrix.rate[0, 1] > matrix.rate[0, 2] + 0.1
    assert matrix.rate[0, 1] > 0.15
    assert matrix.compare("sister", "perceptron", on="ours").p_value < 0.01
    assert matrix.rate[0, 1] > by_noise[1] + 0.1
    assert matrix.rate[0, 2] > by_noise[2] + 0.02

# %% [markdown]
# No: what PGD gains is about the network that it was asked for. And kinship counts: networks of
# one kind fool each other far more often than a perceptron and a convolutional network do. That is
# more than random signs do, which is the control. So an attack that is made on a stranger measures
# little of a network's robustness.
#
# ## The doctor
#
# Now a network as the report found robust at any epsilon, trained at $T = 90$, beside the plain
# one, both of which we attack by PGD of fifty steps at 24/255. Guess: which stands better, and by
# how much?

# %%
size = 24 / 255
hot = perceptron(90)
checked, names = (images[:150], labels[:150]), ("T = 1", "T = 90")
found = {name: R.diagnose(network, *checked, size) for name, network in zip(names, (plain, hot))}
for name, diagnosis in found.items():
    print(f"{name}: {diagnosis}\n")

# %% tags=["hide-input"]
assert found["T = 90"].accuracy > found["T = 1"].accuracy + 0.2
assert not found["T = 1"].flags
assert {"I1", "I6", "gradients are zero", "square"} <= {flag.name for flag in found["T = 90"].flags}
assert (np.ptp(found["T = 90"].loss, axis=0) == 0).mean() > 0.85
assert (np.ptp(found["T = 1"].loss, axis=0) > 0).mean() > 0.99

# %% [markdown]
# By its accuracy the hot network is by far the more robust one. *More steps do not help an attack
# that stands still.* But `diagnose` does not look at accuracy. It asks what a reader should ask:
#
# * *I1*: is there a gradient at all? Here there is almost none (lesson 11 says why).
# * *I2*: does the loss jump between points that lie side by side?
# * *I3*: was the image lost on the way, and right again at the end?
# * *I4*: was the loss still rising when the attack ended?
# * *I5*: do images that were made on *another* network break more? (For this, hand it one:
#   `surrogate=`.)
# * *I6*: at epsilon 1 any image may become any other, so that a network that knows something
#   must fail. Does it?
# * and does a random search, which needs no gradient, break more than the gradients?
#
# What it saw can be drawn: loss and margin along the attack, for a few images. Guess what the lines
# of the hot network look like.

# %%
md.plot.diagnosis(found["T = 1"])

# %%
md.plot.diagnosis(found["T = 90"])

# %% [markdown]
# Above, the lines climb and then level off: the attack has done what it can. Below, most lines are
# flat from the start: nothing was tried. The doctor's advice was to climb the margin loss, which
# has no exponential that could underflow. Guess what is left:

# %%
advice = {
    name: R.diagnose(network, *checked, size, loss="margin")
    for name, network in zip(names, (plain, hot))
}
for name, diagnosis in advice.items():
    print(f"{name}: {diagnosis}")
test = R.mcnemar(*(each.margin.max(axis=0) < 0 for each in advice.values()))
print(f"T = 1 alone stands: {test.only_a}, T = 90 alone: {test.only_b}, p = {test.p_value:.1g}")

# %% tags=["hide-input"]
assert not advice["T = 90"].flags
assert advice["T = 90"].accuracy < found["T = 90"].accuracy - 0.3
assert advice["T = 90"].accuracy < advice["T = 1"].accuracy - 0.05
assert test.p_value < 0.05
assert abs(advice["T = 1"].accuracy - found["T = 1"].accuracy) < 0.08

# %% [markdown]
# The order is turned round: attacked properly, the hot network is the *less* robust of the two.
# The plain network's number has hardly moved, as a number should that was right in the first
# place. The doctor had told us which of the two numbers to throw away.
#
# A clean bill is no proof: it says that nothing is known to have gone wrong.
#
# ## Exercises
#
# **1. Where one step is enough.** Tell threes from eights with a single linear layer of two
# outputs. Compare FGSM and PGD, image by image, at several epsilons. Explain.

# %%
by_fgsm_alone, by_pgd_alone = ..., ...  # .success of both
judge("13.1", by_fgsm_alone, by_pgd_alone)

# %% tags=["hide-cell", "solution"]
md.manual_seed(seed)
pick = [np.isin(part.labels, (3, 8)) for part in (train, val)]
pairs = [(part.images[p], (part.labels[p] == 8).astype(int)) for part, p in zip((train, val), pick)]
linear = nn.Sequential(nn.Normalize(0.5, 0.25), nn.Flatten(), nn.Linear(64, 2))
optimizer = md.optim.SGD(linear.parameters(), lr=0.01, momentum=0.9)
md.fit(
    linear,
    md.data.Loader(*pairs[0], batch_size=32, augment=False, seed=seed),
    optimizer,
    5,
    progress=False,
)
sizes = np.array([8, 16, 32, 64]) / 255
single = R.fgsm(linear, *pairs[1], sizes).success
many = R.pgd(linear, *pairs[1], sizes, steps=20).success
print("broken by FGSM:", single.sum(axis=1), " by PGD:", many.sum(axis=1))
# The gradient of the loss is a number times w_3 - w_8, at every point: asked again it says the
# same, and the first step already goes to the best corner of the box.
assert np.array_equal(single, many)
assert 0 < single.mean() < 1
assert judge("13.1", single, many)

# %% [markdown]
# **2. Find the bug.** This PGD breaks more than any other in this lesson. Why should you not be
# pleased?


# %%
def wrong_pgd(x0, y, step, steps):
    x = x0
    for _ in range(steps):
        low, high = (x - epsilon).clip(0, 1), (x + epsilon).clip(0, 1)
        x = (x + np.float32(step) * np.sign(gradient(x, y))).clip(low, high)
    return x


print(f"it leaves {(look(wrong_pgd(images, labels, 16 / 255, 10), labels)[1] < 0).mean():.1%}")
far = ...  # your number: what is wrong with what it gives?
judge("13.2", far, epsilon)

# %% tags=["hide-cell", "solution"]
far = abs(wrong_pgd(images, labels, 16 / 255, 10) - images).max()
print(f"allowed: {255 * epsilon:.0f}/255; moved: {255 * far:.0f}/255")
# The box is around the point where the attack stands, and wanders with it.
assert far > 2 * epsilon
assert judge("13.2", far, epsilon)
assert abs(pgd(images, labels, 16 / 255, 10)[-1] - images).max() <= epsilon + 1e-6

# %% [markdown]
# **3. A fake defence.** As in lesson 11: multiply the last layer's weights and bias of the plain
# perceptron by 100 (`copy.deepcopy` keeps the original). No answer changes. What does the doctor
# say of it? And what does APGD leave, before and after, on the cross-entropy and on the DLR
# (`R.apgd(..., loss="dlr")`)? Explain the difference.

# %%
on_cross_entropy, on_dlr = ..., ...  # what stands, before and after: two parts each
judge("13.3", on_cross_entropy, on_dlr)

# %% tags=["hide-cell", "solution"]
fake = copy.deepcopy(plain)
kept = {}
with warnings.catch_warnings():
    warnings.simplefilter("ignore", R.ZeroGradientWarning)
    for scale in (1, 100):
        for parameter in (fake[-1].weight, fake[-1].bias):
            parameter.data *= scale
        for loss in ("cross_entropy", "dlr"):
            attack = R.apgd(fake, *checked, size, loss=loss, steps=20)
            kept[loss, scale] = 1 - attack.success.mean()
            print(f"multiplied by {scale:3}, {loss:13}: {kept[loss, scale]:.1%} stand")
flags = {flag.name for flag in R.diagnose(fake, *checked, size).flags}
print("raised:", ", ".join(sorted(flags)))
# The DLR is a quotient of two differences of logits: any factor cancels, and nothing underflows.
assert kept["cross_entropy", 100] > kept["cross_entropy", 1] + 0.2
assert abs(kept["dlr", 100] - kept["dlr", 1]) < 0.02
assert {"I1", "I6"} <= flags
assert judge("13.3", *([kept[loss, k] for k in (1, 100)] for loss in ("cross_entropy", "dlr")))

# %% [markdown]
# **Next:** [training on what fools you](14_adversarial_training.ipynb).
