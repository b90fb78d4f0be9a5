"""Figures as a person reads them."""


def milliseconds(value: float) -> str:
    """A time in milliseconds with three digits that matter, in us, ms or s."""
    if value < 0.9995:
        return f"{value * 1000:.3g} µs"
    return f"{value:,.3g} ms" if value < 999.5 else f"{value / 1000:,.3g} s"


def megabytes(size: int) -> str:
    """Bytes in powers of ten."""
    return f"{size / 1e6:,.1f} MB" if size >= 1e6 else f"{size / 1e3:,.1f} kB"


def share(value: float) -> str:
    """A metric or a drop with four digits, and no minus before nothing."""
    return f"{value:.4f}".replace("-0.0000", "0.0000")


def counted(number: int, what: str) -> str:
    """`1 thread`, `2 threads`."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def pace(ratio: float) -> str:
    """How a time compares with another, from the other's over it: 6.7 times as fast, or 4.3 times as slow."""
    return f"{ratio:.1f} times as fast" if ratio >= 1 else f"{1 / ratio:.1f} times as slow"
