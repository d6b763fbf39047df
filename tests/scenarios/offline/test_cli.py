"""`echodrift evaluate` and `echodrift tune`: what they print, one message per mistake, exit codes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from echodrift.cli import app
from echodrift.errors import ExitCode
from typer.testing import CliRunner


def call(*arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout, stderr."""
    done = CliRunner().invoke(app, list(arguments))
    return done.exit_code, done.stdout, done.stderr


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    rng = np.random.default_rng(1)
    taken = np.argwhere(rng.random((30, 20)) < 0.5)
    rows = [f"{u},{i},{1 + (u + i) % 5},{n}" for n, (u, i) in enumerate(rng.permutation(taken))]
    (tmp_path / "log.csv").write_text("user,item,rating,timestamp\n" + "\n".join(rows) + "\n")
    (tmp_path / "train.tsv").write_text("\n".join(row.replace(",", "\t") for row in rows[:200]) + "\n")
    (tmp_path / "test.tsv").write_text("\n".join(row.replace(",", "\t") for row in rows[200:]) + "\n")
    (tmp_path / "negatives").write_text("(1;2)\n")
    return tmp_path


COMMON = ("--jobs", "1")


def test_evaluate_prints_a_table_and_writes_files(here: Path) -> None:
    code, out, err = call(
        "evaluate", "log.csv", "--policy", "kind=popularity", "--policy", "kind=matrix_factorization,dim=4",
        "--metrics", "recall@5,coverage@5", "--seeds", "2", "--out", "o", "--per-user", *COMMON,
    )  # fmt: skip
    assert code == 0, err
    lines = out.splitlines()
    assert lines[0].split()[:3] == ["policy", "recall@5", "coverage@5"]
    assert "popularity" in lines[2] and "matrix_factorization dim=4" in lines[3]
    assert "\nmean ± half of the 95 % t interval over 2 splits\n" in out
    assert 'Minus "popularity", paired by seed' in out and "Tables: o" in out
    assert "4 runs, 1 at a time" in err
    table = pd.read_csv("o/metrics.csv")
    assert len(table) == 2 * 2 * 2
    mean = table.query("policy == 'popularity' and metric == 'recall@5'")["value"].mean()
    assert f"{mean:.4f} ±" in lines[2]
    users = pd.read_parquet("o/users.parquet")
    assert len(users) > 60
    tested = sorted({part["user"].nunique() for _, part in users.groupby("seed")})
    said = f"{tested[0]} test users" if len(tested) == 1 else f"{tested[0]} to {tested[1]} test users"
    assert f"split random:0.2; 2 splits of {said}, whole catalog ranked\n" in out


def test_evaluate_train_and_test_files(here: Path) -> None:
    code, out, err = call(
        "evaluate", "--train", "train.tsv", "--test", "test.tsv", "--policy", "kind=popularity",
        "--metrics", "ndcg@5", "--quiet", *COMMON,
    )  # fmt: skip
    assert (code, err) == (0, "")
    held_out = pd.read_csv("test.tsv", sep="\t", header=None)[0].nunique()
    assert f"split given; {held_out} test users, whole catalog ranked\n" in out
    assert "mean ± standard error of the mean over users (one split)" in out
    assert "Minus" not in out


def test_a_failed_policy_is_told_and_the_others_are_shown(here: Path) -> None:
    code, out, err = call(
        "evaluate", "log.csv", "--policy", "kind=matrix_factorization,model=bpr,negatives=popularity,dim=2", "--policy",
        "kind=popularity", "--split", "users:0.3", "--seeds", "2", "--metrics", "hr@5", *COMMON,
    )  # fmt: skip
    assert code == ExitCode.RUN_FAILED
    assert (
        'error: "matrix_factorization model=bpr negatives=popularity dim=2", 2 of 2 seeds: PolicyError: '
        in err
    )
    assert "popularity" in out and "–" in out


def test_tune_prints_a_line_to_paste(here: Path) -> None:
    code, out, err = call(
        "tune", "log.csv", "--policy", "kind=matrix_factorization,iterations=2", "--metric", "ndcg@5", "--trials", "3",
        "--search", "dim=2,4", "--split", "random:0.3", "--out", "t", *COMMON,
    )  # fmt: skip
    assert code == 0, err
    assert "3 trials; ndcg@5 on the validation part (random:0.3):" in out
    assert 'policy = { kind = "matrix_factorization", iterations = 2' in out
    assert "  30 validation users, whole catalog ranked\n" in out
    assert "on the test part (± standard error over users):\n  30 test users, whole catalog ranked\n" in out
    assert "Tables: t" in out and "warning" not in err
    assert len(pd.read_csv("t/trials.csv")) == 3
    again = call("evaluate", "log.csv", "--policy", "@t/best.toml", "--metrics", "ndcg@5", "--seeds", "1", "--split", "random:0.3", *COMMON)  # fmt: skip
    assert again[0] == 0, again[2]


