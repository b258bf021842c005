"""Pairs of images and masks: what is found, and one line for what is not."""

import pytest
from mmengine.logging import MMLogger

from mmseg_custom.datasets.checks import (
    IMAGE_SUFFIXES,
    find_by_stem,
    list_files,
    pair_images_and_masks,
)


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def pairs(root, mask_suffix='.png'):
    images = find_by_stem(root / 'i', IMAGE_SUFFIXES)
    return pair_images_and_masks(images, root / 'i', root / 'm', mask_suffix)[0]


def one_line(caught):
    assert '\n' not in str(caught.value)
    return str(caught.value)


def test_pairs_follow_the_stem_not_the_case_of_the_suffix(tmp_path):
    touch(tmp_path / 'i', 'b.JPG', 'a.v2.png', 'sub/a.jpeg', '._a.jpg', '.cache/x.jpg', 'notes.txt')
    touch(tmp_path / 'm', 'a.v2.png', 'b.png', 'sub/a.PNG')
    assert pairs(tmp_path) == [
        (str(tmp_path / 'i/a.v2.png'), str(tmp_path / 'm/a.v2.png')),
        (str(tmp_path / 'i/b.JPG'), str(tmp_path / 'm/b.png')),
        (str(tmp_path / 'i/sub/a.jpeg'), str(tmp_path / 'm/sub/a.PNG')),
    ]


def test_linked_folders_are_followed(tmp_path):
    touch(tmp_path / 'far', 'a.jpg')
    (tmp_path / 'i').mkdir()
    (tmp_path / 'i/day').symlink_to(tmp_path / 'far')
    assert list_files(tmp_path / 'i') == ['day/a.jpg']


def test_longer_suffix_is_cut_whole(tmp_path):
    touch(tmp_path, 'a_img.png', 'b.png')
    assert find_by_stem(tmp_path, ('.png', '_img.png')) == {'a': 'a_img.png', 'b': 'b.png'}


def test_no_images_says_what_is_there(tmp_path):
    touch(tmp_path, *(f'{i}.dcm' for i in range(4)), 'x.txt')
    with pytest.raises(FileNotFoundError) as caught:
        find_by_stem(tmp_path, ('.jpg', '.png'))
    assert one_line(caught) == (
        f'0 images in {tmp_path}; expected suffixes .jpg .png; 4 .dcm and 1 .txt there'
    )


def test_empty_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'expected suffixes \.jpg; the folder is empty'):
        find_by_stem(tmp_path, ('.jpg',))


def test_missing_folder_offers_the_nearest(tmp_path):
    for name in ('train', 'validation', 'test'):
        (tmp_path / name).mkdir()
    with pytest.raises(FileNotFoundError) as caught:
        list_files(tmp_path / 'valid')
    assert one_line(caught) == (
        f'folder {tmp_path}/valid does not exist; {tmp_path} has folders test, train, validation; '
        'did you mean validation?'
    )


def test_files_without_a_split_folder(tmp_path):
    touch(tmp_path, 'a.jpg', 'b.jpg')
    with pytest.raises(FileNotFoundError, match='no folders and 2 files; make train and put'):
        list_files(tmp_path / 'train')


def test_images_without_mask_are_counted_and_named(tmp_path):
    touch(tmp_path / 'i', *(f'{name}.jpg' for name in 'abcdefg'))
    touch(tmp_path / 'm', 'a.png', 'b.png')
    with pytest.raises(FileNotFoundError) as caught:
        pairs(tmp_path)
    assert one_line(caught) == (
        f'5 of 7 images in {tmp_path}/i have no mask in {tmp_path}/m: c.jpg, d.jpg, e.jpg, ...; '
        'expected c.png, add the masks or remove the images'
    )


def test_masks_with_another_ending_name_the_option(tmp_path):
    touch(tmp_path / 'i', 'a.jpg', 'b.jpg')
    touch(tmp_path / 'm', 'a_labels.png', 'b_labels.png')
    with pytest.raises(
        FileNotFoundError, match=r"found a_labels\.png; set seg_map_suffix='_labels.png'"
    ):
        pairs(tmp_path)
    assert len(pairs(tmp_path, '_labels.png')) == 2


def test_stem_that_occurs_twice(tmp_path):
    touch(tmp_path / 'i', 'a.jpg', 'a.png')
    touch(tmp_path / 'm', 'a.png')
    with pytest.raises(
        ValueError, match=r"two images have the stem 'a' .*: a.jpg and a.png; .*rename"
    ):
        pairs(tmp_path)


def test_spare_masks_are_told(tmp_path, caplog):
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    touch(tmp_path / 'i', 'a.jpg')
    touch(tmp_path / 'm', 'a.png', 'z.png')
    assert len(pairs(tmp_path)) == 1
    logger.removeHandler(caplog.handler)
    assert '1 masks in' in caplog.text
    assert 'are not used: z.png' in caplog.text
