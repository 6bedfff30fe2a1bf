"""What is observed comes from what lies in the root file system, wherever an installation era put it."""

import ast
import importlib.util
import json
import lzma
import sqlite3
import struct
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[3] / "plugins/module_utils/component_facts.py"
spec = importlib.util.spec_from_file_location("component_facts", SOURCE)
assert spec and spec.loader
facts = importlib.util.module_from_spec(spec)
spec.loader.exec_module(facts)

RELEASE = "6.1.0-56-cloud-amd64"
PACKAGES = {
    "base-files": "12.4+deb12u15",
    f"linux-image-{RELEASE}": "6.1.192-2",
    "docker.io": "20.10.24+dfsg1-1+deb12u1+b6",
    "slurmd": "22.05.8-4+deb12u3",
    "libfabric1": "1.17.0-3",
    "openmpi-bin": "4.1.4-3+b1",
    "prometheus-node-exporter": "1.5.0-1+b6",
    "nvidia-cuda-toolkit": "12.4.131~12.4.1-2",
    "libnccl2": "2.22.3-1-1",
}


def put(root: Path, name: str, content: str | bytes = "") -> None:
    """A file below the root."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def install(root: Path, packages: dict[str, str], status: str = "install ok installed") -> None:
    """A dpkg database that has the packages."""
    paragraphs = [
        f"Package: {name}\nStatus: {status}\nVersion: {version}\nDescription: a\n Status: b"
        for name, version in packages.items()
    ]
    put(root, "var/lib/dkms/keep")
    put(root, "var/lib/dpkg/status", "\n\n".join(paragraphs) + "\n")


def module(version: str, release: str = RELEASE) -> bytes:
    """A kernel module, as far as anybody looks: its .modinfo strings."""
    return f"\x7fELF\0\0version={version}\0srcversion=1\0vermagic={release} SMP mod_unload \0x".encode()


def test_an_empty_root_has_nothing(tmp_path: Path) -> None:
    assert set(facts.observe(tmp_path).values()) == {None}
    assert facts.details(tmp_path)["modules"] == []


def test_it_observes_every_component_that_has_a_role(tmp_path: Path) -> None:
    root = SOURCE.parents[2]
    catalog = {path.stem for path in (root / "catalog/components").glob("*.yml")}
    assert catalog & {path.name for path in (root / "roles").iterdir()} <= set(facts.observe(tmp_path))


def test_gdrcopys_role_has_noted_its_version(tmp_path: Path) -> None:
    put(tmp_path, "opt/gdrcopy/ingot-version", "2.6\n")
    assert facts.observe(tmp_path)["gdrcopy"] == "2.6"


def test_a_gdrcopy_that_the_base_image_brings_is_its_module(tmp_path: Path) -> None:
    put(tmp_path, f"lib/modules/{RELEASE}/updates/dkms/gdrdrv.ko", module("2.6"))
    assert facts.observe(tmp_path)["gdrcopy"] == "2.6"


def test_of_an_eks_image_both_drivers_are_told_and_none_is_installed_before_a_gpu_chooses(tmp_path: Path) -> None:
    """https://github.com/awslabs/amazon-eks-ami/pull/2819: the first boot with a GPU takes one tree of the two."""
    for tree, version in (("lts", "580.159.03"), ("pb", "595.91.07")):
        put(tmp_path, f"opt/nvidia/{tree}/.version", f"{version}\n")
        built = f"opt/nvidia/{tree}/flavors/open/lib/modules/{RELEASE}/extra"
        put(tmp_path, f"{built}/nvidia.ko", module(version))
        put(tmp_path, f"{built}/gdrdrv.ko", module("2.5.2"))
    seen = facts.observe(tmp_path)
    assert (seen["nvidia_driver"], seen["gdrcopy"]) == (None, "2.5.2")
    assert facts.details(tmp_path)["nvidia_trees"] == {"lts": "580.159.03", "pb": "595.91.07"}
    # As `cp` of the first boot leaves it.
    put(tmp_path, f"lib/modules/{RELEASE}/extra/nvidia.ko", module("580.159.03"))
    assert facts.observe(tmp_path)["nvidia_driver"] == "580.159.03"


