# %% [markdown]
# # 16. Certificates: what no attack can break
#
# After this lesson you can
#
# * enclose all that a network may answer near an image, with boxes,
# * say why even the tightest boxes are not enough, and do better with lines,
# * prove by hand that no image within epsilon has another class,
# * read a band between what is proved and what an attack leaves, and say why a pruned network
#   is easier to prove.
#
# An attack that fails proves nothing: a better one may succeed (lesson 8). Here it is the other
# way round.

# %%
import matplotlib.pyplot as plt
import numpy as np
from answers import judge

import minidl as md
from minidl import functional as F
from minidl import nn
from minidl import robustness as R

plt.rc("axes.spines", top=False, right=False)
seed = 0  # of all random numbers; what is said below also holds for 1 and 2
md.manual_seed(seed)

# %% [markdown]
# ## A network that can be drawn
#
# Two layers as in lesson 4, on images of two pixels. Class 1 lies within a ring. Guess which part
# of the 600 points is read rightly:

# %%
rng = np.random.default_rng(seed)
points = rng.random((600, 2)).astype(np.float32)
classes = (np.hypot(*(points - 0.5).T) < 0.3).astype(int)
images = points.reshape(-1, 1, 2, 1)  # (B, H, W, C)

model = nn.Sequential(nn.Flatten(), nn.Linear(2, 24), nn.ReLU(), nn.Linear(24, 2))
optimizer = md.optim.Adam(model.parameters(), lr=0.02)
for _ in range(400):
    optimizer.zero_grad()
    F.cross_entropy(model(images), classes).backward()
    optimizer.step()
model.eval()  # a certificate is of a fixed function
print(f"{(model(images).data.argmax(axis=1) == classes).mean():.1%} are right")

W1, b1 = (p.data.astype(float) for p in (model[1].weight, model[1].bias))
W2, b2 = (p.data.astype(float) for p in (model[3].weight, model[3].bias))


def answer(x):
    """What moves when the pixels x (n, 2) move: logit 1 less logit 0, (n,)."""
    y = np.maximum(x @ W1 + b1, 0) @ W2 + b2
    return y[:, 1] - y[:, 0]


x, epsilon = np.array([0.5, 0.6]), 0.1
grid = np.stack(np.meshgrid(*[np.linspace(0, 1, 200)] * 2), axis=-1)
figure, ax = plt.subplots(figsize=(3.4, 3.2))
ax.contourf(*grid.transpose(2, 0, 1), answer(grid.reshape(-1, 2)).reshape(200, 200) > 0, 1,
            colors=["#DDDDDD", "#BBD7EA"])  # fmt: skip
ax.add_patch(plt.Rectangle(x - epsilon, 2 * epsilon, 2 * epsilon, fill=False, lw=1.5))
ax.plot(*x, "k.")
ax.set(xlabel="first pixel", ylabel="second pixel", title="all images within epsilon: the square")
plt.show()

# %% [markdown]
# We see that the square lies within class 1. With two pixels one can look. With 64 or 12,288
# nobody can, and trying points finds nothing for sure. We want a *proof*.
#
# ## Boxes
#
# The box of lesson 13 is an interval for each pixel: centre $\bar x$, radius $r$. A layer $W^T x +
# b$ takes the centre to $W^T \bar x + b$, and no number of it moves by more than $|W|^T r$ (with
# $|W|$ the sizes of all weights), since each term moves by at most $|w_i| r_i$. ReLU never falls:
# it takes the ends to the ends. So a box goes through the whole network. **Interval bounds** of a
# network are the ends of the box that comes out, for all images of the box that went in. Guess
# whether they leave a doubt, where the picture leaves none:


# %%
def boxes(x, epsilon):
    """Lower and upper ends of the margin, and those of the hidden neurons before ReLU."""
    low, high = np.clip(x - epsilon, 0, 1), np.clip(x + epsilon, 0, 1)
    middle, radius = (low + high) / 2 @ W1 + b1, (high - low) / 2 @ np.abs(W1)
    hidden = middle - radius, middle + radius
    low, high = np.maximum(hidden[0], 0), np.maximum(hidden[1], 0)
    w, b = W2[:, 1] - W2[:, 0], b2[1] - b2[0]  # the difference of logits, in one
    middle, radius = (low + high) / 2 @ w + b, (high - low) / 2 @ np.abs(w)
    return middle - radius, middle + radius, hidden


