import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from assets.errors import InputError
from scenarios.export.outlines import centre_outlines, edge_outlines
from scenarios.export.rle import decode_rle, encode_rle

coco = pytest.importorskip("pycocotools.mask")
# https://github.com/ppwwyyxx/cocoapi: its arrays know nothing of numpy 2's copy keyword
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")

MASKS = arrays.arrays(np.bool_, st.tuples(st.integers(1, 14), st.integers(1, 14)))
NESTED = np.pad(np.pad(np.pad(np.ones((1, 1), bool), 1), 1, constant_values=True), 1)  # a dot in a ring


def shoelace(ring: np.ndarray) -> float:
    x, y = ring.T
    return abs(float(np.dot(x, np.roll(y, -1)) - np.dot(np.roll(x, -1), y))) / 2


@settings(max_examples=150, deadline=None)
@given(MASKS)
def test_outlines_through_centres_fill_to_the_same_mask(mask: np.ndarray) -> None:
    filled = np.zeros(mask.shape, np.uint8)
    for ring in centre_outlines(mask):
        assert len(ring) >= 3
        cv2.fillPoly(filled, [ring.astype(np.int32)], 1)
    assert (filled == mask).all()


@settings(max_examples=150, deadline=None)
@given(MASKS)
def test_outlines_along_edges_rasterise_to_the_same_mask_in_pycocotools(mask: np.ndarray) -> None:
    height, width = mask.shape
    rings = edge_outlines(mask)
    assert sum(map(shoelace, rings)) == mask.sum()
    if rings:
        runs = coco.merge(coco.frPyObjects([ring.ravel().astype(float).tolist() for ring in rings], height, width))
        assert (coco.decode(runs) == mask).all()


@settings(max_examples=150, deadline=None)
@given(MASKS)
def test_runs_are_those_of_pycocotools(mask: np.ndarray) -> None:
    expected = coco.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
    assert encode_rle(mask) == expected
    assert (decode_rle(expected, *mask.shape) == mask).all()


def test_long_runs_keep_their_length() -> None:
    mask = np.zeros((300, 400), bool)
    mask[10:290, 5:395] = True
    mask[100, 200] = False
    assert (coco.decode({"size": [300, 400], "counts": encode_rle(mask)}) == mask).all()
    assert (decode_rle(encode_rle(mask), 300, 400) == mask).all()


def test_a_dot_in_a_hole_is_a_piece_of_its_own() -> None:
    assert len(centre_outlines(NESTED)) == len(edge_outlines(NESTED)) == 2
    assert sum(map(shoelace, edge_outlines(NESTED))) == NESTED.sum() == 17


def test_nothing_has_no_outline() -> None:
    nothing = np.zeros((3, 4), bool)
    assert centre_outlines(nothing) == edge_outlines(nothing) == []
    assert encode_rle(nothing) == coco.encode(np.asfortranarray(nothing.astype(np.uint8)))["counts"].decode()


@pytest.mark.parametrize("text", ["~~~", "0", "oooooooooooooooooooo"])
def test_damaged_runs_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="expected"):
        decode_rle(text, 2, 2)
