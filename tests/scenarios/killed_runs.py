"""Runs that a test may kill: reads a line of JSON, does the work in a child, which says its id, and says how it ended.

The modules are imported, and Warp's kernels loaded, once; each run is a fork of that. Before it opens, renames or
removes a file in its folder, a run says so and waits for a line: whoever reads that knows how far it is, however busy
the machine is.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

STEPS = ("open", "os.mkdir", "os.rename", "os.remove")
"""Audit events before which a run waits; https://docs.python.org/3/library/audit_events.html."""


def wait_at_steps(folder: str) -> None:
    """Make this process say "step" and wait before each step in a folder, for as long as it lives."""

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event not in STEPS or not arguments or not isinstance(arguments[0], str | os.PathLike):
            return
        if os.fspath(arguments[0]).startswith(folder):
            os.write(1, b"step\n")
            os.read(0, 1)

    sys.addaudithook(hook)


def generate_data(arguments: dict) -> None:
    from scenarios.generate import GenerateOptions, generate

    arguments["out"] = Path(arguments["out"])
    generate(GenerateOptions(**{name: tuple(v) if isinstance(v, list) else v for name, v in arguments.items()}))


def write_data(arguments: dict) -> None:
    """Write a data set of made-up frames over the one that is there, shard after shard."""
    import numpy as np

    from sim.atomic import remove_leftovers
    from sim.dataset_index import write_dataset
    from sim.folder_lock import exclusive
    from sim.shards import Sample, write_shard

    folder = Path(arguments["out"])
    with exclusive(folder):
        remove_leftovers(folder)
        infos = []
        for number in range(arguments["shards"]):
            rng = np.random.default_rng(number)
            samples = [Sample(f"{number}-{i}", {"rgb.png": rng.bytes(20_000), "meta.json": b"{}"}) for i in range(4)]
            path = folder / f"{number}.tar"
            infos.append(write_shard(path, samples))
        records = [{"key": f"{number}-{i}"} for number in range(arguments["shards"]) for i in range(4)]
        write_dataset(
            folder, records, labels={}, depth_step=1e-5, splits={"train": ["a"]}, shards={"train": infos}, config={}
        )


WORK = {"generate": generate_data, "write": write_data}


def main() -> None:
    warm = json.loads(sys.argv[1])
    if warm:
        WORK[warm["work"]](warm["arguments"])
    print("ready", flush=True)
    while line := sys.stdin.readline():
        if not line.strip():  # a killed run did not read that it may go on
            continue
        wanted = json.loads(line)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                print(os.getpid(), flush=True)
                wait_at_steps(wanted["arguments"]["out"])
                WORK[wanted["work"]](wanted["arguments"])
                code = 0
            except BaseException as error:
                print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        print(status, flush=True)


if __name__ == "__main__":
    main()
