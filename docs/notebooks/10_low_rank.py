# %% [markdown]
# # 10. Low rank
#
# After this lesson you can
#
# * see that some kernels are an outer product, and convolve with them at two thirds of the work,
# * replace any convolution by a vertical and a horizontal one of rank K,
# * find the best such pair for trained weights, and say what it loses,
# * count when it pays.
#
# It follows section 4.2 of the report, equations (12) to (14).

# %%
import copy

import matplotlib.pyplot as plt
import numpy as np
from answers import judge
from matplotlib.cbook import get_sample_data

import minidl as md
from minidl import functional as F
from minidl import nn

plt.rc("axes.spines", top=False, right=False)
seed = 0  # of all random numbers; what is said below also holds for 1 and 2

# %% [markdown]
# ## Kernels that are a product
#
# The kernel that finds vertical edges smooths from top to bottom, and takes a difference from left
# to right. It is the product of a column and a row. The **rank** of a matrix is how many products
# of a column and a row must be added up to make it. Guess that of this one:

# %%
column, row = np.array([[1.0], [2.0], [1.0]]), np.array([[-1.0, 0.0, 1.0]])
edge = column @ row
print(edge)
print("rank", np.linalg.matrix_rank(edge))

# %% [markdown]
# So the convolution can be done in two steps, first with the column, then with the row, for 3 + 3
# multiplications a pixel in place of 9. The photograph of lesson 6, in both ways. Guess by how much
# they differ:

# %%
with get_sample_data("grace_hopper.jpg") as file:
    grey = plt.imread(file)[20:340:2, 100:420:2].mean(axis=2) / 255
x = grey[None, :, :, None]
whole = F.conv2d(x, edge[None, :, :, None])
vertical = F.conv2d(x, column[None, :, :, None])  # a kernel of 3 x 1
both = F.conv2d(vertical, row[None, :, :, None])  # a kernel of 1 x 3
pictures = {
    "image": x,
    "vertical 3 x 1": vertical.data,
    "then horizontal 1 x 3": both.data,
    "3 x 3 at once": whole.data,
}
figure, axes = plt.subplots(1, 4, figsize=(8.5, 2.4), layout="constrained")
for (name, picture), ax in zip(pictures.items(), axes):
    ax.imshow(picture[0, :, :, 0], cmap="gray")
    ax.set_title(name, fontsize=9)
    ax.axis("off")
plt.show()
print("largest difference", np.abs(whole.data - both.data).max())

# %% tags=["hide-input"]
assert np.abs(whole.data - both.data).max() < 1e-12

# %% [markdown]
# ## A whole layer
#
# A convolution (equation 12) has a kernel $W_n^c$ for each of $N$ outputs and $C$ inputs:
#
# $$F^n = \sum_{c=1}^C W_n^c * Z^c$$
#
# Let them share $K$ columns and $K$ rows (equation 13), and the sums can be taken one after the
# other (equation 14):
#
# $$\tilde W_n^c = \sum_{d=1}^K V_d^c H_n^d, \qquad
# \tilde F^n = \sum_{d=1}^K H_n^d * \Big(\sum_{c=1}^C V_d^c * Z^c\Big)$$
#
# The inner sum is a convolution with kernels of $k \times 1$, to $K$ channels. The outer one is a
# convolution with kernels of $1 \times k$, from $K$ to $N$ channels. A **low-rank convolution** is
# a vertical and a horizontal convolution in place of one, with few channels between:
# `nn.LowRankConv2d`. Guess by how much it differs from the convolution with the kernel of (13):

# %%
C, N, K = 8, 12, 5
pair = nn.LowRankConv2d(C, N, kernel_size=3, rank=K, padding=1, bias=False, norm=False).astype(
    np.float64
)
V, H = pair.vertical.weight.data, pair.horizontal.weight.data  # (K, 3, 1, C) and (N, 1, 3, K)
# Equation (13): the sum over d of column times row
W = np.einsum("dhc,nwd->nhwc", V[:, :, 0], H[:, 0])
Z = np.random.default_rng(seed).standard_normal((1, 10, 10, C))
difference = np.abs(pair(md.Tensor(Z)).data - F.conv2d(Z, W, padding=1).data).max()
print(W.shape, difference)

# %% tags=["hide-input"]
assert difference < 1e-12

# %% [markdown]
# ## When does it pay?
#
# The pair has $k K (C + N)$ weights, the dense layer $k^2 C N$, and each weight is used once a
# pixel: so below
#
# $$K < \frac{k \, C N}{C + N}$$
#
# For a layer with 64 channels in and out and 3 x 3 kernels, guess up to which rank:

