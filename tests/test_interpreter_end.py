"""A script ends when it is done, whatever it leaves under way: threads, batches, locks, files."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import minidl

HEAD = """
import atexit, os, sys, threading, time
import numpy as np, minidl as md
from minidl.data import Loader, digits
md.set_num_threads(2)
x = np.linspace(-1, 1, 1 << 17, dtype=np.float32)
def relu():
    return bool((md.functional.relu(x).data == np.maximum(x, 0)).all())
def train(epochs=1):
    model = md.models.fc5(image_size=8, channels=1, seed=0)
    md.fit(model, Loader(*digits("val"), 64), md.optim.SGD(model.parameters(), lr=0.1), epochs, progress=False)
"""
SCRIPTS = {
    "a batch is looked at": "batches = iter(Loader(*digits(), 1)); next(batches)",
    "a batch is looked at and kept in a cycle": "a = [iter(Loader(*digits(), 1))]; a.append(a); next(a[0])",
    "batches are left within a function": """
def look():
    for images, labels in Loader(*digits(), 1):
        return images
look()
""",
    "kernels at exit": "relu(); atexit.register(lambda: print(relu()))",
    "kernels for the first time at exit": "atexit.register(lambda: print(relu()))",
    "kernels in a finaliser": """
class Last:
    def __del__(self, relu=relu): print(relu())
relu(); last = Last()
""",
    "a thread that begins to train when the main thread is over": """
def later():
    while threading.main_thread().is_alive(): time.sleep(0.01)
    train(); print(relu())
threading.Thread(target=later).start()
""",
    "a daemon that trains on": """
train()
threading.Thread(target=train, args=(10**6,), daemon=True).start(); time.sleep(0.3)
""",
    "a lock, an event file and a pool of workers are open": """
from minidl.study import Folder, Run
from minidl.study.pool import Processes
from minidl.study.watch import EventFile
import tempfile, pathlib
folder = tempfile.mkdtemp()
lock = Folder(folder).working_on(Run("digits", 8, 8, "fc5", 64, epochs=1, lr=0.1)); lock.__enter__()
events = EventFile(pathlib.Path(folder))
if __name__ == "__main__":
    pool = Processes(); print(pool.submit(abs, -1).result() == 1)
""",
}


def run(code, *flags):
    environment = {**os.environ, "PYTHONPATH": str(Path(minidl.__file__).parents[1])}
    command = [sys.executable, *flags, "-c", HEAD + code]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=60, env=environment)
    said = [line for line in done.stderr.splitlines() if "compiles its kernels" not in line]
    return done.returncode, done.stdout, "\n".join(said)


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_ends(name):
    assert run(SCRIPTS[name]) == (0, "True\n" if "print" in SCRIPTS[name] else "", "")


needs_fork = pytest.mark.skipif(not hasattr(os, "fork") or not find_spec("numba"), reason="there is no fork here")
FORKS = """
def child(work):
    process = os.fork()
    if process == 0:
        try: os._exit(work() is not True)
        finally: os._exit(2)
    for _ in range(2000):
        found, status = os.waitpid(process, os.WNOHANG)
        if found: return status
        time.sleep(0.01)
    os.kill(process, 9); os.waitpid(process, 0)
    return "hangs"
relu()
"""
FORKED = {
    "between kernels": "print({child(relu) for _ in range(3)})",
    "while another thread borrows memory": """
from minidl.kernels.cpu_runtime import memory
def borrow():
    while True: memory.empty(1 << 15); memory.empty(1 << 16)
for _ in range(2): threading.Thread(target=borrow, daemon=True).start()
print({child(relu) for _ in range(25)})
""",
    "while another thread computes": """
def compute():
    while True: relu()
threading.Thread(target=compute, daemon=True).start()
print({child(relu) for _ in range(10)})
""",
    "within a loop over batches": """
batches = iter(Loader(*digits(), 1)); next(batches)
def go_on():
    try:
        for _ in batches: pass
    except RuntimeError as error:
        return "forked" in str(error)
print({child(go_on) for _ in range(3)})
""",
}


@needs_fork
@pytest.mark.parametrize("name", FORKED)
def test_a_forked_process_works(name):
    assert run(FORKS + FORKED[name], "-W", "ignore") == (0, "{0}\n", "")


STACKS = """
import hashlib
from minidl import kernels
def work(found):
    rng, digest = np.random.default_rng(0), hashlib.sha256()
    cpu = kernels.module("cpu")
    images = (2, 12, 12, 64), (2, 8, 8, 512), (2, 8, 8, 64), (2, 9, 9, 3)
    for shape, n, k in zip(images, (64, 64, 96, 20), (3, 3, 1, 5)):
        images = rng.standard_normal(shape).astype("f4"); w = rng.standard_normal((n, k, k, shape[3])).astype("f4")
        y = cpu.conv2d(images, w, None, (1, 1), (1, 1))
        for a in (y, cpu.conv2d_grad_input(y, w, images.shape, (1, 1), (1, 1)),
                  cpu.conv2d_grad_weight(y, images, w.shape, (1, 1), (1, 1))): digest.update(a.tobytes())
    digest.update(cpu.matmul(y.reshape(-1, 20), y.reshape(-1, 20).T).tobytes())
    found.add(digest.hexdigest())
found = set()
for threads, kib in ((1, 128), (2, 128), (2, 1024)):
    kernels.set_num_threads(threads)
    threading.stack_size(kib << 10)
    thread = threading.Thread(target=work, args=(found,)); thread.start(); thread.join()
work(found)
print(len(found))
"""


@pytest.mark.skipif(not find_spec("numba"), reason="Numba is not installed")
def test_a_thread_with_a_small_stack_computes_the_same_bits():
    assert run(STACKS) == (0, "1\n", "")
