"""Check that a list of rerankers is compatible with a policy, before anything runs."""

from __future__ import annotations

from collections.abc import Sequence

from ...errors import BadInput
from ..base import Policy, Reranker


def check_chain(policy: Policy | type[Policy], rerankers: Sequence[Reranker | type[Reranker]]) -> None:
    """Raise BadInput if a reranker weighs scores that the policy does not give.

    Of a class, a property is not called: what it says is checked when a run has built it.
    """
    if policy.gives_scores is not False:
        return
    for reranker in rerankers:
        if reranker.uses_scores is True or reranker.uses_scores is Reranker.uses_scores:
            raise BadInput(
                f'reranker "{reranker.kind}" weighs scores, but policy "{policy.kind}" only gives an order. Use a '
                "policy with scores, or rerankers that use the order only: niche_floor, explore with strategy = "
                '"epsilon"'
            )
