"""GRU and LSTM. See src/nn/model/recurrent.rs, gru.rs and lstm.rs.

torch.nn.GRU is another cell: it applies r after U. torch.nn.LSTM is the same cell with a second bias, which stays zero here.
"""

import torch
from torch import nn

from .training import joined

FORMS = {"gru": ["cell"], "lstm": ["library", "cell"]}


def gates(count, make):
    return nn.Parameter(torch.cat([make() for _ in range(count)]))


class Model(nn.Module):
    def __init__(self, experiment, form):
        super().__init__()
        self.units, width = experiment.sizes["units"], experiment.task.width
        self.form = form
        self.cell = {"gru": self.gru, "lstm": self.lstm}[experiment.preset]
        count, n = {"gru": 3, "lstm": 4}[experiment.preset], self.units
        token = gates(count, lambda: nn.init.xavier_uniform_(torch.empty(n, width)))
        past = gates(count, lambda: nn.init.orthogonal_(torch.empty(n, n)))
        bias = torch.zeros(count * n)
        if experiment.preset == "lstm":
            bias[n : 2 * n] = 1.0  # The cell begins by remembering.
        self.out = nn.Linear(n, experiment.task.outputs)
        nn.init.xavier_uniform_(self.out.weight)
        nn.init.zeros_(self.out.bias)
        if form == "library":
            self.lib = nn.LSTM(width, n)
            self.lib.weight_ih_l0, self.lib.weight_hh_l0 = token, past
            # torch's gates are i, f, c, o.
            self.lib.bias_ih_l0 = nn.Parameter(bias)
            self.lib.bias_hh_l0 = nn.Parameter(torch.zeros_like(bias), requires_grad=False)
        else:
            self.token, self.past, self.bias = token, past, nn.Parameter(bias)

    def forward(self, x, y):
        tokens = joined(x, y).transpose(0, 1)
        if self.form == "library":
            return self.out(self.lib(tokens)[1][0][0])
        reads = nn.functional.linear(tokens, self.token, self.bias)  # (T, B, gates · n)
        h = reads.new_zeros(reads.shape[1], self.units)
        return self.out(self.cell(reads.unbind(0), h))

    def gru(self, reads, h):
        """Gates z, r and the candidate; r is applied before U."""
        gates, last = self.past[: 2 * self.units].T, self.past[2 * self.units :].T
        for read in reads:
            opened, candidate = read.split([2 * self.units, self.units], 1)
            z, r = torch.addmm(opened, h, gates).sigmoid().chunk(2, 1)
            h = torch.lerp(torch.addmm(candidate, r * h, last).tanh(), h, z)
        return h

    def lstm(self, reads, h):
        """Gates i, f, o and the cell's input."""
        past, c = self.past.T, torch.zeros_like(h)
        for read in reads:
            all = torch.addmm(read, h, past)
            i, f, o = all[:, : 3 * self.units].sigmoid().chunk(3, 1)
            c = torch.addcmul(f * c, i, all[:, 3 * self.units :].tanh())
            h = o * c.tanh()
        return h
