"""The design's rules that can be read from the source."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / 'mmseg_custom'
MODULES = sorted(PACKAGE.rglob('*.py'))
TOOLS = sorted((ROOT / 'tools').rglob('*.py'))
CONFIGS = sorted((ROOT / 'configs').rglob('*.py'))
TESTS = sorted((ROOT / 'tests').rglob('*.py'))


def layers(heading: str) -> list[set[str]]:
    """The layers of a table of docs/architecture.md, the lowest first."""
    page = (ROOT / 'docs/architecture.md').read_text(encoding='utf-8')
    table = page.partition(f'| {heading} | parts |\n')[2].partition('\n\n')[0]
    rows = re.findall(r'^\| (\d+) \| (.*) \|$', table, re.M)
    assert [int(number) for number, _ in rows] == [*range(len(rows), 0, -1)], heading
    return [set(re.findall(r'`(\w+)`', parts)) for _, parts in reversed(rows)]


# A part may import parts of a lower layer, and itself; never its siblings.
LAYERS = layers('layer')
# The same inside models/: heads and backbones share blocks through layers/ only.
MODEL_LAYERS = layers('layer of models')


def imported_modules(path: Path) -> set[str]:
    """Dotted names of everything of ours that a file imports, also inside functions."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f'{path}: relative import'
            names.add(node.module)
            names.update(f'{node.module}.{alias.name}' for alias in node.names)
    return {name for name in names if name and name.startswith('mmseg_custom.')}


def layer_of(part: str, layers: list[set[str]]) -> int | None:
    return next((i for i, layer in enumerate(layers) if part in layer), None)


def forbidden(part: str, imported: set[str], layers: list[set[str]]) -> list[str]:
    """Which of the imported parts stand beside or above ``part``."""
    own = layer_of(part, layers)
    return [
        other
        for other in sorted(imported)
        if other != part and layer_of(other, layers) is not None and layer_of(other, layers) >= own
    ]


