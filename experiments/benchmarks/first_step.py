"""How long a new process takes to the end of its first training step: with nothing compiled before, and with a cache.

python experiments/benchmarks/first_step.py
python experiments/benchmarks/first_step.py --model alexnet --pixels 128
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time

STEP = """
import numpy as np
import minidl as md
from minidl import functional as F
model, pixels, batch = {model!r}, {pixels}, {batch}
net = md.models.fc5(image_size=pixels) if model == "fc5" else getattr(md.models, model)()
optimizer = md.optim.SGD(net.parameters(), 0.01, momentum=0.9)
images = np.random.default_rng(0).random((batch, pixels, pixels, 3), dtype=np.float32)
F.cross_entropy(net(md.Tensor(images)), np.zeros(batch, int)).backward()
optimizer.step()
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=("resnet18", "alexnet", "fc5"), default="resnet18")
    parser.add_argument("--pixels", type=int, default=64)
    parser.add_argument("--batch", type=int, default=32)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name in ("nothing compiled", "compiled before"):
            started = time.perf_counter()
            command = [sys.executable, "-c", STEP.format(**vars(options))]
            subprocess.run(command, env=os.environ | {"NUMBA_CACHE_DIR": folder}, check=True)
            print(f"{options.model}, {name:17} {time.perf_counter() - started:5.1f} s from start to end of the process")


if __name__ == "__main__":
    main()
