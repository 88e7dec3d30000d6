"""The shipped digits: complete, in range, and split the same way every time."""

import dataclasses

import numpy as np
import pytest

from minidl.data import ImageSet, digits


def test_all_of_them():
    images, labels = digits()
    assert images.shape == (1797, 8, 8, 1)
    assert images.dtype == np.float32
    assert (images.min(), images.max()) == (0, 1)
    assert labels.shape == (1797,)
    assert labels.dtype == np.int64
    assert np.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_same_as_scikit_learn():
    reference = pytest.importorskip("sklearn.datasets").load_digits()
    whole = digits()
    np.testing.assert_array_equal(whole.images[..., 0] * 16, reference.images)
    np.testing.assert_array_equal(whole.labels, reference.target)


def test_attributes():
    whole = digits()
    assert isinstance(whole, ImageSet)
    assert whole.classes == tuple("0123456789")
    assert len(whole) == 1797
    assert repr(whole) == "ImageSet((1797, 8, 8, 1) float32, 10 classes)"


def test_images_are_the_callers_own():
    digits().images[:] = 0
    assert digits().images.max() == 1


def _rows(images):
    return {image.tobytes() for image in images}


@pytest.mark.parametrize("seed", [0, 1, 7])
def test_split_is_stratified_and_a_partition(seed):
    train, val = digits("train", seed), digits("val", seed)
    assert (len(train), len(val)) == (1437, 360)
    everything = digits()
    assert _rows(train.images) | _rows(val.images) == _rows(everything.images)
    share = np.bincount(val.labels) / np.bincount(everything.labels)
    np.testing.assert_allclose(share, 0.2, atol=0.006)  # within one image of a fifth of every class


def test_split_depends_on_the_seed_alone():
    np.testing.assert_array_equal(digits("val", 3).images, digits("val", 3).images)
    assert not np.array_equal(digits("val", 3).labels, digits("val", 4).labels)


def test_unknown_split():
    with pytest.raises(ValueError, match="'test'.*None.*'train'.*'val'"):
        digits("test")


def test_image_set_refuses_a_mismatch():
    whole = digits()
    with pytest.raises(ValueError, match="1797 images and 3 labels"):
        dataclasses.replace(whole, labels=whole.labels[:3])
