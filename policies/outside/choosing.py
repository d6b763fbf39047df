"""Selection of the protocol for a model of another library: by name, or from the model's methods."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Any

from ...errors import BadInput
from .lenskit_protocol import LensKit
from .models import accepts, check_target, is_factory
from .protocols import Implicit, Name, Predict, Protocol, Recommend, Transform


def check_model(found: Any, arguments: Mapping[str, Any], name: Name, fitted: bool, path: str) -> None:
    """Raise BadInput for a class, function or model that is no recommender. Nothing is called.

    What a function returns, and what a class only gives its instances, is checked when a run builds the model.
    """
    check_target(found, arguments, path)
    is_class = isinstance(found, type)
    if is_factory(found) and not is_class or is_class and hasattr(found, "__getattr__"):
        return
    if protocol_for(found, name, path) is LensKit or fitted or callable(getattr(found, "fit", None)):
        return
    title = found.__name__ if is_class else type(found).__name__
    raise BadInput(
        f'{title} ("{path}") has no method fit(), so it cannot be trained. A model that is trained already is '
        "queried with fitted = true"
    )


def protocol_for(model: Any, name: Name, path: str) -> type[Protocol]:
    """Return the protocol class for a model or its class; "auto" looks at its methods. BadInput if none fits."""
    title = (model if isinstance(model, type) else type(model)).__name__
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
            f'protocol = "{name}": {title} ("{path}") has no method {missing[0]}(). Leave '
            "protocol out to have it found"
        )
    raise BadInput(
        f'{title} ("{path}") is not a recommender that can be queried. It needs one of: '
        "recommend(userids, user_items, N), recommend(users, n), predict(X), transform(X) with "
        "inverse_transform(Z), or to be a LensKit component or pipeline; and fit(X), unless fitted = true. "
        "Anything else: write a class of your own (docs/your-own-recommender.md)"
    )


def _guess(model: Any) -> str:
    has = {name for name in ("fit", "train", "recommend", "predict", "transform") if hasattr(model, name)}
    if any(
        cls.__module__.split(".")[0] == "lenskit"
        for cls in (model if isinstance(model, type) else type(model)).__mro__
    ):
        return "lenskit"
    if "recommend" in has:
        return "implicit" if accepts(model.recommend, "user_items") else "recommend"
    if "transform" in has and (hasattr(model, "inverse_transform") or "predict" not in has):
        return "transform"
    return "predict" if "predict" in has else ""
