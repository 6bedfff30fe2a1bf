"""An operating system is one file: what it does not say it has of the one that it is like, and what it lacks is said
at once."""

import shutil
from pathlib import Path

import pytest

from ingot import paths
from ingot.catalog.addresses import address, key_of
from ingot.catalog.catalog import Catalog
from ingot.catalog.digest import digest_of
from ingot.catalog.read import read_catalog
from ingot.errors import IngotError
from ingot.lock.make import make
from ingot.lock.record import record
from ingot.model.lock import Lock

ALIKE = """
os: {name}
name: A system like another one
like: {like}
version: '{version}'
purl: {{namespace: alike, distro: {name}}}
source: https://example.org
checked: 2026-12-01
{more}"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A team's catalog without anything in it."""
    (tmp_path / "operating_systems").mkdir()
    return tmp_path


def alike(folder: Path, like: str, more: str = "", name: str = "alike", version: str = "9") -> Catalog:
    """Our catalog with a system that is like another one."""
    text = ALIKE.format(name=name, like=like, version=version, more=more)
    (folder / "operating_systems" / f"{name}.yml").write_text(text)
    return read_catalog(own=folder)


def lock_of(catalog: Catalog, name: str = "alike", arch: str = "x86_64") -> Lock:
    return make(catalog, catalog.target("2026.11", name, arch)).lock


def test_a_system_has_all_that_its_file_does_not_say_of_the_one_that_it_is_like(folder: Path) -> None:
    catalog = alike(folder, "rhel9")
    mine, other = lock_of(catalog), lock_of(catalog, "rhel9")
    assert {name: entry.version for name, entry in mine.components.items()} == {
        name: entry.version for name, entry in other.components.items()
    }
    assert mine.repositories == other.repositories
    assert mine.base_images == other.base_images
    assert mine.left_out == other.left_out
    assert mine.unresolved == other.unresolved
    assert (mine.system.login, mine.system.python, mine.system.folders) == (
        other.system.login, other.system.python, other.system.folders
    )  # fmt: skip
    # What a system is called is its own, whatever it is like.
    assert (mine.system.purl.distro, mine.system.pcluster) == ("alike", "")


def test_ours_are_alike_too_and_may_say_otherwise() -> None:
    catalog = read_catalog()
    assert catalog.lineage("rocky9") == ["rocky9", "rhel9"]
    rocky, red_hat = lock_of(catalog, "rocky9"), lock_of(catalog, "rhel9")
    assert rocky.repositories["docker_rpm"].url != red_hat.repositories["docker_rpm"].url
    assert rocky.repositories["cuda_rpm"] == red_hat.repositories["cuda_rpm"]
    assert "neuron" in rocky.components
    assert "neuron" in red_hat.left_out


def test_what_its_file_leaves_out_is_left_out_with_the_reason(folder: Path) -> None:
    lock = lock_of(alike(folder, "rhel9", "left_out: {lustre: its kernel is its own}\n"))
    assert lock.left_out["lustre"] == "its kernel is its own"
    assert "lustre" not in lock.components


def test_its_own_offer_comes_in_the_place_of_those_of_the_other_one(folder: Path) -> None:
    offer = """
offers:
  kernel:
    - repository: {name: distribution, packages: {kernel-of-ours: ''}}
      releases:
        '6.12': {source: https://example.org, checked: 2026-12-01}
      source: https://example.org
      checked: 2026-12-01
"""
    catalog = alike(folder, "rhel9", f"{offer}left_out: {{lustre: its kernel is its own}}\n")
    kernel = lock_of(catalog).components["kernel"]
    assert (kernel.version, kernel.packages) == ("6.12", ["kernel-of-ours"])
    assert lock_of(catalog, "rhel9").components["kernel"].packages != ["kernel-of-ours"]


def test_rules_and_pins_of_the_other_one_hold(folder: Path) -> None:
    catalog = alike(folder, "al2023")
    assert (
        catalog.stack("2026.11").pins["kernel"].on("alike") == catalog.stack("2026.11").pins["kernel"].by_os["al2023"]
    )
    assert lock_of(catalog).components["kernel"].version == lock_of(catalog, "al2023").components["kernel"].version
    rules = {rule.id: rule.where.os for rule in catalog.components["eks"].rules}
    assert "alike" in rules["eks-1.33-kernel"]
    assert "alike" not in {name for rule in read_catalog().components["eks"].rules for name in rule.where.os}


