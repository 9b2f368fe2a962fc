"""What is noted while a chat is written as a Messages request."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgegate.dialects.losses import Losses


@dataclass(slots=True)
class Notes(Losses):
    """Losses, and the values of the anthropic-beta header that the request needs."""

    betas: list[str] = field(default_factory=list)

    def beta(self, name: str) -> None:
        if name not in self.betas:
            self.betas.append(name)
