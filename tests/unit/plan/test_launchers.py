"""A launcher is known by the last part of the word that starts it."""

import pytest

from ingot.plan.launchers import ANY, LAUNCHERS, options, program


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("mpirun", "mpirun"),
        ("/opt/amazon/openmpi/bin/mpirun", "mpirun"),
        ("$(which mpirun)", "mpirun"),
        ("`which mpirun`", "mpirun"),
        ("${MPI_HOME}/bin/mpirun", "mpirun"),
        ("$MPIRUN_COMMAND", "mpirun"),
        ("mpiexec.hydra", "mpiexec"),
        ("$COMMAND", "$"),
        ("python", "python"),
    ],
)
def test_a_program_is_known_however_it_is_found(word: str, name: str) -> None:
    assert program(word) == name


def test_a_command_of_a_variable_has_the_options_of_all() -> None:
    assert options({"$"}) == [ANY]
    assert options({"python", "srun"}) == [LAUNCHERS["srun"]]
    assert options({"python"}) == []
