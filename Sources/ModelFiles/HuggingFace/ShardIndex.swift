import TensorCore

/// `model.safetensors.index.json` or `pytorch_model.bin.index.json`: which shard holds which tensor.
struct ShardIndex {
  /// The index's own path.
  let path: String
  /// Tensor → file name, in the index's order.
  let weightMap: [(tensor: String, file: String)]
  /// The longest index that is read.
  static let sizeLimit = 256 << 20

  /// The names of the shards, sorted.
  var files: [String] {
    Set(weightMap.map(\.file)).sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
  }

  /// Reads an index.
  ///
  /// - Throws: ``ModelFileError`` when it is none, or names files outside of its folder.
  init(readingFrom file: MappedFile) throws {
    path = file.path
    guard file.region.count <= ShardIndex.sizeLimit else {
      throw ModelFileError(.badStructure, path: path, "has \(file.region.count) bytes, too many for an index")
    }
    let document: JSONValue
    do { document = try JSONValue(parsing: file.region.buffer, allowsNonFinite: true) } catch {
      throw ModelFileError(
        error.isRepeatedKey ? .duplicate : .badStructure, path: path, "is no valid JSON: \(error)")
    }
    guard case .object(let map)? = document["weight_map"], !map.members.isEmpty else {
      throw ModelFileError(.badStructure, path: path, "has no weight_map, or an empty one")
    }
    weightMap = try map.members.map { [path] tensor, value in
      guard case .string(let name) = value, ShardIndex.isPlainName(name) else {
        throw ModelFileError(
          .badStructure, path: path,
          "names the file \(value.text()) for tensor '\(tensor)': not a name in this folder")
      }
      return (tensor, name)
    }
  }

  /// Reads `file` if it is a JSON document with a `weight_map`; nil when it is anything else.
  ///
  /// - Throws: ``ModelFileError`` when it is an index, but a bad one.
  static func ifIndex(_ file: MappedFile) throws -> ShardIndex? {
    guard file.region.count <= sizeLimit, FileDescription.startsLikeJSON(file.region.buffer),
      let document = try? JSONValue(parsing: file.region.buffer, allowsNonFinite: true),
      document["weight_map"] != nil
    else { return nil }
    return try ShardIndex(readingFrom: file)
  }

  /// Opens all the shards and checks them against the index, both ways.
  ///
  /// - Parameter userPath: what the user named.
  /// - Throws: ``ModelFileError``: a shard or a tensor is missing, or a tensor is in two shards.
  func open(as userPath: String) throws -> ModelSource {
    let folder = FileSystem.folder(of: path)
    let mapped = try files.map { name in
      let shard = FileSystem.join(folder, name)
      guard FileSystem.isFile(shard) else {
        throw ModelFileError(
          .missing, path: shard, "is missing: \(FileSystem.name(of: path)) names it",
          advice: "download the rest of the model")
      }
      return try FileSystem.map(shard)
    }
    let tensors = Dictionary(grouping: weightMap, by: \.file)
    var whole = try ShardIndex.joined(mapped, as: userPath) { shard, name in
      try check(shard, holds: tensors[name, default: []].map(\.tensor))
    }
    let named = Set(weightMap.map(\.tensor))
    let unnamed = whole.tensors.filter { !named.contains($0.name) }
    if let first = unnamed.first {
      whole.notes.append(
        "\(unnamed.count) tensors are in the shards but not in \(FileSystem.name(of: path)): '\(first.name)'"
          + (unnamed.count > 1 ? " …" : ""))
    }
    return whole
  }

  private func check(_ shard: ModelSource, holds names: [String]) throws {
    let held = Set(shard.tensors.map(\.name)).union(shard.aliases.keys)
    if let missing = names.first(where: { !held.contains($0) }) {
      throw ModelFileError(
        .missing, path: shard.path,
        "lacks tensor '\(missing)', which \(FileSystem.name(of: path)) says it holds")
    }
  }

  /// Reads `files` and puts their tensors together.
  static func joined(
    _ files: [MappedFile], as userPath: String, check: (ModelSource, String) throws -> Void = { _, _ in }
  ) throws -> ModelSource {
    var whole: ModelSource?
    var places: [String: String] = [:]
    for file in files {
      guard let reader = ModelReader.recognizing(file.region.buffer), reader.usesCompanions else {
        throw FileDescription.refusal(of: file)
      }
      let shard = try reader.read(file)
      try check(shard, FileSystem.name(of: file.path))
      for name in shard.tensors.map(\.name) + shard.aliases.keys {
        if let other = places.updateValue(file.path, forKey: name) {
          throw ModelFileError(
            .duplicate, path: file.path, "tensor '\(name)' is in \(FileSystem.name(of: other)) too")
        }
      }
      guard var sum = whole else {
        whole = shard
        continue
      }
      guard (sum.container == .safetensors) == (shard.container == .safetensors) else {
        throw ModelFileError(
          .badStructure, path: file.path, "is \(reader.name), other shards of the model are not")
      }
      sum.files += shard.files
      sum.tensors += shard.tensors
      sum.aliases.merge(shard.aliases) { first, _ in first }
      sum.notes += shard.notes
      whole = sum
    }
    guard var whole else { throw ModelFileError(.missing, path: userPath, "there are no shards") }
    whole.path = userPath
    return whole
  }

  /// Whether `name` stays inside its folder.
  private static func isPlainName(_ name: String) -> Bool {
    !name.isEmpty && name != "." && name != ".." && name.utf8.count <= 255
      && !name.utf8.contains { $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: "\\") || $0 == 0 }
  }
}
