"""Models that name the class of a whole picture: what encoders are pre-trained with."""

from mmseg_custom.models.classifiers.batch_mixing import BatchMixing
from mmseg_custom.models.classifiers.image_classifier import ImageClassifier
from mmseg_custom.models.classifiers.linear_head import LinearClsHead

__all__ = ['BatchMixing', 'ImageClassifier', 'LinearClsHead']
