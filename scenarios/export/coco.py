"""COCO: one annotation an object and frame, with its mask twice: as runs (RLE) and as polygons, both exact.

`images/SPLIT/KEY.png` (.jpg where the shards have that), `annotations/instances_SPLIT.json` (runs) and
`annotations/polygons_SPLIT.json`, which are the same but for the masks. Format:
https://cocodataset.org/#format-data (Lin et al., ECCV 2014, doi:10.1007/978-3-319-10602-1_48).
"""

import json
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

from assets.errors import InputError
from scenarios.export.files import text_file, write_bytes
from scenarios.export.instances import Instance, KeyPoint, instances, key_points
from scenarios.export.outlines import edge_outlines
from scenarios.export.rle import encode_rle
from scenarios.export.source import Advance, Source, View

MASKS = ("instances", "polygons")


def export(source: Source, out: Path, advance: Advance) -> list[str]:
    """Write images and annotations of each split.

    Raises:
        InputError: The data set is damaged, or two frames have key points of other names on one class.
        OSError: The folder cannot be written.
    """
    (out / "annotations").mkdir()
    split, tables, points = "", None, dict[int, list[str]]()
    with ExitStack() as stack:
        for view in source.views():
            if view.split != split:
                split = view.split
                tables = stack.enter_context(_Tables(out / "annotations", split, source.label_names(), points))
            assert tables is not None
            suffix, colours = view.colours()
            write_bytes(out / "images" / split / f"{view.key}{suffix}", colours)
            tables.add(view)
            advance()
    left_out = ["depth, normals, flow, poses and lens of each frame"]
    if not points:
        left_out.append("key points: the frames have none")
    return left_out


class _Tables:
    """The files of one split; they are written as the frames come, since all annotations need not fit into memory."""

    def __init__(self, folder: Path, split: str, names: Mapping[int, str], points: dict[int, list[str]]) -> None:
        self._folder, self._split, self._names, self._points = folder, split, names, points
        self._stack = ExitStack()
        self._images, self._annotations, self._next = 0, 0, 1

    def __enter__(self) -> "_Tables":
        self._parts: dict[str, IO[str]] = {
            name: self._stack.enter_context(text_file(self._folder / f"{name}_{self._split}.part"))
            for name in ("images", *MASKS)
        }
        return self

    def __exit__(self, *failure: Any) -> None:
        self._stack.close()
        if failure[0] is None:
            for masks in MASKS:
                self._finish(masks)
            for name in self._parts:
                (self._folder / f"{name}_{self._split}.part").unlink()

    def add(self, view: View) -> None:
        camera = view.camera
        image: dict[str, Any] = {
            "id": view.position + 1,
            "file_name": f"{view.split}/{view.key}{view.colours()[0]}",
            "width": camera.width,
            "height": camera.height,
            "patient": view.patient,
            "sequence": view.sequence,
        }
        image |= {name: view.meta[name] for name in ("geometry", "look", "view") if name in view.meta}
        self._write("images", [image])
        points = key_points(view)
        for one in instances(view):
            common = {
                "id": self._next,
                "image_id": view.position + 1,
                "category_id": one.label,
                "bbox": list(one.box),
                "area": one.area,
                "iscrowd": 0,
                "instance": one.number,
                **self._key_points(view, one, [point for point in points if point.instance == one.number]),
            }
            height, width = one.mask.shape
            runs = {"size": [height, width], "counts": encode_rle(one.mask)}
            outlines = [ring.ravel().tolist() for ring in edge_outlines(one.mask)]
            self._write("instances", [{**common, "segmentation": runs}])
            self._write("polygons", [{**common, "segmentation": outlines}])
            self._next += 1

    def _key_points(self, view: View, one: Instance, points: list[KeyPoint]) -> dict[str, Any]:
        """Give COCO's x, y and visibility: 2 seen, 1 hidden, 0 not there."""
        if not points:
            return {}
        names = self._points.setdefault(one.label, [point.name for point in points])
        by_name = {point.name: point for point in points}
        if not set(by_name) <= set(names):
            raise InputError(
                f"{view.sample.where}: expected key points {', '.join(names)} of "
                f"{self._names.get(one.label, one.label)} as in the frames before, found {', '.join(by_name)}"
            )
        flat: list[float] = []
        for name in names:
            point = by_name.get(name)
            flat += [*point.pixel, 2 if point.visible else 1] if point else [0, 0, 0]
        return {"keypoints": flat, "num_keypoints": len(by_name)}

    def _write(self, part: str, records: Iterable[Mapping[str, Any]]) -> None:
        stream = self._parts[part]
        for record in records:
            stream.write((",\n" if stream.tell() else "") + json.dumps(record, allow_nan=False))

    def _finish(self, masks: str) -> None:
        categories = []
        for label, name in self._names.items():
            points = self._points.get(label)
            skeleton: dict[str, Any] = {"keypoints": points, "skeleton": []} if points else {}
            categories.append({"id": label, "name": name, "supercategory": "anatomy", **skeleton})
        with text_file(self._folder / f"{masks}_{self._split}.json") as stream:
            stream.write('{"info": {"description": "made by trocar dataset export"},\n"licenses": [],\n')
            stream.write(f'"categories": {json.dumps(categories)},\n')
            for name, part in (("images", "images"), ("annotations", masks)):
                stream.write(f'"{name}": [\n')
                with (self._folder / f"{part}_{self._split}.part").open(encoding="utf-8") as written:
                    while block := written.read(1 << 20):
                        stream.write(block)
                stream.write("\n],\n" if name == "images" else "\n]}\n")
