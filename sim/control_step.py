"""How long a control step lasts, for every scene, task and measure."""

CONTROL_STEP = 0.1
"""[s] Between two commands of an operator; chosen: ten frames a second is what a network keeps up with on a laptop."""
