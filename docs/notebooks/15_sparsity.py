# %% [markdown]
# # 15. Sparsity, four ways
#
# After this lesson you can
#
# * say what pruning at random teaches about any other way to prune,
# * let a network learn how much noise each weight bears, and derive what that costs,
# * put a gate on each weight, and count open gates in a way that has a gradient,
# * find a lottery ticket, and ask by controls what makes it win.
#
# The report prunes by magnitude (lesson 9), and names the other three.

# %%
import matplotlib.pyplot as plt
import numpy as np
from answers import judge

import minidl as md
from minidl import compress as C
from minidl import functional as F
from minidl import nn
from minidl import robustness as R

plt.rc("axes.spines", top=False, right=False)
seed = 0  # of all random numbers; what is said below also holds for 1 and 2
rng = np.random.default_rng(seed)

# %% [markdown]
# ## What must be beaten
#
# A perceptron of 17,024 weights, of which 3 % shall stay: 511. How good is it if these are chosen
# at random? This is the control, without which "97 % of the weights were not needed" says nothing:
# perhaps *any* 3 % would have done. Both are pruned along the schedule of lesson 9, on the same
# batches, with the same steps. Guess both numbers.

# %%
train, val = md.data.digits("train"), md.data.digits("val")
SPARSITY, EPOCHS = 0.97, 12


def batches():
    """In the same order for each training."""
    return md.data.Loader(*train, batch_size=64, augment=False, seed=seed)


STEPS = EPOCHS * len(batches())


def perceptron(seed=seed):
    md.manual_seed(seed)
    layers = nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10)
    return nn.Sequential(nn.Normalize(0.5, 0.25), nn.Flatten(), *layers)


def fitted(model, *after, objective=None, adam=False):
    """Trained, with what follows each step; and which of the unseen digits are right (B,)."""
    lr, weights = (0.02 if adam else 0.1), model.parameters()
    optimizer = md.optim.Adam(weights, lr) if adam else md.optim.SGD(weights, lr, momentum=0.9)
    schedule = md.optim.one_cycle(lr, STEPS)
    md.fit(model, batches(), optimizer, EPOCHS, objective=objective, after_step=after,
           schedule=schedule, progress=False)  # fmt: skip
    return model(val.images).data.argmax(axis=1) == val.labels