def test_an_address_is_a_template_over_the_systems_file(folder: Path) -> None:
    catalog = alike(folder, "ubuntu2404", "codename: loud\nfolders: {cuda: loud1}\n", version="1")
    rows = catalog.repositories.repositories
    assert address(rows["cuda_deb"], catalog, "alike", "aarch64").url.endswith("/repos/loud1/sbsa")
    assert address(rows["docker_deb"], catalog, "alike", "x86_64").suite == "loud"
    lock = lock_of(catalog)
    assert lock.repositories["cuda_deb"].url == "https://developer.download.nvidia.com/compute/cuda/repos/loud1/x86_64"
    assert lock.components["docker"].exact["docker-ce"].endswith("~ubuntu.1~loud")


def test_a_version_that_was_seen_at_another_address_alone_is_unresolved(folder: Path) -> None:
    lock = lock_of(alike(folder, "ubuntu2404", "codename: loud\nfolders: {cuda: loud1}\n", version="1"))
    said = "that its repository has 2.31.2 as that for ubuntu2404 has"
    assert said in lock.unresolved["nccl"]
    assert "nccl" not in lock_of(read_catalog(), "ubuntu2404").unresolved
    # One file, or one repository, for all systems was seen wherever it was seen.
    assert "nvidia_container_toolkit" not in lock.unresolved
    # Recording looks into the repository itself; here it cannot be had.
    offline = {name: row.model_copy(update={"url": ""}) for name, row in lock.repositories.items()}
    files = {name: entry.model_copy(update={"artifact": None}) for name, entry in lock.components.items()}
    again, _ = record(lock.model_copy(update={"repositories": offline, "components": files}))
    assert said in again.unresolved["nccl"]


def test_an_address_of_one_system_is_that_of_those_like_it_and_may_be_unknown(folder: Path) -> None:
    catalog = alike(folder, "al2023", version="2023")
    row = catalog.repositories.repositories["cuda_rpm"]
    assert address(row, catalog, "alike", "aarch64").url == ""
    assert address(row, catalog, "alike", "x86_64") == address(row, catalog, "al2023", "x86_64")
    assert "the repository's address for alike-aarch64" in lock_of(catalog, arch="aarch64").unresolved["nvidia_driver"]


def test_another_key_may_sign_a_repositorys_packages_for_a_system(folder: Path) -> None:
    key = "{url: https://example.org/key, source: https://example.org, checked: 2026-12-01}"
    catalog = alike(folder, "rhel9", f"signed_by: {{cuda_rpm: {key}}}\n")
    assert key_of("cuda_rpm", catalog, "alike").url == "https://example.org/key"
    assert key_of("cuda_rpm", catalog, "rhel9") == catalog.repositories.keys["cuda_rpm"]
    lock = lock_of(catalog)
    assert lock.repositories["cuda_rpm"].key_fingerprint == ""
    assert "the repository's key" in lock.unresolved["nvidia_driver"]


def test_what_no_source_says_of_a_system_is_unresolved_and_what_it_is_not_called_is_no_folder(folder: Path) -> None:
    more = "folders: {efa: ~}\nunresolved: {efa: the installer's folder of its packages}\n"
    lock = lock_of(alike(folder, "rhel9", more))
    assert "efa" not in lock.system.folders
    assert lock.system.folders["cuda"] == "rhel9"
    assert lock.unresolved["efa"].endswith("the installer's folder of its packages")
    # So it is for a system that is like it, until that one's file says it.
    again = lock_of(alike(folder, "alike", name="again"), "again")
    assert "efa" not in again.system.folders
    assert "efa" in again.unresolved
    said = lock_of(alike(folder, "alike", "folders: {efa: RPMS/AGAIN}\nunresolved: {efa: ~}\n", "again"), "again")
    assert said.system.folders["efa"] == "RPMS/AGAIN"
    assert "efa" not in said.unresolved


def lacking(folder: Path, text: str, name: str = "ourlinux") -> IngotError:
    (folder / "operating_systems" / f"{name}.yml").write_text(text)
    with pytest.raises(IngotError) as caught:
        read_catalog(own=folder)
    assert caught.value.place.startswith(str(folder / "operating_systems" / f"{name}.yml"))
    return caught.value


WHOLE = """
os: ourlinux
name: Our Linux
family: RedHat
distribution: Our
version: '1'
architectures: [x86_64]
login: us
python: {command: python3, packages: [python3]}
purl: {namespace: our, distro: ourlinux}
base_images:
  ec2: {owner: '123456789012', name: 'our-linux-*', source: https://example.org, checked: 2026-12-01}
source: https://example.org
checked: 2026-12-01
"""


