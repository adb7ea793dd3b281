"""How a check shows itself: one line of text, and the same typeset for notebook and book."""

from __future__ import annotations


def emit(plain: str, markdown: str) -> None:
    """Publish `markdown` in a notebook (with `plain` beside it); elsewhere print `plain`."""
    try:
        from IPython import get_ipython
    except ImportError:  # the checks work without IPython, in a script or a test
        get_ipython = None
    if get_ipython is not None and getattr(get_ipython(), "kernel", None) is not None:
        from IPython.display import publish_display_data
        publish_display_data({"text/plain": plain, "text/markdown": markdown})
    else:
        print(plain)


def truth(name: str, value: object) -> bool:
    """`value` as a bool; TypeError unless it is one (an array, say, has no single truth)."""
    if isinstance(value, bool) or type(value).__name__ in {"bool", "bool_"}:
        return bool(value)
    raise TypeError(f"{name}: expected True or False, got {type(value).__name__} {value!r}")


def check_equation(label: str, holds: object, evidence: str) -> None:
    """Raise unless `holds`; then show that the equation `label` of the text was checked."""
    if not truth("holds", holds):
        raise AssertionError(f"equation {label} does not hold: {evidence}")
    emit(f"✔ {label}: {evidence}", f"✔ Equation {{eq}}`{label}`: {evidence}")
