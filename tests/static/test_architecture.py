"""The rooms of `ingot/` hold: imports go down only, none is hidden in a function, and every module has its test."""

import ast
from pathlib import Path

from ingot.paths import ROOT
from tests.linters import check

PACKAGE = ROOT / "ingot"
# Modules without a test of their name, and where they are tested instead.
TESTED_BY = {
    "ami/contents": "tests/aws/ami/test_build.py",
    "ami/capacity": "tests/aws/ami/test_build.py",
    "ami/channels": "tests/aws/ami/test_promote.py",
    "ami/references": "tests/aws/ami/test_gc.py",
    "ami/tags": "tests/aws/ami/test_build.py",
    "ami/show": "tests/aws/ami/test_ami.py",
    "cli/ami": "tests/aws/ami/test_ami.py",
    "cli/ami_channels": "tests/aws/ami/test_promote.py",
    "cli/ami_collect": "tests/aws/ami/test_gc.py",
    "cli/ami_options": "tests/aws/ami/test_ami.py",
    "cli/ami_build": "tests/rigs/test_ami.py",
    "cli/cache": "tests/unit/image/test_cache.py",
    "cli/container": "tests/unit/cli/test_main.py",
    "cli/export": "tests/unit/export/test_pcluster.py",
    "cli/image": "tests/unit/cli/test_main.py",
    "cli/launch": "tests/unit/export/test_launch.py",
    "cli/mirror": "tests/unit/mirror/test_mirror.py",
    "cli/nccl": "tests/unit/export/test_nccl.py",
    "cli/options": "tests/unit/cli/test_main.py",
    "cli/audit": "tests/unit/plan/test_audit.py",
    "cli/catalog": "tests/unit/lock/test_hygiene.py",
    "cli/check": "tests/unit/plan/test_check.py",
    "cli/lock": "tests/unit/container/test_requirements.py",
    "cli/plan": "tests/unit/plan/test_solve.py",
    "container/buildkit": "tests/containers/test_reproducible.py",
    "container/probe": "tests/unit/container/test_pair.py",
    "container/side": "tests/unit/container/test_pair.py",
    "container/smoke": "tests/unit/container/test_build.py",
    "catalog/addresses": "tests/unit/catalog/test_systems.py",
    "catalog/schema": "tests/unit/cli/test_main.py",
    "catalog/names": "tests/unit/catalog/test_catalog.py",
    "catalog/read": "tests/unit/catalog/test_catalog.py",
    "docs/__main__": "tests/static/test_text.py",
    "docs/containers": "tests/static/test_text.py",
    "docs/matrix": "tests/static/test_text.py",
    "docs/pages": "tests/static/test_text.py",
    "docs/settings": "tests/static/test_text.py",
    "errors": "tests/unit/cli/test_main.py",
    "image/bare": "tests/unit/image/test_budgets.py",
    "image/disk": "tests/e2e/test_local_build.py",
    "image/events": "tests/unit/image/test_timeline.py",
    "image/judge": "tests/unit/image/test_verdict.py",
    "image/look": "tests/unit/image/test_verdict.py",
    "image/qemu": "tests/unit/image/test_machine.py",
    "image/report": "tests/e2e/test_local_build.py",
    "image/sbom": "tests/e2e/test_local_build.py",
    "image/secure_boot": "tests/e2e/test_local_build.py",
    "image/seed": "tests/unit/image/test_machine.py",
    "lock/diff": "tests/unit/cli/test_main.py",
    "lock/explain": "tests/unit/lock/test_resolve.py",
    "lock/world": "tests/unit/lock/test_resolve.py",
    "lock/vendor": "tests/unit/lock/test_record.py",
    "mirror/serve": "tests/unit/mirror/test_mirror.py",
    "plan/shell": "tests/unit/plan/test_script.py",
    "sources/aws": "tests/aws/ami/test_ami.py",
    "sources/indexes": "tests/unit/lock/test_record.py",
    "sources/origins": "tests/unit/mirror/test_mirror.py",
    "sources/pypi": "tests/unit/mirror/test_mirror.py",
    "sources/signatures": "tests/unit/lock/test_record.py",
    "sources/web": "tests/unit/sources/test_download.py",
    "templates": "tests/unit/export/test_launch.py",
    "yamlfile": "tests/unit/catalog/test_catalog.py",
}


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")


def test_imports_go_down_and_no_room_has_a_circle() -> None:
    check("lint-imports", "--no-cache")


def test_only_the_command_line_imports_in_functions_and_does_so_to_answer_fast() -> None:
    hidden = [
        f"{path.relative_to(ROOT)}:{inner.lineno}"
        for path in modules()
        if path.parent.name != "cli"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for inner in ast.walk(node)
        if isinstance(inner, ast.ImportFrom) and (inner.module or "").split(".")[0] == "ingot"
    ]
    assert not hidden


def test_every_module_has_a_test_of_its_name_or_says_where_it_is_tested() -> None:
    untested = []
    for path in modules():
        name = path.relative_to(PACKAGE).with_suffix("")
        # What has no behaviour is tested by what reads and makes it.
        if name.parts[0] == "model":
            continue
        own = [ROOT / "tests" / kind / name.parent / f"test_{name.name}.py" for kind in ("unit", "aws")]
        elsewhere = TESTED_BY.get(str(name))
        if any(each.exists() for each in own) == (elsewhere is not None) or not (ROOT / (elsewhere or "")).exists():
            untested.append(str(name))
    assert not untested
