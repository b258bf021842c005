"""Segmenter's mask transformer: classes are tokens, masks are products of patches and classes.

Paper: Segmenter: Transformer for Semantic Segmentation (https://arxiv.org/abs/2105.05633);
official code: rstrudel/segmenter. Arguments, state-dict keys, initialisation and numbers are those
of mmseg's ``segmenter_mask_head.py``. Differences: faster layers
(:mod:`mmseg_custom.models.layers.vit_layer`), no copies between tokens and maps, errors that say
what to change, and one output channel that can be trained.

The masks' LayerNorm runs over the classes. Of one class it leaves its bias, whatever the picture
shows; of two it leaves the sign of their difference. With ``out_channels=1`` there is one class
token, and its cosine similarity to each patch is scaled and shifted by learned numbers instead.

Every LayerNorm's eps comes from ``norm_cfg`` (1e-5 unless it says otherwise, also in the official
code); the backbone's own eps is 1e-6 in mmseg's Segmenter configs.
"""

import warnings

import torch
import torch.nn.functional as F
from mmcv.cnn import build_norm_layer
from mmengine.model import ModuleList
from mmengine.model.weight_init import constant_init, trunc_normal_, trunc_normal_init
from torch import Tensor, nn

from mmseg_custom.models.decode_heads.decode_head import DecodeHead
from mmseg_custom.models.layers.vit_layer import ViTLayer, stochastic_depth_rates
from mmseg_custom.registry import MODELS


class SimilarityScale(nn.Module):
    """A learned scale and shift of cosine similarities, which makes them logits.

    Its two parameters of shape (1,) have the names of a norm's.
    """

    # Similarities lie in -1..1: with a scale of 1 no probability could leave 0.27..0.73.
    INITIAL_SCALE = 10.0

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(1))
        self.bias = nn.Parameter(torch.empty(1))
        self.reset()

    def reset(self, bias: float = 0.0) -> None:
        """Initialise."""
        nn.init.constant_(self.weight, self.INITIAL_SCALE)
        nn.init.constant_(self.bias, bias)

    def forward(self, similarities: Tensor) -> Tensor:
        """From similarities of any shape to logits of the same shape."""
        return similarities * self.weight + self.bias


@MODELS.register_module()
class SegmenterMaskTransformerHead(DecodeHead):
    """mmseg's ``SegmenterMaskTransformerHead``, faster.

    Args:
        in_channels: channels of the backbone's map.
        num_layers: depth.
        num_heads: attention heads; divides ``embed_dims``.
        embed_dims: channels of a token.
        mlp_ratio: hidden channels of the feed-forward branch over ``embed_dims``.
        drop_path_rate: stochastic depth of the last layer; it grows linearly from 0.
        drop_rate: dropout after attention and in the feed-forward branch.
        attn_drop_rate: dropout of attention weights.
        num_fcs: linear layers in a feed-forward branch.
        qkv_bias: whether attention's projections have a bias.
        act_cfg: activation of the feed-forward branch.
        norm_cfg: norm layers, with their ``eps``.
        init_std: standard deviation of the truncated normal initialisation.
        **kwargs: as in :class:`DecodeHead`; ``channels`` and ``dropout_ratio`` are unused.

    Raises:
        ValueError: ``num_heads`` does not divide ``embed_dims``, or several maps are asked for with
            ``input_transform``.
    """

    def __init__(
        self,
        in_channels: int,
        num_layers: int,
        num_heads: int,
        embed_dims: int,
        mlp_ratio: int = 4,
        drop_path_rate: float = 0.1,
        drop_rate: float = 0.0,
        attn_drop_rate: float = 0.0,
        num_fcs: int = 2,
        qkv_bias: bool = True,
        act_cfg: dict = dict(type='GELU'),  # noqa: B006
        norm_cfg: dict = dict(type='LN'),  # noqa: B006
        init_std: float = 0.02,
        **kwargs,
    ):
        super().__init__(in_channels=in_channels, **kwargs)
        self.layers = ModuleList(
            ViTLayer(
                embed_dims,
                num_heads,
                mlp_ratio * embed_dims,
                attn_drop_rate=attn_drop_rate,
                drop_rate=drop_rate,
                drop_path_rate=rate,
                num_fcs=num_fcs,
                qkv_bias=qkv_bias,
                act_cfg=act_cfg,
                norm_cfg=norm_cfg,
            )
            for rate in stochastic_depth_rates(drop_path_rate, num_layers)
        )
        self.dec_proj = nn.Linear(in_channels, embed_dims)
        self.cls_emb = nn.Parameter(torch.randn(1, self.out_channels, embed_dims))
        self.patch_proj = nn.Linear(embed_dims, embed_dims, bias=False)
        self.classes_proj = nn.Linear(embed_dims, embed_dims, bias=False)
        self.decoder_norm = build_norm_layer(norm_cfg, embed_dims)[1]
        if self.out_channels == 2:
            warnings.warn(
                'of two classes the mask decoder keeps the sign of a difference only and may '
                'stay at one of them; set --cfg-options task=binary (docs/binary.md)',
                stacklevel=2,
            )
        if self.out_channels == 1:
            self.mask_norm = SimilarityScale()
        else:
            self.mask_norm = build_norm_layer(norm_cfg, self.out_channels)[1]
        self.init_std = init_std
        del self.conv_seg

    def init_weights(self) -> None:
        """Initialise as the official code does; ``init_cfg`` is not used."""
        trunc_normal_(self.cls_emb, std=self.init_std)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                trunc_normal_init(module, std=self.init_std, bias=0)
            elif isinstance(module, nn.LayerNorm):
                constant_init(module, val=1.0, bias=0.0)
        if self.out_channels == 1:
            self.mask_norm.reset(self.prior_logit)

    def forward(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """Compute the masks of all classes.

        Args:
            inputs: the backbone's float maps; the one at ``in_index`` of shape (N, C, h, w).

        Returns:
            Logits of shape (N, out_channels, h, w), a channels-last view.

        Raises:
            ValueError: the map has other channels than ``in_channels``.
        """
        x = self._transform_inputs(inputs)
        grid = x.shape[2:]
        x = self.dec_proj(x.flatten(2).transpose(1, 2))
        x = torch.cat((x, self.cls_emb.expand(x.shape[0], -1, -1)), dim=1)
        for layer in self.layers:
            x = layer(x)
        x = self.decoder_norm(x)
        patches, classes = x[:, : -self.out_channels], x[:, -self.out_channels :]
        patches = F.normalize(self.patch_proj(patches), dim=2)
        classes = F.normalize(self.classes_proj(classes), dim=2)
        masks = self.mask_norm(patches @ classes.transpose(1, 2))
        return masks.unflatten(1, grid).permute(0, 3, 1, 2)
