"""Optical and mechanical constants of tissues and instruments, read from `materials.toml` with their units."""

import math
import tomllib
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

from assets.errors import InputError

TABLE = Path(__file__).with_name("materials.toml")

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Optical:
    """How a surface looks under the light of an endoscope."""

    base_colour: Colour
    """Albedo, linear RGB."""
    roughness: float
    """Of the highlight, as alpha of GGX, 0 to 1."""
    specular: float
    """Reflectance of the surface at normal incidence."""
    wetness: float
    """Share of the surface that a film of liquid covers, 0 to 1."""
    translucency: float
    """How far light spreads below the surface, 0 to 1."""
    vessel_density: float
    """How much of a vessel net shows, 0 to 1."""
    vessel_colour: Colour
    """Albedo above a vessel, linear RGB."""
    bump_height: float
    """Height of the relief that the mesh does not resolve [m]."""
    bump_scale: float
    """Distance between its bumps [m]."""
    mottling: float
    """How much its blood varies from place to place, 1 as in the mucosa of the colon."""
    variation: float
    """How one thing of it differs in colour from the next: standard deviation of the logarithm of its blood."""
    pit_contrast: float
    """How much blood varies in the finest pattern, that of the pits."""


@dataclass(frozen=True)
class Mechanical:
    """How a tissue resists."""

    density: float
    """[kg/m^3]"""
    youngs_modulus: float
    """[Pa]"""
    poisson_ratio: float
    friction: float
    """Coulomb's coefficient against a lubricated instrument."""


@dataclass(frozen=True)
class HollowWall:
    """How the wall of a hollow organ gives way, as a shell on what lies behind it."""

    thickness: float
    """[m]"""
    modulus: float
    """Young's modulus in the plane of the wall [Pa]."""
    foundation: float
    """Stiffness of what lies behind it [Pa/m]."""
    viscosity: float
    """Of its creep, over an area [Pa s/m]."""
    pressure: float
    """In the lumen when the anatomy was taken, which the wall is stretched by [Pa]."""


@dataclass(frozen=True)
class Material:
    """One table of `materials.toml`."""

    name: str
    optical: Optical
    mechanical: Mechanical
    wall: HollowWall | None = None
    """Of hollow organs whose wall may give way."""


UNITS = {
    "bump_height": "m",
    "bump_scale": "m",
    "density": "kg/m^3",
    "youngs_modulus": "Pa",
    "thickness": "m",
    "modulus": "Pa",
    "foundation": "Pa/m",
    "viscosity": "Pa s/m",
    "pressure": "Pa",
}
"""Units of the entries that are not plain numbers, unit "1"."""


def _value(entry: Any, key: str, where: str) -> Any:
    """Take the number, or the three of a colour, out of `{ value, unit, source }`."""
    if not isinstance(entry, dict) or set(entry) != {"value", "unit", "source"}:
        raise InputError(f"expected value, unit and source for {key}, found {entry!r} in {where}")
    if entry["unit"] != UNITS.get(key, "1"):
        raise InputError(f"expected unit {UNITS.get(key, '1')} for {key}, found {entry['unit']!r} in {where}")
    if not isinstance(entry["source"], str) or not entry["source"].strip():
        raise InputError(f"expected a source for {key}, found none in {where}")
    value = entry["value"]
    numbers = value if key.endswith("colour") else [value]
    if not isinstance(numbers, list) or len(numbers) not in (1, 3) or (key.endswith("colour") and len(numbers) != 3):
        raise InputError(f"expected three numbers for {key}, found {value!r} in {where}")
    if not all(isinstance(x, float | int) and math.isfinite(x) and x >= 0 for x in numbers):
        raise InputError(f"expected finite numbers of at least 0 for {key}, found {value!r} in {where}")
    return tuple(float(x) for x in numbers) if key.endswith("colour") else float(value)


def read_materials(path: Path) -> dict[str, Material]:
    """Read a file of materials.

    Args:
        path: A TOML file of the form of `assets/materials.toml`.

    Raises:
        InputError: An entry is missing, unknown, without unit or source, or no finite number.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"expected a readable TOML file of materials, found {error} in {path}") from error
    materials = {}
    for name, table in tables.items():
        parts: dict[str, dict[str, Any]] = {}
        kinds: list[tuple[str, type[Optical | Mechanical | HollowWall]]]
        kinds = [("optical", Optical), ("mechanical", Mechanical)]
        if isinstance(table, dict) and "wall" in table:
            kinds.append(("wall", HollowWall))
        for part, kind in kinds:
            where = f"{path.name}: [{name}.{part}]"
            entries = table.get(part, {}) if isinstance(table, dict) else {}
            expected = [field.name for field in fields(kind)]
            if sorted(entries) != sorted(expected):
                raise InputError(f"expected {', '.join(expected)}, found {', '.join(entries) or 'nothing'} in {where}")
            parts[part] = {key: _value(entries[key], key, where) for key in expected}
        wall = HollowWall(**parts["wall"]) if "wall" in parts else None
        materials[name] = Material(name, Optical(**parts["optical"]), Mechanical(**parts["mechanical"]), wall)
    return materials


@cache
def _table() -> dict[str, Material]:
    return read_materials(TABLE)


def load_materials() -> dict[str, Material]:
    """Return every material of `assets/materials.toml` by its name."""
    return dict(_table())
