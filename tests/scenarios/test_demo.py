import json

import pytest

from scenarios.demo import DemoOptions, demo


@pytest.mark.slow
def test_the_demo_runs_from_end_to_end(tmp_path):
    """Everything that the demo does, as small as it goes: three colons, 12 s of training, an episode of each driver."""
    out = tmp_path / "demo"
    options = DemoOptions(out=out, minutes=0.2, train_patients=2, frames=40, test_patients=1, episodes=1, workers=2)
    figures = {figure.name: figure for figure in demo(options)}
    assert figures["oracle.success"].n == 1
    assert 0 <= figures["model.success"].value <= 1
    stored = json.loads((out / "report.json").read_text())["figures"]
    assert {one["name"] for one in stored} == set(figures)
    page = (out / "report.html").read_text()
    for wanted in ("A small run", "oracle", "model", "classical", "blind", "not a medical device"):
        assert wanted in page
    assert (out / "model" / "model.safetensors").stat().st_size < 10e6
    assert json.loads((out / "config.json").read_text())["options"]["seed"] == 0
