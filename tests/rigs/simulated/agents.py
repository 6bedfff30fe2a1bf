"""AWS' tools: the command line's bundle, and packages of the agents of Systems Manager and CloudWatch.

The bundle and its installer: https://github.com/aws/aws-cli, exe/assets and exe/pyinstaller. The packages' files:
https://github.com/aws/amazon-ssm-agent, Tools/src/create_deb.sh and packaging/linux/amazon-ssm-agent.spec;
https://github.com/aws/amazon-cloudwatch-agent, Tools/src/create_deb.sh and packaging/linux.
"""

from collections.abc import Callable
from pathlib import Path

from ingot.model.lock import Lock, LockedComponent
from tests.rigs.packages import Artifact, Content, Kind, Package, Wanted, clean, script, write

Run = Callable[[str, Path], None]
# A version has a folder of its own; one that is there already counts as installed, even half of one.
INSTALL = """#!/bin/sh
# Simulated.
set -eu
update=no prefix=/usr/local/aws-cli bin=/usr/local/bin
while [ $# -gt 0 ]; do
  case $1 in
    --update | -u) update=yes ;;
    --install-dir | -i) prefix=$2; shift ;;
    --bin-dir | -b) bin=$2; shift ;;
    *) echo "unexpected: $1" >&2; exit 1 ;;
  esac
  shift
done
here=$(dirname "$0")
said=$("$here/dist/aws" --version)
said=${said%% *}
own=$prefix/v2/${said#aws-cli/}
if [ -L "$prefix/v2/current" ] && [ $update = no ]; then echo "found another one" >&2; exit 1; fi
if [ -d "$own" ]; then echo "found the same one"; exit 0; fi
mkdir -p "$own/bin" "$bin"
cp -r "$here/dist" "$own/dist"
for name in aws aws_completer; do
  ln -s "../dist/$name" "$own/bin/$name"
  ln -sf "$prefix/v2/current/bin/$name" "$bin/$name"
done
ln -snf "$own" "$prefix/v2/current"
"""
PROGRAM = '#!/bin/sh\necho "aws-cli/{version} Python/3 Linux/0 exe/simulated"\n'
UNIT = """[Unit]
Description=Simulated {name}

[Service]
ExecStart={program}
Restart={restart}

[Install]
WantedBy=multi-user.target
"""
RUNS = "#!/bin/sh\n# Simulated.\nexec sleep infinity\n"


def bundle(entry: LockedComponent, _: Lock, file: Path, run: Run) -> None:
    """The command line's zip."""
    root = file.parent / "root"
    files = {"install": INSTALL, "dist/aws": PROGRAM.format(version=entry.version)}
    files |= {"dist/aws_completer": "#!/bin/sh\n# Simulated.\n", "README.md": "Simulated.\n"}
    write(root, {f"aws/{name}": text for name, text in files.items()})
    run(f"zip -q -r {file} aws && rm -r aws", root)
    root.rmdir()


def package(name: str, content: Content) -> Artifact:
    """A package file of the kind that the lock's address ends in."""

    def make(entry: LockedComponent, lock: Lock, file: Path, run: Run) -> None:
        kind: Kind = "apt" if file.suffix == ".deb" else "rpm"
        wanted = Wanted(name, f"{entry.version}-1", kind, lock)
        run(script(wanted, content(wanted), file.parent), file.parent)
        clean(file.parent)
        next(file.parent.glob(f"*{file.suffix}")).rename(file)

    return make


def ssm(wanted: Wanted) -> Package:
    """The agent of Systems Manager; nothing of it enables its unit."""
    unit = UNIT.format(name=wanted.name, program="/usr/bin/amazon-ssm-agent", restart="always")
    place = "lib/systemd/system" if wanted.kind == "apt" else "etc/systemd/system"
    files = {f"usr/bin/{name}": RUNS for name in ("amazon-ssm-agent", "ssm-cli", "ssm-document-worker")}
    files |= {f"{place}/amazon-ssm-agent.service": unit, "etc/amazon/ssm/amazon-ssm-agent.json.template": "{}\n"}
    return Package(files)


def cloudwatch(wanted: Wanted) -> Package:
    """The agent of CloudWatch, which its own program enables when it gets a configuration."""
    home = "opt/aws/amazon-cloudwatch-agent"
    start = f"{home}/bin/start-amazon-cloudwatch-agent"
    unit = UNIT.format(name=wanted.name, program=f"/{start}", restart="on-failure")
    files = {start: RUNS, f"{home}/bin/amazon-cloudwatch-agent-ctl": "#!/bin/sh\n# Simulated.\n"}
    files |= {f"{home}/bin/CWAGENT_VERSION": wanted.upstream, f"{home}/etc/common-config.toml": "# Simulated.\n"}
    files |= {"etc/systemd/system/amazon-cloudwatch-agent.service": unit}
    link = f"mkdir -p usr/bin && ln -s /{home}/bin/amazon-cloudwatch-agent-ctl usr/bin/amazon-cloudwatch-agent-ctl\n"
    return Package(files, build=link)


ARTIFACTS = {
    "aws_cli": bundle,
    "ssm_agent": package("amazon-ssm-agent", ssm),
    "cloudwatch_agent": package("amazon-cloudwatch-agent", cloudwatch),
}
# Amazon Linux has both in its own archive.
PACKAGES: dict[str, Content] = {"amazon-ssm-agent": ssm, "amazon-cloudwatch-agent": cloudwatch}
