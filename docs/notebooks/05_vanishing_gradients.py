# %% [markdown]
# # 5. Vanishing gradients
#
# After this lesson you can
#
# * see gradients vanish in a deep network, and say why,
# * see that the image vanishes on the way forward, too, and tell the two apart,
# * choose a start from which neither does,
# * say what batch normalisation does, and measure it,
# * say what dropout does, and why it does not help here.
#
# It follows the end of section 2.1.2 of the report, which names the problem and two methods
# without details.

# %%
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
# ## Seeing it
#
# Take a deep perceptron: twenty hidden layers of 64 neurons. One batch of digits forward, one
# backward, and then look at how large $dL/dW$ is in each layer. Guess how many times smaller it is
# in the first layer than in the last.

# %%
DEPTH, WIDTH = 20, 64


def deep(activation, depth=DEPTH, norm=False, dropout=0):
    md.manual_seed(seed)
    layers = [nn.Normalize(0.5, 0.25), nn.Flatten()]
    for _ in range(depth):
        layers += [
            nn.Linear(WIDTH, WIDTH),
            *([nn.BatchNorm2d(WIDTH)] if norm else []),  # of the last axis: here neurons
            activation(),
            *([nn.Dropout(dropout)] if dropout else []),
        ]
    return nn.Sequential(*layers, nn.Linear(WIDTH, 10))


def gradient_sizes(model):
    """The root mean square of dL/dW in each layer, from the first to the last."""
    model.zero_grad()
    F.cross_entropy(model(md.Tensor(train.images[:256])), train.labels[:256]).backward()
    return [
        np.sqrt(np.mean(layer.weight.grad**2)) for layer in model if isinstance(layer, nn.Linear)
    ]


sizes = {"sigmoid": gradient_sizes(deep(nn.Sigmoid)), "tanh": gradient_sizes(deep(nn.Tanh))}
figure, ax = plt.subplots(figsize=(6, 3), layout="constrained")
for (name, size), marker in zip(sizes.items(), "os"):
    ax.semilogy(range(1, DEPTH + 2), size, marker=marker, label=name)
ax.set(xlabel="layer (1: next to the image)", ylabel="size of dL/dW", xticks=range(1, DEPTH + 2, 4))
ax.legend(frameon=False)
plt.show()
print(f"sigmoid, first layer over last: {sizes['sigmoid'][0] / sizes['sigmoid'][-1]:.0e}")

# %% tags=["hide-input"]
assert sizes["sigmoid"][0] / sizes["sigmoid"][-1] < 1e-15
assert sizes["tanh"][0] / sizes["tanh"][-1] < 1e-2

# %% [markdown]
# The axis is logarithmic: with sigmoids the first layer's gradient is more than fifteen
# orders of magnitude below the last one's. Gradient descent will never move it. A **vanishing
# gradient** is one that shrinks from layer to layer on its way back, until nothing is left.
#
# ## Why
#
# The chain rule multiplies. On its way from the loss to layer $i$ the gradient passes each later
# layer, and is multiplied by that layer's weights and by the slope of its activation:
#
# $$\frac{dL}{dz_i} = W_{i+1} \Big(\psi'(s_{i+1}) \odot \frac{dL}{dz_{i+1}}\Big), \qquad
# z_{i+1} = \psi(s_{i+1}), \quad s_{i+1} = W_{i+1}^T z_i + b_{i+1}$$
#
# ($\odot$ multiplies number by number. The report speaks of a gradient shared among many weights;
# the product is the usual explanation.) The slope of the sigmoid is at most 1/4. And the initial
# weights shrink a vector as well: a layer of $n$ inputs starts from random numbers between
# $-1/\sqrt n$ and $1/\sqrt n$, all equally likely, whose mean square is $1/(3n)$. A sum of $n$
# products with them has a mean square of a third, a size of $\sqrt{1/3} = 0.58$, of what comes in.
# Guess the product of the two factors, and measure it. (A layer's output is not a single number, so
# `backward` is told with which gradient to begin: `y.backward(dy)`.)

