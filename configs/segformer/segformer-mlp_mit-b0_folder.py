"""SegFormer-B0 with the MLP decoder of its authors on a folder of your own.

Source:    this project. The number of classes comes from the folder's dataset.yaml.
Command:   python tools/train.py CONFIG --cfg-options data_root=path/to/folder
Hardware:  1 GPU or a CPU, 4 pictures of 512x512.
Published: none.
"""

_base_ = './segformer_mit-b0_folder.py'
model = dict(backbone=_base_.official_norms, decode_head=dict(type='SegformerMLPHead'))
