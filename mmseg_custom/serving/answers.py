"""From a prediction to the JSON of an answer."""

import base64
import io
import time
from dataclasses import replace

from mmseg_custom.inference.prediction import Prediction, RegionOptions
from mmseg_custom.inference.region_files import hosted_region
from mmseg_custom.inference.regions import Region
from mmseg_custom.serving.limits import RefusedError
from mmseg_custom.serving.schema import Segmented, SegmentOptions
from mmseg_custom.visualization.rendering import class_map_image


def write_answer(
    prediction: Prediction, model: str, options: SegmentOptions, max_regions: int, deadline: float
) -> bytes:
    """Write :class:`mmseg_custom.serving.schema.Segmented`.

    Args:
        prediction: of the picture.
        model: its name.
        options: of the request.
        max_regions: that the answer holds at most.
        deadline: of :func:`time.monotonic`.

    Raises:
        RefusedError: 422 an option does not fit the model.
        TimeoutError: the deadline has passed.
    """
    cut = RegionOptions(options.whole_classes, options.min_area, options.leave_out)
    try:
        found = replace(prediction, options=cut).find_regions(
            min_value=options.confidence, most=max_regions
        )
    except ValueError as error:
        raise RefusedError(422, f'leave_out: {error}') from error
    height, width = prediction.labels.shape
    answer = Segmented(
        model=model,
        width=width,
        height=height,
        num_regions=found.count,
        regions=[_region(region, options.masks, deadline) for region in found.regions],
        labels=dict(base64=_labels_png(prediction)) if options.labels else None,
    )
    return answer.model_dump_json(exclude_none=True).encode()


def _region(region: Region, with_mask: bool, deadline: float) -> dict:
    if time.monotonic() > deadline:
        raise TimeoutError
    content = hosted_region(region, with_mask)
    content['region_info'] |= dict(area=region.area, box=region.box)
    return content


def _labels_png(prediction: Prediction) -> str:
    try:
        picture = class_map_image(prediction.labels, prediction.palette, ignore_index=None)
    except ValueError as error:
        raise RefusedError(422, f'labels: {error}') from error
    buffer = io.BytesIO()
    picture.save(buffer, 'PNG')
    return base64.b64encode(buffer.getvalue()).decode('ascii')
