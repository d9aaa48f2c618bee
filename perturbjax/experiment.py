"""The whole story as one function: files -> compendium -> split -> fit -> predict -> scores -> report."""

import contextlib
import datetime
import functools
import json
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import jax
import ml_collections
import numpy as np
from etils import epath

import perturbjax
from perturbjax import workdir
from perturbjax.config import Config, parse, refuse_other_config
from perturbjax.errors import InputError
from perturbjax.evaluation.linear_sweep import score_linear_sweep
from perturbjax.lock import locked, refuse_locked
from perturbjax.models import Model, context_mean, no_change
from perturbjax.models.model import Params
from perturbjax.paths import absolute, work_folder
from perturbjax.prediction.file import Block, add_layer, asked_for, held_out, read_queries, stack
from perturbjax.prediction.full_grid import write_grid
from perturbjax.prediction.layers import Layer, layers_of
from perturbjax.readers.asked import forms_of
from perturbjax.screens.outline import outline
from perturbjax.screens.splits import TRAIN, Split
from perturbjax.setup import Setup, make_setup, store_data
from perturbjax.training import checkpoints
from perturbjax.training.fit import closed_form, fit
from perturbjax.training.fit import read_params as read_fitted
from perturbjax.training.hosts import refuse_other
from perturbjax.training.metric_writer import read_curves

# What judges, draws and analyses takes long to import and stands where it is used: training begins before, and an
# error in a config is told before.
if TYPE_CHECKING:
    from perturbjax.evaluation.results import Results

MODES = ('run', 'prepare', 'train', 'predict', 'grid', 'next', 'evaluate', 'embed', 'analyse', 'export')

# What scores refer to: the context's control, and the mean of its training perturbations.
REFERENCES = {'control': no_change(), 'perturbed_mean': context_mean()}


def run(
    config: ml_collections.ConfigDict,
    folder: str,
    mode: str = 'run',
    queries: str = '',
    models: Mapping[str, Model] | None = None,
) -> 'Results | None':
    """Runs an experiment, or one stage of it, in a work folder; what is there already is not done again.

    On several hosts all of them train, and the first does the rest.

    Args:
      config: of the form that `experiments/quickstart.py` shows.
      folder: the workdir, local or `gs://`.
      mode: one of `MODES`; `run` is all stages but `prepare`, `grid`, `next` and `export`.
      queries: a table of contexts and perturbations to predict (mode predict; no truth needed), or to choose from
        (mode next).
      models: further models by label, beside those that the config names.

    Returns:
      What was found, where the mode evaluates: tables, and what the report's figures are drawn from.

    Raises:
      InputError: anything the user can mend; the workdir is then as it was.
    """
    path = epath.Path(work_folder(folder))
    if jax.process_index() and mode not in ('run', 'train'):
        return None
    for purpose in _purposes(mode) if jax.process_index() == 0 else ():
        refuse_locked(path, purpose)
    if mode == 'prepare':
        print(store_data(config, path))
        print(f'summary: {path}/data.html')
        return None
    if mode in ('evaluate', 'export'):
        parsed = parse(config)
        refuse_other_config(parsed, path)
        with _results_lock(path):
            if mode == 'evaluate':
                return evaluate(parsed, path)
            from perturbjax.interop.export import export

            export(workdir.read_anndata(path / 'predictions.h5ad'), path / 'exported')
            return None
    setup = make_setup(config, path, models or {}, trains=mode in ('run', 'train'))
    if mode in ('run', 'train'):
        train(setup)
    if jax.process_index() or mode == 'train':
        return None
    with _results_lock(path, waits=mode == 'run'):
        return _results(setup, mode, queries)


def _purposes(mode: str) -> tuple[str, ...]:
    """What a launch in this mode has to itself."""
    return {'run': ('training', 'results'), 'train': ('training',), 'prepare': ('training',)}.get(mode, ('results',))


def _results_lock(path: epath.Path, waits: bool = False) -> contextlib.AbstractContextManager[None]:
    """The lock of a workdir's results; where nothing was trained yet there is nothing to lock."""
    return locked(path, 'results', waits) if (path / 'config.json').exists() else contextlib.nullcontext()


def _results(setup: Setup, mode: str, queries: str) -> 'Results | None':
    """What the mode asks for once the models are trained."""
    if mode == 'next':
        suggest(setup, queries)
    elif queries:
        predict_queries(setup, queries)
    elif mode in ('run', 'predict'):
        predict(setup)
    if mode == 'grid':
        grid(setup)
    if mode in ('run', 'embed'):
        embed(setup)
    if mode == 'analyse' or (mode == 'run' and setup.config.analysis):
        analyse(setup)
    return evaluate(setup.config, setup.folder) if mode == 'run' else None


def train(setup: Setup) -> None:
    """Fits every model on every split and saves its checkpoint; goes on where an earlier run stopped."""
    if jax.process_index():
        _train(setup)
        return
    setup.folder.mkdir(parents=True, exist_ok=True)
    with locked(setup.folder, 'training'):
        _train(setup)


