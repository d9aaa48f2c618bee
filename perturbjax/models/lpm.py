"""LPM: on residuals and mixed with the simple rules (`lpm`), and as published (`lpm_released`)."""

import functools
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, cast

from perturbjax.errors import InputError, check_range, did_you_mean
from perturbjax.models.baselines import mean
from perturbjax.models.centre import centre_rule
from perturbjax.models.features import feature_reader
from perturbjax.models.flax_model import Sizes, flax_model
from perturbjax.models.lpm_network import AGGREGATIONS, HEADS, LPM, PRECISIONS
from perturbjax.models.mixture import mixed
from perturbjax.models.model import Learner, Model
from perturbjax.models.residual import STANDARDISE, on_residuals
from perturbjax.models.stack import DEFAULT, RULES, stack

# Folds are bits of a 32-bit number.
_MOST_FOLDS = 30

# How `lpm` is trained, on every screen.
_RECIPE = (
    ('learning_rate', 0.003),
    ('lr_decay', 1.0),
    ('weight_decay', 0.01),
    ('batch_profiles', 256),
    ('epoch_steps', 100),
    ('epochs', 20),
    ('patience', 5),
    ('seeds', 2),
    ('checkpoint_every', 4),
)


def lpm(
    embedding_dim: int | Sequence[int] = 16,
    hidden_dims: Sequence[int] = (64, 64),
    dropout: float = 0.0,
    aggregation: str = 'sum',
    matmul_precision: str = 'float32',
    base: str = 'context_mean',
    standardise: str = 'together',
    folds: int = 5,
    shrink: bool = True,
    early_stop: bool = True,
    mix: Sequence[str] = DEFAULT,
    head: str = 'bilinear',
    interaction: bool = False,
    table_decay: float = 100.0,
    embedding_scale: float = 0.3,
    features: Mapping[str, Any] = MappingProxyType({}),
) -> Model:
    """LPM on what a simple rule leaves over, shrunken by its out-of-fold error and mixed with the strongest rules.

    The settings from `base` on turn its parts off one by one; with all of them off it is `lpm_released`.

    Args:
      embedding_dim: D of all three embeddings, or one each for context, perturbation and readout.
      hidden_dims: the width of each hidden layer.
      dropout: the rate after each hidden layer, in training.
      aggregation: how the embedding of a combination follows from those of its parts: mean, sum or max.
      matmul_precision: of the factors of matrix products: float32, tensorfloat32 or bfloat16.
      base: the rule whose residuals are learnt: one of `stack.RULES`, `auto` for the stack of the strongest
        ones, or `none` for the values themselves. `context_mean` is here `centre`, which also answers in a context of
        which only control is known.
      standardise: residuals are divided by the root mean square of all readouts of a screen (`together`), or of each
        readout (`each`), or not at all (`none`).
      folds: each seed is trained once for every fold; 0 for once on everything.
      shrink: whether the folds choose how much of the networks' prediction is kept.
      early_stop: whether the folds, if there are any, choose the epoch whose weights are kept, and not the validation
        profiles. Then `training.patience` counts epochs without a lower error out of fold.
      mix: the rules of `stack.RULES` that the folds mix it with, one that answers for everything first; none if
        empty.
      head: `mlp`, as published, or `bilinear`: one pass for all readouts of a profile.
      interaction: whether the products of all pairs of parts join a combination's embedding.
      table_decay: how many times the weight decay applies to the embeddings.
      embedding_scale: standard deviation of the embeddings at the start.
      features: of an axis, such as `{'perturbation': ['genes.tsv', 'readouts'], 'context': 'control'}`: files of
        vectors, or of what these follow from (`screen:FILE`, `smiles:FILE`, `pairs:FILE`, see
        `models.feature_sources.vectors`), or other sources of `models.features`. A name with features is predicted
        though no training profile had it; files of predictions say where (`LABEL_by_features`).

    Raises:
      InputError: a setting that is out of its range, or a file of features that cannot be read.
    """
    _check(embedding_dim, hidden_dims, dropout, aggregation, matmul_precision, head, standardise)
    _check_folds(folds, shrink, mix)
    rule = _base(base, standardise != 'none' or folds > 0)
    context, perturbation, readout = (embedding_dim,) * 3 if isinstance(embedding_dim, int) else embedding_dim
    dims = (context, perturbation, readout), tuple(hidden_dims)

    def module(sizes: Sizes) -> LPM:
        sized = functools.partial(LPM, sizes, *dims, aggregation, matmul_precision, head, interaction)
        return sized(embedding_scale, starts_at_zero=rule is not None)

    row_tables = tuple(name for name in ('perturbation', 'readout') if name not in features)
    model = flax_model(module, dropout, row_tables, features=feature_reader(features) if features else None)
    if rule is None:
        return model
    learner = cast(Learner, model.learner)._replace(table_decay=table_decay, recipe=_RECIPE)
    model = model._replace(learner=learner)
    model = on_residuals(model, rule, standardise, folds, shrink, needs_training=base == 'none')
    if not early_stop:
        model = model._replace(learner=cast(Learner, model.learner)._replace(unseen_error=None))
    return mixed(model, [RULES[name]() for name in mix]) if mix else model


