"""Regions as other programs read them: COCO, GeoJSON, CSV, the JSON of a hosted segmenter."""

import base64
import csv
import io
from collections.abc import Callable, Iterable, Sequence

from mmseg_custom.inference.prediction import Prediction
from mmseg_custom.inference.regions import Region, Ring

CSV_COLUMNS = ('picture', 'class', 'class_index', 'regions', 'area_px', 'share_percent', 'value')


class CocoRegions:
    """Regions as a COCO data set: category ids are class indices plus one, masks run lengths.

    Attributes:
        content: ``images``, ``annotations`` (with ``score``, the region's value) and
            ``categories``; as JSON it opens with ``pycocotools.coco.COCO``.
    """

    def __init__(self) -> None:
        self.content = dict(images=[], annotations=[], categories=[])

    def add(self, prediction: Prediction) -> None:
        """Add a picture.

        Raises:
            ModuleNotFoundError: pycocotools is not installed.
        """
        images, annotations, categories = self.content.values()
        if not categories:
            categories += [dict(id=i, name=name) for i, name in enumerate(prediction.classes, 1)]
        height, width = prediction.labels.shape
        image_id = len(images) + 1
        images.append(dict(id=image_id, file_name=prediction.name, height=height, width=width))
        for region in prediction.regions:
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=image_id,
                    category_id=region.class_index + 1,
                    segmentation=region.rle,
                    area=region.area,
                    bbox=list(region.box),
                    iscrowd=0,
                    score=round(region.value, 6),
                )
            )


def to_geojson(prediction: Prediction, regions: Iterable[Region] | None = None) -> dict:
    """Regions as a GeoJSON feature collection of polygons with holes.

    Coordinates are pixels (x right, y down, corners of pixels), or those of the map where the
    prediction has a georeference; ``crs`` names it then, as GDAL and QGIS read it.

    Args:
        prediction: of a picture.
        regions: of it; None takes all.
    """
    reference = prediction.georeference
    place = reference.to_map if reference else _as_pixels
    features = [
        dict(
            type='Feature',
            geometry=_geometry(region, place),
            properties=dict(
                name=region.name,
                class_index=region.class_index,
                value=round(region.value, 6),
                area_px=region.area,
            ),
        )
        for region in (prediction.regions if regions is None else regions)
    ]
    collection = dict(type='FeatureCollection', features=features)
    if reference and reference.epsg:
        name = f'urn:ogc:def:crs:EPSG::{reference.epsg}'
        collection['crs'] = dict(type='name', properties=dict(name=name))
    return collection


def to_hosted(prediction: Prediction) -> dict:
    """Regions in the shape of a hosted segmenter's answer.

    Returns:
        ``regions``, each with ``region_info.mask.image.base64`` (a PNG of the picture's size, 255
        in the region) and ``data.concepts``, a list of one ``{name, value}``.
    """
    return dict(regions=[hosted_region(region) for region in prediction.regions])


def hosted_region(region: Region, with_mask: bool = True) -> dict:
    """One of the ``regions`` of :func:`to_hosted`; without its mask ``region_info`` is empty."""
    png = base64.b64encode(region.mask_png).decode('ascii') if with_mask else None
    return dict(
        region_info=dict(mask=dict(image=dict(base64=png))) if with_mask else {},
        data=dict(concepts=[dict(name=region.name, value=round(region.value, 6))]),
    )


def area_rows(prediction: Prediction) -> list[tuple]:
    """A row of :data:`CSV_COLUMNS` for each class that occurs."""
    rows = []
    for index, name in enumerate(prediction.classes):
        regions = [region for region in prediction.regions if region.class_index == index]
        area = sum(region.area for region in regions)
        if area:
            value = sum(region.value * region.area for region in regions) / area
            share = 100 * area / prediction.labels.size
            numbers = (index, len(regions), area, f'{share:.4f}', f'{value:.4f}')
            rows.append((prediction.name, name, *numbers))
    return rows


def csv_of(rows: Sequence[tuple]) -> str:
    """Rows of :func:`area_rows` under their header."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator='\n')
    writer.writerows([CSV_COLUMNS, *rows])
    return text.getvalue()


def _geometry(region: Region, place: Callable[[Ring], list]) -> dict:
    polygons = [
        [_closed(place(ring)) for ring in (shell, *holes)] for shell, holes in region.polygons
    ]
    if len(polygons) == 1:
        return dict(type='Polygon', coordinates=polygons[0])
    return dict(type='MultiPolygon', coordinates=polygons)


def _closed(ring: list) -> list:
    return [*ring, ring[0]]


def _as_pixels(ring: Ring) -> list[list[int]]:
    return [list(point) for point in ring]
