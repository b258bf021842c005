"""Mix Vision Transformer (MiT), the hierarchical encoder of SegFormer.

Paper: SegFormer (https://arxiv.org/abs/2105.15203), B0-B5 in table 6; official code:
NVlabs/SegFormer, ``mmseg/models/backbones/mix_transformer.py``. Arguments, state-dict keys and
initialisation are mmseg's (``mmseg/models/backbones/mit.py``), and so are the numbers.

Differences from the stock class:

- faster and smaller in memory: see :mod:`mmseg_custom.models.layers.mit_layer`;
- the norms after patch embeddings and spatial reductions can have an eps of their own. The official
  code uses 1e-5 there and 1e-6 elsewhere, Hugging Face 1e-5 everywhere, mmseg 1e-6 everywhere; a
  checkpoint does not say which;
- ``frozen_stages``, and errors that say what to change.
"""

from collections.abc import Sequence

import torch
from mmcv.cnn import build_norm_layer
from mmseg.models.backbones.mit import MixVisionTransformer as UpstreamMixVisionTransformer
from torch import Tensor

from mmseg_custom.models.layers.images import check_images
from mmseg_custom.models.layers.mit_layer import MiTLayer
from mmseg_custom.models.layers.token_map import to_map, to_tokens
from mmseg_custom.registry import MODELS


