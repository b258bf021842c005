"""Mixed, repeated and drawn data sets, on label maps whose every pixel is known."""

import json
import pickle
from pathlib import Path

import cv2
import mmengine.dist
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import DefaultScope
from processes import run_in_two
from torch.utils.data import DataLoader

from mmseg_custom.datasets.cache import CachedLoading
from mmseg_custom.datasets.cache_building import CachedDataset
from mmseg_custom.datasets.camvid import CamVidDataset
from mmseg_custom.datasets.wrappers.class_balanced import repeat_factors
from mmseg_custom.datasets.wrappers.class_pixels import CACHE_VARIABLE, ClassPixels, cache_folder
from mmseg_custom.datasets.wrappers.concat import ConcatDataset
from mmseg_custom.datasets.wrappers.rare_class import class_probabilities
from mmseg_custom.datasets.wrappers.repeats import Repeats
from mmseg_custom.engine.automatic_weights import fill_automatic_weights
from mmseg_custom.engine.class_count import dataset_metainfo
from mmseg_custom.engine.samplers import SampleStream, SeededDataset
from mmseg_custom.registry import DATASETS, SCOPE, register_all

LOADING = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')]
PACKED = [*LOADING, dict(type='PackSegInputs')]
CLASSES = ('background', 'car', 'person')
# A row of labels each: with 0 ignored, with 11 ignored, and plain with 255.
ADE = dict(type='ADE20KDataset', labels=[0, 1, 2, 13, 21, 150])
CAMVID = dict(
    type='CamVidDataset', labels=[8, 9, 10, 0, 11, 3], aliases=('pedestrian', 'bicyclist')
)
FOLDER = dict(type='FolderDataset', labels=[0, 1, 2, 255, 1, 0])


@pytest.fixture(autouse=True)
def registered():
    register_all()
    with DefaultScope.overwrite_default_scope(SCOPE):
        yield


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / 'cache'))


def member(root: Path, kind: dict, count: int = 1, pipeline=LOADING, masks=None, **options) -> dict:
    """Write a data set in its own layout and return its config.

    Args:
        root: folder to make it in.
        kind: one of the three above; its labels are a row of blocks of 4x4 pixels.
        count: number of pictures.
        pipeline: of the config.
        masks: label maps instead, one per picture.
        **options: further keys of the config.
    """
    root = root / kind['type']
    blocks = np.kron(np.array([kind['labels']], np.uint8), np.ones((4, 4), np.uint8))
    masks = masks or [blocks] * count
    folders = ('images/train', 'masks/train' if kind is FOLDER else 'annotations/train')
    for folder in folders:
        (root / folder).mkdir(parents=True)
    for index, mask in enumerate(masks):
        cv2.imwrite(str(root / folders[0] / f'{index}.jpg'), np.zeros((*mask.shape, 3), np.uint8))
        cv2.imwrite(str(root / folders[1] / f'{index}.png'), mask)
    config = dict(type=kind['type'], data_root=str(root), pipeline=pipeline, **options)
    if kind is FOLDER:
        (root / 'dataset.yaml').write_text('classes: [background, automobile, pedestrian]\n')
    if kind is ADE:
        config['data_prefix'] = dict(img_path=folders[0], seg_map_path=folders[1])
    return config


def mixed(members: list[dict], **options):
    options = {'classes': CLASSES, 'other': 'ignore', **options}
    return DATASETS.build(dict(type='mmseg_custom.ConcatDataset', datasets=members, **options))


def row(sample: dict) -> list[int]:
    """The blocks' labels."""
    labels = sample['gt_seg_map']
    assert labels.dtype == np.uint8 and labels.shape[0] == 4
    assert (labels == np.kron(labels[:1, ::4], np.ones((4, 4), np.uint8))).all()
    return labels[0, ::4].tolist()


ALIASES = {'automobile': 'car', 'pedestrian': 'person', 'bicyclist': 'person'}


