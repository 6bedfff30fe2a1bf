"""The facts about one AMI, and its references."""

from typing import Any

from ingot.ami.ami import find, launch_permissions
from ingot.ami.references import references
from ingot.sources.aws import Region, everywhere


def shown(region: Region, reference: str) -> dict[str, Any]:
    """The facts about one AMI: tags, versions, snapshots, sharing, and references to it."""

    def one(region: Region) -> dict[str, Any]:
        ami = find(region, reference)
        return {
            **ami.summary,
            "created": ami.created,
            "components": ami.components,
            "tags": dict(ami.tags),
            "snapshots": ami.snapshots,
            "shared_with": [next(iter(permission.values())) for permission in launch_permissions(region, ami.id)],
            "referred_to_by": references(region, [ami.id]).get(ami.id, []),
        }

    return everywhere([region], "show", one)[0]
