"""pytest finds no tests here: the emulated card is imported as ``cupy``, and only by those who ask for it."""

collect_ignore = ["cuda", "cupy", "registers.py"]