def test_each_member_is_read_as_it_means_its_labels(tmp_path):
    """ADE20K: 0 unlabelled, 13 person, 21 car. CamVid: 11 void, 8 car, 9 and 10 people."""
    dataset = mixed([member(tmp_path, kind) for kind in (ADE, CAMVID, FOLDER)], aliases=ALIASES)
    assert dataset.metainfo['classes'] == CLASSES and len(dataset.metainfo['palette']) == 3
    wanted = [[255, 255, 255, 2, 1, 255], [1, 2, 2, 255, 255, 255], [0, 1, 2, 255, 1, 0]]
    assert [row(dataset[index]) for index in range(3)] == wanted
    # Also for those who read without the pipeline, and in a loader's process.
    infos = [pickle.loads(pickle.dumps(dataset.get_data_info(index))) for index in range(3)]
    assert [info['mask_reader'](info)[0, ::4].tolist() for info in infos] == wanted
    assert not any(info['reduce_zero_label'] or info['label_map'] for info in infos)
    background = mixed([member(tmp_path / 'b', ADE)], other='background')
    assert row(background[0]) == [255, 0, 0, 2, 1, 0]


def test_a_mixture_is_cached_with_its_own_labels(tmp_path):
    kinds = (ADE, CAMVID, FOLDER)
    members = [member(tmp_path / 'data', kind) for kind in kinds]
    wanted = [row(sample) for sample in mixed(members, aliases=ALIASES)]
    cache = tmp_path / 'cache'
    for aliases in (ALIASES, {**ALIASES, 'automobile': None}, ALIASES):
        dataset = CachedDataset(mixed(members, aliases=aliases), cache)
        rows = [row(sample) for sample in dataset]
        assert (rows == wanted) == (aliases == ALIASES)
        steps = [leaf.pipeline.transforms[0] for leaf in dataset.datasets]
        assert all(
            step.is_stored(leaf.get_data_info(0)) for step, leaf in zip(steps, dataset.datasets)
        )


def read_nines(results: dict) -> np.ndarray:
    """Class 9 everywhere, as a reader of annotations that are no masks could say."""
    return np.full((4, 24), 9, np.uint8)


def test_cached_labels_are_those_of_the_mixture(tmp_path):
    members = [member(tmp_path, kind) for kind in (ADE, CAMVID, FOLDER)]
    rows = []
    for aliases in (ALIASES, {**ALIASES, 'pedestrian': None}):
        plain, mixture = (mixed(members, aliases=aliases) for _ in range(2))
        cached = CachedDataset(mixture, tmp_path / 'pictures')
        for index, part in enumerate(cached.datasets):
            assert [type(step) for step in part.pipeline.transforms] == [CachedLoading]
            assert part.pipeline.transforms[0].is_stored(part.get_data_info(0))
            rows.append(row(cached[index]))
            assert rows[-1] == row(plain[index])
            assert cached[index]['reduce_zero_label'] is plain[index]['reduce_zero_label']
    assert rows[:3] != rows[3:]


class ReadersDataset(CamVidDataset):
    """A data set with a reader of its own."""

    def get_data_info(self, idx):
        return {**super().get_data_info(idx), 'mask_reader': read_nines}


def test_a_mixture_inside_another_one_and_a_reader(tmp_path):
    """CamVid's pedestrian (9) becomes person, then human; so does what a reader says is 9."""
    config = member(tmp_path, CAMVID)
    inner = [config, {**config, 'type': ReadersDataset}]
    inner = dict(type='ConcatDataset', datasets=inner, classes=CLASSES, other='ignore')
    inner['aliases'] = {'pedestrian': 'person'}
    repeated = dict(type='RepeatDataset', times=2, dataset=inner)
    dataset = mixed(
        [repeated, member(tmp_path, FOLDER)],
        classes=('human', 'car'),
        aliases={'person': 'human', 'pedestrian': 'human', 'automobile': 'car'},
    )
    rows = [[1, 0, 255, 255, 255, 255], [0] * 6] * 2 + [[255, 1, 0, 255, 1, 255]]
    assert [row(dataset[index]) for index in range(5)] == rows