# %%
C = N = 64
ranks = np.arange(1, 193)
figure, ax = plt.subplots(figsize=(4.8, 2.6))
ax.plot(ranks, 3 * ranks * (C + N), color="#0072B2", label="pair of rank K")
ax.axhline(9 * C * N, color="#D55E00", linestyle="--", label="dense")
ax.axvline(3 * C * N / (C + N), color="0.7", linewidth=0.8)
ax.set(xlabel="rank K", ylabel="weights", ylim=(0, None))
ax.legend(frameon=False)
plt.show()
print("it pays below rank", 3 * C * N / (C + N))

# %% [markdown]
# (The report compares the rank's bounds, $N K$ with $N k^2 C$. Written as a matrix of $C k$ rows
# and $k N$ columns, as below, the kernel has rank $K$ under (13), and at most $\min(C k, N k)$
# otherwise.)
#
# ## The singular value decomposition
#
# A matrix of rank 1 is a column times a row. Any matrix is a *sum* of such, and there is a sum that
# is the best at being cut short:
#
# $$M = s_1 u_1 v_1^T + s_2 u_2 v_2^T + \dots, \qquad s_1 \ge s_2 \ge \dots \ge 0$$
#
# The columns $u_i$ have length 1 and stand at right angles to each other, and so do the rows
# $v_i^T$. The **singular value decomposition** writes a matrix as the sum of columns times rows
# that is the best at being cut short. The **singular values** $s_i$ of a matrix say how much each
# term of this sum weighs. Because of the right angles nothing is counted twice: the sum of the
# squares of all entries of $M$ is $s_1^2 + s_2^2 + \dots$. Keep the first $K$ terms. What is lost
# is the sum of the squares of the others, and no matrix of rank $K$ loses less (Eckart and Young
# 1936). A photograph is a matrix too. Guess at which rank you will know her: 1, 2, 4 or 16?

# %%
U, S, Vt = np.linalg.svd(grey, full_matrices=False)  # columns u, values s, rows v
figure, axes = plt.subplots(1, 5, figsize=(9, 2.2), layout="constrained")
for ax, K in zip(axes, (1, 2, 4, 16, 160)):
    best = (U[:, :K] * S[:K]) @ Vt[:K]
    measured = ((best - grey) ** 2).sum() / (grey**2).sum()
    ax.imshow(best, cmap="gray", vmin=0, vmax=1)
    ax.set_title(f"rank {K}: {measured:.1%} lost", fontsize=9)
    ax.axis("off")
plt.show()

# %% tags=["hide-input"]
for K in (1, 2, 4, 16):
    measured = (((U[:, :K] * S[:K]) @ Vt[:K] - grey) ** 2).sum() / (grey**2).sum()
    assert np.isclose(measured, (S[K:] ** 2).sum() / (S**2).sum())

# %% [markdown]
# ## The best pair for given weights
#
# Write the kernel as a matrix with a row for each $(c, h)$ and a column for each $(w, n)$. Then
# (13) says that this matrix is $V H$, of rank $K$; and the best is its singular value
# decomposition, cut after $K$ values. `factorize` does that.
#
# First a network that has learned something (guess its accuracy): three convolutions, on digits
# enlarged to 16 x 16. Before its last layer `nn.AdaptiveAvgPool2d(1)` takes the mean of each
# channel over the whole image.


# %%
def enlarged(split):
    images, labels = md.data.digits(split)
    return images.repeat(2, axis=1).repeat(2, axis=2), labels


train, val = enlarged("train"), enlarged("val")
batches = md.data.Loader(*train, batch_size=64, pad=1, seed=seed)


def cnn():
    md.manual_seed(seed)
    conv = {"kernel_size": 5, "padding": 2}
    return nn.Sequential(
        nn.Normalize(0.5, 0.25),
        nn.Conv2d(1, 16, **conv), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, **conv), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 32, **conv), nn.BatchNorm2d(32), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10),
    )  # fmt: skip


def trained(model, epochs=8):
    optimizer = md.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    schedule = md.optim.one_cycle(lr=0.1, steps=epochs * len(batches))
    md.fit(model, batches, optimizer, epochs, schedule=schedule, progress=False)
    return model


def accuracy(model):
    return md.evaluate(
        model, md.data.Loader(*val, batch_size=120, shuffle=False), progress=False
    ).accuracy


dense = trained(cnn())
print(f"accuracy {accuracy(dense):.1%}")
print(md.compress.largest_ranks(dense))

# %% [markdown]
# The singular values of its three kernels, beside those of random kernels of the same size. Guess:
# of how low a rank is a learned kernel, if nine tenths of the sum of its squares are enough?

