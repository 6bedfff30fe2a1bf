"""Turns the locks into the support matrix of the README: component by operating system, version or reason."""

from pathlib import Path

from ingot import paths
from ingot.catalog import Catalog
from ingot.lock import load, path_of

BEGIN = "<!-- matrix: written by `make docs` -->"
END = "<!-- /matrix -->"


def matrix(catalog: Catalog, stack: str) -> str:
    """A Markdown table of the stack: what each operating system gets of each component."""
    keys = [(name, arch) for name, system in catalog.operating_systems.items() for arch in system.architectures]
    locks = [load(path_of(stack, name, arch)) for name, arch in keys]
    lines = [f"| stack {stack} | {' | '.join(lock.key for lock in locks)} |", "|---" * (len(locks) + 1) + "|"]
    names = dict.fromkeys([*catalog.stacks[stack].pins, *(name for lock in locks for name in lock.left_out)])
    for name in names:
        cells = [
            f"{lock.components[name].version} ({lock.components[name].source})"
            if name in lock.components
            else "left out"
            for lock in locks
        ]
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def with_matrix(text: str, table: str) -> str:
    """`text` with what stands between the marks replaced by `table`."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table}\n{END}{after}"


def update(catalog: Catalog, readme: Path = paths.ROOT / "README.md") -> None:
    """Write the newest stack's matrix into the README."""
    paths.write_text(readme, with_matrix(readme.read_text(), matrix(catalog, catalog.newest_stack)))


if __name__ == "__main__":
    from ingot.catalog import read_catalog

    update(read_catalog())
