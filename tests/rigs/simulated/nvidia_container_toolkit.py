"""NVIDIA's container toolkit: NVIDIA/nvidia-container-toolkit at v1.20.0, packaging/debian and packaging/rpm.

Its nvidia-ctk writes the defaults of the runtime and says its version, and no more. Unlike most of what is simulated,
the toolkit is public as a Go module, by which a slow test checks the roles' settings with the real one.
"""

from tests.rigs.packages import Package, Wanted

# What the real one writes, as far as a role looks at it.
CONFIG = """disable-require = false

[nvidia-container-cli]
environment = []
ldconfig = "@/sbin/ldconfig"
load-kmods = true

[nvidia-container-runtime]
log-level = "info"
mode = "auto"
runtimes = ["runc", "crun"]

[nvidia-container-runtime.modes]

[nvidia-container-runtime.modes.cdi]
annotation-prefixes = ["cdi.k8s.io/"]
default-kind = "nvidia.com/gpu"
spec-dirs = ["/etc/cdi", "/var/run/cdi"]

[nvidia-container-runtime-hook]
path = "nvidia-container-runtime-hook"
skip-mode-detection = false

[nvidia-ctk]
path = "nvidia-ctk"
"""
CTK = """#!/bin/sh
# Simulated.
set -eu
case "$*" in
  --version) echo "NVIDIA Container Toolkit CLI version {upstream}" ;;
  "--quiet config --config-file=/etc/nvidia-container-runtime/config.toml --in-place")
    [ ! -e /etc/nvidia-container-runtime/config.toml ] || exit 0
    mkdir -p /etc/nvidia-container-runtime
    cat >/etc/nvidia-container-runtime/config.toml <<'EOF'
{config}EOF
    ;;
  *) echo "nvidia-ctk is simulated: it cannot $*" >&2; exit 1 ;;
esac
"""
PROGRAM = """#!/bin/sh
# Simulated.
echo "{name} is simulated" >&2
exit 1
"""
# As deployments/systemd has them, with what decides whether they run. The old ones, before 1.18, are not there.
SERVICE = """[Unit]
Description=Simulated refresh of the description of devices
ConditionPathExists=|/usr/bin/nvidia-smi
ConditionPathExists=|/usr/sbin/nvidia-smi
ConditionPathExists=/usr/bin/nvidia-ctk
StartLimitBurst=5
StartLimitIntervalSec=10s

[Service]
Type=oneshot
Environment=NVIDIA_CTK_CDI_OUTPUT_FILE_PATH=/var/run/cdi/nvidia.yaml
EnvironmentFile=-/etc/nvidia-container-toolkit/nvidia-cdi-refresh.env
ExecStart=/bin/sh -c '/usr/bin/nvidia-smi -L || /usr/sbin/nvidia-smi -L'
ExecStart=/usr/bin/nvidia-ctk cdi generate
Restart=on-failure
RestartSec=1s

[Install]
WantedBy=multi-user.target
"""
PATH = """[Unit]
Description=Simulated trigger of the refresh

[Path]
PathChanged=/usr/bin/nvidia-ctk

[Install]
WantedBy=multi-user.target
"""
PRESET = "enable nvidia-cdi-refresh.path\nenable nvidia-cdi-refresh.service\n"
UNITS = "usr/lib/systemd"


def _base(wanted: Wanted) -> Package:
    files = {f"usr/bin/{name}": PROGRAM.format(name=name) for name in ("nvidia-container-runtime", "nvidia-cdi-hook")}
    files["usr/bin/nvidia-ctk"] = CTK.format(upstream=wanted.upstream, config=CONFIG)
    postinst = "nvidia-ctk --quiet config --config-file=/etc/nvidia-container-runtime/config.toml --in-place\n"
    if tuple(map(int, wanted.upstream.split("."))) >= (1, 18):
        files[f"{UNITS}/system/nvidia-cdi-refresh.service"] = SERVICE
        files[f"{UNITS}/system/nvidia-cdi-refresh.path"] = PATH
        files["etc/nvidia-container-toolkit/nvidia-cdi-refresh.env"] = "# Simulated.\n"
        if wanted.kind == "rpm":
            files[f"{UNITS}/system-preset/90-nvidia-container-toolkit.preset"] = PRESET
        else:
            postinst += "deb-systemd-helper enable nvidia-cdi-refresh.path nvidia-cdi-refresh.service >/dev/null\n"
    return Package(files, scripts={"postinst": postinst})


def _tool(wanted: Wanted) -> Package:
    hook = "nvidia-container-runtime-hook"
    exact = "{} (= {})" if wanted.kind == "apt" else "{} = {}"
    needs = [exact.format(n, wanted.version) for n in ("nvidia-container-toolkit-base", "libnvidia-container-tools")]
    return Package({f"usr/bin/{hook}": PROGRAM.format(name=hook)}, needs=needs)


PACKAGES = {"nvidia-container-toolkit-base": _base, "nvidia-container-toolkit": _tool}
