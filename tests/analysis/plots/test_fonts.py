"""Names in other scripts: no empty boxes, with a font for them and without."""

from __future__ import annotations

import textwrap
import warnings

import pytest
from echodrift.analysis.plots import fonts, render
from echodrift.analysis.plots.sheet import head, sheet
from echodrift.analysis.plots.style import arm_styles, clean, look, wrap

NAMES = ["推荐系统 A", "ランダム", "नमस्ते", "plain", "Ελληνικά Русский"]
IN_FONT = "推荐系统"


@pytest.fixture
def fresh():
    """Forget which fonts were found, before and after a test."""

    def forget():
        fonts.families.cache_clear()
        fonts._drawable.cache_clear()

    forget()
    yield
    forget()


@pytest.fixture
def without_fallbacks(fresh, monkeypatch):
    """A machine with the figures' own font only."""
    monkeypatch.setattr(fonts, "FALLBACKS", ())


@pytest.fixture
def with_fallback(fresh, monkeypatch, tmp_path):
    """A machine that has a font with the letters IN_FONT, in one weight."""
    from fontTools.fontBuilder import FontBuilder
    from fontTools.pens.ttGlyphPen import TTGlyphPen
    from matplotlib.font_manager import fontManager

    pen = TTGlyphPen(None)
    for step, point in enumerate([(100, 0), (100, 800), (900, 0)]):
        (pen.lineTo if step else pen.moveTo)(point)
    pen.closePath()
    glyph, names = pen.glyph(), [".notdef", *(f"u{ord(letter):X}" for letter in IN_FONT)]
    built = FontBuilder(1000)
    built.setupGlyphOrder(names)
    built.setupCharacterMap({ord(letter): f"u{ord(letter):X}" for letter in IN_FONT})
    built.setupGlyf(dict.fromkeys(names, glyph))
    built.setupHorizontalMetrics(dict.fromkeys(names, (1000, 100)))
    built.setupHorizontalHeader(ascent=900, descent=-200)
    built.setupNameTable({"familyName": "Echodrift Test", "styleName": "Regular"})
    built.setupOS2()
    built.setupPost()
    built.save(tmp_path / "test.ttf")
    before = list(fontManager.ttflist)
    fontManager.addfont(tmp_path / "test.ttf")
    monkeypatch.setattr(fonts, "FALLBACKS", ("Not Installed", "Echodrift Test"))
    yield
    fontManager.ttflist[:] = before


def drawn():
    """Return a figure with all names, drawn with every warning of matplotlib as an error."""
    with warnings.catch_warnings(), look():
        warnings.simplefilter("error")
        page = sheet("推荐系统 " * 20, "नमस्ते", [1], arms=arm_styles(NAMES), note="ランダム")
        head(page.rows[0][0], NAMES[0])
        return page.figure, {kind: render(page.figure, kind) for kind in ("png", "svg", "pdf")}


def test_letters_that_no_font_has_are_left_out_and_told(without_fallbacks, capfd):
    assert [clean(name) for name in NAMES] == ["… A", "…", "…", "plain", "Ελληνικά Русский"]
    drawn()
    assert capfd.readouterr().err == ""
    said = fonts.missing_note(NAMES)
    assert 'as "推" in "推荐系统 A"' in said and "apt install fonts-noto-cjk" in said
    assert fonts.missing_note(["plain", "Ελληνικά", "·"]) == ""


def test_a_font_that_is_installed_is_used(with_fallback, capfd):
    assert fonts.families() == ("DejaVu Sans", "Echodrift Test")
    assert [clean(name) for name in NAMES[:3]] == ["推荐系统 A", "…", "…"]
    figure, first = drawn()
    assert first == drawn()[1]
    assert capfd.readouterr().err == ""
    assert any(text.get_text() == "A  推荐系统 A" for text in figure.texts)
    assert fonts.missing_note(NAMES[:1]) == ""


def test_wide_letters_are_wrapped_and_cut_by_their_width(with_fallback):
    long = "推荐系统" * 10
    assert fonts.width_of(long) == 80
    assert clean(long, 21) == f"{long[:6]}…{long[-3:]}"
    lines = wrap(f"arm {long}", 20)
    assert all(fonts.width_of(line) <= 20 for line in lines) and "".join(lines) == f"arm {long}".replace(
        " ", " "
    )
    assert wrap("a b " * 30, 20) == textwrap.wrap("a b " * 30, 20)
    assert clean("x" * 300) == "x" * 133 + "…" + "x" * 66


def test_the_own_font_needs_no_other(without_fallbacks):
    assert clean("é ß ½ → Δ · 100 %") == "é ß ½ → Δ · 100 %"
