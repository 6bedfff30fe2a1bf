"""What went wrong for others, each of which a rule has to see: the threads are named beside them."""

import pytest
from packaging.version import Version

from ingot.catalog.instance_types import describe
from ingot.catalog.read import read_catalog
from ingot.catalog.rules import Broken, Context, Part, broken, release_facts
from ingot.model.types import Facts
from ingot.plan.fit import driver_needs
from ingot.plan.solve import solve

CATALOG = read_catalog()


def found(versions: dict[str, str], facts: dict[str, Facts] | None = None, **where: str) -> list[Broken]:
    """What the rules find in a set of versions."""
    parts = [
        Part(
            name, Version(text), text, {**release_facts(CATALOG.components[name], text), **(facts or {}).get(name, {})}
        )
        for name, text in versions.items()
    ]
    return broken(parts, CATALOG.components, Context(**where))


def errors(versions: dict[str, str], facts: dict[str, Facts] | None = None, **where: str) -> str:
    """The errors among them, as one text."""
    return "\n".join(each.message for each in found(versions, facts, **where) if each.severity == "error")


def test_1_a_container_toolkit_that_breaks_device_plugins_on_eks() -> None:
    # https://github.com/awslabs/amazon-eks-ami/issues/2790
    assert [each.severity for each in found({"nvidia_container_toolkit": "1.20.0"}, platform="eks")] == ["warning"]
    assert found({"nvidia_container_toolkit": "1.19.1"}, platform="eks") == []
    assert "1.17.7" in errors({"nvidia_container_toolkit": "1.17.7"})


def test_2_a_kernel_patch_that_keeps_the_closed_module_from_efa() -> None:
    # https://github.com/awslabs/amazon-eks-ami/issues/1494
    versions, on = {"nvidia_driver": "535.288.01", "efa": "1.29.0"}, {"os": "al2023", "family": "p5"}
    facts: dict[str, Facts] = {"nvidia_driver": {"module": "closed"}, "efa": {"installer": True}}
    opened: dict[str, Facts] = {**facts, "nvidia_driver": {"module": "open"}}
    assert "kernel" in errors({**versions, "kernel": "6.1.52"}, facts, **on)
    assert errors({**versions, "kernel": "6.1.51"}, facts, **on) == ""
    assert errors({**versions, "kernel": "6.1.52"}, opened, **on) == ""
    assert "kernel" in errors({"efa": "1.22.1", "kernel": "6.1.52"}, facts, **on)


@pytest.mark.parametrize("component", ["fabricmanager", "imex"])
def test_3_a_fabric_manager_of_another_version_than_the_driver(component: str) -> None:
    # https://github.com/aws/aws-parallelcluster/issues/3034
    assert "nvidia_driver" in errors({component: "580.105.08", "nvidia_driver": "580.126.20"})
    assert errors({component: "580.126.20", "nvidia_driver": "580.126.20"}) == ""


def test_4_an_efa_installer_that_is_too_old_for_nccl() -> None:
    # https://github.com/aws/aws-ofi-nccl/issues/584, which has the way around it
    facts: dict[str, Facts] = {"efa": {"installer": True}}
    (problem,) = found({"efa": "1.26.0", "nccl": "2.19.3", "kernel": "6.1.51"}, facts)[:1]
    assert (problem.severity, problem.rule) == ("warning", "efa-1.29.0-for-nccl-2.19")
    assert "FI_EFA_SET_CUDA_SYNC_MEMOPS=0" in problem.message
    assert errors({"efa": "1.29.0", "nccl": "2.27.7"}, facts) == ""
    target = CATALOG.target(CATALOG.newest_stack, "al2023", "x86_64")
    assert solve(CATALOG, target, ["efa==1.29.0", "nccl==2.27.7"])["components"]["efa"]["version"] == "1.29.0"


def test_6_a_kernel_that_has_no_lustre_client() -> None:
    # https://github.com/Azure/azhpc-images/issues/396 and 454
    lustre = {each.severity for each in found({"kernel": "6.14.0", "lustre": "2.15"}, os="ubuntu2204")}
    assert "error" in lustre
    assert errors({"kernel": "6.12", "lustre": "2.15"}, os="al2023") == ""


def test_7_a_module_flavour_that_does_not_drive_the_gpu() -> None:
    # https://github.com/awslabs/amazon-eks-ami/issues/1697 and 2768
    for name, flavour in (("p6-b200.48xlarge", "open"), ("p6-b300.48xlarge", "open"), ("p3dn.24xlarge", "closed")):
        assert {"module": flavour} in [need.facts for need in driver_needs(describe(name))]


def test_8_fabric_manager_runs_only_where_there_is_an_nvswitch() -> None:
    # https://github.com/awslabs/amazon-eks-ami/issues/2727
    assert describe("g5.48xlarge")["services"] == describe("p5.4xlarge")["services"] == []
    assert describe("p5.48xlarge")["services"] == ["fabricmanager"]


def test_9_a_driver_that_is_older_than_what_cuda_needs() -> None:
    # https://github.com/aws/deep-learning-containers/issues/6114
    assert "needs nvidia_driver" in errors({"cuda": "13.0.2", "nvidia_driver": "570.211.01"})
    assert errors({"cuda": "12.9.1", "nvidia_driver": "570.211.01"}) == ""
    assert [each.severity for each in found({"cuda": "13.2.1", "nvidia_driver": "580.126.20"})] == ["warning"]
    assert "803" in errors({"cuda_compat": "580.173.02", "nvidia_driver": "595.71.05"})


def test_10_a_release_of_parallelcluster_that_no_longer_supports_the_system() -> None:
    # https://github.com/aws/aws-parallelcluster/releases, 3.14.0 and 3.16.1
    assert errors({"parallelcluster": "3.16.3"}, os="ubuntu2404") == ""
    assert "parallelcluster" in errors({"parallelcluster": "3.16.3"}, os="debian12")


def test_11_a_driver_that_does_not_compile_against_the_kernel() -> None:
    assert "6.12.107" in errors({"nvidia_driver": "550.163.01", "kernel": "6.12.117"})
    assert errors({"nvidia_driver": "535.274.02", "kernel": "6.12.117"}) == ""
