"""Numbers as people write them: with decimal commas, marks between thousands, units, as dates; one way for a column."""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np

from fedprime.data.images import InputError
from fedprime.data.sets.table.date_words import DAY_FIRST, MONTH_FIRST, TIMES, YEAR_FIRST, date_order, hours, years
from fedprime.data.sets.table.options import stated_columns
from fedprime.data.sets.table.plain_words import is_blank, plain_word, truth
from fedprime.data.sets.table.typical_numbers import filled_row
from fedprime.reproducibility.errors import nearest_name, quoted

_LEAST = 0.9  # of the words of a column of numbers that are numbers
_SPACES = re.compile("[\u00a0\u2009\u202f'’ ]")  # noqa: RUF001
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
#: 1,234,567 or, in India, 12,34,567; none begins with a zero: 0,125 is a decimal.
_COMMA_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}((,\d{3})+|(,\d{2})+,\d{3})(\.\d*)?")
_POINT_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(\.\d{3})+(,\d*)?")
_COMMA = re.compile(r"[+-]?\d+,\d+([eE][+-]?\d+)?")
_SPACED = re.compile("[+-]?[1-9]\\d{0,2}([\u00a0\u2009\u202f'’ ]\\d{3})+([.,]\\d*)?")  # noqa: RUF001
#: 3,50, 3,1415 and 1.234,50, but not 1,234, which may be a thousand.
_DECIMALS = re.compile(r"([^,.]*\d|\D*\d{1,3}((\.\d{3})+(?=,)|(,\d{3})+(?=\.)))(?P<mark>[,.])(\d{1,2}|\d{4,})\D*")
_MINUSES = ("\u2212", "\u2013", "\uff0d")  # of typography
_TRAILING = re.compile(r"([\d.,]*[.,]\d+)\s?-")  # as SAP writes it; 2- may be a mark
_ACCOUNTED = re.compile(r"\((.*\d.*)\)")  # -3.50 as accountants write it
_MONEY = r"[A-Z]{0,3}\$|[€£¥₹₩₺₽₴₫฿]|kr\.?|zł|Kč|EUR|USD|GBP|CHF|JPY|CAD|AUD|SEK|NOK|DKK|PLN"
_MONEY += r"|BRL|INR|CNY|KRW|CZK|HUF|TRY|RUB|ZAR|MXN|SGD|HKD|NZD"
_UNITS = r"%|‰|°C|°F|°|kg|mg|µg|g|lbs?|oz|km|cm|mm|m|mi|ft|ml|l|hrs?|h|min|ms|sec|s|kWh|kW|[kM]?Hz|bpm|mmHg|[kMG]B"
_WITH_UNIT = re.compile(
    rf"(?P<sign>[+-]?)((?P<before>{_MONEY})\s*)?(?P<number>[(+-]*[\d.].*?)(\s*(?P<after>{_MONEY}|{_UNITS}))?"
)


@dataclass(frozen=True)
class WordStyle:
    """How the words of a column are written that stand for something else: numbers, dates, yes or no.

    Attributes:
        title: For people, and to know it again by.
        parse: Returns what a word stands for; raises ``ValueError`` if it is none of them.
        doubt: What to tell where the words could as well be read otherwise.
        measure: What numbers count: a unit, hours, years; empty where that is not said.
    """

    title: str
    parse: Callable[[str], float | str]
    doubt: str = ""
    measure: str = ""

    @property
    def is_time(self) -> bool:
        """Whether words are dates or times, of which a number is none."""
        return self.measure in (_HOURS, _YEARS)

    def fits(self, word: str) -> bool:
        """Returns whether a word is one of these."""
        try:
            self.parse(word)
        except (ValueError, OverflowError):
            return False
        return True


def _signed(word: str) -> str:
    """Returns a number with the minus of computers, for which there may be another or parentheses."""
    found = _ACCOUNTED.fullmatch(word) or _TRAILING.fullmatch(word)
    return f"-{found[1]}" if found else f"-{word[1:]}" if word.startswith(_MINUSES) else word


def _plain(word: str) -> float:
    word = _signed(word)
    if not _NUMBER.fullmatch(word):
        raise ValueError(f"{word!r} is no number")
    number = int(word) if word.lstrip("+-").isdecimal() else float(word)
    if not math.isfinite(number):  # raises OverflowError for whole numbers that are too large
        raise ValueError(f"{word!r} is too large")
    return number


def _with_points(word: str) -> float:
    word = _signed(word)
    if _COMMA_THOUSANDS.fullmatch(word):
        return _plain(word.replace(",", ""))
    return _plain(_SPACES.sub("", word) if _SPACED.fullmatch(word) else word)


