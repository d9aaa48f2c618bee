"""What chooses the epoch whose weights are kept: the folds that members have not seen, or the validation profiles.

Folds go before, for together they are many profiles, and a split keeps few for validation.
"""

import jax
import numpy as np
from jaxtyping import Bool, Float

from perturbjax.models.model import Fitted, Statistics, Weights
from perturbjax.training.epoch import Trainer, evaluate
from perturbjax.training.hosts import array_of_first
from perturbjax.training.train_state import TrainState


def selection_error(
    trainer: Trainer, state: TrainState, active: Bool[np.ndarray, ' S']
) -> tuple[str, Float[np.ndarray, ' S'] | None]:
    """The name of the error to choose by, and each member's; None where there is nothing to choose by.

    Out of fold, all members of a combination of swept settings have the error of their mean. It is one host's, for
    hosts must agree on the epoch. It is infinite for members that do not train any more.
    """
    judge, each = trainer.training.config.learner.unseen_error, trainer.members_each
    if judge is None:
        return 'validation_rmse', evaluate(trainer, state)
    weights, statistics = jax.device_get((state.weights, state.statistics))
    num_members = len(jax.tree.leaves(weights)[0])
    combinations = [slice(first, first + each) for first in range(0, num_members, each)]
    found = [
        judge(fitted_of(trainer, weights, statistics, some), trainer.target) if active[some].any() else np.inf
        for some in combinations
    ]
    errors = np.repeat(array_of_first(np.array(found, np.float32)), each)
    if not np.isnan(errors).any():
        return 'out_of_fold_l2', errors
    return 'validation_rmse', evaluate(trainer, state)


def fitted_of(trainer: Trainer, weights: Weights, statistics: Statistics, members: slice) -> Fitted:
    """Some members of weights and statistics `[S, ...]`, on the host."""
    weights, statistics = jax.tree.map(lambda each: each[members], jax.device_get((weights, statistics)))
    return Fitted(weights, statistics, jax.device_get(trainer.constants))
