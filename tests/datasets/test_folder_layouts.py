"""FolderDataset finds its files in the layouts that users have, or says what to write."""

import os

import numpy as np
import pytest
from folders import write_image, write_mask, write_pair, write_yaml
from mmengine.registry import DefaultScope

from mmseg_custom.datasets import CamVidDataset, FolderDataset
from mmseg_custom.datasets.suffixes import find_suffixes
from mmseg_custom.registry import SCOPE

CLASSES = ['background', 'thing']


@pytest.fixture(autouse=True)
def own_scope():
    with DefaultScope.overwrite_default_scope(SCOPE):
        yield


def files(root, split='train', **options):
    """The pairs of a split, as paths below the folder."""
    options = {'metainfo': {'classes': CLASSES}, **options}
    dataset = FolderDataset(str(root), split, **options)
    samples = [dataset.get_data_info(i) for i in range(len(dataset))]
    keys = [key for key in ('img_path', 'seg_map_path') if key in samples[0]]
    return [tuple(os.path.relpath(sample[key], root) for key in keys) for sample in samples]


def one_line(caught):
    assert '\n' not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ('image', 'mask', 'keys'),
    [
        ('images/train/a.jpg', 'masks/train/a.png', {}),
        ('train/images/a.jpg', 'train/masks/a.png', {}),
        ('images/train/a.jpg', 'annotations/train/a.png', {}),
        ('images/train/a.jpg', 'labels/train/a.tif', {}),
        ('img_dir/train/a.png', 'ann_dir/train/a.png', {}),
        ('images/train/a.jpg', 'masks/train/a_mask.png', {}),
        ('images/train/a_sat.jpg', 'masks/train/a_mask.png', {}),
        ('leftImg8bit/train/x/a_leftImg8bit.png', 'gt/train/x/a_gtFine.png', {'images': 'left'}),
        ('photos/train/a.jpg', 'truth/train/a.png', {'images': 'photos', 'masks': 'truth'}),
        ('photos/training/a.jpg', 'masks/training/a.png', {'splits': {'train': 'training'}}),
        ('Bilder/träin/ä ö.jpg', 'masks/träin/ä ö.png', {'splits': {'train': 'träin'}}),
    ],
)
def test_files_are_found(tmp_path, image, mask, keys):
    write_pair(tmp_path, image, mask)
    keys = dict(keys)
    if image.split('/')[0] not in ('images', 'train', 'img_dir'):
        keys['images'] = image.split('/')[0] + '/{split}'
    if keys.get('masks'):
        keys['masks'] += '/{split}'
    assert files(tmp_path, **keys) == [(image, mask)]
    write_yaml(tmp_path, classes=CLASSES, **keys)
    assert files(tmp_path, metainfo=None) == [(image, mask)]


def test_same_name_comes_before_another_ending(tmp_path):
    for stem in ('a', 'a_1'):
        write_pair(tmp_path, f'images/train/{stem}.jpg', f'masks/train/{stem}.png')
        write_mask(tmp_path / f'masks/train/{stem}_colour.png', [0])
    assert [mask for _, mask in files(tmp_path)] == ['masks/train/a.png', 'masks/train/a_1.png']
    chosen = files(tmp_path, seg_map_suffix='_colour.png')
    assert [mask for _, mask in chosen] == [
        'masks/train/a_colour.png',
        'masks/train/a_1_colour.png',
    ]


def test_endings_that_all_fit_are_named(tmp_path):
    for ending in ('_gt_ids.png', '_gt_color.png'):
        write_pair(tmp_path, 'images/train/a.jpg', f'masks/train/a{ending}')
    with pytest.raises(ValueError) as caught:
        files(tmp_path)
    assert one_line(caught) == (
        f'the masks in {tmp_path}/masks/train have 2 endings that each pair all 1 images: '
        '_gt_color.png, _gt_ids.png; say which, e.g. seg_map_suffix: _gt_color.png in dataset.yaml'
    )


def test_ending_that_pairs_most_leads_to_the_missing_masks(tmp_path):
    for stem in 'abc':
        write_pair(tmp_path, f'images/train/{stem}.jpg', f'masks/train/{stem}_L.png')
    (tmp_path / 'masks/train/b_L.png').rename(tmp_path / 'masks/train/b_LL.png')
    with pytest.raises(FileNotFoundError, match=r'1 of 3 images .*: b.jpg; expected b_l.png, add'):
        files(tmp_path)


def test_common_ending_of_the_pictures_is_cut_at_a_separator(tmp_path):
    for name in ('1_mask.png', '11_mask.png', 'x/21_mask.png'):
        write_mask(tmp_path / name, [0])
    images = {stem: f'{stem}.jpg' for stem in ('1_sat', '11_sat', 'x/21_sat')}
    shorter, suffix = find_suffixes(images, tmp_path)
    assert suffix == '_mask.png'
    assert shorter == {'1': '1_sat.jpg', '11': '11_sat.jpg', 'x/21': 'x/21_sat.jpg'}