# %%
x = md.Tensor(train.images[:256])
model = deep(nn.Sigmoid)
values = [x]
for layer in model:
    values.append(md.Tensor(layer(values[-1]).data, requires_grad=True))
factors = []
for layer, before in zip(model, values):
    # One layer at a time: how long is the gradient, after over before?
    if isinstance(layer, nn.Linear | nn.Sigmoid) and before.requires_grad:
        before.grad = None
        y = layer(before)
        dy = np.random.default_rng(0).standard_normal(y.shape).astype(np.float32)
        y.backward(dy)
        factors.append((type(layer).__name__, np.sqrt(np.mean(before.grad**2) / np.mean(dy**2))))
means = {}
for name in ("Sigmoid", "Linear"):
    means[name] = np.exp(np.mean([np.log(f) for kind, f in factors[:-1] if kind == name]))
    print(f"{name}: the gradient is multiplied by {means[name]:.2f}")
both = means["Sigmoid"] * means["Linear"]
print(f"both {both:.3f}, twenty times {both**20:.0e}")

# %% tags=["hide-input"]
assert 0.22 < means["Sigmoid"] < 0.25
assert 0.54 < means["Linear"] < 0.61
assert 1 / 8 < both < 1 / 6.5
ratio = sizes["sigmoid"][0] / sizes["sigmoid"][-1]
assert 0.1 < both**20 / ratio < 10

# %% [markdown]
# A seventh, twenty times over, is what the picture showed.
#
# ## The image vanishes too
#
# Is that why such a network does not learn? Suppose we cure it: rescale the gradient of each layer
# to size 1 before each step. If the vanishing gradient were all that is wrong, this network must
# learn. But look forward first. Send different images through, and see by how much they make the
# neurons of each layer differ (in float64, since float32 has only seven digits). Guess: what is
# left of the differences between the images in the last layer of twelve?


# %%
def spread(model):
    """By how much each neuron after an activation differs from image to image, layer by layer."""
    x, seen = md.Tensor(train.images[:256].astype(np.float64)), []
    for layer in model.astype(np.float64):
        x = layer(x)
        if isinstance(layer, nn.Sigmoid | nn.ReLU):
            seen.append(x.data.std(axis=0).mean())
    return seen


left = spread(deep(nn.Sigmoid, 12))
print("layers 1, 4, 8, 12:", *(f"{left[i - 1]:.0e}" for i in (1, 4, 8, 12)))

# %% [markdown]
# And the cure. Guess the accuracy of twelve layers, and of one:


# %%
def trained_with_gradients_of_size_1(model, lr, epochs=5):
    parameters = list(model.parameters())
    for _ in range(epochs):
        for images, labels in md.data.Loader(*train, batch_size=64, augment=False, seed=seed):
            model.zero_grad()
            F.cross_entropy(model(images), labels).backward()
            for p in parameters:
                p.data = p.data - lr * p.grad / np.sqrt(
                    np.mean(p.grad**2, dtype=np.float64) + 1e-38
                )
                p.data = p.data.astype(np.float32)
    return model.eval()


cured = trained_with_gradients_of_size_1(deep(nn.Sigmoid, 12), lr=0.01)
shallow = trained_with_gradients_of_size_1(deep(nn.Sigmoid, 1), lr=0.01)
cures = {}
for name, model in (("twelve layers", cured), ("one layer", shallow)):
    cures[name] = (model(val.images).data.argmax(axis=1) == val.labels).mean()
    print(f"gradients of size 1, {name}: {cures[name]:.1%} of unseen digits")

# %% tags=["hide-input"]
assert 0.1 < left[0] < 0.2
assert left[3] < 1e-3
assert left[11] < 1e-9
assert 1 / 8 < (left[11] / left[0]) ** (1 / 11) < 1 / 6.5
assert cures["twelve layers"] < 0.3
assert cures["one layer"] > 0.85

