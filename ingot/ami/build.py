"""Builds an AMI: plan, base image, Packer with the suite on the instance, the suite on the AMI, tags.

Packer launches an instance, connects and cleans up, twice: to make the image, and to test an instance of it. All
resources are tagged with the build's id, so that `ingot ami sweep` finds leftovers of a killed build.
"""

import json
import os
import shutil
import sys
import uuid
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ingot import paths
from ingot.ami import ami as amis
from ingot.ami import uefi
from ingot.ami.capacity import Options, attempts, first_that_runs
from ingot.ami.contents import contents
from ingot.ami.failures import explained
from ingot.ami.gc import delete_ami
from ingot.ami.promote import publish
from ingot.ami.tags import finish, tags_of
from ingot.catalog.catalog import Catalog
from ingot.console import Progress
from ingot.errors import IngotError
from ingot.image import history, sbom, verdict
from ingot.image.events import Follower
from ingot.image.inputs import git_commit, inputs_digest
from ingot.image.packer import PackerError, target_variables, wait_for_killed
from ingot.image.page import conclude
from ingot.image.setup import ensure_packer
from ingot.image.timeline import timeline
from ingot.lock import asked, select
from ingot.lock import file as locks
from ingot.lock.diff import notes, of_image
from ingot.lock.fill import fill
from ingot.model.target import ImageSelection
from ingot.sources import ec2
from ingot.sources.aws import everywhere, regions

# After this time EC2 hides the image from other accounts; the stack's pins are due for review by then, too.
DEPRECATED_AFTER = timedelta(days=365)


def folder_of(selection: ImageSelection) -> Path:
    """The folder of a build's log, manifest, SBOM, release notes and report; created if missing."""
    path = selection.dir / "ami"
    path.mkdir(exist_ok=True)
    return path


def build(
    selection: ImageSelection, options: Options, catalog: Catalog, progress: Progress, *, frozen: bool = False
) -> dict[str, Any]:
    """Build an AMI, in the profile's own region where none is named, and return its report.

    What the image lacks in its lock is recorded first; with `frozen`, its absence is an error. Raises IngotError at the
    first step that fails; deletes an image that fails the suite.
    """
    require_base(selection)
    select.require_driver(selection)
    require_session(selection.on_base, options, catalog)
    if options.signing:
        options.signing.check()
    (region,) = regions([options.region] if options.region else [], "build")
    options = replace(options, region=region.name)
    # Only components built on the base image; those that it brings need not be resolved.
    selection = fill(selection, lambda it: it.on_base.lock, catalog, progress, region=region.name, frozen=frozen)
    built, target = selection.on_base, selection.target
    folder = folder_of(selection)
    with paths.alone(folder, f"another build is using {folder}"):
        log = folder / "build.log"
        log.write_text("")
        progress.expect(history.expected(folder))
        with progress.phase("set-up"):
            ensure_packer()
            wait_for_killed(folder, progress.note)
        with progress.phase("base image"):
            base = find_base(selection, options.region)
            if options.signing and target.arch == "x86_64" and base.boot_mode not in uefi.BY_UEFI:
                raise IngotError(
                    f"{base.id} boots by {base.boot_mode or 'legacy BIOS'}, so images of it have no Secure Boot",
                    place=options.region,
                    hint="leave out --signing-key and --signing-certificate, or use a base image that boots by UEFI",
                )
        inputs = inputs_digest(selection, on_base=True)
        now = datetime.now(UTC).replace(microsecond=0)
        build_id = uuid.uuid4().hex
        name = f"ingot-{selection.name}-{target.key}-{target.stack}-{now:%Y%m%d%H%M%S}"
        tags = tags_of(built, options, base.id) | {"ingot:build": build_id}
        variables = {
            **target_variables(selection),
            "events": str(folder / "events.jsonl"),
            "inputs_sha256": inputs,
            "git_commit": git_commit(),
            "region": options.region,
            "endpoint": os.environ.get("AWS_ENDPOINT_URL_EC2") or os.environ.get("AWS_ENDPOINT_URL", ""),
            "base_ami": base.id,
            "root_device": base.root_device,
            "volume_gib": str(max(catalog.builders.volume_gib, base.gib)),
            # The image that is registered with keys gets the name.
            "ami_name": f"{name}-keyless" if options.signing else name,
            **_signing(options, folder),
            "instance_profile": options.instance_profile,
            "kms_key": options.kms_key,
            "deprecate_at": f"{now + DEPRECATED_AFTER:%Y-%m-%dT%H:%M:%SZ}",
            "tags": json.dumps(tags),
            "build_id": build_id,
            "folder": str(folder),
            "packages": sbom.LIST,
            "frozen": json.dumps(frozen),
            "ingot": shutil.which("ingot") or str(Path(sys.argv[0]).absolute()),
        }
        return _build(built, options, catalog, name, variables, progress, log)


