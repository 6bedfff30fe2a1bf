"""The command line answers in data or in sentences, and its exit codes mean something."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator
from typer.core import TyperGroup
from typer.main import get_command

from ingot import paths
from ingot.catalog.read import read_catalog
from ingot.cli.main import app
from ingot.lock import file as locks
from tests.commandline import ingot

LOCK = paths.LOCKS / "2026.11" / "debian13-x86_64.yml"


@pytest.mark.parametrize(
    "words",
    [
        ("plan", "parallelclusterr"),
        ("plan", "parallelcluster", "--os", "debian14"),
        ("plan", "parallelcluster", "--arch", "riscv64"),
        ("plan", "parallelcluster", "--stack", "2020.01"),
        ("local", "parallelclusterr"),
        ("boot", "parallelclusterr"),
        ("lock", "--os", "debian14"),
    ],
)
def test_an_unknown_name_exits_2_and_names_the_known(words: tuple[str, ...]) -> None:
    done = ingot(*words)
    assert done.returncode == 2
    assert "known: " in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("words", [("local", "parallelcluster"), ("boot", "parallelcluster"), ("base",)])
def test_an_architecture_that_is_not_built_here_exits_2_with_one_sentence(words: tuple[str, ...]) -> None:
    done = ingot(*words, "--os", "debian13", "--arch", "aarch64")
    assert (done.returncode, done.stdout) == (2, "")
    error, hint = done.stderr.splitlines()
    assert error.startswith("error: no image is built for aarch64 on this machine")
    assert hint.startswith("  hint: build for x86_64")


def test_lock_check_passes_on_the_checkout() -> None:
    done = ingot("lock", "check", "--all")
    assert (done.returncode, done.stderr) == (0, "")


def test_digests_of_images_are_written_offline_as_they_are_in_the_checkout() -> None:
    there = {path: path.read_text() for path in paths.LOCKS.glob("*/IMAGES.txt")}
    assert ingot("lock", "images", "--all").returncode == 0
    assert {path: path.read_text() for path in there} == there != {}


def test_a_plan_says_what_is_left_out_and_why_newer_versions_are_not_taken() -> None:
    plan = json.loads(ingot("plan", "parallelcluster", "--os", "debian13", "--json").stdout)
    assert "nvidia_container_toolkit" in plan["left_out"]
    assert "driver-550-kernel-6.12.107" in plan["components"]["nvidia_driver"]["why"]
    assert "cuda-13-driver" in plan["components"]["cuda"]["why"]
    assert plan["download_bytes"] > 0


def test_a_plan_counts_the_packages_of_its_image() -> None:
    lock = locks.load(LOCK)
    counted = {}
    for name, image in read_catalog().images.items():
        plan = json.loads(ingot("plan", name, "--os", "debian13", "--json").stdout)
        mine = lock.of(image.parts).packages.values()
        assert plan["packages"] == len(mine)
        assert plan["download_bytes"] == sum(package.size for package in mine)
        counted[name] = plan["download_bytes"]
    assert counted["ec2-cpu"] < counted["parallelcluster-cpu"] < counted["parallelcluster"] / 2


def test_a_plan_for_people_shows_the_rule_that_decided() -> None:
    done = ingot("plan", "parallelcluster")
    assert done.returncode == 0
    assert "[driver-550-kernel" in " ".join(done.stdout.split()) or "driver-550" in done.stdout


def test_list_names_every_image_and_system() -> None:
    listed = json.loads(ingot("list", "--json").stdout)
    assert "parallelcluster" in listed["images"]
    assert {"debian12", "debian13"} <= set(listed["operating_systems"])


def test_diff_of_a_lock_with_itself_says_that_nothing_changed() -> None:
    done = ingot("diff", str(LOCK), str(LOCK))
    assert done.returncode == 0
    assert "Nothing changed." in done.stdout


def test_diff_lists_a_changed_component_and_package(tmp_path: Path) -> None:
    other = tmp_path / "new.yml"
    text = LOCK.read_text()
    assert "version: '24.11.5'" in text
    other.write_text(text.replace("version: '24.11.5'", "version: '25.05.1'", 1))
    done = ingot("diff", str(LOCK), str(other))
    assert "| slurm | 24.11.5 | 25.05.1 |" in done.stdout


def test_diff_of_something_else_says_what_it_wants(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text("a: 1\n")
    done = ingot("diff", str(tmp_path / "a.yml"), str(LOCK))
    assert done.returncode == 1
    assert "not a lock or manifest" in done.stderr


def test_booting_what_was_never_built_says_how_to_build_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = paths.ROOT / "build" / "parallelcluster" / "debian12-x86_64" / "disk.raw"
    if disk.exists():
        pytest.skip("that image has been built here")
    done = ingot("boot", "parallelcluster", "--os", "debian12")
    assert done.returncode == 1
    assert "make local-parallelcluster OS=debian12" in done.stderr


SUMMARY_WIDTH = 48


def summaries(group: TyperGroup, above: str = "ingot") -> Iterator[tuple[str, str]]:
    """The words that call every command and group below `group`, and its summary."""
    for name, command in group.commands.items():
        yield f"{above} {name}", command.get_short_help_str(200)
        if isinstance(command, TyperGroup):
            yield from summaries(command, f"{above} {name}")


def test_every_summary_fits_its_column_and_is_a_sentence() -> None:
    group = get_command(app)
    assert isinstance(group, TyperGroup)
    texts = dict(summaries(group))
    assert {words: text for words, text in texts.items() if not 0 < len(text) <= SUMMARY_WIDTH} == {}
    assert {words: text for words, text in texts.items() if not text.endswith(".")} == {}


@pytest.mark.parametrize("kind", ["component", "stack", "images", "operating-system"])
def test_a_schema_of_a_catalog_file_is_json_schema(kind: str) -> None:
    schema = json.loads(ingot("catalog", "schema", kind).stdout)
    Draft202012Validator.check_schema(schema)
    files = {"component": "components/efa.yml", "stack": "stacks/2026.11.yml", "images": "images.yml"}
    files["operating-system"] = "operating_systems/rocky9.yml"
    content = json.loads(json.dumps(yaml.safe_load((paths.CATALOG / files[kind]).read_text()), default=str))
    validator = Draft202012Validator(schema)
    assert list(validator.iter_errors(content)) == []
    content["summry"] = "x"
    assert [error.validator for error in validator.iter_errors(content)] == ["additionalProperties"]
