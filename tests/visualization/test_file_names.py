"""Names of written files follow the pictures' sub-folders."""

import pytest

from mmseg_custom.visualization.file_names import FileNames, name_below


@pytest.mark.parametrize(
    ('picture', 'folder', 'name'),
    [
        ('data/images/a/0.png', 'data/images', 'a/0'),
        ('data/images/a/0.v2.jpg', 'data/images/', 'a/0.v2'),
        ('data/images/../other/0.png', 'data/images', '0'),
        ('/elsewhere/a/0.png', 'data/images', '0'),
        ('data/images/a/0.png', None, '0'),
        ('0.png', '', '0'),
    ],
)
def test_name_is_the_path_below_the_folder(picture, folder, name):
    assert name_below(picture, folder) == name


def test_relative_and_absolute_paths_are_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert name_below('images/a/0.png', tmp_path / 'images') == 'a/0'
    assert name_below(tmp_path / 'images/a/0.png', 'images') == 'a/0'


def test_no_name_is_given_to_two_pictures():
    names = FileNames()
    assert [names.name_of(f'i/{s}/0.png', 'i', 'out') for s in 'aab'] == ['a/0', 'a/0', 'b/0']
    with pytest.raises(ValueError, match=r'i/a/0.png and j/a/0.png would both be .* a/0 to out'):
        names.name_of('j/a/0.png', 'j', 'out')
