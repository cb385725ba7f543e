"""The number type of the soft tissue's kernels, in one place so that both can be measured."""

import numpy as np
import warp as wp

Real = wp.float64
Vec3 = wp.types.vector(length=3, dtype=Real)
Mat33 = wp.types.matrix(shape=(3, 3), dtype=Real)
HOST = np.float64
