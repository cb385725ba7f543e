"""Pictures for people: depth and masks in colour, film strips, charts, and a map of the colon with the scope's path."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, Float32, Integer, UInt8
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas
from numpy.typing import NDArray

from assets.mesh import Mesh
from assets.patient import Patient

# Okabe and Ito's palette, told apart with colour-blind eyes too (Wong, Nature Methods 8, 2011, doi:10.1038/nmeth.1618).
DRIVER_COLOURS = {"oracle": "#333333", "model": "#0072b2", "classical": "#e69f00", "blind": "#d55e00"}
OTHER_COLOURS = ("#009e73", "#cc79a7", "#56b4e9")
CLASS_COLOURS: tuple[tuple[int, int, int], ...] = ((0, 0, 0), (0, 158, 115), (240, 228, 66), (0, 114, 178))
"""sRGB of background, wall, polyp, lumen."""

FAR = 0.10
"""Depth [m] at which the colours of a colonoscopy's depth end; what is farther has the last one."""

_VIEWS: tuple[tuple[str, tuple[float, float, float], tuple[str, str]], ...] = (
    ("from the front", (0.0, 1.0, 0.0), ("right", "left")),
    ("from the left", (-1.0, 0.0, 0.0), ("anterior", "posterior")),
)


def depth_colours(depth: Float32[np.ndarray, "h w"], *, far: float = FAR) -> UInt8[np.ndarray, "h w 3"]:
    """Colour z-depth [m]: near is bright, `far` and beyond is dark, nothing is black."""
    scaled = 1 - np.clip(np.nan_to_num(depth) / far, 0, 1)
    coloured = (colormaps["magma"](0.1 + 0.85 * scaled)[..., :3] * 255).round().astype(np.uint8)
    return np.where((depth > 0)[..., None], coloured, 0).astype(np.uint8)


