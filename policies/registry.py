"""Registry of components: from `kind = "…"` in a study file to the class it names.

Built-in kinds are listed in a table and imported on first use, so listing them costs nothing. Third-party
kinds come from the entry-point groups `echodrift.policies`, `echodrift.rerankers` and
`echodrift.log_transforms`, from `@register("kind")`, or directly as `kind = "package.module:Class"`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from typing import Any, Literal, TypeVar

from ..config import plain
from ..errors import BadInput, did_you_mean
from .base import Component, LogTransform, Policy, Reranker

Category = Literal["policies", "rerankers", "log_transforms"]
T = TypeVar("T", bound=type[Component])

_BASES: dict[str, type[Component]] = {
    "policies": Policy,
    "rerankers": Reranker,
    "log_transforms": LogTransform,
}
_LABELS = {"policies": "policy", "rerankers": "reranker", "log_transforms": "log transform"}
_BUILT_IN: dict[str, dict[str, str]] = {
    "policies": {
        "adapter": "outside.adapter:Adapter",
        "bandit": "exploration.bandit:Bandit",
        "content": "content:Content",
        "ease": "histories.ease:Ease",
        "hashed_mf": "hashing.hashed_mf:HashedMF",
        "http": "outside.http_policy:Http",
        "ials": "factors.ials:IALS",
        "item_knn": "histories.item_knn:ItemKNN",
        "list_mf": "factors.list_mf:ListMF",
        "matrix_factorization": "factors.matrix_factorization:MatrixFactorization",
        "mult_dae": "neural.mult_dae:MultDAE",
        "mult_vae": "neural.mult_vae:MultVAE",
        "persona": "personas.persona:Persona",
        "popularity": "baselines:Popularity",
        "random": "baselines:Random",
        "sequential": "neural.sequential:Sequential",
        "social_mf": "social.social_mf:SocialMF",
        "social_poisson": "social.social_poisson:SocialPoisson",
        "spectral_mf": "factors.spectral_mf:SpectralMF",
        "user_knn": "histories.user_knn:UserKNN",
    },
    "rerankers": {
        "calibrated": "rerankers.calibrated:Calibrated",
        "consumption": "rerankers.consumption:Consumption",
        "dpp": "rerankers.dpp:DPP",
        "explore": "rerankers.explore:Explore",
        "exposure_fair": "rerankers.exposure_fair:ExposureFair",
        "mmr": "rerankers.mmr:MMR",
        "niche_floor": "rerankers.niche_floor:NicheFloor",
        "popularity_discount": "rerankers.popularity_discount:PopularityDiscount",
        "proportional": "rerankers.proportional:Proportional",
        "xquad": "rerankers.xquad:XQuAD",
    },
    "log_transforms": {
        "downweight_slate": "transforms.downweight_slate:DownweightSlate",
        "position_debias": "transforms.position_debias:PositionDebias",
        "purge": "transforms.purge:Purge",
        "recent_window": "transforms.recent_window:RecentWindow",
        "selection_debias": "transforms.selection_debias:SelectionDebias",
    },
}
_REGISTERED: dict[str, dict[str, type[Component]]] = {category: {} for category in _BASES}


def kinds(category: Category = "policies") -> list[str]:
    """Return the kinds that can be named, sorted: built-in, registered, and from installed packages."""
    return sorted({*_BUILT_IN[category], *_REGISTERED[category], *_installed(category)})


def register(kind: str) -> Callable[[T], T]:
    """Class decorator: register a policy, reranker or log transform under a kind in this process.

    Worker processes of a study do not import your modules: for studies use an entry point, or
    `kind = "package.module:Class"`.
    """

    def add(component: T) -> T:
        category = _category(component)
        if ":" in kind or not kind:
            raise BadInput(f'kind "{kind}" must be a name without ":"')
        known = _REGISTERED[category].get(kind)
        same = known is not None and _path(known) == _path(component)
        if kind in _BUILT_IN[category] or (known is not None and not same):
            raise BadInput(f'there is already a {_LABELS[category]} of kind "{kind}"; choose another name')
        component.kind = kind
        _REGISTERED[category][kind] = component
        return component

    return add


def is_built_in(category: Category, kind: str) -> bool:
    """Return whether a kind is echodrift's own, so that constructing it executes nobody else's code."""
    return kind in _BUILT_IN[category]


def is_known_to_workers(category: Category, kind: str) -> bool:
    """Return whether another process can find the class of a kind that exists."""
    if ":" in kind:
        return kind.partition(":")[0] != "__main__"
    if kind in _REGISTERED[category]:
        return kind in _installed(category)
    return True


def target_of(category: Category, kind: str) -> str:
    """Return the "module:Class" behind a kind that is not built in; nothing is imported."""
    if ":" in kind:
        return kind
    known = _REGISTERED[category].get(kind)
    return _path(known) if known is not None else _installed(category).get(kind, kind)


def policy_class(kind: str) -> type[Policy]:
    """Return the policy class of a kind; BadInput with the closest match if there is none."""
    return _find("policies", kind)  # type: ignore[return-value]


def reranker_class(kind: str) -> type[Reranker]:
    """Return the reranker class of a kind; BadInput with the closest match if there is none."""
    return _find("rerankers", kind)  # type: ignore[return-value]


def log_transform_class(kind: str) -> type[LogTransform]:
    """Return the log transform class of a kind; BadInput with the closest match if there is none."""
    return _find("log_transforms", kind)  # type: ignore[return-value]


def build_policy(spec: Mapping[str, Any]) -> Policy:
    """Return the policy that `{kind = …, field = value, …}` describes; BadInput if it cannot be built."""
    return _build("policies", spec)  # type: ignore[return-value]


def build_reranker(spec: Mapping[str, Any]) -> Reranker:
    """Return the reranker that `{kind = …, field = value, …}` describes; BadInput if it cannot be built."""
    return _build("rerankers", spec)  # type: ignore[return-value]


def build_log_transform(spec: Mapping[str, Any]) -> LogTransform:
    """Return the log transform that `{kind = …, field = value, …}` describes; BadInput if it cannot be built."""
    return _build("log_transforms", spec)  # type: ignore[return-value]


def spec_of(component: Component) -> dict[str, Any]:
    """Return the spec that builds an equal component; defaults are included, unset fields (None) are not."""
    cls = type(component)
    known = _find_name(cls)
    fields = component.config.model_dump(mode="json", exclude_none=True)
    return {"kind": known or _path(cls), **fields}


def _build(category: str, spec: Mapping[str, Any]) -> Component:
    label = _LABELS[category]
    if not isinstance(spec, Mapping):
        raise BadInput(
            f'a {label} is written as a table, e.g. {{ kind = "{_example(category)}" }}; got {spec!r}'
        )
    fields = dict(spec)
    if "kind" not in fields:
        raise BadInput(f"a {label} needs a kind. Allowed: {', '.join(kinds(category))}")  # type: ignore[arg-type]
    kind = plain(fields.pop("kind"), f"the kind of a {label}")
    return _find(category, kind)(**fields)


def _example(category: str) -> str:
    return next(iter(_BUILT_IN[category]), "package.module:Class")


def _find(category: str, kind: str) -> type[Component]:
    if not isinstance(kind, str):
        raise BadInput(f"the kind of a {_LABELS[category]} is a name, got {kind!r}")
    if ":" in kind:
        return _checked(category, kind, _import(*kind.split(":", 1), kind=kind))
    if kind in _BUILT_IN[category]:
        module, name = _BUILT_IN[category][kind].split(":")
        return getattr(importlib.import_module(f".{module}", __package__), name)
    if kind in _REGISTERED[category]:
        return _REGISTERED[category][kind]
    installed = _installed(category)
    if kind in installed:
        target = installed[kind]
        return _checked(category, kind, _import(*target.split(":", 1), kind=kind))
    allowed = kinds(category)  # type: ignore[arg-type]
    raise BadInput(
        f'there is no {_LABELS[category]} of kind "{kind}".{did_you_mean(kind, allowed)} '
        f'Allowed: {", ".join(allowed) or "none built in"}; or "package.module:Class" for one of your own'
    )


def _installed(category: str) -> dict[str, str]:
    """Return kind → "module:Class" of the installed entry points; nothing is imported."""
    return {entry.name: entry.value for entry in entry_points(group=f"echodrift.{category}")}


def _import(module: str, name: str = "", *, kind: str) -> Any:
    try:
        found = importlib.import_module(module)
    except (ImportError, ValueError, TypeError) as error:
        raise BadInput(
            f'kind "{kind}": module "{module}" cannot be imported ({error}). It must be installed, or its '
            "folder must be on PYTHONPATH"
        ) from error
    try:
        for part in name.split("."):
            found = getattr(found, part)
    except AttributeError:
        raise BadInput(
            f'kind "{kind}": "{module}" has no "{name}".{did_you_mean(name, dir(found))}'
        ) from None
    return found


def _checked(category: str, kind: str, found: Any) -> type[Component]:
    base = _BASES[category]
    if not (isinstance(found, type) and issubclass(found, base)):
        raise BadInput(
            f'kind "{kind}" is not a {_LABELS[category]}: it must be a class derived from '
            f"echodrift.policies.{base.__name__}, got {found!r}"
        )
    if not hasattr(found, "kind"):
        found.kind = kind
    return found


def _category(component: type[Component]) -> str:
    for category, base in _BASES.items():
        if isinstance(component, type) and issubclass(component, base):
            return category
    raise BadInput(f"{component!r} is not a policy, reranker or log transform")


def _find_name(cls: type[Component]) -> str | None:
    """Return the kind under which this class is registered, without importing anything new."""
    category = _category(cls)
    name = getattr(cls, "kind", "")
    if name in _BUILT_IN[category]:
        module, attribute = _BUILT_IN[category][name].split(":")
        return name if _path(cls) == f"{__package__}.{module}:{attribute}" else None
    if _REGISTERED[category].get(name) is cls or _installed(category).get(name) == _path(cls):
        return name
    return None


def _path(cls: type) -> str:
    return f"{cls.__module__}:{cls.__qualname__}"
