"""The exporter shows every counter of every EFA device, and says which it could not read, whatever else is broken."""

import ast
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection, HTTPResponse
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

import pytest

from ingot import __version__

PROGRAM = Path(__file__).parents[3] / "roles/efa_exporter/files/ingot-efa-exporter"
WORD = re.compile(r"\w+")
# EFA_DEFINE_DEVICE_STATS and EFA_DEFINE_PORT_STATS in
# https://github.com/amzn/amzn-drivers/blob/master/kernel/linux/efa/src/efa_verbs.c
OF_DEVICE = WORD.findall("""submitted_cmds completed_cmds cmds_err no_completion_cmds keep_alive_rcvd alloc_pd_err
create_qp_err create_cq_err reg_mr_err alloc_ucontext_err create_ah_err mmap_err""")
OF_PORT = WORD.findall("""tx_bytes tx_pkts rx_bytes rx_pkts rx_drops send_bytes send_wrs recv_bytes recv_wrs
rdma_read_wrs rdma_read_bytes rdma_read_wr_err rdma_read_resp_bytes rdma_write_wrs rdma_write_bytes rdma_write_wr_err
rdma_write_recv_bytes retrans_bytes retrans_pkts retrans_timeout_events unresponsive_remote_events
impaired_remote_conn_events""")
# Strictly what the exporter may print, of https://prometheus.io/docs/instrumenting/exposition_formats/
NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"'
HELP = re.compile(rf"# HELP ({NAME}) (.+)")
TYPE = re.compile(rf"# TYPE ({NAME}) (counter|gauge)")
SAMPLE = re.compile(rf"({NAME})(?:\{{({LABEL}(?:,{LABEL})*)\}})? (\d+)")
Samples = dict[tuple[str, ...], int]


def parsed(text: str) -> Samples:
    """The samples as (name, label, label ...) -> value of a text that keeps the format's rules."""
    assert text.endswith("\n")
    lines, found, described = text[:-1].split("\n"), {}, set()
    name, kind = "", ""
    for number, line in enumerate(lines):
        if head := HELP.fullmatch(line):
            kept = TYPE.fullmatch(lines[number + 1])
            assert kept and kept[1] == head[1] not in described, line
            name, kind = kept.groups()
            described.add(name)
            assert name.endswith("_total") == (kind == "counter"), line
        elif not TYPE.fullmatch(line):
            sample = SAMPLE.fullmatch(line)
            assert sample and sample[1] == name, line
            key = (name, *re.findall(LABEL, sample[2] or ""))
            assert key not in found, line
            found[key] = int(sample[3])
    return found


def put(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def rdma(sysfs: Path, name: str, vendor: str = "0x1d0f", number: str = "0xefa2", port: str = "1") -> Path:
    """A simulated RDMA device with the EFA driver's counters, each with a value of its own."""
    device = sysfs / "class/infiniband" / name
    put(device / "device/vendor", f"{vendor}\n")
    put(device / "device/device", f"{number}\n")
    for folder, names in ((device / "hw_counters", OF_DEVICE), (device / "ports" / port / "hw_counters", OF_PORT)):
        put(folder / "lifespan", "12\n")
        for value, counter in enumerate(names):
            put(folder / counter, f"{value}\n")
    return device


def once(sysfs: Path) -> tuple[Samples, str]:
    """What the program prints: samples, and what it says on standard error."""
    words: list[str | Path] = [sys.executable, PROGRAM, "--once", "--sysfs", sysfs]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=20)
    assert done.returncode == 0, done.stderr
    return parsed(done.stdout), done.stderr


def of(samples: Samples, device: str) -> Samples:
    """The counters of one device."""
    return {key: value for key, value in samples.items() if f'device="{device}"' in key and key[0].endswith("_total")}


def test_a_machine_without_efa_has_the_version_and_nothing_else(tmp_path: Path) -> None:
    samples, said = once(tmp_path)
    assert samples == {("efa_exporter_build_info", f'version="{__version__}"'): 1}
    assert said == ""


def test_every_counter_of_every_device_and_port_is_shown(tmp_path: Path) -> None:
    rdma(tmp_path, "rdmap0s31")
    rdma(tmp_path, "rdmap0s32", number="0xefa0", port="2")
    samples, said = once(tmp_path)
    for device, port in (("rdmap0s31", "1"), ("rdmap0s32", "2")):
        name = f'device="{device}"'
        wanted: Samples = {(f"efa_{counter}_total", name): value for value, counter in enumerate(OF_DEVICE)}
        wanted |= {(f"efa_{counter}_total", name, f'port="{port}"'): value for value, counter in enumerate(OF_PORT)}
        assert of(samples, device) == wanted
        assert samples["efa_read_errors", name] == 0
    assert said == ""


