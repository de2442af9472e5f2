"""A prompt that finds no room is not there, and the same command writes it when there is."""

from rar_agent.prompts.write import write_next
from tests.disks import done_in, small_disk


def test_a_new_version_is_there_whole_or_not_at_all(tmp_path):
    with small_disk(tmp_path / "disk") as disk:
        for leaving in (disk.leaving, disk.leaving_names) if disk.mounted else (disk.leaving,):
            before = sorted(disk.path.rglob("*.yaml"))
            for room in range(40):
                if done_in(leaving(room), disk, lambda: write_next("mine", "rank@1", disk.path)):
                    break
                assert sorted(disk.path.rglob("*.yaml")) == before
            assert room
            assert len(list(disk.path.rglob("*.yaml"))) == len(before) + 1
