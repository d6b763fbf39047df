"""Study files as tests/fuzz needs them: case(number) is the same text on every machine.

Four families: studies made from the schema itself, the same with mistakes in them, their bytes damaged, and studies of
the library made tiny. `python tests/fuzz/studies.py NUMBER` prints a case.
"""

from __future__ import annotations

import copy
import math
import sys
import tomllib
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import numpy as np
import tomli_w
from echodrift.agents.behavior import Behavior
from echodrift.agents.settings import CreatorConfig, Group, WorldConfig
from echodrift.analysis.measures import MEASURES
from echodrift.policies.registry import kinds, log_transform_class, policy_class, reranker_class
from echodrift.scenarios.specs.files import library
from echodrift.sim.platform import Platform
from numpy.random import Generator, default_rng
from pydantic import BaseModel
from pydantic.fields import FieldInfo

SEED = 13
"""Seed of all cases."""
FAMILIES = ("made", "made", "mistaken", "damaged", "library")
"""Family of a case: that at its number, modulo their count."""
SLOW = ("mult_dae", "mult_vae", "sequential")
"""Policies whose first fit compiles for seconds: made in one study of twenty."""
OUTSIDE = ("adapter", "http")
"""Policies that need something outside the study."""
TINY = {
    "users": (1, 60),
    "items": (1, 80),
    "topics": (1, 12),
    "providers": (1, 100),
    "communities": (1, 80),
    "slate": (1, 12),
    "warmup": (0, 8),
    "dim": (1, 12),
    "attention_dim": (1, 12),
    "hidden": (1, 12),
    "heads": (1, 3),
    "layers": (1, 3),
    "personas": (1, 6),
    "iterations": (1, 3),
    "refit_iterations": (1, 2),
    "cg_steps": (1, 9),
    "negatives": (1, 40),
    "max_length": (1, 12),
    "slots": (1, 2000),
    "replay": (0, 3),
    "list_length": (1, 12),
    "production": (0, 3),
    "entry": (0, 3),
    "arrivals": (0, 9),
    "most_items": (0, 20_000),
    "regularization": (0.01, 1e9),
    "l2": (1.0, 1e9),
    "learning_rate": (1e-6, 0.5),
    "confidence": (0, 100),
    "social_weight": (0, 100),
    "lambda_p": (0, 10),
    "lambda_n": (0, 10),
}
"""Fields that time or memory grow with, or beyond which training diverges, which a run tells: the range that is made.
All others go to their own bounds."""
ODD_TEXTS = (
    "", " ", "a", "ä", "名前", "\u202eabc", "a\tb", "a\nb", "a\x00b", "\x1b[31m", "\x7f", "\ud800", "x" * 5000, "[*]",
    "a]b", "arms[0]", "../../x", "NaN", "=cmd()", "<b>", "'; drop", "%s", "{}", "\U0001f600", "\ufeff", "none",
)  # fmt: skip
ODD_VALUES: tuple[Any, ...] = (
    True, False, 0, -1, 1, 2, 1.5, -0.0, 1e-320, 1e308, -1e308, math.nan, math.inf, -math.inf, 2**31, 2**53, 2**63 - 1,
    2**63, -(2**63), 10**30, 10**400, [], [[]], [1], ["a"], [{}], {}, {"kind": "popularity"}, {"a": {"b": {}}}, {"": 1},
    "all", "auto", "never", "organic", "popularity", "a.b:C", "os:system", ":", "kind", [0] * 3, [1e308, -1e308],
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One study file, and the options that it is loaded with."""

    number: int
    family: str
    text: bytes
    options: tuple[str, ...] = ()

    def __str__(self) -> str:
        options = "".join(f"\n  --set {option!r}" for option in self.options)
        return f"case {self.number} ({self.family}){options}\n{self.text.decode('utf-8', 'backslashreplace')}"


def case(number: int) -> Case:
    """Return a case."""
    rng = default_rng([SEED, number])
    family = FAMILIES[number % len(FAMILIES)]
    if family == "library":
        data: dict[str, Any] = _shrunk(rng)
        for _ in range(int(rng.integers(0, 3))):
            _mistake(rng, data)
    else:
        data = made(rng)
        for _ in range(int(rng.integers(1, 4)) if family == "mistaken" else 0):
            _mistake(rng, data)
    text = _written(data, rng)
    if family == "damaged":
        text = _damaged(rng, text)
    options = tuple(_option(rng) for _ in range(int(rng.integers(1, 4)))) if rng.random() < 0.2 else ()
    return Case(number, family, text, options if family != "made" else ())


# --- Studies from the schema ------------------------------------------------------------------------------------------


class Maker:
    """Draws the values of configuration models from their own types and bounds."""

    def __init__(self, rng: Generator) -> None:
        self.rng = rng
        self.filled = rng.choice([0.05, 0.2, 0.6])
        """How many of the optional fields are written."""
        self.extreme = rng.choice([0.0, 0.1, 0.5])
        """How many numbers are at a bound of their field."""

    def pick(self, values: Any) -> Any:
        return values[int(self.rng.integers(len(values)))]

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def table(self, model: type[BaseModel], skip: tuple[str, ...] = ()) -> dict[str, Any]:
        """Return fields of a model."""
        found = {}
        for name, field in model.model_fields.items():
            if name not in skip and (field.is_required() or self.chance(self.filled)):
                value = self.value(name, field.annotation, field)
                if value is not None:
                    found[name] = value
        return found

    def value(self, name: str, kind: Any, field: FieldInfo) -> Any:
        """Return a value of a type, within the bounds of its field; None for none."""
        bounds = list(field.metadata)
        while get_origin(kind) is Annotated:
            kind, *extra = get_args(kind)
            for each in extra:
                bounds += each.metadata if isinstance(each, FieldInfo) else [each]
        origin = get_origin(kind)
        if origin in (Union, types.UnionType):
            return self.value(name, self.pick([each for each in get_args(kind)]), field)
        if origin is Literal:
            return self.pick(get_args(kind))
        if kind is types.NoneType:
            return None
        if kind is bool:
            return self.chance(0.5)
        if kind is int:
            return self.whole(name, _bounds(bounds), field.default)
        if kind is float:
            return self.number(name, _bounds(bounds), field.default)
        if origin in (list, tuple):
            inside = get_args(kind)[0]
            return [self.value(name, inside, field) for _ in range(int(self.rng.integers(0, 4)))]
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return self.table(kind)
        return self.pick(["a", "b"])

    def whole(self, name: str, bounds: dict[str, Any], default: Any) -> int:
        low = bounds.get("ge", bounds.get("gt", -(2**63) - 1) + 1)
        high = bounds.get("le", bounds.get("lt", 2**63) - 1)
        if name in TINY:
            low, high = max(low, TINY[name][0]), min(high, TINY[name][1])
            value = (
                self.pick([low, high]) if self.chance(self.extreme) else int(self.rng.integers(low, high + 1))
            )
        elif self.chance(self.extreme):
            value = self.pick([low, high, min(low + 1, high)])
        elif isinstance(default, int) and self.chance(0.3):
            value = default
        else:
            value = int(self.rng.integers(low, min(high, low + self.pick([2, 10, 1000])) + 1))
        step = bounds.get("multiple_of")
        return value if step is None else max(low, value - value % step)

    def number(self, name: str, bounds: dict[str, Any], default: Any) -> float:
        tiny = 5e-324
        low = bounds.get("ge", math.nextafter(bounds["gt"], math.inf) if "gt" in bounds else -1.7e308)
        high = bounds.get("le", math.nextafter(bounds["lt"], -math.inf) if "lt" in bounds else 1.7e308)
        if name in TINY:
            low, high = max(low, TINY[name][0]), min(high, TINY[name][1])
        if self.chance(self.extreme):
            return float(self.pick([low, high, min(max(tiny, low), high), min(max(1e-9, low), high)]))
        usual = float(default) if isinstance(default, int | float) and default else 1.0
        return float(np.clip(usual * self.rng.lognormal(0, self.pick([0.2, 1.0, 3.0])), low, high))


def _bounds(metadata: list[Any]) -> dict[str, Any]:
    names = ("ge", "gt", "le", "lt", "multiple_of")
    found: dict[str, Any] = {}
    for each in metadata:
        found |= {name: getattr(each, name) for name in names if getattr(each, name, None) is not None}
    return found


def made(rng: Generator) -> dict[str, Any]:
    """Return a study that is mostly allowed, tiny, and at the bounds of some of its fields."""
    make = Maker(rng)
    rounds = int(rng.integers(1, 7))
    study: dict[str, Any] = {
        "name": make.pick(["tiny", "ein Name", "名前", "a" * 300, "x/y", " "]),
        "rounds": rounds,
        "seeds": make.pick([1, 2, [7], [0, 2**63 - 1], [3, 1]]),
        "world": _world(make),
        "behavior": make.table(Behavior),
        "platform": {"slate": 3, "warmup": 3, **make.table(Platform)},
    }
    study["platform"]["slate"] = min(study["platform"]["slate"], study["world"]["items"])
    arms = [_arm(make, study, number) for number in range(int(rng.integers(1, 4)))]
    study["arms"] = arms
    if make.chance(0.3):
        study["reference"] = make.pick(arms)["name"]
    if make.chance(0.4):
        study["measures"] = list(rng.choice(list(MEASURES), int(rng.integers(1, 6)), replace=False))
        study["primary"] = study["measures"][:2]
    if make.chance(0.3):
        study["split_by"] = make.pick([["group"], ["community"], ["group", "community"]])
    for varied in (_grid, _zip, _uncertainty, _gate):
        if make.chance(0.12):
            varied(make, study)
    return _plain(study)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value.item() if isinstance(value, np.generic) else value


def _world(make: Maker) -> dict[str, Any]:
    skip = ("preset", "groups", "creators", "taste_shares", "tastes")
    world = {"users": 20, "items": 30, "topics": 5, **make.table(WorldConfig, skip)}
    if make.chance(0.4):
        count = int(make.rng.integers(1, min(4, world["topics"]) + 1))
        shares = sorted(make.rng.dirichlet(np.ones(count)).tolist(), reverse=True)
        if min(shares) > 0:
            world["taste_shares"] = make.pick([shares, "dirichlet", [1.0] * count])
    if "taste_shares" not in world or world["taste_shares"] == "dirichlet":
        world |= {"taste_shares": "dirichlet", "tastes": int(make.rng.integers(1, world["topics"] + 1))}
    if make.chance(0.3):
        count = int(make.rng.integers(1, 5))
        parts = make.pick([np.full(count, 1 / count), make.rng.dirichlet(np.full(count, 0.3))])
        world["groups"] = [
            {
                **make.table(Group, ("name", "share", "taste_shares")),
                "name": f"g{i}",
                "share": max(float(part), 1e-12),
            }
            for i, part in enumerate(parts)
        ]
    if make.chance(0.2):
        world["creators"] = make.table(CreatorConfig)
        world["arrivals"] = 0
    kind = world.get("graph", {}).get("kind")
    if kind == "edges" or kind is None:
        world["graph"] = make.pick([{"kind": "none"}, {"kind": "watts_strogatz", "degree": 2}])
    if kind == "watts_strogatz":
        most = max(2, (world["users"] - 1) // 2 * 2)
        world["graph"]["degree"] = int(min(world["graph"].get("degree", 10), most))
    if kind in ("barabasi_albert", "powerlaw_cluster"):
        world["graph"]["attach"] = int(min(world["graph"].get("attach", 5), max(1, world["users"] - 1)))
    return world


def _component(make: Maker, kind: str, model: type[BaseModel]) -> dict[str, Any]:
    return {"kind": kind, **make.table(model)}


def _policy(make: Maker) -> dict[str, Any]:
    names = [*kinds("policies"), "organic", "oracle_item", "oracle_slate"]
    kind = make.pick([name for name in names if name not in OUTSIDE + SLOW])
    if make.chance(0.05):
        kind = make.pick(SLOW)
    if kind in ("organic", "oracle_item"):
        return {"kind": kind}
    if kind == "oracle_slate":
        return {"kind": kind, "objective": make.pick(["hit", "surplus"])}
    spec = _component(make, kind, policy_class(kind).Config)
    if kind == "bandit":
        inside = make.pick(["matrix_factorization", "ials", "spectral_mf", "list_mf", "social_mf"])
        spec["policy"] = _component(make, inside, policy_class(inside).Config)
    return spec


def _rerank(make: Maker) -> list[dict[str, Any]]:
    names = [make.pick(kinds("rerankers")) for _ in range(int(make.rng.integers(1, 3)))]
    return [_component(make, name, reranker_class(name).Config) for name in names]


def _transform(make: Maker) -> list[dict[str, Any]]:
    names = [make.pick(kinds("log_transforms")) for _ in range(int(make.rng.integers(1, 3)))]
    return [_component(make, name, log_transform_class(name).Config) for name in names]


def _arm(make: Maker, study: dict[str, Any], number: int) -> dict[str, Any]:
    arm: dict[str, Any] = {
        "name": make.pick(["a", "b c", "d.e", "ä名", "[x]"]) + str(number),
        "policy": _policy(make),
    }
    is_reference = arm["policy"]["kind"] in ("organic", "oracle_item", "oracle_slate")
    if make.chance(0.35) and not is_reference:
        arm["rerank"] = _rerank(make)
    if make.chance(0.2) and not is_reference:
        arm["transform"] = _transform(make)
    if make.chance(0.2):
        arm["platform"] = make.table(Platform, ("warmup", "hidden_ties"))
    if make.chance(0.2):
        arm["switch"] = [_switch(make, study, arm) for _ in range(int(make.rng.integers(1, 3)))]
    return arm


def _switch(make: Maker, study: dict[str, Any], arm: dict[str, Any]) -> dict[str, Any]:
    first = int(make.rng.integers(0, study["rounds"]))
    switch: dict[str, Any] = {"round": first}
    if make.chance(0.3):
        switch["until"] = int(make.rng.integers(first + 1, study["rounds"] + 1))
    changes: dict[str, Callable[[], Any]] = {
        "policy": lambda: _policy(make),
        "rerank": lambda: _rerank(make) if make.chance(0.8) else [],
        "slate": lambda: int(make.rng.integers(1, 12)),
        "recommend": lambda: make.chance(0.3),
        "retrain_every": lambda: int(make.rng.integers(1, 9)),
        "transform": lambda: _transform(make) if make.chance(0.8) else [],
        "purge": lambda: _transform(make),
    }
    name = make.pick(list(changes))
    switch[name] = changes[name]()
    if name not in ("retrain_every", "transform", "purge") and make.chance(0.5):
        groups = [f"group={group['name']}" for group in study["world"].get("groups", [])]
        switch["users"] = make.pick([0.5, 1e-9, 1.0, "community=0", *groups])
        if make.chance(0.3):
            switch["ramp"] = int(make.rng.integers(1, study["rounds"] + 1))
    return switch


def _varied(make: Maker, study: dict[str, Any]) -> tuple[str, list[Any]]:
    """Return a key, and values that it may take."""
    part, model = make.pick([("behavior", Behavior), ("world", WorldConfig), ("platform", Platform)])
    skip = (
        "preset", "groups", "creators", "graph", "users", "items", "topics", "tastes", "taste_shares", "slate",
    )  # fmt: skip
    name = make.pick([name for name in model.model_fields if name not in skip])
    field = model.model_fields[name]
    values: list[Any] = []
    for _ in range(int(make.rng.integers(1, 4))):
        value = make.value(name, field.annotation, field)
        if value is not None and value not in values:
            values.append(value)
    return make.pick(
        [(f"{part}.{name}", values), ("rounds", [1, study["rounds"] + 1]), ("platform.slate", [1, 2])]
    )


def _grid(make: Maker, study: dict[str, Any]) -> None:
    study["grid"] = dict(_varied(make, study) for _ in range(int(make.rng.integers(1, 3))))


def _zip(make: Maker, study: dict[str, Any]) -> None:
    tables = dict(_varied(make, study) for _ in range(2))
    least = min(map(len, tables.values()))
    study["zip"] = [{key: values[:least] for key, values in tables.items()}]


def _uncertainty(make: Maker, study: dict[str, Any]) -> None:
    priors: dict[str, Any] = {}
    for _ in range(int(make.rng.integers(1, 4))):
        key, values = _varied(make, study)
        numbers = sorted(v for v in values if isinstance(v, int | float) and not isinstance(v, bool))
        if len(numbers) < 2:
            priors[key] = {"choice": values}
        else:
            low, high = numbers[0], numbers[-1]
            priors[key] = make.pick(
                [
                    {"uniform": [low, high]},
                    {"log_uniform": [low, high]},
                    {"normal": [low / 2 + high / 2, high / 4 - low / 4], "low": low, "high": high},
                    {"choice": values},
                ]
            )
    study["uncertainty"] = {"priors": priors, "sampler": make.pick(["sobol", "latin_hypercube"])}


def _gate(make: Maker, study: dict[str, Any]) -> None:
    arms = [arm["name"] for arm in study["arms"]]
    measures = study.get("measures") or list(MEASURES)
    bounds = ["baseline", "baseline - 0.01", "baseline * 0.9", 0.2, -1, "baseline + 1e9"]
    lines = [
        {"measure": make.pick(measures), make.pick(["at_least", "at_most"]): make.pick(bounds)}
        for _ in range(int(make.rng.integers(1, 3)))
    ]
    study["gate"] = {
        "baseline": arms[0],
        "candidate": arms[-1],
        "horizon": make.pick(["all rounds", "last 2 rounds", "rounds 0 to 1"]),
        make.pick(["goal", "guardrail"]): lines,
    }


# --- Studies of the library -------------------------------------------------------------------------------------------


def _shrunk(rng: Generator) -> dict[str, Any]:
    """Return a generated study of the library with few users, items, rounds, arms and seeds."""
    texts = [path.read_text(encoding="utf-8") for path in library().values()]
    studies = [study for study in map(tomllib.loads, texts) if "log" not in study.get("world", {})]
    study = copy.deepcopy(studies[int(rng.integers(len(studies)))])
    study["rounds"], study["seeds"] = int(rng.integers(2, 7)), 1
    world = study.setdefault("world", {})
    world |= {"users": int(rng.integers(12, 61)), "items": int(rng.integers(20, 81))}
    study.setdefault("platform", {})["warmup"] = int(rng.integers(0, 9))
    first = int(rng.integers(len(study["arms"])))
    study["arms"] = study["arms"][first : first + 2]
    for arm in study["arms"]:
        for policy in [arm["policy"], *(switch.get("policy", {}) for switch in arm.get("switch", []))]:
            for name in set(policy) & set(TINY):
                policy[name] = min(policy[name], TINY[name][1])
        for switch in arm.get("switch", []):
            switch["round"] = min(switch["round"], study["rounds"] - 1)
            for name in ("until", "ramp"):
                switch.pop(name, None)
    for name in ("gate", "grid", "zip", "uncertainty", "reference"):
        if rng.random() < 0.7:
            study.pop(name, None)
    return study


# --- Mistakes ---------------------------------------------------------------------------------------------------------


def _ways(table: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if len(way) > 20:  # Inside a value that is nested too deeply on purpose.
        return []
    inside = table.items() if isinstance(table, dict) else enumerate(table) if isinstance(table, list) else ()
    return [found for key, value in inside for found in [(*way, key), *_ways(value, (*way, key))]]


def _mistake(rng: Generator, data: dict[str, Any]) -> None:
    """Make one mistake in a study, in place."""
    ways = _ways(data)
    if not ways:
        return
    way = ways[int(rng.integers(len(ways)))]
    holder: Any = data
    for step in way[:-1]:
        holder = holder[step]
    key, old = way[-1], holder[way[-1]]
    what = int(rng.integers(8))
    if what <= 2:
        holder[key] = copy.deepcopy(ODD_VALUES[int(rng.integers(len(ODD_VALUES)))])
    elif what == 3:
        holder[key] = ODD_TEXTS[int(rng.integers(len(ODD_TEXTS)))]
    elif what == 4:
        del holder[key]
    elif what == 5 and isinstance(holder, dict):
        name = ODD_TEXTS[int(rng.integers(len(ODD_TEXTS)))] if rng.random() < 0.5 else f"{key}_"
        holder[name] = holder.pop(key)
    elif what == 6:
        other = ways[int(rng.integers(len(ways)))]
        value: Any = data
        for step in other:
            value = value[step]
        holder[key] = copy.deepcopy(value)
    elif isinstance(old, int | float) and not isinstance(old, bool):
        holder[key] = [-old, old * 10**6, old + 0.5, str(old), [old]][int(rng.integers(5))]
    else:
        deep: Any = old
        for _ in range(int(rng.choice([1, 3, 60, 400]))):
            deep = [deep] if rng.random() < 0.5 else {"x": deep}
        holder[key] = deep


def _written(data: dict[str, Any], rng: Generator) -> bytes:
    """Return a study as TOML, as people and editors write it."""
    try:
        text = tomli_w.dumps(data)
    except (RecursionError, TypeError, ValueError):
        text = f"name = {data.get('name')!r}\narms = {data.get('arms')!r}\n"
    style = rng.random()
    if style < 0.05:
        text = "\ufeff" + text
    elif style < 0.1:
        text = text.replace("\n", "\r\n")
    return text.encode("utf-8", "surrogatepass")


def _damaged(rng: Generator, text: bytes) -> bytes:
    """Return a text with a few of its bytes or lines changed."""
    found = bytearray(text)
    for _ in range(int(rng.integers(1, 4))):
        what, place = int(rng.integers(7)), int(rng.integers(len(found) + 1))
        end = place + int(rng.integers(1, 40))
        lines = bytes(found).split(b"\n")
        line = int(rng.integers(len(lines)))
        if what == 0:
            found[place:end] = b""
        elif what == 1:
            found[place:place] = bytes(rng.integers(0, 256, int(rng.integers(1, 5)), dtype=np.uint8))
        elif what == 2:
            found[place : place + 1] = bytes([int(rng.choice(list(b'"[]{}=,.\n\\\x00#-_0123456789e')))])
        elif what == 3:
            lines.insert(int(rng.integers(len(lines) + 1)), lines[line])
            found = bytearray(b"\n".join(lines))
        elif what == 4:
            del lines[line]
            found = bytearray(b"\n".join(lines))
        elif what == 5:
            found[place:place] = found[place:end]
        else:
            found = found[:place]
    return bytes(found)


def _option(rng: Generator) -> str:
    """Return the text of a `--set`, mostly wrong."""
    keys = (
        "rounds", "seeds", "world.users", "behavior.match", "platform.slate", "arms[0].policy.kind", "arms[a0].name",
        "arms[9].policy", "world.groups[0].share", "grid.rounds", 'grid."rounds"', "zip[0].rounds", "name", "", ".", "a..b",
        "arms[*].policy.dim", "world", "arms", "uncertainty.priors.rounds", "world.log", "behavior", "world.graph.kind",
        "gate.horizon", "arms[", "arms]", "x" * 500, "\x00", "ä", "arms[-1].name", "arms[0][0]", "measures", "primary",
    )  # fmt: skip
    values = (
        "1", "0", "-1", "1.5", "nan", "inf", "[1, 2]", "[]", "{}", "{ a = 1 }", "x", '"x"', "'", '"', "[[", "1e999",
        "9" * 400, "true", "2026-01-01", "{kind='popularity'}", "a b", "\x00", "\ud800", "#", "[" * 500, "0x10", "1_0",
        "none", '"\\u0000"',
    )  # fmt: skip
    key, value = keys[int(rng.integers(len(keys)))], values[int(rng.integers(len(values)))]
    return f"{key}={value}" if rng.random() < 0.95 else key + value


if __name__ == "__main__":
    print(str(case(int(sys.argv[1]))).encode("utf-8", "backslashreplace").decode())
