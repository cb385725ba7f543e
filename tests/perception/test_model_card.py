from perception.checkpoint import ModelConfig, save_model
from perception.model_card import model_card, write_model_card
from perception.network import build
from sim.camera import Camera

CAMERA = Camera.with_fov(64, 64, 140.0)
FIGURE = {
    "name": "model.dice.polyp",
    "subset": "colonoscopy/validation",
    "value": 0.7512,
    "low": 0.71,
    "high": 0.79,
    "unit": "1",
}


def test_a_card_tells_data_seed_figures_and_limits():
    training = {
        "options": {"seed": 7, "batch": 32},
        "step": 1234,
        "calibration": {"temperature": 1.25},
        "figures": [
            FIGURE,
            {**FIGURE, "name": "model.ece", "low": None, "value": None},
            {**FIGURE, "name": "a.detail"},
        ],
    }
    text = model_card(ModelConfig("S", CAMERA, training), 950_000, 3_800_000)
    for expected in (
        "- seed: 7",
        "- steps: 1234",
        "- temperature: 1.25",
        "| model.dice.polyp | colonoscopy/validation | 0.751 | 0.71 to 0.79 |",
        "0.95 million weights, 3.8 MB",
        "## Limits",
    ):
        assert expected in text
    assert "model.ece" not in text
    assert "a.detail" not in text


def test_a_card_of_a_model_that_tells_nothing_says_so(tmp_path):
    save_model(tmp_path / "model.safetensors", build("S"), ModelConfig("S", CAMERA, {}))
    path = write_model_card(tmp_path / "model.safetensors")
    assert path == tmp_path / "model.md"
    assert "None are kept with the model." in path.read_text()