def normal_colours(normal: Float32[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
    """Colour unit normals, camera axes, the usual way: (n + 1) / 2; nothing is black."""
    coloured = ((normal + 1) * 127.5).round()
    return np.where(normal.any(axis=-1, keepdims=True), coloured, 0).astype(np.uint8)


def id_colours(ids: Integer[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w 3"]:
    """Give each id a colour of its own, the same in every picture; 0 is black."""
    hue = (ids.astype(np.int64) * 79) % 180  # 79 has no factor in common with 180: neighbours are far apart in hue
    value = np.where(ids > 0, 140 + (ids.astype(np.int64) * 47) % 100, 0)
    hsv = np.stack([hue, np.where(ids > 0, 150, 0), value], axis=-1).astype(np.uint8)
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), dtype=np.uint8)


def class_overlay(
    rgb: UInt8[np.ndarray, "h w 3"], classes: Integer[np.ndarray, "h w"], *, opacity: float = 0.45
) -> UInt8[np.ndarray, "h w 3"]:
    """Lay a class map (0 background, 1 wall, 2 polyp, 3 lumen) over a picture; the background stays as it is."""
    colours = np.array(CLASS_COLOURS, dtype=np.float64)[classes]
    mixed = rgb * (1 - opacity) + colours * opacity
    return np.where((classes > 0)[..., None], mixed.round(), rgb).astype(np.uint8)


def film_strip(
    images: Sequence[UInt8[np.ndarray, "_h _w 3"]], *, columns: int | None = None, gap: int = 4
) -> UInt8[np.ndarray, "h w 3"]:
    """Set pictures side by side on white, in rows of `columns`; all are scaled to the first one's height and width."""
    height, width = images[0].shape[:2]
    columns = columns or len(images)
    rows = -(-len(images) // columns)
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, np.uint8)
    for index, image in enumerate(images):
        top, left = index // columns * (height + gap), index % columns * (width + gap)
        sheet[top : top + height, left : left + width] = cv2.resize(image, (width, height))
    return sheet


def silhouette(mesh: Mesh, towards_viewer: Sequence[float], *, pixel: float) -> tuple[NDArray[np.uint8], NDArray[Any]]:
    """Draw a mesh as seen from afar, lit from the viewer, z up.

    Args:
        mesh: World frame [m].
        towards_viewer: Horizontal unit direction from the mesh to the viewer.
        pixel: Size of a pixel [m].

    Returns:
        Grey picture, shape (h, w, 4) with opacity, and its extent (left, right, bottom, top) [m] in the picture's axes.
    """
    back = np.asarray(towards_viewer, dtype=np.float64)
    right = np.cross(-back, (0.0, 0.0, 1.0))
    flat = np.stack([mesh.vertices @ right, mesh.vertices[:, 2]], axis=-1)
    low = flat.min(axis=0) - 4 * pixel
    width, height = np.ceil((flat.max(axis=0) + 4 * pixel - low) / pixel).astype(int)
    corners = mesh.vertices[mesh.triangles].astype(np.float64)
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    cosine = normal @ back / np.maximum(np.linalg.norm(normal, axis=1), 1e-30)
    order = np.argsort(corners.mean(axis=1) @ back)  # the nearest is drawn last
    order = order[cosine[order] > 0]
    shade = (105 + 135 * cosine).astype(int)
    # 4 more bits of position keep neighbouring triangles from leaving gaps
    places = np.rint(((flat - low) / pixel)[mesh.triangles] * 16).astype(np.int32)
    picture = np.zeros((height, width, 2), np.uint8)
    for index in order:
        cv2.fillConvexPoly(picture, places[index], (int(shade[index]), 255), lineType=cv2.LINE_8, shift=4)
    grey = np.flipud(picture)
    extent = np.array([low[0], low[0] + width * pixel, low[1], low[1] + height * pixel])
    return np.concatenate([np.repeat(grey[..., :1], 3, axis=-1), grey[..., 1:]], axis=-1), extent


def path_map(patient: Patient, paths: Sequence[tuple[str, Float[np.ndarray, "_n 3"]]] = ()) -> bytes:
    """Draw the colon from the front and from the left with centreline, landmarks, polyps and the tips' paths, as PNG.

    Args:
        patient: Its lumens are the grey shape; without any, all its organs are.
        paths: Driver and positions of the tip [m], each.
    """
    canvas = Canvas(figsize=(9, 5.6), layout="constrained")
    lumens = [organ.surface for organ in patient.organs if organ.kind == "lumen"]
    # A patient without a lumen, such as of a label map without a colon, shows all that is within its skin.
    inner = [organ.surface for organ in patient.organs if organ.label != "body"]
    lumens = lumens or ([_together(inner)] if inner else [])
    rights = [np.cross(-np.array(towards_viewer), (0.0, 0.0, 1.0)) for _, towards_viewer, _ in _VIEWS]
    widths = [max([float(np.ptp(mesh.vertices @ right)) for mesh in lumens], default=0.1) + 0.03 for right in rights]
    panels = canvas.subplots(1, len(_VIEWS), sharey=True, width_ratios=widths)
    for axes, right, (title, towards_viewer, sides) in zip(panels, rights, _VIEWS, strict=True):
        for mesh in lumens:
            shape, extent = silhouette(mesh, towards_viewer, pixel=0.0006)
            axes.imshow(shape, extent=tuple(extent * 100), alpha=0.85, interpolation="bilinear")
        for line in patient.centrelines:
            axes.plot(
                line.points @ right * 100, line.points[:, 2] * 100, ":", color="#666666", lw=1, label="centreline"
            )
        for driver, points in paths:
            flat, colour = np.stack([points @ right, points[:, 2]]) * 100, driver_colour(driver)
            axes.plot(*flat, color=colour, lw=1.6, label=driver, alpha=0.9)
            axes.plot(*flat[:, -1:], "o", ms=5, color=colour)
        _mark(axes, patient, right, named=axes is panels[0])
        axes.set_aspect("equal")
        axes.set_title(title, fontsize=10)
        axes.set_xlabel(f"{sides[0]}  <   [cm]   >  {sides[1]}", fontsize=8)
        axes.tick_params(labelsize=7, color="#aaaaaa")
        axes.spines[:].set_visible(False)
        axes.grid(alpha=0.25, lw=0.5)
        axes.set_axisbelow(True)
    handles, labels = canvas.axes[0].get_legend_handles_labels()
    once = dict(zip(labels, handles, strict=True))
    if once:
        canvas.legend(
            once.values(), once.keys(), loc="outside lower center", ncols=len(once), frameon=False, fontsize=9
        )
    return png_of(canvas)


def curves(records: Sequence[Mapping[str, Any]], groups: Mapping[str, Sequence[str]], x: str) -> bytes | None:
    """Draw numbers of a log against `x`, a panel a group of keys, as PNG; None where the log has none of them."""
    panels = {title: [key for key in keys if _series(records, key, x)[0]] for title, keys in groups.items()}
    panels = {title: keys for title, keys in panels.items() if keys}
    if not panels:
        return None
    canvas = Canvas(figsize=(3.4 * len(panels), 2.8), layout="constrained")
    palette = [DRIVER_COLOURS["model"], DRIVER_COLOURS["blind"], *OTHER_COLOURS, DRIVER_COLOURS["classical"], "#333333"]
    for column, (title, keys) in enumerate(panels.items(), 1):
        axes = canvas.add_subplot(1, len(panels), column)
        for index, key in enumerate(keys):
            places, values = _series(records, key, x)
            axes.plot(
                places,
                values,
                lw=1.6,
                color=palette[index % len(palette)],
                label=key.split(".", 1)[-1],
                marker="." * (len(values) < 3),
            )
        axes.set_title(title, fontsize=10)
        axes.set_xlabel(x, fontsize=8)
        axes.tick_params(labelsize=7)
        axes.grid(alpha=0.25, lw=0.5)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8)
    return png_of(canvas)


def driver_colour(driver: str) -> str:
    """Return a driver's colour, the same everywhere."""
    name = driver.rsplit(":", 1)[-1]
    return DRIVER_COLOURS.get(name, OTHER_COLOURS[sum(name.encode()) % len(OTHER_COLOURS)])


def png_of(canvas: Canvas, *, dpi: int = 150) -> bytes:
    """Draw a matplotlib figure as PNG; the same figure gives the same bytes."""
    FigureCanvasAgg(canvas)
    stream = io.BytesIO()
    canvas.savefig(stream, format="png", dpi=dpi, facecolor="white", metadata={"Software": None})
    return stream.getvalue()


def image_bytes(image: UInt8[np.ndarray, "h w 3"] | UInt8[np.ndarray, "h w"], kind: str = "png") -> bytes:
    """Encode a picture as `png` or `jpg`."""
    options = [cv2.IMWRITE_JPEG_QUALITY, 92] if kind == "jpg" else [cv2.IMWRITE_PNG_COMPRESSION, 6]
    done, data = cv2.imencode(f".{kind}", np.ascontiguousarray(image[..., ::-1]) if image.ndim == 3 else image, options)
    assert done
    return bytes(data.tobytes())


def _together(meshes: Sequence[Mesh]) -> Mesh:
    """Put meshes into one."""
    first = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes[:-1])])
    triangles = [mesh.triangles + n for mesh, n in zip(meshes, first, strict=True)]
    return Mesh(np.concatenate([mesh.vertices for mesh in meshes]), np.concatenate(triangles).astype(np.int32))


def _mark(axes: Any, patient: Patient, right: NDArray[np.float64], *, named: bool) -> None:
    for name, place in patient.landmarks.items():
        axes.plot(place @ right * 100, place[2] * 100, "k+", ms=6, mew=1)
        if not named:
            continue
        axes.annotate(
            name.replace("_", " "),
            (place @ right * 100, place[2] * 100),
            xytext=(4, 3),
            textcoords="offset points",
            fontsize=7,
            bbox={"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.7},
        )
    polyps = [organ.surface.vertices.mean(axis=0) for organ in patient.organs if organ.label == "polyp"]
    if polyps:
        places = np.array(polyps)
        axes.plot(places @ right * 100, places[:, 2] * 100, "D", ms=4, color="#cc79a7", mec="white", label="polyp")


def _series(records: Sequence[Mapping[str, Any]], key: str, x: str) -> tuple[list[float], list[float]]:
    pairs = [
        (float(record[x]), float(record[key]))
        for record in records
        if isinstance(record.get(x), (int, float)) and isinstance(record.get(key), (int, float))
    ]
    return [place for place, _ in pairs], [value for _, value in pairs]
