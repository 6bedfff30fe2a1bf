"""A mistake in the catalog is one sentence with file, line, key and the nearest name."""

import shutil
from pathlib import Path

import pytest

from ingot import paths
from ingot.catalog.read import read_catalog
from ingot.errors import IngotError, UsageError


@pytest.fixture
def catalog_copy(tmp_path: Path) -> Path:
    copy = tmp_path / "catalog"
    shutil.copytree(paths.CATALOG, copy)
    return copy


def spoil(file: Path, old: str, new: str) -> int:
    """Replace `old` by `new` in `file` and return the line it stands on."""
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    return text[: text.index(old)].count("\n") + 1


def test_the_catalog_of_the_checkout_is_valid() -> None:
    catalog = read_catalog()
    assert "parallelcluster" in catalog.images
    assert set(catalog.stacks[catalog.newest_stack].pins) == set(catalog.components)


def test_what_is_left_out_has_a_source() -> None:
    components = read_catalog().components.values()
    assert [
        each.component
        for each in components
        if (each.left_out or each.parts_left_out) and not (each.left_out_source and each.left_out_checked)
    ] == []


def test_a_misspelt_key_is_named_with_file_line_and_nearest_name(catalog_copy: Path) -> None:
    file = catalog_copy / "components" / "kernel.yml"
    line = spoil(file, "facts_from_package:", "facts_from_packge:")
    with pytest.raises(IngotError) as caught:
        read_catalog(catalog_copy)
    assert caught.value.place == f"{file}:{line}"
    assert "facts_from_packge" in caught.value.message
    assert "did you mean 'facts_from_package'" in caught.value.hint


def test_a_key_that_stands_twice_is_refused(catalog_copy: Path) -> None:
    file = catalog_copy / "components" / "kernel.yml"
    file.write_text(file.read_text() + "hold: false\n")
    with pytest.raises(IngotError, match="duplicate key 'hold'") as caught:
        read_catalog(catalog_copy)
    assert caught.value.place == f"{file}:{len(file.read_text().splitlines())}"


def test_text_that_is_no_yaml_is_named_with_its_line(catalog_copy: Path) -> None:
    file = catalog_copy / "images.yml"
    file.write_text("images:\n  a: [b\n")
    with pytest.raises(IngotError, match="not valid YAML") as caught:
        read_catalog(catalog_copy)
    assert caught.value.place.startswith(f"{file}:")


def test_a_malformed_version_range_is_refused(catalog_copy: Path) -> None:
    file = catalog_copy / "stacks" / "2026.11.yml"
    line = spoil(file, "'>=12'", "'about 12'")
    with pytest.raises(IngotError, match="not a version range: 'about 12'") as caught:
        read_catalog(catalog_copy)
    assert caught.value.place == f"{file}:{line}"


def test_a_rule_about_an_unknown_component_names_the_nearest(catalog_copy: Path) -> None:
    file = catalog_copy / "components" / "cuda.yml"
    line = spoil(file, "{nvidia_driver: '>=580'}", "{nvidia_drivr: '>=580'}")
    with pytest.raises(IngotError, match="unknown component 'nvidia_drivr'") as caught:
        read_catalog(catalog_copy)
    assert caught.value.place == f"{file}:{line}"
    assert "did you mean 'nvidia_driver'" in caught.value.hint


def test_a_rule_without_a_source_is_refused(catalog_copy: Path) -> None:
    file = catalog_copy / "components" / "nvidia_driver.yml"
    spoil(file, "    source: built against", "    reasons: built against")
    with pytest.raises(IngotError, match=r"reasons|source"):
        read_catalog(catalog_copy)


@pytest.mark.parametrize(
    ("ask", "name", "known"),
    [
        ("image", "parallelclusterr", "parallelcluster"),
        ("operating_system", "debian14", "debian13"),
        ("stack", "2026.12", "2026.11"),
    ],
)
def test_an_unknown_name_is_a_usage_error_that_lists_the_known(ask: str, name: str, known: str) -> None:
    with pytest.raises(UsageError) as caught:
        getattr(read_catalog(), ask)(name)
    assert caught.value.exit_code == 2
    assert name in caught.value.message
    assert known in caught.value.hint


@pytest.mark.parametrize(
    ("parent", "said"),
    [("bose", "unknown container 'bose'"), ("fsdp", "pytorch is made from itself: pytorch -> fsdp -> pytorch")],
)
def test_a_container_is_made_from_another_one_that_is_there(catalog_copy: Path, parent: str, said: str) -> None:
    file = catalog_copy / "containers.yml"
    line = spoil(file, "parent: base", f"parent: {parent}")
    with pytest.raises(IngotError, match=said) as caught:
        read_catalog(catalog_copy)
    assert caught.value.place.startswith(f"{file}:")
    assert parent == "fsdp" or caught.value.place == f"{file}:{line}"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("  eks-cpu:", "  eks-cpus:", "not a platform or image: 'eks-cpus'"),
        ("      neuron: {", "      neurons: {", "unknown component 'neurons' in 'brings'"),
    ],
)
def test_a_base_image_is_of_a_platform_or_an_image_and_brings_components(
    catalog_copy: Path, old: str, new: str, said: str
) -> None:
    file = catalog_copy / "operating_systems" / "al2023.yml"
    spoil(file, old, new)
    with pytest.raises(IngotError, match=said) as caught:
        read_catalog(catalog_copy)
    assert caught.value.place.startswith(f"{file}:")
