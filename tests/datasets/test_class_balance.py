import json

import numpy as np
import pytest
from tool_modules import load_tool

from mmseg_custom.datasets import generate_quickstart_dataset
from mmseg_custom.datasets.class_balance import class_weights, count_labels
from mmseg_custom.models.losses import CrossEntropyLoss

tool = load_tool('analysis_tools/class_weights.py')


def test_counts():
    labels = np.array([[0, 0, 255], [0, 3, 255]], np.uint8)
    assert count_labels(labels, 4).tolist() == [3, 0, 0, 1]
    with pytest.raises(ValueError, match=r'b\.png holds 3 in 1 pixels, but .* has 3 classes'):
        count_labels(labels, 3, 'b.png')


def test_weights():
    """Class 1 fills half of the one map it occurs in; class 2 never occurs."""
    counts = np.array([[2, 2, 0, 0], [3, 0, 0, 1]])
    # Frequencies 5/8, 1/2 and 1/4, of which 1/2 is the median.
    assert class_weights(counts, 'median_frequency') == [0.8, 1.0, 1.0, 2.0]
    assert class_weights(counts, 'auto') == class_weights(counts, 'median_frequency')
    counts = np.array([[2, 2, 0], [4, 0, 0]])
    # Six pixels to two: 1 to the root of 3, with mean 1; 1 / ln 1.77 and 1 / ln 1.27.
    assert class_weights(counts, 'inverse_sqrt') == [0.7321, 1.2679, 1.0]
    assert class_weights(counts, 'log') == [1.7514, 4.1838, 1.0]
    with pytest.raises(ValueError, match="'medain_frequency' are unknown; did you mean median"):
        class_weights(counts, 'medain_frequency')
    with pytest.raises(ValueError, match='no label map holds a class'):
        class_weights(counts * 0, 'log')


def test_the_tool_writes_what_the_loss_reads(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv('MMSEG_CUSTOM_CACHE', str(tmp_path / 'cache'))
    root = generate_quickstart_dataset(tmp_path / 'data', {'train': 3, 'val': 1, 'test': 1})
    out = tmp_path / 'weights.json'
    options = ['--cfg-options', f'data_root={root}', 'train_dataloader.dataset.type=FolderDataset']
    tool.main(['quickstart/segformer_mit-b0_quickstart.py', str(out), *options])
    weights = json.loads(out.read_text())
    assert len(weights) == 6 and weights[0] == min(weights) and np.median(weights) > 0
    assert CrossEntropyLoss(class_weight=str(out)).class_weight == weights
    assert 'loss_decode.class_weight=' in capsys.readouterr().out


def test_one_logit_takes_no_class_weights(tmp_path):
    (tmp_path / 'dataset.yaml').write_text('classes: [thing]\ntask: binary\n')
    arguments = ['segformer/segformer_mit-b0_folder.py', str(tmp_path / 'weights.json')]
    with pytest.raises(ValueError, match=r'check_dataset.py .* prints the foreground_prior'):
        tool.main([*arguments, '--cfg-options', f'data_root={tmp_path}'])
