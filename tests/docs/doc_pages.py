"""What the documentation's pages hold: code blocks, links, headings, and names of files.

A comment on the lines above a fence says how the block is treated:

- ``<!-- not run: reason -->`` it is only read;
- ``<!-- slow: reason -->`` it runs with ``make test-slow`` only;
- ``<!-- output: command -->`` it shows what the command prints; lines of three dots stand for lines
  that are left out.

A ``python`` or ``yaml`` block begins with a comment that names the file it is.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / 'README.md', ROOT / 'CONTRIBUTING.md', *sorted((ROOT / 'docs').glob('*.md'))]
# Languages that are code; others (text, mermaid, none) are only shown.
CODE = ('bash', 'python', 'yaml')
REMARK = re.compile(r'<!-- (not run|slow|output): (.*?) -->')
PATH = re.compile(r'(?<![\w/.-])((?:tools|configs|docs|tests|mmseg_custom|requirements)/[\w./-]*)')


@dataclass(frozen=True)
class Block:
    """A fenced block: where it stands, its language, its lines, and the remarks above it."""

    page: Path
    line: int
    language: str
    text: str
    remarks: dict[str, str] = field(default_factory=dict)

    @property
    def place(self) -> str:
        """Page and line, as an editor jumps to them."""
        return f'{self.page.relative_to(ROOT)}:{self.line}'

    @property
    def is_run(self) -> bool:
        """Whether the block is executed or, as a file, used by one that is."""
        return self.language in CODE and not {'not run', 'output'} & self.remarks.keys()

    @property
    def file(self) -> str | None:
        """The file that the block is, from the comment in its first line."""
        match = re.match(r'# ([\w./-]+\.(?:py|yaml))$', self.text.partition('\n')[0])
        return match[1] if match else None

    def commands(self) -> list[str]:
        """The command lines of a ``bash`` block, continued lines joined, comments left out."""
        joined = self.text.replace('\\\n', ' ')
        lines = (re.sub(r'(^|\s+)#.*', '', line).strip() for line in joined.splitlines())
        return [line for line in lines if line]


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page in order."""
    found: list[Block] = []
    remarks: dict[str, str] = {}
    fence: list[str] | None = None
    for number, line in enumerate(page.read_text(encoding='utf-8').splitlines(), start=1):
        if fence is None and line.startswith('```'):
            fence, language, start = [], line.strip('`').strip(), number
        elif fence is not None and line.startswith('```'):
            found.append(Block(page, start, language, '\n'.join(fence) + '\n', remarks))
            fence, remarks = None, {}
        elif fence is not None:
            fence.append(line)
        elif match := REMARK.fullmatch(line.strip()):
            remarks = {**remarks, match[1]: match[2].strip()}
        elif line.strip():
            remarks = {}
    assert fence is None, f'{page.name}: the block of line {start} does not end'
    return found


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    text = page.read_text(encoding='utf-8')
    return re.sub(r'^```.*?^```', '', text, flags=re.S | re.M)


def anchors(page: Path) -> set[str]:
    """What ``page.md#...`` may name: the headings as GitHub writes them into addresses."""
    headings = re.findall(r'^#+ (.*)$', prose(page), re.M)
    plain = (re.sub(r'\[([^]]*)\]\([^)]*\)', r'\1', heading).lower() for heading in headings)
    return {re.sub(r'[^\w\- ]', '', heading).strip().replace(' ', '-') for heading in plain}


def links(page: Path) -> list[str]:
    """The targets of a page's links and pictures that lie in the repository."""
    targets = re.findall(r'\]\(([^)\s]+)\)', prose(page))
    return [target for target in targets if not re.match(r'[a-z]+:', target)]


def named_files(page: Path) -> set[str]:
    """The files and folders of the repository that a page names, in its prose and its blocks."""
    text = page.read_text(encoding='utf-8')
    return {match.rstrip('./') for match in PATH.findall(text)}
