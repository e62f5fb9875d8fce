"""The files that both sides read: random weights in TinyLlama's shape, in llama.cpp's types by its own quantizer."""
import os

from timing import run


class Files:
    def __init__(self, program, llama, work, layers=22):
        self.program, self.llama, self.work, self.layers = program, llama, work, layers

    def path(self, name):
        return os.path.join(self.work, f"llama-1b-{self.layers}-{name}")

    def model(self, kind):
        """A GGUF file of a type: F16 and BF16 by our program, the others by llama-quantize from F16."""
        path = self.path(f"{kind}.gguf")
        if not os.path.exists(path):
            if kind in ["F16", "BF16"]:
                run([self.program, "bench", "--synthetic", f"llama-1b-{self.layers}:{kind.lower()}", "-o", path, "--no-run", "-q"])
            else:
                run([os.path.join(self.llama, "llama-quantize"), self.model("F16"), path + ".part", kind, os.cpu_count() or 1])
                os.rename(path + ".part", path)
        return path

    def artifact(self, kind):
        path = self.path(f"{kind}.gguf.zst")
        if not os.path.exists(path):
            run([self.program, "convert", self.model(kind), "-o", path, "--pack", "-q"])
        return path

    def fast_folder(self, needed):
        """A folder in memory where there is room, so that packing is measured and not the disk; else the work folder."""
        for folder in ["/dev/shm", self.work]:
            if os.path.isdir(folder) and os.access(folder, os.W_OK):
                status = os.statvfs(folder)
                if status.f_bavail * status.f_frsize > 2 * needed:
                    return folder
        return self.work