# %% [markdown]
# It still reads less than a third, where the same steps teach a network of one hidden layer. To
# the last layers all images look the same, in float32 down to the last digit. The same factor of
# a seventh for each layer, which shrinks the gradient on its way back, shrinks the differences
# between images on their way forward. A start has to see to both.
#
# ## A better start
#
# Two things are in our hands: the activation and the initial weights. Take random weights with mean
# 0 and variance $v$, and follow the mean square of the values through a layer:
#
# * a sum $s = \sum_i w_i z_i$ of $n$ terms has $E[s^2] = n \, v \, E[z^2]$, since the mixed terms
#   have mean 0;
# * $s$ is as often above 0 as below, and ReLU keeps one half: $E[\psi(s)^2] = \tfrac12 E[s^2]$;
# * so a layer multiplies the mean square by $n v / 2$, and backward it is the same;
# * that is 1 for $v = 2 / n$.
#
# **He's start** draws the weights of a layer of $n$ inputs with mean 0 and a standard deviation of
# $\sqrt{2 / n}$ (He et al. 2015). The start between $\pm 1/\sqrt n$ has $v = 1/(3n)$, and each
# layer keeps a sixth. Guess the first layer's gradient over that of layer 20, from He's start:


# %%
def he(model):
    rng = np.random.default_rng(seed)
    for layer in model:
        if isinstance(layer, nn.Linear):
            layer.weight.data[...] = nn.init.he_normal(
                rng, layer.weight.shape, layer.weight.shape[0]
            )
            layer.bias.data[...] = 0
    return model


sizes["ReLU"] = gradient_sizes(deep(nn.ReLU))
sizes["ReLU, He's start"] = gradient_sizes(he(deep(nn.ReLU)))
sizes["sigmoid, batch norm"] = gradient_sizes(deep(nn.Sigmoid, norm=True))
sizes["ReLU, batch norm"] = gradient_sizes(deep(nn.ReLU, norm=True))
figure, ax = plt.subplots(figsize=(7.5, 3.2), layout="constrained")
for (name, size), marker in zip(sizes.items(), "os^Dvx"):
    ax.semilogy(range(1, DEPTH + 2), size, marker=marker, markersize=4, linewidth=1, label=name)
ax.set(xlabel="layer (1: next to the image)", ylabel="size of dL/dW", xticks=range(1, DEPTH + 2, 4))
ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
plt.show()
for name, size in sizes.items():
    print(f"{name:20} layer 1 over layer 20: {size[0] / size[19]:.1e}")

# %% tags=["hide-input"]
first_over_20 = {name: size[0] / size[19] for name, size in sizes.items()}
assert first_over_20["ReLU"] < 1e-5
assert 0.4 < first_over_20["ReLU, He's start"] < 2
assert 1.2 < first_over_20["sigmoid, batch norm"] < 2
assert 20 < first_over_20["ReLU, batch norm"] < 60

# %% [markdown]
# From He's start the gradient is about as large in the first layer as in the last.
#
# ## Batch normalisation
#
# The two lowest lines of the legend start from the same weights as the first and the third. What
# changed is a layer between each linear layer and its activation. **Batch normalisation** gives
# each neuron mean 0 and deviation 1 over the batch, and then a scale $\gamma$ and a shift $\beta$
# that are learned (Ioffe and Szegedy 2015):
#
# $$\hat x = \frac{x - \text{mean}(x)}{\sqrt{\text{var}(x) + \varepsilon}},
# \qquad y = \gamma \hat x + \beta$$
#
# However small a layer makes the differences between images, the next normalisation stretches them
# to 1 again. So forward nothing is lost. What goes into the activations of a deep ReLU network,
# less each neuron's mean over the images, layer by layer, with and without. Guess the deviation in
# layer 20, plain:


# %%
def before_activations(model):
    """What each activation gets, for 256 digits, less the mean of each neuron."""
    model.train()
    x, seen = md.Tensor(train.images[:256]), []
    for layer in model:
        if isinstance(layer, nn.ReLU):
            seen.append(x.data - x.data.mean(axis=0))
        x = layer(x)
    return seen


