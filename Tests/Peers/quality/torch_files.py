"""Files of the peers in PyTorch: GPTQ and AWQ by llm-compressor, AutoRound; 4 bits, groups of 128."""
import os
import shutil
import subprocess

import dequantize
from measuring import compress

# Method and calibration samples of 256 tokens. 128 is what AutoRound takes by itself; AWQ's grid search runs all samples 20 times
# through every layer.
METHODS = {"GPTQ g128": ("gptq", 400), "AWQ g128": ("awq", 128), "AutoRound g128": ("autoround", 128)}


class TorchPeers:
    name = "PyTorch"

    def __init__(self, python, program, work, iterations=200):
        self.python, self.program, self.work = python, program, work
        self.iterations = iterations

    def file(self, subject, name):
        """(the folder as the peer wrote it, the same with its layers back in F32)."""
        if not self.python:
            raise RuntimeError("no Python with torch-requirements.txt")
        method, samples = METHODS[name]
        packed = os.path.join(self.work, f"{subject.name}-{method}")
        if not os.path.exists(os.path.join(packed, "model.safetensors")):
            shutil.rmtree(packed, ignore_errors=True)
            arguments = [self.python, os.path.join(os.path.dirname(os.path.abspath(__file__)), "torch_peer.py"), method,
                         self.source(subject), subject.calibration, packed, "--context", str(subject.context), "--samples",
                         str(samples), "--iterations", str(self.iterations)]
            environment = {**os.environ, "OMP_NUM_THREADS": "2", "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"}
            result = subprocess.run(arguments, capture_output=True, env=environment, cwd=self.work)
            if result.returncode != 0:
                said = result.stderr.decode("utf-8", errors="replace").strip().splitlines()
                raise RuntimeError(f"{name}: {said[-1] if said else 'failed'}")
        floats = packed + "-f32"
        if not os.path.exists(os.path.join(floats, "config.json")):
            dequantize.folder(packed, floats, subject.sides)
        return packed, floats

    def source(self, subject):
        """The model as a folder that `transformers` reads, whatever it was."""
        folder = os.path.join(self.work, f"{subject.name}-hf")
        if not os.path.exists(os.path.join(folder, "model.safetensors")):
            compress(self.program, "convert", subject.source, "-o", folder, "--format", "safetensors", "-q")
            for path in subject.sides:
                if not os.path.exists(os.path.join(folder, os.path.basename(path))):
                    shutil.copy(path, folder)
        return folder