@MODELS.register_module()
class MixVisionTransformer(UpstreamMixVisionTransformer):
    """mmseg's ``MixVisionTransformer``, faster, with frozen stages and an eps per kind of norm.

    Args:
        in_channels: channels of the input image.
        rgb_channels: which of them are red, green and blue, for weights that are loaded from a
            network of pictures with these three; ``None`` where it is not known.
        embed_dims: channels per attention head; stage ``i`` has ``embed_dims * num_heads[i]``.
        num_stages: number of stages.
        num_layers: transformer layers of each stage.
        num_heads: attention heads of each stage.
        patch_sizes: side of each stage's overlapping patches.
        strides: distance between the patches of each stage.
        sr_ratios: spatial reduction of keys and values in each stage.
        out_indices: stages whose maps are returned.
        mlp_ratio: hidden channels of the feed-forward branches over the stage's channels.
        qkv_bias: whether the attention's projections have a bias.
        drop_rate: dropout of the attention's output and in the feed-forward branches.
        attn_drop_rate: dropout of the attention weights.
        drop_path_rate: stochastic depth of the last layer; it grows linearly from 0.
        act_cfg: activation of the feed-forward branches.
        norm_cfg: all norms that the next two do not name.
        patch_norm_cfg: the norm after each patch embedding; ``None`` means ``norm_cfg``.
        sr_norm_cfg: the norm after each spatial reduction; ``None`` means ``norm_cfg``.
        frozen_stages: index of the last stage that is not trained: its parameters, and those of
            the stages before, have no gradient and it stays in eval mode; -1 trains all.
        pretrained: deprecated in upstream; ``init_cfg`` says the same.
        init_cfg: initialisation as in mmengine; ``dict(type='Pretrained', checkpoint=...)`` takes a
            name, link or path of weights of any known source (docs/weights.md).
        with_cp: recompute activations in the backward pass instead of keeping them.

    Raises:
        ValueError: lengths of the lists, heads, ``out_indices`` or ``frozen_stages`` do not fit.
    """

    def __init__(
        self,
        in_channels: int = 3,
        embed_dims: int = 64,
        num_stages: int = 4,
        num_layers: Sequence[int] = (3, 4, 6, 3),
        num_heads: Sequence[int] = (1, 2, 4, 8),
        patch_sizes: Sequence[int] = (7, 3, 3, 3),
        strides: Sequence[int] = (4, 2, 2, 2),
        sr_ratios: Sequence[int] = (8, 4, 2, 1),
        out_indices: Sequence[int] = (0, 1, 2, 3),
        mlp_ratio: int = 4,
        qkv_bias: bool = True,
        drop_rate: float = 0.0,
        attn_drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        act_cfg: dict = dict(type='GELU'),  # noqa: B006
        norm_cfg: dict = dict(type='LN', eps=1e-6),  # noqa: B006
        patch_norm_cfg: dict | None = None,
        sr_norm_cfg: dict | None = None,
        frozen_stages: int = -1,
        pretrained: str | None = None,
        init_cfg: dict | list[dict] | None = None,
        with_cp: bool = False,
        rgb_channels: Sequence[int] | None = None,
    ):
        per_stage = dict(num_layers=num_layers, num_heads=num_heads, patch_sizes=patch_sizes)
        per_stage |= dict(strides=strides, sr_ratios=sr_ratios)
        _check_arguments(num_stages, per_stage, out_indices, frozen_stages)
        # The stock constructor builds patch embeddings and norms, but not its slower layers.
        super().__init__(
            in_channels=in_channels,
            embed_dims=embed_dims,
            num_stages=num_stages,
            **{**per_stage, 'num_layers': [0] * num_stages},
            out_indices=out_indices,
            norm_cfg=norm_cfg,
            pretrained=pretrained,
            init_cfg=init_cfg,
            with_cp=with_cp,
        )
        self.num_layers, self.frozen_stages = num_layers, frozen_stages
        self.rgb_channels = rgb_channels
        self._add_layers(
            mlp_ratio,
            drop_path_rate,
            patch_norm_cfg,
            drop_rate=drop_rate,
            attn_drop_rate=attn_drop_rate,
            qkv_bias=qkv_bias,
            act_cfg=act_cfg,
            norm_cfg=norm_cfg,
            sr_norm_cfg=sr_norm_cfg,
        )
        self.min_side = _smallest_side(patch_sizes, strides, sr_ratios)
        self._frozen().requires_grad_(False).eval()

    def _add_layers(
        self, mlp_ratio: int, drop_path_rate: float, patch_norm_cfg: dict | None, **options
    ) -> None:
        """Fill the stages with our layers; ``options`` are the same for all of them."""
        # On the CPU, so that a model can be built on the meta device.
        rates = torch.linspace(0, drop_path_rate, sum(self.num_layers), device='cpu').tolist()
        for stage, (embed, layers, _) in enumerate(self.layers):
            if patch_norm_cfg is not None:
                embed.norm = build_norm_layer(patch_norm_cfg, embed.embed_dims)[1]
            for _ in range(self.num_layers[stage]):
                layer = MiTLayer(
                    embed.embed_dims,
                    self.num_heads[stage],
                    mlp_ratio * embed.embed_dims,
                    drop_path_rate=rates.pop(0),
                    sr_ratio=self.sr_ratios[stage],
                    with_cp=self.with_cp,
                    **options,
                )
                layers.append(layer)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Encode a batch of images.

        Args:
            x: float images of shape (N, in_channels, H, W), normalised.

        Returns:
            One channels-last map (N, embed_dims * num_heads[i], h, w) for each stage ``i`` in
            ``out_indices``; with the published strides h and w are H and W over 4, 8, 16 and 32,
            rounded up.

        Raises:
            ValueError: they are no batch of such images, or so small that a stage's map is smaller
                than its spatial reduction.
        """
        self._check_images(x)
        outs = []
        for stage, (embed, layers, norm) in enumerate(self.layers[: max(self.out_indices) + 1]):
            x = embed.projection(x.contiguous(memory_format=torch.channels_last))
            size = tuple(x.shape[2:])
            tokens = to_tokens(x)
            if embed.norm is not None:
                tokens = embed.norm(tokens)
            for layer in layers:
                tokens = layer(tokens, size)
            x = to_map(norm(tokens), size)
            if stage in self.out_indices:
                outs.append(x)
        return tuple(outs)

    def train(self, mode: bool = True):
        """Switch between training and eval mode; frozen stages stay in eval mode."""
        super().train(mode)
        self._frozen().eval()
        return self

    def _frozen(self):
        return self.layers[: self.frozen_stages + 1]

    def _check_images(self, x: Tensor) -> None:
        check_images(x, self.layers[0][0].projection.in_channels)
        # Not min(), which an export for all sizes could not decide.
        if any(side < self.min_side for side in x.shape[2:]):
            raise ValueError(
                f'an image of {x.shape[2]}x{x.shape[3]} pixels is too small for patch_sizes='
                f'{list(self.patch_sizes)} and sr_ratios={list(self.sr_ratios)}; enlarge or pad it '
                f'to at least {self.min_side}x{self.min_side}'
            )


def _check_arguments(
    num_stages: int, per_stage: dict, out_indices: Sequence[int], frozen_stages: int
) -> None:
    for name, values in per_stage.items():
        if len(values) != num_stages:
            raise ValueError(
                f'{name} needs one number for each of num_stages={num_stages}, got {list(values)}; '
                f'set backbone.num_stages={len(values)} or change {name}'
            )
        if min(values) < 1:
            raise ValueError(
                f'{name} must be positive in every stage, got {list(values)}; change '
                f'backbone.{name}'
            )
    if not out_indices or min(out_indices) < 0 or max(out_indices) >= num_stages:
        raise ValueError(
            f'out_indices must lie in 0..{num_stages - 1}, got {list(out_indices)} with '
            f'num_stages={num_stages}; set backbone.out_indices={tuple(range(num_stages))}'
        )
    if not -1 <= frozen_stages < num_stages:
        raise ValueError(
            f'frozen_stages must lie in -1..{num_stages - 1}, got {frozen_stages}; set '
            f'backbone.frozen_stages={num_stages - 1} to freeze all stages'
        )


def _smallest_side(
    patch_sizes: Sequence[int], strides: Sequence[int], sr_ratios: Sequence[int]
) -> int:
    """The least height and width in pixels for which every convolution has one window."""
    side = 1
    for patch_size, stride, sr_ratio in reversed(
        list(zip(patch_sizes, strides, sr_ratios, strict=True))
    ):
        side = max(side, sr_ratio)
        # Inverse of the convolution's output size with a padding of patch_size // 2.
        side = max((side - 1) * stride + patch_size - 2 * (patch_size // 2), 1)
    return max(side, patch_sizes[0])
