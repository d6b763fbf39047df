"""The contract suite: checks that every policy, reranker and log transform must pass, built-in or yours.

    from echodrift.policies.testing import check_policy
    check_policy("my_package.my_module:MyPolicy", dim=8)

The first failure raises an AssertionError that names the clause; otherwise the names of the passed clauses
are returned. Policies that ask a service over the network may skip "determinism".
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from ...errors import BadInput, PolicyError
from ..base import Component, LogTransform, Policy, Reranker
from ..registry import log_transform_class, policy_class, reranker_class
from ..validation import validate_ranking
from .log_transform_clauses import LOG_TRANSFORM_CLAUSES
from .policy_clauses import POLICY_CLAUSES, Clauses
from .reranker_clauses import RERANKER_CLAUSES

__all__ = ["check_log_transform", "check_policy", "check_reranker", "validate_ranking"]


def check_policy(
    policy: Policy | type[Policy] | str, /, *, skip: Collection[str] = (), **fields: Any
) -> list[str]:
    """Run the contract suite on a policy and return the names of the clauses it passed.

    `policy` is a kind, a class (built with `fields`), or an instance (copies of it are built from its
    configuration). AssertionError names the clause that failed. `skip` leaves clauses out by name.
    """
    cls = policy_class(policy) if isinstance(policy, str) else policy
    return _run(cls, Policy, POLICY_CLAUSES, skip, fields)


def check_reranker(
    reranker: Reranker | type[Reranker] | str, /, *, skip: Collection[str] = (), **fields: Any
) -> list[str]:
    """Run the contract suite on a reranker and return the names of the clauses it passed; see `check_policy`."""
    cls = reranker_class(reranker) if isinstance(reranker, str) else reranker
    return _run(cls, Reranker, RERANKER_CLAUSES, skip, fields)


def check_log_transform(
    transform: LogTransform | type[LogTransform] | str, /, *, skip: Collection[str] = (), **fields: Any
) -> list[str]:
    """Run the contract suite on a log transform and return the names of the clauses it passed; see `check_policy`."""
    cls = log_transform_class(transform) if isinstance(transform, str) else transform
    return _run(cls, LogTransform, LOG_TRANSFORM_CLAUSES, skip, fields)


def _run(
    component: Any,
    base: type[Component],
    clauses: Clauses,
    skip: Collection[str],
    fields: dict[str, Any],
) -> list[str]:
    if isinstance(component, base):
        fields = {**component.config.model_dump(), **fields}
        component = type(component)
    if not (isinstance(component, type) and issubclass(component, base)):
        raise BadInput(f"{component!r} is not a {base.__name__}: give a kind, a class or an instance")
    unknown = sorted(set(skip) - set(clauses))
    if unknown:
        raise BadInput(f'there is no clause "{unknown[0]}". Allowed: {", ".join(clauses)}')
    passed = []
    for name, clause in clauses.items():
        if name in skip:
            continue
        try:
            clause(lambda: component(**fields))
        except Exception as error:
            problem = str(error) if isinstance(error, (AssertionError, PolicyError)) else repr(error)
            raise AssertionError(f'{component.__name__} fails the clause "{name}": {problem}') from error
        passed.append(name)
    return passed