# %%
needed = {}
figure, axes = plt.subplots(1, 3, figsize=(8.5, 2.4), layout="constrained")
for ax, i in zip(axes, (1, 5, 9)):
    for model, label, style in ((dense, "learned", "o-"), (cnn(), "random", "--")):
        n, kh, kw, c = model[i].weight.shape
        matrix = model[i].weight.data.transpose(3, 1, 2, 0).reshape(c * kh, kw * n)
        values = np.linalg.svd(matrix, compute_uv=False)
        kept = np.cumsum(values**2) / np.sum(values**2)
        needed[i, label] = 1 + np.argmax(kept > 0.9), len(values)
        ax.plot(range(1, len(values) + 1), values / values[0], style, markersize=2, label=label)
    ax.set_title(f"{n} kernels of {kh} x {kw} x {c}", fontsize=9)
    ax.set(xlabel="number", ylim=(0, 1.05))
axes[0].set_ylabel("singular value")
axes[2].legend(frameon=False)
plt.show()
for (i, label), (rank, of) in needed.items():
    print(f"layer {i}, {label:7}: nine tenths of the squares at rank {rank} of {of}")

# %% tags=["hide-input"]
assert needed[1, "learned"][0] >= 3
for i in (5, 9):
    (rank, of), (at_random, _) = needed[i, "learned"], needed[i, "random"]
    assert 0.25 * of < rank < 0.65 * of
    assert rank < at_random - 3

# %% [markdown]
# Learned kernels have some large values, and need fewer terms than random ones. But they are by no
# means of low rank: in the two larger layers nine tenths of the squares take between a quarter and
# two thirds of all terms; in the first, which has five, most of these.
#
# Some kernels of the second layer, and the best of rank $K$ in their place:

# %%
weight = dense[5].weight.data
figure, axes = plt.subplots(5, 10, figsize=(7, 3.6), layout="constrained")
limit = np.abs(weight[:10, :, :, 0]).max()
for line, K in zip(axes, (2, 8, 24, 48, None)):
    if K is None:
        kernels = weight
    else:
        V, H = md.compress.factorize(weight, K)
        kernels = np.einsum("dhc,nwd->nhwc", V[:, :, 0], H[:, 0])
    for ax, kernel in zip(line, kernels):
        ax.imshow(kernel[:, :, 0], cmap="RdBu_r", vmin=-limit, vmax=limit)
        ax.set(xticks=[], yticks=[])
    line[0].set_ylabel(f"K = {K}" if K else "dense", rotation=0, ha="right", va="center")
plt.show()

# %% [markdown]
# ## Cut, or trained
#
# Now replace all three convolutions, at smaller and smaller ranks. `low_rank(..., init="svd")`
# takes the best pair for the trained weights. `init="scratch"`, the report's way, starts from
# random pairs, with batch normalisation between the two halves, and trains them. That differs in
# two things, in the start and in the training. So there is a third: the best pair, trained for as
# many epochs. Guess which of the two things matters.

# %%
work = md.compress.cost(dense, (16, 16, 1)).multiply_adds
results, pairs = {}, {}
for ranks in [(2, 4, 4), (3, 8, 8), (4, 16, 16)]:
    cut = md.compress.low_rank(copy.deepcopy(dense), ranks, init="svd")
    part = md.compress.cost(cut, (16, 16, 1)).multiply_adds / work
    before = accuracy(cut)
    pairs[ranks] = trained(md.compress.low_rank(cnn(), ranks))
    results[ranks] = part, before, accuracy(trained(cut)), accuracy(pairs[ranks])
    print(
        "{}: {:.0%} of the multiplications, cut {:.1%}, cut and trained {:.1%}, "
        "random and trained {:.1%}".format(ranks, *results[ranks])
    )

figure, ax = plt.subplots(figsize=(5, 2.8))
parts, cuts, both, trainings = 100 * np.array(list(results.values())).T
ax.plot(parts, trainings, "s-", color="#0072B2", label="random pairs, trained")
ax.plot(parts, both, "^:", color="#009E73", label="best pairs, trained")
ax.plot(parts, cuts, "o--", color="#D55E00", label="best pairs, not trained")
ax.axhline(100 * accuracy(dense), color="0.5", linewidth=1, label="dense")
ax.set(xlabel="multiplications (% of dense)", ylabel="accuracy (%)", ylim=(0, 102))
ax.legend(frameon=False, loc="lower right")
plt.show()

# %% tags=["hide-input"]
assert (np.minimum(trainings, both) - cuts)[:2].min() > 28
assert abs(both - trainings).max() < 8
assert trainings[2] > 100 * accuracy(dense) - 2
assert parts[2] < 35

# %% [markdown]
# It is the training. At small ranks it adds more than 25 points to the best pair. Where it
# starts from, the best pair or a random one, makes a few points (and the best pair has the
# training of the dense network behind it, too). Networks of a third of the work read nearly as
# well as the dense one. (The report finds the same for ResNet18, and that AlexNet loses accuracy:
# its claims C6 and C7.)
#
# ## Is it more robust?
#
# Accuracy under FGSM, dense (that is, with all its weights) and of low rank. Guess which line is
# the higher one:

