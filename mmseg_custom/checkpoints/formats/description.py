"""What a checkpoint is: the words of every report and message about weights."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields

from torch import Tensor

# Depths and width of the first stage; SegFormer's paper, table 6.
MIT_SIZES = {
    'B0': ((2, 2, 2, 2), 32),
    'B1': ((2, 2, 2, 2), 64),
    'B2': ((3, 4, 6, 3), 64),
    'B3': ((3, 4, 18, 3), 64),
    'B4': ((3, 8, 27, 3), 64),
    'B5': ((3, 6, 40, 3), 64),
}
# Depth and width.
VIT_SIZES = {'Ti': (12, 192), 'S': (12, 384), 'B': (12, 768), 'L': (24, 1024)}
HEADS = {
    'conv': "OpenMMLab's convolution decoder",
    'mlp': "the authors' MLP decoder",
    'mask': 'the mask decoder',
    'linear': 'the linear decoder',
    'classification': 'a classifier',
    'other': 'another decoder',
}
IMAGENET_CLASSES = {1000: 'ImageNet', 21841: 'ImageNet-21k', 21843: 'ImageNet-21k'}


@dataclass
class Description:
    """What a checkpoint, or a model, is.

    Attributes:
        source: whose format: ``NVlabs``, ``Hugging Face`` ...
        family: ``mit``, ``vit`` or None where it is neither.
        depths: layers of each stage; one number for a ViT.
        dims: channels of each stage; one number for a ViT.
        heads: attention heads of each stage.
        patch_size: side of a ViT's patch in pixels; of the first stage's for MiT.
        strides: distance between the patches of each stage of MiT; empty where it is not said.
        in_channels: channels of the input image.
        head: ``conv``, ``mlp``, ``mask``, ``linear``, ``classification`` or None.
        width: channels of the decoder.
        decoder_heads: attention heads of the mask decoder.
        num_classes: of the head.
        eps: of the layer norms, by ``patch_norm`` and ``sr_norm`` (MiT), ``norm`` (the other norms
            of the backbone) and ``head_norm``; empty where the file does not tell.
        classes: names of the classes.
        palette: their colours, (red, green, blue) in 0..255.
        mean: subtracted from pixels in 0..255, in the order of the channels.
        std: by which they are divided then.
        channel_order: of the pictures that the network takes, ``rgb`` or ``bgr``; None is ``rgb``.
        image_size: height and width in pixels that a ViT's positions are made for, or that MiT was
            trained or is tested with; None where it is not said.
        reduce_labels: whether label 0 is ignored and the others count from 1.
    """

    source: str = ''
    family: str | None = None
    depths: tuple[int, ...] = ()
    dims: tuple[int, ...] = ()
    heads: tuple[int, ...] = ()
    patch_size: int | None = None
    strides: tuple[int, ...] = ()
    in_channels: int | None = None
    head: str | None = None
    width: int | None = None
    decoder_heads: int | None = None
    num_classes: int | None = None
    eps: dict[str, float] = field(default_factory=dict)
    classes: tuple[str, ...] | None = None
    palette: tuple[tuple[int, ...], ...] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    channel_order: str | None = None
    image_size: tuple[int, int] | None = None
    reduce_labels: bool | None = None

    @property
    def size(self) -> str:
        """Name of the backbone: ``MiT-B2``, ``ViT-L/16``, else its depths and widths."""
        if self.family == 'mit':
            name = _name_in(MIT_SIZES, (self.depths, self.dims[0]))
            return f'MiT-{name}' if name else f'MiT of depths {self.depths} and widths {self.dims}'
        if self.family == 'vit':
            depth, width = self.depths[0], self.dims[0]
            name = _name_in(VIT_SIZES, (depth, width))
            shape = f'-{name}' if name else f' of depth {depth} and width {width}'
            return f'ViT{shape}/{self.patch_size}'
        return 'a network of another kind'

    @property
    def has_decoder(self) -> bool:
        """Whether it predicts a class for every pixel."""
        return self.head is not None and self.head != 'classification'

    @property
    def kind(self) -> str:
        """One phrase: ``ImageNet MiT-B5 backbone of NVlabs, no decoder``."""
        source = f' of {self.source}' if self.source else ''
        if self.family is None:
            return f'weights{source} of an unknown network'
        if not self.has_decoder:
            trained = IMAGENET_CLASSES.get(self.num_classes, '')
            return f'{trained} {self.size} backbone{source}, no decoder'.strip()
        width = f' {self.width} wide' if self.width and self.head in ('conv', 'mlp') else ''
        classes = f' for {self.num_classes} classes' if self.num_classes else ''
        return f'{self.size} segmentor{source} with {HEADS[self.head]}{width}{classes}'

    def as_dict(self) -> dict:
        """Plain numbers, strings and lists, for a file's metadata."""
        return {key: value for key, value in asdict(self).items() if value not in (None, (), {})}

    @classmethod
    def from_dict(cls, values: Mapping) -> 'Description':
        """The inverse of :meth:`as_dict`; lists become tuples, unknown keys are left out."""
        known = {f.name for f in fields(cls)}
        return cls(**{key: _tuples(value) for key, value in values.items() if key in known})


def _name_in(table: Mapping[str, tuple], size: tuple) -> str | None:
    return next((name for name, known in table.items() if known == size), None)


def check_side_file(name: str, said: Mapping, found: Mapping) -> None:
    """Compare what a file beside the weights says with what the tensors are.

    Args:
        name: of the small file.
        said: its values; what it does not have is not compared.
        found: the tensors' values by the same names; None where they do not tell.

    Raises:
        ValueError: it belongs to other weights.
    """
    for key, value in found.items():
        claimed = _tuples(said.get(key))
        if None not in (claimed, value) and claimed != value:
            raise ValueError(
                f'{name} has {key}: {said[key]}, but the tensors have '
                f'{list(value) if isinstance(value, tuple) else value}; take the {name} of this '
                'checkpoint'
            )


def check_heads(heads: tuple[int, ...], dims: tuple[int, ...], name: str) -> None:
    """Raise ``ValueError`` where the channels of a stage cannot be split into that many heads."""
    fits = len(heads) == len(dims) and all(
        isinstance(number, int) and number > 0 and dim % number == 0
        for number, dim in zip(heads, dims, strict=True)
    )
    if not fits:
        raise ValueError(
            f'{name} has {list(heads)} attention heads, but the tensors have {list(dims)} '
            f'channels, which they do not divide; take the {name} of this checkpoint'
        )


def _tuples(value):
    return tuple(_tuples(item) for item in value) if isinstance(value, list | tuple) else value


@dataclass
class Weights:
    """Parameters in our names and what they are.

    Attributes:
        state_dict: parameters by the names of a segmentor here: ``backbone.*``, ``decode_head.*``,
            or ``head.*`` for a classifier.
        description: what they are.
        ignored: names that the source has but does not use itself, or that have no counterpart
            here.
        notes: what was changed beside names and layout.
        meta: ``meta`` of an OpenMMLab file.
        name: how messages call the file.
        content: everything the file holds, in its own form.
    """

    state_dict: dict[str, Tensor]
    description: Description
    ignored: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    meta: dict = field(default_factory=dict)
    name: str = ''
    content: dict = field(default_factory=dict)
