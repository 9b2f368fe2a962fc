"""What a request loses on its way to one provider: the two lists of a `WireRequest`, each name once, in order of discovery."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Losses:
    """`approximate` is the ask's: whether what has no field may be written another way."""

    approximate: bool = True
    dropped: list[str] = field(default_factory=list)
    mapped: list[str] = field(default_factory=list)

    def drop(self, name: str) -> None:
        if name not in self.dropped:
            self.dropped.append(name)

    def near(self, name: str) -> bool:
        """Whether to write `name` another way. Notes it as mapped if so, as dropped if not."""
        if not self.approximate:
            self.drop(name)
            return False
        if name not in self.mapped:
            self.mapped.append(name)
        return True
