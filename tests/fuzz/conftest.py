"""What the fuzz tests share: their generators lie beside them, and `ECHODRIFT_FUZZ=long` makes them long."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def is_long() -> bool:
    """Whether the long size was asked for: `ECHODRIFT_FUZZ=long pytest tests/fuzz`."""
    return os.environ.get("ECHODRIFT_FUZZ") == "long"
