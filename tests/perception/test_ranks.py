import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from assets.errors import InputError
from perception import train as training
from perception.ranks import Ranks, joined_ranks
from perception.train import LOG, MODEL, train
from perception.train_options import TrainOptions
from perception.training_state import read_log

ROOT = Path(__file__).resolve().parents[2]


def together(program: str, count: int = 2) -> list[str]:
    """Run a program in several processes, as torchrun does, and return what each prints."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = []
    for rank in range(count):
        told = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        environment = os.environ | {name: str(value) for name, value in told.items()} | {"PYTHONPATH": str(ROOT)}
        pipe = subprocess.PIPE
        processes.append(
            subprocess.Popen([sys.executable, "-c", program], env=environment, stdout=pipe, stderr=pipe, text=True)
        )
    said = [process.communicate(timeout=240) for process in processes]
    assert [process.returncode for process in processes] == [0] * count, said
    return [out.strip() for out, _ in said]


GRADIENTS = """
import torch
from perception.ranks import joined_ranks
torch.manual_seed(0)
layer, inputs = torch.nn.Linear(3, 1), torch.randn(8, 3)
with joined_ranks("cpu") as ranks:
    rows = ranks.part(torch.arange(8).numpy())
    learner = ranks.learner(layer)
    (learner(inputs[rows]) ** 2).mean().backward()
    print(layer.weight.grad.tolist(), ranks.of_first(float(ranks.rank + 5)), ranks.all(torch.tensor(ranks.rank == 0)))
"""


def test_gradients_are_those_of_the_whole_batch_and_all_agree():
    torch.manual_seed(0)
    layer, inputs = torch.nn.Linear(3, 1), torch.randn(8, 3)
    (layer(inputs) ** 2).mean().backward()
    first, second = together(GRADIENTS)
    assert first == second
    assert first.endswith("5.0 False")  # the first process's number; not all were sound
    np.testing.assert_allclose(json.loads(first.split("]]")[0] + "]]"), layer.weight.grad, rtol=1e-5)


TRAINING = """
from pathlib import Path
from perception.train import train
from perception.train_options import TrainOptions
options = TrainOptions(Path({data!r}), Path({out!r}), epochs={epochs}, batch=8, device="cpu", threads=1, quiet=True)
print(len(train(options)))
"""


def test_two_processes_train_one_network_and_resume(make_tubes, tmp_path):
    data = make_tubes(tmp_path / "data", {"train": [8, 8], "validation": [3, 3]}, 32)
    alone = tmp_path / "alone"
    train(TrainOptions(data, alone, epochs=3, batch=8, device="cpu", threads=1, quiet=True))
    out = tmp_path / "together"
    for epochs in (1, 3):
        first, second = together(TRAINING.format(data=str(data), out=str(out), epochs=epochs))
        assert int(first) > 0
        assert second == "0"  # only the first reports
    ours, theirs = read_log(out / LOG), read_log(alone / LOG)
    assert [line["step"] for line in ours] == [line["step"] for line in theirs] == [2, 4, 6]
    assert (out / MODEL).exists()
    # Norms see half a batch and the parts are altered otherwise, so that it is only nearly the same course.
    assert ours[-1]["loss"]["total"] == pytest.approx(theirs[-1]["loss"]["total"], rel=0.3)
    assert ours[-1]["loss"]["total"] < ours[0]["loss"]["total"]


def test_one_process_is_alone_and_half_an_environment_is_refused(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    with joined_ranks("cpu") as ranks:
        assert ranks == Ranks(0, 1, 0)
        assert ranks.leads
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match="as torchrun sets them"), joined_ranks("cpu"):
        pass


def test_a_batch_must_be_parted(make_tubes, tmp_path, monkeypatch):
    data = make_tubes(tmp_path / "data", {"train": [8], "validation": [3]}, 32)
    options = TrainOptions(data, tmp_path / "run", batch=7, device="cpu", threads=1, quiet=True)
    with pytest.raises(InputError, match="2 or more a process"):
        training._train(options, torch.device("cpu"), Ranks(0, 2, 0))
