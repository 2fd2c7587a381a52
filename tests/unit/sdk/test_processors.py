import os
from pathlib import Path

import pytest
from workflow_sdk.worker.processors import available_processors


@pytest.fixture(autouse=True)
def sixty_four_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    ("quota", "expected"),
    [
        ("100000 100000", 1),
        ("150000 100000", 2),
        ("20000 100000", 1),
        ("max 100000", 64),
        ("9900000 100000", 64),
    ],
)
def test_the_quota_of_a_container_limits_the_processors(tmp_path: Path, quota: str, expected: int) -> None:
    write(tmp_path / "groups", "0::/\n")
    write(tmp_path / "mount/cpu.max", quota + "\n")

    assert available_processors(tmp_path / "mount", tmp_path / "groups") == expected


def test_the_smallest_quota_of_the_groups_above_counts(tmp_path: Path) -> None:
    write(tmp_path / "groups", "0::/kubepods/pod1/worker\n")
    write(tmp_path / "mount/kubepods/pod1/worker/cpu.max", "800000 100000\n")
    write(tmp_path / "mount/kubepods/pod1/cpu.max", "300000 100000\n")
    write(tmp_path / "mount/kubepods/cpu.max", "max 100000\n")

    assert available_processors(tmp_path / "mount", tmp_path / "groups") == 3


@pytest.mark.parametrize("folder", ["cpu,cpuacct", "cpu"])
def test_the_first_version_of_cgroups_is_read_too(tmp_path: Path, folder: str) -> None:
    write(tmp_path / "groups", "5:memory:/docker/a\n4:cpu,cpuacct:/docker/a\n1:name=systemd:/x\n")
    write(tmp_path / f"mount/{folder}/cpu.cfs_quota_us", "250000\n")  # a container sees its group as the root
    write(tmp_path / f"mount/{folder}/cpu.cfs_period_us", "100000\n")

    assert available_processors(tmp_path / "mount", tmp_path / "groups") == 3


def test_a_group_of_another_controller_has_no_quota_of_processors(tmp_path: Path) -> None:
    write(tmp_path / "groups", "5:memory:/small\n4:cpu:/large\n")
    for folder, quota in (("cpu/small", "100000"), ("cpu/large", "800000")):
        write(tmp_path / f"mount/{folder}/cpu.cfs_quota_us", quota)
        write(tmp_path / f"mount/{folder}/cpu.cfs_period_us", "100000")

    assert available_processors(tmp_path / "mount", tmp_path / "groups") == 8


@pytest.mark.parametrize("text", ["-1", "0", "", "nonsense"])
def test_a_quota_that_limits_nothing_is_none(tmp_path: Path, text: str) -> None:
    write(tmp_path / "groups", "4:cpu:/\n")
    write(tmp_path / "mount/cpu/cpu.cfs_quota_us", text)
    write(tmp_path / "mount/cpu/cpu.cfs_period_us", "100000\n")

    assert available_processors(tmp_path / "mount", tmp_path / "groups") == 64


def test_without_cgroups_the_processors_are_those_of_the_cpu_set(tmp_path: Path) -> None:
    assert available_processors(tmp_path / "mount", tmp_path / "groups") == 64


def test_this_machine_has_a_processor() -> None:
    assert 1 <= available_processors() <= 64
