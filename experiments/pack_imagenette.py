"""Imagenette small enough to travel to a card that sees no other disk: squares of 144 pixels, as WebP of quality 80.

    python experiments/pack_imagenette.py --out runs/packed              # from MINIDL_DATA
    tar xzf runs/packed/imagenette2-160-144px-q80.tar.gz -C THERE; export MINIDL_DATA=THERE

The files keep the names under which ``data.Imagenette`` looks for them, .JPEG: what a file is, it tells by its content.
They are squares already, resized and cut as minidl does it, so that a study at 144 pixels reads them as they are.

They are other images than the published ones, if not by much, and results on them belong into a folder of their own.
What it costs in accuracy, at 64 pixels on a CPU, ten minutes each on two cores:

    for d in "$MINIDL_DATA" runs/packed; do MINIDL_DATA=$d python experiments/one_network.py --data imagenette; done
"""

from __future__ import annotations

import argparse
import gzip
import io
import os
import tarfile
from collections.abc import Iterable, Sequence
from functools import partial
from multiprocessing import Pool
from pathlib import Path

from minidl import data
from minidl.data.imagenette import ARCHIVES
from minidl.data.picture import square
from minidl.tools.threads import cores


def packed(path: Path, pixels: int, quality: int) -> bytes:
    """The file of one image, made small."""
    from PIL import Image

    image = Image.frombytes("RGB", (pixels, pixels), square(path, pixels))
    file = io.BytesIO()
    image.save(file, "WEBP", quality=quality, method=6)  # the slowest method makes the smallest files
    return file.getvalue()


def pack(paths: Sequence[Path], folder: Path, out: Path, pixels: int, quality: int, workers: int) -> Path:
    """Write all of them below ``out`` under their names in the dataset's folder, and one archive of these."""
    small = partial(packed, pixels=pixels, quality=quality)
    archive = out / f"{folder.name}-{pixels}px-q{quality}.tar.gz"
    out.mkdir(parents=True, exist_ok=True)
    with Pool(workers) as pool:
        write(archive, folder.parent, paths, pool.imap(small, paths, chunksize=16), out)
    return archive


def write(archive: Path, base: Path, paths: Iterable[Path], files: Iterable[bytes], out: Path) -> None:
    """Each file below ``out``, and all in an archive that has no dates: the same images are the same bytes."""
    with (
        archive.open("wb") as raw,
        gzip.GzipFile("", "wb", compresslevel=6, fileobj=raw, mtime=0) as stream,
        tarfile.open(fileobj=stream, mode="w") as tar,
    ):
        for path, content in zip(paths, files, strict=True):
            name = path.relative_to(base)
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            (out / name).write_bytes(content)
            entry = tarfile.TarInfo(name.as_posix())
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, help="the folder that holds Imagenette; by default MINIDL_DATA")
    parser.add_argument("--size", choices=list(ARCHIVES), default="160px", help="of the published images")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--pixels", type=int, default=144)
    parser.add_argument("--quality", type=int, default=80, help="of WebP, 1 to 100")
    parser.add_argument("--workers", type=int, default=cores(), help="processes (default: all cores)")
    options = parser.parse_args()
    sets = [data.Imagenette(options.root, split, options.size) for split in ("train", "val")]
    folder, out = sets[0].folder, options.out.absolute()
    if out.resolve() == folder.parent.resolve():
        parser.error(f"--out is {out}, where the images themselves are: they would be written over")
    paths = [path for each in sets for path in each.paths]
    archive = pack(paths, folder, out, options.pixels, options.quality, options.workers)
    before = sum(os.path.getsize(path) for path in paths)
    print(f"{len(paths)} images: {before / 1e6:.1f} MB, and {archive.stat().st_size / 1e6:.1f} MB in {archive}")


if __name__ == "__main__":
    main()
