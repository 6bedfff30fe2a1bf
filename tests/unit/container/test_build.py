"""A container is known by what it is made from, and judged by what its ranks say."""

import json
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ingot import paths
from ingot.catalog.read import read_catalog
from ingot.console import Progress
from ingot.container import build as containers
from ingot.container import smoke
from ingot.container.build import Step
from ingot.container.buildkit import pip_settings
from ingot.errors import IngotError, UsageError
from ingot.lock import select
from ingot.model.target import ContainerSelection

CATALOG = read_catalog()
QUIET = Progress(quiet=True)
EXPECT = smoke.Expect(ranks=2, first_loss_above=2.0, last_loss_below=1.0, same=["weights"], once=["snapshot"])
GOOD = [
    {"event": "samples", "rank": 0, "part": 0, "samples": [0, 2]},
    {"event": "samples", "rank": 1, "part": 0, "samples": [1, 3]},
    {"event": "loss", "rank": 0, "step": 0, "loss": 2.5},
    {"event": "loss", "rank": 0, "step": 1, "loss": 0.5},
    {"event": "snapshot", "rank": 0, "part": 0},
    {"event": "end", "rank": 0, "weights": "a"},
    {"event": "end", "rank": 1, "weights": "a"},
]


def selected(name: str = "fsdp", **options: str) -> ContainerSelection:
    return select.container(CATALOG, name, CATALOG.newest_stack, **options)


def test_a_chain_goes_from_the_base_to_the_leaf() -> None:
    assert [name for name, _ in selected().chain] == ["base", "pytorch", "fsdp"]
    assert selected().tag == "ingot/fsdp:cpu-debian13-x86_64"


@pytest.mark.parametrize(
    "options",
    [
        {"os_name": "ubuntu2404"},
        {"accelerator": "nvidia", "os_name": "debian13"},
        {"accelerator": "tpu"},
        {"name": "x"},
    ],
)
def test_what_is_not_built_is_refused_as_a_wrong_option(options: dict[str, str]) -> None:
    with pytest.raises(UsageError) as caught:
        selected(**options)
    assert caught.value.hint


def test_the_digest_follows_content_names_and_the_parent(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("one")
    first = containers._digest(tmp_path, "parent")
    assert containers._digest(tmp_path, "parent") == first
    assert containers._digest(tmp_path, "another") != first
    (tmp_path / "train.py").write_text("two")
    assert containers._digest(tmp_path, "parent") != first


def test_the_date_of_a_build_is_the_locks_commit_unless_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = tmp_path / "debian13-x86_64.yml"
    lock.touch()
    os.utime(lock, (1000, 1000))
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert containers.epoch(lock) == 1000
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b.example"]
    committed = {**os.environ, "GIT_COMMITTER_DATE": "2026-11-25T00:00:00Z"}
    for words in (["init", "--quiet"], ["add", lock.name], ["commit", "--quiet", "--message=lock"]):
        subprocess.run([*git, *words], check=True, env=committed)
    (tmp_path / "other").touch()
    for words in (["add", "other"], ["commit", "--quiet", "--message=other"]):
        subprocess.run([*git, *words], check=True)
    assert containers.epoch(lock) == 1795564800
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "2000")
    assert containers.epoch(lock) == 2000
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "today")
    with pytest.raises(UsageError, match="not a number of seconds since 1970: 'today'"):
        containers.epoch(lock)


@pytest.fixture
def dry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, str]:
    """Builds make no image; the digest of the inputs of each that the last one would have made."""
    digests: dict[str, str] = {}

    def step(
        selection: ContainerSelection, name: str, row: object, parent: str, arguments: dict[str, str], *_: object
    ) -> Step:
        digests[name] = arguments["INPUTS"]
        return Step(name, selection.tag, True, 0.0, 0)

    monkeypatch.setattr(ContainerSelection, "dir", tmp_path)
    for name in ("ensure_docker", "ensure_local_tools"):
        monkeypatch.setattr(containers, name, lambda: None)
    monkeypatch.setattr(containers, "_system", lambda lock, log: "ingot/base")
    monkeypatch.setattr(containers, "_step", step)
    return digests


