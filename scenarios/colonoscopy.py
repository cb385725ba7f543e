"""Colonoscopy: insertion from the rectum to the caecum, then withdrawal with inspection."""

from dataclasses import replace

from scenarios.interface import Phase, Scenario, Situation, Test
from sim.camera import Camera

REACHED = 0.030  # m: the caecum is reached when the tip comes this near its landmark
NEAR = 0.040  # m: a landmark counts as passed
NO_PROGRESS = 80  # control steps (8 s) without 5 mm of progress: the episode is given up
RECTUM = 0.10  # m of shaft inside at which the withdrawal ends


def caecum_reached(situation: Situation) -> bool:
    """Tell whether the tip is within 30 mm of the caecum's landmark."""
    return situation.landmark_distance["caecum"] <= REACHED


def withdrawn(situation: Situation) -> bool:
    """Tell whether only the rectum is left to leave."""
    return situation.state.insertion <= RECTUM


def passed(landmark: str) -> Test:
    """Make an event: the tip came within 40 mm of a landmark."""

    def came_near(situation: Situation) -> bool:
        return situation.landmark_distance.get(landmark, float("inf")) <= NEAR

    return came_near


def stuck(situation: Situation) -> bool:
    """Tell whether the tip has made no way for 8 s."""
    return situation.steps_since_progress >= NO_PROGRESS


COLONOSCOPY = Scenario(
    name="colonoscopy",
    phases=(Phase("insertion", caecum_reached), Phase("withdrawal", withdrawn)),
    success=caecum_reached,
    events={
        name: passed(name)
        for name in ("rectosigmoid", "sigmoid_descending", "splenic_flexure", "hepatic_flexure", "caecum")
    },
    aborts={"stuck": stuck},
)


def endoscope_camera(width: int, height: int) -> Camera:
    """Make the colonoscope's camera: a fisheye, 140 degrees across the width, with the corners dark.

    Video colonoscopes state 140 to 170 degrees (Olympus CF-HQ190: 170 degrees in normal focus, across the diagonal).
    """
    return replace(Camera.with_fov(width, height, 140.0), content_radius=0.57 * width)
