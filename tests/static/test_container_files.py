"""Every container that is listed can be built and judged, and nothing is built that is not listed."""

import re
from pathlib import Path

from ingot.catalog.read import read_catalog
from ingot.container import smoke
from ingot.container.build import BASE, CONTAINERS, DOCKERFILE, SYSTEM
from ingot.paths import ROOT

CATALOG = read_catalog()
# Nothing trains in these.
NO_TRAINING = {"nccl-tests", "nemo-launcher"}


def dockerfile(name: str) -> Path:
    """What a container is built by: what is FROM no other, by the base's."""
    return CONTAINERS / (name if CATALOG.containers[name].parent else BASE) / DOCKERFILE


def test_dockerfiles_are_those_of_the_rows_of_the_catalog() -> None:
    found = {path.relative_to(CONTAINERS) for path in CONTAINERS.rglob(f"*{DOCKERFILE}*")}
    dockerfiles = {path for path in found if path.suffix != ".dockerignore"}
    rows = {dockerfile(name).relative_to(CONTAINERS) for name in CATALOG.containers}
    assert dockerfiles == rows | {Path(SYSTEM) / DOCKERFILE}


def test_what_a_dockerfile_installs_for_an_accelerator_is_there_for_each_of_its_row() -> None:
    for name, row in CATALOG.containers.items():
        if "requirements-${ACCELERATOR}.txt" in dockerfile(name).read_text():
            listed = {path.name for path in (CONTAINERS / name).glob("requirements-*.txt")}
            assert listed == {f"requirements-{accelerator}.txt" for accelerator in row.accelerators}


def test_no_container_has_the_name_of_an_image() -> None:
    assert set(CATALOG.containers) & set(CATALOG.images) == set()


def test_what_nothing_is_from_is_judged_and_described() -> None:
    parents = {row.parent for row in CATALOG.containers.values()}
    for name, row in CATALOG.containers.items():
        if name not in parents:
            assert (CONTAINERS / name / "README.md").exists()
            if name in NO_TRAINING:
                assert not (CONTAINERS / name / "train.py").exists()
                assert not row.script
                continue
            command = smoke.read(CONTAINERS / name).command
            assert f"COPY train.py /opt/ingot/{name}/train.py\n" in (CONTAINERS / name / DOCKERFILE).read_text()
            assert f"/opt/ingot/{name}/train.py" in command
            assert not row.script or (command[0] == "torchrun" and row.script in command)


def test_dockerfiles_label_what_they_make_and_do_not_run_as_root() -> None:
    for name, row in CATALOG.containers.items():
        text = dockerfile(name).read_text()
        assert f"ingot.container={name if row.parent else '${NAME}'} " in text
        assert "ingot.inputs=${INPUTS}" in text
        users = re.findall(r"^USER (\S+)", text, re.MULTILINE)
        assert users[-1:] == (["1000:1000"] if users or not row.parent else [])


def test_no_image_is_named_latest_or_without_a_tag() -> None:
    for path in CONTAINERS.glob(f"*/{DOCKERFILE}"):
        text = path.read_text()
        assert re.findall(r"^FROM (?!\$\{|scratch )", text, re.MULTILINE) == []
        if path.parent.name == SYSTEM:
            continue  # a lock names it, by its digest
        named = re.findall(r"^ARG (?:BASE_IMAGE|PARENT|TOOLS)=(\S+)", text, re.MULTILINE)
        assert named
        assert [name for name in named if ":" not in name or name.endswith(":latest")] == []


def test_every_python_package_is_exact_and_has_a_digest() -> None:
    files = sorted(CONTAINERS.glob("*/requirements*.txt"))
    assert files
    for path in files:
        # A requirement goes on over the lines with its digests.
        wanted = path.read_text().replace("\\\n", "").splitlines()
        assert [line for line in wanted if not re.match(r"[a-z0-9-]+==\S+ +--hash=sha256:[0-9a-f]{64}", line)] == []


def test_versions_left_out_are_not_installed() -> None:
    left_out = set((CONTAINERS / "pytorch" / "left-out-cpu.txt").read_text().splitlines())
    named = {name for name in left_out if name and not name.startswith("#")}
    installed = set(re.findall(r"^([a-z0-9-]+)==", (CONTAINERS / "pytorch" / "requirements-cpu.txt").read_text(), re.M))
    assert named
    assert named & installed == set()


def test_the_dockerfile_of_the_base_has_the_roles_of_its_row() -> None:
    roles = ", ".join(f'"{role}"' for role in CATALOG.containers["base"].roles["cpu"])
    assert f"ARG ROLES='[{roles}]'" in (ROOT / "containers" / "base" / DOCKERFILE).read_text()
