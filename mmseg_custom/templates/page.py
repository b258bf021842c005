"""The page of ``tools/segmenter.py page``: choose, set values, train, watch, predict."""

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from mmseg_custom.templates.client import App, Model
from mmseg_custom.templates.page_data import doctors_report
from mmseg_custom.templates.page_fields import form_of, values_of
from mmseg_custom.templates.page_progress import curves, samples_shown, status_line
from mmseg_custom.web.notices import notice
from mmseg_custom.web.pages import import_gradio, new_page
from mmseg_custom.web.results import Results, problem_with
from mmseg_custom.web.upload import upload_field
from mmseg_custom.web.views import EMPTY, segmentation_view

if TYPE_CHECKING:
    import gradio

TITLE = 'Train a segmenter'
MODEL_NAME = 'segmenter'
POLL_SECONDS = 2.0
NUM_SAMPLES, LOG_LINES = 4, 30
NO_RUN = 'Nothing was trained yet.'
# What the user, not the program, is to blame for.
MISTAKES = (ValueError, OSError)


def build_page(app: App) -> 'gradio.Blocks':
    """Build the page; serve it with :func:`mmseg_custom.web.pages.serve_page`.

    Whoever reaches the page may name folders of this machine as data sets and start trainings.

    Args:
        app: whose data sets it offers, and in whose name it trains.

    Raises:
        ModuleNotFoundError: gradio is not installed.
    """
    return TemplatesPage(app).build()


