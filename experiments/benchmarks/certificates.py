"""How long certificates take, and how far they reach: FC5, a CNN and ResNet18 on the digits, FC5 on images of 64 px.

    python experiments/benchmarks/certificates.py                              all but the last, 5 minutes
    python experiments/benchmarks/certificates.py imagenette WEIGHTS.safetensors

``imagenette`` needs a FC5 trained by experiments/certificates.py --preset laptop, and MINIDL_DATA. Times are seconds of
the processor beside those of the clock: on a machine that others use too, only the first mean something.
"""

from __future__ import annotations

import resource
import sys
import time

import numpy as np

import minidl as md
from minidl import nn
from minidl import robustness as R
from minidl.robustness.certify import way
from minidl.study.folder import origin


def trained(model: nn.Module, lr: float, epochs: int, times: int = 1) -> nn.Module:
    """A network after some epochs on the digits, enlarged ``times``."""
    train = md.data.digits("train")
    batches = md.data.Loader(train.images.repeat(times, 1).repeat(times, 2), train.labels, 64, pad=times, seed=0)
    optimizer = md.optim.SGD(model.parameters(), lr=lr, momentum=0.9, nesterov=True)
    schedule = md.optim.one_cycle(lr=lr, steps=epochs * len(batches))
    md.fit(model, batches, optimizer, epochs, schedule=schedule, progress=False)
    return model.eval()


def fc5() -> nn.Module:
    return trained(md.models.fc5(image_size=8, channels=1, seed=0), lr=0.1, epochs=20)


def cnn() -> nn.Module:
    """Three convolutions with batch normalisation, for digits of 16 px."""
    layers: list[nn.Module] = [nn.Normalize(0.5, 0.25)]
    for channels, out, stride in ((1, 16, 1), (16, 32, 2), (32, 32, 2)):
        layers += [nn.Conv2d(channels, out, 3, stride=stride, padding=1), nn.BatchNorm2d(out), nn.ReLU()]
    return trained(nn.Sequential(*layers, nn.Flatten(), nn.Linear(32 * 16, 10)), lr=0.05, epochs=20, times=2)


def resnet18() -> nn.Module:
    return trained(md.models.resnet18(channels=1, seed=0), lr=0.05, epochs=10)


def measure(name: str, model: nn.Module, count: int, levels: tuple[float, ...], times: int = 1, steps: int = 0) -> None:
    """Certified parts, beside what PGD leaves, and the time of the certificates."""
    digits = md.data.digits("val")
    images = digits.images[:count].repeat(times, 1).repeat(times, 2)
    labels = np.asarray(digits.labels[:count])
    clock, processor = time.perf_counter(), time.process_time()
    certificate = R.certified(model, images, labels, np.array(levels) / 255, steps=steps)
    clock, processor = time.perf_counter() - clock, time.process_time() - processor
    attack = R.pgd(model, images, labels, certificate.epsilons, 50, loss="margin", stop_early=True)
    both = R.TwoSided(certificate, attack)
    parts = ", ".join(
        f"{level:g}/255: {low:.0%} to {high:.0%}"
        for level, low, high in zip(levels, both.lower, both.upper, strict=True)
    )
    print(f"{name}, {count} images: {parts}; {processor:.1f} s of the processor, {clock:.1f} s", flush=True)


def products_alone(model: nn.Module) -> float:
    """Seconds of the processor for all products of CROWN's way back, were no neuron off and each in doubt."""
    weights = [layer.weight.data.T.astype(float) for layer in model if isinstance(layer, nn.Linear)]  # (out, in)
    start = time.process_time()
    for k in range(1, len(weights)):
        rows = np.ones((2 * len(weights[k]), weights[k].shape[1]))
        for weight in reversed(weights[:k]):
            rows = rows @ weight
    return time.process_time() - start


def imagenette(weights: str, count: int = 8) -> None:
    """FC5 at 64 px: all of it beside its matrix products alone."""
    problem = md.study.load_problem("imagenette", 72, 64)
    model = md.models.fc5(image_size=64, channels=3).eval()
    md.load(model, weights)
    rows = np.random.default_rng(0).permutation(len(problem.val))[:count]
    images, labels = problem.val.images[np.sort(rows)], problem.val.labels[np.sort(rows)]
    images, labels = next(iter(md.data.Loader(images, labels, count, crop=64, shuffle=False, prefetch=0)))
    products: list[float] = []
    whole = way.Way._between_neurons

    def timed(*arguments):
        start = time.process_time()
        result = whole(*arguments)
        products.append(time.process_time() - start)
        return result

    way.Way._between_neurons = timed  # type: ignore[method-assign]
    print(
        f"FC5, 64 px, products of all neurons, for both ends: {products_alone(model):.2f} s of the processor an image"
    )
    for level in (0.25, 0.5, 1, 2, 4):
        products.clear()
        start = time.process_time()
        bounds = R.linear_bounds(model, images, level / 255, labels=labels)
        spent, memory = time.process_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(
            f"FC5, 64 px, {level:g}/255: {spent / count:.2f} s of the processor an image, "
            f"{sum(products) / count:.2f} of them in products; "
            f"{(bounds.lower > 0).all(axis=1).mean():.0%} certified; {memory:.2f} GiB in all",
            flush=True,
        )


if __name__ == "__main__":
    print(origin()["processor"])
    if sys.argv[1:2] == ["imagenette"]:
        imagenette(sys.argv[2])
    else:
        md.manual_seed(0)
        model = fc5()
        measure("FC5", model, 360, (2, 4, 8, 16))
        measure("FC5, alpha", model, 12, (2, 4, 8, 16), steps=20)
        measure("CNN, 16 px", cnn(), 120, (2, 4, 8), times=2)
        model = resnet18()
        measure("ResNet18", model, 12, (1, 2, 3, 4, 5, 6, 8))
