"""Train the playground's five networks, and write them, with some digits, into ``networks.js``.

    python docs/playground/make.py

One small network, made in five ways: dense, pruned to 90 and to 98 %, of low rank, and trained at temperature 90. The
file is what a browser can read from a disk: a script that sets one constant. Layers have the names of
``minidl/kernels/loops.py``, arrays are in base64 (float32, little-endian), and digits have one character a pixel.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import minidl as md
from minidl import nn

FILE = Path(__file__).with_name("networks.js")
BEFORE, AFTER = "const PLAYGROUND = ", ";\n"
EPOCHS, BATCH_SIZE, LR = 30, 64, 0.05
NETWORKS: dict[str, dict[str, Any]] = {
    "dense": {},
    "pruned90": {"sparsity": 0.9},
    "pruned98": {"sparsity": 0.98},
    "lowrank": {"ranks": (2, 8)},  # of 3 and 36: as in the report's LR1, the deeper layer keeps the smaller part
    "hot": {"temperature": 90},
}
PER_CLASS = 2  # digits to choose from
GREYS = "0123456789abcdefg"  # 17: each pixel of 8 x 8 counts the ink of 16 pixels of the scan
Layer = dict[str, Any]


def enlarge(images: np.ndarray) -> np.ndarray:
    """Digits (n, 8, 8, 1) as (n, 16, 16, 1): of the two nearest old pixels the nearer counts three times, each way."""
    between = np.zeros((16, 8), np.float32)
    for i in range(16):
        near, far = i // 2, i // 2 + (1 if i % 2 else -1)
        between[i, near] += 0.75
        between[i, min(max(far, 0), 7)] += 0.25
    return np.einsum("ih,nhwc,jw->nijc", between, images, between)


def cnn() -> nn.Sequential:
    return nn.Sequential(
        nn.Normalize(0.5, 0.25),
        nn.Conv2d(1, 12, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(12, 24, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(4 * 4 * 24, 10),
    )


def trained(
    sparsity: float = 0.0,
    ranks: tuple[int, ...] | None = None,
    temperature: float = 1.0,
    epochs: int = EPOCHS,
    seed: int = 0,
) -> nn.Sequential:
    """One network; at temperature T the learning rate is sqrt(T) times as large, as in the report."""
    md.manual_seed(seed)
    model, train = cnn(), md.data.digits("train")
    if ranks:
        md.compress.low_rank(model, ranks)
    batches = md.data.Loader(enlarge(train.images), train.labels, BATCH_SIZE, pad=1, seed=seed)
    lr, steps = LR * math.sqrt(temperature), epochs * len(batches)
    optimizer = md.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    followers = []
    if sparsity:  # in half of the steps, by one ranking of all weights: so few are best spent where they count
        start, every = steps // 10, steps // 50
        followers.append(md.compress.MagnitudePruner(model, sparsity, start, every, count=25, scope="global"))
    md.fit(
        model,
        batches,
        optimizer,
        epochs,
        schedule=md.optim.one_cycle(lr=lr, steps=steps),
        after_step=followers,
        temperature=temperature,
        progress=False,
    )
    return model.eval()


def layers_of(module: nn.Module) -> Iterator[Layer]:
    """The layers as the page knows them, in their order."""
    match module:
        case nn.Sequential():
            for child in module:
                yield from layers_of(child)
        case nn.LowRankConv2d():
            for child in (module.vertical, module.norm, module.horizontal):
                yield from layers_of(child)
        case nn.Normalize():
            one = np.ones_like(module.mean)
            yield _normalization(module.mean, module.std**2, one, 0 * one, 0.0)
        case nn.BatchNorm2d():
            statistics = module.running_mean, module.running_var
            yield _normalization(*statistics, module.weight.data, module.bias.data, module.eps)
        case nn.Conv2d():
            bias = {} if module.bias is None else {"bias": module.bias.data}
            weight = module.weight.data.transpose(1, 2, 3, 0)  # (KH, KW, C, N)
            yield {"kind": "conv2d", "weight": weight, **bias, "padding": module.padding}
        case nn.Linear():
            yield {"kind": "linear", "weight": module.weight.data, "bias": module.bias.data}
        case nn.ReLU():
            yield {"kind": "relu"}
        case nn.MaxPool2d():
            yield {"kind": "max_pool2d", "kernel": module.kernel_size[0]}
        case nn.Flatten():  # the page's linear layer reads an image as one vector
            return
        case _:
            raise TypeError(f"the page has no layer for a {type(module).__name__}")


def _normalization(mean: Any, variance: Any, gamma: Any, beta: Any, eps: float) -> Layer:
    return {"kind": "batch_norm", "mean": mean, "variance": variance, "gamma": gamma, "beta": beta, "eps": eps}


def module_of(layer: Layer) -> nn.Module:
    """The way back: minidl's layer of the page's."""
    match layer["kind"]:
        case "conv2d":
            kh, kw, c, n = layer["weight"].shape
            layer = {**layer, "weight": layer["weight"].transpose(3, 0, 1, 2)}
            module = nn.Conv2d(c, n, (kh, kw), padding=tuple(layer["padding"]), bias="bias" in layer)
        case "batch_norm":
            module = nn.BatchNorm2d(len(layer["mean"]), layer["eps"])
            module.running_mean[...], module.running_var[...] = layer["mean"], layer["variance"]
            layer = {"weight": layer["gamma"], "bias": layer["beta"]}
        case "linear":
            module = nn.Sequential(nn.Flatten(), nn.Linear(*layer["weight"].shape))
        case "relu":
            return nn.ReLU()
        case "max_pool2d":
            return nn.MaxPool2d(layer["kernel"])
    holder = module[1] if isinstance(module, nn.Sequential) else module
    for name in {"weight", "bias"} & {*layer}:
        getattr(holder, name).data[...] = layer[name]
    return module


def encoded(value: Any) -> Any:
    """What JSON does not know: an array, as its shape and bytes."""
    if not isinstance(value, np.ndarray):
        raise TypeError(f"{value!r} is nothing that networks.js can hold")
    return {"shape": value.shape, "base64": base64.b64encode(value.astype("<f4").tobytes()).decode()}


def decoded(value: dict[str, Any]) -> Any:
    if "base64" not in value:
        return value
    return np.frombuffer(base64.b64decode(value["base64"]), "<f4").reshape(value["shape"])


def read(file: Path = FILE) -> dict[str, nn.Sequential]:
    """The networks that the page has, by name, from its own file."""
    text = file.read_text(encoding="utf-8")
    page = json.loads(text[text.index(BEFORE) + len(BEFORE) : -len(AFTER)], object_hook=decoded)
    return {
        name: nn.Sequential(*map(module_of, network["layers"])).eval() for name, network in page["networks"].items()
    }


def network_of(model: nn.Sequential, temperature: float = 1.0, **_: Any) -> dict[str, Any]:
    """A network as the page has it, with what it says of it."""
    kernels = [parameter.data for parameter in model.parameters() if parameter.data.ndim > 1]
    return {
        "temperature": temperature,
        "accuracy": round(float(np.mean(answers(model) == md.data.digits("val").labels)), 4),
        "weights": int(sum(np.count_nonzero(kernel) for kernel in kernels)),
        "layers": list(layers_of(model)),
    }


def answers(model: nn.Module) -> np.ndarray:
    """The class of each of the 360 digits that are held out."""
    return model(md.Tensor(enlarge(md.data.digits("val").images))).data.argmax(axis=1)


def chosen(models: list[nn.Sequential]) -> list[dict[str, Any]]:
    """The first held-out digits of each class that all networks read rightly, and still at four grey levels."""
    val = md.data.digits("val")
    attacks = [md.robustness.fgsm(m, enlarge(val.images), val.labels, [0, 4 / 255], loss="margin") for m in models]
    right = ~np.any([attack.success for attack in attacks], axis=(0, 1))
    rows = np.stack([np.flatnonzero(right & (val.labels == label))[:PER_CLASS] for label in range(10)], axis=1).ravel()
    greys = (val.images * (len(GREYS) - 1)).astype(int).reshape(-1, 64)
    return [{"label": int(val.labels[i]), "pixels": "".join(GREYS[grey] for grey in greys[i])} for i in rows]


def main() -> None:
    networks, models = {}, []
    for name, settings in NETWORKS.items():
        models.append(trained(**settings))
        networks[name] = network_of(models[-1], **settings)
        print(f"{name:10} {networks[name]['weights']:5} weights, accuracy {networks[name]['accuracy']:.1%}", flush=True)
    page = json.dumps({"networks": networks, "digits": chosen(models)}, default=encoded, separators=(",", ":"))
    page = page.replace('{"kind"', '\n{"kind"').replace('{"label"', '\n{"label"')
    FILE.write_text(
        f"// Made by make.py beside this file, which says what is in it.\n{BEFORE}{page}{AFTER}", encoding="utf-8"
    )


if __name__ == "__main__":
    main()
