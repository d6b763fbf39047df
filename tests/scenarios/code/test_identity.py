"""Code is identified by what would run: source by content with all that it imports, installed packages by version."""

from __future__ import annotations

import importlib
import json
import sys
from importlib import metadata
from pathlib import Path

import pytest
from echodrift.errors import PolicyError
from echodrift.scenarios.code import identity
from echodrift.scenarios.code.identity import changed_parts, check_unchanged, identify


@pytest.fixture
def source(tmp_path, monkeypatch) -> Path:
    """A folder of modules on the path: a package with relative, late and optional imports."""
    files = {
        "shop/__init__.py": "",
        "shop/ranking.py": (
            "import json, numpy\nfrom .signs import SIGN\nfrom . import weights\n"
            "def late():\n    import shop_tools.deep as deep\n    import nowhere_to_be_found\n    return deep\n"
            "import importlib\nother = importlib.import_module('shop_other')\nclass Recent: pass\n"
        ),
        "shop/signs.py": "SIGN = 1\n",
        "shop/weights.py": "W = 2\n",
        "shop/unused.py": "X = 1\n",
        "shop_tools/__init__.py": "",
        "shop_tools/deep.py": "from shop.ranking import Recent\n",
        "shop_other.py": "",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0].startswith("shop")]:
        del sys.modules[name]


def test_a_module_counts_with_all_that_it_imports(source):
    parts = identify("shop.ranking:Recent")
    assert parts is not None
    assert [name for name in parts if name.startswith("module")] == [
        "module shop",
        "module shop.ranking",
        "module shop.signs",
        "module shop.weights",
        "module shop_other",
        "module shop_tools",
        "module shop_tools.deep",
    ]
    assert parts["package numpy"] == metadata.version("numpy")
    assert not any("json" in name for name in parts), "the standard library is left out"
    assert "shop" not in sys.modules, "nothing was imported"


@pytest.mark.parametrize(
    "name", ["shop/ranking.py", "shop/signs.py", "shop_tools/deep.py", "shop/__init__.py"]
)
def test_a_changed_byte_is_seen_wherever_it_is(source, name):
    before = identify("shop.ranking:Recent")
    (source / name).write_text((source / name).read_text() + "\n")
    module = name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    assert changed_parts(before, identify("shop.ranking:Recent")) == [f"module {module}"]


def test_folders_without_init_are_followed(source):
    """They are found although no package above them has been imported."""
    (source / "shop/parts").mkdir()
    (source / "shop/parts/scale.py").write_text("S = 1\n")
    (source / "shop_loose/inner").mkdir(parents=True)
    (source / "shop_loose/inner/top.py").write_text("from shop.parts import scale\n")
    parts = identify("shop_loose.inner.top:Recent")
    assert list(parts or {}) == ["module shop", "module shop.parts.scale", "module shop_loose.inner.top"]
    (source / "shop/parts/scale.py").write_text("S = 2\n")
    assert changed_parts(parts, identify("shop_loose.inner.top:Recent")) == ["module shop.parts.scale"]


def test_what_is_not_imported_does_not_count(source):
    before = identify("shop.ranking:Recent")
    (source / "shop/unused.py").write_text("X = 2\n")
    assert identify("shop.ranking:Recent") == before


@pytest.mark.parametrize(
    ("origin", "by_version"),
    [
        (None, True),
        ({"url": "https://x.org/a.git", "vcs_info": {"vcs": "git", "commit_id": "0123456789abcdef"}}, True),
        ({"url": "file:///home/me/a", "dir_info": {}}, False),
        ({"url": "file:///home/me/a", "dir_info": {"editable": True}}, False),
    ],
)
def test_installed_packages_count_by_version_unless_they_come_from_a_folder(
    tmp_path, monkeypatch, origin, by_version
):
    (tmp_path / "borrowed_one").mkdir()
    (tmp_path / "borrowed_one/__init__.py").write_text("class Model: pass\n")
    noted = tmp_path / "borrowed_one-1.2.dist-info"
    noted.mkdir()
    (noted / "METADATA").write_text("Metadata-Version: 2.1\nName: borrowed-one\nVersion: 1.2\n")
    (noted / "top_level.txt").write_text("borrowed_one\n")
    if origin:
        (noted / "direct_url.json").write_text(json.dumps(origin))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(identity, "_package_folders", lambda: (tmp_path.resolve(),))
    monkeypatch.setattr(identity, "_distributions", metadata.packages_distributions)
    parts = identify("borrowed_one:Model")
    assert parts is not None
    if by_version:
        commit = " (0123456789ab)" if origin else ""
        assert parts == {"package borrowed-one": f"1.2{commit}"}
    else:
        assert list(parts) == ["module borrowed_one"]


def test_the_library_of_an_adapter_counts_by_its_version():
    assert identify("implicit.als:AlternatingLeastSquares") == {
        "package implicit": metadata.version("implicit")
    }


def test_files_and_folders_count_by_content(tmp_path):
    weights = tmp_path / "weights.bin"
    weights.write_bytes(b"1")
    one = identify(str(weights))
    weights.write_bytes(b"2")
    assert changed_parts(one, identify(str(weights))) == ["file weights.bin"]
    both = identify(str(tmp_path))
    (tmp_path / "more").write_bytes(b"")
    assert changed_parts(both, identify(str(tmp_path))) == [f"file {tmp_path.name}/more"]


def test_what_nothing_identifies_is_said_to_be_so(tmp_path, monkeypatch):
    assert identify("nowhere_to_be_found:Model") is None
    assert identify("shop:make.<locals>.Model") is None
    monkeypatch.setattr(identity, "MOST_FILES", 2)
    for name in "abc":
        (tmp_path / name).write_text(name)
    assert identify(str(tmp_path)) is None


def test_a_source_with_a_syntax_error_still_counts(source):
    (source / "shop/signs.py").write_text("SIGN = = 1\n")
    assert "module shop.signs" in (identify("shop.ranking:Recent") or {})


def test_a_run_refuses_code_that_changed_since_it_was_planned(source):
    planned = {"shop.signs:SIGN": identify("shop.signs:SIGN")}
    check_unchanged(planned)
    (source / "shop/signs.py").write_text("SIGN = 2\n")
    with pytest.raises(PolicyError, match=r"changed while the study ran \(module shop.signs\)"):
        check_unchanged(planned)


def test_a_process_refuses_to_run_the_code_that_it_had_imported_before_the_change(source):
    module = importlib.import_module("shop.signs")
    check_unchanged({"shop.signs:SIGN": identify("shop.signs:SIGN")})
    (source / "shop/signs.py").write_text("SIGN = 22\n")
    with pytest.raises(PolicyError, match="Restart Python"):
        check_unchanged({"shop.signs:SIGN": identify("shop.signs:SIGN")})
    importlib.reload(module)
    check_unchanged({"shop.signs:SIGN": identify("shop.signs:SIGN")})
    assert module.SIGN == 22
