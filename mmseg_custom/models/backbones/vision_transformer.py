"""Vision Transformer (ViT), plain and at one scale: the encoder of Segmenter.

Paper: An Image is Worth 16x16 Words (https://arxiv.org/abs/2010.11929); official code:
google-research/vision_transformer. Arguments, state-dict keys and initialisation are mmseg's
(``mmseg/models/backbones/vit.py``), and so are the numbers.

Differences from the stock class:

- faster: see :mod:`mmseg_custom.models.layers.vit_layer`; patches are cut by a reshape and
  projected by one matrix product; the outputs are channels-last views of the tokens, not copies;
- ``frozen_stages``, and errors that say what to change;
- an image smaller than a patch is refused instead of padded to one.

Kept from it: the position embedding is resized only if the *number* of patches differs from the
one it was made for. A picture of 256x1024 has as many patches of 16 as one of 512x512, so it gets
the embedding of the latter unresized, row after row.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmcv.cnn import is_norm
from mmseg.models.backbones.vit import VisionTransformer as UpstreamVisionTransformer
from torch import Tensor, nn

from mmseg_custom.checkpoints.adapt import resize_positions
from mmseg_custom.checkpoints.initialising import Pretrained
from mmseg_custom.models.layers.images import check_images
from mmseg_custom.models.layers.vit_layer import ViTLayer, stochastic_depth_rates
from mmseg_custom.registry import MODELS


@MODELS.register_module()
class VisionTransformer(UpstreamVisionTransformer):
    """mmseg's ``VisionTransformer``, faster and with frozen stages.

    Args:
        img_size: height and width in pixels that the position embedding is made for.
        patch_size: side of a patch in pixels.
        patch_pad: ``'corner'`` or ``'same'`` pads inputs to a multiple of the patch with zeros
            (below and right, or on all sides); a number is the convolution's own padding.
        in_channels: channels of the input image.
        rgb_channels: which of them are red, green and blue, for weights that are loaded from a
            network of pictures with these three; ``None`` where it is not known.
        embed_dims: channels of a token.
        num_layers: depth.
        num_heads: attention heads; divides ``embed_dims``.
        mlp_ratio: hidden channels of the feed-forward branch over ``embed_dims``.
        out_indices: layers whose tokens are returned; -1 is the last.
        drop_path_rate: stochastic depth of the last layer; it grows linearly from 0.
        frozen_stages: -1 freezes nothing; 0 the patch and position embedding; ``n`` also the first
            ``n`` layers; ``num_layers`` also the final norm. Frozen parts stay in eval mode.
        **kwargs: ``out_origin``, ``qkv_bias``, ``drop_rate``, ``attn_drop_rate``,
            ``with_cls_token``, ``output_cls_token``, ``norm_cfg``, ``act_cfg``, ``patch_norm``,
            ``patch_bias``, ``pre_norm``, ``final_norm``, ``interpolate_mode``, ``num_fcs``,
            ``norm_eval``, ``with_cp``, ``frozen_exclude``, ``pretrained`` and ``init_cfg`` as in
            mmseg's class.

    Raises:
        ValueError: ``num_heads``, ``out_indices``, ``img_size`` or ``frozen_stages`` do not fit.
    """

    def __init__(
        self,
        img_size: int | Sequence[int] = 224,
        patch_size: int = 16,
        *,
        embed_dims: int = 768,
        num_layers: int = 12,
        num_heads: int = 12,
        mlp_ratio: int = 4,
        out_indices: int | Sequence[int] = -1,
        drop_path_rate: float = 0.0,
        frozen_stages: int = -1,
        rgb_channels: Sequence[int] | None = None,
        **kwargs,
    ):
        img_size = _checked_img_size(img_size)
        out_indices = _checked_out_indices(out_indices, num_layers)
        if not -1 <= frozen_stages <= num_layers:
            raise ValueError(
                f'frozen_stages must lie in -1..num_layers, got {frozen_stages} with '
                f'num_layers={num_layers}; set frozen_stages={num_layers} to freeze everything'
            )
        # The stock constructor builds everything but its own, slower layers.
        super().__init__(
            img_size=img_size,
            patch_size=patch_size,
            embed_dims=embed_dims,
            num_layers=0,
            out_indices=out_indices,
            **kwargs,
        )
        passed_on = (
            'attn_drop_rate',
            'drop_rate',
            'num_fcs',
            'qkv_bias',
            'act_cfg',
            'norm_cfg',
            'with_cp',
        )
        shared = {name: kwargs[name] for name in passed_on if name in kwargs}
        self.layers.extend(
            ViTLayer(embed_dims, num_heads, mlp_ratio * embed_dims, drop_path_rate=rate, **shared)
            for rate in stochastic_depth_rates(drop_path_rate, num_layers)
        )
        self.frozen_stages, self.rgb_channels = frozen_stages, rgb_channels
        self._freeze()
        self._freeze_stages()

    def init_weights(self) -> None:
        """Initialise as upstream does; ``Pretrained`` takes checkpoints of any known source.

        Other entries of ``init_cfg`` beside it have no effect: it fills every parameter.
        """
        configs = self.init_cfg if isinstance(self.init_cfg, list | tuple) else [self.init_cfg]
        config = next((one for one in configs if one and one.get('type') == 'Pretrained'), None)
        if config is None:
            super().init_weights()
            return
        Pretrained(**{key: value for key, value in config.items() if key != 'type'})(self)
        # mmengine would warn of a second initialisation.
        self.is_init = True

    def forward(self, inputs: Tensor) -> tuple[Tensor | list[Tensor], ...]:
        """Encode a batch of images.

        Args:
            inputs: float images of shape (N, C, H, W), normalised.

        Returns:
            One map of shape (N, embed_dims, ceil(H / patch), ceil(W / patch)) per layer in
            ``out_indices``, after the embedded patches if ``out_origin``; a channels-last view of
            the tokens. With ``output_cls_token`` each is ``[map, class token of (N, C)]``.

        Raises:
            ValueError: the images have other channels than ``in_channels`` or are smaller than a
                patch.
        """
        patches, grid = self._embed_patches(inputs)
        cls_tokens = self.cls_token.expand(patches.shape[0], -1, -1)
        x = self._pos_embeding(torch.cat((cls_tokens, patches), dim=1), grid, self.pos_embed)
        if not self.with_cls_token:
            x = x[:, 1:]
        if self.pre_norm:
            x = self.pre_ln(x)
        outs = [self._to_output(x, grid)] if self.out_origin else []
        for index, layer in enumerate(self.layers[: max(self.out_indices, default=-1) + 1]):
            x = layer(x)
            if self.final_norm and index == len(self.layers) - 1:
                x = self.norm1(x)
            if index in self.out_indices:
                outs.append(self._to_output(x, grid))
        return tuple(outs)

    def _embed_patches(self, image: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Turn images (N, C, H, W) into tokens (N, h * w, embed_dims) and the grid (h, w)."""
        embed, conv = self.patch_embed, self.patch_embed.projection
        side = self.patch_size
        check_images(image, conv.in_channels)
        # Not min(), which an export for all sizes could not decide.
        if any(length < side for length in image.shape[2:]):
            raise ValueError(
                f'an image of {image.shape[2]}x{image.shape[3]} pixels is smaller than a patch of '
                f'{side}x{side}; enlarge or pad the image, or set a smaller backbone.patch_size'
            )
        image = self._pad(image)
        batch, channels, height, width = image.shape
        h, w = height // side, width // side
        # Patches do not overlap, so the convolution is one matrix product over their pixels.
        pixels = image[:, :, : h * side, : w * side].reshape(batch, channels, h, side, w, side)
        pixels = pixels.permute(0, 2, 4, 1, 3, 5).reshape(batch, h * w, -1)
        tokens = F.linear(pixels, conv.weight.flatten(1), conv.bias)
        return tokens if embed.norm is None else embed.norm(tokens), (h, w)

    def _pad(self, image: Tensor) -> Tensor:
        """Pad images (N, C, H, W) as ``patch_pad`` says."""
        adaptive, (vertical, horizontal) = (
            self.patch_embed.adap_padding,
            self.patch_embed.projection.padding,
        )
        pads = (horizontal, horizontal, vertical, vertical)
        if adaptive is not None:
            side = self.patch_size
            # Not of negative numbers, which ONNX rounds towards zero.
            below, right = ((n + side - 1) // side * side - n for n in image.shape[2:])
            top, left = (below // 2, right // 2) if adaptive.padding == 'same' else (0, 0)
            pads = (left, right - left, top, below - top)
        # In an export a size is a symbol, and so is what it lacks to a multiple.
        needless = all(isinstance(pad, int) and pad == 0 for pad in pads)
        return image if needless else F.pad(image, pads)

    def _pos_embeding(
        self, patched_img: Tensor, hw_shape: tuple[int, int], pos_embed: Tensor
    ) -> Tensor:
        """Add the position embedding to tokens (N, 1 + h * w, C), as upstream does."""
        if isinstance(hw_shape[0], int):
            return super()._pos_embeding(patched_img, hw_shape, pos_embed)
        # An export for all sizes cannot ask whether there are as many patches as positions.
        old_grid = [side // self.patch_size for side in self.img_size]
        resized = self.resize_pos_embed(pos_embed, hw_shape, old_grid, self.interpolate_mode)
        length, old_length = patched_img.shape[1], pos_embed.shape[1]
        places = torch.arange(length, device=pos_embed.device).clamp(max=old_length - 1)
        as_many = torch.full((), length, device=pos_embed.device) == old_length
        positions = torch.where(as_many, pos_embed[:, places], resized)
        return self.drop_after_pos(patched_img + positions)

    @staticmethod
    def resize_pos_embed(
        pos_embed: Tensor, input_shpae: Sequence[int], pos_shape: Sequence[int], mode: str
    ) -> Tensor:
        """Resize a position embedding to another grid; the class token's stays as it is.

        Args:
            pos_embed: float tensor of shape (1, 1 + pos_h * pos_w, C), the class token first.
            input_shpae: the wanted grid (h, w) in patches; upstream's spelling.
            pos_shape: the present grid (pos_h, pos_w) in patches.
            mode: interpolation as in :func:`torch.nn.functional.interpolate`.

        Returns:
            Tensor of shape (1, 1 + h * w, C).

        Raises:
            ValueError: ``pos_embed`` does not have ``1 + pos_h * pos_w`` positions.
        """
        return resize_positions(pos_embed, pos_shape, input_shpae, mode)

    def _to_output(self, x: Tensor, grid: tuple[int, int]) -> Tensor | list[Tensor]:
        """View tokens (N, L, C) as a channels-last map (N, C, h, w)."""
        tokens = x[:, 1:] if self.with_cls_token else x
        out = tokens.unflatten(1, grid).permute(0, 3, 1, 2)
        return [out, x[:, 0]] if self.output_cls_token else out

    def _freeze_stages(self) -> None:
        """Take the parameters of the frozen stages out of training."""
        for part in self._frozen_parts():
            part.requires_grad_(False)

    def _frozen_parts(self) -> list[nn.Module | nn.Parameter]:
        if self.frozen_stages < 0:
            return []
        parts = [self.patch_embed, self.cls_token, self.pos_embed, self.drop_after_pos]
        if self.pre_norm:
            parts.append(self.pre_ln)
        parts += self.layers[: self.frozen_stages]
        if self.final_norm and self.frozen_stages == len(self.layers):
            parts.append(self.norm1)
        return parts

    def train(self, mode: bool = True):
        """Switch to training mode, but for frozen stages and, with ``norm_eval``, norm layers."""
        nn.Module.train(self, mode)
        if mode and self.norm_eval:
            for module in self.modules():
                if is_norm(module):
                    module.eval()
        for part in self._frozen_parts():
            if isinstance(part, nn.Module):
                part.eval()
        return self


def _checked_img_size(img_size: int | Sequence[int]) -> tuple[int, int]:
    sizes = (img_size,) if isinstance(img_size, int) else tuple(img_size)
    if len(sizes) not in (1, 2):
        raise ValueError(
            f'img_size must be one number or (height, width), got {img_size}; set img_size=224'
        )
    return sizes[0], sizes[-1]


def _checked_out_indices(out_indices: int | Sequence[int], num_layers: int) -> list[int]:
    if isinstance(out_indices, int):
        out_indices = [num_layers - 1 if out_indices == -1 else out_indices]
    wrong = [index for index in out_indices if not 0 <= index < num_layers]
    if wrong:
        raise ValueError(
            f'out_indices must lie in 0..{num_layers - 1} (or be -1), got {wrong} with '
            f'num_layers={num_layers}; set out_indices={num_layers - 1}'
        )
    return list(out_indices)
