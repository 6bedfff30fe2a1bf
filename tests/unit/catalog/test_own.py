"""A team lays its own catalog over Ingot's: its stack extends ours, and what it breaks knowingly is shown."""

import json
from pathlib import Path

import pytest

from ingot.catalog.own import begin
from ingot.catalog.read import read_catalog
from ingot.errors import IngotError, UsageError
from ingot.lock.file import load
from ingot.lock.make import make
from ingot.model.lock import Lock
from tests.commandline import ingot_process

SYSTEM = """
os: ourlinux
name: Our Linux
family: Debian
distribution: Our
version: '1'
architectures: [x86_64]
login: us
python: {command: python3, packages: [python3-venv]}
purl: {namespace: our, distro: ourlinux}
base_images:
  ec2: {owner: '123456789012', name: 'our-linux-*', source: https://example.org, checked: 2026-11-24}
source: https://example.org
checked: 2026-11-24
"""
COMPONENT = """
component: {name}
summary: A part of our own.
offers:
  - os: [ourlinux]
    download: {{url: 'https://example.org/{name}-{{version}}.tar.gz'}}
    releases:
      '2.0': {{source: https://example.org, checked: 2026-11-24}}
      '1.0': {{source: https://example.org, checked: 2026-11-24, sha256: {{any: {digest}}}}}
    source: https://example.org
    checked: 2026-11-24
{rules}"""
RULE = """
rules:
  - id: upper-lower
    when: '>=2'
    refuses: {lower: '>=2'}
    reason: they do not go together
    source: https://example.org
    checked: 2026-11-24
    examples:
      finds: [{versions: {upper: '2.0', lower: '2.0'}}]
      passes: [{versions: {upper: '2.0', lower: '1.0'}}]
"""
STACK = """
stack: ours
summary: A stack of our own.
systems: [ourlinux]
pins:
  lower: {{version: '{lower}', why: so we like it, review_after: 2027-01-01}}
  upper: {{version: '>=2', why: so we like it, review_after: 2027-01-01}}
{more}"""

# The end of the rule's facts and the beginning of its examples.
SOURCED = "    source: https://example.org\n    checked: 2026-11-24\n    ex"


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A team's catalog with a system, two components, a rule between them and a stack."""
    (tmp_path / "components").mkdir()
    (tmp_path / "stacks").mkdir()
    (tmp_path / "operating_systems").mkdir()
    (tmp_path / "operating_systems" / "ourlinux.yml").write_text(SYSTEM)
    for name, rules in (("lower", ""), ("upper", RULE)):
        text = COMPONENT.format(name=name, rules=rules, digest="a" * 64)
        (tmp_path / "components" / f"{name}.yml").write_text(text)
    (tmp_path / "stacks" / "ours.yml").write_text(STACK.format(lower="*", more=""))
    return tmp_path


def test_a_new_catalog_extends_the_newest_stack_and_changes_nothing(tmp_path: Path) -> None:
    ours = read_catalog()
    (written,) = begin(tmp_path / "team", ours)
    theirs = read_catalog(own=tmp_path / "team")
    name = f"{ours.newest_stack}-team"
    assert written == tmp_path / "team" / "stacks" / f"{name}.yml"
    assert theirs.newest_stack == name
    assert theirs.stack(name).pins == ours.stack(ours.newest_stack).pins


def test_a_pin_replaces_that_of_the_stack_below_in_its_place(tmp_path: Path) -> None:
    (written,) = begin(tmp_path / "team", read_catalog())
    pin = "\n  nccl: {version: '>=2.28,<2.29', why: our models, review_after: 2027-01-01}\n"
    written.write_text(written.read_text().replace("pins: {}", f"pins:{pin}"))
    catalog = read_catalog(own=tmp_path / "team")
    below, stack = catalog.stack("2026.11"), catalog.stack(catalog.newest_stack)
    assert list(stack.pins) == list(below.pins)
    assert stack.pins["nccl"].version == ">=2.28,<2.29"
    assert {name for name in stack.pins if stack.pins[name] != below.pins[name]} == {"nccl"}


def test_its_locks_lie_beside_it_and_plans_are_made_from_them(own: Path) -> None:
    done = ingot_process("lock", own=own)
    assert done.returncode == 0, done.stderr
    assert (own / "locks" / "ours" / "ourlinux-x86_64.yml").exists()
    assert ingot_process("lock", "check", own=own).returncode == 0
    lower = own / "components" / "lower.yml"
    lower.write_text(lower.read_text() + "# a remark\n")
    assert ingot_process("lock", "check", own=own).returncode == 0
    lower.write_text(lower.read_text().replace("'1.0'", "'1.1'"))
    stale = ingot_process("lock", "check", own=own)
    assert stale.returncode == 1
    assert str(own / "locks" / "ours" / "ourlinux-x86_64.yml") in stale.stderr


