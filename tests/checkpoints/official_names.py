"""Parameter names and shapes of official files, written down from the code that saves them.

NVlabs/SegFormer: ``mmseg/models/backbones/mix_transformer.py`` and
``mmseg/models/decode_heads/segformer_head.py``; rstrudel/segmenter: ``segm/model/vit.py``,
``blocks.py`` and ``decoder.py``. A name in braces stands for each of those between its commas.
"""

import itertools
import re

import torch
from torch import Tensor

_MIT_B0 = """
patch_embed1.proj.weight                                                    32 3 7 7
patch_embed1.{proj.bias,norm.weight,norm.bias}                              32
block1.{0,1}.{norm1,norm2,attn.norm}.{weight,bias}                          32
block1.{0,1}.{attn.q.bias,attn.proj.bias,attn.sr.bias,mlp.fc2.bias}         32
block1.{0,1}.attn.{q,proj}.weight                                           32 32
block1.{0,1}.attn.kv.weight                                                 64 32
block1.{0,1}.attn.kv.bias                                                   64
block1.{0,1}.attn.sr.weight                                                 32 32 8 8
block1.{0,1}.mlp.fc1.weight                                                 128 32
block1.{0,1}.mlp.{fc1,dwconv.dwconv}.bias                                   128
block1.{0,1}.mlp.dwconv.dwconv.weight                                       128 1 3 3
block1.{0,1}.mlp.fc2.weight                                                 32 128
norm1.{weight,bias}                                                         32
patch_embed2.proj.weight                                                    64 32 3 3
patch_embed2.{proj.bias,norm.weight,norm.bias}                              64
block2.{0,1}.{norm1,norm2,attn.norm}.{weight,bias}                          64
block2.{0,1}.{attn.q.bias,attn.proj.bias,attn.sr.bias,mlp.fc2.bias}         64
block2.{0,1}.attn.{q,proj}.weight                                           64 64
block2.{0,1}.attn.kv.weight                                                 128 64
block2.{0,1}.attn.kv.bias                                                   128
block2.{0,1}.attn.sr.weight                                                 64 64 4 4
block2.{0,1}.mlp.fc1.weight                                                 256 64
block2.{0,1}.mlp.{fc1,dwconv.dwconv}.bias                                   256
block2.{0,1}.mlp.dwconv.dwconv.weight                                       256 1 3 3
block2.{0,1}.mlp.fc2.weight                                                 64 256
norm2.{weight,bias}                                                         64
patch_embed3.proj.weight                                                    160 64 3 3
patch_embed3.{proj.bias,norm.weight,norm.bias}                              160
block3.{0,1}.{norm1,norm2,attn.norm}.{weight,bias}                          160
block3.{0,1}.{attn.q.bias,attn.proj.bias,attn.sr.bias,mlp.fc2.bias}         160
block3.{0,1}.attn.{q,proj}.weight                                           160 160
block3.{0,1}.attn.kv.weight                                                 320 160
block3.{0,1}.attn.kv.bias                                                   320
block3.{0,1}.attn.sr.weight                                                 160 160 2 2
block3.{0,1}.mlp.fc1.weight                                                 640 160
block3.{0,1}.mlp.{fc1,dwconv.dwconv}.bias                                   640
block3.{0,1}.mlp.dwconv.dwconv.weight                                       640 1 3 3
block3.{0,1}.mlp.fc2.weight                                                 160 640
norm3.{weight,bias}                                                         160
patch_embed4.proj.weight                                                    256 160 3 3
patch_embed4.{proj.bias,norm.weight,norm.bias}                              256
block4.{0,1}.{norm1,norm2}.{weight,bias}                                    256
block4.{0,1}.{attn.q.bias,attn.proj.bias,mlp.fc2.bias}                      256
block4.{0,1}.attn.{q,proj}.weight                                           256 256
block4.{0,1}.attn.kv.weight                                                 512 256
block4.{0,1}.attn.kv.bias                                                   512
block4.{0,1}.mlp.fc1.weight                                                 1024 256
block4.{0,1}.mlp.{fc1,dwconv.dwconv}.bias                                   1024
block4.{0,1}.mlp.dwconv.dwconv.weight                                       1024 1 3 3
block4.{0,1}.mlp.fc2.weight                                                 256 1024
norm4.{weight,bias}                                                         256
"""
_IMAGENET_HEAD = """
head.weight                                                                 1000 256
head.bias                                                                   1000
"""
_SEGFORMER_B0_DECODER = """
decode_head.linear_c1.proj.weight                                           256 32
decode_head.linear_c2.proj.weight                                           256 64
decode_head.linear_c3.proj.weight                                           256 160
decode_head.linear_c4.proj.weight                                           256 256
decode_head.{linear_c1,linear_c2,linear_c3,linear_c4}.proj.bias             256
decode_head.linear_fuse.conv.weight                                         256 1024 1 1
decode_head.linear_fuse.bn.{weight,bias,running_mean,running_var}           256
decode_head.linear_fuse.bn.num_batches_tracked
decode_head.linear_pred.weight                                              150 256 1 1
decode_head.linear_pred.bias                                                150
decode_head.conv_seg.weight                                                 150 128 1 1
decode_head.conv_seg.bias                                                   150
"""
_VIT_TI_16 = """
encoder.cls_token                                                           1 1 192
encoder.pos_embed                                                           1 1025 192
encoder.patch_embed.proj.weight                                             192 3 16 16
encoder.patch_embed.proj.bias                                               192
encoder.blocks.{0,1,2,3,4,5,6,7,8,9,10,11}.{norm1,norm2}.{weight,bias}      192
encoder.blocks.{0,1,2,3,4,5,6,7,8,9,10,11}.attn.qkv.weight                  576 192
encoder.blocks.{0,1,2,3,4,5,6,7,8,9,10,11}.attn.qkv.bias                    576
encoder.blocks.{0,1,2,3,4,5,6,7,8,9,10,11}.attn.proj.weight                 192 192
encoder.blocks.{0,1,2,3,4,5,6,7,8,9,10,11}.{attn.proj,mlp.fc2}.bias         192
encoder.blocks.{0,1,2,3,4,5,6,7,8,9,10,11}.mlp.fc1.weight                   768 192
encoder.blocks.{0,1,2,3,4,5,6,7,8,9,10,11}.mlp.fc1.bias                     768
encoder.blocks.{0,1,2,3,4,5,6,7,8,9,10,11}.mlp.fc2.weight                   192 768
encoder.norm.{weight,bias}                                                  192
encoder.head.weight                                                         1000 192
encoder.head.bias                                                           1000
"""
_MASK_DECODER = """
decoder.cls_emb                                                             1 150 192
decoder.{proj_patch,proj_classes,proj_dec.weight}                           192 192
decoder.{proj_dec.bias,decoder_norm.weight,decoder_norm.bias}               192
decoder.mask_norm.{weight,bias}                                             150
decoder.blocks.{0,1}.{norm1,norm2}.{weight,bias}                            192
decoder.blocks.{0,1}.attn.qkv.weight                                        576 192
decoder.blocks.{0,1}.attn.qkv.bias                                          576
decoder.blocks.{0,1}.attn.proj.weight                                       192 192
decoder.blocks.{0,1}.{attn.proj,mlp.fc2}.bias                               192
decoder.blocks.{0,1}.mlp.fc1.weight                                         768 192
decoder.blocks.{0,1}.mlp.fc1.bias                                           768
decoder.blocks.{0,1}.mlp.fc2.weight                                         192 768
"""
_LINEAR_DECODER = """
decoder.head.weight                                                         150 192
decoder.head.bias                                                           150
"""


def _table(text: str, prefix: str = '') -> dict[str, tuple[int, ...]]:
    found = {}
    for line in filter(None, text.splitlines()):
        name, *shape = line.split()
        choices = [part.split(',') for part in re.split('[{}]', name)]
        for parts in itertools.product(*choices):
            found[prefix + ''.join(parts)] = tuple(map(int, shape))
    return found


MIT_B0 = {**_table(_MIT_B0), **_table(_IMAGENET_HEAD)}
SEGFORMER_B0 = {**_table(_MIT_B0, 'backbone.'), **_table(_SEGFORMER_B0_DECODER)}
SEGMENTER_TI_MASK = {**_table(_VIT_TI_16), **_table(_MASK_DECODER)}
SEGMENTER_TI_LINEAR = {**_table(_VIT_TI_16), **_table(_LINEAR_DECODER)}


def shapes_of(network: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    """Names and shapes of what a network saves."""
    return {name: tuple(value.shape) for name, value in network.state_dict().items()}


def tensors_of(table: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Random parameters of these names and shapes; counters are whole numbers."""
    return {name: torch.randn(shape) if shape else torch.tensor(1) for name, shape in table.items()}
