"""GD-SSM: S_t = Λ ⊙ S_{t−1} + X_tᵀ Q X_t, ŷ = C S_N X_Nᵀ D. See src/nn/model/gd_ssm.rs."""

import torch
from torch import nn

FORMS = {"gd-ssm": ["closed", "recurrent"]}


class Model(nn.Module):
    def __init__(self, experiment, form):
        super().__init__()
        d = experiment.task.dim
        self.form = form
        self.decay = nn.Parameter(torch.empty(d, d).uniform_(0.8, 1.0))
        self.mix = nn.Parameter(0.3 * torch.randn(3, 3))
        self.pick = nn.Parameter(0.3 * torch.randn(3))
        self.read = nn.Parameter(0.1 / d**0.5 * torch.randn(d, d))

    def forward(self, x, y):
        windows = torch.stack([x[:, :-1], y[:, :-1], x[:, 1:]])  # (3, B, N, d)
        query = (self.pick @ windows[:, :, -1].flatten(1)).view(x.shape[0], -1)  # (B, d)
        mixed = (self.mix @ windows.flatten(1)).view_as(windows)
        return getattr(self, self.form)(windows, mixed, query) @ self.read.T

    def closed(self, windows, mixed, query):
        """S_N query as one contraction with Λ^{N−t}: N products (3B, d)(d, d), and the state is never written down."""
        count, batch, context, dim = windows.shape
        exponents = torch.arange(context - 1, -1, -1.0).view(-1, 1, 1)
        powers = self.decay**exponents  # (N, d, d)
        asked = (mixed * query[:, None]).view(count * batch, context, dim).transpose(0, 1)
        gathered = torch.bmm(asked, powers.transpose(1, 2)).view(context, count, batch, dim)
        return (windows.permute(2, 0, 1, 3) * gathered).sum((0, 1))

    def recurrent(self, windows, mixed, query):
        updates = torch.einsum("abni,abnj->nbij", windows, mixed)
        state = updates[0]
        for update in updates[1:]:
            state = torch.addcmul(update, self.decay, state)
        return torch.bmm(state, query[:, :, None])[:, :, 0]
