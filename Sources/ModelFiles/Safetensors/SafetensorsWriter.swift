import TensorCore

/// Lays out safetensors files, byte for byte what the `safetensors` package writes for the same contents.
public enum SafetensorsWriter {
  /// The file that holds `tensors`, and `metadata` as its `__metadata__`.
  ///
  /// Tensors are ordered as the `safetensors` package orders them, the widest elements first and then by name, so that
  /// every tensor is aligned to its element's size and the same contents give the same bytes.
  ///
  /// - Parameter path: what errors call the file.
  /// - Throws: ``ModelFileError``: a repeated name, a quantized format, bytes that do not fit shape and format.
  public static func layout(
    tensors: [StoredTensor], metadata: [String: String] = [:], path: String = "safetensors output"
  ) throws -> ContainerLayout {
    var header: [(String, JSONValue)] = []
    if !metadata.isEmpty {
      let sorted = metadata.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
      header.append(("__metadata__", .object(JSONObject(sorted.map { ($0.key, .string($0.value)) }))))
    }
    var names: Set<String> = ["__metadata__"]
    var placements: [ContainerLayout.Placement] = []
    var end = 0
    for (tensor, type) in try ordered(tensors, path: path) {
      guard names.insert(tensor.name).inserted else {
        throw ModelFileError(
          .duplicate, path: path, "tensor '\(tensor.name)' appears twice, or is a reserved name")
      }
      guard StoredTensor.byteCount(shape: tensor.shape, format: tensor.format) == tensor.bytes.count else {
        throw ModelFileError(
          .badStructure, path: path,
          "tensor '\(tensor.name)' has \(tensor.bytes.count) bytes, which does not fit \(type) of shape \(tensor.shape)"
        )
      }
      placements.append(.init(tensor: tensor, offset: end, paddingAfter: 0))
      let start = end
      end += tensor.bytes.count
      header.append(
        (
          tensor.name,
          .object(
            JSONObject([
              ("dtype", .string(type)), ("shape", .array(tensor.shape.map { .integer($0) })),
              ("data_offsets", .array([.integer(start), .integer(end)])),
            ]))
        ))
    }
    let prefix = try prefix(header: JSONValue.object(JSONObject(header)).text(sortedKeys: false), path: path)
    for place in placements.indices { placements[place].offset += prefix.count }
    return ContainerLayout(
      container: "safetensors", prefix: ByteRegion(prefix), tensors: placements, size: prefix.count + end)
  }

  private static func ordered(
    _ tensors: [StoredTensor], path: String
  ) throws -> [(tensor: StoredTensor, type: String)] {
    let ranked = try tensors.map { tensor in
      guard let type = SafetensorsTypes.name(of: tensor.format),
        let rank = SafetensorsTypes.alignmentOrder.firstIndex(of: tensor.format)
      else {
        throw ModelFileError(
          .unsupported, path: path,
          "tensor '\(tensor.name)': safetensors cannot store \(tensor.format.rawValue)",
          advice: "write GGUF, or a format of plain elements")
      }
      return (tensor: tensor, type: type, rank: rank)
    }
    return ranked.sorted {
      $0.rank != $1.rank
        ? $0.rank < $1.rank : $0.tensor.name.utf8.lexicographicallyPrecedes($1.tensor.name.utf8)
    }.map { ($0.tensor, $0.type) }
  }

  /// The length and the header, padded with spaces so that the data starts at a multiple of 8.
  private static func prefix(header: String, path: String) throws -> [UInt8] {
    var text = Array(header.utf8)
    text.append(contentsOf: repeatElement(UInt8(ascii: " "), count: (8 - text.count % 8) % 8))
    guard text.count <= SafetensorsFile.headerLimit else {
      throw ModelFileError(
        .unsupported, path: path, "the header would take \(text.count) bytes, more than readers accept")
    }
    return withUnsafeBytes(of: UInt64(text.count).littleEndian) { Array($0) } + text
  }
}
