# %% [markdown]
# # 6. Convolution
#
# After this lesson you can
#
# * compute a convolution by hand, by loops and by the engine,
# * say how large its result is,
# * write kernels that blur, sharpen and find edges in a photograph,
# * count the weights of a convolutional layer.
#
# It follows section 2.2 of the report: figures 4 and 5, and the formula of the output size; and
# equation (12).

# %%
import time

import matplotlib.pyplot as plt
import numpy as np
from answers import judge
from matplotlib.cbook import get_sample_data

from minidl import functional as F
from minidl import kernels
from minidl.kernels import loops

plt.rc("axes.spines", top=False, right=False)
seed = 0  # of all random numbers; what is said below also holds for 1 and 2

# %% [markdown]
# ## An image is numbers
#
# An image has a horizontal size $H$, a vertical size $V$ and a depth $D$ (the report's letters).
# **Channels** are the numbers that an image has at each place: one for grey, and three for red,
# green and blue. Arrays have the rows first: `(height, width, channels)`, which code writes `(H, W,
# C)`, and there `H` is the *height*. Engines add an axis for the batch in front. This photograph of
# Grace Hopper (US Navy, public domain) comes with Matplotlib. Guess the shape of its array:

# %%
with get_sample_data("grace_hopper.jpg") as file:
    photo = plt.imread(file)[20:340:2, 100:420:2].astype(np.float32) / 255
figure, axes = plt.subplots(1, 4, figsize=(8, 2.3), layout="constrained")
axes[0].imshow(photo)
axes[0].set_title(f"{photo.shape}", fontsize=10)
for i, (ax, name) in enumerate(zip(axes[1:], ("red", "green", "blue"))):
    ax.imshow(photo[:, :, i], cmap="gray", vmin=0, vmax=1)
    ax.set_title(f"channel {i}: {name}", fontsize=10)
for ax in axes:
    ax.axis("off")
plt.show()

# %% [markdown]
# ## A kernel slides over it
#
# A **kernel** is a small array of weights that is laid on one part of an image after the other.
# There, multiply each pixel by the weight above it, and add up: one pixel of the result. The
# **stride** is by how many pixels a kernel moves on from one part to the next. A **convolution** is
# a layer of neurons that see one part of the image each, all with the same weights, the kernel. The
# report's figure 4: a 3 x 3 kernel on a 5 x 5 image, with stride 2. Guess the four numbers of the
# result:

# %%
image = np.array(
    [[1, 1, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 1, 1, 1], [0, 0, 1, 1, 0], [0, 1, 1, 0, 0]], float
)
kernel = np.array([[1, 0, 1], [0, 1, 0], [1, 0, 1]], float)


# %% tags=["hide-input"]
def draw(ax, values, title, window=None):
    ax.imshow(np.ones_like(values), cmap="gray", vmin=0, vmax=1)
    for (i, j), value in np.ndenumerate(values):
        ax.text(j, i, "" if np.isnan(value) else f"{value:g}", ha="center", va="center")
        ax.add_patch(plt.Rectangle((j - 0.5, i - 0.5), 1, 1, fill=False, ec="0.6"))
    if window:
        i, j, size = window
        ax.add_patch(
            plt.Rectangle(
                (j - 0.5, i - 0.5), size, size, fc="#FBE3C4", ec="#D55E00", lw=2, alpha=0.6
            )
        )
    ax.set_title(title, fontsize=9)
    ax.axis("off")


figure, axes = plt.subplots(
    2, 5, figsize=(8.5, 3.4), layout="constrained", width_ratios=[3, 5, 5, 5, 5]
)
draw(axes[0, 0], kernel, "kernel")
axes[1, 0].axis("off")
result = np.full((2, 2), np.nan)
for step, (i, j) in enumerate([(0, 0), (0, 1), (1, 0), (1, 1)]):
    top, left = 2 * i, 2 * j
    result[i, j] = (image[top : top + 3, left : left + 3] * kernel).sum()
    draw(axes[0, step + 1], image, f"step {step + 1}", (top, left, 3))
    draw(axes[1, step + 1], result, "result", (i, j, 1))
plt.show()

# %% [markdown]
# As loops, for one channel:


