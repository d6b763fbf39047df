"""Sensitivity analysis over priors: which assumption drives a result, and a response surface over the draws."""

from .given_data import ENOUGH_DRAWS, MIN_DRAWS, REST, REST_LABEL, indices
from .pairs import sobol_indices
from .surface import Flip, Response, response
from .table import sensitivity

__all__ = [
    "ENOUGH_DRAWS",
    "MIN_DRAWS",
    "REST",
    "REST_LABEL",
    "Flip",
    "Response",
    "indices",
    "response",
    "sensitivity",
    "sobol_indices",
]
