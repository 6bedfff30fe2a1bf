"""A role's `meta/main.yml` and README say what its argument specs, its defaults and the catalog say."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ingot.catalog.catalog import Catalog
from ingot.catalog.read import read_catalog
from ingot.docs.roles import meta, read_role, read_roles, readme
from ingot.paths import ROOT

ROLES = sorted(path.parents[1] for path in ROOT.glob("roles/*/meta/main.yml"))


def _yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def _galaxy(role: Path) -> dict[str, Any]:
    info: dict[str, Any] = _yaml(role / "meta" / "main.yml")["galaxy_info"]
    return info


def _with_offers_on(component: str, *systems: str) -> Catalog:
    """The catalog, in which a component is offered on these systems alone."""
    catalog = read_catalog()
    entry = catalog.components[component]
    offers = [entry.offers[0].model_copy(update={"os": list(systems)})]
    changed = entry.model_copy(update={"offers": offers})
    return dataclasses.replace(catalog, components={**catalog.components, component: changed})


def test_a_component_that_is_offered_on_debian_only_claims_nothing_else() -> None:
    role = read_role(ROOT / "roles" / "efa", _with_offers_on("efa", "debian12"))
    claimed = yaml.safe_load(meta(role))["galaxy_info"]["platforms"]
    assert claimed == [{"name": "Debian", "versions": ["bookworm"]}]
    systems = readme(role).partition("## Systems")[2].partition("Left out")[0]
    assert re.findall(r"^- (.+)$", systems, re.MULTILINE) == ["Debian 12 (bookworm)"]


def test_red_hat_and_its_rebuilds_are_one_platform() -> None:
    role = read_role(ROOT / "roles" / "efa", _with_offers_on("efa", "rhel9", "rocky9", "al2023"))
    claimed = yaml.safe_load(meta(role))["galaxy_info"]["platforms"]
    assert claimed == [{"name": "Amazon Linux", "versions": ["2023"]}, {"name": "EL", "versions": ["9"]}]


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_a_role_claims_a_distribution_where_the_catalog_offers_its_component(role: Path) -> None:
    catalog = read_catalog()
    component = catalog.components.get(role.name)
    names = {name for offer in component.offers for name in offer.os} if component else set(catalog.operating_systems)
    distributions = {catalog.operating_systems[name].distribution for name in names}
    galaxy = {"RedHat": "EL", "Rocky": "EL", "Amazon": "Amazon Linux"}
    claimed = {platform["name"] for platform in _galaxy(role)["platforms"]}
    assert claimed == {galaxy.get(name, name) for name in distributions}


def test_all_roles_want_the_ansible_that_the_collection_wants() -> None:
    required = _yaml(ROOT / "meta" / "runtime.yml")["requires_ansible"]
    assert {f">={_galaxy(role)['min_ansible_version']}.0" for role in ROLES} == {required}


def test_dependencies_that_people_wrote_are_kept(tmp_path: Path) -> None:
    role = tmp_path / "roles" / "mine"
    (role / "meta").mkdir(parents=True)
    (role / "meta" / "main.yml").write_text("dependencies:\n  - role: ingot.ml.cuda\n")
    (role / "meta" / "argument_specs.yml").write_text("argument_specs: {main: {short_description: 'Say: something'}}\n")
    written = yaml.safe_load(meta(read_role(role, read_catalog())))
    assert written["dependencies"] == [{"role": "ingot.ml.cuda"}]
    assert written["galaxy_info"]["description"] == "Say: something"


def test_a_readme_gives_the_reason_where_a_component_or_a_part_of_it_is_left_out() -> None:
    catalog = read_catalog()
    for role in read_roles(catalog):
        text = " ".join(readme(role).replace("\\", "").split())
        if role.component:
            parts = [role.component.left_out, *role.component.parts_left_out.values()]
            assert [why for part in parts for why in part.values() if why not in text] == []


def test_a_readme_names_the_architecture_where_a_system_has_no_other() -> None:
    catalog = read_catalog()
    assert "- Rocky Linux 9, x86_64 only\n" in readme(read_role(ROOT / "roles" / "neuron", catalog))
    assert "- Rocky Linux 9\n" in readme(read_role(ROOT / "roles" / "efa", catalog))


def test_a_readme_has_each_option_with_type_default_and_choices() -> None:
    rows = readme(read_role(ROOT / "roles" / "nvidia_container_toolkit", read_catalog())).splitlines()
    (row,) = [row for row in rows if row.startswith("| `nvidia_container_toolkit_mode`")]
    assert row.startswith("| `nvidia_container_toolkit_mode` | str | `auto` | ")
    assert row.endswith(" Choices: `auto`, `cdi`, `jit-cdi`, `legacy`. |")


def test_no_readme_shows_ansible_markup() -> None:
    raw = {
        role.name: found
        for role in ROLES
        if (found := re.findall(r"\b(?:[BCEILMOPUV]|RV)\([^)]*\)", (role / "README.md").read_text()))
    }
    assert raw == {}


# The role `component` is not for use on its own; its defaults are of its steps.
@pytest.mark.parametrize("role", [role for role in ROLES if role.name != "component"], ids=lambda role: role.name)
def test_options_are_the_roles_defaults_and_state_them(role: Path) -> None:
    specs = _yaml(role / "meta" / "argument_specs.yml")["argument_specs"]
    options = {name: option for entry in specs.values() for name, option in entry["options"].items()}
    defaults = _yaml(role / "defaults" / "main.yml")
    assert defaults.keys() - options.keys() == set()
    # What Ansible computes on the machine has no value here; the description says it.
    literal = {name: value for name, value in defaults.items() if "{{" not in str(value)}
    assert {name: option["default"] for name, option in options.items() if "default" in option} == literal


@pytest.mark.parametrize("role", [role for role in ROLES if role.name != "component"], ids=lambda role: role.name)
def test_the_example_is_a_play_with_the_role(role: Path) -> None:
    specs = _yaml(role / "meta" / "argument_specs.yml")["argument_specs"]
    (play,) = yaml.safe_load(specs["main"]["examples"])
    assert f"ingot.ml.{role.name}" in [each["role"] for each in play["roles"]]
    assert play["hosts"]
