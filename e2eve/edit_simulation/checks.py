"""One check, and one wording, for every range in the configuration of an edit simulation."""

from numbers import Real


def check_range(name: str, low: Real, high: Real, smallest: Real, largest: Real) -> None:
    """Raises a ValueError unless smallest <= low <= high <= largest."""
    if smallest <= low <= high <= largest:
        return
    given = f"{name} of {low}" if low == high else f"{name} from {low} to {high}"
    raise ValueError(
        f"The {given} is not possible, choose within {smallest} to {largest}"
        f"{', the smaller first' if low > high else ''}."
    )
