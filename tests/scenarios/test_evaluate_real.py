from pathlib import Path

import cv2
import numpy as np
import pytest

from assets.errors import InputError
from perception.real_frames import centred_disc, mean_mask, read_real_frame, real_frame_paths
from scenarios.evaluate_real import EvaluateRealOptions, evaluate_real

MODEL = """
import numpy as np
from perception.prediction import POLYP, Prediction

def reddest(rgb, exposure):
    classes = np.where(rgb[..., 0] > 150, POLYP, 1)
    return Prediction(
        probabilities=(np.arange(4)[:, None, None] == classes).astype(np.float32),
        depth=np.ones(classes.shape, np.float32),
        depth_scale=np.zeros(classes.shape, np.float32),
        lumen_direction=np.array([0.0, 0.0, 1.0]),
        lumen_visible=1.0,
        uncertainty=np.zeros(classes.shape, np.float32),
        frame_uncertainty=0.0,
        polyp_centres=np.zeros((0, 3), np.float32),
    )

def square(rgb, exposure):
    return reddest(rgb[:10, :10], exposure)
"""


REAL = Path(__file__).parents[2].parent / "shared" / "realdata" / "frames" / "kvasir_seg_20"
needs_real_frames = pytest.mark.skipif(
    not REAL.is_dir(), reason="real data are absent: no shared/realdata/frames beside the project"
)


@pytest.fixture
def folder(tmp_path):
    """Four pictures of different sizes with a red disc each; the masks are JPEG, as real ones are."""
    for part in ("images", "masks"):
        (tmp_path / "frames" / part).mkdir(parents=True)
    for number in range(4):
        height, width = 80 + 10 * number, 100
        v, u = np.mgrid[0:height, 0:width]
        disc = np.hypot(u - 30 - 12 * number, v - 40) < 14 + 2 * number
        picture = np.full((height, width, 3), 90, np.uint8)
        picture[disc] = (220, 60, 60)
        cv2.imwrite(str(tmp_path / "frames" / "images" / f"f{number}.png"), picture[..., ::-1])
        cv2.imwrite(str(tmp_path / "frames" / "masks" / f"f{number}.jpg"), (255 * disc).astype(np.uint8))
    (tmp_path / "mine.py").write_text(MODEL)
    return tmp_path / "frames"


def test_a_model_that_sees_the_discs_is_nearly_perfect_and_beats_those_that_know_nothing(folder, tmp_path):
    options = EvaluateRealOptions(folder, f"{tmp_path}/mine.py:reddest", out=tmp_path / "out")
    found = {one.name: one for one in evaluate_real(options)}
    for score in ("dice", "iou", "precision", "recall"):
        assert found[f"model.{score}.polyp"].value > 0.95  # the masks' edges went through JPEG
    assert found["model.dice.polyp.median"].value > 0.97
    assert found["model.dice.polyp"].n == 4
    assert found["model.dice.polyp"].subset == "frames/all"
    for baseline in ("mean_mask", "centred_disc"):
        assert 0 < found[f"{baseline}.dice.polyp"].value < 0.9
        margin = found[f"model.dice.polyp.over_{baseline}"]
        expected = found["model.dice.polyp"].value - found[f"{baseline}.dice.polyp"].value
        assert margin.value == pytest.approx(expected)
        assert margin.low <= margin.value <= margin.high
    sheet = cv2.imread(str(tmp_path / "out" / "compared.png"))
    assert sheet.shape[0] > 300


@needs_real_frames
def test_the_model_for_stills_finds_polyps_in_real_frames():
    found = {one.name: one.value for one in evaluate_real(EvaluateRealOptions(REAL))}
    assert found["model.dice.polyp"] > 0.6
    assert min(found[f"model.dice.polyp.over_{other}"] for other in ("mean_mask", "centred_disc")) > 0.2


def test_frames_are_chosen_by_name(folder, tmp_path):
    model = f"{tmp_path}/mine.py:reddest"
    first = evaluate_real(EvaluateRealOptions(folder, model, first=3))
    last = evaluate_real(EvaluateRealOptions(folder, model, last=2))
    assert {(one.subset, one.n) for one in first} == {("frames/first3", 3)}
    assert {(one.subset, one.n) for one in last} == {("frames/last2", 2)}


def test_baselines_follow_their_definitions(folder):
    frames = [read_real_frame(*pair) for pair in real_frame_paths(folder)]
    assert [frame.mask.mean() for frame in frames] == pytest.approx(
        [np.pi * (14 + 2 * n) ** 2 / (100 * (80 + 10 * n)) for n in range(4)], rel=0.05
    )
    same = mean_mask([frames[0]] * 3, (80, 100))
    assert (same == frames[0].mask).mean() > 0.99
    disc = centred_disc((90, 160), 0.2)
    assert disc.mean() == pytest.approx(0.2, abs=0.01)
    rows, columns = np.nonzero(disc)
    assert rows.mean() == pytest.approx(44.5)
    assert columns.mean() == pytest.approx(79.5)


def test_bad_folders_are_named(folder, tmp_path):
    model = f"{tmp_path}/mine.py:reddest"

    def refused(match, **changes):
        with pytest.raises(InputError, match=match) as caught:
            evaluate_real(EvaluateRealOptions(folder, **{"model": model, **changes}))
        assert "\n" not in str(caught.value)

    refused("at least 2 frames, found 1", first=1)
    refused("a class of wall, polyp, lumen", label="appendix")
    refused("first or last", first=2, last=2)
    refused("positive exposure", exposure=0.0)
    refused("prediction of the picture's shape", model=f"{tmp_path}/mine.py:square")
    (folder / "masks" / "f3.jpg").rename(folder / "masks" / "g3.jpg")
    refused("a mask named f3, found none")
    (folder / "masks" / "g3.jpg").rename(folder / "masks" / "f3.jpg")
    (folder / "masks" / "f1.jpg").write_bytes(b"not a picture")
    refused("f1.jpg: expected a picture")
    (folder / "masks" / "f1.jpg").write_bytes(b"")
    refused("f1.jpg: expected a picture")
    cv2.imwrite(str(folder / "masks" / "f1.jpg"), np.zeros((10, 10), np.uint8))
    refused("expected a mask of 100 x 90 px as its image, found 10 x 10")
    for path in (folder / "images").iterdir():
        path.unlink()
    refused("expected images")
    (folder / "images").rmdir()
    refused("found no images")