def true_range(x, epsilon):
    square = x + epsilon * (2 * grid.reshape(-1, 2) - 1)
    return answer(square).min(), answer(square).max()


image = x.reshape(1, 1, 2, 1)
theirs = R.interval_bounds(model, image, epsilon, labels=np.array([1]))
assert np.allclose(boxes(x, epsilon)[:2], (theirs.lower.item(), theirs.upper.item()))
print(f"boxes       {boxes(x, epsilon)[0]:6.2f} to {boxes(x, epsilon)[1]:5.2f}")
print("truly       {:6.2f} to {:5.2f}".format(*true_range(x, epsilon)))

# %% tags=["hide-input"]
assert (model(images).data.argmax(axis=1) == classes).mean() > 0.95
assert true_range(x, epsilon)[0] > 1
assert boxes(x, epsilon)[0] < -1

# %% [markdown]
# The box is right, and proves nothing: its lower end is below 0. Where does it lose? Every
# hidden neuron's interval is *exact*. But each takes its lowest value at another corner of the
# square, and the box allows all of them at once: corners that no image has. The simplest case is
# $h - h$, which is 0; boxes say that it lies between $-r$ and $r$. With each layer there are more
# such corners.
#
# ## Lines
#
# Keep the dependence instead. Write the margin as a linear function of the *pixels*, whose
# least value over the square is plain:
#
# $$w \cdot x + b \;\ge\; w \cdot \bar x + b - |w| \cdot r$$
#
# Only ReLU is in the way. Where a neuron's interval leaves no doubt, it is 0 or the identity. An
# **unsure neuron** is one whose interval goes from $l < 0$ to $u > 0$: off for one image of the box
# and on for another. There ReLU lies between two lines:

# %%
lo, up = -1.0, 2.0
z = np.linspace(lo, up, 100)
figure, ax = plt.subplots(figsize=(4.2, 2.6))
ax.plot(z, np.maximum(z, 0), "k", lw=2, label="max(z, 0)")
ax.plot(z, up * (z - lo) / (up - lo), "--", color="#D55E00", label="above: u (z - l) / (u - l)")
ax.plot(
    z, z if up > -lo else 0 * z, ":", color="#0072B2", lw=2, label="below: z, or 0 where -l > u"
)
ax.set(xlabel="z")
ax.legend(frameon=False)
plt.show()

# %% [markdown]
# A neuron that counts with a positive coefficient is replaced by the line below it, one with a
# negative coefficient by the line above: then the result is never more than the margin. The
# coefficients go back through the layer as a gradient does (lesson 4), and so do they through any
# number of layers. **Linear bounds** of a margin are what lines say about it that were taken back
# to the pixels (CROWN, Zhang et al. 2018). Guess where its end lies, between that of the boxes and
# the truth:


# %%
def lines(x, epsilon):
    """A lower end of the margin, by lines that go back to the pixels."""
    lo, up = boxes(x, epsilon)[2]
    unsure = (lo < 0) & (up > 0)
    above = np.where(unsure, up / np.where(unsure, up - lo, 1), lo >= 0)
    below = np.where(unsure, up > -lo, lo >= 0)
    w, b = W2[:, 1] - W2[:, 0], b2[1] - b2[0]  # of max(z, 0)
    b = b + np.minimum(w, 0) @ np.where(unsure, -above * lo, 0)  # the height of the line above
    w = np.maximum(w, 0) * below + np.minimum(w, 0) * above  # of z
    w, b = W1 @ w, b + b1 @ w  # of the pixels: back through the layer
    low, high = np.clip(x - epsilon, 0, 1), np.clip(x + epsilon, 0, 1)
    return w @ (low + high) / 2 + b - np.abs(w) @ (high - low) / 2


theirs = R.linear_bounds(model, image, epsilon, labels=np.array([1]))
assert np.isclose(lines(x, epsilon), theirs.lower.item())
print(f"boxes  {boxes(x, epsilon)[0]:6.3f}")
print(f"lines  {lines(x, epsilon):6.3f}")
print(f"truly  {true_range(x, epsilon)[0]:6.3f}")

# %% tags=["hide-input"]
assert 0.3 < lines(x, epsilon) < true_range(x, epsilon)[0] + 1e-6
assert lines(x, epsilon) > boxes(x, epsilon)[0] + 1

