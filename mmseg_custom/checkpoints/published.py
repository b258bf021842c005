"""The weights that others published, by name: what they are, where they lie, under which licence.

The one home of these facts. A config writes ``checkpoint='mit_b2'``, a command line
``load_from=segformer_mit-b0_ade20k``; :func:`mmseg_custom.checkpoints.sources.resolve` makes a path
of it. Sources: ``metafile.yaml`` of MMSegmentation's ``configs/segformer`` and
``configs/segmenter``, the ``vit_*_patch16_384`` entries of timm (of which OpenMMLab's ViT files are
conversions), and NVIDIA's model pages at Hugging Face.
"""

from dataclasses import dataclass
from urllib.parse import urlparse

# OpenMMLab's address, and the storage behind it, which its documents of 2020 link to.
OPENMMLAB = (
    'https://download.openmmlab.com/mmsegmentation/v0.5',
    'https://openmmlab.oss-accelerate.aliyuncs.com/mmsegmentation/v0.5',
)
AUGREG = 'https://storage.googleapis.com/vit_models/augreg'


@dataclass(frozen=True)
class Licence:
    """Terms of weights: a short name and where the text lies."""

    name: str
    url: str


NVIDIA = Licence(
    'NVIDIA, non-commercial', 'https://github.com/NVlabs/SegFormer/blob/master/LICENSE'
)
APACHE = Licence('Apache-2.0', 'https://www.apache.org/licenses/LICENSE-2.0')


@dataclass(frozen=True)
class Published:
    """One set of weights.

    Attributes:
        name: what a config writes.
        what: network and task, for people.
        trained_on: data sets, the last one last.
        licence: of the weights.
        urls: addresses of one and the same file, tried in this order; empty for a repository at
            Hugging Face.
        hugging_face: id of such a repository, else ``''``.
        sha256: first digits of the file's SHA-256, or all; ``''`` where only the server states it.
        million_parameters: how many numbers it holds; four bytes each.
        same_as: name of an entry with the same numbers in another format, used where no address of
            this one answers; ``''`` where there is none.
        config: the config below ``configs/`` that it was trained with, for whole models.
        subfolder: where in the folder of downloads the file lies.
    """

    name: str
    what: str
    trained_on: str
    licence: Licence
    urls: tuple[str, ...] = ()
    hugging_face: str = ''
    sha256: str = ''
    million_parameters: float = 0.0
    same_as: str = ''
    config: str = ''
    subfolder: str = ''

    @property
    def file_name(self) -> str:
        """Name of the file; of a repository at Hugging Face its id, a folder in a folder."""
        return self.hugging_face or urlparse(self.urls[0]).path.rsplit('/', 1)[-1]

    @property
    def cache_path(self) -> str:
        """Where it lies in the folder of downloads."""
        return f'{self.subfolder}/{self.file_name}' if self.subfolder else self.file_name

    @property
    def megabytes(self) -> int:
        """About how large a download is."""
        return round(4 * self.million_parameters)


