"""The schema of advisories: which versions of a component or package have a known fault, and which one ends it."""

from datetime import date
from typing import Annotated, Literal

from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version
from pydantic import Field, StringConstraints, model_validator

from ingot.model.types import UNLOCKED, Facts, Spec, Strict

Url = Annotated[str, Field(pattern=r"^https://[^\s/]+/\S+$")]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*$")]
# Of `unresolved`, the source gives no severity.
Rating = Literal["critical", "high", "medium", "low", "unresolved"]


class Affected(Strict):
    """A range of affected versions, and the first version after it that is not; empty where there is none."""

    versions: Spec
    fixed: str = ""

    @model_validator(mode="after")
    def _ends_before_the_fix(self) -> "Affected":
        if not self.fixed:
            return self
        try:
            version = Version(self.fixed)
        except InvalidVersion:
            raise ValueError(f"not a version: {self.fixed!r}; write for example '580.178.04', or nothing") from None
        if not version.local and (self.versions == "*" or SpecifierSet(self.versions).contains(version, True)):
            raise ValueError(f"{self.fixed} is fixed and affected; end the range before it")
        return self


class Advisory(Strict):
    """One known fault: a vulnerability by its CVE or GHSA id, or a version known to be bad under a name of ours.

    `bulletin` is the vendor's, which a stack can accept as a whole. `severity` and `score` (CVSS) are the source's; a
    version that is known to be bad has no score, and its severity is ours: high for wrong results, or a hang or crash
    in ordinary training; medium in some configurations. Of the versions in `unknown`, such as branches without support,
    the source says nothing. `facts` are those of the affected offers; `note` says when the fault applies if it does not
    always.
    """

    id: Name
    kind: Literal["vulnerability", "known-bad"] = "vulnerability"
    bulletin: Annotated[str, Field(pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]*)?$")] = ""
    summary: str
    note: Annotated[str, UNLOCKED] = ""
    facts: Facts = {}
    severity: Rating
    score: Annotated[float | None, Field(ge=0, le=10)] = None
    affected: list[Affected] = Field(min_length=1)
    unknown: Annotated[list[Spec], UNLOCKED] = []
    source: Annotated[Url, UNLOCKED]
    published: Annotated[date | None, UNLOCKED] = None
    checked: Annotated[date, UNLOCKED]

    @model_validator(mode="after")
    def _has_no_score_of_ours(self) -> "Advisory":
        if self.kind == "known-bad" and self.score is not None:
            raise ValueError("a version that is known to be bad has no score: CVSS rates vulnerabilities")
        return self


class Advisories(Strict):
    """A file of advisories, about one component or one Python package, in the name of the file.

    With `fact`, the version is the component's fact of this name, as `containerd` of docker; `packages` are packages
    whose version it is too, and who makes them. With `backported`, a distribution fixes its own packages without a
    newer number, so that their number decides nothing. Packages of the sources in `not_from` lack the part with the
    faults.
    """

    component: str = ""
    python: str = ""
    fact: str = ""
    packages: Annotated[dict[str, Literal["distribution", "vendor"]], UNLOCKED] = {}
    backported: bool = False
    not_from: list[str] = []
    advisories: list[Advisory] = Field(min_length=1)

    @model_validator(mode="after")
    def _is_about_one_thing(self) -> "Advisories":
        if bool(self.component) == bool(self.python):
            raise ValueError("a file is about one 'component' or one 'python' package")
        return self
