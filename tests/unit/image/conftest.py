"""A local build whose steps are stood in for."""

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ingot import paths
from ingot.catalog.read import read_catalog
from ingot.console import Progress
from ingot.image import build, judge, look
from ingot.image.base import Base
from ingot.lock import select
from ingot.sources.fetch import Fetched
from tests.unit.image.steps import Machine


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Machine:
    made = Machine(tmp_path)
    monkeypatch.setattr(paths, "build_dir", lambda *_: tmp_path)
    for name in ("ensure_docker", "ensure_local_tools", "ensure_packer", "require_space", "forget", "_take_over"):
        monkeypatch.setattr(build, name, lambda *_: None)
    monkeypatch.setattr(build, "Archive", lambda *_: None)
    monkeypatch.setattr(build, "Bare", lambda _: SimpleNamespace(again=lambda: None, seconds={}))
    monkeypatch.setattr(build, "refresh", lambda selection, *_, **__: (selection, []))
    monkeypatch.setattr(build, "fetch", lambda *_, **__: Fetched(tmp_path, tmp_path, 0))
    monkeypatch.setattr(build, "ensure_base", lambda *_, **__: Base("ingot/base:x", "mmdebstrap"))
    monkeypatch.setattr(look, "container", lambda _, name: nullcontext(name))
    monkeypatch.setattr(build, "packer_build", made.converge)
    monkeypatch.setattr(build, "make_disk", made.disk)
    monkeypatch.setattr(judge, "boot", made.boot)
    for module in (judge, look):
        monkeypatch.setattr(module, "verify", made.verify)
    for module in (build, look):
        monkeypatch.setattr(module, "run", made.run)
    return made


@pytest.fixture
def local(machine: Machine) -> Callable[..., dict[str, Any]]:
    def run(**options: bool) -> dict[str, Any]:
        catalog = read_catalog(own=paths.own_catalog())
        target = catalog.target(catalog.newest_stack, "debian13", "x86_64")
        selection = select.image(catalog, target, "parallelcluster-cpu", stale=True)
        return build.local(selection, catalog, Progress(quiet=True), **options)

    return run
