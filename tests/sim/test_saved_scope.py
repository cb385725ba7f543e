"""A saved scene goes on bit for bit, also in another process, and nothing damaged is taken for a state."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assets.errors import InputError
from assets.patient_io import save_patient
from sim.camera import Camera
from sim.degradations.settings import Degradations
from sim.flexible_scope import FlexibleScope
from sim.plain_state import generator_of, generator_to_plain
from sim.render.appearance import Appearance
from sim.scene import ColonoscopyScene
from sim.scope_state import ScopeCommand

CAMERA = Camera.with_fov(40, 40, 140.0)
WRONG = Degradations(motion_blur=0.8, rolling_shutter=0.5, blood=0.4, noise=0.3, seed=3)
TUBE = {"radius": 0.018, "straight": 0.15, "bend_radius": 0.05, "angle": 1.5, "after": 0.1, "fold": 0.005}


@pytest.fixture(scope="module")
def scene(tube_patient):
    with ColonoscopyScene(tube_patient(**TUBE), camera=CAMERA, threads=1) as opened:
        yield opened


def on(scene, steps, first=0):
    """Go on for some steps; return the bytes of every state and frame."""
    seen = []
    for k in range(first, first + steps):
        state = scene.step(ScopeCommand(0.008, 0.1 * np.sin(k), 0.1 * np.cos(k), 0.1))
        frame = scene.observe()
        seen.append(state.nodes.tobytes() + state.T_world_camera.tobytes() + repr(replace(state, nodes=0)).encode())
        seen[-1] += (
            frame.rgb.tobytes() + frame.depth.tobytes() + np.float64([frame.exposure, scene.guide.arc]).tobytes()
        )
    return seen


def start(scene):
    scene.reset(seed=5, friction=0.05, appearance=Appearance(hue=0.4, light_shift=(5e-4, 0.0)), degradations=WRONG)
    on(scene, 6)
    return scene.save_state()


def test_what_follows_a_restored_state_is_the_same_to_the_byte(scene):
    saved = start(scene)
    first = on(scene, 5, 6)
    assert len(set(first)) == 5
    scene.reset(seed=9, friction=0.0)
    on(scene, 3)
    restored = scene.restore_state(saved)
    assert scene.save_state() == saved
    assert restored.time == pytest.approx(0.6)
    assert on(scene, 5, 6) == first


def test_a_state_from_before_the_first_frame_goes_on_too(scene):
    scene.reset(seed=5, friction=0.05)
    saved = scene.save_state()
    first = scene.observe().rgb.tobytes()
    scene.reset(seed=6, friction=0.05)
    scene.restore_state(saved)
    assert scene.observe().rgb.tobytes() == first


RUN = """
import sys, hashlib
from pathlib import Path
import numpy as np
from assets.patient_io import load_patient
from sim.camera import Camera
from sim.scene import ColonoscopyScene
from sim.scope_state import ScopeCommand
with ColonoscopyScene(load_patient(Path(sys.argv[1])), camera=Camera.with_fov(40, 40, 140.0), threads=1) as scene:
    scene.restore_state(Path(sys.argv[2]).read_bytes())
    digest = hashlib.sha256()
    for k in range(6, 10):
        state = scene.step(ScopeCommand(0.008, 0.1 * np.sin(k), 0.1 * np.cos(k), 0.1))
        digest.update(state.nodes.tobytes() + scene.observe().rgb.tobytes() + scene.save_state())
