"""DeltaNet and Gated DeltaNet, one layer and one head, read at the query. See src/nn/model/delta_net.rs and gated_delta_net.rs."""

import torch
from torch import nn

from .training import joined

FORMS = {"deltanet": ["attention", "parallel", "recurrent"], "gated-deltanet": ["attention", "parallel", "recurrent"]}

# Added to the squared length of a key.
EPSILON = 1e-6


class Model(nn.Module):
    def __init__(self, experiment, form):
        super().__init__()
        w, d, outputs = experiment.task.width, experiment.task.dim, experiment.task.outputs
        self.form, self.dim = form, d
        self.q, self.k, self.v = (nn.Parameter((0.5 / w) ** 0.5 * torch.randn(w, n)) for n in [d, d, outputs])
        # The step size, and what is kept.
        biases = [0.0, 3.0] if experiment.sizes["gated"] else [0.0]
        self.gate, self.bias = nn.Parameter(torch.zeros(w, len(biases))), nn.Parameter(torch.tensor(biases))

    def forward(self, x, y):
        tokens = joined(x, y)
        # One product for keys, values and gates.
        parts = tokens[:, :-1] @ torch.cat([self.k, self.v, self.gate], 1)
        keys, values, gates = parts.split([self.dim, self.v.shape[1], len(self.bias)], -1)
        gates = torch.sigmoid(gates + self.bias)
        rates = gates[..., :1] / (keys.square().sum(-1, keepdim=True) + EPSILON)
        kept = gates[..., 1:] if len(self.bias) > 1 else None
        return getattr(self, self.form)(keys, values, rates, kept, tokens[:, -1] @ self.q)

    def attention(self, keys, values, rates, kept, query):
        """From the last pair to the first: S_t q = a S_{t-1} (q - c k (k . q)) + c v (k . q)."""
        answer = torch.zeros_like(values[:, 0])
        for t in reversed(range(keys.shape[1])):
            along = rates[:, t] * (keys[:, t] * query).sum(-1, keepdim=True)
            answer = torch.addcmul(answer, along, values[:, t])
            query = query - along * keys[:, t]
            if kept is not None:
                query = kept[:, t] * query
        return answer

    def parallel(self, keys, values, rates, kept, query):
        """All pairs at once by the WY form (2406.06484, equation 10; decays as in 2412.06464): a triangular system for the errors."""
        products = torch.bmm(keys, keys.transpose(1, 2))  # (B, N, N)
        scores = torch.bmm(keys, query[:, :, None])  # (B, N, 1)
        if kept is not None:
            sums = kept.log().cumsum(1)
            products = products * (sums - sums.transpose(1, 2)).tril(-1).exp()
            scores = scores * (sums[:, -1:] - sums).exp()
        errors = torch.linalg.solve_triangular((rates * products).tril(-1), rates * values, upper=False, unitriangular=True)
        return torch.bmm(scores.transpose(1, 2), errors)[:, 0]

    def recurrent(self, keys, values, rates, kept, query):
        state = torch.zeros(len(keys), values.shape[2], keys.shape[2])
        for t in range(keys.shape[1]):
            if kept is not None:
                state = kept[:, t, :, None] * state
            key = keys[:, t, None]
            error = values[:, t, :, None] - torch.bmm(state, key.transpose(1, 2))
            state = torch.baddbmm(state, rates[:, t, :, None] * error, key)
        return torch.bmm(state, query[:, :, None])[:, :, 0]