# Million parameters of the encoder, and of the whole SegFormer with OpenMMLab's decoder and 150
# classes, by size.
_MIT_PARAMETERS = {
    'b0': (3.32, 3.72),
    'b1': (13.15, 13.68),
    'b2': (24.20, 24.73),
    'b3': (44.08, 44.60),
    'b4': (60.84, 61.37),
    'b5': (81.44, 81.97),
}
# End of OpenMMLab's file names: date and first digits of the SHA-256.
_MIT = {
    'b0': '20220624-7e0fe6dd',
    'b1': '20220624-02e5a6a1',
    'b2': '20220624-66e8bf70',
    'b3': '20220624-13b1141c',
    'b4': '20220624-d588d980',
    'b5': '20220624-658746d9',
}
_SEGFORMER = {
    'ade20k-512x512': {
        'b0': '20210726_101530-8ffa8fda',
        'b1': '20210726_112106-d70e859d',
        'b2': '20210726_112103-cbd414ac',
        'b3': '20210726_081410-962b98d2',
        'b4': '20210728_183055-7f509d7d',
        'b5': '20210726_145235-94cedf59',
    },
    'ade20k-640x640': {'b5': '20210801_121243-41d2845b'},
    'cityscapes-1024x1024': {
        'b0': '20211208_101857-e7f88502',
        'b1': '20211208_064213-655c7b3f',
        'b2': '20211207_134205-6096669a',
        'b3': '20211206_224823-a8f8a177',
        'b4': '20211207_080709-07f6c333',
        'b5': '20211206_072934-87a052ec',
    },
}
_DATA = {'ade20k': 'ADE20K', 'ade': 'ADE20K', 'cityscapes': 'Cityscapes'}
# OpenMMLab's name, letter in our config names, channels, million parameters without a class head,
# end of OpenMMLab's file name, and the training that names Google's file.
_VIT = (
    ('tiny', 't', 192, 5.6, '20220308-cce8c795', 'Ti_16', 'aug_none-wd_0.03-do_0.0-sd_0.0', '0.03'),
    (
        'small',
        's',
        384,
        21.8,
        '20220308-410f6037',
        'S_16',
        'aug_light1-wd_0.03-do_0.0-sd_0.0',
        '0.03',
    ),
    (
        'base',
        'b',
        768,
        86.1,
        '20220308-96dfe169',
        'B_16',
        'aug_medium1-wd_0.1-do_0.0-sd_0.0',
        '0.01',
    ),
    (
        'large',
        'l',
        1024,
        303.7,
        '20220308-d4efb41d',
        'L_16',
        'aug_medium1-wd_0.1-do_0.1-sd_0.1',
        '0.01',
    ),
)
# Size, decoder, OpenMMLab's word for the decoder, million parameters, end of the file name.
_SEGMENTER = (
    ('t', 'mask', 'mask', 6.7, '20220105_151706-ffcf7509'),
    ('s', 'fcn', 'linear', 21.9, '20220105_151713-39658c46'),
    ('s', 'mask', 'mask', 26.0, '20220105_151706-511bb103'),
    ('b', 'mask', 'mask', 102.0, '20220105_151706-bc533b08'),
    ('l', 'mask', 'mask', 332.4, '20220105_162750-7ef345be'),
)
_HUGGING_FACE_SEGFORMER = (
    *((f'b{i}', 'ade', '512-512') for i in range(5)),
    ('b5', 'ade', '640-640'),
    *((f'b{i}', 'cityscapes', '1024-1024') for i in range(6)),
    *(('b0', 'cityscapes', size) for size in ('512-1024', '640-1280', '768-768')),
)


def _openmmlab(path: str) -> tuple[str, ...]:
    return tuple(f'{address}/{path}' for address in OPENMMLAB)


def _mit() -> list[Published]:
    entries = []
    for size, (encoder, _) in _MIT_PARAMETERS.items():
        facts = dict(trained_on='ImageNet-1k', licence=NVIDIA)
        entries.append(
            Published(
                f'mit_{size}',
                f'MiT-{size.upper()} encoder',
                **facts,
                urls=_openmmlab(f'pretrain/segformer/mit_{size}_{_MIT[size]}.pth'),
                sha256=_MIT[size][-8:],
                million_parameters=encoder,
                same_as=f'nvidia/mit-{size}',
            )
        )
        channels = 256 if size == 'b0' else 512
        entries.append(
            Published(
                f'nvidia/mit-{size}',
                f'MiT-{size.upper()} with a class head',
                **facts,
                hugging_face=f'nvidia/mit-{size}',
                million_parameters=encoder + (channels + 1) / 1000,
            )
        )
    return entries


def _segformer() -> list[Published]:
    entries = []
    for setting, sizes in _SEGFORMER.items():
        data, crop = setting.split('-')
        for size, end in sizes.items():
            if data == 'ade20k':
                stem, gpus = f'segformer_mit-{size}_{crop}_160k_ade20k', '8xb2'
            else:
                stem, gpus = f'segformer_mit-{size}_8x1_{crop}_160k_cityscapes', '8xb1'
            # B5 is there at two sizes on ADE20K; the plain name is the size of the others.
            name = setting if crop == '640x640' else data
            entries.append(
                Published(
                    f'segformer_mit-{size}_{name}',
                    f'SegFormer-{size.upper()}, {crop}',
                    f'ImageNet-1k, {_DATA[data]}',
                    NVIDIA,
                    urls=_openmmlab(f'segformer/{stem}/{stem}_{end}.pth'),
                    sha256=end[-8:],
                    million_parameters=_MIT_PARAMETERS[size][1],
                    config=f'segformer/segformer_mit-{size}_{gpus}-160k_{setting}.py',
                )
            )
    return entries


