"""A small study that is finished, and a thousand ways to damage one file of it.

python -m tests.adversity.damage COUNT [SEED]      so many damages; prints how they ended, and each that ended wrong
"""

import io
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

from minidl.records import write_file
from minidl.records.seal import checksum
from minidl.report import figures, page

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
SETTINGS = (
    "--figures 11 --sparsities 0 0.9 --epsilons 0 8 32 --fc5.epochs 1 --prune-steps 2 --attack-part 0.2 "
    "--pixels 8 --crop 8 --batch-sizes 256 256 --patience 0 --attacks fgsm pgd --pgd.steps 3"
).split()
TABLES = ("results.csv", "claims.csv", "pairs.csv", "figures/figure-11.svg", "figures/figure-11-pgd.svg")
NOT_RESULTS = ("lock", "owner.json")


def command(out, *more):
    """Give the study's command, in this process; what it exits with, None if all is well."""
    sys.path.insert(0, str(EXPERIMENTS))
    arguments, handlers = sys.argv, {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        from common import main
        from study import FIGURES

        sys.argv = ["study.py"]
        main(FIGURES, "", [*SETTINGS, *more, "--out", str(out)])
    except SystemExit as ended:
        return ended.code
    finally:
        sys.argv = arguments
        for each, handler in handlers.items():
            signal.signal(each, handler)
        sys.path.remove(str(EXPERIMENTS))


def draw_each_picture_once():
    """The same lines give the same picture: drawing it takes longer than all the rest of a study that is finished."""
    files = {}

    def side_by_side(panels, title, note="", draw=figures._side_by_side):
        return repr((panels, title, note)), lambda: draw(panels, title, note)

    def write(drawing, path, write=figures._write):
        if not isinstance(drawing, tuple):  # a matrix of transfer
            return write(drawing, path)
        what, draw = drawing
        if what not in files:
            files[what] = [file.read_bytes() for file in write(draw(), path)]
        names = [path.parent / f"{path.name}.{ending}" for ending in ("svg", "png")]
        for name, content in zip(names, files[what], strict=True):
            write_file(name, content)
        return names

    figures._side_by_side, figures._write = side_by_side, write
    for name in ("panel_svg", "sample_svg"):
        setattr(page, name, remembered(getattr(page, name)))


def remembered(function):
    known = {}

    def answer(argument):
        if repr(argument) not in known:
            known[repr(argument)] = function(argument)
        return known[repr(argument)]

    return answer


draw_each_picture_once()


class Study:
    """A finished study, which is put back after each damage."""

    def __init__(self, out):
        self.out = out
        assert command(out) is None
        results = [path for path in sorted(out.rglob("*")) if self.is_result(path)]
        self.files = {path.relative_to(out).as_posix(): path.read_bytes() for path in results}
        self.tables = self.read_tables()
        self.runs = sorted({Path(name).parts[1] for name in self.files if name.startswith("runs/")})

    def is_result(self, path):
        return path.is_file() and path.name not in NOT_RESULTS and not path.name.startswith("events.")

    def read_tables(self):
        return {name: (self.out / name).read_bytes() for name in TABLES if (self.out / name).is_file()}

    def restore(self):
        for path in [p for p in self.out.rglob("*") if self.is_result(p)]:
            if path.relative_to(self.out).as_posix() not in self.files:
                path.unlink()
        for name, content in self.files.items():
            path = self.out / name
            if not path.is_file() or path.read_bytes() != content:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)

    def suffer(self, name, damage, rng):
        """Damage a file, and give the command: "same", or "named" where the file is named and deleting it helps."""
        path = self.out / name
        damage(path, self, rng)
        said = command(self.out)
        ended = "same"
        if said is not None:
            assert path.name in str(said), f"the message does not name {path.name}: {said}"
            assert "Traceback" not in str(said)
            path.unlink()
            ended = "named"
            said = command(self.out)
        assert said is None, f"the advice did not help: {said}"
        assert [n for n in TABLES if self.read_tables().get(n) != self.tables[n]] == [], "other tables"
        return ended


# Any file


def delete(path, study, rng):
    path.unlink()


def empty(path, study, rng):
    path.write_bytes(b"")


def cut(path, study, rng):
    content = path.read_bytes()
    path.write_bytes(content[: rng.randrange(len(content))])


