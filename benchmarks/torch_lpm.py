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

    def forward(self, context: torch.Tensor, perturbation: torch.Tensor, readout: torch.Tensor) -> torch.Tensor:
        """Predictions `[B]` for ids `[B]` of single perturbations."""
        rows = [table(ids) for table, ids in zip(self.tables, (context, perturbation, readout), strict=True)]
        return self.layers(torch.cat(rows, dim=1))[:, 0]


class Trainer:
    """Trains with AdamW on the values `[C, P, M]` of a whole grid; batches are single observations in random order."""

    def __init__(self, values: torch.Tensor, model: LPM, batch: int, learning_rate: float, weight_decay: float):
        self.values, self.shape, self.model, self.batch = values.ravel(), values.shape, model, batch
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=weight_decay)
        self.order, self.at = torch.randperm(len(self.values)), 0

    def steps(self, number: int) -> float:
        """Makes that many steps and returns the last loss."""
        for _ in range(number):
            if self.at >= len(self.order):
                self.order, self.at = torch.randperm(len(self.values)), 0
            index = self.order[self.at : self.at + self.batch]
            self.at += self.batch
            ids = torch.unravel_index(index, self.shape)
            loss = torch.nn.functional.mse_loss(self.model(*ids), self.values[index])
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
        return loss.item()
