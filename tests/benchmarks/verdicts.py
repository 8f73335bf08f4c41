"""A figure, what it has to be, and whether it is."""

from __future__ import annotations


def told(
    what: str, value: float, *, least: float | None = None, most: float | None = None, unit: str = ""
) -> bool:
    """Print a line on ``value``, which is to be at ``least`` or at ``most`` so much; whether it is."""
    needs = [f"at least {least:g}"] if least is not None else []
    needs += [f"at most {most:g}"] if most is not None else []
    holds = (least is None or value >= least) and (most is None or value <= most)
    figure = f"{value:.4g} {unit}".strip()
    verdict = f"; needs {' and '.join(needs)}: {'holds' if holds else 'FALLS SHORT'}" if needs else ""
    print(f"{what}: {figure}{verdict}")
    return holds
