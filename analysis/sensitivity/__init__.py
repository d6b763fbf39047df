"""Which assumption drives the answer: sensitivity indices, and a response surface over the draws of the priors."""

from .given_data import ENOUGH, FEWEST, REST, REST_TOLD, indices
from .pairs import sobol_indices
from .surface import Flip, Response, response
from .table import sensitivity

__all__ = [
    "ENOUGH",
    "FEWEST",
    "REST",
    "REST_TOLD",
    "Flip",
    "Response",
    "indices",
    "response",
    "sensitivity",
    "sobol_indices",
]