along = {"start": STEPS // 5, "every": 6, "count": STEPS // 12}
right, networks = {}, {}
networks["dense"] = perceptron()
right["dense"] = fitted(networks["dense"])
for name, kind in (("random", C.RandomPruner), ("magnitude", C.MagnitudePruner)):
    networks[name] = perceptron()
    right[name] = fitted(networks[name], kind(networks[name], SPARSITY, **along))
for name, each in right.items():
    print(f"{name:10}: {each.mean():.1%} right, sparsity {C.sparsity(networks[name]):.1%}")

# %% tags=["hide-input"]
assert right["magnitude"].mean() > right["random"].mean() + 0.3
assert right["magnitude"].mean() > right["dense"].mean() - 0.08
assert R.mcnemar(right["magnitude"], right["random"]).p_value < 1e-3
assert abs(C.sparsity(networks["random"]) - SPARSITY) < 0.002

# %% [markdown]
# Three weights in a hundred come within a few points of all of them, if they are the right ones.
# Chosen at random they do not, though they too were trained to the end.
#
# That was the first way, and what is to be beaten: magnitude.
#
# ## Way 2: which weights bear noise?
#
# Size is a guess at importance. Ask more directly: how far may a weight be *wrong* before the
# network minds? **Variational dropout** makes each weight random in training, and learns how much
# noise each of them bears (Molchanov et al. 2017). A weight is a draw from $N(w, \tau^2)$, the
# normal distribution with mean $w$ and standard deviation $\tau$, and both are learned. In units of
# the weight itself, the noise is
#
# $$\alpha = \frac{\tau^2}{w^2}, \qquad \log \alpha = \log \tau^2 - \log w^2$$
#
# A sum of normal numbers is normal, and its variance is the sum of theirs. So one need not draw
# weights: a layer's outputs are themselves $N(x W + b,\; x^2 \tau^2)$, with the squares taken
# number by number, and are drawn for each image anew. Guess their deviation if $\tau^2 = e^{-4}$
# for all weights; then check it:

# %%
layer = nn.VariationalLinear(64, 3)  # in training mode, as layers are at first
layer.noise.data[...] = -4.0  # log tau^2 of all weights
x = train.images[:1].reshape(1, 64)
draws = layer(np.repeat(x, 20_000, axis=0)).data  # (20000, 3)
mean, deviation = x @ layer.weight.data + layer.bias.data, np.sqrt((x**2).sum() * np.exp(-4.0))
print("mean     ", draws.mean(axis=0).round(2), "and by the formula", mean[0].round(2))
print("deviation", draws.std(axis=0).round(2), "and by the formula", deviation.round(2))

# %% tags=["hide-input"]
assert np.allclose(draws.mean(axis=0), mean[0], atol=0.03)
assert np.allclose(draws.std(axis=0), deviation, rtol=0.03)

# %% [markdown]
# Left alone, the loss would learn $\tau = 0$: noise never helps it. So noise must be *rewarded*. A
# **prior** is the distribution that a weight is taken to have before any image was seen. Ours knows
# nothing about scale, $p(w) \propto 1 / |w|$: as many weights between .1 and 1 as between 1 and 10.
# The **Kullback-Leibler divergence** $KL = E_q[\log q - \log p]$ says how far a distribution $q$ is
# from another one $p$; it is 0 if they are the same, and positive otherwise. ($E_q$ is the mean
# over draws from $q$.) Let $q$ be the distribution of the weight. With $w (1 + \sqrt\alpha\, e)$
# for the weight, $e$ from $N(0, 1)$,
#
# $$E_q \log q = -\tfrac12 \log(\alpha w^2) + \text{const}, \qquad
# -E_q \log p = \log |w| + E \log |1 + \sqrt\alpha\, e| + \text{const}$$
#
# and in the sum $w$ drops out:
#
# $$KL(\alpha) = -\tfrac12 \log \alpha + E \log |1 + \sqrt\alpha\, e| + \kappa$$
#
# Only $\alpha$ counts. The constant $\kappa$ we choose (as $p$ has no sum, it has no right value)
# so that $KL \to 0$ for $\alpha \to \infty$: there $E \log |1 + \sqrt\alpha\, e|$ is $\tfrac12 \log
# \alpha + E \log |e|$, so that $\kappa = -E \log |e| = 0.635$. The expectation has no closed form,
# and Molchanov et al. fitted one:
#
# $$KL \approx k_1 + \tfrac12 \log(1 + 1 / \alpha) - k_1 \operatorname{sigm}(k_2 + k_3 \log \alpha),
# \qquad k = (0.63576,\ 1.8732,\ 1.48695)$$

# %%
log_alpha = np.linspace(-8, 8, 33)
e = rng.standard_normal(200_000)
drawn = [
    -a / 2 + np.log(np.abs(1 + np.exp(a / 2) * e)).mean() - np.log(np.abs(e)).mean()
    for a in log_alpha
]
k1, k2, k3 = 0.63576, 1.8732, 1.48695
close = k1 + np.log1p(np.exp(-log_alpha)) / 2 - k1 / (1 + np.exp(-k2 - k3 * log_alpha))
assert np.allclose(close, F.variational_kl(log_alpha).data, atol=1e-4)
figure, ax = plt.subplots(figsize=(4.6, 2.6), layout="constrained")
ax.plot(log_alpha, close, label="the formula")
ax.plot(log_alpha, drawn, ".", color="#D55E00", label="200,000 draws")
ax.axvline(3, color="0.6", lw=0.8)
ax.set(xlabel="log alpha", ylabel="KL")
ax.legend(frameon=False)
plt.show()

# %% tags=["hide-input"]
assert np.abs(close - drawn).max() < 0.03

# %% [markdown]
# The penalty falls all the way: every weight is pushed towards noise, and only those stay that the
# cross-entropy holds against it. At $\log \alpha = 3$, the grey line, the noise is 4.5 times as
# large as the weight ($e^{3/2}$), and the weight may go. (To compare at one sparsity, below, more
# of them go than that; and minidl keeps $\log \alpha$ within $\pm 8$, where many end.)
#
# The loss is the cross-entropy, a mean over images, plus $\lambda / n$ times the sum of all KL, for
# $n$ images. (At $\lambda = 1$ that has a meaning in statistics: it bounds from above, up to a
# constant, minus the logarithm of the probability that the prior gives the labels.) Ours is weaker,
# and grows along a ramp, so that the network learns something before it is asked to forget. Guess
# which part of the weights ends right of the grey line:


# %%
class Note:
    """For md.fit: takes down what ``look`` gives, at one step."""

    def __init__(self, at, look):
        self.at, self.look = at, look

    def step(self, t):
        if t == self.at:
            self.seen = self.look()


def penalised(make, strength, look, adam=False):
    """Trained with a penalty up to 70 % of the steps, then pruned, then trained on."""
    model, at = make(perceptron()), int(0.7 * STEPS)
    note = Note(at - 1, lambda: np.concatenate([look(layer).ravel() for layer in noisy(model)]))
    objective = md.objectives.Penalized(strength / len(train), ramp=(STEPS // 10, STEPS // 2))
    pruner = C.NoisePruner(model, at, sparsity=SPARSITY)
    return model, fitted(model, note, pruner, objective=objective, adam=adam), note.seen


def noisy(model):
    return [layer for layer in model.modules() if hasattr(layer, "noise")]


networks["variational"], right["variational"], alphas = penalised(
    C.variational, 0.1, lambda layer: layer.log_alpha().data
)
figure, ax = plt.subplots(figsize=(4.6, 2.4), layout="constrained")
ax.hist(alphas, bins=np.linspace(-8, 8, 65))
ax.axvline(3, color="0.6", lw=0.8)
ax.set(xlabel="log alpha of all weights, before pruning", yticks=[])
plt.show()
print(f"log alpha above 3: {(alphas > 3).mean():.1%} of the weights")
print(f"with the {1 - SPARSITY:.0%} of least noise: {right['variational'].mean():.1%} right")

# %% tags=["hide-input"]
assert right["variational"].mean() > right["random"].mean() + 0.3
assert 0.5 < (alphas > 3).mean() < 0.8
assert R.mcnemar(right["variational"], right["random"]).p_value < 1e-3

# %% [markdown]
# ## Way 3: a gate for each weight
#
# What we want small is the **l0 norm** of the weights, the *number* of those that are not zero. It
# has no gradient: a count jumps. A **gate** $z$ is a random number between 0 and 1 by which a
# weight is multiplied while the network trains. So make the *expected* number of open gates small,
# of those that are not 0, which moves smoothly with their probabilities (Louizos et al. 2018).
# Gates that are only 0 or 1 would let no gradient through either. Theirs are numbers in [0, 1], of
# which many are *exactly* 0 or 1: draw $u$ evenly from $(0, 1)$,
#
# $$s = \operatorname{sigm}\Big(\frac{\log u - \log(1 - u) + \nu}{\beta}\Big), \qquad
# z = \min\big(1, \max(0, s (\zeta - \gamma) + \gamma)\big)$$
#
# $s$ lies between 0 and 1; stretched to $(\gamma, \zeta) = (-0.1, 1.1)$ it sticks out at both ends,
# and what sticks out is cut to 0 and 1. ($\operatorname{sigm}$ is the sigmoid, $\nu$ the gate's own
# number, which is learned, and $\beta = 2/3$.) When is the gate open? When $s > -\gamma / (\zeta -
# \gamma)$. The sigmoid's inverse is $\log \frac{s}{1 - s}$, which makes $\log(-\gamma / \zeta)$ of
# that; and $\log u - \log(1 - u)$ exceeds a number $v$ with probability $\operatorname{sigm}(-v)$.
# So
#
# $$P(z \ne 0) = \operatorname{sigm}\big(\nu - \beta \log(-\gamma / \zeta)\big)$$
#
# Guess it for $\nu = -3$, 0 and 3:

# %%
BETA, GAMMA, ZETA = 2 / 3, -0.1, 1.1
u = rng.random(100_000)
figure, axes = plt.subplots(1, 3, figsize=(8, 2.2), layout="constrained", sharey=True)
opened = []
for ax, nu in zip(axes, (-3.0, 0.0, 3.0)):
    s = 1 / (1 + np.exp(-(np.log(u) - np.log(1 - u) + nu) / BETA))
    z = np.clip(s * (ZETA - GAMMA) + GAMMA, 0, 1)
    opened.append(((z > 0).mean(), C.hard_concrete_open(np.array([nu])).data[0]))
    ax.hist(z, bins=30, weights=np.full(z.size, 1 / z.size))
    ax.set(title=f"nu = {nu:.0f}", xlabel="z")
    print(f"nu = {nu:4}: open {opened[-1][0]:.1%}, by the formula {opened[-1][1]:.1%}")
plt.show()

# %% tags=["hide-input"]
assert np.allclose(*zip(*opened), atol=0.01)

# %% [markdown]
# Now train, with $\lambda / n$ times the expected number of open gates as a penalty. Its gradient
# is the same for all gates at first, and that of the cross-entropy is small for each of so many. So
# gradient descent, which follows their sum, should move all gates together, and Adam, which divides
# each by its usual size, should tell them apart. Try both; and since Adam is another training, it
# gets a random control of its own. All gates begin at $\nu = 0$, where the formula above says that
# 83 % are open. Guess what becomes of them under each of the two:


# %%
def at_zero(model):
    return C.l0(model, open_at_first=0.5)  # nu = log(0.5 / 0.5)


def chances(layer):
    return C.hard_concrete_open(layer.noise).data


_, _, together = penalised(at_zero, 3, chances)
networks["l0"], right["l0"], gates = penalised(at_zero, 3, chances, adam=True)
chosen = perceptron()
right["random, Adam"] = fitted(chosen, C.RandomPruner(chosen, SPARSITY, **along), adam=True)
figure, ax = plt.subplots(figsize=(4.6, 2.4), layout="constrained")
for name, each in (("gradient descent", together), ("Adam", gates)):
    ax.hist(each, bins=np.linspace(0, 1, 51), label=name, alpha=0.7)
ax.set(xlabel="probability that a gate is open, before pruning", ylabel="gates", yscale="log")
ax.legend(frameon=False)
plt.show()
print(f"with the {1 - SPARSITY:.0%} most open: {right['l0'].mean():.1%} right, "
      f"at random {right['random, Adam'].mean():.1%}")  # fmt: skip

# %% tags=["hide-input"]
assert np.ptp(np.quantile(together, [0.05, 0.95])) < 0.05
assert np.ptp(np.quantile(gates, [0.05, 0.95])) > 0.3
assert abs(np.median(together) - 0.83) < 0.03
assert right["l0"].mean() > right["random, Adam"].mean() + 0.1
assert R.mcnemar(right["l0"], right["random, Adam"]).p_value < 1e-3

# %% [markdown]
# Gradient descent leaves all gates where they began, and so tells nothing apart. Adam spreads them.
#
# ## Way 4: lottery tickets
#
# Train, prune the smallest weights, and put those that are left *back to where they were at the
# start*. Train again, prune again, and so on (Frankle and Carbin 2019). A **lottery ticket** is a
# mask, found in this way, and the initial weights under it. Their hypothesis: such a network,
# trained alone, does well, because these weights *began* well. It is like a draw in a lottery.
#
# We look for it in four rounds, each as long as a training of the other ways, and one more for the
# ticket itself.

# %%
searched = perceptron()
optimizer = md.optim.SGD(searched.parameters(), lr=0.1, momentum=0.9)
ticket = C.lottery_ticket(
    searched, optimizer, SPARSITY, steps=STEPS, part=1 - (1 - SPARSITY) ** (1 / 4)
)
schedule = ticket.schedule(md.optim.one_cycle(0.1, STEPS))
rounds = (ticket.rounds + 1) * EPOCHS
curve = md.fit(searched, batches(), optimizer, rounds, after_step=[ticket], schedule=schedule,
               progress=False)  # fmt: skip
after = [curve[EPOCHS * r + EPOCHS - 1].sparsity for r in range(ticket.rounds)]
print("sparsity after each round:", ", ".join(f"{s:.1%}" for s in after))

# %% [markdown]
# Is it the ticket? Three networks are trained alone, each for twelve epochs, by the same steps. One
# has the ticket's mask and the weights it began with. One began there too, but its mask has as many
# weights in each layer at *random* places. One has the ticket's mask over *other* initial weights.
# Guess all three:


# %%
def alone(masks, begin):
    model = perceptron(begin)
    for weight, mask in zip([p for p in model.parameters() if p.ndim == 2], masks):
        weight.mask = mask
        weight.data *= mask
    return model, fitted(model)


masks = [weight.mask for weight in ticket.weights.values()]
shuffled = [rng.permutation(mask.ravel()).reshape(mask.shape) for mask in masks]
networks["ticket"], right["ticket"] = alone(masks, seed)
_, right["random mask"] = alone(shuffled, seed)
_, right["other start"] = alone(masks, seed + 100)
for name in ("ticket", "random mask", "other start"):
    print(f"{name:12}: {right[name].mean():.1%} right")

# %% tags=["hide-input"]
assert right["ticket"].mean() > right["other start"].mean() + 0.03
assert R.mcnemar(right["ticket"], right["other start"]).p_value < 1e-3
assert right["other start"].mean() > right["random mask"].mean() + 0.3
assert right["ticket"].mean() > right["dense"].mean() - 0.05

# %% [markdown]
# Both count. Most is the mask's: so few weights at random places cannot be trained. But the mask is
# not all: over other initial weights it does worse than over those that it was found with. Trained
# alone, from its own start, the ticket comes close to the dense network.
#
# ## All of them
#
# The same images for all, so that each is compared with the random choice image by image (McNemar's
# test, lesson 9). l0 is compared with the random choice that was trained as it was. Guess which
# pixels have kept most of their weights:

# %%
ways = "magnitude", "variational", "l0", "ticket"
for name in ways:
    test = R.mcnemar(right[name], right["random, Adam" if name == "l0" else "random"])
    print(f"{name:12}: {right[name].mean():.1%} right; right alone {test.only_a:2}, "
          f"random alone {test.only_b}, p = {test.p_value:.1g}")  # fmt: skip

figure, axes = plt.subplots(1, 5, figsize=(9, 1.9), layout="constrained")
for ax, name in zip(axes, ("random", *ways)):
    kept = next(p for p in networks[name].parameters() if p.ndim == 2).data != 0  # (64, 128)
    ax.imshow(kept.sum(axis=1).reshape(8, 8), cmap="viridis")
    ax.set_title(name, fontsize=9)
    ax.axis("off")
plt.show()

# %% [markdown]
# The pictures count for each pixel how many of the first layer's weights have stayed. Each of the
# four ways is far better than chance. Which of the four is best we do *not* say: the ticket took
# five times the training, l0 another optimiser, and neither $\lambda$ was tuned.
# `experiments/sparsifiers.py` asks it, with more seeds.
#
# ## Shares
#
# One question is left: how many weights should *each layer* keep? Equally many parts of each
# (`scope="layer"`), or one ranking of all (`"global"`), or, without looking at weights at all, a
# density that is larger for small layers (`"erk"`, Evci et al. 2020):
#
# $$\text{density} = \rho\, \frac{N + k_h + k_w + C}{N k_h k_w C}, \qquad
# \text{for a linear layer } \rho\, \frac{n + m}{n m}$$
#
# for $N$ kernels of $k_h \times k_w \times C$, with one number $\rho$ for all layers. The weights
# of a linear layer are then $\rho (n + m)$. Each has two ends, so that its neurons, of both sides,
# have $2 \rho$ of them on average in every layer. Guess which of our three layers is the densest:

# %%
shapes = [p.shape for p in perceptron().parameters() if p.ndim == 2]
rho = (1 - SPARSITY) * sum(n * m for n, m in shapes) / sum(n + m for n, m in shapes)
by_hand = [rho * (n + m) / (n * m) for n, m in shapes]
pruner = C.RandomPruner(perceptron(), SPARSITY, start=0, every=1, count=1, scope="erk")
pruner.step(1)
theirs = [1 - part for part in pruner.layer_sparsity().values()]
for shape, ours, engine in zip(shapes, by_hand, theirs):
    print(f"{shape}: density {ours:.1%}, and by minidl {engine:.1%}")

# %% tags=["hide-input"]
assert np.allclose(by_hand, theirs, atol=0.005)

# %% [markdown]
# ## Exercises
#
# **1. What does log alpha = 3 mean?** For a weight with this noise, in which part of the draws
# $w (1 + \sqrt\alpha\, e)$ does it have the *wrong sign*? And at $\log \alpha = -3$?

# %%
at_3, at_minus_3 = ..., ...  # your parts
judge("15.1", at_3, at_minus_3)

# %% tags=["hide-cell", "solution"]
wrong = {}
for a in (-3, 3):
    wrong[a] = (1 + np.exp(a / 2) * np.random.default_rng(0).standard_normal(100_000) < 0).mean()
    print(f"log alpha {a:2}: {wrong[a]:.2%} of the draws have the wrong sign")
# At 3 it is nearly a coin's toss: the weight says almost nothing.
assert abs(wrong[3] - 0.41) < 0.02
assert wrong[-3] < 0.001
assert judge("15.1", wrong[3], wrong[-3])

# %% [markdown]
# **2. Gates that are fully open.** Derive $P(z = 1)$ as we derived $P(z \ne 0)$, and check it by
# draws at $\nu = 0$.

# %%
fully_open = ...  # your part, by the formula or by draws
judge("15.2", fully_open)

# %% tags=["hide-cell", "solution"]
# z = 1 where s >= (1 - gamma) / (zeta - gamma); of that the sigmoid's inverse is
# log((1 - gamma) / (zeta - 1)).
by_formula = 1 / (1 + np.exp(BETA * np.log((1 - GAMMA) / (ZETA - 1))))
s = 1 / (1 + np.exp(-(np.log(u) - np.log(1 - u)) / BETA))
by_draws = (s * (ZETA - GAMMA) + GAMMA >= 1).mean()
print(f"by the formula {by_formula:.2%}, by draws {by_draws:.2%}")
assert abs(by_formula - by_draws) < 0.01
assert judge("15.2", by_formula)

# %% [markdown]
# **3. Find the bug.** Somebody uses the gates without noise, after training, and finds that the
# network is not sparse at all, although most gates are nearly closed. Why?


# %%
def gates_without_noise(nu):
    return 1 / (1 + np.exp(-nu))


closing = np.random.default_rng(1).normal(-4, 1.5, 1000)  # nu of a thousand gates
print(f"exactly zero: {(gates_without_noise(closing) == 0).mean():.1%}")
mended = ...  # your function of nu
judge("15.3", mended)


# %% tags=["hide-cell", "solution"]
def mended(nu):
    return np.clip(gates_without_noise(nu) * (ZETA - GAMMA) + GAMMA, 0, 1)


stretched = mended(closing)
print(f"stretched and cut: {(stretched == 0).mean():.1%}")
# A sigmoid is never 0: it is the stretching that makes zeros.
assert (gates_without_noise(closing) == 0).mean() == 0
assert (stretched == 0).mean() > 0.8
assert np.allclose(stretched, C.hard_concrete(closing, training=False).data, atol=1e-6)
assert judge("15.3", mended)

# %% [markdown]
# **Next:** [what no attack can break](16_certificates.ipynb).
