"""The report's three networks: FC5, AlexNet and ResNet18. All return logits for images in [0, 1]."""

from .alexnet import AlexNet, alexnet
from .perceptron import fc5
from .resnet import ResNet, resnet18

__all__ = ["AlexNet", "ResNet", "alexnet", "fc5", "resnet18"]
