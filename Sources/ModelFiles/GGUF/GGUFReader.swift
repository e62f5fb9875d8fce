/// Walks through a GGUF header. Every length is compared with the bytes that remain before anything is allocated.
struct GGUFReader {
  /// A tensor's description as the file has it, but with the outermost size first.
  struct TensorInfo {
    var name: String
    var shape: [UInt64]
    var type: UInt32
    var offset: UInt64
  }

  private let bytes: UnsafeRawBufferPointer
  private let path: String
  /// The next byte to read.
  private(set) var place = 0
  private var boxedCount = 0

  init(bytes: UnsafeRawBufferPointer, path: String) {
    self.bytes = bytes
    self.path = path
  }

  // MARK: The header's parts, in order

  /// Magic, version and counts.
  mutating func head() throws -> (tensors: Int, entries: Int) {
    guard GGUFFile.recognizes(bytes) else { throw failure(.notAModel, "does not start with GGUF's magic") }
    place = 4
    let version: UInt32 = try integer("the version")
    switch version {
    case 2, 3: break
    case 1:
      throw failure(
        .unsupported, "is GGUF version 1 of August 2023", advice: "convert it with llama.cpp to version 3")
    case UInt32(2).byteSwapped, UInt32(3).byteSwapped:
      throw failure(
        .unsupported, "is a big-endian GGUF file", advice: "convert it with gguf_convert_endian.py")
    default: throw failure(.unsupported, "is GGUF version \(version); versions 2 and 3 can be read")
    }
    let tensors = try count("tensors", minimumSize: 24)
    let entries = try count("metadata entries", minimumSize: 13)
    return (tensors, entries)
  }

  /// The key/value pairs.
  mutating func metadata(count: Int) throws -> [GGUFEntry] {
    var entries: [GGUFEntry] = []
    var keys: Set<String> = []
    entries.reserveCapacity(min(count, 4096))
    for number in 0..<count {
      guard case .string(let key) = try text("the key of metadata entry \(number)"), !key.isEmpty else {
        throw failure(.badStructure, "the key of metadata entry \(number) is empty or no UTF-8")
      }
      guard keys.insert(key).inserted else {
        throw failure(.duplicate, "metadata key '\(key)' appears twice")
      }
      let type = try valueType(key: key)
      entries.append(GGUFEntry(key, try value(type, key: key, depth: 0)))
    }
    return entries
  }

  /// The tensors' descriptions.
  mutating func tensorInfos(count: Int) throws -> [TensorInfo] {
    var infos: [TensorInfo] = []
    var names: Set<String> = []
    infos.reserveCapacity(min(count, 4096))
    for number in 0..<count {
      guard case .string(let name) = try text("the name of tensor \(number)"), !name.isEmpty else {
        throw failure(.badStructure, "the name of tensor \(number) is empty or no UTF-8")
      }
      guard names.insert(name).inserted else { throw failure(.duplicate, "tensor '\(name)' appears twice") }
      let dimensions: UInt32 = try integer("the dimensions of tensor '\(name)'")
      guard dimensions <= GGUFFile.dimensionLimit else {
        throw failure(
          .badStructure,
          "tensor '\(name)' has \(dimensions) dimensions; GGUF allows \(GGUFFile.dimensionLimit)")
      }
      var shape: [UInt64] = []
      for _ in 0..<dimensions { shape.append(try integer("the shape of tensor '\(name)'")) }
      shape.reverse()
      let type: UInt32 = try integer("the type of tensor '\(name)'")
      let offset: UInt64 = try integer("the offset of tensor '\(name)'")
      infos.append(TensorInfo(name: name, shape: shape, type: type, offset: offset))
    }
    return infos
  }

  // MARK: Values

  private mutating func valueType(key: String) throws -> GGUFValueType {
    let number: UInt32 = try integer("the type of metadata '\(key)'")
    guard let type = GGUFValueType(rawValue: number) else {
      throw failure(.badStructure, "metadata '\(key)' has the unknown value type \(number)")
    }
    return type
  }

  private mutating func value(_ type: GGUFValueType, key: String, depth: Int) throws -> GGUFValue {
    var what: String { "metadata '\(key)'" }
    switch type {
    case .uint8: return .uint8(try integer(what))
    case .int8: return .int8(try integer(what))
    case .uint16: return .uint16(try integer(what))
    case .int16: return .int16(try integer(what))
    case .uint32: return .uint32(try integer(what))
    case .int32: return .int32(try integer(what))
    case .uint64: return .uint64(try integer(what))
    case .int64: return .int64(try integer(what))
    case .float32: return .float32(Float(bitPattern: try integer(what)))
    case .float64: return .float64(Double(bitPattern: try integer(what)))
    case .bool:
      let byte: UInt8 = try integer(what)
      guard byte <= 1 else { throw failure(.badStructure, "\(what) is a bool of value \(byte)") }
      return .bool(byte == 1)
    case .string: return try text(what)
    case .array: return try array(key: key, depth: depth)
    }
  }

