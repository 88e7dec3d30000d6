"""What training minimises: an objective takes the model, images and labels, and returns the loss and the logits."""

from .adversarial import Adversarial
from .distillation import Distillation
from .penalized import Penalized
from .plain import CrossEntropy, Objective

__all__ = ["Adversarial", "CrossEntropy", "Distillation", "Objective", "Penalized"]