def made(own: Path) -> Lock:
    catalog = read_catalog(own=own)
    return make(catalog, catalog.target("ours", "ourlinux", "x86_64")).lock


def test_the_newest_that_fits_is_chosen_and_what_is_not_known_is_unresolved(own: Path) -> None:
    lock = made(own)
    assert {name: entry.version for name, entry in lock.components.items()} == {"lower": "1.0", "upper": "2.0"}
    assert set(lock.unresolved) == {"upper", "base_image.ec2"}
    assert "SHA-256" in lock.unresolved["upper"]


def test_a_pin_that_breaks_a_rule_is_refused_until_the_rule_is_accepted(own: Path) -> None:
    stack = own / "stacks" / "ours.yml"
    stack.write_text(STACK.format(lower=">=2", more=""))
    with pytest.raises(IngotError, match=r"\[upper-lower\]") as caught:
        made(own)
    assert "accept upper-lower" in caught.value.hint
    stack.write_text(STACK.format(lower=">=2", more="accept: {upper-lower: we patched it}\n"))
    lock = made(own)
    assert lock.components["lower"].version == "2.0"
    assert lock.accepted == {"upper-lower": "we patched it"}


def test_a_range_for_one_system_has_its_own_reason(own: Path) -> None:
    stack = own / "stacks" / "ours.yml"
    text = STACK.format(lower=">=2", more="").replace("so we like it", "2.0 is what all have", 1)
    stack.write_text(text.replace("why: 2.0", "by_os: {ourlinux: {version: '<2', why: ours is older}}, why: 2.0", 1))
    lower = made(own).components["lower"]
    assert lower.version == "1.0"
    assert lower.why.startswith("ours is older. Not 2.0")
    stack.write_text(text.replace("why: 2.0", "by_os: {ourlinx: {version: '<2', why: ours is older}}, why: 2.0", 1))
    with pytest.raises(IngotError, match="unknown operating system 'ourlinx'"):
        read_catalog(own=own)


def test_a_lock_of_an_earlier_format_is_replaced_and_said_to_be(own: Path) -> None:
    assert ingot_process("lock", own=own).returncode == 0
    path = own / "locks" / "ours" / "ourlinux-x86_64.yml"
    current = path.read_text()
    path.write_text(current.replace("\nsystem: ", "\n# system: "))
    refused = ingot_process("plan", "ec2-cpu", "--os", "ourlinux", own=own)
    assert (refused.returncode, "system is missing" in refused.stderr) == (1, True)
    assert "`ingot lock --stack ours` renews it" in refused.stderr
    done = ingot_process("lock", own=own)
    assert done.returncode == 0, done.stderr
    assert "ourlinux-x86_64.yml was written by another release of Ingot" in done.stderr
    assert path.read_text() == current


def test_a_plan_shows_what_is_accepted(own: Path) -> None:
    (own / "stacks" / "ours.yml").write_text(STACK.format(lower=">=2", more="accept: {upper-lower: we patched it}\n"))
    images = "{platform: ec2, accelerator: cpu, summary: Our image., roles: [base], given: [lower, upper]}"
    (own / "images.yml").write_text(f"images:\n  ours: {images}\n")
    assert ingot_process("lock", own=own).returncode == 0
    shown = ingot_process("plan", "ours", "--os", "ourlinux", own=own)
    assert shown.returncode == 0, shown.stderr
    assert "accepted: upper-lower: we patched it" in shown.stdout
    plan = json.loads(ingot_process("plan", "ours", "--os", "ourlinux", "--json", own=own).stdout)
    assert plan["accepted"] == {"upper-lower": "we patched it"}
    assert plan["findings"] == []


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("stacks/ours.yml", "pins:", "extends: ours\npins:", "stack ours extends itself: ours -> ours"),
        ("stacks/ours.yml", "pins:", "extends: '2026.12'\npins:", "unknown stack '2026.12'"),
        ("stacks/ours.yml", "pins:", "accept: {uper-lower: x}\npins:", "unknown rule 'uper-lower'"),
        ("stacks/ours.yml", "  upper:", "  uper:", "unknown component 'uper'"),
        ("stacks/ours.yml", "  upper:", "  lower:", "duplicate key 'lower'"),
        ("stacks/ours.yml", "'>=2'", "'>=2.x'", "not a version range: '>=2.x'"),
        ("components/upper.yml", "{lower: '>=2'}", "{upper: '>=2'}", "upper-lower: upper refuses itself"),
        ("components/upper.yml", SOURCED, "    ex", "rules.0."),
        ("components/upper.yml", "'2.0': {", "'2.0-x-y': {", "not a version: '2.0-x-y'"),
        ("components/upper.yml", "id: upper-lower", "id: cuda-13-driver", "is also in cuda.yml"),
        ("components/upper.yml", "os: [ourlinux]", "os: [outlinux]", "unknown operating system 'outlinux'"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_error_with_file_and_line(own: Path, file: str, old: str, new: str, said: str) -> None:
    path = own / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(IngotError) as caught:
        read_catalog(own=own)
    assert said in caught.value.message
    assert caught.value.place.startswith(f"{path}:")


def test_a_catalog_is_begun_only_in_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="not an empty folder"):
        begin(tmp_path, read_catalog())
    missing = ingot_process("list", own=tmp_path / "nowhere")
    assert missing.returncode == 2
    assert "ingot init" in missing.stderr


