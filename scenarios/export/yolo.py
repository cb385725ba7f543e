"""YOLO segmentation: a line a piece of an object, its class and its outline in shares of the picture's sides.

`images/SPLIT/KEY.png` (.jpg where the shards have that), `labels/SPLIT/KEY.txt`, `data.yaml`. Format: https://docs.ultralytics.com/datasets/segment/.
The outline goes through the centres of pixels, as `cv2.fillPoly` draws it, so that it gives the mask back exactly.
"""

import json
from pathlib import Path

from scenarios.export.files import text_file, write_bytes
from scenarios.export.instances import instances
from scenarios.export.outlines import centre_outlines
from scenarios.export.source import Advance, Source

SPLITS = {"train": "train", "validation": "val", "test": "test"}
"""YOLO's names of our splits."""


def export(source: Source, out: Path, advance: Advance) -> list[str]:
    """Write images, labels and data.yaml.

    Raises:
        InputError: The data set is damaged.
        OSError: The folder cannot be written.
    """
    names = source.label_names()
    numbers = {label: number for number, label in enumerate(names)}
    for view in source.views():
        split = SPLITS.get(view.split, view.split)
        suffix, colours = view.colours()
        write_bytes(out / "images" / split / f"{view.key}{suffix}", colours)
        width, height = view.camera.width, view.camera.height
        with text_file(out / "labels" / split / f"{view.key}.txt") as stream:
            for one in instances(view):
                for ring in centre_outlines(one.mask):
                    # nine digits: times a side of at most 8192 px this is right to 1e-5 px
                    points = " ".join(f"{x / width:.9f} {y / height:.9f}" for x, y in ring.tolist())
                    stream.write(f"{numbers[one.label]} {points}\n")
        advance()
    with text_file(out / "data.yaml") as stream:
        stream.write("path: .\n")
        for split in source.splits:
            stream.write(f"{SPLITS.get(split, split)}: images/{SPLITS.get(split, split)}\n")
        if "validation" not in source.splits:
            stream.write("val: images/train  # the data set has no such split; YOLO wants one\n")
        stream.write("names:\n")
        for label, number in numbers.items():
            stream.write(f"  {number}: {json.dumps(names[label])}\n")
    return [
        "depth, normals, flow, poses and lens of each frame",
        "which pieces belong to one object: each piece has a line of its own",
    ]
