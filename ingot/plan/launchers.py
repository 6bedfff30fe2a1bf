"""Knows the programs that start a job, and by which of their options they set its variables."""

import re
from typing import NamedTuple


class Launcher(NamedTuple):
    """Options of a program: followed by NAME=VALUE, by a list of them, by NAME and VALUE, or by text of a shell."""

    pair: frozenset[str] = frozenset()
    several: frozenset[str] = frozenset()
    two: frozenset[str] = frozenset()
    text: frozenset[str] = frozenset()


def _options(**options: str) -> Launcher:
    return Launcher(**{kind: frozenset(names.split()) for kind, names in options.items()})


_MPI = _options(pair="-x --x", two="-genv -env --genv", several="-genvlist", text="--mpi-args --mpi-arg")
_ENGINE = _options(pair="-e --env")
_SLURM = _options(several="--export --container-env")
# https://docs.open-mpi.org/en/main/man-openmpi/man1/mpirun.1.html
# https://www.intel.com/content/www/us/en/docs/mpi-library/developer-reference-linux/current/global-options.html
# https://slurm.schedmd.com/srun.html, https://apptainer.org/docs/user/main/environment_and_metadata.html
# https://www.deepspeed.ai/getting-started/, https://docs.nvidia.com/nsight-systems/UserGuide/
LAUNCHERS = {
    **dict.fromkeys(("mpirun", "mpiexec", "orterun", "prterun", "oshrun", "horovodrun"), _MPI),
    **dict.fromkeys(("docker", "podman", "nerdctl", "enroot", "buildah", "finch", "dstack"), _ENGINE),
    **dict.fromkeys(("srun", "sbatch", "salloc"), _SLURM),
    **dict.fromkeys(("apptainer", "singularity"), _options(several="--env")),
    **dict.fromkeys(("deepspeed", "accelerate"), _options(text="--launcher_args --launcher-args")),
    **dict.fromkeys(("kubectl", "oc", "sky", "flux"), _options(pair="-e --env --envs")),
    **dict.fromkeys(("qsub", "bsub"), _options(several="-v -env")),
    "nsys": _options(several="-e --env-var"),
    "jsrun": _options(pair="-E --env"),
    "aprun": _options(pair="-e"),
}
# Programs whose arguments are text of a shell.
RUN_ARGUMENTS = {"eval", "ssh", "pdsh", "clush", "parallel-ssh", "parallel"}
# A command that a variable names, or options that a variable or an array holds, may be those of any launcher.
ANY = Launcher(*(frozenset().union(*(getattr(one, kind) for one in LAUNCHERS.values())) for kind in Launcher._fields))
FOUND_BY = re.compile(r"(?:\$\(|`)\s*(?:which|command\s+-v|type\s+-[pP])\s+[\"']?([\w./+-]+)[\"']?\s*(?:\)|`)")
# mpiexec.hydra, mpirun.openmpi.
SUFFIX = re.compile(r"\.(?:hydra|openmpi|mpich|intel|exe|py|sh)$")
# Variables that a container's runtime hands to what it runs, without this prefix.
PREFIXED = re.compile(r"(?:APPTAINER|SINGULARITY)ENV_(?=\w)")


def program(word: str) -> str:
    """The name by which a word at the beginning of a command starts a program; `$` if only a variable says it.

    A launcher counts whatever folder it is in, and however it is found: `$(which mpirun)`, `$MPI_HOME/bin/mpirun`,
    `$MPIRUN`.
    """
    if match := FOUND_BY.fullmatch(word):
        word = match[1]
    name = SUFFIX.sub("", word.rpartition("/")[2])
    if not name.startswith("$"):
        return name
    inside = name.lower()
    return next((launcher for launcher in LAUNCHERS if len(launcher) > 3 and launcher in inside), "$")


def options(programs: set[str]) -> list[Launcher]:
    """The options of the launchers among the programs of a command."""
    if "$" in programs:
        return [ANY]
    return [LAUNCHERS[name] for name in programs if name in LAUNCHERS]
