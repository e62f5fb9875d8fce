"""Time and memory of programs, and ratios of two that take turns."""
import os
import resource
import statistics
import subprocess
import time
from dataclasses import dataclass, field


@dataclass
class Run:
    seconds: float
    peak: int  # bytes of resident memory at most
    output: str
    processor_seconds: float


def run(command, **options):
    """One run of a program, from before its start to after its end."""
    began = time.perf_counter()
    with subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options) as process:
        output = process.stdout.read().decode("utf-8", errors="replace")
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f"{os.path.basename(str(command[0]))} exits with {process.returncode}: {' '.join(output.splitlines()[-1:])[:200]}")
    return Run(seconds, usage.ru_maxrss * 1024, output, usage.ru_utime + usage.ru_stime)


@dataclass
class Paired:
    """Two sides that took turns; each figure is a rate, more is better."""
    ours: list = field(default_factory=list)
    theirs: list = field(default_factory=list)

    @property
    def ratio(self):
        """Of the fastest of each side: what else runs on the machine only ever slows."""
        return max(self.ours) / max(self.theirs)

    @property
    def spread(self):
        """The least and the most that neighbours had."""
        ratios = [ours / theirs for ours, theirs in zip(self.ours, self.theirs)]
        return min(ratios), max(ratios)

    @property
    def median(self):
        return statistics.median(ours / theirs for ours, theirs in zip(self.ours, self.theirs))


def take_turns(rounds, ours, theirs):
    """Both functions `rounds` times in turn, the one that goes first changing; each returns a rate."""
    found = Paired()
    for index in range(rounds):
        for side in [0, 1] if index % 2 == 0 else [1, 0]:
            (found.theirs if side else found.ours).append((theirs if side else ours)())
    return found


def load():
    """How busy the machine is besides us: its load average."""
    return os.getloadavg()[0]


def memory_of_children():
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024


def forget(path):
    """Drops a file from the page cache; False where the system keeps it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)
    return cached(path) < 0.02


def cached(path):
    """The part of a file that is in the page cache, by mincore(2); 0 where that cannot be told."""
    import ctypes
    import mmap

    size = os.path.getsize(path)
    library = ctypes.CDLL(None, use_errno=True)
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) as memory:
        pages = (size + mmap.PAGESIZE - 1) // mmap.PAGESIZE
        resident = (ctypes.c_ubyte * pages)()
        view = (ctypes.c_char * 1).from_buffer(memory)
        address = ctypes.addressof(view)
        failed = library.mincore(ctypes.c_void_p(address), ctypes.c_size_t(size), resident)
        del view
    return 0.0 if failed else sum(page & 1 for page in resident) / pages
