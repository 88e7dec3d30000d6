"""Image files of every kind: their colours, or an error that names the file."""

import io
import struct
import zlib

import numpy as np
import pytest

from minidl.data import Loader
from minidl.data.picture import MOST_PIXELS, read_rgb

Image = pytest.importorskip("PIL.Image")
GREY = np.linspace(0, 255, 64).astype(np.uint8).reshape(8, 8)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_are_brought_to_eight(tmp_path, kind):
    path = tmp_path / "a.JPEG"
    Image.fromarray(GREY.astype(np.uint16) * 257).save(path, kind)
    np.testing.assert_array_equal(np.asarray(read_rgb(path)), np.repeat(GREY[..., None], 3, axis=2))


def test_numbers_of_which_nobody_knows_what_is_white(tmp_path):
    for name, pixels in (("float", GREY / np.float32(255)), ("int", GREY.astype(np.int32) * 2**20)):
        path = tmp_path / f"{name}.JPEG"
        Image.fromarray(pixels).save(path, "TIFF")
        with pytest.raises(RuntimeError, match=rf"cannot read the image {path}: its pixels .*save it with 8"):
            read_rgb(path)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "TIFF"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_common_kinds(tmp_path, kind, mode):
    path = tmp_path / "a.JPEG"
    Image.new(mode, (9, 7), "white").save(path, kind)
    assert (np.asarray(read_rgb(path)) == 255).all()


def test_an_eps_reaches_no_other_program(tmp_path):
    path = tmp_path / "a.JPEG"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n%%EOF\n")
    with pytest.raises(RuntimeError, match=rf"cannot read the image {path}: cannot identify"):
        read_rgb(path)


def png_of(width, height):
    """A PNG that claims to be this large, in a few bytes."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [9_460, 50_000])
def test_a_bomb_is_named(tmp_path, side):
    assert side * side > MOST_PIXELS
    path = tmp_path / "a.JPEG"
    path.write_bytes(png_of(side, side))
    with pytest.raises(RuntimeError, match=rf"cannot read the image {path}: "):
        read_rgb(path)


def test_damaged_files_are_named_whatever_the_decoder_says(tmp_path):
    path, rng = tmp_path / "a.JPEG", np.random.default_rng(0)
    for kind in ("PNG", "TIFF", "JPEG", "BMP", "WEBP"):
        file = io.BytesIO()
        Image.fromarray(np.repeat(GREY[..., None], 3, axis=2)).save(file, kind)
        content = bytearray(file.getvalue())
        for _ in range(60):
            damaged = content.copy()
            damaged[rng.integers(len(content))] ^= 1 << rng.integers(8)
            path.write_bytes(damaged[: rng.integers(len(content))] if rng.random() < 0.3 else damaged)
            said = read(path)
            assert said == "RGB" or str(path) in said


def read(path):
    """ "RGB", or what is said."""
    try:
        return read_rgb(path).mode
    except RuntimeError as error:
        return str(error)


# What a loader is given


@pytest.mark.parametrize("shape", [(2, 0, 8, 1), (2, 8, 0, 1), (2, 8, 8, 0), (0, 8, 8, 1)])
def test_images_without_pixels(shape):
    with pytest.raises(ValueError, match=r"no images to load, or they have no pixels"):
        Loader(np.zeros(shape, np.float32), np.zeros(shape[0], int), 1)


@pytest.mark.parametrize("labels", [np.array([0, 2**63], np.uint64), np.array([-1, 0])])
def test_labels_that_no_class_has(labels):
    bad = next(label for label in labels.tolist() if not 0 <= label < 2**63)
    with pytest.raises(ValueError, match=f"label {bad} of image . is out of range"):
        Loader(np.zeros((2, 8, 8, 1), np.float32), labels, 1)
