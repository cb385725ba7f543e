import numpy as np
import pytest

from assets.errors import InputError
from perception.checkpoint import load_model
from scenarios.catalogue import driver_named
from scenarios.colonoscopy import TASK
from scenarios.drivers.model import Model
from scenarios.interface import Observation, Readings
from scenarios.liver_survey import LIVER_SURVEY
from scenarios.models import model_named, shipped_model
from scenarios.truth import nothing_seen
from sim.camera import Camera


@pytest.mark.parametrize(
    ("task", "validated"), [("colonoscopy", "synth:colon:56-69"), ("liver_survey", "synth:abdomen:15-16")]
)
def test_a_model_for_each_task_comes_with_its_card(task, validated):
    path = shipped_model(task)
    assert path.stat().st_size <= 10e6
    card = path.with_suffix(".md").read_text()
    assert "not a medical device" in card
    _, config = load_model(path)
    assert config.size == "S"
    assert config.task.name == task
    assert validated in card  # whom it was calibrated on; none of those that it is judged on


def test_a_model_for_stills_comes_with_its_card_and_has_seen_no_real_frame():
    path = shipped_model("polyp_stills")
    assert path.stat().st_size <= 10e6
    assert "not a medical device" in path.with_suffix(".md").read_text()
    _, config = load_model(path)
    assert config.task.name == "colonoscopy"
    assert config.training["options"]["stills"] is True
    assert not {"real_sha256", "real_first"} & config.training["options"].keys()
    # It began with the one that drives, whose alarms alone have been fitted anew since.
    _, start = load_model(shipped_model("colonoscopy"))
    assert config.training["options"]["start_sha256"] == start.training["calibration"]["refitted_sha256"]


def test_it_drives_where_no_model_is_named():
    driver = driver_named("model", TASK)
    assert driver.name == "model"
    prediction = model_named(str(shipped_model("colonoscopy")))(np.full((128, 128, 3), 90, np.uint8), 1.0)
    assert prediction.classes.shape == (128, 128)
    assert np.isfinite(prediction.depth).all()


def test_a_task_without_one_is_told():
    with pytest.raises(
        InputError, match=r"expected --model FILE for bronchoscopy, found none; .* for colonoscopy, liver_survey"
    ):
        shipped_model("bronchoscopy")


def test_a_model_for_another_task_is_refused_in_one_line():
    line = r"expected a model for liver_survey, found .*, one for colonoscopy \(background, wall, polyp, lumen\)"
    with pytest.raises(InputError, match=line):
        driver_named("model", LIVER_SURVEY.task, str(shipped_model("colonoscopy")))


def test_a_callable_that_tells_another_number_of_classes_is_refused():
    camera = Camera.with_fov(8, 8, 70.0)
    observation = Observation(np.zeros((8, 8, 3), np.uint8), camera, Readings(0.0, 1.0))
    driver = Model(lambda rgb, exposure: nothing_seen((8, 8), np.array([0.0, 0.0, 1.0]), class_count=3), None, 4)
    with pytest.raises(InputError, match="the task's 4 classes, found 3"):
        driver.perceive(observation)
