"""`echodrift check-policy`: check a component against its contract, clause by clause."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Callable
from typing import Annotated, Any

import typer

from ...errors import BadInput, EchodriftError, ExitCode, did_you_mean, was_interrupted
from ..messages import print_stderr
from ..study_options import Debug


def check_policy(
    component: Annotated[
        str,
        typer.Argument(
            metavar="KIND",
            help="package.module:Class of your own (a file beside you will do), or a built-in kind.",
        ),
    ],
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="FIELD=VALUE", help="Give a field a value, e.g. dim=8 (repeat as needed)."
        ),
    ] = None,
    debug: Debug = False,
) -> int:
    """Check that a policy, reranker or log transform keeps the contract, clause by clause."""
    from rich.console import Console
    from rich.text import Text

    from ...policies.outside.http_client import ServiceUnavailable
    from ...policies.testing.words import CLAUSES, OTHER, needs

    word, cls, clauses = _resolve(component)
    fields = _fields(changes)
    try:
        cls(**fields)
    except EchodriftError:
        raise
    except Exception as error:
        if was_interrupted(error) or debug:
            raise
        raise BadInput(f"{component} cannot be built: {_one_line(error)}") from error
    console = Console(highlight=False, soft_wrap=True)
    console.print(Text(f"{component}: {word} contract, {len(clauses)} clauses"))
    failed: list[str] = []
    crashes: dict[str, str] = {}
    width = max(map(len, clauses))
    tried = 0
    for name, clause in clauses.items():
        promise, remedy = CLAUSES.get(name, OTHER)
        before = needs(name, failed)
        if before is not None:
            console.print(Text(f" -      {name:<{width}}  not tried: it needs {before}", "dim"))
            continue
        error = _failure(clause, lambda: cls(**fields))
        tried += 1
        mark = Text(" ok    ", "green") if error is None else Text(" FAILS ", "bold red")
        console.print(mark + Text(f"{name:<{width}}  ", "bold" if error else "") + Text(promise, "dim"))
        if error is None:
            continue
        failed.append(name)
        text = _one_line(error)
        before = crashes.get(text)
        if before is not None:
            # One error that stops every clause: the remedies of single clauses do not help.
            console.print(Text(f"         what happened: the same as in {before}"))
            continue
        console.print(Text(f"         what happened: {text}"))
        if not isinstance(error, AssertionError | EchodriftError):
            crashes[text] = name
        if isinstance(error, ServiceUnavailable):
            console.print(Text("         the other clauses were not tried: they would ask the same service"))
            break
        console.print(Text(f"         what to do:    {remedy}"))
        if debug:
            import traceback

            console.print(Text("".join(traceback.format_exception(error))))
    if not failed:
        print(f"{component} keeps the contract.")
        return ExitCode.OK
    untried = f" ({len(clauses) - tried} not tried)" if tried < len(clauses) else ""
    hint = "" if debug else "; --debug shows where in the code"
    print_stderr(
        f"error: {component} fails {len(failed)} of {tried} clauses: {', '.join(failed)}{untried}{hint}"
    )
    return ExitCode.RUN_FAILED


def _resolve(kind: str) -> tuple[str, Any, dict[str, Callable[[Any], None]]]:
    """Return (word for messages, class, contract clauses) of a kind."""
    from ...policies import base, registry
    from ...policies.testing.log_transform_clauses import LOG_TRANSFORM_CLAUSES
    from ...policies.testing.policy_clauses import POLICY_CLAUSES
    from ...policies.testing.reranker_clauses import RERANKER_CLAUSES

    suites = {
        "policies": ("policy", base.Policy, registry.policy_class, POLICY_CLAUSES),
        "rerankers": ("reranker", base.Reranker, registry.reranker_class, RERANKER_CLAUSES),
        "log_transforms": (
            "log transform",
            base.LogTransform,
            registry.log_transform_class,
            LOG_TRANSFORM_CLAUSES,
        ),
    }
    if ":" in kind:
        found = _imported(kind)
        for word, parent, get, clauses in suites.values():
            if isinstance(found, type) and issubclass(found, parent):
                return word, get(kind), clauses
        names = ", ".join(f"echodrift.policies.{parent.__name__}" for _, parent, _, _ in suites.values())
        raise BadInput(f"{kind} is {found!r}: it must be a class derived from one of {names}")
    known = []
    for category, (word, _, get, clauses) in suites.items():
        names = registry.kinds(category)  # type: ignore[arg-type]
        if kind in names:
            return word, get(kind), clauses
        known += names
    if "." in kind or "/" in kind:
        raise BadInput(
            f"{kind}: name the class, too: package.module:Class, for a file my_policy.py my_policy:Class"
        )
    raise BadInput(
        f'there is no policy, reranker or log transform "{kind}".{did_you_mean(kind, known)} See echodrift list '
        "policies | rerankers; a class of your own is named package.module:Class"
    )


def _imported(kind: str) -> Any:
    """Import package.module:Class; the current directory is searched, too."""
    module, _, name = kind.partition(":")
    if "" not in sys.path:
        sys.path.append("")
    if not module or not name:
        raise BadInput(f'"{kind}": write it as package.module:Class, for example my_policy:Recent')
    if module.endswith(".py") or "/" in module:
        module_name = module.removesuffix(".py").strip("./").replace("/", ".")
        raise BadInput(f'"{kind}": name the module, not the file: {module_name}:{name}')
    try:
        found = importlib.import_module(module)
    except (Exception, SystemExit) as error:
        if was_interrupted(error):
            raise
        missing = (
            isinstance(error, ModuleNotFoundError)
            and (error.name or "").split(".")[0] == module.split(".")[0]
        )
        why = (
            "there is no such module in this directory, and none is installed"
            if missing
            else f"importing it fails: {_one_line(error)}"
        )
        raise BadInput(f'"{kind}": module "{module}": {why}') from error
    for part in name.split("."):
        if not hasattr(found, part):
            raise BadInput(
                f'"{kind}": "{module}"{_file(found)} has no "{name}".{did_you_mean(part, dir(found))}'
            )
        found = getattr(found, part)
    return found


def _file(module: Any) -> str:
    return f" ({module.__file__})" if getattr(module, "__file__", None) else ""


def _fields(changes: list[str] | None) -> dict[str, Any]:
    from ...keys import set_value
    from ...scenarios.specs.overrides import parse_set

    fields: dict[str, Any] = {}
    for text in changes or []:
        _, key, value = parse_set(text)
        set_value(fields, key, value)
    return fields


def _failure(clause: Callable[[Any], None], make: Callable[[], Any]) -> BaseException | None:
    """Return the error that a clause ends with, or None."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            clause(make)
    except (Exception, SystemExit) as error:
        if was_interrupted(error):
            raise
        return error
    return None


def _one_line(error: BaseException) -> str:
    """Return an error in one line."""
    text = " ".join(str(error).split())
    if isinstance(error, (AssertionError, EchodriftError)) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
