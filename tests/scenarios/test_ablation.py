from dataclasses import replace
from pathlib import Path

import pytest

from assets.errors import InputError
from scenarios.ablation import AblationOptions, ablation, recording
from scenarios.generate import split_of

OPTIONS = AblationOptions(Path("run"), patients=8, frames=10, size=32)


@pytest.mark.parametrize(("left", "vary"), [("texture", ("light", "sensor")), ("light", ("texture", "sensor"))])
def test_a_variant_differs_in_what_it_does_without(left, vary):
    everything, data = recording(OPTIONS, None), recording(OPTIONS, left)
    assert data == replace(everything, out=data.out, vary=vary)
    assert data.out != everything.out


def test_geometry_is_left_out_by_one_patient_in_as_many_frames():
    everything, data = recording(OPTIONS, None), recording(OPTIONS, "geometry")
    count = len(everything.patients)
    trained = sum(split_of(index, count, everything.splits) == "train" for index in range(count))
    assert [split_of(index, 2, data.splits) for index in range(2)] == ["train", "validation"]
    assert data.frames == trained * everything.frames


def test_other_devices_and_degradations_are_left_out():
    everything = recording(OPTIONS, None)
    assert recording(OPTIONS, "devices") == everything
    assert recording(OPTIONS, "degradations").degradations == 0 < everything.degradations


def test_both_kinds_of_patients_are_in_every_split():
    everything = recording(replace(OPTIONS, patients=34), None)
    kinds = {"train": set(), "validation": set(), "test": set()}
    for index, name in enumerate(everything.patients):
        kinds[split_of(index, 34, everything.splits)].add(name.split(":")[1])
    assert all(found == {"colon", "polyposis"} for found in kinds.values())


def test_too_few_patients_are_refused():
    with pytest.raises(InputError, match="5 patients or more"):
        replace(OPTIONS, patients=4)


def test_an_ablation_measures_each_variant_on_the_same_frames(tmp_path):
    options = AblationOptions(tmp_path, without=("devices",), patients=5, frames=32, size=32, minutes=0.02, threads=1)
    figures = ablation(replace(options, workers=1))
    names = {figure.name for figure in figures}
    for variant in ("everything", "without_devices"):
        assert {f"{variant}.dice.mean", f"{variant}.depth.abs_rel"} <= names
    assert len({figure.subset for figure in figures}) == 1
    assert len({figure.value for figure in figures if figure.name.endswith("abs_rel")}) == 2
