import Glibc
import ModelFiles

/// Short names for models, for folders and reports.
enum CheckpointName {
  private static let endings = [
    ".zst", ".safetensors.index.json", ".bin.index.json", ".gguf", ".safetensors", ".bin", ".pth", ".pt",
    ".ckpt",
  ]
  /// Names that say nothing about which model it is.
  private static let general: Set<String> = [
    "model", "pytorch_model", "consolidated", "consolidated.00", "checkpoint", "ckpt", "weights", "artifact",
    "tf_model", "model_fp16", "ggml-model-f16", "ggml-model-f32", "diffusion_pytorch_model",
  ]

  /// The file's or folder's name without endings and shard numbers; the folder's name for "model.safetensors" and the like.
  static func name(of source: ModelSource) -> String {
    let path = absolute(source.path)
    var parts = path.split(separator: "/").map(String.init)
    guard var name = parts.popLast() else { return "model" }
    name = stem(name)
    if general.contains(name.lowercased()), let folder = parts.last { name = folder }
    return name.isEmpty ? "model" : name
  }

  private static func stem(_ name: String) -> String {
    var name = name
    for ending in endings where name.lowercased().hasSuffix(ending) && name.count > ending.count {
      name = String(name.dropLast(ending.count))
    }
    let parts = name.split(separator: "-", omittingEmptySubsequences: false)
    if parts.count > 3, parts[parts.count - 2] == "of", parts[parts.count - 3].allSatisfy(\.isNumber),
      parts[parts.count - 1].allSatisfy(\.isNumber)
    {
      name = parts.dropLast(3).joined(separator: "-")
    }
    return name
  }

  private static func absolute(_ path: String) -> String {
    guard let resolved = realpath(path, nil) else { return path }
    defer { free(resolved) }
    return String(cString: resolved)
  }
}
