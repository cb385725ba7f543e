"""Scenarios and drivers by name: the one place where a new one is entered."""

from assets.errors import InputError
from scenarios.bronchoscopy import BRONCHOSCOPY
from scenarios.colonoscopy import COLONOSCOPY, COLONOSCOPY_SOFT_WALL
from scenarios.drivers.model import Model
from scenarios.interface import Driver, Scenario, Task
from scenarios.liver_survey import LIVER_SURVEY
from scenarios.models import model_named, shipped_model
from scenarios.user_code import load_object

SCENARIOS = {one.name: one for one in (COLONOSCOPY, COLONOSCOPY_SOFT_WALL, BRONCHOSCOPY, LIVER_SURVEY)}


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


def driver_named(name: str, task: Task, model: str | None = None) -> Driver:
    """Make a driver of ours, or a user's from `file.py:Name` (a class without arguments).

    Args:
        name: The driver.
        task: What it drives.
        model: The network of the driver `model`: a .safetensors of ours, an .onnx or `file.py:name`, a callable
            (rgb, exposure) -> Prediction; None for the one that comes with trocar for the task.

    Raises:
        InputError: There is no such driver, or the model is missing or unreadable.
    """
    if name in task.drivers:
        return task.drivers[name]()
    if name == "model":
        return _model_driver(model, task)
    if ":" not in name:
        raise InputError(f"driver: expected one of {', '.join(task.drivers)}, model or file.py:Name, found {name!r}")
    driver: Driver = load_object(name, "driver")()
    for needed in ("name", "needs_truth", "reset", "perceive", "act"):
        if not hasattr(driver, needed):
            raise InputError(f"driver: expected {name} to have {needed}, found none")
    return driver


def _model_driver(model: str | None, task: Task) -> Driver:
    predict = model_named(model or str(shipped_model(task.name)), task.name)
    return Model(predict, task.controller(), len(task.classes))
