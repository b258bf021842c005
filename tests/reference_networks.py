"""Plain networks under the official parameter names of NVlabs, timm and rstrudel.

Written from the papers and the official sources' facts (names, epsilons, order of concatenation),
with none of our layers, as the references of the converters.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

DIMS, HEADS, REDUCTIONS = (8, 16, 40, 64), (1, 2, 5, 8), (8, 4, 2, 1)


def attend(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    """Softmax attention of tokens (N, L, C), written out."""
    split = [tokens.unflatten(2, (heads, -1)).transpose(1, 2) for tokens in (query, key, value)]
    weights = split[0] @ split[1].transpose(2, 3) * split[0].shape[3] ** -0.5
    return (weights.softmax(dim=3) @ split[2]).transpose(1, 2).flatten(2)


class PatchEmbedding(nn.Module):
    def __init__(self, in_channels: int, channels: int, side: int, stride: int):
        super().__init__()
        self.proj = nn.Conv2d(in_channels, channels, side, stride, side // 2)
        self.norm = nn.LayerNorm(channels, eps=1e-5)


class ReducedAttention(nn.Module):
    def __init__(self, channels: int, heads: int, reduction: int):
        super().__init__()
        self.heads = heads
        self.q, self.kv = nn.Linear(channels, channels), nn.Linear(channels, 2 * channels)
        self.proj = nn.Linear(channels, channels)
        if reduction > 1:
            self.sr = nn.Conv2d(channels, channels, reduction, reduction)
            self.norm = nn.LayerNorm(channels, eps=1e-5)

    def forward(self, x: Tensor, size: torch.Size) -> Tensor:
        reduced = x
        if hasattr(self, 'sr'):
            reduced = self.sr(x.transpose(1, 2).unflatten(2, size)).flatten(2).transpose(1, 2)
            reduced = self.norm(reduced)
        return self.proj(attend(self.q(x), *self.kv(reduced).chunk(2, dim=2), self.heads))


class DepthWise(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.dwconv = nn.Conv2d(channels, channels, 3, 1, 1, groups=channels)


class MixFeedForward(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(channels, 4 * channels), nn.Linear(4 * channels, channels)
        self.dwconv = DepthWise(4 * channels)

    def forward(self, x: Tensor, size: torch.Size) -> Tensor:
        hidden = self.fc1(x).transpose(1, 2).unflatten(2, size)
        return self.fc2(F.gelu(self.dwconv.dwconv(hidden).flatten(2).transpose(1, 2)))


class MixBlock(nn.Module):
    def __init__(self, channels: int, heads: int, reduction: int):
        super().__init__()
        self.norm1 = nn.LayerNorm(channels, eps=1e-6)
        self.attn = ReducedAttention(channels, heads, reduction)
        self.norm2 = nn.LayerNorm(channels, eps=1e-6)
        self.mlp = MixFeedForward(channels)

    def forward(self, x: Tensor, size: torch.Size) -> Tensor:
        x = x + self.attn(self.norm1(x), size)
        return x + self.mlp(self.norm2(x), size)


class NVlabsMiT(nn.Module):
    """MiT with NVlabs' names; with ``num_classes`` also ImageNet's ``head``."""

    def __init__(self, dims=DIMS, depths=(1, 1, 1, 1), num_classes: int | None = None):
        super().__init__()
        channels = 3
        for number, (dim, depth) in enumerate(zip(dims, depths, strict=True), start=1):
            side, stride = (7, 4) if number == 1 else (3, 2)
            embedding = PatchEmbedding(channels, dim, side, stride)
            self.add_module(f'patch_embed{number}', embedding)
            stage = (dim, HEADS[number - 1], REDUCTIONS[number - 1])
            blocks = nn.ModuleList(MixBlock(*stage) for _ in range(depth))
            self.add_module(f'block{number}', blocks)
            self.add_module(f'norm{number}', nn.LayerNorm(dim, eps=1e-6))
            channels = dim
        if num_classes:
            self.head = nn.Linear(channels, num_classes)

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = []
        for number in (1, 2, 3, 4):
            embedding = getattr(self, f'patch_embed{number}')
            x = embedding.proj(x)
            size = x.shape[2:]
            x = embedding.norm(x.flatten(2).transpose(1, 2))
            for block in getattr(self, f'block{number}'):
                x = block(x, size)
            x = getattr(self, f'norm{number}')(x).transpose(1, 2).unflatten(2, size)
            maps.append(x)
        return maps


class Projection(nn.Module):
    def __init__(self, channels: int, width: int):
        super().__init__()
        self.proj = nn.Linear(channels, width)


class ConvNorm(nn.Module):
    def __init__(self, channels: int, width: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, width, 1, bias=False)
        self.bn = nn.BatchNorm2d(width)


class NVlabsDecoder(nn.Module):
    def __init__(self, dims, width: int, num_classes: int):
        super().__init__()
        for number, dim in enumerate(dims, start=1):
            self.add_module(f'linear_c{number}', Projection(dim, width))
        self.linear_fuse = ConvNorm(4 * width, width)
        self.linear_pred = nn.Conv2d(width, num_classes, 1)
        # Inherited there, never called.
        self.conv_seg = nn.Conv2d(128, num_classes, 1)

    def forward(self, maps: list[Tensor]) -> Tensor:
        levels = []
        for number in (4, 3, 2, 1):
            level = maps[number - 1]
            projected = getattr(self, f'linear_c{number}').proj(level.flatten(2).transpose(1, 2))
            projected = projected.transpose(1, 2).unflatten(2, level.shape[2:])
            size = maps[0].shape[2:]
            levels.append(F.interpolate(projected, size, mode='bilinear', align_corners=False))
        fused = self.linear_fuse.bn(self.linear_fuse.conv(torch.cat(levels, dim=1)))
        return self.linear_pred(fused.relu())


class NVlabsSegFormer(nn.Module):
    """SegFormer with NVlabs' names."""

    def __init__(self, dims=DIMS, depths=(1, 1, 1, 1), width: int = 12, num_classes: int = 5):
        super().__init__()
        self.backbone = NVlabsMiT(dims, depths)
        self.decode_head = NVlabsDecoder(dims, width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.decode_head(self.backbone(x))


class JointAttention(nn.Module):
    def __init__(self, channels: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(channels, 3 * channels), nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(attend(*self.qkv(x).chunk(3, dim=2), self.heads))


class FeedForward(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(channels, 4 * channels), nn.Linear(4 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    def __init__(self, channels: int, heads: int, eps: float):
        super().__init__()
        self.norm1, self.norm2 = (nn.LayerNorm(channels, eps=eps) for _ in range(2))
        self.attn, self.mlp = JointAttention(channels, heads), FeedForward(channels)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class PatchProjection(nn.Module):
    def __init__(self, channels: int, side: int):
        super().__init__()
        self.proj = nn.Conv2d(3, channels, side, side)


class TimmViT(nn.Module):
    """ViT with timm's names (rstrudel's encoder has them, too); returns all normed tokens."""

    def __init__(self, channels=24, depth=2, heads=3, side=8, image=32, eps=1e-6, num_classes=10):
        super().__init__()
        self.cls_token = nn.Parameter(torch.randn(1, 1, channels))
        self.pos_embed = nn.Parameter(torch.randn(1, 1 + (image // side) ** 2, channels))
        self.patch_embed = PatchProjection(channels, side)
        self.blocks = nn.Sequential(*(Block(channels, heads, eps) for _ in range(depth)))
        self.norm = nn.LayerNorm(channels, eps=eps)
        self.head = nn.Linear(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch_embed.proj(x).flatten(2).transpose(1, 2)
        x = torch.cat((self.cls_token.expand(len(x), -1, -1), x), dim=1) + self.pos_embed
        return self.norm(self.blocks(x))


class MaskDecoder(nn.Module):
    def __init__(self, channels: int, heads: int, depth: int, num_classes: int):
        super().__init__()
        self.blocks = nn.ModuleList(Block(channels, heads, 1e-5) for _ in range(depth))
        self.cls_emb = nn.Parameter(torch.randn(1, num_classes, channels))
        self.proj_dec = nn.Linear(channels, channels)
        self.proj_patch = nn.Parameter(torch.randn(channels, channels) * channels**-0.5)
        self.proj_classes = nn.Parameter(torch.randn(channels, channels) * channels**-0.5)
        self.decoder_norm = nn.LayerNorm(channels)
        self.mask_norm = nn.LayerNorm(num_classes)

    def forward(self, x: Tensor) -> Tensor:
        count = self.cls_emb.shape[1]
        x = torch.cat((self.proj_dec(x), self.cls_emb.expand(len(x), -1, -1)), dim=1)
        for block in self.blocks:
            x = block(x)
        x = self.decoder_norm(x)
        patches, classes = x[:, :-count] @ self.proj_patch, x[:, -count:] @ self.proj_classes
        patches = patches / patches.norm(dim=2, keepdim=True)
        classes = classes / classes.norm(dim=2, keepdim=True)
        return self.mask_norm(patches @ classes.transpose(1, 2))


class LinearDecoder(nn.Module):
    def __init__(self, channels: int, num_classes: int):
        super().__init__()
        self.head = nn.Linear(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x)


class RstrudelSegmenter(nn.Module):
    """Segmenter with rstrudel's names; logits (N, K, h, w) at the resolution of the patches."""

    def __init__(self, decoder='mask', num_classes=5, encoder_classes=7, **encoder):
        super().__init__()
        sizes = {'channels': 24, 'heads': 3, **encoder}
        self.encoder = TimmViT(**sizes, eps=1e-5, num_classes=encoder_classes)
        channels, heads = sizes['channels'], sizes['heads']
        self.decoder = (
            MaskDecoder(channels, heads, 2, num_classes)
            if decoder == 'mask'
            else LinearDecoder(channels, num_classes)
        )

    def forward(self, x: Tensor) -> Tensor:
        masks = self.decoder(self.encoder(x)[:, 1:])
        side = round(masks.shape[1] ** 0.5)
        return masks.transpose(1, 2).unflatten(2, (side, side))


def randomised(network: nn.Module, seed: int = 0) -> nn.Module:
    """Give norms other scales, shifts and statistics, and all weights a spread that shows."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            spread = 0.3 if parameter.ndim < 2 else 1.5 / parameter[0].numel() ** 0.5
            parameter.add_(torch.randn_like(parameter) * spread)
        for name, buffer in network.named_buffers():
            if name.endswith(('running_mean', 'running_var')):
                buffer.add_(torch.rand_like(buffer))
    network.eval()
    return network
