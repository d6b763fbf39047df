"""The `[uncertainty]` of a study: priors over keys whose true values (of people or platform) are unknown."""

from __future__ import annotations

import math
from typing import Any, Literal

from pydantic import Field, model_validator

from ...config import Config
from ...errors import WrongFields

SHAPES = ("uniform", "log_uniform", "normal", "choice", "sample")
"""Families of priors."""
EXAMPLES = {
    "uniform": "{ uniform = [0.5, 0.95] }",
    "log_uniform": "{ log_uniform = [0.001, 0.1] }",
    "normal": "{ normal = [0.8, 0.1], low = 0.5, high = 0.95 }",
    "choice": '{ choice = ["cascade", "power"], weights = [0.7, 0.3] }',
    "sample": "{ sample = [0.31, 0.74, 0.52] }",
}
BLOCK = 20
"""Default number of seeds in a Latin hypercube."""
LEAST_MASS = 1e-3
"""Least probability of a normal prior between its bounds."""


class Prior(Config):
    """The prior of one key: exactly one of uniform, log_uniform, normal, choice and sample."""

    uniform: list[float] | None = None
    """[low, high]: all values in between are equally plausible."""
    log_uniform: list[float] | None = None
    """[low, high], both above 0: the logarithm is uniform."""
    normal: list[float] | None = None
    """[mean, standard deviation], truncated at low and high."""
    low: float | None = None
    """Lowest value of a normal prior; required."""
    high: float | None = None
    """Highest value of a normal prior; required."""
    choice: list[Any] | None = None
    """One of these values."""
    sample: list[Any] | None = None
    """The values of this key in joint rows: all samples of a study have equally many, and a draw takes the same row of all."""
    weights: list[float] | None = None
    """How plausible each choice or row is (they are normalized); equal if omitted."""
    whole: bool | None = None
    """Whether only whole numbers are drawn; by default yes if the key accepts only those. The distribution then
    extends from low − ½ to high + ½ and is rounded: each number has the probability of ½ to either side of it."""

    @property
    def shape(self) -> str:
        """The family of the prior, one of SHAPES."""
        return next(name for name in SHAPES if getattr(self, name) is not None)

    @property
    def bounds(self) -> tuple[float, float]:
        """Lowest and highest value that can be drawn; not for choices."""
        if self.normal is not None and self.low is not None and self.high is not None:
            return self.low, self.high
        if self.sample is not None and all(map(is_number, self.sample)):
            return min(self.sample), max(self.sample)
        low, high = self.uniform or self.log_uniform or (math.nan, math.nan)
        return low, high

    @model_validator(mode="after")
    def _consistent(self) -> Prior:
        given = [name for name in SHAPES if getattr(self, name) is not None]
        if len(given) != 1:
            found = "this one has " + " and ".join(given) if given else "this one has none of them"
            text = f"a prior is one of {', '.join(SHAPES)}, and {found}; for example {EXAMPLES['uniform']}"
            raise WrongFields(text, *SHAPES)
        shape = given[0]
        if shape in ("choice", "sample"):
            self._check_list(shape)
            return self
        if self.weights is not None:
            raise WrongFields(f"weights belong to a choice, not to {shape}; remove them", "weights", shape)
        self._check_range(shape)
        return self

    def _check_range(self, shape: str) -> None:
        pair = getattr(self, shape)
        if len(pair) != 2:
            wanted = "[mean, standard deviation]" if shape == "normal" else "[low, high]"
            text = (
                f"{shape} must be two numbers, {wanted}, but has {len(pair)}; for example {EXAMPLES[shape]}"
            )
            raise WrongFields(text, shape)
        if shape == "normal":
            missing = " and ".join(name for name in ("low", "high") if getattr(self, name) is None)
            if missing:
                raise WrongFields(
                    f"a prior without bounds: {missing} of the normal {'are' if ' and ' in missing else 'is'} missing; for example {EXAMPLES[shape]}",
                    "normal",
                    "low",
                    "high",
                )
            if pair[1] <= 0:
                text = f"the standard deviation of a normal must be above 0, but is {pair[1]:g}"
                raise WrongFields(text, "normal")
        elif self.low is not None or self.high is not None:
            text = f"low and high belong to a normal; {shape} has its bounds in its list"
            raise WrongFields(text, shape, "low", "high")
        low, high = self.bounds
        if low >= high:
            text = f"its low, {low:g}, is not below its high, {high:g}; one value alone is a choice of one"
            raise WrongFields(text, shape, "low", "high")
        if shape == "log_uniform" and low <= 0:
            raise WrongFields(f"log_uniform needs a low above 0, but it is {low:g}", shape)
        if self.whole and (low != round(low) or high != round(high)):
            text = f"whole numbers need whole bounds, but they are {low:g} and {high:g}"
            raise WrongFields(text, "whole", shape, "low", "high")
        if shape == "normal" and _mass(pair, self.bounds) < LEAST_MASS:
            raise WrongFields(
                f"a normal with mean {pair[0]:g} and standard deviation {pair[1]:g} is hardly ever between {low:g} and "
                f"{high:g}; move the bounds",
                "normal",
                "low",
                "high",
            )

    def _check_list(self, shape: str) -> None:
        values = getattr(self, shape)
        what = {"choice": "choices", "sample": "rows"}[shape]
        for name in ("low", "high", "whole"):
            if getattr(self, name) is not None:
                raise WrongFields(f"{name} does not belong to a {shape}; remove it", name, shape)
        if not values:
            raise WrongFields(f"the list of {what} is empty", shape)
        if shape == "choice" and any(value in values[:place] for place, value in enumerate(values)):
            raise WrongFields("the same choice is listed twice; give it a larger weight instead", "choice")
        if self.weights is None:
            return
        if len(self.weights) != len(values):
            text = f"has {len(values)} {what} and {len(self.weights)} weights; one for each"
            raise WrongFields(text, shape, "weights")
        if min(self.weights) <= 0 or not math.isfinite(sum(self.weights)):
            text = "every weight must be above 0; leave out what is not plausible"
            raise WrongFields(text, "weights")