# %% [markdown]
# The line's end is above 0. No image in the square, whatever an attacker thinks of, is taken for
# class 0: that is proved. A **certificate** of an image is a proof that a network gives its class
# to every image of a box around it. (`linear_bounds` also takes off what rounding may have cost:
# [the derivation](../certificates.md).)
#
# How far does each of the three reach? Guess from the square above, whose $\varepsilon$ is 0.1:

# %%
sizes = np.linspace(0, 0.2, 41)
figure, ax = plt.subplots(figsize=(4.6, 2.8))
for name, ends, style in (
    ("truly", [true_range(x, e)[0] for e in sizes], "k-"),
    ("lines", [lines(x, e) for e in sizes], "s-"),
    ("boxes", [boxes(x, e)[0] for e in sizes], "^--"),
):
    ax.plot(sizes, ends, style, ms=3, label=name)
ax.axhline(0, color="0.6", lw=0.8)
ax.set(xlabel="epsilon", ylabel="lower end of the margin", ylim=(-25, 12))
ax.legend(frameon=False)
plt.show()
reach = R.certified_epsilon(model, image, np.array([1]), max_epsilon=0.2, tolerance=1e-4).item()
broken = R.deepfool(model, image, np.array([1])).distance.item()
print(f"certified up to {reach:.3f}, broken by DeepFool at {broken:.3f}")

# %% tags=["hide-input"]
assert epsilon + 0.01 < reach < broken - 0.02
ends = [(boxes(x, e)[0], lines(x, e), true_range(x, e)[0]) for e in sizes[1:]]
assert all(box < line + 1e-9 < true + 2e-9 for box, line, true in ends)

# %% [markdown]
# ## The digits, from both sides
#
# A perceptron, dense and with 90 % of its weights pruned (lesson 9). Below, what is certified;
# above, what PGD leaves (lesson 13). Between the two nobody knows. Guess which of the two networks
# has the narrower gap:

# %%
train, val = md.data.digits("train"), md.data.digits("val")
shown, labels = val.images[:60], np.asarray(val.labels[:60])
epsilons = np.array([1, 2, 4, 8, 16]) / 255


def trained(sparsity):
    md.manual_seed(seed)
    sizes = (64, 128, 128, 10)
    layers = [nn.Normalize(0.5, 0.25), nn.Flatten()]
    for n, m in zip(sizes[:-1], sizes[1:]):
        layers += [nn.Linear(n, m), nn.ReLU()]
    model = nn.Sequential(*layers[:-1])
    batches = md.data.Loader(*train, batch_size=64, pad=1, seed=seed)
    optimizer = md.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    pruner = None
    if sparsity:
        pruner = md.compress.MagnitudePruner(model, sparsity, start=100, every=10, count=10)
    schedule = md.optim.one_cycle(lr=0.05, steps=15 * len(batches))
    md.fit(model, batches, optimizer, 15, schedule=schedule, pruner=pruner, progress=False)
    return model.eval()


networks = {"dense": trained(0), "90 % pruned": trained(0.9)}
both = {}
for name, network in networks.items():
    certificate = R.certified(network, shown, labels, epsilons)
    attack = R.pgd(network, shown, labels, epsilons, steps=20, loss="margin")
    both[name] = R.TwoSided(certificate, attack)  # an error, if the attack broke what is certified
    print(
        name, [f"{low:.0%} to {high:.0%}" for low, high in zip(both[name].lower, both[name].upper)]
    )
md.plot.band(both)

# %% [markdown]
# Where the lines meet, the question is settled: no attack of any kind changes more. At 16/255 the
# pruned network is far easier to prove, though no harder to attack. Why? Lines lose only at unsure
# neurons. Count them in the first layer, whose intervals are exact. Guess how many of 128 at 8/255:


# %%
def unsure(network, epsilon):
    """Of the first layer, on average over the images: how many, and |middle| and radius of all."""
    W, b = (p.data.astype(float) for p in (network[2].weight, network[2].bias))
    low, high = (
        (np.clip(shown + e, 0, 1).reshape(len(shown), -1) - 0.5) / 0.25 for e in (-epsilon, epsilon)
    )
    middle, radius = (low + high) / 2 @ W + b, (high - low) / 2 @ np.abs(W)
    return (np.abs(middle) < radius).sum(axis=1).mean(), np.abs(middle).mean(), radius.mean()


