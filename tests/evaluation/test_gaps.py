"""What sets the profiles without a prediction apart, from predictions made by hand."""

import anndata
import numpy as np
import pandas as pd
import pytest

from perturbjax.evaluation.gaps import where_silent

NAN = np.nan


@pytest.fixture
def predictions():
    """Two perturbations of readouts and two compounds, in two contexts; nothing trains in the second."""
    names, contexts = ['CRISPRi_A', 'CRISPRi_B', 'Compound_x', 'Compound_y'], ['new', 'old', 'new', 'old']
    obs = pd.DataFrame({'context': contexts, 'perturbation': names}, index=list('1234'))
    full = np.ones((4, 2))
    silent = {'linear': [0, 0, 1, 1], 'context_mean': [1, 0, 1, 0], 'some': [1, 1, 1, 0], 'none': [1, 1, 1, 1]}
    layers = {name: np.where(np.array(which, bool)[:, None], NAN, full) for name, which in silent.items()}
    layers |= {'truth': full, 'control': full, 'perturbed_mean': layers['context_mean'], 'whole': full}
    uns = {'models': ['whole', *silent]}
    return anndata.AnnData(obs=obs, var=pd.DataFrame(index=['A', 'B']), layers=layers, uns=uns)


def test_only_what_holds_for_all_is_said(predictions):
    assert where_silent(predictions) == {
        'linear': (
            'The 2 profiles that it does not predict are of perturbations whose target is no readout (linear, for '
            'one, knows them as readouts).'
        ),
        'context_mean': 'The 2 profiles that it does not predict have a context without a training perturbation.',
    }


def test_a_model_without_any_answer(predictions):
    compounds = predictions[2:].copy()
    assert set(where_silent(compounds)) == {'linear', 'context_mean', 'some', 'none'}
    compounds.layers['control'][:] = NAN
    assert where_silent(compounds)['none'].endswith('have a context without control.')
    compounds.layers['truth'][:] = NAN  # nothing was measured, so nothing is missing
    assert where_silent(compounds) == {}
