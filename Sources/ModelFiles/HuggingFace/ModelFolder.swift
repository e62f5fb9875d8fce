import TensorCore

/// A folder with a model in it, as Hugging Face lays them out: weights, `config.json`, tokenizer files.
struct ModelFolder {
  let path: String
  /// The longest `config.json` that is read.
  static let configurationLimit = 16 << 20

  /// Files of these names are parts of a training run or an adapter, no model.
  private static let excluded: Set<String> = [
    "training_args.bin", "optimizer.pt", "optimizer.bin", "scheduler.pt", "scheduler.bin", "rng_state.pth",
    "scaler.pt",
    "adapter_model.bin", "adapter_model.safetensors",
  ]

  /// Opens the folder's model: safetensors before PyTorch, GGUF, llama2.c and artifacts; one file before shards.
  ///
  /// - Throws: ``ModelFileError`` when there is none, or several that nothing tells apart.
  func open() throws -> ModelSource {
    let names = try FileSystem.files(in: path)
    // Files of the well-known names are opened whatever is in them, so that a damaged one is not passed over.
    for (single, index) in [
      ("model.safetensors", ".safetensors.index.json"), ("pytorch_model.bin", ".bin.index.json"),
    ] {
      if names.contains(single) { return try openSingle(single) }
      let indexes = names.filter { $0.hasSuffix(index) }
      guard let first = indexes.first else { continue }
      guard indexes.count == 1 else { throw ambiguous(indexes) }
      return try addingCompanions(to: ShardIndex(readingFrom: file(first)).open(as: path))
    }
    var kinds: [String: [String]] = [:]
    for name in names where !ModelFolder.excluded.contains(name) {
      guard let file = try? MappedFile(path: FileSystem.join(path, name)),
        let reader = file.region.withBytes({ ModelReader.recognizing($0) })
      else { continue }
      kinds[reader.name, default: []].append(name)
    }
    for reader in ModelReader.byPreference {
      guard let found = kinds[reader.name], let first = found.first else { continue }
      if let shards = ShardName(first), found.allSatisfy({ ShardName($0)?.set == shards.set }) {
        return try reader.usesCompanions
          ? addingCompanions(to: openByName(shards, reader: reader, as: path)) : openSingle(first)
      }
      guard found.count == 1 else { throw ambiguous(found) }
      return try openSingle(first)
    }
    throw nothingFound(names)
  }

  /// All the shards that the file at `filePath` is one of; nil when it stands alone.
  func shards(including filePath: String, reader: ModelReader) throws -> ModelSource? {
    let name = FileSystem.name(of: filePath)
    for indexName in try FileSystem.files(in: path) where indexName.hasSuffix(".index.json") {
      guard let index = try ShardIndex.ifIndex(file(indexName)), index.files.contains(name) else { continue }
      return try index.open(as: filePath)
    }
    return try ShardName(name).map { try openByName($0, reader: reader, as: filePath) }
  }

  /// `source` with the configuration and the tokenizer files that lie in the folder. GGUF has its own, packed or not.
  func addingCompanions(to source: ModelSource) throws -> ModelSource {
    guard source.container != .gguf else { return source }
    var source = source
    if source.configuration == nil { source.configuration = try json("config.json") }
    if source.generation == nil { source.generation = try json("generation_config.json") }
    source.tokenizerFiles = try TokenizerSearch.files(in: path, for: &source)
    return source
  }

  private func file(_ name: String) throws -> MappedFile { try FileSystem.map(FileSystem.join(path, name)) }

  private func openSingle(_ name: String) throws -> ModelSource {
    let file = try file(name)
    guard let reader = ModelReader.recognizing(file.region.buffer) else {
      throw FileDescription.refusal(of: file)
    }
    var source = try reader.read(file)
    source.path = path
    return try addingCompanions(to: source)
  }

  /// Shards without an index: their names say how many there are.
  private func openByName(_ shard: ShardName, reader: ModelReader, as userPath: String) throws -> ModelSource
  {
    let names = shard.siblings
    let files = try names.map { name in
      guard FileSystem.isFile(FileSystem.join(path, name)) else {
        throw ModelFileError(
          .missing, path: FileSystem.join(path, name),
          "is missing: \(shard.name) is one of \(names.count) shards")
      }
      return try file(name)
    }
    var whole = try ShardIndex.joined(files, as: userPath)
    whole.notes.append("joined \(names.count) shards by their names, there is no index")
    return whole
  }

  private func json(_ name: String) throws -> JSONValue? {
    guard let file = try FileSystem.mapIfPresent(name, in: path, limit: ModelFolder.configurationLimit) else {
      return nil
    }
    do {
      let value = try file.region.withBytes { bytes throws(JSONError) in
        try JSONValue(parsing: bytes, allowsNonFinite: true)
      }
      guard case .object = value else {
        throw ModelFileError(.badStructure, path: file.path, "is no JSON object")
      }
      return value
    } catch let error as JSONError {
      throw ModelFileError(.badStructure, path: file.path, "is no valid JSON: \(error)")
    }
  }

  private func ambiguous(_ names: [String]) -> ModelFileError {
    let shown = names.prefix(4).joined(separator: ", ") + (names.count > 4 ? " …" : "")
    return ModelFileError(
      .notAModel, path: path, "holds \(names.count) models: \(shown)", advice: "name the one to use")
  }

  private func nothingFound(_ names: [String]) -> ModelFileError {
    if names.contains(where: { $0.hasPrefix("adapter_model.") }) {
      return ModelFileError(
        .notAModel, path: path, "holds only a LoRA adapter", advice: "merge it into its base model first")
    }
    let other = names.lazy.compactMap { name -> String? in
      guard let file = try? MappedFile(path: FileSystem.join(path, name)) else { return nil }
      return file.region.withBytes { FileDescription.foreignModel($0) }.map { "\(name) is \($0)" }
    }.first
    return ModelFileError(
      .notAModel, path: path,
      "holds no safetensors, PyTorch, GGUF or llama2.c model" + (other.map { " (\($0))" } ?? ""),
      advice: "name the folder that the weights are in")
  }
}

/// A name of the form `model-00001-of-00003.safetensors`.
struct ShardName {
  let name: String
  /// What the shards of one model share: stem, count and extension.
  let set: [String]
  private let count: Int

  /// Nil when `name` has another form.
  init?(_ name: String) {
    guard let dot = name.lastIndex(of: ".") else { return nil }
    let parts = name[..<dot].split(separator: "-", omittingEmptySubsequences: false)
    guard parts.count >= 4, parts[parts.count - 2] == "of",
      let number = ShardName.digits(parts[parts.count - 3]),
      let count = ShardName.digits(parts[parts.count - 1]),
      (1...count).contains(number), count > 1
    else { return nil }
    self.name = name
    self.count = count
    set = [parts.dropLast(3).joined(separator: "-"), String(parts[parts.count - 1]), String(name[dot...])]
  }

  /// The names of all the shards, this one included.
  var siblings: [String] {
    (1...count).map { number in
      let digits = String(number)
      return set[0] + "-" + String(repeating: "0", count: max(0, 5 - digits.count)) + digits + "-of-" + set[1]
        + set[2]
    }
  }

  private static func digits(_ text: Substring) -> Int? {
    guard text.utf8.count == 5, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
    return Int(text)
  }
}
