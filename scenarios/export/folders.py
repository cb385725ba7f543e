"""Plain folders: a file a channel and frame, one table of poses and cameras. It holds all that the shards hold."""

from pathlib import Path

from scenarios.export.files import csv_table, number, numbers, write_bytes
from scenarios.export.source import Advance, Source
from scenarios.runs import write_json
from sim.conventions import CONVENTIONS

FOLDERS = {
    "rgb": "rgb",
    "semantic": "masks/semantic",
    "instance": "masks/instance",
    "depth": "depth",
    "normal": "normal",
    "flow": "flow",
    "flow_back": "flow_back",
    "part": "masks/part",
    "distance": "distance",
    "object_point": "object_point",
    "light_distance": "light_distance",
}
"""Where each channel goes."""
POSE = [f"T_world_camera_{row}{column}" for row in range(4) for column in range(4)]
LENS = ["width", "height", "fx", "fy", "cx", "cy", "model", "distortion", "content_radius"]
COLUMNS = ["key", "split", "patient", "sequence", "number", "time", "exposure", "depth_step", *POSE, *LENS]


def export(source: Source, out: Path, advance: Advance) -> list[str]:
    """Write rgb/, depth/, masks/, normal/, flow/ and meta/, a file a frame, and frames.csv.

    The bytes of each file are those in the shard; conventions.json says what they mean.

    Raises:
        InputError: The data set is damaged.
        OSError: The folder cannot be written.
    """
    with csv_table(out / "frames.csv", COLUMNS) as table:
        for view in source.views():
            for name, data in view.sample.members.items():
                channel, _, suffix = name.partition(".")
                if channel in FOLDERS:
                    write_bytes(out / FOLDERS[channel] / f"{view.key}.{suffix}", data)
            write_bytes(out / "meta" / f"{view.key}.json", view.sample.members["meta.json"])
            frame, camera = view.frame, view.frame.camera
            radius = "" if camera.content_radius is None else number(camera.content_radius)
            table.writerow(
                [
                    *(view.key, view.split, view.patient, view.sequence, view.number),
                    *map(number, (frame.time, frame.exposure, view.meta["depth_step"])),
                    *map(number, frame.T_world_camera.ravel()),
                    *(camera.width, camera.height, *map(number, (camera.fx, camera.fy, camera.cx, camera.cy))),
                    *(camera.model, numbers(camera.distortion), radius),
                ]
            )
            advance()
    write_json(out / "conventions.json", {**CONVENTIONS, "folders": FOLDERS})
    return []
