"""Batches of a real model: who is predicted with whom, who is left out."""

import asyncio

import numpy as np
import pytest
from real_server import Blocked

pytest.importorskip('fastapi')
from mmseg_custom.serving.batching import Batcher
from mmseg_custom.serving.limits import Limits, RefusedError


async def known(image: np.ndarray) -> np.ndarray:
    return image


async def decoded(image: np.ndarray) -> np.ndarray:
    """The image, once others are on their way."""
    await asyncio.sleep(0)
    return image


def predict_all(inferencer, images, limits=None):
    """Results or errors in order, and the sizes of the batches."""
    sizes = []

    async def run():
        batcher = Batcher(
            inferencer, limits or Limits(batch_wait_ms=5000), lambda size, _: sizes.append(size)
        )
        tasks = [batcher.predict(decoded(image)) for image in images]
        try:
            return await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            await asyncio.to_thread(batcher.stop)
            assert not batcher.alive and batcher.seconds_per_picture > 0

    return asyncio.run(run()), sizes


def test_pictures_of_one_size_go_together_and_get_their_own_answers(inferencer, picture):
    images = [picture, picture[::-1].copy(), picture[:, ::-1].copy(), picture[:40], picture]
    found, sizes = predict_all(inferencer, images)
    assert sorted(sizes) == [1, 1, 3]
    for image, prediction in zip(images, found, strict=True):
        np.testing.assert_array_equal(prediction.labels, inferencer(image).labels)


def test_a_batch_does_not_exceed_its_size(inferencer, picture):
    _, sizes = predict_all(inferencer, [picture] * 5, Limits(batch_size=2, batch_wait_ms=5000))
    assert sizes == [2, 2, 1]


def test_a_picture_that_fails_does_not_take_others_with_it(inferencer, picture):
    grey = picture[..., 0]
    found, _ = predict_all(inferencer, [picture, grey, picture])
    assert isinstance(found[1], RefusedError) and found[1].status == 422
    for number in (0, 2):
        np.testing.assert_array_equal(found[number].labels, inferencer(picture).labels)


def test_what_is_cancelled_is_not_predicted(inferencer, picture, monkeypatch):
    blocked, sizes = Blocked(inferencer, monkeypatch), []

    async def run():
        batcher = Batcher(inferencer, Limits(batch_size=1), lambda size, _: sizes.append(size))
        tasks = [asyncio.ensure_future(batcher.predict(known(picture))) for _ in range(4)]
        while blocked.calls == 0:
            await asyncio.sleep(0.01)
        for number in (1, 3):
            tasks[number].cancel()
        await asyncio.sleep(0)
        blocked.let_go.set()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.to_thread(batcher.stop)
        return [isinstance(one, asyncio.CancelledError) for one in found]

    assert asyncio.run(run()) == [False, True, False, True]
    assert sizes == [1, 1]


def test_a_defect_ends_its_requests_and_not_the_thread(inferencer, picture, monkeypatch):
    forward = inferencer.forward_packed
    calls = []

    def first_fails(batch):
        calls.append(batch)
        if len(calls) == 1:
            raise RuntimeError('the memory is full')
        return forward(batch)

    monkeypatch.setattr(inferencer, 'forward_packed', first_fails)
    found, _ = predict_all(inferencer, [picture] * 2, Limits(batch_size=1))
    assert str(found[0]) == 'the memory is full'
    assert found[1].labels.shape == (61, 90)