# %%
epsilons = np.arange(0, 49, 4) / 255
models = {"dense": dense, "ranks 3, 8, 8": pairs[3, 8, 8]}
md.plot.accuracy(
    {name: md.robustness.accuracy_curve(model, *val, epsilons) for name, model in models.items()}
)

# %% [markdown]
# Image by image, as in lesson 9:

# %%
stands = {}
for name, model in models.items():
    attacked = md.robustness.fgsm(model, *val, [16 / 255]).adversarial[0]
    stands[name] = model(attacked).data.argmax(axis=1) == val[1]
test = md.robustness.mcnemar(*stands.values())
print("at 16/255", *(f"{name} {each.mean():.1%}," for name, each in stands.items()), end=" ")
print(f"only the dense one stands {test.only_a} times, only the other {test.only_b},", end=" ")
print(f"p = {test.p_value:.0e}")

# %% tags=["hide-input"]
assert stands["dense"].mean() > stands["ranks 3, 8, 8"].mean() + 0.05
assert test.p_value < 0.001

# %% [markdown]
# The network of low rank is *less* robust. It is one training each, and the same on three seeds;
# the report concludes that low rank does not make its networks more robust, and ours agree.
#
# ## Exercises
#
# **1. Which are separable?** Which of these kernels are of rank 1? Find their column and row with
# the singular value decomposition.

# %%
candidates = {
    "mean": np.ones((3, 3)) / 9,
    "sharpen": np.array([[0, -1, 0], [-1, 5, -1], [0, -1, 0]], float),
    "bell": np.exp(-((np.arange(5)[:, None] - 2) ** 2 + (np.arange(5) - 2) ** 2) / 2),
    "diagonal": np.eye(3),
}
separable = ...  # a list of their names
judge("10.1", separable)

# %% tags=["hide-cell", "solution"]
separable = []
for name, kernel in candidates.items():
    U, S, Vt = np.linalg.svd(kernel)
    print(f"{name:9} singular values {S.round(3)}")
    if S[1] < 1e-12:
        separable.append(name)
        assert np.allclose(np.outer(U[:, 0] * S[0], Vt[0]), kernel)
assert separable == ["mean", "bell"]
assert judge("10.1", separable)

# %% [markdown]
# **2. What the cut loses.** The distance of the best kernel of rank $K$ from the dense one is the
# root of the sum of the squares of the singular values left out. Check it for `dense[5]` and K =
# 8.

# %%
V, H = md.compress.factorize(weight, 8)
best = np.einsum("dhc,nwd->nhwc", V[:, :, 0], H[:, 0])
n, kh, kw, c = weight.shape
distance, by_values = ..., ...  # from `best` itself, and from the singular values
judge("10.2", distance, by_values)

# %% tags=["hide-cell", "solution"]
S = np.linalg.svd(weight.transpose(3, 1, 2, 0).reshape(c * kh, kw * n), compute_uv=False)
assert np.isclose(np.linalg.norm(best - weight), np.sqrt((S[8:] ** 2).sum()), rtol=1e-4)
assert judge("10.2", np.linalg.norm(best - weight), np.sqrt((S[8:] ** 2).sum()))

# %% [markdown]
# **3. Find the bug.** Somebody factorises a kernel by reshaping it at once, without bringing the
# axes into order. It runs, and for full rank it even looks right. What goes wrong at K = 8? Compare
# its rank as equation (13) counts it with that of `best`.


# %%
def wrong_factorize(weight, K):
    n, kh, kw, c = weight.shape
    U, S, Vt = np.linalg.svd(weight.reshape(n * kh, kw * c), full_matrices=False)
    return (U[:, :K] * S[:K]) @ Vt[:K]  # (n kh, kw c), of rank K


full = wrong_factorize(weight, 10_000).reshape(weight.shape)
print("full rank:", np.abs(full - weight).max())
rank_of_best, rank_of_wrong = ..., ...
judge("10.3", rank_of_best, rank_of_wrong)

# %% tags=["hide-cell", "solution"]
# Its rows are (n, h) and its columns (w, c): a vertical filter for each *output*, a horizontal one
# for each *input*.
# That is the pair in the wrong order: the first convolution would have to be the horizontal one.
wrong = wrong_factorize(weight, 8).reshape(weight.shape)
rows_c_h = wrong.transpose(3, 1, 2, 0).reshape(c * kh, kw * n)  # as equation (13) needs it
rank = np.linalg.matrix_rank(rows_c_h)
right = np.linalg.matrix_rank(best.transpose(3, 1, 2, 0).reshape(c * kh, kw * n))
print(f"rank in equation (13)'s order: {rank}, and of the right one {right}")
assert rank > right == 8
assert judge("10.3", right, rank)

# %% [markdown]
# **Next:** [temperature](11_temperature.ipynb), and how a network can look robust without being
# so.