def test_selected_classes_of_a_member(tmp_path):
    """Its own label map comes first: of CamVid car (8) and road (3) are selected, in this order."""
    config = member(tmp_path, CAMVID, metainfo=dict(classes=('car', 'road')))
    dataset = mixed([config], classes=('road', 'car'), other='error')
    assert row(dataset[0]) == [1, 255, 255, 255, 255, 0]


def test_a_label_that_is_no_class_names_file_and_pixels(tmp_path):
    config = member(tmp_path, ADE, masks=[np.array([[0, 200, 200]], np.uint8)])
    with pytest.raises(ValueError, match=r'0\.png holds \d+ in 2 pixels, but .*150 classes'):
        mixed([config])[0]


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(other='error'), r"datasets\[0\] \(FolderDataset\): class 'automobile' is not among"),
        (dict(other='rest'), "other='rest'; expected one of 'error', 'ignore', 'background'"),
        (dict(aliases={'automobil': 'car'}), "no data set has the class 'automobil'; did you mean"),
        (dict(aliases={'automobile': 'cat'}), "'cat' is not among the classes; did you mean car"),
        (dict(classes=('car',), other='background'), 'needs a class of that name in classes'),
        (dict(classes='car'), "classes='car'; expected names that differ"),
        (dict(palette=[[0, 0, 0]]), 'palette has 1 colours for 3 classes'),
        (dict(repeats=[1, 2]), r'repeats=\[1, 2\] for 1 data sets'),
        (dict(classes=None, other='error', aliases={'a': 'b'}), r'need classes=\(\.\.\.\)'),
    ],
    ids=lambda value: '' if isinstance(value, str) else '-'.join(value),
)
def test_what_does_not_fit_is_an_error(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        mixed([member(tmp_path, FOLDER)], **options)


def test_without_classes_it_is_mmengines(tmp_path):
    configs = [member(tmp_path, FOLDER), member(tmp_path / 'b', FOLDER, count=2)]
    dataset = mixed(configs, classes=None, other='error')
    assert len(dataset) == 3 and row(dataset[2]) == FOLDER['labels']
    assert dataset.metainfo['classes'] == ('background', 'automobile', 'pedestrian')
    with pytest.raises(ValueError, match=r'but datasets\[1\] \(CamVidDataset\) has .*set classes='):
        mixed([configs[0], member(tmp_path, CAMVID)], classes=None, other='error')
    stock = member(tmp_path / 'c', FOLDER, pipeline=[dict(type='mmseg.LoadAnnotations')])
    with pytest.raises(ValueError, match="maps no classes; use type='LoadAnnotations'"):
        mixed([stock])


def test_heads_and_checkpoints_get_the_classes(tmp_path):
    config = dict(type='ConcatDataset', classes=CLASSES, datasets=[member(tmp_path, CAMVID)])
    drawn = dict(type='RareClassDataset', dataset=config)
    assert dataset_metainfo(drawn)['classes'] == CLASSES
    assert dataset_metainfo(dict(config, classes=None))['classes'][0] == 'sky'


def test_repeats_hold_in_every_pass_and_on_average():
    np.random.seed(0)
    repeats = Repeats([1, 2.5, 0.25, 0.25, 1])
    assert len(repeats) == 5
    passes = [[repeats.sample_of(slot) for slot in range(5)] for _ in range(4000)]
    counts = np.stack([np.bincount(one, minlength=5) for one in passes])
    assert (counts[:, [0, 4]] == 1).all() and set(np.unique(counts[:, 1])) == {2, 3}
    np.testing.assert_allclose(counts.mean(0), [1, 2.5, 0.25, 0.25, 1], atol=0.03)
    assert [Repeats([2, 0, 1]).sample_of(i) for i in range(3)] == [0, 0, 2]
    with pytest.raises(ValueError, match='0 times'):
        Repeats([0.1, 0.2])


def test_members_are_repeated(tmp_path):
    configs = [member(tmp_path, FOLDER, count=4), member(tmp_path, CAMVID, count=2)]
    dataset = mixed(configs, aliases=ALIASES, repeats=[0.5, 3])
    rows = [row(dataset[index]) for index in range(len(dataset))]
    assert len(dataset) == 8 and [labels[0] for labels in rows] == [1] * 6 + [0] * 2


def test_factors_and_probabilities():
    """Class 1 is in one of four pictures: sqrt(0.5 / 0.25); two pixels of it are a quarter."""
    counts = np.array([[4, 0], [3, 0], [2, 2], [5, 0]])
    np.testing.assert_allclose(repeat_factors(counts, 0.5), [1, 1, 2**0.5, 1])
    np.testing.assert_array_equal(repeat_factors(counts, 0.5, min_pixels=3), [1, 1, 1, 1])
    wanted = np.exp([0.25 / 0.1, 0.75 / 0.1])
    found = class_probabilities(np.array([3, 1]), 0.1)
    np.testing.assert_allclose(found, wanted / wanted.sum())
    assert class_probabilities(np.array([999999, 1]), 0.001).tolist() == [0, 1]


# Ten pictures of class 0, of which three hold 32 pixels of class 1 on their right.
MASKS = [np.zeros((16, 64), np.uint8) for _ in range(10)]
for _index in (2, 5, 6):
    MASKS[_index][:, 62:] = 1


def test_class_balanced(tmp_path, monkeypatch):
    config = member(tmp_path, FOLDER, pipeline=PACKED, masks=MASKS)
    dataset = DATASETS.build(dict(type='ClassBalancedDataset', dataset=config, oversample_thr=0.6))
    # sqrt(0.6 / 0.3) for three pictures: 10 + 3 * 0.414.
    assert len(dataset) == 11
    extra = {Path(dataset[10]['data_samples'].img_path).stem for _ in range(40)}
    assert extra == {'2', '5', '6'}
    assert [Path(dataset[i]['data_samples'].img_path).stem for i in range(10)] == [*'0123456789']


def rare(tmp_path, **options) -> dict:
    crop = [*LOADING, dict(type='RandomCrop', crop_size=(16, 24)), dict(type='PackSegInputs')]
    config = member(tmp_path, FOLDER, pipeline=crop, masks=MASKS)
    return dict(type='RareClassDataset', dataset=config, min_pixels=20, **options)


def test_rare_class(tmp_path):
    """Class 1 is drawn nearly always, its pictures equally often, and its crops hold it."""
    np.random.seed(1)
    dataset = DATASETS.build(rare(tmp_path))
    samples = [dataset[index % 10]['data_samples'] for index in range(90)]
    names = [Path(sample.img_path).stem for sample in samples]
    assert {*names} == {'2', '5', '6'} and min(names.count(name) for name in '256') > 18
    held = np.mean([(sample.gt_sem_seg.data == 1).sum().item() > 10 for sample in samples])
    dataset.min_crop_pixels = 0
    free = [dataset[0]['data_samples'].gt_sem_seg.data for _ in range(90)]
    # One of 41 crops ends at each column: a sixteenth of them holds both columns of the class.
    assert np.mean([(labels == 1).any().item() for labels in free]) < 0.15 < 0.3 < held
    warm = DATASETS.build({**rare(tmp_path / 'b'), 'temperature': 100.0})
    drawn = [warm.draw()[0] for _ in range(200)]
    assert 60 < sum(drawn) < 140
    with pytest.raises(
        ValueError, match=r"holds 2000 pixels of any class, the most are \d+; .*min_pixels': \d+"
    ):
        DATASETS.build({**rare(tmp_path / 'c'), 'min_pixels': 2000})
    with pytest.raises(ValueError, match='temperature=0'):
        DATASETS.build({**rare(tmp_path / 'd'), 'temperature': 0})


def loaded(config: dict, workers: int, start: int = 0) -> list:
    dataset = SeededDataset(config)
    stream = SampleStream(dataset, seed=3)
    stream.start, stream.stop = start, 24
    loader = DataLoader(
        dataset, batch_size=2, sampler=stream, num_workers=workers, collate_fn=lambda batch: batch
    )
    samples = [sample['data_samples'] for batch in loader for sample in batch]
    return [(s.img_path, s.gt_sem_seg.data.numpy().tobytes()) for s in samples]


@pytest.mark.parametrize('kind', ['rare', 'balanced', 'mixed'])
def test_draws_follow_from_seed_pass_and_index(tmp_path, kind):
    """Any number of loader workers, and any start, as a resumed run has it."""
    config = rare(tmp_path)
    if kind == 'balanced':
        config = dict(type='ClassBalancedDataset', dataset=config['dataset'], oversample_thr=1.0)
    if kind == 'mixed':
        config = dict(type='ConcatDataset', datasets=[config['dataset']], repeats=[1.37])
    samples = loaded(config, 0)
    assert loaded(config, 2) == samples
    assert loaded(config, 0, start=7) == samples[7:]
    assert len({*samples}) > 5


def test_counts_are_kept_until_something_changes(tmp_path, monkeypatch):
    config = member(tmp_path, FOLDER, masks=MASKS)
    first = DATASETS.build(dict(type='ClassPixels', dataset=config))
    wanted = [[1024 - 32 * (i in (2, 5, 6)), 32 * (i in (2, 5, 6)), 0] for i in range(10)]
    assert first.counts.tolist() == wanted
    (kept,) = cache_folder().iterdir()
    np.save(kept, first.counts + 1)
    build = lambda one: DATASETS.build(dict(type='ClassPixels', dataset=one)).counts  # noqa: E731
    assert build(config).tolist() == (first.counts + 1).tolist()
    # Other classes, and another mask, are counted anew.
    merged = dict(type='ConcatDataset', datasets=[config], classes=('background', 'rest'))
    merged['aliases'] = {'automobile': 'rest', 'pedestrian': 'rest'}
    assert build(merged).tolist() == [line[:2] for line in wanted]
    cv2.imwrite(f'{config["data_root"]}/masks/train/0.png', np.full((16, 64), 2, np.uint8))
    assert build(config)[0].tolist() == [0, 0, 1024]
    monkeypatch.setattr('mmseg_custom.datasets.wrappers.class_pixels.FEWEST_IN_PARALLEL', 1)
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / 'another'))
    assert build(config)[2].tolist() == wanted[2]
    cv2.imwrite(f'{config["data_root"]}/masks/train/3.png', np.full((16, 64), 5, np.uint8))
    with pytest.raises(ValueError, match=r'3\.png .*\b5\b.* 1024 pixels'):
        build(config)
    with pytest.raises(ValueError, match='dataset is a ConcatDataset; expected the config'):
        build(ConcatDataset([config]))


