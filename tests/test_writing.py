import os

import pytest

from mmseg_custom.writing import whole_file, write_atomically


def test_a_file_appears_whole(tmp_path):
    path = tmp_path / 'new' / 'page.html'
    with whole_file(path) as partial:
        partial.write_text('half')
        assert partial.suffix == '.html' and not path.exists()
        partial.write_text('whole')
    assert path.read_text() == 'whole' and os.listdir(path.parent) == ['page.html']


@pytest.mark.parametrize('error', [OSError, KeyboardInterrupt])
def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / 'page.html'
    write_atomically(path, b'old')
    with pytest.raises(error), whole_file(path) as partial:
        partial.write_text('half')
        raise error
    assert path.read_text() == 'old' and os.listdir(tmp_path) == ['page.html']