figure, axes = plt.subplots(2, 4, figsize=(8, 3.2), layout="constrained")
deviations = {}
for row, norm in zip(axes, (False, True)):
    seen = before_activations(deep(nn.ReLU, norm=norm))
    deviations[norm] = [values.std() for values in seen]
    for ax, depth in zip(row, (0, 4, 9, 19)):
        ax.hist(
            seen[depth].ravel(), bins=np.linspace(-3, 3, 61), color="#009E73" if norm else "#D55E00"
        )
        ax.set_title(f"layer {depth + 1}: deviation {deviations[norm][depth]:.1g}", fontsize=9)
        ax.set(yticks=[], xlim=(-3, 3))
axes[0, 0].set_ylabel("plain")
axes[1, 0].set_ylabel("batch norm")
plt.show()

# %% tags=["hide-input"]
assert deviations[False][19] < 1e-4 * deviations[False][0]
assert min(deviations[True]) > 0.8
assert max(deviations[True]) < 1.1

# %% [markdown]
# Backward it is less exact. With sigmoids the gradient of the first layer is about one and a half
# times that of layer 20, which does no harm. With ReLU it is some thirty to forty times as large:
# here it no longer vanishes, it *grows* on its way back.
#
# In evaluation a single image has no batch, so the layer uses running means that it has kept
# while training. That is why a model has two modes: `model.train()` and `model.eval()`.
#
# ## Does it train?
#
# Twelve hidden layers, six epochs, the same optimiser for all. Guess which of the five learn:


# %%
def trained(model, epochs=6, data=train, lr=0.01, seed=seed):
    batches = md.data.Loader(*data, batch_size=64, augment=False, seed=seed)
    optimizer = md.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    check = md.data.Loader(*val, batch_size=360, shuffle=False)
    return md.fit(model, batches, optimizer, epochs, validation=check, progress=False)


contestants = {
    "sigmoid": deep(nn.Sigmoid, 12),
    "ReLU": deep(nn.ReLU, 12),
    "ReLU, He's start": he(deep(nn.ReLU, 12)),
    "sigmoid, batch norm": deep(nn.Sigmoid, 12, norm=True),
    "ReLU, batch norm": deep(nn.ReLU, 12, norm=True),
}
figure, ax = plt.subplots(figsize=(7.5, 3), layout="constrained")
final = {}
for (name, model), marker in zip(contestants.items(), "o^Dvx"):
    curve = trained(model)
    final[name] = curve[-1].val_accuracy
    accuracies = [100 * epoch.val_accuracy for epoch in curve]
    ax.plot(range(1, 7), accuracies, marker=marker, label=f"{name}: {accuracies[-1]:.0f} %")
ax.set(xlabel="epoch", ylabel="accuracy on unseen digits (%)", ylim=(0, 100), xticks=range(1, 7))
ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
plt.show()

# %% tags=["hide-input"]
assert max(final["sigmoid"], final["ReLU"]) < 0.2
assert (
    min(final["ReLU, He's start"], final["sigmoid, batch norm"], final["ReLU, batch norm"]) > 0.85
)

# %% [markdown]
# Both plain networks stay at one in ten: they have learned nothing. Better weights to start from,
# or normalisation, and the same networks read.
#
# ## Dropout
#
# The report names it beside batch normalisation. **Dropout** sets each value to zero with
# probability $p$ while training, and divides the others by $1 - p$, so that the mean stays:

# %%
x = np.ones((12, 30), np.float32)
y = F.dropout(x, p=0.5, rng=np.random.default_rng(seed)).data
figure, ax = plt.subplots(figsize=(5, 2))
picture = ax.imshow(y, cmap="Blues", vmin=0, vmax=2)
ax.set(
    xlabel="neuron",
    ylabel="image",
    xticks=[],
    yticks=[],
    title=f"dropout of ones: mean {y.mean():.2f}",
)
figure.colorbar(picture, ticks=[0, 1, 2], shrink=0.8)
plt.show()

# %% [markdown]
# Values that are doubled with probability 1/2, and 0 otherwise, have twice the mean square. Twenty
# times over, that makes gradients *longer*, as He's start does. Guess by how much:

