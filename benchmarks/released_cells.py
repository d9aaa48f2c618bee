"""The released GEARS and CPA as a process that takes turns of training; `cells_training.py` starts it.

    PYTHON benchmarks/released_cells.py gears|cpa_first|cpa_game FOLDER BATCH EPOCHS

The installed packages do the training: `GEARS.train` of cell-gears, `CPA.train` of cpa-tools with the settings of
Ahlmann-Eltze et al. 2025. The clock runs while they go through the training cells: GEARS' loader, and a callback of
CPA's trainer, wait for a turn and tell when it is over. Off the clock are an evaluation of all training and validation
cells, which GEARS makes after an epoch and which is cut to a batch here, and the R2 of each condition, which CPA
computes in every step: perturbjax has no such thing in training. Its seconds are told apart.
"""

import importlib.metadata
import pathlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from turns import Asked

# More epochs than any turn asks for.
_NEVER = 10**6


class Clock:
    """Waits before the first epoch of a turn, and tells after the last one what they took."""

    def __init__(self, asked: Asked, epochs: int) -> None:
        self.asked, self.epochs, self.done = asked, epochs, 0
        self._restart()
        self.about: Callable[[], dict[str, Any]] = dict

    def start(self) -> None:
        """Before an epoch."""
        if self.done % self.epochs == 0:
            if self.done:
                facts = {'cells': sum(self.batches), 'batch': max(self.batches), 'metrics': self.metrics}
                self.asked.tell(seconds=self.seconds, processor=self.processor, **facts, **self.about())
            self.asked.wait()
            self._restart()
        self._began = _now()

    def stop(self) -> None:
        """After an epoch."""
        self._add(1, self._began)
        self.done += 1

    def aside(self, metric: Callable) -> Callable:
        """The same function of metrics, off the clock."""

        def timed(*arguments: Any, **named: Any) -> Any:
            began = _now()
            found = metric(*arguments, **named)
            self.metrics += time.perf_counter() - began[0]
            self._add(-1, began)
            return found

        return timed

    def _restart(self) -> None:
        self.seconds = self.processor = self.metrics = 0.0
        self.batches: list[int] = []

    def _add(self, sign: int, began: tuple[float, float]) -> None:
        seconds, processor = _now()
        self.seconds += sign * (seconds - began[0])
        self.processor += sign * (processor - began[1])


def _now() -> tuple[float, float]:
    """Seconds of the clock, and of the processors that this process had."""
    return time.perf_counter(), time.process_time()


def weights_of(modules: Iterable[Any]) -> int:
    """The number of weights that have had a gradient, without the embedding of padding."""
    found = 0
    for module in modules:
        found += sum(each.numel() for each in module.parameters() if each.grad is not None)
        padded = [each for each in module.modules() if getattr(each, 'padding_idx', None) is not None]
        found -= sum(each.embedding_dim for each in padded)
    return found


def versions(*packages: str) -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in (*packages, 'torch')}


class TimedLoader:
    """A loader of GEARS with a clock that runs while its model trains on the batches; it is judged by one batch."""

    def __init__(self, loader: Iterable, clock: Clock, model: Any) -> None:
        self.loader, self.clock, self.model = loader, clock, model

    def __iter__(self) -> Iterator:
        if not self.model.training:
            yield next(iter(self.loader))
            return
        self.clock.start()
        for batch in self.loader:
            self.clock.batches.append(len(batch.pert))
            yield batch
        self.clock.stop()


def gears_data(folder: pathlib.Path, batch: int) -> Any:
    """The cells as cell-gears' `PertData`, whose constructor would download the ontology."""
    import anndata
    import numpy as np
    from gears import PertData

    cells = anndata.read_h5ad(folder / 'cells.h5ad')
    condition, names = cells.obs['condition'].astype(str), cells.var['gene_name'].astype(str)
    full = dict(zip(condition, cells.obs['condition_name'].astype(str), strict=True))
    mean = {name: np.asarray(cells.X[(condition == name).to_numpy()].mean(axis=0)).ravel() for name in full}
    change = {name: np.argsort(-np.abs(own - mean['ctrl'])) for name, own in mean.items()}
    cells.uns['non_zeros_gene_idx'] = {full[name]: np.flatnonzero(own) for name, own in mean.items()}
    cells.uns['rank_genes_groups_cov_all'] = {full[name]: list(cells.var_names[own]) for name, own in change.items()}
    data: Any = object.__new__(PertData)
    data.adata, data.ctrl_adata = cells, cells[condition == 'ctrl']
    data.gene_names, data.pert_names = names, names.to_numpy()
    data.node_map = data.node_map_pert = {name: i for i, name in enumerate(names)}
    data.data_path, data.dataset_name, data.split, data.seed = str(folder), 'generated', 'no_test', 1
    data.train_gene_set_size, data.subgroup, data.default_pert_graph = 0.75, None, False
    splits = {'train': 'train', 'val': 'test'}
    data.set2conditions = {to: list(condition[cells.obs['split'] == name].unique()) for to, name in splits.items()}
    data.create_dataset_file()
    data.get_dataloader(batch)
    # It only takes the mean of control from it now, and indexes as newer versions of scipy no longer let it.
    data.adata = anndata.AnnData(cells.X.toarray(), cells.obs, cells.var, cells.uns)
    return data


