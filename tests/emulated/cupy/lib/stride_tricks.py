"""``cupy.lib.stride_tricks``."""

from ..functions import as_strided as as_strided