class TemplatesPage:
    """Parts of the page, and what they do.

    Args:
        app: as of :func:`build_page`.
    """

    def __init__(self, app: App) -> None:
        self.app, self.results, self.gradio = app, Results(), import_gradio()

    @cached_property
    def schemas(self) -> dict[str, dict]:
        """JSON schema of each template."""
        names = self.app.templates()
        return {name: self.app.create_model(MODEL_NAME, name).schema() for name in names}

    def build(self) -> 'gradio.Blocks':
        """Lay out all parts and connect them."""
        gradio = self.gradio
        with new_page(TITLE) as page:
            gradio.Markdown(f'# {TITLE}')
            with gradio.Tabs() as tabs:
                with gradio.Tab('Set up', id='setup'):
                    setup, train, problem = self._setup()
                with gradio.Tab('Training', id='training'):
                    run = self._training()
                with gradio.Tab('Predict', id='predict'):
                    self._predicting(run)
            train.click(self.train, setup, [problem, run, tabs], api_visibility='private')
            page.load(self.runs, None, run, api_visibility='private')
        return page

    def _setup(self) -> tuple:
        """Template, data set and values; what a training takes, its button, what it says."""
        gradio, names = self.gradio, list(self.schemas)
        with gradio.Row():
            template = gradio.Dropdown(
                names, value=names[0], label='Template', info='what is trained', min_width=300
            )
            dataset = gradio.Dropdown(
                [entry.name for entry in self.app.datasets.list()],
                value=None,
                allow_custom_value=True,
                label='Data set',
                info='the name of one, or a folder on this machine',
                min_width=300,
            )
        verdict = gradio.HTML(elem_id='verdict')
        with gradio.Accordion("The doctor's report", open=False, visible=False) as details:
            report = gradio.HTML()
        concepts = gradio.CheckboxGroup(visible=False, label='Concepts to learn')
        dataset.change(
            self.inspect,
            dataset,
            [verdict, details, report, concepts],
            api_visibility='private',
        )
        values = self._forms(template)
        problem = gradio.HTML(elem_id='problem')
        train = gradio.Button('Train', variant='primary', elem_id='train')
        return [template, dataset, concepts, *values], train, problem

    def _forms(self, template) -> list:
        """A form for each template, of which one is seen."""
        gradio, columns, values = self.gradio, [], []
        for number, schema in enumerate(self.schemas.values()):
            with gradio.Column(visible=number == 0) as column, gradio.Row(elem_classes=['fields']):
                values += form_of(schema).values()
            columns.append(column)

        def choose(chosen: str) -> list:
            return [gradio.Column(visible=name == chosen) for name in self.schemas]

        template.change(choose, template, columns, api_visibility='private', show_progress='hidden')
        return values

    def _training(self) -> 'gradio.Dropdown':
        """How a run goes, and the buttons that stop and resume it."""
        gradio = self.gradio
        with gradio.Row():
            run = gradio.Dropdown([], label='Run', elem_id='run', scale=4, min_width=300)
            stop = gradio.Button('Stop', min_width=100, elem_classes=['beside'])
            resume = gradio.Button('Resume', min_width=100, elem_classes=['beside'])
        status = gradio.HTML(notice(NO_RUN), elem_id='status')
        drawn = gradio.HTML(elem_id='curves')
        samples = gradio.HTML(elem_id='samples')
        with gradio.Accordion('Log', open=False):
            log = gradio.Code(language=None, interactive=False, show_label=False, max_lines=20)
        seen = gradio.State(())
        quiet = dict(api_visibility='private', show_progress='hidden')
        gradio.Timer(POLL_SECONDS).tick(
            self.progress, [run, seen], [status, drawn, samples, log, seen], **quiet
        )
        stop.click(self.stop, run, status, api_visibility='private')
        resume.click(self.resume, run, status, api_visibility='private')
        return run

    def _predicting(self, run) -> None:
        """An upload, and what the run's model makes of it."""
        upload = upload_field('Picture', ['image'])
        view = segmentation_view(self.results, elem_classes=['segmentation'])
        upload.change(self.predict, [run, upload], view, api_visibility='private')

    def inspect(self, dataset: str | None) -> list:
        """Verdict, report and classes of a data set."""
        gradio = self.gradio
        hidden = [gradio.Accordion(visible=False), '', gradio.CheckboxGroup([], visible=False)]
        if not dataset:
            return ['', *hidden]
        try:
            folder = self.app.datasets.get_present(dataset).folder
            words, is_good, report = doctors_report(dataset, folder)
            classes = [*self.app.datasets.concepts(dataset)]
        except MISTAKES as error:
            return [notice(str(error), 'error'), *hidden]
        kind = 'error' if not is_good else 'good' if words.endswith('ok') else 'warning'
        return [
            notice(f"The doctor's {words}", kind),
            gradio.Accordion(visible=True),
            report,
            gradio.CheckboxGroup(classes, value=classes, visible=True),
        ]

    def train(self, template: str, dataset: str | None, concepts: Sequence[str], *values) -> tuple:
        """Queue a training; problem, run and the tab to look at."""
        gradio = self.gradio
        try:
            model = self.app.create_model(MODEL_NAME, template)
            chosen = values_of(self.schemas[template], self._of_template(template, values))
            model.update_params(dataset_id=dataset or '', concepts=[*concepts] or None, **chosen)
            run = model.train()
        except MISTAKES as error:
            return notice(str(error), 'error'), gradio.skip(), gradio.skip()
        return '', self.runs(run), gradio.Tabs(selected='training')

    def _of_template(self, template: str, values: Sequence) -> Sequence:
        """The values of one of the forms, which lie one after another."""
        first = 0
        for name, schema in self.schemas.items():
            last = first + len(schema['properties'])
            if name == template:
                return values[first:last]
            first = last
        raise ValueError(f"template '{template}' does not exist")

    def runs(self, chosen: str | None = None) -> 'gradio.Dropdown':
        """The runs to choose from, the newest first."""
        runs = self.app.runs.list()
        choices = [(f'{run.id}: {run.template} on {run.dataset}', run.id) for run in runs]
        newest = runs[0].id if runs else None
        return self.gradio.Dropdown(choices, value=chosen or newest)

    def progress(self, run: str | None, seen: tuple) -> list:
        """Status, curves, samples, log, and what of the run is seen with them."""
        skip = self.gradio.skip()
        if not run:
            return [skip] * 5
        model = self.app.run(run)
        history = model.history()
        validations = [record['step'] for record in history if record['mode'] == 'val']
        now = run, len(history), (len(validations), model.best)
        shown = [status_line(run, model.status()), skip, skip, skip, now]
        if now != seen:
            log = '\n'.join([*model.logs()][-LOG_LINES:])
            shown[1], shown[3] = curves(history), log
        if (run, now[2]) != (seen[:1] + seen[2:]):
            shown[2] = self._samples(model, validations)
        return shown

    def _samples(self, model: Model, validations: Sequence[int]) -> str:
        """What the best checkpoint so far makes of some pictures."""
        if not validations:
            return ''
        try:
            predictions = model.predict(model.pictures(count=NUM_SAMPLES))
        except MISTAKES as error:
            return notice(f'no samples: {error}', 'warning')
        return samples_shown(predictions, validations[-1])

    def stop(self, run: str | None) -> str:
        """Stop a run after a checkpoint."""
        return self._told(run, lambda model: model.stop())

    def resume(self, run: str | None) -> str:
        """Let a run go on."""
        return self._told(run, lambda model: model.resume())

    def _told(self, run: str | None, tell) -> str:
        if not run:
            return notice(NO_RUN, 'warning')
        try:
            return status_line(run, tell(self.app.run(run)))
        except MISTAKES as error:
            return notice(str(error), 'error')

    def predict(self, run: str | None, path: str | None) -> dict:
        """What the model of a run makes of an upload."""
        if path is None:
            return dict(empty=EMPTY)
        if not run:
            return dict(empty=NO_RUN)
        try:
            (prediction,) = self.app.run(run).predict(path)
        except MISTAKES as error:
            return problem_with(path, error)
        height, width = prediction.labels.shape
        return self.results.show(prediction, run, f'{width}x{height} pixels')
