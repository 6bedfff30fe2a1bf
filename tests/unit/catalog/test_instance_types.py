"""Every type of EC2 that has EFA or an accelerator is known, with its sources; what nobody knows of it is said."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from packaging.version import Version

from ingot import paths
from ingot.catalog import instance_types as module
from ingot.catalog.instance_recording import check_complete
from ingot.catalog.read import read_catalog
from ingot.catalog.rules import contains
from ingot.errors import IngotError, UsageError
from tests.commandline import ingot


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    """A copy of the catalog, to spoil."""
    return Path(shutil.copytree(paths.CATALOG, tmp_path / "catalog"))


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("p5.48xlarge", {"devices": 8, "device": "H100", "efa": 32, "vcpus": 192, "services": ["fabricmanager"]}),
        ("p5.48xlarge", {"nvswitch": "host", "switch_pci": ["10de:22a3"], "pci": ["10de:2330"]}),
        ("p5.4xlarge", {"devices": 1, "efa": 1, "services": [], "nvswitch": "", "switch_pci": [], "floors": {}}),
        ("p6-b200.48xlarge", {"module": "open", "generation": "blackwell", "services": ["fabricmanager", "nvlsm"]}),
        ("g4dn.metal", {"module": "either", "module_of_eks": "closed", "services": []}),
        ("p3dn.24xlarge", {"module": "closed", "driver": "<581"}),
        ("trn2.48xlarge", {"accelerator": "neuron", "module": "", "devices": 16}),
        ("hpc7g.16xlarge", {"accelerator": "cpu", "arch": "aarch64", "devices": 0}),
        ("g5.xlarge", {"efa": 0, "efa_device": None}),
        ("g7.48xlarge", {"efa": 2, "devices": 8, "driver": ">=595", "unknown": ["pci"]}),
        ("trn1.32xlarge", {"cores": 2, "logical_cores": 32}),
        ("trn2.48xlarge", {"cores": 8, "logical_cores": 64, "device_memory_mib": 98304}),
        (
            "trn2u.48xlarge",
            {"accelerator": "neuron", "devices": 16, "efa": 16, "usage": ["capacity-block", "on-demand"]},
        ),
        ("p3.16xlarge", {"devices": 8, "module": "closed", "efa": 0, "efa_device": None}),
        ("p6-b300.48xlarge", {"efa": 16, "network_cards": 17, "first_efa_card": 1, "disks": 8, "storage_gb": 30400}),
        ("p5.48xlarge", {"first_efa_card": 0}),
        ("p6e-gb200.36xlarge", {"arch": "aarch64", "efa": 16, "devices": 4, "services": ["imex"]}),
        (
            "c6in.32xlarge",
            {"accelerator": "cpu", "efa": 2, "efa_device": {"generation": 2, "read": True, "write": True}},
        ),
        ("c7gn.16xlarge", {"efa_device": {"generation": 3, "read": True, "write": False}}),
        ("c6in.large", {"efa": 0, "efa_device": None}),
        ("t3.large", {"accelerator": "cpu", "efa": 0, "efa_device": None, "unknown": []}),
        ("r9g.48xlarge", {"efa": 1, "unknown": ["efa_device"]}),
        ("trn3.48xlarge", {"devices": None, "logical_cores": None, "device": "Trainium3"}),
        ("ml.p5.48xlarge", {"name": "p5.48xlarge", "devices": 8}),
    ],
)
def test_a_type_is_described_by_the_api_and_by_its_family(name: str, facts: dict[str, Any]) -> None:
    described = module.describe(name)
    assert {key: described[key] for key in facts} == facts


def test_a_described_type_names_its_sources_and_what_is_unknown() -> None:
    types = module.read_types().types
    for name in {module.family_of(name): name for name in types}.values():
        described = module.describe(name)
        assert described["sources"], name
        assert {key for key, value in described.items() if value is None} - {"efa_device"} <= set(described["unknown"])


def test_every_family_with_efa_or_an_accelerator_has_a_row() -> None:
    families = module.read_families()
    rows = {*families.families, *families.ordinary()}
    types = module.read_types().types
    having = {module.family_of(name) for name, entry in types.items() if entry.efa or entry.devices}
    assert having - rows == set()
    # Three more, vt1, f2 and dl2q, are left out.
    assert len({module.family_of(name) for name, entry in types.items() if entry.efa}) >= 121 - 3


def test_a_floor_of_another_source_or_type_is_refused(catalog: Path) -> None:
    file = catalog / module.FAMILIES
    text = file.read_text()
    for was, new, said in (
        ("p5e.48xlarge: {awsome", "p5e.48xlarge: {awsom", "unknown source 'awsom' of p5e.48xlarge"),
        ("p5e.48xlarge: {", "p5e.49xlarge: {", "unknown instance type 'p5e.49xlarge'"),
    ):
        file.write_text(text.replace(was, new))
        with pytest.raises(IngotError, match=said) as caught:
            module.read_types(catalog)
        assert caught.value.place.startswith(f"{file}:")


def test_the_floors_of_one_source_are_within_reach_of_the_network_and_of_the_other_are_not() -> None:
    types = module.read_types().types
    for name, floors in module.read_families().floors.items():
        speed = re.fullmatch(r"(?:(\d+)x )?(\d+) Gigabit", types[name].network or "")
        assert speed, name
        factor, gigabits = speed.groups()
        reach = int(factor or 1) * int(gigabits) / 8 * 15 / 8
        assert max(floors.get("pcluster", [0])) <= reach < min(floors["awsome"])


def test_only_a_switch_of_the_machine_is_a_pci_device() -> None:
    for family in module.read_families().families.values():
        assert not family.switch_pci or family.nvswitch == "host"
        assert not family.module_of_eks or family.module == "either"
        assert family.module != "either" or family.module_of_eks


def test_every_family_has_types() -> None:
    types = {module.family_of(name) for name in module.read_types().types}
    assert {*module.read_families().families, *module.read_families().ordinary()} - types == set()


def _code(capability: str) -> tuple[int, int]:
    """`9.0` and `90`, as nvcc writes it, as two numbers; code for one runs on a later one of the same major number."""
    number = capability.replace(".", "")
    return int(number[:-1]), int(number[-1])


def _compiled_for() -> list[tuple[str, str, list[str]]]:
    """Each version of CUDA that a vendor has, what it compiles for, and the GPUs that no rule keeps it from."""
    cuda = read_catalog().components["cuda"]
    families = module.read_families().families.values()
    found = []
    for offer in cuda.offers:
        for text, release in offer.releases.items():
            forbidden = [rule for rule in cuda.rules if rule.forbidden and contains(rule.when, Version(text))]
            no = {name for rule in forbidden for name in rule.where.generation or []}
            gpus = sorted({each.capability for each in families if each.capability and each.generation not in no})
            facts = {**offer.facts, **release.facts}
            found.append((f"{offer.os[0]} {text}", str(facts["gencode"]), gpus))
    return found


@pytest.mark.parametrize(("cuda", "gencode", "gpus"), _compiled_for(), ids=lambda each: str(each)[:18])
def test_what_is_compiled_runs_on_every_gpu_that_a_version_of_cuda_may_be_used_on(
    cuda: str, gencode: str, gpus: list[str]
) -> None:
    made = [_code(each) for each in gencode.split()]
    assert made == sorted(made)
    assert {gpu for gpu in gpus if not any(m[0] == _code(gpu)[0] and m[1] <= _code(gpu)[1] for m in made)} == set()
    assert set(made) <= {_code(gpu) for gpu in gpus}


def test_every_gpu_of_nvidia_says_what_a_compiler_has_to_know() -> None:
    families = module.read_families().families
    assert [name for name, each in families.items() if (each.accelerator == "nvidia") != bool(each.capability)] == []


def test_a_family_without_a_type_is_refused_with_file_and_line(catalog: Path) -> None:
    file = catalog / module.FAMILIES
    file.write_text(file.read_text().replace("  p5en:", "  p9:"))
    with pytest.raises(IngotError, match="the family p9 has no instance types") as caught:
        check_complete(module.read_recorded(catalog), module.read_families(catalog), file)
    assert caught.value.place == f"{file}:{file.read_text().splitlines().index('  p9:') + 1}"
    assert "more regions" in caught.value.hint


def test_a_family_is_in_one_list(catalog: Path) -> None:
    file = catalog / module.FAMILIES
    text = file.read_text()
    for was, new in (("  dl1:\n", "  trn2:\n"), ("families: [r9g, r9gd]", "families: [r9g, p5]")):
        file.write_text(text.replace(was, new))
        with pytest.raises(IngotError, match="is in two lists") as caught:
            module.read_families(catalog)
        assert caught.value.place.startswith(f"{file}:")


def test_a_fact_of_ours_that_is_none_is_refused_with_its_line(catalog: Path) -> None:
    file = catalog / module.FAMILIES
    file.write_text(file.read_text().replace("facts: {device: Trainium2,", "facts: {devize: Trainium2,"))
    with pytest.raises(IngotError, match=r"trn2u\.48xlarge: devize") as caught:
        module.read_types(catalog)
    line = int(caught.value.place.rpartition(":")[2])
    assert file.read_text().splitlines()[line - 1] == "  trn2u.48xlarge:"


def test_a_source_that_the_file_does_not_name_is_refused(catalog: Path) -> None:
    file = catalog / module.FAMILIES
    file.write_text(
        file.read_text().replace("from: [neuron, neuron_driver, eks, ec2]", "from: [neuron, neuron_driver, ekz, ec2]")
    )
    with pytest.raises(IngotError, match="unknown source 'ekz' of inf1") as caught:
        module.read_families(catalog)
    assert "did you mean 'eks'" in caught.value.hint
    assert "ekz" in file.read_text().splitlines()[int(caught.value.place.rpartition(":")[2]) - 1]


def test_an_unknown_type_exits_2_with_the_nearest() -> None:
    done = ingot("instance-type", "p5.48xlrge")
    assert done.returncode == 2
    assert "did you mean 'p5.48xlarge'" in done.stderr
    assert ingot("check", "--env", "A=b", "--instance-type", "p5.48xlrge").returncode == 2


def test_a_type_without_an_accelerator_of_ours_says_what_it_has() -> None:
    done = ingot("instance-type", "f2.48xlarge")
    assert done.returncode == 2
    assert "f2.48xlarge: it has FPGAs" in done.stderr
    with pytest.raises(UsageError):
        module.check_name("nothing.large")


def test_the_nearest_types_are_those_of_our_images() -> None:
    with pytest.raises(UsageError) as caught:
        module.check_name("p7.48xlarge")
    assert "t3." not in caught.value.hint


def test_what_is_unknown_is_shown() -> None:
    lines = dict(line.split(maxsplit=1) for line in ingot("instance-type", "trn3.48xlarge").stdout.splitlines())
    assert lines["devices"] == "–"
    assert lines["unknown"].startswith("vcpus, memory_mib, devices, efa")


@pytest.mark.parametrize("name", ["m99.large", "ml.x12i.48xlarge", "t9g.micro"])
def test_a_new_ordinary_type_is_no_error_for_check(name: str) -> None:
    assert module.is_unknown_cpu(name)
    assert ingot("check", "--env", "A=b", "--instance-type", name).returncode == 0


@pytest.mark.parametrize(
    "name", ["p7.48xlarge", "trn9.48xlarge", "m5.lrge", "p5.49xlarge", "g9e.xlarge", "f2.48xlarge"]
)
def test_a_misspelt_type_and_a_new_accelerator_are_errors(name: str) -> None:
    assert not module.is_unknown_cpu(name)
    assert ingot("check", "--env", "A=b", "--instance-type", name).returncode == 2


@pytest.mark.parametrize(
    "words",
    [
        ("check", "--env", "A=b", "--instance-type", "ml.p5.48xlarge"),
        ("plan", "ec2", "--os", "debian13", "--instance-type", "ml.g5.xlarge"),
        ("solve", "--want", "nccl>=2", "--os", "ubuntu2404", "--instance-type", "ml.p5.48xlarge"),
        ("launch", "slurm", "fsdp", "--instance-type", "ml.p5.48xlarge"),
        ("instance-type", "ml.trn2.48xlarge"),
    ],
)
def test_a_type_may_have_the_prefix_of_sagemaker(words: tuple[str, ...]) -> None:
    done = ingot(*words)
    assert done.returncode == 0, done.stderr
    assert "ml." not in done.stdout.replace("ingot launch slurm fsdp --instance-type ml.", "")


def test_a_type_is_data_for_programs() -> None:
    facts = json.loads(ingot("instance-type", "p5en.48xlarge", "--json").stdout)
    assert facts["efa_device"]["generation"] == 3
    assert facts["images"] == ["parallelcluster", "ec2", "eks"]


def test_a_type_is_text_for_people() -> None:
    lines = dict(line.split(maxsplit=1) for line in ingot("instance-type", "p4d.24xlarge").stdout.splitlines())
    assert lines["images"] == "parallelcluster, ec2, eks"
    assert lines["floors"] == "pcluster [26], awsome [300]"
    assert "{" not in lines["efa"]
