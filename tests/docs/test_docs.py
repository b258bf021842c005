"""Every command of the documentation runs, and everything that it names exists."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from doc_annotations import make_annotations
from doc_pages import CODE, PAGES, ROOT, Block, anchors, blocks, links, named_files, prose
from doc_workspace import (
    make_data,
    make_weights,
    make_workspace,
    run_script,
    shorten,
    substituted,
    warm_server,
    write_file,
)

from mmseg_custom.engine.config import check_key, load_config

SEGMENTER = 'segmenter/segmenter_vit-t_mask_8xb1-160k_ade20k-512x512.py'
CAMVID = 'segformer/segformer_mit-b0_1xb8-4k_camvid-360x480.py'
BLOCKS = [block for page in PAGES for block in blocks(page)]
# Of all blocks with code: those that serve until they are stopped, that make environments, take
# minutes, or need Slurm, Docker, another machine, published weights.
MOST_BLOCKS_NOT_RUN = 16
pages = pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
TOOL = re.compile(r'tools/[\w/]+\.(?:py|sh)')
# The options of these are those of the Python tool that they start.
STARTS = {'dist_train.sh': 'train.py', 'dist_test.sh': 'test.py', 'slurm_train.sh': 'train.py'}


def with_blocks(*, slow: bool) -> list[Path]:
    """The pages with blocks that are run, by the default suite or only by the slow one."""
    return [p for p in PAGES if any(b.is_run and ('slow' in b.remarks) is slow for b in blocks(p))]


@pytest.fixture(scope='module')
def server(tmp_path_factory):
    # A socket's address may have about a hundred characters.
    with warm_server(tmp_path_factory.mktemp('warm') / 'p') as folder:
        yield folder


@pytest.fixture(scope='module')
def shared(tmp_path_factory, server) -> Path:
    """Pictures, and a checkpoint trained on them by the command of the pages."""
    folder = tmp_path_factory.mktemp('shared')
    make_data(folder)
    work = make_workspace(tmp_path_factory.mktemp('first') / 'work', folder)
    run_script('python tools/train.py CONFIG --work-dir work_dirs/first', work, server)
    (folder / 'checkpoint.pth').symlink_to(work / 'work_dirs/first/iter_2.pth')
    return folder


def run_blocks(page: Path, folder: Path, server: Path, slow: bool) -> None:
    for block in blocks(page):
        if not block.is_run or ('slow' in block.remarks and not slow):
            continue
        if block.language == 'bash':
            try:
                run_script(block.text, folder, server, timeout=1700 if slow else 280)
            except AssertionError as error:
                pytest.fail(f'{block.place}: {error}', pytrace=False)
        elif block.file is not None:
            write_file(block, folder)


@pytest.mark.parametrize('page', with_blocks(slow=False), ids=lambda page: page.name)
def test_commands_run(page, shared, server, tmp_path):
    folder = make_workspace(tmp_path / 'work', shared)
    if page.name == 'converters.md':
        make_annotations(folder)
    run_blocks(page, folder, server, slow=False)


@pytest.mark.slow
@pytest.mark.parametrize('page', with_blocks(slow=True), ids=lambda page: page.name)
def test_slow_commands_run(page, shared, server, tmp_path, request):
    folder = make_workspace(tmp_path / 'work', shared)
    if page.name == 'weights.md':
        make_weights(folder)
    if page.name == 'templates.md':
        nuclei = request.getfixturevalue('shared_data') / 'nuclei'
        (folder / 'data/nuclei').symlink_to(nuclei)
    run_blocks(page, folder, server, slow=True)
    if page.name == 'templates.md':
        report = folder / 'work_dirs/segmenter/runs/run-1/evaluation/report/metrics.json'
        assert json.loads(report.read_text())['summary']['fgIoU'] >= 60


@pytest.mark.parametrize(
    'block', [b for b in BLOCKS if 'output' in b.remarks], ids=lambda block: block.place
)
def test_shown_output_is_what_the_command_prints(block, shared, server, tmp_path):
    folder = make_workspace(tmp_path / 'work', shared)
    printed = run_script(block.remarks['output'], folder, server)
    position = 0
    for part in re.split(r'^ *\.\.\.\n', block.text, flags=re.M):
        found = printed.find(part, position)
        assert found >= 0, f'{block.place}: not printed:\n{part}\n--- but\n{printed}'
        position = found + len(part)


@pytest.mark.parametrize(
    'block', [b for b in BLOCKS if b.is_run and b.language != 'bash'], ids=lambda block: block.place
)
def test_shown_file_names_itself(block):
    assert block.file is not None, f'{block.place}: the first line does not name the file'


def test_what_is_not_run_says_why():
    unrun = [block for block in BLOCKS if 'not run' in block.remarks]
    assert all(len(block.remarks['not run']) > 8 for block in unrun)
    assert len(unrun) <= MOST_BLOCKS_NOT_RUN, [block.place for block in unrun]
    unmarked = [b.place for b in BLOCKS if b.language not in (*CODE, 'text', 'mermaid')]
    assert unmarked == [], 'blocks without a known language'


@pages
def test_links_lead_somewhere(page):
    for target in links(page):
        name, _, anchor = target.partition('#')
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), f'{page.name} links to {target}'
        assert not anchor or anchor in anchors(file), f'{page.name}: no heading for {target}'


def test_the_readme_links_every_page_once():
    found = links(ROOT / 'README.md')
    counts = {page.name: found.count(f'docs/{page.name}') for page in (ROOT / 'docs').glob('*.md')}
    assert {name: count for name, count in counts.items() if count != 1} == {}


@pages
def test_named_files_exist(page):
    # Of the wheel, in which tools/ and configs/ lie in the package.
    missing = [name for name in named_files(page) if not (ROOT / name).exists()]
    assert [name for name in missing if not name.startswith('mmseg_custom/tools')] == []


@pytest.fixture(scope='module')
def help_of():
    """The help text of a tool, asked once."""
    texts: dict[str, str] = {}

    def ask(tool: str) -> str:
        path = ROOT / Path(tool).with_name(STARTS.get(Path(tool).name, Path(tool).name))
        if tool not in texts:
            done = subprocess.run([sys.executable, path, '--help'], capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            texts[tool] = done.stdout
        return texts[tool]

    return ask


def test_options_exist(help_of):
    wrong = []
    for block in (block for block in BLOCKS if block.language == 'bash'):
        for command in block.commands():
            tool = TOOL.search(command)
            options = set(re.findall(r'(?<!\S)(--[a-z-]+)', command[tool.end() :])) if tool else ()
            known = set(re.findall(r'--[a-z-]+', help_of(tool[0]))) if options else set()
            wrong += [f'{block.place}: {option}' for option in options if option not in known]
    assert wrong == []


def documented_options() -> list[str]:
    """Every ``part.key=value`` of the pages' inline code, and what stands with it."""
    spans = [span for page in PAGES for span in re.findall(r'`([^`\n]+)`', prose(page))]
    words = [
        word for span in spans for word in re.findall(r'(?<![\w.+])[a-z_]\w*(?:\.\w+)+=\S+', span)
    ]
    return sorted({word.strip('"') for word in words})