def _with_commas(word: str) -> float:
    word = _signed(word)
    if _SPACED.fullmatch(word):
        word = _SPACES.sub("", word)
    if _POINT_THOUSANDS.fullmatch(word):
        word = word.replace(".", "")
    return _plain(word.replace(",", ".") if _COMMA.fullmatch(word) else word)


def _with_unit(word: str, unit: str, parse: Callable[[str], float | str]) -> float | str:
    found = _WITH_UNIT.fullmatch(_signed(word))
    if found and unit in (found["before"], found["after"]) and not (found["before"] and found["after"]):
        word = found["sign"] + found["number"]
    return parse(word)


_HOURS, _YEARS = "hours", "years"

PLAIN = WordStyle("numbers", _plain)
#: Yes and no in several spellings.
TRUTH = WordStyle("yes or no", truth)
_THOUSANDS = WordStyle("numbers with marks between thousands", _with_points)
_DECIMAL_COMMA = WordStyle("numbers with decimal comma", _with_commas)
_TIMES = WordStyle(f"{TIMES}, read as hours", hours, measure=_HOURS)
_DATES = {
    order: WordStyle(f"dates ({order}), read as years since 2000", partial(years, order=order), measure=_YEARS)
    for order in (YEAR_FIRST, DAY_FIRST, MONTH_FIRST)
}
_OTHER_ORDER = "day and month may be meant the other way round: write 2024-01-31"
_OTHER_MARK = "1,234 may be meant as 1.234: write 1234 or 1.234"
_OTHER_COMMA = "1.234 may be meant as 1,234, since other cells have decimal points: write 1234 or 1,234"
_OTHER_POINT = "1.234 is read with decimals, and may be meant as 1234: if so, write no marks between thousands"
_KNOWN = {own.title: own for own in (PLAIN, TRUTH, _THOUSANDS, _DECIMAL_COMMA, _TIMES, *_DATES.values())}


def number_style(words: Sequence[str]) -> WordStyle | None:
    """Returns how the numbers of a column are written, dates among them; None if most of its words are no numbers.

    Args:
        words: Filled cells.

    >>> [number_style(own).title for own in (["3.5", "-2"], ["3,50", "1.234,5"], ["1,234", "1,234.5"], ["3 %", "4 %"])]
    ['numbers', 'numbers with decimal comma', 'numbers with marks between thousands', 'numbers, in %']
    """
    if not words:
        return None
    dates = date_order(words)
    if dates is not None:
        found = _DATES[dates[0]]
        return replace(found, doubt=_OTHER_ORDER if dates[1] else "")
    if _share(_TIMES, words) >= _LEAST:
        return _TIMES
    unit = _common_unit(words)
    if unit:
        own = _without_unit([_of_unit(word, unit) for word in words])
        return own and _in_unit(own, unit)
    return _without_unit(words)


def named_style(title: str) -> WordStyle | None:
    """Returns the style of a title; None if there is none."""
    found, _, unit = title.partition(", in ")
    style = _KNOWN.get(found)
    return _in_unit(style, unit) if style and unit else style


def are_comparable(one: WordStyle, other: WordStyle) -> bool:
    """Returns whether numbers of two styles may count the same: no dates beside prices, no kg beside lb."""
    measures = {one.measure, other.measure}
    return len(measures) == 1 or ("" in measures and not (one.is_time or other.is_time))


def read_row(
    cells: Mapping[str, object], titles: Mapping[str, str], forms: Mapping[str, str] = MappingProxyType({})
) -> dict[str, object]:
    """Returns a row with what its cells stand for, as the cells of a table are read.

    Args:
        cells: Words, numbers, dates, whatever can be said as a word. A number of a column of dates is read already.
        titles: By column, of the style that it had in training.
        forms: By column, of what form it was there: a number of a category is its name.

    Raises:
        InputError: If a cell is nothing of its style.
    """
    read: dict[str, object] = {}
    for name, given in cells.items():
        cell = given.item() if isinstance(given, np.generic) else given
        style, form = named_style(titles.get(name, "")), forms.get(name)
        if style is None and form is None:
            read[name] = cell
        elif isinstance(cell, int | float) and form in ("number", None):
            read[name] = int(cell) if isinstance(cell, bool) else cell
        elif not is_blank(cell, () if style else ("-",)):
            word = plain_word(cell)
            if style is not None and not style.fits(word):
                raise InputError(
                    f"{name} is {word[:100]!r}; expected {style.title.partition(', read')[0]}, as in training"
                )
            read[name] = style.parse(word) if style else word
    return read