@pytest.mark.parametrize("name", ["nvidia-fabricmanager", "nvidia-fabricmanager-580", "nvidia-fabric-manager"])
def test_packages_of_the_driver_are_found_under_every_name_that_they_had(tmp_path: Path, name: str) -> None:
    install(tmp_path, {name: "580.126.20-1", "nvidia-imex-580": "580.126.20-1", "nvidia-fabricmanager-dev-580": "1-1"})
    seen = facts.observe(tmp_path)
    assert (seen["fabricmanager"], seen["imex"]) == ("580.126.20", "580.126.20")


def test_packages_give_upstream_versions(tmp_path: Path) -> None:
    install(tmp_path, PACKAGES)
    put(tmp_path, f"lib/modules/{RELEASE}/modules.order")
    seen = facts.observe(tmp_path)
    assert {name: version for name, version in seen.items() if version} == {
        "base": "12.4",
        "kernel": "6.1.192",
        "cuda": "12.4.131",
        "nccl": "2.22.3",
        "efa": "1.17.0",
        "slurm": "22.05.8",
        "docker": "20.10.24",
        "node_exporter": "1.5.0",
    }
    assert facts.details(tmp_path)["open_mpi"] == "4.1.4"


def test_what_is_of_no_package_is_found_by_what_its_role_has_noted(tmp_path: Path) -> None:
    put(tmp_path, "usr/local/share/pyxis/ingot-built", "pyxis 0.24.0, slurm 25.11.8\n")
    for name, version in {"node_exporter": "1.11.1", "prometheus": "3.5.3"}.items():
        put(tmp_path, f"usr/share/ingot/programs/{name}", f"{version}\n")
        assert facts.observe(tmp_path)[name] is None
        put(tmp_path, f"usr/local/bin/{name}")
    seen = facts.observe(tmp_path)
    assert (seen["pyxis"], seen["node_exporter"], seen["prometheus"]) == ("0.24.0", "1.11.1", "3.5.3")


@pytest.mark.parametrize(("number", "version"), [("0x190b07", "25.11.7"), ("0x1a0503", "26.05.3")])
def test_a_slurm_built_from_source_is_what_its_header_numbers(tmp_path: Path, number: str, version: str) -> None:
    assert facts.observe(tmp_path)["slurm"] is None
    header = f"#define SLURM_VERSION_NUM(a,b,c) (a)\n#define SLURM_VERSION_NUMBER {number}\n"
    put(tmp_path, "opt/slurm/include/slurm/slurm_version.h", header)
    assert facts.observe(tmp_path)["slurm"] == version


# The states of dpkg(1) in which a package cannot be relied on.
@pytest.mark.parametrize(
    "status",
    [
        "deinstall ok config-files", "deinstall ok half-installed", "install reinstreq half-installed",
        "install ok unpacked", "install ok half-configured", "unknown ok not-installed",
    ],
)  # fmt: skip
def test_a_package_that_is_not_whole_is_absent(tmp_path: Path, status: str) -> None:
    install(tmp_path, PACKAGES, status=status)
    assert facts.observe(tmp_path)["docker"] is None
    assert facts.installed(tmp_path) == {}


def test_a_kernel_without_modules_is_absent(tmp_path: Path) -> None:
    install(tmp_path, PACKAGES)
    assert facts.observe(tmp_path)["kernel"] is None


def test_the_newest_kernel_counts(tmp_path: Path) -> None:
    for release in ("6.12.9-cloud-amd64", "6.12.117+deb13-cloud-amd64"):
        put(tmp_path, f"lib/modules/{release}/modules.order")
    assert facts.observe(tmp_path)["kernel"] == "6.12.117"


@pytest.mark.parametrize("name", ["nvidia-current.ko", "nvidia-current.ko.xz", "nvidia.ko", "nvidia-tesla-535.ko"])
def test_the_driver_is_what_its_module_says(tmp_path: Path, name: str) -> None:
    content = module("535.309.01")
    put(tmp_path, f"lib/modules/{RELEASE}/updates/dkms/{name}", lzma.compress(content) if name[-1] == "z" else content)
    put(tmp_path, f"lib/modules/{RELEASE}/updates/dkms/other.ko", module("1"))
    assert facts.observe(tmp_path)["nvidia_driver"] == "535.309.01"
    (found,) = facts.details(tmp_path)["modules"]
    assert (found["release"], found["vermagic"]) == (RELEASE, f"{RELEASE} SMP mod_unload")


