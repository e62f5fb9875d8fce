public import ModelFiles

extension ModelSource {
  /// Every file that the model was read from, and the files beside it that describe it: what an output must not touch.
  public var inputFiles: [String] {
    var folders: [String] = []
    for file in files {
      let folder = file.lastIndex(of: "/").map { String(file[...$0]) } ?? ""
      if !folders.contains(folder) { folders.append(folder) }
    }
    let companions = [
      "config.json", "generation_config.json", "model.safetensors.index.json", "pytorch_model.bin.index.json",
    ]
    return files + tokenizerFiles.map(\.path) + folders.flatMap { folder in companions.map { folder + $0 } }
  }
}
