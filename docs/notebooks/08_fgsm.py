# %% [markdown]
# # 8. Attacking a network
#
# After this lesson you can
#
# * explain why a change that nobody sees can change a network's answer,
# * write the fast gradient sign method in four lines,
# * find the smallest epsilon that fools a network on one image,
# * draw a curve of accuracy against epsilon, and say how far to trust it,
# * bound from above how much a network's output can change.
#
# It follows section 3 of the report, equations (9) to (11) and FGSM.

# %%
import matplotlib.pyplot as plt
import numpy as np
from answers import judge

import minidl as md
from minidl import functional as F
from minidl import nn

plt.rc("axes.spines", top=False, right=False)
seed = 0  # of all random numbers; what is said below also holds for 1 and 2

# %% [markdown]
# ## Small changes that add up
#
# Take one linear neuron, $w \cdot x$, and change each pixel by at most $\varepsilon$. How much
# can the sum change? The most if each pixel moves in the direction of its weight's sign:
#
# $$w \cdot (x + \delta) - w \cdot x = w \cdot \delta = \varepsilon \sum_i |w_i|, \qquad
# \delta = \varepsilon \operatorname{sign}(w)$$
#
# That grows with the number of pixels $n$. A *random* change of the same size grows like $\sqrt n$
# only, since its parts mostly cancel. Guess both for 10,000 pixels, with weights of size 1 and
# $\varepsilon = 0.01$; then measure:

# %%
rng = np.random.default_rng(seed)
counts = [10, 100, 1000, 10_000, 100_000]
chosen, random = [], []
for n in counts:
    w = rng.standard_normal(n)
    chosen.append(w @ (0.01 * np.sign(w)))
    random.append(np.mean([abs(w @ (0.01 * rng.choice([-1, 1], n))) for _ in range(50)]))
figure, ax = plt.subplots(figsize=(4.6, 2.8))
ax.loglog(counts, chosen, "o-", color="#D55E00", label="along the sign of the weights")
ax.loglog(counts, random, "s--", color="0.5", label="at random")
ax.set(xlabel="pixels n", ylabel="change of the sum")
ax.legend(frameon=False)
plt.show()
print(f"10,000 pixels: {chosen[3]:.1f} along the signs, {random[3]:.2f} at random")

# %% tags=["hide-input"]
shares = np.array(random) / np.array(chosen) * np.sqrt(counts)
assert ((shares > 0.6) & (shares < 1.6)).all()  # a share of about 1 / sqrt(n)

# %% [markdown]
# An image of 128 x 128 pixels in colour has 49,152 numbers. This is why the report says that it is
# above all their *linearity* that makes networks vulnerable: they are no linear neuron, but nearly
# linear nearby.
#
# ## A network to attack
#
# The convolutional network of lesson 7 (guess its accuracy):

# %%
train, val = md.data.digits("train"), md.data.digits("val")


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
    return model


model = trained(seed)


def predict(images):
    return F.softmax(model(md.Tensor(images))).data  # probabilities (B, 10)


right = predict(val.images).argmax(axis=1) == val.labels
print(f"{right.mean():.1%} of the unseen digits are read rightly")

# %% [markdown]
# ## The attack
#
# An **adversarial image** is one that was changed a little, on purpose, so that a network gets it
# wrong. A network is **robust** if it mostly stays right when images are changed a little, on
# purpose. We look for the change $\delta$ that raises the loss most, among all that move no pixel
# by more than $M_k$ (equation 11):
#
# $$\delta_k = \operatorname{argmax}_{\delta} L(x + \delta, y, \theta) \quad \text{subject to} \quad
# \lVert \delta \rVert_\infty \le M_k$$
#
# ($\lVert \delta \rVert_\infty$ is the largest of all $|\delta_i|$, and $\nabla_x L$ the gradient
# by the image.) That is hard. But *if* the loss were linear, $L(x + \delta) = L(x) + \delta \cdot
# \nabla_x L$, we would know the answer from above. The **fast gradient sign method** (FGSM) moves
# each pixel by $\varepsilon$ along the sign of the loss's gradient there:
#
# $$\delta = \varepsilon \operatorname{sign}(\nabla_x L(x, y, \theta))$$
#
# The gradient by the *image*: backpropagation does not care whether it is asked for the weights
# or for the pixels. Guess by how much ours and minidl's differ:


