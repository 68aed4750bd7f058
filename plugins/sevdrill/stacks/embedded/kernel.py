"""The few system calls that Python 3.11 does not have, and what they are for. Used by the supervisor only."""

from __future__ import annotations

import ctypes
import os
import signal
from pathlib import Path

__all__ = ["adopt_orphans", "die_with_parent", "drop_privileges", "hold_volumes"]

CLONE_NEWNS, CLONE_NEWUSER = 0x00020000, 0x10000000
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
SOMEBODY = 1000
"""Any user id that is not root's: what a program that refuses root sees."""

_libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent dies."""
    _checked(_libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl")


def die_with_parent(parent: int) -> None:
    """Be killed when the parent dies, however it dies; forgotten by the kernel when privileges change after this."""
    _checked(_libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "prctl")
    if os.getppid() != parent:
        os._exit(1)


def _namespace(flags: int, uid: int, gid: int) -> None:
    own_uid, own_gid = os.geteuid(), os.getegid()
    _checked(_libc.unshare(flags), "the kernel refuses a user namespace")
    # As root of the machine it may be refused, or not be needed.
    Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
    Path("/proc/self/uid_map").write_text(f"{uid} {own_uid} 1", encoding="ascii")
    Path("/proc/self/gid_map").write_text(f"{gid} {own_gid} 1", encoding="ascii")


def drop_privileges(folders: list[str]) -> None:
    """Stop being root, for a program that refuses it; does nothing for anybody else.

    In a user namespace root looks like somebody else to the program, and files stay as they are. Where the kernel
    refuses that, the program runs as the machine's `nobody`, who is given ``folders``.
    """
    if os.geteuid() != 0:
        return
    try:
        _namespace(CLONE_NEWUSER, SOMEBODY, SOMEBODY)
    except OSError:
        import pwd

        nobody = pwd.getpwnam("nobody")
        for folder in folders:
            for place, names, files in os.walk(folder):
                for each in (place, *(f"{place}/{name}" for name in (*names, *files))):
                    os.chown(each, nobody.pw_uid, nobody.pw_gid, follow_symlinks=False)
        os.setgroups([])
        os.setgid(nobody.pw_gid)
        os.setuid(nobody.pw_uid)


def hold_volumes(sizes: dict[str, int]) -> None:
    """Mount a file system in memory on each folder, of so many bytes, where only this process sees it.

    Others get there by this process' root in /proc; when it ends, all of it is gone.

    Raises:
        OSError: the kernel refuses it.
    """
    _namespace(CLONE_NEWUSER | CLONE_NEWNS, os.geteuid(), os.getegid())
    for folder, size in sizes.items():
        options = f"size={size},mode=1777".encode()
        _checked(_libc.mount(b"tmpfs", folder.encode(), b"tmpfs", 0, options), "the kernel refuses to mount a tmpfs")
