"""Renders a CloudFormation template of an EC2 Image Builder pipeline: the same image from the same lock.

The instance builds itself: it downloads a tarball of the checkout, compares its digest with the template's, and runs
the roles and the suite. The scripts of its steps are in exports/image-builder.
"""

import hashlib
import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ingot import paths
from ingot.ami import build as ami_build
from ingot.ami import channels
from ingot.ami.ami import BY_IMAGE_BUILDER
from ingot.ami.capacity import Options
from ingot.ami.tags import tags_of
from ingot.catalog.catalog import Catalog
from ingot.errors import UsageError
from ingot.image.inputs import git_commit, inputs_digest
from ingot.lock import grade, select
from ingot.model.target import ImageSelection
from ingot.model.types import EC2_ARCH
from ingot.sources import ec2
from ingot.templates import environment

FOLDER = paths.ROOT / "exports"
ROOT = "/var/lib/ingot-build"
SOURCE = f"{ROOT}/source"
# https://docs.aws.amazon.com/imagebuilder/latest/APIReference/API_CreateComponent.html
MOST_DATA = 16000
# The instance has fewer tags than an AMI, and Image Builder names it:
# https://docs.aws.amazon.com/imagebuilder/latest/APIReference/API_CreateInfrastructureConfiguration.html
INSTANCE_TAGS = ("ingot:image", "ingot:os", "ingot:arch", "ingot:stack", "ingot:lock_sha256")
# https://docs.aws.amazon.com/imagebuilder/latest/userguide/toe-component-manager.html
LISTED = frozenset({"Amazon", "RedHat", "Ubuntu"})
BASE = {"Ref": "ParentImage"}
# The tags that `ingot ami` requires; Image Builder distributes an AMI only after its tests.
TESTED = {"ingot:suite": BY_IMAGE_BUILDER, "ingot:finished": "by EC2 Image Builder"}


@dataclass(frozen=True)
class Base:
    """How the template finds the base image: a fixed id, a public parameter, or a parameter that the user sets."""

    type: str
    default: str
    description: str
    found: ec2.Base | None


def export(selection: ImageSelection, options: Options, catalog: Catalog, command_line: str) -> tuple[str, list[str]]:
    """The template, and remarks for the user.

    With a region, uses the region's current base image. IngotError if there is no base image.
    """
    select.require_driver(selection)
    ami_build.require_base(selection)
    built, target = selection.on_base, selection.target
    own = _own_catalog()
    base = _base(selection, options.region)
    missing, commit = grade.unresolved(built.lock), git_commit()
    document = component(selection, catalog, own, missing)
    data = dump(document)
    if len(data) > MOST_DATA:
        raise UsageError(f"the component has {len(data)} characters; Image Builder allows {MOST_DATA}")
    tags = tags_of(built, options, "")
    template = environment(FOLDER).get_template("image-builder.yml.j2")
    text = template.render(
        command_line=command_line,
        image=selection.name,
        os=target.os,
        arch=target.arch,
        stack=target.stack,
        commit=commit,
        lacks=list(missing),
        base=base,
        root_devices=["/dev/sda1", "/dev/xvda"],
        volume_gib=max(catalog.builders.volume_gib, base.found.gib if base.found else 0),
        instance_types=options.instance_types or catalog.builders.instance_types[target.arch],
        parameter=channels.path(channels.CANDIDATE, selection.name, target.os, target.arch),
        component=data,
        # New content needs a new version: components are immutable.
        version=f"1.0.{int(hashlib.sha256(data.encode()).hexdigest()[:7], 16)}",
        description=f"Ingot {selection.name} on {target.os} {target.arch}, stack {target.stack}",
        ami_name=f"ingot-{selection.name}-{target.key}-{target.stack}",
        ami_tags=tags | {"ingot:base_ami": BASE},
        tested_tags=tags | {"ingot:base_ami": BASE} | TESTED,
        instance_tags={key: tags[key] for key in INSTANCE_TAGS},
    )
    return text, _remarks(selection, catalog, missing, commit)


def _own_catalog() -> str:
    """The path of the team's own catalog in the checkout, empty if there is none; UsageError if it is elsewhere."""
    own = paths.own_catalog()
    if own is None:
        return ""
    if not own.is_relative_to(paths.ROOT):
        hint = f"commit it to the checkout, for example as {paths.ROOT / own.name}"
        raise UsageError("this catalog is outside the checkout, and so not in its tarball", place=str(own), hint=hint)
    return str(own.relative_to(paths.ROOT))


def _base(selection: ImageSelection, region: str) -> Base:
    """How to find the base image: now if there is a region, else at deployment."""
    lock, start = selection.lock, selection.base
    row, recorded = lock.base_images[start], lock.images.get(start)
    if region:
        found = ami_build.find_base(selection, region)
        return Base("AWS::EC2::Image::Id", found.id, f"The base AMI in {region}.", found)
    if row.ssm and not recorded:
        parameter = "AWS::SSM::Parameter::Value<AWS::EC2::Image::Id>"
        return Base(parameter, row.ssm, "The public parameter of the base AMI.", None)
    owner, name = (recorded.owner, recorded.name) if recorded else (row.owner, row.name)
    command = [
        *("aws", "ec2", "describe-images", "--owners", owner, "--filters", f"Name=name,Values={name}"),
        *(f"Name=architecture,Values={EC2_ARCH[selection.target.arch]}", "Name=state,Values=available"),
        *("--query", "max_by(Images, &CreationDate).[ImageId, RootDeviceName]", "--output", "text"),
    ]
    return Base("AWS::EC2::Image::Id", "", f"The base AMI: {shlex.join(command)}", None)


