"""The causal softmax transformer, its last layer asked at the query only. See src/nn/model/transformer.rs."""

import torch
from torch import nn
from torch.nn import functional as F

from .training import joined

FORMS = {"transformer": ["library", "plain"]}

WIDER = 4


def linear(inputs, outputs, scale=1.0, times=1):
    layer = nn.Linear(inputs, times * outputs)
    with torch.no_grad():
        for part in layer.weight.split(outputs):
            nn.init.xavier_uniform_(part).mul_(scale)
        nn.init.zeros_(layer.bias)
    return layer


class Layer(nn.Module):
    def __init__(self, n, heads, shrink, form):
        super().__init__()
        self.heads, self.form = heads, form
        self.norm1, self.norm2 = nn.LayerNorm(n), nn.LayerNorm(n)
        self.qkv, self.project = linear(n, n, times=3), linear(n, n, shrink)
        self.widen, self.narrow = linear(n, WIDER * n), linear(WIDER * n, n, shrink)

    def forward(self, tokens, last):
        normal = self.norm1(tokens)
        n = tokens.shape[-1]
        split = lambda part: part.unflatten(2, (self.heads, -1)).transpose(1, 2)  # (B, h, ·, w)
        if last:
            weight, bias = self.qkv.weight, self.qkv.bias
            queries = F.linear(normal[:, -1:], weight[:n], bias[:n])
            keys, values = F.linear(normal, weight[n:], bias[n:]).chunk(2, -1)
            tokens = tokens[:, -1:]
        else:
            queries, keys, values = self.qkv(normal).chunk(3, -1)
        attended = self.attend(split(queries), split(keys), split(values), not last)
        tokens = tokens + self.project(attended.transpose(1, 2).flatten(2))
        return tokens + self.narrow(F.gelu(self.widen(self.norm2(tokens)), approximate="tanh"))

    def attend(self, queries, keys, values, causal):
        if self.form == "library":
            return F.scaled_dot_product_attention(queries, keys, values, is_causal=causal)
        scores = queries @ keys.transpose(2, 3) * queries.shape[-1] ** -0.5
        if causal:
            length = keys.shape[2]
            scores = scores + torch.full((length, length), -torch.inf).triu(1)
        return scores.softmax(-1) @ values


class Model(nn.Module):
    def __init__(self, experiment, form):
        super().__init__()
        n, heads, layers = (experiment.sizes[size] for size in ("units", "heads", "layers"))
        self.embed = linear(experiment.task.width, n)
        self.layers = nn.ModuleList([Layer(n, heads, (2 * layers) ** -0.5, form) for _ in range(layers)])
        self.norm = nn.LayerNorm(n)
        self.decode = linear(n, experiment.task.outputs)

    def forward(self, x, y):
        tokens = self.embed(joined(x, y))
        for number, layer in enumerate(self.layers):
            tokens = layer(tokens, number + 1 == len(self.layers))
        return self.decode(self.norm(tokens[:, -1]))
