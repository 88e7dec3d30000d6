"""How a training goes: loss and accuracy against epochs, afterwards or while it runs."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable
from typing import Any

from matplotlib.ticker import MaxNLocator

from ..report.style import SMALL, STYLES, TITLE, finish_axes, ink
from ..train import Epoch
from .picture import Picture

PARTS = (("", "training"), ("val_", "validation"))


class Training(Picture):
    """A picture of a training curve that grows: calling it with an ``Epoch`` adds a row, and a notebook shows it anew.

    Attributes
    ----------
    curve : list of Epoch, all that is drawn
    """

    def __init__(self, curve: Iterable[Epoch] = ()) -> None:
        super().__init__(7.2, 3.1)
        self.curve = list(curve)
        for row in self.curve:
            _check(row)
        self._shown: Any = None  # where a notebook shows it
        self._redraw()

    def __call__(self, row: Epoch) -> None:
        """Add the row of an epoch that has ended."""
        _check(row)
        self.curve.append(row)
        self._redraw()
        if "ipykernel" not in sys.modules:
            return
        if self._shown is None:
            self._shown = importlib.import_module("IPython.display").display(self, display_id=True)
        else:
            self._shown.update(self)

    def _redraw(self) -> None:
        self.clear()
        for axes, what, name in zip(self.subplots(1, 2), ("loss", "accuracy"), ("loss", "accuracy (%)"), strict=True):
            scale = 100 if what == "accuracy" else 1
            for i, (part, label) in enumerate(PARTS):
                rows = [(row.epoch + 1, getattr(row, part + what)) for row in self.curve]
                points = [(epoch, scale * value) for epoch, value in rows if value is not None]
                if points:
                    style = STYLES[i] | ({"color": ink(axes)} if i == 0 else {})
                    axes.plot(*zip(*points, strict=True), **style, ms=4, lw=1.4, label=label, zorder=3)
            finish_axes(axes, "epochs", name)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if any(row.sparsity for row in self.curve):
            pruned = [(row.epoch + 1, 100 * row.sparsity) for row in self.curve]
            axes.plot(*zip(*pruned, strict=True), **STYLES[2] | {"marker": None}, lw=1.2, label="pruned (%)")
        if self.curve:
            last = self.curve[-1]
            known = "" if last.val_accuracy is None else f", {last.val_accuracy:.1%} in validation"
            text = f"Epoch {last.epoch + 1}: loss {last.loss:.3g}, {last.accuracy:.1%} right{known}"
            self.suptitle(text, fontsize=TITLE)
            handles, labels = axes.get_legend_handles_labels()
            self.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=SMALL, frameon=False)


def _check(row: Any) -> None:
    if not isinstance(row, Epoch):
        raise TypeError(f"training: draws what fit returns, a list of Epoch, and got a {type(row).__name__}")


def training(curve: Iterable[Epoch] = ()) -> Training:
    """Loss and accuracy against epochs: of a training that is over, or, as ``on_epoch`` of ``fit``, of one that runs.

    Parameters
    ----------
    curve : sequence of Epoch, as ``fit`` returns it
        By default none yet.

    Returns
    -------
    matplotlib.figure.Figure
        Called with an ``Epoch`` it adds that, and in a notebook it is shown and then changes in its place: give it to
        ``fit`` as ``on_epoch``.

    Raises
    ------
    TypeError
        When these are no Epochs.

    Examples
    --------
    >>> import minidl as md
    >>> model, (images, labels) = md.models.fc5(image_size=8, channels=1, seed=0), md.data.digits("val")
    >>> optimizer, live = md.optim.SGD(model.parameters(), lr=0.1), md.plot.training()
    >>> curve = md.fit(model, [(images, labels)], optimizer, epochs=3, on_epoch=live, progress=False)
    >>> len(live.curve), [axes.get_ylabel() for axes in md.plot.training(curve).axes]
    (3, ['loss', 'accuracy (%)'])
    """
    return Training(curve)
