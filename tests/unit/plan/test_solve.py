"""`ingot solve` and `ingot plan --set` answer, or name the chain of reasons and the nearest change."""

import json

import pytest

from ingot import paths
from tests.commandline import ingot


def test_wishes_are_fulfilled_with_the_newest_of_everything_else() -> None:
    words = ["--want", "nccl==2.27.*", "--instance-type", "p6-b200.48xlarge", "--os", "al2023", "--json"]
    found = json.loads(ingot("solve", *words).stdout)
    assert found["components"]["nccl"]["version"].startswith("2.27.")
    driver = found["components"]["nvidia_driver"]
    assert driver["facts"]["module"] == "open"
    assert found["components"]["fabricmanager"]["version"] == driver["version"]
    assert all(entry["source"] for entry in found["components"].values())


def test_an_instance_type_with_an_old_gpu_gets_what_still_drives_it() -> None:
    found = json.loads(ingot("solve", "--instance-type", "p3dn.24xlarge", "--os", "ubuntu2204", "--json").stdout)
    driver, cuda = found["components"]["nvidia_driver"], found["components"]["cuda"]
    assert int(driver["version"].split(".")[0]) <= 580
    assert driver["facts"]["module"] == "closed"
    assert int(cuda["version"].split(".")[0]) <= 12


def test_wishes_that_exclude_each_other_are_refused_with_the_rule_and_the_nearest_change() -> None:
    done = ingot("solve", "--want", "gdrcopy<2.5", "--want", "kernel>=6.15", "--os", "al2023")
    assert done.returncode == 1
    assert "gdrcopy must be <2.5 (--want gdrcopy<2.5)" in done.stderr
    assert "kernel must not be >=6.15 (gdrcopy 2.4.4: " in done.stderr
    assert "would fit instead of <2.5" in done.stderr
    assert "fabricmanager" not in done.stderr
    assert "Traceback" not in done.stderr


def test_a_closed_module_for_blackwell_is_refused_with_the_chain_and_the_fix() -> None:
    on = ["--os", "al2023", "--instance-type", "p6-b200.48xlarge"]
    done = ingot("plan", "parallelcluster", *on, "--set", "nvidia_driver.module=closed")
    assert done.returncode == 1
    assert "module=closed (--set nvidia_driver.module=closed)" in done.stderr
    assert "p6-b200.48xlarge has B200" in done.stderr
    assert "module=open would fit instead of module=closed" in done.stderr


def test_a_driver_with_both_modules_is_there_for_who_asks_for_it() -> None:
    words = ["plan", "ec2", "--os", "ubuntu2404", "--set", "nvidia_driver.module=auto", "--json"]
    plan = json.loads(ingot(*words, "--instance-type", "p6-b200.48xlarge").stdout)
    assert plan["components"]["nvidia_driver"]["version"].startswith("580.")


def test_a_plan_of_other_versions_is_made_and_leaves_the_lock_alone() -> None:
    lock = paths.LOCKS / "2026.11" / "ubuntu2404-x86_64.yml"
    before = lock.read_text()
    words = ["plan", "parallelcluster", "--os", "ubuntu2404", "--set", "nccl==2.28.*", "--json"]
    plan = json.loads(ingot(*words).stdout)
    assert plan["components"]["nccl"]["version"].startswith("2.28.")
    assert lock.read_text() == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["solve", "--want", "nccl"], "--want: not a requirement: 'nccl'"),
        (["solve", "--want", "ncll>=2"], "did you mean 'nccl'"),
        (["solve", "--want", "nccl>=2..1"], "not a version range: '>=2..1'"),
        (["solve", "--os", "ubuntu2410"], "did you mean 'ubuntu2404'"),
        (["solve", "--arch", "riscv64"], "has no architecture 'riscv64'"),
        (["solve", "--instance-type", "p5.49xlarge"], "known: p5.48xlarge"),
        (["plan", "parallelcluster", "--os", "al2023", "--set", "nvidia_driver.modul=open"], "did you mean 'module'"),
        (["plan", "parallelcluster", "--os", "al2023", "--set", "nvidia_driver.module=opne"], "did you mean 'open'"),
        (["plan", "parallelcluster", "--os", "al2023", "--set", "nvidia=open"], "did you mean 'nvidia_driver'"),
        (["diff", "2025.11", "2026.12", "--os", "ubuntu2404"], "unknown stack '2026.12'"),
        (["lock", "--all", "--stack", "2026.11"], "exclude each other"),
    ],
)
def test_a_wrong_word_is_one_error_and_exit_2(words: list[str], said: str) -> None:
    done = ingot(*words)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_stacks_are_compared_by_name() -> None:
    done = ingot("diff", "2025.11", "2026.11", "--os", "ubuntu2404")
    assert done.returncode == 0, done.stderr
    assert "| nvidia_driver |" in done.stdout
    same = ingot("diff", "2026.11", "2026.11", "--os", "ubuntu2404")
    assert "Nothing changed." in same.stdout


def test_what_nobody_knows_of_a_version_is_said_and_so_are_warnings() -> None:
    done = ingot("solve", "--want", "aws_ofi_nccl==1.9.1")
    assert done.returncode == 0, done.stderr
    assert "note: unknown whether efa " in done.stdout
    found = json.loads(ingot("solve", "--want", "aws_ofi_nccl==1.9.1", "--json").stdout)
    assert all("[" in each for each in [*found["unknown"], *found["warnings"]])


def test_a_reason_belongs_to_the_version_that_it_was_written_for() -> None:
    done = ingot("plan", "ec2", "--os", "ubuntu2404", "--set", "efa>=1.44,<1.47", "--json")
    efa = json.loads(done.stdout)["components"]["efa"]
    assert efa["version"] == "1.46.0"
    assert efa["why"].startswith("Asked for by --set efa>=1.44,<1.47.")
    # A range that the pin's version is in keeps the pin's reason.
    done = ingot("plan", "ec2", "--os", "ubuntu2404", "--set", "efa>=1.50,<1.51", "--json")
    assert not json.loads(done.stdout)["components"]["efa"]["why"].startswith("Asked")
