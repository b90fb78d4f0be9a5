"""What a container runs is run here, for real, as a child of the test; what it prints is written into its log."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

Sink = Callable[[str], Awaitable[None]]
ENVIRONMENT = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "HOME": "/"}


async def run(command: Sequence[str], env: dict[str, str], cwd: Path, line: Sink) -> int:
    """Run it to its end, every line to `line` as it comes; the exit code as a container has it (128 + signal).

    Cancelled: it is killed with everything it started.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *command, env=ENVIRONMENT | env, cwd=cwd, start_new_session=True, stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
    except OSError as error:
        await line(f"{command[0]}: {error.strerror}")
        return 127
    assert process.stdout is not None
    try:
        async for text in process.stdout:
            await line(text.decode(errors="replace").removesuffix("\n"))
        status = await process.wait()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        while await process.stdout.read(1 << 16):
            pass
        await asyncio.shield(process.wait())
    return 128 - status if status < 0 else status
