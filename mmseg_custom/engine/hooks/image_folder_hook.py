"""Where the pictures lie, for what writes files that are named after them."""

from mmengine.hooks import Hook

from mmseg_custom.registry import HOOKS


def image_folder(dataset) -> str | None:
    """The folder that a data set reads its pictures from; None where it does not say."""
    return getattr(innermost(dataset), 'data_prefix', {}).get('img_path')


def innermost(dataset):
    """A data set without the wrappers around it."""
    while hasattr(dataset, 'dataset'):
        dataset = dataset.dataset
    return dataset


@HOOKS.register_module()
class ImageFolderHook(Hook):
    """Tell metrics with an ``image_dir`` where the test pictures lie.

    A metric sees the paths of pictures but not the data set. With its folder, the predictions that
    :class:`~mmseg_custom.evaluation.IoUMetric` writes keep the pictures' sub-folders.
    """

    def before_test(self, runner) -> None:
        """Fill in ``image_dir`` where the config leaves it open."""
        for metric in runner.test_evaluator.metrics:
            if getattr(metric, 'image_dir', '') is None:
                metric.image_dir = image_folder(runner.test_dataloader.dataset)
