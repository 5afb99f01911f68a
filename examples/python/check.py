"""The features of dbn_torch.py are those of `dbn embed`, to 1e-5. Needs torch, safetensors, numpy.

    dbn train --unsupervised --out runs/digits
    dbn embed runs/digits cases.npy --layer all --out features.npy
    python check.py runs/digits cases.npy features.npy
"""
import sys
import numpy as np
import torch
from dbn_torch import features

folder, cases, expected = sys.argv[1:]
found = torch.cat(features(folder, torch.from_numpy(np.load(cases).astype("float32"))), 1).numpy()
expected = np.load(expected)
if found.shape != expected.shape:
    sys.exit(f"{found.shape} features, but {expected.shape} in {sys.argv[3]}")
worst = np.abs(found - expected).max()
print(f"{found.shape[0]} cases x {found.shape[1]} features, at most {worst:.1e} apart")
sys.exit(not worst < 1e-5)
