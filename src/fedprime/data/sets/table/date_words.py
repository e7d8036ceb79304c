"""Dates and times of day as people write them, as numbers: one order of day and month for a whole column."""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta

YEAR_FIRST = "year, month, day"
DAY_FIRST = "day, month, year"
MONTH_FIRST = "month, day, year"
TIMES = "times of day"

_LEAST = 0.9  # of the words of a column of dates that are dates
_TIME = r"(?P<hour>\d{1,2}):(?P<minute>\d{2})(:(?P<second>\d{2})([.,]\d*)?)?\s*(?P<half>[AaPp]\.?[Mm]\.?)?"
_ZONE = r"\s*(Z|UTC|GMT|(?P<sign>[+-])(?P<zone_hour>\d{2})(:?(?P<zone_minute>\d{2}))?)?"
_LATER = rf"([T ,]+{_TIME}{_ZONE})?"
_YEAR = re.compile(r"(?P<year>\d{4})(?P<mark>[-/.])(?P<month>\d{1,2})(?P=mark)(?P<day>\d{1,2})" + _LATER)
_MONTH = re.compile(r"(?P<year>(19|20)\d{2})-(?P<month>0[1-9]|1[0-2])")
_COMPACT = re.compile(r"(?P<year>(19|20)\d{2})(?P<month>\d{2})(?P<day>\d{2})")
_WEEKDAY = r"((Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,? )?"
_NAMED = re.compile(
    _WEEKDAY + r"(?P<day>\d{1,2})(st|nd|rd|th|\.)?[ -](?P<name>[A-Za-z]{3,9})\.?,?[ -](?P<year>\d{4}|\d{2})" + _LATER
)
#: As SAS writes them: 31JAN2024, 31JAN2024:13:30:00.
_JOINED = re.compile(rf"(?P<day>\d{{1,2}})(?P<name>[A-Za-z]{{3}})(?P<year>\d{{4}}|\d{{2}})(:{_TIME})?")
_SIGNED = re.compile(r"(?P<year>\d{4})[年년]\s?(?P<month>\d{1,2})[月월]\s?(?P<day>\d{1,2})[日일]" + _LATER)
_NAME_FIRST = re.compile(
    _WEEKDAY + r"(?P<name>[A-Za-z]{3,9})\.? (?P<day>\d{1,2})(st|nd|rd|th)?,? (?P<year>\d{4})" + _LATER
)
#: Those of which nobody can doubt what is day, month and year.
_UNDOUBTED = (_YEAR, _MONTH, _COMPACT, _NAMED, _NAME_FIRST, _JOINED, _SIGNED)
_OTHER = re.compile(r"(?P<first>\d{1,2})(?P<mark>[-/.])(?P<next>\d{1,2})(?P=mark)(?P<year>\d{4}|\d{2})" + _LATER)
_ONLY_TIME = re.compile(_TIME)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_ORIGIN = datetime(2000, 1, 1)


def date_order(words: Sequence[str]) -> tuple[str, bool] | None:
    """Returns in which order the dates of a column are written, and whether another fits as well.

    Where day and month may be either, a point or a dash tells that the day comes first, a slash the month.

    Args:
        words: Filled cells.

    Returns:
        None if most are no dates.

    >>> date_order(["2024-01-31"]), date_order(["31.1.2024"]), date_order(["1/2/2024"]), date_order(["red"])
    (('year, month, day', False), ('day, month, year', False), ('month, day, year', True), None)
    """
    if not words:
        return None
    if len(set(words)) > 1 and all(_COMPACT.fullmatch(word) and _fits(word, YEAR_FIRST) for word in words):
        return YEAR_FIRST, False
    shares = {order: _share(words, order) for order in (YEAR_FIRST, DAY_FIRST, MONTH_FIRST)}
    best = max(shares.values())
    if best < _LEAST:
        return None
    if shares[YEAR_FIRST] == best:
        return YEAR_FIRST, False
    if shares[DAY_FIRST] != shares[MONTH_FIRST]:
        return max(shares, key=shares.__getitem__), False
    slashes = sum("/" in word for word in words)
    return (MONTH_FIRST if slashes > len(words) / 2 else DAY_FIRST), True


def looks_like_date(word: str) -> bool:
    """Returns whether a word is a date in some order."""
    return any(_fits(word, order) for order in (DAY_FIRST, MONTH_FIRST))


def years(word: str, order: str) -> float:
    """Returns a date as years since the year 2000; raises ``ValueError`` if it is none.

    Args:
        order: Of day, month and year, where neither the year comes first nor the month has a name.
    """
    found = next((own for pattern in _UNDOUBTED if (own := pattern.fullmatch(word))), None)
    if found is None and order != YEAR_FIRST and (found := _OTHER.fullmatch(word)):
        if found["mark"] == "-" and len(found["year"]) == 2:
            raise ValueError(f"{word!r} is no date")
        day, month = (found["first"], found["next"])[:: 1 if order == DAY_FIRST else -1]
    elif found is not None:
        parts = found.groupdict()
        day, month = parts.get("day") or "1", parts.get("month") or _month(found["name"])
    else:
        raise ValueError(f"{word!r} is no date")
    year = int(found["year"])
    if len(found["year"]) == 2:
        year += 1900 if year >= 69 else 2000  # as POSIX reads two digits
    moment = datetime(year, int(month), int(day)) + timedelta(hours=_hours(found.groupdict()))
    return (moment - _ORIGIN) / timedelta(days=365.2425)


def hours(word: str) -> float:
    """Returns a time of day in hours; raises ``ValueError`` if it is none."""
    found = _ONLY_TIME.fullmatch(word)
    if not found:
        raise ValueError(f"{word!r} is no time of day")
    return _hours(found.groupdict())


def _hours(parts: dict[str, str | None]) -> float:
    if not parts.get("hour"):
        return 0.0
    hour, minute, second = (int(parts[name] or 0) for name in ("hour", "minute", "second"))
    half = (parts["half"] or "").lower()[:1]
    if hour > (12 if half else 24) or minute > 59 or second > 60:
        raise ValueError(f"{hour}:{minute}:{second} is no time of day")
    if half:
        hour = hour % 12 + (12 if half == "p" else 0)
    zone = int(parts.get("zone_hour") or 0) + int(parts.get("zone_minute") or 0) / 60
    return hour + minute / 60 + second / 3600 - (-zone if parts.get("sign") == "-" else zone)


def _month(name: str) -> int:
    if name.lower()[:3] not in _MONTHS:
        raise ValueError(f"{name!r} is no month")
    return _MONTHS.index(name.lower()[:3]) + 1


def _share(words: Sequence[str], order: str) -> float:
    # Eight digits alone are rather a number, but where all of a column are dates.
    return sum(_fits(word, order) for word in words if not word.isdecimal()) / len(words)


def _fits(word: str, order: str) -> bool:
    try:
        years(word, order)
    except (ValueError, OverflowError):
        return False
    return True
