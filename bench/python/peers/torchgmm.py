"""The mixture of torchgmm, on PyTorch Lightning.

Its estimator takes means alone as a start, and reads the rows twice an iteration where they are one batch. The module
that it trains does neither, so that is what runs here.
"""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from bench.python.likelihood import Parameters, parameters
from bench.python.peers.peer import REG_COVAR, Fit, Peer
from bench.python.problems import Array, Problem, Start


def prepare(problem: Problem, X: Array, start: Start) -> Fit:
    import pytorch_lightning
    import torch
    from torchgmm.base.data import DataLoader, collate_tensor, dataset_from_tensors
    from torchgmm.bayes.gmm import GaussianMixtureModel, GaussianMixtureModelConfig
    from torchgmm.bayes.gmm.lightning_module import GaussianMixtureLightningModule

    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    # For these types a precision is given by its root or Cholesky factor, and both are roots where it is diagonal.
    factors = np.sqrt(start.precisions(problem.covariance_type))
    loader = DataLoader(dataset_from_tensors(torch.from_numpy(X)), batch_size=len(X), collate_fn=collate_tensor)

    def fit(iterations: int) -> Any:
        default = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)  # what it accumulates in has no other switch
        try:
            return train(iterations)
        finally:
            torch.set_default_dtype(default)

    def train(iterations: int) -> Any:
        model = GaussianMixtureModel(GaussianMixtureModelConfig(problem.k, problem.d, problem.covariance_type))
        model.component_probs.copy_(torch.from_numpy(start.weights))
        model.means.copy_(torch.from_numpy(start.means))
        model.precisions_cholesky.copy_(torch.from_numpy(factors))
        trainer = pytorch_lightning.Trainer(
            max_epochs=iterations,
            precision="64-true",
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        module = GaussianMixtureLightningModule(
            model, convergence_tolerance=0, covariance_regularization=REG_COVAR, is_batch_training=False
        )
        trainer.fit(module, loader)
        return model

    return fit


def fitted(model: Any) -> Parameters:
    return parameters(model.component_probs.numpy(), model.means.numpy(), model.covariances.numpy())


PEER = Peer("torchgmm", "torchgmm", "torchgmm", prepare, fitted, note="the module that its estimator trains")