def test_what_is_repeated_inside_cannot_be_drawn(tmp_path):
    config = rare(tmp_path)
    config['dataset'] = dict(type='RepeatDataset', times=2, dataset=config['dataset'])
    with pytest.raises(ValueError, match='repeats or draws them itself; put it inside'):
        DATASETS.build(config)


def weigh_in_one_of_two(rank: int, dataset: dict, out: Path) -> None:
    """Only the first process can count; both must get its numbers, or its error."""
    mmengine.dist.init_dist('pytorch')
    register_all()
    if rank:
        ClassPixels._counts = None
    loss = dict(type='CrossEntropyLoss', class_weight='auto')
    config = Config(dict(train_dataloader=dict(dataset=dataset)))
    with DefaultScope.overwrite_default_scope(SCOPE):
        assert 'pedestrian' in fill_automatic_weights(
            config, [dict(decode_head=dict(loss_decode=loss))], resumed=False
        )
        (out / f'{rank}.json').write_text(json.dumps(loss['class_weight']))
        mmengine.dist.barrier()
        if rank == 0:
            cv2.imwrite(f'{dataset["data_root"]}/masks/train/0.png', np.full((4, 4), 9, np.uint8))
        mmengine.dist.barrier()
        with pytest.raises(ValueError, match=r'0\.png'):
            ClassPixels(dataset)


@pytest.mark.slow
def test_two_processes_get_the_same_weights(tmp_path):
    run_in_two(weigh_in_one_of_two, member(tmp_path, FOLDER, masks=MASKS), tmp_path)
    first, second = (json.loads((tmp_path / f'{rank}.json').read_text()) for rank in range(2))
    assert first == second and len({*first}) == 3