IMAGE = "images:\n  mine: {{platform: ec2, accelerator: {accelerator}, summary: Ours., roles: [{roles}]}}\n"


@pytest.mark.parametrize(
    ("accelerator", "roles", "error", "hint"),
    [
        ("nvidia", "base, kernel, nvidia_drivr", "unknown role 'nvidia_drivr' of image mine", "'nvidia_driver'"),
        ("nvidia", "base, kernel", "image mine is for nvidia and lacks the role nvidia_driver", "add nvidia_driver"),
        ("neuron", "base", "image mine is for neuron and lacks the role neuron", "add neuron"),
    ],
)
def test_an_image_that_cannot_be_what_it_says_is_refused_before_a_plan(
    own: Path, accelerator: str, roles: str, error: str, hint: str
) -> None:
    (own / "images.yml").write_text(IMAGE.format(accelerator=accelerator, roles=roles))
    done = ingot_process("plan", "mine", "--os", "ubuntu2404", own=own)
    assert (done.returncode, done.stdout) == (2, "")
    first, second = done.stderr.splitlines()
    assert first == f"error: {own / 'images.yml'}:2: {error}"
    assert hint in second


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("{platform: ec2, accelerator: cpu, summary: x, roles: []}", "images.mine.roles must not be empty"),
        ("{platform: ec2, accelerator: cpu, summary: x, roles: base}", "images.mine.roles must be a list"),
        ("{platform: ec2, accelerator: cpu, summary: x}", "images.mine.roles is missing"),
        ("{platform: ec2, accelerator: cpu, summary: 5, roles: [base]}", "images.mine.summary must be text: quote it"),
        ("{platform: ec2, accelerator: cpu, summary: x, roles: [base, base]}", "the role base is listed twice"),
        ("{platform: ec2, accelerator: gpu, summary: x, roles: [base]}", "must be 'nvidia', 'neuron' or 'cpu'"),
        ("[base]", "images.mine must be a mapping"),
    ],
)
def test_a_row_of_the_wrong_shape_is_one_error_in_words_of_yaml(own: Path, text: str, error: str) -> None:
    (own / "images.yml").write_text(f"images:\n  mine: {text}\n")
    with pytest.raises(IngotError) as caught:
        read_catalog(own=own)
    assert error in caught.value.message
    assert caught.value.place == f"{own / 'images.yml'}:2"


def test_a_stack_without_components_makes_a_lock_and_a_plan_of_it_says_what_is_missing(own: Path) -> None:
    (own / "stacks" / "ours.yml").write_text("stack: ours\nsummary: Empty.\nsystems: [ubuntu2404]\npins: {}\n")
    done = ingot_process("lock", own=own)
    assert done.returncode == 0, done.stderr
    # A base image that is found by the version of a component is not there without that.
    lock = load(own / "locks" / "ours" / "ubuntu2404-x86_64.yml")
    assert list(lock.base_images) == ["ec2"]
    assert lock.components == {}


def test_a_stack_whose_locks_were_never_made_says_how(own: Path) -> None:
    done = ingot_process("plan", "ec2-cpu", "--os", "ourlinux", "--stack", "ours", own=own)
    assert done.returncode == 2
    assert "`ingot lock --stack ours` makes them" in done.stderr
