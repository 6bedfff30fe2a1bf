"""What shell text sets is found with its line, whatever is around it, and what has no effect is not."""

import time

import pytest

from ingot.plan.script import EXPORTED, script


def found(text: str) -> list[tuple[str, str | None, int]]:
    """What `text` sets, in the order of its lines."""
    variables = (one for one in script(text) if one.sets and one.name != EXPORTED)
    return sorted(dict.fromkeys((one.name, one.value, one.line) for one in variables), key=lambda one: one[2])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("export A=1", [("A", "1", 1)]),
        ("export A=1 B='2 3'", [("A", "1", 1), ("B", "2 3", 1)]),
        ("export A", []),
        ("A=1", [("A", "1", 1)]),
        ("A=1 B=2 python train.py C=3", [("A", "1", 1), ("B", "2", 1)]),
        ("if true; then A=1 x; fi && B=2 y", [("A", "1", 1), ("B", "2", 1)]),
        ("(export A=1)", [("A", "1", 1)]),
        ("A+=:/lib", [("A", ":/lib", 1)]),
        ("env -i A=1 python B=2", [("A", "1", 1)]),
        ("sudo -E A=1 python", [("A", "1", 1)]),
        ("declare -x A=1", [("A", "1", 1)]),
        ("# export A=1", []),
        ("x # A=1", []),
        ("export A=b#c", [("A", "b#c", 1)]),
        ("export A='b # c'", [("A", "b # c", 1)]),
        ("echo 'A=1 is said'", []),
        ("export A=${B:-c d} C=$(e f)", [("A", "${B:-c d}", 1), ("C", "$(e f)", 1)]),
        ("export A=/b:$A", [("A", "/b:$A", 1)]),
        ("export A=it's", [("A", "it's", 1)]),
        ("python --option=A=1 -x A=1 -e B=2", []),
        ("#SBATCH --nodes=2\n#SBATCH --export=ALL,A=1,B=2  # why", [("A", "1", 2), ("B", "2", 2)]),
        ("##SBATCH --export=A=1", []),
        ("x #SBATCH --export=A=1", []),
        ("srun --export=ALL,A=1 python", [("A", "1", 1)]),
        ("srun --export ALL,A=1 python", [("A", "1", 1)]),
        # Slurm cuts at the commas of a value as well.
        ("srun --export=A=^docker,lo x", [("A", "^docker", 1)]),
        ("mpirun -n 2 -x A=1 -x PATH \\\n  -x B=2 ./all_reduce_perf", [("A", "1", 1), ("B", "2", 2)]),
        ("/opt/amazon/openmpi/bin/mpirun -x A=1 x", [("A", "1", 1)]),
        ("docker run -e A=1 --env B=2 --env=C=3 -e D image", [("A", "1", 1), ("B", "2", 1), ("C", "3", 1)]),
        ("srun bash -c 'export A=1\nB=2 python'", [("A", "1", 1), ("B", "2", 2)]),
        ("cat <<EOF > x\nexport A=don't\nEOF\nexport B=it's", [("A", "don't", 2), ("B", "it's", 4)]),
        ("mpirun x 2>&1 -x A=1", [("A", "1", 1)]),
        ("env -u A B=2 python", [("B", "2", 1)]),
        ("ID=$(sbatch --export=ALL,A=1 job.sh)", [("A", "1", 1), ("ID", "$(sbatch --export=ALL,A=1 job.sh)", 1)]),
        ("ID=`sbatch\\\n --export=A=1 x`", [("ID", "`sbatch\\\n --export=A=1 x`", 1), ("A", "1", 2)]),
        ('bash -c "export A=\\"b c\\""', [("A", "b c", 1)]),
        # Launchers wherever they are, and their other options.
        ("$(which mpirun) -x A=1 x", [("A", "1", 1)]),
        ("$(command -v mpirun) -x A=1 x", [("A", "1", 1)]),
        ("$MPIRUN -x A=1 x", [("A", "1", 1)]),
        ("${MPI_HOME}/bin/mpirun -x A=1 x", [("A", "1", 1)]),
        ('"$LAUNCHER" -x A=1 x', [("A", "1", 1)]),
        ("horovodrun -np 8 --mpi-args='-x A=1' x", [("A", "1", 1)]),
        ("mpiexec.hydra -genv A 1 -genv B=2 x", [("A", "1", 1), ("B", "2", 1)]),
        ("deepspeed --launcher_args='-x A=1' x", [("A", "1", 1)]),
        ("deepspeed --launcher_args '-x A=1' x", [("A", "1", 1)]),
        ("export APPTAINERENV_A=1 SINGULARITYENV_B=2", [("A", "1", 1), ("B", "2", 1)]),
        ("apptainer exec --env A=1,B=2 x.sif x", [("A", "1", 1), ("B", "2", 1)]),
        ("docker run -eA=1 image", [("A", "1", 1)]),
        ("ARGS=(-x A=1 -x B=2)", [("ARGS", "", 1), ("A", "1", 1), ("B", "2", 1)]),
        ('ARGS="-x A=1"', [("ARGS", "-x A=1", 1), ("A", "1", 1)]),
        ("setenv A 1", [("A", "1", 1)]),
        ("ssh node 'export A=1; x'", [("A", "1", 1)]),
        ("echo 'A=1' >> /etc/environment", [("A", "1", 1)]),
        ("echo 'A=1' 2>/dev/null", []),
        # What is not valid shell, or not yet, hides nothing after it.
        ("fi\n}\nexport A={{ a }}\nexport B=1", [("A", "{{", 3), ("B", "1", 4)]),
        ("if true; then\nexport A=1", [("A", "1", 2)]),
        ("cat <<EOF > x\nexport A=1\n\nexport B=2", [("A", "1", 2), ("B", "2", 4)]),
    ],
)
def test_a_script_sets(text: str, expected: list[tuple[str, str | None, int]]) -> None:
    assert found(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        ": <<'DOC'\nexport A=1\nDOC",
        "cat <<TXT\n  export A=1\nTXT",
        "cat <<TXT\n\n  export A=1\nTXT",
        "cat >&2 <<-TXT\n\texport A=1\n\tTXT\nexit 1",
        "usage() { cat <<'TXT'\n  export A=1   # for EFA\nTXT\n}",
        "export A=1\nunset A\nsrun x",
        "export A=1; echo $A\nunset -v B A",
        "A=1 && unset A",
        "export A=1\nusage() { echo x; }\nunset A",
        "if true; then A=1; unset A; fi",
        "if true; then A=1; fi; unset A",
        "declare -x A=1\nexport -n A",
        "export -n A=1",
    ],
)
def test_what_has_no_effect_is_not_set(text: str) -> None:
    assert found(text) == []


