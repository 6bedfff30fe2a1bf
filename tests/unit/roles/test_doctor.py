"""`ingot-doctor --pytorch` tells what training finds on a node, and `--compare` in what nodes differ."""

import json
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ingot.paths import ROOT

FILES = ROOT / "roles" / "doctor" / "files"
LOCK: dict[str, Any] = {
    "schema": 1,
    "stack": "2026.11",
    "os": "ubuntu2404",
    "arch": "x86_64",
    "components": {
        "nccl": {"version": "2.31.2"},
        "aws_ofi_nccl": {"version": "1.21.1"},
        "nvidia_driver": {"version": "580.126.20"},
        "gdrcopy": {"version": "2.6"},
        "efa": {"version": "1.50.0", "facts": {"libfabric": "2.6.0amzn1.0", "efa_kmod": "3.3.0"}},
    },
    "left_out": {},
}
# What `torch` answers here; a real one takes gigabytes.
TORCH = """
__version__ = "2.15.0+cu132"
class version: cuda = "13.2"
class cuda:
    is_available = staticmethod(lambda: {gpus} > 0)
    device_count = staticmethod(lambda: {gpus})
class backends:
    class cudnn: version = staticmethod(lambda: 91500)
class distributed:
    is_available = is_nccl_available = is_gloo_available = staticmethod(lambda: True)
    is_mpi_available = staticmethod(lambda: False)
print("a library that talks while it is loaded")
"""
DRIVER = (
    "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.126.20  Release Build  (builder@host)\nGCC version:\n"
)


@pytest.fixture
def doctor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The program as a module, with the lock and the rules of this checkout."""
    for folder in (FILES, ROOT / "plugins" / "module_utils"):
        monkeypatch.syspath_prepend(folder)
    loader = SourceFileLoader("ingot_doctor", str(FILES / "ingot-doctor"))
    spec = spec_from_loader("ingot_doctor", loader)
    assert spec is not None
    module = module_from_spec(spec)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    loader.exec_module(module)
    monkeypatch.setattr(module, "SETTINGS", str(FILES / "settings.json"))
    monkeypatch.setattr(module, "ADVISORIES", str(FILES / "advisories.json"))
    monkeypatch.setattr(module, "MACHINES", str(FILES / "machines.json"))
    monkeypatch.setattr(module, "LOCK", str(tmp_path / "lock.json"))
    return module


@pytest.fixture
def torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `torch` that the job's Python finds."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "torch.py").write_text(TORCH.format(gpus=0))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))


def said(doctor: ModuleType, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Run the program: its exit status, and what it writes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["ingot-doctor", *words])
        status = doctor.main()
    out, err = capsys.readouterr()
    return status, out, err


def node(root: Path, *, gpus: int = 0, efa: int = 0) -> Path:
    """A machine's files, as Linux and the drivers show them."""
    for number in range(gpus):
        path = root / f"proc/driver/nvidia/gpus/0000:{number:02x}:00.0/information"
        path.parent.mkdir(parents=True)
        path.write_text("Model: \t\t NVIDIA H100 80GB HBM3\nIRQ:   \t\t 1\n")
        (root / "proc/driver/nvidia/version").write_text(DRIVER)
    for number in range(efa):
        device = root / f"sys/class/infiniband/rdmap{number}s0/device"
        device.mkdir(parents=True)
        (root / "sys/bus/pci/drivers/efa").mkdir(parents=True, exist_ok=True)
        (device / "driver").symlink_to(root / "sys/bus/pci/drivers/efa")
        (root / "sys/module/efa").mkdir(parents=True, exist_ok=True)
        (root / "sys/module/efa/version").write_text("3.3.0\n")
    (root / "proc").mkdir(exist_ok=True)
    (root / "proc/meminfo").write_text("MemTotal: 2048 kB\nHugePages_Total: 5128\nHugePages_Free: 5100\n")
    return root


KERNEL = {**LOCK, "components": {"kernel": {"version": "6.12.118", "facts": {"release": "6.12.118-cloud"}}}}


