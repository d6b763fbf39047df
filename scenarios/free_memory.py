"""How much memory is free: of the machine, or of the container where it has a limit."""

from __future__ import annotations

from pathlib import Path


def free_bytes() -> int:
    """Return the bytes that can still be had: of the machine, or of the container where it has a limit."""
    import psutil

    return max(
        min(
            [
                psutil.virtual_memory().available,
                *group_room(Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")),
            ]
        ),
        0,
    )


def group_room(own: Path, root: Path) -> list[int]:
    """Return what each control group that this process is in leaves, versions 1 and 2 of Linux' cgroups.

    A limit holds for everything below it, so all groups on the way up count. File cache that the system
    can drop at once counts as free.
    """
    found = []
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            base, names = root, ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            base = root / "memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        place = base / path.strip("/")
        # Inside a container the path is that of the host, and its own group is the root.
        for group in {base, *(folder for folder in (place, *place.parents) if folder.is_relative_to(base))}:
            try:
                limit = int((group / names[0]).read_text())
                used = int((group / names[1]).read_text())
                cache = _statistic(group / "memory.stat", names[2])
            except (OSError, ValueError):  # no such group, or "max": no limit
                continue
            found.append(limit - max(used - cache, 0))
    return found


def _statistic(file: Path, name: str) -> int:
    for line in file.read_text().splitlines():
        key, _, value = line.partition(" ")
        if key == name:
            return int(value)
    return 0
