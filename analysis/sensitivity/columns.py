"""Convert columns of draws from priors to numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

MAX_LEVELS = 6
"""Most distinct values of a column that still count as levels rather than a range."""


def is_number(column: pd.Series) -> bool:
    """Whether a column is numeric (Booleans are categories)."""
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    return is_numeric_dtype(column) and not is_bool_dtype(column)


def codes(column: pd.Series) -> NDArray[np.float64]:
    """Return a column as numbers: categories by alphabetical rank."""
    if is_number(column):
        return column.to_numpy(np.float64)
    _, rank = np.unique(column.astype(str).to_numpy(object).astype(str), return_inverse=True)
    return rank.astype(np.float64)