def test_images_and_masks_in_one_folder(tmp_path):
    write_pair(tmp_path, 'all/train/a_sat.jpg', 'all/train/a_mask.png')
    keys = {'images': 'all/{split}', 'masks': 'all/{split}'}
    with pytest.raises(ValueError, match=r'lie in the same folder .*set both endings, e.g. img_s'):
        files(tmp_path, **keys)
    keys.update(img_suffix='_sat.jpg', seg_map_suffix='_mask.png')
    assert files(tmp_path, **keys) == [('all/train/a_sat.jpg', 'all/train/a_mask.png')]


def test_several_folders_of_masks(tmp_path):
    write_pair(tmp_path, 'images/train/a.jpg', 'annotations/train/a.png')
    write_mask(tmp_path / 'labels/train/a.png', [0])
    with pytest.raises(
        ValueError, match=r"annotations/\{split\} and labels/.*'masks: annotations/"
    ):
        files(tmp_path)
    (tmp_path / 'labels/train/a.png').rename(tmp_path / 'labels/train/a.txt')
    assert files(tmp_path) == [('images/train/a.jpg', 'annotations/train/a.png')]
    write_mask(tmp_path / 'masks/train/a.png', [0])
    assert files(tmp_path) == [('images/train/a.jpg', 'masks/train/a.png')]


@pytest.fixture
def flat(tmp_path):
    """Twenty pictures in ``images`` and no splits."""
    for number in range(20):
        write_pair(tmp_path, f'images/p{number:02}.jpg', f'annotations/p{number:02}.png')
    return tmp_path


def test_list_files(flat):
    (flat / 'train.txt').write_bytes(
        '\ufeff# first day\r\np03\r\n\r\nimages/p01.jpg  # by path\r\n.\\p10.jpg\r\n'.encode()
    )
    (flat / 'val.txt').write_text('images/p02')
    write_yaml(flat, classes=CLASSES, splits={'train': 'train.txt', 'val': 'val.txt'})
    assert [image for image, _ in files(flat)] == [f'images/p{n}.jpg' for n in ('01', '03', '10')]
    assert files(flat, 'val') == [('images/p02.jpg', 'annotations/p02.png')]
    with pytest.raises(
        FileNotFoundError, match=r"split 'test': .* has the splits train, val; make"
    ):
        files(flat, 'test')


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('p01\np99\n', r'1 of 2 lines of .*train.txt name no image in .*images: p99; .*such as p0'),
        ('p01\nimages/p01.jpg\n', r'lists images/p01.jpg twice; expected each image once'),
        ('\n# none\n', r'train.txt lists nothing; expected one stem or path a line'),
        ('p01 ä', r'train.txt is not UTF-8 text .*save it as UTF-8'),
        (None, r'list file .*train.txt does not exist; .* has other.txt'),
    ],
)
def test_lists_that_do_not_fit(flat, text, message):
    (flat / 'other.txt').touch()
    if text is not None:
        (flat / 'train.txt').write_bytes(text.encode('latin-1'))
    with pytest.raises((FileNotFoundError, ValueError), match=message) as caught:
        files(flat, splits={'train': 'train.txt'})
    one_line(caught)


def test_share_of_the_pictures_for_validation(flat):
    train, val = files(flat, val_share=0.25), files(flat, 'val', val_share=0.25)
    assert sorted(train + val) == [
        (f'images/p{n:02}.jpg', f'annotations/p{n:02}.png') for n in range(20)
    ]
    assert [image[8:10] for image, _ in val] == ['07', '08', '11', '16', '17'], 'in every run'
    with pytest.raises(FileNotFoundError, match="split 'test': .* has the splits train, val; make"):
        files(flat, 'test', val_share=0.25)
    assert len(files(flat, 'val', val_share=1e-9)) == 1
    assert len(files(flat, 'train', val_share=1 - 1e-9)) == 1


def test_share_of_a_train_folder(tmp_path):
    for stem in 'abcdefgh':
        write_pair(tmp_path, f'images/train/{stem}.jpg', f'masks/train/{stem}.png')
    write_pair(tmp_path, 'images/test/x.jpg', 'masks/test/x.png')
    write_yaml(tmp_path, classes=CLASSES, val_share=0.3)
    parts = [files(tmp_path, split) for split in ('train', 'val')]
    assert [len(part) for part in parts] == [6, 2]
    assert files(tmp_path, 'test') == [('images/test/x.jpg', 'masks/test/x.png')]
    write_pair(tmp_path, 'images/val/y.jpg', 'masks/val/y.png')
    for split in ('train', 'val'):
        with pytest.raises(ValueError, match=r'val_share=0.3 but .*images/val exists; .*remove va'):
            files(tmp_path, split)