def test_a_counter_of_a_later_driver_is_shown_with_all_its_digits(tmp_path: Path) -> None:
    put(rdma(tmp_path, "efa_0", number="0xefa4") / "ports/1/hw_counters/later-events", f"{2**64 - 1}\n")
    assert once(tmp_path)[0]["efa_later_events_total", 'device="efa_0"', 'port="1"'] == 2**64 - 1


@pytest.mark.parametrize(("vendor", "number"), [("0x15b3", "0x1021"), ("0x15b3", "0xefa2"), ("0x1d0f", "0xec20")])
def test_other_devices_are_left_out(tmp_path: Path, vendor: str, number: str) -> None:
    rdma(tmp_path, "other", vendor, number)
    put(tmp_path / "class/infiniband/rxe0/ports/1/hw_counters/sent_pkts", "1\n")
    samples, said = once(tmp_path)
    assert list(samples) == [("efa_exporter_build_info", f'version="{__version__}"')]
    assert said == ""


def unreadable(path: Path) -> None:
    """Reading a folder as a file fails for root as well, for whom permissions say nothing."""
    path.unlink()
    path.mkdir()


def no_number(path: Path) -> None:
    path.write_text("N/A (no PMA)\n")


def no_text(path: Path) -> None:
    path.write_bytes(b"\xff")


@pytest.mark.parametrize("spoil", [unreadable, no_number, no_text])
@pytest.mark.parametrize("name", ["hw_counters/mmap_err", "ports/1/hw_counters/rx_bytes"])
def test_a_counter_that_cannot_be_read_is_counted_and_hides_no_other(
    tmp_path: Path, spoil: Callable[[Path], None], name: str
) -> None:
    spoil(rdma(tmp_path, "bad") / name)
    rdma(tmp_path, "good")
    samples, said = once(tmp_path)
    assert samples["efa_read_errors", 'device="bad"'] == 1
    assert samples["efa_read_errors", 'device="good"'] == 0
    assert len(of(samples, "bad")) == len(of(samples, "good")) - 1 == len(OF_DEVICE) + len(OF_PORT) - 1
    assert f"bad/{name}" in said


