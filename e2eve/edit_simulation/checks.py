"""One check, and one wording, for every range in the configuration of an edit simulation."""


def check_range(name: str, low: float, high: float, smallest: float, largest: float) -> None:
    """Raises a ValueError unless smallest <= low <= high <= largest."""
    if smallest <= low <= high <= largest:
        return
    given = f"{name} of {low}" if low == high else f"{name} from {low} to {high}"
    raise ValueError(
        f"The {given} is not possible, choose within {smallest} to {largest}"
        f"{', the smaller first' if low > high else ''}."
    )