def test_a_row_that_lacks_three_things_names_the_three_in_one_error(folder: Path) -> None:
    text = WHOLE.replace("login: us\n", "").replace("family: RedHat\n", "")
    error = lacking(
        folder,
        text.replace(
            "owner: '123456789012', name: 'our-linux-*', source: https://example.org, ", "owner: '1', name: x, "
        ),
    )
    assert "ourlinux lacks 3 things" in error.message
    for key in ("family", "login", "base_images.ec2.source"):
        assert f"\n  {key}: add it" in error.message
    assert "rhel9 has ec2-user" in error.message
    assert "`like: rhel9`" in error.hint


def test_components_and_folders_that_a_system_of_a_stack_lacks_are_named_with_its_keys(folder: Path) -> None:
    (folder / "stacks").mkdir()
    pin = "{version: '*', why: so we like it, review_after: 2027-01-01}"
    stack = f"stack: ours\nsummary: Ours.\nsystems: [ourlinux]\npins:\n  kernel: {pin}\n  cuda: {pin}\n  nccl: {pin}\n"
    (folder / "stacks" / "ours.yml").write_text(stack)
    offer = """
offers:
  cuda:
    - repository: {name: cuda_rpm, packages: {cuda-toolkit: ''}}
      source: https://example.org
      checked: 2026-12-01
"""
    error = lacking(folder, WHOLE.replace("login: us\n", "") + offer)
    assert "ourlinux lacks 4 things" in error.message
    for said in (
        "login: add it",
        "folders.cuda: add it; rhel9 has rhel9",
        "components.kernel: add ourlinux to an offer",
    ):
        assert said in error.message
    assert "components.nccl" in error.message
    assert "components.cuda" not in error.message


def test_a_stack_without_an_offer_for_a_system_names_all_components_at_once(folder: Path) -> None:
    (folder / "operating_systems" / "ourlinux.yml").write_text(WHOLE)
    catalog = read_catalog(own=folder)
    with pytest.raises(IngotError, match=f"ourlinux lacks {len(catalog.stack('2026.11').pins)} things") as caught:
        make(catalog, catalog.target("2026.11", "ourlinux", "x86_64"))
    assert "components.nvidia_driver" in caught.value.message


@pytest.mark.parametrize(
    ("old", "new", "said", "hint"),
    [
        ("like: rhel9", "like: rhel8", "unknown operating system 'rhel8'", "did you mean 'rhel9'"),
        ("like: rhel9", "like: alike", "alike is like itself: alike -> alike", ""),
        ("os: alike", "os: other", "says os 'other'", "write 'alike'"),
        ("checked:", "lft_out: {}\nchecked:", "unknown key 'lft_out'", "did you mean 'left_out'"),
        ("checked:", "left_out: {cda: x}\nchecked:", "unknown component 'cda'", "did you mean 'cuda'"),
        ("checked:", "unresolved: {cda: x}\nchecked:", "unknown component 'cda'", "did you mean 'cuda'"),
        ("checked:", "architectures: [arm64]\nchecked:", "architectures.0", ""),
    ],
)  # fmt: skip
def test_a_mistake_in_a_row_is_one_error_with_its_line(folder: Path, old: str, new: str, said: str, hint: str) -> None:
    text = ALIKE.format(name="alike", like="rhel9", version="9", more="")
    error = lacking(folder, text.replace(old, new, 1), "alike")
    assert said in error.message
    assert hint in error.hint


def test_a_catalog_with_all_systems_in_one_file_is_told_what_to_write(tmp_path: Path) -> None:
    copy = tmp_path / "catalog"
    shutil.copytree(paths.CATALOG, copy)
    (copy / "operating_systems.yml").write_text("operating_systems: {}\n")
    with pytest.raises(IngotError, match="no longer read from one file") as caught:
        read_catalog(copy)
    assert "operating_systems/NAME.yml" in caught.value.hint


def test_a_systems_file_makes_its_own_locks_stale_and_no_other(tmp_path: Path) -> None:
    copy = tmp_path / "catalog"
    shutil.copytree(paths.CATALOG, copy)

    def digests() -> list[str]:
        catalog = read_catalog(copy)
        return [digest_of(catalog, catalog.target("2026.11", name, "x86_64")) for name in ("rocky9", "rhel9")]

    rocky, rhel = digests()
    file = copy / "operating_systems" / "rocky9.yml"
    file.write_text(file.read_text().replace("login: rocky", "login: ec2-user"))
    assert digests()[0] != rocky
    assert digests()[1] == rhel
