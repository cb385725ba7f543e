import tomllib

import pytest

from assets.errors import InputError
from assets.materials import TABLE, load_materials, read_materials


def test_values_lie_in_their_physical_ranges():
    for material in load_materials().values():
        optical, mechanical = material.optical, material.mechanical
        assert all(0 <= x <= 1 for x in (*optical.base_colour, *optical.vessel_colour))
        assert all(0 <= getattr(optical, x) <= 1 for x in ("roughness", "specular", "wetness", "translucency"))
        assert 0 <= optical.vessel_density <= 1
        assert 0 <= optical.bump_height < optical.bump_scale < 0.01
        assert 300 < mechanical.density < 9000
        assert 1e3 <= mechanical.youngs_modulus < 1e12
        assert 0 < mechanical.poisson_ratio < 0.5
        assert 0 < mechanical.friction < 1


def test_a_polyp_has_no_colour_of_its_own():
    mucosa, polyp = load_materials()["colon_mucosa"].optical, load_materials()["polyp"].optical
    assert polyp.base_colour == mucosa.base_colour
    assert polyp.vessel_colour == mucosa.vessel_colour
    # The vessel net breaks off at it, a sign to look for; that no hue tells it all the same, test_render_frames shows.
    assert polyp.vessel_density < mucosa.vessel_density / 2


def test_mucosa_is_redder_than_green_than_blue():
    red, green, blue = load_materials()["colon_mucosa"].optical.base_colour
    assert red > 2 * green > 2 * blue


def test_every_value_has_unit_and_source():
    for table in tomllib.loads(TABLE.read_text()).values():
        for part in ("optical", "mechanical"):
            assert all(entry["unit"] and entry["source"] for entry in table[part].values())


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('unit = "Pa"', 'unit = "kPa"', "expected unit Pa for youngs_modulus"),
        ("friction = {", "slip = {", "expected density, youngs_modulus"),
        ("value = 5180000.0", "value = nan", "expected finite numbers"),
        ("value = [0.58, 0.125, 0.05]", "value = [0.58, 0.125]", "expected three numbers"),
        ("[colon_mucosa]", "[colon_mucosa", "readable TOML"),
    ],
)
def test_damage_is_named(tmp_path, old, new, message):
    text = TABLE.read_text()
    assert old in text
    path = tmp_path / "materials.toml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(InputError, match=message):
        read_materials(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.toml"):
        read_materials(tmp_path / "nowhere.toml")