@pytest.mark.parametrize("spoil", [unreadable, no_text])
def test_a_device_that_cannot_be_read_is_counted_and_hides_no_other(
    tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    spoil(rdma(tmp_path, "bad") / "device/vendor")
    rdma(tmp_path, "good")
    samples, said = once(tmp_path)
    assert samples["efa_read_errors", 'device="bad"'] == 1
    assert of(samples, "bad") == {}
    assert len(of(samples, "good")) == len(OF_DEVICE) + len(OF_PORT)
    assert "bad" in said


class Running:
    """The program as a server on a free port of localhost."""

    def __init__(self, sysfs: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = str(free.getsockname()[1])
        words: list[str | Path] = [sys.executable, PROGRAM, "--port", self.port, "--sysfs", sysfs]
        self.process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 20
        while not self.answers():
            assert time.monotonic() < deadline and self.process.poll() is None
            time.sleep(0.05)

    def answers(self) -> bool:
        with socket.socket() as knock:
            return knock.connect_ex(("127.0.0.1", int(self.port))) == 0

    def get(self, path: str = "/metrics", host: str = "127.0.0.1") -> tuple[HTTPResponse, str]:
        connection = HTTPConnection(host, int(self.port), timeout=20)
        connection.request("GET", path)
        response = connection.getresponse()
        return response, response.read().decode()

    def stop(self) -> str:
        """End it as systemd does; what it said."""
        self.process.send_signal(signal.SIGTERM)
        said: str = self.process.communicate(timeout=20)[1]
        assert self.process.returncode == 0
        return said


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    rdma(tmp_path, "rdmap0s31")
    server = Running(tmp_path)
    yield server
    server.process.kill()
    server.process.wait()


def test_metrics_are_served_in_prometheus_format_and_nothing_else_is(running: Running, tmp_path: Path) -> None:
    response, body = running.get()
    assert response.status == 200
    assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert parsed(body) == once(tmp_path)[0]
    assert running.get("/metrics?x=1")[0].status == 200
    assert [running.get(path)[0].status for path in ("/", "/metrics/", "/etc/passwd")] == [404, 404, 404]
    assert running.stop() == ""


def test_it_answers_on_both_protocols(running: Running) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError as error:
        pytest.skip(f"this machine has no IPv6: {error}")
    assert running.get(host="::1")[0].status == running.get(host="127.0.0.1")[0].status == 200


def test_what_fails_at_every_scrape_is_said_once(running: Running, tmp_path: Path) -> None:
    no_number(tmp_path / "class/infiniband/rdmap0s31/hw_counters/mmap_err")
    assert all("efa_read_errors{" in running.get()[1] for _ in range(3))
    assert running.stop().count("mmap_err") == 1


# It takes as long as the exporter is patient.
@pytest.mark.slow
def test_clients_that_say_nothing_keep_nobody_out_for_long(running: Running) -> None:
    """More of them than it has places: whoever comes meanwhile is hung up on, and served when they are gone."""
    idle = [socket.create_connection(("127.0.0.1", int(running.port))) for _ in range(20)]
    deadline = time.monotonic() + 20
    status = 0
    while status != 200 and time.monotonic() < deadline:
        try:
            status = running.get()[0].status
        except OSError:
            time.sleep(0.2)
    for each in idle:
        each.close()
    assert status == 200


def test_what_hangs_is_waited_for_no_longer_than_patience_allows(tmp_path: Path) -> None:
    """The program's own reader, with less patience than the program has."""
    loader = SourceFileLoader("ingot_efa_exporter", str(PROGRAM))
    spec = spec_from_loader("ingot_efa_exporter", loader)
    assert spec is not None
    exporter = module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "dont_write_bytecode", True)
        loader.exec_module(exporter)
    counter = rdma(tmp_path, "hangs") / "hw_counters/mmap_err"
    counter.unlink()
    os.mkfifo(counter)
    rdma(tmp_path, "other")
    devices = exporter.Devices(str(tmp_path), 0.5)
    answers: list[dict[str, tuple[list[object], list[str]]]] = []
    reading = threading.Thread(target=lambda: answers.append(devices.read()), daemon=True)
    reading.start()
    reading.join(30)
    assert answers, "it waits for ever"
    assert answers[0]["hangs"] == ([], ["hangs: does not answer"])
    assert len(answers[0]["other"][0]) == len(OF_DEVICE) + len(OF_PORT)
    counter.write_text("7\n")


# It takes as long as the exporter is patient.
@pytest.mark.slow
def test_a_device_that_hangs_is_counted_and_hides_no_other(running: Running, tmp_path: Path) -> None:
    """Reading a pipe that nobody writes to does not come back, as with a driver whose device is gone."""
    counter = rdma(tmp_path, "hangs") / "hw_counters/mmap_err"
    counter.unlink()
    os.mkfifo(counter)
    for _ in range(2):
        began = time.monotonic()
        samples = parsed(running.get()[1])
        assert samples["efa_read_errors", 'device="hangs"'] == 1
        assert len(of(samples, "rdmap0s31")) == len(OF_DEVICE) + len(OF_PORT)
    assert time.monotonic() - began < 2, "one that hangs already is not waited for again"
    counter.write_text("7\n")
    counter.unlink()
    put(counter, "8\n")
    deadline = time.monotonic() + 20
    while parsed(running.get()[1]).get(("efa_mmap_err_total", 'device="hangs"')) != 8:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert running.stop().count("does not answer") == 1


def test_a_port_in_use_is_one_sentence(running: Running, tmp_path: Path) -> None:
    words: list[str | Path] = [sys.executable, PROGRAM, "--address", "127.0.0.1", "--port", running.port]
    words += ["--sysfs", tmp_path]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=20)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert f"cannot listen on port {running.port} of 127.0.0.1" in done.stderr
    assert "in use" in done.stderr


@pytest.mark.parametrize(
    ("words", "reason"), [(["--address", "localhost"], "localhost"), (["--port", "70000"], "70000")]
)
def test_a_place_that_cannot_be_is_one_sentence(words: list[str], reason: str) -> None:
    done = subprocess.run([sys.executable, PROGRAM, *words], capture_output=True, text=True, check=False, timeout=20)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert reason in done.stderr


def test_help_and_version() -> None:
    said = [
        subprocess.run([sys.executable, PROGRAM, option], capture_output=True, text=True, check=True).stdout
        for option in ("--help", "--version")
    ]
    assert "--once" in said[0]
    assert said[1].strip() == __version__


@pytest.mark.parametrize(("line", "starts"), [("1D0F:EFA0", True), ("1D0F:EFA4", True), ("1D0F:EC20", False)])
def test_the_service_starts_only_where_the_pci_bus_has_an_efa(tmp_path: Path, line: str, starts: bool) -> None:
    """By the line that pci_uevent in https://github.com/torvalds/linux/blob/master/drivers/pci/pci-driver.c writes."""
    unit = (PROGRAM.parents[1] / "templates/ingot-efa-exporter.service.j2").read_text()
    condition = re.search(r"^ExecCondition=/bin/sh -c '(.+)'$", unit, re.MULTILINE)
    assert condition
    put(tmp_path / "0000:00:1f.0/uevent", f"PCI_CLASS=20000\nPCI_ID={line}\nPCI_SUBSYS_ID=1D0F:EFA0\n")
    asked = ["/bin/sh", "-c", condition[1].replace("/sys/bus/pci/devices", str(tmp_path))]
    assert subprocess.run(asked, check=False).returncode == (0 if starts else 1)


def test_it_runs_on_the_oldest_python_of_a_target() -> None:
    ast.parse(PROGRAM.read_text(), feature_version=(3, 9))
