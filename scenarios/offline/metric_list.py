"""Parse the list of metrics of an option: `recall@20,ndcg@100,ncrr`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from ...errors import BadInput, did_you_mean
from .ranking_metrics import METRICS, Metric

DEFAULT = ("recall@20", "ndcg@10", "hr@10", "arp@20", "coverage@20")
_LONGEST = 1_000_000


@dataclass(frozen=True)
class RequestedMetric:
    """A metric with its cutoff."""

    name: str
    k: int | None

    @property
    def label(self) -> str:
        """The metric as it is written: "recall@20", "auc"."""
        return self.name if self.k is None else f"{self.name}@{self.k}"

    @property
    def definition(self) -> Metric:
        return METRICS[self.name]


def parse_metrics(text: str | Iterable[str], option: str = "--metrics") -> list[RequestedMetric]:
    """Return the metrics in the given order without repetitions. Raises BadInput with the allowed ones."""
    words = (
        text.split(",") if isinstance(text, str) else [part for one in text for part in str(one).split(",")]
    )
    found = [_parse(word.strip(), option) for word in words if word.strip()]
    if not found:
        raise BadInput(f"{option}: name at least one metric. {_allowed()}")
    return list(dict.fromkeys(found))


def _parse(word: str, option: str) -> RequestedMetric:
    name, at, k = word.lower().partition("@")
    name, k = name.strip(), k.strip()
    if name not in METRICS:
        raise BadInput(f'{option}: there is no metric "{word}".{did_you_mean(name, METRICS)} {_allowed()}')
    if not METRICS[name].cutoff:
        if at:
            raise BadInput(f'{option}: {name} looks at the whole ranking; write "{name}" instead of "{word}"')
        return RequestedMetric(name, None)
    if not at:
        raise BadInput(f'{option}: {name} needs a cutoff, for example "{name}@20"')
    if not re.fullmatch(r"[0-9]{1,7}", k) or not 1 <= int(k) <= _LONGEST:
        raise BadInput(f'{option}: "{word}": the cutoff must be a whole number from 1 to {_LONGEST}')
    return RequestedMetric(name, int(k))


def _allowed() -> str:
    return "Allowed: " + ", ".join(f"{name}@k" if one.cutoff else name for name, one in METRICS.items())
