"""Pictures for lessons and slides, each a matplotlib figure: show it in a notebook, or ``picture.savefig("a.png")``.

matplotlib is imported with the first of them, not with minidl.
"""

from .adversary import adversary
from .curve import accuracy, band
from .decision import decision
from .diagnosis import diagnosis
from .graph import graph
from .mosaic import feature_maps, kernels
from .picture import Picture
from .spectrum import spectrum
from .weights import weights

__all__ = [
    "Picture",
    "accuracy",
    "adversary",
    "band",
    "decision",
    "diagnosis",
    "feature_maps",
    "graph",
    "kernels",
    "spectrum",
    "weights",
]
