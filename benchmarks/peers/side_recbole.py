# pyright: reportMissingImports=false
"""recbole: MultiVAE, EASE, item KNN with shrinkage, each with the library's own trainer."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

import numpy as np

# recbole 1.2.1 still uses names that numpy 2 has removed.
for _old in ("float_", "int_", "complex_", "unicode_", "bool8", "object_"):
    if not hasattr(np, _old):
        setattr(
            np,
            _old,
            {"float_": np.float64, "complex_": np.complex128, "unicode_": np.str_}.get(_old, np.bool_),
        )

import torch
from method import Method
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.utils import get_model, get_trainer, init_seed

BATCH = 100
"""Users per step, as for the other libraries."""


class _Data:
    """Training pairs in a file; recbole configures data and model together, so each set of settings loads them anew."""

    def __init__(self, matrix) -> None:
        self.matrix = matrix
        self.folder = Path(tempfile.mkdtemp(prefix="recbole-"))
        (self.folder / "log").mkdir()
        pairs = matrix.tocoo()
        lines = "\n".join(f"{u}\t{i}" for u, i in zip(pairs.row, pairs.col, strict=True))
        (self.folder / "log" / "log.inter").write_text("user_id:token\titem_id:token\n" + lines + "\n")

    def load(self, model: str, fields: dict, seed: int):
        """Return (configuration, train loader)."""
        config = Config(
            model=model,
            dataset="log",
            config_dict={
                "data_path": str(self.folder),
                "checkpoint_dir": str(self.folder),
                "load_col": {"inter": ["user_id", "item_id"]},
                "eval_args": {
                    "split": {"RS": [1.0, 0.0, 0.0]},
                    "order": "RO",
                    "group_by": "user",
                    "mode": "full",
                },
                "use_gpu": False,
                "state": "ERROR",
                "show_progress": False,
                "seed": seed,
                "reproducibility": True,
                "eval_step": 0,
                "save_dataset": False,
                **fields,
            },
        )
        init_seed(seed, True)
        logging.disable(logging.WARNING)
        data = create_dataset(config)
        loader = data_preparation(config, data)[0]
        return config, loader


def _train(name, translate):
    def train(prepared, fields, seed):
        config, loader = prepared
        model = get_model(name)(config, loader.dataset)
        trainer = get_trainer(config["MODEL_TYPE"], name)(config, model)
        trainer.fit(loader, valid_data=None, verbose=False, saved=False, show_progress=False)
        return model, loader.dataset

    def prepare_and_train(data, fields, seed):
        return train(data.load(name, translate(fields, data.matrix), seed), fields, seed), data.matrix

    return prepare_and_train


def _scores(model, users):
    (net, data), matrix = model
    net.eval()
    rows = torch.tensor(data.token2id("user_id", [str(user) for user in users]))
    with torch.no_grad():
        scores = net.full_sort_predict({"user_id": rows}).view(len(users), -1).numpy()
    known = [int(token) for token in data.field2id_token["item_id"][1:]]
    full = np.full((len(users), matrix.shape[1]), -np.inf)
    full[:, known] = scores[:, 1:]
    return full


def _vae(fields, matrix):
    steps = fields["epochs"] * int(np.ceil(matrix.shape[0] / BATCH))
    return {
        "train_neg_sample_args": None,
        "epochs": fields["epochs"],
        "train_batch_size": BATCH,
        "learning_rate": 1e-3,
        "mlp_hidden_size": [fields["hidden"]],
        "latent_dimension": 2 * fields["latent"],  # the library counts means and variances together
        "dropout_prob": 0.5,
        "anneal_cap": fields["beta"],
        "total_anneal_steps": max(1, round(steps * 0.85 / fields["beta"])),
    }


METHODS = {
    "mult_vae": Method(_train("MultiVAE", _vae), _scores, lambda train: _Data(train[0])),
    "ease": Method(
        _train("EASE", lambda fields, _: {"reg_weight": fields["l2"]}), _scores, lambda train: _Data(train[0])
    ),
    "item_knn": Method(
        _train(
            "ItemKNN",
            lambda fields, _: {"k": fields["neighbors"], "shrink": fields["shrinkage"], "knn_method": "item"},
        ),
        _scores,
        lambda train: _Data(train[0]),
    ),
}
