"""Images of one's own: a folder for each class, or arrays. Each trouble is the right thing, or named."""

import os
import tracemalloc
import unicodedata
import warnings

import numpy as np
import pytest

import minidl as md
from minidl.data import ImageFolder, arrays
from minidl.data.picture import MOST_PIXELS

from .test_picture import png_of

Image = pytest.importorskip("PIL.Image")


@pytest.fixture(autouse=True)
def _silent(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def folder(root, counts=(("cat", 10), ("dog", 7)), size=(12, 9), suffix="png"):
    """Images of one grey level each, which tells them apart."""
    rng = np.random.default_rng(0)
    for name, count in counts:
        (root / name).mkdir(parents=True)
        for k in range(count):
            Image.new("RGB", size, (int(rng.integers(256)),) * 3).save(root / name / f"{k:03}.{suffix}")
    return root


def test_a_folder_is_a_dataset(tmp_path, capsys):
    data = ImageFolder(folder(tmp_path / "pets"))
    assert (len(data), data.classes, data.labels.tolist()) == (17, ("cat", "dog"), [0] * 10 + [1] * 7)
    assert "17 images in 2 classes" in repr(data)
    images, labels = data.at(8)
    assert (images.shape, images.dtype) == ((17, 8, 8, 3), np.uint8)
    image, label = data[11]
    assert (image.size, image.mode, label) == ((12, 9), "RGB", 1)
    assert (images[11] == np.asarray(image)[0, 0]).all()
    loader = md.data.Loader(images, labels, batch_size=4, flip=True)
    assert next(iter(loader))[0].shape == (4, 8, 8, 3)


def test_decoded_once_and_anew_when_files_change(tmp_path, monkeypatch):
    root = folder(tmp_path / "pets")
    first = np.array(ImageFolder(root).at(8).images)
    monkeypatch.setattr("minidl.data.cache.square", lambda *_, **__: pytest.fail("decoded again"))
    np.testing.assert_array_equal(ImageFolder(root).at(8).images, first)
    monkeypatch.undo()
    Image.new("RGB", (12, 9), "white").save(root / "cat" / "000.png")
    assert (ImageFolder(root).at(8).images[0] == 255).all()
    assert ImageFolder(root).classes == ("cat", "dog")  # the cache is no class


def test_a_split_is_a_property_of_each_image(tmp_path):
    root = folder(tmp_path / "pets", counts=(("cat", 60), ("dog", 60)))
    train, val = (ImageFolder(root, split) for split in ("train", "val"))
    assert {*train.paths} | {*val.paths} == {*ImageFolder(root).paths}
    assert not {*train.paths} & {*val.paths}
    assert 12 <= len(val) <= 36  # 24, and three deviations of a binomial count
    assert len(ImageFolder(root, "val", held_out=0.5)) > len(val)
    for path in list(root.rglob("*5.png")):
        path.unlink()
    left = {path for path in val.paths if path.exists()}
    assert {*ImageFolder(root, "val").paths} == left
    assert [path.name for path in val.paths[:3]] == ["018.png", "023.png", "026.png"]  # for good, on every machine


def test_names_are_one_on_every_system(tmp_path):
    """macOS writes an accent as a letter of its own: the split and the order are those of the name itself."""
    places = []
    for form in ("NFC", "NFD"):
        root = tmp_path / form
        folder(root, counts=((unicodedata.normalize(form, "été"), 3), ("zoo", 30)))
        places.append(
            [unicodedata.normalize("NFC", str(p.relative_to(root))) for p in ImageFolder(root, "train").paths]
        )
    assert places[0] == places[1]


def test_upright_as_exif_says(tmp_path):
    (tmp_path / "a").mkdir()
    lying = Image.fromarray(np.repeat(np.array([[0, 255]], np.uint8), 8, axis=0).repeat(4, axis=1))  # left dark
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rows are columns
    lying.save(tmp_path / "a" / "1.png", exif=exif)
    upright = ImageFolder(tmp_path).at(8).images[0, :, :, 0]
    assert (upright[:4] == 0).all()
    assert (upright[4:] == 255).all()


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_of_grey(tmp_path, suffix):
    (tmp_path / "a").mkdir()
    Image.fromarray(np.full((8, 8), 128 * 257, np.uint16)).save(tmp_path / "a" / f"1.{suffix}")
    assert (ImageFolder(tmp_path).at(8).images == 128).all()


@pytest.mark.parametrize("suffix", ["jpg", "JPEG", "gif", "bmp", "webp", "ppm", "tga", "ico"])
def test_every_format_that_pillow_reads(tmp_path, suffix):
    folder(tmp_path, counts=(("a", 1),), size=(16, 16), suffix=suffix)
    assert ImageFolder(tmp_path).at(8).images.shape == (1, 8, 8, 3)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_gigantic_file_is_named(tmp_path):
    assert MOST_PIXELS < 20_000**2
    folder(tmp_path, counts=(("a", 1),))
    (tmp_path / "a" / "huge.png").write_bytes(png_of(20_000, 20_000))
    with pytest.raises(RuntimeError, match=r"cannot read the image .*huge.png: .*pixels.* make it smaller"):
        ImageFolder(tmp_path).at(8)


def test_a_damaged_file_is_named(tmp_path):
    folder(tmp_path, counts=(("a", 1),))
    (tmp_path / "a" / "text.jpg").write_text("no image", encoding="utf-8")
    with pytest.raises(RuntimeError, match=r"cannot read the image .*text.jpg: .*take it out of its folder"):
        ImageFolder(tmp_path).at(8)


def test_names_that_are_no_text(tmp_path):
    root = folder(tmp_path / "pets")
    try:
        os.rename(os.fsencode(root / "cat" / "003.png"), os.fsencode(root / "cat") + b"/\xff\xfe.png")
    except (OSError, TypeError) as error:
        pytest.skip(f"this system has no such names: {error}")
    data = ImageFolder(root, "train")
    assert np.asarray(data.at(8).images).shape == (len(data), 8, 8, 3)
    os.rename(os.fsencode(root / "dog"), os.fsencode(root) + b"/\xffdog")
    with pytest.raises(ValueError, match=r"the name of the class b'.*\\xffdog' is no UTF-8"):
        ImageFolder(root)


def test_links(tmp_path):
    root = folder(tmp_path / "pets")
    try:
        (root / "cat" / "linked.png").symlink_to(root / "dog" / "000.png")
    except OSError as error:
        pytest.skip(f"this system makes no links: {error}")
    (root / "wolf").symlink_to(root / "dog")
    data = ImageFolder(root)
    assert (len(data), data.classes) == (25, ("cat", "dog", "wolf"))
    (root / "cat" / "lost.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(FileNotFoundError, match=r"lost.png is a link that leads nowhere"):
        ImageFolder(root)


def test_what_is_hidden_is_left_out(tmp_path):
    root = folder(tmp_path / "pets")
    folder(root / ".hidden", counts=(("x", 1),))
    (root / "cat" / "._000.png").write_bytes(b"what macOS leaves")
    (root / "cat" / ".DS_Store").write_bytes(b"and this")
    (root / "readme.txt").write_text("beside the classes", encoding="utf-8")
    assert len(ImageFolder(root)) == 17


def test_what_is_no_image_is_told(tmp_path):
    root = folder(tmp_path / "pets")
    (root / "cat" / "labels.csv").write_text("a", encoding="utf-8")
    with pytest.warns(
        UserWarning, match=r"1 of the names in .*cat are no images', and left out, such as 'labels.csv'"
    ) as w:
        assert len(ImageFolder(root)) == 17
    assert w[0].filename == __file__


def test_empty_classes_and_folders(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        ImageFolder(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"has no folders: put the images of each class into one"):
        ImageFolder(tmp_path)
    root = folder(tmp_path / "pets")
    (root / "empty").mkdir()
    with pytest.raises(ValueError, match=r"there are no images in .*empty: delete the folder, or put images into it"):
        ImageFolder(root)
    folder(tmp_path / "all" / "train")
    with pytest.raises(ValueError, match=r"no images in .*train; if .*all holds splits, give one of them: ImageFolder"):
        ImageFolder(tmp_path / "all")


def test_a_split_without_a_class(tmp_path):
    root = folder(tmp_path / "pets", counts=(("cat", 30), ("dog", 1)))
    with pytest.warns(UserWarning, match=r"the split 'val' of .* has no images of dog: there are few") as caught:
        ImageFolder(root, "val")
    assert caught[0].filename == __file__
    with pytest.raises(ValueError, match=r"has no images of cat, dog: give held_out="):
        ImageFolder(root, "val", held_out=1e-9)


@pytest.mark.parametrize("bad", [0, 1, "0.2", np.nan])
def test_the_part_that_is_held_out(tmp_path, bad):
    with pytest.raises((TypeError, ValueError), match="ImageFolder: held_out is"):
        ImageFolder(tmp_path, "val", held_out=bad)
    with pytest.raises(ValueError, match="unknown split of ImageFolder, 'test'"):
        ImageFolder(tmp_path, "test")


# Arrays

IMAGES = np.random.default_rng(0).integers(0, 256, (50, 8, 8, 3), dtype=np.uint8)
NAMES = ["dog", "cat", "cat", "emu", "dog"] * 10


def test_arrays_of_bytes_are_looked_at_where_they_are():
    """As real numbers they would be four times as large."""
    images = np.full((500, 32, 32, 3), 9, np.uint8)
    tracemalloc.start()
    arrays(images, np.zeros(500, int))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < images.nbytes


def test_arrays_are_a_dataset():
    data = arrays(IMAGES, NAMES)
    assert (data.classes, data.labels[:5].tolist()) == (("cat", "dog", "emu"), [1, 0, 0, 2, 1])
    assert data.images is IMAGES
    numbered = arrays(IMAGES / np.float32(255), data.labels, classes=("cat", "dog", "emu"))
    assert numbered.classes == data.classes
    assert arrays(IMAGES, data.labels).classes == ("0", "1", "2")
    train, val = (arrays(IMAGES, NAMES, split) for split in ("train", "val"))
    assert [np.bincount(part.labels).tolist() for part in (train, val)] == [[16, 16, 8], [4, 4, 2]]
    together = np.concatenate([train.images, val.images]).reshape(50, -1)
    assert sorted(map(bytes, together)) == sorted(map(bytes, IMAGES.reshape(50, -1)))
    again = arrays(IMAGES, NAMES, "val")
    np.testing.assert_array_equal(again.images, val.images)
    assert (arrays(IMAGES, NAMES, "val", seed=1).images != val.images).any()


@pytest.mark.parametrize(
    ("images", "labels", "settings", "said"),
    [
        (IMAGES.transpose(0, 3, 1, 2), NAMES, {}, r"channels come last here: use images.transpose\(0, 2, 3, 1\)"),
        (IMAGES[..., 0], NAMES, {}, r"grey ones need an axis more, images\[..., None\]"),
        (IMAGES[0, 0], NAMES, {}, r"must have shape \(B, H, W, C\)"),
        (IMAGES.astype(int), NAMES, {}, "must be uint8 in 0..255 or float32"),
        (IMAGES.astype(np.float32), NAMES, {}, "Divide pixels from 0 to 255 by 255"),
        (IMAGES.tolist(), NAMES, {}, "must be an array .*, and are a list"),
        (IMAGES[:0], [], {}, "there are no images"),
        (IMAGES, NAMES[:-1], {}, r"labels have shape \(49,\), the images ask for \(50,\)"),
        (IMAGES, np.ones(50), {}, "labels must be integers"),
        (IMAGES, [5] * 50, {"classes": ("a", "b")}, "label 5 of image 0 is out of range"),
        (IMAGES, NAMES, {"classes": ("a", "b")}, "labels are names already"),
        (IMAGES, NAMES, {"split": "test"}, "unknown split of arrays, 'test'"),
        (IMAGES, NAMES, {"split": "val", "seed": 0.5}, "arrays: seed is 0.5"),
        (IMAGES[:1], ["a"], {"split": "train"}, "the split 'train' of 1 images is empty"),
    ],
)
def test_arrays_that_are_no_dataset(images, labels, settings, said):
    with pytest.raises((TypeError, ValueError), match=said):
        arrays(images, labels, **settings)


def test_dark_arrays_are_told_of():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        arrays(IMAGES / np.float32(255**2), NAMES)
    assert any("divided by 255 twice" in str(w.message) for w in caught)


@pytest.mark.parametrize("classes", ["xy", ("a", "a")])
def test_classes_of_arrays_are_names_that_come_once(classes):
    with pytest.raises(ValueError, match="arrays: classes are .*: give a sequence of names, each of which comes once"):
        arrays(np.zeros((4, 8, 8, 1), np.uint8), [0, 1, 0, 1], classes=classes)
