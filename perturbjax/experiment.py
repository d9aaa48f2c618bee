"""The whole story as one function: files -> compendium -> split -> fit -> predict -> scores -> report."""

import datetime
import functools
import time
from collections.abc import Callable, Mapping
from typing import Any, cast

import anndata
import jax
import ml_collections
import numpy as np
from etils import epath

from perturbjax import workdir
from perturbjax.analysis.embeddings import read_embeddings
from perturbjax.analysis.study import Study, study
from perturbjax.analysis.whatif import draw
from perturbjax.config import Evaluation, check, refuse_other_config
from perturbjax.errors import InputError
from perturbjax.evaluation.linear_sweep import score_grid
from perturbjax.evaluation.results import Results, judge
from perturbjax.interop.export import export
from perturbjax.interop.predictions import add_configured
from perturbjax.models import LearnedModel, Model, context_mean, no_change
from perturbjax.models.lpm import Fitted
from perturbjax.models.model import Params
from perturbjax.prediction import file as predictions
from perturbjax.prediction.full_grid import write_grid
from perturbjax.report import report_page
from perturbjax.screens.splits import TRAIN, Split
from perturbjax.setup import Setup, checkpoint_folder, prepare, store_data
from perturbjax.training import checkpoints, loop
from perturbjax.training.settings import Settings
from perturbjax.training.writers import Curve, read_curves

MODES = ('run', 'prepare', 'train', 'predict', 'grid', 'evaluate', 'embed', 'analyse', 'export')

# What scores refer to: the context's control, and the mean of its training perturbations.
REFERENCES = {'control': no_change(), 'perturbed_mean': context_mean()}


def run(
    config: ml_collections.ConfigDict,
    folder: str,
    mode: str = 'run',
    queries: str = '',
    models: Mapping[str, Model | LearnedModel] | None = None,
) -> Results | None:
    """Runs an experiment, or one stage of it, in a work folder; what is there already is not done again.

    On several hosts all of them train, and the first does the rest.

    Args:
      config: of the form that `experiments/quickstart.py` shows.
      folder: the workdir, local or `gs://`.
      mode: one of `MODES`; `run` is all stages but `prepare`, `grid` and `export`.
      queries: a table of contexts and perturbations to predict (mode predict; no truth needed).
      models: further models by label, beside those that the config names.

    Returns:
      What was found, where the mode evaluates: tables, and what the report's figures are drawn from.

    Raises:
      InputError: anything the user can mend; the workdir is then as it was.
    """
    if jax.process_index() and mode not in ('run', 'train'):
        return None
    if mode == 'prepare':
        print(store_data(config, epath.Path(folder)))
        print(f'summary: {folder}/data.html')
        return None
    if mode in ('evaluate', 'export'):
        settings = check(config)
        refuse_other_config(settings, epath.Path(folder))
        if mode == 'evaluate':
            return evaluate(settings, epath.Path(folder))
        export(workdir.read_h5ad(epath.Path(folder) / 'predictions.h5ad'), epath.Path(folder) / 'exported')
        return None
    setup, files = prepare(config, epath.Path(folder), models or {})
    if mode in ('run', 'train'):
        train(setup, files)
    if jax.process_index():
        return None
    if queries:
        predict_queries(setup, queries)
    elif mode in ('run', 'predict'):
        predict(setup)
    if mode == 'grid':
        grid(setup)
    if mode in ('run', 'embed'):
        embed(setup)
    if mode == 'analyse' or (mode == 'run' and setup.config['analysis']):
        analyse(setup)
    return evaluate(setup.config, setup.folder) if mode == 'run' else None


