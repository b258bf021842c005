"""What became of each parameter of a checkpoint: the table that loading prints."""

from dataclasses import dataclass, field

from mmseg_custom.checkpoints.formats.description import Description


@dataclass
class LoadReport:
    """What became of each parameter, by the names of a segmentor.

    Attributes:
        name: the file.
        description: what the file is.
        loaded: parameters of the model that the file gave.
        new: parameters of the model that keep their initial values.
        unused: parameters of the file that the model does not have, by its own names where it does
            not use them itself.
        wrong_shape: parameters of the file that were left out because of other classes.
        adapted: what was changed in loaded parameters to fit.
        notes: what converting changed, what is new, and differences that no parameter shows, each
            with the option that removes it.
    """

    name: str
    description: Description
    loaded: list[str] = field(default_factory=list)
    new: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    wrong_shape: list[str] = field(default_factory=list)
    adapted: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """The table as text."""
        from io import StringIO

        from rich import box
        from rich.console import Console
        from rich.table import Table

        columns = {
            'loaded': self.loaded,
            'new': self.new,
            'unused': self.unused,
            'wrong shape': self.wrong_shape,
        }
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        table.add_column('parameters')
        for column in columns:
            table.add_column(column, justify='right')
        parts = dict.fromkeys(part_of(name) for names in columns.values() for name in names)
        for part in parts:
            counts = [sum(part_of(n) == part for n in names) for names in columns.values()]
            table.add_row(part, *(str(count) if count else '-' for count in counts))
        console = Console(file=StringIO(), width=100, color_system=None)
        console.print(table)
        lines = [f'{self.name}: {self.description.kind}']
        lines += [line.rstrip() for line in console.file.getvalue().splitlines() if line.strip()]
        lines += [f'{name}: {change}' for name, change in self.adapted.items()]
        return '\n'.join([*lines, *self.notes])


def part_of(name: str) -> str:
    """First word of a parameter's name: ``backbone``, ``decode_head`` ..."""
    return name.split('.')[0]
