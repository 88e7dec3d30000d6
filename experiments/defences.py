"""What makes a network robust? Adversarial training, norms, distillation, temperature, side by side (figure 16, ours)

One network without a defence; trained by FGSM, by FGSM from a random start, from a wide one (N-FGSM), and by PGD; with
steps towards low rank and few weights (nuclear norm and l1); at a high temperature; and distilled, from the network at
that temperature. Each is attacked by FGSM, by PGD, by APGD and by the worst of several attacks for each image, on the
same images: what only looks like robustness is gone by then.
Claim C14: distillation beats temperature alone under the worst case.

    python experiments/defences.py                          handwritten digits: minutes on two cores, no download
    python experiments/defences.py --preset laptop          ResNet18 on Imagenette at 64 px: hours
    python experiments/defences.py --seeds 0 1 2            with which a verdict on the claim is possible
"""

from __future__ import annotations

import dataclasses

import interrupts  # noqa: F401  first: it says how a study is stopped
from common import FigureMaker, main
from settings import FigureName, Settings

from minidl.records.run import Method
from minidl.study import Adversary, Figure, Run


def networks(settings: Settings, seed: int) -> list[Run]:
    """In the order of the lines."""
    how = settings.hardening
    epsilon, plain = how.epsilon, settings.run(how.model, 128, seed)
    hot = dataclasses.replace(plain, temperature=float(how.temperature))
    adversaries = [Adversary(epsilon, start="image"), Adversary(epsilon), Adversary(epsilon, start="wide")]
    adversaries.append(Adversary(epsilon, how.steps))
    hardened = [dataclasses.replace(plain, adversary=adversary) for adversary in adversaries]
    normed = dataclasses.replace(plain, proximal=how.norms)
    return [plain, *hardened, normed, hot, dataclasses.replace(hot, teacher=hot)]


def figure(settings: Settings, name: FigureName) -> Figure:
    """A line for each defence."""
    return settings.figure(name, "defence", settings.each_attacked(networks))


ATTACKS: tuple[Method, ...] = ("fgsm", "pgd", "apgd", "auto")
FIGURES: dict[FigureName, FigureMaker] = {"16": figure}

if __name__ == "__main__":
    main(FIGURES, __doc__ or "", attacks=ATTACKS)