def with_negatives(folder: Path, users: int) -> tuple[str, ...]:
    """Files of users who took items 0 to 3 and hold out 4 and 5, each pair with negatives 6 to 9; the options."""
    pairs = [(user, item) for user in range(users) for item in (4, 5)]
    (folder / "a.tsv").write_text("".join(f"{u}\t{i}\n" for u in range(users) for i in range(4)))
    (folder / "b.tsv").write_text("".join(f"{u}\t{i}\n" for u, i in pairs))
    (folder / "n").write_text("".join(f"({u},{i})\t6\t7\t8\t9\n" for u, i in pairs))
    return ("--train", "a.tsv", "--test", "b.tsv", "--negatives", "n")


def test_negatives_are_told_on_the_screen(here: Path) -> None:
    files = with_negatives(here, 40)
    code, out, err = call("evaluate", *files, "--policy", "kind=popularity", "--metrics", "hr@1", *COMMON)
    assert code == 0 and "warning" not in err, err
    assert "split given; 80 test pairs of 40 users, each ranked among its own negatives\n" in out
    assert "standard error of the mean over test pairs" in out
    code, out, err = call(
        "tune", *files, "--policy", "kind=ials,dim=2,iterations=1", "--metric", "hr@1", "--trials", "1",
        "--split", "random:0.3", *COMMON,
    )  # fmt: skip
    assert code == 0, err
    lines = out.splitlines()
    assert lines[0] == "1 trial; hr@1 on the validation part (random:0.3):"
    assert lines[1] == "  40 validation users, whole catalog ranked"
    at = lines.index("on the test part (± standard error over test pairs):")
    assert lines[at + 1] == "  80 test pairs of 40 users, each ranked among its own negatives"


@pytest.mark.parametrize(("users", "warned"), [(29, True), (30, False)])
def test_few_test_users_are_warned_of(here: Path, users: int, warned: bool) -> None:
    files = with_negatives(here, users)[:4]
    warning = f"warning: only {users} test users: below 30, means and intervals say little."
    code, out, err = call("evaluate", *files, "--policy", "kind=popularity", "--metrics", "hr@1", *COMMON)
    assert code == 0 and f"{users} test users, whole catalog ranked" in out
    assert (warning in err) is warned
    assert "1 run, 1 at a time" in err
    _, _, err = call(
        "tune", *files, "--policy", "kind=ials,dim=2,iterations=1", "--metric", "hr@1", "--trials", "1",
        "--split", "random:0.3", *COMMON,
    )  # fmt: skip
    assert (warning in err) is warned and (warning.replace("test", "validation") in err) is warned


