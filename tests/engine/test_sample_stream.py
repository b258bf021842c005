"""The order of samples and their augmentation follow from the seed alone."""

import random

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from mmseg_custom.engine.samplers import SampleStream, SeededDataset
from mmseg_custom.engine.samplers.worker import WorkerStart


class Noise(torch.utils.data.Dataset):
    """A number from each generator, as a pipeline with random transforms would give."""

    metainfo = {'classes': ('a',)}

    def __len__(self):
        return 7

    def __getitem__(self, index):
        return index, random.random(), np.random.rand(), torch.rand(()).item()


def stream(rank=0, world_size=1, start=0, stop=None, **options) -> SampleStream:
    built = SampleStream(range(7), **{'seed': 3, **options})
    built.rank, built.world_size = rank, world_size
    built.start, built.stop = start, stop
    return built


def first(count: int, **options) -> list:
    iterator = iter(stream(**options))
    return [next(iterator) for _ in range(count)]


def test_every_pass_holds_every_sample_once():
    keys = first(28)
    passes = [[index for _, number, index in keys if number == n] for n in range(4)]
    assert all(sorted(order) == list(range(7)) for order in passes)
    assert len({tuple(order) for order in passes}) == 4, 'each pass has an order of its own'
    assert [index for *_, index in first(14, shuffle=False)] == [*range(7), *range(7)]
    assert first(7, seed=4) != keys[:7]
    assert first(7) == keys[:7]


@pytest.mark.parametrize('world_size', [2, 3, 4])
def test_processes_share_one_stream(world_size):
    shares = [
        first(12 // world_size, rank=rank, world_size=world_size) for rank in range(world_size)
    ]
    assert [key for round_ in zip(*shares) for key in round_] == first(12)
    assert len(stream(world_size=world_size)) == -(-7 // world_size)


def test_it_starts_and_stops_anywhere():
    assert first(5, start=9) == first(14)[9:]
    assert [*stream(start=5, stop=11)] == first(11)[5:]
    assert [*stream(start=5, stop=11, rank=1, world_size=2)] == first(11)[6:11:2]


def test_an_empty_data_set_is_an_error():
    with pytest.raises(ValueError, match='0 samples; check its data_root'):
        SampleStream([], seed=0)


def loaded(workers: int, start: int = 0) -> list:
    loader = DataLoader(
        SeededDataset(Noise()),
        batch_size=2,
        sampler=stream(start=start, stop=12),
        num_workers=workers,
        collate_fn=lambda batch: batch,
        worker_init_fn=WorkerStart(None),
        generator=torch.Generator(),
    )
    return [sample for batch in loader for sample in batch]


def test_augmentation_follows_from_the_key():
    """Any number of workers, any start; the training's own generators are not touched."""
    torch.manual_seed(5)
    random.seed(5)
    np.random.seed(5)
    wanted = (torch.rand(3).tolist(), random.random(), np.random.rand())
    torch.manual_seed(5)
    random.seed(5)
    np.random.seed(5)
    samples = loaded(0)
    assert (torch.rand(3).tolist(), random.random(), np.random.rand()) == wanted
    assert loaded(1) == loaded(2) == samples
    assert loaded(2, start=6) == samples[6:]
    values = [value for _, *sample in samples for value in sample]
    assert len(set(values)) == len(values), 'a seed was used twice'


def test_the_wrapped_data_set_shows_through():
    dataset = SeededDataset(Noise())
    assert dataset.metainfo == {'classes': ('a',)} and len(dataset) == 7
    random.seed(1)
    plain = dataset[2]
    random.seed(1)
    assert plain[:2] == (2, random.random()), 'a plain index is not seeded'
    with pytest.raises(AttributeError, match='nothing'):
        dataset.nothing  # noqa: B018
