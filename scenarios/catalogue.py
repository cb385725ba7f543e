"""Scenarios and drivers by name: the one place where a new one is entered."""

from collections.abc import Callable

from assets.errors import InputError
from scenarios.colonoscopy import COLONOSCOPY
from scenarios.drivers.blind import Blind
from scenarios.drivers.classical import Classical
from scenarios.drivers.explorer import Explorer
from scenarios.drivers.oracle import Oracle
from scenarios.interface import Driver, Scenario
from scenarios.user_code import load_object

SCENARIOS = {COLONOSCOPY.name: COLONOSCOPY}
_DRIVERS: dict[str, Callable[[], Driver]] = {
    "oracle": Oracle,
    "classical": Classical,
    "blind": Blind,
    "explorer": Explorer,
}
DRIVER_NAMES = (*_DRIVERS, "model")


def scenario_named(name: str) -> Scenario:
    """Return a scenario of ours, or a user's from `file.py:Name`.

    Raises:
        InputError: There is no such scenario, or the object is none.
    """
    if name in SCENARIOS:
        return SCENARIOS[name]
    if ":" not in name:
        raise InputError(f"scenario: expected one of {', '.join(SCENARIOS)} or file.py:Name, found {name!r}")
    scenario = load_object(name, "scenario")
    if not isinstance(scenario, Scenario):
        raise InputError(f"scenario: expected {name} to be a Scenario, found {type(scenario).__name__}")
    return scenario


def driver_named(name: str, model: str | None = None) -> Driver:
    """Make a driver of ours, or a user's from `file.py:Name` (a class without arguments).

    Args:
        name: The driver.
        model: The network of the driver `model`: a .safetensors of ours or `file.py:name`, a callable
            (rgb, exposure) -> Prediction.

    Raises:
        InputError: There is no such driver, or the model is missing or unreadable.
    """
    if name in _DRIVERS:
        return _DRIVERS[name]()
    if name == "model":
        return _model_driver(model)
    if ":" not in name:
        raise InputError(f"driver: expected one of {', '.join(DRIVER_NAMES)} or file.py:Name, found {name!r}")
    driver: Driver = load_object(name, "driver")()
    for needed in ("name", "needs_truth", "reset", "perceive", "act"):
        if not hasattr(driver, needed):
            raise InputError(f"driver: expected {name} to have {needed}, found none")
    return driver


def _model_driver(model: str | None) -> Driver:
    from pathlib import Path

    from perception.predictor import Predictor
    from scenarios.drivers.model import Model

    if model is None:
        raise InputError("driver model: expected a model (--model FILE), found none")
    if ".py:" in model:
        return Model(load_object(model, "model"))
    return Model(Predictor.load(Path(model)))