def trained_row(cells: Mapping[str, object], modality: str, about: Mapping[str, Any]) -> dict[str, object]:
    """Returns a row as `read_row` does, for a model that knows which columns it was trained on, and of what form.

    Empty numbers of columns that were never empty in training are filled with what was typical there.

    Args:
        modality: What the row is; where its only column is called so, cells of it are objects with any columns.
        about: What the model knows, as `Table.about` says it; nothing, of one that was trained on no table.

    Raises:
        InputError: If a word is nothing of its style, or a column is none that the model knows.
    """
    forms: Mapping[str, str] = about.get("forms", {})
    own = dict(stated_columns(word, forms) for word in about.get("columns", [])).get(modality, [*forms])
    unknown = next((name for name in cells if name not in own), None)
    if unknown is not None and forms and modality not in own:
        said = f"{quoted(unknown, 100)} is no column that the model was trained on: {', '.join(own)}"
        raise InputError(f"{said}{nearest_name(unknown, own)}")
    numbers = {name: PLAIN.title for name, form in forms.items() if form == "number"}
    row = read_row(cells, numbers | about.get("styles", {}), forms)
    return filled_row(row, about.get("typical", {}).get(modality, {}))


def decimal_marks(words: Iterable[str]) -> set[str]:
    """Returns which marks some words can have before decimals only: of 3,50 a comma, of 1,234 none."""
    return {found["mark"] for word in words if (found := _DECIMALS.fullmatch(word))}


def with_decimal_commas(style: WordStyle, words: Sequence[str]) -> WordStyle:
    """Returns what a style means in a table whose other columns have decimal commas: 1.234 is a thousand there.

    Args:
        words: Filled cells.
    """
    title, _, unit = style.title.partition(", in ")
    own = [_of_unit(word, unit) for word in words] if unit else words
    is_meant = style.doubt == _OTHER_MARK or (title == PLAIN.title and _are_point_thousands(own))
    return style if not is_meant else _in_unit(_DECIMAL_COMMA, unit) if unit else _DECIMAL_COMMA


def share_of_numbers(words: Sequence[str]) -> float:
    """Returns which share of words are numbers, whatever they are written like."""
    return max(_share(own, words) for own in (PLAIN, _THOUSANDS, _DECIMAL_COMMA)) if words else 0.0


def _in_unit(style: WordStyle, unit: str) -> WordStyle:
    return WordStyle(f"{style.title}, in {unit}", partial(_with_unit, unit=unit, parse=style.parse), style.doubt, unit)


def _of_unit(word: str, unit: str) -> str:
    return str(_with_unit(word, unit, str))


def _common_unit(words: Sequence[str]) -> str:
    """Returns what nearly all words have before or after a number: a currency, a unit."""
    found = [own for word in words if (own := _WITH_UNIT.fullmatch(_signed(word)))]
    units = Counter(own["before"] or own["after"] for own in found if bool(own["before"]) != bool(own["after"]))
    unit, count = next(iter(units.most_common(1)), ("", 0))
    return unit if count >= _LEAST * len(words) else ""


def _without_unit(words: Sequence[str]) -> WordStyle | None:
    plain, thousands, commas = (_share(style, words) for style in (PLAIN, _THOUSANDS, _DECIMAL_COMMA))
    if plain >= max(_LEAST, thousands) and (commas <= plain or not _all_the_same(words)):
        # Three decimals stand in all cells, or thousands of 1.234 in all or beside 94; beside 12345, they are decimals.
        may_be_thousands = all("." in word or len(word.lstrip("+-")) < 4 for word in words)
        return replace(PLAIN, doubt=_OTHER_POINT if may_be_thousands and _are_point_thousands(words) else "")
    # What only a decimal comma explains decides; 1,234 alone is taken for a thousand.
    if commas >= _LEAST and commas > thousands:
        with_points = [word for word in map(_signed, words) if "." in word and _DECIMAL_COMMA.fits(word)]
        are_mixed = len({_POINT_THOUSANDS.fullmatch(word) is None for word in with_points}) == 2
        return replace(_DECIMAL_COMMA, doubt=_OTHER_COMMA if are_mixed else "")
    if thousands >= _LEAST:
        with_commas = [word for word in words if "," in word and _THOUSANDS.fits(word)]
        is_unclear = bool(with_commas) and commas == thousands and all(map(_DECIMAL_COMMA.fits, with_commas))
        return replace(_THOUSANDS, doubt=_OTHER_MARK if is_unclear else "")
    return PLAIN if plain >= _LEAST else None


def _are_point_thousands(words: Sequence[str]) -> bool:
    """Returns whether each point stands before three digits, where it may be a mark between thousands."""
    with_points = [word for word in words if "." in word]
    return bool(with_points) and all(_POINT_THOUSANDS.fullmatch(_signed(word)) for word in with_points)


def _all_the_same(words: Sequence[str]) -> bool:
    """Returns whether plain numbers stay what they are where others have a decimal comma: 3, but not 3.512."""
    return all(_plain(word) == _with_commas(word) for word in words if PLAIN.fits(word))


def _share(style: WordStyle, words: Sequence[str]) -> float:
    return sum(style.fits(word) for word in words) / len(words)