@pytest.mark.parametrize(
    "text",
    [
        # Text that goes on to another program, to a file or into a variable, or begins as a script, may be one.
        "bash <<EOF\nexport A=1\nEOF",
        "cat <<EOF | ssh host\nexport A=1\nEOF",
        "cat <<EOF > job.sh\nexport A=1\nEOF",
        "{ cat <<EOF\nexport A=1\nEOF\n} > job.sh",
        "(cat <<EOF\nexport A=1\nEOF\n) | bash",
        "cat <<EOF\n#!/bin/sh\nexport A=1\nEOF",
        'bash -c "$(cat <<EOF\nexport A=1\nEOF\n)"',
        # Something has run with it, or nobody knows whether it is taken away.
        "export A=1\nsrun x\nunset A",
        "A=1 srun x\nunset A",
        "export A=1\nif true; then unset A; fi\nsrun x",
        "export A=1\ntest -n x && unset A\nsrun x",
        "export A=1\n(unset A)\nsrun x",
        "export A=1\nforget() { unset A; }\nsrun x",
        "job() { export A=1; }\nunset A\njob",
        "unset A\nexport A=1",
        "export A=1\nunset -f A",
    ],
)
def test_what_may_have_an_effect_is_set(text: str) -> None:
    assert [(name, value) for name, value, _ in found(text)] == [("A", "1")]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("A=" + "x" * 1_000_000, 1),
        ("".join(f"cat <<END{at}\nexport A=1\n" for at in range(2000)), 2000),
        ("A=1\n" + "$(" * 50_000, 1),
        ("A=1\n" + '"$(' * 50_000, 1),
        ("A=1\n" + "a | " * 10_000, 1),
        ("A=1\n" + "(bash -c 'B=$(C=2 x)'\n" * 10_000, 20_001),
    ],
)
def test_the_time_grows_with_the_size_alone(text: str, count: int) -> None:
    begin = time.process_time()
    assert len(found(text)) == count
    # Most take a tenth of a second; what grew with the square of the size took half a minute.
    assert time.process_time() - begin < 8


def test_a_long_script_is_read_whole() -> None:
    text = """  case $1 in\n  a)\n    echo "$(ask "What isn't" \\\n      "B=2")"\n    ;;\n  esac\n"""
    block = "run() {\n  cat > x <<EOF\nexport A='1\nEOF\n" + text * 150 + "  export C=3\n}\n"
    lines = block.count("\n")
    expected = [item for at in range(10) for item in (("A", "'1", at * lines + 3), ("C", "3", at * lines + lines - 1))]
    assert found(block * 10) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("srun --export=A=1 x", ["A=1"]),
        ("srun --export ALL,A=1 x", ["ALL,A=1"]),
        ("sbatch --export=A=1 x", []),
    ],
)
def test_what_srun_hands_to_its_tasks_is_seen(text: str, expected: list[str]) -> None:
    assert [one.value for one in script(text) if one.name == EXPORTED] == expected
