public import ModelFiles
import TensorCore

extension Checkpoint {
  /// The checkpoint as the contents of a GGUF file: metadata with the tokenizer, and tensors in GGUF names and row order.
  ///
  /// Vectors, and the small tables that llama.cpp adds to activations, are stored as F32; 8-bit floats as BF16, which
  /// holds them exactly; 64-bit floats as F32. `general.file_type` is left to the caller.
  ///
  /// - Throws: ``ModelError`` when a tensor has no GGUF name, or a name that GGUF readers refuse.
  public func ggufContents() throws -> (metadata: [GGUFEntry], tensors: [StoredTensor]) {
    guard let architecture else { return try unknownGGUFContents() }
    let exported = try tensors.map { tensor in
      guard let name = architecture.ggufName(of: tensor.name) else {
        throw ModelError(.unsupported, source.path, "tensor '\(tensor.name)' has no name in GGUF")
      }
      var result = storable(tensor)
      result.name = name
      if let order = architecture.ggufRowOrder(of: tensor.name) { result = result.gatheringRows(order) }
      return result
    }
    let entries = architecture.ggufEntries(name: name) + quantizationEntries
    return (withTokenizer(entries), architecture.ggufTables + exported)
  }

  /// Keeps raw names: no runtime knows the model, but the file is a valid GGUF.
  private func unknownGGUFContents() throws -> (metadata: [GGUFEntry], tensors: [StoredTensor]) {
    for tensor in tensors where tensor.name.utf8.count > 63 || tensor.shape.count > 4 {
      throw ModelError(
        .unsupported, source.path,
        "tensor '\(tensor.name)' (\(tensor.shapeText)) does not fit GGUF, whose names end at 63 bytes and shapes at 4 sizes; write safetensors instead"
      )
    }
    let type = configuration["model_type"]?.stringValue ?? ""
    var entries = source.metadata.filter { !$0.key.hasPrefix("tokenizer.") && !$0.key.hasPrefix("split.") }
    entries.removeAll {
      ["general.file_type", "general.quantization_version", "general.alignment"].contains($0.key)
    }
    if entries.isEmpty {
      entries = [
        GGUFEntry("general.architecture", .string(type.isEmpty ? "unknown" : type)),
        GGUFEntry("general.type", .string("model")), GGUFEntry("general.name", .string(name)),
      ]
    }
    return (withTokenizer(entries + quantizationEntries), tensors.map(storable))
  }

  private var quantizationEntries: [GGUFEntry] {
    quantizedTensorNames.isEmpty ? [] : [GGUFEntry("general.quantization_version", .uint32(2))]
  }

  /// The entries with the tokenizer's behind them; a GGUF's own tokenizer is passed on even when it is not read here.
  private func withTokenizer(_ entries: [GGUFEntry]) -> [GGUFEntry] {
    let own = tokenizer?.ggufEntries ?? []
    let more = own.isEmpty ? source.metadata.filter { $0.key.hasPrefix("tokenizer.") } : own
    let taken = Set(entries.map(\.key))
    return entries + more.filter { !taken.contains($0.key) }
  }

  private func storable(_ tensor: StoredTensor) -> StoredTensor {
    guard tensor.format.isFloat else { return tensor }
    let role = role(of: tensor)
    let isSmall = tensor.shape.count < 2 || role == .positionEmbedding || role == .typeEmbedding
    if isSmall || tensor.format == .f64 { return tensor.convertedToFloat32() }
    if tensor.format == .f8_e4m3 || tensor.format == .f8_e5m2 { return tensor.convertedToBFloat16() }
    return tensor
  }
}
