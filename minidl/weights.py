"""Weights in safetensors files, with torchvision's names and shapes."""

from __future__ import annotations

from pathlib import Path

from .nn import Module
from .tools.files import user_path, whole_file

NUMPYS = ("BOOL", "U8", "I8", "U16", "I16", "U32", "I32", "U64", "I64", "F16", "F32", "F64")  # and not BF16, F8_E4M3


def save(model: Module, path: str | Path) -> None:
    """Write a model's ``state_dict`` to a safetensors file, which appears whole or not at all.

    Parameters
    ----------
    model : Module
    path : str or Path

    Examples
    --------
    >>> import tempfile, minidl as md
    >>> model = md.models.fc5(image_size=8, channels=1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     md.save(model, folder + "/w.safetensors")
    ...     md.load(model, folder + "/w.safetensors")
    """
    from safetensors.numpy import save as to_bytes

    # safetensors writes the memory of an array whatever its strides: it needs the contiguous copies of state_dict
    content = to_bytes(model.state_dict())
    with whole_file(path) as file:
        file.write(content)


def load(model: Module, path: str | Path, strict: bool = True) -> None:
    """Set a model's parameters from a safetensors file, such as one saved from torchvision's model.

    Parameters
    ----------
    model : Module
    path : str or Path
    strict : bool
        As for ``Module.load_state_dict``.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    ValueError
        When the file is no safetensors file, has numbers that NumPy has not, or its entries do not fit: all of them
        are listed, and the model is left as it was.

    Notes
    -----
    A model that is pruned keeps its masks: see ``Module.load_state_dict``. A file holds zeros but no masks; to train
    on without losing them, take the masks from the zeros: ``for p in model.parameters(): p.mask = p.data != 0``.

    Examples
    --------
    >>> import tempfile, minidl as md
    >>> first, second = (md.models.fc5(image_size=8, channels=1, seed=seed) for seed in (0, 1))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     md.save(first, folder + "/w.safetensors")
    ...     md.load(second, folder + "/w.safetensors")
    >>> bool((first.fc1.weight.data == second.fc1.weight.data).all())
    True
    """
    from safetensors import SafetensorError, safe_open

    path = user_path(path)
    if not path.is_file():
        raise FileNotFoundError(f"load: there is no weights file {path}")
    try:
        with safe_open(path, framework="numpy") as file:
            kinds = {name: file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118
            foreign = [f"{name} is {kind}" for name, kind in kinds.items() if kind not in NUMPYS]
            if foreign:
                raise ValueError(
                    f"load: NumPy has no such numbers as {path} holds; save them as float32:\n  " + "\n  ".join(foreign)
                )
            state = {name: file.get_tensor(name) for name in kinds}
    except SafetensorError as error:
        raise ValueError(f"load: {path} is damaged, or no safetensors file ({error})") from error
    model.load_state_dict(state, strict)
