"""Check the syntax of a schedule by crontab(5).

A schedule has five fields (minute, hour, day of month, month, day of week) and an optional sixth
for seconds at the end, or it is a form such as `@daily`. The operator has the same grammar; one
corpus tests both.
"""

from __future__ import annotations

FORMS = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
# Name, minimum, maximum, names of values, and the number of the first name.
_FIELDS = (
    ("minute", 0, 59, (), 0),
    ("hour", 0, 23, (), 0),
    ("day of month", 1, 31, (), 0),
    ("month", 1, 12, _MONTHS, 1),
    ("day of week", 0, 7, _DAYS, 0),
    ("second", 0, 59, (), 0),
)
_LONGEST_MONTH = {2: 29, 4: 30, 6: 30, 9: 30, 11: 30}


def check(expression: str) -> None:
    """Check a schedule.

    Raises:
        ValueError: The schedule is invalid; the message says where.
    """
    if expression.startswith("@"):
        if expression not in FORMS:
            raise ValueError(f"unknown form [{expression}], expected one of {' '.join(FORMS)}")
        return
    fields = expression.split()
    if fields and "TZ=" in fields[0]:
        raise ValueError("the time zone is not part of the schedule: set the class's time_zone")
    if len(fields) not in {5, 6}:
        raise ValueError(f"expected 5 fields (or 6, the last for seconds), got {len(fields)}")
    values = [_expand(text, *field) for text, field in zip(fields, _FIELDS, strict=False)]
    days, months = values[2], values[3]
    # crontab(5): if either day field has a star, both must match; else one of them is enough.
    both = "*" in fields[2] or "*" in fields[4]
    if both and all(min(days) > _LONGEST_MONTH.get(month, 31) for month in months):
        raise ValueError(f"no month [{fields[3]}] has a day [{fields[2]}]")


def is_number(word: str) -> bool:
    """True if a word is a number of at most four digits."""
    return word.isascii() and word.isdigit() and len(word) <= 4


def _expand(
    text: str, name: str, least: int, greatest: int, names: tuple[str, ...], first: int
) -> set[int]:
    """Return the numbers that a field matches.

    Raises:
        ValueError: The field is invalid.
    """

    def number(word: str) -> int:
        if word.lower() in names:
            return names.index(word.lower()) + first
        if not is_number(word) or not least <= int(word) <= greatest:
            raise ValueError(f"bad {name} [{text}]: [{word}] is not in {least}-{greatest}")
        return int(word)

    numbers: set[int] = set()
    for part in text.split(","):
        span, slash, step = part.partition("/")
        if slash and not (is_number(step) and int(step) > 0):
            raise ValueError(f"bad {name} [{text}]: [{step}] is not a step")
        start, dash, end = span.partition("-")
        if span == "*":
            low, high = least, greatest
        elif dash:
            low, high = number(start), number(end)
            # A range of weekdays may end on Sunday, which is then 7.
            high = 7 if names is _DAYS and high == 0 and low > 0 else high
        else:
            low = number(start)
            high = greatest if slash else low
        if low > high:
            raise ValueError(f"bad {name} [{text}]: [{span}] runs backwards")
        numbers.update(range(low, high + 1, int(step) if slash else 1))
    return numbers
