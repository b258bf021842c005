"""The HTTP application: routes, their order of checks, and errors in one line of JSON."""

import hmac
from collections.abc import Collection, Mapping
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException

import mmseg_custom
from mmseg_custom.inference.inferencer import Inferencer
from mmseg_custom.serving.bodies import FORM, WholeAnswers
from mmseg_custom.serving.limits import Limits, RefusedError
from mmseg_custom.serving.metrics import Counting
from mmseg_custom.serving.schema import Fault, Health, ModelInfo, Models, Segmented, SegmentOptions
from mmseg_custom.serving.service import Service
from mmseg_custom.web.own_site import OwnSite

SEGMENT = '/v1/segment'
BINARY = {'type': 'string', 'format': 'binary'}
BODY = {
    'required': True,
    'description': 'The file of a picture (JPEG, PNG, WebP, TIFF or BMP, 8 bits per channel), or a '
    'form with this file alone.',
    'content': {
        'image/*': {'schema': BINARY},
        'application/octet-stream': {'schema': BINARY},
        FORM: {'schema': {'type': 'object', 'properties': {'file': BINARY}}},
    },
}
REASONS = {
    400: 'no picture, a damaged form, or a Host that is not of this service',
    401: 'wrong token',
    403: 'asked by a page of another site',
    404: 'no such model',
    408: 'the body did not arrive in time',
    413: 'too many bytes or pixels',
    415: 'no picture of a known format',
    422: 'a damaged picture or a wrong option',
    429: 'too many requests in work; see Retry-After',
    500: 'a defect',
    504: 'it took too long and was dropped',
}
bearer = HTTPBearer(auto_error=False, description='Only where the service has a token.')


def create_app(
    models: Mapping[str, Inferencer],
    limits: Limits | None = None,
    token: str | None = None,
    page: bool = True,
    names: Collection[str] | None = None,
) -> FastAPI:
    """Build the application.

    Args:
        models: by name; the first one is the default.
        limits: of requests; default: :class:`Limits` as it is.
        token: that requests must bring, except ``GET /healthz`` and ``GET /openapi.json``; None
            asks for none. The page asks for it as a password.
        page: also serve the page at ``/``.
        names: that browsers know the service by; see :func:`mmseg_custom.web.own_site.names_of`.

    Raises:
        ModuleNotFoundError: the page is wanted and Gradio is not installed.
        ValueError: the token cannot stand in a header.
    """
    if token is not None and not (token and token.isascii() and token.isprintable()):
        raise ValueError('the token is empty or has unusual characters; expected printable ASCII')
    limits = limits or Limits()
    service = Service(models, limits)

    @asynccontextmanager
    async def lifespan(app: FastAPI):
        yield
        service.stop()

    # No pages of documentation: theirs load scripts from other hosts.
    app = FastAPI(
        title='mmseg_custom',
        version=mmseg_custom.__version__,
        summary='Semantic segmentation of pictures.',
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    app.state.service = service
    app.add_middleware(OwnSite, names=names)
    app.add_middleware(WholeAnswers)
    app.add_middleware(Counting, metrics=service.metrics, path=SEGMENT)
    _add_error_answers(app)
    _add_routes(app, service, token)
    if page:
        return _with_page(app, models, limits, token)
    return app


def _add_routes(app: FastAPI, service: Service, token: str | None) -> None:
    # A function that is not async would get a thread for each request.
    async def check_token(
        given: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)],
    ) -> None:
        if token is not None and not _same(given.credentials if given else '', token):
            raise RefusedError(
                401,
                'wrong or no token; expected the header Authorization: Bearer TOKEN',
                {'WWW-Authenticate': 'Bearer'},
            )

    async def admit():
        with service.admitted():
            yield

    authorised = Depends(check_token)
    # Until the answer is sent: one that nobody reads holds memory.
    admitted = Depends(admit, scope='request')

    @app.post(
        SEGMENT,
        dependencies=[authorised, admitted],
        response_model=Segmented,
        responses={
            status: {'model': Fault, 'description': reason} for status, reason in REASONS.items()
        },
        openapi_extra={'requestBody': BODY},
    )
    async def segment(request: Request, options: Annotated[SegmentOptions, Query()]) -> Response:
        """Find the regions of a picture."""
        answer = await service.segment(request, options)
        return Response(answer, media_type='application/json')

    @app.get('/v1/models', dependencies=[authorised])
    async def models() -> Models:
        """List the models with their classes."""
        return Models(
            models=[
                ModelInfo(name=name, **batcher.inferencer.model.dataset_meta)
                for name, batcher in service.batchers.items()
            ]
        )

    @app.get('/healthz', responses={503: {'model': Health}})
    async def healthz(response: Response) -> Health:
        """Tell whether pictures are predicted."""
        alive = service.alive
        response.status_code = 200 if alive else 503
        return Health(status='ok' if alive else 'a model has stopped; start the service again')

    @app.get('/metrics', dependencies=[authorised], response_class=Response)
    async def metrics() -> Response:
        """Count requests, batches, memory, in the format of Prometheus."""
        return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)


def _same(given: str, token: str) -> bool:
    """Compare in a time that tells nothing of the token."""
    return hmac.compare_digest(given.encode(errors='replace'), token.encode())


def _add_error_answers(app: FastAPI) -> None:
    @app.exception_handler(RefusedError)
    async def refused(request: Request, error: RefusedError) -> JSONResponse:
        return _fault(error.status, str(error), error.headers)

    @app.exception_handler(HTTPException)
    async def not_served(request: Request, error: HTTPException) -> JSONResponse:
        return _fault(error.status_code, str(error.detail), error.headers)

    @app.exception_handler(RequestValidationError)
    async def wrong_option(request: Request, error: RequestValidationError) -> JSONResponse:
        faults = (f'{".".join(map(str, one["loc"][1:]))}: {one["msg"]}' for one in error.errors())
        return _fault(422, '; '.join(faults))

    @app.exception_handler(Exception)
    async def defect(request: Request, error: Exception) -> JSONResponse:
        return _fault(500, f'{type(error).__name__}; the log of the service has more')


def _fault(status: int, reason: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse(Fault(reason=reason).model_dump(), status, headers)


def _with_page(
    app: FastAPI, models: Mapping[str, Inferencer], limits: Limits, token: str | None
) -> FastAPI:
    from mmseg_custom.serving.page import build_page
    from mmseg_custom.web.pages import mount_page

    auth = None if token is None else lambda _, password: _same(password, token)
    return mount_page(app, build_page(dict(models), limits), limits.max_bytes, auth)
