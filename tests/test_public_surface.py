"""What users call is documented in one way: a summary, parameters with shapes and units, and an example that runs.

The examples themselves are run by ``pytest --doctest-modules``.
"""

import functools
import inspect
import re
import types

import pytest

import minidl as md
from minidl import checkpoint, nn
from minidl.backend import capacity, cuda, memory, recording
from minidl.compress import Cost, LayerCost
from minidl.robustness import (
    AccuracyCurve,
    Attack,
    Bounds,
    Callables,
    Certificate,
    Diagnosis,
    Flag,
    LayerBound,
    LayerSpectrum,
    LipschitzBound,
    McNemar,
    SeedSummary,
    Smallest,
    SmoothedCertificate,
    Spectrum,
    TransferMatrix,
    WorstCase,
)

# Not minidl.study and minidl.report, which a command runs: docs/studies.md and docs/statistics.md tell of them.
MODULES = [
    md.backend,
    capacity,
    checkpoint,
    cuda,
    memory,
    md.compress,
    md.data,
    md.functional,
    md.kernels,
    md.models,
    md.nn,
    md.nn.init,
    md.objectives,
    md.optim,
    md.plot,
    recording,
    md.robustness,
    md.testing,
]
TRAINING = ("Guard",)  # of minidl.train, whose rest is ``fit``'s own
RESULTS = (
    *(Cost, LayerCost, AccuracyCurve, Attack, Callables, Diagnosis, Flag, LayerBound, LipschitzBound, McNemar),
    *(
        SeedSummary,
        Smallest,
        TransferMatrix,
        WorstCase,
        Bounds,
        Certificate,
        SmoothedCertificate,
        LayerSpectrum,
        Spectrum,
    ),
)
KINDS = (
    "array bool callable dict float generator imageset int iterable mapping model module names number object optimizer "
    "optimiser pair parameter path pruner sequence sequential str string tensor accuracycurve certificate"
)
SHAPES = r"\([A-Z.]|\{|\"\w+\"|\w\.[A-Z]\w+|\b(one of|as for|of the array)\b"  # or choices, a class, or a reference
KIND = re.compile(rf"(?i:\b({KINDS.replace(' ', '|')})s?\b)|{SHAPES}")


def surface():
    """{qualified name: function or class} of everything that users are meant to call."""
    found = {f"minidl.{name}": getattr(md, name) for name in md.__all__}
    found |= {f"minidl.train.{name}": getattr(md.train, name) for name in TRAINING}
    for module in MODULES:
        names = getattr(module, "__all__", None) or [
            name for name, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__
        ]
        found |= {f"{module.__name__}.{name}": getattr(module, name) for name in names if not name.startswith("_")}
    once = {}
    for name, value in found.items():
        callable_ = (
            inspect.isclass(value) or inspect.isroutine(value) or isinstance(value, functools._lru_cache_wrapper)
        )
        if callable_ and not isinstance(value, types.GenericAlias) and value not in once.values():
            once[name] = value
    return once


SURFACE = {
    name: value for name, value in surface().items() if not (inspect.isclass(value) and issubclass(value, Exception))
}
each = pytest.mark.parametrize("name", SURFACE)


def parameters(value):
    """The names of the parameters, but for *args and **settings."""
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    if value in RESULTS or (inspect.isclass(value) and value.__init__ in (object.__init__, nn.Module.__init__)):
        return []
    return [p.name for p in inspect.signature(value).parameters.values() if p.kind not in kinds and p.name != "self"]


def section(text, title):
    """What stands under a section's title, or None."""
    found = re.search(rf"^{title}\n-+\n(.*?)(?=^\S[^\n]*\n-+\n|\Z)", text, re.MULTILINE | re.DOTALL)
    return found and found[1]


def test_the_surface_is_found():
    assert len(SURFACE) > 90
    for name in (
        "minidl.fit",
        "minidl.summary",
        "minidl.nn.Conv2d",
        "minidl.functional.cross_entropy",
        "minidl.plot.graph",
    ):
        assert name in SURFACE


@each
def test_the_first_line_is_a_sentence(name):
    summary = inspect.getdoc(SURFACE[name]).split("\n\n")[0]
    assert re.search(r"[.?:]$", summary), summary


@each
def test_an_example_that_runs(name):
    value = SURFACE[name]
    if value not in RESULTS:  # those are shown by the functions that return them
        assert ">>>" in (section(inspect.getdoc(value), "Examples") or ""), f"{name} has no example"


@each
def test_every_parameter_is_told_with_its_kind(name):
    value = SURFACE[name]
    text = section(inspect.getdoc(value), "Parameters")
    if not parameters(value):
        return
    assert text, f"{name} has no Parameters section"
    told = {}
    for entry in re.split(r"\n(?=\S)", text):  # the names, " : " and what they are, and what is said of them
        names, _, kind = entry.partition("\n")[0].partition(" : ")
        told |= dict.fromkeys(re.findall(r"\w+", names), kind or entry)
    missing = [p for p in parameters(value) if p not in told]
    assert not missing, f"{name} does not say what {missing} are"
    vague = [p for p in parameters(value) if not KIND.search(told[p])]
    assert not vague, f"{name}: of what kind, shape or unit are {vague}?"


@pytest.mark.parametrize("value", RESULTS, ids=lambda value: value.__name__)
def test_results_name_their_attributes(value):
    text = section(inspect.getdoc(value), "Attributes")
    fields = getattr(value, "_fields", None) or list(inspect.signature(value).parameters)
    assert [field for field in fields if not re.search(rf"\b{field}\b", text)] == []
