# %% [markdown]
# # 5. Vanishing gradients
#
# After this lesson you can
#
# * see gradients vanish in a deep network, and say why,
# * choose a start from which they do not,
# * say what batch normalisation does, and measure it,
# * say what dropout does, and why it does not help here.
#
# It follows the end of section 2.1.2 of the report, which names the problem and two methods
# without details.

# %%
import matplotlib.pyplot as plt
import numpy as np

import minidl as md
from minidl import functional as F
from minidl import nn

plt.rc("axes.spines", top=False, right=False)
train, val = md.data.digits("train"), md.data.digits("val")

# %% [markdown]
# ## Seeing it
#
# Take a deep perceptron: twenty hidden layers of 64 neurons. One batch of digits forward, one
# backward, and then look at how large $dL/dW$ is in each layer.

# %%
DEPTH, WIDTH = 20, 64


def deep(activation, depth=DEPTH, norm=False):
    md.manual_seed(0)
    layers = [nn.Normalize(0.5, 0.25), nn.Flatten()]
    for _ in range(depth):
        layers += [
            nn.Linear(WIDTH, WIDTH),
            *([nn.BatchNorm2d(WIDTH)] if norm else []),
            activation(),
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

# %% [markdown]
# The axis is logarithmic: with sigmoids the first layer's gradient is more than fifteen
# orders of magnitude below the last one's. Gradient descent will never move it.
#
# ## Why
#
# The chain rule multiplies. On its way from the loss to layer $i$ the gradient passes each later
# layer, and is multiplied by that layer's weights and by the slope of its activation:
#
# $$\frac{dL}{dz_i} = W_{i+1} \Big(\psi'(s_{i+1}) \odot \frac{dL}{dz_{i+1}}\Big), \qquad
# z_{i+1} = \psi(s_{i+1}), \quad s_{i+1} = W_{i+1}^T z_i + b_{i+1}$$
#
# (The report speaks of a gradient shared among many weights; the product is the usual
# explanation.) The slope of the sigmoid is at most 1/4, and our initial weights shrink a vector
# as well. Twenty factors of an eighth leave $10^{-18}$. Measure the factor of each layer:

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
for name in ("Sigmoid", "Linear"):
    mean = np.exp(np.mean([np.log(factor) for kind, factor in factors[:-1] if kind == name]))
    print(f"{name}: the gradient is multiplied by {mean:.2f}")

# %% [markdown]
# ## A better start
#
# Two things are in our hands: the activation and the initial weights. ReLU's slope is 1 wherever
# the neuron is active, and about half are: so weights that double the mean square make up for it.
# That is He's initialisation, a standard deviation of $\sqrt{2 / n}$ for $n$ inputs (He et al.
# 2015).


# %%
def he(model):
    rng = np.random.default_rng(0)
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

# %% [markdown]
# ## Batch normalisation
#
# The two lowest lines of the legend start from the same weights as the first and the third. What
# changed is a layer between each linear layer and its activation, which gives each neuron mean 0
# and deviation 1 over the batch, and then a scale $\gamma$ and shift $\beta$ that are learned
# (Ioffe and Szegedy 2015):
#
# $$\hat x = \frac{x - \text{mean}(x)}{\sqrt{\text{var}(x) + \varepsilon}},
# \qquad y = \gamma \hat x + \beta$$
#
# However small a layer makes its values, the next normalisation makes up for it, forward and
# backward. What goes into the activations of a deep ReLU network, layer by layer, with and
# without:


# %%
def before_activations(model):
    """What each activation gets, for 256 digits."""
    model.train()
    x, seen = md.Tensor(train.images[:256]), []
    for layer in model:
        if isinstance(layer, nn.ReLU):
            seen.append(x.data)
        x = layer(x)
    return seen


figure, axes = plt.subplots(2, 4, figsize=(8, 3.2), layout="constrained")
for row, norm in zip(axes, (False, True)):
    seen = before_activations(deep(nn.ReLU, norm=norm))
    for ax, depth in zip(row, (0, 4, 9, 19)):
        ax.hist(seen[depth].ravel(), bins=60, color="#009E73" if norm else "#D55E00")
        ax.set_title(f"layer {depth + 1}: deviation {seen[depth].std():.1g}", fontsize=9)
        ax.set(yticks=[], xlim=(-3, 3))
axes[0, 0].set_ylabel("plain")
axes[1, 0].set_ylabel("batch norm")
plt.show()

# %% [markdown]
# In evaluation a single image has no batch, so the layer uses running means that it has kept
# while training. That is why a model has two modes: `model.train()` and `model.eval()`.
#
# ## Does it train?
#
# Twelve hidden layers, eight passes over the digits, the same optimiser for all:


# %%
def trained(model, epochs=8, data=train, lr=0.01):
    batches = md.data.Loader(*data, batch_size=64, augment=False, seed=0)
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
    ax.plot(range(1, 9), accuracies, marker=marker, label=f"{name}: {accuracies[-1]:.0f} %")
ax.set(xlabel="epoch", ylabel="accuracy on unseen digits (%)", ylim=(0, 100), xticks=range(1, 9))
ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
plt.show()

# %% [markdown]
# The plain sigmoid network stays at one in ten: it has learned nothing. The same network with
# batch normalisation reads.
#
# ## Dropout
#
# The report names dropout beside batch normalisation. While training, it sets each value to zero
# with probability $p$, and divides the others by $1 - p$, so that the mean stays:

# %%
x = np.ones((12, 30), np.float32)
y = F.dropout(x, p=0.5, rng=np.random.default_rng(0)).data
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
# It does not make gradients longer. What it is for is another problem: **overfitting**, where a
# network learns its few examples by heart. A wide network with only 150 digits to learn from,
# with and without:


# %%
def wide(p):
    return nn.Sequential(
        nn.Normalize(0.5, 0.25), nn.Flatten(), nn.Linear(64, 512), nn.ReLU(), nn.Dropout(p),
        nn.Linear(512, 512), nn.ReLU(), nn.Dropout(p), nn.Linear(512, 10),
    )  # fmt: skip


few = (train.images[:150], train.labels[:150])
curves = {p: [] for p in (0, 0.5)}
for seed in range(6):
    for p in curves:
        md.manual_seed(seed)
        curves[p].append(trained(wide(p), epochs=40, data=few, lr=0.05))

figure, axes = plt.subplots(1, 2, figsize=(7.5, 2.6), layout="constrained")
for (p, runs), color in zip(curves.items(), ("#D55E00", "#0072B2")):
    for run in runs:
        axes[0].semilogy([max(epoch.loss, 1e-4) for epoch in run], color=color, linewidth=0.8)
        axes[1].plot([100 * epoch.val_accuracy for epoch in run], color=color, linewidth=0.8)
    axes[0].plot([], [], color=color, label=f"dropout {p}")
axes[0].set(xlabel="epoch", ylabel="loss on its 150 digits")
axes[1].set(xlabel="epoch", ylabel="accuracy on unseen digits (%)", ylim=(50, 90))
axes[0].legend(frameon=False)
plt.show()
for p, runs in curves.items():
    last = [100 * run[-1].val_accuracy for run in runs]
    print(f"dropout {p}: {np.mean(last):.1f} %, between {min(last):.1f} and {max(last):.1f}")

# %% [markdown]
# Six seeds each. Learning by heart is clearly harder with dropout: the loss on the left falls
# later. But the unseen digits on the right are read no better here: the difference is not larger
# than that between seeds. Dropout's gains were measured on larger networks and images (Srivastava
# et al. 2014). A claim that holds elsewhere need not hold on your data, and a few lines tell.
#
# ## Exercises
#
# **1. A bound.** How large can the factor of one sigmoid layer with weights $W$ be at most? Hint:
# the spectral norm $\lVert W \rVert$ says how much $W$ can stretch a vector. Compute the bound
# for twelve layers of `deep(nn.Sigmoid)`.

# %%
# your bound

# %% tags=["hide-cell", "solution"]
weights = [layer.weight.data for layer in deep(nn.Sigmoid, 12) if isinstance(layer, nn.Linear)][:12]
bound = np.prod([np.linalg.norm(W, ord=2) / 4 for W in weights])  # the slope is at most 1/4
print(f"at most {bound:.1e}")
assert bound < 1e-5

# %% [markdown]
# **2. Shortcuts.** ResNets let each block *add* something to its input, $x + f(x)$, so that one
# factor of the product is the identity. Build sigmoid blocks
# $x + \sigma(\text{linear}(x)) - \tfrac12$, twenty of them, and compare the first layer's
# gradient with that of the plain network.

# %%
# your network


# %% tags=["hide-cell", "solution"]
class Shortcut(nn.Module):
    def __init__(self):
        self.linear = nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        return x + F.sigmoid(self.linear(x)) - 0.5


md.manual_seed(0)
residual = nn.Sequential(
    nn.Normalize(0.5, 0.25), nn.Flatten(), *(Shortcut() for _ in range(DEPTH)), nn.Linear(WIDTH, 10)
)
F.cross_entropy(residual(md.Tensor(train.images[:256])), train.labels[:256]).backward()
first = np.sqrt(np.mean(residual[2].linear.weight.grad ** 2))
print(f"with shortcuts {first:.1e}, without {sizes['sigmoid'][0]:.1e}")
assert first > 1e10 * sizes["sigmoid"][0]

# %% [markdown]
# **3. Find the bug.** Somebody's dropout makes a network that trains well and is poor in
# evaluation. Why? Show it with one number.


# %%
def wrong_dropout(x, p, training, rng):
    if not training:
        return x
    return x * (rng.random(x.shape) >= p)


# your check

# %% tags=["hide-cell", "solution"]
x = np.ones((1000, 100))
while_training = wrong_dropout(x, 0.5, True, np.random.default_rng(0)).mean()
in_evaluation = wrong_dropout(x, 0.5, False, None).mean()
print(f"mean {while_training:.2f} while training, {in_evaluation:.2f} in evaluation")
# The next layer learned to expect half of what it gets in evaluation
assert abs(while_training - 0.5) < 0.01
assert in_evaluation == 1
assert abs(F.dropout(x, 0.5, rng=np.random.default_rng(0)).data.mean() - 1) < 0.02

# %% [markdown]
# **Next:** [convolutions](06_convolution.ipynb), layers made for images.
