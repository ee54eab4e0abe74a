"""Units: the integers that budgets are counted in.

Calls, and money in millionths of the operator's currency ("micros"). Never a
float: sums of money must be exact. Which budget uses which is said in
`gateway_policies.budgets`.
"""

from typing import Literal

Unit = Literal["calls", "micros"]

MICROS = 1_000_000  # micros in one unit of the currency
MAX_AMOUNT = 2**53 - 1  # the largest amount anywhere: exact in JSON, and sums of it fit 64 bits
_DECIMALS = 6


def micros_from(text: str) -> int:
    """Return the micros of an amount of money written as `12`, `12.5` or `0.000001`.

    Raises `ValueError` for signs, exponents, separators, more than six decimals, and
    anything above `MAX_AMOUNT` micros.
    """
    whole, point, part = text.partition(".")
    if not _is_digits(whole) or len(whole) > len(str(MAX_AMOUNT)) or (point and not _is_digits(part)):
        raise ValueError(f"`{text[:40]}` is no amount of money such as `12.50`")
    if len(part) > _DECIMALS:
        raise ValueError(f"`{text[:40]}` has more than {_DECIMALS} decimals")
    amount = int(whole) * MICROS + int(part.ljust(_DECIMALS, "0"))
    if amount > MAX_AMOUNT:
        raise ValueError(f"`{text[:40]}` is more than {MAX_AMOUNT} micros")
    return amount


def amount_text(amount: int, unit: Unit) -> str:
    """Return an amount for people: `1 call`, `20 calls`, `1250000 micros`."""
    return f"{amount} {unit[:-1] if amount == 1 else unit}"


def _is_digits(text: str) -> bool:
    return text.isascii() and text.isdigit()
