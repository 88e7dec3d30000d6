"""The whole report: figures 8 to 14, and a verdict on each of its nine claims.

A network that several figures show is trained once. Stop the study whenever you like, even kill it: the same command
goes on where it was, and ends with the same numbers.

    python experiments/study.py                          handwritten digits: minutes on two cores, no download
    python experiments/study.py --preset laptop          FC5 and ResNet18 on Imagenette at 64 px: hours on two cores
    python experiments/study.py --preset whole           all of the report on Imagenette at 64 px, five seeds: days
    python experiments/study.py --preset paper           Imagenette at 128 px, with the report's batch sizes

Several processes share the work with --workers 4; a cluster does with --dask tcp://host:8786, or as jobs of an array
with --shard 1/8 to --shard 8/8. --check trains nothing: it compares every file of the results with every other.
"""

from __future__ import annotations

import interrupts  # noqa: F401  first: it says how a study is stopped
import low_rank
import pruning
import temperature
import transfer
from common import FigureMaker, main
from settings import FigureName

FIGURES: dict[FigureName, FigureMaker] = pruning.FIGURES | low_rank.FIGURES | temperature.FIGURES | transfer.FIGURES

if __name__ == "__main__":
    main(FIGURES, __doc__ or "")
