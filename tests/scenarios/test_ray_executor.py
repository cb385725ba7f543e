"""Work on a Ray cluster of two nodes, one of which is killed while it has work under way."""

import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from assets.errors import InputError
from scenarios.cli import BAD_INPUT, DONE, main
from scenarios.generate import GenerateOptions, generate
from scenarios.ray_executor import run_on_ray
from sim.shards import file_sha256

PATIENCE = 240.0  # s


@dataclass
class TwoNodes:
    """A cluster of two nodes of one core each, in processes of their own."""

    cluster: Any
    doomed: Any

    @property
    def address(self) -> str:
        return str(self.cluster.address)

    def kill(self) -> None:
        """Kill a node and its workers as a power cut does."""
        self.cluster.remove_node(self.doomed, allow_graceful=False)


_NODE = {"num_cpus": 1, "object_store_memory": 80 << 20}


@pytest.fixture(scope="module")
def head() -> Iterator[Any]:
    """A cluster of one node."""
    pytest.importorskip("ray", reason="the extra ray is not installed")
    from ray.cluster_utils import Cluster

    folder = tempfile.mkdtemp(prefix="ray-")  # a short name: Unix sockets lie in it
    cluster = Cluster()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
        patch.setenv("RAY_TMPDIR", folder)
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        # a node that is gone is missed after some 3 s, not 30
        patch.setenv("RAY_health_check_period_ms", "1000")
        patch.setenv("RAY_health_check_failure_threshold", "3")
        try:
            cluster.add_node(**_NODE, include_dashboard=False)
            yield cluster
        finally:
            cluster.shutdown()
            shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def nodes(head: Any) -> TwoNodes:
    return TwoNodes(head, head.add_node(**_NODE))


def wait_for(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.slow
def test_a_node_that_is_killed_costs_the_piece_it_had_which_is_done_elsewhere(nodes, tmp_path):
    doomed, began = nodes.doomed.node_id, tmp_path / "began"
    began.mkdir()

    def square(number: int) -> int:
        """On the doomed node: begin, and never end."""
        import ray

        here = ray.get_runtime_context().get_node_id()
        (began / f"{number}-{here}").touch()
        while here == doomed:
            time.sleep(0.05)
        return number**2

    found = {}
    for index, result in run_on_ray(square, range(8), address=nodes.address):
        found[index] = result
        if len(found) == 1:
            wait_for(lambda: any(began.glob(f"*-{doomed}")))
            nodes.kill()
    assert found == {number: number**2 for number in range(8)}
    twice = [path.name.partition("-")[0] for path in began.glob(f"*-{doomed}")]
    assert twice
    assert len(list(began.iterdir())) == 8 + len(twice)  # its pieces alone were begun again


@pytest.mark.slow
def test_what_the_work_raises_comes_back_as_itself_and_is_not_tried_again(head, tmp_path):
    tries = tmp_path / "tries"

    def refuse(number: int) -> int:
        with tries.open("a") as stream:
            stream.write("x")
        raise InputError("expected a patient, found none")

    with pytest.raises(InputError, match=r"^expected a patient, found none$"):
        list(run_on_ray(refuse, [1], address=head.address))
    assert tries.read_text() == "x"


@pytest.mark.slow
def test_a_killed_node_leaves_the_same_bytes_as_a_run_on_this_machine(nodes, tube_folder, tmp_path):
    sources = [tmp_path / name for name in ("a", "b", "c", "d")]
    for source in sources:
        shutil.copytree(tube_folder, source)
    options = GenerateOptions(
        patients=tuple(map(str, sources)), out=tmp_path / "here", frames=3, every=2, size=(32, 32), workers=1
    )
    generate(options)
    at_work: list[str] = []

    def kill_at_work() -> None:
        raylet = nodes.doomed.all_processes["raylet"][0].process.pid
        wait_for(lambda: bool(at_work.extend(busy_workers(raylet)) or at_work))
        nodes.kill()

    killer = threading.Thread(target=kill_at_work)
    killer.start()
    generate(replace(options, out=tmp_path / "there", executor="ray", address=nodes.address))
    killer.join()
    assert at_work  # it was killed while it had a shard under way

    assert content(tmp_path / "there") == content(tmp_path / "here")
    assert len(content(tmp_path / "here")) == 4 + 3  # the shards, both forms of the index, and dataset.json


def content(folder: Path) -> dict[str, str]:
    return {path.name: file_sha256(path) for path in sorted(folder.iterdir()) if path.name != "config.json"}


def busy_workers(raylet: int) -> list[str]:
    """Return the titles of a node's workers that have a task."""
    titles = []
    for folder in Path("/proc").iterdir():
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1]) if folder.name.isdigit() else 0
            title = (folder / "cmdline").read_text() if parent == raylet else ""
        except (OSError, ProcessLookupError):
            continue
        if title.startswith("ray::in_place"):
            titles.append(title)
    return titles


@pytest.mark.slow
def test_patients_that_cannot_be_recorded_are_named_and_recorded_once_they_are_mended(
    head, damaged_patients, tmp_path, capfd
):
    def run(out: Path, *executor: str) -> int:
        patients = ["--patients", *map(str, damaged_patients.folders), "--out", str(out), *executor]
        size = ["--frames", "2", "--every", "2", "--size", "32", "32", "--splits", "1", "0", "0"]
        return main(["dataset", "generate", *patients, *size])

    there, on_ray = tmp_path / "there", ("--executor", "ray", "--address", head.address)
    assert run(there, *on_ray) == BAD_INPUT
    assert damaged_patients.said_by(capfd.readouterr().err.splitlines()[-1])
    assert {path.name for path in there.iterdir() if path.name[0] != "."} == {"ann.tar", "config.json"}
    kept = (there / "ann.tar").stat().st_mtime_ns
    damaged_patients.mend()
    assert run(there, *on_ray) == DONE
    assert (there / "ann.tar").stat().st_mtime_ns == kept
    assert run(tmp_path / "here", "--workers", "1") == DONE
    assert content(there) == content(tmp_path / "here")


def test_without_ray_it_is_said_how_to_get_it(tube_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("scenarios.ray_executor.find_spec", lambda name: None)
    asked = ["--patients", str(tube_folder), "--out", str(tmp_path / "data"), "--executor", "ray"]
    assert main(["dataset", "generate", *asked]) == 2
    assert "expected the package ray, found none; pip install 'trocar[ray]' has it" in capsys.readouterr().err


@pytest.mark.slow
def test_no_cluster_at_the_address_is_one_line(head):
    with pytest.raises(InputError, match=r"expected a running Ray cluster at 'nonsense', found: "):
        list(run_on_ray(str, [1], address="nonsense"))
