import numpy as np
import pytest

from assets.errors import InputError
from perception.checkpoint import load_model
from scenarios.catalogue import driver_named
from scenarios.colonoscopy import TASK
from scenarios.models import model_named, shipped_model


def test_a_model_for_colonoscopy_comes_with_its_card():
    path = shipped_model("colonoscopy")
    assert path.stat().st_size <= 10e6
    card = path.with_suffix(".md").read_text()
    assert "not a medical device" in card
    _, config = load_model(path)
    assert config.size == "S"
    assert "synth:colon:12-19" in card  # whom it was calibrated on; none of those that it is judged on


def test_it_drives_where_no_model_is_named():
    driver = driver_named("model", TASK)
    assert driver.name == "model"
    prediction = model_named(str(shipped_model("colonoscopy")))(np.full((128, 128, 3), 90, np.uint8), 1.0)
    assert prediction.classes.shape == (128, 128)
    assert np.isfinite(prediction.depth).all()


def test_a_task_without_one_is_told():
    with pytest.raises(InputError, match=r"expected --model FILE for liver_survey, found none; .* for colonoscopy"):
        shipped_model("liver_survey")
