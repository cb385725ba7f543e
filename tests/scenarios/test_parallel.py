import os
import signal
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

from scenarios.parallel import MOST_DEATHS, run_pieces


def double(number: int) -> int:
    return 2 * number


def die_once(mark: Path) -> str:
    """Kill the own process as the system does when memory runs out, unless it was done before."""
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return mark.name


def always_die(number: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_one_worker_works_here_and_in_order():
    assert list(run_pieces(double, [3, 1, 2], workers=1)) == [(0, 6), (1, 2), (2, 4)]


def test_a_dead_worker_costs_its_piece_alone_which_is_done_again(tmp_path, capfd):
    marks = [tmp_path / "a", tmp_path / "b", tmp_path / "c"]
    marks[0].touch()
    marks[2].touch()
    assert sorted(run_pieces(die_once, marks, workers=2)) == [(0, "a"), (1, "b"), (2, "c")]
    assert "a worker died" in capfd.readouterr().err


def test_work_that_kills_every_worker_is_given_up(capfd):
    with pytest.raises(BrokenProcessPool):
        list(run_pieces(always_die, [1, 2], workers=2))
    assert capfd.readouterr().err.count("a worker died") == MOST_DEATHS - 1