# %%
def fgsm(image, label, epsilon):
    x = md.Tensor(image, requires_grad=True)
    F.cross_entropy(model(x), label).backward(inputs=[x])  # by the pixels alone, not by the weights
    adversarial = image + np.float32(epsilon) * np.sign(x.grad)
    return adversarial.clip(0, 1)  # still an image


threes = np.flatnonzero(val.labels == 3)
# Neither an easy nor a hard 3
middle = threes[np.argsort(predict(val.images[threes])[:, 3])[len(threes) // 2]]
image, label = val.images[[middle]], val.labels[[middle]]
ours = fgsm(image, label, 32 / 255)
theirs = md.robustness.fgsm(model, image, label, [32 / 255])
# md.robustness has the same, for many images and epsilons
print("largest difference:", np.abs(ours - theirs.adversarial[0]).max())

# %% tags=["hide-input"]
assert np.array_equal(ours, theirs.adversarial[0])

# %% [markdown]
# ## Is the network linear nearby?
#
# The **margin** is by how much the true class's logit is ahead of the largest other one. Walk along
# the attack's direction (without clipping, so that the walk is a straight line) and watch the loss
# and the margin. Dotted: their linear predictions, $L + \varepsilon \sum_i |\partial L / \partial
# x_i|$ and the like. For comparison, a random direction of the same size. Guess which of the two is
# the straighter line:


# %%
def loss(x):
    return F.cross_entropy(model(x), np.repeat(label, len(x)), reduction="none")


def margin(x):
    logits = model(x)
    return logits[:, int(label[0])] - logits[:, runner_up]


runner_up = np.argsort(predict(image)[0])[-2]
start = md.Tensor(image, requires_grad=True)
loss(start).sum().backward(inputs=[start])
steps = np.linspace(0, 48, 49)
directions = {"FGSM": np.sign(start.grad), "at random": rng.choice([-1, 1], image.shape)}
figure, axes = plt.subplots(1, 2, figsize=(8, 2.7), layout="constrained")
for ax, what in zip(axes, (loss, margin)):
    start.grad = None
    value = what(start)
    value.sum().backward(inputs=[start])
    slope = (directions["FGSM"] * start.grad).sum()
    for (name, direction), style in zip(directions.items(), ("-", "--")):
        # (49, 8, 8, 1)
        walk = (image + steps[:, None, None, None] / 255 * direction).astype(np.float32)
        ax.plot(steps, what(md.Tensor(walk)).data, style, label=name)
    ax.plot(
        steps, value.item() + steps / 255 * slope, ":", color="black", label="linear prediction"
    )
    ax.set(xlabel="epsilon, in 1/255", ylabel=what.__name__)
axes[0].set_ylim(0, 5)
axes[1].axhline(0, color="0.7", linewidth=0.8)
axes[1].legend(frameon=False)
plt.show()

# %% [markdown]
# One image may be an exception. Over all 360: how much do loss and margin rise along the sign of
# their gradient, as a multiple of what the line predicts? And along random signs, how much does the
# margin change? Guess from the first section what a random change of 64 pixels amounts to.


# %%
def rise(what, epsilon, direction=None):
    """What it is higher by after a step along a direction (default: its gradient's sign) (B,);
    and by how much the gradient's sign would raise it were it linear (B,)."""
    x = md.Tensor(val.images, requires_grad=True)
    before = what(model(x), val.labels, reduction="none")
    before.sum().backward(inputs=[x])
    direction = np.sign(x.grad) if direction is None else direction
    after = what(model(val.images + np.float32(epsilon) * direction), val.labels, reduction="none")
    return after.data - before.data, epsilon * np.abs(x.grad).sum(axis=(1, 2, 3))


signs = rng.choice([-1, 1], val.images.shape).astype(np.float32)
times = {}
for what in (F.cross_entropy, F.margin_loss):
    higher, predicted = rise(what, 8 / 255)
    times[what] = np.median(higher / predicted)
    print(f"{what.__name__:13}: at 8/255, {times[what]:.2f} times what the line predicts")
along_signs = np.abs(rise(F.margin_loss, 8 / 255, signs)[0]).mean()
at_random = along_signs / rise(F.margin_loss, 8 / 255)[0].mean()
print(f"margin along random signs: {at_random:.2f} of that; 1 / sqrt(64) = {1 / 8}")

# %% tags=["hide-input"]
assert times[F.cross_entropy] > 4
assert 0.85 < times[F.margin_loss] < 1.05
assert 0.11 < at_random < 0.18

# %% [markdown]
# The *margin* is nearly linear nearby, and where it crosses 0 the class changes. (The **margin
# loss** is minus the margin: the best wrong logit less the right one, which an attack raises.) The
# loss is not linear at all: it rises several times as much as the line says. But it is a function
# of the margin that only rises, flat where the network is sure and steep where it is not. So its
# gradient points where the margin's does, and the sign is all that FGSM takes. The random change
# does little, as its parts cancel: about the $1/\sqrt{64}$ of the first section.
#
# ## Turning epsilon up
#
# The smallest perturbation that changes the class, equation (10), is $\operatorname{argmin} \lVert
# \delta \rVert$ subject to $\hat y(x + \delta) \ne \hat y(x)$. FGSM looks for it along one
# direction: raise $\varepsilon$ until the class flips. Guess when our three does, and what it
# becomes.

# %%
epsilons = np.array([0, 8, 16, 24, 32, 40, 48]) / 255
figure, axes = plt.subplots(2, 7, figsize=(8.5, 2.9), layout="constrained", height_ratios=[1.6, 1])
for epsilon, (top, bottom) in zip(epsilons, axes.T):
    adversarial = fgsm(image, label, epsilon)
    p = predict(adversarial)[0]
    top.imshow(adversarial[0, :, :, 0], cmap="gray_r", vmin=0, vmax=1)
    fooled = p.argmax() != label[0]
    title = rf"$\varepsilon$ = {255 * epsilon:.0f}/255" + f"\n{p.argmax()}: {p.max():.0%}"
    top.set_title(title, fontsize=9, color="#D55E00" if fooled else "black")
    top.axis("off")
    bottom.bar(range(10), p, color=["#009E73" if k == label[0] else "#D55E00" for k in range(10)])
    bottom.set(ylim=(0, 1), xticks=range(10), yticks=[])
    bottom.tick_params(labelsize=6)
plt.show()

# %% [markdown]
# `smallest_epsilon` raises it in small steps and then halves the last one:

# %%
smallest = md.robustness.smallest_epsilon(model, image, label, max_epsilon=0.5)[0]
before, after = (predict(fgsm(image, label, e)).argmax() for e in (smallest - 0.5 / 255, smallest))
print(f"at {255 * smallest:.2f}/255 the class changes from {before} to {after}")

# %% tags=["hide-input"]
assert before == label[0] != after

# %% [markdown]
# The image, the adversarial one, and what was added to it:

# %%
md.plot.adversary(model, image, fgsm(image, label, smallest), smallest)

# %% [markdown]
# ## All images: the accuracy curve
#
# The report's figures 8 to 13 all draw this: which part of the images is still read rightly, at
# each epsilon. The attack's gradient is computed once for each image; `accuracy_curve` does all
# that. But 360 other digits would have given somewhat other numbers. A **band** around a curve is
# drawn so that it contains the accuracy on *all* such images, of which these are a few, in 95 of
# 100 cases. (Of $n$ digits a part $a$ is right; another draw of $n$ would give a number about
# $\sqrt{a (1 - a) / n}$ away, here 2.6 points at $a = \tfrac12$, and twice that to either side is
# roughly the band.) Beside it, random changes of the same size. Guess what both leave at 32/255:

# %%
epsilons = np.arange(0, 65, 4) / 255
curve = md.robustness.accuracy_curve(model, val.images, val.labels, epsilons)
noisy = [
    np.mean(predict((val.images + np.float32(e) * signs).clip(0, 1)).argmax(axis=1) == val.labels)
    for e in epsilons
]
figure, ax = plt.subplots(figsize=(5.5, 3))
ax.plot(255 * epsilons, 100 * np.array(noisy), "s--", color="0.5", label="random signs")
ax.plot(255 * epsilons, 100 * curve.accuracy, "o-", color="#D55E00", label="FGSM")
ax.fill_between(255 * epsilons, *(100 * curve.accuracy_band), color="#D55E00", alpha=0.2)
ax.set(xlabel="epsilon, in 1/255", ylabel="accuracy (%)", ylim=(0, 100))
ax.legend(frameon=False)
plt.show()

# %% [markdown]
# Both move every pixel as far as it can go, by epsilon or up to white or black. (About a quarter
# of the pixels stand there already, and half of the signs, or more of them, point outward. So a
# quarter does not move at all, under either, and an image is lost a little later than where the
# margin's line, which knows of no edge, crosses 0.) The network has never seen noise, and yet
# bears it. It is not the size of a change that counts, but whether its parts add up.
#
# ## How much can it change at most?
#
# A layer $W^T z + b$ stretches a difference by at most its spectral norm $\lVert W \rVert$ (lesson
# 5), an activation by at most its steepest slope $L_\psi$. A **Lipschitz bound** says by how much a
# network stretches the difference of two images at most. In a row the factors multiply (equation
# 9):
#
# $$\lVert f(x + \delta) - f(x) \rVert \le \lVert \delta \rVert
# \prod_{i=1}^d L_{\psi_i} \lVert W_i \rVert$$

# %%
bound = md.robustness.lipschitz_bound(model, (8, 8, 1))
print(bound)

# %% [markdown]
# Compare with how much the logits really move, for FGSM and for random changes of all validation
# images. Guess how far below the bound that is:

# %%
moved = {
    "FGSM": md.robustness.fgsm(model, val.images, val.labels, [16 / 255]).adversarial[0],
    "random signs": (val.images + np.float32(16 / 255) * signs).clip(0, 1),
}
stretches = {}
figure, ax = plt.subplots(figsize=(5.5, 2.6))
for (name, images), color in zip(moved.items(), ("#D55E00", "0.5")):
    change = np.linalg.norm(
        model(md.Tensor(images)).data - model(md.Tensor(val.images)).data, axis=1
    )
    stretch = change / np.linalg.norm((images - val.images).reshape(len(images), -1), axis=1)
    stretches[name] = stretch
    ax.hist(stretch, bins=np.geomspace(0.5, 1000, 60), color=color, alpha=0.7, label=name)
ax.axvline(bound.bound, color="black", label="bound (9)")
ax.set(xscale="log", xlabel="change of the logits / change of the image", ylabel="images")
ax.legend(frameon=False, loc="upper left")
plt.show()

# %% tags=["hide-input"]
unclipped = image + np.linspace(0, 0.3, 301)[:, None, None, None] * directions["FGSM"]
crossing = np.linspace(0, 0.3, 301)[np.argmax(margin(unclipped.astype(np.float32)).data < 0)]
assert smallest > crossing + 0.5 / 255
at_32 = np.flatnonzero(epsilons == 32 / 255)[0]
assert curve.accuracy[at_32] < 0.5
assert noisy[at_32] > 0.93
still = {name: (images == val.images).mean() for name, images in moved.items()}
assert min(still.values()) > 0.22
assert max(still.values()) < 0.32
assert max(map(np.max, stretches.values())) < bound.bound / 3

# %% [markdown]
# The bound holds, and is far above what happens. It grows with every layer, exponentially with
# depth: it cannot promise that a deep network is smooth. That is what the report concludes too,
# from norms of 2, 5 and 11 in AlexNet's layers.
#
# ## Exercises
#
# **1. A target.** FGSM leads away from the true class. Lead *to* a class instead: lower the loss
# of a wrong label. How many of the validation images that are not an 8 can you turn into an 8 at
# $\varepsilon = 48/255$?

# %%
others = val.images[val.labels != 8]
targeted = ...  # your images
judge("8.1", others, targeted, lambda images: predict(images).argmax(axis=1))

# %% tags=["hide-cell", "solution"]
x = md.Tensor(others, requires_grad=True)
F.cross_entropy(model(x), np.full(len(others), 8), reduction="sum").backward(inputs=[x])
# Minus: down the loss of class 8
targeted = (others - np.float32(48 / 255) * np.sign(x.grad)).clip(0, 1)
before, after = (np.mean(predict(images).argmax(axis=1) == 8) for images in (others, targeted))
print(f"read as 8: {before:.1%} before, {after:.1%} after")
assert after > before + 0.1
assert judge("8.1", others, targeted, lambda images: predict(images).argmax(axis=1))

# %% [markdown]
# **2. Do they transfer?** An adversarial image **transfers** to another network if it fools that
# one too, which the attacker never saw (Szegedy et al. 2014). How many do? Try its adversarial
# images at 32/255 on a second network of the same kind, `trained(seed + 10)`, and on the perceptron
# `md.models.fc5(image_size=8, channels=1)`. Count only what the other network reads as it is, and
# set noise of the same size beside it.

# %%
same_kind, perceptron, noise = ..., ..., ...  # parts fooled; by noise: of the perceptron's images
judge("8.2", same_kind, perceptron, noise)

# %% tags=["hide-cell", "solution"]
md.manual_seed(seed + 1)
perceptron = md.models.fc5(image_size=8, channels=1)
optimizer = md.optim.SGD(perceptron.parameters(), lr=0.05, momentum=0.9, nesterov=True)
batches = md.data.Loader(*train, batch_size=64, seed=seed)
md.fit(perceptron, batches, optimizer, epochs=8, progress=False)
adversarial = md.robustness.fgsm(model, val.images, val.labels, [32 / 255]).adversarial[0]
noise = (val.images + np.float32(32 / 255) * signs).clip(0, 1)


def fooled(victim, images):
    read = [victim(x).data.argmax(axis=1) == val.labels for x in (val.images, images)]
    return 1 - read[1][read[0]].mean()


victims = {"this one": model, "same kind": trained(seed + 10), "perceptron": perceptron}
rates = {name: (fooled(v, adversarial), fooled(v, noise)) for name, v in victims.items()}
for name, (attack, chance) in rates.items():
    print(f"{name:10} fooled by the images {attack:.1%}, by noise {chance:.1%}")
# More than noise does; and of a stranger little. Lesson 13 comes back to it.
assert rates["this one"][0] > 0.5
assert 0.15 < rates["same kind"][0] < 0.45
assert rates["perceptron"][1] + 0.02 < rates["perceptron"][0] < 0.15
assert judge("8.2", rates["same kind"][0], *rates["perceptron"])

# %% [markdown]
# **3. Find the bug.** This attack finds the network wonderfully robust: up to 64/255 its accuracy
# stays nearly as it was. Why?


# %%
def wrong_fgsm(images, labels, epsilon):
    x = md.Tensor(images, requires_grad=True)
    predicted = model(x).data.argmax(axis=1)
    F.cross_entropy(model(x), predicted).backward(inputs=[x])
    return (images - np.float32(epsilon) * np.sign(x.grad)).clip(0, 1)


def mean_loss(images, labels):
    return F.cross_entropy(model(md.Tensor(images)), labels).item()


mended = ...  # your attack: what should it do to the loss?
judge("8.3", mended, val.images, val.labels, mean_loss)

# %% tags=["hide-cell", "solution"]
attacked = wrong_fgsm(val.images, val.labels, 16 / 255)
clean_loss = F.cross_entropy(model(md.Tensor(val.images)), val.labels).item()
wrong_loss = F.cross_entropy(model(md.Tensor(attacked)), val.labels).item()
right_loss = F.cross_entropy(model(md.Tensor(moved["FGSM"])), val.labels).item()
print(f"loss: clean {clean_loss:.2f}, wrong attack {wrong_loss:.2f}, FGSM {right_loss:.2f}")
assert right_loss > 2 * clean_loss  # an attack raises the loss
unchanged = predict(attacked).argmax(axis=1) == predict(val.images).argmax(axis=1)
# Minus goes down the loss: it makes the network surer of what it says
assert unchanged.mean() > 0.98
far = wrong_fgsm(val.images, val.labels, 64 / 255)
assert np.mean(predict(far).argmax(axis=1) == val.labels) > right.mean() - 0.02
assert judge("8.3", fgsm, val.images, val.labels, mean_loss)

# %% [markdown]
# **Next:** [pruning](09_pruning.ipynb), and whether a pruned network is more robust.
