"""Pictures for lessons and slides, each a matplotlib figure: show it in a notebook, or ``picture.savefig("a.png")``.

matplotlib is imported with the first of them, not with minidl.
"""

from .adversary import adversary
from .confusion import confusion
from .curve import accuracy, band
from .decision import decision
from .diagnosis import diagnosis
from .graph import graph
from .mosaic import feature_maps, kernels
from .picture import Picture
from .spectrum import spectrum
from .training import training
from .weights import weights

__all__ = [
    "Picture",
    "accuracy",
    "adversary",
    "band",
    "confusion",
    "decision",
    "diagnosis",
    "feature_maps",
    "graph",
    "kernels",
    "spectrum",
    "training",
    "weights",
]
