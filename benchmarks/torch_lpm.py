"""A plain LPM in PyTorch to compare with: it concatenates embeddings, and its data are tensors in memory."""

from collections.abc import Sequence

import torch


class LPM(torch.nn.Module):
    """Three embedding tables and an MLP, as Miladinovic et al. 2025 describe it."""

    def __init__(self, sizes: tuple[int, int, int], embedding_dim: int, hidden_dims: Sequence[int], dropout: float):
        super().__init__()
        self.tables = torch.nn.ModuleList(torch.nn.Embedding(size, embedding_dim) for size in sizes)
        layers: list[torch.nn.Module] = []
        width = 3 * embedding_dim
        for each in hidden_dims:
            layers += [torch.nn.Linear(width, each), torch.nn.ReLU(), torch.nn.Dropout(dropout)]
            width = each
        self.layers = torch.nn.Sequential(*layers, torch.nn.Linear(width, 1))
        for layer in self.layers:
            if isinstance(layer, torch.nn.Linear):  # as released; biases keep torch's default
                torch.nn.init.xavier_uniform_(layer.weight, torch.nn.init.calculate_gain('relu'))

    def forward(self, context: torch.Tensor, perturbation: torch.Tensor, readout: torch.Tensor) -> torch.Tensor:
        """Predictions `[B]` for ids `[B]` of single perturbations."""
        rows = [table(ids) for table, ids in zip(self.tables, (context, perturbation, readout), strict=True)]
        return self.layers(torch.cat(rows, dim=1))[:, 0]


class Trainer:
    """Trains with AdamW on values `[C, P, M]`; batches are single observations in random order.

    Args:
      values: the whole grid.
      model, batch, learning_rate, weight_decay: what is trained, and how.
      lr_decay: the learning rate is multiplied by it after every pass through the observations.
      chosen: the positions in the grid to train on; all of them unless given.
    """

    def __init__(
        self,
        values: torch.Tensor,
        model: LPM,
        batch: int,
        learning_rate: float,
        weight_decay: float,
        lr_decay: float = 1.0,
        chosen: torch.Tensor | None = None,
    ):
        self.values, self.shape, self.model, self.batch = values.ravel(), values.shape, model, batch
        self.chosen = torch.arange(len(self.values)) if chosen is None else chosen
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=weight_decay)
        self.schedule = torch.optim.lr_scheduler.ExponentialLR(self.optimizer, lr_decay)
        self.order, self.at = self._shuffled(), 0

    def _shuffled(self) -> torch.Tensor:
        return self.chosen[torch.randperm(len(self.chosen))]

    def steps(self, number: int) -> float:
        """Makes that many steps and returns the last loss."""
        for _ in range(number):
            if self.at >= len(self.order):
                self.order, self.at = self._shuffled(), 0
                self.schedule.step()
            index = self.order[self.at : self.at + self.batch]
            self.at += self.batch
            ids = torch.unravel_index(index, self.shape)
            loss = torch.nn.functional.mse_loss(self.model(*ids), self.values[index])
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
        return loss.item()

    def epoch(self) -> float:
        """Goes through the observations once and returns the last loss."""
        return self.steps(-(-len(self.chosen) // self.batch))
