"""The three tasks that ``train_step`` times, in minidl and in PyTorch, and what each library is asked about a card."""

from __future__ import annotations

import gc
import importlib
import resource
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Case = tuple[str, int, int]  # model, pixels, batch size
REST = 0.02  # seconds before a turn: libgomp's threads look for more work for some milliseconds, on our cores
TASKS = ("training step", "forward", "input gradient")
Job = Callable[[], None]


@dataclass(frozen=True)
class Options:
    """How both libraries work."""

    rounds: int
    times: int  # of a task in a turn
    threads: int
    device: str
    precision: str


def random_batch(pixels: int, batch: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.random((batch, pixels, pixels, 3), dtype=np.float32), rng.integers(10, size=batch)


def minidl_jobs(name: str, pixels: int, batch: int, how: Options) -> dict[str, Job]:
    import minidl as md
    from minidl import functional as F
    from minidl.backend import to_device
    from minidl.backend.recording import Replayed
    from minidl.train.state import State

    md.set_num_threads(how.threads)
    md.set_precision(how.precision)
    images, labels = random_batch(pixels, batch)
    images = to_device(images, how.device)
    model = md.models.fc5(image_size=pixels) if name == "fc5" else getattr(md.models, name.partition("-")[0])()
    if name.endswith("LR1"):
        md.compress.low_rank(model, md.compress.LR1["resnet18"])
    model.to(how.device)
    optimizer = md.optim.SGD(model.parameters(), 0.01, momentum=0.9, weight_decay=5e-4, nesterov=True)

    def go_down(images: Any, labels: Any) -> list[Any]:
        optimizer.zero_grad()
        with md.kernels.together():  # as within fit
            loss = F.cross_entropy(model(md.Tensor(images)), labels)
        loss.backward()
        optimizer.step()
        return [loss.data]

    def climb(images: Any, labels: Any) -> list[Any]:
        x = md.Tensor(images, requires_grad=True)
        F.cross_entropy(model(x), labels, reduction="sum").backward(inputs=[x])
        return [x.grad]

    def look(images: Any) -> list[Any]:
        with md.no_grad():
            return [model(md.Tensor(images)).data]

    state = State(model, optimizer)
    down, up, ahead = Replayed(go_down, state.reads, writes=state.writes), Replayed(climb), Replayed(look)

    def training_step() -> None:
        model.train()
        down(images, labels)

    def forward() -> None:
        model.eval()
        ahead(images)

    def input_gradient() -> None:
        model.eval()
        up(images, labels)

    return dict(zip(TASKS, (training_step, forward, input_gradient), strict=True))


def torch_jobs(name: str, pixels: int, batch: int, how: Options, channels_last: bool) -> dict[str, Job]:
    import torch
    import torch.nn.functional as F
    import torch_models

    torch.set_num_threads(how.threads)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = how.precision == "fast"
    torch.backends.cudnn.benchmark = True
    place = "cuda" if how.device == "gpu" else "cpu"
    half = torch.autocast(place, torch.bfloat16, enabled=how.precision == "bfloat16" and how.device == "gpu")
    layout = torch.channels_last if channels_last else torch.contiguous_format
    images, labels = random_batch(pixels, batch)
    x = torch.from_numpy(images).permute(0, 3, 1, 2).to(place).contiguous(memory_format=layout)
    y = torch.from_numpy(labels).to(place)
    model = torch_models.fc5(image_size=pixels) if name == "fc5" else getattr(torch_models, name.partition("-")[0])()
    if name.endswith("LR1"):
        import minidl as md

        torch_models.low_rank(model, md.compress.LR1["resnet18"])
    model = model.to(place, memory_format=layout)
    optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9, weight_decay=5e-4, nesterov=True)

    def training_step() -> None:
        model.train()
        optimizer.zero_grad()
        with half:
            loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()

    def forward() -> None:
        model.eval()
        with torch.no_grad(), half:
            model(x)

    def input_gradient() -> None:
        model.eval()
        images = x.detach().requires_grad_()
        with half:
            loss = F.cross_entropy(model(images), y, reduction="sum")
        torch.autograd.grad(loss, images)

    return dict(zip(TASKS, (training_step, forward, input_gradient), strict=True))


def jobs_of(library: str, case: Case, how: Options) -> dict[str, Job]:
    if library == "minidl":
        return minidl_jobs(*case, how)
    return torch_jobs(*case, how, channels_last=library == "torch channels_last")


def what_is_missing(library: str, device: str) -> str:
    """Why a library cannot be timed here, or nothing; it is imported for that, each beside the others."""
    module = importlib.import_module(library.partition(" ")[0])
    return (
        f"{library} sees no card" if device == "gpu" and library != "minidl" and not module.cuda.is_available() else ""
    )


def forget(library: str, device: str) -> None:
    """Give the card back what the case before has left, so that the peak is the next one's."""
    gc.collect()
    if device == "gpu" and library == "minidl":
        from minidl.backend.memory import release_memory

        release_memory()
    elif device == "gpu":
        import torch

        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def wait_for(library: str, device: str) -> None:
    """Until the card has done what it was told."""
    if device == "gpu" and library == "minidl":
        from minidl.backend import card

        card().cuda.Device().synchronize()
    elif device == "gpu":
        import torch

        torch.cuda.synchronize()


def peak_memory(library: str, device: str) -> float:
    """The most memory that this process has had so far, in MB: on a card, what it has taken of the card's."""
    if device == "cpu":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if library == "minidl":
        from minidl.backend.memory import card_memory

        return card_memory() / 2**20
    import torch

    return torch.cuda.max_memory_reserved() / 2**20
