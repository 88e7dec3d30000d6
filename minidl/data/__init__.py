"""Data: Imagenette, the handwritten digits shipped with the package, one's own images, and batches of any.

All datasets give an :class:`ImageSet` (images, labels, names of the classes), and a :class:`Loader` turns
that into shuffled, augmented batches prepared ahead of time::

    train = md.data.digits("train")                     # shipped: no download
    train = md.data.Imagenette(split="train").at(72)    # decoded once to 72x72, then read from a cache
    train = md.data.ImageFolder("photographs", split="train").at(72)  # your own, a folder for each class
    train = md.data.arrays(images, labels, split="train")  # your own NumPy arrays
    for x, y in md.data.Loader(train.images, train.labels, batch_size=128, crop=64, flip=True):
        ...                                             # x (128, 64, 64, 3) float32 in [0, 1], y (128,) int64
"""

from .arrays import arrays
from .digits import digits
from .folder import ImageFolder
from .imagenette import Imagenette
from .imageset import ImageSet
from .loader import Loader

__all__ = ["ImageFolder", "ImageSet", "Imagenette", "Loader", "arrays", "digits"]
