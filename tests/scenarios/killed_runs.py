"""Runs that a test may kill: reads a line of JSON, does the work in a child, says the child's id and how it ended.

The modules are imported, and Warp's kernels loaded, once; each run is a fork of that.
"""

import json
import os
import sys
from pathlib import Path


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
    for line in sys.stdin:
        wanted = json.loads(line)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                WORK[wanted["work"]](wanted["arguments"])
                code = 0
            except BaseException as error:
                print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
            finally:
                os._exit(code)
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        print(status, flush=True)


if __name__ == "__main__":
    main()
