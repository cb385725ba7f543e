"""Two CT-like appearances of one label volume: with and without contrast medium."""

import numpy as np
from jaxtyping import Float32, UInt8
from scipy.ndimage import gaussian_filter

from assets.shapes.fields import random_field

Volume = Float32[np.ndarray, "i j k"]

CLASSES = np.array([[0.04, 0.02], [0.28, 0.03], [0.45, 0.05], [0.55, 0.05], [0.85, 0.08]])
"""Mean and standard deviation of what tissues measure, over the window: air, fat, two of soft tissue, bone. In a window
from -500 to 700 HU fat at -100 HU is 0.33, soft tissue at 40 to 60 HU 0.46, cancellous bone from 300 HU on 0.7."""
SHARES = np.array([0.08, 0.15, 0.35, 0.30, 0.12])
"""How often a label is of each class."""
ENHANCED = 0.45
"""Share of the labels that take contrast medium up."""
TEXTURE = (0.004, 0.045)
"""Least and most standard deviation of the voxels within a label."""
BIAS = (0.02, 0.18)
"""Least and most strength of the bias field, as standard deviation of its logarithm."""
BLUR = (0.3, 1.1)
"""Least and most standard deviation of the blur [voxels]."""
NOISE = (0.005, 0.045)
"""Least and most standard deviation of the noise."""


def appearances(labels: UInt8[np.ndarray, "i j k"], rng: np.random.Generator) -> tuple[Volume, Volume]:
    """Make up two images of one label volume.

    Each label has a Gaussian of intensities of its own, so that an image is a sample of a mixture of Gaussians. Both
    images share the labels' native means; in the first, some labels are brighter by their uptake of contrast medium.
    Texture, bias field, blur and noise are drawn for each image anew.

    Args:
        labels: 0 for the background.
        rng: The only source of chance.

    Returns:
        The image with contrast medium and the one without, in [0, 1].
    """
    count = int(labels.max()) + 1
    kind = rng.choice(len(CLASSES), size=count, p=SHARES)
    native = np.clip(rng.normal(*CLASSES[kind].T), 0.0, 0.95)
    native[0] = rng.uniform(0.0, 0.06)  # the background is air
    uptake = np.where(rng.random(count) < ENHANCED, rng.uniform(0.10, 0.45, count), 0.0)
    uptake[(kind == 0) | (np.arange(count) == 0)] = 0.0
    return _image(labels, np.minimum(native + uptake, 1.0), rng), _image(labels, native, rng)


def _image(labels: UInt8[np.ndarray, "i j k"], means: np.ndarray, rng: np.random.Generator) -> Volume:
    """Sample one image of a mixture of Gaussians, and let it suffer as images do."""
    shape = (labels.shape[0], labels.shape[1], labels.shape[2])
    deviations = rng.uniform(*TEXTURE, len(means))
    fine = rng.standard_normal(labels.shape, dtype=np.float32)
    coarse = random_field(rng, shape, labels.shape[0] // 6 + 2)
    image = means.astype(np.float32)[labels]
    image += deviations.astype(np.float32)[labels] * (np.float32(0.8) * fine + np.float32(0.6) * coarse)
    image *= np.exp(np.float32(rng.uniform(*BIAS)) * random_field(rng, shape, 4))
    image = gaussian_filter(image, rng.uniform(*BLUR))
    image += np.float32(rng.uniform(*NOISE)) * rng.standard_normal(labels.shape, dtype=np.float32)
    return np.asarray(np.clip(image, 0, 1), dtype=np.float32)
