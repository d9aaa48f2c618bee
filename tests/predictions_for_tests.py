"""Made-up profiles and predictions, for the tests of evaluation."""

import anndata
import numpy as np
import pandas as pd
from screens_for_tests import measurements

from perturbjax.evaluation.metrics.discrimination import cosine, l1
from perturbjax.prediction.file import held_out, stack
from perturbjax.screens.aggregation import average
from perturbjax.screens.replicates import Replicates
from perturbjax.screens.screen import Compendium, assemble
from perturbjax.screens.splits import TEST, TRAIN, Split

MODELS = ['mean', 'no_change', 'linear', 'lpm', 'silent']
PANELS = {'transcripts': slice(0, 12), 'proteins': slice(9, 20)}


def with_gaps(arrays, seed=0, missing=0.2, offset=0.0, profiles=6, readouts=40):
    """As many float32 arrays of 6 profiles by 40 readouts, NaN here and there."""
    rng = np.random.default_rng(seed)
    values = rng.normal(offset, 1, (arrays, profiles, readouts)).astype(np.float32)
    return [np.where(rng.random(array.shape) < missing, np.nan, array) for array in values]


def make_predictions(seed=0):
    """Two screens with overlapping panels of 20 readouts, two splits that share profiles, and models with gaps.

    `linear` lacks some readouts, `lpm` whole profiles, `silent` everything; `mean` lacks one readout that others
    have. What stands there of the rows behind the profiles is made up too.
    """
    rng = np.random.default_rng(seed)
    rows = [
        (screen, context, f'CRISPRi_G{gene}', split)
        for screen in PANELS
        for context in ('K562', 'RPE1')
        for split in (13, 14)
        for gene in rng.choice(8, 5, replace=False)
    ]
    obs = pd.DataFrame(rows, columns=['screen', 'context', 'perturbation', 'split'])
    obs = obs.sample(frac=1, random_state=seed).set_axis([f'profile {i}' for i in range(len(obs))])
    shape = (len(obs), 20)
    panel = np.stack([np.isin(np.arange(20), np.arange(20)[PANELS[screen]]) for screen in obs['screen']])
    control = np.where(obs['context'].to_numpy()[:, None] == 'K562', *rng.normal(2, 1, (2, 1, 20)))
    mean = control + rng.normal(0, 0.3, 20)
    truth = mean + rng.normal(0, 0.5, shape)
    truth[rng.random(shape) < 0.05] = np.nan
    layers = {'truth': truth, 'control': control, 'perturbed_mean': mean, 'mean': mean.copy(), 'no_change': control}
    layers['linear'] = np.where(rng.random(shape) < 0.2, np.nan, mean + rng.normal(0, 0.2, shape))
    layers['lpm'] = np.where((np.arange(len(obs)) % 5 == 0)[:, None], np.nan, (truth + mean) / 2)
    layers['silent'] = np.full(shape, np.nan)
    layers['mean'][:, 3] = np.nan
    layers |= {name: rng.uniform(0.1, 0.5, shape) for name in ('variance', 'control_variance', 'rest_variance')}
    layers |= {'rest_mean': mean, 'rest_cells': np.full(shape, 90), 'first_half': truth, 'second_half': truth}
    obs['cells'], obs['control_cells'] = rng.integers(5, 9, len(obs)), 30
    layers = {name: np.where(panel, layer, np.nan).astype(np.float32) for name, layer in layers.items()}
    var = pd.DataFrame(index=['G3', 'G5', *(f'readout {i}' for i in range(2, 20))])
    uns = {'models': MODELS, 'scale': {'transcripts': 'log1p', 'proteins': 'log2-ratio'}, 'unit': 'as each screen'}
    return anndata.AnnData(obs=obs, var=var, layers=layers, uns=uns)


def without_replicates(predictions):
    """The same predictions as files of earlier versions have them."""
    old = predictions.copy()
    for name in Replicates._fields:
        del (old.obs if name in old.obs else old.layers)[name]
    return old


