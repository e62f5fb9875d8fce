import ModelFiles
import TensorCore

extension ModelSource {
  /// The source with quantized matrices put together from their parts, and without `quantization_config`.
  ///
  /// Reads `compressed-tensors` (integers of 4 or 8 bits, symmetric), `gptq` (4 or 8 bits, symmetric, columns in order) and
  /// this program's own layout.
  /// - Throws: ``ModelError``: another method, a scheme that is not read here, parts that do not fit.
  func unpacked() throws -> ModelSource {
    guard let settings = try quantizationSettings, settings.objectValue != nil else { return self }
    let method = settings["quant_method"]?.stringValue ?? ""
    var result = self
    switch PackedLayout(rawValue: method) {
    case .compressedTensors:
      try ModelSource.checkCompressedTensors(settings)
      let activations = try RoundedActivations(settings)
      if settings["sparsity_config"]?["format"]?.stringValue == SparseBitmask.name {
        result.tensors = try result.withModules(SparseBitmask.endings) { try SparseBitmask.matrix(of: $0) }
      }
      result.tensors = try result.withModules(CompressedTensorsReader.endings) { module in
        try CompressedTensorsReader.matrix(of: module, roundsTokens: try activations.contains(module.module))
      }
    case .own:
      guard let version = settings["version"]?.intValue, (1...2).contains(version) else {
        throw ModelError(
          .unsupported, path,
          "config.json has a quantization_config of compress of another version; use a newer compress")
      }
      let blobs = [UniformBlob.ending, SparseBlob.ending]
      result.tensors = try withModules(CompressedTensorsReader.endings + blobs) { module in
        if let blob = module.parts[SparseBlob.ending] {
          return try SparseBlob.matrix(blob, name: module.module + ".weight")
        }
        guard let blob = module.parts[UniformBlob.ending] else {
          return try CompressedTensorsReader.matrix(of: module)
        }
        return try UniformBlob.matrix(blob, name: module.module + ".weight")
      }
    case .gptq:
      let bits = settings["bits"]?.intValue ?? 0
      guard bits == 4 || bits == 8 else {
        throw ModelError(.unsupported, path, "gptq weights of \(bits) bits are not read here (4 and 8 are)")
      }
      let isVersion2 = settings["checkpoint_format"]?.stringValue == "gptq_v2"
      result.tensors = try withModules(GPTQ.endings) { module in
        try GPTQ.matrix(of: module, bits: bits, isVersion2: isVersion2)
      }
    case nil:
      throw ModelError(
        .unsupported, path,
        "config.json says that the weights are quantized already by '\(method)'; start from the original checkpoint"
      )
    }
    if var object = configuration?.objectValue {
      object["quantization_config"] = nil
      result.configuration = .object(object)
    }
    return result
  }

  /// What `config.json` says, or the file itself where it lies alone.
  private var quantizationSettings: JSONValue? {
    get throws {
      if let settings = configuration?["quantization_config"] { return settings }
      guard configuration == nil, let text = textMetadata["quantization_config"] else { return nil }
      do {
        return try Array(text.utf8).withUnsafeBytes { try JSONValue(parsing: $0) }
      } catch {
        throw ModelError(
          .badConfiguration, path, "quantization_config in the file's metadata is no valid JSON: \(error)")
      }
    }
  }

  /// The tensors with each module's parts replaced by its matrix, where the first of them stood.
  private func withModules(
    _ endings: [String], _ matrix: (PackedParts) throws -> StoredTensor
  ) throws -> [StoredTensor] {
    let (modules, others) = PackedParts.gather(tensors, endings: endings)
    return try modules.map(matrix) + others
  }

  /// Refuses what the tensors alone would not show.
  private static func checkCompressedTensors(_ settings: JSONValue) throws {
    func refuse(_ what: String) -> ModelError {
      ModelError(
        .unsupported, "",
        "compressed-tensors \(what) is not read here (integers of 4 or 8 bits are, symmetric, a scale a group or a row); "
          + "start from the original checkpoint")
    }
    for (_, group) in settings["config_groups"]?.objectValue?.members ?? [] {
      guard let weights = group["weights"], weights.objectValue != nil else { continue }
      if weights["type"]?.stringValue ?? "int" != "int" { throw refuse("of type 'float'") }
      let bits = weights["num_bits"]?.intValue ?? 8
      guard bits == 4 || bits == 8 else { throw refuse("of \(bits) bits") }
      if weights["symmetric"]?.boolValue == false { throw refuse("with zero points") }
      let strategy = weights["strategy"]?.stringValue
      if let strategy, !["group", "channel"].contains(strategy) {
        throw refuse("with strategy '\(strategy)'")
      }
    }
    if let format = settings["format"]?.stringValue,
      !["pack-quantized", "int-quantized", "naive-quantized", "mixed-precision", "dense"].contains(format)
    {
      throw refuse("of format '\(format)'")
    }
    let known = ["dense", SparseBitmask.name]
    if let sparse = settings["sparsity_config"]?["format"]?.stringValue, !known.contains(sparse) {
      throw refuse("with sparse weights ('\(sparse)')")
    }
  }
}