def test_documented_keys_are_known():
    options = documented_options()
    assert len(options) > 15
    configs = [load_config(name) for name in (SEGMENTER, CAMVID)]
    unknown = []
    for option in options:
        errors = []
        for config in configs:
            try:
                check_key(config, option.partition('=')[0])
            except ValueError as error:
                errors.append(str(error))
        if len(errors) == len(configs):
            unknown.append(errors[0])
    assert unknown == []


def test_messages_of_the_faq_are_ours():
    """The first column of its tables quotes lines that the code has, up to what they fill in."""
    source = '\n'.join(path.read_text() for path in (ROOT / 'mmseg_custom').rglob('*.py'))
    source = re.sub(r"""['"]\s*\n\s*f?['"]""", '', source)
    quoted = re.findall(r'^\| `([^`]*)` \|', (ROOT / 'docs/faq.md').read_text(), re.M)
    assert len(quoted) > 15
    gone = []
    for message in quoted:
        parts = [part for part in re.split(r'\.\.\.|[\d.]+', message) if len(part) >= 10]
        if not any(part in source for part in parts):
            gone.append(message)
    assert gone == ['address already in use']


def test_the_reader_of_pages(tmp_path):
    page = ROOT / 'docs' / 'none.md'
    text = (
        '# A `b` c\n<!-- not run: needs a GPU -->\n```bash\na --b \\\n  c   # why\n```\n'
        '\n```python\n# own/part.py\n```\n[x](other.md#y) `tools/train.py`.\n'
    )
    page = tmp_path / 'page.md'
    page.write_text(text)
    first, second = blocks(page)
    assert first.remarks == {'not run': 'needs a GPU'} and not first.is_run
    assert first.commands() == ['a --b    c'] and first.line == 3
    assert second.is_run and second.file == 'own/part.py'
    assert links(page) == ['other.md#y'] and named_files(page) == {'tools/train.py'}
    assert anchors(page) == {'a-b-c'}


def test_what_is_put_in_place():
    assert substituted('bash tools/dist_train.sh CONFIG 8').endswith('_folder.py 2')
    machines = substituted('NNODES=4 NODE_RANK=0 MASTER_ADDR=a PORT=1 bash x.sh CONFIG 8\n')
    assert machines.count('NNODES=2 NODE_RANK=') == 2 and machines.count('_folder.py 1') == 2
    training = shorten(['tools/train.py', 'a.py', '--cfg-options', 'max_epochs=50'])
    assert 'max_epochs=1' in training and 'max_iters=2' not in training
    assert training.count('--cfg-options') == 1
    assert '--from-scratch' in shorten(['tools/train.py', 'b0_8xb2.py'])
    assert shorten(['tools/train.py', '--help']) == ['tools/train.py', '--help']


def test_a_command_that_fails_is_found(server, tmp_path):
    with pytest.raises(AssertionError, match='does not exist'):
        run_script('python tools/test.py no_config.py CHECKPOINT', ROOT, server)
    with pytest.raises(AssertionError):
        run_script('false\ntrue', tmp_path, server)
    assert Block(ROOT / 'README.md', 1, 'bash', 'true\n').is_run
