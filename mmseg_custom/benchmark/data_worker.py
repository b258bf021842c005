"""One side of the task ``data``, in a process of its own: reads pictures and prepares batches."""

import os
import time
from collections import defaultdict
from multiprocessing.connection import Connection

import cv2
import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from mmengine.registry import DefaultScope
from torch.utils.data import DataLoader

from mmseg_custom.benchmark.data_cases import CASES, Case
from mmseg_custom.compat import ignore_upstream_warnings
from mmseg_custom.host_memory import OPT_OUT, keep_freed_memory
from mmseg_custom.registry import DATASETS, MODELS, SCOPE, register_all

SAMPLE = 'sample'
PREPROCESSOR = 'SegDataPreProcessor'
# The rest is what comes after decoding.
DECODING = (SAMPLE, 'LoadImageFromFile', 'LoadAnnotations', 'CachedLoading')
NUM_WORKERS = 2
# Batches of one measurement of the loader.
NUM_BATCHES = 12


class Side:
    """Data set, loader and data preprocessor of one side.

    Args:
        case: what is read.
        root: the data set's folder.
        stock: whether all classes are mmseg's.
        cache: folder of the cache of ours, or None.
    """

    def __init__(self, case: Case, root: str, stock: bool, cache: str | None = None) -> None:
        self.batch, self.seed = case.batch, 0
        self.dataset = build_dataset(case, root, stock, cache)
        self.preprocessor = MODELS.build(
            dict(
                type=PREPROCESSOR,
                mean=[123.675, 116.28, 103.53],
                std=[58.395, 57.12, 57.375],
                bgr_to_rgb=True,
                size=case.crop_size,
                _scope_='mmseg' if stock else SCOPE,
            )
        )
        self.loader = DataLoader(
            self.dataset,
            batch_size=case.batch,
            num_workers=NUM_WORKERS,
            persistent_workers=True,
            sampler=[i % len(self.dataset) for i in range(NUM_BATCHES * case.batch)],
            collate_fn=pseudo_collate,
            worker_init_fn=_use_one_core,
            # As trainings start theirs; this process itself was started another way.
            multiprocessing_context='fork',
        )

    def read(self) -> dict[str, float]:
        """Read every picture and prepare the batches: CPU seconds per picture of each step."""
        spent: dict[str, float] = defaultdict(float)
        np.random.seed(self.seed)
        self.seed += 1
        clock, samples = time.process_time, []
        for index in range(len(self.dataset)):
            start = clock()
            results = self.dataset.get_data_info(index)
            spent[SAMPLE] += clock() - start
            for transform in self.dataset.pipeline.transforms:
                start = clock()
                results = transform(results)
                spent[type(transform).__name__] += clock() - start
            samples.append(results)
            if len(samples) == self.batch or index == len(self.dataset) - 1:
                start = clock()
                self.preprocessor(pseudo_collate(samples), training=True)
                spent[PREPROCESSOR] += clock() - start
                samples = []
        return {name: seconds / len(self.dataset) for name, seconds in spent.items()}

    def load(self) -> float:
        """Take :data:`NUM_BATCHES` batches from the loader: seconds on the clock per batch."""
        start = time.perf_counter()
        for batch in self.loader:
            self.preprocessor(batch, training=True)
        return (time.perf_counter() - start) / NUM_BATCHES


def build_dataset(case: Case, root: str, stock: bool, cache: str | None):
    """Build mmseg's data set and transforms, or ours, from the same config."""
    scope = 'mmseg' if stock else SCOPE
    config = dict(
        type=case.dataset_type,
        data_root=root,
        data_prefix=case.data_prefix,
        pipeline=case.pipeline(),
        indices=case.num_pictures,
    )
    if case.dataset_type == 'CityscapesDataset':
        config.update(img_suffix=case.suffixes[0], seg_map_suffix=case.suffixes[1])
    if cache is not None:
        config = dict(type='CachedDataset', dataset=config, folder=cache)
    if not stock:
        # As a training does it.
        config = dict(type='FusedPipelines', dataset=config, small_labels=True)
    with DefaultScope.overwrite_default_scope(scope):
        return DATASETS.build(config)


def _use_one_core(_: int = 0) -> None:
    cv2.setNumThreads(0)
    torch.set_num_threads(1)


def serve(
    connection: Connection,
    *,
    roots: dict[str, str],
    stock: bool,
    cache: str | None,
    keep_memory: bool,
) -> None:
    """Answer ``(method, case)`` with what that method of :class:`Side` returns, until the end.

    Args:
        connection: to the process that measures; ``step`` asks whether this one is ready.
        roots: folder of each case's data set.
        stock: whether all classes are mmseg's.
        cache: folder of the cache of ours, or None.
        keep_memory: whether freed memory stays in the process.
    """
    ignore_upstream_warnings()
    os.environ.update({'CUDA_VISIBLE_DEVICES': '', OPT_OUT: str(int(keep_memory))})
    keep_freed_memory()
    _use_one_core()
    register_all()
    sides: dict[str, Side] = {}
    try:
        while (message := connection.recv()) == 'step':
            connection.send(None)
        while True:
            method, case = message
            if case not in sides:
                sides[case] = Side(CASES[case], roots[case], stock, cache)
            connection.send(getattr(sides[case], method)())
            message = connection.recv()
    except (EOFError, BrokenPipeError):
        return
