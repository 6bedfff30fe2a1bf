"""Every page with generated parts: the support matrix, the containers, the rules on variables, files of roles.

In handwritten pages, generated parts are between two marks. A role's `meta/main.yml` and `README.md` are fully
generated. The rules and the advisories also go to the role `doctor`, whose program applies them.
"""

import json
from pathlib import Path

from ingot import paths
from ingot.catalog import advisories
from ingot.catalog.catalog import Catalog
from ingot.catalog.instance_types import describe, read_types
from ingot.catalog.settings import features, plain, read_settings
from ingot.docs.containers import containers
from ingot.docs.matrix import matrix
from ingot.docs.roles import meta, read_roles, readme
from ingot.docs.settings import rules
from ingot.errors import IngotError

DOCTOR = paths.ROOT / "roles" / "doctor" / "files"
BEGIN = "<!-- {}: written by `make docs` -->"
END = "<!-- /{} -->"


def replaced(text: str, name: str, content: str) -> str:
    """`text` with `content` between the marks of `name`."""
    begin, end = BEGIN.format(name), END.format(name)
    before, mark, rest = text.partition(begin)
    if not mark or end not in rest:
        raise IngotError(f"missing marks {begin} and {end}", hint="add them where the table belongs")
    return f"{before}{begin}\n{content}\n{end}{rest.partition(end)[2]}"


def machines() -> str:
    """What each instance type must have, as JSON with a line per type, for the role `doctor`."""
    rows = {}
    for name in read_types().types:
        facts = describe(name)
        kept = ("accelerator", "device", "devices", "efa")
        rows[name] = {**{key: facts[key] for key in kept}, "features": features(facts)}
    return "{\n" + ",\n".join(f" {json.dumps(name)}: {json.dumps(row)}" for name, row in rows.items()) + "\n}\n"


def pages(catalog: Catalog) -> dict[Path, str]:
    """The text of every page with a generated part."""
    parts = {
        "support": ("matrix", matrix(catalog, catalog.newest_stack)),
        "settings": ("rules", rules(read_settings())),
        "containers": ("containers", containers(catalog)),
    }
    texts = {
        DOCTOR / "settings.json": json.dumps(plain(read_settings()), indent=1) + "\n",
        DOCTOR / "machines.json": machines(),
        DOCTOR / "advisories.json": json.dumps(advisories.everything(catalog), indent=1) + "\n",
    }
    for page, (name, content) in parts.items():
        path = paths.ROOT / "docs" / f"{page}.md"
        texts[path] = replaced(path.read_text(), name, content)
    for role in read_roles(catalog):
        texts[role.path / "meta" / "main.yml"] = meta(role)
        texts[role.path / "README.md"] = readme(role)
    return texts