@pytest.mark.parametrize('path', [*MODULES, *TOOLS], ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_one_way(path):
    if path.is_relative_to(PACKAGE):
        relative = path.relative_to(PACKAGE).with_suffix('').parts
        part = relative[0]
        if part == '__init__':
            assert not imported_modules(path), 'importing the package must stay cheap'
            return
    else:
        relative, part = (), 'tools'
    assert layer_of(part, LAYERS) is not None, f'{part} has no place in the layers'
    parts = {name.split('.')[1] for name in imported_modules(path)}
    assert forbidden(part, parts, LAYERS) == []
    if part == 'models' and len(relative) > 2:
        inner = {n.split('.')[2] for n in imported_modules(path) if n.count('.') > 1}
        assert forbidden(relative[1], inner, MODEL_LAYERS) == []


def test_the_page_names_every_part():
    """And nothing that is gone."""
    parts = {path.relative_to(PACKAGE).with_suffix('').parts[0] for path in MODULES}
    assert set().union(*LAYERS) == parts - {'__init__'} | {'tools'}
    inside = {path.parent.name for path in MODULES if path.parent.parent == PACKAGE / 'models'}
    assert set().union(*MODEL_LAYERS) == inside


def drawn_imports() -> dict[str, set[str]]:
    """The arrows of the picture in docs/architecture.md."""
    page = (ROOT / 'docs/architecture.md').read_text(encoding='utf-8')
    picture = re.sub(r'\[".*?"\]', '', page.partition('```mermaid')[2].partition('```')[0])
    arrows: dict[str, set[str]] = {}
    for left, right in re.findall(r'^ +(.*) --> (.*)$', picture, re.M):
        for part in left.split(' & '):
            arrows.setdefault(part, set()).update(right.split(' & '))
    return arrows


def real_imports() -> dict[str, set[str]]:
    """Which part imports which, from the source; OpenMMLab's packages count as one part."""
    found: dict[str, set[str]] = {}
    for path in [*MODULES, *TOOLS]:
        inside = path.is_relative_to(PACKAGE)
        part = path.relative_to(PACKAGE).with_suffix('').parts[0] if inside else 'tools'
        names = {name.split('.')[1] for name in imported_modules(path)}
        if re.search(r'^ *(?:from|import) (?:mmengine|mmcv|mmseg)\b', path.read_text(), re.M):
            names.add('openmmlab')
        found.setdefault(part, set()).update(names - {part})
    return found


def test_the_picture_is_what_is_imported():
    """Each arrow is an import, and each import between drawn parts a path of arrows."""
    drawn, real = drawn_imports(), real_imports()
    parts = set(drawn).union(*drawn.values())
    assert parts == set().union(*LAYERS[1:]) - {'doctor'} | {'openmmlab'}
    for part in parts:
        assert drawn.get(part, set()) <= real.get(part, set()), part
        reached, front = set(), {part}
        while front:
            front = set().union(*(drawn.get(other, set()) for other in front)) - reached
            reached |= front
        assert real.get(part, set()) & parts <= reached, part


def test_the_rule_finds_a_wrong_import(tmp_path):
    head = tmp_path / 'head.py'
    head.write_text('def f():\n    from mmseg_custom.models.backbones.vit import X\n')
    inner = {name.split('.')[2] for name in imported_modules(head)}
    assert forbidden('decode_heads', inner, MODEL_LAYERS) == ['backbones']
    assert forbidden('engine', {'datasets', 'registry', 'inference'}, LAYERS) == [
        'datasets',
        'inference',
    ]


@pytest.mark.parametrize(
    ('paths', 'limit'), [([*MODULES, *TESTS], 400), (TOOLS, 80)], ids=['package', 'tools']
)
def test_files_stay_small(paths, limit):
    long = {str(p.relative_to(ROOT)): len(p.read_text().splitlines()) for p in paths}
    assert {name: lines for name, lines in long.items() if lines > limit} == {}


def function_lengths(path: Path) -> dict[str, int]:
    """Lines of every function of a file, from ``def`` to its end, without its docstring."""
    lengths = {}
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = node.end_lineno - node.lineno + 1
            if ast.get_docstring(node) is not None:
                lines -= node.body[0].end_lineno - node.body[0].lineno + 1
            lengths[f'{path.name}:{node.lineno} {node.name}'] = lines
    return lengths


def test_functions_stay_small(tmp_path):
    long = {}
    for path in [*MODULES, *TOOLS, *TESTS]:
        long.update((name, n) for name, n in function_lengths(path).items() if n >= 60)
    assert long == {}
    example = tmp_path / 'example.py'
    example.write_text(
        'class A:\n    def f(\n        self,\n    ):\n        """A\n        B"""\n        x\n'
    )
    assert function_lengths(example) == {'example.py:2 f': 4}


def test_leaf_configs_stay_small():
    leaves = [p for p in CONFIGS if '_base_' not in p.parts]
    assert len(leaves) >= 6
    assert {p.name: n for p in leaves if (n := len(p.read_text().splitlines())) > 40} == {}


@pytest.mark.parametrize('path', [*MODULES, *TOOLS, *TESTS], ids=lambda p: str(p.relative_to(ROOT)))
def test_no_star_import_no_path_edit_no_swallowed_error(path):
    tree = ast.parse(path.read_text(encoding='utf-8'))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert all(alias.name != '*' for alias in node.names), f'line {node.lineno}: star'
        if isinstance(node, ast.Attribute) and node.attr == 'path':
            owner = getattr(node.value, 'id', None)
            assert owner != 'sys' or path.is_relative_to(ROOT / 'tests'), f'line {node.lineno}'
        if isinstance(node, ast.ExceptHandler):
            caught = ast.unparse(node.type) if node.type else 'everything'
            silent = all(isinstance(child, ast.Pass) for child in node.body)
            broad = caught in ('Exception', 'BaseException', 'everything')
            assert not (silent and broad), f'line {node.lineno}: swallows {caught}'


@pytest.mark.parametrize('path', MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_module_has_a_docstring_that_says_something(path):
    text = ast.get_docstring(ast.parse(path.read_text(encoding='utf-8')))
    assert text and len(text) > 8, f'{path}: {text!r}'
