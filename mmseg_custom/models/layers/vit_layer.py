"""The plain pre-norm transformer layer that the ViT backbone and Segmenter's mask decoder share.

Paper: An Image is Worth 16x16 Words (https://arxiv.org/abs/2010.11929). Arguments, state-dict keys
and shapes are those of mmseg's ``TransformerEncoderLayer`` (``mmseg/models/backbones/vit.py``), the
numbers are its numbers. Differences: one matrix product for query, key and value instead of three,
and ``scaled_dot_product_attention``, which never holds the (tokens x tokens) weights that the
stock layer computes, averages over the heads and throws away.

With ``attn_drop_rate`` > 0 in training the dropped weights are other random ones than upstream's.
"""

import torch
import torch.nn.functional as F
from mmcv.cnn.bricks.transformer import FFN, MultiheadAttention
from mmseg.models.backbones.vit import TransformerEncoderLayer
from torch import Tensor
from torch.utils.checkpoint import checkpoint


class SelfAttention(MultiheadAttention):
    """Multi-head self-attention; parameters lie in ``attn`` as in mmcv's ``MultiheadAttention``."""

    def forward(self, x: Tensor) -> Tensor:
        """Attend from every token to every token; the residual is the caller's business.

        Args:
            x: float tokens of shape (N, L, C).

        Returns:
            Tensor of shape (N, L, C).
        """
        batch, length, channels = x.shape
        heads = self.num_heads
        qkv = F.linear(x, self.attn.in_proj_weight, self.attn.in_proj_bias)
        query, key, value = qkv.view(batch, length, 3, heads, channels // heads).permute(
            2, 0, 3, 1, 4
        )
        out = F.scaled_dot_product_attention(
            query, key, value, dropout_p=self.attn.dropout if self.training else 0.0
        )
        out = out.transpose(1, 2).reshape(batch, length, channels)
        return self.proj_drop(F.linear(out, self.attn.out_proj.weight, self.attn.out_proj.bias))


class FeedForward(FFN):
    """mmcv's ``FFN`` without the residual, whose decorator ``torch.compile`` cannot trace."""

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens of shape (N, L, C) to the same shape."""
        return self.dropout_layer(self.layers(x))


class ViTLayer(TransformerEncoderLayer):
    """One transformer encoder layer: ``x + attn(norm(x))``, then ``x + ffn(norm(x))``.

    Stochastic depth drops the feed-forward branch only, as upstream does.

    Args:
        embed_dims: number of channels C.
        num_heads: number of attention heads; divides ``embed_dims``.
        feedforward_channels: hidden channels of the feed-forward branch.
        **kwargs: as in mmseg's ``TransformerEncoderLayer`` (``drop_rate``, ``attn_drop_rate``,
            ``drop_path_rate``, ``num_fcs``, ``qkv_bias``, ``act_cfg``, ``norm_cfg``, ``with_cp``).

    Raises:
        ValueError: ``num_heads`` does not divide ``embed_dims``.
    """

    def __init__(self, embed_dims: int, num_heads: int, feedforward_channels: int, **kwargs):
        if num_heads < 1 or embed_dims % num_heads:
            divisors = [d for d in range(1, embed_dims + 1) if embed_dims % d == 0]
            nearest = min(divisors, key=lambda divisor: abs(divisor - num_heads))
            raise ValueError(
                f'num_heads must divide embed_dims, got num_heads={num_heads} and '
                f'embed_dims={embed_dims}; set num_heads={nearest}'
            )
        super().__init__(embed_dims, num_heads, feedforward_channels, **kwargs)

    def build_attn(self, attn_cfg: dict) -> None:
        """Build the attention branch; the stock constructor calls this."""
        self.attn = SelfAttention(**attn_cfg)

    def build_ffn(self, ffn_cfg: dict) -> None:
        """Build the feed-forward branch; the stock constructor calls this."""
        self.ffn = FeedForward(**ffn_cfg)

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens of shape (N, L, C) to the same shape; never writes into ``x``."""
        if self.with_cp and torch.is_grad_enabled() and x.requires_grad:
            return checkpoint(self._forward, x, use_reentrant=False)
        return self._forward(x)

    def _forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.ffn(self.norm2(x))


def stochastic_depth_rates(last_rate: float, num_layers: int) -> list[float]:
    """Return the drop-path rate of each layer: linear from 0 to ``last_rate``."""
    # On the CPU even where a model is built on the meta device, which has no numbers.
    return torch.linspace(0, last_rate, num_layers, device='cpu').tolist()
