import csv

import pytest

from assets.errors import InputError
from assets.labels import BACKGROUND, TABLE, label_id, label_name, load_labels
from assets.materials import load_materials


def test_ids_are_unique_and_fit_a_byte():
    labels = load_labels()
    ids = [label.id for label in labels.values()]
    assert len(set(ids)) == len(ids)
    assert min(ids) > BACKGROUND
    assert max(ids) <= 255


def test_no_name_appears_twice():
    with TABLE.open(newline="", encoding="utf-8") as file:
        names = [row["name"] for row in csv.DictReader(file)]
    assert len(names) == len(set(names)) == len(load_labels())


def test_both_schemes_of_totalsegmentator_are_complete():
    labels = load_labels().values()
    assert sorted(x.totalsegmentator_v2 for x in labels if x.totalsegmentator_v2) == list(range(1, 118))
    assert sorted(x.totalsegmentator_v1 for x in labels if x.totalsegmentator_v1) == list(range(1, 105))


@pytest.mark.parametrize(
    ("name", "version_2", "version_1"),
    [
        ("colon", 20, 57),
        ("aorta", 52, 7),
        ("pancreas", 7, 10),
        ("portal_vein_and_splenic_vein", 64, 9),
        ("urinary_bladder", 21, 104),
        ("liver", 5, 5),
        ("face", None, 93),
        ("prostate", 22, None),
    ],
)
def test_known_ids_of_totalsegmentator(name, version_2, version_1):
    label = load_labels()[name]
    assert (label.totalsegmentator_v2, label.totalsegmentator_v1) == (version_2, version_1)


def test_every_label_has_a_material_that_exists():
    materials = load_materials()
    assert {label.material for label in load_labels().values()} <= set(materials)


def test_name_and_id_are_inverse():
    for name in load_labels():
        assert label_name(label_id(name)) == name
    assert label_name(BACKGROUND) == "background"


def test_unknown_names_and_ids_are_refused():
    with pytest.raises(InputError, match="'colonn'"):
        label_id("colonn")
    with pytest.raises(InputError, match="255"):
        label_name(255)


def test_a_caller_cannot_change_the_table():
    load_labels().clear()
    assert label_id("colon_wall") == 135