def _build(
    selection: ImageSelection,
    options: Options,
    catalog: Catalog,
    name: str,
    variables: Mapping[str, str],
    progress: Progress,
    log: Path,
) -> dict[str, Any]:
    folder = folder_of(selection)
    verdict.drop(folder)
    for file in (
        *("asked.json", "inputs.json", "packer.json", "suite-image.json", "suite-check.json", "packages.tsv"),
        *("space.json", "boot.json"),
    ):
        (folder / file).unlink(missing_ok=True)
    before = locks.load(selection.lock_path)
    events = folder / "events.jsonl"
    ways = list(attempts(selection, options, catalog))
    with progress.phase("build"), Follower(events, selection.image.roles, progress.tell) as follower:
        try:
            way = first_that_runs(ways, "amazon-ebs.image", variables, options, progress, log)
        except PackerError as error:
            cause = follower.converge.explained(log) or _not_as_locked(selection, folder / "asked.json", variables)
            raise cause or _explained(error, folder / "suite-image.json", options.region, log) from None
    selection = selection.with_lock(locks.load(selection.lock_path))
    for line in locks.changes(before, before.model_copy(update={"asked": selection.lock.asked})):
        progress.note(f"  {line}")
    ami = _built_ami(folder / "packer.json")
    try:
        if options.signing:
            with progress.phase("keys"):
                ami = _with_keys(ami, name, options.signing, options.region)
        with progress.phase("check"):
            # Capacity that was available a moment ago is tried first.
            retries = [way, *(other for other in ways if other != way)]
            first_that_runs(retries, "amazon-ebs.check", {**variables, "ami": ami}, options, progress, log)
        suite = json.loads((folder / "suite-check.json").read_text())
        manifest = (folder / verdict.MANIFEST).read_bytes()
        with progress.phase("tags"):
            finish(ami, options.region, suite["passed"], manifest, selection.lock_path)
    except BaseException as error:
        try:
            _remove(ami, options.region)
        except IngotError as failure:
            progress.note(f"cannot delete {ami}, `ingot ami sweep` will: {failure.message}")
        if isinstance(error, PackerError):
            raise _explained(error, folder / "suite-check.json", options.region, log) from None
        raise
    with progress.phase("publish"):
        channel = publish(options.region, ami)
    packages = (folder / "packages.tsv").read_text()
    wheels = [(name, wheel.version) for name, wheel in selection.lock.wheels.items()]
    inputs = json.loads((folder / "inputs.json").read_text())["manifest_inputs_sha256"]
    bill = sbom.make(selection.lock, selection.name, packages, wheels, inputs, selection.base)
    paths.write_text(folder / verdict.SBOM, bill)
    _release_notes(selection, catalog)
    report = {
        **contents(selection, folder),
        "ami": ami,
        "name": name,
        "region": options.region,
        "inputs_sha256": variables["inputs_sha256"],
        "git_commit": variables["git_commit"],
        "parameter": channel,
        "base_ami": variables["base_ami"],
        "build": variables["build_id"],
        "bought": str(way),
        "suite": {key: suite[key] for key in ("passed", "failed", "skipped", "skips")},
        "seconds": progress.seconds,
        "role_seconds": {name: round(seconds, 1) for name, seconds in follower.converge.roles.items() if name},
        "timeline": timeline(progress, follower.converge, "build"),
        "dir": str(folder),
    }
    files = (verdict.MANIFEST, verdict.SBOM, verdict.NOTES)
    return conclude(folder, report, {name: verdict.identity(folder / name) for name in files}, catalog.budgets)


