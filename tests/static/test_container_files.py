"""Every container that is listed can be built and judged, and nothing is built that is not listed."""

import re
from pathlib import Path

from ingot.catalog.read import read_catalog
from ingot.container import smoke
from ingot.container.build import BASE, CONTAINERS, DOCKERFILE, LEAF, SYSTEM, UNUSED
from ingot.paths import ROOT

CATALOG = read_catalog()
# Nothing trains in these.
NO_TRAINING = {"nccl-tests", "nemo-launcher"}


def folders() -> set[str]:
    """The folders of rows that are FROM another, each with its Python packages, its programs or both."""
    return {name for name, row in CATALOG.containers.items() if row.parent}


def test_dockerfiles_are_those_of_the_base_of_leaves_and_of_rows_of_the_catalog() -> None:
    dockerfiles = {path.parent.name for path in CONTAINERS.rglob(DOCKERFILE)}
    assert {BASE, LEAF, SYSTEM} <= dockerfiles
    assert dockerfiles - {BASE, LEAF, SYSTEM} <= folders()


def test_every_folder_with_a_program_or_packages_has_a_row() -> None:
    files = [*CONTAINERS.glob("*/*.py"), *CONTAINERS.glob("*/requirements-*.in")]
    assert {path.parent.name for path in files} == folders()


def test_a_list_of_packages_is_there_for_each_accelerator_or_for_none() -> None:
    for name in folders():
        wanted = {f"requirements-{accelerator}.txt" for accelerator in CATALOG.containers[name].accelerators}
        asked = any((CONTAINERS / name).glob("requirements-*.in"))
        assert {path.name for path in (CONTAINERS / name).glob("requirements-*.txt")} == (wanted if asked else set())


def test_the_file_for_builds_by_hand_leaves_out_what_the_build_does() -> None:
    ignored = (CONTAINERS / LEAF / f"{DOCKERFILE}.dockerignore").read_text().splitlines()
    assert [line for line in ignored if not line.startswith("#")] == [
        f"**/{DOCKERFILE}*",
        *(f"**/{pattern}" for pattern in UNUSED),
    ]


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
            assert f"/opt/ingot/{name}/train.py" in command
            # A smoke run is what the container starts by itself, with options.
            assert command[: len(row.start)] == row.start


def test_what_a_container_starts_is_in_its_folder() -> None:
    leaves = {name: row.start for name, row in CATALOG.containers.items() if row.start}
    assert leaves
    for name, start in leaves.items():
        [program] = [Path(word) for word in start if word.startswith("/")]
        assert program.parent == Path("/opt/ingot", name)
        assert (CONTAINERS / name / program.name).is_file()


def test_dockerfiles_label_what_they_make_and_do_not_run_as_root() -> None:
    for folder in {path.parent.name for path in CONTAINERS.rglob(DOCKERFILE)} - {SYSTEM}:
        text = (CONTAINERS / folder / DOCKERFILE).read_text()
        assert "ingot.inputs=${INPUTS}" in text
        shared = folder in (BASE, LEAF)
        assert ("ingot.container=${NAME} " in text) == shared
        users = re.findall(r"^USER (\S+)", text, re.MULTILINE)
        assert users[-1:] == (["1000:1000"] if users or shared else [])


def test_no_image_is_named_latest_or_without_a_tag() -> None:
    for path in CONTAINERS.glob(f"*/{DOCKERFILE}"):
        text = path.read_text()
        stages = re.findall(r"^FROM .* AS (\S+)$", text, re.MULTILINE)
        images = set(re.findall(r"^FROM (\S+)", text, re.MULTILINE)) - {"scratch", *stages}
        assert [image for image in images if not image.startswith("${")] == []
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