def discriminated(prediction, truth, left_out, distance):
    """The perturbation discrimination score by an explicit loop, `[P]`; a tie counts half.

    A readout that is left out for one perturbation is left out for all.
    """
    kept, scores = ~np.asarray(left_out).any(axis=0), []
    for own, row in enumerate(prediction):
        distances = np.array([_distance(row[kept], other[kept], distance) for other in truth])
        others = np.delete(distances, own)
        others = others[~np.isnan(others)]
        ties = np.isclose(others, distances[own], rtol=1e-6, atol=0)
        rank = (~ties & (others < distances[own])).sum() + ties.sum() / 2
        scores.append(np.nan if np.isnan(distances[own]) or not len(others) else 1 - rank / len(others))
    return scores


def _distance(x, y, distance):
    both = ~np.isnan(x + y)
    x, y = x[both].astype(float), y[both].astype(float)
    if not both.any():
        return np.nan
    if distance is cosine:
        lengths = np.linalg.norm(x) * np.linalg.norm(y)
        return 1 - (x @ y / lengths if lengths else 0)
    return np.abs(x - y).mean() if distance is l1 else np.sqrt(((x - y) ** 2).mean())


def make_cells(effect, seed=0, noise=1.0):
    """8 cells of each of 12 perturbations and 20 of control in each of two contexts, in 20 readouts.

    A perturbation changes a third of the readouts, by normal numbers of the standard deviation `effect` that are the
    same in both contexts; the noise of a cell is normal too.
    """
    rng = np.random.default_rng(seed)
    names = [f'p{i}' for i in range(12)]
    changes = rng.normal(0, effect, (12, 20)) * (rng.random((12, 20)) < 1 / 3)
    effects = dict(zip(names, changes)) | {'control': np.zeros(20)}
    level = {'a': rng.normal(3, 1, 20), 'b': rng.normal(3, 1, 20)}
    rows = [
        (context, name, level[context] + effects[name] + noise * rng.normal(size=20))
        for context in level
        for name in ['control'] * 20 + names * 8
    ]
    return measurements([rows[i] for i in rng.permutation(len(rows))], [f'r{i}' for i in range(20)])


def screen_of(cells, scale='log1p'):
    return assemble([average(cells)], [scale])


def make_replicated(effect, seed=0, noise=1.0, tested=8):
    """Predictions of `make_cells` as the runner writes them: `tested` of the perturbations in both contexts.

    The models are `mean`, `no_change`, and `near`, which is half way from control to the truth.
    """
    compendium = screen_of(make_cells(effect, seed, noise))
    return predict(compendium, [f'p{i}' for i in range(tested)])


def predict(compendium: Compendium, tested, split=13) -> anndata.AnnData:
    """The truth of the perturbations `tested`, what is known of it, and the models of `make_replicated`."""
    (screen,), table = compendium.screens, compendium.table()
    test = table['perturbation'].isin(tested).to_numpy()
    (block,) = held_out(compendium, Split('by hand', split, (np.where(test, TEST, TRAIN),)))
    trains = ~test & (table['order'] > 0).to_numpy()
    for name, rows in {'control': (table['order'] == 0).to_numpy(), 'perturbed_mean': trains}.items():
        of_context = {
            each: screen.values[rows & (table['context'] == each)].mean(axis=0) for each in set(table['context'])
        }
        block.data.layers[name] = np.stack([of_context[each] for each in block.data.obs['context']])
    block.data.layers['mean'] = np.tile(screen.values[trains].mean(axis=0), (block.data.n_obs, 1))
    block.data.layers['no_change'] = block.data.layers['control'].copy()
    block.data.layers['near'] = (block.data.layers['control'] + block.data.layers['truth']) / 2
    return stack([block], ['mean', 'no_change', 'near'], {screen.name: screen.scale})