def _not_as_locked(selection: ImageSelection, answer: Path, variables: Mapping[str, str]) -> IngotError | None:
    """Why a frozen build has ended before its roles ran: the error of what the archive offers, if that was it."""
    if not answer.exists() or variables["frozen"] != "true":
        return None
    try:
        asked.require_same(selection, locks.load(selection.lock_path), asked.read(answer))
    except IngotError as error:
        return error
    return None


def require_base(selection: ImageSelection) -> None:
    """IngotError if the lock has no base image in EC2."""
    if not selection.base:
        lock, platform = selection.lock, selection.image.platform
        why = f": {lock.left_out[platform]}" if platform in lock.left_out else ""
        raise IngotError(
            f"no base image of {platform} for {lock.os}{why}",
            place=f"operating_systems/{lock.os}.yml: base_images",
            hint=f"platforms with a base image: {', '.join(lock.base_images) or 'none'}",
        )


def require_session(selection: ImageSelection, options: Options, catalog: Catalog) -> None:
    """IngotError if a role would end the session that Packer works in.

    Ubuntu's base images have the agent as a snap, which the agent's role removes:
    https://documentation.ubuntu.com/aws/aws-how-to/instances/install-aws-ssm-agent/
    """
    target = selection.target
    snap = catalog.operating_systems[target.os].distribution == "Ubuntu" and "ssm_agent" in selection.image.roles
    if options.instance_profile and snap:
        raise IngotError(
            f"{selection.name} replaces the agent of {target.os}'s base image, which carries the session of Session "
            "Manager",
            place="--instance-profile",
            hint="leave it out, and build in a subnet with public addresses",
        )


def find_base(selection: ImageSelection, region: str) -> ec2.Base:
    """The base image in `region`: the recorded one, or the newest."""
    lock, base = selection.lock, selection.base
    return ec2.base_image(lock.base_images[base], lock.images.get(base), selection.target.arch, region)


def _signing(options: Options, folder: Path) -> dict[str, str]:
    """Packer's variables for the signing key of modules, with the certificate in DER."""
    if options.signing is None:
        return {}
    certificate = folder / "signing.der"
    certificate.write_bytes(options.signing.der)
    return {"signing_key": str(options.signing.key.absolute()), "signing_certificate": str(certificate.absolute())}


def _with_keys(ami: str, name: str, key: uefi.SigningKey, region: str) -> str:
    """Register the image again as `name`, with UEFI variables; returns its id."""
    (registered,) = everywhere(
        regions([region], "build"), "build", lambda home: uefi.register(home, amis.find(home, ami), name, key)
    )
    return registered


def _built_ami(report: Path) -> str:
    """The id of Packer's image, from its artifact REGION:ID."""
    return str(json.loads(report.read_text())["builds"][-1]["artifact_id"]).rpartition(":")[2]


def _remove(ami: str, region: str) -> None:
    """Delete an image and its snapshots."""
    everywhere(regions([region], "build"), "build", lambda home: delete_ami(home, amis.find(home, ami)))


def _explained(error: PackerError, suite: Path, region: str, log: Path) -> IngotError:
    """The error of the suite if it failed, else what was behind Packer's."""
    if suite.exists() and suite.stat().st_size:
        result = json.loads(suite.read_text())
        if result["failed"]:
            lines = "\n  ".join(f"{test}: {message}" for test, message in result["failures"][:15])
            where = "on the instance" if suite.name == "suite-image.json" else "on the finished AMI, which is deleted"
            return IngotError(f"{result['failed']} tests fail {where}\n  {lines}", hint=f"full log: {log}")
    return explained(error, region)


def _release_notes(selection: ImageSelection, catalog: Catalog) -> None:
    """Write the changes of the image since the previous stack, if it has a lock of this system."""
    target, image = selection.target, catalog.image(selection.name)
    before = [
        path
        for stack in sorted(catalog.stacks)
        if stack < target.stack and (path := locks.path_of(replace(target, stack=stack))).exists()
    ]
    states = [of_image(locks.load(path), selection.name, image) for path in (*before[-1:], selection.lock_path)]
    text = notes(*states) if before else f"# {target}\n"
    paths.write_text(folder_of(selection) / verdict.NOTES, text)