# %%
longer = gradient_sizes(deep(nn.ReLU, dropout=0.5))[0] / sizes["ReLU"][0]
print(f"layer 1's gradient, with dropout over without: {longer:.0f}")

# %% [markdown]
# But that is not what it is for. **Overfitting** is to learn the examples by heart, and little that
# holds for others. A wide network with only 150 digits to learn from, eight runs with dropout
# and eight without. Guess which reads unseen digits better:


# %%
def wide(p, dropout=nn.Dropout):
    return nn.Sequential(
        nn.Normalize(0.5, 0.25), nn.Flatten(), nn.Linear(64, 256), nn.ReLU(), dropout(p),
        nn.Linear(256, 256), nn.ReLU(), dropout(p), nn.Linear(256, 10),
    )  # fmt: skip


few = (train.images[:150], train.labels[:150])
curves, by_heart = {0: [], 0.5: []}, {0: [], 0.5: []}
for run in range(8 * seed, 8 * seed + 8):
    for p in curves:
        md.manual_seed(run)
        model = wide(p)
        curves[p].append(trained(model, epochs=30, data=few, lr=0.05, seed=run))
        by_heart[p].append((model(few[0]).data.argmax(axis=1) == few[1]).mean())

figure, axes = plt.subplots(1, 2, figsize=(7.5, 2.6), layout="constrained")
for (p, runs), color in zip(curves.items(), ("#D55E00", "#0072B2")):
    for run in runs:
        axes[0].semilogy([max(epoch.loss, 1e-4) for epoch in run], color=color, linewidth=0.8)
        axes[1].plot([100 * epoch.val_accuracy for epoch in run], color=color, linewidth=0.8)
    axes[0].plot([], [], color=color, label=f"dropout {p}")
axes[0].set(xlabel="epoch", ylabel="loss while it trains")
axes[1].set(xlabel="epoch", ylabel="accuracy on unseen digits (%)", ylim=(50, 90))
axes[0].legend(frameon=False)
plt.show()
last = {p: np.array([100 * run[-1].val_accuracy for run in runs]) for p, runs in curves.items()}
for p, each in last.items():
    print(
        f"dropout {p}: {each.mean():.1f} %, between {each.min():.1f} and {each.max():.1f};", end=" "
    )
    print(f"of its own 150 digits {np.mean(by_heart[p]):.1%}")
ahead = (last[0.5] > last[0]).sum()
print(f"from the same start, dropout is ahead in {ahead} of the 8 pairs")

# %% tags=["hide-input"]
assert 300 < longer < 1000
assert np.mean([r[-1].loss for r in curves[0.5]]) > 10 * np.mean([r[-1].loss for r in curves[0]])
assert min(map(min, by_heart.values())) > 0.98
assert abs(last[0.5].mean() - last[0].mean()) < 2.5
assert 1 <= ahead <= 7

# %% [markdown]
# The loss on the left is far higher with dropout. But it is measured *while* numbers are dropped.
# Without that, the network has its 150 digits right, as the other has (all, or all but one): it
# has learned them by heart just as well. And the unseen digits on the right are read about as
# well: the means are less than 2.5 points apart, and now one is ahead, now the other. Dropout's
# gains were measured on larger networks and images (Srivastava et al. 2014). A claim that holds
# elsewhere need not hold on your data, and a few lines tell.
#
# ## A layer of your own
#
# For the exercises: a layer is a class with a `forward`, from a tensor to a tensor. What it keeps
# as an attribute, other layers or an `md.Parameter`, is trained with the rest. `self.training` says
# in which of the two modes it is.


# %%
class Twice(nn.Module):
    """A linear layer, applied twice."""

    def __init__(self):
        self.linear = nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        return self.linear(self.linear(x))


print(len(list(nn.Sequential(Twice(), nn.ReLU()).parameters())), "parameters: weights and bias")