def test_piped_tables_fit_80_columns(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    long = "kind=matrix_factorization,dim=2,iterations=1,refit_iterations=1,regularization=0.5"
    arguments = (
        "evaluate", "log.csv", "--policy", "kind=popularity", "--policy", long, "--seeds", "2",
        "--metrics", "recall@5,ndcg@5,hr@5,map@5,mrr@5,arp@5,coverage@5", "--quiet", *COMMON,
    )  # fmt: skip
    code, out, err = call(*arguments)
    assert code == 0, err
    assert max(map(len, out.splitlines())) <= 80
    assert out.startswith("1  popularity\n2  matrix_factorization dim=2 ") and "regularization=0.5" in out
    shown = {word for line in out.splitlines() if line.startswith(" policy") for word in line.split()}
    assert {"recall@5", "ndcg@5", "hr@5", "map@5", "mrr@5", "arp@5", "coverage@5", "fit", "rank"} <= shown
    monkeypatch.setenv("COLUMNS", "300")
    wide = call(*arguments)[1]
    assert sum(line.startswith(" policy") for line in wide.splitlines()) == 2 and "1  popularity" not in wide


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["evaluate", "log.csv"], 2, "name at least one policy, for example --policy kind=popularity"),
        (["evaluate", "--policy", "kind=random"], 2, "nothing to evaluate on"),
        (["evaluate", "lgo.csv", "--policy", "kind=random"], 2, 'the log = "lgo.csv": there is no such file.'),
        (["evaluate", "--train", "train.tsv", "--policy", "kind=random"], 2, "--test is missing"),
        (["evaluate", "--train", "train.tsv", "--test", "no.tsv", "--policy", "kind=random"], 2, "there is no such file"),
        (["evaluate", "log.csv", "--policy", "kind=radom"], 2, 'Did you mean "random"?'),
        (["evaluate", "log.csv", "--policy", "kind=random,x=1"], 2, "random: x: unknown key"),
        (["evaluate", "log.csv", "--policy", "kind"], 2, 'a "=" is missing'),
        (["evaluate", "log.csv", "--policy", "kind=random", "--metrics", "recal@5"], 2, 'Did you mean "recall"?'),
        (["evaluate", "log.csv", "--policy", "kind=random", "--metrics", "recall"], 2, "recall needs a cutoff"),
        (["evaluate", "log.csv", "--policy", "kind=random", "--split", "half"], 2, 'there is no split "half"'),
        (["evaluate", "log.csv", "--policy", "kind=random", "--split", "random:1.5"], 2, "between 0 and 1"),
        (["evaluate", "log.csv", "--policy", "kind=random", "--split", "users:0.01"], 2, "leaves nothing to test on"),
        (["evaluate", "log.csv", "--policy", "kind=random", "--min-rating", "6"], 2, "nothing is left after the filters"),
        (["evaluate", "log.csv", "--policy", "kind=random", "--user-core", "50"], 2, "nothing is left after the filters"),
        (["evaluate", "log.csv", "--policy", "kind=random", "--seeds", "0"], 2, "seeds = 0: must be"),
        (["evaluate", "log.csv", "--policy", "kind=organic"], 2, '"organic" is a reference arm'),
        (["evaluate", "log.csv", "--policy", "kind=bandit,policy=ials"], 2, 'policy = { kind = "ials" }'),
        (["evaluate", "log.csv", "--policy", "kind=random", "--items", "log.csv"], 2, "no column of genres"),
        (["tune", "log.csv", "--policy", "kind=ease", "--search", "l2=-1,5"], 2, "--search l2=-1,5: ease: l2: must be "),
        (["tune", "log.csv", "--policy", "kind=bandit"], 2, "there is nothing to tune about bandit"),
        (["evaluate", "log.csv", "--policy", "kind=random", "--jobs", "0"], 2, "jobs = 0: must be"),
        (["evaluate", "log.csv", "--policy", "kind=random", "--items", "x.csv"], 2, '--items = "x.csv": there is no such file'),
        (["evaluate", "log.csv", "--policy", "kind=random", "--social", "x.csv"], 2, '--social = "x.csv": there is no such file'),
        (["evaluate", "log.csv", "--policy", "kind=random", "--user-column", "usr"], 2, 'Did you mean "user"?'),
        (["evaluate", "log.csv", "--policy", "kind=random", "--topics", "many"], 2, '--topics: must be a whole number of at least 1, or "auto", but is "many"'),
        (["evaluate", "log.csv", "--policy", "kind=random", "--out", "log.csv"], 6, "log.csv is a file, not a folder"),
        (["evaluate", "log.csv", "--policy", "kind=random", "--out", "."], 6, "holds files that are not results of an evaluation"),
        (["evaluate", "log.csv", "--policy", "kind=random", "--per-user"], 2, "--per-user writes a table: say where with --out"),
        (["evaluate", "--train", "train.tsv", "--test", "test.tsv", "--negatives", "negatives", "--policy", "kind=random"], 2, "negatives, line 1: a line must look like"),
        (["tune", "log.csv"], 2, "name the policy to tune"),
        (["tune", "log.csv", "--policy", "kind=popularity"], 2, "there is nothing to tune about popularity"),
        (["tune", "log.csv", "--policy", "kind=matrix_factorization", "--search", "dims=1:2"], 2, 'Did you mean "dim"?'),
        (["tune", "log.csv", "--policy", "kind=matrix_factorization", "--minutes", "0"], 2, "minutes = 0"),
        (["tune", "log.csv", "--policy", "kind=matrix_factorization", "--metric", "arp@3"], 2, "cannot be tuned for"),
    ],
)  # fmt: skip
def test_mistakes_get_one_message_and_write_nothing(
    here: Path, arguments: list[str], code: int, message: str
) -> None:
    before = {path.name for path in here.iterdir()}
    found = call(*arguments)
    assert found[0] == code, found
    assert found[2].startswith("error: ") and message in found[2] and "Traceback" not in found[2]
    assert "world." not in found[2] and len(found[2].splitlines()) <= 2 and found[1] == ""
    assert {path.name for path in here.iterdir()} == before


def test_every_option_has_a_word_of_help() -> None:
    for command in ("evaluate", "tune"):
        code, out, _ = call(command, "--help")
        assert code == 0 and "--known-items" in out
