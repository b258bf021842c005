import json

import numpy as np
import pytest
from tool_modules import load_tool

from mmseg_custom.datasets import generate_quickstart_dataset
from mmseg_custom.datasets.class_balance import count_classes, median_frequency_weights
from mmseg_custom.models.losses import CrossEntropyLoss

class_weights = load_tool('analysis_tools/class_weights.py')


def test_counts_and_weights():
    """Class 1 fills half of the one map it occurs in; class 2 never occurs."""
    maps = [np.array([[0, 0], [1, 1]], np.uint8), np.array([[0, 0, 255], [0, 3, 255]], np.uint8)]
    pixels, present = count_classes(iter(maps), 4)
    assert pixels.tolist() == [5, 2, 0, 1] and present.tolist() == [8, 4, 0, 4]
    # Frequencies 5/8, 1/2 and 1/4, of which 1/2 is the median.
    assert median_frequency_weights(pixels, present) == [0.8, 1.0, 1.0, 2.0]
    with pytest.raises(ValueError, match='holds 3, but the data set has 3 classes'):
        count_classes(iter(maps), 3)


def test_the_tool_writes_what_the_loss_reads(tmp_path, capsys):
    root = generate_quickstart_dataset(tmp_path / 'data', {'train': 3, 'val': 1, 'test': 1})
    out = tmp_path / 'weights.json'
    options = ['--cfg-options', f'data_root={root}', 'train_dataloader.dataset.type=FolderDataset']
    class_weights.main(['quickstart/segformer_mit-b0_quickstart.py', str(out), *options])
    weights = json.loads(out.read_text())
    assert len(weights) == 6 and weights[0] == min(weights) and np.median(weights) > 0
    assert CrossEntropyLoss(class_weight=str(out)).class_weight == weights
    assert 'loss_decode.class_weight=' in capsys.readouterr().out
