"""Read tables and numbers in the text of cards."""

from __future__ import annotations

import math
from decimal import Decimal, InvalidOperation


def table_cells(line: str) -> list[str]:
    """Return the cells of a table's row in Markdown; [] for any other line."""
    if "|" not in line:
        return []
    return [cell.strip() for cell in line.strip().removeprefix("|").removesuffix("|").split("|")]


def read_number(value: object) -> tuple[float | None, int]:
    """Return a finite positive number and its digits after the decimal point, or (None, 0).

    A number that no float can hold counts as none.  Of numbers such as 1.2e6, whose last digit
    stands for more than 1, the digits are negative.
    """
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None, 0
    exponent = number.as_tuple().exponent
    if not isinstance(exponent, int):  # infinity and NaN have letters
        return None, 0
    as_float = float(number)  # 1e400 becomes infinity, and 1e-400 becomes 0
    if not 0 < as_float < math.inf:
        return None, 0
    return as_float, -exponent