# %% [markdown]
# ## Exercises
#
# **1. A bound.** The **spectral norm** $\lVert W \rVert$ of a matrix (`np.linalg.norm(W, ord=2)`)
# is the most by which it stretches a vector. How large can the factor of one sigmoid layer with
# weights $W$ be at most? Compute the bound for twelve layers of `deep(nn.Sigmoid)`.

# %%
weights = [layer.weight.data for layer in deep(nn.Sigmoid, 12) if isinstance(layer, nn.Linear)][:12]
bound = ...  # your function of a list of weights, one after the other
judge("5.1", bound)


# %% tags=["hide-cell", "solution"]
def bound(weights):
    return np.prod([np.linalg.norm(W, ord=2) / 4 for W in weights])  # the slope is at most 1/4


print(f"at most {bound(weights):.1e}")
assert bound(weights) < 1e-5
assert judge("5.1", bound)

# %% [markdown]
# **2. Shortcuts.** ResNets let each block *add* something to its input, $x + f(x)$, so that one
# factor of the product is the identity. Build sigmoid blocks $x +
# \operatorname{sigmoid}(\text{linear}(x)) - \tfrac12$, twenty of them, and compare the first
# layer's gradient with that of the plain network.

# %%
# your network
first = ...  # the size of its first layer's gradient
judge("5.2", first, sizes["sigmoid"][0])


# %% tags=["hide-cell", "solution"]
class Shortcut(nn.Module):
    def __init__(self):
        self.linear = nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        return x + F.sigmoid(self.linear(x)) - 0.5


md.manual_seed(seed)
residual = nn.Sequential(
    nn.Normalize(0.5, 0.25), nn.Flatten(), *(Shortcut() for _ in range(DEPTH)), nn.Linear(WIDTH, 10)
)
F.cross_entropy(residual(md.Tensor(train.images[:256])), train.labels[:256]).backward()
first = np.sqrt(np.mean(residual[2].linear.weight.grad ** 2))
print(f"with shortcuts {first:.1e}, without {sizes['sigmoid'][0]:.1e}")
assert first > 1e10 * sizes["sigmoid"][0]
assert judge("5.2", first, sizes["sigmoid"][0])

# %% [markdown]
# **3. Find the bug.** Train `wide(0.5, WrongDropout)` and `wide(0.5)` on all digits, by
# `trained(model, epochs=12, lr=0.05)`. Both read about as well; but in evaluation the loss of the
# wrong one is much the higher. Show the reason with one number. And why does the accuracy not
# suffer?


# %%
class WrongDropout(nn.Module):
    def __init__(self, p):
        self.p, self.rng = p, np.random.default_rng(seed)

    def forward(self, x):
        if not self.training:
            return x
        return x * (self.rng.random(x.shape) >= self.p)


while_training, in_evaluation = ..., ...  # the mean of what WrongDropout(0.5) makes of ones
judge("5.3", while_training, in_evaluation)

# %% tags=["hide-cell", "solution"]
x = md.Tensor(np.ones((1000, 100)))
layer = WrongDropout(0.5)
means = [layer.train()(x).data.mean(), layer.eval()(x).data.mean()]
print(f"mean {means[0]:.2f} while training, {means[1]:.2f} in evaluation")
ends = {}
for name, dropout in (("wrong", WrongDropout), ("right", nn.Dropout)):
    md.manual_seed(seed)
    ends[name] = trained(wide(0.5, dropout), epochs=12, lr=0.05)[-1]
    print(f"{name}: accuracy {ends[name].val_accuracy:.1%}, loss {ends[name].val_loss:.3f}")
# The next layer learned to expect half of what it gets in evaluation. So the logits are too large,
# several times, and the network too sure; but the largest stays the largest.
assert abs(means[0] - 0.5) < 0.01
assert means[1] == 1
assert judge("5.3", *means)
assert ends["wrong"].val_loss > 2 * ends["right"].val_loss
assert abs(ends["wrong"].val_accuracy - ends["right"].val_accuracy) < 0.03

# %% [markdown]
# **Next:** [convolutions](06_convolution.ipynb), layers made for images.
