"""Numbering the parts of an answer whose dialect sends deltas without saying where a part begins."""

from collections.abc import Hashable


class Blocks:
    """Gives each run of one kind a number; a tool call keeps its number however its deltas are mixed with others."""

    def __init__(self) -> None:
        self._current: dict[int, Hashable] = {}
        self._numbers: dict[tuple[int, Hashable], int] = {}
        self._next: dict[int, int] = {}

    def of(self, choice: int, kind: Hashable) -> int:
        """Number the block that a delta of this kind belongs to."""
        lasting = type(kind) is tuple
        if (self._current.get(choice) != kind and not lasting) or (choice, kind) not in self._numbers:
            self._numbers[choice, kind] = self.fresh(choice)
        self._current[choice] = kind
        return self._numbers[choice, kind]

    def fresh(self, choice: int) -> int:
        """Number a block of its own."""
        number = self._next.get(choice, 0)
        self._next[choice] = number + 1
        self._current.pop(choice, None)
        return number
