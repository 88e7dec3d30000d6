"""What only the emulated card has."""

from .memory import check_guards as check_guards
