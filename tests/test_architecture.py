"""The house rules (docs/architecture.md), read off the syntax trees: who imports whom, and how large a file may be."""

import ast
import inspect
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import minidl
from minidl import kernels

PACKAGE = Path(minidl.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

# A part of minidl imports only from the layers below its own.
LAYERS = [
    {"tools"},
    {"backend"},
    {"kernels"},
    {"graph"},
    {"checks", "settings"},
    {"tensor"},
    {"functional", "testing", "images", "lines", "spectral"},
    {"nn", "optim"},
    {"sparsify", "trace", "periodic"},
    {"models", "robustness", "compress", "data", "records", "weights"},
    {"objectives", "report", "summary"},
    {"train"},
    {"checkpoint"},
    {"study", "plot"},
]
HEIGHT = {part: height for height, layer in enumerate(LAYERS) for part in layer}
NOT_AT_IMPORT = tuple("numba cupy matplotlib PIL tqdm pooch safetensors filelock pandas jinja2 torch".split())


def name_of(path):
    """The dotted name of a file: ("minidl", "nn", "layers")."""
    parts = ("minidl", *path.relative_to(PACKAGE).with_suffix("").parts)
    return parts[:-1] if parts[-1] == "__init__" else parts


def imports(source, name, is_package=False):
    """The dotted names that a file imports, wherever in it. ``from . import a`` counts as importing a."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = name[: len(name) - node.level + is_package] if node.level else ()
            module = (*base, *(node.module.split(".") if node.module else ()))
            if module == base:
                yield from (".".join((*module, alias.name)) for alias in node.names)
            else:
                yield ".".join(module)


def imports_of(path):
    return set(imports(path.read_text(encoding="utf-8"), name_of(path), path.name == "__init__.py"))


def part_of(dotted):
    """The part of minidl that a dotted name belongs to: nn, tensor ...; None outside and for minidl itself."""
    package, _, rest = dotted.partition(".")
    return rest.partition(".")[0] or None if package == "minidl" else None


def test_the_reading_of_imports():
    source = "import a.b, c\nfrom . import d\nfrom ..e import f\nfrom .. import g\ndef h():\n    from ..i.j import k\n"
    expected = {"a.b", "c", "minidl.nn.d", "minidl.e", "minidl.g", "minidl.i.j"}
    assert set(imports(source, ("minidl", "nn", "layers"))) == expected
    assert set(imports("from . import d\nfrom .d import e", ("minidl", "nn"), is_package=True)) == {"minidl.nn.d"}
    assert [part_of(n) for n in ("minidl.nn.d", "minidl.e", "minidl", "numpy")] == ["nn", "e", None, None]


def test_every_part_has_its_layer():
    parts = {name_of(path)[1] for path in FILES if len(name_of(path)) > 1}
    assert parts <= set(HEIGHT), "give the new part its place in LAYERS, and in docs/architecture.md"


@pytest.mark.parametrize("path", FILES, ids=lambda p: ".".join(name_of(p)))
def test_imports_point_downwards(path):
    name, found = name_of(path), imports_of(path)
    if len(name) > 1:  # minidl/__init__.py gathers the public surface
        assert "minidl" not in found
        upwards = {n for n in found if (p := part_of(n)) and p != name[1] and HEIGHT[p] >= HEIGHT[name[1]]}
        assert not upwards, f"{'.'.join(name)} imports {upwards}, which is not below it"
    elsewhere = {n for n in found if n.partition(".")[0] in ("experiments", "tests", "docs")}
    assert not elsewhere


@pytest.mark.parametrize("path", FILES, ids=lambda p: ".".join(name_of(p)))
def test_who_imports_cupy_and_numba(path):
    name, outside = name_of(path), {n.partition(".")[0] for n in imports_of(path)}
    assert "cupy" not in outside or name == ("minidl", "backend", "arrays")
    assert "numba" not in outside or name[:3] in (("minidl", "kernels", "cpu"), ("minidl", "kernels", "cpu_runtime"))
    assert "torch" not in outside


@pytest.mark.parametrize("path", FILES, ids=lambda p: ".".join(name_of(p)))
def test_a_card_is_known_in_one_room(path):
    """And to the kernels; elsewhere one asks whether an array is at hand, and for numbers that are fresh."""
    if name_of(path)[1:2] in (("backend",), ("kernels",)):
        return
    names = {node.id for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Name)}
    assert not names & {"is_gpu_array", "card", "cupy", "cuda_library", "lasting"}


@pytest.mark.parametrize("path", FILES, ids=lambda p: ".".join(name_of(p)))
def test_files_are_read_in_one_sitting(path):
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= (300 if path.name == "tensor.py" else 320)


# Kernels


def parameters_of(function):
    return [(p.name, p.kind, p.default) for p in inspect.signature(function).parameters.values()]


def interface(module):
    """The public functions of a kernel module, with their parameters."""
    return {
        name: parameters_of(f)
        for name, f in vars(module).items()
        if inspect.isfunction(f) and not name.startswith("_") and f.__module__.startswith(module.__name__)
    }


@pytest.mark.parametrize("name", [n for n in kernels.MODULES if n != "loops"])
def test_kernel_modules_have_one_interface(name):
    if name == "cpu":
        pytest.importorskip("numba")
    if name == "gpu" and not minidl.gpu_available():
        pytest.skip("needs an NVIDIA card and CuPy")
    specification = interface(kernels.module("loops"))
    assert len(specification) > 10
    module = kernels.module(name)
    assert interface(module).keys() <= specification.keys()
    for function, parameters in specification.items():  # its own, or taken over from another module
        assert parameters_of(getattr(module, function)) == parameters


def test_kernels_are_chosen_by_name():
    for name in ("loops", "portable"):
        with kernels.using(name):
            assert kernels.of(minidl.Tensor([1.0]).data) is kernels.module(name)
    with (
        pytest.raises(ValueError, match=r"unknown kernels 'fast': choose from loops, portable, cpu"),
        kernels.using("fast"),
    ):
        pass


# What import minidl costs


def run_python(code):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, encoding="utf-8", cwd=PACKAGE.parent, timeout=60
    )


def test_import_loads_nothing_heavy():
    done = run_python(f"import sys, minidl; print([n for n in {NOT_AT_IMPORT} if n in sys.modules])")
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_it_works_with_nothing_but_numpy():
    """Without Numba and the rest a network still trains, on the portable kernels."""
    done = run_python(f"""
import sys
sys.modules.update(dict.fromkeys({NOT_AT_IMPORT}))  # None: each import of these is an ImportError
import numpy as np, minidl as md
model = md.models.resnet18(num_classes=2)
optimizer = md.optim.SGD(model.parameters(), lr=0.1)
md.functional.cross_entropy(model(np.zeros((2, 32, 32, 3), np.float32)), np.array([0, 1])).backward()
optimizer.step()
print(md.kernels.of(model.fc.weight.data).__name__, md.gpu_available())
""")
    assert (done.stdout, done.stderr) == ("minidl.kernels.portable False\n", "")


def test_the_public_surface_is_what_it_says():
    for name in minidl.__all__:
        assert hasattr(minidl, name), name


# How much there is to read

# The layers and operations that researchers bring along, beyond what the report needs: what they may add to the engine,
# and each of its two rooms to 1,500 lines (docs/architecture.md)
BROUGHT = 350
# kernels, study and report by decision; in robustness every attack and certificate is a file of its own
ROOMS_WITHOUT_END = {"kernels", "report", "study", "robustness"}


def lines_in(path):
    return sum(len(file.read_text(encoding="utf-8").splitlines()) for file in path.rglob("*.py"))


@pytest.mark.parametrize("room", sorted(p.name for p in PACKAGE.iterdir() if (p / "__init__.py").exists()))
def test_rooms_are_small(room):
    assert room in ROOMS_WITHOUT_END or lines_in(PACKAGE / room) <= 1500 + BROUGHT // 2 * (room in ("functional", "nn"))


def test_the_engine_is_read_in_an_afternoon():
    engine = [PACKAGE / f"{name}.py" for name in ("tensor", "graph", "checks")]
    engine += [file for room in ("functional", "nn", "optim") for file in (PACKAGE / room).glob("*.py")]
    assert sum(len(file.read_text(encoding="utf-8").splitlines()) for file in engine) <= 4000 + BROUGHT


def files_passed(job):
    """The files of minidl in which a call happens, in a job done once before."""
    job()
    seen = set()
    sys.setprofile(lambda frame, event, _: seen.add(frame.f_code.co_filename))
    try:
        job()
    finally:
        sys.setprofile(None)
    return {Path(name).relative_to(PACKAGE) for name in seen if name.startswith(str(PACKAGE))}


@pytest.mark.skipif(not find_spec("numba"), reason="counts the compiled kernels' files")
def test_one_follows_a_step_and_an_attack_through_few_files():
    minidl.manual_seed(0)
    model, images, labels = minidl.models.resnet18(), np.full((2, 32, 32, 3), 0.5, np.float32), np.arange(2)
    optimizer = minidl.optim.SGD(model.parameters(), 0.01, momentum=0.9)

    def step():
        optimizer.zero_grad()
        minidl.functional.cross_entropy(model(minidl.Tensor(images)), labels).backward()
        optimizer.step()

    assert len(files_passed(step)) <= 30
    assert len(files_passed(lambda: minidl.robustness.fgsm(model, images, labels, [0.01]))) <= 35
