"""`srun --container-image` is there: Slurm loads the plugin, which was built against this very Slurm."""

import pytest
from testinfra.host import Host

from ingot.model.lock import LockedComponent

SLURM = "PATH=/opt/slurm/bin:/opt/slurm/sbin:$PATH"
PLUGIN = "/usr/local/lib/slurm/spank_pyxis.so"


@pytest.fixture(scope="module")
def settings(host: Host) -> str:
    """The folder of Slurm's settings."""
    return "/opt/slurm/etc" if host.file("/opt/slurm/sbin/slurmd").exists else "/etc/slurm"


def test_it_was_built_against_the_slurm_of_the_image(host: Host, pin: LockedComponent) -> None:
    slurm = host.check_output(f"{SLURM} slurmd -V").split()[-1]
    assert host.file("/usr/local/share/pyxis/ingot-built").content_string == f"pyxis {pin.version}, slurm {slurm}\n"


def test_it_is_a_plugin_of_slurm(host: Host) -> None:
    # Symbols carry a version: plugin_name@@PYXIS_1.0.
    symbols = {each.partition("@")[0] for each in host.check_output("nm -D --defined-only %s", PLUGIN).split()}
    assert {"plugin_name", "plugin_type", "plugin_version", "slurm_spank_init"} <= symbols


def test_slurm_is_told_to_load_it(host: Host, settings: str) -> None:
    lines = host.file(f"{settings}/plugstack.conf").content_string.splitlines()
    assert f"include {settings}/plugstack.conf.d/*" in lines
    required = host.file(f"{settings}/plugstack.conf.d/pyxis.conf").content_string.splitlines()
    assert required[-1].split() == ["required", PLUGIN, "runtime_path=/run/pyxis"]


@pytest.mark.booted
def test_srun_offers_container_images(host: Host) -> None:
    assert "--container-image=" in host.check_output(f"{SLURM} srun --help")