def _train(setup: Setup) -> None:
    is_first, form = jax.process_index() == 0, outline(setup.compendium)
    versions = {'version of perturbjax': perturbjax.__version__, 'version of JAX': jax.__version__}
    refuse_other(versions | {name.removesuffix('.json'): json.loads(text) for name, text in setup.files.items()})
    for name, text in setup.files.items() if is_first else ():
        workdir.write_text(setup.folder / name, text)
    learnt_from = [setup.learnt_from(split) for split in setup.splits]
    for label, model in setup.models.items():
        trained = model.learner or model.cell_learner
        settings = setup.config.training_of(label, trained.recipe if trained else ())
        started = time.perf_counter()
        for split, compendium in zip(setup.splits, learnt_from, strict=True):
            description = split.describe(setup.compendium)
            about = checkpoints.About(setup.compendium.vocabulary, setup.config.plain, description, label, form)
            seed, folder = setup.config.seed + split.seed, setup.checkpoint_folder(label, split)
            fit(model, compendium, split, settings, seed, about, folder, setup.folder / 'metrics.jsonl')
        if is_first:
            workdir.add_time(setup.folder / 'times.json', label, time.perf_counter() - started)


def predict(setup: Setup) -> None:
    """Predicts the test profiles of every split with every model: `predictions.h5ad`."""
    blocks = []
    for split in setup.splits:
        tested = held_out(setup.compendium, split)
        _add_layers(setup, split, tested)
        blocks += tested
    _write_predictions(setup, blocks, 'predictions.h5ad')
    sweep = setup.config.evaluation.linear_sweep
    if sweep:
        table = score_linear_sweep(setup.compendium, setup.splits, **sweep)
        workdir.write_table(setup.folder / 'linear_sweep.csv', table, checked=True)


def predict_queries(setup: Setup, path: str) -> None:
    """Predicts the profiles that a table asks for, by the models of every split: `predictions_NAME.h5ad`."""
    path = absolute(path, '--queries')
    vocabulary = setup.compendium.vocabulary
    queries = read_queries(path, vocabulary, forms_of(setup.config.data))
    blocks = [asked_for(queries, vocabulary, split.seed) for split in setup.splits]
    for split, block in zip(setup.splits, blocks, strict=True):
        _add_layers(setup, split, [block])
    name = f'predictions_{epath.Path(path).stem}.h5ad'
    _write_predictions(setup, blocks, name)
    print(f'predictions: {setup.folder / name}')


def _add_layers(setup: Setup, split: Split, blocks: list[Block]) -> None:
    """Adds to each block a layer for each reference and model."""
    for layer in _layers(setup, split):
        add_layer(blocks, layer)


def _layers(setup: Setup, split: Split) -> Iterator[Layer]:
    for label, reference in REFERENCES.items():
        fit_again = functools.partial(closed_form(reference), setup.compendium, split.mask(TRAIN))
        yield from layers_of(label, reference, fit_again)
    for label, model in setup.models.items():
        yield from layers_of(label, model, functools.partial(read_params, setup, label, split))


def _write_predictions(setup: Setup, blocks: list[Block], name: str) -> None:
    workdir.write_anndata(setup.folder / name, stack(blocks, list(setup.models), _scales(setup)))


def _scales(setup: Setup) -> dict[str, str]:
    """The scale of each screen."""
    return {screen.name: screen.scale for screen in setup.compendium.screens}


def read_params(setup: Setup, label: str, split: Split) -> Params:
    """A model's params from its checkpoint; raises InputError where there is none."""
    folder = setup.checkpoint_folder(label, split)
    return read_fitted(setup.models[label], folder, setup.compendium, split.mask(TRAIN))


def grid(setup: Setup) -> None:
    """Predicts every perturbation of the vocabulary in every context, by every model of every split: `grid.h5ad`."""
    several = len(setup.splits) > 1
    models = {
        f'{label}_{split.seed}' if several else label: (
            model,
            functools.partial(read_params, setup, label, split),
        )
        for split in setup.splits
        for label, model in setup.models.items()
    }
    write_grid(setup.folder / 'grid.h5ad', setup.compendium.vocabulary, models, _scales(setup))
    print(f'grid: {setup.folder / "grid.h5ad"}')


