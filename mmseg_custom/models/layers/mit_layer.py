"""The transformer layer of SegFormer's encoder (Mix Transformer, MiT).

Paper: SegFormer, sections 3.1 (https://arxiv.org/abs/2105.15203); official code: NVlabs/SegFormer,
``mmseg/models/backbones/mix_transformer.py``. Arguments, state-dict keys, shapes and numbers are
those of the classes of the same name in mmseg's ``mmseg/models/backbones/mit.py``. Differences:

- ``scaled_dot_product_attention`` instead of weights that are computed, averaged over the heads
  and thrown away;
- tokens stay where they are: convolutions see them as channels-last maps, 1x1 convolutions are
  matrix products (:mod:`mmseg_custom.models.layers.token_map`);
- the norm after the spatial reduction has a configuration of its own.

In training, stochastic depth draws the same random numbers as upstream.
"""

import torch
import torch.nn.functional as F
from mmcv.cnn import build_norm_layer
from mmengine.model import BaseModule
from mmseg.models.backbones.mit import EfficientMultiheadAttention as UpstreamAttention
from mmseg.models.backbones.mit import MixFFN as UpstreamMixFFN
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mmseg_custom.models.layers.row_blocks import row_blocks, runs_by_rows
from mmseg_custom.models.layers.token_map import pointwise, to_map, to_tokens


def add_branch(identity: Tensor, branch: Tensor, drop_path: nn.Module) -> Tensor:
    """Add a residual branch, or in training drop it for some samples and scale it for the others.

    Args:
        identity: float tokens of shape (N, L, C).
        branch: float tokens of the same shape.
        drop_path: mmcv's ``DropPath``, or ``nn.Identity`` to always add.
    """
    rate = getattr(drop_path, 'drop_prob', 0.0)
    if rate == 0.0 or not drop_path.training:
        return identity + branch
    draw = torch.rand((len(branch), 1, 1), dtype=branch.dtype, device=branch.device)
    scale = (1 - rate + draw).floor() / (1 - rate)
    return torch.addcmul(identity, branch, scale)


class EfficientMultiheadAttention(UpstreamAttention):
    """Multi-head attention whose keys and values come from a map reduced by ``sr_ratio``."""

    def forward(
        self, x: Tensor, hw_shape: tuple[int, int], identity: Tensor | None = None
    ) -> Tensor:
        """Attend from every token to every token of the reduced map.

        Args:
            x: float tokens of shape (N, H * W, C).
            hw_shape: (H, W), each at least ``sr_ratio``.
            identity: what the result is added to, of the shape of ``x``; ``x`` by default.

        Returns:
            Tensor of shape (N, H * W, C).
        """
        channels = x.shape[2]
        weight, bias = self.attn.in_proj_weight, self.attn.in_proj_bias
        if self.sr_ratio > 1:
            reduced = self.norm(to_tokens(self.sr(to_map(x, hw_shape))))
            weights = weight[:channels], weight[channels:]
            biases = (None, None) if bias is None else (bias[:channels], bias[channels:])
            query = self._split_heads(F.linear(x, weights[0], biases[0]), 1)[0]
            key, value = self._split_heads(F.linear(reduced, weights[1], biases[1]), 2)
        else:
            query, key, value = self._split_heads(F.linear(x, weight, bias), 3)
        projection = self.attn.out_proj
        dropout = self.attn.dropout if self.training else 0.0
        # A query's weights add up to one, so with one head the projection can go before the sum,
        # to the few values.
        project_values = self.num_heads == 1 and dropout == 0.0
        if project_values:
            value = projection(value)
        out = F.scaled_dot_product_attention(query, key, value, dropout_p=dropout)
        out = out.transpose(1, 2).flatten(2)
        if not project_values:
            out = projection(out)
        identity = x if identity is None else identity
        return add_branch(identity, self.proj_drop(out), self.dropout_layer)

    def _split_heads(self, projected: Tensor, parts: int) -> tuple[Tensor, ...]:
        """View (N, L, parts * C) as ``parts`` tensors of shape (N, heads, L, C / heads)."""
        split = projected.unflatten(2, (parts, self.num_heads, -1))
        return split.permute(2, 0, 3, 1, 4).unbind(0)


