"""echodrift: what a recommender does to taste, before you ship it.

Everything is imported when it is first used, so that `import echodrift` costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .errors import BadInput, EchodriftError, ExitCode, PolicyError, StorageError
    from .policies.testing import check_policy
    from .scenarios.api import gate, loop, run
    from .scenarios.calibration.calibrate import calibrate
    from .scenarios.calibration.calibration import Calibration
    from .scenarios.design.load import load_study
    from .scenarios.inspection.verify import verify
    from .scenarios.offline.evaluate import evaluate
    from .scenarios.offline.tune import tune
    from .scenarios.result import Result
    from .scenarios.specs.study import Arm, Study

    __version__: str

__all__ = [
    "Arm",
    "BadInput",
    "Calibration",
    "EchodriftError",
    "ExitCode",
    "PolicyError",
    "Result",
    "StorageError",
    "Study",
    "__version__",
    "calibrate",
    "check_policy",
    "evaluate",
    "gate",
    "load_study",
    "loop",
    "run",
    "tune",
    "verify",
]

_HOMES = {
    "Arm": "scenarios.specs.study",
    "BadInput": "errors",
    "Calibration": "scenarios.calibration.calibration",
    "EchodriftError": "errors",
    "ExitCode": "errors",
    "PolicyError": "errors",
    "Result": "scenarios.result",
    "StorageError": "errors",
    "Study": "scenarios.specs.study",
    "calibrate": "scenarios.calibration.calibrate",
    "check_policy": "policies.testing",
    "evaluate": "scenarios.offline.evaluate",
    "load_study": "scenarios.design.load",
    "gate": "scenarios.api",
    "loop": "scenarios.api",
    "run": "scenarios.api",
    "tune": "scenarios.offline.tune",
    "verify": "scenarios.inspection.verify",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("echodrift")
    elif name in _HOMES:
        from importlib import import_module

        value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
