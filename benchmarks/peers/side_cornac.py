# pyright: reportMissingImports=false
"""cornac: EASE, VAECF (no input dropout, no annealing), BPR, Poisson factorization without the hierarchy."""

from __future__ import annotations

import numpy as np
from cornac.data import Dataset
from cornac.models import BPR, EASE, HPF, VAECF
from method import Method


def _prepare(train):
    matrix = train[0].tocoo()
    users, items = matrix.shape
    data = Dataset(
        num_users=users,
        num_items=items,
        uid_map={u: u for u in range(users)},
        iid_map={i: i for i in range(items)},
        uir_tuple=(matrix.row, matrix.col, matrix.data.astype(float)),
        seed=0,
    )
    return data


def _fitted(make):
    return lambda data, fields, seed: (make(fields, seed).fit(data), data)


def _scores(model, users):
    return np.stack([np.asarray(model[0].score(user)) for user in users])


def _vae_scores(model, users):
    # VAECF.score() takes one user at a time; this runs the same network on a batch.
    import torch

    vae, data = model[0].vae, model[1]
    with torch.no_grad():
        rows = torch.tensor(data.matrix[users].toarray() > 0, dtype=torch.float32)
        return vae.decode(vae.encode(rows)[0]).numpy()


METHODS = {
    "ease": Method(
        _fitted(lambda f, seed: EASE(lamb=f["l2"], posB=False, verbose=False, seed=seed)),
        lambda model, users: np.asarray(model[1].matrix[users] @ model[0].B),
        _prepare,
    ),
    "mult_vae": Method(
        _fitted(
            lambda f, seed: VAECF(
                k=f["latent"],
                autoencoder_structure=[f["hidden"]],
                likelihood="mult",
                n_epochs=f["epochs"],
                batch_size=100,
                beta=f["beta"],
                seed=seed,
            )
        ),
        _vae_scores,
        _prepare,
    ),
    "bpr": Method(
        _fitted(
            lambda f, seed: BPR(
                k=f["dim"],
                max_iter=f["iterations"],
                learning_rate=f["learning_rate"],
                lambda_reg=f["regularization"],
                num_threads=1,
                seed=seed,
            )
        ),
        _scores,
        _prepare,
    ),
    "pf": Method(
        _fitted(
            lambda f, seed: HPF(k=f["dim"], max_iter=f.get("iterations", 100), hierarchical=False, seed=seed)
        ),
        lambda model, users: model[0].Theta[users] @ model[0].Beta.T,
        _prepare,
    ),
}
