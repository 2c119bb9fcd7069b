"""Points (1000, 3) along a bent curve, with heavy-tailed noise, for own_vae: python3 points.py points.npy"""
import sys

import numpy as np

draw = np.random.default_rng(1)
z = draw.standard_normal((1000, 1))
curve = np.concatenate([2 * z, z * z - 1, np.sin(2 * z)], axis=1)
np.save(sys.argv[1], (curve + draw.logistic(scale=0.2, size=curve.shape)).astype(np.float32))