@pytest.mark.parametrize(
    ("older", "newer"), [("6.1.0-9", "6.1.0-10"), ("6.1.0-56", "6.12.0-1"), ("6.12.0-1", "7.0.0-1")]
)
def test_of_two_kernels_the_newer_one_s_driver_counts(tmp_path: Path, older: str, newer: str) -> None:
    for release, version in ((older, "570.1.1"), (newer, "580.95.05")):
        put(tmp_path, f"lib/modules/{release}/updates/dkms/nvidia.ko", module(version, release))
    assert facts.observe(tmp_path)["nvidia_driver"] == "580.95.05"
    described = {each["release"]: each["version"] for each in facts.details(tmp_path)["modules"]}
    assert described == {older: "570.1.1", newer: "580.95.05"}


def test_a_module_that_cannot_be_read_leaves_the_version_to_dkms(tmp_path: Path) -> None:
    put(tmp_path, f"lib/modules/{RELEASE}/updates/dkms/nvidia.ko.zst", b"\x28\xb5\x2f\xfd")
    put(tmp_path, "var/lib/dkms/nvidia/580.95.05/source/Kbuild")
    assert facts.observe(tmp_path)["nvidia_driver"] == "580.95.05"


def test_source_without_a_module_is_no_driver(tmp_path: Path) -> None:
    put(tmp_path, "usr/src/nvidia-580.95.05/Kbuild")
    assert facts.observe(tmp_path)["nvidia_driver"] is None


@pytest.mark.parametrize("place", ["opt/ingot/wheels/any", "usr/local/cuda", "usr/local/cuda-12.9/lib/python"])
def test_unpacked_wheels_are_found(tmp_path: Path, place: str) -> None:
    put(tmp_path, f"{place}/nvidia_cuda_runtime_cu12-12.9.79.dist-info/METADATA")
    put(tmp_path, f"{place}/nvidia_nccl_cu12-2.32.3.dist-info/METADATA")
    seen = facts.observe(tmp_path)
    assert (seen["cuda"], seen["nccl"]) == ("12.9.79", "2.32.3")


def test_nvidias_own_layout_is_found(tmp_path: Path) -> None:
    put(tmp_path, "usr/local/cuda/version.json", '{"cuda" : {"name" : "CUDA SDK", "version" : "13.0.2"}}')
    put(tmp_path, "usr/lib/x86_64-linux-gnu/libnccl.so.2.28.3")
    seen = facts.observe(tmp_path)
    assert (seen["cuda"], seen["nccl"]) == ("13.0.2", "2.28.3")


def test_a_header_alone_tells_the_nccl_version(tmp_path: Path) -> None:
    put(tmp_path, "usr/include/nccl.h", "#define NCCL_MAJOR 2\n#define NCCL_MINOR 22\n#define NCCL_PATCH 3\n")
    assert facts.observe(tmp_path)["nccl"] == "2.22.3"


@pytest.mark.parametrize("home", ["opt/amazon/ofi-nccl/lib/x86_64-linux-gnu", "opt/aws-ofi-nccl/lib", "usr/local/lib"])
def test_the_efa_installer_and_its_parts_are_found(tmp_path: Path, home: str) -> None:
    install(tmp_path, {"libfabric1": "1.17.0-3"})
    put(tmp_path, "opt/amazon/efa_installed_packages", "# EFA installer version: 1.43.2\n# Debug packages: no\n")
    put(tmp_path, "opt/amazon/efa/lib/pkgconfig/libfabric.pc", "Name: libfabric\nVersion: 2.1.0amzn5.0\n")
    put(tmp_path, f"{home}/libnccl-net-ofi.so", b"\0\xffNET/OFI Initializing aws-ofi-nccl 1.16.3\0")
    seen, parts, _ = facts.everything(tmp_path)
    assert (seen["efa"], seen["aws_ofi_nccl"]) == ("1.43.2", "1.16.3")
    assert (parts["efa_installer"], parts["libfabric"]) == ("1.43.2", "2.1.0")


def test_it_runs_on_the_oldest_python_of_a_target() -> None:
    ast.parse(SOURCE.read_text(), feature_version=(3, 9))


