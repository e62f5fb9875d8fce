import TensorCore

/// Lays out GGUF files: version 3, little endian, byte for byte what ggml and the `gguf` package write for the same
/// contents.
public enum GGUFWriter {
  /// The version that is written.
  public static let version: UInt32 = 3
  /// The alignment of tensors where `general.alignment` does not give another.
  public static let defaultAlignment = 32
  /// The most bytes of a tensor's name that ggml can load (`GGML_MAX_NAME` less its NUL).
  public static let nameLimit = 63
  /// The largest alignment that is written.
  package static let alignmentLimit = 1 << 20

  /// The file that holds `metadata` and `tensors`, in the order given.
  ///
  /// - Parameter path: what errors call the file.
  /// - Throws: ``ModelFileError``: a repeated key or name, a format that GGUF lacks, more than four dimensions, bytes
  ///   that do not fit shape and format, a bad `general.alignment`, a mixed array.
  public static func layout(
    metadata: [GGUFEntry], tensors: [StoredTensor], path: String = "GGUF output"
  ) throws -> ContainerLayout {
    var header = GGUFHeaderWriter(path: path)
    let alignment = try alignment(in: metadata, path: path)
    header.bytes = Array("GGUF".utf8)
    header.append(version)
    header.append(UInt64(tensors.count))
    header.append(UInt64(metadata.count))
    var keys: Set<String> = []
    for entry in metadata {
      guard keys.insert(entry.key).inserted else {
        throw ModelFileError(.duplicate, path: path, "metadata key '\(entry.key)' appears twice")
      }
      try header.append(entry)
    }
    var names: Set<String> = []
    var notes: [String] = []
    var offset = 0
    var placements: [ContainerLayout.Placement] = []
    placements.reserveCapacity(tensors.count)
    for tensor in tensors {
      guard names.insert(tensor.name).inserted else {
        throw ModelFileError(.duplicate, path: path, "tensor '\(tensor.name)' appears twice")
      }
      if tensor.name.utf8.count > nameLimit {
        notes.append(
          "tensor name '\(tensor.name)' has \(tensor.name.utf8.count) bytes: llama.cpp loads at most \(nameLimit)"
        )
      }
      try header.append(tensor, offset: offset)
      let padding = GGUFWriter.padding(after: tensor.bytes.count, alignment: alignment)
      placements.append(.init(tensor: tensor, offset: offset, paddingAfter: padding))
      let (end, overflow) = offset.addingReportingOverflow(tensor.bytes.count + padding)
      guard !overflow else { throw ModelFileError(.badStructure, path: path, "the file would be too large") }
      offset = end
    }
    header.bytes.append(
      contentsOf: repeatElement(0, count: padding(after: header.bytes.count, alignment: alignment)))
    for place in placements.indices { placements[place].offset += header.bytes.count }
    return ContainerLayout(
      container: "gguf", prefix: ByteRegion(header.bytes), tensors: placements,
      size: header.bytes.count + offset,
      notes: notes)
  }

  /// The zero bytes that bring `count` to a multiple of `alignment`.
  package static func padding(after count: Int, alignment: Int) -> Int {
    (alignment - count % alignment) % alignment
  }

  private static func alignment(in metadata: [GGUFEntry], path: String) throws -> Int {
    guard let value = metadata["general.alignment"] else { return defaultAlignment }
    guard case .uint32(let number) = value, number >= 8, number.nonzeroBitCount == 1, number <= alignmentLimit
    else {
      throw ModelFileError(
        .badStructure, path: path,
        "general.alignment is \(value): it must be a uint32, a power of two, at least 8")
    }
    return Int(number)
  }
}

/// Appends GGUF's primitive values to a growing header.
private struct GGUFHeaderWriter {
  let path: String
  var bytes: [UInt8] = []

  init(path: String) { self.path = path }

  mutating func append(_ value: some FixedWidthInteger) {
    withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
  }

  mutating func append(_ text: String) {
    append(UInt64(text.utf8.count))
    bytes.append(contentsOf: text.utf8)
  }

  mutating func append(_ entry: GGUFEntry) throws {
    guard !entry.key.isEmpty, entry.key.utf8.count <= 65535 else {
      throw ModelFileError(
        .badStructure, path: path, "a metadata key has \(entry.key.utf8.count) bytes: GGUF allows 1 to 65535")
    }
    append(entry.key)
    append(entry.value.type.rawValue)
    try append(entry.value, key: entry.key, depth: 0)
  }

  mutating func append(_ value: GGUFValue, key: String, depth: Int) throws {
    switch value {
    case .uint8(let value): append(value)
    case .int8(let value): append(value)
    case .uint16(let value): append(value)
    case .int16(let value): append(value)
    case .uint32(let value): append(value)
    case .int32(let value): append(value)
    case .uint64(let value): append(value)
    case .int64(let value): append(value)
    case .float32(let value): append(value.bitPattern)
    case .float64(let value): append(value.bitPattern)
    case .bool(let value): append(UInt8(value ? 1 : 0))
    case .string(let value): append(value)
    case .bytes(let value):
      append(UInt64(value.count))
      bytes.append(contentsOf: value)
    case .strings(let values):
      appendArrayHead(.string, values.count)
      for value in values { append(value) }
    case .float32s(let values):
      appendArrayHead(.float32, values.count)
      for value in values { append(value.bitPattern) }
    case .int32s(let values):
      appendArrayHead(.int32, values.count)
      for value in values { append(value) }
    case .array(let values, let elementType):
      guard let type = GGUFValueType(rawValue: elementType), values.allSatisfy({ $0.type == type }),
        depth < GGUFFile.depthLimit
      else {
        throw ModelFileError(
          .badStructure, path: path, "metadata '\(key)' is an array of mixed types, or nested too deep")
      }
      appendArrayHead(type, values.count)
      for value in values { try append(value, key: key, depth: depth + 1) }
    }
  }

  private mutating func appendArrayHead(_ type: GGUFValueType, _ count: Int) {
    append(type.rawValue)
    append(UInt64(count))
  }

  /// The tensor's description; GGUF lists the sizes innermost first.
  mutating func append(_ tensor: StoredTensor, offset: Int) throws {
    guard let type = GGUFTypes.number(of: tensor.format) else {
      throw ModelFileError(
        .unsupported, path: path, "tensor '\(tensor.name)': GGUF cannot store \(tensor.format.rawValue)",
        advice: "convert it to f32, or write safetensors")
    }
    guard tensor.shape.count <= GGUFFile.dimensionLimit else {
      throw ModelFileError(
        .unsupported, path: path,
        "tensor '\(tensor.name)' has shape \(tensor.shape): GGUF stores at most \(GGUFFile.dimensionLimit) dimensions"
      )
    }
    guard StoredTensor.byteCount(shape: tensor.shape, format: tensor.format) == tensor.bytes.count else {
      throw ModelFileError(
        .badStructure, path: path,
        "tensor '\(tensor.name)' has \(tensor.bytes.count) bytes, which does not fit \(tensor.format.rawValue) "
          + "of shape \(tensor.shape)")
    }
    append(tensor.name)
    append(UInt32(tensor.shape.count))
    for size in tensor.shape.reversed() { append(UInt64(size)) }
    append(type)
    append(UInt64(offset))
  }
}
