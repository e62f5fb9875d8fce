import TensorCore

/// Split GGUF models (llama.cpp's `gguf-split`): `x-00001-of-00003.gguf` and its siblings, metadata in the first.
enum GGUFSplit {
  private static let keys: Set<String> = ["split.no", "split.count", "split.tensors.count"]

  /// Whether the file is one of several.
  static func isPart(_ source: ModelSource) -> Bool { (source.metadata["split.count"]?.intValue ?? 1) > 1 }

  /// The whole model of which `part` is one file.
  ///
  /// - Throws: ``ModelFileError`` when a part is missing, belongs to something else, or repeats a tensor.
  static func join(startingWith part: ModelSource) throws -> ModelSource {
    let count = part.metadata["split.count"]?.intValue ?? 1
    guard let number = part.metadata["split.no"]?.intValue, (0..<count).contains(number), count <= 99_999
    else {
      throw ModelFileError(
        .badStructure, path: part.path,
        "is part of a split model, but split.no and split.count contradict each other")
    }
    let suffix = suffix(number, count)
    guard part.path.hasSuffix(suffix) else {
      throw ModelFileError(
        .missing, path: part.path,
        "is part \(number + 1) of \(count) of a split model, whose other parts cannot be found by this name",
        advice: "name it …\(suffix), with the other parts beside it")
    }
    let stem = String(part.path.dropLast(suffix.count))
    var whole = ModelSource(container: .gguf, path: part.path, files: [], tensors: [])
    var names: [String: String] = [:]
    for place in 0..<count {
      let path = stem + self.suffix(place, count)
      let source = place == number ? part : try open(path, neededBy: part.path, count: count)
      try check(source, place: place, count: count)
      if place == 0 { whole.metadata = source.metadata.filter { !keys.contains($0.key) } }
      for tensor in source.tensors {
        if let first = names.updateValue(source.path, forKey: tensor.name) {
          throw ModelFileError(.duplicate, path: source.path, "tensor '\(tensor.name)' is in \(first) too")
        }
      }
      whole.files.append(source.path)
      whole.tensors += source.tensors
    }
    if let total = part.metadata["split.tensors.count"]?.intValue, total != whole.tensors.count {
      throw ModelFileError(
        .badStructure, path: part.path,
        "split.tensors.count is \(total), but the \(count) parts hold \(whole.tensors.count) tensors")
    }
    whole.notes.append("joined \(count) split files")
    return whole
  }

  private static func suffix(_ place: Int, _ count: Int) -> String {
    func digits(_ value: Int) -> String {
      let text = String(value)
      return String(repeating: "0", count: max(0, 5 - text.count)) + text
    }
    return "-\(digits(place + 1))-of-\(digits(count)).gguf"
  }

  private static func open(_ path: String, neededBy: String, count: Int) throws -> ModelSource {
    let file: MappedFile
    do { file = try MappedFile(path: path) } catch {
      throw ModelFileError(
        .missing, path: path,
        "cannot be opened, but \(neededBy) needs it as one of \(count) parts: \(error.reason)")
    }
    return try GGUFFile.readPart(file)
  }

  private static func check(_ source: ModelSource, place: Int, count: Int) throws {
    guard source.metadata["split.no"]?.intValue == place, source.metadata["split.count"]?.intValue == count
    else {
      throw ModelFileError(
        .badStructure, path: source.path,
        "is not part \(place + 1) of \(count): its split.no and split.count say otherwise")
    }
  }
}
