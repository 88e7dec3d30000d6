"""Imagenette: found, downloaded, decoded once; and nothing half done left behind when something goes wrong.

Most of it runs on a tiny archive of the same layout, served from this machine.
"""

import hashlib
import http.server
import io
import os
import re
import tarfile
import threading
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pooch
import pytest
from PIL import Image

from minidl.data import Imagenette, ImageSet, cache, imagenette
from minidl.data.archive import Archive

COUNTS = {"train": 30, "val": 20}
CLASSES = (
    "tench",
    "English springer",
    "cassette player",
    "chain saw",
    "church",
    "French horn",
    "garbage truck",
    "gas pump",
    "golf ball",
    "parachute",
)


def jpeg(rng, mode="RGB", size=(40, 30)):
    colours = rng.integers(0, 256, (size[1] // 10, size[0] // 10, len(mode)), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(colours.squeeze()).resize(size).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.fixture(scope="session")
def published(tmp_path_factory):
    """A folder with the tiny archive in it, as its publisher would keep it."""
    folder, rng = tmp_path_factory.mktemp("published"), np.random.default_rng(0)
    with tarfile.open(folder / "imagenette2-tiny.tgz", "w:gz") as archive:
        for split, count in COUNTS.items():
            for i in range(count):
                wnid = list(imagenette.CLASSES)[i % 10]
                content = jpeg(rng, mode="L" if i == 0 else "RGB", size=(30, 50) if i == 1 else (40, 30))
                member = tarfile.TarInfo(f"imagenette2-tiny/{split}/{wnid}/{i:03}.JPEG")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return folder


@pytest.fixture
def tiny(published, tmp_path, monkeypatch):
    """The tiny archive, served and known as ``size="tiny"``, with no other source of data in reach."""
    monkeypatch.delenv("MINIDL_DATA", raising=False)
    for variable in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(variable, "127.0.0.1")
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / "user" / name)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=published)) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        md5 = hashlib.md5((published / "imagenette2-tiny.tgz").read_bytes()).hexdigest()
        archive = Archive("imagenette2-tiny", f"http://127.0.0.1:{server.server_port}/", md5, COUNTS)
        monkeypatch.setitem(imagenette.ARCHIVES, "tiny", archive)
        yield archive
        server.shutdown()


@pytest.fixture
def root(tiny, published, tmp_path):
    """A folder with the tiny dataset already unpacked in it."""
    with tarfile.open(published / "imagenette2-tiny.tgz") as archive:
        archive.extractall(tmp_path / "root", filter="data")
    return tmp_path / "root"


def corrupt(monkeypatch, **changes):
    monkeypatch.setitem(imagenette.ARCHIVES, "tiny", replace(imagenette.ARCHIVES["tiny"], **changes))


