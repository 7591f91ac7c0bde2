"""What a user's class gave, checked where it is called: one sentence instead of a traceback."""

import inspect
from typing import Any


def full_name(thing: object) -> str:
    """Where a class, a function or the class of an object is imported from."""
    named: Any = thing if hasattr(thing, "__qualname__") else type(thing)
    return f"{named.__module__}.{named.__qualname__}"


def require(fits: bool, who: object, given: object, wanted: str) -> None:
    """Raises ValueError unless it fits: "`who` gives `given`, give `wanted`."

    Args:
        who: the object or the method that gave it; or as text, with a verb.
        given: of an array or a tensor the type of its values and its shape are named.
    """
    if fits:
        return
    said = who if isinstance(who, str) else f"{full_name(who)} gives"
    shown = "null" if given is None else full_name(given)
    if hasattr(given, "dtype") and hasattr(given, "shape"):
        shown = f"{given.dtype} of shape {tuple(given.shape)}"
    raise ValueError(f"{said} {shown}, give {wanted}.")


def all_of(kind: type, given: list[Any], group: str) -> list[Any]:
    """The objects of a group of the config, each of this kind; `require` says otherwise."""
    for one in given:
        require(isinstance(one, kind), f"The group {group} names", one, f"a {full_name(kind)}")
    return given


def require_call(function: Any, *names: str) -> None:
    """Raises ValueError unless the object can be called with so many arguments."""
    try:
        inspect.signature(function).bind(*names)
    except TypeError as error:
        raise ValueError(
            f"{full_name(function)} cannot be called with ({', '.join(names)}): {error}."
        ) from error