def test_a_container_of_another_date_is_another(dry: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    def inputs(date: str) -> str:
        monkeypatch.setenv(containers.EPOCH, date)
        report = containers.build(selected(), CATALOG, QUIET)
        assert report["source_date_epoch"] == int(date)
        return str(report["inputs_sha256"])

    assert inputs("2000") == inputs("2000")
    assert inputs("2000") != inputs("2001")


@pytest.mark.parametrize(
    ("file", "changed"),
    [
        ("leaf/Dockerfile", {"pytorch", "fsdp"}),
        ("leaf/Dockerfile.dockerignore", {"pytorch", "fsdp"}),
        ("leaf/ingot_train/__init__.py", {"fsdp"}),
        ("fsdp/train.py", {"fsdp"}),
        ("pytorch/requirements-cpu.txt", {"pytorch", "fsdp"}),
        ("pytorch/asked.in", set()),
        ("fsdp/smoke.yml", set()),
        ("jax/train.py", set()),
    ],
)
def test_the_digest_covers_what_the_build_reads_and_nothing_else(
    file: str, changed: set[str], dry: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    copy = shutil.copytree(containers.CONTAINERS, tmp_path / "containers")
    monkeypatch.setattr(containers, "CONTAINERS", copy)
    containers.build(selected(), CATALOG, QUIET)
    before = dict(dry)
    with (copy / file).open("a") as text:
        text.write("# Changed.\n")
    containers.build(selected(), CATALOG, QUIET)
    assert {name for name in before if before[name] != dry[name]} == changed


@pytest.mark.parametrize(
    ("file", "same"),
    [
        ("roles/efa/tasks/main.yml", False),
        ("roles/component/tasks/install_apt.yml", False),
        ("roles/packages/tasks/main.yml", False),
        ("plugins/lookup/pin.py", False),
        ("roles/efa/README.md", True),
        ("roles/slurm/tasks/main.yml", True),
    ],
)
def test_the_digest_of_a_base_covers_its_own_roles_alone(
    file: str, same: bool, dry: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("containers/base", "meta", "playbooks", "plugins", "roles"):
        shutil.copytree(paths.ROOT / name, tmp_path / name)
    shutil.copy(paths.ROOT / "galaxy.yml", tmp_path)
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    containers.build(selected(), CATALOG, QUIET)
    before = dry["base"]
    with (tmp_path / file).open("a") as text:
        text.write("# Changed.\n")
    containers.build(selected(), CATALOG, QUIET)
    assert (dry["base"] == before) == same


def test_the_digest_covers_what_a_leaf_starts(dry: dict[str, str]) -> None:
    row = CATALOG.container("fsdp").model_copy(update={"arguments": ["--steps=1"]})
    other = replace(CATALOG, containers={**CATALOG.containers, "fsdp": row})
    reports = [
        containers.build(select.container(catalog, "fsdp", catalog.newest_stack), catalog, QUIET)
        for catalog in (CATALOG, other)
    ]
    assert reports[0]["inputs_sha256"] != reports[1]["inputs_sha256"]


@pytest.mark.parametrize("name", ["fsdp", "base"])
def test_what_a_container_is_made_from_has_the_one_date(name: str) -> None:
    with containers._context(selected(), name, CATALOG.container(name), 1795564800) as folder:
        assert {path.lstat().st_mtime for path in (folder, *folder.rglob("*"))} == {1795564800}


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, str], list[str]]]:
    """The Dockerfiles that are built, each with its arguments and options."""
    called: list[tuple[str, dict[str, str], list[str]]] = []

    def build(context: Path, dockerfile: str, tag: str, arguments: dict[str, str], **rest: Any) -> None:
        assert (context / dockerfile).is_file()
        called.append((dockerfile, arguments, rest.get("options", [])))

    monkeypatch.setattr("ingot.container.buildkit.build", build)
    return called


def build_leaf(name: str) -> None:
    row = CATALOG.container(name)
    with containers._context(selected(), name, row, 1795564800) as context:
        arguments = {"INPUTS": "abc", "PARENT": "ingot/base:x"}
        containers._build_leaf(name, row, arguments, f"ingot/{name}:x", context, Path("log"))


