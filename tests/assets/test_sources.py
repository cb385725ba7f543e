import pytest

from assets import sources
from assets.errors import InputError
from assets.patient import Patient
from assets.patient_io import save_patient
from assets.sources import load_source, resolve_patients


def empty(name):
    return Patient(name=name, source="a test", licence="none", organs=())


def test_ranges_are_expanded_in_order_and_once():
    assert resolve_patients(["synth:colon:3-5", "synth:colon:4", "synth:colon:0"]) == [
        "synth:colon:3",
        "synth:colon:4",
        "synth:colon:5",
        "synth:colon:0",
    ]


def test_folders_and_folders_of_folders_are_found(tmp_path):
    for name in ("b", "a"):
        save_patient(empty(name), tmp_path / name)
    assert resolve_patients([str(tmp_path)]) == [str(tmp_path / "a"), str(tmp_path / "b")]
    assert resolve_patients([str(tmp_path / "b")]) == [str(tmp_path / "b")]
    assert load_source(str(tmp_path / "b")).name == "b"


@pytest.mark.parametrize(
    "text",
    ["synth:colon", "synth:colon:", "synth:colon:-1", "synth:colon:5-3", "synth:colon:x", "synth:colon:0-999999999"],
)
def test_bad_ranges_are_refused(text):
    with pytest.raises(InputError, match=text):
        resolve_patients([text])


def test_unknown_anatomies_and_empty_folders_are_named(tmp_path):
    with pytest.raises(InputError, match=r"expected an anatomy of colon, .*found 'spleen'"):
        resolve_patients(["synth:spleen:1"])
    with pytest.raises(InputError, match="expected a patient folder"):
        resolve_patients([str(tmp_path)])
    with pytest.raises(InputError, match="expected a patient folder"):
        load_source(str(tmp_path / "nothing"))
    with pytest.raises(InputError, match="found a range of 3"):
        load_source("synth:colon:0-2")


def test_a_seed_is_handed_to_its_anatomy(monkeypatch):
    monkeypatch.setitem(sources.ANATOMIES, "colon", lambda seed: empty(f"made_{seed}"))
    assert load_source("synth:colon:17").name == "made_17"
