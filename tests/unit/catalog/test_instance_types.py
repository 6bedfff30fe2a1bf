"""Instance types come from the EC2 API's answer and from facts about their family; each has both, or is refused."""

import gzip
import json
import random
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from ingot import paths
from ingot.catalog import instance_types as module
from ingot.catalog.read import read_catalog
from ingot.catalog.rules import contains
from ingot.cli import catalog as commands
from ingot.errors import IngotError, UsageError
from tests.commandline import ingot

RECORDING = Path(__file__).parents[1] / "data" / "describe_instance_types.json.gz"


@pytest.fixture(scope="module")
def answer() -> dict[str, dict[str, Any]]:
    return module.read_answer(RECORDING)


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    """A copy of the catalog, to spoil."""
    return Path(shutil.copytree(paths.CATALOG, tmp_path / "catalog"))


def test_the_file_is_what_the_recording_gives(answer: dict[str, Any]) -> None:
    path = paths.CATALOG / module.TYPES
    made = module.from_answer(answer, module.read_families(), module.read_types().recorded)
    assert module.dump(made) == path.read_text()


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
    ],
)
def test_a_type_is_described_by_the_api_and_by_its_family(name: str, facts: dict[str, Any]) -> None:
    described = module.describe(name)
    assert {key: described[key] for key in facts} == facts


def test_a_described_type_names_its_sources() -> None:
    assert all(module.describe(name)["sources"] for name in module.read_types().types)


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
        speed = re.fullmatch(r"(?:(\d+)x )?(\d+) Gigabit", types[name].network)
        assert speed, name
        factor, gigabits = speed.groups()
        reach = int(factor or 1) * int(gigabits) / 8 * 15 / 8
        assert max(floors.get("pcluster", [0])) <= reach < min(floors["awsome"])


def test_only_a_switch_of_the_machine_is_a_pci_device() -> None:
    for family in module.read_families().families.values():
        assert not family.switch_pci or family.nvswitch == "host"
        assert not family.module_of_eks or family.module == "either"
        assert family.module != "either" or family.module_of_eks


def test_every_family_has_types_and_every_type_a_family() -> None:
    types = {module.family_of(name) for name in module.read_types().types}
    assert types == set(module.read_families().families)


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


def test_what_is_left_out_is_not_among_the_types(answer: dict[str, Any]) -> None:
    assert "dl1.24xlarge" in answer
    assert "dl1.24xlarge" not in module.read_types().types


def test_a_new_accelerator_is_refused_until_somebody_decides(answer: dict[str, Any]) -> None:
    new = {**answer["p5.48xlarge"], "InstanceType": "p9.48xlarge"}
    with pytest.raises(IngotError, match=r"p9\.48xlarge has an accelerator") as caught:
        module.from_answer({**answer, "p9.48xlarge": new}, module.read_families(), "test")
    assert "add p9 to accelerators.yml" in caught.value.hint


def test_a_type_of_an_unknown_family_is_refused(catalog: Path) -> None:
    file = catalog / module.TYPES
    file.write_text(file.read_text().replace("  p5.48xlarge:", "  p9.48xlarge:"))
    with pytest.raises(IngotError, match=r"the family of p9\.48xlarge") as caught:
        module.read_types(catalog)
    name, _, line = caught.value.place.rpartition(":")
    assert name == str(file)
    assert file.read_text().splitlines()[int(line) - 1].startswith("  p9.48xlarge:")


def test_a_family_without_a_type_is_refused_with_file_and_line(catalog: Path) -> None:
    file = catalog / module.FAMILIES
    file.write_text(file.read_text().replace("  p5en:", "  p9:"))
    types = catalog / module.TYPES
    types.write_text("".join(line for line in types.read_text().splitlines(keepends=True) if "p5en." not in line))
    with pytest.raises(IngotError, match="the family p9 has no instance types") as caught:
        module.read_types(catalog)
    assert caught.value.place == f"{file}:{file.read_text().splitlines().index('  p9:') + 1}"
    assert "more regions" in caught.value.hint


def test_a_family_is_either_known_or_not(catalog: Path) -> None:
    file = catalog / module.FAMILIES
    file.write_text(file.read_text().replace("  trn3: ", "  trn2: "))
    with pytest.raises(IngotError, match="the family trn2 is both in families and in") as caught:
        module.read_families(catalog)
    assert caught.value.place.startswith(f"{file}:")


@pytest.mark.parametrize(("real", "named"), [("p5.48xlarge", "hpc7a.96xlarge"), ("trn2.48xlarge", "p5.48xlarge")])
def test_a_family_that_the_api_contradicts_is_refused(answer: dict[str, Any], real: str, named: str) -> None:
    with pytest.raises(IngotError, match=f"{named} has the accelerator"):
        module.from_answer({named: answer[real]}, module.read_families(), "test")


def test_a_source_that_the_file_does_not_name_is_refused(catalog: Path) -> None:
    file = catalog / module.FAMILIES
    file.write_text(file.read_text().replace("from: [neuron, eks, ec2]", "from: [neuron, ekz, ec2]"))
    with pytest.raises(IngotError, match="unknown source 'ekz' of inf1") as caught:
        module.read_families(catalog)
    assert "did you mean 'eks'" in caught.value.hint
    assert "ekz" in file.read_text().splitlines()[int(caught.value.place.rpartition(":")[2]) - 1]


NO_ANSWERS = ["", "{", "[1]", '{"a": 1}', '{"InstanceTypes": 3}', '[{"Name": "p5"}]', '[{"InstanceType": 3}]']


