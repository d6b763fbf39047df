"""Run every library's version of every method on both logs: `python benchmarks/peers/run.py` (hours; see README.md).

Results that are already in the results file are not computed again, so an interrupted run continues where it stopped.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
VENV = HERE.parent / ".venv-peers"
DATASETS = ("ml-latest-small", "lastfm-2k")
PLAN = {
    "popularity": ("echodrift", "irspack"),
    "ease": ("echodrift", "irspack", "cornac", "lenskit", "recbole"),
    "item_knn": ("echodrift", "irspack", "implicit", "lenskit", "recbole"),
    "user_knn": ("echodrift", "irspack"),
    "ials": ("echodrift", "irspack"),
    "als": ("echodrift", "implicit", "lenskit"),
    "bpr": ("echodrift", "implicit", "cornac"),
    "pf": ("echodrift", "hpfrec", "cornac"),
    "mult_vae": ("echodrift", "cornac", "recbole"),
}
"""Method → libraries, the cheapest methods first."""


def python(library: str) -> str:
    """Return the interpreter that has the library: this one for echodrift, that of the peers for the others."""
    return sys.executable if library == "echodrift" else str(VENV / "bin" / "python")


def prepare() -> None:
    """Install the peers, if needed, into an environment beside this folder; Python 3.11."""
    if (VENV / "bin" / "python").exists():
        return
    subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
    command = [
        str(VENV / "bin" / "python"),
        "-m",
        "pip",
        "install",
        "--requirement",
        str(HERE / "requirements.txt"),
    ]
    subprocess.run(command, check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="echodrift's recommenders beside other libraries'.")
    parser.add_argument(
        "--out", type=Path, default=Path("peers.jsonl"), help="results, one line of JSON each"
    )
    parser.add_argument("--methods", nargs="+", default=list(PLAN), choices=list(PLAN))
    parser.add_argument("--libraries", nargs="+")
    parser.add_argument("--datasets", nargs="+", default=list(DATASETS), choices=DATASETS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--same", action="store_true", help="equal settings instead of tuning, for times")
    options = parser.parse_args()
    prepare()
    done = set()
    if options.out.exists():
        lines = map(json.loads, options.out.read_text().splitlines())
        done = {(line["library"], line["method"], line["dataset"], line["same"]) for line in lines}
    for method in options.methods:
        for library in options.libraries or PLAN[method]:
            left = [name for name in options.datasets if (library, method, name, options.same) not in done]
            if library not in PLAN[method] or not left:
                continue
            print(f"{method} by {library}", flush=True)
            command = [python(library), str(HERE / "worker.py"), library, method, *left]
            command += ["--out", str(options.out.resolve()), "--seeds", str(options.seeds)]
            command += ["--same"] * options.same
            ended = subprocess.run(command, cwd=HERE, check=False, capture_output=True, text=True)
            print(ended.stdout.strip(), flush=True)
            if ended.returncode:
                print(ended.stderr[-2000:], file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
