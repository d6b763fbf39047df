"""Loading models of other libraries: import by path, seeding, and isolation from the global random generators."""

from __future__ import annotations

import copy
import functools
import importlib
import inspect
import random
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from ...errors import BadInput, did_you_mean

SEEDS = ("random_state", "seed", "random_seed")
"""Names of arguments that take an integer seed."""
QUIET = {"show_progress": False, "num_threads": 1}
"""Default arguments for models that have them: progress bars have no place in a study, and with several threads
the order of sums varies."""

_LOCK = threading.Lock()


def find(path: str) -> Any:
    """Return the object that "package.module:Name" names; BadInput if it does not exist."""
    module, colon, name = path.partition(":")
    if not (module and colon and name):
        raise BadInput(
            f'model = "{path}" must be "package.module:Name", for example '
            '"implicit.als:AlternatingLeastSquares". A model in a file is loaded by a function of your own: '
            '"my_module:load"'
        )
    try:
        found = importlib.import_module(module)
    except Exception as error:
        raise BadInput(
            f'model = "{path}": module "{module}" cannot be imported ({type(error).__name__}: {error}). It must '
            "be installed, or its folder must be on PYTHONPATH"
        ) from error
    for part in name.split("."):
        if not hasattr(found, part):
            raise BadInput(f'model = "{path}": "{module}" has no "{name}".{did_you_mean(part, dir(found))}')
        found = getattr(found, part)
    return found


def is_factory(found: Any) -> bool:
    """Whether it makes models (a class, a function), rather than being one."""
    return isinstance(found, (type, functools.partial)) or inspect.isroutine(found)


def build(found: Any, arguments: Mapping[str, Any], seed: int, path: str) -> Any:
    """Return a new model, seeded where it takes a seed; a copy where `found` is a model itself."""
    check_target(found, arguments, path)
    if not is_factory(found):
        return seeded(copied(found, path), seed)
    given = _all_arguments(found, arguments, seed)
    try:
        with isolated_generators(seed):
            made = found(**given)
    except Exception as error:
        raise BadInput(
            f'"{path}" cannot be built with arguments {dict(arguments)}: {type(error).__name__}: {error}'
        ) from error
    if is_factory(made) or made is None:
        raise BadInput(f'"{path}" must return a model, got {made!r}')
    return made


def check_target(found: Any, arguments: Mapping[str, Any], path: str) -> None:
    """Raise BadInput for what cannot make a model with these arguments. Nothing is called."""
    if not is_factory(found):
        if arguments:
            raise BadInput(
                f'arguments = {dict(arguments)}: "{path}" is a model already; arguments go with a class or a '
                "function that makes one"
            )
        return
    made_by = found.func if isinstance(found, functools.partial) else found
    module = (getattr(made_by, "__module__", None) or "builtins").partition(".")[0]
    if not isinstance(made_by, type) and module in sys.stdlib_module_names:
        raise BadInput(
            f'model = "{path}" is a function of Python itself, not a recommender: name a class with fit(), or a '
            "function of a package or module of yours that returns a model"
        )
    names, anything = _parameters(found)
    unknown = [] if anything else sorted(set(arguments) - set(names))
    if unknown:
        raise BadInput(
            f'arguments: "{path}" takes no "{unknown[0]}".{did_you_mean(unknown[0], names)} '
            f"Allowed: {', '.join(names) or 'none'}"
        )
    try:
        signature = inspect.signature(found)
    except (TypeError, ValueError):
        return
    try:
        signature.bind(**_all_arguments(found, arguments, 0))
    except TypeError as error:
        raise BadInput(f'arguments = {dict(arguments)}: "{path}": {error}') from None


def _all_arguments(found: Any, arguments: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Return the arguments with a seed, a silent progress bar and one thread, where the target takes them."""
    names, _ = _parameters(found)
    given = {name: value for name, value in QUIET.items() if name in names}
    return {**given, **{name: seed for name in SEEDS if name in names}, **arguments}


def copied(model: Any, path: str) -> Any:
    """Return a copy, so that the user's model is never altered."""
    try:
        return copy.deepcopy(model)
    except Exception as error:
        raise BadInput(
            f'"{path}": the model cannot be copied ({type(error).__name__}: {error}), and every run needs its '
            "own. Name a function that makes one"
        ) from error


def seeded(model: Any, seed: int) -> Any:
    """Return the model, with its seed set if it has one that is None."""
    for name in SEEDS:
        if hasattr(model, name) and getattr(model, name) is None:
            setattr(model, name, seed)
    return model


def call_quietly(function: Any, *arguments: Any) -> Any:
    """Call a model's method, with its progress bar off."""
    names, _ = _parameters(function)
    return function(*arguments, **({"show_progress": False} if "show_progress" in names else {}))


def accepts(function: Any, name: str) -> bool:
    """Whether a function has a parameter of that name."""
    return name in _parameters(function)[0]


def _parameters(function: Any) -> tuple[list[str], bool]:
    """Return the names of keyword parameters, and whether other keywords are accepted too."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return [], True
    names = [one.name for one in parameters if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)]
    return names, any(one.kind is one.VAR_KEYWORD for one in parameters)


@contextmanager
def isolated_generators(seed: int) -> Iterator[None]:
    """Seed the global generators while a model works, and restore them afterwards.

    Many models draw from them when they take no seed. One model at a time, since the whole process shares them.
    """
    with _LOCK:
        ours = np.random.get_state(), random.getstate()  # noqa: NPY002
        torch = sys.modules.get("torch")
        theirs = None if torch is None else torch.random.get_rng_state()
        try:
            np.random.seed(seed % 2**32)  # noqa: NPY002
            random.seed(seed)
            if torch is not None:
                torch.manual_seed(seed)
            yield
        finally:
            np.random.set_state(ours[0])  # noqa: NPY002
            random.setstate(ours[1])
            if torch is not None and theirs is not None:
                torch.random.set_rng_state(theirs)