def header(name: str, version: str, release: str, epoch: int | None = None) -> bytes:
    """A header of rpm's database: its index, then the values; the summary is one that nobody asks for."""
    index, values = b"", b""
    for tag, text in ((1000, name), (1001, version), (1002, release), (1004, "Simulated")):
        index += struct.pack(">4I", tag, 6, len(values), 1)
        values += text.encode() + b"\0"
    if epoch is not None:
        values += b"\0" * (-len(values) % 4)
        index += struct.pack(">4I", 1003, 4, len(values), 1)
        values += struct.pack(">I", epoch)
    return struct.pack(">2I", len(index) // 16, len(values)) + index + values


def install_rpms(path: Path, *headers: bytes) -> sqlite3.Connection:
    """A database of rpm's that has the packages, open."""
    path.parent.mkdir(parents=True, exist_ok=True)
    database = sqlite3.connect(path)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("CREATE TABLE Packages (hnum INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB NOT NULL)")
    database.executemany("INSERT INTO Packages (blob) VALUES (?)", ((each,) for each in headers))
    database.commit()
    return database


@pytest.mark.parametrize("place", ["var/lib/rpm", "usr/lib/sysimage/rpm"])
def test_packages_of_rpm_are_found_and_the_one_installed_last_counts(tmp_path: Path, place: str) -> None:
    database = tmp_path / place / "rpmdb.sqlite"
    install_rpms(
        database,
        header("gpg-pubkey", "d42d0685", "62589a51"),
        header("nvidia-driver", "580.126.20", "1.el9", 3),
        header("libnccl", "2.31.2", "1+cuda13.4", 0),
        header("kernel", "5.14.0", "687.el9"),
        header("kernel", "5.14.0", "611.el9"),
    ).close()
    before = sorted(database.parent.iterdir())
    observed, _, packages = facts.everything(tmp_path)
    assert packages == {
        "nvidia-driver": "3:580.126.20-1.el9",
        "libnccl": "2.31.2-1+cuda13.4",
        "kernel": "5.14.0-611.el9",
    }
    assert observed["nccl"] == "2.31.2"
    assert sorted(database.parent.iterdir()) == before


def test_a_package_in_the_journal_of_rpms_database_is_installed(tmp_path: Path) -> None:
    database = install_rpms(tmp_path / "var/lib/rpm/rpmdb.sqlite", header("nvlsm", "2025.03.9", "1"))
    assert facts.installed(tmp_path) == {"nvlsm": "2025.03.9-1"}
    database.close()


def test_neuron_is_of_the_release_that_its_packages_are_of(tmp_path: Path) -> None:
    packages = {"aws-neuronx-dkms": "2.29.0.0", "aws-neuronx-tools": "2.31.15.0"}
    install(tmp_path, packages)
    assert facts.observe(tmp_path)["neuron"] == "2.29.0.0"
    put(tmp_path, "usr/share/ingot/neuron.json", json.dumps({"version": "2.31.1", "packages": packages}))
    assert facts.observe(tmp_path)["neuron"] == "2.31.1"
    install(tmp_path, {**packages, "aws-neuronx-dkms": "2.30.2.0"})
    assert facts.observe(tmp_path)["neuron"] == "2.30.2.0"


def test_tools_of_aws_are_of_their_package_or_of_where_their_link_leads(tmp_path: Path) -> None:
    install(tmp_path, {"amazon-ssm-agent": "3.3.4624.0-1", "amazon-cloudwatch-agent": "1.300072.0b1766-1"})
    put(tmp_path, "usr/local/aws-cli/v2/2.36.9/dist/aws")
    (tmp_path / "usr/local/aws-cli/v2/current").symlink_to("/usr/local/aws-cli/v2/2.36.40")
    observed = facts.observe(tmp_path)
    wanted = {"ssm_agent": "3.3.4624.0", "cloudwatch_agent": "1.300072.0b1766", "aws_cli": "2.36.40"}
    assert {name: observed[name] for name in wanted} == wanted


def test_amazons_package_of_docker_is_docker(tmp_path: Path) -> None:
    install_rpms(tmp_path / "var/lib/rpm/rpmdb.sqlite", header("docker", "25.0.8", "1.amzn2023.0.3")).close()
    assert facts.observe(tmp_path)["docker"] == "25.0.8"


@pytest.mark.parametrize(
    ("grade", "declared", "observed", "as_declared"),
    [
        ("base", "6.12", "6.12.55", True),
        ("base", "6.12", "6.1.55", False),
        ("base", "5.14.0-687", "5.14.0", True),
        ("base", "", "2023", True),
        ("base", "", None, False),
        ("digest", "580.126", "580.126.20", False),
        ("digest", "580.126.20", "580.126.20", True),
    ],
)
def test_of_the_systems_own_packages_a_lock_knows_the_series_alone(
    grade: str, declared: str, observed: str | None, *, as_declared: bool
) -> None:
    assert facts.as_declared({"grade": grade, "version": declared}, observed) == as_declared
