"""Attacks, one a file, each a few lines on the same small pieces: step, normalise, project.

``victim``: what a model is to its attacker. ``losses``: what an attack climbs. ``points``: where it may go, and the
best point so far. ``fixed`` and ``nearest``: the two kinds of attack, of a fixed size and in search of the smallest.
"""

from .apgd import apgd
from .auto import WorstCase, auto_attack
from .deepfool import deepfool
from .fab import fab
from .fgsm import fgsm
from .fixed import Attack
from .flags import Flag
from .fmn import fmn
from .jsma import jsma
from .nearest import Smallest
from .pgd import pgd
from .square import square
from .victim import ZeroGradientWarning

__all__ = [
    "Attack",
    "Flag",
    "Smallest",
    "WorstCase",
    "ZeroGradientWarning",
    "apgd",
    "auto_attack",
    "deepfool",
    "fab",
    "fgsm",
    "fmn",
    "jsma",
    "pgd",
    "square",
]
