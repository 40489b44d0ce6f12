"""Mamba and Mamba-2: one layer, asked at the query. See src/nn/model/mamba.rs, mamba2.rs and stack.rs."""

import math

import torch
from torch import nn
from torch.nn import functional as F

from .training import joined

# "library" takes torch's own convolution and is otherwise "closed".
FORMS = {"mamba": ["closed", "recurrent", "library"], "mamba2": ["closed", "library"]}

TAPS = 4


class Model(nn.Module):
    def __init__(self, experiment, form):
        super().__init__()
        self.form, self.sizes = form, experiment.sizes
        h, e, n, task = self.sizes["width"], self.sizes["inner"], self.sizes["states"], experiment.task
        selective = experiment.preset == "mamba"
        self.layer = self.mamba if selective else self.mamba2
        uniform = lambda *shape, inputs: nn.Parameter(torch.empty(shape).uniform_(-(inputs**-0.5), inputs**-0.5))
        steps = lambda count: nn.Parameter(torch.empty(count).uniform_(math.log(0.001), math.log(0.1)).exp().expm1().log())
        self.encode = nn.Parameter(task.width**-0.5 * torch.randn(task.width, h))
        self.decode = nn.Parameter(h**-0.5 * torch.randn(h, task.outputs))
        self.gate, self.out = uniform(h, e, inputs=h), uniform(e, h, inputs=e)
        wide = e if selective else e + 2 * n
        self.read_in = uniform(h, wide, inputs=h)
        self.taps, self.bias = uniform(TAPS, wide, inputs=TAPS), uniform(wide, inputs=TAPS)
        if selective:
            rank = self.sizes["rank"]
            self.write, self.read = uniform(e, n, inputs=e), uniform(e, n, inputs=e)
            self.down, self.up = uniform(e, rank, inputs=e), uniform(rank, e, inputs=rank)
            self.step = steps(e)
            self.rate = nn.Parameter(torch.arange(1.0, n + 1).log().repeat(e, 1))
            self.feedthrough = nn.Parameter(torch.ones(e))
        else:
            m = self.sizes["heads"]
            self.to_step, self.step = uniform(h, m, inputs=h), steps(m)
            self.rate = nn.Parameter(torch.empty(m).uniform_(1.0, 16.0).log())
            self.feedthrough = nn.Parameter(torch.ones(m))

    def forward(self, x, y):
        tokens = joined(x, y) @ self.encode  # (B, T, H)
        query = tokens[:, -1]
        gated = self.layer(tokens) * F.silu(query @ self.gate)
        return torch.addmm(query, gated, self.out) @ self.decode

    def convolved(self, tokens):
        """SiLU of the short causal convolution over a projection: (B, T, E)."""
        rows = tokens @ self.read_in
        length = rows.shape[1]
        if self.form == "library":
            columns = F.conv1d(rows.transpose(1, 2), self.taps.T[:, None], self.bias, padding=TAPS - 1, groups=rows.shape[2])
            return F.silu(columns[:, :, :length]).transpose(1, 2)
        padded = F.pad(rows, (0, 0, TAPS - 1, 0))
        sums = self.bias
        for k in range(TAPS):
            sums = torch.addcmul(sums, padded[:, k : k + length], self.taps[k])
        return F.silu(sums)

    def mamba(self, tokens):
        inputs = self.convolved(tokens)
        e, n, rank = self.sizes["inner"], self.sizes["states"], self.sizes["rank"]
        low, write = (inputs @ torch.cat([self.down, self.write], 1)).split([rank, n], -1)
        steps = F.softplus(low @ self.up + self.step)  # (B, T, E)
        read = inputs[:, -1] @ self.read  # Only the query is asked.
        rate = -self.rate.exp()
        if self.form == "recurrent":
            decays = (steps[..., None] * rate).exp()
            drives = (steps * inputs)[..., None] * write[:, :, None]  # (B, T, E, N)
            state = drives[:, 0]
            for decay, drive in zip(decays.unbind(1)[1:], drives.unbind(1)[1:]):
                state = torch.addcmul(drive, decay, state)
        else:
            after = steps.sum(1, keepdim=True) - steps.cumsum(1)
            decays = (after[..., None] * rate).exp()
            state = (decays * (steps * inputs)[..., None] * write[:, :, None]).sum(1)
        return torch.addcmul(torch.bmm(state, read[:, :, None])[:, :, 0], self.feedthrough, inputs[:, -1])

    def mamba2(self, tokens):
        """Masked attention, of which one row is wanted."""
        e, n, m = self.sizes["inner"], self.sizes["states"], self.sizes["heads"]
        inputs, write, read = self.convolved(tokens).split([e, n, n], -1)
        steps = F.softplus(tokens @ self.to_step + self.step)  # (B, T, M)
        after = steps.sum(1, keepdim=True) - steps.cumsum(1)
        scores = torch.bmm(write, read[:, -1, :, None])  # (B, T, 1)
        weights = scores * (after * -self.rate.exp()).exp() * steps
        by_head = inputs.unflatten(2, (m, e // m))  # (B, T, M, P)
        answers = torch.einsum("btm,btmp->bmp", weights, by_head)
        return torch.addcmul(answers, self.feedthrough[:, None], by_head[:, -1]).flatten(1)