def test_a_leaf_starts_what_its_row_says(builds: list[tuple[str, dict[str, str], list[str]]]) -> None:
    for name in ("fsdp", "jax"):
        build_leaf(name)
    assert [arguments["COMMAND"] for _, arguments, _ in builds] == [
        "torchrun --standalone --nproc-per-node=2 /opt/ingot/fsdp/train.py",
        "python /opt/ingot/jax/train.py --local=2",
    ]
    assert {(file, arguments["INPUTS"]) for file, arguments, _ in builds} == {("leaf/Dockerfile", "abc")}
    assert [options for _, _, options in builds] == [[], []]


def test_what_is_only_built_upon_has_no_programs(builds: list[tuple[str, dict[str, str], list[str]]]) -> None:
    build_leaf("pytorch")
    assert [options for _, _, options in builds] == [["--target", "packages"]]


def test_an_image_is_not_up_to_date_before_its_own_dockerfile_is_built(
    builds: list[tuple[str, dict[str, str], list[str]]],
) -> None:
    build_leaf("bionemo")
    (shared, first, _), (own, last, _) = builds
    assert (shared, first["INPUTS"]) == ("leaf/Dockerfile", "")
    assert (own, last) == ("Dockerfile", {"PARENT": "ingot/bionemo:x", "INPUTS": "abc"})


def test_settings_of_pip_that_say_where_from_go_along_and_paths_do_not() -> None:
    listed = "global.index-url='https://a.example/simple'\nglobal.cert='/etc/ca.pem'\nglobal.find-links='/opt/wheels'\n"
    text, certificates = pip_settings(f"{listed}:env:.index-url='https://b.example/simple'\n")
    assert text == "[global]\nindex-url = https://b.example/simple\n"
    assert certificates == "/etc/ca.pem"


def test_events_are_found_among_other_lines() -> None:
    printed = "a warning\n" + "\n".join(json.dumps(event) for event in GOOD) + "\n{not an event}\n"
    assert smoke.records(printed) == GOOD
    assert smoke.judge(smoke.records(printed), EXPECT) == []


@pytest.mark.parametrize(
    ("number", "changes", "fault"),
    [
        (0, {"samples": [1, 3]}, "2 of 4 samples were read more than once"),
        (0, {"samples": []}, "2 of 2 ranks reported"),
        (2, {"loss": 0.9}, "the first loss is 0.9, not above 2"),
        (3, {"loss": 1.5}, "the last loss is 1.5, not below 1"),
        (3, {"loss": float("nan")}, "the last loss is nan"),
        (4, {"event": "other"}, "one rank should report each snapshot: 0 reports"),
        (6, {"weights": "b"}, "ranks end with different weights"),
        (6, {"event": "other"}, "2 ranks should end, but these did: [0]"),
    ],
)
def test_each_rule_finds_its_fault(number: int, changes: dict[str, object], fault: str) -> None:
    events = [event | changes if place == number else event for place, event in enumerate(GOOD)]
    faults = smoke.judge(events, EXPECT)
    assert len(faults) == 1
    assert fault in faults[0]


def test_of_ranks_that_share_a_model_one_tells_what_it_read() -> None:
    shared = EXPECT.model_copy(update={"readers": 1})
    assert smoke.judge(GOOD[1:], shared) == []
    assert smoke.judge(GOOD, shared) == ["part 0: 2 of 1 ranks reported their samples"]


def test_a_run_that_says_nothing_fails_each_rule_that_can_tell() -> None:
    assert len(smoke.judge([], EXPECT)) == 4


def test_a_rule_that_is_misspelt_is_named_with_its_line(tmp_path: Path) -> None:
    rule = "expect: {ranks: 2, first_loss_above: 1, last_loss_below: 1, onse: [x]}"
    (tmp_path / smoke.FILE).write_text(f"command: [x]\n{rule}\n")
    with pytest.raises(IngotError, match=r"smoke.yml:2: unknown key 'expect.onse'"):
        smoke.read(tmp_path)
