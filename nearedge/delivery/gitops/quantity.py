"""Kubernetes' quantities, such as 250m and 128Mi, as whole numbers.

The form is that of https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
"""

import math
import re
from typing import Any

QUANTITY = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)(?:([KMGTPE]i)|([numkMGTPE])|[eE]([+-]?[0-9]{1,2}))?")
BINARY = {"Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40, "Pi": 2.0**50, "Ei": 2.0**60}
DECIMAL = {"n": 1e-9, "u": 1e-6, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18}


def plain(value: Any) -> float | None:
    """The number that a quantity stands for, None for what is none."""
    found = QUANTITY.fullmatch(str(value)) if isinstance(value, str | int | float) else None
    if found is None:
        return None
    number, binary, decimal, power = found.groups()
    return float(number) * (BINARY[binary] if binary else DECIMAL[decimal] if decimal else 10.0 ** int(power or 0))


def mebibytes(value: Any) -> int | None:
    """A quantity of bytes in MiB, rounded up; None for what is none."""
    found = plain(value)
    return None if found is None else math.ceil(found / 2**20)


def thousandths(value: Any) -> int | None:
    """A quantity of cores in thousandths, rounded up; None for what is none."""
    found = plain(value)
    return None if found is None else math.ceil(round(found * 1000, 6))
