"""The process that a worker process works for: whether it is still there, and where it finds modules."""

from __future__ import annotations

import os
import sys
from typing import NamedTuple


class Home(NamedTuple):
    """A process that has work done in others."""

    process: int
    """Its number."""
    path: tuple[str, ...]
    """Its `sys.path`: workers outlive a study, and policies of one's own may have come to lie elsewhere since."""

    @classmethod
    def here(cls) -> Home:
        """Return this process."""
        return cls(os.getpid(), tuple(sys.path))

    def settle(self) -> None:
        """Look for modules where home looks for them; end at once, in a worker, when home is gone."""
        self.quit_if_gone()
        sys.path[:] = self.path

    def quit_if_gone(self) -> None:
        """End this process when home is gone: there is nobody to hand a result or an error to."""
        if os.getppid() != self.process:
            os._exit(1)