  private mutating func array(key: String, depth: Int) throws -> GGUFValue {
    guard depth < GGUFFile.depthLimit else {
      throw failure(.badStructure, "metadata '\(key)' is nested too deep")
    }
    let type = try valueType(key: key)
    let count = try count("elements of metadata '\(key)'", minimumSize: type.minimumSize)
    switch type {
    case .int32: return .int32s(fixedSize(count) { Int32(littleEndian: $0.loadUnaligned(as: Int32.self)) })
    case .float32:
      return .float32s(
        fixedSize(count) { Float(bitPattern: UInt32(littleEndian: $0.loadUnaligned(as: UInt32.self))) })
    case .string: return try strings(count, key: key)
    default:
      try box(count, key: key)
      var values: [GGUFValue] = []
      values.reserveCapacity(count)
      for _ in 0..<count { values.append(try value(type, key: key, depth: depth + 1)) }
      return .array(values, elementType: type.rawValue)
    }
  }

  /// `count` elements of 4 bytes, whose presence `count(_:minimumSize:)` has checked.
  private mutating func fixedSize<Element>(_ count: Int, _ load: (UnsafeRawPointer) -> Element) -> [Element] {
    guard count > 0, let base = bytes.baseAddress else { return [] }
    let start = base + place
    place += count * 4
    return (0..<count).map { load(start + $0 * 4) }
  }

  /// Strings, unboxed unless one of them is not UTF-8.
  private mutating func strings(_ count: Int, key: String) throws -> GGUFValue {
    try box(count, key: key)
    let start = place
    var strings: [String] = []
    strings.reserveCapacity(count)
    for _ in 0..<count {
      guard case .string(let string) = try text("metadata '\(key)'") else {
        place = start
        var values: [GGUFValue] = []
        values.reserveCapacity(count)
        for _ in 0..<count { values.append(try text("metadata '\(key)'")) }
        return .array(values, elementType: GGUFValueType.string.rawValue)
      }
      strings.append(string)
    }
    return .strings(strings)
  }

  private mutating func box(_ count: Int, key: String) throws {
    boxedCount += count
    guard boxedCount <= GGUFFile.boxedLimit else {
      throw failure(.unsupported, "metadata '\(key)' is too large: \(count) elements")
    }
  }

  // MARK: Primitives

  // What is read is said for errors only: vocabularies have many thousand strings.

  private mutating func integer<Value: FixedWidthInteger & BitwiseCopyable>(
    _ what: @autoclosure () -> String
  ) throws -> Value {
    let size = MemoryLayout<Value>.size
    guard size <= bytes.count - place else { throw endsEarly(what(), needs: UInt64(size)) }
    defer { place += size }
    return Value(littleEndian: bytes.loadUnaligned(fromByteOffset: place, as: Value.self))
  }

  /// A count of things that take at least `minimumSize` bytes each.
  private mutating func count(_ what: @autoclosure () -> String, minimumSize: Int) throws -> Int {
    let count: UInt64 = try integer("the number of \(what())")
    guard count <= UInt64((bytes.count - place) / minimumSize) else {
      throw failure(
        .truncated, "claims \(count) \(what()) at byte \(place), where \(bytes.count - place) bytes remain",
        advice: ModelFileError.downloadAgain)
    }
    return Int(count)
  }

  /// A string, as `.bytes` when it is not UTF-8.
  private mutating func text(_ what: @autoclosure () -> String) throws -> GGUFValue {
    let length: UInt64 = try integer("the length of \(what())")
    guard length <= UInt64(bytes.count - place) else { throw endsEarly(what(), needs: length) }
    let slice = UnsafeRawBufferPointer(rebasing: bytes[place..<place + Int(length)])
    place += Int(length)
    return String(validating: slice, as: UTF8.self).map(GGUFValue.string) ?? .bytes(Array(slice))
  }

  private func endsEarly(_ what: String, needs: UInt64) -> ModelFileError {
    failure(
      .truncated,
      "ends within \(what): \(needs) bytes are needed at byte \(place), \(bytes.count - place) remain",
      advice: ModelFileError.downloadAgain)
  }

  private func failure(
    _ reason: ModelFileError.Reason, _ message: String, advice: String? = nil
  ) -> ModelFileError {
    ModelFileError(reason, path: path, message, advice: advice)
  }
}