@pytest.mark.parametrize("content", [*NO_ANSWERS, "[" * 10**5])
def test_a_file_that_is_no_answer_is_one_error_that_names_it(tmp_path: Path, content: str) -> None:
    file = tmp_path / "answer.json"
    file.write_text(content)
    with pytest.raises(IngotError) as caught:
        module.read_answer(file)
    assert caught.value.place == str(file)


def test_a_damaged_gzip_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    whole, file = RECORDING.read_bytes(), tmp_path / "answer.json.gz"
    for at in range(0, len(whole), 300):
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        try:
            module.read_answer(file)
        except IngotError as error:
            assert error.place == str(file)


def test_the_answer_may_have_each_shape_that_people_store(tmp_path: Path, answer: dict[str, Any]) -> None:
    entries = list(answer.values())
    for number, shape in enumerate([{"InstanceTypes": entries}, entries, answer]):
        (tmp_path / f"{number}.json").write_text(json.dumps(shape))
        (tmp_path / f"{number}.json.gz").write_bytes(gzip.compress(json.dumps(shape).encode()))
        assert module.read_answer(tmp_path / f"{number}.json") == answer
        assert module.read_answer(tmp_path / f"{number}.json.gz") == answer


@given(st.permutations(sorted(module.read_answer(RECORDING))), st.integers(0, 92))
def test_any_part_of_an_answer_in_any_order_gives_its_lines_of_the_file(names: list[str], size: int) -> None:
    whole, families = module.read_answer(RECORDING), module.read_families()
    part = module.from_answer({name: whole[name] for name in names[:size]}, families, module.read_types().recorded)
    lines = (paths.CATALOG / module.TYPES).read_text().splitlines()
    written = [line for line in module.dump(part).splitlines() if line.startswith("  ")]
    known = {name for name in names[:size] if module.family_of(name) in families.families}
    assert written == [line for line in lines if line.startswith("  ") and line.split(":")[0].strip() in known]


def test_a_truncated_entry_is_an_error_and_no_traceback(answer: dict[str, Any]) -> None:
    chance = random.Random(7)
    for _ in range(200):
        name = chance.choice(sorted(answer))
        entry = {key: value for key, value in answer[name].items() if chance.random() < 0.9}
        try:
            module.from_answer({name: entry}, module.read_families(), "test")
        except IngotError as error:
            assert name in str(error)


def test_an_entry_of_another_shape_is_an_error_and_no_traceback(answer: dict[str, Any]) -> None:
    entry = answer["p5.48xlarge"]
    for key in entry:
        values: tuple[object, ...] = (None, 3, "x", [], {}, [None])
        for value in values:
            try:
                module.from_answer({"p5.48xlarge": {**entry, key: value}}, module.read_families(), "test")
            except IngotError as error:
                assert "p5.48xlarge" in str(error)
                assert "\n" not in error.message


def test_a_value_of_another_kind_is_one_line_that_names_it(answer: dict[str, Any]) -> None:
    entry = {**answer["p5.48xlarge"], "MemoryInfo": {"SizeInMiB": "much"}, "VCpuInfo": {"DefaultVCpus": None}}
    with pytest.raises(IngotError) as caught:
        module.from_answer({"p5.48xlarge": entry}, module.read_families(), "test")
    assert caught.value.message == "invalid vcpus, memory_mib in the response for p5.48xlarge"


def test_an_answer_without_a_family_leaves_the_file_as_it_was(
    catalog: Path, tmp_path: Path, answer: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "CATALOG", catalog)
    before, file = (catalog / module.TYPES).read_text(), tmp_path / "answer.json"
    file.write_text(json.dumps({name: entry for name, entry in answer.items() if not name.startswith("p5en.")}))
    with pytest.raises(IngotError, match="the family p5en has no instance types"):
        commands.catalog_instance_types(str(file), None, "test")
    assert (catalog / module.TYPES).read_text() == before
    file.write_text(json.dumps({name: entry for name, entry in answer.items() if name != "p5.4xlarge"}))
    commands.catalog_instance_types(str(file), None, "test")
    assert "p5.4xlarge" not in (catalog / module.TYPES).read_text()


def test_changes_name_what_came_went_and_differs() -> None:
    old = module.read_types()
    first, second, third, *_ = old.types
    types = dict(old.types)
    types[first] = types[first].model_copy(update={"vcpus": 1})
    types["x.large"] = types.pop(second)
    assert module.changes(old, old.model_copy(update={"types": types})) == sorted(
        [f"{first} changed: vcpus {old.types[first].vcpus} -> 1", f"{second} removed", "x.large added"]
    )
    assert third in types


def test_an_unknown_type_exits_2_with_the_nearest() -> None:
    done = ingot("instance-type", "p5.48xlrge")
    assert done.returncode == 2
    assert "did you mean 'p5.48xlarge'" in done.stderr
    assert ingot("check", "--env", "A=b", "--instance-type", "p5.48xlrge").returncode == 2


def test_a_type_whose_facts_are_missing_says_what_is_missing() -> None:
    done = ingot("instance-type", "p6e-gb200.36xlarge")
    assert done.returncode == 1
    assert "the recording does not have it" in done.stderr
    with pytest.raises(UsageError):
        module.check_name("nothing.large")


def test_a_type_is_data_for_programs() -> None:
    facts = json.loads(ingot("instance-type", "p5en.48xlarge", "--json").stdout)
    assert facts["efa_device"]["generation"] == 3
    assert facts["images"] == ["parallelcluster", "ec2", "eks"]


def test_a_type_is_text_for_people() -> None:
    lines = dict(line.split(maxsplit=1) for line in ingot("instance-type", "p4d.24xlarge").stdout.splitlines())
    assert lines["images"] == "parallelcluster, ec2, eks"
    assert lines["floors"] == "pcluster [26], awsome [300]"
    assert "{" not in lines["efa"]
