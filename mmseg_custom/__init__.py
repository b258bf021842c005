"""SegFormer and Segmenter training in MMSegmentation's style.

Importing this package is cheap and changes nothing; ``mmseg_custom.registry`` (imported by every
module that registers a class) applies ``mmseg_custom.compat`` before OpenMMLab code is imported.
"""

__version__ = '0.1.0'
