"""What the EC2 API says of instance types becomes one file: the same for the same answer, and complete, or refused."""

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

from ingot import paths
from ingot.catalog import instance_recording as module
from ingot.catalog.instance_types import TYPES, _recorded, family_of, read_families, read_recorded, read_types
from ingot.cli import catalog as commands
from ingot.errors import IngotError
from ingot.model.instance import InstanceTypes

RECORDING = Path(__file__).parents[1] / "data" / "describe_instance_types.json.gz"
NO_ANSWERS = ["", "{", "[1]", '{"a": 1}', '{"InstanceTypes": 3}', '[{"Name": "p5"}]', '[{"InstanceType": 3}]']


@pytest.fixture(scope="module")
def answer() -> dict[str, dict[str, Any]]:
    return module.read_answer(RECORDING)


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    """A copy of the catalog, to spoil."""
    return Path(shutil.copytree(paths.CATALOG, tmp_path / "catalog"))


def test_the_file_is_what_the_recording_gives(answer: dict[str, Any]) -> None:
    path = paths.CATALOG / TYPES
    made = module.from_answer(answer, read_families(), read_recorded().recorded)
    assert module.dump(made) == path.read_text()


def test_a_new_accelerator_is_refused_until_somebody_decides(answer: dict[str, Any]) -> None:
    new = {**answer["p5.48xlarge"], "InstanceType": "p9.48xlarge"}
    with pytest.raises(IngotError, match=r"p9\.48xlarge has an accelerator") as caught:
        module.from_answer({**answer, "p9.48xlarge": new}, read_families(), "test")
    assert "add p9 to accelerators.yml" in caught.value.hint


@pytest.mark.parametrize(("real", "named"), [("p5.48xlarge", "trn1.32xlarge"), ("trn2.48xlarge", "p5.48xlarge")])
def test_a_family_that_the_api_contradicts_is_refused(answer: dict[str, Any], real: str, named: str) -> None:
    with pytest.raises(IngotError, match=re.escape(f"{named} has the accelerator")):
        module.from_answer({named: answer[real]}, read_families(), "test")


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
def test_any_part_of_an_answer_in_any_order_gives_its_types_of_the_file(names: list[str], size: int) -> None:
    whole, families = module.read_answer(RECORDING), read_families()
    part = module.from_answer({name: whole[name] for name in names[:size]}, families, "test")
    assert part.types == {name: entry for name, entry in read_recorded().types.items() if name in names[:size]}
    assert _recorded(Path("part.json"), module.dump(part)) == part


def test_a_truncated_entry_is_an_error_and_no_traceback(answer: dict[str, Any]) -> None:
    chance = random.Random(7)
    for _ in range(200):
        name = chance.choice(sorted(answer))
        entry = {key: value for key, value in answer[name].items() if chance.random() < 0.9}
        try:
            module.from_answer({name: entry}, read_families(), "test")
        except IngotError as error:
            assert name in str(error)


def test_an_entry_of_another_shape_is_an_error_and_no_traceback(answer: dict[str, Any]) -> None:
    entry = answer["p5.48xlarge"]
    for key in entry:
        values: tuple[object, ...] = (None, 3, "x", [], {}, [None])
        for value in values:
            try:
                module.from_answer({"p5.48xlarge": {**entry, key: value}}, read_families(), "test")
            except IngotError as error:
                assert "p5.48xlarge" in str(error)
                assert "\n" not in error.message


def test_a_value_of_another_kind_is_one_line_that_names_it(answer: dict[str, Any]) -> None:
    entry = {**answer["p5.48xlarge"], "MemoryInfo": {"SizeInMiB": "much"}, "VCpuInfo": {"DefaultVCpus": None}}
    with pytest.raises(IngotError) as caught:
        module.from_answer({"p5.48xlarge": entry}, read_families(), "test")
    assert caught.value.message == "invalid vcpus, memory_mib in the response for p5.48xlarge"


def test_an_answer_without_a_family_leaves_the_file_as_it_was(
    catalog: Path, tmp_path: Path, answer: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "CATALOG", catalog)
    before, file = (catalog / TYPES).read_text(), tmp_path / "answer.json"
    file.write_text(json.dumps({name: entry for name, entry in answer.items() if not name.startswith("p5en.")}))
    with pytest.raises(IngotError, match="the family p5en has no instance types"):
        commands.catalog_instance_types(str(file), None, "test")
    assert (catalog / TYPES).read_text() == before
    file.write_text(json.dumps({name: entry for name, entry in answer.items() if name != "p5.4xlarge"}))
    commands.catalog_instance_types(str(file), None, "test")
    assert "p5.4xlarge" not in read_recorded(catalog).types
    assert "p5.48xlarge" in read_recorded(catalog).types


def test_changes_name_what_came_went_and_differs() -> None:
    old = read_types()
    first, second, third, *_ = old.types
    types = dict(old.types)
    types[first] = types[first].model_copy(update={"vcpus": 1})
    types["x.large"] = types.pop(second)
    assert module.changes(old, InstanceTypes(old.recorded, types)) == sorted(
        [f"{first} changed: vcpus {old.types[first].vcpus} -> 1", f"{second} removed", "x.large added"]
    )
    assert third in types


def test_what_is_left_out_is_not_among_the_types(answer: dict[str, Any]) -> None:
    assert {"f2.48xlarge", "vt1.24xlarge", "g6f.large"} <= set(answer)
    assert {"f2", "vt1", "g6f"} & {family_of(name) for name in read_types().types} == set()


def test_efa_in_a_new_family_is_refused_until_somebody_decides(answer: dict[str, Any]) -> None:
    new = {**answer["c6in.32xlarge"], "InstanceType": "c10in.32xlarge"}
    with pytest.raises(IngotError, match=r"c10in\.32xlarge has EFA") as caught:
        module.from_answer({"c10in.32xlarge": new}, read_families(), "test")
    assert "under cpu" in caught.value.hint


def test_efa_is_on_the_last_cards_one_after_another(answer: dict[str, Any]) -> None:
    entry = json.loads(json.dumps(answer["p6-b300.48xlarge"]))
    entry["NetworkInfo"]["NetworkCards"][3]["InterfaceTypes"] = ["interface"]
    with pytest.raises(IngotError, match=r"p6-b300\.48xlarge has EFA on the network cards"):
        module.from_answer({"p6-b300.48xlarge": entry}, read_families(), "test")


def test_what_all_types_of_a_family_share_is_written_once(answer: dict[str, Any]) -> None:
    text = (paths.CATALOG / TYPES).read_text()
    assert text.count('"H200"') == 2, "p5e and p5en"
    assert len(text) < 200_000
    family = text.split('"g5": ')[1].split("}}")[0]
    assert family.count("22888") == family.count('"arch"') == 1


def test_a_spoilt_file_is_an_error_that_names_it(catalog: Path) -> None:
    file = catalog / TYPES
    whole = file.read_text()
    for text in ("", "{", "[]", '{"recorded": 1}', whole.replace('"vcpus": 2', '"vcpus": "two"', 1)):
        file.write_text(text)
        with pytest.raises(IngotError, match="not the generated file") as caught:
            read_recorded(catalog)
        assert caught.value.place == str(file)
    file.unlink()
    with pytest.raises(IngotError, match="there is no such file"):
        read_recorded(catalog)