def component(selection: ImageSelection, catalog: Catalog, own: str, missing: Mapping[str, str]) -> dict[str, Any]:
    """The component's document: how an instance builds itself, and how an instance of the AMI is tested."""
    target, python = selection.target, selection.lock.system.python
    lock_path = f"{SOURCE}/{selection.lock_path.relative_to(paths.ROOT)}"
    settings = {
        "ROOT": ROOT,
        "SOURCE": SOURCE,
        "VENV": f"{ROOT}/venv",
        "PYTHON": python.command,
        "PYTHON_PACKAGES": " ".join(python.packages),
        "VOLUME_GIB": "{{ VolumeGib }}",
        "SOURCE_SHA256": "{{ SourceSha256 }}",
        "INPUTS": inputs_digest(selection, on_base=True),
        "IMAGE": selection.name,
        "SYSTEM": target.os,
        "ARCH": target.arch,
        "STACK": target.stack,
    }
    # The agent that runs the steps has almost no environment, and Ansible needs UTF-8.
    exported = {
        "HOME": "/root",
        "LC_ALL": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
        "ANSIBLE_HOME": f"{ROOT}/ansible",
        "ANSIBLE_REMOTE_TMP": "/dev/shm/ingot",
        "ANSIBLE_COLLECTIONS_PATH": f"{ROOT}/collections",
        "ANSIBLE_NOCOLOR": "1",
    } | ({"INGOT_CATALOG": f"{SOURCE}/{own}"} if own else {})
    variables = {
        "ansible_python_interpreter": "/usr/bin/python3",
        "ingot_roles": list(selection.image.roles),
        "ingot_without": [*selection.brought, "sysprep"],
        "ingot_brought": {name: part.model_dump(exclude_defaults=True) for name, part in selection.brought.items()},
        "ingot_lock": lock_path,
        "ingot_base": selection.base,
        "sysprep_cleanup": selection.lock.base_images[selection.base].cleanup,
        "manifest_image": selection.name,
        "manifest_inputs_sha256": settings["INPUTS"],
        "manifest_git_commit": git_commit(),
    }
    lines = [f'{name}="{value}"' for name, value in settings.items()]
    lines += [f"export {name}={shlex.quote(value)}" for name, value in exported.items()]
    begin = "\n".join(
        [
            f"mkdir -p {ROOT}",
            f"cat >{ROOT}/settings <<'EOF'",
            *lines,
            "EOF",
            f"cat >{ROOT}/variables.json <<'EOF'",
            "{\n"
            + ",\n".join(f" {json.dumps(name)}: {json.dumps(value)}" for name, value in variables.items())
            + "\n}",
            "EOF",
        ]
    )
    refuse = (
        [_bash("Refuse", f"echo 'error: the lock does not resolve {', '.join(missing)}' >&2\nexit 1\n")]
        if missing
        else []
    )
    ready = [
        _bash("Begin", f"set -euo pipefail\n{begin}\n"),
        _bash("Prepare", _script("prepare")),
        {
            "name": "Download",
            "action": "S3Download",
            "inputs": [
                {"source": "s3://{{ SourceBucket }}/{{ SourceKey }}", "destination": f"{ROOT}/source.tar.gz"},
            ],
        },
        _bash("Unpack", _script("unpack")),
    ]
    verify = {kind: _bash("Verify", f"TARGET={kind}\n{_script('verify')}") for kind in ("instance", "ami")}
    parameters = {
        "SourceBucket": "The bucket of the tarball of the checkout.",
        "SourceKey": "Its key.",
        "SourceSha256": "Its SHA-256.",
        "VolumeGib": "The size of the root volume in GiB.",
    }
    return {
        "name": "ingot",
        "description": f"Makes {selection.name} on {target.os} {target.arch} of stack {target.stack}.",
        "schemaVersion": 1.0,
        "parameters": [{name: {"type": "string", "description": text}} for name, text in parameters.items()],
        "phases": [
            {"name": "build", "steps": [*refuse, *ready, _bash("Converge", _script("converge"))]},
            {"name": "validate", "steps": [verify["instance"], _bash("Seal", _script("seal"))]},
            {"name": "test", "steps": [*ready, verify["ami"]]},
        ],
    }


def _bash(name: str, script: str) -> dict[str, Any]:
    """A step that runs a script."""
    return {"name": name, "action": "ExecuteBash", "inputs": {"commands": [script]}}


def _script(name: str) -> str:
    """A script of a step, without its shebang and shellcheck comments."""
    lines = Path(FOLDER, "image-builder", f"{name}.sh").read_text().splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith("#!") and not line.lstrip().startswith("# shellcheck"))


class _Dumper(yaml.SafeDumper):
    """Writes multi-line text as blocks, and no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _represent_text)


def dump(document: dict[str, Any]) -> str:
    """The document as YAML, in its own order."""
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000)


def _remarks(selection: ImageSelection, catalog: Catalog, missing: Mapping[str, str], commit: str) -> list[str]:
    """Warnings for the user of the template."""
    lock, remarks = selection.lock, []
    if (distribution := lock.system.distribution) not in LISTED:
        remarks.append(f"warning: AWS does not list {distribution} as a system that Image Builder supports")
    if missing:
        remarks.append(
            f"warning: a pipeline of this template fails: the lock does not resolve {', '.join(missing)};"
            f" run `ingot lock record --os {lock.os} --arch {lock.arch} --stack {lock.stack}`, then export again"
        )
    if commit.endswith("-dirty"):
        remarks.append(
            "warning: files differ from the commit, so the build refuses a tarball of the commit; commit first"
        )
    return remarks
