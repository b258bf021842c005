"""The table of docs/distributed.md is its formula, for the parameters of the model zoo."""

import re

from doc_pages import ROOT

LEAVES = {
    'SegFormer-B0': 'segformer_mit-b0_8xb2-160k_ade20k-512x512.py',
    'SegFormer-B5': 'segformer_mit-b5_8xb2-160k_ade20k-640x640.py',
    'Segmenter ViT-L': 'segmenter_vit-l_mask_8xb1-160k_ade20k-512x512.py',
}
# Number of GPUs and GB/s of each column.
COLUMNS = [(8, 450), (16, 400), (64, 400), (512, 400), (16, 12.5), (64, 12.5), (512, 12.5)]


def test_communication():
    zoo = (ROOT / 'docs/model_zoo.md').read_text()
    page = (ROOT / 'docs/distributed.md').read_text()
    for name, leaf in LEAVES.items():
        millions = re.search(rf'{re.escape(leaf)}\) \|.*? \| ([\d.]+) M \|', zoo)[1]
        row = re.search(rf'^\| {name} \| ((?:[\d.]+ \| )*[\d.]+) \|$', page, re.M)[1]
        megabytes, *times = row.split(' | ')
        assert float(megabytes) == round(4 * float(millions), 1)
        for (number, bandwidth), time in zip(COLUMNS, times, strict=True):
            exact = 2 * (number - 1) / number * 4 * float(millions) / bandwidth
            decimals = len(time.partition('.')[2])
            assert abs(float(time) - exact) <= 0.51 * 10**-decimals, (name, number, bandwidth)
    for name, leaf in list(LEAVES.items())[1:]:
        millions = float(re.search(rf'{re.escape(leaf)}\) \|.*? \| ([\d.]+) M \|', zoo)[1])
        row = re.search(rf'^\| {name} \| ([\d.]+) GB \| ([\d.]+) GB \| ([\d.]+) GB \|$', page, re.M)
        assert [float(value) for value in row.groups()] == [
            round(16e-3 * millions / number, 2) for number in (1, 8, 64)
        ]
