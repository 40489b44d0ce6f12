"""One layer of linear self-attention, read at the query. See src/nn/model/linear_attention.rs."""

import torch
from torch import nn

from .training import joined

FORMS = {"linear-attention": ["reordered", "projected"]}


class Model(nn.Module):
    def __init__(self, experiment, form):
        super().__init__()
        w = experiment.task.width
        self.form, self.dim = form, experiment.task.dim
        self.q, self.k, self.v, self.o = (nn.Parameter((0.5 / w) ** 0.5 * torch.randn(w, w)) for _ in range(4))

    def forward(self, x, y):
        tokens = joined(x, y)
        query = tokens[:, -1]
        attended = getattr(self, self.form)(tokens, query)
        return torch.addmm(query, attended, self.o)[:, self.dim :]

    def reordered(self, tokens, query):
        """Keys and values are asked for one query only, so the weights can meet that query instead of every token."""
        asked = query @ self.q @ self.k.T
        scores = torch.bmm(tokens, asked[:, :, None])  # (B, T, 1)
        return torch.bmm(scores.transpose(1, 2), tokens)[:, 0] @ self.v

    def projected(self, tokens, query):
        keys, values = (tokens @ torch.cat([self.k, self.v], 1)).chunk(2, -1)
        scores = torch.bmm(keys, (query @ self.q)[:, :, None])
        return torch.bmm(scores.transpose(1, 2), values)[:, 0]