def contents(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def decodings(monkeypatch):
    """The images decoded so far."""
    seen = []
    square = cache.square
    monkeypatch.setattr(cache, "square", lambda path, **how: seen.append(path) or square(path, **how))
    return seen


# Found on disk


@pytest.mark.parametrize("inside", [False, True])
def test_root(root, inside):
    data = Imagenette(root / "imagenette2-tiny" if inside else str(root), "val", "tiny")
    assert len(data) == 20
    assert data.labels.tolist() == sorted(list(range(10)) * 2)
    assert data.labels.dtype == np.int64
    assert data.classes == CLASSES


def test_environment_variable(root, monkeypatch):
    monkeypatch.setenv("MINIDL_DATA", str(root))
    assert len(Imagenette(size="tiny")) == 30


def test_root_goes_before_the_environment_variable(root, monkeypatch, tmp_path):
    monkeypatch.setenv("MINIDL_DATA", str(tmp_path / "elsewhere"))
    assert len(Imagenette(root, size="tiny")) == 30


def test_a_copy_of_another_size_is_not_taken(root):
    folder = (root / "imagenette2-tiny").rename(root / "imagenette2-320")
    with pytest.raises(FileNotFoundError, match="imagenette2-tiny/"):
        Imagenette(folder, size="tiny")


def test_items_are_rgb_images_with_labels(root):
    data = Imagenette(root, size="tiny")
    image, label = data[0]
    assert (image.mode, image.size, label) == ("RGB", (40, 30), 0)  # stored in grey
    assert data[29][1] == 9


@pytest.mark.parametrize("where", [None, "root", "variable"])
def test_missing(tiny, tmp_path, monkeypatch, where):
    if where == "variable":
        monkeypatch.setenv("MINIDL_DATA", str(tmp_path))
    expected = re.escape(str(tmp_path if where else tmp_path / "user" / "minidl"))
    with pytest.raises(FileNotFoundError, match=rf"{expected}.*download=True.*root=.*MINIDL_DATA"):
        Imagenette(tmp_path if where == "root" else None, size="tiny")


def test_unknown_choices():
    with pytest.raises(ValueError, match="unknown split.*'test': choose one of 'train', 'val'"):
        Imagenette(split="test")
    with pytest.raises(ValueError, match="unknown size.*160: choose one of '160px', '320px', 'full'"):
        Imagenette(size=160)


def test_missing_images(root):
    (root / "imagenette2-tiny/val/n03000684/003.JPEG").unlink()
    assert len(Imagenette(root, "train", "tiny")) == 30
    with pytest.raises(RuntimeError, match="expected 20 images in the val split of .*, found 19"):
        Imagenette(root, "val", "tiny")


# Downloaded


def test_download(tiny, tmp_path):
    data = Imagenette(tmp_path, size="tiny", download=True)
    assert len(data) == 30
    assert contents(tmp_path) == ["imagenette2-tiny", "imagenette2-tiny.tgz"]


def test_download_by_default_goes_to_the_users_cache(tiny, tmp_path):
    assert Imagenette(size="tiny", download=True).folder == tmp_path / "user/minidl/imagenette2-tiny"


def test_download_only_what_is_missing(root, monkeypatch):
    monkeypatch.setattr(pooch, "retrieve", None)
    assert len(Imagenette(root, size="tiny", download=True)) == 30


def test_wrong_checksum(tiny, tmp_path, monkeypatch):
    corrupt(monkeypatch, md5="0" * 32)
    with pytest.raises(RuntimeError, match=f"imagenette2-tiny.tgz: .*{'0' * 32}.*{tiny.md5}.*try again"):
        Imagenette(tmp_path, size="tiny", download=True)
    assert contents(tmp_path) == []


def test_truncated_archive_on_disk_is_replaced(tiny, published, tmp_path):
    whole = (published / "imagenette2-tiny.tgz").read_bytes()
    (tmp_path / "imagenette2-tiny.tgz").write_bytes(whole[:5000])
    assert len(Imagenette(tmp_path, size="tiny", download=True)) == 30


def test_truncated_archive_without_network(tiny, tmp_path, monkeypatch):
    (tmp_path / "imagenette2-tiny.tgz").write_bytes(b"half")
    corrupt(monkeypatch, server="http://127.0.0.1:9/")
    half = hashlib.md5(b"half").hexdigest()
    with pytest.raises(RuntimeError, match=f"Check the network.*tiny.tgz .*{half}, not {tiny.md5}: delete"):
        Imagenette(tmp_path, size="tiny", download=True)
    assert contents(tmp_path) == ["imagenette2-tiny.tgz"]


def test_archive_that_does_not_unpack(tiny, published, tmp_path, monkeypatch):
    half = (published / "imagenette2-tiny.tgz").read_bytes()[:5000]
    (tmp_path / "imagenette2-tiny.tgz").write_bytes(half)
    corrupt(monkeypatch, md5=hashlib.md5(half).hexdigest())
    with pytest.raises(RuntimeError, match="cannot unpack .*imagenette2-tiny.tgz: .*Delete it"):
        Imagenette(tmp_path, size="tiny", download=True)
    assert contents(tmp_path) == ["imagenette2-tiny.tgz"]


def test_archive_with_too_few_images(tiny, tmp_path, monkeypatch):
    corrupt(monkeypatch, counts={"train": 30, "val": 21})
    with pytest.raises(RuntimeError, match="expected 21 images in the val split of .*, found 20"):
        Imagenette(tmp_path, size="tiny", download=True)
    assert contents(tmp_path) == ["imagenette2-tiny.tgz"]


def test_a_class_that_is_missing_while_the_count_is_right(tiny, tmp_path):
    """Its images lie under another class's name."""
    Imagenette(tmp_path, size="tiny", download=True)
    folder = tmp_path / "imagenette2-tiny" / "val"
    for path in (folder / "n03888257").iterdir():
        path.rename(folder / "n01440764" / path.name)
    with pytest.raises(RuntimeError, match=r"no images in .*n03888257 \(parachute\): the copy is incomplete"):
        Imagenette(tmp_path, split="val", size="tiny")


def test_a_size_that_no_disk_holds(tiny, tmp_path):
    val = Imagenette(tmp_path, split="val", size="tiny", download=True)
    with pytest.raises(ValueError, match=r"pixels is 10000000: 20 images of that size are 6e\+06 GB, and the disk"):
        val.at(10_000_000)


def test_something_in_the_way(tiny, tmp_path):
    keep = tmp_path / "imagenette2-tiny/train/mine.txt"
    keep.parent.mkdir(parents=True)
    keep.write_text("precious", encoding="utf-8")
    with pytest.raises(FileExistsError, match="imagenette2-tiny is in the way"):
        Imagenette(tmp_path, size="tiny", download=True)
    assert keep.read_text(encoding="utf-8") == "precious"
    assert contents(tmp_path) == ["imagenette2-tiny", "imagenette2-tiny.tgz"]


def test_python_without_extraction_filters(tiny, tmp_path, monkeypatch):
    monkeypatch.delattr(tarfile, "data_filter")
    with pytest.raises(RuntimeError, match="upgrade to Python 3.11.4"):
        Imagenette(tmp_path / "new", size="tiny", download=True)
    assert not (tmp_path / "new").exists()


# Decoded


def test_squares(root):
    data = Imagenette(root, size="tiny")
    images = data.images(20)
    assert (images.shape, images.dtype) == ((30, 20, 20, 3), np.uint8)
    assert isinstance(images, np.memmap)
    assert not images.flags.writeable
    for i, size, box in [(5, (26, 20), (3, 0, 23, 20)), (3, (20, 33), (0, 6, 20, 26))]:
        square = data[i][0].resize(size, Image.Resampling.BILINEAR).crop(box)
        np.testing.assert_array_equal(images[i], square)
    assert (images[0] == images[0, :, :, :1]).all()  # the grey one


def test_squares_agree_with_torch(root):
    torch = pytest.importorskip("torch")
    data = Imagenette(root, size="tiny")
    wide = torch.tensor(np.array(data[5][0])).permute(2, 0, 1)[None].float()  # (1, 3, 30, 40)
    resized = torch.nn.functional.interpolate(wide, (15, 20), mode="bilinear", antialias=True)
    expected = resized[0, :, :, 2:17].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(data.images(15)[5], expected, atol=1.01)  # Pillow rounds twice


def test_at(root):
    data = Imagenette(root, "val", "tiny")
    whole = data.at(10)
    assert isinstance(whole, ImageSet)
    images, labels = whole
    np.testing.assert_array_equal(images, data.images(10))
    np.testing.assert_array_equal(labels, data.labels)
    assert whole.classes == CLASSES


def test_decoded_once(root, decodings):
    first = Imagenette(root, size="tiny").images(16)
    assert len(decodings) == 30
    again = Imagenette(root, size="tiny").images(np.int64(16))
    assert len(decodings) == 30
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize("change", ["pixels", "split", "pillow", "touched", "filter"])
def test_decoded_again_when_the_pixels_may_differ(root, decodings, monkeypatch, change):
    data = Imagenette(root, size="tiny")
    data.images(16)
    match change:
        case "pixels":
            data.images(17)
        case "split":
            Imagenette(root, "val", "tiny").images(16)
        case "pillow":
            monkeypatch.setattr("PIL.__version__", "0")
            data.images(16)
        case "touched":
            os.utime(data.paths[4], (1, 1))
            data.images(16)
        case "filter":
            monkeypatch.setattr(cache, "FILTER", "another")
            data.images(16)
    assert len(decodings) == (50 if change == "split" else 60)


@pytest.mark.parametrize("damage", [b"", b"half a header", None])
def test_damaged_cache_is_decoded_again(root, decodings, damage):
    data = Imagenette(root, size="tiny")
    expected = np.array(data.images(16))
    (path,) = (root / "imagenette2-tiny/minidl-cache").iterdir()
    path.write_bytes(path.read_bytes()[:-1] if damage is None else damage)
    np.testing.assert_array_equal(data.images(16), expected)
    assert len(decodings) == 60


def test_unreadable_image(root):
    data = Imagenette(root, size="tiny")
    path = data.paths[7]
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(RuntimeError, match=f"cannot read the image {re.escape(str(path))}: .*restore it"):
        data.images(16)
    assert contents(root / "imagenette2-tiny/minidl-cache") == []


def test_interrupted(root, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        Imagenette(root, size="tiny").images(16)
    assert contents(root / "imagenette2-tiny/minidl-cache") == []


def test_read_only_data_is_cached_for_the_user(root, tmp_path, decodings):
    (root / "imagenette2-tiny/minidl-cache").touch()  # a folder cannot be made here, as on a read-only disk
    for _ in range(2):
        images = Imagenette(root, size="tiny").images(16)
        assert Path(images.filename).parent == tmp_path / "user/minidl/decoded"
    assert len(decodings) == 30


@pytest.mark.parametrize("pixels", [0, -1, 1.5, True, "16"])
def test_bad_pixels(root, pixels):
    with pytest.raises(ValueError, match="pixels must be a whole number, at least 1"):
        Imagenette(root, size="tiny").images(pixels)


# The real one


@pytest.mark.imagenette
@pytest.mark.parametrize(("split", "count"), [("train", 9469), ("val", 3925)])
def test_real_images(split, count, decodings):
    data = Imagenette(split=split)
    assert len(data) == len(data.labels) == count
    images, labels = data.at(72)
    assert (images.shape, images.dtype) == ((count, 72, 72, 3), np.uint8)
    assert np.bincount(labels).min() > count / 12
    decodings.clear()
    assert data.images(72).filename == images.filename
    assert decodings == []


@pytest.mark.imagenette
def test_real_greyscale_images():
    grey = 0
    for split in ("train", "val"):
        for path in Imagenette(split=split).paths:
            with Image.open(path) as image:
                grey += image.mode == "L"
    assert grey == 242
