# pyright: reportMissingImports=false
"""hpfrec: Poisson factorization with a hierarchy of priors, by coordinate ascent."""

from __future__ import annotations

import numpy as np
from hpfrec import HPF
from method import Method


def _hpf(train, fields, seed):
    shape = fields["shape"]
    model = HPF(
        k=fields["dim"],
        a=shape,
        c=shape,
        ncores=1,
        stop_crit="maxiter",
        check_every=None,
        maxiter=fields.get("iterations", 100),
        reindex=False,
        verbose=False,
        random_seed=seed + 1,
        keep_data=False,
        produce_dicts=False,
    )
    model.fit(train.copy())
    return model.Theta, model.Beta


def _scores(model, users):
    return np.asarray(model[0])[users] @ np.asarray(model[1]).T


METHODS = {"pf": Method(_hpf, _scores, lambda train: train[0].tocoo())}