class MixFFN(UpstreamMixFFN):
    """Feed-forward branch with a 3x3 depth-wise convolution, which tells tokens where they are."""

    def forward(
        self, x: Tensor, hw_shape: tuple[int, int], identity: Tensor | None = None
    ) -> Tensor:
        """Map tokens of shape (N, H * W, C) to the same shape and add them to ``identity``.

        Args:
            x: float tokens of shape (N, H * W, C).
            hw_shape: (H, W).
            identity: what the result is added to, of the shape of ``x``; ``x`` by default.
        """
        identity = x if identity is None else identity
        if runs_by_rows(self, x):
            return self._forward_by_rows(x, hw_shape, identity)
        expand, position, activate, drop, project, _ = self.layers
        hidden = position(to_map(pointwise(x, expand), hw_shape))
        out = drop(pointwise(to_tokens(drop(activate(hidden))), project))
        return add_branch(identity, out, self.dropout_layer)

    def _forward_by_rows(self, x: Tensor, hw_shape: tuple[int, int], identity: Tensor) -> Tensor:
        """The same without dropout, a few rows at a time; each needs its neighbours' rows."""
        expand, position, activate, _, project, _ = self.layers
        height, width = hw_shape
        out = torch.empty_like(identity)
        for sample in range(len(x)):
            for top, bottom in row_blocks(height, width * self.feedforward_channels):
                begin, end = max(top - 1, 0), min(bottom + 1, height)
                rows = slice(top * width, bottom * width)
                tokens = pointwise(x[sample : sample + 1, begin * width : end * width], expand)
                hidden = position(to_map(tokens, (end - begin, width)))
                hidden = activate(hidden[:, :, top - begin : bottom - begin])
                branch = pointwise(to_tokens(hidden), project)[0]
                torch.add(identity[sample, rows], branch, out=out[sample, rows])
        return out


class MiTLayer(BaseModule):
    """One encoder layer: ``x + attn(norm1(x))``, then ``x + ffn(norm2(x))``.

    Args:
        embed_dims: number of channels C.
        num_heads: number of attention heads; divides ``embed_dims``.
        feedforward_channels: hidden channels of the feed-forward branch.
        drop_rate: dropout after the attention's projection and in the feed-forward branch.
        attn_drop_rate: dropout of the attention weights.
        drop_path_rate: share of samples whose branch is dropped in training.
        qkv_bias: whether the attention's projections have a bias.
        act_cfg: activation of the feed-forward branch.
        norm_cfg: the two norms before the branches.
        sr_norm_cfg: the norm after the spatial reduction; ``None`` means ``norm_cfg``.
        sr_ratio: the side of the windows that become one key and value each.
        with_cp: recompute activations in the backward pass instead of keeping them.
    """

    def __init__(
        self,
        embed_dims: int,
        num_heads: int,
        feedforward_channels: int,
        drop_rate: float = 0.0,
        attn_drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        qkv_bias: bool = True,
        act_cfg: dict = dict(type='GELU'),  # noqa: B006
        norm_cfg: dict = dict(type='LN'),  # noqa: B006
        sr_norm_cfg: dict | None = None,
        sr_ratio: int = 1,
        with_cp: bool = False,
    ):
        super().__init__()
        drop_path = dict(type='DropPath', drop_prob=drop_path_rate)
        self.norm1 = build_norm_layer(norm_cfg, embed_dims)[1]
        self.attn = EfficientMultiheadAttention(
            embed_dims,
            num_heads,
            attn_drop=attn_drop_rate,
            proj_drop=drop_rate,
            dropout_layer=drop_path,
            qkv_bias=qkv_bias,
            norm_cfg=sr_norm_cfg or norm_cfg,
            sr_ratio=sr_ratio,
        )
        self.norm2 = build_norm_layer(norm_cfg, embed_dims)[1]
        self.ffn = MixFFN(
            embed_dims,
            feedforward_channels,
            act_cfg=act_cfg,
            ffn_drop=drop_rate,
            dropout_layer=drop_path,
        )
        self.with_cp = with_cp

    def forward(self, x: Tensor, hw_shape: tuple[int, int]) -> Tensor:
        """Map tokens of shape (N, H * W, C) to the same shape; ``hw_shape`` is (H, W)."""
        if self.with_cp and torch.is_grad_enabled():
            return checkpoint(self._forward, x, hw_shape, use_reentrant=False)
        return self._forward(x, hw_shape)

    def _forward(self, x: Tensor, hw_shape: tuple[int, int]) -> Tensor:
        x = self.attn(self.norm1(x), hw_shape, identity=x)
        return self.ffn(self.norm2(x), hw_shape, identity=x)
