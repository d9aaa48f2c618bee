"""LPM checkpoints of perturblib (PyTorch), there and back.

    python -m perturbjax.interop.perturblib import model.pt WORKDIR/checkpoints/lpm/13
    python -m perturbjax.interop.perturblib export WORKDIR/checkpoints/lpm/13 model.pt

Names: perturblib's `Control` is our `control`, its compound `NAME-10uM` our `Compound_NAME-10uM`, its
readout `Transcriptome_GENE` our `GENE`; a `+` in a name, at which it would split, is `%2B` there. The
config of what was imported keeps the arguments and the names that differ, for the way back.

Not the same: perturblib counts a part that it does not know, and a part `Control`, as control and
averages it in; here the first has no prediction, and the second is left out. And once it has loaded
a checkpoint perturblib takes the mean of a combination's parts, also where it was fitted by sum or
max; here it stays as it was fitted.
"""

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from absl import logging

from perturbjax.analysis.completion import model_settings
from perturbjax.analysis.embeddings import AXES
from perturbjax.errors import InputError, check_settings, listed
from perturbjax.interop.perturblib_file import Content, read_file, write_file
from perturbjax.models.lpm import lpm_released
from perturbjax.models.model import Fitted
from perturbjax.readers.perturblib import TRANSCRIPT, our_perturbation, their_perturbation
from perturbjax.screens.vocabulary import CONTROL_ID, Vocabulary
from perturbjax.training import checkpoints
from perturbjax.training.settings import TrainingSettings


def import_perturblib(path: str, folder: str | os.PathLike, seed: int = 0) -> None:
    """Makes a checkpoint folder of a perturblib `model.pt`.

    How many training profiles a name had is not in the file: every name counts as trained, on 1.

    Args:
      path: of the `model.pt`.
      folder: new, as `WORKDIR/checkpoints/lpm/SEED`.
      seed: stands for that of the split, which is not in the file either.

    Raises:
      InputError: it is no such file, would run code, or its parts do not fit; or the folder is taken.
    """
    content, checkpoint = read_file(path), checkpoints.absolute(folder)
    try:
        settings = _settings(content.arguments)
        names = {table: [_ours(table, symbol) for symbol in content.symbols[table]] for table in AXES}
        vocabulary = Vocabulary(**{axis: tuple(names[table]) for table, axis in AXES.items()})
    except InputError as error:
        raise InputError(f'{path}: {error}') from error
    if checkpoints.is_saved(checkpoint):
        raise InputError(f'{folder}: holds a checkpoint already; give another folder.')
    renamed = {table: _renamed(names[table], content.symbols[table]) for table in AXES}
    arguments = json.loads(json.dumps(content.arguments, default=str))
    config = {
        'models': {'lpm': {'model': 'lpm_released', **settings}},
        'perturblib': {'arguments': arguments, 'names': renamed},
    }
    split = {'name': 'perturblib', 'seed': seed, 'validation': [], 'test': [], 'unused': []}
    weights = {name: each[None] for name, each in content.weights.items()}
    counts = {f'{table}_counts': np.ones(len(names[table]), np.int32) for table in AXES}
    params = Fitted(weights, {}, counts)
    with checkpoints.open_folder(checkpoint) as manager:
        checkpoints.save(manager, 0, params, checkpoints.About(vocabulary, config, split, 'lpm'))


def export_perturblib(folder: str | os.PathLike, path: str, readout_type: str = '') -> None:
    """Writes an LPM checkpoint as a `model.pt` for perturblib, whole or not at all.

    Names without training profiles are left out, for perturblib would predict for them all the same.

    Args:
      folder: as `WORKDIR/checkpoints/MODEL/SEED`.
      path: of the `model.pt`.
      readout_type: put in front of every readout, as `Transcriptome`, unless it was imported.

    Raises:
      InputError: there is no checkpoint, or it is of a model that perturblib has no form for.
    """
    params, about = checkpoints.read(folder)
    label, settings = model_settings(about, folder)
    if settings.get('model', label) not in ('lpm', 'lpm_released'):
        raise InputError(f'{folder}: holds the model {label!r}; perturblib has a form for LPM alone.')
    if 'base' in params['constants']:
        raise InputError(
            f'{folder}: holds an LPM on what a rule leaves over; perturblib has a form for the published LPM alone, '
            "so train the model 'lpm_released'."
        )
    fitted = Fitted(**params)
    if fitted.num_members > 1:
        raise InputError(f'{folder}: holds an ensemble; perturblib has a form for one model, so train with one seed.')
    kept = {table: np.asarray(fitted.constants[f'{table}_counts']) > 0 for table in AXES}
    kept['perturbation'][CONTROL_ID] = True
    symbols = {table: _symbols(folder, about, table, kept[table], readout_type) for table in AXES}
    weights = {name: each[0] for name, each in fitted.weights.items()}
    weights |= {table: weights[table][kept[table]] for table in AXES}
    arguments = _arguments(folder, about.config, settings, weights)
    write_file(path, Content(arguments, weights, symbols))
    left_out = sum(int((~each).sum()) for each in kept.values())
    if left_out:
        logging.warning('%s: %d names without training profiles are left out.', folder, left_out)
    if arguments.get('embedding_aggregation_mode', 'mean') != 'mean':
        logging.warning('%s: perturblib takes the mean of the parts of a combination when it loads this.', path)


