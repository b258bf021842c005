"""What requests and answers look like, for the OpenAPI document and for checks."""

from pydantic import BaseModel, ConfigDict, Field


class SegmentOptions(BaseModel):
    """Options in the address of ``POST /v1/segment``."""

    model_config = ConfigDict(extra='forbid', protected_namespaces=())

    model: str | None = Field(None, description='Name of a model; default: the first one.')
    min_area: int = Field(1, ge=1, description='Smaller regions are left out, in pixels.')
    confidence: float = Field(
        0.0, ge=0, le=1, description='Regions with a lower value are left out.'
    )
    whole_classes: bool = Field(False, description='One region for each class.')
    leave_out: list[str] = Field([], description='Classes without regions.')
    masks: bool = Field(True, description='Whether regions have masks.')
    labels: bool = Field(False, description='Whether to add the class of each pixel.')


class Picture(BaseModel):
    """A PNG."""

    base64: str = Field(description='The file in base64.')


class Mask(BaseModel):
    """255 in the region and 0 outside, of the picture's size."""

    image: Picture


class RegionInfo(BaseModel):
    """Where a region is."""

    mask: Mask | None = Field(None, description='Left out with masks=false.')
    area: int = Field(description='Pixels.')
    box: tuple[int, int, int, int] = Field(description='x, y, width, height in pixels.')


class Concept(BaseModel):
    """A class."""

    name: str
    value: float = Field(ge=0, le=1, description='Mean probability over the region.')


class RegionData(BaseModel):
    """What a region is."""

    concepts: list[Concept] = Field(min_length=1, max_length=1)


class HostedRegion(BaseModel):
    """A connected component of a class, or a class."""

    region_info: RegionInfo
    data: RegionData


class Segmented(BaseModel):
    """The regions of a picture, the largest first."""

    model: str
    width: int = Field(description='Of the picture, as its Exif turns it, in pixels.')
    height: int
    num_regions: int = Field(description='All that fit the options, those left out as well.')
    regions: list[HostedRegion] = Field(
        description='The largest, as many as the service gives in one answer (--max-regions).'
    )
    labels: Picture | None = Field(None, description='Class indices, shown in the palette.')


class ModelInfo(BaseModel):
    """A model that is served."""

    name: str
    classes: list[str]
    palette: list[tuple[int, int, int]] = Field(description='Red, green, blue, 0..255.')


class Models(BaseModel):
    """The models that are served."""

    models: list[ModelInfo]


class Health(BaseModel):
    """Whether pictures are predicted."""

    status: str


class Fault(BaseModel):
    """Why a request is not served."""

    reason: str = Field(description='One line.')