@pytest.mark.parametrize(
    ("running", "releases", "fault"),
    [
        ("6.12.118-cloud", ["6.12.118-cloud"], None),
        ("6.12.117-cloud", ["6.12.117-cloud", "6.12.118-cloud"], "the running kernel is 6.12.117-cloud, declared is"),
        # The kernel of a container's host, of which nothing is in the container.
        ("5.15.0-1", ["6.12.118-cloud"], None),
        ("5.15.0-1", [], None),
    ],
)
def test_a_kernel_that_has_its_modules_here_must_be_the_lock_s(
    doctor: ModuleType, running: str, releases: list[str], fault: str | None
) -> None:
    found = doctor.kernel_faults(KERNEL, {"modules": [], "kernel_releases": releases}, running)
    assert [each[: len(fault or "")] for each in found] == ([fault] if fault else [])


@pytest.mark.parametrize(
    ("release", "vermagic", "fault"),
    [
        ("6.12.118-cloud", "6.12.118-cloud SMP mod_unload", None),
        ("6.12.118-cloud", "6.12.117-cloud SMP mod_unload", "/efa.ko is built for 6.12.117-cloud, not for"),
        # A compression that cannot be read; and another kernel's module, which this one does not load.
        ("6.12.118-cloud", None, None),
        ("6.12.117-cloud", "6.12.117-cloud SMP", None),
    ],
)
def test_a_module_of_the_lock_s_kernel_must_be_built_for_it(
    doctor: ModuleType, release: str, vermagic: str | None, fault: str | None
) -> None:
    modules = [{"file": "/efa.ko", "release": release, "version": "3.3.0", "vermagic": vermagic}]
    found = doctor.kernel_faults(KERNEL, {"modules": modules, "kernel_releases": []}, "6.12.118-cloud")
    assert [each[: len(fault or "")] for each in found] == ([fault] if fault else [])


@pytest.mark.parametrize(
    ("vendor", "product", "expected"),
    [("Amazon EC2", "p5.48xlarge", "p5.48xlarge"), ("QEMU", "Standard PC", None), ("Xen", "HVM domU", None)],
)
def test_only_a_machine_of_ec2_has_an_instance_type(
    doctor: ModuleType, tmp_path: Path, vendor: str, product: str, expected: str | None
) -> None:
    assert doctor.instance_type(str(tmp_path)) is None
    (tmp_path / "sys_vendor").write_text(f"{vendor}\n")
    (tmp_path / "product_name").write_text(f"{product}\n")
    assert doctor.instance_type(str(tmp_path)) == expected


def test_a_node_is_told_by_its_files(tmp_path: Path, doctor: ModuleType) -> None:
    found = doctor.pytorch_facts.of_node(node(tmp_path / "root", gpus=8, efa=32))
    assert {
        "gpus": 8,
        "gpu_models": ["NVIDIA H100 80GB HBM3"],
        "nvidia_driver_loaded": "580.126.20",
        "efa_devices": 32,
        "efa_loaded": "3.3.0",
        "huge_pages": 5128,
        "huge_pages_free": 5100,
        "memory_mib": 2,
        "gdrdrv_loaded": None,
    }.items() <= found.items()


def test_the_base_image_decides_the_versions_of_its_own_components_alone(doctor: ModuleType) -> None:
    entries = {
        "kernel": {"version": "6.12", "grade": "base"},
        "docker": {"version": "", "grade": "base"},
        "efa": {"version": "1.50.0", "grade": "digest"},
        "nccl": {"version": "2.31.2", "grade": "digest"},
    }
    there = {"kernel": "6.12.55", "docker": None, "efa": "1.50.0", "nccl": "2.31.5"}
    assert doctor.versions_that_differ({"components": entries}, there) == {
        "docker": "docker is absent, declared is any version",
        "nccl": "nccl is 2.31.5, declared is 2.31.2",
    }


