"""Small screens made by hand, for the tests of every room."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
import pandas as pd

from perturbjax.models import Query
from perturbjax.screens.measurements import Measurements
from perturbjax.screens.screen import Compendium, Screen, assemble
from perturbjax.screens.vocabulary import combine


def measurements(
    rows: Sequence[tuple[str, str, Sequence[float]]], readouts: Sequence[str], name: str = 'screen', dtype=np.float32
) -> Measurements:
    """Rows of (context, perturbation, values)."""
    return Measurements(
        name=name,
        values=np.array([values for _, _, values in rows], dtype),
        context=np.array([context for context, _, _ in rows], object),
        perturbation=np.array([perturbation for _, perturbation, _ in rows], object),
        readout=np.array(readouts, object),
    )


def two_contexts() -> Compendium:
    """Contexts a and b, perturbations g and h and g+h, readouts x and y; h is measured in a alone."""
    rows = [
        ('a', 'control', (1, 2)),
        ('a', 'g', (2, 4)),
        ('a', 'h', (1, np.nan)),
        ('a', 'g+h', (5, 5)),
        ('b', 'control', (10, 20)),
        ('b', 'g', (14, 28)),
    ]
    return assemble([measurements(rows, ['x', 'y'])], ['log1p'])


def everything(compendium: Compendium) -> tuple[jnp.ndarray, ...]:
    """A training mask of all profiles."""
    return tuple(jnp.ones(len(screen.context), bool) for screen in compendium.screens)


def query_of(screen: Screen) -> Query:
    """All profiles of a screen as a query."""
    return Query(jnp.asarray(screen.context), jnp.asarray(screen.perturbation), jnp.asarray(screen.readout))


def query(compendium: Compendium, pairs: Sequence[tuple[str, str]], readouts: Sequence[str]) -> Query:
    """A query of (context, perturbation) pairs."""
    names = compendium.vocabulary
    return Query(
        jnp.asarray(names.context_ids([context for context, _ in pairs])),
        jnp.asarray(names.perturbation_ids([perturbation for _, perturbation in pairs])),
        jnp.asarray(names.readout_ids(readouts)),
    )


def golden_profiles(path, name: str, dtype) -> Measurements:
    """A golden table (genes x conditions such as `ctrl+A`) as the measurements of one context."""
    table = pd.read_csv(path, sep='\t', index_col=0)
    conditions = [combine(part for part in column.split('+') if part != 'ctrl') for column in table.columns]
    rows = [(name, condition, table.iloc[:, i].to_numpy()) for i, condition in enumerate(conditions)]
    return measurements(rows, list(table.index), name, dtype)
