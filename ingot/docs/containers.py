"""The table of the framework containers."""

from ingot.catalog.catalog import Catalog
from ingot.docs.markdown import table


def containers(catalog: Catalog) -> str:
    """A Markdown table of the framework containers."""
    rows = []
    for name, row in catalog.containers.items():
        parent = f"`{row.parent}`" if row.parent else "the bare system"
        rows.append([f"`{name}`", parent, ", ".join(row.accelerators), row.summary])
    return table(["container", "FROM", "variants", "description"], rows)