def _hugging_face_segformer() -> list[Published]:
    widths = {'b0': 0.0, 'b1': 0.0}
    return [
        Published(
            f'nvidia/segformer-{size}-finetuned-{data}-{crop}',
            f'SegFormer-{size.upper()} with the decoder of its authors, {crop.replace("-", "x")}',
            f'ImageNet-1k, {_DATA[data]}',
            NVIDIA,
            hugging_face=f'nvidia/segformer-{size}-finetuned-{data}-{crop}',
            # The authors' decoder is three times as wide from B2 on.
            million_parameters=_MIT_PARAMETERS[size][1] + widths.get(size, 2.7),
            config=_mlp_config(size, data, crop),
        )
        for size, data, crop in _HUGGING_FACE_SEGFORMER
    ]


def _mlp_config(size: str, data: str, crop: str) -> str:
    if data == 'ade':
        setting = '8xb2-160k_ade20k'
    elif crop == '1024-1024':
        setting = '8xb1-160k_cityscapes'
    else:
        return ''
    crop = crop.replace('-', 'x')
    return f'segformer/segformer-mlp_mit-{size}_{setting}-{crop}.py'


def _vit() -> list[Published]:
    entries = []
    for size, letter, channels, millions, end, model, recipe, rate in _VIT:
        facts = dict(trained_on='ImageNet-21k, then 1k at 384', licence=APACHE)
        name = f'vit_{size}_p16_384'
        what = f'ViT-{letter.upper()}/16'
        entries.append(
            Published(
                name,
                f'{what} encoder',
                **facts,
                urls=_openmmlab(f'pretrain/segmenter/{name}_{end}.pth'),
                sha256=end[-8:],
                million_parameters=millions,
                same_as=f'{name}_npz',
            )
        )
        stem = f'{model}-i21k-300ep-lr_0.001-{recipe}--imagenet2012-steps_20k-lr_{rate}-res_384'
        entries.append(
            Published(
                f'{name}_npz',
                f'{what} of AugReg with a class head',
                **facts,
                urls=(f'{AUGREG}/{stem}.npz',),
                million_parameters=millions + (channels + 1) / 1000,
                same_as=name,
            )
        )
    return entries


def _segmenter() -> list[Published]:
    entries = []
    for size, head, word, millions, end in _SEGMENTER:
        # Named 512x512, too, but trained at 640x640.
        crop = '640x640' if size == 'l' else '512x512'
        stem = f'segmenter_vit-{size}_{word}_8x1_512x512_160k_ade20k'
        entries.append(
            Published(
                f'segmenter_vit-{size}_{head}_ade20k',
                f'Segmenter ViT-{size.upper()}/16 with the {word} decoder, {crop}',
                'ImageNet-21k, then 1k at 384, ADE20K',
                APACHE,
                urls=_openmmlab(f'segmenter/{stem}/{stem}_{end}.pth'),
                sha256=end[-8:],
                million_parameters=millions,
                config=f'segmenter/segmenter_vit-{size}_{head}_8xb1-160k_ade20k-512x512.py',
            )
        )
    return entries


PUBLISHED: dict[str, Published] = {
    entry.name: entry
    for entry in (*_mit(), *_vit(), *_segformer(), *_hugging_face_segformer(), *_segmenter())
}


def find(name: str) -> Published | None:
    """The entry of that name, or the one of which an address is ``name``."""
    if name in PUBLISHED:
        return PUBLISHED[name]
    return next((entry for entry in PUBLISHED.values() if name in entry.urls), None)


def trained_with(config: str) -> Published | None:
    """The whole model that was trained with a config, given by its path below ``configs/``."""
    return next((entry for entry in PUBLISHED.values() if entry.config == config), None)