def missing_val(root):
    write_pair(root, 'images/train/a.jpg', 'masks/train/a.png')
    return (
        'val',
        r"'val': .*images/val does not exist; .* the splits train; make it, or write 'val_",
    )


def other_name_of_val(root):
    write_pair(root, 'images/train/a.jpg', 'masks/train/a.png')
    write_pair(root, 'images/validation/b.jpg', 'masks/validation/b.png')
    return (
        'val',
        r"the splits train, validation; write 'splits: \{val: validation\}' in .*dataset.y",
    )


def missing_test(root):
    write_pair(root, 'train/images/a.jpg', 'train/masks/a.png')
    write_pair(root, 'val/images/a.jpg', 'val/masks/a.png')
    return 'test', r'the splits train, val; make it; or take one that is there \(test_dataloader'


def no_splits(root):
    write_pair(root, 'images/a.jpg', 'masks/a.png')
    return 'train', r"images has 1 files and no folders; write 'val_share: 0.1' .*or list files: 's"


def unknown_folders(root):
    write_pair(root, 'photos/a.jpg', 'truth/a.png')
    return 'train', r"has folders photos, truth; make images/train and masks/train, or .*'images: F"


@pytest.mark.parametrize(
    'case', [missing_val, other_name_of_val, missing_test, no_splits, unknown_folders]
)
def test_split_that_is_not_there(tmp_path, case):
    split, message = case(tmp_path)
    with pytest.raises(FileNotFoundError, match=message) as caught:
        files(tmp_path, split)
    one_line(caught)


def test_keys_that_contradict_each_other(flat):
    with pytest.raises(ValueError, match=r'images=images has no \{split\}, so all splits would'):
        files(flat, images='images')
    with pytest.raises(ValueError, match=r'val_share and splits.val both say what val is'):
        files(flat, val_share=0.5, splits={'train': 'train.txt', 'val': 'val.txt'})
    with pytest.raises(ValueError, match=r'val_share=0.5 of 1 image; expected two or more'):
        write_pair(flat, 'one/a.jpg', 'masks/a.png')
        files(flat, images='one', val_share=0.5)


def test_links_and_a_folder_that_cannot_be_written(tmp_path):
    write_pair(tmp_path / 'far', 'i/a.jpg', 'm/a.png')
    root = tmp_path / 'näh'
    for kind, target in (('images', 'i'), ('masks', 'm')):
        (root / kind).mkdir(parents=True)
        (root / kind / 'train').symlink_to(tmp_path / 'far' / target)
    write_yaml(root, classes=CLASSES)
    for folder in (root, *root.iterdir()):
        if folder.is_dir():
            folder.chmod(0o555)
    pipeline = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')]
    sample = FolderDataset(str(root), pipeline=pipeline)[0]
    np.testing.assert_array_equal(sample['gt_seg_map'], np.resize([0, 1], (6, 8)))
    assert (sample['img'] == 120).all()


def test_pictures_without_masks(flat):
    write_image(flat / 'images/test/x.jpg')
    found = files(flat, 'test', with_masks=False, test_mode=True)
    assert found == [('images/test/x.jpg',)]


@pytest.mark.shared_data
def test_camvid_from_its_folder(shared_data, tmp_path):
    for kind in ('images', 'annotations'):
        (tmp_path / kind).symlink_to(shared_data / 'camvid' / kind)
    names = list(CamVidDataset.METAINFO['classes'])
    pipeline = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')]
    write_yaml(tmp_path, classes=names, ignore_index=11)
    merged = {'road': [3, 4], 'rest': [*range(3), *range(5, 11)], 'ignore': 11}
    for split, count in (('train', 367), ('val', 101), ('test', 233)):
        ours = FolderDataset(str(tmp_path), split, pipeline=pipeline)
        camvid = CamVidDataset(str(shared_data / 'camvid'), split, pipeline=pipeline)
        assert len(ours) == len(camvid) == count
        for index in (0, count // 2, count - 1):
            expected = camvid[index]
            np.testing.assert_array_equal(ours[index]['gt_seg_map'], expected['gt_seg_map'])
            np.testing.assert_array_equal(ours[index]['img'], expected['img'])
    (tmp_path / 'dataset.yaml').unlink()
    two = FolderDataset(str(tmp_path), split, pipeline=pipeline, metainfo={'labels': merged})[index]
    is_road = np.isin(expected['gt_seg_map'], [3, 4])
    ignored = expected['gt_seg_map'] == 255
    np.testing.assert_array_equal(two['gt_seg_map'], np.where(ignored, 255, ~is_road))