counts = {name: [unsure(network, e) for e in epsilons] for name, network in networks.items()}
for name, each in counts.items():
    print(f"{name:11} {[round(count) for count, _, _ in each]} of 128 neurons are unsure", end="; ")
    print("at 8/255 |middle| is {:.2f} and the radius {:.2f}".format(*each[3][1:]))

# %% tags=["hide-input"]
(many, far, wide), (few, near, narrow) = (each[3] for each in counts.values())
assert few < many / 2
assert narrow / wide < 0.4
assert near / far > 0.6
at_16 = [(two.lower[4], two.upper[4]) for two in both.values()]
assert at_16[1][0] > at_16[0][0] + 0.15
assert at_16[1][1] < at_16[0][1] + 0.02
assert all(high > low + 0.05 for low, high in at_16)

# %% [markdown]
# A pruned neuron sums up fewer pixels, so that its radius $|W|^T r$ is about a third. The middle of
# its interval is nearer to 0 as well, but not by as much: so more of them are sure of their side.
#
# ## Exercises
#
# **1. Better slopes.** Below an unsure ReLU *every* line through 0 with a slope from 0 to 1 will
# do. `steps=20` lets Adam choose the slopes that raise the margin. How much does that gain on the
# dense network at 16/255, and is it ever worse?

# %%
mean_gain, least_gain = ..., ...  # of the margins' lower ends, over ten images
judge("16.1", mean_gain, least_gain)

# %% tags=["hide-cell", "solution"]
plain, better = (
    R.linear_bounds(networks["dense"], shown[:10], 16 / 255, labels=labels[:10], steps=steps).lower
    for steps in (0, 20)
)
print(f"on average {(better - plain).mean():.2f} more, at least {(better - plain).min():.4f}")
assert (better >= plain).all()
assert better.mean() > plain.mean()
assert judge("16.1", (better - plain).mean(), (better - plain).min())

# %% [markdown]
# **2. One certificate at every temperature.** In lesson 11, networks looked robust to an attacker
# who takes the logits divided by $T$. Divide the dense network's logits by 100, by its last
# layer. What becomes of its certificate?

# %%
changed = ...  # for how many images and epsilons
judge("16.2", changed)

# %% tags=["hide-cell", "solution"]
before = R.certified(networks["dense"], shown, labels, epsilons).verified
for parameter in (networks["dense"][-1].weight, networks["dense"][-1].bias):
    parameter.data /= 100
after = R.certified(networks["dense"], shown, labels, epsilons).verified
print("changed:", (before != after).sum(), "- temperature changes no argmax, and so no certificate")
assert np.array_equal(before, after)
assert judge("16.2", (before != after).sum())

# %% [markdown]
# **3. Find the bug.** This "certificate" compares the lowest that the label's logit may be with
# the highest of any other. It is never wrong, and proves too little. What should be bounded? Count
# what each of the two proves for the pruned network, of the first twenty images at 12/255.


# %%
def timid(network, image, label, epsilon):
    ends = []
    for k in range(10):  # the bounds of one logit: its margin over a logit that is always 0
        single = nn.Sequential(*network, nn.Linear(10, 2)).eval()
        single[-1].weight.data[...] = np.eye(10)[:, [k, k]] * [1, 0]
        single[-1].bias.data[...] = 0
        bounds = R.linear_bounds(single, image, epsilon, labels=np.array([0]))
        ends.append((bounds.lower.item(), bounds.upper.item()))
    return ends[label][0] > max(high for k, (_, high) in enumerate(ends) if k != label)


timidly, boldly = ..., ...  # your two counts
judge("16.3", timidly, boldly)


# %% tags=["hide-cell", "solution"]
network, at = networks["90 % pruned"], 12 / 255
timidly = np.array([timid(network, shown[[b]], labels[b], at) for b in range(20)])
boldly = R.certified(network, shown[:20], labels[:20], at).verified[0]
print(f"each logit by itself: {timidly.sum()} of 20 proved; differences of logits: {boldly.sum()}")
assert (boldly >= timidly).all()
assert boldly.sum() > timidly.sum()
assert judge("16.3", timidly.sum(), boldly.sum())

# %% [markdown]
# Logits that move together keep their difference. Only margins are bounded, from the first step
# of the way back to the last.