def train(setup: Setup, files: Mapping[str, str]) -> None:
    """Fits every model on every split and saves its checkpoint; goes on where an earlier run stopped.

    `files` say what the workdir was made with and are written first.
    """
    is_first = jax.process_index() == 0
    for name, text in files.items() if is_first else ():
        workdir.write_text(setup.folder / name, text)
    for label, model in setup.models.items():
        started = time.perf_counter()
        fit = _learn if isinstance(model, LearnedModel) else _solve
        for split in setup.splits:
            about = checkpoints.About(setup.compendium.vocabulary, setup.config, split.describe(setup.compendium))
            fit(setup, label, split, about, checkpoint_folder(setup, label, split))
        if is_first:
            workdir.add_time(setup.folder / 'times.json', label, time.perf_counter() - started)


def _learn(setup: Setup, label: str, split: Split, about: checkpoints.About, folder: epath.Path) -> None:
    module = cast(LearnedModel, setup.models[label]).module(setup.compendium.vocabulary)
    training = Settings(**setup.config['training'])
    curve = Curve(setup.folder / 'metrics.jsonl', label, split.seed, training.tensorboard)
    seed = setup.config['seed'] + split.seed
    loop.train(module, setup.compendium, split, training, seed, about, folder, curve)


def _solve(setup: Setup, label: str, split: Split, about: checkpoints.About, folder: epath.Path) -> None:
    if jax.process_index() == 0 and not checkpoints.is_saved(folder):
        params = _fit(cast(Model, setup.models[label]))(setup.compendium, split.mask(TRAIN))
        with checkpoints.open_folder(folder) as manager:
            checkpoints.save(manager, 0, params, about)


@functools.lru_cache
def _fit(model: Model) -> Callable:
    """One compilation for all splits."""
    return jax.jit(model.fit)


def predict(setup: Setup) -> None:
    """Predicts the test profiles of every split with every model: `predictions.h5ad`."""
    blocks = []
    for split in setup.splits:
        held_out = predictions.held_out(setup.compendium, split)
        add_predictions(setup, split, held_out)
        blocks += held_out
    _write_predictions(setup, blocks, 'predictions.h5ad')
    shown = Evaluation(**setup.config['evaluation']).linear_grid
    if shown:
        workdir.write_table(setup.folder / 'linear_grid.csv', score_grid(setup.compendium, setup.splits, **shown))


def predict_queries(setup: Setup, path: str) -> None:
    """Predicts the profiles that a table asks for, by the models of every split: `predictions_NAME.h5ad`."""
    vocabulary = setup.compendium.vocabulary
    blocks = [predictions.asked_for(path, vocabulary, split.seed) for split in setup.splits]
    for split, block in zip(setup.splits, blocks, strict=True):
        add_predictions(setup, split, [block])
    name = f'predictions_{epath.Path(path).stem}.h5ad'
    _write_predictions(setup, blocks, name)
    print(f'predictions: {setup.folder / name}')


def grid(setup: Setup) -> None:
    """Predicts every perturbation of the vocabulary in every context, by every model of every split: `grid.h5ad`."""
    several = len(setup.splits) > 1
    models = {
        f'{label}_{split.seed}' if several else label: (model, functools.partial(read_params, setup, label, split))
        for split in setup.splits
        for label, model in setup.models.items()
    }
    write_grid(setup.folder / 'grid.h5ad', setup.compendium.vocabulary, models, _scales(setup))
    print(f'grid: {setup.folder / "grid.h5ad"}')


def _write_predictions(setup: Setup, blocks: list[anndata.AnnData], name: str) -> None:
    workdir.write_h5ad(setup.folder / name, predictions.stack(blocks, list(setup.models), _scales(setup)))


def _scales(setup: Setup) -> dict[str, str]:
    """The scale of each screen."""
    return {screen.name: screen.scale for screen in setup.compendium.screens}


