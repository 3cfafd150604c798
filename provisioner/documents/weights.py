"""What a machine weighs: by its model where the operator's list has it, else a median.

The medians were computed from Boavizta's open dataset of makers' declarations (ODbL, February
2023): 217 desktops and 407 laptops. Single models differ from the median by up to five times,
so every figure says where it comes from, and a list of models is worth keeping.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from provisioner import yaml_file
from provisioner.errors import ConfigError
from provisioner.model.certificate import WeightBasis

DESKTOP_KG, LAPTOP_KG = 5.26, 1.65
# SMBIOS, chassis types: portable, laptop, notebook, sub-notebook, tablet, convertible, detachable
LAPTOPS = frozenset({"8", "9", "10", "14", "30", "31", "32"})
HEAVIEST_KG = 100.0


@dataclass(frozen=True)
class Weight:
    kilograms: float
    basis: WeightBasis


def load_weights(path: Path) -> dict[str, float]:
    """The operator's list, `model name: kilograms`; empty without a file. Raises ConfigError."""
    if not path.exists():
        return {}
    data, _ = yaml_file.load_plain(path)
    if not isinstance(data, dict):
        raise ConfigError("Weights are “model: kilograms” lines.", file=path)
    for model, weight in data.items():
        if isinstance(weight, bool) or not isinstance(weight, int | float):
            raise ConfigError("A weight is a number of kilograms.", file=path, field=str(model))
        if not 0 < weight <= HEAVIEST_KG:
            raise ConfigError(f"{weight} kg is no weight of a PC.", file=path, field=str(model))
    return {_plain(str(model)): float(weight) for model, weight in data.items()}


def weight_of(model: str, chassis: str, known: Mapping[str, float]) -> Weight:
    """The model's own figure, or the median of its kind."""
    if _plain(model) in known:
        return Weight(known[_plain(model)], WeightBasis.MODEL)
    if chassis in LAPTOPS:
        return Weight(LAPTOP_KG, WeightBasis.LAPTOP_MEDIAN)
    return Weight(DESKTOP_KG, WeightBasis.DESKTOP_MEDIAN)


def _plain(model: str) -> str:
    return " ".join(model.lower().split())