def is_number(value: Any) -> bool:
    """Whether a value is a number; truth values are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _mass(normal: list[float], bounds: tuple[float, float]) -> float:
    """Return the probability of a normal between two bounds."""
    low, high = ((bound - normal[0]) / (normal[1] * math.sqrt(2)) for bound in bounds)
    return (math.erf(high) - math.erf(low)) / 2


class Uncertainty(Config):
    """Priors over keys of the study: one draw of all of them per seed, shared by all arms and grid points."""

    design: Literal["draws", "saltelli"] = "draws"
    """One draw per seed, or the rows of Saltelli's design, which Sobol' indices are computed from."""
    sampler: Literal["sobol", "latin_hypercube"] = "sobol"
    """Sampler of the draws: scrambled Sobol' points (Owen 1998), or a Latin hypercube for each block of seeds."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    """Seed of the sampler, independent of the seeds of the runs."""
    block: int = Field(default=BLOCK, ge=2, le=100_000)
    """Seeds in one Latin hypercube; more seeds add blocks and leave earlier ones unchanged."""
    base: int = Field(default=64, ge=2, le=2**16)
    """Pairs of independent draws in a Saltelli design: a power of two."""
    replicates: int = Field(default=2, ge=1, le=1000)
    """Runs of each row of a Saltelli design, each with its own random numbers, which are the same in every row."""
    second_order: bool = False
    """Whether a Saltelli design includes the rows for second-order indices."""
    sample: str | None = None
    """File of joint rows (Parquet, CSV or TSV): a column per dotted key, and `weight` if rows are not equally plausible. The
    rows are written into the priors when the study is loaded."""
    priors: dict[str, Prior] = {}
    """Dotted key → prior; may be left out with `sample`."""

    @model_validator(mode="before")
    @classmethod
    def _priors_in_their_table(cls, given: Any) -> Any:
        keys = [key for key in given if "." in key] if isinstance(given, dict) else []
        if keys:
            raise WrongFields(f'put "{keys[0]}" under [uncertainty.priors]', (keys[0],))
        return given

    @model_validator(mode="after")
    def _consistent(self) -> Uncertainty:
        if not self.priors:
            text = f'has neither priors nor a sample, so nothing is uncertain; for example "behavior.attention" = {EXAMPLES["uniform"]} in [uncertainty.priors]'
            raise WrongFields(text, "priors", "sample")
        if self.block != BLOCK and self.sampler != "latin_hypercube":
            text = 'block belongs to sampler = "latin_hypercube"; remove it'
            raise WrongFields(text, "block", "sampler")
        rows = {key: prior for key, prior in self.priors.items() if prior.sample is not None}
        if rows and self.design == "saltelli":
            text = "joint rows depend on each other, and Sobol' indices are for priors that do not; leave out design"
            raise WrongFields(text, "design", "sample", *(("priors", key) for key in rows))
        shapes = {(len(prior.sample or ()), tuple(prior.weights or ())) for prior in rows.values()}
        if len(shapes) > 1:
            text = "samples are joint rows: all need equally many values and the same weights"
            raise WrongFields(text, *(("priors", key, "sample") for key in rows))
        if self.design == "saltelli":
            if self.sampler != "sobol":
                text = 'design = "saltelli" is made of Sobol\' points; leave out sampler'
                raise WrongFields(text, "design", "sampler")
            if self.base & (self.base - 1):
                below = 1 << (self.base.bit_length() - 1)
                text = f"base = {self.base} is not a power of two ({below} or {2 * below})"
                raise WrongFields(text, "base", "design")
        return self

    def source(self, key: str) -> str:
        """Return where the values of a key come from, for messages."""
        if self.sample is not None and self.priors[key].sample is not None:
            return f'uncertainty.sample: {self.sample}, column "{key}"'
        return f'uncertainty.priors."{key}"'

    @property
    def joint_coordinate(self) -> int | None:
        """The coordinate that joint rows are drawn by; None without any."""
        placed = zip(self.coordinates, self.priors.values(), strict=True)
        return next((at for at, prior in placed if prior.sample is not None), None)

    @property
    def coordinates(self) -> list[int]:
        """The coordinate of each prior: its own, but one for all samples, which draw a row together."""
        found: list[int] = []
        joint = None
        for prior in self.priors.values():
            if prior.sample is not None and joint is not None:
                found.append(joint)
                continue
            found.append(max(found, default=-1) + 1)
            joint = found[-1] if prior.sample is not None else joint
        return found

    @property
    def rows_per_pair(self) -> int:
        """Rows that a Saltelli design makes of each pair of independent draws."""
        from ...analysis.saltelli import rows_per_pair

        return rows_per_pair({"second_order": self.second_order, "priors": self.priors})

    @property
    def seeds_needed(self) -> int | None:
        """Seeds of the whole Saltelli design; None for one draw per seed."""
        return self.base * self.rows_per_pair * self.replicates if self.design == "saltelli" else None
