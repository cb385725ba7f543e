import importlib.util

import pytest

from perception.training_board import write_board
from perception.training_step import made_ahead

LINE = {
    "step": 3,
    "loss": {"total": 1.5},
    "validation": {"model.dice.mean": 0.5, "model.dice.polyp": None},
    "learning_rate": 1e-3,
    "frames_per_second": 20.0,
}


def test_items_come_in_order_and_one_ahead():
    made = []

    def make(number):
        made.append(number)
        return number * number

    for place, item in enumerate(made_ahead(make, range(2, 7))):
        assert item == (place + 2) ** 2
        assert len(made) <= place + 2  # no farther ahead than one
    assert made == [2, 3, 4, 5, 6]
    assert list(made_ahead(make, [])) == []


def test_what_goes_wrong_in_the_thread_is_raised_where_the_item_is_taken():
    def fail(number):
        if number:
            raise ValueError(f"no {number}")
        return number

    items = made_ahead(fail, range(3))
    assert next(items) == 0
    with pytest.raises(ValueError, match="no 1"):
        next(items)


def test_without_tensorboard_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert not write_board(tmp_path / "board", [LINE])
    assert not (tmp_path / "board").exists()


def test_with_tensorboard_the_log_can_be_read_back(tmp_path):
    pytest.importorskip("tensorboard", reason="TensorBoard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert write_board(tmp_path, [LINE])
    assert write_board(tmp_path, [LINE, {**LINE, "step": 6}])
    found = EventAccumulator(str(tmp_path)).Reload()
    assert [one.step for one in found.Scalars("loss/total")] == [3, 6]
    assert "validation/model.dice.polyp" not in found.Tags()["scalars"]