def lpm_released(
    embedding_dim: int | Sequence[int] = 32,
    hidden_dims: Sequence[int] = (512, 512),
    dropout: float = 0.0,
    aggregation: str = 'mean',
    matmul_precision: str = 'float32',
) -> Model:
    """LPM as published (Miladinovic et al. 2025), trained on the values by the settings of the config alone.

    Args:
      embedding_dim: D of all three embeddings, or one each for context, perturbation and readout.
      hidden_dims: the width of each hidden layer.
      dropout: the rate after each hidden layer, in training.
      aggregation: how the embedding of a combination follows from those of its parts: mean, sum or max.
      matmul_precision: of the factors of matrix products: float32, tensorfloat32 or bfloat16.

    Raises:
      InputError: a setting that is out of its range.
    """
    sizes = embedding_dim, hidden_dims, dropout, aggregation, matmul_precision
    off: dict[str, Any] = {
        'base': 'none',
        'standardise': 'none',
        'folds': 0,
        'shrink': False,
        'early_stop': False,
        'mix': (),
        'head': 'mlp',
        'embedding_scale': 1.0,
    }
    return lpm(*sizes, **off)


def _base(base: str, has_parts: bool) -> Model | None:
    """The rule to start from; None where the values themselves are learnt as they are, as without units and folds."""
    if base == 'auto':
        return stack()
    if base != 'none':
        if base not in RULES:
            raise InputError(f'models.lpm.base: no such {base!r}; {did_you_mean(base, ["auto", "none", *RULES])}')
        return centre_rule() if base == 'context_mean' else RULES[base]()
    return mean() if has_parts else None


def _check_folds(folds: int, shrink: bool, mix: Sequence[str]) -> None:
    """Raises InputError on a number of folds, or on what needs folds, that is out of its range."""
    check_range('models.lpm', 0, folds=folds)
    if folds == 1 or folds > _MOST_FOLDS:
        raise InputError(f'models.lpm.folds: {folds} must be 0 or from 2 to {_MOST_FOLDS}.')
    if shrink and not folds:
        raise InputError('models.lpm.shrink: it is chosen by folds; give 2 folds or more, or shrink = False.')
    if mix and not folds:
        raise InputError('models.lpm.mix: its weights are chosen by folds; give 2 folds or more, or mix = ().')
    for name in mix:
        if name not in RULES:
            raise InputError(f'models.lpm.mix: no such rule {name!r}; {did_you_mean(name, RULES)}')


def _check(
    embedding_dim: int | Sequence[int],
    hidden_dims: Sequence[int],
    dropout: float,
    aggregation: str,
    precision: str,
    head: str,
    standardise: str,
) -> None:
    """Raises InputError on a setting that is out of its range."""
    for name, value, known in (
        ('aggregation', aggregation, AGGREGATIONS),
        ('matmul_precision', precision, PRECISIONS),
        ('head', head, HEADS),
        ('standardise', standardise, STANDARDISE),
    ):
        if value not in known:
            raise InputError(f'models.lpm.{name}: no such {value!r}; {did_you_mean(value, known)}')
    dims = embedding_dim if isinstance(embedding_dim, Sequence) else (embedding_dim,) * 3
    if len(dims) != 3:
        raise InputError(
            f'models.lpm.embedding_dim: {list(dims)} must be one number, or three: context, perturbation, readout.'
        )
    check_range('models.lpm', 1, embedding_dim=min(dims), hidden_dims=min(hidden_dims, default=0))
    if not 0 <= dropout < 1:
        raise InputError(f'models.lpm.dropout: {dropout} must be at least 0 and below 1.')
