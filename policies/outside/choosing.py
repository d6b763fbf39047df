"""Selection of the protocol for a model of another library: by name, or from the model's methods."""

from __future__ import annotations

import importlib.util
from typing import Any

from ...errors import BadInput
from .lenskit_protocol import LensKit
from .models import accepts
from .protocols import Implicit, Name, Predict, Protocol, Recommend, Transform


def protocol_for(model: Any, name: Name, path: str) -> type[Protocol]:
    """Return the protocol class for a model; "auto" looks at its methods. BadInput if no protocol fits."""
    chosen = _guess(model) if name == "auto" else name
    if chosen == "lenskit" and importlib.util.find_spec("lenskit") is not None:
        return LensKit
    if chosen == "lenskit":
        raise BadInput('protocol = "lenskit" needs LensKit: pip install lenskit')
    needed = {
        "implicit": (Implicit, ("recommend",)),
        "recommend": (Recommend, ("recommend",)),
        "predict": (Predict, ("predict",)),
        "transform": (Transform, ("transform",)),
    }
    if chosen in needed:
        protocol, methods = needed[chosen]
        missing = [method for method in methods if not callable(getattr(model, method, None))]
        if not missing:
            return protocol
        raise BadInput(
            f'protocol = "{name}": {type(model).__name__} ("{path}") has no method {missing[0]}(). Leave '
            "protocol out to have it found"
        )
    raise BadInput(
        f'{type(model).__name__} ("{path}") is not a recommender that can be queried. It needs one of: '
        "recommend(userids, user_items, N), recommend(users, n), predict(X), transform(X) with "
        "inverse_transform(Z), or to be a LensKit component or pipeline; and fit(X), unless fitted = true. "
        "Anything else: write a class of your own (docs/your-own-recommender.md)"
    )


def _guess(model: Any) -> str:
    has = {name for name in ("fit", "train", "recommend", "predict", "transform") if hasattr(model, name)}
    if any(cls.__module__.split(".")[0] == "lenskit" for cls in type(model).__mro__):
        return "lenskit"
    if "recommend" in has:
        return "implicit" if accepts(model.recommend, "user_items") else "recommend"
    if "transform" in has and (hasattr(model, "inverse_transform") or "predict" not in has):
        return "transform"
    return "predict" if "predict" in has else ""
