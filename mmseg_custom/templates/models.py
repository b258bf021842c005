"""The templates: their fields with defaults and bounds."""

from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict

from mmseg_custom.templates.fields import (
    Choice,
    FieldFacts,
    ImageSize,
    Number,
    Text,
    is_device,
)

ADE20K = 'ade20k'
NO_WEIGHTS = 'None'
OTHERS = ('background', 'ignore')
PRECISIONS = ('float32', 'auto', 'bfloat16', 'float16')
MIT_SIZES = tuple(f'mit-b{index}' for index in range(6))
VIT_SIZES = ('vit-t', 'vit-s', 'vit-b', 'vit-l')
DECODERS = ('mask', 'linear')


def _weights(value: Any) -> Any:
    """The hosted file writes None as text."""
    return None if isinstance(value, str) and value.lower() in ('none', 'null') else value


class TemplateFields(BaseModel):
    """The fields that all templates have: ``train_params`` of a params file.

    Values are not converted: ``'2'`` is no number. An unknown field is an error.
    """

    model_config = ConfigDict(extra='forbid', strict=True, frozen=True)
    template: ClassVar[str]
    summary: ClassVar[str]

    image_size: Annotated[
        list[int],
        ImageSize(
            help="the image's smaller side, or its exact width and height",
            unit='pixels',
            minimum=32,
            maximum=2048,
            step=1,
        ),
    ] = [520]
    batch_size: Annotated[
        int,
        Number(help='images of one step', unit='images', minimum=1, maximum=16, step=1),
    ] = 2
    num_epochs: Annotated[
        int,
        Number(
            help='passes through the training images', unit='epochs', minimum=1, maximum=200, step=1
        ),
    ] = 1
    per_item_lrate: Annotated[
        float,
        Number(
            help='learning rate per image, where that of a step is batch_size x per_item_lrate',
            unit='per image',
            minimum=0.0,
            whole=False,
        ),
    ] = 7.5e-6
    pretrained_weights: Annotated[
        str | None,
        BeforeValidator(_weights),
        Text(
            help='what the training starts from',
            form=f'{NO_WEIGHTS}, {ADE20K}, the name of published weights or a file',
        ),
    ] = ADE20K
    invalid_data_tolerance_percent: Annotated[
        float,
        Number(
            help='how many samples may be damaged, and are left out, before it fails',
            unit='percent',
            minimum=0.0,
            maximum=100.0,
            whole=False,
        ),
    ] = 5.0
    other_concepts: Annotated[
        str,
        Choice(help='what pixels of classes that are not in concepts become', choices=OTHERS),
    ] = OTHERS[0]
    seed: Annotated[
        int,
        Number(
            help='start of all random numbers, so that the same seed gives the same weights',
            minimum=0,
            maximum=2**31 - 1,
            step=1,
        ),
    ] = 0
    device: Annotated[
        str,
        Text(
            help='where it trains, where auto is the first GPU if there is one',
            form='auto, cpu, cuda or cuda:N',
            fits=is_device,
        ),
    ] = 'auto'
    precision: Annotated[
        str,
        Choice(
            help='of the arithmetic, where auto is the half precision that suits the device',
            choices=PRECISIONS,
        ),
    ] = PRECISIONS[0]

    @classmethod
    def facts(cls) -> dict[str, FieldFacts]:
        """What each field takes, in order."""
        return {
            name: next(one for one in field.metadata if isinstance(one, FieldFacts))
            for name, field in cls.model_fields.items()
        }

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """The default of each field, in order."""
        return {name: field.default for name, field in cls.model_fields.items()}


class SegFormerFields(TemplateFields):
    """SegFormer (Xie et al. 2021) with OpenMMLab's decoder."""

    template = 'MMSegmentation_SegFormer'
    model_config = ConfigDict(title=template)
    summary = 'a light hierarchical transformer, good on small and large data sets'

    backbone: Annotated[str, Choice(help='size of the encoder', choices=MIT_SIZES)] = MIT_SIZES[0]


class SegmenterFields(TemplateFields):
    """Segmenter (Strudel et al. 2021): a plain vision transformer."""

    template = 'MMSegmentation_Segmenter'
    model_config = ConfigDict(title=template)
    summary = 'a plain vision transformer, best from pretrained weights'

    backbone: Annotated[str, Choice(help='size of the encoder', choices=VIT_SIZES)] = VIT_SIZES[0]
    decoder: Annotated[
        str, Choice(help='a transformer with class masks, or one linear layer', choices=DECODERS)
    ] = DECODERS[0]


class GeneralFields(TemplateFields):
    """Any config of a segmentor, with its own network, optimizer and augmentation."""

    template = 'MMSegmentation'
    model_config = ConfigDict(title=template)
    summary = "any config of a segmentor, with the config's network and optimizer"

    config: Annotated[
        str,
        Text(
            help="the config, a path or a path below the project's configs",
            form='the path of a config',
        ),
    ] = 'segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py'


TEMPLATES: dict[str, type[TemplateFields]] = {
    fields.template: fields for fields in (SegFormerFields, SegmenterFields, GeneralFields)
}