def add_predictions(setup: Setup, split: Split, blocks: list[anndata.AnnData]) -> None:
    """Adds to each block a layer per model and reference."""
    for layer, reference in REFERENCES.items():
        params = _fit(reference)(setup.compendium, split.mask(TRAIN))
        predictions.add_layer(blocks, layer, reference.predict, params, setup.compendium.vocabulary)
    for label, model in setup.models.items():
        params = read_params(setup, label, split)
        predictions.add_layer(blocks, label, model.predict, params, setup.compendium.vocabulary)
        if isinstance(model, LearnedModel) and params.members is not None:
            predictions.add_layer(blocks, f'{label}_spread', model.spread, params, setup.compendium.vocabulary)


def read_params(setup: Setup, label: str, split: Split) -> Params:
    """A model's params from its checkpoint; raises InputError where there is none."""
    model, folder = setup.models[label], checkpoint_folder(setup, label, split)
    if isinstance(model, LearnedModel):
        return Fitted(**checkpoints.read(folder).params)
    shapes = jax.eval_shape(model.fit, setup.compendium, split.mask(TRAIN))
    return checkpoints.read(folder, jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)).params


def evaluate(settings: Mapping[str, Any], folder: epath.Path) -> Results:
    """Judges `predictions.h5ad` and writes what was found as tables and as `report.html`."""
    predicted = workdir.read_h5ad(folder / 'predictions.h5ad')
    evaluation = Evaluation(**settings['evaluation'])
    add_configured(predicted, evaluation.predictions)
    results = judge(predicted, settings['seed'], evaluation.replicates)
    results = results._replace(
        training=read_curves(folder / 'metrics.jsonl'),
        grid=workdir.read_table(folder / 'linear_grid.csv') if evaluation.linear_grid else None,
        facts={**results.facts, **_when(folder)},
    )
    for name in ('scores', 'summary', 'calibration', 'curves'):
        workdir.write_table(folder / f'{name}.csv', getattr(results, name))
    if results.doubles is not None:
        workdir.write_table(folder / 'interactions.csv', results.doubles.calls)
        workdir.write_table(folder / 'interaction_ranking.csv', results.doubles.ranking)
    workdir.write_text(folder / 'report.html', report_page(results, settings))
    return results


def _when(folder: epath.Path) -> dict[str, str]:
    """When the report was made, and how long fitting took, for its head."""
    seconds = workdir.read_times(folder / 'times.json')
    times = ', '.join(f'{label} {each:.0f} s' for label, each in seconds.items())
    made = {'Evaluated': datetime.datetime.now(datetime.UTC).strftime('%Y-%m-%d %H:%M UTC')}
    return made | ({'Fitting took': times} if times else {})


def embed(setup: Setup) -> None:
    """The embeddings of every learned model and split: `embeddings.h5ad`."""
    folders = [folder for folders in _learned(setup).values() for folder in folders]
    if folders:
        workdir.write_h5ad(setup.folder / 'embeddings.h5ad', read_embeddings(folders))


def analyse(setup: Setup) -> None:
    """What the config asks of the embeddings: tables in `analysis/`, and a figure of every what-if."""
    if not setup.config['analysis']:
        raise InputError('analysis: the config asks for nothing; see perturbjax.analysis.study.Study for what it may.')
    everywhere = [np.all(masks, axis=0) for masks in zip(*(split.mask(TRAIN) for split in setup.splits))]
    found = study(_learned(setup), setup.compendium, everywhere, Study(**setup.config['analysis']))
    for name, table in found.items():
        workdir.write_table(setup.folder / 'analysis' / f'{name}.csv', table)
    if 'what_if' in found:
        questions = found['what_if'].groupby(['model', 'context', 'readout'], sort=False)
        for place, (_, table) in enumerate(questions, start=1):
            workdir.write_figure(setup.folder / 'analysis' / f'what_if_{place}.svg', draw(table).figure)


def _learned(setup: Setup) -> dict[str, list[epath.Path]]:
    """The checkpoints of the learned models by label, one per split."""
    labels = [label for label, model in setup.models.items() if isinstance(model, LearnedModel)]
    return {label: [checkpoint_folder(setup, label, split) for split in setup.splits] for label in labels}
