"""Data: Imagenette, the handwritten digits shipped with the package, and batches of either.

Both datasets give an :class:`ImageSet` (images, labels, names of the classes), and a :class:`Loader` turns
that into shuffled, augmented batches prepared ahead of time::

    train = md.data.digits("train")                     # shipped: no download
    train = md.data.Imagenette(split="train").at(72)    # decoded once to 72x72, then read from a cache
    for x, y in md.data.Loader(train.images, train.labels, batch_size=128, crop=64, flip=True):
        ...                                             # x (128, 64, 64, 3) float32 in [0, 1], y (128,) int64
"""

from .digits import digits
from .imagenette import Imagenette
from .imageset import ImageSet
from .loader import Loader

__all__ = ["ImageSet", "Imagenette", "Loader", "digits"]
