"""The number of minor digits of currencies."""

from collections.abc import Mapping
from types import MappingProxyType

# ISO 4217, list one: every other currency has two. fin.amount() says the same in the database.
_WITHOUT = ("BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF", 0)
_THREE = ("BHD IQD JOD KWD LYD OMR TND", 3)
_FOUR = ("CLF UYW", 4)
EXCEPTIONS: Mapping[str, int] = MappingProxyType(
    {currency: digits for currencies, digits in (_WITHOUT, _THREE, _FOUR) for currency in currencies.split()}
)


def minor_digits(currency: str) -> int:
    """How many digits follow the point in amounts of an upper-case ISO 4217 code: 2 of USD, 0 of RWF."""
    return EXCEPTIONS.get(currency, 2)


def plain(minor: int, currency: str) -> str:
    """Minor units as a decimal number without the currency: `250.00`, in RWF `350200`."""
    digits = minor_digits(currency)
    if not digits:
        return str(minor)
    whole, rest = divmod(abs(minor), 10**digits)
    return f"{'-' if minor < 0 else ''}{whole}.{rest:0{digits}d}"
