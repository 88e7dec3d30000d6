"""What is said of work under way, and that nothing of it can end the work."""

import io
import sys

import pytest

import minidl as md
from minidl.tools import progress
from minidl.tools.progress import ProgressBar, is_live, say


class Bare:
    """A logger in the place of standard error, with nothing but write."""

    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text


class Full(io.StringIO):
    def write(self, text):
        raise OSError(28, "No space left on device")


class Terminal(io.StringIO):
    def isatty(self):
        return True


def closed():
    file = io.StringIO()
    file.close()
    return file


@pytest.fixture
def images():
    return md.data.digits("val")


@pytest.mark.parametrize("shown", [True, False])
@pytest.mark.parametrize(
    "stream", [lambda: None, Bare, Full, closed, Terminal], ids="none bare full closed tty".split()
)
def test_any_standard_error_will_do(monkeypatch, images, stream, shown, capsys):
    monkeypatch.setattr(sys, "stderr", stream())
    model = md.models.fc5(image_size=8, channels=1, seed=0)
    optimizer = md.optim.SGD(model.parameters(), lr=0.1)
    md.fit(model, md.data.Loader(*images, batch_size=64), optimizer, 1, validation=[tuple(images)], progress=shown)
    assert md.evaluate(model, [tuple(images)], progress=shown).accuracy > 0.1
    say("said")
    assert capsys.readouterr().out == ""  # where print(file=None) would write
    if isinstance(sys.stderr, Bare):
        lines = [line for line in sys.stderr.text.splitlines() if "compiles its kernels" not in line]
        assert len(lines) == 1 + 2 * shown


def test_where_there_is_no_terminal_a_line_now_and_then(monkeypatch):
    monkeypatch.setattr(sys, "stderr", out := Bare())
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with ProgressBar(100, "decoding", shown=True, unit="images") as bar:
        for _ in range(100):
            bar.advance()
            now[0] += 1
            if bar.due:
                bar.show(loss="0.5")
        bar.finish(images="100")
    assert out.text.splitlines() == [f"decoding: images={n} of 100, loss=0.5" for n in (30, 60, 90)] + [
        "decoding: images=100"
    ]


def test_a_bar_where_there_is_a_terminal(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert is_live()
    with ProgressBar(2, "train", shown=True) as bar:
        bar.advance()
        assert bar.due
        bar.show(loss="0.5")
        bar.finish(loss="0.4")
    assert "loss=0.4" in sys.stderr.getvalue()
    assert "\r" in sys.stderr.getvalue()


def test_silence_holds_for_what_happens_on_the_way(monkeypatch):
    pytest.importorskip("numba")
    from minidl.kernels.cpu_runtime import compiling

    class Compilation:
        data = {"dispatcher": None}  # noqa: RUF012

    monkeypatch.setattr(sys, "stderr", out := Bare())
    monkeypatch.setattr(compiling, "tasks", {None})
    monkeypatch.setattr(compiling, "_seconds", [])
    line = compiling._Line()

    def compile_one():
        line.on_start(Compilation)
        line.on_end(Compilation)

    with ProgressBar(1, "train", shown=False):
        compile_one()
    assert out.text == ""
    for _ in range(2):
        compile_one()
    assert out.text.count("minidl compiles its kernels") == 1
