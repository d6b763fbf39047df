"""Fonts for names in scripts that the figures' own font lacks, and what to write where none is installed."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import cache

OWN = "DejaVu Sans"
"""Comes with matplotlib: Latin, Greek, Cyrillic, Armenian, Georgian, Hebrew and Arabic letters."""
FALLBACKS = (
    # Chinese, Japanese and Korean: Linux, macOS, Windows, then those that Python packages bring along
    *("Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans CJK TC", "Noto Sans CJK KR", "Noto Sans SC", "Noto Sans JP"),
    *("Noto Sans TC", "Noto Sans KR", "Source Han Sans SC", "Source Han Sans", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei"),
    *("Droid Sans Fallback", "IPAexGothic", "IPAGothic", "TakaoPGothic", "NanumGothic", "UnDotum"),
    *("PingFang SC", "PingFang HK", "Hiragino Sans GB", "Hiragino Sans", "Heiti TC", "STHeiti", "Apple SD Gothic Neo"),
    *("AppleGothic", "Microsoft YaHei", "SimHei", "Microsoft JhengHei", "Yu Gothic", "Meiryo", "MS Gothic", "Malgun Gothic"),
    # Other scripts
    *("Noto Sans", "Noto Sans Devanagari", "Noto Sans Bengali", "Noto Sans Tamil", "Noto Sans Telugu", "Noto Sans Thai"),
    *("Noto Sans Khmer", "Noto Sans Lao", "Noto Sans Myanmar", "Noto Sans Sinhala", "Noto Sans Ethiopic", "Lohit Devanagari"),
    *("Nirmala UI", "Leelawadee UI", "Ebrima", "Kohinoor Devanagari", "Thonburi", "Loma", "FreeSans", "Unifont"),
    *("Arial Unicode MS", "Noto Sans Symbols 2", "Noto Sans Symbols2", "Noto Emoji", "Segoe UI Symbol", "Apple Symbols"),
)  # fmt: skip
"""Families to look for, in this order."""


@cache
def families() -> tuple[str, ...]:
    """Return the font of the figures, and those of FALLBACKS that are installed: each draws what the ones before lack."""
    from matplotlib.font_manager import fontManager

    installed = {entry.name for entry in fontManager.ttflist}
    return (OWN, *(name for name in FALLBACKS if name in installed))


@cache
def _drawable() -> frozenset[int]:
    """Return the code points for which one of the fonts has a glyph."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    found: set[int] = set()
    for name in families():
        found |= set(get_font(findfont(FontProperties(family=name))).get_charmap())
    return frozenset(found)


def _is_missing(letter: str) -> bool:
    return not letter.isascii() and ord(letter) not in _drawable()


def without_boxes(text: str) -> str:
    """Return a text with "…" in place of letters that no font has, which would be drawn as empty boxes."""
    if text.isascii():
        return text
    marked = "".join("\0" if _is_missing(letter) else letter for letter in text)
    return re.sub(r"\0(?: *\0)*", "…", marked)


def missing_note(names: Iterable[str]) -> str:
    """Return a sentence about names that figures cannot show in full, and what to do; empty if there are none."""
    wrong = next((name for name in names if any(map(_is_missing, name))), None)
    if wrong is None:
        return ""
    letter = next(filter(_is_missing, wrong))
    return (
        f'Figures show "…" in place of letters that none of their fonts has, as "{letter}" in "{wrong}". Install a '
        "font for them, such as Noto Sans CJK (Debian and Ubuntu: apt install fonts-noto-cjk), and draw the figures again."
    )


def width_of(text: str) -> int:
    """Return the width of a text in Latin letters: Chinese, Japanese and Korean ones are twice as wide."""
    if text.isascii():
        return len(text)
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)