def flip(path, study, rng):
    content = bytearray(path.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def overwrite(path, study, rng):
    """A stretch of zeros, or of noise, as a disk leaves it."""
    content = bytearray(path.read_bytes())
    start, size = rng.randrange(len(content)), rng.randrange(1, 4096)
    part = content[start : start + size]
    content[start : start + size] = bytes(len(part)) if rng.random() < 0.5 else rng.randbytes(len(part))
    path.write_bytes(content)


def swap(path, study, rng):
    """The same file of another run, or another attack's."""
    others = [n for n in study.files if n.rpartition(".")[2] == path.suffix[1:] and study.out / n != path]
    path.write_bytes(study.files[rng.choice(others)] if others else b"\0")


def move_time(path, study, rng):
    when = rng.choice([0, 1, time.time() - 1e6, time.time() + 1e6, 4e9])
    os.utime(path, (when, when))


ANY = [delete, empty, cut, flip, flip, flip, overwrite, swap, swap, move_time]

# JSON: a field at a time, the checksum left as it was or made to fit


def places(value, at=()):
    """Each place in a nested JSON value, the containers too."""
    if at:
        yield at
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield from places(one, (*at, key))


def change_field(path, study, rng):
    record = json.loads(path.read_bytes())
    at = rng.choice([place for place in places(record) if place[0] != "checksum"])
    holder = record
    for key in at[:-1]:
        holder = holder[key]
    if rng.random() < 0.2:
        del holder[at[-1]]
    else:
        holder[at[-1]] = rng.choice(STRANGE)
    if rng.random() < 0.7:
        record["checksum"] = checksum(record)
    path.write_text(json.dumps(record))


def deep():
    value = 0
    for _ in range(200):
        value = [value]
    return value


STRANGE = [None, True, "", "x" * 1000, "../../x", [], {}, [[]], {"a": {}}, -1, 0.5, 10**30, -(10**400 // 10**100)]
STRANGE += [1e308, float("nan"), float("inf"), deep(), "\0", "1", [1, 2], {"format": 1}]


def nest(path, study, rng):
    path.write_text("[" * 10**5)


JSON = [change_field] * 12 + [nest]

# An attack's file: an array at a time, in an archive that is whole


def change_array(path, study, rng):
    with np.load(path) as file:
        arrays = dict(file)
    name = rng.choice(sorted(arrays))
    array = arrays[name]
    kind = rng.randrange(6)
    if kind == 0:
        del arrays[name]
    elif kind == 1:
        arrays[name] = array.astype(str) if array.dtype.kind != "U" else np.array(7)
    elif kind == 2:
        arrays[name] = np.array([array])
    elif kind == 3:
        arrays[name] = array[:-1] if array.ndim else np.array("x" * 5000)
    elif kind == 4:
        arrays[name] = np.full(array.shape, np.nan)
    else:
        arrays[name] = np.full(array.shape, -1) if array.dtype.kind in "iu" else np.array({"a": 1}, object)
    np.savez(path, **arrays)


def claim_much(path, study, rng):
    """A header that claims a million million elements."""
    import zipfile

    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as old, zipfile.ZipFile(out, "w") as new:
        for member in old.namelist():
            content = old.read(member)
            if member == "labels.npy":
                end = content.index(b"\n")
                header = "{'descr': '<i8', 'fortran_order': False, 'shape': (1000000000000,), }"
                content = content[:10] + header.ljust(end - 10).encode() + content[end:]
            new.writestr(member, content)
    path.write_bytes(out.getvalue())


ARRAYS = [change_array] * 6 + [claim_much]

# Weights, which matter only where an attack is missing


def lose_attack_too(path, study, rng):
    rng.choice([delete, empty, cut, flip])(path, study, rng)
    next(iter(sorted((path.parent / "attacks").glob("*.npz")))).unlink()


def lose_part_of_run(path, study, rng):
    """Several of a run's files at once."""
    for other in rng.sample(sorted(p for p in path.parent.rglob("*") if study.is_result(p)), 2):
        other.unlink()


WEIGHTS = [lose_attack_too, lose_part_of_run]


def damages(name):
    """The ways to damage a file of this name."""
    more = {".json": JSON, ".npz": ARRAYS, ".safetensors": WEIGHTS}
    return ANY + more.get(Path(name).suffix, [])


OFTEN = {"attack": 4, "run.json": 4, "study.json": 2, "weights.safetensors": 2}  # what nothing else could replace


def draw(study, seed):
    """(name of a file, how it is damaged, the random numbers for it): the case of this seed."""
    rng = random.Random(seed)
    kinds = {}
    for name in study.files:
        kinds.setdefault("attack" if name.endswith(".npz") else name.rpartition("/")[2], []).append(name)
    often = [OFTEN.get(kind, 1) for kind in kinds]
    name = rng.choice(kinds[rng.choices(list(kinds), often)[0]])
    return name, rng.choice(damages(name)), rng


def main(count, seed):
    ends, wrong = Counter(), []
    with tempfile.TemporaryDirectory() as folder:
        study = Study(Path(folder) / "out")
        for i in range(seed, seed + count):
            name, damage, rng = draw(study, i)
            try:
                ends[study.suffer(name, damage, rng)] += 1
            except BaseException as error:
                ends["wrong"] += 1
                wrong.append((i, name, damage.__name__, type(error).__name__, str(error)[:300]))
                print(*wrong[-1], flush=True)
            study.restore()
            if (i + 1 - seed) % 100 == 0:
                print(i + 1 - seed, dict(ends), flush=True)
    print(f"{count} damages: {dict(ends)}")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0))