print(digest.hexdigest())
"""


def test_another_process_goes_on_from_the_file(tube_patient, tmp_path: Path):
    save_patient(tube_patient(**TUBE), tmp_path / "patient")
    script = tmp_path / "run.py"
    script.write_text(RUN)
    from assets.patient_io import load_patient

    with ColonoscopyScene(load_patient(tmp_path / "patient"), camera=CAMERA, threads=1) as scene:
        (tmp_path / "state.json").write_bytes(start(scene))
    root = str(Path(__file__).parents[2])
    digests = {
        subprocess.run(
            [sys.executable, str(script), str(tmp_path / "patient"), str(tmp_path / "state.json")],
            env={**os.environ, "PYTHONPATH": root},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()[-1]
        for _ in range(2)
    }
    assert len(digests) == 1


def broken(saved: bytes, *keys: str, value: object) -> bytes:
    plain = json.loads(saved)
    inner = plain
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    return json.dumps(plain).encode()


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        (("version",), 1, "version 2"),
        (("kind",), "scope", "kind 'endoscopy scene'"),
        (("extra",), 1, "expected the entries"),
        (("made_of", "patient"), "other", "expected patient tube"),
        (("made_of", "camera"), [64, 64], "expected camera"),
        (("friction",), -0.5, "friction coefficient"),
        (("insertion",), 9.0, "insertion within"),
        (("gain",), "1", "gain: expected a finite number"),
        (("gain",), 0.0, "gain above 0"),
        (("arc",), float("nan"), "arc: expected a finite number"),
        (("exposed_at",), [], "exposed at"),
        (("observed", "pose"), [[1.0] * 4] * 3, "observed pose"),
        (("noise", "state"), "-1", "128 bits"),
        (("noise", "spare"), 1 << 40, "32 bits"),
        (("degradations", "blood"), 3.0, "severity within 0 and 1"),
        (("degradations", "seed"), 1.5, "whole number"),
        (("appearance", "light_shift"), [0.0], "light_shift"),
        (("scope", "nodes"), [[0.0, 0.0]], "nodes: expected"),
        (("scope", "nodes"), [[0.0, 0.0, 0.0]] * 200, "two in one place"),
        (("scope", "drive"), [0.1, 0.1, 0.0, 1e9, 0.0], "driven node"),
        (("scope", "command"), [True] * 7, "command: expected finite numbers"),
        (("scope", "blocked"), 1, "true or false"),
        (("scope", "fault"), None, "expected a text"),
        (("scope", "made_of", "friction"), 0.3, "friction 0.05"),
        (("scope", "made_of"), 7, "device"),
    ],
)
def test_a_damaged_state_is_refused_and_changes_nothing(scene, keys, value, message):
    saved = start(scene)
    with pytest.raises(InputError, match=message):
        scene.restore_state(broken(saved, *keys, value=value))
    assert scene.save_state() == saved


@pytest.mark.parametrize(("data", "message"), [(b"", "JSON"), (b"[" * 100_000, "JSON"), (b" " * (1 << 24), "at most")])
def test_what_is_no_state_is_refused(scene, data, message):
    with pytest.raises(InputError, match=message):
        scene.restore_state(data)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 10**6), byte=st.integers(0, 255))
def test_a_flipped_byte_never_ends_in_a_traceback_of_ours(scene, place, byte):
    scene.reset(seed=5, friction=0.05)
    damaged = bytearray(scene.save_state())
    damaged[place % len(damaged)] = byte
    try:
        scene.restore_state(bytes(damaged))
    except InputError:
        pass
    else:
        scene.save_state()


def test_a_scope_alone_is_saved_too(scene):
    scope = scene.scope
    saved = scope.save_state()
    first = scope.step(ScopeCommand(0.008, 0.2)).nodes.tobytes()
    scope.restore_state(saved)
    assert scope.save_state() == saved
    assert scope.step(ScopeCommand(0.008, 0.2)).nodes.tobytes() == first
    other = FlexibleScope(scene.wall, scene.passage.orifice, scene.passage.line.points, friction=0.3)
    with pytest.raises(InputError, match=r"friction 0\.3"):
        other.restore_state(saved)


def test_a_generator_goes_on_where_it_was():
    rng = np.random.default_rng(4)
    rng.integers(2**31)  # leaves half of a word behind
    again = generator_of(json.loads(json.dumps(generator_to_plain(rng))), "test")
    np.testing.assert_array_equal(rng.integers(2**31, size=20), again.integers(2**31, size=20))