def test_about_twenty_five_facts_are_told(doctor: ModuleType, capsys: pytest.CaptureFixture[str], torch: None) -> None:
    status, out, err = said(doctor, capsys, "--pytorch", "--json")
    about = json.loads(out)["pytorch"]
    assert (err, status) == ("", 1 if about["faults"] else 0)
    assert len(about["facts"]) >= 25
    assert about["facts"]["torch"] == "2.15.0+cu132"
    assert about["facts"]["torch_backends"] == ["nccl", "gloo"]
    assert about["expected"] == {}


def test_without_a_lock_only_training_can_be_looked_at(doctor: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(doctor, capsys)[0] == 2
    _, out, _ = said(doctor, capsys, "--pytorch")
    assert out.startswith("no lock\n")
    assert said(doctor, capsys, "--pytorch", "--lock", "/nowhere")[0] == 2


def test_what_the_lock_knows_is_expected(
    doctor: ModuleType, capsys: pytest.CaptureFixture[str], tmp_path: Path, torch: None
) -> None:
    Path(doctor.LOCK).write_text(json.dumps(LOCK))
    status, out, _ = said(doctor, capsys, "--pytorch", "--json")
    found = json.loads(out)
    assert status == 1
    assert {"nccl": "2.31.2", "nccl_of_loader": "2.31.2", "libfabric": "2.6.0"}.items() <= found["pytorch"][
        "expected"
    ].items()
    assert "nccl_of_loader is absent, declared is 2.31.2" in found["faults"]
    assert len(found["faults"]) == len(set(found["faults"]))
    # What needs a device is expected only where there is one.
    assert "nvidia_driver_loaded" not in found["pytorch"]["expected"]


def right() -> dict[str, Any]:
    """The facts of a node on which nothing is wrong."""
    return {
        **{"gpus": 8, "efa_devices": 32, "memlock": "unlimited", "shm_mib": 1000, "processors": 192},
        **{"processors_usable": 192, "plugin_path": "/opt/amazon/ofi-nccl/lib/libnccl-net.so", "torch": "2.15.0"},
        **{"torch_cuda": "13.2", "torch_gpus": 8, "torch_backends": ["nccl", "gloo"], "nccl": "2.31.2"},
        **{"nccl_of_loader": "2.31.2", "aws_ofi_nccl": "1.21.1", "nvidia_driver_loaded": "580.126.20"},
        **{"gdrcopy": "2.6", "gdrdrv_loaded": "2.6", "efa_loaded": "3.3.0", "libfabric": "2.6.0"},
    }


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({}, None),
        ({"nvidia_driver_loaded": "535.1"}, "nvidia_driver_loaded is 535.1, declared is 580.126.20"),
        ({"efa_loaded": "2.0.0"}, "efa_loaded is 2.0.0, declared is 3.3.0"),
        ({"memlock": 8388608}, "memlock is 8388608 bytes"),
        ({"shm_mib": 64}, "/dev/shm has 64 MiB"),
        ({"processors_usable": 12}, "only 12 of 192 processors may be used"),
        ({"plugin_path": None}, "the loader finds no libnccl-net.so"),
        ({"torch_gpus": 7}, "torch sees 7 GPUs, the driver has 8"),
        ({"torch_backends": ["gloo"]}, "torch is built for CUDA but has no NCCL"),
        ({"torch_error": "ImportError: libcudart"}, "torch cannot be asked: ImportError: libcudart"),
    ],
)
def test_what_stops_or_slows_training_is_a_fault(doctor: ModuleType, change: dict[str, Any], fault: str | None) -> None:
    found = doctor.pytorch_facts.faults(LOCK, {**right(), **change}, {})
    assert [each[: len(fault or "")] for each in found] == ([fault] if fault else [])


def test_a_job_that_hides_gpus_is_asked_for_no_more(doctor: ModuleType) -> None:
    found = {**right(), "torch_gpus": 1}
    assert doctor.pytorch_facts.faults(LOCK, found, {"CUDA_VISIBLE_DEVICES": "3"}) == []