def suggest(setup: Setup, queries: str = '') -> None:
    """What to measure next, by what it would teach a model of the first split: `next.csv`.

    Args:
      setup: with trained models.
      queries: a table of candidates; every pair that is not measured unless given.
    """
    from perturbjax.planning.candidates import not_measured_yet, unmeasured
    from perturbjax.planning.suggest import batch_table, model_to_ask, what_is_not_known

    settings, split, names = setup.config.next, setup.splits[0], setup.compendium.vocabulary
    kinds = {label: given.get('model', label) for label, given in setup.config.models.items()}
    label = model_to_ask(settings.model, kinds, setup.models)
    if queries:
        table = read_queries(absolute(queries, '--queries'), names, forms_of(setup.config.data))
        asked = not_measured_yet(asked_for(table, names, split.seed).query, setup.compendium)
    else:
        asked = unmeasured(setup.compendium, settings.pairs)
    model, params = setup.models[label], read_params(setup, label, split)
    fitted_on = setup.learnt_from(split), split.mask(TRAIN)
    unknown = what_is_not_known(label, kinds.get(label, label), model, params, *fitted_on, asked)
    workdir.write_table(setup.folder / 'next.csv', batch_table(*unknown, asked, names, settings.batch))
    print(f'next measurements, by {label}: {setup.folder / "next.csv"}')


def evaluate(config: Config, folder: epath.Path) -> 'Results':
    """Judges `predictions.h5ad` and writes what was found as tables and as `report.html`."""
    from perturbjax.evaluation.published import beside_published
    from perturbjax.evaluation.results import judge
    from perturbjax.evaluation.weighting import add_weights
    from perturbjax.interop.predictions import add_configured
    from perturbjax.report import report_page

    predicted, evaluation = workdir.read_anndata(folder / 'predictions.h5ad'), config.evaluation
    add_configured(predicted, evaluation.predictions)
    add_weights(predicted, config.weights.scores)
    results = judge(predicted, config.seed, evaluation.bootstrap_samples, evaluation.metrics)
    if evaluation.published:
        beside = beside_published(predicted, evaluation.published, config.seed, evaluation.bootstrap_samples)
        results = results._replace(published=beside)
    lacking = [
        f'This run lacks {name}: {why}' for name, why in evaluation.lacks.items() if name not in predicted.layers
    ]
    results = results._replace(
        notes=[*lacking, *results.notes],
        training=read_curves(folder / 'metrics.jsonl'),
        linear_sweep=workdir.read_table(folder / 'linear_sweep.csv') if evaluation.linear_sweep else None,
        run_facts={**results.run_facts, **_times(folder)},
    )
    for name in ('scores', 'summary', 'calibration', 'curves'):
        workdir.write_table(folder / f'{name}.csv', getattr(results, name))
    if len(results.interval_coverage):
        workdir.write_table(folder / 'coverage.csv', results.interval_coverage)
    if results.published is not None:
        workdir.write_table(folder / 'published.csv', results.published.table)
    if results.doubles is not None:
        workdir.write_table(folder / 'interactions.csv', results.doubles.calls)
        workdir.write_table(folder / 'interaction_ranking.csv', results.doubles.ranking)
    workdir.write_text(folder / 'report.html', report_page(results, config.plain))
    return results


def _times(folder: epath.Path) -> dict[str, str]:
    """When the report was made and how long fitting took, for the head of the report."""
    seconds = workdir.read_times(folder / 'times.json')
    times = ', '.join(f'{label} {each:.0f} s' for label, each in seconds.items())
    made = {'Evaluated': datetime.datetime.now(datetime.UTC).strftime('%Y-%m-%d %H:%M UTC')}
    return made | ({'Fitting took': times} if times else {})


def embed(setup: Setup) -> None:
    """The embeddings of every model and split that has tables of them: `embeddings.h5ad`."""
    from perturbjax.analysis.embeddings import has_tables, read_embeddings

    folders = [folder for folders in _learned(setup).values() for folder in folders if has_tables(folder)]
    if folders:
        workdir.write_anndata(setup.folder / 'embeddings.h5ad', read_embeddings(folders))


def analyse(setup: Setup) -> None:
    """What the config asks of the embeddings: tables in `analysis/`, and a figure of every what-if."""
    from perturbjax.analysis.study import study
    from perturbjax.analysis.whatif import draw

    if setup.config.analysis is None:
        raise InputError('analysis: the config asks for nothing; see perturbjax.analysis.settings.Study.')
    everywhere = [np.all(masks, axis=0) for masks in zip(*(split.mask(TRAIN) for split in setup.splits))]
    found = study(_learned(setup), setup.compendium, everywhere, setup.config.analysis, setup.models)
    for name, table in found.items():
        workdir.write_table(setup.folder / 'analysis' / f'{name}.csv', table)
    if 'what_if' in found:
        questions = found['what_if'].groupby(['model', 'context', 'readout'], sort=False)
        for number, (_, table) in enumerate(questions, start=1):
            workdir.write_figure(setup.folder / 'analysis' / f'what_if_{number}.svg', draw(table).figure)


def _learned(setup: Setup) -> dict[str, list[epath.Path]]:
    """The checkpoints of the models that were trained, by label, one for each split."""
    labels = [label for label, model in setup.models.items() if model.learner is not None]
    return {label: [setup.checkpoint_folder(label, split) for split in setup.splits] for label in labels}