# %%
def convolve(image, kernel, stride):
    k = len(kernel)
    rows, columns = ((size - k) // stride + 1 for size in image.shape)
    result = np.zeros((rows, columns))
    for i in range(rows):
        for j in range(columns):
            window = image[i * stride : i * stride + k, j * stride : j * stride + k]
            result[i, j] = (window * kernel).sum()
    return result


convolve(image, kernel, stride=2)

# %% [markdown]
# minidl's `F.conv2d` takes a batch of images `(B, H, W, C)` and `N` kernels at once, `(N, k, k,
# C)`. It also has the plain sums, as slow as ours, in `minidl/kernels/loops.py`: everything
# faster is tested against them. All three agree:

# %%
x, weight = image[None, :, :, None], kernel[None, :, :, None]
ours = convolve(image, kernel, stride=2)
engine = F.conv2d(x, weight, stride=2).data[0, :, :, 0]
plain_sums = loops.conv2d(x, weight, None, (2, 2), (0, 0))[0, :, :, 0]
np.abs(ours - engine).max(), np.abs(ours - plain_sums).max()

# %% tags=["hide-input"]
assert np.array_equal(ours, engine)
assert np.array_equal(ours, plain_sums)

# %% [markdown]
# ## How large is the result?
#
# The kernel's first place is 0, its last one at most $H - k$, and it moves by $s$:
#
# $$H \leftarrow \Big\lfloor \frac{H - k}{s} \Big\rfloor + 1, \qquad
# V \leftarrow \Big\lfloor \frac{V - k}{s} \Big\rfloor + 1, \qquad D \leftarrow N$$
#
# Guess what a 3 x 3 kernel with stride 2 makes of 12 x 12 pixels. Then try all sizes up to 12,
# kernels up to 5 and strides up to 4:

# %%
tried = 0
for H in range(5, 13):
    for k in range(1, 6):
        for s in range(1, 5):
            shape = F.conv2d(np.zeros((1, H, H + 1, 2)), np.zeros((7, k, k, 2)), stride=s).shape
            assert shape == (1, (H - k) // s + 1, (H + 1 - k) // s + 1, 7)
            tried += 1
print(tried, "cases agree with the formula; of 12 x 12 it makes", (12 - 3) // 2 + 1, "squared")

# %% [markdown]
# **Padding** is a border of zeros around the image, which keeps it from shrinking: with 3 x 3
# kernels, stride 1 and padding 1 the result is as large as the image. With padding $P$, put $H +
# 2P$ for $H$ into the formula, and $V + 2P$ for $V$. `padding=` says how many:

# %%
padded = F.conv2d(x, weight, padding=1).data[0, :, :, 0]  # (5, 5), as the image
by_hand = convolve(np.pad(image, 1), kernel, stride=1)
print(padded.shape, np.abs(padded - by_hand).max())

# %% tags=["hide-input"]
assert np.array_equal(padded, by_hand)

# %% [markdown]
# ## Kernels that see something
#
# On the grey photograph, 3 x 3 kernels made by hand. Guess what each of the four makes of an even
# area:

# %%
grey = photo.mean(axis=2)
handmade = {
    "blur": np.ones((3, 3)) / 9,
    "sharpen": np.array([[0, -1, 0], [-1, 5, -1], [0, -1, 0]]),
    "vertical edges": np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]),
    "horizontal edges": np.array([[-1, -2, -1], [0, 0, 0], [1, 2, 1]]),
}
# (N, k, k, C) = (4, 3, 3, 1)
weight = np.stack(list(handmade.values()))[..., None].astype(np.float32)
seen = F.conv2d(grey[None, :, :, None], weight).data[0]  # (H, W, N)

figure, axes = plt.subplots(2, 4, figsize=(8.5, 3.9), layout="constrained", height_ratios=[1, 3])
for n, (name, (top, bottom)) in enumerate(zip(handmade, axes.T)):
    limit = np.abs(weight[n]).max()
    top.imshow(weight[n, :, :, 0], cmap="RdBu_r", vmin=-limit, vmax=limit)
    signed = "edges" in name
    bottom.imshow(seen[:, :, n], cmap="gray", vmin=-2 if signed else 0, vmax=2 if signed else 1)
    top.set_title(name, fontsize=10)
    top.axis("off")
    bottom.axis("off")
plt.show()

# %% [markdown]
# The first two leave an even area as it is, for their weights sum to 1. An edge kernel answers
# where brightness changes from left to right, or from top to bottom, and gives 0 (grey) where
# nothing changes. A network *learns* its kernels. Lesson 7 shows some.
#
# ## Many kernels make many channels
#
# Each of $N$ kernels makes an image of its own, and these are the channels of the result (figure
# 5). On an image with $C$ channels each kernel has a layer of weights for each of them and sums
# over all. A layer's weights are $N \times k \times k \times C$. Guess the shape of the result:

# %%
rng = np.random.default_rng(seed)
weight = rng.standard_normal((3, 3, 3, 1)).astype(np.float32)
x = rng.random((1, 5, 5, 1), dtype=np.float32)
y = F.conv2d(x, weight).data
figure, axes = plt.subplots(1, 7, figsize=(8.5, 1.6), layout="constrained")
axes[0].imshow(x[0, :, :, 0], cmap="gray")
axes[0].set_title("5 x 5 x 1", fontsize=9)
for n in range(3):
    axes[1 + n].imshow(weight[n, :, :, 0], cmap="RdBu_r", vmin=-2, vmax=2)
    axes[1 + n].set_title(f"kernel {n}", fontsize=9)
    axes[4 + n].imshow(y[0, :, :, n], cmap="gray")
    axes[4 + n].set_title(f"channel {n}", fontsize=9)
for ax in axes:
    ax.axis("off")
plt.show()
print(f"{x.shape[1:]} becomes {y.shape[1:]}")

# %% [markdown]
# With three channels a kernel can see colour. This one adds red and subtracts green and blue, so
# it answers to skin, and not to white:

# %%
red = np.zeros((1, 3, 3, 3), np.float32)
red[0, :, :] = np.array([1, -0.5, -0.5]) / 9
redness = F.conv2d(photo[None], red).data[0, :, :, 0]
figure, axes = plt.subplots(1, 2, figsize=(5, 2.4), layout="constrained")
axes[0].imshow(photo)
axes[1].imshow(redness, cmap="gray")
for ax in axes:
    ax.axis("off")
plt.show()

# %% tags=["hide-input"]
assert abs(F.conv2d(np.ones((1, 3, 3, 3), np.float32), red).data).max() < 1e-6
assert redness[60:80, 70:90].mean() > 0.1  # her face

# %% [markdown]
# ## Why not a layer as before?
#
# A **fully-connected layer** is one whose neurons read all numbers of the image each, as those of
# lesson 2 do. What is gained by reading a window?
#
# **Fewer weights.** From the 160 x 160 photograph to 8 channels of the same size. Guess how many
# times fewer:

# %%
print(f"convolution, 8 kernels of 3 x 3 x 3: {8 * 3 * 3 * 3:,} weights")
print(f"fully connected: {160 * 160 * 3 * 160 * 160 * 8:,} weights")

# %% [markdown]
# **The same everywhere.** Move the image, and the result moves with it, since every place sees
# the same kernel. A pattern that was learned in one corner is known in all of them. Ten pixels to
# the right; guess what changes, away from the border:

# %%
edge = handmade["vertical edges"][None, :, :, None].astype(np.float32)
x = grey[None, :, :, None]
moved = np.roll(x, 10, axis=2)
y, y_moved = F.conv2d(x, edge).data, F.conv2d(moved, edge).data
print(np.abs(np.roll(y, 10, axis=2) - y_moved)[:, :, 12:-12].max(), "away from the border")

# %% tags=["hide-input"]
assert np.abs(np.roll(y, 10, axis=2) - y_moved)[:, :, 12:-12].max() == 0
assert np.abs(y - y_moved)[:, :, 12:-12].max() > 1

# %% [markdown]
# ## Fast and slow
#
# The loops are the clearest form, and useless for training. minidl has the same sums vectorised
# (`portable`), and compiled for the processor's vector units (`cpu`; see [how the kernels
# work](../kernels.md)). A computer does other things beside, so a single time says little: the
# median of five. Guess how many times faster the compiled ones are:

# %%
x = rng.random((1, 16, 16, 8), dtype=np.float32)
weight = rng.standard_normal((8, 3, 3, 8)).astype(np.float32)
results, seconds = {}, {}
for name in kernels.MODULES:
    if name == "gpu":
        continue  # needs a graphics card
    with kernels.using(name):
        results[name] = F.conv2d(x, weight, padding=1).data  # the first call may compile
        times = []
        for _ in range(5):
            start = time.perf_counter()
            F.conv2d(x, weight, padding=1)
            times.append(time.perf_counter() - start)
        seconds[name] = np.median(times)
    error = np.abs(results[name] - results["loops"]).max()
    print(f"{name:9} {1000 * seconds[name]:9.3f} ms, differs from the loops by {error:.0e}")

# %% tags=["hide-input"]
for result in results.values():
    assert np.abs(result - results["loops"]).max() < 1e-4

# %% [markdown]
# ## A convolution, or its mirror image?
#
# Mathematicians define the convolution with a flipped kernel, and the report's equation (12) does
# so too:
#
# $$F^n(x, y) = \sum_c \sum_{x'} \sum_{y'} Z^c(x', y') \, W_n^c(x - x', y - y')$$
#
# As $x'$ grows, $x - x'$ falls: the kernel is read backwards. Neural networks leave the flip out.
# As kernels are learned, it makes no difference: they are learned flipped. To see which of the two
# `convolve` does takes a kernel that differs from its own mirror image, such as that of the
# vertical edges. (That of figure 4 is its own, and could not tell.) Guess with which of the two
# kernels equation (12) is `convolve`:


# %%
def equation_12(image, kernel):
    result = np.zeros((3, 3))
    for x0 in range(3):
        for y0 in range(3):  # over all pixels (i, j) where the kernel is not outside
            result[x0, y0] = sum(
                image[i, j] * kernel[x0 + 2 - i, y0 + 2 - j]
                for i in range(5)
                for j in range(5)
                if 0 <= x0 + 2 - i < 3 and 0 <= y0 + 2 - j < 3
            )
    return result


edge = handmade["vertical edges"]
without_flip = convolve(image, edge, stride=1)
print("the same kernel:   ", np.abs(equation_12(image, edge) - without_flip).max())
print("the flipped kernel:", np.abs(equation_12(image, edge[::-1, ::-1]) - without_flip).max())

# %% tags=["hide-input"]
assert np.abs(equation_12(image, edge) - without_flip).max() > 1
assert np.array_equal(equation_12(image, edge[::-1, ::-1]), without_flip)
assert np.array_equal(kernel, kernel[::-1, ::-1])

# %% [markdown]
# ## Exercises
#
# **1. AlexNet.** The first layer of this network, one of the report's, has 64 kernels of 11 x 11,
# stride 4, and 2 pixels of padding on each side. How large is the result for a colour image of 224
# x 224, and how many weights are there?

# %%
side, weights = ..., ...  # your answer
judge("6.1", side, weights)

# %% tags=["hide-cell", "solution"]
side = (224 + 2 * 2 - 11) // 4 + 1
weight = np.zeros((64, 11, 11, 3), np.float32)
print(side, weight.size)
assert F.conv2d(np.zeros((1, 224, 224, 3), np.float32), weight, stride=4, padding=2).shape == (
    1,
    side,
    side,
    64,
)
assert (side, weight.size) == (55, 23232)
assert judge("6.1", side, weight.size)

# %% [markdown]
# **2. Diagonals.** Write a 3 x 3 kernel that answers strongly to lines from the upper left to the
# lower right, much less to lines the other way, and not at all to even areas. Try it on the two
# pictures.

# %%
falling, rising = np.eye(12), np.eye(12)[::-1]
diagonal = ...  # your kernel
judge("6.2", diagonal)

# %% tags=["hide-cell", "solution"]
diagonal = np.array([[2, -1, -1], [-1, 2, -1], [-1, -1, 2]], float)
assert diagonal.sum() == 0  # an even area gives 0
assert convolve(falling, diagonal, 1).max() == 6
# Where a window has no more of the line than its own corner
assert convolve(rising, diagonal, 1).max() == 2
assert convolve(np.ones((12, 12)), diagonal, 1).max() == 0
assert judge("6.2", diagonal)

# %% [markdown]
# **3. Find the bug.** This vectorised convolution passes when tried on an image of 6 x 6. Check
# it against `convolve` on other sizes, and mend it.


# %%
def quick(image, kernel, stride):
    k = len(kernel)
    windows = np.lib.stride_tricks.sliding_window_view(image, (k, k))[::stride, ::stride]
    rows = (image.shape[0] - k) // stride + 1
    return np.einsum("ijkl,kl->ij", windows[:rows, :rows], kernel)


print(np.abs(quick(np.eye(6), kernel, 2) - convolve(np.eye(6), kernel, 2)).max())
mended = ...  # your function
judge("6.3", mended)


# %% tags=["hide-cell", "solution"]
def mended(image, kernel, stride):
    windows = np.lib.stride_tricks.sliding_window_view(image, kernel.shape)[::stride, ::stride]
    return np.einsum("ijkl,kl->ij", windows, kernel)


wide = rng.random((6, 9))
# It took the height for the width
assert quick(wide, kernel, 1).shape != convolve(wide, kernel, 1).shape
for shape in [(6, 9), (9, 6), (7, 7)]:
    for stride in (1, 2, 3):
        picture = rng.random(shape)
        assert np.allclose(mended(picture, kernel, stride), convolve(picture, kernel, stride))
assert judge("6.3", mended)

# %% [markdown]
# **Next:** [a convolutional network](07_first_cnn.ipynb) that reads digits.