def _settings(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of our LPM that perturblib's arguments mean."""
    settings = {
        'embedding_dim': arguments['embedding_dim'],
        'hidden_dims': [arguments['hidden_dim']] * arguments['num_layers'],
        'dropout': arguments.get('dropout', 0.0),
        'aggregation': arguments.get('embedding_aggregation_mode', 'mean'),
    }
    check_settings(lpm_released, settings, 'models.lpm')
    lpm_released(**settings)
    return settings


def _arguments(
    folder: str | os.PathLike, config: Mapping[str, Any], settings: Mapping[str, Any], weights: Mapping[str, Any]
) -> dict[str, Any]:
    """perturblib's arguments: those it was imported with, or what the weights and the config say."""
    if 'perturblib' in config:
        return dict(config['perturblib']['arguments'])
    widths = {weights[table].shape[1] for table in AXES}
    layers = sum(name.startswith('bias') for name in weights)
    hidden_dims = [len(weights[f'bias_{layer}']) for layer in range(layers - 1)]
    if len(widths) > 1 or len(set(hidden_dims)) > 1:
        raise InputError(
            f'{folder}: perturblib has one width for all embeddings and one for all hidden layers, '
            f'here are {sorted(widths)} and {hidden_dims}; it has no form for this LPM.'
        )
    training = TrainingSettings(**config.get('training', {}))
    return {
        'embedding_dim': widths.pop(),
        'optimizer_name': 'AdamW',
        'learning_rate': training.learning_rate,
        'learning_rate_decay': training.lr_decay,
        'num_layers': len(hidden_dims),
        'hidden_dim': hidden_dims[0],
        'batch_size': training.batch_size,
        'dropout': settings.get('dropout', 0.0),
        'embedding_aggregation_mode': settings.get('aggregation', 'mean'),
        'lightning_trainer_pars': {},
    }


def _ours(table: str, symbol: str) -> str:
    """Our name for perturblib's."""
    if table == 'readout':
        return symbol.removeprefix(TRANSCRIPT)
    return our_perturbation(symbol) if table == 'perturbation' else symbol


def _renamed(names: Sequence[str], symbols: Sequence[str]) -> dict[str, str]:
    return {name: symbol for name, symbol in zip(names, symbols, strict=True) if name != symbol}


def _symbols(
    folder: str | os.PathLike, about: checkpoints.About, table: str, kept: np.ndarray, readout_type: str
) -> list[str]:
    """perturblib's names for those that are kept: the names they were imported with, or what the rules say."""
    names = [name for name, keep in zip(getattr(about.vocabulary, AXES[table]), kept, strict=True) if keep]
    if 'perturblib' in about.config:
        renamed = about.config['perturblib']['names'][table]
        return [renamed.get(name, name) for name in names]
    symbols = [_theirs(table, name, readout_type) for name in names]
    if len(set(symbols)) < len(symbols):
        twice = sorted({symbol for symbol in symbols if symbols.count(symbol) > 1})
        raise InputError(
            f'{folder}: {AXES[table]} would have one name in perturblib: {listed(twice)}; name them apart.'
        )
    return symbols


def _theirs(table: str, name: str, readout_type: str) -> str:
    """perturblib's name for ours."""
    if table == 'readout':
        return f'{readout_type}_{name}' if readout_type else name
    return their_perturbation(name) if table == 'perturbation' else name


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns the exit code."""
    parser = argparse.ArgumentParser(prog='python -m perturbjax.interop.perturblib', description=__doc__.split('\n')[0])
    commands = parser.add_subparsers(dest='command', required=True)
    importing = commands.add_parser('import', help='model.pt to a new checkpoint folder')
    importing.add_argument('path', metavar='model.pt')
    importing.add_argument('folder', metavar='FOLDER', help='as WORKDIR/checkpoints/lpm/SEED')
    importing.add_argument('--seed', type=int, default=0, help='of the split, to tell several checkpoints apart')
    exporting = commands.add_parser('export', help='checkpoint folder to model.pt')
    exporting.add_argument('folder', metavar='FOLDER')
    exporting.add_argument('path', metavar='model.pt')
    exporting.add_argument('--readout_type', default='', help='put in front of readouts, as Transcriptome')
    given = parser.parse_args(arguments)
    logging.set_verbosity(logging.WARNING)  # Orbax tells every file at INFO
    try:
        if given.command == 'import':
            import_perturblib(given.path, given.folder, given.seed)
        else:
            export_perturblib(given.folder, given.path, given.readout_type)
    except (InputError, OSError) as error:
        print(f'perturbjax: {error}', file=sys.stderr)
        return 2
    return 0


if __name__ == '__main__':
    sys.exit(main())