def test_a_python_that_is_not_there_is_a_fault(doctor: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = said(doctor, capsys, "--pytorch", "--python", "/nowhere/python3", "--json")
    assert status == 1
    assert "torch cannot be asked: /nowhere/python3: No such file or directory" in json.loads(out)["faults"]


def test_variables_that_matter_are_told_and_secrets_are_not(doctor: ModuleType) -> None:
    environment = {"NCCL_DEBUG": "INFO", "LD_LIBRARY_PATH": "/x", "HF_TOKEN": "s", "AWS_SECRET_ACCESS_KEY": "s"}
    assert list(doctor.pytorch_facts.watched(environment)) == ["LD_LIBRARY_PATH", "NCCL_DEBUG"]


@pytest.mark.parametrize(
    ("name", "change", "faults"),
    [
        ("p5.48xlarge", {}, []),
        (
            "p5.48xlarge",
            {"gpus": 0, "nvidia_driver_loaded": None, "efa_devices": 0},
            ["p5.48xlarge has 8 GPUs, the driver has 0; no driver is loaded", "p5.48xlarge can have 32 EFA interfaces"],
        ),
        ("p5.48xlarge", {"gpus": 7}, ["p5.48xlarge has 8 GPUs, the driver has 7"]),
        # A machine may have been given fewer interfaces than it can have.
        ("p5.48xlarge", {"efa_devices": 16, "efa_on_bus": 16}, []),
        (
            "p5.48xlarge",
            {"efa_devices": 31, "efa_on_bus": 32},
            ["the PCI bus has 32 EFA devices, the module efa drives 31"],
        ),
        (
            "trn1.32xlarge",
            {"gpus": 0, "neuron_devices": 15},
            ["trn1.32xlarge has 16 Neuron devices, the driver has 15"],
        ),
        # Not a machine of EC2: the bus says what there is.
        (None, {"gpus": 0, "gpus_on_bus": 2}, ["the PCI bus has 2 GPUs, the driver has 0"]),
        (None, {"gpus": 0, "efa_devices": 0}, []),
    ],
)
def test_the_instance_type_and_the_bus_say_what_must_be_there(
    doctor: ModuleType, name: str | None, change: dict[str, Any], faults: list[str]
) -> None:
    found = {**right(), "instance_type": name, **change}
    said = doctor.pytorch_facts.hardware_faults(found, doctor.machine_of(name))
    assert [each[: len(fault)] for each, fault in zip(said, faults, strict=True)] == faults


def test_devices_are_counted_on_the_bus(tmp_path: Path, doctor: ModuleType) -> None:
    for number, (vendor, device, kind) in enumerate(
        [("0x10de", "0x2330", "0x030200"), ("0x1d0f", "0xefa2", "0x020000"), ("0x1d0f", "0xec20", "0x020000")]
    ):
        path = tmp_path / f"sys/bus/pci/devices/0000:0{number}:00.0"
        path.mkdir(parents=True)
        for key, value in (("vendor", vendor), ("device", device), ("class", kind)):
            (path / key).write_text(f"{value}\n")
    found = doctor.pytorch_facts.of_node(tmp_path)
    assert (found["gpus_on_bus"], found["efa_on_bus"]) == (1, 1)


def test_a_kernel_that_lacks_a_module_of_an_older_one_is_a_fault(doctor: ModuleType) -> None:
    modules = [
        {"file": f"/lib/{name}.ko.xz", "release": "6.8.0-9", "version": "1", "vermagic": None}
        for name in ("efa", "nvidia")
    ]
    details: dict[str, Any] = {"modules": modules, "kernel_releases": ["6.8.0-9", "6.8.0-10"]}
    assert [each[:37] for each in doctor.kernel_faults(LOCK, details, "6.8.0-9")] == [
        "kernel 6.8.0-10 has no module efa, wh", "kernel 6.8.0-10 has no module nvidia,",
    ]  # fmt: skip
    modules += [{**module, "release": "6.8.0-10"} for module in modules]
    assert doctor.kernel_faults(LOCK, details, "6.8.0-9") == []


def test_libraries_and_module_of_the_driver_must_be_of_one_version(doctor: ModuleType, tmp_path: Path) -> None:
    folder = tmp_path / "usr/lib/x86_64-linux-gnu"
    folder.mkdir(parents=True)
    for name in ("libcuda.so.535.183.01", "libnvidia-ml.so.535.183.01", "libcuda.so.1"):
        (folder / name).touch()
    assert doctor.component_facts.nvidia_libraries(tmp_path) == ["535.183.01"]
    module = {"file": "/nvidia.ko", "release": "6.8", "version": "535.161.07", "vermagic": None}
    details = {"modules": [module], "kernel_releases": ["6.8"], "nvidia_libraries": ["535.183.01"]}
    assert doctor.driver_faults(details) == [
        "the libraries of nvidia_driver are 535.183.01, its kernel module is 535.161.07: they must be the same"
    ]
    # What runs counts more than what is on disk, which is all that a container has of its host.
    assert doctor.driver_faults(details, "535.183.01") == []
    assert doctor.driver_faults({**details, "modules": []}, "535.161.07") != []


@pytest.mark.parametrize(
    ("environment", "names"),
    [
        ({}, ["libnccl-net.so", "libnccl-net-ofi.so"]),
        ({"NCCL_NET_PLUGIN": "ofi"}, ["libnccl-net-ofi.so", "ofi"]),
        ({"NCCL_NET_PLUGIN": "/opt/x/libnccl-net.so"}, ["/opt/x/libnccl-net.so"]),
    ],
)
def test_the_plugin_that_is_asked_for_is_looked_for(
    doctor: ModuleType, environment: dict[str, str], names: list[str]
) -> None:
    import pytorch_probe

    assert pytorch_probe.plugins(environment) == names


def test_the_loader_says_itself_why_it_opens_no_plugin(doctor: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    import pytorch_probe

    missing = "libhwloc.so.15: cannot open shared object file: No such file or directory"

    def opening(name: str) -> None:
        raise OSError(missing if name == "libnccl-net.so" else f"{name}: cannot open shared object file")

    monkeypatch.setattr("ctypes.CDLL", opening)
    assert pytorch_probe.loaded(["libnccl-net-ofi.so", "libnccl-net.so"]) == ("libnccl-net.so", None, missing)
    found = {**right(), "plugin_path": None, "plugin_name": "libnccl-net.so", "plugin_reason": missing}
    assert doctor.pytorch_facts.faults(LOCK, found, {}) == [
        f"the loader cannot open libnccl-net.so: {missing}: NCCL would use TCP instead of EFA"
    ]


@pytest.mark.parametrize(
    "text",
    [
        "", "[" * 100_000, "[]", '{"schema": 1, "components": null}', '{"schema": 1, "components": {"nccl": {}}}',
        '{"schema": 1, "components": [], "left_out": {}}', '{"schema": 1, "brought": {"a": 1}}', "\xff\xfe",
    ],
)  # fmt: skip
def test_a_lock_of_another_shape_is_named(
    doctor: ModuleType, capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str
) -> None:
    (tmp_path / "lock.json").write_bytes(text.encode("latin-1"))
    status, out, err = said(doctor, capsys)
    assert (status, out) == (2, "")
    assert f"cannot read the lock {tmp_path / 'lock.json'}" in err


def test_a_node_that_said_nothing_hides_no_other(
    doctor: ModuleType, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    names = []
    for name, text in (
        ("a", json.dumps(document("a", gpus=8))),
        ("b", json.dumps(document("b", gpus=7))),
        *(("c", ""), ("d", "[" * 10_000)),
        ("e", json.dumps({"pytorch": {"facts": {"gpus": 8}}})),
    ):  # fmt: skip
        (tmp_path / name).write_text(text)
        names.append(str(tmp_path / name))
    status, out, err = said(doctor, capsys, "--compare", *names)
    assert status == 1
    assert "7  b" in out
    assert out.splitlines()[-2:] == [f"no answer of a node in {tmp_path / name}" for name in "cd"]
    assert f"cannot read {tmp_path / 'c'}: it is empty" in err


@pytest.mark.parametrize(("code", "version"), [(23102, "2.31.2"), (2804, "2.8.4"), (21001, "2.10.1")])
def test_the_number_of_an_nccl_is_read(doctor: ModuleType, monkeypatch: Any, code: int, version: str) -> None:
    import pytorch_probe

    class Library:
        def ncclGetVersion(self, number: Any) -> int:
            number._obj.value = code
            return 0

    monkeypatch.setattr("ctypes.CDLL", lambda path: Library())
    assert pytorch_probe.nccl_version("libnccl.so.2") == version


def document(host: str, rank: int | None = None, environment: Any = None, **facts: Any) -> dict[str, Any]:
    """What a node has said, as far as comparing reads it."""
    about = {"facts": {"hostname": host, **facts}, "environment": environment or {}, "rank": rank}
    return {"observed": {"nccl": "2.31.2"}, "pytorch": about}


@pytest.fixture
def compared(doctor: ModuleType, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Any:
    """Compare what nodes have said, two of them in one file."""

    def compare(*documents: dict[str, Any]) -> tuple[int, str, str]:
        texts = [json.dumps(each, indent=1) for each in documents]
        (tmp_path / "a.json").write_text("\n".join(texts[:2]))
        (tmp_path / "b.json").write_text("\n".join(texts[2:]))
        return said(
            doctor, capsys, "--compare", *(str(tmp_path / name) for name in ("a.json", "b.json")[: len(texts) - 1])
        )

    return compare


def test_nodes_that_are_the_same_are_said_to_be(compared: Any) -> None:
    status, out, _ = compared(document("a", gpus=8, huge_pages_free=1), document("b", gpus=8, huge_pages_free=2))
    assert (status, out) == (0, "2 nodes are the same.\n")


def test_the_node_that_differs_is_named_with_what_differs(compared: Any) -> None:
    odd = document("c", environment={"NCCL_PROTO": "LL"}, gpus=7)
    odd["observed"] = {"nccl": "2.29.7"}
    status, out, _ = compared(document("a", gpus=8), document("b", gpus=8), odd, document("d", gpus=8))
    assert status == 1
    assert out.splitlines() == [
        "gpus",
        "  8  3 nodes",
        "  7  c",
        "component nccl",
        "  2.31.2  3 nodes",
        "  2.29.7  c",
        "variable NCCL_PROTO",
        "  absent  3 nodes",
        "  LL      c",
    ]


def test_ranks_of_one_node_are_told_apart(compared: Any) -> None:
    status, out, _ = compared(document("a", rank=0, memlock="unlimited"), document("a", rank=1, memlock=65536))
    assert (status, out.splitlines()) == (1, ["memlock", "  unlimited  a:0", "  65536      a:1"])


@pytest.mark.parametrize("text", ["", "{", "{}", '{"pytorch": {}}'])
def test_what_cannot_be_compared_is_named(
    doctor: ModuleType, capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str
) -> None:
    (tmp_path / "a.json").write_text(text)
    status, out, err = said(doctor, capsys, "--compare", str(tmp_path / "a.json"), str(tmp_path / "a.json"))
    assert (status, out) == (2, "")
    assert f"cannot read {tmp_path / 'a.json'}" in err


def test_one_node_has_nothing_to_differ_from(doctor: ModuleType, capsys: Any, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(document("a")))
    assert said(doctor, capsys, "--compare", str(tmp_path / "a.json"))[0] == 2


def test_what_the_base_image_brings_is_told_apart_and_compared_with_its_own_release(
    doctor: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """ParallelCluster's driver is another one than the stack's, which is no fault of the machine."""
    brought = {"nvidia_driver": {"version": "595.112.07"}, "kernel": {"version": "6.12"}, "slurm": {}}
    Path(doctor.LOCK).write_text(json.dumps({**LOCK, "components": {}, "brought": brought}))
    seen = {"nvidia_driver": "595.112.07", "kernel": "6.12.94", "slurm": "25.11.8", "efa": "1.51.0"}
    details: dict[str, Any] = {"modules": [], "kernel_releases": [], "nvidia_trees": {"pb": "595.91.07"}}
    details |= dict.fromkeys(["efa_installer", "libfabric", "open_mpi"])
    monkeypatch.setattr(doctor.component_facts, "everything", lambda _: (seen, details, {}))
    status, out, _ = said(doctor, capsys)
    assert status == 0, out
    rows = {line.split()[0]: " ".join(line.split()[1:]) for line in out.splitlines() if line.strip()}
    assert rows["nvidia_driver"] == "595.112.07 595.112.07 of the base image"
    assert rows["kernel"] == "6.12 6.12.94 of the base image"
    assert rows["slurm"] == "- 25.11.8 of the base image"
    assert rows["efa"] == "- 1.51.0 not in the lock"
    assert "driver tree pb" in out
    seen["nvidia_driver"], seen["kernel"] = "595.71.05", "6.18.3"
    status, out, _ = said(doctor, capsys, "--json")
    assert status == 1
    assert json.loads(out)["faults"] == [
        "nvidia_driver is 595.71.05, the base image's is 595.112.07", "kernel is 6.18.3, the base image's is 6.12",
    ]  # fmt: skip
    # A driver that the first boot installs is not there before.
    del seen["nvidia_driver"], seen["kernel"]
    assert said(doctor, capsys)[0] == 0


def test_variables_are_judged_for_the_accelerator_whose_driver_the_base_image_brings(
    doctor: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "instance_type", lambda: "p4d.24xlarge")
    lock = {**LOCK, "components": {}, "brought": {"nvidia_driver": {"version": "595.112.07"}}}
    observed = {"nvidia_driver": "595.112.07", "aws_ofi_nccl": "1.4.0"}
    found = doctor.judged(lock, observed, {}, {"NCCL_PROTO": "LL128"})
    assert [each["rule"] for each in found] == ["proto-simple-needed"]
    assert doctor.judged({**lock, "brought": {}}, observed, {}, {"NCCL_PROTO": "LL128"}) == []


def machine(doctor: ModuleType, monkeypatch: pytest.MonkeyPatch, observed: dict[str, str], **packages: str) -> None:
    """A machine with these versions."""
    monkeypatch.setattr(doctor.component_facts, "everything", lambda _: (observed, {}, packages))
    monkeypatch.setattr(doctor.component_facts, "python_packages", lambda _: [("Hydra_core", "1.3.2", Path("/opt/x"))])


def test_an_audit_judges_what_is_found_and_heeds_what_the_stack_accepts(
    doctor: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "lock.json").write_text(json.dumps(LOCK))
    found = {"nvidia_driver": "580.126.20", "aws_ofi_nccl": "1.18.0", "nvidia_container_toolkit": "1.17.6-1"}
    machine(doctor, monkeypatch, found, runc="1.1.5+ds1-1")
    status, out, _ = said(doctor, capsys, "--audit", "--json")
    report = json.loads(out)
    states = {finding["id"]: finding["state"] for finding in report["findings"]}
    assert status == 1
    assert states["CVE-2025-23266"] == states["aws-ofi-nccl-broadcast-hang"] == states["CVE-2026-68508"] == "open"
    assert states["CVE-2026-24187"] == "accepted"
    assert states["CVE-2025-31133"] == "unknown"
    status, out, _ = said(doctor, capsys, "--audit")
    assert status == 1
    assert "open: nvidia_container_toolkit 1.17.6-1: CVE-2025-23266 (critical 9" in out
    assert "fixed in 1.17.8" in out
    assert "accepted until" in out


def test_an_audit_without_a_lock_accepts_nothing_and_without_advisories_is_wrong_use(
    doctor: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    machine(doctor, monkeypatch, {"nvidia_driver": "580.126.20"})
    status, out, _ = said(doctor, capsys, "--audit")
    assert status == 1
    assert "open: nvidia_driver 580.126.20: CVE-2026-24187" in out
    monkeypatch.setattr(doctor, "ADVISORIES", str(tmp_path / "absent.json"))
    status, _, err = said(doctor, capsys, "--audit")
    assert status == 2
    assert "cannot read the advisories" in err
