"""Import every module of the installed wheel, from another directory: `python import_all.py SITE`, SITE on the path."""

import importlib
import pkgutil
import sys
from pathlib import Path

PACKAGES = ("assets", "sim", "perception", "scenarios")


def import_all(site: Path) -> int:
    """Import all modules below `site` and read the data files; return how many modules there are."""
    count = 0
    for package in PACKAGES:
        for found in pkgutil.walk_packages([str(site / package)], f"{package}."):
            module = importlib.import_module(found.name)
            assert module.__file__ is not None, f"{found.name}: expected a file, found a namespace"
            assert Path(module.__file__).is_relative_to(site), f"{found.name}: expected it in {site}: {module.__file__}"
            count += 1
    labels, materials = importlib.import_module("assets.labels"), importlib.import_module("assets.materials")
    assert labels.load_labels()
    assert materials.load_materials()
    return count


if __name__ == "__main__":
    print(f"{import_all(Path(sys.argv[1]).resolve())} modules of the wheel import")
