"""Assembly bias of tables of halos: halos that are kept apart by concentration, and strengths."""

from __future__ import annotations

from typing import Any

import torch

from pysoftcorr.core.options import finite_numbers, number

__all__ = ["check_assembly", "with_assembly"]


def check_assembly(split: Any, groups: int, subvolumes: int) -> None:
    """ValueError or TypeError where halos cannot be kept apart so."""
    if number("assembly_split", split, above=0) >= 1:
        raise ValueError(f"assembly_split = {split:g}: must be a part of the halos, below 1")
    if groups > 1:
        raise ValueError(
            f"concentration_groups = {groups}: must be 1 with assembly_split, which makes two"
        )
    if subvolumes:
        raise ValueError(
            f"subvolumes = {subvolumes}: must be 0 with assembly_split; such tables have no "
            "covariance"
        )


def with_assembly(
    x: torch.Tensor, split: float | None, centrals: Any, satellites: Any
) -> torch.Tensor:
    """Parameters (n, 7), and with a split two columns more for strengths of shape () or (n,).

    Raises
    ------
    ValueError
        If strengths are of another shape, outside of [-1, 1], or not 0 without a split.
    """
    columns = []
    for name, given in (("assembly_cen", centrals), ("assembly_sat", satellites)):
        value = given
        if not isinstance(given, torch.Tensor):
            value = torch.as_tensor(finite_numbers(name, given))
        value = value.to("cpu", torch.float64)
        if value.ndim > 1 or value.numel() not in (1, len(x)):
            raise ValueError(f"{name}: shape {tuple(value.shape)}; must be () or ({len(x)},)")
        values = value.detach()
        wrong = values[~(values.abs() <= 1)]
        if wrong.numel():
            raise ValueError(f"{name} = {float(wrong[0]):g}: must be in [-1, 1]")
        if split is None and bool((values != 0).any()):
            raise ValueError(
                f"{name} = {float(values[values != 0][0]):g}: these tables do not keep halos apart "
                "by concentration; tabulate the halos with assembly_split = 0.5"
            )
        columns.append(value.expand(len(x)))
    return x if split is None else torch.cat([x, torch.stack(columns, dim=1)], dim=1)