def gears(folder: pathlib.Path, batch: int, clock: Clock) -> None:
    import pandas as pd
    from gears import GEARS
    from gears.utils import GeneSimNetwork

    data, graphs = gears_data(folder, batch), {}
    for name, key in (('coexpression', 'G_coexpress'), ('ontology', 'G_go')):
        network = GeneSimNetwork(pd.read_csv(folder / f'{name}.csv'), list(data.gene_names), data.node_map)
        graphs |= {key: network.edge_index, f'{key}_weight': network.edge_weight}
    trained = GEARS(data, device='cpu')
    trained.model_initialize(hidden_size=64, **graphs)
    loaders = trained.dataloader
    trained.dataloader = {name: TimedLoader(each, clock, trained.model) for name, each in loaders.items()}
    clock.about = lambda: {
        'genes': trained.num_genes,
        'weights': weights_of([trained.model]),
        'versions': versions('cell-gears', 'torch-geometric'),
    }
    trained.train(epochs=_NEVER)


def cpa(folder: pathlib.Path, batch: int, clock: Clock, pretraining: 'int | None') -> None:
    import anndata
    import cpa
    from pytorch_lightning.callbacks import Callback

    class Timed(Callback):
        def on_train_epoch_start(self, trainer: Any, plan: Any) -> None:
            clock.start()

        def on_train_batch_end(self, trainer: Any, plan: Any, outputs: Any, batch: Any, number: int) -> None:
            clock.batches.append(len(batch['X']))

        def on_train_epoch_end(self, trainer: Any, plan: Any) -> None:
            clock.stop()

    cells = anndata.read_h5ad(folder / 'cells.h5ad')
    cells.obs['condition'] = cells.obs['condition'].astype(str).str.replace('+ctrl', '', regex=False)
    cpa.CPA.setup_anndata(cells, 'condition', 'ctrl', layer='counts')
    layers = {'n_hidden_encoder': 256, 'n_layers_encoder': 4, 'n_hidden_decoder': 256, 'n_layers_decoder': 2}
    norms = {'use_batch_norm_encoder': True, 'use_batch_norm_decoder': False, 'dropout_rate_encoder': 0.2}
    model = cpa.CPA(cells, split_key='split', n_latent=32, recon_loss='nb', doser_type='linear', **layers, **norms)
    model.module.r2_metric = clock.aside(model.module.r2_metric)
    plan = {
        **{'lr': 1e-4, 'wd': 3.2170178270865573e-6, 'adv_lr': 1e-4, 'adv_wd': 7.051355554517135e-6, 'adv_steps': 3},
        **{'n_hidden_adv': 128, 'n_layers_adv': 2, 'dropout_rate_adv': 0.3, 'reg_adv': 10.0, 'pen_adv': 20.0},
        **{'n_epochs_pretrain_ae': pretraining, 'n_epochs_adv_warmup': 50, 'mixup_alpha': 0.0, 'step_size_lr': 25},
    }
    clock.about = lambda: {
        'genes': model.module.n_genes,
        'weights': weights_of([model.module, model.training_plan.perturbation_classifier]),
        'versions': versions('cpa-tools', 'scvi-tools'),
    }
    model.train(
        max_epochs=_NEVER, use_gpu=False, batch_size=batch, plan_kwargs=plan, check_val_every_n_epoch=_NEVER,
        callbacks=[Timed()], save_path=False, enable_progress_bar=False,
    )  # fmt: skip


def main() -> None:
    asked, (name, folder, batch, epochs) = Asked(), sys.argv[1:]
    clock, given = Clock(asked, int(epochs)), (pathlib.Path(folder), int(batch))
    try:
        if name == 'gears':
            gears(*given, clock)
        else:
            cpa(*given, clock, _NEVER if name == 'cpa_first' else None)
    except ImportError as error:
        asked.wait()
        asked.tell(missing=str(error))


if __name__ == '__main__':
    main()
